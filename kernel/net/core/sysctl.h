/* SPDX-License-Identifier: MIT
 *
 * /proc/sys/net. Who has a value says so in a table of rows, one for each file: name, where the
 * value lies, its width and range, who is told. The directories are computed from the rows and from
 * the devices that there are (sysctl_tree.c), so they follow what comes, goes and is renamed.
 *
 * A process sees the namespace that it is in when it looks a name up; an open file stays with that
 * one. As on Linux a value may be set with CAP_NET_ADMIN over the namespace's user namespace, or by
 * the root of that, which is judged when the file is opened. A value that this kernel has but
 * cannot change has a range of one: it may be written, and nothing else; what it knows nothing of
 * has no row.
 *
 * A write is judged whole, then made. Context of all functions: may sleep.
 */
#pragma once

#include "net/core/conf.h"
#include "net/core/ns.h"

#define SYSCTL_VALUES 3 /* of a row, at most */

struct net_sysctl;
/* What a file stands for. */
struct net_sysctl_at {
    struct net_ns *ns;
    struct netdev *dev; /* conf and neigh: of a device; NULL: of no device */
    bool first;         /* conf and neigh, without a device: `default`, not `all` */
};

enum net_sysctl_kind {
    SYSCTL_S32,
    SYSCTL_BOOL,  /* a bool: 0 or 1 */
    SYSCTL_NS,    /* u64 of ns, shown in `unit` */
    SYSCTL_CONF,  /* a number of conf.h, which is `offset` */
    SYSCTL_FIXED, /* min, and nowhere else */
    SYSCTL_OWN,   /* show and store */
};

struct net_sysctl {
    /* Below /proc/sys/net. A component "*": `all`, `default` and each device; "+": without `all`.
     */
    const char *path;
    u8 kind, count;  /* count: numbers in a row; 0: one */
    bool host;       /* seen in the first namespace alone: it is all namespaces' */
    bool defaulted;  /* behind "+": in `default` alone: it is no device's */
    bool read_only;  /* mode 0444 */
    const u32 *part; /* the offset of the namespace's part; NULL: `offset` is within no part */
    void *at;        /* instead, of a `host` row: the value itself */
    u32 offset;      /* in the part */
    s64 min, max;    /* of each number as it is shown */
    /* The same in all namespaces but the first; further_max 0: as there. */
    s64 further_min, further_max;
    u64 unit; /* SYSCTL_NS */
    /* Values have changed: tells who must know. */
    void (*changed)(const struct net_sysctl *row, const struct net_sysctl_at *at);
    /* Judges before values change: 0 or -errno. May be NULL. */
    int (*judge)(const struct net_sysctl_at *at, const s64 *v);
    /* SYSCTL_OWN. store: text ends with NUL; 0 or -errno. */
    void (*show)(const struct net_sysctl *row, const struct net_sysctl_at *at, struct seq *out);
    int (*store)(const struct net_sysctl *row, const struct net_sysctl_at *at, char *text);
};

struct net_sysctls {
    const struct net_sysctl *rows;
    u32 nr;
};
/* NET_SYSCTLS(tcp) = {rows, ARRAY_SIZE(rows)}; */
#define NET_SYSCTLS(id) TABLE_ENTRY(struct net_sysctls, net_sysctl_tables, #id)

/* Where a row's value lies: its namespace's part, and the field in it. */
#define SYSCTL_IN(part_offset, type, field) .part = &(part_offset), .offset = offsetof(type, field)

/* sysctl.c, for sysctl_tree.c */
void net_sysctl_show(const struct net_sysctl *row, const struct net_sysctl_at *at, struct seq *out);
int net_sysctl_store(const struct net_sysctl *row, const struct net_sysctl_at *at, char *text);
