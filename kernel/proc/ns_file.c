/* SPDX-License-Identifier: MIT
 *
 * The kinds of namespaces in one table: their files in /proc/<pid>/ns, and setns(2), which enters
 * what such a file or a pidfd names.
 */
#include "container/cgroup.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/net.h"
#include "proc/fs_context.h"
#include "proc/nsset_priv.h"
#include "proc/pidfd.h"
#include "proc/procfs.h"
#include "proc/vdso.h"

/* How /proc names them, how one is taken from a task, entered and let go. */
struct ns_kind {
    const char *name, *link; /* link: what the number is shown with */
    u64 flag;
    void *(*take)(struct task *t, struct nsset *ns); /* a reference */
    void (*put)(void *ns);
    u64 (*inum)(void *ns);
};

#define NS_KIND(kind, member, type, getter, putter, number)       \
    static void *ns_take_##kind(struct task *t, struct nsset *ns) \
    {                                                             \
        struct type *it = ns->member;                             \
        if (it)                                                   \
            getter;                                               \
        return it;                                                \
    }                                                             \
    static void ns_put_##kind(void *ns)                           \
    {                                                             \
        struct type *it = ns;                                     \
        putter;                                                   \
    }                                                             \
    static u64 ns_inum_##kind(void *ns)                           \
    {                                                             \
        struct type *it = ns;                                     \
        return number;                                            \
    }
NS_KIND(mnt, mount, mount_ns, mount_ns_get(it), mount_ns_put(it), mount_ns_inum(it))
NS_KIND(uts, uts, uts_ns, refcount_get(&it->ref), uts_ns_put(it), it->inum)
NS_KIND(ipc, ipc, ipc_ns, ipc_ns_get(it), ipc_ns_put(it), it->inum)
NS_KIND(net, net, net_ns, net_ns_get(it), net_ns_put(it), it->inum)
NS_KIND(pidc, pid_for_children, pid_ns, pid_ns_get(it), pid_ns_put(it), it->inum)
NS_KIND(cgroup, cgroup, cgroup_ns, cgroup_ns_get(it), cgroup_ns_put(it), it->inum)
NS_KIND(time, time, time_ns, refcount_get(&it->ref), time_ns_put(it), it->inum)
NS_KIND(timec, time_for_children, time_ns, refcount_get(&it->ref), time_ns_put(it), it->inum)

static void *ns_take_pid(struct task *t, struct nsset *ns)
{
    struct pid_ns *it = process_pid_ns(t->process);

    pid_ns_get(it);
    return it;
}

static void *ns_take_user(struct task *t, struct nsset *ns)
{
    const struct cred *c = task_cred(t);
    struct user_ns *it = c->user_ns;

    user_ns_get(it);
    cred_put(c);
    return it;
}

static void ns_put_user(void *ns)
{
    user_ns_put(ns);
}

static u64 ns_inum_user(void *ns)
{
    return ((struct user_ns *)ns)->inum;
}

static const struct ns_kind ns_kinds[NS_KINDS] = {
    {"cgroup", "cgroup", CLONE_NEWCGROUP, ns_take_cgroup, ns_put_cgroup, ns_inum_cgroup},
    {"ipc", "ipc", CLONE_NEWIPC, ns_take_ipc, ns_put_ipc, ns_inum_ipc},
    {"mnt", "mnt", CLONE_NEWNS, ns_take_mnt, ns_put_mnt, ns_inum_mnt},
    {"net", "net", CLONE_NEWNET, ns_take_net, ns_put_net, ns_inum_net},
    {"pid", "pid", CLONE_NEWPID, ns_take_pid, ns_put_pidc, ns_inum_pidc},
    {"pid_for_children", "pid", CLONE_NEWPID, ns_take_pidc, ns_put_pidc, ns_inum_pidc},
    {"time", "time", CLONE_NEWTIME, ns_take_time, ns_put_time, ns_inum_time},
    {"time_for_children", "time", CLONE_NEWTIME, ns_take_timec, ns_put_timec, ns_inum_timec},
    {"user", "user", CLONE_NEWUSER, ns_take_user, ns_put_user, ns_inum_user},
    {"uts", "uts", CLONE_NEWUTS, ns_take_uts, ns_put_uts, ns_inum_uts},
};

const char *ns_name(unsigned kind)
{
    return kind < NS_KINDS ? ns_kinds[kind].name : NULL;
}

static void *ns_take(struct task *t, unsigned kind)
{
    struct nsset *set = task_nsset(t);

    if (!set)
        return NULL;
    void *ns = ns_kinds[kind].take(t, set);
    nsset_put(set);
    return ns;
}

int ns_link(struct task *t, unsigned kind, char *buf, size_t n)
{
    void *ns = ns_take(t, kind);

    if (!ns)
        return -ENOENT;
    int len = scnprintf(buf, n, "%s:[%lu]", ns_kinds[kind].link, ns_kinds[kind].inum(ns));
    ns_kinds[kind].put(ns);
    return len;
}

/* An open namespace: what setns takes. */
struct ns_file {
    const struct ns_kind *kind;
    void *ns;
};

static void ns_file_release(struct file *f)
{
    struct ns_file *nf = f->priv;

    nf->kind->put(nf->ns);
    kfree(nf);
}

static int ns_file_stat(struct file *f, struct kstat *out)
{
    struct ns_file *nf = f->priv;

    *out = (struct kstat){.dev = 4,
                          .ino = nf->kind->inum(nf->ns),
                          .mode = S_IFREG | 0444,
                          .nlink = 1,
                          .blksize = PAGE_SIZE};
    return 0;
}

#define NS_GET_NSTYPE 0xb703
static s64 ns_file_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    return cmd == NS_GET_NSTYPE ? (s64)((struct ns_file *)f->priv)->kind->flag : -ENOTTY;
}

static const struct file_ops ns_file_ops = {
    .name = "[nsfs]",
    .release = ns_file_release,
    .stat = ns_file_stat,
    .ioctl = ns_file_ioctl,
};

struct file *ns_open(struct task *t, unsigned kind)
{
    struct ns_file *nf = kmalloc(sizeof(*nf));

    if (!nf)
        return ERR_PTR(-ENOMEM);
    nf->kind = &ns_kinds[kind];
    nf->ns = ns_take(t, kind);
    struct file *f = nf->ns ? file_create(&ns_file_ops, O_RDONLY, nf) : NULL;
    if (f)
        return f;
    int err = nf->ns ? -ENOMEM : -ESRCH;
    if (nf->ns)
        nf->kind->put(nf->ns);
    kfree(nf);
    return ERR_PTR(err);
}

/* The privilege over the target, which is its owner's. */
static int ns_may_enter(const struct ns_kind *k, void *ns)
{
    const struct cred *me = current_cred();
    struct user_ns *owner = &user_ns_init;

    if (k->flag == CLONE_NEWUTS)
        owner = ((struct uts_ns *)ns)->user_ns;
    else if (k->flag == CLONE_NEWIPC)
        owner = ((struct ipc_ns *)ns)->user_ns;
    else if (k->flag == CLONE_NEWPID)
        owner = ((struct pid_ns *)ns)->user_ns;
    else if (k->flag == CLONE_NEWUSER)
        owner = ns;
    return cred_capable(me, owner, CAP_SYS_ADMIN) && cred_capable(me, me->user_ns, CAP_SYS_ADMIN)
               ? 0
               : -EPERM;
}

static int ns_enter_user(struct user_ns *u)
{
    if (u == current_cred()->user_ns || current_process()->nr_tasks > 1)
        return -EINVAL;
    /* Who shares the root directory, and stays outside, must not be chrooted by one inside. */
    if (refcount_read(&current_task()->fs->ref) != 1)
        return -EINVAL;
    struct cred *c = cred_copy(current_cred());
    if (!c)
        return -ENOMEM;
    user_ns_get(u);
    user_ns_enter(u, c);
    task_set_cred(c);
    return 0;
}

/* A pid namespace for children must be current's own or one below it. */
static bool ns_pid_reachable(struct pid_ns *target)
{
    struct pid_ns *own = current_pid_ns();

    for (; target && target->level > own->level; target = target->parent)
        ;
    return target == own;
}

#define NS_SWAP(set, member, value, getter, putter) \
    do {                                            \
        __typeof__((set)->member) it = value;       \
        getter;                                     \
        it = (set)->member;                         \
        putter;                                     \
        (set)->member = value;                      \
    } while (0)

/* Without other threads, and without another process that shares the memory: a process counts
 * twice, for itself and for its thread. One that is being inspected is told to come again. */
static bool ns_alone_in_aspace(void)
{
    struct process *p = current_process();

    return p->nr_tasks == 1 && refcount_read(&p->aspace->users) <= 2;
}

static int ns_enter_one(struct nsset *set, const struct ns_kind *k, void *ns, bool *new_mount)
{
    switch (k->flag) {
    case CLONE_NEWNS:
        if (refcount_read(&current_task()->fs->ref) != 1)
            return -EINVAL;
        NS_SWAP(set, mount, ns, mount_ns_get(it), mount_ns_put(it));
        *new_mount = true;
        return 0;
    case CLONE_NEWUTS:
        NS_SWAP(set, uts, ns, refcount_get(&it->ref), uts_ns_put(it));
        return 0;
    case CLONE_NEWIPC:
        sem_undo_exit(current_task());
        NS_SWAP(set, ipc, ns, ipc_ns_get(it), ipc_ns_put(it));
        return 0;
    case CLONE_NEWNET:
        NS_SWAP(set, net, ns, net_ns_get(it), if (it) net_ns_put(it));
        return 0;
    case CLONE_NEWCGROUP:
        NS_SWAP(set, cgroup, ns, cgroup_ns_get(it), cgroup_ns_put(it));
        return 0;
    case CLONE_NEWPID:
        if (!ns_pid_reachable(ns))
            return -EINVAL;
        NS_SWAP(set, pid_for_children, ns, pid_ns_get(it), pid_ns_put(it));
        return 0;
    case CLONE_NEWTIME:
        if (!ns_alone_in_aspace())
            return -EUSERS; /* one clock page cannot tell two times */
        time_ns_enter(ns);
        NS_SWAP(set, time, ns, refcount_get(&it->ref), time_ns_put(it));
        NS_SWAP(set, time_for_children, ns, refcount_get(&it->ref), time_ns_put(it));
        return 0;
    default:
        return -EINVAL;
    }
}

static void ns_move_root(struct nsset *set)
{
    struct path root;

    mount_ns_root(set->mount, &root);
    fs_set_root(current_task()->fs, &root);
    fs_set_cwd(current_task()->fs, &root);
    path_put(&root);
}

/* The current task takes set, which is consumed in any case. */
static int ns_install(struct nsset *set, bool new_mount)
{
    int err = 0;

    if (set->time != current_task()->ns->time)
        err = vdso_enter_time(current_process()->aspace, set->time);
    if (err) {
        nsset_put(set);
        return err;
    }
    nsset_install(set);
    if (new_mount)
        ns_move_root(set);
    return 0;
}

/* All the namespaces of a process that a pidfd names and nstype selects. */
static int ns_setns_pidfd(struct pid *pid, u64 nstype)
{
    struct process *p = process_of_pid(pid);
    struct task *t = p ? process_task(p) : NULL;
    struct nsset *set = nsset_clone(current_task()->ns);
    bool new_mount = false;
    int err = !t ? -ESRCH : !set ? -ENOMEM : !nstype || nstype & ~CLONE_NS_FLAGS ? -EINVAL : 0;

    for (unsigned i = 0; !err && i < NS_KINDS; i++) {
        const struct ns_kind *k = &ns_kinds[i];
        if (!(k->flag & nstype) || strcmp(k->name, k->link) != 0)
            continue;
        void *ns = ns_take(t, i);
        err = !ns ? -ESRCH : ns_may_enter(k, ns);
        if (!err && k->flag == CLONE_NEWUSER)
            err = ns_enter_user(ns);
        else if (!err)
            err = ns_enter_one(set, k, ns, &new_mount);
        if (ns)
            k->put(ns);
    }
    if (!err)
        err = ns_install(set, new_mount);
    else if (set)
        nsset_put(set);
    if (t)
        task_put(t);
    if (p)
        process_put(p);
    return err;
}

int ns_setns(struct file *f, u64 nstype)
{
    bool new_mount = false;

    struct pid *pid = pidfd_pid(f);
    if (pid) {
        int err = ns_setns_pidfd(pid, nstype);
        pid_put(pid);
        return err;
    }
    struct file *shown = procfs_ns_file(f);
    if (shown) { /* opened through /proc: the namespace behind it */
        int err = IS_ERR(shown) ? PTR_ERR(shown) : ns_setns(shown, nstype);
        if (!IS_ERR(shown))
            file_put(shown);
        return err;
    }
    if (f->ops != &ns_file_ops)
        return -EINVAL;
    struct ns_file *nf = f->priv;
    if (nstype && nstype != nf->kind->flag)
        return -EINVAL;
    int err = ns_may_enter(nf->kind, nf->ns);
    if (err)
        return err;
    if (nf->kind->flag == CLONE_NEWUSER)
        return ns_enter_user(nf->ns);
    struct nsset *set = nsset_clone(current_task()->ns);
    if (!set)
        return -ENOMEM;
    err = ns_enter_one(set, nf->kind, nf->ns, &new_mount);
    if (err) {
        nsset_put(set);
        return err;
    }
    return ns_install(set, new_mount);
}
