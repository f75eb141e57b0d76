/* SPDX-License-Identifier: MIT
 *
 * Numbers of devices that sysctls show.
 */
#include "net/core/conf.h"
#include "lib/log.h"
#include "lib/string.h"

/* Linux's values; what is not named is 0. */
static const s32 confs_first[NET_CONFS] = {
    [CONF4_SEND_REDIRECTS] = 1,      [CONF4_NEIGH_REACHABLE] = 30000, [CONF4_NEIGH_RETRANS] = 1000,
    [CONF4_NEIGH_DELAY] = 5,         [CONF4_NEIGH_ASK_ALL] = 3,       [CONF4_NEIGH_ASK_ONE] = 3,
    [CONF6_NEIGH_REACHABLE] = 30000, [CONF6_NEIGH_RETRANS] = 1000,    [CONF6_NEIGH_DELAY] = 5,
    [CONF6_NEIGH_ASK_ALL] = 3,       [CONF6_NEIGH_ASK_ONE] = 3,       [CONF6_HOP_LIMIT] = 64,
    [CONF6_ACCEPT_DAD] = 1,          [CONF6_DAD_TRANSMITS] = 1,       [CONF4_NEIGH_STALE] = 60,
    [CONF6_NEIGH_STALE] = 60,
};

static u32 confs_offset;

struct net_confs *net_confs_of(struct net_ns *ns)
{
    return net_part(ns, confs_offset);
}

static int confs_setup(struct net_ns *ns, void *part)
{
    struct net_confs *c = part;
    const struct net_confs *host = net_ns_init ? net_confs_of(net_ns_init) : NULL;

    memcpy(c->all, confs_first, sizeof(c->all));
    memcpy(c->first, confs_first, sizeof(c->first));
    for (u32 i = 0; host && i <= CONF4_LAST; i++) {
        c->all[i] = READ_ONCE(host->all[i]);
        c->first[i] = READ_ONCE(host->first[i]);
    }
    return 0;
}
NET_PART("05", confs) = {sizeof(struct net_confs), &confs_offset, confs_setup, NULL};

s32 net_conf_most(const struct netdev *dev, enum net_conf c)
{
    return MAX(net_conf(dev, c), net_conf_all(dev->ns, c));
}

void net_confs_begin(struct net_ns *ns, struct netdev *dev)
{
    const struct net_confs *c = net_confs_of(ns);

    for (u32 i = 0; i < NET_CONFS; i++)
        WRITE_ONCE(dev->conf[i], READ_ONCE(c->first[i]));
}
