/* SPDX-License-Identifier: MIT
 *
 * The current task, as lower layers and this folder ask for it: credentials, number, limits. Calls
 * no other file of the folder.
 */
#include "net/core/up.h"
#include "net/core/ns.h"
#include "proc/nsset.h"
#include "obj/up.h"
#include "proc/proc.h"
#include "proc/proc_priv.h"
#include "proc/rlimit.h"

/* May it do more than it could? In a namespace that it has made itself, or one below that, it could
 * do all before. */
static bool cred_gains(const struct cred *c, const struct cred *old)
{
    const struct user_ns *ns = c->user_ns;

    if (ns == old->user_ns)
        return c->cap_permitted & ~old->cap_permitted;
    while (ns && ns->parent != old->user_ns)
        ns = ns->parent;
    return !ns || ns->owner != old->euid;
}

/* Does a change of credentials give other ids or more rights? prctl(2), under
 * PR_SET_DUMPABLE and PR_SET_PDEATHSIG. */
static bool cred_is_stranger(const struct cred *c, const struct cred *old)
{
    return c->euid != old->euid || c->egid != old->egid || c->fsuid != old->fsuid ||
           c->fsgid != old->fsgid || cred_gains(c, old);
}

void task_set_cred(struct cred *new_cred)
{
    struct task *t = current_task();
    const struct cred *old = t->cred;
    u64 flags;

    if (cred_is_stranger(new_cred, old)) {
        t->process->dumpable = false;
        death_signal_set(t, 0);
    }
    spin_lock_irqsave(&t->process->siglock, &flags);
    t->cred = new_cred;
    spin_unlock_irqrestore(&t->process->siglock, flags);
    cred_put(old);
    cred_spares_put();
}

struct pid *up_current_pid(void)
{
    struct task *t = current_task();

    return t ? t->process->pid : NULL; /* a kernel thread has none */
}

struct pid_ns *up_current_pid_ns(void)
{
    return current_pid_ns();
}

struct net_ns *up_current_net_ns(void)
{
    return current_task()->ns->net;
}

void *up_sysfs_net(void)
{
    struct net_ns *ns = current_task()->ns->net;

    net_ns_get(ns);
    return ns;
}

void up_sysfs_net_put(void *net)
{
    net_ns_put(net);
}

const struct cred *up_current_cred(void)
{
    struct task *t = current_task();

    return t ? t->cred : &cred_init;
}

u64 rlimit_current(unsigned which)
{
    return READ_ONCE(current_process()->rlimits[which].cur);
}
