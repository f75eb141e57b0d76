/* SPDX-License-Identifier: MIT
 *
 * net.ipv4.ping_group_range: groups that may make ping sockets, as numbers of the namespace's
 * users; first > last: none may.
 */
#include "lib/log.h"
#include "net/core/sysctl.h"
#include "net/raw/raw.h"

static const struct net_sysctl raw_rows[] = {
    {.path = "ipv4/ping_group_range",
     .count = 2,
     .part = &raw_ns_offset,
     .offset = offsetof(struct raw_ns, ping_groups),
     .max = 0x7fffffff},
};
NET_SYSCTLS(raw) = {raw_rows, ARRAY_SIZE(raw_rows)};
