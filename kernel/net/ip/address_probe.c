/* SPDX-License-Identifier: MIT
 *
 * An address of IPv6: the group of those that ask for it, and whether it is unique (RFC 4862 5.4).
 */
#include "lib/log.h"
#include "lib/random.h"
#include "net/core/event.h"
#include "net/ip/address_priv.h"
#include "net/ip/ipv6.h"
#include "net/ip/nd.h"
#include "sched/timer.h"

#define DAD_DELAY NSEC_PER_SEC /* before the first */
#define DAD_WAIT NSEC_PER_SEC  /* RetransTimer */

bool addr_is_probed(const struct ip_ifaddr *a)
{
    return a->family == FAMILY_V6 && !(a->dev->flags & NETDEV_LOOPBACK) &&
           netdev_has_neighbours(a->dev) && !(a->flags & ADDR_NODAD) &&
           net_conf_most(a->dev, CONF6_ACCEPT_DAD) && net_conf(a->dev, CONF6_DAD_TRANSMITS);
}

void addr_group(struct ip_config *c, struct ip_ifaddr *a, bool join)
{
    struct ip_addr group = nd_group(&a->addr);

    if (a->family != FAMILY_V6 || (a->dev->flags & NETDEV_LOOPBACK))
        return;
    if (!join && a->joined)
        ip_group_leave_own(c->ns, a->dev->index, &group);
    else if (!join)
        return;
    else if (ip_group_join_own(c->ns, a->dev->index, &group))
        net_log_limited(c->ns, LOG_WARN, "net: %s: no memory for a group", a->dev->name);
    else
        a->joined = true;
}

void addr_probe_start(struct ip_config *c, struct ip_ifaddr *a, u64 now)
{
    addr_flags_clear(&a->flags, ADDR_DADFAILED);
    addr_flags_set(&a->flags, ADDR_TENTATIVE);
    a->probes = (u8)net_conf(a->dev, CONF6_DAD_TRANSMITS);
    a->probe_at = now + random_u64() % DAD_DELAY;
    addr_due(c, a);
}

static void addr_duplicate(struct ip_config *c, struct ip_ifaddr *a)
{
    a->probe_at = 0;
    net_log_limited(c->ns, LOG_WARN, "net: %s: an address of IPv6 is another's already",
                    a->dev->name);
    addr_tell(c, a, NET_EVENT_ADDRESS, 0);
}

/* It is unique as far as one can know: from here on it is this host's. */
static void addr_probed(struct ip_config *c, struct ip_ifaddr *a)
{
    if (addr_flags_clear(&a->flags, ADDR_TENTATIVE) & ADDR_DADFAILED) { /* said in this moment */
        addr_flags_set(&a->flags, ADDR_TENTATIVE);
        addr_duplicate(c, a);
        return;
    }
    a->probe_at = 0;
    addr_local_route(c, a, route_add_own);
    ip_changed(c->ns);
    addr_tell(c, a, NET_EVENT_ADDRESS, 0);
}

void addr_probe_time(struct ip_config *c, struct ip_ifaddr *a, u64 now)
{
    if (READ_ONCE(a->flags) & ADDR_DADFAILED) {
        addr_duplicate(c, a);
    } else if (a->probe_at <= now && a->probes) {
        a->probes--;
        a->probe_at = now + DAD_WAIT;
        nd_probe(a->dev, &a->addr);
    } else if (a->probe_at <= now) {
        addr_probed(c, a);
    }
}
