/* SPDX-License-Identifier: MIT
 *
 * Urgent data of a stream (RFC 9293 3.8.5, RFC 6093): a mark among its bytes. The byte behind the
 * mark is the urgent one: recv(2) with MSG_OOB gives it, once it has come; in the stream itself it
 * is read with SO_OOBINLINE alone. A read ends at the mark. A newer mark takes the place of one
 * that was not passed, whose byte is an ordinary one then.
 *
 * Lock: the socket's, over its struct sock_urgent (sock.h).
 */
#pragma once

#include "net/core/sock.h"

void sock_urgent_init(struct socket *s);
/* The urgent byte follows `before` bytes that are to be read. */
void sock_urgent_mark_locked(struct socket *s, u32 before) REQUIRES(s->lock);
/* Bytes were queued. True: the urgent one is among them. */
bool sock_urgent_came_locked(struct socket *s) REQUIRES(s->lock);
/* n bytes were read. */
void sock_urgent_passed_locked(struct socket *s, u32 n) REQUIRES(s->lock);
/* There is more to read than an urgent byte that is not read so. */
bool sock_urgent_more_locked(const struct socket *s) REQUIRES(s->lock);
/* SIGURG to the owner of s's file, soon. Without a lock; s has a reference. */
void sock_urgent_tell(struct socket *s);

/* The mark is behind the next `seen` bytes. */
bool sock_urgent_is_at(struct socket *s, u32 seen);
/* How many of n bytes, behind `seen` ones, a read may take. *skip: the first is the urgent one,
 * which is not read. */
u32 sock_urgent_limit(struct socket *s, u32 seen, u32 n, bool *skip);
/* FIONREAD: what is to be read before the mark. */
u32 sock_urgent_unread(struct socket *s);
/* poll(2): it may be taken. */
bool sock_urgent_is_held(const struct socket *s);
/* socket_ops.recv_urgent */
ssize_t sock_recv_urgent(struct socket *s, struct socket_message *m, unsigned flags);
