/* SPDX-License-Identifier: MIT
 *
 * IPv4 from the wire: whether it is for this host, and for which protocol.
 */
#include "lib/log.h"
#include "net/core/device.h"
#include "net/ip/addr.h"
#include "net/ip/ip_priv.h"
#include "net/link/ethernet.h"

TABLE_DECLARE(struct ip_protocol, ip_protocols);

COUNTER(net_ip_bad);
COUNTER(net_ip_not_ours);
COUNTER(net_ip_fragments);
COUNTER(net_ip_no_protocol);

/* The header, of a packet that has nothing behind its end. */
static int ipv4_header(struct packet *p, struct ipv4 *h)
{
    u32 n = MIN(p->len, (u32)IPV4_HEADER_MAX);
    const u8 *at = packet_need(p, n);

    if (!at || ipv4_parse(at, n, p->len, h))
        return -EINVAL;
    packet_trim(p, h->total);
    p->network = p->start;
    packet_pull(p, h->header);
    p->transport = p->start;
    return 0;
}

/* Groups and broadcasts have no receiver yet; nothing is forwarded. */
static bool ipv4_is_ours(const struct packet *p, const struct ipv4 *h)
{
    struct ip_addr to = ip_from_v4(h->to), from = ip_from_v4(h->from);

    return p->kind == PACKET_HOST && ipv4_source_ok(h->from) && !ip_is_loopback(&to) &&
           ip_local_device(p->dev->ns, &to) && !ip_local_device(p->dev->ns, &from);
}

static void ipv4_dispatch(struct packet *p, const struct ipv4 *h)
{
    const struct ip_protocol *proto;

    TABLE_FOR_EACH(proto, ip_protocols)
    {
        if (proto->protocol != h->protocol)
            continue;
        proto->receive(p, h);
        return;
    }
    COUNT(net_ip_no_protocol);
    packet_free(p);
}

static void ipv4_receive(struct packet *p)
{
    struct ipv4 h;

    if (ipv4_header(p, &h)) {
        COUNT(net_ip_bad);
    } else if (!ipv4_is_ours(p, &h)) {
        COUNT(net_ip_not_ours);
    } else if (ipv4_is_fragment(&h)) { /* they are not put together */
        COUNT(net_ip_fragments);
    } else {
        ipv4_dispatch(p, &h);
        return;
    }
    packet_free(p);
}

NET_PROTOCOL(ipv4) = {ETHERTYPE_IPV4, ipv4_receive};
