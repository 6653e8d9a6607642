/* What the lifecycle says: its state and why, what an operator wants to hear of, how a command ended. */

#include "agent/core/lifecycle-internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _printf_(1, 0) char *format_sentence(const char *format, va_list arguments)
{
        char *sentence = NULL;

        return vasprintf(&sentence, format, arguments) < 0 ? NULL : sentence;
}

void lifecycle_enter(Lifecycle *l, RunnerState state)
{
        l->state = state;
}

void lifecycle_because(Lifecycle *l, const char *format, ...)
{
        /* The old reason may be an argument of the new one. */
        _cleanup_free_ _unused_ char *old = take_ptr(l->reason);

        if (!format)
                return;
        va_list arguments;
        va_start(arguments, format);
        l->reason = format_sentence(format, arguments);
        va_end(arguments);
}

void lifecycle_notice(Lifecycle *l, Notice notice, const char *format, ...)
{
        if (l->n_notices >= NOTICES_MAX)
                return;
        va_list arguments;
        va_start(arguments, format);
        char *sentence = format_sentence(format, arguments);
        va_end(arguments);
        if (!sentence)
                return;
        l->sentences[l->n_notices] = sentence;
        l->notices[l->n_notices++] = notice;
}

bool lifecycle_take_notice(Lifecycle *l, Notice *ret, char **ret_sentence)
{
        if (l->n_notices == 0)
                return false;
        *ret = l->notices[0];
        *ret_sentence = l->sentences[0];
        l->n_notices--;
        memmove(l->notices, l->notices + 1, l->n_notices * sizeof(*l->notices));
        memmove(l->sentences, l->sentences + 1, l->n_notices * sizeof(*l->sentences));
        return true;
}

void lifecycle_finish(Lifecycle *l, Command command, int code, const char *format, ...)
{
        if (command == COMMAND_NONE || l->command != command || l->command_done)
                return;
        l->command_done = true;
        l->outcome = (Outcome){.code = code};
        /* What is to be written down before the outcome is told is tried at once, whatever the disk said before. */
        lifecycle_set_never(l, DUE_DISK);
        if (!format)
                return;
        va_list arguments;
        va_start(arguments, format);
        l->outcome.message = format_sentence(format, arguments);
        va_end(arguments);
}

void lifecycle_spoil(Lifecycle *l, const char *words)
{
        if (!l->command_done || l->outcome_ready || l->outcome.code != EXIT_DONE)
                return;
        l->outcome.code = EXIT_FAILED;
        (void)replace_string(&l->outcome.message, words);
}

bool lifecycle_take_outcome(Lifecycle *l, Command *ret_command, Outcome *ret)
{
        if (!l->outcome_ready)
                return false;
        *ret_command = l->command;
        *ret = l->outcome;
        l->outcome = (Outcome){};
        l->command = COMMAND_NONE;
        l->command_done = l->outcome_ready = l->rotate_asked = l->rotate_lost = false;
        return true;
}
