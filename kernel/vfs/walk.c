/* SPDX-License-Identifier: MIT
 *
 * Path walk: from a starting directory, component by component (path_resolution(7)). Symbolic links
 * push what is left of the path on a small stack, so nothing recurses.
 *
 * A walk begins as an RCU reader without a reference: as long as names are in the cache and stand
 * for directories without rules of their own it writes to no line that others read. References to
 * where it stands are taken at its end, or before a step that may sleep or needs them (a link,
 * "..", a name that is not cached), and then it goes on with them. If that place has gone from the
 * cache meanwhile, the walk begins again, with references from the start on.
 */
#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "vfs/vfs_priv.h"

struct walk {
    const struct walk_ctx *ctx;
    struct path start; /* the caller's references */
    struct path at;    /* references, if it is held */
    bool held;         /* else this is an RCU read section, and the stack has one level */
    unsigned flags;
    struct kstat *stat; /* filled in without references if it can be; or NULL */
    unsigned links;     /* followed so far */
    unsigned depth;     /* of the stack: rest[0..depth) are owned paths with a place to go on */
    struct {
        char *text;            /* owned */
        const char *next;      /* where to go on in it */
    } stack[SYMLINKS_MAX + 1]; /* the path itself, and a link each */
};

static bool path_equal(const struct path *a, const struct path *b)
{
    return a->mount == b->mount && a->dentry == b->dentry;
}

/* The place has gone from the cache: from the start again, with references. */
static void walk_restart(struct walk *w, const char *path)
{
    w->at = w->start;
    path_get(&w->at);
    w->held = true;
    w->stack[0].next = path;
    w->depth = 1;
}

/* From here on with references. False: it has begun again. */
static bool walk_hold(struct walk *w, const char *path)
{
    bool mount;

    if (w->held)
        return true;
    DELAYPOINT(walk_hold);
    mount = w->at.mount == w->start.mount || mount_get_live(w->at.mount);
    if (w->at.mount == w->start.mount)
        mount_get(w->at.mount); /* the caller has it */
    w->held = mount && dentry_get_unless_dead(w->at.dentry);
    rcu_read_unlock();
    if (likely(w->held))
        return true;
    if (mount)
        mount_put(w->at.mount);
    walk_restart(w, path);
    return false;
}

/* Takes `next`'s references, drops those of where it stood. */
static void walk_step_to(struct walk *w, struct path next)
{
    DEBUG_ASSERT(w->held);
    path_put(&w->at);
    w->at = next;
}

/* Down through the mounts on this dentry. */
static int walk_cross_mounts(struct walk *w)
{
    while (READ_ONCE(w->at.dentry->mounts)) {
        struct mount *m = mount_lookup(w->at.mount, w->at.dentry);

        if (!m)
            return 0;
        if (w->flags & WALK_NO_XDEV) {
            mount_put(m);
            return -EXDEV;
        }
        dentry_get(m->root);
        walk_step_to(w, (struct path){m, m->root});
        cond_yield();
    }
    return 0;
}

/* Whether d, of its file system, lies in the part that m shows: a directory may be moved out of
 * that part while it is a process's working directory: the way up would end at the file system's
 * root, outside of what was mounted. */
static bool mount_shows(const struct mount *m, struct dentry *d)
{
    return m->root == m->super->root || dentry_lies_below(d, m->root);
}

/* Up from where it stands the walk comes to its root; false also for a thread that is killed: a
 * tree may be deep. */
static bool walk_is_inside(const struct walk *w)
{
    struct path at = w->at, up;
    unsigned steps = 0;
    bool inside;

    path_get(&at);
    while (!(inside = path_equal(&at, &w->ctx->root))) {
        if (++steps % 64 == 0)
            cond_yield();
        if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            break;
        if (at.dentry != at.mount->root) {
            up = (struct path){at.mount, dentry_get_parent(at.dentry)};
            mount_get(up.mount);
        } else if (!mount_parent(at.mount, &up)) {
            break;
        }
        path_put(&at);
        at = up;
    }
    path_put(&at);
    return inside;
}

static int walk_dotdot(struct walk *w)
{
    for (;;) {
        struct path up;

        if (path_equal(&w->at, &w->ctx->root))
            return w->flags & WALK_BENEATH ? -EXDEV : 0;
        if (w->at.dentry != w->at.mount->root) {
            up = (struct path){w->at.mount, dentry_get_parent(w->at.dentry)};
            mount_get(up.mount);
            walk_step_to(w, up);
            if (!mount_shows(up.mount, up.dentry))
                return -ENOENT;
            if ((w->flags & WALK_SCOPED) && !walk_is_inside(w))
                return -EAGAIN; /* openat2(2): a directory was moved out meanwhile */
            cond_yield();
            return walk_cross_mounts(w);
        }
        if (!mount_parent(w->at.mount, &up))
            return 0;
        if (w->flags & WALK_NO_XDEV) {
            path_put(&up);
            return -EXDEV;
        }
        walk_step_to(w, up);
    }
}

static struct dentry *walk_ask(struct dentry *dir, const char *name, size_t len)
{
    struct inode *inode = dentry_inode(dir);
    struct dentry *d = dentry_alloc(dir, name, len);
    int err;

    if (!d)
        return ERR_PTR(-ENOMEM);
    err = inode->ops->lookup(inode, d);
    if (err) {
        dentry_put(d);
        return ERR_PTR(err);
    }
    return dentry_hash_add(d);
}

struct dentry *walk_child(struct dentry *dir, const char *name, size_t len,
                          bool locked) NO_THREAD_SAFETY /* unless the caller has it */
{
    struct inode *inode = dentry_inode(dir);
    struct dentry *d = dentry_lookup(dir, name, len);

    if (d && inode->ops->revalidate && !inode->ops->revalidate(inode, d)) {
        dentry_delete(d);
        mount_drop_on(d);
        dentry_put(d);
        d = NULL;
    }
    if (d)
        return d;
    if (!inode || !inode->ops->lookup)
        return ERR_PTR(-ENOTDIR);
    if (!locked && inode->ops->names_cached)
        return ERR_PTR(-ENOENT);
    if (!locked)
        rwlock_read_lock(&inode->lock);
    d = walk_ask(dir, name, len);
    if (!locked)
        rwlock_read_unlock(&inode->lock);
    return d;
}

/* The text of a link, NUL-terminated and not empty, for walk_pop to free; ERR_PTR. */
static char *walk_read_link(struct inode *link)
{
    char *text = kmalloc(PATH_MAX);
    ssize_t n;

    if (!text)
        return ERR_PTR(-ENOMEM);
    n = link->ops->readlink(link, text, PATH_MAX - 1);
    if (n <= 0) {
        kfree(text);
        return ERR_PTR(n < 0 ? (int)n : -ENOENT);
    }
    text[n] = '\0';
    return text;
}

/* Stands at a symbolic link: pushes its text, and goes to where it starts from. Consumes dir's
 * references. */
static int walk_push_text(struct walk *w, struct inode *link, struct path dir)
{
    char *text = walk_read_link(link);
    bool crosses;

    cond_yield();
    if (IS_ERR(text)) {
        path_put(&dir);
        return PTR_ERR(text);
    }
    w->stack[w->depth].text = text;
    w->stack[w->depth].next = text;
    w->depth++;
    if (text[0] != '/') {
        walk_step_to(w, dir);
        return 0;
    }
    crosses = (w->flags & WALK_NO_XDEV) && dir.mount != w->ctx->root.mount;
    path_put(&dir);
    if (crosses || (w->flags & WALK_BENEATH))
        return -EXDEV;
    path_get(&w->ctx->root);
    walk_step_to(w, w->ctx->root);
    return 0;
}

/* protected_symlinks (proc(5)): where all users may make names and only the owner may remove them,
 * as in /tmp, a link at the end of a path is followed if it is one's own or the directory owner's:
 * a user cannot redirect another through a name that was expected to be a file. */
bool walk_may_follow(const struct cred *cred, const struct inode *dir, const struct inode *link)
{
    return cred->fsuid == link->uid || dir->uid == link->uid ||
           (dir->mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH);
}

/* Consumes dir's references. */
static int walk_follow(struct walk *w, struct path dir)
{
    struct inode *link = dentry_inode(w->at.dentry);
    struct path target;
    int err;

    if (w->links++ >= SYMLINKS_MAX || (w->flags & WALK_NO_SYMLINKS) ||
        (w->at.mount->flags & MS_NOSYMFOLLOW))
        err = -ELOOP;
    else if (link->ops->follow && (w->flags & WALK_NO_MAGIC))
        err = -ELOOP;
    else if (link->ops->follow && (w->flags & WALK_SCOPED))
        err = -EXDEV; /* it leads anywhere */
    else if (link->ops->follow)
        err = link->ops->follow(link, w->ctx->cred, &target);
    else
        return walk_push_text(w, link, dir);
    if (!err && (w->flags & WALK_NO_XDEV) && target.mount != dir.mount) {
        path_put(&target);
        err = -EXDEV;
    }
    path_put(&dir);
    if (!err)
        walk_step_to(w, target);
    return err;
}

/* A component of the path. */
struct walk_part {
    const char *name;
    size_t len;
    bool last;  /* nothing comes behind it, in this path or the ones on the stack */
    bool slash; /* but a slash */
};

static bool walk_part_is_dots(const struct walk_part *p)
{
    return p->name[0] == '.' && (p->len == 1 || (p->len == 2 && p->name[1] == '.'));
}

static int walk_component(struct walk *w, const struct walk_part *p)
{
    struct inode *dir_inode = dentry_inode(w->at.dentry), *inode;
    struct path dir;
    struct dentry *d;

    if (walk_part_is_dots(p))
        return p->len == 1 ? 0 : walk_dotdot(w);
    if (p->last && p->slash && (w->flags & WALK_CREATE)) /* found or not */
        return -EISDIR;
    if (p->len > NAME_MAX)
        return -ENAMETOOLONG;
    d = walk_child(w->at.dentry, p->name, p->len, false);
    if (IS_ERR(d))
        return PTR_ERR(d);
    inode = dentry_inode(d);
    if (!inode || !dir_inode) {
        dentry_put(d);
        return -ENOENT;
    }
    dir = w->at;
    w->at.dentry = d;
    if (p->last && p->slash) /* a directory is wanted, behind however many links */
        w->flags |= WALK_DIRECTORY | WALK_FOLLOW;
    if (!S_ISLNK(inode->mode) || (p->last && !(w->flags & WALK_FOLLOW))) {
        dentry_put(dir.dentry); /* the mount's reference goes along */
        return walk_cross_mounts(w);
    }
    mount_get(dir.mount);
    if (!p->last || walk_may_follow(w->ctx->cred, dir_inode, inode))
        return walk_follow(w, dir);
    path_put(&dir);
    return -EACCES;
}

/* The same without references, if nothing but the caches is needed; false: nothing was done. */
static bool walk_component_unheld(struct walk *w, const struct walk_part *p)
{
    struct path next = {w->at.mount, NULL};
    const struct inode *inode;

    if (walk_part_is_dots(p) || p->len > NAME_MAX || (p->last && p->slash))
        return false;
    next.dentry = dentry_peek(w->at.dentry, p->name, p->len);
    inode = next.dentry ? dentry_inode(next.dentry) : NULL;
    if (!inode || (S_ISLNK(inode->mode) && !(p->last && !(w->flags & WALK_FOLLOW))))
        return false;
    while (unlikely(READ_ONCE(next.dentry->mounts))) {
        struct mount *m = mount_peek(next.mount, next.dentry);

        if (!m)
            break;
        if (w->flags & WALK_NO_XDEV)
            return false;
        next = (struct path){m, m->root};
    }
    w->at = next;
    return true;
}

/* The directory has rules of its own, or has just gone. */
static bool walk_needs_hold(const struct inode *dir)
{
    return !dir || dir->ops->permission || dir->ops->revalidate;
}

static int walk_may_search(const struct walk *w, struct inode *dir)
{
    if (!dir)
        return -ENOENT;
    if (!S_ISDIR(dir->mode))
        return -ENOTDIR;
    if (likely((dir->mode & 0111) == 0111 && !dir->ops->permission)) /* everybody may */
        return 0;
    return inode_permission(dir, w->ctx->cred, 1);
}

static const char *walk_skip_slashes(const char *p)
{
    while (*p == '/')
        p++;
    return p;
}

/* Where a component ends: at a slash or the NUL. By words, none of which crosses into another page;
 * of each byte that is looked for, the first has its high bit set in `hit`, and none before it. */
static const char *walk_name_end(const char *p)
{
    const u64 ones = 0x0101010101010101, high = ones << 7;
    u64 word, slash, hit;

    for (; (u64)p % PAGE_SIZE <= PAGE_SIZE - sizeof(word); p += sizeof(word)) {
        __builtin_memcpy(&word, p, sizeof(word));
        slash = word ^ ones * '/';
        hit = (((word - ones) & ~word) | ((slash - ones) & ~slash)) & high;
        if (hit)
            return p + __builtin_ctzll(hit) / 8;
    }
    while (*p && *p != '/')
        p++;
    return p;
}

static bool walk_stack_empty(struct walk *w)
{
    for (unsigned i = 0; i < w->depth; i++)
        if (*walk_skip_slashes(w->stack[i].next))
            return false;
    return true;
}

static void walk_pop(struct walk *w)
{
    kfree(w->stack[--w->depth].text);
}

/* The next component; false: there is none. */
static bool walk_next(struct walk *w, struct walk_part *p)
{
    for (; w->depth > 0; walk_pop(w)) {
        unsigned level = w->depth - 1;
        const char *name = walk_skip_slashes(w->stack[level].next), *end, *next;

        if (!*name)
            continue;
        end = walk_name_end(name);
        next = walk_skip_slashes(end);
        w->stack[level].next = next;
        *p = (struct walk_part){name, (size_t)(end - name), !*next && walk_stack_empty(w),
                                *end == '/'};
        return true;
    }
    return false;
}

/* One component, or it has begun again. */
static int walk_step(struct walk *w, const char *path, const struct walk_part *p)
{
    int err;

    if (!w->held && walk_component_unheld(w, p))
        return 0;
    if (!walk_hold(w, path))
        return 0;
    err = walk_component(w, p);
    if (!err && p->last && p->slash)
        w->flags |= WALK_DIRECTORY;
    return err;
}

/* At the end, the attributes instead of references: false where it takes more than a look. */
static bool walk_stat_unheld(struct walk *w)
{
    const struct inode *i;

    if (!w->stat || w->held || (w->flags & WALK_DIRECTORY))
        return false;
    i = dentry_inode(w->at.dentry);
    DELAYPOINT(walk_stat);
    if (!i || !inode_peek_stat(i, w->stat))
        return false;
    stat_set_mount(w->stat, &w->at);
    return true;
}

/* Walks everything, or (out) all but the last component, which is left in *out's name. On success
 * it is held, or has filled in w->stat. */
static int walk_run(struct walk *w, const char *path, struct walk_last *out)
{
    struct walk_part p;

    for (;;) {
        struct inode *dir;
        int err;

        if (!walk_next(w, &p)) {
            if (walk_stat_unheld(w) || walk_hold(w, path))
                return 0;
            continue;
        }
        dir = dentry_inode(w->at.dentry);
        if (!w->held && walk_needs_hold(dir) && !walk_hold(w, path))
            continue;
        err = walk_may_search(w, dir);
        if (!err && p.last && out) {
            if (!walk_hold(w, path))
                continue;
            out->name = p.name;
            out->len = p.len;
            out->slash = p.slash;
            return 0;
        }
        if (!err)
            err = walk_step(w, path, &p);
        if (err)
            return err;
    }
}

static int walk_begin(struct walk *w, const struct walk_ctx *ctx, const struct path *at,
                      const char *name, unsigned flags)
{
    if (!name[0] && !(flags & WALK_EMPTY))
        return -ENOENT;
    if (name[0] == '/' && (flags & WALK_BENEATH))
        return -EXDEV;
    w->ctx = ctx;
    w->flags = flags;
    w->stat = NULL;
    w->links = 0;
    w->depth = 1;
    w->stack[0].text = NULL; /* borrowed */
    w->stack[0].next = name;
    w->start = name[0] == '/' ? ctx->root : at ? *at : ctx->cwd;
    w->at = w->start;
    w->held = false;
    rcu_read_lock();
    return 0;
}

/* Frees the stack; on error also leaves where it stands. */
static void walk_end(struct walk *w, int err)
{
    if (!w->held)
        rcu_read_unlock();
    while (w->depth > 0)
        walk_pop(w);
    if (err && w->held)
        path_put(&w->at);
}

int vfs_lookup(const struct walk_ctx *ctx, const struct path *at, const char *name, unsigned flags,
               struct path *out)
{
    struct walk w;
    int err = walk_begin(&w, ctx, at, name, flags);

    if (err)
        return err;
    err = walk_run(&w, name, NULL);
    if (!err && (w.flags & WALK_DIRECTORY) && !S_ISDIR(dentry_inode(w.at.dentry)->mode))
        err = -ENOTDIR;
    walk_end(&w, err);
    if (!err)
        *out = w.at;
    return err;
}

int vfs_stat_at(const struct walk_ctx *ctx, const struct path *at, const char *name, unsigned flags,
                struct kstat *out)
{
    struct walk w;
    int err = walk_begin(&w, ctx, at, name, flags);

    if (err)
        return err;
    w.stat = out;
    err = walk_run(&w, name, NULL);
    if (!err && w.held) {
        err = (w.flags & WALK_DIRECTORY) && !S_ISDIR(dentry_inode(w.at.dentry)->mode)
                  ? -ENOTDIR
                  : vfs_stat(&w.at, out);
        if (!err)
            path_put(&w.at);
    }
    walk_end(&w, err);
    return err;
}

static void walk_classify(struct walk_last *last)
{
    last->kind = LAST_NAME;
    if (last->len == 0)
        last->kind = LAST_ROOT;
    else if (last->len == 1 && last->name[0] == '.')
        last->kind = LAST_DOT;
    else if (last->len == 2 && last->name[0] == '.' && last->name[1] == '.')
        last->kind = LAST_DOTDOT;
}

/* The last component's text must outlive the walk: it lies in `name`, since links in the middle are
 * gone from the stack by then. */
int walk_to_last(const struct walk_ctx *ctx, const struct path *at, const char *name,
                 unsigned flags, struct walk_last *out)
{
    struct walk w;
    int err = walk_begin(&w, ctx, at, name, flags);

    if (err)
        return err;
    out->len = 0;
    out->slash = false;
    err = walk_run(&w, name, out);
    walk_end(&w, err);
    if (err)
        return err;
    out->dir = w.at;
    walk_classify(out);
    if (out->kind == LAST_NAME && out->len > NAME_MAX) {
        path_put(&out->dir);
        return -ENAMETOOLONG;
    }
    return 0;
}
