/* SPDX-License-Identifier: MIT
 *
 * Net namespaces: made empty, with a loopback of their own.
 */
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/ns.h"
#include "obj/cred.h"

struct net_ns net_ns_init;

static void net_ns_setup(struct net_ns *ns, struct user_ns *user_ns)
{
    refcount_init(&ns->ref, 1);
    ns->user_ns = user_ns;
    spinlock_init(&ns->unix_lock, RANK_NET, 10, "net_ns unix names");
    ns->unix_names = RB_ROOT;
    list_init(&ns->sockets);
}

static void net_ns_boot(void)
{
    net_ns_setup(&net_ns_init, &user_ns_init);
    net_ns_init.inum = 0xEFFFFFFB;
    net_ns_init.loopback_up = true;
}
INIT_HOOK(net_ns_boot, INIT_CORE);

struct net_ns *net_ns_create(struct user_ns *user_ns)
{
    struct net_ns *ns = kzalloc(sizeof(*ns));

    if (!ns)
        return NULL;
    user_ns_get(user_ns);
    net_ns_setup(ns, user_ns);
    ns->inum = inum_alloc();
    return ns;
}

void net_ns_get(struct net_ns *ns)
{
    refcount_get(&ns->ref);
}

void net_ns_put(struct net_ns *ns)
{
    if (!refcount_put(&ns->ref))
        return;
    user_ns_put(ns->user_ns);
    kfree(ns->inet[0].ports);
    kfree(ns->inet[1].ports);
    kfree(ns);
}
