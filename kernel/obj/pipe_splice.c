/* SPDX-License-Identifier: MIT
 *
 * What splice(2) and the like need of a pipe: to look at its contents and take them only when they
 * have gone where they were to go (a view), and to set space aside before something is read that
 * has no way back (a reservation). Neither holds the pipe's lock meanwhile, so that the other side
 * may be a file of any kind, and wait. While a view is out others find the pipe empty; space set
 * aside counts as full.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "obj/obj_priv.h"
#include "obj/pipe_priv.h"
#include "obj/up.h"

bool pipe_is(const struct file *f)
{
    return f->ops == &pipe_ops;
}

/* ------------------------------------------------------------- views */

/* REQUIRES(p->lock) */
static void pipe_view_fill(struct pipe_view *v, struct pipe *p, u64 max) REQUIRES(p->lock)
{
    ASSERT_HELD(&p->lock);
    v->n = 0;
    for (u32 i = p->tail; i != p->head && v->n < PIPE_PARTS && max; i++) {
        struct pipe_buf *b = pipe_buf(p, i);
        u32 len = (u32)MIN((u64)b->len, max);

        v->part[v->n++] = (struct pipe_part){(char *)page_virt(b->page) + b->off, len};
        max -= len;
    }
    p->viewed = v->n > 0;
}

int pipe_view_begin(struct file *f, u64 max, bool nonblock, struct pipe_view *v)
{
    struct pipe *p = f->priv;
    bool viewed, more;
    int err;

    v->pipe = p;
    for (;;) {
        mutex_lock(&p->lock);
        viewed = p->viewed;
        if (!viewed)
            pipe_view_fill(v, p, max);
        more = p->writers;
        mutex_unlock(&p->lock);
        if (!viewed && (v->n || !more))
            return 0;
        if (nonblock)
            return -EAGAIN;
        err = pipe_wait_bytes(p);
        if (err)
            return err;
    }
}

void pipe_view_end(struct pipe_view *v, u64 taken)
{
    struct pipe *p = v->pipe;
    bool was_full, eof;

    if (!v->n)
        return;
    mutex_lock(&p->lock);
    was_full = pipe_full(p);
    while (taken) {
        struct pipe_buf *b = pipe_buf(p, p->tail);
        u32 len = (u32)MIN((u64)b->len, taken);

        b->off += len;
        b->len -= len;
        taken -= len;
        if (!b->len)
            pipe_drop_buf(p, b);
    }
    p->viewed = false;
    was_full &= !pipe_full(p);
    eof = !p->writers; /* it did not show while the view was out */
    mutex_unlock(&p->lock);
    obj_wake(&p->readers_wait, POLLIN | POLLRDNORM | (eof ? POLLHUP : 0), eof ? ~0U : 1);
    if (was_full)
        obj_wake(&p->writers_wait, POLLOUT | POLLWRNORM, ~0U);
}

/* ------------------------------------------------------------- space */

/* Slots for up to `want` pages, 0: there are none now, -EPIPE. */
static int pipe_reserve_slots(struct pipe *p, u32 want)
{
    int n = -EPIPE;

    mutex_lock(&p->lock);
    if (p->readers) {
        n = pipe_full(p) ? 0 : (int)MIN(p->slots - (p->head - p->tail) - p->reserved, want);
        WRITE_ONCE(p->reserved, p->reserved + (u32)n);
    }
    mutex_unlock(&p->lock);
    return n;
}

/* REQUIRES(p->lock) */
static void pipe_reserve_put(struct pipe *p, struct page *page, u64 len) REQUIRES(p->lock)
{
    ASSERT_HELD(&p->lock);
    *pipe_buf(p, p->head) = (struct pipe_buf){.page = page, .len = (u32)len};
    WRITE_ONCE(p->head, p->head + 1);
}

void pipe_reserve_end(struct pipe_reservation *r, u64 bytes)
{
    struct pipe *p = r->pipe;
    bool given = bytes > 0;
    unsigned used = 0;

    mutex_lock(&p->lock);
    for (; bytes; used++) {
        u64 len = MIN(bytes, PAGE_SIZE);

        pipe_reserve_put(p, r->page[used], len);
        bytes -= len;
    }
    WRITE_ONCE(p->reserved, p->reserved - r->n);
    mutex_unlock(&p->lock);
    for (unsigned i = used; i < r->n && r->page[i]; i++)
        page_put(r->page[i]);
    if (given)
        obj_wake(&p->readers_wait, POLLIN | POLLRDNORM, 1);
    if (used < r->n)
        obj_wake(&p->writers_wait, POLLOUT | POLLWRNORM, ~0U);
}

int pipe_space_wait(struct file *f)
{
    struct pipe *p = f->priv;
    int err = pipe_wait_space(p);

    /* The wake was for one writer, and the caller may not come to use it. */
    if (!err && !pipe_full(p))
        obj_wake(&p->writers_wait, POLLOUT | POLLWRNORM, 1);
    return err;
}

int pipe_reserve_begin(struct file *f, u64 bytes, bool nonblock, struct pipe_reservation *r)
{
    u32 want = (u32)MIN(DIV_ROUND_UP(MIN(bytes, PIPE_PARTS * PAGE_SIZE), PAGE_SIZE), PIPE_PARTS);
    bool slept = false;
    int n, err;

    *r = (struct pipe_reservation){.pipe = f->priv};
    while ((n = pipe_reserve_slots(r->pipe, want)) == 0) {
        err = nonblock ? -EAGAIN : pipe_wait_space(r->pipe);
        if (err)
            return err;
        slept = true;
    }
    if (n < 0) {
        up_sigpipe();
        return n;
    }
    if (slept && !pipe_full(r->pipe)) /* the wake was for other writers, too */
        obj_wake(&r->pipe->writers_wait, POLLOUT | POLLWRNORM, 1);
    r->n = (unsigned)n;
    for (unsigned i = 0; i < r->n; i++) {
        r->page[i] = page_alloc(0, PA_CHARGE);
        if (!r->page[i]) {
            pipe_reserve_end(r, 0);
            return -ENOMEM;
        }
    }
    return 0;
}
