/* SPDX-License-Identifier: MIT
 *
 * IPv4 to the wire.
 */
#include "net/ip/addr.h"
#include "net/ip/ip_priv.h"
#include "net/link/ethernet.h"

#define TTL_DEFAULT 64

int ipv4_output(struct net_ns *ns, struct packet *p, struct ipv4 *h)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct ip_addr to = ip_from_v4(h->to);
    struct ip_way way;
    u8 *at;
    int err = ip_way_find(ns, &to, &way);

    if (err) {
        packet_free(p);
        return err;
    }
    at = p->len <= READ_ONCE(way.dev->mtu) - IPV4_HEADER ? packet_push(p, IPV4_HEADER) : NULL;
    if (at) {
        h->total = (u16)p->len;
        h->id = (u16)__atomic_fetch_add(&in->next_id, 1, __ATOMIC_RELAXED);
        h->ttl = h->ttl ? h->ttl : TTL_DEFAULT;
        ipv4_build(at, h);
        p->protocol = ETHERTYPE_IPV4;
        err = neighbour_output(&in->neighbours, way.dev, &way.next, p);
    } else {
        packet_free(p);
        err = -EMSGSIZE;
    }
    netdev_put(way.dev);
    return err;
}
