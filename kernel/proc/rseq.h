/* SPDX-License-Identifier: MIT
 *
 * Restartable sequences, rseq(2): a thread registers 32 bytes of its memory. The kernel writes
 * there the CPU that the thread runs on, and the thread writes there which piece of its code must
 * not be interrupted. When it is, by another thread's turn, a move or a signal, it goes on at that
 * piece's abort handler. Layout: struct rseq of linux/rseq.h.
 */
#pragma once

#include "lib/types.h"

struct task;
struct trap_frame;

/* The current thread's area begins at `area`. -EINVAL: another is registered, or it is not aligned
 * to its 32 bytes; -EPERM: registered with another signature; -EBUSY: registered already; -EFAULT.
 */
int rseq_register(u64 area, u32 length, u32 signature) __must_check;
/* Takes it back: no CPU is in it any more. -EINVAL: not registered so; -EPERM; -EFAULT. */
int rseq_unregister(u64 area, u32 length, u32 signature) __must_check;
/* For exec and fork: t is the current task, or does not run yet. 0: none. */
void rseq_set(struct task *t, u64 area, u32 signature);
/* WORK_RSEQ, on the way to user mode at *f. A wrong area is answered with SIGSEGV. May sleep. */
void rseq_resume(struct trap_frame *f);
/* A handler is about to interrupt user code at *f, whose rip may be changed. -EFAULT, -EINVAL: the
 * area is wrong. May sleep. */
int rseq_interrupt(struct trap_frame *f) __must_check;
