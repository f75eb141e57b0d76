/* SPDX-License-Identifier: MIT
 *
 * Device interrupts: from a line of an I/O APIC, or a message, to a handler and its thread.
 *
 * An interrupt has a number (/proc/irq/N): a line its global one, a message one above all lines. It
 * goes to one vector of one CPU. Up to four handlers share a line; a message has one.
 *
 * The hard handler (fn) runs in the interrupt: it says whether its device had asked, quiets it,
 * sets bits and wakes. All else belongs to the handler's thread_fn: it runs in the interrupt's
 * thread, on the CPU of the vector, in the scheduler's urgent class: before all fair threads, for
 * at most URGENT_BUDGET of each URGENT_PERIOD (sched/thread.h), then among them. thread_fn may
 * sleep for a lock or memory, though others of its line wait meanwhile; it returns when it finds
 * nothing to do. It is called at least once after each interrupt of which fn said true; several may
 * become one call. A device that would interrupt again and again meanwhile is told not to, by fn,
 * until thread_fn is done: the class bounds the thread's time, not the handlers'.
 *
 * Lock order: irq_mutex (RANK_DEV, 10) over requests, releases and moves; irq_lock (spinlock of
 * RANK_DEV, 4) below it. No handler is called under either.
 */
#pragma once

#include "lib/types.h"

/* The driver's; kept by irq.c from request to release. I set by the driver before the request
 * · g given by the request */
struct irq_handler {
    /* True when the device had asked. NULL, with a thread_fn and a message: always. irq context. */
    bool (*fn)(void *arg); /* I */
    /* NULL: none. Context: may sleep. */
    void (*thread_fn)(void *arg); /* I */
    void *arg;                    /* I */
    const char *name;             /* I  shown in /proc/interrupts; lives as long */
    u32 irq;                      /* g  its number */
    unsigned vector;              /* g  at first: it may move */
    bool woken;                   /*    irq.c's, atomic */
};

/* Each: 0, -EINVAL (no such line; a line without fn), -ENOSPC (no vector left, or the line has
 * four), -ENOMEM. Interrupts may come before the call returns. Context: may sleep. */
int irq_request_isa(unsigned isa, struct irq_handler *handler) __must_check;
int irq_request_gsi(u32 gsi, bool level, bool active_low, struct irq_handler *handler) __must_check;

/* Programs a message's source with its address and data: the caller's hardware. */
struct irq_message_ops {
    /* address and data are what the device writes. masked: no message is sent meanwhile, as between
     * the halves of what cannot be written at once. Context: interrupts off, irq_lock held. */
    void (*write)(void *arg, u64 address, u32 data);
    /* NULL: it cannot be masked: then a move keeps `data`, so that a half-written message is
     * harmless. Context: as write. */
    void (*mask)(void *arg, bool masked);
};
/* cpu: where it should go, if that CPU is up and can be named; it goes there once it is. ops and
 * arg are used until the release. */
int irq_request_message(struct irq_handler *handler, unsigned cpu,
                        const struct irq_message_ops *ops, void *arg) __must_check;

/* After it returns neither fn nor thread_fn runs any more. Not from either of them, nor is anything
 * else requested or released there. Context: may sleep. */
void irq_release(struct irq_handler *handler);

/* Interrupt `irq` goes to one of the CPUs in mask, thread and all. -EINVAL: none of them is up, or
 * can be named by its source; -ENOENT: no such interrupt; -ENOSPC: no vector free there. Context:
 * may sleep. */
int irq_set_affinity(u32 irq, u64 mask) __must_check;
/* kernel/init: all CPUs that will come are up: interrupts go where they were wanted. May sleep. */
void irq_processors_up(void);

/* For views. */
#define IRQ_SHARE_MAX 4
struct irq_info {
    u32 irq, gsi; /* gsi ~0: a message */
    bool level;
    unsigned vector, cpu;
    u64 affinity;                  /* what was asked for */
    u64 total;                     /* how often it came */
    char names[IRQ_SHARE_MAX][20]; /* copies; "" from the last on */
};
/* The first interrupt with a number >= irq; false: none. irq-safe. */
bool irq_info_next(u32 irq, struct irq_info *out);
/* How often it came to that CPU. */
u64 irq_count(u32 irq, unsigned cpu);
/* Interrupts of devices so far. */
u64 irq_count_all(void);
