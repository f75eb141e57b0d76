/* SPDX-License-Identifier: MIT
 *
 * Descriptor tables: see fdtable.h for the rules. A number is found through two bitmaps: `open` has
 * a bit per number, `full` a bit per word of `open` that has none free, so that the lowest free
 * number of a million is two searches away.
 */
#include "proc/fdtable.h"
#include "lib/bitmap.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/proc.h"
#include "sync/rcu.h"
#include "vfs/vfs.h"

#define FD_FIRST_SIZE 64

struct fd_array {
    struct rcu_head rcu;
    u32 size; /* a multiple of 64 */
    u64 *open, *cloexec, *full;
    struct file *files[];
};

/* One block: header, file pointers, the three bitmaps. */
static struct fd_array *fd_array_create(u32 size)
{
    size_t words = size / 64, full_words = BITMAP_WORDS(words);
    struct fd_array *a =
        kzalloc(sizeof(*a) + size * sizeof(a->files[0]) + (2 * words + full_words) * sizeof(u64));

    if (!a)
        return NULL;
    a->size = size;
    a->open = (u64 *)&a->files[size];
    a->cloexec = a->open + words;
    a->full = a->cloexec + words;
    return a;
}

static void fd_array_free(struct rcu_head *head)
{
    kfree(container_of(head, struct fd_array, rcu));
}

static void fd_mark_open(struct fd_array *a, u32 fd, bool cloexec)
{
    bitmap_set(a->open, fd);
    if (a->open[fd / 64] == U64_MAX)
        bitmap_set(a->full, fd / 64);
    if (cloexec)
        bitmap_set(a->cloexec, fd);
    else
        bitmap_clear(a->cloexec, fd);
}

static void fd_mark_free(struct fd_table *t, struct fd_array *a, u32 fd)
{
    bitmap_clear(a->open, fd);
    bitmap_clear(a->cloexec, fd);
    bitmap_clear(a->full, fd / 64);
    if (fd < t->hint)
        t->hint = fd;
}

struct fd_table *fd_table_create(void)
{
    struct fd_table *t = kzalloc(sizeof(*t));

    if (!t)
        return NULL;
    t->array = fd_array_create(FD_FIRST_SIZE);
    if (!t->array) {
        kfree(t);
        return NULL;
    }
    refcount_init(&t->ref, 1);
    spinlock_init(&t->lock, RANK_PROC, 1, "fd_table");
    return t;
}

void fd_table_get(struct fd_table *t)
{
    refcount_get(&t->ref);
}

/* How large a copy must be: up to the last open number below the bound. */
static u32 fd_array_used(const struct fd_array *a, u32 below)
{
    u32 n = MIN(a->size, below);

    while (n > 0 && !bitmap_test(a->open, n - 1))
        n--;
    return MAX(FD_FIRST_SIZE, ALIGN_UP(n, 64u));
}

struct fd_table *fd_table_copy(struct fd_table *from, u32 below)
{
    struct fd_table *t = fd_table_create();
    struct fd_array *src, *dst = NULL;
    u32 size = FD_FIRST_SIZE;

    if (!t)
        return NULL;
    for (;;) {
        spin_lock(&from->lock);
        src = from->array;
        u32 need = fd_array_used(src, below);
        if (need <= size)
            break;
        spin_unlock(&from->lock);
        size = need;
        kfree(dst);
        dst = fd_array_create(size);
        if (!dst) {
            fd_table_put(t);
            return NULL;
        }
    }
    if (dst) {
        kfree(t->array);
        t->array = dst;
    }
    dst = t->array;
    for (u32 fd = 0; fd < MIN(src->size, below); fd++) {
        struct file *f = src->files[fd];
        if (!f)
            continue;
        file_get(f);
        dst->files[fd] = f;
        fd_mark_open(dst, fd, bitmap_test(src->cloexec, fd));
    }
    spin_unlock(&from->lock);
    return t;
}

/* What close(2) does to a file besides dropping the reference. */
static int fd_file_close(struct fd_table *t, struct file *f)
{
    int err = 0;

    if (f->ops->lock_flush)
        err = f->ops->lock_flush(f, t);
    if (f->inode && f->inode->locks)
        file_lock_release(f, t);
    file_put(f);
    return err;
}

void fd_table_put(struct fd_table *t)
{
    if (!refcount_put(&t->ref))
        return;
    struct fd_array *a = t->array;
    for (u32 fd = 0; fd < a->size; fd++) {
        if (a->open[fd / 64] == 0) {
            fd |= 63;
            continue;
        }
        if (a->files[fd]) {
            fd_file_close(t, a->files[fd]);
            cond_yield();
        }
    }
    kfree(a);
    kfree(t);
}

/* Makes room for number fd. Drops and retakes the lock. REQUIRES(t->lock) */
static int fd_grow_locked(struct fd_table *t, u32 fd)
{
    while (t->array->size <= fd) {
        u32 size = MAX(t->array->size * 2, ALIGN_UP(fd + 1, 64u));

        spin_unlock(&t->lock);
        struct fd_array *bigger = fd_array_create(size);
        spin_lock(&t->lock);
        if (!bigger)
            return -ENOMEM;
        struct fd_array *old = t->array;
        if (old->size >= size) {
            kfree(bigger);
            continue;
        }
        memcpy(bigger->files, old->files, old->size * sizeof(old->files[0]));
        memcpy(bigger->open, old->open, old->size / 8);
        memcpy(bigger->cloexec, old->cloexec, old->size / 8);
        for (u32 w = 0; w < old->size / 64; w++) {
            if (bigger->open[w] == U64_MAX)
                bitmap_set(bigger->full, w);
        }
        store_release(&t->array, bigger);
        rcu_call(&old->rcu, fd_array_free);
    }
    return 0;
}

static u32 fd_find_free(struct fd_array *a, u32 from)
{
    if (from >= a->size)
        return from;
    u32 word = from / 64;
    u64 free_bits = ~a->open[word] & (U64_MAX << (from % 64));
    if (free_bits)
        return word * 64 + (u32)__builtin_ctzll(free_bits);
    u32 next = (u32)bitmap_next_zero(a->full, a->size / 64, word + 1);
    if (next >= a->size / 64)
        return a->size;
    return next * 64 + (u32)__builtin_ctzll(~a->open[next]);
}

int fd_alloc_in(struct fd_table *t, u32 from, u64 limit, bool cloexec)
{
    limit = MIN(limit, FD_TABLE_MAX);
    spin_lock(&t->lock);
    u32 fd;
    for (;;) {
        u32 start = MAX(from, t->hint);
        fd = fd_find_free(t->array, start);
        if (fd >= limit) {
            spin_unlock(&t->lock);
            return -EMFILE;
        }
        if (fd < t->array->size)
            break;
        if (fd_grow_locked(t, fd)) {
            spin_unlock(&t->lock);
            return -ENOMEM;
        }
    }
    fd_mark_open(t->array, fd, cloexec);
    if (from <= t->hint)
        t->hint = fd + 1;
    spin_unlock(&t->lock);
    return (int)fd;
}

int fd_alloc(u32 from, bool cloexec)
{
    return fd_alloc_in(current_task()->files, from, rlimit_current(RLIMIT_NOFILE), cloexec);
}

void fd_cancel(int fd)
{
    struct fd_table *t = current_task()->files;

    spin_lock(&t->lock);
    fd_mark_free(t, t->array, (u32)fd);
    spin_unlock(&t->lock);
}

void fd_install(int fd, struct file *f)
{
    struct fd_table *t = current_task()->files;

    spin_lock(&t->lock);
    store_release(&t->array->files[fd], f);
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

struct fd_hold fd_hold_raw(int fd)
{
    struct fd_table *t = current_task()->files;
    struct fd_array *a = READ_ONCE(t->array);
    struct fd_hold h = {NULL, false};

    if (likely(refcount_read(&t->ref) == 1)) {
        if (likely((u32)fd < a->size))
            h.file = a->files[fd];
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
    struct file *f = NULL;

    /* The lock, not RCU, keeps the file until its count is taken: struct file is freed at once. */
    spin_lock(&t->lock);
    if (fd < t->array->size) {
        f = t->array->files[fd];
        if (f)
            file_get(f);
    }
    spin_unlock(&t->lock);
    return f;
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

/* Takes the file out; NULL when there is none. */
static struct file *fd_take(struct fd_table *t, u32 fd)
{
    struct file *f = NULL;

    spin_lock(&t->lock);
    struct fd_array *a = t->array;
    if (fd < a->size && a->files[fd]) {
        f = a->files[fd];
        WRITE_ONCE(a->files[fd], NULL);
        fd_mark_free(t, a, fd);
    }
    spin_unlock(&t->lock);
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
    if (fd_grow_locked(t, (u32)to)) {
        spin_unlock(&t->lock);
        file_put(f);
        return -ENOMEM;
    }
    struct fd_array *a = t->array;
    struct file *old = a->files[to];
    if (!old && bitmap_test(a->open, (u32)to)) { /* another task is about to install here */
        spin_unlock(&t->lock);
        file_put(f);
        return -EBUSY;
    }
    fd_mark_open(a, (u32)to, cloexec);
    store_release(&a->files[to], f);
    spin_unlock(&t->lock);
    if (old)
        fd_file_close(t, old);
    return to;
}

bool fd_table_cloexec(struct fd_table *t, u32 fd)
{
    spin_lock(&t->lock);
    bool on = fd < t->array->size && bitmap_test(t->array->cloexec, fd);
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
    if ((u32)fd < t->array->size && t->array->files[fd]) {
        if (on)
            bitmap_set(t->array->cloexec, (u32)fd);
        else
            bitmap_clear(t->array->cloexec, (u32)fd);
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
    struct fd_table *t = current_task()->files;
    struct fd_array *a = t->array; /* exec has made the table its own */

    for (u32 w = 0; w < a->size / 64; w++) {
        u64 bits = a->cloexec[w] & a->open[w];
        for (; bits; bits &= bits - 1)
            fd_close((int)(w * 64) + __builtin_ctzll(bits));
    }
}

int fd_table_next(struct fd_table *t, u32 from)
{
    int found = -1;

    spin_lock(&t->lock);
    for (u32 fd = from; fd < t->array->size; fd++) {
        if (t->array->open[fd / 64] == 0) {
            fd |= 63;
            continue;
        }
        if (t->array->files[fd]) {
            found = (int)fd;
            break;
        }
    }
    spin_unlock(&t->lock);
    return found;
}
