/* SPDX-License-Identifier: MIT
 *
 * wait(2) and its family, and the reaping of zombies. The children's states are looked at under
 * proc_lock; the parent's child_wait is woken by each change of one.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "proc/proc_priv.h"
#include "proc/reap.h"

#define NSEC_PER_TICK 10000000ULL
#define REAP_AT_ONCE 4  /* bounds the time with interrupts off */
#define WAIT_AT_ONCE 64 /* likewise */

/* Its real user id, now or at its end: exec and setuid replace the leader's credentials under
 * siglock. */
static kuid_t process_uid(struct process *p)
{
    kuid_t uid = 0;
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    if (p->leader)
        uid = p->leader->cred->uid;
    spin_unlock_irqrestore(&p->siglock, flags);
    return uid;
}

/* One that lives tells its leader's times, as on Linux: its threads may be many.
 * REQUIRES(proc_lock) */
static void reap_fill_info(struct process *p, struct process *to, int code, int status,
                           struct siginfo *info) REQUIRES(proc_lock)
{
    struct process_times times = p->times;

    ASSERT_HELD(&proc_lock);
    if (p->state == PROCESS_LIVE)
        sched_thread_times(p->leader->thread, &times.utime, &times.stime);
    *info = (struct siginfo){.signo = SIGCHLD, .code = code};
    info->chld.pid = pid_nr(p->pid, process_pid_ns(to));
    info->chld.uid = process_uid(p);
    info->chld.status = status;
    info->chld.utime = (s64)(times.utime / NSEC_PER_TICK);
    info->chld.stime = (s64)(times.stime / NSEC_PER_TICK);
}

static int wait_code_of_status(int status, int *value)
{
    if ((status & 0x7f) == 0) {
        *value = status >> 8 & 0xff;
        return CLD_EXITED;
    }
    *value = status & 0x7f;
    return status & 0x80 ? CLD_DUMPED : CLD_KILLED;
}

/* A child has something to tell. REQUIRES(proc_lock) */
static void wait_tell_locked(struct process *parent) REQUIRES(proc_lock)
{
    ASSERT_HELD(&proc_lock);
    WRITE_ONCE(parent->child_news, parent->child_news + 1); /* before the wake-up: process_wait */
    waitq_wake_all(&parent->child_wait);
}

/* The init of a namespace that ends reaps children of any exit signal. */
static bool reap_is_ending_init(const struct process *parent)
{
    return parent->ns_init && process_pid_ns(parent)->dying;
}

/* What the parent's program has asked for; one that it has replaced since counts no more. */
static int reap_exit_signal(const struct process *p)
{
    if (p->exit_signal != SIGCHLD && p->parent_exec_id != READ_ONCE(p->parent->exec_id))
        return SIGCHLD;
    return p->exit_signal > 0 && p->exit_signal <= NSIG ? p->exit_signal : 0;
}

bool reap_notify_exit_locked(struct process *p)
{
    struct process *parent = p->parent;
    struct siginfo info;
    bool ignored = false, quiet = false;
    int value, sig = reap_exit_signal(p);
    u64 flags;

    ASSERT_HELD(&proc_lock);
    int code = wait_code_of_status(p->exit_status, &value);
    reap_fill_info(p, parent, code, value, &info);
    info.signo = sig;
    if (sig == SIGCHLD) {
        spin_lock_irqsave(&parent->siglock, &flags);
        const struct sigaction *a = &parent->actions[SIGCHLD - 1];
        quiet = a->handler == SIG_IGN;
        ignored = quiet || a->flags & SA_NOCLDWAIT;
        spin_unlock_irqrestore(&parent->siglock, flags);
    }
    if (!quiet)
        signal_send_process(parent, sig, &info);
    waitq_wake_all(&p->pid->exit_wait);
    wait_tell_locked(parent);
    return ignored || reap_is_ending_init(parent);
}

void reap_unlink_locked(struct process *p, struct list_node *dead)
{
    ASSERT_HELD(&proc_lock);
    process_leave_parent_locked(p);
    p->state = PROCESS_REAPED;
    process_link_group_locked(p, NULL);
    process_link_session_locked(p, NULL);
    spin_lock(&p->pid->lock);
    list_del(&p->tgid_node);
    list_del(&p->leader->pid_node);
    spin_unlock(&p->pid->lock);
    pid_free_numbers_dying(p->pid);
    pid_free_numbers_unused(p->pid); /* its group or session may outlive it */
    list_add_tail(dead, &p->sibling);
}

void reap_leave_ns_locked(struct process *p)
{
    ASSERT_HELD(&proc_lock);
    if (p->state == PROCESS_ZOMBIE && !p->ppid)
        pid_free_numbers_dying(p->pid);
}

void reap_list(struct list_node *dead)
{
    struct process *p, *tmp;

    list_for_each_safe (p, tmp, dead, sibling) {
        LIST_HEAD(dropped);
        u64 flags;

        list_del(&p->sibling);
        spin_lock_irqsave(&p->siglock, &flags);
        sigpending_take_locked(&p->pending, ~0ULL, &dropped);
        spin_unlock_irqrestore(&p->siglock, flags);
        sigqueue_free_list(p, &dropped);
        sighand_leave(p);
        waitq_wake_all(&p->pid->exit_wait);
        cgroup_exit(&p->cgroup);
        DELAYPOINT(reap_leader);
        struct task *leader = p->leader;
        p->leader = NULL;
        task_put(leader);
        process_put(p);
        cond_yield();
    }
}

void reap_children(struct process *p)
{
    struct rb_node *n;
    u64 flags;

    for (;;) {
        LIST_HEAD(dead);

        spin_lock_irqsave(&proc_lock, &flags);
        for (int i = 0; i < REAP_AT_ONCE && (n = rb_first(&p->zombies)); i++)
            reap_unlink_locked(rb_entry(n, struct process, zombie_node), &dead);
        spin_unlock_irqrestore(&proc_lock, flags);
        if (list_empty(&dead))
            return;
        reap_list(&dead);
    }
}

void process_notify_parent(struct process *p, int code, int status)
{
    struct siginfo info;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    struct process *parent = p->parent;
    if (parent) {
        spin_lock(&parent->siglock);
        const struct sigaction *a = &parent->actions[SIGCHLD - 1];
        bool tell = a->handler != SIG_IGN && !(a->flags & SA_NOCLDSTOP);
        spin_unlock(&parent->siglock);
        if (tell) {
            reap_fill_info(p, parent, code, status, &info);
            signal_send_process(parent, SIGCHLD, &info);
        }
        wait_tell_locked(parent);
    }
    spin_unlock_irqrestore(&proc_lock, flags);
}

static bool wait_matches(const struct wait_request *req, const struct process *c)
{
    if (req->which == WAIT_PID && c->pid != req->pid)
        return false;
    if (req->which == WAIT_PGID && c->pgrp != req->pid)
        return false;
    if (req->options & __WALL)
        return true;
    return (c->exit_signal != SIGCHLD) == !!(req->options & __WCLONE);
}

static void wait_fill(struct process *c, struct wait_result *out)
{
    out->pid = pid_nr(c->pid, current_pid_ns());
    out->uid = user_ns_uid(current_cred()->user_ns, process_uid(c));
    out->times = c->times;
}

/* A walk over its threads, which may be many: not under proc_lock. */
static void wait_times_of_live(struct wait_result *out)
{
    if (!out->live)
        return;
    process_times_get(out->live, &out->times);
    process_put(out->live);
}

/* The reaped child's figures, and those of its own children, become the parent's. */
static void wait_absorb_times(struct process *me, struct process *c, const struct process_times *t)
{
    const struct process_times *part[] = {t, &c->child_times};
    u64 flags;

    spin_lock_irqsave(&me->siglock, &flags);
    for (int i = 0; i < 2; i++)
        process_times_add(&me->child_times, part[i]);
    spin_unlock_irqrestore(&me->siglock, flags);
}

/* A stop or continuation of c that the caller waits for. */
static bool wait_take_event(struct process *c, unsigned options, struct wait_result *out)
{
    u8 want =
        (options & WUNTRACED ? PEVENT_STOPPED : 0) | (options & WCONTINUED ? PEVENT_CONTINUED : 0);
    u64 flags;

    if (!(READ_ONCE(c->events) & want))
        return false;
    spin_lock_irqsave(&c->siglock, &flags);
    u8 got = c->events & want;
    int sig = c->stop_signal;
    if (got && !(options & WNOWAIT))
        c->events = 0;
    spin_unlock_irqrestore(&c->siglock, flags);
    if (!got)
        return false;
    if (got & PEVENT_STOPPED) {
        out->code = CLD_STOPPED;
        out->status = sig << 8 | 0x7f;
    } else {
        out->code = CLD_CONTINUED;
        out->status = 0xffff;
    }
    wait_fill(c, out);
    process_get(c);
    out->live = c;
    return true;
}

/* What c has to tell: 1 with *out, else 0. */
static int wait_look(struct process *c, const struct wait_request *req, struct wait_result *out,
                     struct list_node *dead) REQUIRES(proc_lock)
{
    int value;

    ASSERT_HELD(&proc_lock);
    if (c->state != PROCESS_ZOMBIE)
        return wait_take_event(c, req->options, out);
    if (!(req->options & WEXITED))
        return 0;
    wait_fill(c, out);
    out->status = c->exit_status;
    out->code = wait_code_of_status(c->exit_status, &value);
    if (!(req->options & WNOWAIT)) {
        wait_absorb_times(current_process(), c, &out->times);
        reap_unlink_locked(c, dead);
    }
    return 1;
}

/* A zombie has nothing to report, now or later, to a caller that does not wait for ends. */
static bool wait_may_tell(const struct wait_request *req, const struct process *c)
{
    return wait_matches(req, c) && (c->state != PROCESS_ZOMBIE || req->options & WEXITED);
}

static int wait_scan_one(const struct wait_request *req, struct wait_result *out,
                         struct list_node *dead) REQUIRES(proc_lock)
{
    struct process *c = list_first(&req->pid->tasks[PID_TGID], struct process, tgid_node);

    ASSERT_HELD(&proc_lock);
    if (!c || c->parent != current_process() || !wait_may_tell(req, c))
        return -ECHILD;
    return wait_look(c, req, out, dead);
}

/* In a walk over the children, which may be many: lets others at proc_lock, whose flags these are,
 * and at the processor. False: c is no child any more, the walk begins again. */
static bool wait_pause_locked(struct process *c, u64 *flags) REQUIRES(proc_lock)
{
    ASSERT_HELD(&proc_lock);
    process_get(c);
    spin_unlock_irqrestore(&proc_lock, *flags);
    cond_yield();
    spin_lock_irqsave(&proc_lock, flags);
    if (c->parent == current_process()) {
        process_put(c); /* not the last: the tree has one */
        return true;
    }
    spin_unlock_irqrestore(&proc_lock, *flags);
    process_put(c);
    spin_lock_irqsave(&proc_lock, flags);
    return false;
}

/* All children, in their order: stops and continuations are not gathered anywhere. any: that there
 * is one to wait for is all that is still to be known. */
static int wait_scan_all(const struct wait_request *req, struct wait_result *out,
                         struct list_node *dead, bool any, u64 *flags) REQUIRES(proc_lock)
{
    struct process *c;
    unsigned looks = 0;
    int result = -ECHILD;

    ASSERT_HELD(&proc_lock);
again:
    list_for_each (c, &current_process()->children, sibling) {
        if (++looks % WAIT_AT_ONCE == 0 && !wait_pause_locked(c, flags))
            goto again;
        if (!wait_may_tell(req, c))
            continue;
        result = wait_look(c, req, out, dead);
        if (result || any)
            break;
    }
    return result;
}

static int wait_scan_zombies(const struct wait_request *req, struct wait_result *out,
                             struct list_node *dead, u64 *flags) REQUIRES(proc_lock)
{
    struct process *c;
    struct rb_node *n;
    unsigned looks = 0;

    ASSERT_HELD(&proc_lock);
    rb_for_each (n, &current_process()->zombies) {
        c = rb_entry(n, struct process, zombie_node);
        if (wait_matches(req, c))
            return wait_look(c, req, out, dead);
        if (++looks == WAIT_AT_ONCE)
            return wait_scan_all(req, out, dead, false, flags);
    }
    return wait_scan_all(req, out, dead, true, flags); /* most often the first */
}

/* One look at the children: 1 found, 0 nothing yet, -ECHILD. */
static int wait_scan(const struct wait_request *req, struct wait_result *out,
                     struct list_node *dead)
{
    int result;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    if (req->which == WAIT_PID)
        result = wait_scan_one(req, out, dead);
    else if (req->options & (WUNTRACED | WCONTINUED) || !(req->options & WEXITED))
        result = wait_scan_all(req, out, dead, false, &flags);
    else
        result = wait_scan_zombies(req, out, dead, &flags);
    spin_unlock_irqrestore(&proc_lock, flags);
    return result;
}

int process_wait(const struct wait_request *req, struct wait_result *out)
{
    struct process *me = current_process();
    struct wait_thread w = {.queue = NULL};
    LIST_HEAD(dead);
    int found, err = 0;
    u64 seen;

    out->live = NULL;
    for (;;) {
        seen = READ_ONCE(me->child_news); /* before the look, which may yield: no part of a sleep */
        found = wait_scan(req, out, &dead);
        if (found || err || req->options & WNOHANG)
            break;
        wait_begin(&w, &me->child_wait, SLEEP_INTERRUPTIBLE);
        if (READ_ONCE(me->child_news) == seen)
            err = wait_commit(&w, 0);
        wait_end(&w);
    }
    reap_list(&dead);
    wait_times_of_live(out);
    return found == 0 && err ? -ERESTARTSYS : found;
}
