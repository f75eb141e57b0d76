/* SPDX-License-Identifier: MIT
 *
 * The watch: how long the kernel keeps a processor to itself. Only the build for it (WATCH=1) has
 * it; elsewhere these calls are nothing. lib declares them, so that every rank may call them;
 * kernel/debug/watch.c defines them.
 *
 * A stretch is kernel code that runs for one thread: it begins where the thread comes from user or
 * guest mode, or is switched to, and ends where it goes back, is switched away or could have been
 * (cond_yield). Interrupts taken meanwhile do not count in it. Beside that, each time with
 * interrupts off, handlers included, is measured. What takes longer than WATCH_STRETCH_US or
 * WATCH_IRQS_OFF_US is an error in the log, with a backtrace.
 *
 * Times are those of the processor's counter: under `-icount` they are the same on any host.
 * Context: any.
 */
#pragma once

#include "lib/types.h"

#define WATCH_STRETCH_US 500
#define WATCH_IRQS_OFF_US 100

#ifdef WATCH
void watch_begin(void);                 /* this thread begins to run kernel code */
void watch_call(u64 nr);                /* it is in this system call: reports name it */
void watch_end(void);                   /* it goes to user or guest mode, or is switched away */
void watch_end_unless(const u32 *work); /* it does, but for work that is left */
void watch_yield(void);                 /* it could have been switched away */
void watch_irqs_off(void);              /* they were on */
void watch_irqs_on(void);               /* they are about to be */
void watch_handler(void);               /* an interrupt of kernel code, which had them on */
void watch_handled(void);
void watch_start(void); /* from now on: PID 1 runs */
#else
static inline void watch_begin(void)
{
}
static inline void watch_call(u64 nr)
{
}
static inline void watch_end(void)
{
}
static inline void watch_end_unless(const u32 *work)
{
}
static inline void watch_yield(void)
{
}
static inline void watch_irqs_off(void)
{
}
static inline void watch_irqs_on(void)
{
}
static inline void watch_handler(void)
{
}
static inline void watch_handled(void)
{
}
static inline void watch_start(void)
{
}
#endif
