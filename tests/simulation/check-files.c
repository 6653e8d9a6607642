/* What must hold of the files, whatever happens to the disk. */

#include <string.h>

#include "tests/simulation/check-parts.h"
#include "tests/simulation/must.h"

static const char *past_blanks(const char *p, const char *end)
{
        while (p < end && *p == ' ')
                p++;
        return p;
}

/* The lines of config.toml that are none of ours, blank ones apart. Caller frees. */
static char *mask(const Host *host)
{
        size_t size, used = 0;
        const char *text = sim_disk_peek(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, &size);
        char *masked = must(calloc(1, size + 1));
        const char *p = text, *end = text ? text + size : NULL;

        while (p && p < end) {
                const char *stop = p + 1, *line_end;

                /* A block is a header with all below it, as the power may have torn that, or one line of anything. */
                bool header = *past_blanks(p, end) == '[';
                line_end = memchr(p, '\n', (size_t)(end - p));
                stop = line_end ? line_end + 1 : end;
                while (header && stop < end && *stop != '#' && *past_blanks(stop, end) != '[') {
                        line_end = memchr(stop, '\n', (size_t)(end - stop));
                        stop = line_end ? line_end + 1 : end;
                }
                bool ours = header && memmem(p, (size_t)(stop - p), "\"sim-", 5);
                for (const char *c = p; !ours && c < stop; c++)
                        if (*c != '\n' && *c != ' ')
                                masked[used++] = *c;
                p = stop;
        }
        return masked;
}

void check_edit_by_others(Host *host)
{
        free(host->masked);
        host->masked = mask(host);
}

void check_edit(Host *host)
{
        char *now = mask(host);

        /* A file that was not there, or empty, is begun as gitlab-runner's installation begins it. */
        if (host->masked && host->masked[0] && strcmp(host->masked, now) != 0)
                world_break(host->world, INVARIANT_FILE_WHOLE, host->index, "changes foreign bytes of config.toml");
        free(host->masked);
        host->masked = now;
}

/* An answer that had come, and was in no file yet, is a lost one. */
static void check_unjournalled(Host *host)
{
        for (size_t i = 0; i < host->n_runners; i++) {
                HostRunner *runner = &host->runners[i];
                SimRunner *row =
                        runner->unjournalled[0] ? gitlab_find(host->world->gitlab, runner->unjournalled) : NULL;

                if (row && !sim_disk_holds(&host->disk, runner->unjournalled, false)) {
                        if (row->old_token[0]) {
                                row->lost_reset = true;
                                host->world->counters.lost_resets++;
                        } else {
                                row->answered = false;
                                check_window_lost(runner);
                        }
                }
                runner->unjournalled[0] = 0;
        }
}

void check_after_crash(Host *host)
{
        check_unjournalled(host);
}

void check_after_cut(Host *host)
{
        check_unjournalled(host);
        if (!host->disk.mounted && !sim_disk_config_is_foreign(&host->disk) && !sim_disk_config_is_whole(&host->disk))
                world_break(host->world, INVARIANT_FILE_WHOLE, host->index, "config.toml is torn after a power cut");
        /* What others tore in place is not ours to answer for; what we did must be mended by the next start. */
        if (!host->disk.mounted || sim_disk_config_is_foreign(&host->disk))
                sim_disk_history_restart(&host->disk);
        host->disk.foreign_dirty = false;
        check_edit_by_others(host);
}

void check_file_after_start(Host *host)
{
        if (host->disk.mounted && !host->disk.dead && !sim_disk_config_is_whole(&host->disk))
                world_break(host->world, INVARIANT_FILE_WHOLE, host->index, "config.toml is torn after a start");
        check_edit_by_others(host);
}
