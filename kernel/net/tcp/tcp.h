/* SPDX-License-Identifier: MIT
 *
 * TCP sockets. One is connected with a socket of its namespace, when bytes go from queue to queue
 * (local.c), or over packets (wire.h) with the pure core of TCP (conn.h).
 *
 * Locks: core/sock.h, ip/inet.h.
 */
#pragma once

#include "net/core/accept.h"
#include "net/core/mib.h"
#include "net/core/queue.h"
#include "net/ip/addr.h"
#include "net/ip/inet.h"
#include "net/ip/port.h"
#include "net/tcp/conn.h"
#include "sched/timer.h"
#include "sched/work.h"
#include "sync/rcu.h"

struct tcp_congestion_ops;
struct tcp_wire;

/* I immutable once set · l sock.lock */
struct tcp_sock {
    struct inet_sock inet; /* first */
    struct accept_queue accept;
    struct tcp_wire
        *wire; /* I  set with the first connection over packets (wire.h); NULL: none yet */
    const struct tcp_congestion_ops *congestion; /* l  NULL: the default */
    u32 maxseg;                                  /* l  TCP_MAXSEG; 0: none */
    u32 nr_halves;                               /* l  half-open connections of a listener */
    u64 cookie_sent;      /* a  when a listener sent the last one; 0: never */
    bool quick_ack;       /* l */
    bool connecting;      /* l  one thread connects it or lets it go */
    bool joined;          /* l to write, a  its last connection is, or was, local (local.c) */
    struct rcu_head dead; /* dead.c */
};

/* Records in TIME_WAIT: rest.c. l lock */
struct tcp_rests {
    struct spinlock lock;
    struct list_node list; /* l */
    u32 nr;                /* l */
    s32 most;              /* a  tcp_max_tw_buckets */
    bool closed;           /* l */
    struct timer timer;
    struct work work;
};

/* Connections over packets whose socket is closed: orphan.c. l lock */
#define TCP_ORPHAN_SLOTS 32U
struct tcp_orphans {
    struct spinlock lock;
    struct {
        struct list_node list; /* l  the oldest first */
        u32 nr;                /* l */
    } slots[TCP_ORPHAN_SLOTS]; /* each for the owners that it has by their hash */
    u32 nr;                    /* a, l to change */
    u32 most;                  /* a  tcp_max_orphans */
};

/* A namespace's part. Its configuration is its own; connections read it at any time: whoever
 * changes a field uses WRITE_ONCE. */
struct tcp_ns {
    struct socket_list list;
    struct port_table ports;
    struct tcp_rests rests;
    struct tcp_config config; /* a */
    s32 ecn, orphan_retries;  /* a  as they were set; config has what they mean */
    s32 synack_retries;       /* a */
    s32 halves_least;         /* a  tcp_max_syn_backlog */
    s32 cookies;              /* a  0: none, 1: where there is no place, 2: always */
    s32 receive[3], send[3];  /* a  bytes of a socket's buffers: the least, at first, the most */
    bool tunes;               /* a  receive buffers grow */
    const struct tcp_congestion_ops *congestion; /* a  of sockets that name none */
    struct tcp_orphans orphans;
};
extern u32 tcp_ns_offset;
struct tcp_ns *tcp_ns_of(struct net_ns *ns);

static inline struct tcp_sock *tcp_of(const struct inet_sock *s)
{
    return (struct tcp_sock *)(uintptr_t)s;
}
/* sock.c: NULL: no memory. */
struct tcp_sock *tcp_sock_alloc(const struct inet_proto *proto, struct net_ns *ns, int family);
void tcp_sock_free(struct tcp_sock *t);
/* The wire, which answers what programs ask, if its connection is, or its last one was, over
 * packets; else NULL, whatever connections it had before. Without a lock that may change at once.
 */
struct tcp_wire *tcp_wire_of(const struct tcp_sock *t);
/* enum tcp_conn_state */
u8 tcp_state(const struct tcp_sock *t);
/* A socket for a connection to l, whose account pays and whose options it has. NULL: no memory. */
struct tcp_sock *tcp_child(struct tcp_sock *l);
/* One thread at a time connects t, or lets its connection go. 0; -EALREADY; -EISCONN. */
int tcp_claim(struct tcp_sock *t);
void tcp_unclaim(struct tcp_sock *t);
/* It has a connection over packets that lives. */
bool tcp_on_wire(const struct socket *s);
/* It lets in only some segments (SO_ATTACH_FILTER, IP_MINTTL, IPV6_MINHOPCOUNT), so connections
 * that begin are over packets, those within the namespace too. */
static inline bool tcp_is_choosy(const struct tcp_sock *t)
{
    return READ_ONCE(t->inet.sock.filter) || READ_ONCE(t->inet.least_ttl) ||
           READ_ONCE(t->inet.least_hops);
}
/* dead.c: socket_ops.destroy */
void tcp_destroy(struct socket *s);
/* end.c: close(2): takes the file's reference. */
void tcp_release(struct socket *s);
int tcp_shutdown(struct socket *s, int how);
/* connect(2) with AF_UNSPEC: 0; -EALREADY: another thread connects or does the same; -EOPNOTSUPP:
 * it listens. */
int tcp_disconnect(struct tcp_sock *t);
/* SO_RCVLOWAT: there are bytes, but fewer than it asks for, and more may come. */
bool tcp_below_low_water_locked(const struct socket *s) REQUIRES(s->lock);

/* local.c: t is connected with listener l of this namespace, from `from` to `to`. 0, -ECONNREFUSED,
 * -ENOMEM, -EAGAIN, -EISCONN, -ERESTARTSYS. */
int tcp_join(struct tcp_sock *t, struct tcp_sock *l, const struct ip_end *from,
             const struct ip_end *to, bool nonblock);
ssize_t tcp_local_send(struct socket *s, struct socket *peer, struct socket_message *m,
                       unsigned flags);
/* `to` is at an end in the directions of bits (SOCK_SHUT_*), for err (0: none). False: s is not its
 * other end any more, and nothing is done. */
bool tcp_tell(const struct socket *s, struct socket *to, u32 bits, int err);
void tcp_tell_peer(const struct socket *s, struct socket *peer, bool unread, bool ended);
struct sock_msg *tcp_msg_make(struct socket *s, struct socket *to, struct socket_message *m, u64 n,
                              int *err);
int tcp_msg_queue(struct socket *s, struct socket *to, struct sock_msg *msg);

/* option.c: linux/tcp.h */
enum {
    TCP_NODELAY = 1,
    TCP_MAXSEG = 2,
    TCP_CORK = 3,
    TCP_KEEPIDLE = 4,
    TCP_KEEPINTVL = 5,
    TCP_KEEPCNT = 6,
    TCP_SYNCNT = 7,
    TCP_LINGER2 = 8,
    TCP_DEFER_ACCEPT = 9,
    TCP_WINDOW_CLAMP = 10,
    TCP_INFO = 11,
    TCP_QUICKACK = 12,
    TCP_CONGESTION = 13,
    TCP_THIN_LINEAR_TIMEOUTS = 16,
    TCP_THIN_DUPACK = 17,
    TCP_USER_TIMEOUT = 18,
    TCP_FASTOPEN = 23,
    TCP_NOTSENT_LOWAT = 25,
    TCP_FASTOPEN_CONNECT = 30,
};

#define TCP_OPTIONS 16
extern const struct inet_option tcp_options[TCP_OPTIONS];
int tcp_option_changed(struct inet_sock *s, const struct inet_option *o, s32 v);
int tcp_option_judge(const struct inet_option *o, s32 *v);
int tcp_option_set(struct inet_sock *s, int name, const void *val, u32 n);
int tcp_option_get(struct inet_sock *s, int name, void *val, u32 *n);
