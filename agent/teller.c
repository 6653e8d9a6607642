#include "agent/teller.h"

#include <string.h>

#include "agent/host/systemd.h"

typedef struct Wish {
        TellerDone done;
        void *userdata;
} Wish;

typedef struct Wishes {
        Wish *items;
        size_t n;
        size_t allocated;
} Wishes;

struct Teller {
        sd_event *event;
        char *unit;
        Wishes waiting; /* for the next signal */
        Wishes asked;   /* for the one under way: what changed since is not in it */
        NeighbourTell *query;
        sd_event_source *ask_source;
};

static int on_ask(sd_event_source *source, void *userdata);

int teller_new(sd_event *event, const char *unit, Teller **ret)
{
        _cleanup_(teller_freep) Teller *teller = calloc(1, sizeof(*teller));

        if (!teller)
                return -ENOMEM;
        teller->event = sd_event_ref(event);
        teller->unit = strdup(unit);
        if (!teller->unit)
                return -ENOMEM;
        int r = sd_event_add_defer(event, &teller->ask_source, on_ask, teller);
        if (r >= 0)
                r = sd_event_source_set_enabled(teller->ask_source, SD_EVENT_OFF);
        /* After config.toml's commit, so that all who wrote are told of with one signal. */
        if (r >= 0)
                r = sd_event_source_set_priority(teller->ask_source, SD_EVENT_PRIORITY_NORMAL + 15);
        if (r < 0)
                return r;
        *ret = take_ptr(teller);
        return 0;
}

Teller *teller_free(Teller *teller)
{
        if (!teller)
                return NULL;
        (void)neighbour_tell_cancel(teller->query);
        (void)sd_event_source_disable_unref(teller->ask_source);
        (void)sd_event_unref(teller->event);
        free(teller->waiting.items);
        free(teller->asked.items);
        free(teller->unit);
        free(teller);
        return NULL;
}

static void on_told(void *userdata, Told told)
{
        Teller *teller = userdata;
        _cleanup_free_ Wish *items = take_ptr(teller->asked.items);
        size_t n = teller->asked.n;

        teller->query = NULL;
        teller->asked = (Wishes){};
        if (teller->waiting.n > 0)
                (void)sd_event_source_set_enabled(teller->ask_source, SD_EVENT_ONESHOT);
        for (size_t i = 0; i < n; i++)
                if (items[i].done)
                        items[i].done(items[i].userdata, told);
}

static int on_ask(sd_event_source *source, void *userdata)
{
        Teller *teller = userdata;

        if (teller->query || teller->waiting.n == 0)
                return 0;
        teller->asked = teller->waiting;
        teller->waiting = (Wishes){};
        int r = neighbour_tell(teller->event, teller->unit, on_told, teller, &teller->query);
        if (r < 0)
                on_told(teller, TOLD_UNSURE);
        return 0;
}

int teller_tell(Teller *teller, TellerDone done, void *userdata)
{
        Wishes *wishes = &teller->waiting;

        if (wishes->n == wishes->allocated) {
                size_t allocated = wishes->allocated ? wishes->allocated * 2 : 8;
                Wish *items = realloc(wishes->items, allocated * sizeof(*items));

                if (!items)
                        return -ENOMEM;
                wishes->items = items;
                wishes->allocated = allocated;
        }
        wishes->items[wishes->n++] = (Wish){.done = done, .userdata = userdata};
        int r = teller->query ? 0 : sd_event_source_set_enabled(teller->ask_source, SD_EVENT_ONESHOT);
        /* Who is refused may be gone when the others are told. */
        if (r < 0)
                wishes->n--;
        return r;
}

static void forget(Wishes *wishes, const void *userdata)
{
        for (size_t i = 0; i < wishes->n; i++)
                if (wishes->items[i].userdata == userdata)
                        wishes->items[i].done = NULL;
}

void teller_cancel(Teller *teller, void *userdata)
{
        forget(&teller->waiting, userdata);
        forget(&teller->asked, userdata);
}
