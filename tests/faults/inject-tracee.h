#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A thread under trace at one of its stops: the parts of ptrace(2) that differ between machines, and its memory. Each
 * call but memory_… ends this program where it fails: then nothing that it could say would be true. */

/* Whether this machine's registers are known here; else nothing below is to be called. */
extern const bool tracee_registers_known;

/* At the entry of a call: it will not be carried out. */
void tracee_skip_call(pid_t pid);

/* At the exit of a call: what it gives. */
void tracee_set_result(pid_t pid, long value);

/* Argument I, of 0 to 2, of the call that is about to be carried out, or has just been. */
void tracee_set_argument(pid_t pid, unsigned i, uint64_t value);

/* Word by word through ptrace: the program under test lets nobody open its memory. False: it can't be read. */
bool tracee_read(pid_t pid, uint64_t address, void *buffer, size_t size);

/* Up to SIZE bytes with the end that there always is. */
void tracee_read_text(pid_t pid, uint64_t address, char *ret, size_t size);

bool tracee_write_word(pid_t pid, uint64_t address, uint64_t value);
