/* SPDX-License-Identifier: MIT
 *
 * The receivers of a descriptor's signals, F_SETOWN and the like, and the signals. The owner is
 * kept as what it is, not as a number: each caller is told the number of its own pid namespace.
 */
#include "linux/sys.h"
#include "net/core/up.h"
#include "vfs/up.h"

/* struct f_owner_ex */
struct owner_user {
    s32 type, pid;
};

/* `fresh`, whose reference becomes the file's, is named by current. Returns the former owner's.
 * REQUIRES(f->watch_lock) */
static struct pid *file_own_locked(struct file *f, u32 type, struct pid *fresh)
    REQUIRES(f->watch_lock)
{
    struct pid *old = f->owner;

    ASSERT_HELD(&f->watch_lock);
    f->owner = fresh;
    f->owner_type = type;
    f->owner_uid = current_cred()->uid;
    f->owner_euid = current_cred()->euid;
    return old;
}

static int file_own(struct file *f, u32 type, s32 nr)
{
    struct pid *fresh = nr ? pid_find(current_pid_ns(), (u32)nr) : NULL, *old;

    if (nr && !fresh)
        return -ESRCH;
    spin_lock(&f->watch_lock);
    old = file_own_locked(f, type, fresh);
    spin_unlock(&f->watch_lock);
    if (old)
        pid_put(old);
    return 0;
}

/* If the owner is `from`, which is compared only, or nothing: it is `to` now. */
static bool file_own_change(struct file *f, const struct pid *from, u32 type, struct pid *to)
{
    struct pid *old = NULL;
    bool changed;

    spin_lock(&f->watch_lock);
    changed = f->owner == from;
    if (changed) {
        if (to)
            pid_get(to);
        old = file_own_locked(f, type, to);
    }
    spin_unlock(&f->watch_lock);
    if (old)
        pid_put(old);
    return changed;
}

static struct owner_user file_owner(struct file *f)
{
    struct owner_user u;

    spin_lock(&f->watch_lock);
    u.type = (s32)f->owner_type;
    u.pid = f->owner ? (s32)pid_nr(f->owner, current_pid_ns()) : 0;
    spin_unlock(&f->watch_lock);
    return u;
}

s64 file_set_owner(struct file *f, s32 nr)
{
    if (nr == INT32_MIN)
        return -EINVAL;
    return nr < 0 ? file_own(f, FILE_OWNER_GROUP, -nr) : file_own(f, FILE_OWNER_PROCESS, nr);
}

s64 file_get_owner(struct file *f)
{
    struct owner_user u = file_owner(f);

    return u.type == FILE_OWNER_GROUP ? -u.pid : u.pid;
}

s64 file_set_owner_ex(struct file *f, u64 uptr)
{
    struct owner_user u;

    if (IN(u, uptr))
        return -EFAULT;
    if ((u32)u.type > FILE_OWNER_GROUP)
        return -EINVAL;
    return u.pid < 0 ? -ESRCH : file_own(f, (u32)u.type, u.pid);
}

s64 file_get_owner_ex(struct file *f, u64 uptr)
{
    struct owner_user u = file_owner(f);

    return OUT(uptr, u);
}

/* The taker of a lease gets the signal of its end, unless an owner was named; from the first moment
 * on, so the owner comes first, and goes again where there is no lease. */
s64 file_set_lease(struct file *f, s32 fd, s32 type)
{
    struct pid *me = current_process()->pid;
    bool named = type != F_UNLCK && file_own_change(f, NULL, FILE_OWNER_PROCESS, me);
    int err = file_lease_set(f, fd, type);

    if (err && named)
        (void)file_own_change(f, me, FILE_OWNER_PROCESS, NULL);
    return err;
}

/* What one signal is about. */
struct owner_signal {
    struct siginfo info;
    u32 sig;   /* F_SETSIG's, or 0 */
    int plain; /* where that is not named, or finds no space */
    kuid_t uid, euid;
};

static bool owner_may_signal(const struct owner_signal *s, struct task *t)
{
    const struct cred *c = t ? task_cred(t) : NULL;
    bool may = c && (s->euid == 0 || s->euid == c->suid || s->euid == c->uid || s->uid == c->suid ||
                     s->uid == c->uid);

    if (c)
        cred_put(c);
    return may;
}

/* signal_member_fn */
static int owner_signal_member(struct process *p, u64 shared, const void *arg)
{
    const struct owner_signal *s = arg;

    if (!owner_may_signal(s, p->leader))
        return -EPERM;
    if (s->sig && !signal_send_shared(p, (int)s->sig, &s->info, shared))
        return 0;
    return signal_send_shared(p, s->plain, NULL, shared);
}

static void owner_signal_thread(struct pid *pid, const struct owner_signal *s)
{
    struct task *t = task_of_pid(pid);

    if (!t)
        return;
    if (owner_may_signal(s, t) && (!s->sig || signal_send_task(t, (int)s->sig, &s->info)))
        (void)signal_send_task(t, s->plain, NULL);
    task_put(t);
}

static void owner_signal_leader(struct pid *pid, const struct owner_signal *s)
{
    struct process *p = process_of_pid(pid);
    struct task *t = p ? process_leader(p) : NULL;

    if (t && owner_may_signal(s, t) && (!s->sig || signal_send_process(p, (int)s->sig, &s->info)))
        (void)signal_send_process(p, s->plain, NULL);
    if (t)
        task_put(t);
    if (p)
        process_put(p);
}

/* Takes the owner's reference. */
static void owner_signal_send(struct file_owner_ref *owner, struct owner_signal *s)
{
    s->uid = owner->uid;
    s->euid = owner->euid;
    if (owner->type == FILE_OWNER_THREAD)
        owner_signal_thread(owner->pid, s);
    else if (owner->type == FILE_OWNER_PROCESS)
        owner_signal_leader(owner->pid, s);
    else
        (void)signal_group_members(owner->pid, signal_shared_number(), owner_signal_member, s);
    pid_put(owner->pid);
}

void up_file_signal(struct file *f, s32 fd, s32 code, s64 band)
{
    struct owner_signal s = {.info = {.code = code, .poll = {.band = band, .fd = fd}},
                             .plain = SIGIO};
    struct file_owner_ref owner;

    if (!file_owner_hold(f, &owner))
        return;
    s.sig = READ_ONCE(f->owner_sig);
    owner_signal_send(&owner, &s);
}

void up_owner_urgent(struct file_owner_ref *owner)
{
    struct owner_signal s = {.plain = SIGURG};

    owner_signal_send(owner, &s);
}
