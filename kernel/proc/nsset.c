/* SPDX-License-Identifier: MIT
 *
 * Namespace sets: copying, and unshare. Every namespace object is counted by its own layer, but for
 * those of host names and of time, which are only these structs.
 */
#include "proc/nsset_priv.h"
#include "container/cgroup.h"
#include "lib/err.h"
#include "mm/slab.h"
#include "net/core/ns.h"
#include "proc/fdtable.h"
#include "proc/fs_context.h"
#include "proc/proc_priv.h"
#include "vm/aspace.h"

#define INUM_UTS 0xEFFFFFFEUL
#define INUM_TIME 0xEFFFFFFAUL

static struct uts_ns uts_ns_init = {.ref = {1},
                                    .inum = INUM_UTS,
                                    .user_ns = &user_ns_init,
                                    .nodename = "bothy",
                                    .domainname = "(none)"};
static struct time_ns time_ns_init = {
    .ref = {1}, .inum = INUM_TIME, .user_ns = &user_ns_init, .entered = true};
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
    nsset_init.net = net_ns_init;
}

void nsset_get(struct nsset *ns)
{
    refcount_get(&ns->ref);
}

#define NS_PUT(kind)                 \
    void kind##_put(struct kind *ns) \
    {                                \
        if (!refcount_put(&ns->ref)) \
            return;                  \
        user_ns_put(ns->user_ns);    \
        kfree(ns);                   \
    }
NS_PUT(uts_ns)
NS_PUT(time_ns)

/* A new small namespace of either kind: a copy of `from` with its own number. */
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
NS_COPY(time_ns)

void nsset_put(struct nsset *ns)
{
    if (!refcount_put(&ns->ref))
        return;
    mount_ns_put(ns->mount);
    net_ns_put(ns->net);
    uts_ns_put(ns->uts);
    ipc_ns_put(ns->ipc);
    pid_ns_put(ns->pid_for_children);
    cgroup_ns_put(ns->cgroup);
    time_ns_put(ns->time);
    time_ns_put(ns->time_for_children);
    kfree(ns);
}

struct nsset *nsset_clone(struct nsset *from)
{
    struct nsset *ns = kmemdup(from, sizeof(*ns));

    if (!ns)
        return NULL;
    refcount_init(&ns->ref, 1);
    mount_ns_get(ns->mount);
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
    time_ns_enter(ns->time);
}

/* fs goes along. Others may look at it and move it meanwhile, so the copied mounts are found for
 * references of our own, and fs is moved where it still has these paths. */
static int nsset_new_mount(struct nsset *ns, struct user_ns *u, struct fs_context *fs)
{
    struct fs_paths from, to;
    struct mount_ns *m;

    fs_context_paths(fs, &from.root, &from.cwd);
    to = from;
    path_get(&to.root);
    path_get(&to.cwd);
    m = mount_ns_copy(ns->mount, u, &to.root, &to.cwd);
    if (m && !IS_ERR(m)) {
        fs_context_move(fs, &from, &to);
        mount_ns_put(ns->mount);
        ns->mount = m;
    }
    fs_paths_put(&from);
    fs_paths_put(&to);
    return !m ? -ENOMEM : IS_ERR(m) ? PTR_ERR(m) : 0;
}

static int nsset_new_net(struct nsset *ns, struct user_ns *u)
{
    struct net_ns *n = net_ns_create(u);

    if (!n)
        return -ENOMEM;
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

static int nsset_new_cgroup(struct nsset *ns, struct user_ns *u)
{
    struct cgroup *cg = cgroup_of(&current_process()->cgroup);
    struct cgroup_ns *c = cgroup_ns_create(cg, u);

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

static int nsset_new_ipc(struct nsset *ns, struct user_ns *u)
{
    struct ipc_ns *fresh = ipc_ns_create(u);

    if (!fresh)
        return -ENOMEM;
    ipc_ns_put(ns->ipc);
    ns->ipc = fresh;
    return 0;
}

/* With the parent's shifts, which may be changed until the first child is in it. */
static int nsset_new_time(struct nsset *ns, struct user_ns *u)
{
    int err = NSSET_REPLACE(ns, time_for_children, time_ns, u);

    if (!err)
        ns->time_for_children->entered = false;
    return err;
}

struct nsset *nsset_copy(struct nsset *from, u64 flags, const struct cred *cred,
                         struct fs_context *fs)
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
        err = nsset_new_ipc(ns, u);
    if (!err && flags & CLONE_NEWTIME)
        err = nsset_new_time(ns, u);
    if (!err && flags & CLONE_NEWPID)
        err = nsset_new_pid(ns, u);
    if (!err && flags & CLONE_NEWCGROUP)
        err = nsset_new_cgroup(ns, u);
    if (!err && flags & CLONE_NEWNET)
        err = nsset_new_net(ns, u);
    if (!err && flags & CLONE_NEWNS)
        err = nsset_new_mount(ns, u, fs);
    if (!err)
        return ns;
    nsset_put(ns);
    return ERR_PTR(err);
}

void nsset_install(struct nsset *ns)
{
    struct task *t = current_task();
    struct nsset *old = t->ns;
    u64 flags;

    spin_lock_irqsave(&t->process->siglock, &flags);
    t->ns = ns;
    spin_unlock_irqrestore(&t->process->siglock, flags);
    nsset_put(old);
}

static bool ns_chrooted(void)
{
    struct task *t = current_task();
    struct path top, root, cwd;
    bool chrooted;

    mount_ns_root(t->ns->mount, &top);
    fs_context_paths(t->fs, &root, &cwd);
    chrooted = root.mount != top.mount || root.dentry != top.dentry;
    path_put(&top);
    path_put(&root);
    path_put(&cwd);
    return chrooted;
}

struct cred *ns_new_user(void)
{
    const struct cred *mine = current_cred();

    if (ns_chrooted())
        return ERR_PTR(-EPERM);
    struct cred *c = cred_copy(mine);
    if (!c)
        return ERR_PTR(-ENOMEM);
    struct user_ns *u = user_ns_create(mine);
    if (IS_ERR(u) || !u) {
        cred_put(c);
        return u ? ERR_PTR(PTR_ERR(u)) : ERR_PTR(-ENOMEM);
    }
    user_ns_enter(u, c);
    return c;
}

/* What of flags needs other parts besides. */
static u64 ns_unshare_implied(u64 flags)
{
    return flags & (CLONE_NEWNS | CLONE_NEWUSER) ? flags | CLONE_FS : flags;
}

/* May a process of several tasks, or one that shares more, do this? */
static bool ns_unshare_ok(const struct process *p, u64 flags)
{
    const u64 known = CLONE_NS_FLAGS | CLONE_FS | CLONE_FILES | CLONE_THREAD | CLONE_SIGHAND |
                      CLONE_VM | CLONE_SYSVSEM;

    if (flags & ~known)
        return false;
    if (flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWUSER) && p->nr_tasks > 1)
        return false;
    if (flags & (CLONE_SIGHAND | CLONE_VM) && sighand_is_shared(p))
        return false;
    return !(flags & CLONE_VM) || !p->aspace ||
           refcount_read(&p->aspace->users) <= 2; /* the process's and its task's */
}

/* What unshare(2) makes; NULL: nothing new. */
struct unshared {
    struct cred *cred;
    struct fd_table *files;
    struct fs_context *fs;
    struct nsset *ns;
};

static int ns_unshare_build(struct unshared *u, u64 flags)
{
    struct task *t = current_task();
    int err = 0;

    if (flags & CLONE_NEWUSER) {
        struct cred *c = ns_new_user();
        if (IS_ERR(c))
            return (int)PTR_ERR(c);
        u->cred = c;
    }
    if (flags & CLONE_FILES)
        err = fd_table_copy_shared(&u->files);
    if (!err && flags & CLONE_FS)
        err = fs_context_copy_shared(&u->fs);
    if (!err && flags & CLONE_NS_FLAGS & ~CLONE_NEWUSER) {
        struct nsset *ns =
            nsset_copy(t->ns, flags, u->cred ? u->cred : t->cred, u->fs ? u->fs : t->fs);
        if (IS_ERR(ns))
            return (int)PTR_ERR(ns);
        u->ns = ns;
    }
    return err;
}

static void ns_unshare_undo(struct unshared *u)
{
    if (u->files)
        fd_table_leave(u->files);
    if (u->fs)
        fs_context_leave(u->fs);
    if (u->cred)
        cred_put(u->cred);
}

/* All takes effect together, once nothing can fail any more. */
int ns_unshare(u64 flags)
{
    struct task *t = current_task();
    struct unshared u = {0};
    int err;

    if (!ns_unshare_ok(t->process, flags))
        return -EINVAL;
    flags = ns_unshare_implied(flags);
    err = ns_unshare_build(&u, flags);
    if (err) {
        ns_unshare_undo(&u);
        return err;
    }
    if (flags & (CLONE_SYSVSEM | CLONE_NEWIPC))
        sem_undo_exit(t);
    if (u.files)
        fd_table_change(u.files);
    if (u.fs)
        fs_context_change(u.fs);
    if (u.cred)
        task_set_cred(u.cred);
    if (u.ns)
        nsset_install(u.ns);
    return 0;
}
