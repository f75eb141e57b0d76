/* SPDX-License-Identifier: MIT
 *
 * One interrupt: shared by irq.c (requests, dispatch), irq_move.c (vectors and where they are) and
 * irq_thread.c.
 *
 * Dispatch takes no lock: each vector of each CPU has a slot that names its interrupt and says
 * whether that CPU is inside. A caller that takes an interrupt out of a slot, or a handler off an
 * interrupt, waits until no CPU is inside (irq_wait_dispatch), so handlers are free in what they
 * lock, and nothing that dispatch looks at is freed under it.
 */
#pragma once

#include "arch/x86/percpu.h"
#include "arch/x86/trap.h"
#include "dev/irq.h"
#include "lib/rbtree.h"
#include "sched/mutex.h"
#include "sync/spinlock.h"

#define IRQ_VECTORS (VEC_IRQ_LAST - VEC_IRQ_FIRST + 1)
#define IRQ_NO_LINE (~0U)

struct irq;
struct irq_slot {
    struct irq *irq; /* a  written under irq_lock */
    u32 running;     /* a  this CPU is inside */
};
struct irq_cpu {
    struct irq_slot slot[IRQ_VECTORS];
};
DECLARE_PER_CPU(struct irq_cpu, irq_cpus);

/* I immutable while it has a handler · m irq_mutex · l irq_lock, with m · a atomic
 * · c the CPU itself */
struct irq {
    struct rb_node node;               /* l */
    u32 number;                        /* I */
    u32 gsi;                           /* I  IRQ_NO_LINE: a message */
    bool level;                        /* I */
    bool masked;                       /* a  too many strays */
    u32 stray;                         /* a  roughly: interrupts in a row that no handler knew */
    unsigned vector, cpu;              /* l */
    u64 affinity;                      /* m  where it should go */
    const struct irq_message_ops *ops; /* I */
    void *arg;                         /* I */
    struct irq_handler *handlers[IRQ_SHARE_MAX]; /* l to write, a to read */
    struct thread *thread;                       /* m  NULL: no handler has a thread_fn */
    bool thread_woken, thread_stop;              /* a */
    struct irq_handler *in_thread;               /* a  whose thread_fn runs */
    u32 leavers;                                 /* a  wait for that to change */
    struct waitq left;
    struct completion ended;
    u64 counts[]; /* c  by CPU */
};

extern struct mutex irq_mutex;   /* requests, releases, moves: one at a time */
extern struct spinlock irq_lock; /* the tree, the slots, the hardware's routing */

/* irq_move.c; irq_lock held. */
/* Gives irq, in no slot, a vector of `cpu`. -ENOSPC. */
int irq_place_locked(struct irq *irq, unsigned cpu) REQUIRES(irq_lock);
/* Tells the source of a placed one; a message comes from then on. */
void irq_aim_locked(struct irq *irq) REQUIRES(irq_lock);
/* Takes it out of its slot, its source silenced. */
void irq_unplace_locked(struct irq *irq) REQUIRES(irq_lock);
/* A CPU in mask that is up and can be named, `now` preferred; MAX_CPUS: none. */
unsigned irq_choose_cpu(u64 mask, unsigned now) REQUIRES(irq_mutex);
/* No lock held: until no CPU is inside slots that irq was in. */
void irq_wait_dispatch(unsigned cpu, unsigned vector);
/* irq.c; irq_lock held. */
struct irq *irq_find_locked(u32 number) REQUIRES(irq_lock);

/* irq_thread.c */
int irq_thread_make(struct irq *irq, const char *name);
/* irq context: h, one of irq's, has work for it. */
void irq_thread_wake(struct irq *irq, struct irq_handler *h);
/* h was taken off irq: until its thread_fn does not run. */
void irq_thread_forget(struct irq *irq, const struct irq_handler *h);
void irq_thread_end(struct irq *irq);
