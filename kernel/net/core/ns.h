/* SPDX-License-Identifier: MIT
 *
 * Net namespaces. A namespace is one block of memory: its head, and behind it a part for each
 * subsystem that keeps something per namespace (names of unix sockets, ports of TCP, addresses).
 * A subsystem declares its part with NET_PART and finds it at an offset that boot computes, so a
 * look-up is an addition. A part has locks of its own.
 *
 * Lifetime: counted. A socket, a process's set of namespaces and a device hold a reference. The
 * last one has its devices but lo taken away, then the parts' teardown called in the reverse order
 * of their setup, by a worker: namespaces that end at about the same time share grace periods.
 */
#pragma once

#include "lib/list.h"
#include "lib/log.h"
#include "lib/types.h"
#include "sync/refcount.h"
#include "sync/spinlock.h"

struct net_ns;
struct seq;
struct user_ns;

/* I immutable after create · a atomic */
struct net_ns {
    refcount_t ref;
    u64 inum;                /* I */
    struct net_ns *ending;   /*    once nothing refers to it: the next one */
    struct user_ns *user_ns; /* I  a reference */
    u32 watchers;            /* a  who sees packets beside their receivers (taps, raw sockets) */
};
extern struct net_ns *net_ns_init; /* the host's; its lo is up */

/* log_limited about what happens in a namespace: all others share a limit that is not the host's,
 * which they cannot silence. */
#define net_log_limited(ns, level, ...)                 \
    do {                                                \
        static u64 states_[2];                          \
        if (log_allowed(&states_[(ns) != net_ns_init])) \
            log_write(level, __VA_ARGS__);              \
    } while (0)

struct net_part {
    u32 size;
    u32 *offset; /* boot: where the part lies behind a struct net_ns */
    /* part is zeroed. setup: 0 or -errno, then nothing of it stays; may be NULL as teardown may.
     * Context: may sleep. */
    int (*setup)(struct net_ns *ns, void *part);
    void (*teardown)(struct net_ns *ns, void *part);
};
/* NET_PART(order, id) = {...}: parts are set up in the order of the strings. */
#define NET_PART(order, id) TABLE_ENTRY(struct net_part, net_parts, order #id)
static inline void *net_part(struct net_ns *ns, u32 offset)
{
    return (char *)ns + offset;
}

/* user_ns: borrowed. NULL: no memory. Its lo is down. Context: may sleep. */
struct net_ns *net_ns_create(struct user_ns *user_ns) __must_check;
void net_ns_get(struct net_ns *ns);
/* by: 1, -1. While there is one, datagrams between sockets of ns go as packets over lo. */
static inline void net_ns_watch(struct net_ns *ns, s32 by)
{
    __atomic_fetch_add(&ns->watchers, (u32)by, __ATOMIC_RELAXED);
}
void net_ns_put(struct net_ns *ns);

/* A file of /proc/<pid>/net: shows what the namespace has. Registered by the subsystem that knows,
 * served by kernel/proc. */
struct net_file {
    const char *name;
    int (*show)(struct net_ns *ns, struct seq *out);
};
#define NET_FILE(id) TABLE_ENTRY(struct net_file, net_files, #id)
