/* SPDX-License-Identifier: MIT
 *
 * Groups of sockets at a port, as port.c keeps and port_find.c looks them up; what port_choose.c
 * chooses ports by. All is under the table's lock.
 */
#pragma once

#include "lib/xarray.h"
#include "net/ip/addr.h"
#include "net/ip/port.h"

enum port_kind {
    PORT_AT,   /* at the address, which may be a wildcard of one family */
    PORT_DUAL, /* at the wildcard of both families */
    PORT_ALL4, /* all of the port that take IPv4; counts only */
    PORT_ALL6,
};

struct port_key {
    struct ip_addr addr, peer_addr;
    u32 scope;
    u16 port, peer_port;
    u8 kind;
};

struct port_group {
    struct rb_node node;
    struct port_key key;
    u32 nr, nr_listening;         /* counted here */
    u32 nr_no_reuse, nr_no_share; /* of them, without SO_REUSEADDR, SO_REUSEPORT */
    u32 nr_chosen;                /* of them, by port_bind_towards */
    kuid_t uid;                   /* of the first */
    bool uids_differ;
    struct xarray members;   /* by their index */
    struct inet_sock *first; /* of them: index 0 */
    u32 nr_members;
};

extern const struct ip_addr port_any6, port_any4;

/* The group of a key; of all of a kind at the port; of those at the address. NULL: none. Under the
 * table's lock. */
struct port_group *port_group_find(struct port_table *t, const struct port_key *key);
struct port_group *port_group_all(struct port_table *t, u8 kind, u16 port);
struct port_group *port_group_at(struct port_table *t, const struct ip_addr *addr, u32 scope,
                                 u16 port);

/* Does a name take what is sent to addresses of IPv6, or else IPv4? */
static inline bool port_takes(const struct port_key *key, bool v6)
{
    return key->kind == PORT_DUAL || ip_is_v4(&key->addr) != v6;
}

/* ---- port_choose.c ---- */

#define PORT_TRIES 64 /* ports that are looked at under one hold of the lock */

/* Ports that are chosen for programs. */
struct port_range {
    u32 first, nr;
    const u64 *reserved; /* of these none, or NULL */
};
struct port_range port_range_of(struct net_ns *ns);
bool port_is_reserved(const struct port_range *r, u32 port);

/* Which ports some socket has, at any address: made with the first name. 0, -ENOMEM. */
int port_bits_make(struct port_table *t);
void port_bits_free(struct port_bits *p);
/* There is a bit for the port. False: no memory. */
bool port_bits_ready(struct port_bits *p, u32 port);
void port_mark(struct port_table *t, u16 port, bool used);
/* A port of the range that no socket has, or 0. */
u16 port_choose_free(struct port_bits *p, const struct port_range *r);
/* The next port for port_bind_towards. -EADDRINUSE: none is left; -EAGAIN: none of this hold's. */
int port_choose_towards(struct port_table *t, struct net_ns *ns, const struct ip_addr *local,
                        struct port_search *search, u16 *out);
