/* SPDX-License-Identifier: MIT
 *
 * Sending pages as they are: segments refer to a file's pages until the peer has acknowledged them,
 * so that what is sent, or sent again, are the bytes that the page has then. Each stretch counts in
 * the send buffer as copied bytes would. wire.h has the rules.
 */
#include "lib/log.h"
#include "net/tcp/wire.h"
#include "vm/iov.h"
#include "vm/object.h"

#define COPIED_BELOW 3072U /* bytes: a page that stays counts as hardly less than it is */

/* What is left of some parts. */
struct tcp_pages {
    const struct page_part *part, *end;
    u32 done; /* bytes of the first */
};

/* How many of n bytes are staged. A piece that is not worth that its page stays, which another may
 * have paid for, is copied. */
static u32 tcp_pages_stage_part(struct tcp_stage *g, struct page *page, u32 offset, u32 n)
{
    struct iov_iter from;
    int err;

    if (n >= COPIED_BELOW)
        return tcp_stage_page(g, page, offset, n) ? 0 : n;
    iov_init_kernel(&from, (u8 *)page_virt(page) + offset, n);
    return tcp_stage_copy(g, &from, n, &err);
}

/* Stages at most n bytes. False: no memory; some may be staged. */
static bool tcp_pages_stage(struct tcp_pages *p, struct tcp_stage *g, u32 n)
{
    while (n && p->part < p->end) {
        u32 k = MIN(n, p->part->len - p->done), got = 0;

        if (k)
            got = tcp_pages_stage_part(g, p->part->page, p->part->offset + p->done, k);
        n -= got;
        p->done += got;
        if (got < k)
            return false;
        if (p->done == p->part->len) {
            p->part++;
            p->done = 0;
        }
    }
    return true;
}

/* As many bytes as there is space for: how many, or -errno. */
static ssize_t tcp_wire_send_stretch(struct tcp_wire *w, struct tcp_pages *p, bool more)
{
    s64 space = tcp_wire_space(w);
    struct tcp_stage g;
    u32 staged;
    int err;

    spin_lock(&w->sock->inet.sock.lock);
    tcp_stage_init(&g, &w->out);
    spin_unlock(&w->sock->inet.sock.lock);
    err = tcp_pages_stage(p, &g, (u32)MAX(space, 1L)) ? 0 : -ENOMEM;
    staged = g.bytes;
    if (staged)
        err = tcp_wire_write(w, &g, more || p->part < p->end ? TCP_WRITE_MORE : 0);
    tcp_stage_fini(&g);
    return err ? err : (ssize_t)staged;
}

static void tcp_wire_push(struct tcp_wire *w)
{
    struct tcp_after a;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    if (w->open)
        tcp_conn_push(&w->conn);
    tcp_wire_unlock(w, &a);
}

ssize_t tcp_wire_send_pages(struct tcp_wire *w, const struct page_part *parts, unsigned nr,
                            unsigned flags)
{
    struct socket *s = &w->sock->inet.sock;
    u64 deadline = socket_deadline(s->send_timeout, s->send_timeout ? time_ns() : 0);
    struct tcp_pages p = {.part = parts, .end = parts + nr};
    ssize_t done = 0, n = 0;

    while (p.part < p.end) {
        n = tcp_wire_wait_space(w, flags, deadline);
        if (!n)
            n = tcp_wire_send_stretch(w, &p, flags & MSG_MORE);
        if (n < 0)
            break;
        done += n;
        cond_yield();
    }
    if (!nr || (n < 0 && done))
        tcp_wire_push(w); /* what was to follow does not, for now */
    return done ? done : n;
}
