/* The same walks with memory that runs out in the middle of a step: it costs time or a lost answer, never the runner.
 */

#include "tests/unit/life-walk.h"

#define WALKS 150

/* The linker puts these in the place of the C library's, for everything that is linked statically. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *text);
int __real_vasprintf(char **ret, const char *format, va_list arguments);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_vasprintf(char **ret, const char *format, va_list arguments);

static unsigned left; /* allocations until the one that fails; 0: none does */
static unsigned long failures;

static bool fails(void)
{
        if (left == 0 || --left > 0)
                return false;
        failures++;
        return true;
}

void *__wrap_malloc(size_t size)
{
        return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
        return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
        return fails() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *text)
{
        return fails() ? NULL : __real_strdup(text);
}

int __wrap_vasprintf(char **ret, const char *format, va_list arguments)
{
        return fails() ? -1 : __real_vasprintf(ret, format, arguments);
}

static void before_step(World *w)
{
        if (!w->calm && chance(w, 20))
                left = 1 + (unsigned)random_below(&w->random, 12);
}

static void after_step(World *w)
{
        left = 0;
}

static void test_walks_without_memory(void **state)
{
        const char *only = getenv("LIFE_SEED");
        static World world;

        for (uint64_t seed = only ? strtoull(only, NULL, 10) : 1; seed <= (only ? 0 : WALKS) || only; seed++) {
                world_begin(&world, seed);
                world.before_step = before_step;
                world.after_step = after_step;
                world_live(&world);
                if (only)
                        break;
        }
        if (!only)
                assert_true(failures > WALKS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_walks_without_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
