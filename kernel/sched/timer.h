/* SPDX-License-Identifier: MIT
 *
 * Time and timers. Each CPU keeps its timers in wheels and programs its one-shot timer for the
 * first; an idle CPU without timers takes no interrupt. Callbacks run in the timer interrupt: they
 * set bits and wake, no more. None runs before its deadline; after it, within the timer's slack and
 * what the interrupt takes. Timers whose slacks overlap share an interrupt.
 */
#pragma once

#include "lib/types.h"
#include "sched/wheel.h"

/* ns since boot; never goes back, equal on all CPUs. irq-safe. */
u64 time_ns(void);
/* CLOCK_REALTIME - CLOCK_MONOTONIC in ns; set by settimeofday and the RTC. */
u64 time_wall_offset(void);
void time_set_wall(u64 wall_ns);
#define NSEC_PER_SEC 1000000000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_USEC 1000ULL

/* Lies in its owner: starting one takes no memory and cannot fail, and takes as long with a million
 * armed as with ten. */
struct timer {
    struct wheel_entry entry; /* its CPU's timer lock */
    void (*fire)(struct timer *t);
    u16 cpu;
    u8 class; /* immutable */
};
void timer_init(struct timer *t, void (*fire)(struct timer *t));
/* For a virtual machine's: expires after those, fewer at a time. */
void timer_init_guest(struct timer *t, void (*fire)(struct timer *t));
/* For what a program can make in numbers: expires after all others that are due, a few at a time.
 */
void timer_init_bulk(struct timer *t, void (*fire)(struct timer *t));
/* Arms or moves it, on this CPU; to a later time it moves where it is, which costs next to nothing,
 * as for a time-out that is put off again and again: it is looked at once when the old time comes.
 * irq-safe. */
void timer_start(struct timer *t, u64 deadline);
/* The same; it may be late by `slack` ns, of which no more than 4 s count. */
void timer_start_within(struct timer *t, u64 deadline, u64 slack);
/* For its owner, which keeps others from starting and cancelling it. */
static inline bool timer_is_armed(const struct timer *t)
{
    return wheel_has(&t->entry);
}
/* What it was started with last. */
static inline u64 timer_deadline(const struct timer *t)
{
    return t->entry.deadline;
}
/* After it returns the callback neither runs nor will; true when it was armed. Not from its own
 * callback. */
bool timer_cancel(struct timer *t);
/* From inside the callback or where the callback may run on: does not wait. */
bool timer_cancel_nowait(struct timer *t);
/* 0, or -EINTR by the kind. deadline in ns of time_ns(); late by the thread's slack at most. */
int sleep_until(u64 deadline, int kind);
/* Timer interrupts of that CPU so far. */
u64 timer_interrupts(unsigned cpu);
