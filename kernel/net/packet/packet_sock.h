/* SPDX-License-Identifier: MIT
 *
 * Packet sockets (packet(7)): frames as devices have them, and frames to devices. A socket is a tap
 * (core/tap.h) of one device or all; what its filter takes becomes a message of its queue, a
 * packet that shares the pages, or is copied into a ring that the program maps (ring.c).
 *
 * Locks: config (mutex, RANK_DRIVER 26: over a device's config) over binding, memberships and the
 * ring's set-up; s->lock over the ring's head and counters.
 */
#pragma once

#include "net/core/filter.h"
#include "net/core/queue.h"
#include "net/core/tap.h"

#define AF_PACKET 17
#define SOL_PACKET 263
#define ETH_P_ALL 3
#define PACKET_OUTGOING 4
#define PACKET_MEMBERSHIPS 20
#define PACKET_RING_BLOCKS 2 /* TPACKET_V3 */
enum { TP_STATUS_CSUM_VALID = 1 << 7 };

struct sockaddr_ll {
    u16 family;
    u16 protocol; /* network order */
    s32 index;
    u16 hatype;
    u8 kind, halen;
    u8 addr[8];
};

/* What the receiver is told beside the bytes; in packet->control. */
struct packet_msg {
    struct sock_msg msg; /* first */
    struct sockaddr_ll from;
    u32 whole; /* bytes before the filter cut it */
    u32 status;
    u16 network, vlan;
};
static_assert(sizeof(struct packet_msg) <= PACKET_CONTROL, "a packet's message");

struct packet_member {
    u32 device, users;
    u16 kind;
    u8 addr[NETDEV_ADDR];
};
struct packet_ring;

/* I immutable · c config · l sock.lock · a atomic */
struct packet_sock {
    struct socket sock; /* first */
    struct mutex config;
    struct net_tap tap; /* c */
    bool tapping;       /* c */
    u16 protocol;       /* c to write, a  ethertype, ETH_P_ALL, or 0: nothing is received */
    u32 device;         /* c to write, a  0: all */
    bool auxdata, ignore_outgoing;                    /* a */
    u32 nr_packets, nr_drops;                         /* l */
    struct packet_member members[PACKET_MEMBERSHIPS]; /* c */
    u32 nr_members;                                   /* c */
    struct packet_ring *ring;                         /* c to write, RCU to read; NULL: the queue */
    u32 version, reserve;                             /* c  of the ring: TPACKET_* */
};
/* A namespace's part. */
struct packet_ns {
    struct socket_list list;
};
struct packet_ns *packet_ns_of(struct net_ns *ns);
static inline struct packet_sock *packet_of(struct socket *s)
{
    return (struct packet_sock *)s;
}

/* receive.c: the tap's call. */
void packet_tapped(struct net_tap *t, const struct packet *p, bool sent, u32 *budget);
ssize_t packet_recv(struct socket *s, struct socket_message *m, unsigned flags);
int packet_msg_give(struct socket *s, struct sock_msg *msg, struct socket_message *m,
                    unsigned flags, bool *last);

/* send.c */
ssize_t packet_send(struct socket *s, struct socket_message *m, unsigned flags,
                    const struct walk_ctx *ctx);

/* option.c */
int packet_set_option(struct socket *s, int level, int name, const void *val, u32 n);
int packet_get_option(struct socket *s, int level, int name, void *val, u32 *n);
void packet_leave_all(struct packet_sock *ps);

/* ring.c. The request is a struct tpacket_req. Without ps->config, as a page's lock is above it. */
struct map_request;
int packet_ring_set(struct packet_sock *ps, const void *val, u32 n);
void packet_ring_free(struct packet_sock *ps);
/* What is known of p, and `keep` bytes of it from `skip` on, go into the next slot. False: none is
 * free. Under RCU; never sleeps. */
bool packet_ring_put(struct packet_ring *r, struct packet_sock *ps, const struct packet *p,
                     u32 skip, u32 keep, const struct packet_msg *about);
bool packet_ring_readable(struct packet_sock *ps);
int packet_ring_map(struct socket *s, struct map_request *req);
/* Bytes of a packet's head in the ring; with the address behind it (0: no such version). */
static inline u32 packet_ring_head(u32 version)
{
    return version == PACKET_RING_BLOCKS ? 48 : 32;
}
u32 packet_ring_header(u32 version);
