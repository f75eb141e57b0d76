/* SPDX-License-Identifier: MIT
 *
 * UDP, inside. A datagram to a socket of this namespace goes into its queue (core/queue.h); where
 * there is no space it is lost, where there is no receiver the next call of a connected sender says
 * so (udp(7)). A socket is connected with an address, not with a socket, so that may come later, or
 * go and come again.
 */
#pragma once

#include "net/core/mib.h"
#include "net/core/queue.h"
#include "net/ip/addr.h"
#include "net/ip/inet.h"
#include "net/ip/port.h"

struct udp_msg {
    struct sock_msg msg; /* first */
    struct ip_end from;
    struct inet_heard heard;
    u16 segment; /* it is several datagrams of so many bytes, of which the last may be shorter
                    (UDP_GRO) */
    u8 data[];
};
static_assert(offsetof(struct udp_msg, data) <= PACKET_CONTROL, "a message in a packet");

/* Where a datagram goes, and what its header is to say. */
struct udp_way {
    struct ip_end to;
    struct inet_way way;
    struct socket_header header;
};

#define UDP_HEADER 8U
#define UDP_SEGMENTS 64U /* datagrams that are made of one call's bytes, or come in one packet */

struct udp_pending;
/* I immutable · l sock.lock · a atomic to look whether it is there */
struct udp_sock {
    struct inet_sock inet;       /* first */
    bool lite;                   /* I  UDP-Lite's: lite.c */
    bool lite_least;             /* a  it has said how many bytes are to be covered at least */
    struct udp_pending *pending; /* l  a datagram that is not complete (MSG_MORE) */
    /* The way to another host that a socket is connected with, while ip_path_is_valid. dev NULL:
     * none is kept. */
    struct ip_path path;    /* l, a */
    struct ip_addr path_to; /* l  whom it leads to */
    u32 path_device;        /* l  what it was bound to then */
    s32 path_mark;          /* l */
};

/* A namespace's part. */
struct udp_ns {
    struct socket_list list;
    struct port_table ports;
};
/* UDP's, or UDP-Lite's. */
struct udp_ns *udp_ns_of(struct net_ns *ns, bool lite);

static inline struct udp_sock *udp_of(struct socket *s)
{
    return (struct udp_sock *)s;
}

static inline struct udp_ns *udp_ns_for(const struct udp_sock *u)
{
    return udp_ns_of(u->inet.sock.ns, u->lite);
}

/* udp.c. ERR_PTR(-ENOMEM). */
struct socket *udp_make(struct net_ns *ns, int family, const struct inet_proto *proto, bool lite);
int udp_option_changed(struct inet_sock *s, const struct inet_option *o, s32 v);
extern const struct socket_ops udp_ops;
/* The next call is ECONNABORTED, and it is connected no more. 0 or -errno. */
int udp_kill(struct udp_sock *u);

/* send.c */
ssize_t udp_send(struct socket *s, struct socket_message *m, unsigned flags,
                 const struct walk_ctx *ctx);
/* An address from a program: AF_INET6 sockets take AF_INET's as well. */
int udp_addr_in(const struct udp_sock *u, const struct sock_addr *sa, u32 len, struct ip_end *out);
/* Sends what has been gathered. 0 or -errno. */
int udp_flush(struct udp_sock *u);
void udp_drop_pending(struct udp_sock *u);

/* wire.c: the kept way, with a reference to it. False: there is none to that address. */
bool udp_path_get(struct udp_sock *u, const struct ip_addr *to, struct inet_way *way);
/* Keeps way's path, if it is still that to the peer `to`. */
void udp_path_keep(struct udp_sock *u, const struct ip_end *to, const struct inet_way *way);
void udp_path_drop(struct udp_sock *u);
/* All of data to another host, waiting for space as flags say. 0 or -errno. */
int udp_transmit(struct udp_sock *u, struct iov_iter *data, const struct udp_way *w,
                 unsigned flags);

enum {
    UDP_CORK = 1,
    UDP_NO_CHECK6_TX = 101,
    UDP_NO_CHECK6_RX = 102,
    UDP_SEGMENT = 103,
    UDP_GRO = 104,
};

/* lite.c: of a datagram of n bytes, header included, that u sends: how many its sum covers. */
u32 udp_lite_covered(const struct udp_sock *u, u32 n);
/* u wants a datagram of n bytes of which so many are covered. */
bool udp_lite_takes(const struct udp_sock *u, u32 covered, u32 n);
/* What the header of a datagram of n bytes says is covered; 0: it is wrong. */
u32 udp_lite_word(const u8 *at, u32 n);
/* Fills in how many bytes of p are covered, and their sum. */
void udp_lite_sum(const struct udp_sock *u, struct packet *p, const struct ip_info *h);
/* The header at the start of p, and the sum, are right. */
bool udp_lite_sum_is_ok(const struct packet *p, const struct ip_info *h, const u8 *at);

/* number: of UDP's over IPv4. */
static inline void udp_count(struct net_ns *ns, u32 number, bool v6, bool lite)
{
    if (v6)
        number += MIB_UDP6 - MIB_UDP;
    if (unlikely(lite))
        number += MIB_UDP_LITE - MIB_UDP;
    net_count(ns, number);
}

/* A datagram was put into its receiver's queue, or found it full. */
static inline void udp_count_queued(struct inet_sock *r, bool queued, bool v6)
{
    bool lite = udp_of(&r->sock)->lite;

    udp_count(r->sock.ns, queued ? MIB_UDP_IN : MIB_UDP_FULL, v6, lite);
    if (unlikely(!queued))
        udp_count(r->sock.ns, MIB_UDP_ERRORS, v6, lite);
}
