/* SPDX-License-Identifier: MIT
 *
 * What those who list a namespace's TCP connections ask (net/diag): a socket's state, what stands
 * in the table of connections without a socket, and ending a connection from outside.
 */
#pragma once

#include "net/tcp/tcp.h"

enum tcp_diag_timer {
    TCP_DIAG_NONE,
    TCP_DIAG_RETRANSMIT,
    TCP_DIAG_KEEP,
    TCP_DIAG_REST, /* TIME_WAIT */
    TCP_DIAG_PROBE,
};

struct tcp_diag {
    u8 state; /* enum tcp_conn_state */
    u8 timer; /* enum tcp_diag_timer */
    u8 retries;
    u32 expires;  /* ms */
    u32 rx, tx;   /* bytes; a listener's: who waits, who may */
    u32 sent;     /* bytes of memory of what is not acknowledged */
    bool on_wire; /* it has been a connection over packets */
};
void tcp_diag_sock(struct tcp_sock *t, struct tcp_diag *out);
/* How far off it is: ms. */
static inline u32 tcp_diag_left(u64 deadline)
{
    u64 now = time_ns();

    return deadline > now ? (u32)MIN((deadline - now) / NSEC_PER_MSEC, (u64)U32_MAX) : 0;
}
/* Of t's connection: "cubic" and the like. */
const char *tcp_diag_congestion(struct tcp_sock *t);

/* A half-open connection, or one in TIME_WAIT. */
struct tcp_diag_entry {
    struct ip_end local, peer;
    struct tcp_diag about;
};
/* The next behind *at (0: the first) of ns. False: there are no more. May yield. */
bool tcp_diag_next(struct net_ns *ns, u64 *at, struct tcp_diag_entry *out);
/* That with these ends, of any state but those of sockets. */
bool tcp_diag_find(struct net_ns *ns, const struct ip_end *local, const struct ip_end *peer,
                   struct tcp_diag_entry *out);

/* Ends t's connection, or its listening, at once: the program's next call is ECONNABORTED, a peer
 * gets a reset. 0, -ENOENT (neither). May sleep. */
int tcp_kill(struct tcp_sock *t);
