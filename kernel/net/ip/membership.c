/* SPDX-License-Identifier: MIT
 *
 * Telling the link which groups this host listens to (report.h): the shell. A net worker says what
 * is due, a message of few records after the other; a timer of the namespace starts it again. A
 * querier is believed only on the link: its messages have a hop limit of 1 and go to a group.
 *
 * Messages have the router alert option (RFC 2113, RFC 2711), and IPv6's come from the device's
 * address of the link, or from none while that is not known to be unique (RFC 3590).
 */
#include "lib/checksum.h"
#include "lib/format.h"
#include "lib/log.h"
#include "net/core/worker.h"
#include "net/ip/fib.h"
#include "net/ip/ipv6.h"
#include "net/link/ethernet.h"
#include "vfs/pseudo.h"

#define MEMBERSHIP_SLACK (10 * NSEC_PER_MSEC)
#define ALERT_HEADER4 24 /* IPv4's, with the option */
#define ALERT_HEADER6 8  /* IPv6's hop-by-hop header with it */
#define QUERY_LOOK 28U
#define MESSAGES_MOST 16U /* of a job that was queued */

COUNTER(net_reports_sent);
COUNTER(net_group_queries);
COUNTER(net_igmp_bad);

static void membership_head4(struct packet *p, struct netdev *dev, const struct ip_addr *to)
{
    struct ip_addr from = ip_from_v4(0);
    struct ipv4 h = {.tos = 0xc0, .ttl = 1, .protocol = IGMP_PROTOCOL, .to = ip_v4(to)};
    u8 *at = packet_push(p, ALERT_HEADER4); /* a new packet has space for it */
    u16 sum;

    rcu_read_lock();
    (void)ip_addr_of_device(dev, &from, to);
    rcu_read_unlock();
    h.from = ip_v4(&from);
    h.total = (u16)p->len;
    ipv4_build(at, &h);
    at[0] = 0x40 | ALERT_HEADER4 / 4;
    memcpy(at + IPV4_HEADER, "\x94\x04\0\0", 4);
    memset(at + 10, 0, 2);
    sum = checksum_of(at, ALERT_HEADER4);
    memcpy(at + 10, &sum, sizeof(sum));
}

static struct ip_addr membership_source6(const struct netdev *dev)
{
    struct ip_addr from = {0};

    rcu_read_lock();
    for (const struct ip_ifaddr *a = ip_addrs_of(dev); a; a = ip_addr_after(a)) {
        if (a->family != FAMILY_V6 || !ip_is_link_local(&a->addr) ||
            (READ_ONCE(a->flags) & (ADDR_TENTATIVE | ADDR_DADFAILED)))
            continue;
        from = a->addr;
        break;
    }
    rcu_read_unlock();
    return from;
}

static bool membership_head6(struct packet *p, struct netdev *dev, const struct ip_addr *to)
{
    struct ip_info h = {.from = membership_source6(dev), .to = *to, .protocol = IPV6_ICMP};
    struct ipv6 v = {.hops = 1, .from = h.from, .to = *to};

    if (!ip_sum_now(p, &h, 2))
        return false;
    memcpy(packet_push(p, ALERT_HEADER6), "\x3a\0\x05\x02\0\0\x01\0", ALERT_HEADER6);
    v.payload = (u16)p->len;
    ipv6_build(packet_push(p, IPV6_HEADER), &v);
    return true;
}

static void membership_put(struct netdev *dev, bool v4, const u8 *bytes, u32 n,
                           const struct ip_addr *to)
{
    const struct net_link *l = net_link_of(dev);
    struct packet *p = l ? packet_alloc() : NULL;
    u8 *at = p ? packet_append(p, n) : NULL, link[NETDEV_ADDR];

    if (!at) {
        packet_free(p);
        return;
    }
    memcpy(at, bytes, n);
    ip_group_link(to, link);
    if (v4)
        membership_head4(p, dev, to);
    if ((!v4 && !membership_head6(p, dev, to)) ||
        l->header(p, dev, v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6, link)) {
        packet_free(p);
        return;
    }
    COUNT(net_reports_sent);
    (void)netdev_transmit(dev, p);
}

static void membership_say(struct net_ns *ns, const struct membership_batch *b)
{
    struct netdev *dev = net_device_by_index(ns, b->device);
    u8 bytes[REPORT_BYTES];
    struct ip_addr to;
    u32 n;

    if (!dev)
        return;
    n = report_build(bytes, b->v4, b->version, b->groups, b->kinds, b->nr, &to);
    if (n && (READ_ONCE(dev->flags) & NETDEV_UP) && (b->v4 || !net_conf(dev, CONF6_DISABLE)))
        membership_put(dev, b->v4, bytes, n, &to);
    netdev_put(dev);
}

static void membership_work(struct work *w)
{
    struct membership *m = container_of(w, struct membership, work);
    struct membership_batch b;
    u64 next;

    for (u32 n = 0; !READ_ONCE(m->closed); n++) {
        if (n == MESSAGES_MOST) { /* others' turn */
            net_worker_queue(&m->work);
            return;
        }
        next = ip_groups_collect(m->ns, &b);
        if (!b.nr) {
            if (next)
                timer_start_within(&m->timer, next, MEMBERSHIP_SLACK);
            return;
        }
        membership_say(m->ns, &b);
        cond_yield();
    }
}

static void membership_fire(struct timer *t)
{
    net_worker_queue(&container_of(t, struct membership, timer)->work);
}

void membership_init(struct membership *m, struct net_ns *ns)
{
    m->ns = ns;
    timer_init(&m->timer, membership_fire);
    work_init(&m->work, membership_work);
}

void membership_fini(struct membership *m)
{
    WRITE_ONCE(m->closed, true);
    for (u32 i = 0; i < 2; i++) { /* a job that had seen it open may have started the timer again */
        timer_cancel(&m->timer);
        net_worker_flush(&m->work);
    }
}

void membership_kick(struct net_ns *ns)
{
    struct membership *m = &ip_ns_of(ns)->membership;

    if (!READ_ONCE(m->closed))
        net_worker_queue(&m->work);
}

/* ---- what others say ---- */

static void igmp_receive(struct packet *p, const struct ip_info *h)
{
    const u8 *at = packet_need(p, MIN(p->len, QUERY_LOOK));
    struct net_ns *ns = p->dev->ns;
    struct report_query q;

    if (!at || p->len < 8 || !ip_is_v4(&h->to) ||
        checksum_fold(packet_sum(p, 0, p->len, 0)) != 0xffff) {
        COUNT(net_igmp_bad);
    } else if (h->hops == 1 && ip_is_multicast(&h->to)) {
        if (at[0] == IGMP_REPORT1 || at[0] == IGMP_REPORT2)
            ip_groups_heard(ns, h->device, &h->to);
        if (!report_parse_igmp(at, p->len, &q)) {
            COUNT(net_group_queries);
            ip_groups_ask(p->dev, true, &q);
        }
    }
    packet_free(p);
}
IP_PROTOCOL(igmp) = {.protocol = IGMP_PROTOCOL, .receive = igmp_receive};

void membership_mld(struct packet *p, const struct ip_info *h)
{
    const u8 *at = packet_need(p, MIN(p->len, QUERY_LOOK));
    struct report_query q;

    if (!at || h->hops != 1 || !ip_is_multicast(&h->to) || !ip_is_link_local(&h->from))
        return;
    if (at[0] == MLD_REPORT1)
        ip_groups_heard(p->dev->ns, h->device, &h->to);
    if (!report_parse_mld(at, p->len, &q)) {
        COUNT(net_group_queries);
        ip_groups_ask(p->dev, false, &q);
    }
}

/* ---- /proc/net ---- */

static int igmp_show(struct net_ns *ns, struct seq *out)
{
    struct netdev *dev;
    u32 last = 0, n;
    u8 version;

    seq_printf(out, "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n");
    while ((dev = net_device_next(ns, last))) {
        last = dev->index;
        n = ip_groups_count(ns, last, true, &version);
        if (READ_ONCE(dev->flags) & NETDEV_UP) {
            seq_printf(out, "%u\t%-10s: %5u      V%u\n", last, dev->name, n + 1, version);
            ip_groups_show(ns, dev, true, out);
            seq_printf(out, "\t\t\t\t010000E0     1 0:00000000\t\t0\n");
        }
        netdev_put(dev);
        cond_yield();
    }
    return 0;
}
NET_FILE(igmp) = {"igmp", igmp_show};

static int igmp6_show(struct net_ns *ns, struct seq *out)
{
    struct netdev *dev;
    u32 last = 0;

    while ((dev = net_device_next(ns, last))) {
        last = dev->index;
        if ((READ_ONCE(dev->flags) & NETDEV_UP) && !net_conf(dev, CONF6_DISABLE)) {
            ip_groups_show(ns, dev, false, out);
            seq_printf(out, "%-4u %-15s ff020000000000000000000000000001     1 0000000C 0\n", last,
                       dev->name);
            seq_printf(out, "%-4u %-15s ff010000000000000000000000000001     1 00000008 0\n", last,
                       dev->name);
        }
        netdev_put(dev);
        cond_yield();
    }
    return 0;
}
NET_FILE(igmp6) = {"igmp6", igmp6_show};
