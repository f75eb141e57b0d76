/* SPDX-License-Identifier: MIT
 *
 * Which address a packet of IPv6 comes from, of those there are: RFC 6724 5, rules 1 to 3, 5, 6 and
 * 8. The pure core.
 */
#pragma once

#include "net/core/addr.h"

struct source6 {
    struct ip_addr addr;
    u8 prefix;
    bool deprecated;
    bool of_device; /* the one that the packet leaves by has it */
};
/* Is a to be taken rather than b, for that destination? */
bool source6_is_better(const struct source6 *a, const struct source6 *b, const struct ip_addr *to);
