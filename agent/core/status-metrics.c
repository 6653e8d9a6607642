/* Gauges in Prometheus' text format, for node_exporter's textfile collector. Every family stands together, as the
 * format wants it. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/status.h"

#define PREFIX "runner_registrar_"

static void head(FILE *out, const char *name, const char *help)
{
        (void)fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s gauge\n", name, help, name);
}

/* Prints ` KEY="VALUE"` with what the format escapes escaped. */
static void label(FILE *out, const char *before, const char *key, const char *value)
{
        (void)fprintf(out, "%s%s=\"", before, key);
        for (; value && *value; value++) {
                if (*value == '\\' || *value == '"')
                        (void)fprintf(out, "\\%c", *value);
                else if (*value == '\n')
                        (void)fputs("\\n", out);
                else
                        (void)fputc(*value, out);
        }
        (void)fputc('"', out);
}

static void row(FILE *out, const char *name, const RunnerStatus *runner, double value)
{
        (void)fprintf(out, PREFIX "%s", name);
        label(out, "{", "runner", runner->name);
        (void)fprintf(out, "} %.17g\n", value);
}

static double seconds(uint64_t usec)
{
        return (double)(usec / USEC_PER_SEC);
}

static void print_totals(const AgentStatus *status, FILE *out)
{
        size_t counts[_RUNNER_STATE_MAX] = {0};

        head(out, "info", "The agent's version.");
        (void)fputs(PREFIX "info", out);
        label(out, "{", "version", status->version);
        (void)fputs("} 1\n", out);

        for (size_t i = 0; i < status->n_runners; i++)
                if ((int)status->runners[i].state >= 0 && status->runners[i].state < _RUNNER_STATE_MAX)
                        counts[status->runners[i].state]++;
        head(out, "runners", "How many runners are in each state.");
        for (int s = 0; s < _RUNNER_STATE_MAX; s++)
                (void)fprintf(
                        out, PREFIX "runners{state=\"%s\"} %zu\n", runner_state_to_string((RunnerState)s), counts[s]);
}

static void print_states(const AgentStatus *status, FILE *out)
{
        head(out, "runner_state", "1 for the state that a runner is in.");
        for (size_t i = 0; i < status->n_runners; i++) {
                const RunnerStatus *runner = &status->runners[i];

                (void)fputs(PREFIX "runner_state", out);
                label(out, "{", "runner", runner->name);
                label(out, ",", "url", runner->url);
                label(out, ",", "state", runner_state_to_string(runner->state));
                (void)fputs("} 1\n", out);
        }
}

static void print_debts(const AgentStatus *status, FILE *out)
{
        head(out, "debts", "What is still to be deleted at GitLab.");
        for (size_t i = 0; i < status->n_runners; i++) {
                const RunnerStatus *runner = &status->runners[i];
                size_t counts[_DEBT_KIND_MAX] = {0};

                for (size_t d = 0; d < runner->n_debts; d++)
                        if ((int)runner->debts[d].kind >= 0 && runner->debts[d].kind < _DEBT_KIND_MAX)
                                counts[runner->debts[d].kind]++;
                for (int k = 0; k < _DEBT_KIND_MAX; k++) {
                        (void)fputs(PREFIX "debts", out);
                        label(out, "{", "runner", runner->name);
                        label(out, ",", "kind", debt_kind_to_string((DebtKind)k));
                        (void)fprintf(out, "} %zu\n", counts[k]);
                }
        }
}

/* Times that are not known have no row: 0 would look like 1970. */
static void print_time(const AgentStatus *status, const char *name, const char *help, size_t offset, FILE *out)
{
        head(out, name, help);
        for (size_t i = 0; i < status->n_runners; i++) {
                uint64_t usec;

                memcpy(&usec, (const char *)&status->runners[i] + offset, sizeof(usec));
                if (usec > 0)
                        row(out, name, &status->runners[i], seconds(usec));
        }
}

int status_format_metrics(const AgentStatus *status, char **ret)
{
        _cleanup_free_ char *text = NULL;
        size_t size = 0;

        FILE *out = open_memstream(&text, &size);
        if (!out)
                return -ENOMEM;
        print_totals(status, out);
        print_states(status, out);

        head(out, "token_dead", "1 where GitLab does not know the token any more and a person is waited for.");
        for (size_t i = 0; i < status->n_runners; i++)
                row(out, "token_dead", &status->runners[i], status->runners[i].token_dead);
        head(out, "attempts", "Failed tries in a row.");
        for (size_t i = 0; i < status->n_runners; i++)
                row(out, "attempts", &status->runners[i], status->runners[i].attempt);
        print_debts(status, out);
        print_time(status, "token_expiry_timestamp_seconds", "When the authentication token ends; no row: never.",
                offsetof(RunnerStatus, token_expires_at_usec), out);
        print_time(status, "last_verified_timestamp_seconds", "When GitLab last accepted the token.",
                offsetof(RunnerStatus, last_verified_at_usec), out);

        bool failed = ferror(out) != 0;
        if (fclose(out) != 0 || failed)
                return -ENOMEM;
        *ret = take_ptr(text);
        return 0;
}
