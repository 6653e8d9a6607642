#include "agent/core/toml-splice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct Output {
        Secret *bytes;
        size_t bom;
        const char *newline;
} Output;

int toml_splice_list_init(TomlSpliceList *list)
{
        return secret_new(NULL, 0, &list->texts);
}

void toml_splice_list_done(TomlSpliceList *list)
{
        free(list->splices);
        list->splices = NULL;
        list->texts = secret_free(list->texts);
}

int toml_splice_add(TomlSpliceList *list, TomlSpliceKind kind, size_t at, size_t end, const void *owner,
        const char *text, size_t size)
{
        if (list->n_splices == list->n_allocated) {
                size_t n = list->n_allocated ? list->n_allocated * 2 : 16;
                TomlSplice *splices = reallocarray(list->splices, n, sizeof(*splices));

                if (!splices)
                        return -ENOMEM;
                list->splices = splices;
                list->n_allocated = n;
        }

        TomlSplice *s = &list->splices[list->n_splices];
        *s = (TomlSplice){
                .kind = kind,
                .at = at,
                .end = end,
                .text = secret_size(list->texts),
                .text_size = size,
                .order = list->n_splices,
                .owner = owner,
        };
        if (size > 0) {
                int r = secret_append(list->texts, text, size);
                if (r < 0)
                        return r;
        }
        list->n_splices++;
        return 0;
}

/* At one place, first what is inserted, in the order it came, then what replaces. Last come blocks: a line behind one
 * would belong to its last table. */
static int rank(const TomlSplice *s)
{
        return s->kind == TOML_SPLICE_BLOCK ? 2 : s->end > s->at;
}

static int compare_splices(const void *a, const void *b)
{
        const TomlSplice *s = a, *t = b;

        if (s->at != t->at)
                return s->at < t->at ? -1 : 1;
        if (rank(s) != rank(t))
                return rank(s) - rank(t);
        return (s->order > t->order) - (s->order < t->order);
}

static bool at_line_start(const Output *out)
{
        size_t n = secret_size(out->bytes);

        return n <= out->bom || secret_data(out->bytes)[n - 1] == '\n';
}

/* Is the last line, which is ended, a blank one? So is the nothing before a first line. */
static bool behind_blank_line(const Output *out)
{
        const char *data = secret_data(out->bytes);
        size_t n = secret_size(out->bytes);

        if (n <= out->bom)
                return true;
        for (n--; n > out->bom && data[n - 1] != '\n'; n--)
                if (data[n - 1] != ' ' && data[n - 1] != '\t' && data[n - 1] != '\r')
                        return false;
        return true;
}

static int put_newline(Output *out)
{
        return secret_append_string(out->bytes, out->newline);
}

/* A file may end without a line end. A line behind that one then takes the end with it to its front, so that the file
 * ends as it did. */
static int put_line(Output *out, const char *text, size_t size)
{
        bool ended = at_line_start(out);
        int r = ended ? 0 : put_newline(out);

        if (r >= 0)
                r = secret_append(out->bytes, text, size);
        if (r >= 0 && ended)
                r = put_newline(out);
        return r;
}

static int put_block(Output *out, const char *text, size_t size)
{
        int r = at_line_start(out) ? 0 : put_newline(out);

        if (r >= 0 && !behind_blank_line(out))
                r = put_newline(out);
        while (size > 0 && r >= 0) {
                const char *end = memchr(text, '\n', size);
                size_t n = end ? (size_t)(end - text) : size;

                r = secret_append(out->bytes, text, n);
                if (r >= 0)
                        r = put_newline(out);
                text += end ? n + 1 : n;
                size -= end ? n + 1 : n;
        }
        return r;
}

static int put_splice(Output *out, const TomlSpliceList *list, const TomlSplice *s)
{
        const char *text = secret_data(list->texts) + s->text;
        int r = -EINVAL;

        switch (s->kind) {
        case TOML_SPLICE_BYTES:
                r = s->text_size > 0 ? secret_append(out->bytes, text, s->text_size) : 0;
                break;
        case TOML_SPLICE_LINE:
                r = put_line(out, text, s->text_size);
                break;
        case TOML_SPLICE_LINES_BEFORE:
                r = put_line(out, text, s->text_size);
                if (r >= 0)
                        r = put_newline(out);
                break;
        case TOML_SPLICE_BLOCK:
                r = put_block(out, text, s->text_size);
                break;
        }
        return r;
}

int toml_splice_apply(
        TomlSpliceList *list, const char *source, size_t size, size_t bom, const char *newline, Secret **ret)
{
        _cleanup_secret_ Secret *bytes = NULL;
        size_t done = 0;

        int r = secret_new(NULL, 0, &bytes);
        if (r >= 0)
                r = secret_reserve(bytes, size + secret_size(list->texts));
        if (r < 0)
                return r;

        if (list->n_splices > 1)
                qsort(list->splices, list->n_splices, sizeof(*list->splices), compare_splices);

        Output out = {bytes, bom, newline};
        for (size_t i = 0; i < list->n_splices; i++) {
                const TomlSplice *s = &list->splices[i];

                if (s->dropped)
                        continue;
                /* A cut takes a blank line with it, where another may begin or something be inserted. */
                if (s->at > done)
                        r = secret_append(bytes, source + done, s->at - done);
                if (r >= 0)
                        r = put_splice(&out, list, s);
                if (r < 0)
                        return r;
                if (s->end > done)
                        done = s->end;
        }
        r = secret_append(bytes, source + done, size - done);
        if (r < 0)
                return r;

        *ret = take_ptr(bytes);
        return 0;
}
