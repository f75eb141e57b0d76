/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net (proc(5)): interfaces, routes, neighbours and addresses of a namespace as text,
 * in the columns that netstat, ifconfig and arp take apart.
 */
#include "lib/format.h"
#include "net/core/device.h"
#include "net/ip/addr.h"
#include "net/ip/ip_priv.h"
#include "net/link/loopback.h"
#include "vfs/pseudo.h"

#define ROUTE_WIDTH 127 /* Linux fills lines up */

enum { RTF_UP = 1, RTF_GATEWAY = 2 };

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
    }
    return 0;
}

static void proc_route_line(struct seq *out, const char *dev, u32 to, u32 gateway, u8 prefix)
{
    size_t start = out->len, n;

    seq_printf(out, "%s\t%08X\t%08X\t%04X\t0\t0\t0\t%08X\t0\t0\t0", dev, ip_swap32(to),
               ip_swap32(gateway), RTF_UP | (gateway ? RTF_GATEWAY : 0),
               prefix ? ip_swap32(~0U << (32 - prefix)) : 0);
    n = out->len - start;
    seq_printf(out, "%*s\n", n < ROUTE_WIDTH ? (int)(ROUTE_WIDTH - n) : 0, "");
}

static void proc_route_device(struct seq *out, struct netdev *dev)
{
    u32 v4, flags = READ_ONCE(dev->flags);
    u8 prefix;

    if ((flags & NETDEV_UP) && !(flags & NETDEV_LOOPBACK) && ip_addr_get(dev, &v4, &prefix) &&
        prefix < 32)
        proc_route_line(out, dev->name, prefix ? v4 & ~0U << (32 - prefix) : 0, 0, prefix);
}

static int proc_route(struct net_ns *ns, struct seq *out)
{
    struct ip_addr gateway;
    struct netdev *dev;
    struct ip_way way;
    u32 last = 0;

    seq_printf(out, "%-127s\n",
               "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\t"
               "MTU\tWindow\tIRTT");
    spin_lock(&ip_ns_of(ns)->lock);
    gateway = ip_ns_of(ns)->gateway;
    spin_unlock(&ip_ns_of(ns)->lock);
    if (!ip_is_any(&gateway) && !ip_way_find(ns, &gateway, &way)) {
        proc_route_line(out, way.dev->name, 0, ip_v4(&gateway), 0);
        netdev_put(way.dev);
    }
    while ((dev = net_device_next(ns, last))) {
        last = dev->index;
        proc_route_device(out, dev);
        netdev_put(dev);
    }
    return 0;
}

static int proc_arp(struct net_ns *ns, struct seq *out)
{
    struct neighbour_view v = {0};

    seq_printf(out, "IP address       HW type     Flags       HW address            Mask     "
                    "Device\n");
    while (neighbour_next(&ip_ns_of(ns)->neighbours, &v)) {
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

/* The address of lo, a host's: scope 16, permanent. */
static int proc_if_inet6(struct net_ns *ns, struct seq *out)
{
    struct ip_addr one = ip_loopback6();

    if (ip_local_device(ns, &one))
        seq_printf(out, "00000000000000000000000000000001 01 80 10 80       lo\n");
    return 0;
}

NET_FILE(arp) = {"arp", proc_arp};
NET_FILE(dev) = {"dev", proc_dev};
NET_FILE(if_inet6) = {"if_inet6", proc_if_inet6};
NET_FILE(route) = {"route", proc_route};
