/* SPDX-License-Identifier: MIT
 *
 * What the files of kernel/proc share among themselves.
 */
#pragma once

#include "proc/proc.h"

/* process_alloc.c: initialised but for itimer_process_init, with one reference, linked nowhere;
 * NULL: no memory. */
struct task *task_alloc(void) __must_check;
struct process *process_alloc(void) __must_check;
void task_free(struct task *t);
void process_free(struct process *p);
/* tasks.c */
void process_times_add(struct process_times *sum, const struct process_times *part);
/* REQUIRES(proc_lock): p is a zombie from here on; p has no parent from here on (ppid stays). */
void process_set_zombie_locked(struct process *p) REQUIRES(proc_lock);
void process_leave_parent_locked(struct process *p) REQUIRES(proc_lock);
/* REQUIRES(proc_lock): NULL leaves. */
void process_link_group_locked(struct process *p, struct pid *pgrp) REQUIRES(proc_lock);
void process_link_session_locked(struct process *p, struct pid *session) REQUIRES(proc_lock);
/* signal_action.c: handlers that processes share (CLONE_SIGHAND without CLONE_THREAD). from's
 * become p's, which is new, too: 0 or -ENOMEM. */
int sighand_share(struct process *from, struct process *p) __must_check;
void sighand_leave(struct process *p); /* which has ended */
bool sighand_is_shared(const struct process *p);
/* The action to take for sig, which SA_RESETHAND resets. REQUIRES(siglock) */
void sigaction_get_locked(struct process *p, int sig, struct sigaction *out) REQUIRES(p->siglock);
/* exit.c: waits until current is the only task of its process; -EINTR when it is to die itself. */
int process_dethread(void);
/* signal_deliver.c, REQUIRES(siglock): the task is through with the stop under way; true when it
 * was the last, so that the process is stopped now and the parent is to be told. */
bool signal_stop_part_locked(struct process *p, struct task *t) REQUIRES(p->siglock);
/* signal.c: sigpending_take_locked of all tasks' own queues, of one signal. */
void sigpending_take_of_tasks_locked(struct process *p, int sig, struct list_node *dropped)
    REQUIRES(p->siglock);
/* signal.c: signal_permitted_to, of a task of p. */
bool signal_permitted_to_locked(struct process *p, struct task *t, int sig) REQUIRES(p->siglock);
/* death_signal.c: t, a task of p, asks for none any more. */
void death_signal_drop_locked(struct process *p, struct task *t) REQUIRES(p->siglock);
/* signal.c: t takes those of p->unclaimed that it can. */
void signal_claim_locked(struct process *p, struct task *t) REQUIRES(p->siglock);
/* tasks.c: a worker is to tell all tasks; false: no memory for that. */
bool process_tell_later_locked(struct process *p) REQUIRES(p->siglock);
/* signal_group.c: as signal_send_group. REQUIRES(proc_lock) */
bool signal_send_group_locked(struct pid *pgrp, int sig, int then) REQUIRES(proc_lock);
/* signal_group.c: p is about to leave its group. REQUIRES(proc_lock) */
void signal_group_leave_locked(struct process *p) REQUIRES(proc_lock);
/* orphan.c: a group that has just lost its last tie to its session is continued and hung up if a
 * member is stopped. `tie` was a member's parent, now gone or no longer the parent: only one in
 * another group of the same session was a tie. except: a member that does not count, or NULL. Of a
 * large group a worker does it. */
void orphan_hangup_locked(struct process *member, const struct process *tie,
                          const struct process *except) REQUIRES(proc_lock);
/* exit.c: the user memory is about to go: robust futexes, clear_child_tid, the vfork parent. */
void task_release_aspace(struct task *t);
/* A thread takes the dead leader's identity (exec). */
void process_become_leader(struct task *t);
/* futex.c: at exec and exit: robust list, clear_child_tid. */
void futex_task_exit(struct task *t);
/* itimer.c, posix_timer.c */
void itimer_process_init(struct process *p);
void itimer_process_exit(struct process *p);
void posix_timers_drop(struct process *p);

static inline bool signal_default_ignored(int sig)
{
    return SIGMASK(sig) & SIG_IGNORED_BY_DEFAULT;
}

/* REQUIRES(p->siglock) */
static inline bool signal_ignored(const struct process *p, int sig)
{
    u64 h = p->actions[sig - 1].handler;

    ASSERT_HELD(&p->siglock);
    return h == SIG_IGN || (h == SIG_DFL && signal_default_ignored(sig));
}
