/* SPDX-License-Identifier: MIT
 *
 * Ports: the names of the sockets of one protocol in one namespace. A group is all sockets of one
 * key (port, address; of connected datagram sockets also the peer's). A socket that has a name is
 * counted in the group of its port and address, and in those of all sockets of the port that take
 * IPv4, or IPv6, or both: so whether another may have the same name is decided without a walk. It
 * is a member of a group, found by what arrives, while it listens, or as a datagram socket always:
 * of that with its peer once it is connected.
 *
 * A wildcard of AF_INET6 without IPV6_V6ONLY takes both families: its key is a kind of its own.
 *
 * No operation walks over sockets or ports under the lock: all that a container may hoard of them
 * costs a look-up in a tree. Context: may yield, not sleep.
 */
#pragma once

#include "lib/rbtree.h"
#include "net/ip/inet.h"

#define PORT_LOOKS 256U /* sockets of one name that a look-up looks at */

struct port_bits;

struct port_table {
    struct spinlock lock;
    struct rb_root groups;  /* lock */
    struct port_bits *bits; /* lock  NULL: there was no name yet */
    bool connected;         /* lock  there was a group with a peer */
};
void port_table_init(struct port_table *t);
void port_table_fini(struct port_table *t);

/* Gives s the name; port 0: a free one of the ephemeral
 * range, by chance. 0, -EINVAL (it has one),
 * -EADDRINUSE, -ENOMEM. s->local is set. */
int port_bind(struct inet_sock *s, const struct ip_end *end);
/* Where connections begin, which are told apart by both ends: ports may be shared with others that
 * were named so. Where the search begins depends on both ends and a secret, and moves with each
 * (RFC 6056 3.3.4). */
struct port_search {
    struct ip_end peer; /* the caller's */
    /* The caller's: may a connection from the port begin? Under the table's lock. */
    bool (*may)(const struct port_search *search, u16 port);
    const void *context; /* the caller's */
    u32 start, looked;
    u16 slot;
    bool begun;
};
/* Gives s a port of the ephemeral range at the address. If it proves to be of no use: port_end,
 * then again with the same search. 0, -EINVAL (it has a name), -EADDRINUSE (all were looked at),
 * -ENOMEM.
 */
int port_bind_towards(struct inet_sock *s, const struct ip_addr *local, struct port_search *search);
/* From here on it is found. -EADDRINUSE: another listens there. */
int port_listen(struct inet_sock *s);
/* A datagram socket is found by what comes from peer to `local` alone; port 0: by all again, at the
 * address it is bound to. s->local and s->peer are set. */
int port_connect(struct inet_sock *s, const struct ip_addr *local, const struct ip_end *peer);
/* It has no peer any more, and is at the address again that it is bound to. */
void port_leave(struct inet_sock *s);
/* Takes the name away. */
void port_end(struct inet_sock *s);
/* The socket that receives what goes from `from` to `to` and came through the device, with a
 * reference; NULL: there is none. */
struct inet_sock *port_find(struct port_table *t, const struct ip_end *to,
                            const struct ip_end *from, u32 device);
/* The same of all that receive it, at most n of them: how many. Of a group's packet, those that
 * have joined it. */
u32 port_find_all(struct port_table *t, const struct ip_end *to, const struct ip_info *h,
                  const struct ip_end *from, struct inet_sock **out, u32 n);
