/* Memory ends anywhere while a file's bytes are read, changed or written: the caller hears -ENOMEM, gets nothing half
 * done, and nothing is left behind. */

#include "tests/unit/failing-memory.h"

#include <string.h>

#include "agent/core/entry.h"
#include "agent/core/record.h"
#include "agent/core/status.h"
#include "agent/core/template.h"
#include "agent/core/toml-edit.h"

#define NOW_USEC (UINT64_C(1787392800) * USEC_PER_SEC)

static const char config_toml[] =
        "# hosts\nconcurrent = 4\n\"quoted \\\"key\\\"\" = 'x'\n\n"
        "[[runners]]\n  name = \"build-1\"\n  url = \"https://gitlab.example.com/\"\n  id = 7\n"
        "  token = \"glrt-\\u0061bc\"\n  token_obtained_at = 2026-08-22T10:00:00Z\n"
        "  token_expires_at = 0001-01-01T00:00:00Z\n  executor = \"docker\"\n"
        "  environment = [\"A=1\", \"B=2\", { x = 1.5 }]\n  [runners.docker]\n    image = \"a\\tb\"\n"
        "    volumes = [\"/cache\"]\n[[runners]]\n  name = \"other\"\n  url = \"https://gitlab.example.com\"\n"
        "  token = \"glrt-other\"\n  executor = \"shell\"\n";

static const char inline_toml[] =
        "runners = [ { name = \"build-1\", url = \"https://gitlab.example.com\", token = \"glrt-a\" } ]\r\n";

/* ---- config.toml ---- */

static int parse(const void *input)
{
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;

        return toml_document_parse(input, strlen(input), TOML_VERSION_1_1, &document, NULL);
}

static int read_entries(const void *input)
{
        EntryList *list = NULL;
        int r = entry_list_read(input, strlen(input), &list, NULL);

        (void)entry_list_free(list);
        return r;
}

static int apply(const char *file, const EntryEdit *edits, size_t n)
{
        _cleanup_secret_ Secret *out = NULL;
        EntryResult results[8] = {};
        int r = entry_edits_apply(file, strlen(file), edits, n, results, &out, NULL);

        /* Some, and not the others, is never an answer. */
        assert_true(r == 0 || !out);
        for (size_t i = 0; r == 0 && i < n; i++)
                assert_int_not_equal(results[i].outcome, ENTRY_OUTCOME_FAILED);
        entry_results_done(results, n);
        return r;
}

static int edit_all(const void *input)
{
        const struct timespec obtained = {.tv_sec = 1787392800}, expires = {.tv_sec = 1787997600};
        const int64_t id = 8;
        _cleanup_secret_ Secret *token = NULL, *body = NULL;
        static const char template[] = "[[runners]]\n[runners.docker]\nimage = \"i\"\nvolumes = [\"/v\"]\n";
        int r = secret_new("glrt-new", 8, &token);

        if (r >= 0)
                r = template_merge(template, strlen(template), "docker", &body, NULL);
        if (r < 0)
                return r;
        EntryEdit old = {
                .kind = ENTRY_EDIT_UPSERT,
                .index = ENTRY_INDEX_NONE,
                .name = "build-1",
                .url = "https://gitlab.example.com",
                .id = &id,
                .token = token,
                .obtained_at = &obtained,
                .expires_at = &expires,
                .tls_ca_file = "/etc/ca.pem",
                .executor = "docker",
        };
        EntryEdit new = old;

        old.tls_cert_file = "";
        new.name = "build-2";
        new.template_body = secret_data(body);
        const EntryEdit edits[] = {
                old,
                new,
                {.kind = ENTRY_EDIT_REMOVE,
                        .index = ENTRY_INDEX_NONE,
                        .name = "other",
                        .url = "https://gitlab.example.com"},
                {.kind = ENTRY_EDIT_CONCURRENT, .concurrent = 9},
        };
        return apply(input, edits, ELEMENTS(edits));
}

static int edit_by_index(const void *input)
{
        _cleanup_secret_ Secret *token = NULL;
        int r = secret_new("glrt-new", 8, &token);

        if (r < 0)
                return r;
        const EntryEdit edit = {.kind = ENTRY_EDIT_UPSERT, .index = 0, .name = "renamed", .token = token};
        return apply(input, &edit, 1);
}

static int append_to_inline(const void *input)
{
        _cleanup_secret_ Secret *token = NULL;
        int r = secret_new("glrt-new", 8, &token);

        if (r < 0)
                return r;
        const EntryEdit edits[] = {{.kind = ENTRY_EDIT_UPSERT,
                                           .index = ENTRY_INDEX_NONE,
                                           .name = "build-2",
                                           .url = "https://gitlab.example.com",
                                           .token = token,
                                           .executor = "shell"},
                {.kind = ENTRY_EDIT_REMOVE, .index = 0}};
        return apply(input, edits, ELEMENTS(edits));
}

static int merge_template(const void *input)
{
        _cleanup_secret_ Secret *body = NULL;

        return template_merge(input, strlen(input), "docker", &body, NULL);
}

static int merge_windows(const void *input)
{
        _cleanup_secret_ Secret *body = NULL;

        return template_merge(input, strlen(input), "docker-windows", &body, NULL);
}

/* ---- the editor by itself ---- */

static const char edited[] =
        "first = 1\n[table]\n  a = 1\n  b = [1, 2]\n  in = { x = 1 }\n  empty = {}\n[gone]\nz = 1\n"
        "[gone.below]\ny = 2\n";

static int change(TomlEdit *edit, const TomlDocument *document)
{
        const TomlScalar text = {.type = TOML_TYPE_STRING, .string = {"x\ny", 3}};
        const TomlScalar moment = {.type = TOML_TYPE_DATETIME, .time = {.tv_sec = 1787392800}};
        const TomlValue *root = toml_document_root(document), *table = toml_table_get(root, "table");
        bool changed;
        int r = toml_edit_set(edit, toml_table_get(table, "a"), &text, &changed);

        if (r >= 0)
                r = toml_edit_add(edit, table, toml_table_get(table, "a"), "new key", &moment);
        if (r >= 0)
                r = toml_edit_add(edit, table, NULL, "front", &text);
        if (r >= 0)
                r = toml_edit_add(edit, root, NULL, "top", &text);
        if (r >= 0)
                r = toml_edit_add(edit, toml_table_get(table, "in"), NULL, "y", &text);
        if (r >= 0)
                r = toml_edit_add(edit, toml_table_get(table, "empty"), NULL, "y", &text);
        if (r >= 0)
                r = toml_edit_append_item(edit, toml_table_get(table, "b"), "{ c = 3 }", 9);
        if (r >= 0)
                r = toml_edit_remove(edit, toml_table_get(root, "gone"));
        return r < 0 ? r : toml_edit_append_text(edit, "[last]\nq = 1\n", 13);
}

static int edit_document(const void *input)
{
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        _cleanup_(toml_edit_freep) TomlEdit *edit = NULL;
        _cleanup_secret_ Secret *out = NULL;
        int r = toml_document_parse(input, strlen(input), TOML_VERSION_1_1, &document, NULL);

        if (r >= 0)
                r = toml_edit_new(document, &edit);
        if (r >= 0)
                r = change(edit, document);
        return r < 0 ? r : toml_edit_finish(edit, &out);
}

static int copy_string(const void *input)
{
        _cleanup_free_ char *copy = NULL;

        return toml_string_dup((TomlString){input, strlen(input)}, &copy);
}

/* ---- our own files ---- */

static int make_record(Record **ret)
{
        Debt debt = {.kind = DEBT_MANAGER, .runner_id = 8, .since_usec = NOW_USEC};
        const Target target = {
                (char *)"https://gitlab.example.com", (char *)"/ca", (char *)"/c", (char *)"/k", (char *)"p"};
        _cleanup_(record_freep) Record *record = NULL;
        int r = record_new("build-1", "https://gitlab.example.com", FLOW_REGISTRATION_TOKEN, &record);

        if (r >= 0)
                r = secret_new("glrt-t1_abcdefghij0123456789", 28, &record->token);
        if (r >= 0)
                r = replace_string(&record->reason, "a token glrt-t1_abcdefghij0123456789 in it");
        if (r >= 0)
                r = replace_string(&record->intent.marker, "runner-registrar:0123");
        if (r >= 0)
                r = target_copy(&debt.target, &target);
        if (r >= 0)
                r = secret_copy(record->token, &debt.token);
        if (r >= 0)
                r = replace_string(&debt.system_id, "s_0123456789ab");
        if (r >= 0)
                r = replace_string(&debt.reason, "GitLab could not be reached");
        if (r >= 0) {
                record->intent.kind = INTENT_CREATE;
                record->intent.since_usec = NOW_USEC;
                r = record_add_debt(record, &debt);
        }
        if (r >= 0)
                r = record_add_leftover(record, "https://old.example.com", record->token);
        debt_done(&debt);
        if (r >= 0)
                *ret = take_ptr(record);
        return r;
}

static int write_record(const void *input)
{
        _cleanup_(record_freep) Record *record = NULL, *again = NULL;
        _cleanup_secret_ Secret *text = NULL;
        int r = make_record(&record);

        if (r >= 0)
                r = record_encode(record, &text);
        return r < 0 ? r : record_decode(secret_data(text), secret_size(text), &again, NULL);
}

/* Where even the sentence can't be had the code is that of memory, so that nobody throws a state away. */
static int refuse_record(const void *input)
{
        _cleanup_(record_freep) Record *record = NULL;
        _cleanup_free_ char *why = NULL;
        int r = record_decode(input, strlen(input), &record, &why);

        assert_true(r == -ENOMEM ? !why : why != NULL);
        return r == -EBADMSG || r == -EPROTONOSUPPORT ? 0 : r;
}

static int write_answer(const void *input)
{
        Answer answer = {.kind = INTENT_CREATE, .runner_id = 7, .obtained_at_usec = NOW_USEC, .has_expiry = true};
        Answer again = {};
        _cleanup_secret_ Secret *line = NULL;
        int r = secret_new("glrt-abc", 8, &answer.token);

        if (r >= 0)
                r = answer_encode(&answer, &line);
        if (r >= 0)
                r = answer_decode(secret_data(line), secret_size(line), &again);
        answer_done(&answer);
        answer_done(&again);
        return r;
}

static AgentStatus make_status(void)
{
        static Debt debts[] = {{.kind = DEBT_MANAGER,
                                       .runner_id = 7,
                                       .system_id = (char *)"s_0123456789ab",
                                       .since_usec = NOW_USEC,
                                       .reason = (char *)"not reached"},
                {.kind = DEBT_RUNNER, .runner_id = 8}, {.kind = DEBT_ORPHAN}};
        static RunnerStatus runners[] = {{.name = (char *)"build-1",
                                                 .url = (char *)"https://gitlab.example.com",
                                                 .runner_id = 42,
                                                 .state = RUNNER_STATE_REGISTERED,
                                                 .token_expires_at_usec = NOW_USEC + USEC_PER_DAY,
                                                 .last_verified_at_usec = NOW_USEC,
                                                 .last_verdict = (char *)"alive",
                                                 .next_action = (char *)"verify",
                                                 .next_action_at_usec = NOW_USEC,
                                                 .reason = (char *)"because",
                                                 .attempt = 2,
                                                 .debts = debts,
                                                 .n_debts = ELEMENTS(debts)},
                {.name = (char *)"b", .url = (char *)"u", .reason = (char *)"why"}};

        return (AgentStatus){.version = (char *)"1", .pid = 1, .runners = runners, .n_runners = ELEMENTS(runners)};
}

static int write_status(const void *input)
{
        const AgentStatus status = make_status();
        _cleanup_free_ char *text = NULL;
        AgentStatus again = {};
        int r = status_encode(&status, input != NULL, &text);

        if (r >= 0)
                r = status_decode(text, strlen(text), &again, NULL);
        agent_status_done(&again);
        return r;
}

static int show_status(const void *input)
{
        const AgentStatus status = make_status();
        _cleanup_free_ char *text = NULL;

        return status_format_text(&status, (Now){NOW_USEC, USEC_PER_DAY}, &text);
}

static int write_metrics(const void *input)
{
        const AgentStatus status = make_status();
        _cleanup_free_ char *text = NULL;

        return status_format_metrics(&status, &text);
}

static void test_files(void **state)
{
        static const MemoryCase cases[] = {
                {"parse", parse, config_toml},
                {"parse an escape", parse,
                        "\"a\\n\" = \"\"\"x\\\n  y\\u00e9\"\"\"\n[a.b]\nc.d = [1_000, -1_0.5e1_0]\n"},
                {"read entries", read_entries, config_toml},
                {"read entries in one line", read_entries, inline_toml},
                {"edit", edit_all, config_toml},
                {"make", edit_all, "# nothing yet\n"},
                {"edit by index", edit_by_index, config_toml},
                {"append to one line", append_to_inline, inline_toml},
                {"merge a template", merge_template,
                        "[[runners]]\nlimit = 1\npre_build_script = '''\na\nb'''\n[runners.docker]\nimage = \"i\"\n"
                        "volumes = [\"/v\"]\n[runners.cache.s3]\nBucketName = \"b\"\n[[runners.x]]\ny = [{z = 1}]\n"},
                {"merge a template for Windows", merge_windows, "[[runners]]\n[runners.docker]\nimage = \"i\"\n"},
                {"edit a document", edit_document, edited},
                {"copy", copy_string, "text"},
                {"record", write_record, NULL},
                {"answer", write_answer, NULL},
                {"status", write_status, NULL},
                {"status for people", write_status, "indented"},
                {"status as a table", show_status, NULL},
                {"metrics", write_metrics, NULL},
        };

        memory_sweep(cases, ELEMENTS(cases));
}

static void test_refusals(void **state)
{
        static const MemoryCase cases[] = {
                {"not JSON", refuse_record, "{"},
                {"not an object", refuse_record, "[]"},
                {"newer", refuse_record, "{\"version\":99}"},
                {"a name of a wrong type", refuse_record, "{\"version\":1,\"name\":7}"},
        };

        memory_sweep(cases, ELEMENTS(cases));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_refusals),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
