#include "tests/faults/inject-tracee.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#if defined(__x86_64__) || defined(__aarch64__)

const bool tracee_registers_known = true;

typedef struct user_regs_struct Registers;

static void regset(int request, pid_t pid, uintptr_t kind, void *data, size_t size)
{
        struct iovec vector = {.iov_base = data, .iov_len = size};

        /* Killed between its stop and now: the next wait tells. */
        if (ptrace(request, pid, (void *)kind, &vector) < 0 && errno != ESRCH) {
                perror("inject: registers");
                exit(125);
        }
}

#if defined(__x86_64__)

static void skip_call(pid_t pid, Registers *registers)
{
        registers->orig_rax = (unsigned long)-1;
}

static void set_result(Registers *registers, long value)
{
        registers->rax = (unsigned long)value;
}

static void set_argument(Registers *registers, unsigned i, uint64_t value)
{
        if (i == 0)
                registers->rdi = value;
        else if (i == 1)
                registers->rsi = value;
        else
                registers->rdx = value;
}

#else

static void skip_call(pid_t pid, Registers *registers)
{
        int number = -1;

        regset(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &number, sizeof(number));
}

static void set_result(Registers *registers, long value)
{
        registers->regs[0] = (unsigned long)value;
}

static void set_argument(Registers *registers, unsigned i, uint64_t value)
{
        registers->regs[i] = value;
}

#endif

void tracee_skip_call(pid_t pid)
{
        Registers registers = {};

        regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &registers, sizeof(registers));
        skip_call(pid, &registers);
        regset(PTRACE_SETREGSET, pid, NT_PRSTATUS, &registers, sizeof(registers));
}

void tracee_set_result(pid_t pid, long value)
{
        Registers registers = {};

        regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &registers, sizeof(registers));
        set_result(&registers, value);
        regset(PTRACE_SETREGSET, pid, NT_PRSTATUS, &registers, sizeof(registers));
}

void tracee_set_argument(pid_t pid, unsigned i, uint64_t value)
{
        Registers registers = {};

        regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &registers, sizeof(registers));
        set_argument(&registers, i, value);
        regset(PTRACE_SETREGSET, pid, NT_PRSTATUS, &registers, sizeof(registers));
}

#else

const bool tracee_registers_known = false;

void tracee_skip_call(pid_t pid)
{
}

void tracee_set_result(pid_t pid, long value)
{
}

void tracee_set_argument(pid_t pid, unsigned i, uint64_t value)
{
}

#endif

bool tracee_read(pid_t pid, uint64_t address, void *buffer, size_t size)
{
        for (size_t at = 0; at < size; at += sizeof(long)) {
                errno = 0;
                long word = ptrace(PTRACE_PEEKDATA, pid, (void *)(uintptr_t)(address + at), NULL);
                if (errno != 0)
                        return false;
                memcpy((char *)buffer + at, &word, size - at < sizeof(word) ? size - at : sizeof(word));
        }
        return true;
}

void tracee_read_text(pid_t pid, uint64_t address, char *ret, size_t size)
{
        size_t n = 0;

        while (n + sizeof(long) < size && tracee_read(pid, address + n, ret + n, sizeof(long))) {
                size_t end = strnlen(ret + n, sizeof(long));

                if (end < sizeof(long))
                        return;
                n += sizeof(long);
        }
        ret[n] = 0;
}

bool tracee_write_word(pid_t pid, uint64_t address, uint64_t value)
{
        return ptrace(PTRACE_POKEDATA, pid, (void *)(uintptr_t)address, (void *)(uintptr_t)value) >= 0;
}
