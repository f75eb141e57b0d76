/* SPDX-License-Identifier: MIT
 *
 * The kinds of namespaces in one table: their files in /proc/<pid>/ns, and setns(2), which enters
 * what such a file or a pidfd names.
 */
#include "arch/x86/uaccess.h"
#include "container/cgroup.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/ns.h"
#include "net/core/up.h"
#include "proc/fdtable.h"
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
    struct user_ns *(*owner)(void *ns); /* borrowed; the parent of a user namespace */
};

#define NS_KIND(kind, member, type, getter, putter, number, owner_ns) \
    static void *ns_take_##kind(struct task *t, struct nsset *ns)     \
    {                                                                 \
        struct type *it = ns->member;                                 \
        if (it)                                                       \
            getter;                                                   \
        return it;                                                    \
    }                                                                 \
    static void ns_put_##kind(void *ns)                               \
    {                                                                 \
        struct type *it = ns;                                         \
        putter;                                                       \
    }                                                                 \
    static u64 ns_inum_##kind(void *ns)                               \
    {                                                                 \
        struct type *it = ns;                                         \
        return number;                                                \
    }                                                                 \
    static struct user_ns *ns_owner_##kind(void *ns)                  \
    {                                                                 \
        struct type *it = ns;                                         \
        return owner_ns;                                              \
    }
NS_KIND(mnt, mount, mount_ns, mount_ns_get(it), mount_ns_put(it), mount_ns_inum(it),
        mount_ns_owner(it))
NS_KIND(uts, uts, uts_ns, refcount_get(&it->ref), uts_ns_put(it), it->inum, it->user_ns)
NS_KIND(ipc, ipc, ipc_ns, ipc_ns_get(it), ipc_ns_put(it), it->inum, it->user_ns)
NS_KIND(net, net, net_ns, net_ns_get(it), net_ns_put(it), it->inum, it->user_ns)
NS_KIND(pidc, pid_for_children, pid_ns, pid_ns_get(it), pid_ns_put(it), it->inum, it->user_ns)
NS_KIND(cgroup, cgroup, cgroup_ns, cgroup_ns_get(it), cgroup_ns_put(it), it->inum, it->user_ns)
NS_KIND(time, time, time_ns, refcount_get(&it->ref), time_ns_put(it), it->inum, it->user_ns)
NS_KIND(timec, time_for_children, time_ns, refcount_get(&it->ref), time_ns_put(it), it->inum,
        it->user_ns)

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

static struct user_ns *ns_owner_user(void *ns)
{
    return ((struct user_ns *)ns)->parent;
}

static const struct ns_kind ns_kinds[NS_KINDS] = {
    {"cgroup", "cgroup", CLONE_NEWCGROUP, ns_take_cgroup, ns_put_cgroup, ns_inum_cgroup,
     ns_owner_cgroup},
    {"ipc", "ipc", CLONE_NEWIPC, ns_take_ipc, ns_put_ipc, ns_inum_ipc, ns_owner_ipc},
    {"mnt", "mnt", CLONE_NEWNS, ns_take_mnt, ns_put_mnt, ns_inum_mnt, ns_owner_mnt},
    {"net", "net", CLONE_NEWNET, ns_take_net, ns_put_net, ns_inum_net, ns_owner_net},
    {"pid", "pid", CLONE_NEWPID, ns_take_pid, ns_put_pidc, ns_inum_pidc, ns_owner_pidc},
    {"pid_for_children", "pid", CLONE_NEWPID, ns_take_pidc, ns_put_pidc, ns_inum_pidc,
     ns_owner_pidc},
    {"time", "time", CLONE_NEWTIME, ns_take_time, ns_put_time, ns_inum_time, ns_owner_time},
    {"time_for_children", "time", CLONE_NEWTIME, ns_take_timec, ns_put_timec, ns_inum_timec,
     ns_owner_timec},
    {"user", "user", CLONE_NEWUSER, ns_take_user, ns_put_user, ns_inum_user, ns_owner_user},
    {"uts", "uts", CLONE_NEWUTS, ns_take_uts, ns_put_uts, ns_inum_uts, ns_owner_uts},
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

static const struct file_ops ns_file_ops;
static struct file *ns_file_create(const struct ns_kind *k, void *ns);

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

enum { NS_GET_USERNS = 0xb701, NS_GET_PARENT, NS_GET_NSTYPE, NS_GET_OWNER_UID };

static bool ns_user_within(const struct user_ns *u, const struct user_ns *top)
{
    while (u && u != top)
        u = u->parent;
    return u;
}

static bool ns_pid_within(const struct pid_ns *p, const struct pid_ns *top)
{
    while (p && p != top)
        p = p->parent;
    return p;
}

static const struct ns_kind *ns_kind_named(const char *name)
{
    unsigned k = 0;

    while (strcmp(ns_kinds[k].name, name) != 0)
        k++;
    return &ns_kinds[k];
}

/* A descriptor for a namespace that is related to one in hand; takes ns. */
static s64 ns_publish(const struct ns_kind *k, void *ns)
{
    struct file *f = ns_file_create(k, ns);

    return IS_ERR(f) ? PTR_ERR(f) : fd_publish(f, true);
}

/* The user namespace that owns it, if that is the caller's or below it. */
static s64 ns_open_owner(const struct ns_file *nf)
{
    struct user_ns *u = nf->kind->owner(nf->ns);

    if (!ns_user_within(u, current_cred()->user_ns))
        return -EPERM;
    user_ns_get(u);
    return ns_publish(ns_kind_named("user"), u);
}

static s64 ns_open_parent(const struct ns_file *nf)
{
    struct pid_ns *p;

    if (nf->kind->flag == CLONE_NEWUSER)
        return ns_open_owner(nf);
    if (nf->kind->flag != CLONE_NEWPID)
        return -EINVAL;
    p = ((struct pid_ns *)nf->ns)->parent;
    if (!ns_pid_within(p, current_pid_ns()))
        return -EPERM;
    pid_ns_get(p);
    return ns_publish(ns_kind_named("pid"), p);
}

static s64 ns_file_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    const struct ns_file *nf = f->priv;
    u32 uid;

    switch (cmd) {
    case NS_GET_USERNS:
        return ns_open_owner(nf);
    case NS_GET_PARENT:
        return ns_open_parent(nf);
    case NS_GET_NSTYPE:
        return (s64)nf->kind->flag;
    case NS_GET_OWNER_UID:
        if (nf->kind->flag != CLONE_NEWUSER)
            return -EINVAL;
        uid = user_ns_uid(current_cred()->user_ns, ((struct user_ns *)nf->ns)->owner);
        return copy_out((void __user *)arg, &uid, sizeof(uid));
    default:
        return -ENOTTY;
    }
}

static const struct file_ops ns_file_ops = {
    .name = "[nsfs]",
    .release = ns_file_release,
    .stat = ns_file_stat,
    .ioctl = ns_file_ioctl,
};

static struct file *ns_file_create(const struct ns_kind *k, void *ns)
{
    struct ns_file *nf = kmalloc(sizeof(*nf));
    struct file *f = NULL;

    if (nf) {
        *nf = (struct ns_file){k, ns};
        f = file_create(&ns_file_ops, O_RDONLY, nf);
    }
    if (f)
        return f;
    k->put(ns);
    kfree(nf);
    return ERR_PTR(-ENOMEM);
}

int ns_file_name(struct file *f, char *buf, size_t n)
{
    const struct ns_file *nf = f->priv;

    return scnprintf(buf, n, "%s:[%lu]", nf->kind->link, nf->kind->inum(nf->ns));
}

struct file *ns_open(struct task *t, unsigned kind)
{
    void *ns = ns_take(t, kind);

    return ns ? ns_file_create(&ns_kinds[kind], ns) : ERR_PTR(-ESRCH);
}

/* setns(2): the privilege over the target, which is its owner's, and over where one will be. */
static int ns_may_enter(const struct ns_kind *k, void *ns, const struct cred *me)
{
    const struct user_ns *owner = k->flag == CLONE_NEWUSER ? ns : k->owner(ns);

    if (!cred_capable(me, owner, CAP_SYS_ADMIN))
        return -EPERM;
    if (k->flag != CLONE_NEWUSER && !cred_capable(me, me->user_ns, CAP_SYS_ADMIN))
        return -EPERM;
    if (k->flag == CLONE_NEWNS && !cred_capable(me, me->user_ns, CAP_SYS_CHROOT))
        return -EPERM;
    return 0;
}

/* Current's credentials in u. ERR_PTR: -EINVAL, -ENOMEM. */
static struct cred *ns_cred_in(struct user_ns *u)
{
    if (u == current_cred()->user_ns || current_process()->nr_tasks > 1)
        return ERR_PTR(-EINVAL);
    /* A process that shares the root directory and stays outside must not be chrooted from inside.
     */
    if (!fs_context_is_own(current_task()->fs))
        return ERR_PTR(-EINVAL);
    struct cred *c = cred_copy(current_cred());
    if (!c)
        return ERR_PTR(-ENOMEM);
    user_ns_get(u);
    user_ns_enter(u, c);
    return c;
}

/* A pid namespace for children must be current's own or one below it. */
static bool ns_pid_reachable(struct pid_ns *target)
{
    return ns_pid_within(target, current_pid_ns());
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
        if (!fs_context_is_own(current_task()->fs))
            return -EINVAL;
        NS_SWAP(set, mount, ns, mount_ns_get(it), mount_ns_put(it));
        *new_mount = true;
        return 0;
    case CLONE_NEWUTS:
        NS_SWAP(set, uts, ns, refcount_get(&it->ref), uts_ns_put(it));
        return 0;
    case CLONE_NEWIPC:
        NS_SWAP(set, ipc, ns, ipc_ns_get(it), ipc_ns_put(it));
        return 0;
    case CLONE_NEWNET:
        NS_SWAP(set, net, ns, net_ns_get(it), net_ns_put(it));
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

/* What is gathered for a setns(2), and takes effect as a whole or not at all. */
struct ns_entry {
    struct nsset *set;
    struct cred *cred; /* in another user namespace; NULL: current's stay */
    bool new_mount;
};

static int ns_entry_begin(struct ns_entry *e)
{
    *e = (struct ns_entry){.set = nsset_clone(current_task()->ns)};
    return e->set ? 0 : -ENOMEM;
}

static int ns_entry_add(struct ns_entry *e, const struct ns_kind *k, void *ns)
{
    int err = ns_may_enter(k, ns, e->cred ? e->cred : current_cred());
    struct cred *c;

    if (err || k->flag != CLONE_NEWUSER)
        return err ? err : ns_enter_one(e->set, k, ns, &e->new_mount);
    c = ns_cred_in(ns);
    if (IS_ERR(c))
        return (int)PTR_ERR(c);
    e->cred = c;
    return 0;
}

/* err: what the gathering came to; 0: performs it. */
static int ns_entry_end(struct ns_entry *e, int err)
{
    if (!err && e->set->time != current_task()->ns->time) {
        time_ns_enter(e->set->time); /* its shifts stand before they are looked at */
        err = vdso_enter_time(current_process()->aspace, e->set->time);
    }
    if (err) {
        if (e->set)
            nsset_put(e->set);
        if (e->cred)
            cred_put(e->cred);
        return err;
    }
    if (e->set->ipc != current_task()->ns->ipc)
        sem_undo_exit(current_task());
    if (e->cred)
        task_set_cred(e->cred);
    nsset_install(e->set);
    if (e->new_mount)
        ns_move_root(e->set);
    return 0;
}

/* All the namespaces of a process that a pidfd names and nstype selects: the user namespace first,
 * whose rights the others ask for. */
static int ns_setns_task(struct task *t, u64 nstype)
{
    struct ns_entry e;
    int err = ns_entry_begin(&e);

    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; !err && i < NS_KINDS; i++) {
            const struct ns_kind *k = &ns_kinds[i];
            if (!(k->flag & nstype) || strcmp(k->name, k->link) != 0 ||
                (k->flag == CLONE_NEWUSER) != (pass == 0))
                continue;
            void *ns = ns_take(t, i);
            err = ns ? ns_entry_add(&e, k, ns) : -ESRCH;
            if (ns)
                k->put(ns);
        }
    }
    return ns_entry_end(&e, err);
}

static int ns_setns_pidfd(struct pid *pid, u64 nstype)
{
    struct process *p;
    struct task *t;
    int err;

    if (!nstype || nstype & ~CLONE_NS_FLAGS)
        return -EINVAL;
    p = process_of_pid(pid);
    t = p ? process_task(p) : NULL;
    err = !t ? -ESRCH : !process_may_inspect(p) ? -EPERM : ns_setns_task(t, nstype);
    if (t)
        task_put(t);
    if (p)
        process_put(p);
    return err;
}

/* What f shows, if it is a namespace's file. */
static struct ns_file *ns_of_file(struct file *f)
{
    struct file *shown = procfs_ns_file(f); /* opened through /proc: what is behind it */

    if (shown)
        f = shown;
    return f->ops == &ns_file_ops ? f->priv : NULL;
}

int ns_setns(struct file *f, u64 nstype)
{
    struct pid *pid = pidfd_pid(f);
    struct ns_entry e;
    struct ns_file *nf;
    int err;

    if (pid) {
        err = ns_setns_pidfd(pid, nstype);
        pid_put(pid);
        return err;
    }
    nf = ns_of_file(f);
    if (!nf || (nstype && nstype != nf->kind->flag))
        return -EINVAL;
    err = ns_entry_begin(&e);
    return ns_entry_end(&e, err ? err : ns_entry_add(&e, nf->kind, nf->ns));
}

s64 up_net_ns_publish(struct net_ns *ns)
{
    return ns_publish(ns_kind_named("net"), ns);
}

struct net_ns *up_net_ns_of_fd(s32 fd)
{
    struct file *f = fd_file(fd);
    struct net_ns *ns = ERR_PTR(-EBADF);
    struct ns_file *nf;

    if (!f)
        return ns;
    nf = ns_of_file(f);
    ns = nf && nf->kind->flag == CLONE_NEWNET ? nf->ns : ERR_PTR(-EINVAL);
    if (!IS_ERR(ns))
        net_ns_get(ns);
    file_put(f);
    return ns;
}

struct net_ns *up_net_ns_of_pid(u32 nr)
{
    struct pid *pid = pid_find(current_pid_ns(), nr);
    struct process *p = pid ? process_of_pid(pid) : NULL;
    struct task *t = p ? process_task(p) : NULL;
    struct nsset *set = t ? task_nsset(t) : NULL;
    struct net_ns *ns = ERR_PTR(-ESRCH);

    if (set) {
        ns = set->net;
        net_ns_get(ns);
        nsset_put(set);
    }
    if (t)
        task_put(t);
    if (p)
        process_put(p);
    if (pid)
        pid_put(pid);
    return ns;
}
