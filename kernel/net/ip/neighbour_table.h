/* SPDX-License-Identifier: MIT
 *
 * The neighbours of a namespace, of one family: a bounded table around the states of neighbour.h.
 * Packets that wait for a link address are bounded too, in each entry and in all, and charged: to
 * the sender, else (an answer, say, which a device's worker makes) to the namespace's account.
 *
 * Sysctls of the host say how many there may be (gc_*): beyond gc_thresh1 those that are old,
 * failed or not used for their device's gc_stale_time, are taken away every gc_interval, so many in
 * a turn of the worker; beyond gc_thresh2 a new one takes the place of one that was not used for 5
 * s, beyond gc_thresh3 of any. In all namespaces the same holds, but for gc_thresh3, which is
 * NEIGHBOURS_MOST there at most.
 *
 * What is evicted first are those that did not answer, then those that were only heard of, then
 * those that are asked for, of which there is a bounded number: packets to many addresses without a
 * host push out no known one. The share (accounts of one hash) that asks for most, or has most
 * packets waiting, gives way first: so no account keeps others from a neighbour.
 *
 * Lock: the table's (spinlock, RANK_NET 7). Nothing is sent under it. Packets to a neighbour that
 * is known to be there take no lock: what is to be known of it stands in a small cache (`hot`), for
 * a second at the longest, so that the table sees who is in use.
 */
#pragma once

#include "dev/netdev.h"
#include "lib/rbtree.h"
#include "net/core/addr.h"
#include "net/ip/neighbour.h"
#include "sched/timer.h"
#include "sched/work.h"
#include "sync/seqlock.h"

#define NEIGHBOURS_MOST 512U          /* in all namespaces but the first, at most */
#define NEIGHBOURS_ASKED 128          /* of these may be asked for at a time */
#define NEIGHBOUR_PENDING 16          /* packets that wait for one; then the oldest is dropped */
#define NEIGHBOURS_BYTES (512U << 10) /* that all packets that wait keep alive */

#define NEIGHBOUR_SHARES 16U /* by which senders are told apart */
#define NEIGHBOURS_HOT 16U

/* lock to write, seq to read */
struct neighbour_hot {
    struct seqcount seq;
    u32 device;
    struct ip_addr addr;
    u64 until; /* time_ns(); 0: it is nothing */
    u8 link[8];
};

/* What sysctls say of one family's tables: a. */
struct neighbour_bounds {
    s32 few, many, most; /* gc_thresh1 to 3 */
    s32 interval;        /* gc_interval: s */
};
extern struct neighbour_bounds neighbour_bounds[2]; /* IPv4, IPv6 */
/* What that is for the host's tables, or another namespace's. */
struct neighbour_bounds neighbour_bounds_of(bool v6, bool host);

/* What accounts of the same hash have of the table. lock */
struct neighbour_share {
    struct list_node asked; /* entries that they ask for; the last used at the end */
    u32 nr_asked;
    u64 bytes; /* that their packets keep alive */
};

struct neighbour_table {
    struct spinlock lock;
    struct account *account; /* I  the namespace's, or NULL */
    bool v6, host;           /* I  host: the first namespace's */
    struct rb_root entries;  /* lock */
    struct rb_root due;      /* lock  those that packets went to, by their deadlines */
    struct list_node failed; /* lock  they did not answer; the last used at the end, as of all */
    struct list_node heard;  /* lock  no packet went there yet */
    struct list_node used;   /* lock  known */
    struct list_node fixed;  /* lock  those that an administrator made, at most half of all */
    struct neighbour_share shares[NEIGHBOUR_SHARES]; /* lock  those that are asked for */
    u32 nr, nr_asked;                                /* lock  all; those of shares */
    u32 nr_fixed;                                    /* lock */
    u64 bytes;                                       /* lock  that waiting packets keep alive */
    u64 age_at; /* lock  when the old are looked for next; 0: there are too few */
    struct timer timer;
    struct work work;
    bool closed; /* lock  no timer is started any more, nor is the job queued by itself */
    struct neighbour_hot hot[NEIGHBOURS_HOT];
};
/* account outlives the table; NULL: uncharged. */
void neighbour_table_init(struct neighbour_table *t, struct account *account, bool v6, bool host);
/* Sysctls say otherwise now. */
void neighbour_table_bounded(struct neighbour_table *t);
void neighbour_table_fini(struct neighbour_table *t); /* may sleep */

/* Sends p, which begins with its network header, to a neighbour of dev. Takes p. 0: it is sent, or
 * waits; -EHOSTUNREACH; -ENOBUFS; netdev_transmit's. Never sleeps. */
int neighbour_output(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *to,
                     struct packet *p);
/* The neighbour said what its link address is; learn: it is remembered if it was not known. */
void neighbour_input(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *from,
                     const u8 *link, enum neighbour_word word, bool learn);
/* The protocol above has heard of it. */
void neighbour_confirm(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *addr);
/* All of dev (NULL: all) are forgotten. May sleep. */
void neighbour_forget(struct neighbour_table *t, const struct netdev *dev);

/* An administrator's: create: it need not be there; only: it must not. 0, -EEXIST, -ENOENT,
 * -ENOBUFS (too many), -ENOMEM. */
int neighbour_set(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *addr,
                  const u8 *link, bool fixed, bool create, bool only) __must_check;
int neighbour_unset(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *addr);

struct neighbour_view {
    struct ip_addr addr;
    u32 device;
    struct neighbour n;
    u64 used_at; /* to a second */
};
/* The first one behind *at (zeroed: the first), into *at; false: no more. */
bool neighbour_next(struct neighbour_table *t, struct neighbour_view *at);
