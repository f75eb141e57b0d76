/* SPDX-License-Identifier: MIT
 *
 * wait(2) and its family, and the reaping of zombies. The children's states are looked at under
 * proc_lock; the parent's child_wait is woken by whatever changes one.
 */
#include "lib/errno.h"
#include "proc/proc_priv.h"
#include "proc/reap.h"

#define NSEC_PER_TICK 10000000ULL

/* Who it is, or was: exec and setuid replace the leader's credentials under siglock. */
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

static void reap_fill_info(struct process *p, struct process *to, int code, int status,
                           struct siginfo *info)
{
    struct process_times times;

    process_times_get(p, &times);
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

bool reap_notify_exit_locked(struct process *p)
{
    struct process *parent = p->parent;
    struct siginfo info;
    bool ignored = false;
    int value;
    u64 flags;

    int code = wait_code_of_status(p->exit_status, &value);
    reap_fill_info(p, parent, code, value, &info);
    if (p->exit_signal == SIGCHLD) {
        spin_lock_irqsave(&parent->siglock, &flags);
        const struct sigaction *a = &parent->actions[SIGCHLD - 1];
        ignored = a->handler == SIG_IGN || a->flags & SA_NOCLDWAIT;
        bool quiet = a->handler == SIG_IGN;
        spin_unlock_irqrestore(&parent->siglock, flags);
        if (!quiet)
            signal_send_process(parent, SIGCHLD, &info);
    } else if (p->exit_signal) {
        info.signo = p->exit_signal;
        signal_send_process(parent, p->exit_signal, &info);
    }
    waitq_wake_all(&p->pid->exit_wait);
    waitq_wake_all(&parent->child_wait);
    return ignored;
}

void reap_unlink_locked(struct process *p, struct list_node *dead)
{
    p->state = PROCESS_REAPED;
    list_del(&p->sibling);
    process_link_group_locked(p, NULL);
    process_link_session_locked(p, NULL);
    spin_lock(&p->pid->lock);
    list_del(&p->tgid_node);
    list_del(&p->leader->pid_node);
    spin_unlock(&p->pid->lock);
    pid_free_numbers_unused(p->pid); /* its group or session may outlive it */
    list_add_tail(dead, &p->sibling);
}

/* Wakes each namespace's init, which may be waiting for the namespace to empty. */
static void reap_wake_inits(struct pid *pid)
{
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    for (unsigned i = 1; i <= pid->level; i++) {
        struct process *init = pid->numbers[i].ns->reaper;
        if (init)
            waitq_wake_all(&init->child_wait);
    }
    spin_unlock_irqrestore(&proc_lock, flags);
}

void reap_list(struct list_node *dead)
{
    struct process *p, *tmp;

    list_for_each_safe (p, tmp, dead, sibling) {
        list_del(&p->sibling);
        u64 flags;
        spin_lock_irqsave(&p->siglock, &flags);
        sigpending_flush(p, &p->pending, ~0ULL);
        spin_unlock_irqrestore(&p->siglock, flags);
        waitq_wake_all(&p->pid->exit_wait);
        reap_wake_inits(p->pid);
        cgroup_exit(&p->cgroup);
        struct task *leader = p->leader;
        p->leader = NULL;
        task_put(leader);
        process_put(p);
    }
}

void reap_ignored_children(struct process *p)
{
    LIST_HEAD(dead);
    struct process *c, *tmp;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    list_for_each_safe (c, tmp, &p->children, sibling) {
        if (c->state == PROCESS_ZOMBIE)
            reap_unlink_locked(c, &dead);
    }
    spin_unlock_irqrestore(&proc_lock, flags);
    reap_list(&dead);
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
        waitq_wake_all(&parent->child_wait);
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
    process_times_get(c, &out->times);
}

/* The reaped child's figures, and those of its own children, become the parent's. */
static void wait_absorb_times(struct process *me, struct process *c, const struct process_times *t)
{
    const struct process_times *part[] = {t, &c->child_times};
    struct process_times *sum = &me->child_times;
    u64 flags;

    spin_lock_irqsave(&me->siglock, &flags);
    for (int i = 0; i < 2; i++) {
        sum->utime += part[i]->utime;
        sum->stime += part[i]->stime;
        sum->min_faults += part[i]->min_faults;
        sum->maj_faults += part[i]->maj_faults;
        sum->nvcsw += part[i]->nvcsw;
        sum->nivcsw += part[i]->nivcsw;
        sum->max_rss = MAX(sum->max_rss, part[i]->max_rss);
    }
    spin_unlock_irqrestore(&me->siglock, flags);
}

/* A stop or continuation of c that the caller wants to hear of. */
static bool wait_take_event(struct process *c, unsigned options, struct wait_result *out)
{
    u8 want =
        (options & WUNTRACED ? PEVENT_STOPPED : 0) | (options & WCONTINUED ? PEVENT_CONTINUED : 0);
    u64 flags;

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
    return true;
}

/* One look at the children: 1 found, 0 nothing yet, -ECHILD. */
static int wait_scan(const struct wait_request *req, struct wait_result *out,
                     struct list_node *dead)
{
    struct process *me = current_process(), *c;
    int result = -ECHILD, value;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    list_for_each (c, &me->children, sibling) {
        if (!wait_matches(req, c))
            continue;
        if (c->state == PROCESS_ZOMBIE) {
            if (!(req->options & WEXITED))
                continue; /* nothing more will come from it */
            wait_fill(c, out);
            out->status = c->exit_status;
            out->code = wait_code_of_status(c->exit_status, &value);
            result = 1;
            if (!(req->options & WNOWAIT)) {
                wait_absorb_times(me, c, &out->times);
                reap_unlink_locked(c, dead);
            }
            break;
        }
        if (wait_take_event(c, req->options, out)) {
            result = 1;
            break;
        }
        result = 0;
    }
    spin_unlock_irqrestore(&proc_lock, flags);
    return result;
}

int process_wait(const struct wait_request *req, struct wait_result *out)
{
    struct process *me = current_process();
    struct wait_thread w;
    LIST_HEAD(dead);
    int found = wait_scan(req, out, &dead), err = 0;

    while (found == 0 && !err && !(req->options & WNOHANG)) {
        wait_begin(&w, &me->child_wait, SLEEP_INTERRUPTIBLE);
        found = wait_scan(req, out, &dead);
        if (!found)
            err = wait_commit(&w, 0);
        wait_end(&w);
        if (!found)
            found = wait_scan(req, out, &dead);
    }
    reap_list(&dead); /* may sleep: not inside the loop's half-sleep */
    return found == 0 && err ? -ERESTARTSYS : found;
}
