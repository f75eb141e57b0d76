/* SPDX-License-Identifier: MIT
 *
 * Path walk: from a starting directory, component by component (path_resolution(7)). The walk holds
 * references to where it stands; symbolic links push what is left of the path on a small stack, so
 * nothing recurses.
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
    struct path at; /* references */
    unsigned flags;
    unsigned links; /* followed so far */
    unsigned depth; /* of the stack: rest[0..depth) are owned paths with a place to go on */
    struct {
        char *text;            /* owned */
        const char *next;      /* where to go on in it */
    } stack[SYMLINKS_MAX + 1]; /* the path itself, and a link each */
};

void path_get(const struct path *p)
{
    if (p->mount)
        mount_get(p->mount);
    if (p->dentry)
        dentry_get(p->dentry);
}

void path_put(const struct path *p)
{
    if (p->dentry)
        dentry_put(p->dentry);
    if (p->mount)
        mount_put(p->mount);
}

static bool path_equal(const struct path *a, const struct path *b)
{
    return a->mount == b->mount && a->dentry == b->dentry;
}

/* Takes `next`'s references, drops those of where it stood. */
static void walk_step_to(struct walk *w, struct path next)
{
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

/* One named component. last: nothing comes behind it, in this path or the ones on the stack. */
static int walk_component(struct walk *w, const char *name, size_t len, bool last, bool slash)
{
    struct inode *dir_inode = dentry_inode(w->at.dentry), *inode;
    struct path dir;
    struct dentry *d;

    if (len == 1 && name[0] == '.')
        return 0;
    if (len == 2 && name[0] == '.' && name[1] == '.')
        return walk_dotdot(w);
    if (last && slash && (w->flags & WALK_CREATE)) /* found or not */
        return -EISDIR;
    if (len > NAME_MAX)
        return -ENAMETOOLONG;
    d = walk_child(w->at.dentry, name, len, false);
    if (IS_ERR(d))
        return PTR_ERR(d);
    inode = dentry_inode(d);
    if (!inode || !dir_inode) {
        dentry_put(d);
        return -ENOENT;
    }
    dir = w->at;
    w->at.dentry = d;
    if (last && slash) /* a directory is wanted, behind however many links */
        w->flags |= WALK_DIRECTORY | WALK_FOLLOW;
    if (!S_ISLNK(inode->mode) || (last && !(w->flags & WALK_FOLLOW))) {
        dentry_put(dir.dentry); /* the mount's reference goes along */
        return walk_cross_mounts(w);
    }
    mount_get(dir.mount);
    if (!last || walk_may_follow(w->ctx->cred, dir_inode, inode))
        return walk_follow(w, dir);
    path_put(&dir);
    return -EACCES;
}

static int walk_may_search(const struct walk *w)
{
    struct inode *inode = dentry_inode(w->at.dentry);

    if (!inode)
        return -ENOENT;
    if (!S_ISDIR(inode->mode))
        return -ENOTDIR;
    return inode_permission(inode, w->ctx->cred, 1);
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

/* Walks everything, or (stop_at_last) all but the last component, which is left in *out's name. */
static int walk_run(struct walk *w, bool stop_at_last, struct walk_last *out)
{
    while (w->depth > 0) {
        unsigned level = w->depth - 1;
        const char *name = walk_skip_slashes(w->stack[level].next), *end, *next;
        bool last, slash;
        int err;

        if (!*name) {
            walk_pop(w);
            continue;
        }
        end = walk_name_end(name);
        next = walk_skip_slashes(end);
        slash = *end == '/';
        w->stack[level].next = next;
        last = !*next && walk_stack_empty(w);
        err = walk_may_search(w);
        if (err)
            return err;
        if (last && stop_at_last) {
            out->name = name;
            out->len = (size_t)(end - name);
            out->slash = slash;
            return 0;
        }
        err = walk_component(w, name, (size_t)(end - name), last, slash);
        if (err)
            return err;
        if (last && slash)
            w->flags |= WALK_DIRECTORY;
    }
    return 0;
}

static int walk_begin(struct walk *w, const struct walk_ctx *ctx, const struct path *at,
                      const char *name, unsigned flags)
{
    const struct path *start = name[0] == '/' ? &ctx->root : at ? at : &ctx->cwd;

    if (!name[0] && !(flags & WALK_EMPTY))
        return -ENOENT;
    if (name[0] == '/' && (flags & WALK_BENEATH))
        return -EXDEV;
    w->ctx = ctx;
    w->flags = flags;
    w->links = 0;
    w->depth = 1;
    w->stack[0].text = NULL; /* borrowed */
    w->stack[0].next = name;
    w->at = *start;
    path_get(&w->at);
    return 0;
}

/* Frees the stack; on error also drops where it stands. */
static void walk_end(struct walk *w, int err)
{
    while (w->depth > 0)
        walk_pop(w);
    if (err)
        path_put(&w->at);
}

int vfs_lookup(const struct walk_ctx *ctx, const struct path *at, const char *name, unsigned flags,
               struct path *out)
{
    struct walk w;
    int err = walk_begin(&w, ctx, at, name, flags);

    if (err)
        return err;
    err = walk_run(&w, false, NULL);
    if (!err && (w.flags & WALK_DIRECTORY) && !S_ISDIR(dentry_inode(w.at.dentry)->mode))
        err = -ENOTDIR;
    walk_end(&w, err);
    if (!err)
        *out = w.at;
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
    err = walk_run(&w, true, out);
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

void walk_last_put(struct walk_last *last)
{
    path_put(&last->dir);
}

int walk_may_create(const struct path *dir, const struct cred *cred)
{
    struct inode *inode = dentry_inode(dir->dentry);
    int err = mount_may_write(dir->mount);

    if (err)
        return err;
    if (inode->nlink == 0 || (dir->dentry->flags & DENTRY_UNLINKED))
        return -ENOENT;
    return inode_permission(inode, cred, 2 | 1);
}

int walk_may_delete(const struct walk_ctx *ctx, const struct path *dir, struct dentry *victim,
                    bool is_dir)
{
    const struct cred *cred = ctx->cred;
    struct inode *parent = dentry_inode(dir->dentry), *inode = dentry_inode(victim);
    int err = walk_may_create(dir, cred);

    if (err)
        return err;
    if ((parent->mode & S_ISVTX) && cred->fsuid != inode->uid && cred->fsuid != parent->uid &&
        !inode_capable(inode, cred, CAP_FOWNER))
        return -EPERM;
    if (is_dir && !S_ISDIR(inode->mode))
        return -ENOTDIR;
    if (!is_dir && S_ISDIR(inode->mode))
        return -EISDIR;
    return mount_stands_on(ctx->ns, victim) ? -EBUSY : 0;
}
