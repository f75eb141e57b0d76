/* SPDX-License-Identifier: MIT
 *
 * ICMPv6 (RFC 4443): echoes are answered with the packet that asked; neighbour discovery is nd.c's.
 * What concerns routers is for programs (raw sockets).
 */
#include "lib/log.h"
#include "net/ip/icmp.h"
#include "net/ip/fib.h"
#include "net/ip/ipv6.h"
#include "net/ip/nd.h"

COUNTER(net_icmp6_bad);
COUNTER(net_icmp6_echoes);

/* From the address that was asked; of a group, from one that leads back. */
static void icmp6_echo(struct packet *p, const struct ip_info *h, u8 *at)
{
    struct ip_info answer = {
        .from = h->to, .to = h->from, .protocol = IPV6_ICMP, .tos = h->tos, .flow = h->flow};
    struct net_ns *ns = p->dev->ns;
    struct ip_flow f = {.to = h->from,
                        .device = ip_needs_scope(&h->from) ? h->device : 0,
                        .uid = ip_kernel_uid(ns)};
    const bool *ignore = ip_values_of(ns)->echo_ignore;
    bool group = ip_is_multicast(&h->to);
    struct ip_path path;

    if (!group)
        f.from = h->to;
    if (READ_ONCE(ignore[1]) || (group && READ_ONCE(ignore[2])) || ip_path_find(ns, &f, &path)) {
        packet_free(p);
        return;
    }
    COUNT(net_icmp6_echoes);
    packet_reuse(p);
    at[0] = ICMP6_ECHO_REPLY;
    at[2] = at[3] = 0;
    answer.from = path.source;
    if (ip_sum_now(p, &answer, 2))
        (void)ip_output(ns, p, &path, &answer);
    else
        packet_free(p);
    ip_path_put(&path);
}

static void icmp6_receive(struct packet *p, const struct ip_info *h)
{
    u8 *at = packet_need(p, ICMP_HEADER);

    if (!at || ip_is_v4(&h->to) || !ip_sum_is_ok(p, h)) {
        COUNT(net_icmp6_bad);
        NET_COUNT_ICMP(p->dev->ns, MIB_ICMP_IN, true);
        NET_COUNT_ICMP(p->dev->ns, MIB_ICMP_ERRORS, true);
        packet_free(p);
        return;
    }
    net_count_icmp(p->dev->ns, true, false, at[0]);
    switch (at[0]) {
    case ICMP6_ECHO:
        icmp6_echo(p, h, at);
        return;
    case ICMP6_SOLICIT:
    case ICMP6_ADVERTISE:
        nd_receive(p, h);
        break;
    case MLD_QUERY:
    case MLD_REPORT1:
        membership_mld(p, h);
        break;
    case ICMP6_UNREACHABLE:
    case ICMP6_TOO_BIG:
    case ICMP6_TIME:
    case ICMP6_PROBLEM:
        icmp_error_receive(p, h);
        break;
    default:
        break;
    }
    packet_free(p);
}

IP_PROTOCOL(icmp6) = {.protocol = IPV6_ICMP, .receive = icmp6_receive};
