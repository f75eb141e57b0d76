/* SPDX-License-Identifier: MIT
 *
 * How the VM ends and how its main thread is woken: at the bottom of everything, since anything may
 * call it.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <termios.h>

struct vm;

/* s lock · a atomic · I immutable once there are threads · m main thread only */
struct stop {
    pthread_mutex_t lock; /* a leaf */
    int wake_fd;          /* I  an eventfd that the main thread waits for */
    atomic_int status;    /* a  the exit status once the VM was stopped, before -1 */
    char message[256];    /* s */
    bool raw;             /* m  the terminal is the guest's, and was as in `saved` */
    struct termios saved; /* m */
};

/* Before anything else. */
void stop_init(struct vm *vm);

/* Ends the process with this status from any thread; the first caller wins. A message may be
 * given (printf style), which becomes one line on stderr. Returns: the caller stops by itself. */
void vm_stop(struct vm *vm, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Makes the main thread look again at what it should wait for. Any thread, any lock. */
void vm_wake(struct vm *vm);

/* Before the guest runs: one line on stderr, and the process ends. */
_Noreturn void fatal(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One line on stderr, or to the program that wants a report. */
void stop_say(struct vm *vm, const char *line);
/* The terminal as it was before. */
void stop_restore_terminal(struct vm *vm);
