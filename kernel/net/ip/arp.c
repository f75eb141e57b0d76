/* SPDX-License-Identifier: MIT
 *
 * ARP's shell (RFC 826, RFC 5227). As Linux: any address of the namespace is answered for at any of
 * its devices; one who asks us is remembered, one who only announces itself is not.
 */
#include "net/ip/arp.h"
#include "lib/log.h"
#include "net/core/device.h"
#include "net/ip/addr.h"
#include "net/ip/ip_priv.h"
#include "net/link/arp.h"

COUNTER(net_arp_bad);

static void arp_send(struct netdev *dev, const struct arp *a, const u8 *link)
{
    static const u8 all[ETHERNET_ADDR] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const struct net_link *l = net_link_of(dev);
    struct packet *p = l && l->header ? packet_alloc() : NULL;
    u8 *at = p ? packet_append(p, ARP_LENGTH) : NULL;

    if (!at || (arp_build(at, a), l->header(p, dev, ETHERTYPE_ARP, link ? link : all)))
        packet_free(p);
    else
        (void)netdev_transmit(dev, p);
}

void arp_ask(struct netdev *dev, const struct ip_addr *addr, const u8 *link)
{
    struct arp a = {.operation = ARP_REQUEST, .to = ip_v4(addr)};
    struct ip_addr source;

    if (!ip_is_v4(addr) || !ip_addr_of_device(dev, &source, addr))
        return;
    a.from = ip_v4(&source);
    memcpy(a.from_link, dev->addr, ETHERNET_ADDR);
    arp_send(dev, &a, link);
}

static void arp_answer(struct netdev *dev, const struct arp *asked)
{
    struct arp a = {.operation = ARP_REPLY, .from = asked->to, .to = asked->from};

    memcpy(a.from_link, dev->addr, ETHERNET_ADDR);
    memcpy(a.to_link, asked->from_link, ETHERNET_ADDR);
    arp_send(dev, &a, asked->from_link);
}

/* net.ipv4.conf.DEV.arp_ignore: 1: the address must be this device's, 2: and the asker in its net.
 */
static bool arp_may_answer(struct netdev *dev, const struct ip_addr *to, const struct ip_addr *from)
{
    s32 mode = net_conf_most(dev, CONF4_ARP_IGNORE);

    if (!mode)
        return true;
    return ip_local_device(dev->ns, to) == dev->index && (mode == 1 || ip_on_link(dev, from));
}

static void arp_heard(struct netdev *dev, const struct arp *a, u8 kind)
{
    struct ip_addr from = ip_from_v4(a->from), to = ip_from_v4(a->to);
    struct neighbour_table *t = ip_neighbours(dev->ns, &from);
    bool ours = !ip_is_loopback(&to) && ip_local_device(dev->ns, &to) &&
                (a->operation != ARP_REQUEST || arp_may_answer(dev, &to, &from));
    bool answers = a->operation == ARP_REPLY && kind == PACKET_HOST;

    if (!t || ip_local_device(dev->ns, &from)) /* it claims to be us */
        return;
    if (a->from && ip_on_link(dev, &from))
        neighbour_input(t, dev, &from, a->from_link, answers ? NEIGHBOUR_ANSWERS : NEIGHBOUR_ASKS,
                        a->operation == ARP_REQUEST && ours);
    if (a->operation == ARP_REQUEST && ours)
        arp_answer(dev, a);
}

static void arp_receive(struct packet *p)
{
    const u8 *at = packet_need(p, ARP_LENGTH);
    struct arp a;

    if (!at || arp_parse(at, ARP_LENGTH, &a) || (a.from && !ipv4_source_ok(a.from)))
        COUNT(net_arp_bad);
    else
        arp_heard(p->dev, &a, p->kind);
    packet_free(p);
}

NET_PROTOCOL(arp) = {ETHERTYPE_ARP, arp_receive, "arp_rcv"};
