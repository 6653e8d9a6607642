#include "tests/simulation/queue.h"

#include <stdbool.h>

#include "tests/simulation/must.h"

static bool sooner(const SimEvent *a, const SimEvent *b)
{
        return a->at_usec != b->at_usec ? a->at_usec < b->at_usec : a->sequence < b->sequence;
}

static void swap(SimEvent *a, SimEvent *b)
{
        SimEvent c = *a;

        *a = *b;
        *b = c;
}

void queue_put(Queue *queue, SimEvent event)
{
        if (queue->n == queue->allocated) {
                queue->allocated = queue->allocated ? queue->allocated * 2 : 256;
                queue->items = must(realloc(queue->items, queue->allocated * sizeof(*queue->items)));
        }
        size_t i = queue->n++;
        event.sequence = queue->sequence++;
        queue->items[i] = event;
        for (; i > 0 && sooner(&queue->items[i], &queue->items[(i - 1) / 2]); i = (i - 1) / 2)
                swap(&queue->items[i], &queue->items[(i - 1) / 2]);
}

SimEvent queue_take(Queue *queue)
{
        SimEvent first = queue->items[0];
        size_t i = 0;

        queue->items[0] = queue->items[--queue->n];
        for (;;) {
                size_t least = i, left = 2 * i + 1;

                for (size_t child = left; child <= left + 1 && child < queue->n; child++)
                        if (sooner(&queue->items[child], &queue->items[least]))
                                least = child;
                if (least == i)
                        return first;
                swap(&queue->items[i], &queue->items[least]);
                i = least;
        }
}

void queue_done(Queue *queue)
{
        free(queue->items);
        *queue = (Queue){0};
}
