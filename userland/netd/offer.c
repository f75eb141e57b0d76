// SPDX-License-Identifier: MIT
// Whether an address that a DHCPv4 server offers may be taken, as far as this machine knows; what
// the wire knows is found by probes.
#include <errno.h>
#include <sys/socket.h>

#include "netd/netd.h"

/* What a rule gives itself would end with the lease. */
static bool offer_is_the_rules(const struct device *d, const struct address *a)
{
    for (unsigned i = 0; i < d->rule->addresses.n; i++)
        if (address_host_same(&d->rule->addresses.item[i], a))
            return true;
    return false;
}

/* Another device's address, such as a containers' bridge has, is declined: their traffic would go
 * astray. While theirs could not be read, it waits. */
void offer_judge(struct device *d, uint64_t now, struct dhcp4_out *out)
{
    struct address a = address_v4(d->dhcp4.offer.address, d->dhcp4.offer.prefix);
    struct others o;

    kernel_others(d, AF_INET, &o);
    if (others_are(&o, &a) || offer_is_the_rules(d, &a)) {
        net_log_once(d, "what a server offers is another device's address", EADDRINUSE);
        dhcp4_taken(&d->dhcp4, now, out);
    } else if (o.unknown) {
        dhcp4_later(&d->dhcp4, now, out);
    }
    others_free(&o);
}
