#include "config/mistakes.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int mistakes_add_file(Mistakes *mistakes, const char *file, size_t *ret_rank)
{
        for (size_t i = mistakes->n_files; i > 0; i--)
                if (strcmp(mistakes->files[i - 1], file) == 0) {
                        if (ret_rank)
                                *ret_rank = i - 1;
                        return 0;
                }

        char **grown = reallocarray(mistakes->files, mistakes->n_files + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        mistakes->files = grown;
        char *copy = strdup(file);
        if (!copy)
                return -ENOMEM;
        grown[mistakes->n_files] = copy;
        if (ret_rank)
                *ret_rank = mistakes->n_files;
        mistakes->n_files++;
        return 0;
}

int mistakes_add(Mistakes *mistakes, const char *file, unsigned line, const char *subject, const char *format, ...)
{
        if (mistakes->n_items >= MISTAKES_MAX) {
                mistakes->n_omitted++;
                return 0;
        }

        _cleanup_free_ char *sentence = NULL, *text = NULL;
        char place[24] = "";
        size_t rank = 0;
        va_list arguments;

        va_start(arguments, format);
        int n = vasprintf(&sentence, format, arguments);
        va_end(arguments);
        if (n < 0) {
                sentence = NULL;
                return -ENOMEM;
        }
        if (line > 0)
                (void)snprintf(place, sizeof(place), ":%u", line);
        if (asprintf(&text, "%s%s%s%s%s%s", file ? file : "", file ? place : "", file ? ": " : "",
                    subject ? subject : "", subject ? ": " : "", sentence) < 0) {
                text = NULL;
                return -ENOMEM;
        }
        if (file) {
                int r = mistakes_add_file(mistakes, file, &rank);
                if (r < 0)
                        return r;
        }

        Mistake *grown = reallocarray(mistakes->items, mistakes->n_items + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        mistakes->items = grown;
        grown[mistakes->n_items++] = (Mistake){
                .text = take_ptr(text),
                .rank = file ? rank : SIZE_MAX,
                .line = line,
        };
        return 0;
}

/* Insertion: stable, and there are few. */
void mistakes_sort(Mistakes *mistakes)
{
        for (size_t i = 1; i < mistakes->n_items; i++) {
                Mistake moved = mistakes->items[i];
                size_t k = i;

                for (; k > 0; k--) {
                        const Mistake *before = &mistakes->items[k - 1];
                        if (before->rank < moved.rank || (before->rank == moved.rank && before->line <= moved.line))
                                break;
                        mistakes->items[k] = *before;
                }
                mistakes->items[k] = moved;
        }
}

void mistakes_done(Mistakes *mistakes)
{
        for (size_t i = 0; i < mistakes->n_items; i++)
                free(mistakes->items[i].text);
        free(mistakes->items);
        for (size_t i = 0; i < mistakes->n_files; i++)
                free(mistakes->files[i]);
        free(mistakes->files);
        *mistakes = (Mistakes)MISTAKES_EMPTY;
}
