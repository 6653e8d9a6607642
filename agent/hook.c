#include "agent/hook.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/file.h"
#include "agent/program.h"

typedef struct Item {
        const char *event;
        char *name;       /* NULL: of the whole host */
        char **variables; /* NULL: none */
} Item;

struct Hook {
        sd_event *event;
        Log *log;
        void (*idle)(void *userdata);
        void *userdata;
        char *path;
        sd_event_source *turn_source; /* starts the next one: never from within what tells us */
        Program *program;
        Item *items; /* a queue: N from FIRST on */
        size_t first, n, allocated;
        size_t n_lost;
        char *complaint; /* the last failure; NULL: the last one went well */
};

static void item_done(Item *item)
{
        free(item->name);
        (void)strings_free(item->variables);
        *item = (Item){};
}

static void forget_all(Hook *hook)
{
        for (size_t i = 0; i < hook->n; i++)
                item_done(&hook->items[hook->first + i]);
        hook->first = hook->n = 0;
}

Hook *hook_free(Hook *hook)
{
        if (!hook)
                return NULL;
        (void)program_cancel(hook->program);
        (void)sd_event_source_disable_unref(hook->turn_source);
        (void)sd_event_unref(hook->event);
        forget_all(hook);
        free(hook->items);
        free(hook->complaint);
        free(hook->path);
        free(hook);
        return NULL;
}

static void request_turn(Hook *hook)
{
        (void)sd_event_source_set_enabled(hook->turn_source, SD_EVENT_ONESHOT);
}

static ProgramSpec spec_of(char *const *argv, const Item *item)
{
        return (ProgramSpec){
                .argv = argv,
                .variables = (const char *const *)item->variables,
                .limit_usec = HOOK_LIMIT_USEC,
        };
}

static void on_end(const ProgramResult *result, void *userdata)
{
        Hook *hook = userdata;
        const ProgramSpec spec = spec_of(NULL, &(Item){});
        _cleanup_free_ char *complaint = NULL;

        hook->program = NULL;
        if ((result->end != PROGRAM_EXITED || result->status != 0) &&
                program_explain(result, &spec, hook->path, &complaint) < 0)
                complaint = NULL;
        if (complaint && (!hook->complaint || strcmp(complaint, hook->complaint) != 0))
                log_warning(hook->log, NULL, "hook: %s, ignoring", complaint);
        free(hook->complaint);
        hook->complaint = take_ptr(complaint);
        request_turn(hook);
}

/* How many of the queue are of the first one's event, and told with it. */
static size_t count_alike(const Hook *hook)
{
        const Item *first = &hook->items[hook->first];
        size_t n = 1;

        while (first->name && n < hook->n && n < HOOK_NAMES_MAX && first[n].name &&
                strcmp(first[n].event, first->event) == 0)
                n++;
        return n;
}

static void run_next(Hook *hook)
{
        Item *first = &hook->items[hook->first];
        size_t n = count_alike(hook);
        _cleanup_free_ char **argv = calloc(n + 3, sizeof(*argv));
        int r = -ENOMEM;

        if (argv) {
                argv[0] = hook->path;
                argv[1] = (char *)first->event;
                for (size_t i = 0; i < n; i++)
                        argv[2 + i] = first[i].name;
                const ProgramSpec spec = spec_of(argv, first);
                r = program_start(hook->event, &spec, on_end, hook, &hook->program);
        }
        if (r < 0)
                log_warning(hook->log, NULL, "hook: Failed to run '%s': %s, ignoring", hook->path, strerror(-r));
        for (size_t i = 0; i < n; i++)
                item_done(&first[i]);
        hook->first += n;
        hook->n -= n;
        if (r < 0)
                request_turn(hook);
}

static int on_turn(sd_event_source *source, void *userdata)
{
        Hook *hook = userdata;

        if (hook->program)
                return 0;
        if (hook->n_lost > 0)
                log_warning(hook->log, NULL, "hook: '%s' is too slow; %zu events were not told to it", hook->path,
                        hook->n_lost);
        hook->n_lost = 0;
        if (hook->n > 0)
                run_next(hook);
        else {
                hook->first = 0;
                hook->idle(hook->userdata);
        }
        return 0;
}

int hook_new(sd_event *event, Log *log, void (*idle)(void *userdata), void *userdata, Hook **ret)
{
        _cleanup_(hook_freep) Hook *hook = calloc(1, sizeof(*hook));

        if (!hook)
                return -ENOMEM;
        hook->event = sd_event_ref(event);
        hook->log = log;
        hook->idle = idle;
        hook->userdata = userdata;
        int r = sd_event_add_defer(event, &hook->turn_source, on_turn, hook);
        if (r >= 0)
                r = sd_event_source_set_enabled(hook->turn_source, SD_EVENT_OFF);
        /* After the runners of this turn, so that what happens to all of them is one call. */
        if (r >= 0)
                r = sd_event_source_set_priority(hook->turn_source, SD_EVENT_PRIORITY_NORMAL + 25);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(hook->turn_source, "hook-turn");
        *ret = take_ptr(hook);
        return 0;
}

int hook_set_program(Hook *hook, const char *program)
{
        char *copy = program ? strdup(program) : NULL;

        if (program && !copy)
                return -ENOMEM;
        free(hook->path);
        hook->path = copy;
        if (!copy) {
                hook->program = program_cancel(hook->program);
                forget_all(hook);
                request_turn(hook);
        }
        return 0;
}

static int make_room(Hook *hook)
{
        if (hook->first > 0 && hook->first + hook->n == hook->allocated) {
                memmove(hook->items, hook->items + hook->first, hook->n * sizeof(*hook->items));
                hook->first = 0;
        }
        if (hook->first + hook->n < hook->allocated)
                return 0;
        size_t allocated = hook->allocated ? hook->allocated * 2 : 16;
        Item *items = realloc(hook->items, allocated * sizeof(*items));
        if (!items)
                return -ENOMEM;
        hook->items = items;
        hook->allocated = allocated;
        return 0;
}

/* Takes over NAME and VARIABLES. */
static void push(Hook *hook, Item item)
{
        if (hook->n >= HOOK_QUEUE_MAX || make_room(hook) < 0) {
                item_done(&item);
                hook->n_lost++;
                return;
        }
        hook->items[hook->first + hook->n++] = item;
        request_turn(hook);
}

void hook_tell(Hook *hook, const char *event, const char *name)
{
        char *copy = name ? strdup(name) : NULL;

        if (!hook->path || (name && !copy)) {
                free(copy);
                return;
        }
        push(hook, (Item){.event = event, .name = copy});
}

void hook_tell_notice(Hook *hook, const char *event, const char *deadline, const char *reference)
{
        _cleanup_(strings_freep) char **variables = calloc(3, sizeof(*variables));

        if (!hook->path || !variables)
                return;
        if (asprintf(&variables[0], "RUNNER_REGISTRAR_DEADLINE=%s", deadline) < 0) {
                variables[0] = NULL;
                return;
        }
        if (asprintf(&variables[1], "RUNNER_REGISTRAR_REFERENCE=%s", reference) < 0) {
                variables[1] = NULL;
                return;
        }
        push(hook, (Item){.event = event, .variables = take_ptr(variables)});
}

bool hook_idle(const Hook *hook)
{
        return !hook->program && hook->n == 0;
}
