/* SPDX-License-Identifier: MIT
 *
 * ICMP for IPv4 (RFC 792, RFC 1122 3.2.2): echoes are answered with the packet that asked; errors
 * are icmp_error.c's.
 */
#include "lib/checksum.h"
#include "lib/log.h"
#include "net/ip/icmp.h"
#include "net/ip/ip_priv.h"

COUNTER(net_icmp_bad);
COUNTER(net_icmp_echoes);

static bool icmp_sum_ok(const struct packet *p)
{
    return checksum_fold(packet_sum(p, 0, p->len, 0)) == 0xffff;
}

static void icmp_receive(struct packet *p, const struct ip_info *h)
{
    u8 *at = packet_need(p, ICMP_HEADER);
    struct ip_info answer = {.from = h->to, .to = h->from, .protocol = IPV4_ICMP, .tos = h->tos};

    if (!at || !ip_is_v4(&h->to) || !icmp_sum_ok(p)) {
        COUNT(net_icmp_bad);
        packet_free(p);
        return;
    }
    if (at[0] == ICMP_UNREACHABLE || at[0] == ICMP_TIME || at[0] == ICMP_PROBLEM)
        icmp_error_receive(p, h);
    if (at[0] != ICMP_ECHO || at[1] || READ_ONCE(ip_values_of(p->dev->ns)->echo_ignore[0]) ||
        ip_kind_of(p->dev->ns, &h->to) != IP_LOCAL) {
        packet_free(p);
        return;
    }
    COUNT(net_icmp_echoes);
    icmp_echo_answer(at);
    packet_reuse(p);
    (void)ip_answer(p->dev->ns, p, &answer, 0);
}

IP_PROTOCOL(icmp) = {.protocol = IPV4_ICMP, .receive = icmp_receive};
