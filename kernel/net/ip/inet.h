/* SPDX-License-Identifier: MIT
 *
 * Sockets of the internet protocols, both families in one: what TCP and UDP share over core's
 * sockets. Addresses are 128 bits inside (core/addr.h); only what a program passes or sees has a
 * family. AF_INET sockets have mapped addresses alone; AF_INET6 sockets both kinds unless
 * IPV6_V6ONLY.
 *
 * Locks: a port table's lock, then s->lock of one socket.
 */
#pragma once

#include "net/core/sock.h"
#include "net/ip/ip.h"

#define IPPROTO_IP 0
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_IPV6 41
#define IPPROTO_UDPLITE 136
#define IPPROTO_KINDS 263 /* no protocol of Linux is as large */

/* One end: an address, the interface that a link-local one belongs to (0: none), a port (0: no
 * name). */
struct ip_end {
    struct ip_addr addr;
    u32 scope;
    u16 port;
};

struct inet_sock;
struct port_group;
struct port_table;
struct seq;

/* What the table of ports knows of a socket; all under its lock. */
struct port_name {
    struct port_group *bound;   /* counted in; NULL: no name */
    struct port_group *all[2];  /* counted in: all of the port that take IPv4, IPv6; or NULL */
    struct port_group *found;   /* member of: found by what arrives */
    u32 index;                  /* there */
    bool reuse, share, listens; /* as it was counted */
    bool chosen;                /* the same; by port_bind_towards */
};

enum inet_option_kind {
    INET_FLAG,   /* yes or no */
    INET_RANGE,  /* -EINVAL outside */
    INET_HOPS,   /* a range, or -1: the first value */
    INET_CUT,    /* the low bits that fit the range */
    INET_CLASS,  /* a range; -1 is 0 */
    INET_CLOSED, /* INET_RANGE, -EINVAL once connected */
    INET_OWN,    /* proto->judge says */
};

/* An option that is a number. Its place in the table is its place among a socket's values. */
struct inet_option {
    u8 level, name, kind;
    s32 min, max, first;
};

/* What TCP and UDP say of themselves. */
struct inet_proto {
    const struct socket_ops *ops;
    u8 type, protocol;
    const struct inet_option *options; /* behind those of IP */
    u32 nr_options;
    /* INET_OWN: what *v means, or -EINVAL. */
    int (*judge)(const struct inet_option *o, s32 *v);
    /* An option has its new value: 0 or -errno; or NULL. */
    int (*changed)(struct inet_sock *s, const struct inet_option *o, s32 v);
    /* Options that are no such numbers; -ENOPROTOOPT: not mine. Both or neither. */
    int (*set)(struct inet_sock *s, int name, const void *val, u32 n);
    int (*get)(struct inet_sock *s, int name, void *val, u32 *n);
    /* A control message of the protocol's own level; NULL: as for others' levels. */
    int (*control)(struct socket_message *m, s32 type, const void *data, u64 n);
    struct port_table *(*ports)(struct net_ns *ns);
    /* It has a peer; NULL: as soon as there is an address of one. */
    bool (*connected)(const struct inet_sock *s);
};

/* I immutable · l sock.lock · p the port table's lock · a atomic */
struct inet_sock {
    struct socket sock;             /* first */
    const struct inet_proto *proto; /* I */
    struct ip_end local;            /* l  as a program is told; port 0: none */
    struct ip_end peer;             /* l  inet_has_peer says whether there is one */
    struct port_name name;          /* p */
    s32 *opt;                /* l  option values; NULL: all as at first; once there it stays */
    u8 least_ttl;            /* a  IP_MINTTL: what has fewer hops left is not let in */
    u8 least_hops;           /* a  IPV6_MINHOPCOUNT */
    bool v6only;             /* a  stays once there is a name */
    bool auto_port;          /* a  the port was chosen for it */
    struct list_node errors; /* l  that came back and wait to be read: inet_error.c */
    u32 error_bytes;         /* l  what they cost */
    struct list_node groups; /* l  that it has joined: inet_group.c */
    u32 nr_groups;           /* l */
    u32 group_device[2];     /* a  groups of IPv4, IPv6 are sent to by it; 0: by routes */
    u32 group_source;        /* a  and from it (IP_MULTICAST_IF), as on the wire; 0: chosen */
};

static inline struct inet_sock *inet_of(struct socket *s)
{
    return (struct inet_sock *)s;
}

/* inet.c. s is zeroed: the rest of socket_create. */
void inet_setup(struct inet_sock *s, const struct inet_proto *proto, struct net_ns *ns,
                struct socket_list *list, int family);
void inet_fini(struct inet_sock *s);
/* An address from a program, as s's family has them. -EINVAL, -EAFNOSUPPORT. */
int inet_addr_in(const struct inet_sock *s, const struct sock_addr *sa, u32 len,
                 struct ip_end *out);
/* An address of AF_INET, for a socket of either family. */
int inet_addr_in4(const struct sock_addr *sa, u32 len, struct ip_end *out);
/* The same for a program, in s's family. */
void inet_addr_out(const struct inet_sock *s, const struct ip_end *end, struct sock_addr *sa,
                   u32 *len);
/* As a family has them, which is AF_INET for mapped addresses alone: how many bytes. */
u32 inet_addr_write(int family, const struct ip_end *end, struct sock_addr *sa);
/* May s have this address for its own? 0, -EINVAL, -EADDRNOTAVAIL. */
int inet_bind_check(struct inet_sock *s, const struct ip_end *end);
int inet_bind(struct socket *s, const struct sock_addr *sa, u32 len, const struct walk_ctx *ctx,
              u32 mode);
/* Gives s a name at the address, if it has none. -EADDRINUSE: no port is left. */
int inet_autobind(struct inet_sock *s, const struct ip_addr *addr);
struct ip_addr inet_any(const struct inet_sock *s);
/* How packets go: from which address, through which device. path.dev is NULL where the destination
 * is this namespace's and no one watches: then bytes go from queue to queue. */
struct inet_way {
    struct ip_addr source;
    u32 device;
    struct ip_path path;
};
/* The way from s, whose own end is `local`, to `to`, where a wildcard becomes the loopback. The
 * caller puts it back (inet_way_put). m: a message with wishes of its own (control messages), or
 * NULL. -ENETUNREACH, -EINVAL (link-local without an interface), -EAFNOSUPPORT, ip_path_find's
 * errors, -EACCES (a broadcast without SO_BROADCAST). */
int inet_route(const struct inet_sock *s, const struct ip_end *local, struct ip_end *to,
               const struct socket_message *m, struct inet_way *way);
/* The same, always with a path: what is sent is a packet wherever it goes. */
int inet_route_packet(const struct inet_sock *s, const struct ip_end *local, struct ip_end *to,
                      const struct socket_message *m, struct inet_way *way);
static inline void inet_way_put(struct inet_way *way)
{
    if (way->path.dev)
        ip_path_put(&way->path);
}
/* The rest of the header of what goes that way from s. n: bytes of the transport. */
void inet_info(const struct inet_sock *s, const struct inet_way *way, const struct ip_addr *to,
               const struct socket_header *header, u32 n, struct ip_info *out);
/* Both ends at one moment. */
void inet_ends(struct inet_sock *s, struct ip_end *local, struct ip_end *peer);
struct ip_end inet_local(struct inet_sock *s);
struct ip_end inet_peer(struct inet_sock *s);
/* A datagram socket may be connected to port 0: the C library does so to learn which address it
 * would send from. Any context. */
static inline bool inet_has_peer(const struct inet_sock *s)
{
    return READ_ONCE(s->peer.addr.q[0]) || READ_ONCE(s->peer.addr.q[1]);
}
int inet_name(struct socket *s, bool peer, struct sock_addr *out, u32 *len);
int inet_control(struct socket *s, struct socket_message *m, s32 level, s32 type, const void *data,
                 u64 n);
/* What the header of a received datagram said. */
struct inet_heard {
    struct ip_addr to;
    u32 device; /* that it came through */
    u32 flow;
    u8 hops, tos;
};
/* Hops and class of a datagram to `to`: what its sender says of it (h), or the socket's options.
 * Hops 0: the path's. */
void inet_header(const struct inet_sock *s, const struct ip_addr *to, const struct socket_header *h,
                 u8 *hops, u8 *tos);
/* Notes of IP for a receiver. port: its own. */
void inet_notes(struct inet_sock *s, struct socket_message *m, const struct inet_heard *heard,
                u16 port);

/* inet_error.c: errors that came back (IP_RECVERR, MSG_ERRQUEUE). An error of something that was
 * sent to `to`; data: the first n bytes of its payload. The next call of s reports it if s asked
 * for all, or is connected and it is a hard one. irq-safe. */
struct ip_error;
void inet_error(struct inet_sock *s, const struct ip_error *e, const struct ip_end *to,
                const void *data, u32 n);
/* A datagram to `to` has gone: tells when, in the queue of errors. */
void inet_stamp_sent(struct inet_sock *s, const struct ip_end *to);
/* s asked to be told of errors of IPv4, or else IPv6. */
bool inet_wants_errors(const struct inet_sock *s, bool v4);
ssize_t inet_recv_error(struct socket *s, struct socket_message *m);
/* Frees them all. */
void inet_drop_errors(struct inet_sock *s);

/* option.c */
int inet_set_option(struct socket *s, int level, int name, const void *val, u32 n);
int inet_get_option(struct socket *s, int level, int name, void *val, u32 *n);
int inet_option_inherit(struct inet_sock *s, const struct inet_sock *from);
bool inet_option_on(const struct inet_sock *s, int level, int name);
/* What a namespace's packets have that no option or path says more of. */
s32 inet_hops(const struct inet_sock *s, bool v4);
/* The value of an option that is a number; -1 of a hop limit: as the path has it. */
s32 inet_option_get(const struct inet_sock *s, int level, int name);

/* inet_datagram.c: operations of sockets that send and receive whole messages. _end: the rest of
 * release. */
u32 inet_datagram_poll(struct socket *s, struct poll_table *pt);
s64 inet_datagram_ioctl(struct socket *s, unsigned cmd, u64 arg);
ssize_t inet_datagram_recv(struct socket *s, struct socket_message *m, unsigned flags);
void inet_datagram_end(struct socket *s);

/* inet_group.c: groups that a socket has joined, and those options. */
int inet_group_set(struct inet_sock *s, int level, int name, const void *val, u32 n);
int inet_group_get(struct inet_sock *s, int level, int name, void *val, u32 *n);
/* The sources in the lists of s's groups, at most INET_SOURCES_MOST, into out: how many. */
struct inet_source {
    struct ip_addr group, source;
    u32 device;
    bool include;
};
#define INET_SOURCES_MOST 200U
u32 inet_group_sources(struct inet_sock *s, struct inet_source *out);
/* s receives what `from` sends to a group and came through the device. Under no lock of s. */
bool inet_group_hears(struct inet_sock *s, const struct ip_info *h);
/* Leaves them all. May sleep. */
void inet_leave_groups(struct inet_sock *s);

/* proc.c: lines of /proc/net/{tcp,udp}{,6}, as Linux has them: padded where the family is IPv4 */
struct inet_line {
    unsigned line, state;
    u32 tx_queue, rx_queue;
};
void inet_show(struct seq *out, struct inet_sock *s, const struct inet_line *l);
void inet_show_head(struct seq *out, int family, bool stream);
/* proc_devices.c: its 16 bytes in hexadecimal */
void ip_show_hex(struct seq *out, const struct ip_addr *a);
