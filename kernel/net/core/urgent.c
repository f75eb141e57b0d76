/* SPDX-License-Identifier: MIT
 *
 * Urgent data. urgent.h has the rules.
 */
#include "net/core/urgent.h"
#include "lib/log.h"
#include "net/core/queue.h"
#include "net/core/up.h"
#include "vm/iov.h"

enum sock_urgent_state { URGENT_AWAITED, URGENT_HELD, URGENT_TAKEN };

static struct workq *sock_tells; /* of its own: telling large groups takes long */

static void sock_urgent_boot(void)
{
    sock_tells = workq_create("urgent data");
    if (!sock_tells)
        panic("no memory for the worker that tells of urgent data");
}
INIT_HOOK(sock_urgent_boot, INIT_LATE);

void sock_urgent_mark_locked(struct socket *s, u32 before)
{
    ASSERT_HELD(&s->lock);
    s->urgent.before = before;
    s->urgent.state = URGENT_AWAITED;
    WRITE_ONCE(s->urgent.there, true);
}

static u8 sock_urgent_byte(struct sock_msg *msg, u32 at)
{
    u32 n;

    if (!msg->packet)
        return sock_msg_data(msg)[at];
    return *packet_stretch(sock_msg_packet(msg), msg->head + at, 1, &n);
}

/* Looked for from the end, where what has just come is. */
bool sock_urgent_came_locked(struct socket *s)
{
    u32 end = s->unread;
    struct list_node *n;

    ASSERT_HELD(&s->lock);
    if (s->urgent.state != URGENT_AWAITED || s->urgent.before >= end)
        return false;
    for (n = s->queue.prev; n != &s->queue; n = n->prev) {
        struct sock_msg *msg = list_entry(n, struct sock_msg, node);
        u32 begin = end - (msg->len - msg->off);

        if (s->urgent.before >= begin) {
            s->urgent.byte = sock_urgent_byte(msg, msg->off + s->urgent.before - begin);
            s->urgent.state = URGENT_HELD;
            return true;
        }
        end = begin;
    }
    return false;
}

void sock_urgent_passed_locked(struct socket *s, u32 n)
{
    ASSERT_HELD(&s->lock);
    if (n > s->urgent.before)
        WRITE_ONCE(s->urgent.there, false);
    else
        s->urgent.before -= n;
}

static bool sock_urgent_hidden_locked(const struct socket *s) REQUIRES(s->lock)
{
    ASSERT_HELD(&s->lock);
    return s->urgent.there && !s->oob_inline;
}

bool sock_urgent_more_locked(const struct socket *s)
{
    ASSERT_HELD(&s->lock);
    return s->unread > (sock_urgent_hidden_locked(s) && !s->urgent.before ? 1 : 0);
}

static void sock_urgent_tell_now(struct work *w)
{
    struct socket *s = container_of(w, struct socket, urgent.tell);
    struct file_owner_ref owner;
    bool owned;

    spin_lock(&s->lock);
    s->urgent.telling = false;
    owned = s->file && file_owner_hold(s->file, &owner);
    spin_unlock(&s->lock);
    if (owned)
        up_owner_urgent(&owner);
    socket_put(s);
}

void sock_urgent_init(struct socket *s)
{
    work_init(&s->urgent.tell, sock_urgent_tell_now);
}

/* The owner may be a group of thousands, and each packet may bring a mark: so not here, and once
 * for all marks that come until then, as the signal is. */
void sock_urgent_tell(struct socket *s)
{
    bool begin;

    spin_lock(&s->lock);
    begin = s->file && !s->urgent.telling;
    if (begin) {
        s->urgent.telling = true;
        socket_get(s);
    }
    spin_unlock(&s->lock);
    if (begin)
        work_queue(sock_tells, &s->urgent.tell);
}

bool sock_urgent_is_at(struct socket *s, u32 seen)
{
    bool is;

    spin_lock(&s->lock);
    is = s->urgent.there && s->urgent.before == seen;
    spin_unlock(&s->lock);
    return is;
}

u32 sock_urgent_limit(struct socket *s, u32 seen, u32 n, bool *skip)
{
    u32 left;

    *skip = false;
    spin_lock(&s->lock);
    if (s->urgent.there && s->urgent.before >= seen) {
        left = s->urgent.before - seen;
        if (left)
            n = MIN(n, left);
        else
            *skip = !s->oob_inline;
    }
    spin_unlock(&s->lock);
    return n;
}

u32 sock_urgent_unread(struct socket *s)
{
    u32 n;

    spin_lock(&s->lock);
    n = s->unread;
    if (sock_urgent_hidden_locked(s))
        n = MIN(n, s->urgent.before);
    spin_unlock(&s->lock);
    return n;
}

/* 1 with the byte, or what recv(2) says. */
static int sock_urgent_take(struct socket *s, bool peek, u8 *byte)
{
    struct sock_urgent *u = &s->urgent;
    int got = 1;

    spin_lock(&s->lock);
    if (s->oob_inline || !u->there || u->state == URGENT_TAKEN)
        got = -EINVAL;
    else if (u->state == URGENT_AWAITED)
        got = s->shut & SOCK_SHUT_RD ? 0 : -EAGAIN;
    else if (!peek)
        u->state = URGENT_TAKEN;
    *byte = u->byte;
    spin_unlock(&s->lock);
    return got;
}

ssize_t sock_recv_urgent(struct socket *s, struct socket_message *m, unsigned flags)
{
    bool bad = m->data->count && iov_fault_in(m->data, 1, true); /* before the byte is taken */
    u8 byte;
    int got = sock_urgent_take(s, bad || (flags & MSG_PEEK), &byte);

    m->addr_len = 0;
    if (got > 0 && bad)
        return -EFAULT;
    if (got <= 0)
        return got;
    m->flags |= MSG_OOB;
    if (!m->data->count) {
        m->flags |= MSG_TRUNC;
        return 0;
    }
    return iov_copy_to(m->data, &byte, 1) == 1 ? 1 : -EFAULT;
}

bool sock_urgent_is_held(const struct socket *s)
{
    return READ_ONCE(s->urgent.there) && s->urgent.state == URGENT_HELD;
}
