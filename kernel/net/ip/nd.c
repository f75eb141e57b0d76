/* SPDX-License-Identifier: MIT
 *
 * Neighbour discovery (RFC 4861, RFC 4862 5.4). Messages go to the link by themselves: what they
 * ask for is what output would ask for.
 */
#include "net/ip/nd.h"
#include "lib/log.h"
#include "net/ip/fib.h"
#include "net/ip/ipv6.h"
#include "net/link/ethernet.h"

COUNTER(net_nd_bad);

static const struct ip_addr nd_nodes = {.b = {0xff, 2, [15] = 1}};

/* To a group, or to one whose link address is known. */
static void nd_send(struct netdev *dev, const struct nd *m, const struct ip_addr *from,
                    const struct ip_addr *to, const u8 *link)
{
    struct ip_info h = {.from = *from, .to = *to, .protocol = IPV6_ICMP};
    const struct net_link *l = net_link_of(dev);
    struct packet *p = l && l->header ? packet_alloc() : NULL;
    u8 bytes[ND_LENGTH], group[NETDEV_ADDR], *at;
    u32 n = nd_build(bytes, m);
    struct ipv6 v6 = {
        .next = IPV6_ICMP, .hops = ND_HOPS, .payload = (u16)n, .from = *from, .to = *to};

    at = p ? packet_append(p, n) : NULL;
    if (!at) {
        packet_free(p);
        return;
    }
    memcpy(at, bytes, n);
    ip_group_link(to, group);
    if (!ip_sum_now(p, &h, 2)) {
        packet_free(p);
        return;
    }
    ipv6_build(packet_push(p, IPV6_HEADER), &v6); /* a new packet has space for it */
    if (l->header(p, dev, ETHERTYPE_IPV6, link ? link : group))
        packet_free(p);
    else
        (void)netdev_transmit(dev, p);
}

static void nd_own_link(const struct netdev *dev, struct nd *m)
{
    m->has_link = true;
    memcpy(m->link, dev->addr, sizeof(m->link));
}

void nd_ask(struct netdev *dev, const struct ip_addr *addr, const u8 *link)
{
    struct ip_config *c = ip_config_of(dev->ns);
    struct nd m = {.type = ICMP6_SOLICIT, .target = *addr};
    struct ip_addr from, group = nd_group(addr);

    rcu_read_lock();
    select_source(c, dev, addr, SCOPE_LINK, &from);
    rcu_read_unlock();
    if (ip_is_any(&from))
        return; /* without an address of its own it asks for no other */
    nd_own_link(dev, &m);
    nd_send(dev, &m, &from, link ? addr : &group, link);
}

void nd_probe(struct netdev *dev, const struct ip_addr *addr)
{
    struct nd m = {.type = ICMP6_SOLICIT, .target = *addr};
    struct ip_addr none = {0}, group = nd_group(addr);

    nd_send(dev, &m, &none, &group, NULL);
}

/* The address if the device has it; within RCU. */
static struct ip_ifaddr *nd_find(const struct netdev *dev, const struct ip_addr *addr)
{
    struct ip_ifaddr *a = ip_addrs_of(dev);

    while (a && (a->family != FAMILY_V6 || !ip_equal(&a->addr, addr)))
        a = ip_addr_after(a);
    return a;
}

/* Another has, or wants, an address that is tentative here: its next probe's time finds that. */
static void nd_duplicate(struct ip_ifaddr *a)
{
    addr_flags_set(&a->flags, ADDR_DADFAILED);
}

/* As Linux, a device answers for its own addresses alone. */
static void nd_asked(struct netdev *dev, const struct nd *m, const struct ip_info *h)
{
    struct nd answer = {.type = ICMP6_ADVERTISE, .target = m->target, .override = true};
    struct ip_ifaddr *a = nd_find(dev, &m->target);
    bool unknown = ip_is_any(&h->from);

    if (!a)
        return;
    if (READ_ONCE(a->flags) & ADDR_TENTATIVE) {
        if (unknown)
            nd_duplicate(a);
        return;
    }
    answer.solicited = !unknown;
    answer.router = net_conf(dev, CONF6_FORWARDING); /* RFC 4861 7.2.4 */
    nd_own_link(dev, &answer);
    if (unknown) {
        nd_send(dev, &answer, &m->target, &nd_nodes, NULL);
    } else if (m->has_link) {
        neighbour_input(ip_neighbours(dev->ns, &h->from), dev, &h->from, m->link, NEIGHBOUR_ASKS,
                        true);
        nd_send(dev, &answer, &m->target, &h->from, m->link);
    }
}

static void nd_answered(struct netdev *dev, const struct nd *m)
{
    struct ip_ifaddr *a = nd_find(dev, &m->target);
    enum neighbour_word word = NEIGHBOUR_ASKS;

    if (a) {
        if (READ_ONCE(a->flags) & ADDR_TENTATIVE)
            nd_duplicate(a);
        return; /* another claims to be us */
    }
    if (!m->has_link)
        return;
    if (!m->override)
        word = NEIGHBOUR_DOUBTS;
    else if (m->solicited)
        word = NEIGHBOUR_ANSWERS;
    neighbour_input(ip_neighbours(dev->ns, &m->target), dev, &m->target, m->link, word, false);
}

#define ND_READ 128 /* bytes looked at of a message */

void nd_receive(struct packet *p, const struct ip_info *h)
{
    u32 n = MIN(p->len, (u32)ND_READ);
    u8 at[ND_READ]; /* a copy: the head need not have space for so many */
    struct nd m;

    packet_copy(p, 0, n, at);
    if (!netdev_has_neighbours(p->dev) || !ip_neighbours(p->dev->ns, &h->from) ||
        nd_parse(at, n, &h->from, &h->to, h->hops, &m)) {
        COUNT(net_nd_bad);
        return;
    }
    rcu_read_lock();
    if (m.type == ICMP6_SOLICIT)
        nd_asked(p->dev, &m, h);
    else
        nd_answered(p->dev, &m);
    rcu_read_unlock();
}
