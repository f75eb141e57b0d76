/* SPDX-License-Identifier: MIT
 *
 * Per-CPU data. A per-CPU variable lives in the section .percpu, which CPU 0 uses in place; every
 * other CPU has a copy. GS holds the distance from the section to the copy, so that `%gs:variable`
 * is one instruction. Per-CPU variables have no initialiser: they start as zero.
 *
 * Context: the caller must not move to another CPU in between: interrupts off, or a thread of
 * kernel code that does not block (the kernel is not preempted).
 */
#pragma once

#include "arch/x86/regs.h"
#include "arch/x86/up.h"
#include "lib/types.h"

#define MAX_CPUS 64

#define DEFINE_PER_CPU(type, name) __section(".percpu") __typeof__(type) name
#define DECLARE_PER_CPU(type, name) extern __typeof__(type) name

struct thread;

extern u64 percpu_delta[MAX_CPUS]; /* of each CPU */
extern unsigned percpu_online;     /* CPUs 0..n-1 are up */
DECLARE_PER_CPU(u64, percpu_self_delta);
DECLARE_PER_CPU(u32, percpu_id);
DECLARE_PER_CPU(bool, percpu_in_interrupt); /* in a handler, which is never interrupted itself */
DECLARE_PER_CPU(struct thread *, percpu_current);
extern u32 percpu_no_work;           /* always zero: the work word while no thread runs */
DECLARE_PER_CPU(u32 *, percpu_work); /* the current thread's work word */

#define this_cpu_read(name) (*(const volatile __seg_gs __typeof__(name) *)(uintptr_t) & (name))
#define this_cpu_write(name, v) \
    ((void)(*(volatile __seg_gs __typeof__(name) *)(uintptr_t) & (name) = (v)))
/* One instruction each: not torn by an interrupt. */
#define this_cpu_inc(name) ((void)((*(__seg_gs __typeof__(name) *)(uintptr_t) & (name))++))
#define this_cpu_dec(name) ((void)((*(__seg_gs __typeof__(name) *)(uintptr_t) & (name))--))
#define per_cpu_ptr(name, cpu) ((__typeof__(name) *)((u64) & (name) + percpu_delta[cpu]))
#define this_cpu_ptr(name) ((__typeof__(name) *)((u64) & (name) + this_cpu_read(percpu_self_delta)))

static inline unsigned cpu_id(void)
{
    return this_cpu_read(percpu_id);
}
/* CPUs that run; grows while the machine starts. */
static inline unsigned cpu_count(void)
{
    return __atomic_load_n(&percpu_online, __ATOMIC_ACQUIRE);
}
static inline struct thread *current_thread(void)
{
    return this_cpu_read(percpu_current);
}
#define current current_thread()

/* What has no lock, since only one thread, or one CPU, touches it: at the beginning of a function
 * that does. The debug build checks it; tools/check-locks finds functions without, by the legends
 * of structs that name one of these. */
#ifdef DEBUG
#define ASSERT_RULE(cond, rule)             \
    do {                                    \
        if (unlikely(!(cond)))              \
            up_rule_broken(rule, __func__); \
    } while (0)
#else
#define ASSERT_RULE(cond, rule) ((void)sizeof(cond))
#endif
/* This CPU's data that interrupt handlers touch too. */
#define ASSERT_IRQS_OFF() ASSERT_RULE(!irq_enabled(), "interrupts are on")
/* The same, through a pointer to this CPU's copy of the per-CPU variable. */
#define ASSERT_THIS_CPU(ptr, name) \
    ASSERT_RULE((ptr) == this_cpu_ptr(name) && !irq_enabled(), #ptr " is not this CPU's " #name)
/* What a thread has for itself. */
#define ASSERT_CURRENT(thread) \
    ASSERT_RULE((thread) == current_thread(), #thread " is not the thread that runs")
#define cpu_for_each(cpu) for ((cpu) = 0; (cpu) < cpu_count(); (cpu)++)
/* Bytes of the section: what smp_start wants for each further CPU. */
size_t percpu_size(void);
