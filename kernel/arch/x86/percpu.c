/* SPDX-License-Identifier: MIT
 *
 * The per-CPU variables that the lowest layers need: see percpu.h.
 */
#include "arch/x86/percpu.h"

extern char __percpu_start[], __percpu_end[];

u64 percpu_delta[MAX_CPUS];
unsigned percpu_online = 1;
DEFINE_PER_CPU(u64, percpu_self_delta);
DEFINE_PER_CPU(u32, percpu_id);
DEFINE_PER_CPU(bool, percpu_in_interrupt);
DEFINE_PER_CPU(struct thread *, percpu_current);
u32 percpu_no_work;
DEFINE_PER_CPU(u32 *, percpu_work);

size_t percpu_size(void)
{
    return (size_t)(__percpu_end - __percpu_start);
}
