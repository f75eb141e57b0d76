/* SPDX-License-Identifier: MIT
 *
 * What the files of the neighbours' table share. All under the table's lock.
 */
#pragma once

#include "net/ip/due.h"
#include "net/ip/neighbour_table.h"

struct neighbour_entry {
    struct rb_node node;
    struct list_node used;         /* in *list */
    struct list_node *list;        /* of the table, or its share's */
    struct neighbour_share *share; /* while it is asked for: whose packet it was asked for first */
    struct netdev *dev;            /* borrowed: it is forgotten before the device goes */
    struct ip_addr addr;
    struct neighbour n;
    struct list_node pending; /* packets */
    u32 nr_pending;
    bool sent_to;      /* a packet went there, or an administrator has set it */
    u64 used_at;       /* when a packet went there last, to a second, or it was made */
    struct ip_due due; /* in the table's tree, if sent_to, by its deadline */
};

static inline struct neighbour_hot *neighbour_hot_place(struct neighbour_table *t, u32 device,
                                                        const struct ip_addr *a)
{
    u32 hash = (a->w[0] ^ a->w[1] ^ a->w[2] ^ a->w[3] ^ device) * 0x9e3779b1U;

    return &t->hot[hash / (~0U / NEIGHBOURS_HOT + 1)];
}

/* neighbour_entry.c */
struct neighbour_entry *neighbour_find(struct neighbour_table *t, u32 device,
                                       const struct ip_addr *addr);
/* Found or made; NULL: no memory or no place, or the device is down. What waited for the entry that
 * is evicted for it goes to drop. asker: there is a packet for it, of that share; or NULL. */
struct neighbour_entry *neighbour_get(struct neighbour_table *t, struct netdev *dev,
                                      const struct ip_addr *addr, struct neighbour_share *asker,
                                      u64 now, struct list_node *drop);
/* Puts it at the end of the list where it belongs. asker: the share that it counts for if it is
 * asked for from now on; or NULL. */
void neighbour_file(struct neighbour_table *t, struct neighbour_entry *e,
                    struct neighbour_share *asker);
/* The same, only if it belongs in another list than it is in. */
void neighbour_refile(struct neighbour_table *t, struct neighbour_entry *e);
void neighbour_remove(struct neighbour_table *t, struct neighbour_entry *e, struct list_node *drop);
/* Takes off some of dev (NULL: of all); how many. */
u32 neighbour_forget_some(struct neighbour_table *t, const struct netdev *dev,
                          struct list_node *drop);
/* It is not sent to without the lock any more. */
void neighbour_hot_forget(struct neighbour_table *t, const struct neighbour_entry *e);

/* neighbour_age.c */
/* Some that are old go, and some of those that are too many. True: there may be more. */
bool neighbour_age_some(struct neighbour_table *t, u64 now, struct list_node *drop);
/* The table has more, or other bounds: the old are to be looked for in time. */
void neighbour_age_plan(struct neighbour_table *t, u64 now);
/* So many there may be. */
u32 neighbour_most(const struct neighbour_table *t);
/* One that has not been used for a while gives way to a new one. */
bool neighbour_gives_way(const struct neighbour_table *t, const struct neighbour_entry *e, u64 now);

/* neighbour_table.c: the timer runs for the first deadline there is, at latest for this one. */
void neighbour_start_timer(struct neighbour_table *t, u64 deadline);

/* neighbour_wait.c */
struct neighbour_share *neighbour_share_of(struct neighbour_table *t, const struct packet *p);
/* A packet waits within bounds, and charged: to its sender, or else to the namespace. False: it
 * cannot. What gives way to it goes to drop. */
bool neighbour_wait(struct neighbour_table *t, struct neighbour_entry *e, struct packet *p,
                    struct list_node *drop);
/* All that wait go to the end of a list. */
void neighbour_release(struct neighbour_table *t, struct neighbour_entry *e, struct list_node *to);
