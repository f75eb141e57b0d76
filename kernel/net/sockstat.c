/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net/sockstat and sockstat6 (proc(5)): how many sockets there are.
 */
#include "net/tcp/tcp.h"
#include "net/udp/udp.h"
#include "net/unix/unix_priv.h"
#include "vfs/pseudo.h"

static int sockstat_show(struct net_ns *ns, struct seq *out)
{
    const struct tcp_ns *tn = tcp_ns_of(ns);
    u64 tcp, tcp6, udp, udp6, lite, lite6, local, none;

    socket_list_numbers(&tcp_ns_of(ns)->list, &tcp, &tcp6);
    socket_list_numbers(&udp_ns_of(ns, false)->list, &udp, &udp6);
    socket_list_numbers(&udp_ns_of(ns, true)->list, &lite, &lite6);
    socket_list_numbers(&((struct unix_ns *)net_part(ns, unix_ns_offset))->list, &local, &none);
    seq_printf(out, "sockets: used %lu\nTCP: inuse %lu orphan %u tw %u alloc %lu mem 0\n",
               tcp + udp + lite + local, tcp - tcp6, READ_ONCE(tn->orphans.nr),
               READ_ONCE(tn->rests.nr), tcp);
    seq_printf(out, "UDP: inuse %lu mem 0\nUDPLITE: inuse %lu\n", udp - udp6, lite - lite6);
    return 0;
}

static int sockstat_show6(struct net_ns *ns, struct seq *out)
{
    u64 tcp, tcp6, udp, udp6, lite, lite6;

    socket_list_numbers(&tcp_ns_of(ns)->list, &tcp, &tcp6);
    socket_list_numbers(&udp_ns_of(ns, false)->list, &udp, &udp6);
    socket_list_numbers(&udp_ns_of(ns, true)->list, &lite, &lite6);
    seq_printf(out, "TCP6: inuse %lu\nUDP6: inuse %lu\nUDPLITE6: inuse %lu\n", tcp6, udp6, lite6);
    return 0;
}

NET_FILE(sockstat) = {"sockstat", sockstat_show};
NET_FILE(sockstat6) = {"sockstat6", sockstat_show6};
