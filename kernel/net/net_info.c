/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net (proc(5)): the interfaces, routes and sockets of a namespace as text, in the
 * columns that netstat, ifconfig and lsof take apart. There is one interface, which counts nothing.
 */
#include "lib/string.h"
#include "net/ip/inet_priv.h"
#include "obj/cred.h"
#include "vfs/pseudo.h"

#define SOCKET_LISTENS 0x10000 /* __SO_ACCEPTCON */

enum { TCP_ESTABLISHED = 1, TCP_CLOSE = 7, TCP_LISTEN = 10 };
enum { SS_UNCONNECTED = 1, SS_CONNECTED = 3 };

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

/* Calls show for each socket of the namespace, with the lock held for a few at a time: a socket
 * that is held stays in the list. */
#define NET_FEW 32
static void net_for_each(struct net_ns *ns, struct seq *out,
                         void (*show)(struct seq *out, struct unix_sock *u, unsigned line))
{
    struct unix_sock *at = NULL, *last;
    struct list_node *n;
    unsigned line = 0, few;

    do {
        spin_lock(&ns->unix_lock);
        last = at;
        n = at ? at->sock.node.next : ns->sockets.next;
        for (few = 0, at = NULL; n != &ns->sockets && !at; n = n->next) {
            struct unix_sock *u = unix_of(list_entry(n, struct socket, node));

            show(out, u, line++);
            if (++few >= NET_FEW && refcount_get_unless_zero(&u->ref))
                at = u;
        }
        spin_unlock(&ns->unix_lock);
        if (last)
            unix_put(last);
        cond_yield();
    } while (at);
}

/* A name as a port behind the address, which is read as a number from memory. */
static void net_print_name(struct seq *out, const struct inet_addr *a)
{
    u32 ip;

    memcpy(&ip, a->addr, 4);
    seq_printf(out, " %08X:%04X", ip, inet_port(a));
}

/* An end as it is shown: a connection through the wildcard is one to the loopback. */
static struct inet_addr net_inet_end(const struct unix_addr *name, bool connected)
{
    struct inet_addr a = {.family = AF_INET};

    if (name)
        memcpy(&a, &name->sun, sizeof(a));
    if (connected && !inet_ip(&a))
        inet_addr_set(&a, INET_LOOPBACK, inet_port(&a));
    return a;
}

/* Under unix_lock: a socket in the list is not freed, so its name stays, and so does its peer's
 * while its own lock is held. */
static void net_inet_line(struct seq *out, struct unix_sock *u, unsigned line)
{
    bool stream = u->sock.type == SOCK_STREAM, connected;
    const struct inet_key *peer = &inet_of(u)->peer;
    struct inet_addr local, remote;
    unsigned state;

    spin_lock(&u->lock);
    connected = stream ? u->peer != NULL : peer->peer_port != 0;
    state = connected ? TCP_ESTABLISHED : stream && u->sock.listening ? TCP_LISTEN : TCP_CLOSE;
    local = net_inet_end(u->addr, connected);
    remote = net_inet_end(u->peer ? u->peer->addr : NULL, connected && stream);
    if (connected && !stream)
        inet_addr_set(&remote, peer->peer_addr, peer->peer_port);
    seq_printf(out, stream ? "%4u:" : "%5u:", line);
    net_print_name(out, &local);
    net_print_name(out, &remote);
    seq_printf(out, " %02X %08X:%08X 00:00000000 00000000 %5u        0 %lu %d 0000000000000000 0\n",
               state, 0, u->queued, user_ns_uid(current_cred()->user_ns, u->sock.uid), u->sock.ino,
               refcount_read(&u->ref));
    spin_unlock(&u->lock);
}

static const char net_inet_head[] =
    " local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

static void net_tcp_line(struct seq *out, struct unix_sock *u, unsigned line)
{
    if (u->sock.family == AF_INET && u->sock.type == SOCK_STREAM)
        net_inet_line(out, u, line);
}

static void net_udp_line(struct seq *out, struct unix_sock *u, unsigned line)
{
    if (u->sock.family == AF_INET && u->sock.type != SOCK_STREAM)
        net_inet_line(out, u, line);
}

static int net_tcp_show(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "  sl %s", net_inet_head);
    net_for_each(ns, out, net_tcp_line);
    return 0;
}

static int net_udp_show(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "   sl %s", net_inet_head);
    net_for_each(ns, out, net_udp_line);
    return 0;
}

/* " @abstract", " /path" or nothing; other NULs of an abstract name show as '@' too. */
static void net_print_unix_name(struct seq *out, const struct unix_addr *name)
{
    u32 n = name ? name->len - (u32)offsetof(struct sock_addr, data) : 0;

    if (!n)
        return;
    if (name->sun.data[0])
        n--; /* a path's NUL */
    seq_write(out, " ", 1);
    for (u32 i = 0; i < n; i++)
        seq_write(out, name->sun.data[i] ? (const char *)&name->sun.data[i] : "@", 1);
}

static void net_unix_line(struct seq *out, struct unix_sock *u, unsigned line)
{
    if (u->sock.family != AF_UNIX)
        return;
    spin_lock(&u->lock);
    seq_printf(out, "0000000000000000: %08X 00000000 %08X %04X %02X %5lu", refcount_read(&u->ref),
               u->sock.listening ? SOCKET_LISTENS : 0, u->sock.type,
               u->peer ? SS_CONNECTED : SS_UNCONNECTED, u->sock.ino);
    net_print_unix_name(out, u->addr);
    seq_printf(out, "\n");
    spin_unlock(&u->lock);
}

static int net_unix_show(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    net_for_each(ns, out, net_unix_line);
    return 0;
}

static int net_sockstat_show(struct net_ns *ns, struct seq *out)
{
    u64 all, streams, datagrams;

    spin_lock(&ns->unix_lock);
    all = ns->nr_sockets;
    streams = ns->nr_inet[0];
    datagrams = ns->nr_inet[1];
    spin_unlock(&ns->unix_lock);
    seq_printf(out, "sockets: used %lu\nTCP: inuse %lu orphan 0 tw 0 alloc %lu mem 0\n", all,
               streams, streams);
    seq_printf(out, "UDP: inuse %lu mem 0\n", datagrams);
    return 0;
}

NET_FILE(arp) = {"arp", net_arp_show};
NET_FILE(dev) = {"dev", net_dev_show};
NET_FILE(route) = {"route", net_route_show};
NET_FILE(sockstat) = {"sockstat", net_sockstat_show};
NET_FILE(tcp) = {"tcp", net_tcp_show};
NET_FILE(udp) = {"udp", net_udp_show};
NET_FILE(unix_sockets) = {"unix", net_unix_show};
