/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net (proc(5)): interfaces, routes, neighbours and addresses of a namespace as text,
 * in the columns that netstat, ifconfig and arp take apart.
 */
#include "lib/errno.h"
#include "lib/format.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/ip/addr.h"
#include "net/ip/fib.h"
#include "net/ip/inet.h"
#include "net/link/loopback.h"
#include "vfs/pseudo.h"

#define ROUTE_WIDTH 127 /* Linux fills lines up */

enum { RTF_UP = 1, RTF_GATEWAY = 2, RTF_HOST = 4, RTF_REJECT = 0x200 };
#define RTF_LOCAL 0x80000000U

static void proc_dev_line(struct seq *out, struct netdev *dev)
{
    struct netdev_stats s;

    netdev_stats(dev, &s);
    seq_printf(out,
               "%6s: %7lu %7lu %4lu %4lu %4d %5d %10d %9lu %8lu %7lu %4lu %4lu %4d %5d %7d %10d\n",
               dev->name, s.rx_bytes, s.rx_packets, s.rx_errors, s.rx_dropped, 0, 0, 0,
               s.rx_multicast, s.tx_bytes, s.tx_packets, s.tx_errors, s.tx_dropped, 0, 0, 0, 0);
}

static int proc_dev(struct net_ns *ns, struct seq *out)
{
    struct netdev *dev;
    u32 last = 0;

    seq_printf(out, "Inter-|   Receive                                                |  Transmit\n"
                    " face |bytes    packets errs drop fifo frame compressed multicast|"
                    "bytes    packets errs drop fifo colls carrier compressed\n");
    while ((dev = net_device_next(ns, last))) {
        last = dev->index;
        proc_dev_line(out, dev);
        netdev_put(dev);
        cond_yield();
    }
    return 0;
}

/* Link addresses of groups that a device receives. */
static void proc_dev_mcast_lines(struct seq *out, struct netdev *dev)
{
    mutex_lock(&dev->config);
    for (u32 i = 0; i < dev->nr_groups; i++) {
        const u8 *b = dev->groups[i];

        seq_printf(out, "%-4u %-15s %-5u %-5d %02x%02x%02x%02x%02x%02x\n", dev->index, dev->name,
                   dev->group_users[i], 0, b[0], b[1], b[2], b[3], b[4], b[5]);
    }
    mutex_unlock(&dev->config);
}

static int proc_dev_mcast(struct net_ns *ns, struct seq *out)
{
    struct netdev *dev;
    u32 last = 0;

    while ((dev = net_device_next(ns, last))) {
        last = dev->index;
        proc_dev_mcast_lines(out, dev);
        netdev_put(dev);
        cond_yield();
    }
    return 0;
}

static void proc_route_line(struct net_ns *ns, struct seq *out, const struct ip_route_view *v,
                            const struct ip_next_hop *hop)
{
    struct netdev *dev = hop ? net_device_by_index(ns, hop->device) : NULL;
    bool gateway = hop && !ip_is_any(&hop->gateway);
    u32 flags = RTF_UP | (gateway ? RTF_GATEWAY : 0) | (v->prefix == 32 ? RTF_HOST : 0);
    size_t start = out->len, n;

    seq_printf(out, "%s\t%08X\t%08X\t%04X\t0\t0\t%u\t%08X\t%u\t%u\t0", dev ? dev->name : "*",
               v->to.w[3], gateway ? hop->gateway.w[3] : 0, flags | (hop ? 0 : RTF_REJECT),
               v->priority, v->prefix ? ip_swap32(~0U << (32 - v->prefix)) : 0, v->advmss,
               v->window);
    n = out->len - start;
    seq_printf(out, "%*s\n", n < ROUTE_WIDTH ? (int)(ROUTE_WIDTH - n) : 0, "");
    if (dev)
        netdev_put(dev);
}

static int proc_route(struct net_ns *ns, struct seq *out)
{
    struct ip_route_view *v = kzalloc(sizeof(*v));

    if (!v)
        return -ENOMEM;
    seq_printf(out, "%-127s\n",
               "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\t"
               "MTU\tWindow\tIRTT");
    v->family = FAMILY_V4;
    v->table = TABLE_MAIN;
    while (ip_config_of(ns) && ip_route_next(ns, v) && v->family == FAMILY_V4 &&
           v->table == TABLE_MAIN) {
        for (u32 i = 0; i < v->nr_hops; i++)
            proc_route_line(ns, out, v, &v->hops[i]);
        if (!v->nr_hops)
            proc_route_line(ns, out, v, NULL);
        cond_yield();
    }
    kfree(v);
    return 0;
}

void ip_show_hex(struct seq *out, const struct ip_addr *a)
{
    for (u32 i = 0; i < sizeof(a->b); i++)
        seq_printf(out, "%02x", a->b[i]);
}

static void proc_ipv6_route_line(struct net_ns *ns, struct seq *out, const struct ip_route_view *v)
{
    bool gateway = v->nr_hops && !ip_is_any(&v->hops[0].gateway);
    struct netdev *dev = v->nr_hops ? net_device_by_index(ns, v->hops[0].device) : NULL;
    u32 flags = RTF_UP | (gateway ? RTF_GATEWAY : 0) | (v->type == ROUTE_LOCAL ? RTF_LOCAL : 0) |
                (v->prefix == LPM_BITS ? RTF_HOST : 0) | (v->nr_hops ? 0 : RTF_REJECT);
    struct ip_addr none = {0};

    ip_show_hex(out, &v->to);
    seq_printf(out, " %02x ", v->prefix);
    ip_show_hex(out, &none);
    seq_printf(out, " 00 ");
    ip_show_hex(out, gateway ? &v->hops[0].gateway : &none);
    seq_printf(out, " %08x %08x %08x %08x %8s\n", v->priority, 1, 0, flags, dev ? dev->name : "lo");
    if (dev)
        netdev_put(dev);
}

static int proc_ipv6_route(struct net_ns *ns, struct seq *out)
{
    struct ip_route_view *v = kzalloc(sizeof(*v));

    if (!v)
        return -ENOMEM;
    v->family = FAMILY_V6;
    while (ip_route_next(ns, v)) {
        proc_ipv6_route_line(ns, out, v);
        cond_yield();
    }
    kfree(v);
    return 0;
}

static int proc_arp(struct net_ns *ns, struct seq *out)
{
    struct neighbour_view v = {.addr = ip_from_v4(0)};
    struct neighbour_table *t = ip_neighbours(ns, &v.addr);

    seq_printf(out, "IP address       HW type     Flags       HW address            Mask     "
                    "Device\n");
    while (t && neighbour_next(t, &v)) {
        struct netdev *dev = net_device_by_index(ns, v.device);
        const u8 *b = &v.addr.b[12], *l = v.n.link;
        char ip[16];

        snprintf(ip, sizeof(ip), "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
        seq_printf(out, "%-16s 0x%-10x0x%-10x%02x:%02x:%02x:%02x:%02x:%02x     *        %s\n", ip,
                   1, neighbour_known(&v.n) ? 2 : 0, l[0], l[1], l[2], l[3], l[4], l[5],
                   dev ? dev->name : "*");
        if (dev)
            netdev_put(dev);
    }
    return 0;
}

/* Scopes as in linux/include/net/ipv6.h: 0 global, 16 host, 32 link. */
static int proc_if_inet6(struct net_ns *ns, struct seq *out)
{
    struct ip_addr_view v = {0};

    while (ip_address_next(ns, &v)) {
        struct netdev *dev = v.family == FAMILY_V6 ? net_device_by_index(ns, v.device) : NULL;

        cond_yield();
        if (!dev)
            continue;
        ip_show_hex(out, &v.addr);
        seq_printf(out, " %02x %02x %02x %02x %8s\n", v.device, v.prefix,
                   v.scope == SCOPE_HOST   ? 0x10
                   : v.scope == SCOPE_LINK ? 0x20
                                           : 0,
                   v.flags & 0xff & ~(u32)ADDR_NODAD, dev->name);
        netdev_put(dev);
    }
    return 0;
}

NET_FILE(arp) = {"arp", proc_arp};
NET_FILE(dev) = {"dev", proc_dev};
NET_FILE(dev_mcast) = {"dev_mcast", proc_dev_mcast};
NET_FILE(if_inet6) = {"if_inet6", proc_if_inet6};
NET_FILE(ipv6_route) = {"ipv6_route", proc_ipv6_route};
NET_FILE(route) = {"route", proc_route};
