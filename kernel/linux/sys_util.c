/* SPDX-License-Identifier: MIT
 *
 * Argument fetching for the families: see sys.h.
 */
#include "linux/sys.h"

#include "arch/x86/trap.h"

static struct slab_cache *name_cache;

static void name_init(void)
{
    name_cache = slab_cache_create("name", PATH_MAX, 64);
}
INIT_HOOK(name_init, INIT_CORE);

struct trap_frame *syscall_frame(void)
{
    return (struct trap_frame *)thread_stack_top(current_thread()) - 1;
}

int struct_in(void *dst, size_t size, u64 uptr, u64 usize)
{
    static const u8 zero[64];
    u8 rest[sizeof(zero)];
    u64 at, n;

    memset(dst, 0, size);
    for (at = size; at < usize; at += n) {
        n = MIN(usize - at, sizeof(rest));
        if (copy_in(rest, (const void __user *)(uptr + at), n))
            return -EFAULT;
        if (memcmp(rest, zero, n) != 0)
            return -E2BIG;
    }
    return copy_in(dst, (const void __user *)uptr, MIN(size, usize));
}

char *name_in(u64 uptr)
{
    char *name = slab_alloc(name_cache);

    if (!name)
        return ERR_PTR(-ENOMEM);
    ssize_t n = copy_string_in(name, (const char __user *)uptr, PATH_MAX);
    if (n < 0) {
        slab_free(name_cache, name);
        return ERR_PTR(n);
    }
    return name;
}

void name_free(char *name)
{
    slab_free(name_cache, name);
}

/* Most names are short, and lie on the caller's stack. */
static char *walk_at_name(struct walk_at *w, u64 uname)
{
    ssize_t n = copy_string_in(w->brief, (const char __user *)uname, sizeof(w->brief));

    if (likely(n >= 0))
        return w->brief;
    return n == -ENAMETOOLONG ? name_in(uname) : ERR_PTR(n);
}

static void walk_at_name_free(struct walk_at *w)
{
    if (unlikely(w->name != w->brief))
        name_free(w->name);
}

/* From the descriptor. */
static int walk_at_dir(struct walk_at *w, s64 dirfd)
{
    w->dir = fd_hold_raw((int)dirfd);
    int err = w->dir.file ? 0 : -EBADF;
    if (!err && !w->dir.file->dentry && w->name[0])
        err = -ENOTDIR;
    if (err)
        return err;
    if (likely(w->dir.file->dentry))
        w->at = (struct path){w->dir.file->mount, w->dir.file->dentry};
    else
        err = file_get_path(w->dir.file, &w->at);
    if (!err)
        w->from = &w->at;
    return err;
}

int walk_at_begin_flags(struct walk_at *w, s64 dirfd, u64 uname, unsigned walk_flags)
{
    int err = 0;

    w->dir = (struct fd_hold){NULL, false};
    w->from = NULL;
    w->name = walk_at_name(w, uname);
    if (IS_ERR(w->name))
        return PTR_ERR(w->name);
    if ((s32)dirfd != AT_FDCWD && (w->name[0] != '/' || walk_flags & WALK_SCOPED))
        err = walk_at_dir(w, dirfd);
    if (err) {
        fd_release(w->dir);
        walk_at_name_free(w);
        return err;
    }
    walk_begin(&w->walk);
    return 0;
}

int walk_at_begin(struct walk_at *w, s64 dirfd, u64 uname)
{
    return walk_at_begin_flags(w, dirfd, uname, 0);
}

void walk_at_end(struct walk_at *w)
{
    walk_end(&w->walk);
    if (w->from && !w->dir.file->dentry)
        path_put(w->from);
    fd_release(w->dir);
    walk_at_name_free(w);
}

static unsigned walk_at_flags(u64 at_flags)
{
    return (at_flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) |
           (at_flags & AT_EMPTY_PATH ? WALK_EMPTY : 0);
}

int walk_at_lookup(s64 dirfd, u64 uname, u64 at_flags, struct path *out)
{
    struct walk_at w;
    int err = walk_at_begin(&w, dirfd, uname);

    if (err)
        return err;
    err = vfs_lookup(&w.walk.ctx, w.from, w.name, walk_at_flags(at_flags), out);
    walk_at_end(&w);
    return err;
}

int walk_at_stat(s64 dirfd, u64 uname, u64 at_flags, struct kstat *out)
{
    struct walk_at w;
    int err = walk_at_begin(&w, dirfd, uname);

    if (err)
        return err;
    err = vfs_stat_at(&w.walk.ctx, w.from, w.name, walk_at_flags(at_flags), out);
    walk_at_end(&w);
    return err;
}

int iov_in_begin(struct iov_in *v, u64 uvec, u64 nr)
{
    v->segs = v->fast;
    v->nr = nr;
    v->total = 0;
    if (nr > IOV_MAX)
        return -EINVAL;
    if (nr > IOV_FAST) {
        v->segs = kmalloc(nr * sizeof(*v->segs));
        if (!v->segs)
            return -ENOMEM;
    }
    int err = copy_in(v->segs, (const void __user *)uvec, nr * sizeof(*v->segs));
    for (u64 i = 0; !err && i < nr; i++) {
        struct iovec_k *s = &v->segs[i];
        if ((s64)s->len < 0)
            err = -EINVAL;
        else if (!user_range_ok(s->base, s->len))
            err = -EFAULT;
        s->len = MIN(s->len, 0x7ffff000UL - v->total); /* MAX_RW_COUNT */
        v->total += s->len;
    }
    if (err)
        iov_in_end(v);
    return err;
}

void iov_in_end(struct iov_in *v)
{
    if (v->segs != v->fast)
        kfree(v->segs);
}

int timespec_in(u64 uptr, u64 *ns)
{
    struct timespec_k ts;

    if (IN(ts, uptr))
        return -EFAULT;
    if (ts.sec < 0 || ts.nsec < 0 || ts.nsec >= (s64)NSEC_PER_SEC)
        return -EINVAL;
    if ((u64)ts.sec > U64_MAX / NSEC_PER_SEC / 4)
        *ns = U64_MAX / 4;
    else
        *ns = (u64)ts.sec * NSEC_PER_SEC + (u64)ts.nsec;
    return 0;
}

int timespec_out(u64 uptr, u64 ns)
{
    struct timespec_k ts = {(s64)(ns / NSEC_PER_SEC), (s64)(ns % NSEC_PER_SEC)};

    return OUT(uptr, ts);
}
