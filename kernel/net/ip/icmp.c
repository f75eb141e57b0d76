/* SPDX-License-Identifier: MIT
 *
 * ICMP for IPv4 (RFC 792, RFC 1122 3.2.2): echoes are answered with the packet that asked. Errors
 * are for protocols that send, which there are none of yet.
 */
#include "lib/checksum.h"
#include "lib/log.h"
#include "net/core/ns.h"
#include "net/ip/ip_priv.h"

COUNTER(net_icmp_bad);
COUNTER(net_icmp_echoes);

static bool icmp_sum_ok(const struct packet *p)
{
    return checksum_fold(packet_sum(p, 0, p->len, 0)) == 0xffff;
}

static void icmp_receive(struct packet *p, const struct ipv4 *h)
{
    u8 *at = packet_need(p, ICMP_HEADER);
    struct ipv4 answer = {.tos = h->tos, .protocol = IPV4_ICMP, .from = h->to, .to = h->from};

    if (!at || !icmp_sum_ok(p)) {
        COUNT(net_icmp_bad);
        packet_free(p);
        return;
    }
    if (at[0] != ICMP_ECHO || at[1]) {
        packet_free(p);
        return;
    }
    COUNT(net_icmp_echoes);
    icmp_echo_answer(at);
    p->flags = 0;
    (void)ipv4_output(p->dev->ns, p, &answer);
}

IP_PROTOCOL(icmp) = {IPV4_ICMP, icmp_receive};
