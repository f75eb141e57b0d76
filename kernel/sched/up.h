/* SPDX-License-Identifier: MIT
 *
 * What sched asks of the layers above.
 */
#pragma once

struct aspace;

/* kernel/vm: the CPU goes from a thread of prev (NULL: a kernel thread) to one of next, never NULL:
 * kernel threads keep the tables they find. Context: interrupts off, run queue lock held; short. */
void up_aspace_switch(struct aspace *prev, struct aspace *next);

/* kernel/proc: t, the current thread, waits for the thaw of its group from here on. Never sleeps.
 */
struct thread;
void up_thread_frozen(struct thread *t);
