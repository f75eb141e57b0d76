/* SPDX-License-Identifier: MIT
 *
 * Net namespaces. What a namespace scopes: abstract unix names, and later interfaces, routes,
 * ports.
 */
#pragma once

#include "lib/list.h"
#include "lib/rbtree.h"
#include "lib/types.h"
#include "sync/refcount.h"
#include "sync/spinlock.h"

struct user_ns;

struct inet_ports;
/* Names of IPv4 sockets of one kind; net/inet_name.c. */
struct inet_names {
    struct rb_root groups;
    struct inet_ports *ports; /* NULL: there was no name yet */
};

struct net_ns {
    refcount_t ref;
    u64 inum;                   /* I */
    struct user_ns *user_ns;    /* I  a reference */
    struct spinlock unix_lock;  /* names and ports */
    struct rb_root unix_names;  /* unix_lock  abstract names */
    struct inet_names inet[2];  /* unix_lock  of streams, of datagram sockets */
    bool loopback_up;           /* a  a new namespace's lo is down */
    struct list_node sockets;   /* unix_lock  all, in the order they were made */
    u64 nr_sockets, nr_inet[2]; /* unix_lock */
};
extern struct net_ns net_ns_init;

struct net_ns *net_ns_create(struct user_ns *user_ns) __must_check; /* NULL: no memory */
/* A file of /proc/<pid>/net: shows what the namespace has. Registered here, served by kernel/proc.
 */
struct seq;
struct net_file {
    const char *name;
    int (*show)(struct net_ns *ns, struct seq *out);
};
#define NET_FILE(id) TABLE_ENTRY(struct net_file, net_files, #id)

void net_ns_get(struct net_ns *ns);
void net_ns_put(struct net_ns *ns);
