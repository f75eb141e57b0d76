/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net (proc(5)): interfaces, routes and addresses of a namespace as text, in the
 * columns that netstat, ifconfig and lsof take apart; and a line of a socket for TCP's and UDP's
 * files. There is one interface, which counts nothing.
 */
#include "net/ip/addr.h"
#include "net/ip/inet.h"
#include "net/ip/ip_priv.h"
#include "obj/cred.h"
#include "vfs/pseudo.h"

static int net_dev_show(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "Inter-|   Receive                                                |  Transmit\n"
                    " face |bytes    packets errs drop fifo frame compressed multicast|"
                    "bytes    packets errs drop fifo colls carrier compressed\n");
    seq_printf(out, "%6s: %7d %7d %4d %4d %4d %5d %10d %9d %8d %7d %4d %4d %4d %5d %7d %10d\n",
               "lo", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    return 0;
}

static int net_route_show(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "%-127s\n",
               "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\t"
               "MTU\tWindow\tIRTT");
    return 0;
}

static int net_arp_show(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "IP address       HW type     Flags       HW address            Mask     "
                    "Device\n");
    return 0;
}

/* An address as it is read as numbers from memory, a word at a time. */
static void inet_show_end(struct seq *out, int family, const struct ip_end *end)
{
    const u32 *w = end->addr.w;

    if (family == AF_INET)
        seq_printf(out, " %08X:%04X", w[3], end->port);
    else
        seq_printf(out, " %08X%08X%08X%08X:%04X", w[0], w[1], w[2], w[3], end->port);
}

/* Spaces up to the width that Linux fills IPv4's lines to, and the line's end. */
static void inet_show_pad(struct seq *out, size_t start, int family, bool stream)
{
    size_t width = family == AF_INET6 ? 0 : stream ? 149 : 127, len = out->len - start;

    seq_printf(out, "%*s\n", len < width ? (int)(width - len) : 0, "");
}

/* Under the list's lock: a socket in the list is not freed. */
void inet_show(struct seq *out, struct inet_sock *s, const struct inet_line *l)
{
    struct ip_end local = inet_local(s), peer = inet_peer(s);
    bool stream = s->sock.type == SOCK_STREAM;
    size_t start = out->len;

    seq_printf(out, stream ? "%4u:" : "%5u:", l->line);
    inet_show_end(out, s->sock.family, &local);
    inet_show_end(out, s->sock.family, &peer);
    seq_printf(out, " %02X %08X:%08X 00:00000000 00000000 %5u        0 %lu %d 0000000000000000",
               l->state, l->tx_queue, l->rx_queue,
               user_ns_uid(current_cred()->user_ns, s->sock.uid), s->sock.ino,
               refcount_read(&s->sock.ref));
    if (stream) /* time-outs, window and threshold, of packets that there are not */
        seq_printf(out, " 100 0 0 10 0");
    else
        seq_printf(out, " %u", READ_ONCE(s->sock.lost));
    inet_show_pad(out, start, s->sock.family, stream);
}

void inet_show_head(struct seq *out, int family, bool stream)
{
    size_t start = out->len;

    seq_printf(out, "%s sl  local_address ", stream || family == AF_INET6 ? " " : "  ");
    seq_printf(out, "%*s%s", family == AF_INET ? 0 : 24, "", family == AF_INET ? "rem" : "remote");
    seq_printf(out, "_address%*s", family == AF_INET ? 3 : 24, "");
    seq_printf(out, "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode%s",
               stream ? "" : " ref pointer drops");
    inet_show_pad(out, start, family, stream);
}

/* The address of lo, a host's: scope 16, permanent. */
static int net_if_inet6_show(struct net_ns *ns, struct seq *out)
{
    if (READ_ONCE(ip_ns_of(ns)->lo_up))
        seq_printf(out, "00000000000000000000000000000001 01 80 10 80       lo\n");
    return 0;
}

NET_FILE(arp) = {"arp", net_arp_show};
NET_FILE(dev) = {"dev", net_dev_show};
NET_FILE(if_inet6) = {"if_inet6", net_if_inet6_show};
NET_FILE(route) = {"route", net_route_show};
