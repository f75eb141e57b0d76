/* SPDX-License-Identifier: MIT
 *
 * Descriptor tables: see fdtable.h for the rules. The first 64 numbers lie in the table itself. All
 * others come in chunks of 64, made when a number of theirs is first used and kept until the table
 * goes; two levels of pages name them, so that no table needs contiguous memory, and nothing that
 * is looked at is ever replaced. A free number is found through two bitmaps: a chunk's `open` has a
 * bit per number, `full` one per chunk that has none free.
 */
#include "proc/fdtable.h"
#include "lib/bitmap.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "proc/proc.h"
#include "vfs/vfs.h"

#define FD_CHUNKS (FD_TABLE_MAX / FD_CHUNK)
#define FD_BLOCK_CHUNKS 512

struct fd_block {
    struct fd_chunk *chunks[FD_BLOCK_CHUNKS];
};

/* What a table with numbers from FD_CHUNK on has besides. */
struct fd_wide {
    u64 full[BITMAP_WORDS(FD_CHUNKS)];
    struct fd_block *blocks[FD_CHUNKS / FD_BLOCK_CHUNKS];
};

static struct slab_cache *fd_table_cache, *fd_chunk_cache;

static void fd_boot(void)
{
    fd_table_cache = slab_cache_create("fd_table", sizeof(struct fd_table), 0);
    fd_chunk_cache = slab_cache_create("fd_chunk", sizeof(struct fd_chunk), 0);
}
INIT_HOOK(fd_boot, INIT_CORE);

/* One user, or the last one that takes it apart: no lock is needed. */
static inline bool fd_is_alone(const struct fd_table *t)
{
    return refcount_read(&t->users) <= 1;
}

/* The chunk n, or NULL. REQUIRES(t->lock), or to be the only user */
static struct fd_chunk *fd_chunk_nr(struct fd_table *t, u32 n)
{
    struct fd_block *block;

    ASSERT_HELD_OR(fd_is_alone(t), &t->lock);
    if (n == 0)
        return &t->first;
    if (n >= FD_CHUNKS || !t->wide)
        return NULL;
    block = t->wide->blocks[n / FD_BLOCK_CHUNKS];
    return block ? block->chunks[n % FD_BLOCK_CHUNKS] : NULL;
}

static inline struct fd_chunk *fd_chunk_of(struct fd_table *t, u32 fd)
{
    return likely(fd < FD_CHUNK) ? &t->first : fd_chunk_nr(t, fd / FD_CHUNK);
}

/* The first chunk from n on that exists, with its number; NULL: none. REQUIRES as fd_chunk_nr */
static struct fd_chunk *fd_chunk_next(struct fd_table *t, u32 *n)
{
    struct fd_chunk *c;

    ASSERT_HELD_OR(fd_is_alone(t), &t->lock);
    for (; *n < (t->wide ? FD_CHUNKS : 1); ++*n) {
        if (*n % FD_BLOCK_CHUNKS == 0 && *n && !t->wide->blocks[*n / FD_BLOCK_CHUNKS]) {
            *n += FD_BLOCK_CHUNKS - 1;
            continue;
        }
        c = fd_chunk_nr(t, *n);
        if (c)
            return c;
    }
    return NULL;
}

/* What fd names, or NULL. t->lock held, or t is of one user. */
static struct file *fd_file_at(struct fd_table *t, u32 fd)
{
    struct fd_chunk *c = fd_chunk_of(t, fd);

    ASSERT_HELD_OR(fd_is_alone(t), &t->lock);
    return c ? c->files[fd % FD_CHUNK] : NULL;
}

static bool fd_wide_make(struct fd_table *t)
{
    if (!t->wide) {
        t->wide = kzalloc(sizeof(*t->wide));
        if (t->wide && t->first.open == U64_MAX)
            bitmap_set(t->wide->full, 0);
    }
    return t->wide;
}

/* The chunk of a number below FD_TABLE_MAX; NULL: no memory. REQUIRES as fd_chunk_nr */
static struct fd_chunk *fd_chunk_make(struct fd_table *t, u32 fd)
{
    u32 n = fd / FD_CHUNK;
    struct fd_chunk *c = fd_chunk_nr(t, n);
    struct fd_block **block;

    ASSERT_HELD_OR(fd_is_alone(t), &t->lock);
    if (c || !fd_wide_make(t))
        return c;
    block = &t->wide->blocks[n / FD_BLOCK_CHUNKS];
    if (!*block)
        *block = kzalloc(sizeof(**block));
    if (!*block)
        return NULL;
    return (*block)->chunks[n % FD_BLOCK_CHUNKS] = slab_zalloc(fd_chunk_cache);
}

static void fd_mark_open(struct fd_table *t, struct fd_chunk *c, u32 fd, bool cloexec)
{
    bitmap_set(&c->open, fd % FD_CHUNK);
    if (c->open == U64_MAX && t->wide)
        bitmap_set(t->wide->full, fd / FD_CHUNK);
    if (cloexec)
        bitmap_set(&c->cloexec, fd % FD_CHUNK);
    else
        bitmap_clear(&c->cloexec, fd % FD_CHUNK);
}

static void fd_mark_free(struct fd_table *t, struct fd_chunk *c, u32 fd)
{
    bitmap_clear(&c->open, fd % FD_CHUNK);
    bitmap_clear(&c->cloexec, fd % FD_CHUNK);
    if (t->wide)
        bitmap_clear(t->wide->full, fd / FD_CHUNK);
    if (fd < t->hint)
        t->hint = fd;
}

struct fd_table *fd_table_create(void)
{
    struct fd_table *t = slab_zalloc(fd_table_cache);

    if (!t)
        return NULL;
    refcount_init(&t->users, 1);
    refcount_init(&t->ref, 1);
    spinlock_init(&t->lock, RANK_PROC, 1, "fd_table");
    return t;
}

void fd_table_get(struct fd_table *t)
{
    refcount_get(&t->ref);
}

void fd_table_put(struct fd_table *t)
{
    struct fd_chunk *c;

    if (!refcount_put(&t->ref))
        return;
    for (u32 n = 1; (c = fd_chunk_next(t, &n)); n++) {
        slab_free(fd_chunk_cache, c);
        cond_yield();
    }
    for (u32 i = 0; t->wide && i < ARRAY_SIZE(t->wide->blocks); i++)
        kfree(t->wide->blocks[i]);
    kfree(t->wide);
    slab_free(fd_table_cache, t);
}

/* A chunk's files, up to the number `below`, into a copy. */
static bool fd_chunk_copy(struct fd_table *to, const struct fd_chunk *src, u32 n, u32 below)
{
    u64 bits = src->open;
    struct fd_chunk *dst;

    if (below - n * FD_CHUNK < FD_CHUNK)
        bits &= (1ULL << below % FD_CHUNK) - 1;
    dst = bits ? fd_chunk_make(to, n * FD_CHUNK) : NULL;
    if (bits && !dst)
        return false;
    for (; bits; bits &= bits - 1) {
        u32 i = (u32)__builtin_ctzll(bits);
        struct file *f = src->files[i];

        if (!f) /* still to be installed by another task */
            continue;
        file_get(f);
        dst->files[i] = f;
        fd_mark_open(to, dst, n * FD_CHUNK + i, bitmap_test(&src->cloexec, i));
    }
    return true;
}

/* Some chunks from *n on; false: it was the last of them, or (*ok) there is no memory. A run is one
 * moment's state: a descriptor that another thread moves within it is copied in one place. */
#define FD_COPY_RUN 64
static bool fd_table_copy_run(struct fd_table *to, struct fd_table *from, u32 *n, u32 below,
                              bool *ok) NO_THREAD_SAFETY /* a table of one user needs no lock */
{
    bool shared = !fd_table_is_own(from);
    struct fd_chunk *c = NULL;

    if (shared)
        spin_lock(&from->lock);
    for (u32 run = 0; *ok && run < FD_COPY_RUN; run++, ++*n) {
        c = fd_chunk_next(from, n);
        if (!c || *n * FD_CHUNK >= below) {
            c = NULL;
            break;
        }
        *ok = fd_chunk_copy(to, c, *n, below);
    }
    if (shared)
        spin_unlock(&from->lock);
    return *ok && c;
}

struct fd_table *fd_table_copy(struct fd_table *from, u32 below)
{
    struct fd_table *t = fd_table_create();
    bool ok = true;
    u32 n = 0;

    if (!t)
        return NULL;
    while (fd_table_copy_run(t, from, &n, below, &ok))
        cond_yield();
    if (ok)
        return t;
    fd_table_leave(t);
    return NULL;
}

/* What close(2) does to a file besides dropping the reference. */
static int fd_file_close(struct fd_table *t, struct file *f)
{
    int err = 0;

    if (f->ops->lock_flush)
        err = f->ops->lock_flush(f, t);
    struct inode *i = file_inode_made(f);
    if (i && i->locks)
        file_lock_release(f, t);
    file_put(f);
    return err;
}

/* Takes the file out; NULL when there is none. */
static struct file *fd_take(struct fd_table *t, u32 fd)
{
    struct fd_chunk *c;
    struct file *f;

    spin_lock(&t->lock);
    f = fd_file_at(t, fd);
    if (f) {
        c = fd_chunk_of(t, fd);
        WRITE_ONCE(c->files[fd % FD_CHUNK], NULL);
        fd_mark_free(t, c, fd);
    }
    spin_unlock(&t->lock);
    return f;
}

void fd_table_join(struct fd_table *t)
{
    refcount_get(&t->users);
}

void fd_table_leave(struct fd_table *t)
{
    struct fd_chunk *c;

    if (!refcount_put(&t->users))
        return;
    for (u32 n = 0; (c = fd_chunk_next(t, &n)); n++) {
        for (u64 bits = c->open; bits; bits &= bits - 1) {
            struct file *f = fd_take(t, n * FD_CHUNK + (u32)__builtin_ctzll(bits));
            if (f)
                fd_file_close(t, f);
            cond_yield();
        }
    }
    fd_table_put(t);
}

int fd_table_copy_shared(struct fd_table **own)
{
    struct fd_table *t = current_task()->files;
    bool shared = !fd_table_is_own(t);

    *own = shared ? fd_table_copy(t, ~0U) : NULL;
    return shared && !*own ? -ENOMEM : 0;
}

void fd_table_change(struct fd_table *own)
{
    struct task *me = current_task();
    struct fd_table *old = me->files;
    u64 flags;

    spin_lock_irqsave(&me->process->siglock, &flags);
    me->files = own;
    spin_unlock_irqrestore(&me->process->siglock, flags);
    fd_table_leave(old);
}

int fd_table_unshare(void)
{
    struct fd_table *own;
    int err = fd_table_copy_shared(&own);

    if (own)
        fd_table_change(own);
    return err;
}

/* The lowest free number from `from` on, whether its chunk exists or not. REQUIRES(t->lock) */
static u32 fd_find_free(struct fd_table *t, u32 from)
{
    struct fd_chunk *c = fd_chunk_of(t, from);
    u64 bits = (c ? ~c->open : U64_MAX) & (U64_MAX << from % FD_CHUNK);
    u32 n = from / FD_CHUNK + 1;

    ASSERT_HELD_OR(fd_is_alone(t), &t->lock);
    if (!bits) {
        if (t->wide)
            n = (u32)bitmap_next_zero(t->wide->full, FD_CHUNKS, n);
        c = fd_chunk_nr(t, n);
        bits = c ? ~c->open : U64_MAX;
        from = n * FD_CHUNK;
    }
    return ALIGN_DOWN(from, (u32)FD_CHUNK) + (u32)__builtin_ctzll(bits);
}

static int fd_alloc_in(struct fd_table *t, u32 from, u64 limit, bool cloexec)
{
    struct fd_chunk *c = NULL;
    u32 fd = FD_TABLE_MAX;
    int err = -EMFILE;

    limit = FAILPOINT(fd_alloc) ? 0 : MIN(limit, FD_TABLE_MAX);
    spin_lock(&t->lock);
    if (from < limit)
        fd = fd_find_free(t, MAX(from, t->hint));
    if (fd < limit) {
        c = fd_chunk_make(t, fd);
        err = c ? 0 : -ENOMEM;
    }
    if (!err) {
        fd_mark_open(t, c, fd, cloexec);
        if (from <= t->hint)
            t->hint = fd + 1;
    }
    spin_unlock(&t->lock);
    return err ? err : (int)fd;
}

int fd_alloc(u32 from, bool cloexec)
{
    return fd_alloc_in(current_task()->files, from, rlimit_current(RLIMIT_NOFILE), cloexec);
}

void fd_cancel(int fd)
{
    struct fd_table *t = current_task()->files;

    spin_lock(&t->lock);
    fd_mark_free(t, fd_chunk_of(t, (u32)fd), (u32)fd);
    spin_unlock(&t->lock);
}

void fd_install(int fd, struct file *f)
{
    struct fd_table *t = current_task()->files;

    spin_lock(&t->lock);
    store_release(&fd_chunk_of(t, (u32)fd)->files[(u32)fd % FD_CHUNK], f);
    spin_unlock(&t->lock);
}

int fd_publish(struct file *f, bool cloexec)
{
    int fd = fd_alloc(0, cloexec);

    if (fd < 0)
        file_put(f);
    else
        fd_install(fd, f);
    return fd;
}

/* The only way from a number to a file without a lock. That no other task uses the table is looked
 * at before the table is: what others did to it before they left is seen then. */
struct fd_hold fd_hold_raw(int fd)
{
    struct fd_table *t = current_task()->files;
    struct fd_hold h = {NULL, false};

    if (likely(fd_table_is_own(t))) {
        h.file = fd_file_at(t, (u32)fd);
        return h;
    }
    h.file = fd_table_file(t, (u32)fd);
    h.put = h.file != NULL;
    return h;
}

struct fd_hold fd_hold(int fd)
{
    struct fd_hold h = fd_hold_raw(fd);

    if (h.file && unlikely(h.file->flags & O_PATH)) {
        fd_release(h);
        h = (struct fd_hold){NULL, false};
    }
    return h;
}

struct file *fd_table_file(struct fd_table *t, u32 fd)
{
    struct file *f;

    spin_lock(&t->lock);
    f = fd_file_at(t, fd);
    if (f)
        file_get(f);
    spin_unlock(&t->lock);
    return f;
}

bool fd_names(int fd, const struct file *f)
{
    struct fd_table *t = current_task()->files;

    spin_lock(&t->lock);
    bool same = fd_file_at(t, (u32)fd) == f;
    spin_unlock(&t->lock);
    return same;
}

struct file *fd_file(int fd)
{
    struct file *f = fd_table_file(current_task()->files, (u32)fd);

    if (f && f->flags & O_PATH) {
        file_put(f);
        return NULL;
    }
    return f;
}

int fd_close(int fd)
{
    struct fd_table *t = current_task()->files;
    struct file *f = fd_take(t, (u32)fd);

    return f ? fd_file_close(t, f) : -EBADF;
}

int fd_dup_to(int fd, int to, bool cloexec)
{
    struct fd_table *t = current_task()->files;

    if ((u32)to >= MIN(rlimit_current(RLIMIT_NOFILE), FD_TABLE_MAX))
        return -EBADF;
    struct file *f = fd_table_file(t, (u32)fd);
    if (!f)
        return -EBADF;
    spin_lock(&t->lock);
    struct fd_chunk *c = fd_chunk_make(t, (u32)to);
    struct file *old = c ? c->files[(u32)to % FD_CHUNK] : NULL;
    int err = !c ? -ENOMEM : 0;
    if (!err && !old && bitmap_test(&c->open, (u32)to % FD_CHUNK))
        err = -EBUSY; /* another task is about to install here */
    if (!err) {
        fd_mark_open(t, c, (u32)to, cloexec);
        store_release(&c->files[(u32)to % FD_CHUNK], f);
    }
    spin_unlock(&t->lock);
    if (err)
        file_put(f);
    else if (old)
        fd_file_close(t, old);
    return err ? err : to;
}

bool fd_table_cloexec(struct fd_table *t, u32 fd)
{
    spin_lock(&t->lock);
    struct fd_chunk *c = fd_chunk_of(t, fd);
    bool on = c && bitmap_test(&c->cloexec, fd % FD_CHUNK);
    spin_unlock(&t->lock);
    return on;
}

int fd_get_cloexec(int fd)
{
    struct fd_hold h = fd_hold_raw(fd);

    if (!h.file)
        return -EBADF;
    fd_release(h);
    return fd_table_cloexec(current_task()->files, (u32)fd);
}

int fd_set_cloexec(int fd, bool on)
{
    struct fd_table *t = current_task()->files;
    int err = -EBADF;

    spin_lock(&t->lock);
    if (fd_file_at(t, (u32)fd)) {
        struct fd_chunk *c = fd_chunk_of(t, (u32)fd);
        if (on)
            bitmap_set(&c->cloexec, (u32)fd % FD_CHUNK);
        else
            bitmap_clear(&c->cloexec, (u32)fd % FD_CHUNK);
        err = 0;
    }
    spin_unlock(&t->lock);
    return err;
}

int fd_close_range(u32 first, u32 last, bool cloexec_only)
{
    struct fd_table *t = current_task()->files;

    for (int fd = fd_table_next(t, first); fd >= 0 && (u32)fd <= last;
         fd = fd_table_next(t, (u32)fd + 1)) {
        if (cloexec_only)
            fd_set_cloexec(fd, true);
        else
            fd_close(fd);
        cond_yield();
    }
    return 0;
}

void fd_close_on_exec(void)
{
    struct fd_table *t = current_task()->files; /* exec has made it its own */
    struct fd_chunk *c;

    for (u32 n = 0; (c = fd_chunk_next(t, &n)); n++)
        for (u64 bits = c->cloexec & c->open; bits; bits &= bits - 1) {
            fd_close((int)(n * FD_CHUNK) + __builtin_ctzll(bits));
            cond_yield();
        }
}

int fd_table_next(struct fd_table *t, u32 from)
{
    u32 n = from / FD_CHUNK;
    u64 mask = U64_MAX << from % FD_CHUNK;
    struct fd_chunk *c;
    int found = -1;

    spin_lock(&t->lock);
    for (u32 looks = 0; found < 0 && (c = fd_chunk_next(t, &n)); n++) {
        if (++looks % FD_COPY_RUN == 0) { /* chunks stay: many may be empty */
            spin_unlock(&t->lock);
            cond_yield();
            spin_lock(&t->lock);
        }
        if (n != from / FD_CHUNK)
            mask = U64_MAX;
        for (u64 bits = c->open & mask; bits && found < 0; bits &= bits - 1)
            if (c->files[__builtin_ctzll(bits)])
                found = (int)(n * FD_CHUNK) + __builtin_ctzll(bits);
    }
    spin_unlock(&t->lock);
    return found;
}
