/* SPDX-License-Identifier: MIT
 *
 * Packets that a socket sends. Those under way, from the call that made them until a device or a
 * receiver is done with them, cost at most sndbuf (and one more); a sender waits, or is told
 * -EAGAIN, until the half of it is free.
 *
 * A packet may be freed after its socket is, and in any place, so what is under way is counted in
 * an object of its own, which the socket and each such packet hold.
 */
#pragma once

#include "dev/packet.h"
#include "net/core/sock.h"

/* As many linear bytes of a packet lie behind space for every header before the transport's. */
#define SOCK_PACKET_LINEAR 96U

/* A packet to send, empty, with all that space. NULL: no memory. */
struct packet *sock_packet_alloc(void) __must_check;
/* Puts the next n bytes of data at its end: linear if they all fit there, else in pages that are
 * charged to the running thread. -EFAULT, -ENOMEM, -EMSGSIZE. May sleep. */
int sock_packet_fill(struct packet *p, struct iov_iter *data, u64 n) __must_check;

/* Waits for space as flags and send_timeout say: 0, -EAGAIN, -ERESTARTSYS. */
int sock_send_wait(struct socket *s, unsigned flags) __must_check;
/* p is under way from here on. -ENOBUFS: no memory. */
int sock_send_count(struct socket *s, struct packet *p) __must_check;
/* poll(2): there is space. */
bool sock_send_space(const struct socket *s);
/* What is under way costs. */
u32 sock_in_flight(const struct socket *s);
/* For socket_fini. */
void sock_flight_end(struct socket *s);
