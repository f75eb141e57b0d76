/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net (proc(5)): the interfaces, routes and sockets of a namespace as text, in the
 * columns that netstat, ifconfig and lsof take apart. There is one interface, which counts nothing.
 */
#include "lib/string.h"
#include "net/unix_priv.h"
#include "vfs/pseudo.h"

#define SOCKET_LISTENS 0x10000   /* __SO_ACCEPTCON */
#define INET_LOOPBACK 0x0100007f /* 127.0.0.1 in network order */

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

/* A name as a port behind the address, which is read as a number from memory; a connection through
 * the wildcard is one to the loopback. */
static void net_print_name(struct seq *out, const struct unix_addr *name, bool connected)
{
    u8 a[8] = {0}; /* family, port, address */
    u32 ip;

    if (name)
        memcpy(a, &name->sun, sizeof(a));
    memcpy(&ip, a + 4, 4);
    if (!ip && connected)
        ip = INET_LOOPBACK;
    seq_printf(out, " %08X:%04X", ip, (unsigned)(a[2] << 8 | a[3]));
}

/* Under unix_lock: a socket in the list is not freed, so its name stays, and so does its peer's
 * while its own lock is held. */
static void net_inet_line(struct seq *out, struct unix_sock *u, unsigned line)
{
    bool stream = u->sock.type == SOCK_STREAM;
    unsigned state;

    spin_lock(&u->lock);
    state = u->peer ? TCP_ESTABLISHED : stream && u->sock.listening ? TCP_LISTEN : TCP_CLOSE;
    seq_printf(out, stream ? "%4u:" : "%5u:", line);
    net_print_name(out, u->addr, u->peer);
    net_print_name(out, u->peer ? u->peer->addr : NULL, u->peer);
    seq_printf(out, " %02X %08X:%08X 00:00000000 00000000 %5u        0 %lu %d 0000000000000000 0\n",
               state, 0, u->queued, u->sock.uid, u->sock.ino, refcount_read(&u->ref));
    spin_unlock(&u->lock);
}

static int net_inet_show(struct net_ns *ns, struct seq *out, int type)
{
    struct socket *s;
    unsigned line = 0;

    seq_printf(out, "%s", type == SOCK_STREAM ? "  sl " : "   sl ");
    seq_printf(out, " local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
                    "timeout inode\n");
    spin_lock(&ns->unix_lock);
    list_for_each (s, &ns->sockets, node)
        if (s->family == AF_INET && s->type == type)
            net_inet_line(out, unix_of(s), line++);
    spin_unlock(&ns->unix_lock);
    return 0;
}

static int net_tcp_show(struct net_ns *ns, struct seq *out)
{
    return net_inet_show(ns, out, SOCK_STREAM);
}

static int net_udp_show(struct net_ns *ns, struct seq *out)
{
    return net_inet_show(ns, out, SOCK_DGRAM);
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

static void net_unix_line(struct seq *out, struct unix_sock *u)
{
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
    struct socket *s;

    seq_printf(out, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    spin_lock(&ns->unix_lock);
    list_for_each (s, &ns->sockets, node)
        if (s->family == AF_UNIX)
            net_unix_line(out, unix_of(s));
    spin_unlock(&ns->unix_lock);
    return 0;
}

static int net_sockstat_show(struct net_ns *ns, struct seq *out)
{
    unsigned streams = 0, datagrams = 0;
    struct socket *s;
    u64 all;

    spin_lock(&ns->unix_lock);
    all = ns->nr_sockets;
    list_for_each (s, &ns->sockets, node)
        if (s->family == AF_INET)
            s->type == SOCK_STREAM ? streams++ : datagrams++;
    spin_unlock(&ns->unix_lock);
    seq_printf(out, "sockets: used %lu\nTCP: inuse %u orphan 0 tw 0 alloc %u mem 0\n", all, streams,
               streams);
    seq_printf(out, "UDP: inuse %u mem 0\n", datagrams);
    return 0;
}

NET_FILE(arp) = {"arp", net_arp_show};
NET_FILE(dev) = {"dev", net_dev_show};
NET_FILE(route) = {"route", net_route_show};
NET_FILE(sockstat) = {"sockstat", net_sockstat_show};
NET_FILE(tcp) = {"tcp", net_tcp_show};
NET_FILE(udp) = {"udp", net_udp_show};
NET_FILE(unix_sockets) = {"unix", net_unix_show};
