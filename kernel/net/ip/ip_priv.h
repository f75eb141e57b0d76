/* SPDX-License-Identifier: MIT
 *
 * A namespace's part of net/ip.
 */
#pragma once

#include "net/core/ns.h"

/* a atomic */
struct ip_ns {
    bool lo_up;      /* a */
    bool bindv6only; /* a  sysctl */
};
struct ip_ns *ip_ns_of(struct net_ns *ns);
