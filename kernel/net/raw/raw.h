/* SPDX-License-Identifier: MIT
 *
 * Raw and ping sockets, inside (raw(7), icmp(7)). A raw socket gets a clone of each packet of its
 * protocol that the namespace receives, and sends packets as it likes; it takes CAP_NET_RAW over
 * the namespace. A ping socket has an identifier of ICMP's echoes for its port, sends requests and
 * gets the answers to them alone; who may have one is net.ipv4.ping_group_range's.
 *
 * A received packet costs a bounded time: RAW_LOOKS sockets are looked at, RAW_MOST get it, and
 * their filters share a budget (core/filter.h).
 *
 * Locks: raw_ns.lock over the chains (RANK_NET 10), then one socket's.
 */
#pragma once

#include "net/core/queue.h"
#include "net/ip/inet.h"
#include "net/ip/port.h"

#define RAW_CHAINS 8 /* by protocol */
#define RAW_LOOKS 256
#define RAW_MOST 32
#define RAW_TYPES 256 /* of ICMP */

#define IPPROTO_ICMP 1
#define IPPROTO_ICMPV6 58
#define IPPROTO_RAW 255
#define SOL_RAW 255
#define ICMP_ECHO_BYTES 8

/* I immutable · l sock.lock · a atomic · n raw_ns.lock */
struct raw_sock {
    struct inet_sock inet;     /* first */
    struct list_node chain;    /* n */
    struct ip_addr peer;       /* l  of connect */
    bool connected;            /* l */
    bool bound;                /* l  by a program */
    bool ping;                 /* I */
    bool header;               /* a  IP_HDRINCL: what is sent begins with an IP header */
    s16 sum;                   /* a  IPV6_CHECKSUM: where it lies; -1: there is none */
    u32 types[RAW_TYPES / 32]; /* a  ICMP's types that are not wanted */
};

struct raw_msg {
    struct sock_msg msg; /* first */
    struct ip_end from;
    struct inet_heard heard;
};
static_assert(sizeof(struct raw_msg) <= PACKET_CONTROL, "a message in a packet");

/* A namespace's part. */
struct raw_ns {
    struct socket_list list, ping_list;
    struct spinlock lock;
    struct list_node chains[RAW_CHAINS]; /* lock */
    u32 nr;                              /* lock */
    struct port_table pings4, pings6;
    s32 ping_groups[2]; /* a  first and last of the groups of the namespace's users that may ping */
};
extern u32 raw_ns_offset;
struct raw_ns *raw_ns_of(struct net_ns *ns);

static inline struct raw_sock *raw_of(struct socket *s)
{
    return (struct raw_sock *)s;
}

/* raw.c */
/* Takes p, or NULL: all of it is for r, unless its filter says otherwise, or *budget has too little
 * for that. */
void raw_queue(struct raw_sock *r, struct packet *p, const struct ip_info *h, u32 *budget);
/* It comes from whom r is connected to, if it is. */
bool raw_from_ok(struct raw_sock *r, const struct ip_addr *from);
int raw_msg_give(struct socket *s, struct sock_msg *msg, struct socket_message *m, unsigned flags,
                 bool *last);
int raw_shutdown(struct socket *s, int how);
int raw_connect(struct socket *s, const struct sock_addr *sa, u32 len, const struct walk_ctx *ctx,
                bool nonblock);
void raw_destroy(struct socket *s);
struct raw_sock *raw_alloc(void);

/* send.c */
ssize_t raw_send(struct socket *s, struct socket_message *m, unsigned flags,
                 const struct walk_ctx *ctx);

/* ping.c: an answer of ICMP for whoever asked. Borrows p. */
void ping_receive(struct packet *p, const struct ip_info *h);
/* Whether a question like that, of which the first n bytes are at `at`, may be of a ping socket. */
bool ping_sent(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n);
