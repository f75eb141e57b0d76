/* SPDX-License-Identifier: MIT
 *
 * Signals' trace points: sent, whether or not it will be heard; and taken, by a handler, a default
 * action or a call that waits.
 */
#include "lib/log.h"
#include "proc/proc_priv.h"

static int signal_post_locked_traced(struct process *p, struct task *t, int sig,
                                     const struct siginfo *info);
TRACE_POINT(signal_send, signal_post_locked, "%lu to process %lu: %ld");
static int signal_dequeue_locked_traced(struct task *t, sigset_t set, struct siginfo *info);
TRACE_POINT(signal_take, signal_dequeue_locked, "%lu by thread %lu, code %ld");

static int signal_post_locked_traced(struct process *p, struct task *t, int sig,
                                     const struct siginfo *info) REQUIRES(p->siglock)
{
    int err = signal_post_locked(p, t, sig, info);

    ASSERT_HELD(&p->siglock);
    TRACE(signal_send, sig, p->pid->numbers[0].nr, (s64)err);
    return err;
}

static int signal_dequeue_locked_traced(struct task *t, sigset_t set, struct siginfo *info)
    REQUIRES(t->process->siglock)
{
    int sig = signal_dequeue_locked(t, set, info);

    ASSERT_HELD(&t->process->siglock);
    if (sig)
        TRACE(signal_take, sig, t->pid->numbers[0].nr, (s64)info->code);
    return sig;
}
