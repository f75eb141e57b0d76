/* SPDX-License-Identifier: MIT
 *
 * Root and working directories of processes. Lock order: all_lock, then one context's lock.
 */
#include "proc/fs_context.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "proc/nsset.h"
#include "proc/proc.h"

static struct spinlock all_lock = SPINLOCK_INIT(RANK_PROC, 5, "fs_contexts");
static LIST_HEAD(all_contexts);

#define MOVE_AT_ONCE 64 /* under all_lock */

static struct fs_context *fs_context_alloc(u32 umask)
{
    struct fs_context *fs = kzalloc(sizeof(*fs));

    if (!fs)
        return NULL;
    refcount_init(&fs->users, 1);
    refcount_init(&fs->ref, 1);
    spinlock_init(&fs->lock, RANK_PROC, 4, "fs_context");
    fs->umask = umask;
    return fs;
}

struct fs_context *fs_context_create(const struct path *root, const struct path *cwd, u32 umask)
{
    struct fs_context *fs = fs_context_alloc(umask);

    if (!fs)
        return NULL;
    fs->root = *root;
    fs->cwd = *cwd;
    path_get(root);
    path_get(cwd);
    spin_lock(&all_lock);
    list_add_tail(&all_contexts, &fs->all);
    spin_unlock(&all_lock);
    return fs;
}

/* Copied and listed in one hold of the list's lock: a pivot_root beside us moves `from` before
 * that, or moves the copy too. */
struct fs_context *fs_context_copy(struct fs_context *from)
{
    struct fs_context *fs = fs_context_alloc(READ_ONCE(from->umask));

    if (!fs)
        return NULL;
    spin_lock(&all_lock);
    fs_context_paths(from, &fs->root, &fs->cwd);
    list_add_tail(&all_contexts, &fs->all);
    spin_unlock(&all_lock);
    return fs;
}

void fs_context_get(struct fs_context *fs)
{
    refcount_get(&fs->ref);
}

void fs_context_put(struct fs_context *fs)
{
    if (!refcount_put(&fs->ref))
        return;
    spin_lock(&all_lock);
    list_del(&fs->all);
    spin_unlock(&all_lock);
    path_put(&fs->root);
    path_put(&fs->cwd);
    kfree(fs);
}

bool fs_context_join(struct fs_context *fs)
{
    spin_lock(&fs->lock);
    bool open = !fs->execs;
    if (open)
        refcount_get(&fs->users);
    spin_unlock(&fs->lock);
    return open;
}

bool fs_context_leave_locked(struct fs_context *fs)
{
    return refcount_put(&fs->users);
}

void fs_context_leave(struct fs_context *fs)
{
    if (refcount_put(&fs->users))
        fs_context_put(fs);
}

int fs_context_copy_shared(struct fs_context **own)
{
    struct fs_context *fs = current_task()->fs;
    bool shared = !fs_context_is_own(fs);

    *own = shared ? fs_context_copy(fs) : NULL;
    return shared && !*own ? -ENOMEM : 0;
}

void fs_context_change(struct fs_context *own)
{
    struct task *me = current_task();
    struct fs_context *old = me->fs;
    u64 flags;

    spin_lock_irqsave(&me->process->siglock, &flags);
    me->fs = own;
    bool last = fs_context_leave_locked(old);
    spin_unlock_irqrestore(&me->process->siglock, flags);
    if (last)
        fs_context_put(old);
}

void fs_context_exec_begin(struct fs_context *fs)
{
    spin_lock(&fs->lock);
    fs->execs++;
    spin_unlock(&fs->lock);
}

void fs_context_exec_end(struct fs_context *fs)
{
    spin_lock(&fs->lock);
    fs->execs--;
    spin_unlock(&fs->lock);
}

void fs_context_paths(struct fs_context *fs, struct path *root, struct path *cwd)
{
    spin_lock(&fs->lock);
    *root = fs->root;
    *cwd = fs->cwd;
    path_get(root);
    path_get(cwd);
    spin_unlock(&fs->lock);
}

static void fs_set_path(struct fs_context *fs, struct path *which, const struct path *to)
{
    path_get(to);
    spin_lock(&fs->lock);
    DEBUG_ASSERT(!fs->lent); /* its own task changes it, between walks */
    struct path old = *which;
    *which = *to;
    spin_unlock(&fs->lock);
    path_put(&old);
}

void fs_set_cwd(struct fs_context *fs, const struct path *p)
{
    fs_set_path(fs, &fs->cwd, p);
}

void fs_set_root(struct fs_context *fs, const struct path *p)
{
    fs_set_path(fs, &fs->root, p);
}

/* True: the reference to *from is the caller's to drop. One that is lent, and not moved yet since
 * then, is left to the borrower. */
static bool fs_path_move_locked(struct fs_context *fs, struct path *p, struct path *left,
                                const struct path *from, const struct path *to) REQUIRES(fs->lock)
{
    ASSERT_HELD(&fs->lock);
    if (p->mount != from->mount || p->dentry != from->dentry)
        return false;
    path_get(to);
    *p = *to;
    if (!fs->lent || left->dentry)
        return true;
    *left = *from;
    return false;
}

static bool fs_root_move_locked(struct fs_context *fs, const struct path *from,
                                const struct path *to) REQUIRES(fs->lock)
{
    ASSERT_HELD(&fs->lock);
    return fs_path_move_locked(fs, &fs->root, &fs->left.root, from, to);
}

static bool fs_cwd_move_locked(struct fs_context *fs, const struct path *from,
                               const struct path *to) REQUIRES(fs->lock)
{
    ASSERT_HELD(&fs->lock);
    return fs_path_move_locked(fs, &fs->cwd, &fs->left.cwd, from, to);
}

void fs_paths_put(struct fs_paths *p)
{
    path_put(&p->root);
    path_put(&p->cwd);
}

/* What fs held of *from is dropped; the caller has references of its own. */
void fs_context_move(struct fs_context *fs, const struct fs_paths *from, const struct fs_paths *to)
{
    spin_lock(&fs->lock);
    bool root = fs_root_move_locked(fs, &from->root, &to->root);
    bool cwd = fs_cwd_move_locked(fs, &from->cwd, &to->cwd);
    spin_unlock(&fs->lock);
    if (root)
        path_put(&from->root);
    if (cwd)
        path_put(&from->cwd);
}

/* Moves some contexts, from the one behind `at` on (NULL: the first), whose reference it drops;
 * returns where to go on, a reference, or NULL. *owed counts the references to `from` that were
 * theirs. */
static struct fs_context *fs_contexts_move_some(struct fs_context *at, const struct path *from,
                                                const struct path *to, unsigned *owed)
{
    struct fs_context *last = NULL;
    struct list_node *n;
    unsigned looks = 0;

    spin_lock(&all_lock);
    for (n = at ? at->all.next : all_contexts.next; n != &all_contexts; n = n->next) {
        struct fs_context *fs = list_entry(n, struct fs_context, all);

        spin_lock(&fs->lock);
        *owed += fs_root_move_locked(fs, from, to);
        *owed += fs_cwd_move_locked(fs, from, to);
        spin_unlock(&fs->lock);
        if (++looks >= MOVE_AT_ONCE && refcount_get_unless_zero(&fs->ref)) {
            last = fs; /* stays in the list for as long */
            break;
        }
    }
    spin_unlock(&all_lock);
    if (at)
        fs_context_put(at);
    return last;
}

/* A context that is made meanwhile goes to the list's end. The caller holds `from`, so that only
 * the count of what was theirs is kept. */
void up_move_roots(const struct path *from, const struct path *to)
{
    struct fs_context *at = NULL;
    unsigned owed = 0;

    do {
        at = fs_contexts_move_some(at, from, to, &owed);
        cond_yield();
    } while (at);
    while (owed--)
        path_put(from);
}

/* False: root and cwd are lent already, or others may change them. */
static bool fs_context_lend(struct fs_context *fs, struct walk_ctx *ctx)
{
    bool lends;

    if (!fs_context_is_own(fs))
        return false;
    spin_lock(&fs->lock);
    lends = !fs->lent;
    fs->lent = true;
    ctx->root = fs->root;
    ctx->cwd = fs->cwd;
    spin_unlock(&fs->lock);
    return lends;
}

static void fs_context_take_back(struct fs_context *fs)
{
    struct fs_paths left;

    spin_lock(&fs->lock);
    fs->lent = false;
    left = fs->left;
    fs->left = (struct fs_paths){0};
    spin_unlock(&fs->lock);
    fs_paths_put(&left);
}

void walk_begin(struct walk_hold *h)
{
    struct task *t = current_task();
    struct fs_context *fs = t->fs;

    h->ctx.cred = t->cred;
    h->ctx.ns = t->ns->mount;
    h->ctx.umask = READ_ONCE(fs->umask);
    h->lent = fs_context_lend(fs, &h->ctx);
    if (!h->lent)
        fs_context_paths(fs, &h->ctx.root, &h->ctx.cwd);
}

void walk_end(struct walk_hold *h)
{
    if (likely(h->lent)) {
        fs_context_take_back(current_task()->fs);
        return;
    }
    path_put(&h->ctx.root);
    path_put(&h->ctx.cwd);
}
