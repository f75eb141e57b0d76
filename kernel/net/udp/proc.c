/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net/udp and udp6 (proc(5)), and the same of UDP-Lite.
 */
#include "net/udp/udp.h"
#include "vfs/pseudo.h"

static void udp_line(struct seq *out, struct socket *s, unsigned line)
{
    struct inet_line l = {.line = line,
                          .state = inet_has_peer(inet_of(s)) ? 1 : 7, /* TCP's numbers */
                          .rx_queue = READ_ONCE(s->queued)};

    inet_show(out, inet_of(s), &l);
}

static void udp_line4(struct seq *out, struct socket *s, unsigned line)
{
    if (s->family == AF_INET)
        udp_line(out, s, line);
}

static void udp_line6(struct seq *out, struct socket *s, unsigned line)
{
    if (s->family == AF_INET6)
        udp_line(out, s, line);
}

static int udp_show(struct net_ns *ns, struct seq *out)
{
    inet_show_head(out, AF_INET, false);
    socket_list_show(&udp_ns_of(ns, false)->list, out, udp_line4);
    return 0;
}

static int udp_show6(struct net_ns *ns, struct seq *out)
{
    inet_show_head(out, AF_INET6, false);
    socket_list_show(&udp_ns_of(ns, false)->list, out, udp_line6);
    return 0;
}

static int udp_lite_show(struct net_ns *ns, struct seq *out)
{
    inet_show_head(out, AF_INET, false);
    socket_list_show(&udp_ns_of(ns, true)->list, out, udp_line4);
    return 0;
}

static int udp_lite_show6(struct net_ns *ns, struct seq *out)
{
    inet_show_head(out, AF_INET6, false);
    socket_list_show(&udp_ns_of(ns, true)->list, out, udp_line6);
    return 0;
}
NET_FILE(udp) = {"udp", udp_show};
NET_FILE(udp6) = {"udp6", udp_show6};
NET_FILE(udp_lite) = {"udplite", udp_lite_show};
NET_FILE(udp_lite6) = {"udplite6", udp_lite_show6};
