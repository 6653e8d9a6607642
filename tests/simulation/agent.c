/* The agent's start and end on one host, as agent/manager.c and agent/roster.c do it, reloads and passes included. */

#include <string.h>

#include "agent/clone.h"
#include "agent/core/reload.h"
#include "agent/roster.h"
#include "tests/simulation/carry.h"
#include "tests/simulation/check.h"
#include "tests/simulation/host-parts.h"
#include "tests/simulation/must.h"

/* No command takes longer: a request and its answer may take a minute, and debts are not many. */
#define PASS_MAX_USEC (40 * USEC_PER_MINUTE)

/* What a withdrawal by a reload may take: stop_timeout. */
#define STOP_TIMEOUT_USEC (30 * USEC_PER_SEC)

static Attributes attributes = {
        .description = (char *)"simulated",
        .run_untagged = -1,
        .locked = -1,
        .paused = -1,
        .maximum_timeout = -1,
        .runner_type = (char *)"instance_type",
        .group_id = -1,
        .project_id = -1,
};

/* The configuration's defaults (config/schema.c), and what SETTING says. */
static Plan plan_for(const Host *host, const Setting *setting)
{
        static const char *const urls[GITLAB_URLS] = {GITLAB_URL, GITLAB_URL_OTHER};
        const World *world = host->world;
        Plan plan = {
                .configured = setting->configured,
                .once = host->once,
                .flow = host->flow,
                .target = {.url = (char *)urls[setting->url]},
                .attributes = &attributes,
                .executor = "shell",
                .rotation = setting->configured ? setting->rotation : ROTATION_NEVER,
                .reregister = true,
                .verify_interval_usec = 15 * USEC_PER_MINUTE,
                .removed_after_usec = 10 * USEC_PER_MINUTE,
                .retry_min_usec = USEC_PER_SEC,
                .retry_max_usec = 5 * USEC_PER_MINUTE,
                .refused_retry_usec = USEC_PER_HOUR,
                .rotate_after_usec = USEC_INFINITY,
                .rotate_at = 0.66,
                .poll_usec = 4 * USEC_PER_SEC,
        };

        if (world->mutation == MUTATION_ONE_PROOF)
                plan.removed_after_usec = 0;
        if (world->mutation == MUTATION_ROTATE_SHARED && setting->configured)
                plan.rotation = ROTATION_ALWAYS;
        return plan;
}

static void read_settings(Host *host)
{
        for (size_t i = 0; i < host->n_runners; i++) {
                HostRunner *runner = &host->runners[i];

                runner->setting = runner->file;
                runner->plan = plan_for(host, &runner->setting);
        }
}

/* ---- runners ---- */

/* The configuration, as far as it is asked for which entries are its. */
static int blank_tokens(Host *host, char **reterr)
{
        static char shared;
        RunnerConfig runners[HOST_RUNNERS_MAX] = {0}, *list[HOST_RUNNERS_MAX];
        Config config_of = {.runners = list};

        for (size_t i = 0; i < host->n_runners; i++) {
                RunnerConfig *config = &runners[config_of.n_runners];

                if (!host->runners[i].setting.configured)
                        continue;
                config->name = host->runners[i].name;
                config->url = host->runners[i].plan.target.url;
                /* Only whether there is one is looked at. */
                if (host->flow == FLOW_AUTHENTICATION_TOKEN)
                        config->authentication_token = (SecretSource *)&shared;
                list[config_of.n_runners++] = config;
        }
        int r = clone_blank_tokens(host->config_toml, &config_of, reterr);
        return r < 0 ? r : clone_blank_remembered(host->config_toml, &config_of, host->store, reterr);
}

/* As the manager settles it: the id that is there, or one of this machine's own. */
static int settle_system_id(Host *host, bool *ret_cloned, bool *ret_proves, char **reterr)
{
        char found[SYSTEM_ID_SIZE + 1], made[SYSTEM_ID_SIZE + 1];
        Clone clone;
        int r = machine_make_system_id(&host->machine, &host->disk.disk, made);

        if (r >= 0)
                r = roster_check_clone(host->store, &host->machine, &clone, reterr);
        if (r < 0)
                return r;
        r = config_toml_system_id_read(host->config_toml, found, reterr);
        if (r < 0 && r != -ENOENT)
                return r;
        bool ignored = host->world->mutation == MUTATION_IGNORE_CLONE;
        IdPlan plan = clone_settle_id(r >= 0 ? found : NULL, made, ignored ? CLONE_NONE : clone, ignored && r >= 0);
        *ret_cloned = plan.clone != CLONE_NONE;
        *ret_proves = plan.proves;
        host->old_system_id[0] = 0;
        clone_take_system_id(&host->disk.disk, &plan, found, made, host->system_id);
        if (!plan.write)
                return 0;
        r = *ret_cloned ? blank_tokens(host, reterr) : 0;
        if (r < 0)
                return r;
        r = config_toml_system_id_write(host->config_toml, host->system_id, reterr);
        return r < 0 && plan.may_go_on && !host->disk.dead ? 0 : r;
}

static int load_record(Host *host, HostRunner *runner, bool cloned, Record **ret)
{
        _cleanup_free_ char *why = NULL;
        int r = store_load(host->store, runner->name, ret, &why);

        if (r == -EBADMSG)
                world_break(host->world, INVARIANT_FILE_WHOLE, host->index, "%s", why ? why : "a state file is torn");
        switch (clone_use_state(r, cloned)) {
        case STATE_USE:
                while (host->world->mutation == MUTATION_DROP_DEBT && (*ret)->n_debts > 0)
                        record_remove_debt(*ret, 0);
                return 0;
        case STATE_BEGIN_OVER:
                *ret = record_free(*ret);
                (void)store_journal_clear(host->store, runner->name);
                break;
        case STATE_BEGIN_AFTER:
                (void)store_forget(host->store, runner->name, NULL);
                break;
        case STATE_BEGIN:
                break;
        case STATE_REFUSE:
        case STATE_FAIL:
        case _STATE_USE_MAX:
                return r;
        }
        r = record_new(runner->name, runner->plan.target.url, runner->plan.flow, ret);
        if (r >= 0)
                (*ret)->cloned = cloned;
        return r;
}

/* As agent/roster.c. */
static TokenUse ask_runners(void *userdata, const Lifecycle *asking, const char *url, const Secret *token)
{
        Host *host = userdata;
        TokenUse most = TOKEN_UNUSED;

        if (host->world->mutation == MUTATION_IGNORE_OTHER_NAMES)
                return most;
        for (size_t i = 0; i < host->n_runners; i++) {
                const HostRunner *runner = &host->runners[i];
                const Lifecycle *other = runner->lifecycle;
                TokenUse use = other && other != asking ? lifecycle_token_use(other, url, token) : TOKEN_UNUSED;

                if (use == TOKEN_UNUSED && other && runner->ending && runner->next.configured &&
                        host->flow == FLOW_AUTHENTICATION_TOKEN &&
                        url_equal(plan_for(host, &runner->next).target.url, url))
                        use = TOKEN_UNSURE;
                if (use > most)
                        most = use;
        }
        return most;
}

static int make_runner(Host *host, HostRunner *runner, bool cloned, const EntryList *entries)
{
        _cleanup_(record_freep) Record *record = NULL;
        _cleanup_(answer_done) Answer answer = {0};
        const Facts facts = {
                .system_id = host->system_id,
                .machine_id = host->machine.machine_id,
                .instance_id = host->machine.instance_id,
                .system_id_proves = host->system_id_proves,
                .household = {.ask = ask_runners, .userdata = host},
        };
        int r = load_record(host, runner, cloned, &record);

        if (r < 0)
                return r;
        /* As agent/runner-plan.c: what is configured no more is where its record says. */
        if (!runner->setting.configured) {
                runner->setting.url = strcmp(record->url, GITLAB_URL_OTHER) == 0;
                runner->plan = plan_for(host, &runner->setting);
        }
        bool answered = false;
        if (!cloned && record->intent.kind != INTENT_NONE)
                answered = store_journal_load(host->store, runner->name, &answer, NULL) >= 0;
        else
                store_journal_tidy(host->store, runner->name);
        runner->journal_reserved = answered || record->intent.kind != INTENT_NONE;
        runner->stopped = runner->ending = runner->again = false;
        r = lifecycle_new(&runner->plan, &facts, record, answered ? &answer : NULL, random_next(&host->random),
                &runner->lifecycle);
        if (r < 0)
                return r;
        record = NULL;
        carry_entries(runner, entries, true);
        return 0;
}

static void drop_runner(HostRunner *runner)
{
        carry_forget(runner);
        runner->lifecycle = lifecycle_free(runner->lifecycle);
}

/* One that is not configured: kept while its record says something still. */
static int remember_runner(Host *host, HostRunner *runner, bool cloned, const EntryList *entries)
{
        char name[40];
        size_t size;

        (void)snprintf(name, sizeof(name), "%s.json", runner->name);
        if (!sim_disk_peek(&host->disk, STATE_FOLDER, name, &size))
                return 0;
        if (cloned)
                return store_forget(host->store, runner->name, NULL);
        int r = make_runner(host, runner, false, entries);
        if (r < 0 || !lifecycle_settled(runner->lifecycle))
                return r;
        drop_runner(runner);
        return store_forget(host->store, runner->name, NULL);
}

static int make_runners(Host *host, bool cloned, const EntryList *entries)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < host->n_runners; i++)
                if (host->runners[i].setting.configured)
                        r = make_runner(host, &host->runners[i], cloned, entries);
        for (size_t i = 0; r >= 0 && i < host->n_runners; i++)
                if (!host->runners[i].setting.configured)
                        r = remember_runner(host, &host->runners[i], cloned, entries);
        return r;
}

static void start_runner(HostRunner *runner)
{
        Event event = {.kind = EVENT_START, .now = sim_clock_now(&runner->host->clock)};

        carry_advance(runner, &event);
}

/* ---- start and end ---- */

static int open_agent(Host *host, char **reterr)
{
        InPlaceRecovery recovery;
        bool cloned = false;
        int r = store_open(&host->disk.disk, STATE_FOLDER, &host->store, reterr);

        if (r >= 0)
                r = store_lock(host->store, reterr);
        if (r >= 0)
                r = config_toml_new(
                        &host->disk.disk, CONFIG_FOLDER "/" CONFIG_TOML_NAME, STATE_FOLDER, &host->config_toml);
        if (r >= 0)
                r = config_toml_recover(host->config_toml, &recovery, reterr);
        if (r >= 0)
                check_file_after_start(host);
        if (r >= 0)
                r = settle_system_id(host, &cloned, &host->system_id_proves, reterr);
        if (r < 0)
                return r;

        _cleanup_(entry_list_freep) EntryList *entries = NULL;
        r = carry_load_entries(host, &entries, reterr);
        return r < 0 ? r : make_runners(host, cloned, entries);
}

void agent_close(Host *host)
{
        for (size_t i = 0; i < host->n_runners; i++)
                drop_runner(&host->runners[i]);
        host->seen = secret_free(host->seen);
        host->unsettled = secret_free(host->unsettled);
        host->settle_armed = host->commit_armed = false;
        host->config_toml = config_toml_free(host->config_toml);
        host->store = store_free(host->store);
        host->agent = host->stopping = host->once = false;
        leave_reset(host);
}

static int open_diskless(Host *host)
{
        for (size_t i = 0; i < host->n_runners; i++) {
                HostRunner *runner = &host->runners[i];
                Record *record;
                const Facts facts = {.system_id = host->system_id, .machine_id = host->machine.machine_id};

                (void)system_id_from_machine(host->machine.neighbour_id, host->system_id);
                runner->stopped = false;
                if (record_new(runner->name, runner->plan.target.url, runner->plan.flow, &record) < 0 ||
                        lifecycle_new(&runner->plan, &facts, record, NULL, random_next(&host->random),
                                &runner->lifecycle) < 0)
                        (void)must(NULL);
        }
        return 0;
}

/* False: it can't be, for now. */
static bool start(Host *host)
{
        _cleanup_free_ char *why = NULL;

        read_settings(host);
        host->deregister_on = host->deregister_file;
        host->disturbed_usec = host->world->now_usec;
        int r = host->diskless ? open_diskless(host) : open_agent(host, &why);
        host->agent = true;
        host->healthy_since_stop = false;
        if (host->disk.dead) {
                host_die(host);
                return false;
        }
        if (r < 0) {
                world_trace(host->world, host->index, "agent fails to start: %s", why ? why : strerror(-r));
                agent_close(host);
                return false;
        }
        if (!host->diskless)
                world_trace(host->world, host->index, "%s starts as %s", host->once ? "a command" : "agent",
                        host->system_id);
        for (size_t i = 0; i < host->n_runners && host->agent; i++)
                if (host->runners[i].lifecycle)
                        start_runner(&host->runners[i]);
        return host->agent;
}

void agent_start(Host *host)
{
        if (!host->up || host->gone)
                return;
        if (host->agent) {
                /* A command has the lock. */
                if (host->once)
                        host_start_agent_later(host, 5 * USEC_PER_SEC);
                return;
        }
        uint64_t generation = host->start_generation;
        if (start(host)) {
                leave_notice_again(host);
                return;
        }
        if (host->up && generation == host->start_generation)
                host_start_agent_later(host, 30 * USEC_PER_SEC + world_below(host->world, 60 * USEC_PER_SEC));
}

/* ---- commands without an agent ---- */

void agent_pass(Host *host, Command command)
{
        uint64_t generation = ++host->pass_generation;

        if (!host->up || host->agent || host->gone)
                return;
        world_disturb(host->world, "host %d: somebody runs command %d without an agent", host->index, (int)command);
        host->once = true;
        if (!start(host)) {
                host->once = false;
                return;
        }
        world_later(host->world, PASS_MAX_USEC,
                (SimEvent){.kind = SIM_OVERDUE, .host = host->index, .runner = -1, .generation = generation});
        host->pass_command = command;
        for (size_t i = 0; i < host->n_runners; i++)
                host->runners[i].ordered = host->runners[i].answered = false;
        for (size_t i = 0; i < host->n_runners && host->agent; i++)
                if (host->runners[i].setting.configured && host->runners[i].lifecycle) {
                        host->runners[i].ordered = true;
                        host_command_runner(&host->runners[i], command);
                }
}

void agent_people_pass(Host *host)
{
        static const Command commands[] = {
                COMMAND_REGISTER, COMMAND_REGISTER, COMMAND_VERIFY, COMMAND_ROTATE, COMMAND_DEREGISTER};

        agent_pass(host, commands[world_below(host->world, ELEMENTS(commands))]);
        if (world_chance(host->world, 2))
                world_later(host->world, world_span(host->world, 10 * USEC_PER_MINUTE),
                        (SimEvent){.kind = SIM_PASS, .host = host->index});
}

/* It ends once it has an answer of each: what else was under way is dropped. */
void agent_pass_progress(Host *host)
{
        if (!host->agent || !host->once)
                return;
        for (size_t i = 0; i < host->n_runners; i++)
                if (host->runners[i].ordered && !host->runners[i].answered)
                        return;
        check_pass(host);
        agent_close(host);
}

/* ---- reload ---- */

/* It ends, as PLAN says; what was to take its place is NEXT now. */
static void end_runner(HostRunner *runner, Setting next, StopPlan plan)
{
        Now now = sim_clock_now(&runner->host->clock);
        Event event = {
                .kind = EVENT_STOP,
                .now = now,
                .stop = plan,
                .deadline_usec = usec_add(now.boottime_usec, STOP_TIMEOUT_USEC),
        };

        runner->again = !next.configured && runner->stopped;
        runner->ending = true;
        runner->next = next;
        runner->end_plan = plan;
        /* Who goes tries once more, whatever was told. */
        runner->commanded = true;
        carry_advance(runner, &event);
}

static void configure_runner(HostRunner *runner)
{
        Event event = {.kind = EVENT_CONFIGURED, .now = sim_clock_now(&runner->host->clock)};

        runner->setting = runner->file;
        runner->plan = plan_for(runner->host, &runner->setting);
        lifecycle_configure(runner->lifecycle, &runner->plan);
        carry_advance(runner, &event);
}

static const char *url_of(const Host *host, const Setting *setting)
{
        return setting->configured ? plan_for(host, setting).target.url : NULL;
}

static ReloadAction decide(const HostRunner *runner)
{
        return reload_decide(runner->lifecycle ? runner->plan.target.url : NULL,
                runner->lifecycle && runner->setting.configured, runner->ending, url_of(runner->host, &runner->file));
}

static int add_runner(HostRunner *runner, Setting setting, const EntryList *entries)
{
        runner->setting = setting;
        runner->plan = plan_for(runner->host, &runner->setting);
        int r = make_runner(runner->host, runner, false, entries);
        if (r >= 0)
                start_runner(runner);
        return r;
}

static const char *action_word(ReloadAction action)
{
        static const char *const words[_RELOAD_ACTION_MAX] = {
                "is kept", "is configured", "is added", "makes room for what takes its place", "is withdrawn"};

        return words[action];
}

static void apply_file(HostRunner *runner, const EntryList *entries)
{
        bool loses = runner->host->world->mutation == MUTATION_RELOAD_FORGETS;
        ReloadAction action = decide(runner);

        if (action != RELOAD_KEEP)
                world_trace(runner->host->world, runner->host->index, "%s %s", runner->name, action_word(action));
        switch (action) {
        case RELOAD_ADD:
                (void)add_runner(runner, runner->file, entries);
                break;
        case RELOAD_CONFIGURE:
                configure_runner(runner);
                break;
        case RELOAD_REPLACE:
                if (loses)
                        (void)store_forget(runner->host->store, runner->name, NULL);
                want_withdrawal(runner->host, runner->index);
                end_runner(runner, runner->file, (StopPlan){0});
                break;
        case RELOAD_WITHDRAW:
                want_withdrawal(runner->host, runner->index);
                end_runner(runner, (Setting){0}, stop_plan(STOP_SERVICE, runner->host->deregister_on));
                break;
        case RELOAD_KEEP:
        case _RELOAD_ACTION_MAX:
                break;
        }
}

static void follow(HostRunner *runner)
{
        Host *host = runner->host;
        _cleanup_(entry_list_freep) EntryList *entries = NULL;
        Setting next = runner->next;
        StopPlan plan = runner->end_plan;
        bool again = runner->again;
        ReloadFollow how = reload_follow(next.configured, lifecycle_owes(runner->lifecycle));

        drop_runner(runner);
        runner->ending = runner->stopped = false;
        runner->setting = next;
        if (how == RELOAD_FOLLOW_FORGET) {
                (void)store_forget(host->store, runner->name, NULL);
        } else if (carry_load_entries(host, &entries, NULL) >= 0 || !host->disk.dead) {
                if (add_runner(runner, next, entries) >= 0 && again && host->agent)
                        end_runner(runner, (Setting){0}, plan);
        }
        if (host->disk.dead)
                host_die(host);
}

void agent_tidy(Host *host)
{
        if (host->stopping || host->once)
                return;
        for (size_t i = 0; i < host->n_runners && host->agent && !host->diskless; i++) {
                HostRunner *runner = &host->runners[i];

                if (!runner->lifecycle)
                        continue;
                if (runner->ending && runner->stopped)
                        follow(runner);
                else if (!runner->setting.configured && lifecycle_settled(runner->lifecycle)) {
                        drop_runner(runner);
                        (void)store_forget(host->store, runner->name, NULL);
                        if (host->disk.dead)
                                host_die(host);
                }
        }
}

void host_reload(Host *host)
{
        _cleanup_(entry_list_freep) EntryList *entries = NULL;
        _cleanup_free_ char *why = NULL;

        if (!host->agent || host->stopping || host->once)
                return;
        if (!host->diskless && carry_load_entries(host, &entries, &why) < 0) {
                if (host->disk.dead)
                        host_die(host);
                return;
        }
        host->deregister_on = host->deregister_file;
        /* As agent/roster.c: first those that go. */
        for (unsigned pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < host->n_runners && host->agent; i++)
                        if (host->runners[i].file.configured == (pass == 1))
                                apply_file(&host->runners[i], entries);
        if (host->agent)
                agent_tidy(host);
}
