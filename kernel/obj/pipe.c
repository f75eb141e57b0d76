/* SPDX-License-Identifier: MIT
 *
 * Pipes: a ring of page-sized buffers. head and tail count buffers for ever; the buffer of count i
 * is ring[i & mask]. A write of up to PIPE_BUF bytes is whole: it goes behind the last bytes where
 * it fits there, else into a buffer of its own.
 *
 * pipe->lock (sleeping) guards the ring and the counts of ends. Each user of it may wait for
 * it, so a copy under it faults nothing in: a page that is not there may take as long as its file
 * system likes. It is touched between two holds of the lock, and what was to be one buffer's copy
 * starts again, whole.
 */
#include "obj/pipe_priv.h"
#include "arch/x86/percpu.h"
#include "arch/x86/uaccess.h"
#include "lib/errno.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "obj/cred.h"
#include "obj/file.h"
#include "obj/obj_priv.h"
#include "obj/up.h"
#include "sched/thread.h"

#define PIPE_SLOTS 16U
#define PIPE_SLOTS_MAX (PIPE_BYTES_MAX >> PAGE_SHIFT)
#define PIPE_SLOTS_LIMIT (1U << 15)
#define PIPE_BUF 4096
#define FIONREAD 0x541B

struct pipe *pipe_alloc(void)
{
    struct pipe *p = kzalloc(sizeof(*p));

    if (!p)
        return NULL;
    p->ring = kcalloc(PIPE_SLOTS, sizeof(*p->ring));
    if (!p->ring) {
        kfree(p);
        return NULL;
    }
    p->slots = PIPE_SLOTS;
    mutex_init(&p->lock, RANK_OPS, ORDER_PIPE, "pipe");
    refcount_init(&p->ref, 1);
    waitq_init(&p->readers_wait);
    waitq_init(&p->writers_wait);
    p->ino = inum_alloc();
    return p;
}

static void pipe_get(struct pipe *p)
{
    refcount_get(&p->ref);
}

bool pipe_get_unless_gone(struct pipe *p)
{
    return refcount_get_unless_zero(&p->ref);
}

bool pipe_unshared(struct pipe *p)
{
    return refcount_read(&p->ref) == 1;
}

void pipe_put(struct pipe *p)
{
    if (!refcount_put(&p->ref))
        return;
    if (p->inode)
        up_pipe_gone(p->inode);
    for (; p->tail != p->head; p->tail++)
        page_put(p->ring[p->tail & (p->slots - 1)].page);
    if (p->spare)
        page_put(p->spare);
    kfree(p->ring);
    kfree(p);
}

void pipe_drop_buf(struct pipe *p, struct pipe_buf *b)
{
    ASSERT_HELD(&p->lock);
    if (p->spare)
        page_put(b->page);
    else
        p->spare = b->page;
    b->page = NULL;
    WRITE_ONCE(p->tail, p->tail + 1);
}

/* Bytes of one buffer to the user: all that fit, or none. How many, or 0 with *missing: bytes of
 * the user's memory that are not there. */
static u64 pipe_read_buf(struct pipe *p, struct iov_iter *to, u64 *missing)
{
    struct pipe_buf *b = pipe_buf(p, p->tail);
    u64 want = MIN((u64)b->len, to->count);

    if (unlikely(!iov_put_whole(to, (char *)page_virt(b->page) + b->off, want))) {
        *missing = want;
        return 0;
    }
    b->off += (u32)want;
    b->len -= (u32)want;
    if (!b->len || b->packet)
        pipe_drop_buf(p, b);
    return want;
}

static u64 pipe_read_locked(struct pipe *p, struct iov_iter *to, u64 *missing) REQUIRES(p->lock)
{
    bool packet = false;
    u64 done = 0;

    ASSERT_HELD(&p->lock);
    while (to->count && !pipe_empty(p) && !packet && !*missing) {
        packet = pipe_buf(p, p->tail)->packet;
        done += pipe_read_buf(p, to, missing);
    }
    return done;
}

int pipe_wait_bytes(struct pipe *p)
{
    int err = wait_event_exclusive(&p->readers_wait, pipe_readable(p), 0);

    if (err && !pipe_empty(p))
        obj_wake(&p->readers_wait, POLLIN | POLLRDNORM, 1);
    return err;
}

static ssize_t pipe_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    bool was_full = false, more, eof, slept = false;
    struct pipe *p = f->priv;
    u64 done = 0, missing;
    int err = 0;

    if (!to->count)
        return 0;
    for (;;) {
        missing = 0;
        mutex_lock(&p->lock);
        was_full |= pipe_full(p);
        done += pipe_read_locked(p, to, &missing);
        more = !pipe_empty(p);
        eof = !p->writers && !p->viewed;
        mutex_unlock(&p->lock);
        if (unlikely(missing)) {
            err = iov_fault_in(to, missing, true);
            if (err)
                break;
            continue;
        }
        if (done || eof)
            break;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        err = pipe_wait_bytes(p);
        if (err)
            return err;
        slept = true;
    }
    if (was_full && done)
        obj_wake(&p->writers_wait, POLLOUT | POLLWRNORM, 1);
    if (more && slept) /* the wake was for other readers, too */
        obj_wake(&p->readers_wait, POLLIN | POLLRDNORM, 1);
    return done ? (ssize_t)done : err;
}

/* Behind the bytes of the last buffer, if all n fit: n or 0. */
static u64 pipe_write_merge(struct pipe *p, struct iov_iter *from, u64 n, u64 *missing)
{
    struct pipe_buf *b;

    if (p->head == p->tail)
        return 0;
    b = pipe_buf(p, p->head - 1);
    if (b->packet || b->off + b->len + n > PAGE_SIZE)
        return 0;
    if (unlikely(!iov_get_whole(from, (char *)page_virt(b->page) + b->off + b->len, n))) {
        *missing = n;
        return 0;
    }
    b->len += (u32)n;
    return n;
}

static ssize_t pipe_write_buf(struct pipe *p, struct iov_iter *from, u64 n, bool packet,
                              u64 *missing)
{
    struct page *page = p->spare ? p->spare : page_alloc(0, PA_CHARGE);

    if (!page)
        return -ENOMEM;
    p->spare = NULL;
    if (unlikely(!iov_get_whole(from, page_virt(page), n))) {
        p->spare = page;
        *missing = n;
        return 0;
    }
    *pipe_buf(p, p->head) = (struct pipe_buf){.page = page, .len = (u32)n, .packet = packet};
    WRITE_ONCE(p->head, p->head + 1);
    return (ssize_t)n;
}

/* As much as there is space for: bytes (0: full, or *missing), or -errno when none. */
static ssize_t pipe_write_locked(struct pipe *p, struct iov_iter *from, bool packet, u64 *missing)
    REQUIRES(p->lock)
{
    u64 part = from->count & (PAGE_SIZE - 1), done = 0;
    ssize_t n = 0;

    ASSERT_HELD(&p->lock);
    if (part && !packet)
        done = pipe_write_merge(p, from, part, missing);
    while (n >= 0 && !*missing && from->count && !pipe_full(p)) {
        n = pipe_write_buf(p, from, MIN(from->count, PAGE_SIZE), packet, missing);
        done += n > 0 ? (u64)n : 0;
    }
    return done ? (ssize_t)done : n;
}

int pipe_wait_space(struct pipe *p)
{
    int err = wait_event_exclusive(&p->writers_wait, !pipe_full(p) || !READ_ONCE(p->readers), 0);

    if (err && !pipe_full(p))
        obj_wake(&p->writers_wait, POLLOUT | POLLWRNORM, 1);
    return err;
}

static ssize_t pipe_write_end(ssize_t done, int err)
{
    if (err == -EPIPE)
        up_sigpipe();
    return done ? done : err;
}

static ssize_t pipe_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct pipe *p = f->priv;
    bool readers, space = false, slept = false;
    ssize_t done = 0, n;
    u64 missing;
    int err = 0;

    if (!from->count)
        return 0;
    while (!err && from->count) {
        missing = 0;
        mutex_lock(&p->lock);
        readers = p->readers;
        n = readers ? pipe_write_locked(p, from, f->flags & O_DIRECT, &missing) : 0;
        space = !pipe_full(p);
        mutex_unlock(&p->lock);
        if (!readers)
            return pipe_write_end(done, -EPIPE);
        if (n > 0) {
            done += n;
            obj_wake(&p->readers_wait, POLLIN | POLLRDNORM, 1);
        }
        if (n < 0)
            err = (int)n;
        else if (unlikely(missing))
            err = iov_fault_in(from, missing, false);
        else if (from->count && (f->flags & O_NONBLOCK))
            err = -EAGAIN;
        else if (from->count) {
            err = pipe_wait_space(p);
            slept = true;
            cond_yield(); /* a reader on another processor may make space for ever */
            if (!err && thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
                err = -EINTR;
        }
    }
    if (space && slept)
        obj_wake(&p->writers_wait, POLLOUT | POLLWRNORM, 1);
    return done ? done : err;
}

static u32 pipe_poll(struct file *f, struct poll_table *pt)
{
    struct pipe *p = f->priv;
    u32 mask = 0;

    if (file_readable(f)) {
        poll_wait(pt, &p->readers_wait);
        if (!READ_ONCE(p->writers) && READ_ONCE(p->writer_opens) != f->version &&
            !READ_ONCE(p->viewed)) /* its bytes may come back */
            mask |= POLLHUP;
        DELAYPOINT(pipe_poll);
        if (!pipe_empty(p)) /* after that: what the last writer has left is told with its end */
            mask |= POLLIN | POLLRDNORM;
    }
    if (file_writable(f)) {
        poll_wait(pt, &p->writers_wait);
        if (!pipe_full(p))
            mask |= POLLOUT | POLLWRNORM;
        if (!READ_ONCE(p->readers))
            mask |= POLLERR;
    }
    return mask;
}

static s64 pipe_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct pipe *p = f->priv;
    u32 bytes = 0;

    if (cmd != FIONREAD)
        return -ENOTTY;
    mutex_lock(&p->lock);
    for (u32 i = p->tail; i != p->head; i++)
        bytes += pipe_buf(p, i)->len;
    mutex_unlock(&p->lock);
    return copy_out((void __user *)arg, &bytes, sizeof(bytes));
}

static void pipe_release(struct file *f)
{
    struct pipe *p = f->priv;

    mutex_lock(&p->lock);
    if (file_readable(f))
        WRITE_ONCE(p->readers, p->readers - 1);
    if (file_writable(f))
        WRITE_ONCE(p->writers, p->writers - 1);
    if (!p->readers && !p->writers) { /* a FIFO starts anew with its next open */
        for (; p->tail != p->head; p->tail++)
            page_put(pipe_buf(p, p->tail)->page);
        p->reader_opens = p->writer_opens = 0;
    }
    mutex_unlock(&p->lock);
    obj_wake(&p->readers_wait, POLLHUP, ~0U);
    obj_wake(&p->writers_wait, POLLERR, ~0U);
    pipe_put(p);
}

static int pipe_set_flags(struct file *f, unsigned flags)
{
    return 0; /* O_NONBLOCK and O_DIRECT are read at each call */
}

static struct inode **pipe_inode_slot(struct file *f)
{
    struct pipe *p = f->priv;

    return &p->inode;
}

const struct file_ops pipe_ops = {
    .name = "pipe",
    .anon_mode = 0010600,
    .inode_slot = pipe_inode_slot,
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .release = pipe_release,
    .set_flags = pipe_set_flags,
};

/* Both ends name one object, and so one number. */
static void pipe_name(struct file *f, const struct pipe *p)
{
    f->anon_ino = p->ino;
    file_born(f);
}

int pipe_create(unsigned flags, struct file **reader, struct file **writer)
{
    struct pipe *p = pipe_alloc();
    struct file *r, *w;

    if (!p)
        return -ENOMEM;
    r = file_create(&pipe_ops, O_RDONLY | (flags & O_NONBLOCK), p);
    if (!r) {
        pipe_put(p);
        return -ENFILE;
    }
    p->readers = p->reader_opens = 1;
    pipe_name(r, p);
    w = file_create(&pipe_ops, O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT)), p);
    if (!w) {
        file_put(r);
        return -ENFILE;
    }
    pipe_get(p);
    p->writers = p->writer_opens = 1;
    pipe_name(w, p);
    *reader = r;
    *writer = w;
    return 0;
}

/* REQUIRES(p->lock). Counts the end, unless it is one to write that would not wait for readers. */
static int pipe_open_count(struct pipe *p, struct file *f, bool named) REQUIRES(p->lock)
{
    bool reads = file_readable(f), writes = file_writable(f);

    ASSERT_HELD(&p->lock);
    if (named && writes && !reads && (f->flags & O_NONBLOCK) && !p->readers)
        return -ENXIO;
    if (reads) {
        WRITE_ONCE(p->readers, p->readers + 1);
        WRITE_ONCE(p->reader_opens, p->reader_opens + 1);
    }
    if (writes) {
        WRITE_ONCE(p->writers, p->writers + 1);
        WRITE_ONCE(p->writer_opens, p->writer_opens + 1);
    }
    /* A FIFO's reader without a writer is told of a hang-up once one has come and gone. */
    if (named && reads && !writes && !p->writers && (f->flags & O_NONBLOCK))
        f->version = p->writer_opens;
    return 0;
}

/* fifo(7): an open for one end waits until the other has been opened, though it may have been
 * closed again. partners and opens are what was true when this end was counted. */
static int pipe_open_wait(struct pipe *p, struct file *f, u32 partners, u32 opens)
{
    if (partners || (f->flags & O_NONBLOCK))
        return 0;
    if (file_readable(f))
        return wait_event_interruptible(&p->readers_wait, READ_ONCE(p->writer_opens) != opens);
    return wait_event_interruptible(&p->writers_wait, READ_ONCE(p->reader_opens) != opens);
}

int pipe_open(struct pipe *p, struct file *f, bool named)
{
    static const struct file_ops none = {.name = "pipe"};
    bool reads = file_readable(f), waits = named && reads != file_writable(f);
    u32 partners, opens;
    int err;

    mutex_lock(&p->lock);
    err = pipe_open_count(p, f, named);
    partners = reads ? p->writers : p->readers;
    opens = reads ? p->writer_opens : p->reader_opens;
    mutex_unlock(&p->lock);
    if (err)
        return err;
    pipe_get(p);
    f->priv = p;
    f->ops = &pipe_ops;
    obj_wake(&p->readers_wait, 0, ~0U);
    obj_wake(&p->writers_wait, 0, ~0U);
    DELAYPOINT(pipe_open);
    err = waits ? pipe_open_wait(p, f, partners, opens) : 0;
    if (err) {
        pipe_release(f);
        f->ops = &none;
        f->priv = NULL;
    }
    return err;
}

int pipe_get_size(struct file *f)
{
    struct pipe *p = f->priv;

    return f->ops != &pipe_ops ? -EBADF : (int)(READ_ONCE(p->slots) << PAGE_SHIFT);
}

int pipe_set_size(struct file *f, u64 size, bool privileged)
{
    struct pipe *p = f->priv;
    struct pipe_buf *ring;
    u32 slots = 1, used;

    if (f->ops != &pipe_ops)
        return -EBADF;
    if (size > 1U << 31)
        return -EINVAL;
    while ((u64)slots << PAGE_SHIFT < size)
        slots <<= 1;
    if (slots > PIPE_SLOTS_MAX && slots > READ_ONCE(p->slots) && !privileged)
        return -EPERM;
    ring = slots <= PIPE_SLOTS_LIMIT ? kcalloc(slots, sizeof(*ring)) : NULL;
    if (!ring)
        return -ENOMEM;
    mutex_lock(&p->lock);
    used = p->head - p->tail;
    if (used + p->reserved > slots) {
        mutex_unlock(&p->lock);
        kfree(ring);
        return -EBUSY;
    }
    for (u32 i = 0; i < used; i++)
        ring[i] = *pipe_buf(p, p->tail + i);
    kfree(p->ring);
    p->ring = ring;
    p->slots = slots;
    p->tail = 0;
    p->head = used;
    mutex_unlock(&p->lock);
    obj_wake(&p->writers_wait, POLLOUT | POLLWRNORM, ~0U);
    return (int)(slots << PAGE_SHIFT);
}
