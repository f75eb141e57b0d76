/* SPDX-License-Identifier: MIT
 *
 * Namespace sets: copying, unshare, setns and the files of /proc/<pid>/ns. Every namespace object
 * is counted by its own layer; this file knows the table of kinds.
 */
#include "proc/nsset.h"
#include "container/cgroup.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/net.h"
#include "proc/fdtable.h"
#include "proc/fs_context.h"
#include "proc/pidfd.h"
#include "proc/procfs.h"
#include "proc/up.h"

#define INUM_UTS 0xEFFFFFFEUL
#define INUM_IPC 0xEFFFFFFFUL
#define INUM_TIME 0xEFFFFFFAUL

static struct uts_ns uts_ns_init = {.ref = {1},
                                    .inum = INUM_UTS,
                                    .user_ns = &user_ns_init,
                                    .nodename = "bothy",
                                    .domainname = "(none)"};
static struct ipc_ns ipc_ns_init = {.ref = {1}, .inum = INUM_IPC, .user_ns = &user_ns_init};
static struct time_ns time_ns_init = {.ref = {1}, .inum = INUM_TIME, .user_ns = &user_ns_init};
struct nsset nsset_init = {.ref = {1},
                           .uts = &uts_ns_init,
                           .ipc = &ipc_ns_init,
                           .pid_for_children = &pid_ns_init,
                           .cgroup = &cgroup_ns_init,
                           .time = &time_ns_init,
                           .time_for_children = &time_ns_init};

void nsset_init_boot(void)
{
    nsset_init.mount = mount_ns_init;
    nsset_init.net = &net_ns_init;
}

void nsset_get(struct nsset *ns)
{
    refcount_get(&ns->ref);
}

#define NS_PUT(kind)                        \
    static void kind##_put(struct kind *ns) \
    {                                       \
        if (!refcount_put(&ns->ref))        \
            return;                         \
        user_ns_put(ns->user_ns);           \
        kfree(ns);                          \
    }
NS_PUT(uts_ns)
NS_PUT(ipc_ns)
NS_PUT(time_ns)

/* A new small namespace of any of the three kinds: a copy of `from` with its own number. */
#define NS_COPY(kind)                                                                 \
    static struct kind *kind##_copy(const struct kind *from, struct user_ns *user_ns) \
    {                                                                                 \
        struct kind *ns = kmemdup(from, sizeof(*ns));                                 \
        if (!ns)                                                                      \
            return NULL;                                                              \
        refcount_init(&ns->ref, 1);                                                   \
        ns->inum = inum_alloc();                                                      \
        ns->user_ns = user_ns;                                                        \
        user_ns_get(user_ns);                                                         \
        return ns;                                                                    \
    }
NS_COPY(uts_ns)
NS_COPY(ipc_ns)
NS_COPY(time_ns)

void nsset_put(struct nsset *ns)
{
    if (!refcount_put(&ns->ref))
        return;
    if (ns->mount)
        mount_ns_put(ns->mount);
    if (ns->net)
        net_ns_put(ns->net);
    if (ns->uts)
        uts_ns_put(ns->uts);
    if (ns->ipc)
        ipc_ns_put(ns->ipc);
    if (ns->pid_for_children)
        pid_ns_put(ns->pid_for_children);
    if (ns->cgroup)
        cgroup_ns_put(ns->cgroup);
    if (ns->time)
        time_ns_put(ns->time);
    if (ns->time_for_children)
        time_ns_put(ns->time_for_children);
    kfree(ns);
}

/* A set of one's own with the same members. */
static struct nsset *nsset_clone(struct nsset *from)
{
    struct nsset *ns = kmemdup(from, sizeof(*ns));

    if (!ns)
        return NULL;
    refcount_init(&ns->ref, 1);
    mount_ns_get(ns->mount);
    if (ns->net)
        net_ns_get(ns->net);
    refcount_get(&ns->uts->ref);
    refcount_get(&ns->ipc->ref);
    pid_ns_get(ns->pid_for_children);
    cgroup_ns_get(ns->cgroup);
    refcount_get(&ns->time->ref);
    refcount_get(&ns->time_for_children->ref);
    return ns;
}

void nsset_enter_time(struct nsset *ns)
{
    if (ns->time == ns->time_for_children)
        return;
    time_ns_put(ns->time);
    refcount_get(&ns->time_for_children->ref);
    ns->time = ns->time_for_children;
}

static int nsset_new_mount(struct nsset *ns, struct user_ns *u, struct path *root, struct path *cwd)
{
    struct mount_ns *m = mount_ns_copy(ns->mount, u, root, cwd);

    if (IS_ERR(m) || !m)
        return m ? PTR_ERR(m) : -ENOMEM;
    mount_ns_put(ns->mount);
    ns->mount = m;
    return 0;
}

static int nsset_new_net(struct nsset *ns, struct user_ns *u)
{
    struct net_ns *n = net_ns_create(u);

    if (!n)
        return -ENOMEM;
    if (ns->net)
        net_ns_put(ns->net);
    ns->net = n;
    return 0;
}

static int nsset_new_pid(struct nsset *ns, struct user_ns *u)
{
    struct pid_ns *p = pid_ns_create(current_pid_ns(), u);

    if (IS_ERR(p) || !p)
        return p ? PTR_ERR(p) : -ENOMEM;
    pid_ns_put(ns->pid_for_children);
    ns->pid_for_children = p;
    return 0;
}

static int nsset_new_cgroup(struct nsset *ns)
{
    struct cgroup *cg = cgroup_of(&current_process()->cgroup);
    struct cgroup_ns *c = cgroup_ns_create(cg);

    cgroup_put(cg);
    if (IS_ERR(c) || !c)
        return c ? PTR_ERR(c) : -ENOMEM;
    cgroup_ns_put(ns->cgroup);
    ns->cgroup = c;
    return 0;
}

#define NSSET_REPLACE(ns, member, kind, u)                 \
    ({                                                     \
        struct kind *fresh = kind##_copy((ns)->member, u); \
        if (fresh) {                                       \
            kind##_put((ns)->member);                      \
            (ns)->member = fresh;                          \
        }                                                  \
        fresh ? 0 : -ENOMEM;                               \
    })

struct nsset *nsset_copy(struct nsset *from, u64 flags, const struct cred *cred, struct path *root,
                         struct path *cwd)
{
    struct user_ns *u = cred->user_ns;
    int err = 0;

    if (flags & CLONE_NS_FLAGS & ~CLONE_NEWUSER && !cred_capable(cred, u, CAP_SYS_ADMIN))
        return ERR_PTR(-EPERM);
    if (flags & CLONE_NEWPID && from->pid_for_children != current_pid_ns())
        return ERR_PTR(-EINVAL);
    struct nsset *ns = nsset_clone(from);
    if (!ns)
        return ERR_PTR(-ENOMEM);
    if (flags & CLONE_NEWUTS)
        err = NSSET_REPLACE(ns, uts, uts_ns, u);
    if (!err && flags & CLONE_NEWIPC)
        err = NSSET_REPLACE(ns, ipc, ipc_ns, u);
    if (!err && flags & CLONE_NEWTIME)
        err = NSSET_REPLACE(ns, time_for_children, time_ns, u);
    if (!err && flags & CLONE_NEWPID)
        err = nsset_new_pid(ns, u);
    if (!err && flags & CLONE_NEWCGROUP)
        err = nsset_new_cgroup(ns);
    if (!err && flags & CLONE_NEWNET)
        err = nsset_new_net(ns, u);
    if (!err && flags & CLONE_NEWNS)
        err = nsset_new_mount(ns, u, root, cwd);
    if (!err)
        return ns;
    nsset_put(ns);
    return ERR_PTR(err);
}

/* Publishes current's new set; takes ns. */
static void nsset_install(struct nsset *ns)
{
    struct task *t = current_task();
    struct nsset *old = t->ns;
    u64 flags;

    spin_lock_irqsave(&t->process->siglock, &flags);
    t->ns = ns;
    spin_unlock_irqrestore(&t->process->siglock, flags);
    nsset_put(old);
}

static int ns_unshare_files(struct task *t)
{
    u64 flags;

    if (refcount_read(&t->files->ref) == 1)
        return 0;
    struct fd_table *own = fd_table_copy(t->files, ~0U), *old = t->files;
    if (!own)
        return -ENOMEM;
    spin_lock_irqsave(&t->process->siglock, &flags);
    t->files = own;
    spin_unlock_irqrestore(&t->process->siglock, flags);
    fd_table_put(old);
    return 0;
}

static int ns_unshare_fs(struct task *t)
{
    u64 flags;

    if (refcount_read(&t->fs->ref) == 1)
        return 0;
    struct fs_context *own = fs_context_copy(t->fs), *old = t->fs;
    if (!own)
        return -ENOMEM;
    spin_lock_irqsave(&t->process->siglock, &flags);
    t->fs = own;
    spin_unlock_irqrestore(&t->process->siglock, flags);
    fs_context_put(old);
    return 0;
}

static int ns_unshare_user(void)
{
    const struct cred *mine = current_cred();
    struct cred *c = cred_copy(mine);

    if (!c)
        return -ENOMEM;
    struct user_ns *u = user_ns_create(mine);
    if (IS_ERR(u) || !u) {
        cred_put(c);
        return u ? PTR_ERR(u) : -ENOMEM;
    }
    user_ns_put(c->user_ns);
    c->user_ns = u;
    c->cap_permitted = c->cap_effective = c->cap_bounding = CAP_FULL;
    c->cap_inheritable = c->cap_ambient = 0;
    c->securebits = 0;
    task_set_cred(c);
    return 0;
}

int ns_unshare(u64 flags)
{
    const u64 known = CLONE_NS_FLAGS | CLONE_FS | CLONE_FILES | CLONE_THREAD | CLONE_SIGHAND |
                      CLONE_VM | CLONE_SYSVSEM;
    struct task *t = current_task();
    int err = 0;

    if (flags & ~known)
        return -EINVAL;
    if (flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWUSER) &&
        t->process->nr_tasks > 1)
        return -EINVAL;
    if (flags & (CLONE_NEWNS | CLONE_NEWUSER))
        flags |= CLONE_FS;
    if (flags & CLONE_NEWUSER)
        err = ns_unshare_user();
    if (!err && flags & CLONE_FILES)
        err = ns_unshare_files(t);
    if (!err && flags & CLONE_FS)
        err = ns_unshare_fs(t);
    if (err || !(flags & CLONE_NS_FLAGS & ~CLONE_NEWUSER))
        return err;
    struct nsset *ns = nsset_copy(t->ns, flags, t->cred, &t->fs->root, &t->fs->cwd);
    if (IS_ERR(ns))
        return PTR_ERR(ns);
    nsset_install(ns);
    return 0;
}

/* The kinds: how /proc names them, how one is taken from a task, entered and let go. */
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
NS_KIND(ipc, ipc, ipc_ns, refcount_get(&it->ref), ipc_ns_put(it), it->inum)
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
    struct cred *c = cred_copy(current_cred());
    if (!c)
        return -ENOMEM;
    user_ns_get(u);
    user_ns_put(c->user_ns);
    c->user_ns = u;
    c->cap_permitted = c->cap_effective = c->cap_bounding = CAP_FULL;
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
        NS_SWAP(set, ipc, ns, refcount_get(&it->ref), ipc_ns_put(it));
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
    if (!err) {
        nsset_install(set);
        if (new_mount)
            ns_move_root(set);
    } else if (set) {
        nsset_put(set);
    }
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
    nsset_install(set);
    if (new_mount)
        ns_move_root(set);
    return 0;
}
