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

#define INET_HASH 64

struct net_ns {
    refcount_t ref;
    u64 inum;                              /* I */
    struct user_ns *user_ns;               /* I  a reference */
    struct spinlock unix_lock;             /* names and ports */
    struct rb_root unix_names;             /* unix_lock  abstract names */
    struct list_node tcp_ports[INET_HASH]; /* unix_lock  sockets with a name, by port */
    struct list_node udp_ports[INET_HASH]; /* unix_lock */
    u16 next_port;                         /* unix_lock */
    bool loopback_up;                      /* a  a new namespace's lo is down */
    struct list_node sockets;              /* unix_lock  all, in the order they were made */
    u64 nr_sockets;                        /* unix_lock */
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
