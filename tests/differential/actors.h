/* SPDX-License-Identifier: MIT
 *
 * Several processes that run a program's operations, one operation at a time.
 *
 * The seed's own process is the director: it tells an actor which operation to run, waits until all
 * are at rest (asleep, stopped, dead), and says what each had to say, then each one's state. So an
 * operation may block, stop or end its actor: what it says afterwards shows in the line of the
 * actor that woke it. It draws its arguments before the first call that may do that.
 *
 * Actors are numbered places; processes come and go in them, and are said by number. Orphans become
 * the director's, which reaps them at once. An actor's first process leads a group of its own.
 */
#pragma once

#include <signal.h>
#include <sys/types.h>

enum { ACTORS = 6 };

/* For program_begin() and program_end(). */
void actors_begin(unsigned count);
void actors_end(void);

/* In an operation: who runs it; the process in a place, dead ones' too; a place that is free or
 * ACTORS; a new process there, a child of the caller's, in which this does not return. */
unsigned actor_self(void);
pid_t actor_pid(unsigned n);
unsigned actor_free(void);
void actor_fork(unsigned n);

/* Draws a place and says it. */
unsigned actor_any(void);

/* Says the place of a process, or what else it is. */
void say_process(pid_t pid);

/* A handler (SA_SIGINFO): what came is said after the line of the operation. */
void actor_note_signal(int sig, siginfo_t *info, void *context);
