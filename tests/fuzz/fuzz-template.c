/* A template: what is made of it can be the body of a new entry, and is there again when the file is read. */

#include "agent/core/entry.h"
#include "agent/core/template.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const executors[] = {
                "docker", "shell", "kubernetes", "docker-windows", "ssh", "docker+machine", "custom", "instance"};
        _cleanup_secret_ Secret *body = NULL, *text = NULL, *token = fuzz_secret("glrt-0123456789abcdefghij", 25);
        const char *executor = executors[fuzz_take(&data, &size) % ELEMENTS(executors)];
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        EntryResult result = {0};
        TomlError error = {0};

        int r = template_merge(data, size, executor, &body, &error);
        if (r < 0) {
                HOLDS((r == -EINVAL || r == -EBADMSG) && error.text[0]);
                return 0;
        }
        const EntryEdit edit = {.kind = ENTRY_EDIT_UPSERT,
                .index = ENTRY_INDEX_NONE,
                .name = "build-1",
                .url = "https://gitlab.example.com",
                .token = token,
                .executor = executor,
                .template_body = secret_data(body)};
        HOLDS(entry_edits_apply(NULL, 0, &edit, 1, &result, &text, &error) == 0);
        HOLDS(result.outcome == ENTRY_OUTCOME_ADDED);
        HOLDS(entry_list_read(secret_data(text), secret_size(text), &list, &error) == 0);
        HOLDS(list->n_entries == 1 && entry_is_usable(&list->entries[0]));
        HOLDS(secret_equal(list->entries[0].token, token) && strcmp(list->entries[0].executor, executor) == 0);
        entry_results_done(&result, 1);
        return 0;
}
