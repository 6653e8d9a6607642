#include "agent/status-file.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/file.h"
#include "agent/version.h"

/* Everything but `next_action` is borrowed from the runner. */
static int fill(Runner *runner, Now now, RunnerStatus *status)
{
        Lifecycle *lifecycle = runner_lifecycle(runner);
        const Record *record = lifecycle_record(lifecycle);
        const char *rule, *next;
        uint64_t at;

        *status = (RunnerStatus){
                .name = record->name,
                .url = (char *)runner_url(runner),
                .runner_id = record->runner_id,
                .system_id = record->system_id,
                .state = lifecycle_state(lifecycle),
                .flow = record->flow,
                .registered_at_usec = record->registered_at_usec,
                .token_obtained_at_usec = record->token_obtained_at_usec,
                .token_expires_at_usec = record->token_expires_at_usec,
                .last_verified_at_usec = record->last_verified_at_usec,
                .last_verdict = (char *)lifecycle_last_verdict(lifecycle),
                .reason = (char *)lifecycle_reason(lifecycle),
                .attempt = lifecycle_attempt(lifecycle),
                .debts = record->debts,
                .n_debts = record->n_debts,
                .token_dead = lifecycle_state(lifecycle) == RUNNER_STATE_RECOVERING ||
                              (lifecycle_state(lifecycle) == RUNNER_STATE_REFUSED && record->token),
        };
        next = lifecycle_next(lifecycle, now, &at, &rule);
        if (!next)
                return 0;
        status->next_action_at_usec = at;
        if (asprintf(&status->next_action, rule ? "%s (%s)" : "%s", next, rule) < 0) {
                status->next_action = NULL;
                return -ENOMEM;
        }
        return 0;
}

static void status_free(AgentStatus *status)
{
        for (size_t i = 0; status->runners && i < status->n_runners; i++)
                free(status->runners[i].next_action);
        free(status->runners);
}

static int collect(const Roster *roster, pid_t pid, Now now, AgentStatus *ret)
{
        *ret = (AgentStatus){
                .version = (char *)VERSION,
                .pid = pid,
                .runners = calloc(roster_size(roster) + 1, sizeof(*ret->runners)),
                .n_runners = roster_size(roster),
        };
        int r = ret->runners ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < ret->n_runners; i++)
                r = fill(roster_get(roster, i), now, &ret->runners[i]);
        return r;
}

int status_file_encode(const Roster *roster, pid_t pid, Now now, char **ret)
{
        _cleanup_(status_free) AgentStatus status = {};
        int r = collect(roster, pid, now, &status);

        return r < 0 ? r : status_encode(&status, false, ret);
}

static int replace(Disk *disk, const char *path, const char *text, char **reterr)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_free_ char *name = NULL;
        int r = folder_open_for(disk, path, FOLDER_MAKE, &folder, &name, reterr);

        if (r < 0)
                return r;
        r = file_replace(folder, name, text, strlen(text), 0644, REPLACE_VOLATILE);
        return r < 0 ? file_failure(reterr, r, "write", folder->path, name) : 0;
}

int status_file_write(
        Disk *disk, const Roster *roster, Now now, const char *runtime_dir, const char *metrics_file, char **reterr)
{
        _cleanup_(status_free) AgentStatus status = {};
        _cleanup_free_ char *json = NULL, *line = NULL, *metrics = NULL, *path = NULL;
        int r = collect(roster, getpid(), now, &status);

        if (r >= 0)
                r = status_encode(&status, true, &json);
        if (r < 0 || asprintf(&line, "%s\n", json) < 0 || asprintf(&path, "%s/status.json", runtime_dir) < 0)
                return -ENOMEM;
        r = replace(disk, path, line, reterr);
        if (r < 0 || !metrics_file)
                return r;
        r = status_format_metrics(&status, &metrics);
        return r < 0 ? r : replace(disk, metrics_file, metrics, reterr);
}
