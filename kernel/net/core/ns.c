/* SPDX-License-Identifier: MIT
 *
 * Net namespaces: made with all parts, and taken apart.
 */
#include "net/core/ns.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/device_priv.h"
#include "obj/cred.h"
#include "sched/work.h"

#define PART_ALIGN 16

TABLE_DECLARE(struct net_part, net_parts);

struct net_ns *net_ns_init;
static struct workq *net_ns_ends;
static struct net_ns *net_ns_ending; /* a  those that are to end, the last first */
static u32 net_ns_size = ALIGN_UP((u32)sizeof(struct net_ns), PART_ALIGN);

static void net_ns_undo(struct net_ns *ns, const struct net_part *end)
{
    for (const struct net_part *p = end; p-- > __table_net_parts;)
        if (p->teardown)
            p->teardown(ns, net_part(ns, *p->offset));
    user_ns_put(ns->user_ns);
    kfree(ns);
}

struct net_ns *net_ns_create(struct user_ns *user_ns)
{
    struct net_ns *ns = kzalloc(net_ns_size);
    const struct net_part *p;

    if (!ns)
        return NULL;
    refcount_init(&ns->ref, 1);
    user_ns_get(user_ns);
    ns->user_ns = user_ns;
    ns->inum = inum_alloc();
    TABLE_FOR_EACH(p, net_parts)
    {
        if (p->setup && p->setup(ns, net_part(ns, *p->offset))) {
            net_ns_undo(ns, p);
            return NULL;
        }
    }
    return ns;
}

static void net_ns_end(struct work *w);
static struct work net_ns_work;

static void net_ns_boot(void)
{
    const struct net_part *p;

    TABLE_FOR_EACH(p, net_parts)
    {
        *p->offset = net_ns_size;
        net_ns_size += ALIGN_UP(p->size, PART_ALIGN);
    }
    net_ns_init = net_ns_create(&user_ns_init);
    if (!net_ns_init)
        panic("no memory for the first net namespace");
    net_ns_init->inum = 0xEFFFFFFB;
}
INIT_HOOK(net_ns_boot, INIT_CORE);

static void net_ns_late(void)
{
    work_init(&net_ns_work, net_ns_end);
    net_ns_ends = workq_create("net ends");
    if (!net_ns_ends)
        panic("no memory for the end of net namespaces");
}
INIT_HOOK(net_ns_late, INIT_LATE);

void net_ns_get(struct net_ns *ns)
{
    refcount_get(&ns->ref);
}

/* The last reference may be dropped by a worker that the parts' teardown waits for, or one that
 * may not sleep so long: the end has a worker of its own. */
static void net_ns_end(struct work *w)
{
    struct net_ns *first = __atomic_exchange_n(&net_ns_ending, NULL, __ATOMIC_ACQUIRE), *next;

    net_devices_end(first);
    for (struct net_ns *ns = first; ns; ns = next) {
        next = ns->ending;
        net_ns_undo(ns, __table_net_parts_end);
        cond_yield();
    }
}

void net_ns_put(struct net_ns *ns)
{
    if (!refcount_put(&ns->ref))
        return;
    ns->ending = READ_ONCE(net_ns_ending);
    while (!__atomic_compare_exchange_n(&net_ns_ending, &ns->ending, ns, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
    work_queue(net_ns_ends, &net_ns_work);
}
