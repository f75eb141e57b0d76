/* SPDX-License-Identifier: MIT
 *
 * What group.c and group_report.c share: a namespace's groups, in a tree by device and address,
 * under its lock.
 */
#pragma once

#include "net/ip/due.h"
#include "net/ip/ip_priv.h"
#include "obj/cred.h"

/* All under the namespace's lock. */
struct ip_group {
    struct rb_node node;
    struct list_node gone; /* of those that are to be freed */
    struct ip_addr addr;
    u32 device;
    u32 users;     /* times that programs have joined it */
    u32 addresses; /* the kernel's own that it is joined for */
    kuid_t user;   /* the first of the users */
    bool told;     /* the link is told of it */
    struct report report;
    struct ip_due due; /* in the namespace's tree, by report.due */
};

static inline bool group_is_used(const struct ip_group *g)
{
    return g->users || g->addresses;
}
/* The next one of its device, or NULL. */
static inline struct ip_group *group_after(const struct ip_group *g)
{
    struct rb_node *n = rb_next(&g->node);
    struct ip_group *next = n ? rb_entry(n, struct ip_group, node) : NULL;

    return next && next->device == g->device ? next : NULL;
}

/* The first of all that is not before that place. */
struct ip_group *group_from_locked(struct ip_ns *in, u32 device, const struct ip_addr *addr)
    REQUIRES(in->lock);
struct ip_group *group_find_locked(struct ip_ns *in, u32 device, const struct ip_addr *addr)
    REQUIRES(in->lock);
/* The device's first, or NULL. */
struct ip_group *group_first_locked(struct ip_ns *in, u32 device) REQUIRES(in->lock);
void group_remove_locked(struct ip_ns *in, struct ip_group *g) REQUIRES(in->lock);
/* Its report has changed: it goes where it is due. */
void group_due_locked(struct ip_ns *in, struct ip_group *g) REQUIRES(in->lock);
/* Those of a list by `gone`. */
void groups_free(struct list_node *gone);
