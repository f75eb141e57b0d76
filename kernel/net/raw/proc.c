/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net/raw, raw6, icmp and icmp6 (proc(5)).
 */
#include "net/core/sending.h"
#include "net/raw/raw.h"
#include "vfs/pseudo.h"

static void raw_line(struct seq *out, struct socket *s, unsigned line)
{
    struct inet_line l = {.line = s->type == SOCK_RAW ? s->protocol : line,
                          .state = READ_ONCE(raw_of(s)->connected) ? 1 : 7, /* TCP's numbers */
                          .tx_queue = sock_in_flight(s),
                          .rx_queue = READ_ONCE(s->queued)};

    inet_show(out, inet_of(s), &l);
}

static void raw_line4(struct seq *out, struct socket *s, unsigned line)
{
    if (s->family == AF_INET)
        raw_line(out, s, line);
}

static void raw_line6(struct seq *out, struct socket *s, unsigned line)
{
    if (s->family == AF_INET6)
        raw_line(out, s, line);
}

static int raw_show(struct net_ns *ns, struct seq *out)
{
    inet_show_head(out, AF_INET, false);
    socket_list_show(&raw_ns_of(ns)->list, out, raw_line4);
    return 0;
}

static int raw_show6(struct net_ns *ns, struct seq *out)
{
    inet_show_head(out, AF_INET6, false);
    socket_list_show(&raw_ns_of(ns)->list, out, raw_line6);
    return 0;
}

static int ping_show(struct net_ns *ns, struct seq *out)
{
    inet_show_head(out, AF_INET, false);
    socket_list_show(&raw_ns_of(ns)->ping_list, out, raw_line4);
    return 0;
}

static int ping_show6(struct net_ns *ns, struct seq *out)
{
    inet_show_head(out, AF_INET6, false);
    socket_list_show(&raw_ns_of(ns)->ping_list, out, raw_line6);
    return 0;
}
NET_FILE(raw) = {"raw", raw_show};
NET_FILE(raw6) = {"raw6", raw_show6};
NET_FILE(icmp) = {"icmp", ping_show};
NET_FILE(icmp6) = {"icmp6", ping_show6};
