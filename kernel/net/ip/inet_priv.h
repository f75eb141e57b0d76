/* SPDX-License-Identifier: MIT
 *
 * IPv4 on a namespace's loopback, inside. The bytes go the way of unix sockets; what differs are
 * names, datagrams and options.
 *
 * Names: a group is all sockets of one key (port, address; of datagram sockets also the peer's). A
 * socket that has a name is counted in the group of its port and address, and in that of its port
 * alone (INET_ALL), which tell without a walk whether another may have the same name. It is a
 * member of a group, found by what arrives, while it listens, or as a datagram socket always: of
 * that with its peer once it is connected. All of it under ns->unix_lock.
 */
#pragma once

#include "lib/rbtree.h"
#include "net/unix/unix_priv.h"

#define IPPROTO_IP 0
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define INET_ANY 0U
#define INET_LOOPBACK 0x7f000001U
#define INET_ALL 0xffffffffU /* no address that can be bound */
#define INET_PORT_FIRST 32768U
#define INET_PORT_LAST 60999U

struct inet_addr { /* sockaddr_in, over sock_addr */
    u16 family;
    u8 port[2], addr[4], zero[8];
};
static_assert(sizeof(struct inet_addr) == 16, "sockaddr_in");

struct inet_key {
    u32 addr, peer_addr; /* as numbers */
    u16 port, peer_port;
};

struct inet_group {
    struct rb_node node;
    struct inet_key key;
    u32 nr, nr_listening;         /* counted here */
    u32 nr_no_reuse, nr_no_share; /* of them, without SO_REUSEADDR, SO_REUSEPORT */
    kuid_t uid;                   /* of the first */
    bool uids_differ;
    struct inet_sock **members;
    u32 nr_members, room;
};

struct inet_option_values {
    s32 val[32]; /* by place in inet_options */
};

struct inet_sock {
    struct unix_sock u;              /* first */
    struct inet_group *bound, *port; /* ns->unix_lock  counted in; NULL: no name */
    struct inet_group *found;        /* ns->unix_lock  member of */
    u32 index;                       /* ns->unix_lock  there */
    bool reuse, share, listens;      /* ns->unix_lock  as it was counted */
    struct inet_key peer;            /* ns->unix_lock  a datagram socket's; peer_port 0: none */
    struct inet_option_values *opt;  /* u.lock  NULL: all as at first; once there it stays */
    struct inet_pending *pending;    /* u.lock  a datagram that is not complete (MSG_MORE) */
    bool no_port_yet;                /* a  IP_BIND_ADDRESS_NO_PORT */
};

static inline struct inet_sock *inet_of(struct unix_sock *u)
{
    return (struct inet_sock *)u;
}
static inline u16 inet_port(const struct inet_addr *a)
{
    return (u16)(a->port[0] << 8 | a->port[1]);
}
static inline u32 inet_ip(const struct inet_addr *a)
{
    return (u32)a->addr[0] << 24 | (u32)a->addr[1] << 16 | (u32)a->addr[2] << 8 | a->addr[3];
}
static inline bool inet_is_loopback(u32 ip)
{
    return ip >> 24 == 127;
}
void inet_addr_set(struct inet_addr *a, u32 ip, u16 port);

/* inet_name.c */
/* Gives s the name; port 0: a free one of the ephemeral range. 0, -EINVAL (it has one),
 * -EADDRINUSE, -ENOMEM. Context: may yield. */
int inet_name_bind(struct inet_sock *s, u32 ip, u16 port);
/* From here on it is found. -EADDRINUSE: another listens there. */
int inet_name_listen(struct inet_sock *s);
/* A datagram socket is found by what comes from there alone; port 0: by all again. */
int inet_name_connect(struct inet_sock *s, u32 ip, u16 port);
void inet_name_end(struct inet_sock *s);
/* Who hears what goes from `from` to `to`, with a reference; NULL: there is none. */
struct unix_sock *inet_name_find(struct net_ns *ns, int type, const struct inet_addr *to,
                                 const struct inet_addr *from);

/* inet_udp.c */
int inet_udp_connect(struct inet_sock *s, const struct sock_addr *sa, u32 len);
ssize_t inet_udp_send(struct inet_sock *s, struct socket_message *m, unsigned flags);
int inet_udp_flush(struct inet_sock *s);
void inet_udp_drop(struct inet_sock *s);

/* inet_option.c */
int inet_set_option(struct socket *s, int level, int name, const void *val, u32 n);
int inet_get_option(struct socket *s, int level, int name, void *val, u32 *n);
void inet_option_inherit(struct inet_sock *s, const struct inet_sock *from);
bool inet_option_on(struct inet_sock *s, int level, int name);

/* inet.c: an address from a user; -EINVAL, -EAFNOSUPPORT. */
int inet_addr_in(const struct sock_addr *sa, u32 len, struct inet_addr *out);
/* Gives s a name, if it has none, before it sends. */
int inet_autobind(struct inet_sock *s, u32 ip);
