/* SPDX-License-Identifier: MIT
 *
 * Time and timers. Each CPU keeps its timers in a tree by deadline and programs its one-shot timer
 * for the first; an idle CPU without timers takes no interrupt. Callbacks run in the timer
 * interrupt: they set bits and wake, no more.
 */
#pragma once

#include "lib/rbtree.h"
#include "lib/types.h"

/* ns since boot; never goes back, equal on all CPUs. irq-safe. */
u64 time_ns(void);
/* CLOCK_REALTIME - CLOCK_MONOTONIC in ns; set by settimeofday and the RTC. */
u64 time_wall_offset(void);
void time_set_wall(u64 wall_ns);
#define NSEC_PER_SEC 1000000000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_USEC 1000ULL

struct timer {
    struct rb_node node; /* its CPU's timer lock */
    u64 deadline;        /* ns of time_ns() */
    void (*fire)(struct timer *t);
    u16 cpu;
    bool armed;
    u8 tree; /* immutable */
};
void timer_init(struct timer *t, void (*fire)(struct timer *t));
/* For a virtual machine's: expires after those, fewer at a time. */
void timer_init_guest(struct timer *t, void (*fire)(struct timer *t));
/* For what a program can make in numbers: expires after all others that are due, a few at a time.
 */
void timer_init_bulk(struct timer *t, void (*fire)(struct timer *t));
/* Arms or moves it, on this CPU. irq-safe. */
void timer_start(struct timer *t, u64 deadline);
/* After it returns the callback neither runs nor will; true when it was armed. Not from its own
 * callback. */
bool timer_cancel(struct timer *t);
/* From inside the callback or where the callback may run on: does not wait. */
bool timer_cancel_nowait(struct timer *t);
/* 0, or -EINTR by the kind. deadline in ns of time_ns(). */
int sleep_until(u64 deadline, int kind);
