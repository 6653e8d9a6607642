/* agent/host/systemd: the rules as tables, and the questions against a systemd of ours on a bus of its own. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <systemd/sd-bus.h>

#include "agent/base/time.h"
#include "agent/host/processes.h"
#include "agent/host/systemd.h"

#define US "runner-registrar.service"

static void test_jobs(void **state)
{
        static const struct {
                const char *what;
                SystemdJob jobs[6];
                StopReason reason;
        } cases[] = {
                {"systemctl stop", {{US, "stop"}}, STOP_SERVICE},
                {"systemctl restart", {{US, "restart"}}, STOP_RESTART},
                {"stop, and a start that waits", {{US, "stop"}, {US, "start"}}, STOP_RESTART},
                {"kill, past systemd", {{0}}, STOP_UNKNOWN},
                {"other units' jobs", {{"a.service", "restart"}, {"b.service", "stop"}}, STOP_UNKNOWN},
                {"reboot", {{US, "stop"}, {"shutdown.target", "start"}, {"reboot.target", "start"}}, STOP_REBOOT},
                {"poweroff", {{"poweroff.target", "start"}, {US, "stop"}, {"shutdown.target", "start"}},
                        STOP_POWEROFF},
                {"halt", {{US, "stop"}, {"halt.target", "start"}}, STOP_HALT},
                {"kexec", {{US, "stop"}, {"kexec.target", "start"}}, STOP_KEXEC},
                {"soft-reboot", {{US, "stop"}, {"soft-reboot.target", "start"}}, STOP_SOFT_REBOOT},
                {"end of a container", {{US, "stop"}, {"exit.target", "start"}}, STOP_POWEROFF},
                {"a way down we do not know", {{US, "stop"}, {"shutdown.target", "start"}}, STOP_UNKNOWN},
                {"the stop of a target is no way down", {{US, "stop"}, {"reboot.target", "stop"}}, STOP_SERVICE},
                {"restart in a reboot", {{US, "restart"}, {"reboot.target", "start"}}, STOP_REBOOT},
                {"rescue mode", {{US, "stop"}, {"rescue.target", "start"}}, STOP_SERVICE},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                size_t n = 0;

                while (n < 6 && cases[i].jobs[n].unit)
                        n++;
                StopReason reason = stop_reason_from_jobs(US, cases[i].jobs, n);
                if (reason != cases[i].reason)
                        fail_msg("%s: %s", cases[i].what, stop_reason_to_string(reason));
        }
}

static void test_unit(void **state)
{
        static const struct {
                const char *what;
                bool notify_socket, invocation_id;
                const char *unit, *user_unit;
                bool started;
        } cases[] = {
                {"our unit", true, true, US, NULL, true},
                {"our unit, Type=simple", false, true, US, NULL, true},
                {"a login shell", false, false, "session-1.scope", NULL, false},
                {"a terminal of a desktop", false, true, "user@1000.service", "gnome-terminal-server.service", false},
                {"a service of a user", true, true, "user@1000.service", "agent.service", true},
                {"a scope", true, true, "run-1.scope", NULL, false},
                {"a container", false, false, NULL, NULL, false},
                {"a container with NOTIFY_SOCKET", true, false, NULL, NULL, true},
                {"from cron", false, false, "cron.service", NULL, false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (systemd_unit_is_service(cases[i].notify_socket, cases[i].invocation_id, cases[i].unit,
                            cases[i].user_unit) != cases[i].started)
                        fail_msg("%s", cases[i].what);
}

static void test_group(void **state)
{
        static const struct {
                const char *path, *unit, *user_unit;
        } cases[] = {
                {"/system.slice/" US, US, NULL},
                {"/system.slice/system-agent.slice/agent@1.service", "agent@1.service", NULL},
                {"/machine.slice/systemd-nspawn@build.service/payload/system.slice/" US, US, NULL},
                {"/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service", "user@1000.service",
                        "agent.service"},
                {"/user.slice/user-1000.slice/session-1.scope", NULL, NULL},
                {"/init.scope", NULL, NULL},
                {"/", NULL, NULL},
                {"", NULL, NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *unit = NULL, *user_unit = NULL;

                assert_int_equal(systemd_unit_from_group(cases[i].path, &unit, &user_unit), 0);
                if (strcmp(unit ? unit : "", cases[i].unit ? cases[i].unit : "") != 0 ||
                        strcmp(user_unit ? user_unit : "", cases[i].user_unit ? cases[i].user_unit : "") != 0)
                        fail_msg("%s: %s, %s", cases[i].path, unit, user_unit);
        }
}

/* --- notifications */

static void receive(int fd, char *buffer, size_t size)
{
        ssize_t n = recv(fd, buffer, size - 1, MSG_DONTWAIT);

        assert_true(n > 0);
        buffer[n] = 0;
}

static void test_notify(void **state)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        char buffer[256], name[64];

        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        int n = snprintf(name, sizeof(name), "@test-systemd-%d", (int)getpid());
        memcpy(address.sun_path + 1, name + 1, (size_t)n - 1);
        assert_int_equal(
                bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)), 0);

        assert_int_equal(systemd_notify_ready(), 0);
        assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
        assert_true(systemd_notify_ready() > 0);
        receive(fd, buffer, sizeof(buffer));
        assert_string_equal(buffer, "READY=1");
        assert_true(systemd_notify_status("3 runners registered") > 0);
        receive(fd, buffer, sizeof(buffer));
        assert_string_equal(buffer, "STATUS=3 runners registered");
        assert_true(systemd_notify_reloading() > 0);
        receive(fd, buffer, sizeof(buffer));
        assert_int_equal(strncmp(buffer, "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
        assert_true(systemd_notify_stopping() > 0);
        receive(fd, buffer, sizeof(buffer));
        assert_string_equal(buffer, "STOPPING=1");
        assert_true(systemd_extend_timeout(5000000) > 0);
        receive(fd, buffer, sizeof(buffer));
        assert_string_equal(buffer, "EXTEND_TIMEOUT_USEC=5000000");
        (void)unsetenv("NOTIFY_SOCKET");
        (void)close(fd);
}

/* --- a systemd of ours */

typedef struct Fake {
        pid_t daemon;
        char folder[64];
        sd_event *event;
        sd_bus *bus;

        const char *load_state, *active_state;
        uint32_t main_pid;
        uint64_t started_usec;
        bool deny_kill;
        bool silent;
        const char *processes[2]; /* command lines; with the first NULL, systemd would not say */
        const SystemdJob *jobs;
        size_t n_jobs;

        int n_kills;
        char killed_unit[64], killed_who[16];
        int32_t killed_signal;

        int n_results;
        int result;
} Fake;

static uint64_t monotonic(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

static int on_load_unit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Fake *fake = userdata;

        if (fake->silent)
                return 1;
        return sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/unit/fake");
}

static int on_kill_unit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Fake *fake = userdata;
        const char *unit, *who;

        assert_true(sd_bus_message_read(m, "ssi", &unit, &who, &fake->killed_signal) > 0);
        if (fake->deny_kill)
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "Access denied");
        fake->n_kills++;
        (void)snprintf(fake->killed_unit, sizeof(fake->killed_unit), "%s", unit);
        (void)snprintf(fake->killed_who, sizeof(fake->killed_who), "%s", who);
        return sd_bus_reply_method_return(m, NULL);
}

static int on_list_jobs(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Fake *fake = userdata;
        sd_bus_message *reply = NULL;

        if (fake->silent)
                return 1;
        assert_true(sd_bus_message_new_method_return(m, &reply) >= 0);
        assert_true(sd_bus_message_open_container(reply, 'a', "(usssoo)") >= 0);
        for (size_t i = 0; i < fake->n_jobs; i++)
                assert_true(sd_bus_message_append(reply, "(usssoo)", (uint32_t)i, fake->jobs[i].unit,
                                    fake->jobs[i].type, "waiting", "/job", "/unit") >= 0);
        assert_true(sd_bus_message_close_container(reply) >= 0);
        int r = sd_bus_send(NULL, reply, NULL);
        (void)sd_bus_message_unref(reply);
        return r;
}

static int on_get_processes(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Fake *fake = userdata;
        sd_bus_message *reply = NULL;
        const char *unit;

        assert_true(sd_bus_message_read(m, "s", &unit) > 0);
        assert_string_equal(unit, "-.slice");
        if (!fake->processes[0])
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "Access denied");
        assert_true(sd_bus_message_new_method_return(m, &reply) >= 0);
        assert_true(sd_bus_message_open_container(reply, 'a', "(sus)") >= 0);
        for (size_t i = 0; i < ELEMENTS(fake->processes) && fake->processes[i]; i++)
                assert_true(sd_bus_message_append(
                                    reply, "(sus)", "/some.slice", (uint32_t)(i + 1), fake->processes[i]) >= 0);
        assert_true(sd_bus_message_close_container(reply) >= 0);
        int r = sd_bus_send(NULL, reply, NULL);
        (void)sd_bus_message_unref(reply);
        return r;
}

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
        const Fake *fake = userdata;

        return sd_bus_message_append(
                reply, "s", strcmp(property, "LoadState") == 0 ? fake->load_state : fake->active_state);
}

static int get_pid(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
        return sd_bus_message_append(reply, "u", ((const Fake *)userdata)->main_pid);
}

static int get_start(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        return sd_bus_message_append(reply, "t", ((const Fake *)userdata)->started_usec);
}

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("LoadUnit", "s", "o", on_load_unit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("KillUnit", "ssi", NULL, on_kill_unit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetUnitProcesses", "s", "a(sus)", on_get_processes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListJobs", NULL, "a(usssoo)", on_list_jobs, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable unit_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("LoadState", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("ActiveState", "s", get_text, 0, 0),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable service_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("MainPID", "u", get_pid, 0, 0),
        SD_BUS_PROPERTY("ExecMainStartTimestampMonotonic", "t", get_start, 0, 0),
        SD_BUS_VTABLE_END,
};

static bool start_bus(Fake *fake)
{
        char address[128], line[256];
        int fds[2];

        if (access("/usr/bin/dbus-daemon", X_OK) < 0)
                return false;
        (void)snprintf(fake->folder, sizeof(fake->folder), "/tmp/test-systemd-XXXXXX");
        assert_non_null(mkdtemp(fake->folder));
        (void)snprintf(address, sizeof(address), "unix:path=%s/bus", fake->folder);
        assert_int_equal(pipe(fds), 0);
        fake->daemon = fork();
        if (fake->daemon == 0) {
                char option[160], print[32];

                (void)snprintf(option, sizeof(option), "--address=%s", address);
                (void)snprintf(print, sizeof(print), "--print-address=%d", fds[1]);
                (void)execl("/usr/bin/dbus-daemon", "dbus-daemon", "--session", "--nofork", "--nopidfile", option,
                        print, (char *)NULL);
                _exit(127);
        }
        (void)close(fds[1]);
        ssize_t n = read(fds[0], line, sizeof(line)); /* the address, once it listens */
        (void)close(fds[0]);
        assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1), 0);
        return n > 0;
}

static int set_up(void **state)
{
        Fake *fake = calloc(1, sizeof(*fake));

        *state = fake;
        assert_int_equal(sd_event_new(&fake->event), 0);
        fake->load_state = "loaded";
        fake->active_state = "active";
        fake->main_pid = 4711;
        fake->started_usec = 1;
        fake->result = -1;
        return 0;
}

static int set_up_with_bus(void **state)
{
        (void)set_up(state);
        Fake *fake = *state;

        if (!start_bus(fake))
                return 0;
        assert_true(sd_bus_open_system(&fake->bus) >= 0);
        assert_true(sd_bus_add_object_vtable(fake->bus, NULL, "/org/freedesktop/systemd1",
                            "org.freedesktop.systemd1.Manager", manager_vtable, fake) >= 0);
        assert_true(sd_bus_add_object_vtable(fake->bus, NULL, "/org/freedesktop/systemd1/unit/fake",
                            "org.freedesktop.systemd1.Unit", unit_vtable, fake) >= 0);
        assert_true(sd_bus_add_object_vtable(fake->bus, NULL, "/org/freedesktop/systemd1/unit/fake",
                            "org.freedesktop.systemd1.Service", service_vtable, fake) >= 0);
        assert_true(sd_bus_request_name(fake->bus, "org.freedesktop.systemd1", 0) >= 0);
        assert_true(sd_bus_attach_event(fake->bus, fake->event, 0) >= 0);
        return 0;
}

static int tear_down(void **state)
{
        Fake *fake = *state;
        char path[96];

        (void)sd_bus_close_unref(fake->bus);
        (void)sd_event_unref(fake->event);
        if (fake->daemon > 0) {
                (void)kill(fake->daemon, SIGTERM);
                (void)waitpid(fake->daemon, NULL, 0);
                (void)snprintf(path, sizeof(path), "%s/bus", fake->folder);
                (void)unlink(path);
                (void)rmdir(fake->folder);
        }
        (void)unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
        free(fake);
        return 0;
}

static void on_told(void *userdata, Told told)
{
        Fake *fake = userdata;

        fake->n_results++;
        fake->result = (int)told;
}

static void on_reason(void *userdata, StopReason reason)
{
        Fake *fake = userdata;

        fake->n_results++;
        fake->result = (int)reason;
}

/* Turns the loop until there is a result, and gives the time that it took. */
static uint64_t wait_for_result(Fake *fake)
{
        uint64_t since = monotonic();
        int before = fake->n_results;

        while (fake->n_results == before) {
                assert_true(sd_event_run(fake->event, 5 * USEC_PER_SEC) >= 0);
                assert_true(monotonic() - since < 5 * USEC_PER_SEC);
        }
        assert_int_equal(fake->n_results, before + 1);
        return monotonic() - since;
}

static void need_bus(const Fake *fake)
{
        if (!fake->bus) {
                print_message("no dbus-daemon here\n");
                skip();
        }
}

static void test_tell(void **state)
{
        static const struct {
                const char *what, *load_state, *active_state;
                uint32_t main_pid;
                uint64_t age_usec;
                bool deny_kill;
                Told told;
                int n_kills;
        } cases[] = {
                {"running", "loaded", "active", 4711, 60 * USEC_PER_SEC, false, TOLD_DONE, 1},
                {"reloading", "loaded", "reloading", 4711, 60 * USEC_PER_SEC, false, TOLD_DONE, 1},
                {"too young", "loaded", "active", 4711, USEC_PER_SEC, false, TOLD_UNSURE, 0},
                {"stopped", "loaded", "inactive", 0, 0, false, TOLD_NOT_RUNNING, 0},
                {"failed", "loaded", "failed", 0, 0, false, TOLD_NOT_RUNNING, 0},
                {"between two starts", "loaded", "activating", 0, 0, false, TOLD_NOT_RUNNING, 0},
                {"draining", "loaded", "deactivating", 4711, 60 * USEC_PER_SEC, false, TOLD_UNSURE, 0},
                {"not allowed", "loaded", "active", 4711, 60 * USEC_PER_SEC, true, TOLD_UNSURE, 0},
        };
        Fake *fake = *state;

        need_bus(fake);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                NeighbourTell *tell = NULL;

                fake->load_state = cases[i].load_state;
                fake->active_state = cases[i].active_state;
                fake->main_pid = cases[i].main_pid;
                fake->started_usec = usec_sub(monotonic(), cases[i].age_usec);
                fake->deny_kill = cases[i].deny_kill;
                fake->n_kills = 0;
                assert_int_equal(neighbour_tell(fake->event, "gitlab-runner.service", on_told, fake, &tell), 0);
                (void)wait_for_result(fake);
                if (fake->result != (int)cases[i].told || fake->n_kills != cases[i].n_kills)
                        fail_msg("%s: %d, %d signals", cases[i].what, fake->result, fake->n_kills);
                if (fake->n_kills > 0) {
                        assert_string_equal(fake->killed_unit, "gitlab-runner.service");
                        assert_string_equal(fake->killed_who, "main");
                        assert_int_equal(fake->killed_signal, SIGHUP);
                }
        }
}

static void test_tell_without_the_unit(void **state)
{
        static const struct {
                const char *what, *load_state, *processes[2];
                Told told;
        } cases[] = {
                {"nobody", "not-found", {"/lib/systemd/systemd", "/usr/bin/runner-registrar run"}, TOLD_NOT_RUNNING},
                {"nobody, masked", "masked", {"/lib/systemd/systemd"}, TOLD_NOT_RUNNING},
                {"in a container", "not-found", {"/lib/systemd/systemd", "/usr/bin/gitlab-runner run --user=x"},
                        TOLD_UNSURE},
                {"of old", "not-found", {"/usr/bin/gitlab-ci-multi-runner run"}, TOLD_UNSURE},
                {"not allowed to know", "not-found", {NULL}, TOLD_UNSURE},
                {"masked, and running", "masked", {"gitlab-runner run"}, TOLD_UNSURE},
        };
        Fake *fake = *state;

        need_bus(fake);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                /* In a container of these tests' own nobody can know. */
                Told told = processes_outermost() ? cases[i].told : TOLD_UNSURE;
                NeighbourTell *tell = NULL;

                fake->load_state = cases[i].load_state;
                memcpy(fake->processes, cases[i].processes, sizeof(fake->processes));
                assert_int_equal(neighbour_tell(fake->event, "gitlab-runner.service", on_told, fake, &tell), 0);
                (void)wait_for_result(fake);
                if (fake->result != (int)told || fake->n_kills != 0)
                        fail_msg("%s: %d, %d signals", cases[i].what, fake->result, fake->n_kills);
        }
}

static void test_reason(void **state)
{
        static const SystemdJob jobs[] = {{US, "stop"}, {"reboot.target", "start"}, {"x.mount", "stop"}};
        SystemdUnit unit = {.started = true, .name = (char *)US};
        Fake *fake = *state;
        StopReasonQuery *query = NULL;

        need_bus(fake);
        fake->jobs = jobs;
        fake->n_jobs = 1;
        assert_int_equal(stop_reason_read_for(fake->event, &unit, on_reason, fake, &query), 0);
        (void)wait_for_result(fake);
        assert_int_equal(fake->result, STOP_SERVICE);

        fake->n_jobs = ELEMENTS(jobs);
        assert_int_equal(stop_reason_read_for(fake->event, &unit, on_reason, fake, &query), 0);
        (void)wait_for_result(fake);
        assert_int_equal(fake->result, STOP_REBOOT);
}

/* A bus and a systemd that accept everything and say nothing. */
static void test_silence(void **state)
{
        SystemdUnit unit = {.started = true, .name = (char *)US};
        Fake *fake = *state;
        StopReasonQuery *query = NULL;
        NeighbourTell *tell = NULL;

        need_bus(fake);
        fake->silent = true;
        assert_int_equal(stop_reason_read_for(fake->event, &unit, on_reason, fake, &query), 0);
        assert_true(wait_for_result(fake) < STOP_REASON_USEC + USEC_PER_SEC / 2);
        assert_int_equal(fake->result, STOP_UNKNOWN);
        assert_int_equal(neighbour_tell(fake->event, "gitlab-runner.service", on_told, fake, &tell), 0);
        assert_true(wait_for_result(fake) < NEIGHBOUR_TELL_USEC + USEC_PER_SEC / 2);
        assert_int_equal(fake->result, TOLD_UNSURE);
}

/* The bus goes away while it is asked. */
static void test_bus_dies(void **state)
{
        SystemdUnit unit = {.started = true, .name = (char *)US};
        Fake *fake = *state;
        StopReasonQuery *query = NULL;

        need_bus(fake);
        fake->silent = true;
        assert_int_equal(stop_reason_read_for(fake->event, &unit, on_reason, fake, &query), 0);
        assert_true(sd_event_run(fake->event, 0) >= 0);
        (void)kill(fake->daemon, SIGKILL);
        (void)wait_for_result(fake);
        assert_int_equal(fake->result, STOP_UNKNOWN);
}

static void test_no_bus(void **state)
{
        SystemdUnit unit = {.started = true, .name = (char *)US}, unknown = {.started = true}, none = {0};
        Fake *fake = *state;
        StopReasonQuery *query = NULL;
        NeighbourTell *tell = NULL;

        assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1), 0);
        if (access("/run/systemd/private", F_OK) == 0 && geteuid() == 0)
                skip(); /* a real systemd would answer */
        assert_int_equal(stop_reason_read_for(fake->event, &unit, on_reason, fake, &query), 0);
        assert_int_equal(fake->n_results, 0);
        assert_true(wait_for_result(fake) < USEC_PER_SEC / 2);
        assert_int_equal(fake->result, STOP_UNKNOWN);
        assert_int_equal(stop_reason_read_for(fake->event, &unknown, on_reason, fake, &query), 0);
        (void)wait_for_result(fake);
        assert_int_equal(fake->result, STOP_UNKNOWN);
        assert_int_equal(stop_reason_read_for(fake->event, &none, on_reason, fake, &query), 0);
        (void)wait_for_result(fake);
        assert_int_equal(fake->result, STOP_SIGNAL);
        assert_int_equal(neighbour_tell(fake->event, "gitlab-runner.service", on_told, fake, &tell), 0);
        (void)wait_for_result(fake);
        assert_int_equal(fake->result, TOLD_UNSURE);
}

/* At each moment of the conversation. */
static void test_cancel(void **state)
{
        Fake *fake = *state;

        need_bus(fake);
        for (int turns = 0; turns < 12; turns++) {
                NeighbourTell *tell = NULL;

                assert_int_equal(neighbour_tell(fake->event, "gitlab-runner.service", on_told, fake, &tell), 0);
                for (int i = 0; i < turns && fake->n_results == 0; i++)
                        assert_true(sd_event_run(fake->event, 10 * USEC_PER_MSEC) >= 0);
                if (fake->n_results > 0)
                        break;
                assert_null(neighbour_tell_cancel(tell));
                for (int i = 0; i < 3; i++)
                        assert_true(sd_event_run(fake->event, USEC_PER_MSEC) >= 0);
                assert_int_equal(fake->n_results, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_jobs),
                cmocka_unit_test(test_unit),
                cmocka_unit_test(test_group),
                cmocka_unit_test(test_notify),
                cmocka_unit_test_setup_teardown(test_tell, set_up_with_bus, tear_down),
                cmocka_unit_test_setup_teardown(test_tell_without_the_unit, set_up_with_bus, tear_down),
                cmocka_unit_test_setup_teardown(test_reason, set_up_with_bus, tear_down),
                cmocka_unit_test_setup_teardown(test_silence, set_up_with_bus, tear_down),
                cmocka_unit_test_setup_teardown(test_bus_dies, set_up_with_bus, tear_down),
                cmocka_unit_test_setup_teardown(test_no_bus, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_cancel, set_up_with_bus, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
