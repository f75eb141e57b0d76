/* SPDX-License-Identifier: MIT
 *
 * TCP, inside: connections between two sockets of one namespace. Their bytes go from queue to queue
 * (core/queue.h); a connection ends as TCP's does: a close ends one direction, what is sent after
 * it is taken, lost and answered by a reset.
 *
 * Locks: core/sock.h, ip/inet.h. Both ends of a connection refer to each other (sock.peer); no
 * thread holds both locks.
 */
#pragma once

#include "net/core/accept.h"
#include "net/core/queue.h"
#include "net/ip/addr.h"
#include "net/ip/inet.h"
#include "net/ip/port.h"

enum { TCP_ESTABLISHED = 1, TCP_FIN_WAIT2 = 5, TCP_CLOSE = 7, TCP_CLOSE_WAIT = 8, TCP_LISTEN = 10 };

struct tcp_sock {
    struct inet_sock inet; /* first */
    struct accept_queue accept;
};

/* A namespace's part. */
struct tcp_ns {
    struct socket_list list;
    struct port_table ports;
};
struct tcp_ns *tcp_ns_of(struct net_ns *ns);

static inline struct tcp_sock *tcp_of(const struct inet_sock *s)
{
    return (struct tcp_sock *)(uintptr_t)s;
}
u8 tcp_state(const struct tcp_sock *t);

/* option.c */
#define TCP_OPTIONS 16
extern const struct inet_option tcp_options[TCP_OPTIONS];
int tcp_option_judge(const struct inet_option *o, s32 *v);
int tcp_option_set(struct inet_sock *s, int name, const void *val, u32 n);
int tcp_option_get(struct inet_sock *s, int name, void *val, u32 *n);
