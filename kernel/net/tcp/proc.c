/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net/tcp and tcp6 (proc(5)).
 */
#include "net/tcp/tcp.h"
#include "vfs/pseudo.h"

static void tcp_line(struct seq *out, struct socket *s, unsigned line)
{
    struct inet_line l = {.line = line, .state = tcp_state(tcp_of(inet_of(s)))};
    struct socket *peer;

    spin_lock(&s->lock);
    l.rx_queue = s->listening ? tcp_of(inet_of(s))->accept.nr : s->unread;
    peer = s->peer;
    l.tx_queue = peer ? READ_ONCE(peer->unread) : 0;
    spin_unlock(&s->lock);
    inet_show(out, inet_of(s), &l);
}

static void tcp_line4(struct seq *out, struct socket *s, unsigned line)
{
    if (s->family == AF_INET)
        tcp_line(out, s, line);
}

static void tcp_line6(struct seq *out, struct socket *s, unsigned line)
{
    if (s->family == AF_INET6)
        tcp_line(out, s, line);
}

static int tcp_show(struct net_ns *ns, struct seq *out)
{
    inet_show_head(out, AF_INET, true);
    socket_list_show(&tcp_ns_of(ns)->list, out, tcp_line4);
    return 0;
}

static int tcp_show6(struct net_ns *ns, struct seq *out)
{
    inet_show_head(out, AF_INET6, true);
    socket_list_show(&tcp_ns_of(ns)->list, out, tcp_line6);
    return 0;
}
NET_FILE(tcp) = {"tcp", tcp_show};
NET_FILE(tcp6) = {"tcp6", tcp_show6};
