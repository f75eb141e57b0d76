/* SPDX-License-Identifier: MIT
 *
 * A listener's queue of connections that are complete and wait for accept(2). Those who connect
 * while it is full wait in the listener's `senders_wait`. A family embeds one beside its struct
 * socket.
 */
#pragma once

#include "net/core/sock.h"

#define ACCEPT_BACKLOG_MAX 4096 /* net.core.somaxconn as it is at first */

/* l the listener's lock */
struct accept_queue {
    struct list_node conns; /* l  by accept_node; each with its first reference */
    u32 nr, max;            /* l */
};
void accept_queue_init(struct accept_queue *q);

/* One more than backlog asks for fits, as on Linux, which net.core.somaxconn bounds. */
void accept_listen_locked(struct socket *l, struct accept_queue *q, int backlog) REQUIRES(l->lock);
/* There is space for a connection, or connect fails. */
bool accept_has_space(const struct socket *l, const struct accept_queue *q);
/* Puts conn in, which waits for nothing: 0, then the queue has the caller's reference;
 * -ECONNREFUSED (listens no more), -EAGAIN (full). */
int accept_add(struct socket *l, struct accept_queue *q, struct socket *conn) __must_check;
/* Puts conn in: the queue takes a reference of conn's. 0, -ECONNREFUSED (listens no more), -EAGAIN
 * (full and nonblock, or later than deadline), -ERESTARTSYS. */
int accept_offer(struct socket *l, struct accept_queue *q, struct socket *conn, bool nonblock,
                 u64 deadline);
/* The oldest connection, or NULL. */
struct socket *accept_take(struct socket *l, struct accept_queue *q);
/* accept(2): 0 with *out, -EAGAIN, -EINVAL (shut down), -ERESTARTSYS. */
int accept_wait(struct socket *l, struct accept_queue *q, bool nonblock, struct socket **out);
