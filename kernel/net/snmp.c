/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net/snmp, snmp6 and netstat (proc(5)): what a namespace has
 * counted (core/mib.h), in the form that netstat, nstat and exporters take apart: a line of names,
 * a line of numbers. What nothing here counts has no name, but where programs count columns.
 */
#include "lib/format.h"
#include "lib/log.h"
#include "net/core/conf.h"
#include "net/core/mib.h"
#include "net/ip/ip_priv.h"
#include "net/tcp/tcp.h"
#include "vfs/pseudo.h"

#define SNMP_FEW 16U      /* sockets that are looked at together */
#define NOT_COUNTED (~0U) /* is told as 0: columns that every reader expects */

struct snmp_name {
    const char *name;
    u32 number;
};

static const struct snmp_name snmp_ip[] = {
    {"InReceives", MIB_IN_RECEIVES},
    {"InHdrErrors", MIB_IN_HEADERS},
    {"InAddrErrors", MIB_IN_ADDRESSES},
    {"ForwDatagrams", MIB_FORWARDED},
    {"InUnknownProtos", MIB_IN_PROTOCOLS},
    {"InDiscards", NOT_COUNTED},
    {"InDelivers", MIB_IN_DELIVERS},
    {"OutRequests", MIB_OUT_REQUESTS},
    {"OutDiscards", MIB_OUT_DISCARDS},
    {"OutNoRoutes", MIB_OUT_NO_ROUTES},
    {"ReasmTimeout", MIB_REASM_TIMEOUT},
    {"ReasmReqds", MIB_REASM_REQUESTS},
    {"ReasmOKs", MIB_REASM_OKS},
    {"ReasmFails", MIB_REASM_FAILS},
    {"FragOKs", MIB_FRAG_OKS},
    {"FragFails", MIB_FRAG_FAILS},
    {"FragCreates", MIB_FRAG_CREATES},
};
static const struct snmp_name snmp_ip6[] = {
    {"InReceives", MIB_IN_RECEIVES},    {"InHdrErrors", MIB_IN_HEADERS},
    {"InAddrErrors", MIB_IN_ADDRESSES}, {"InUnknownProtos", MIB_IN_PROTOCOLS},
    {"InDelivers", MIB_IN_DELIVERS},    {"OutForwDatagrams", MIB_FORWARDED},
    {"OutRequests", MIB_OUT_REQUESTS},  {"OutDiscards", MIB_OUT_DISCARDS},
    {"OutNoRoutes", MIB_OUT_NO_ROUTES}, {"ReasmTimeout", MIB_REASM_TIMEOUT},
    {"ReasmReqds", MIB_REASM_REQUESTS}, {"ReasmOKs", MIB_REASM_OKS},
    {"ReasmFails", MIB_REASM_FAILS},    {"FragOKs", MIB_FRAG_OKS},
    {"FragFails", MIB_FRAG_FAILS},      {"FragCreates", MIB_FRAG_CREATES},
    {"InOctets", MIB_IN_OCTETS},        {"OutOctets", MIB_OUT_OCTETS},
};
static const struct snmp_name snmp_udp[] = {
    {"InDatagrams", MIB_UDP_IN},    {"NoPorts", MIB_UDP_NO_PORTS},  {"InErrors", MIB_UDP_ERRORS},
    {"OutDatagrams", MIB_UDP_OUT},  {"RcvbufErrors", MIB_UDP_FULL}, {"SndbufErrors", NOT_COUNTED},
    {"InCsumErrors", MIB_UDP_SUMS},
};
static const struct snmp_name snmp_tcp_ext[] = {
    {"SyncookiesSent", MIB_TCP_COOKIES_SENT},  {"SyncookiesRecv", MIB_TCP_COOKIES_GOOD},
    {"SyncookiesFailed", MIB_TCP_COOKIES_BAD}, {"TW", MIB_TCP_TIMEWAIT},
    {"ListenOverflows", MIB_TCP_FULL},         {"ListenDrops", MIB_TCP_FULL},
    {"TCPMinTTLDrop", MIB_TCP_FEW_HOPS},
};
/* Names of ICMP's types, as RFC 2011 has them. */
static const struct snmp_name snmp_icmp[] = {
    {"DestUnreachs", 3},   {"TimeExcds", 11}, {"ParmProbs", 12},    {"SrcQuenchs", 4},
    {"Redirects", 5},      {"Echos", 8},      {"EchoReps", 0},      {"Timestamps", 13},
    {"TimestampReps", 14}, {"AddrMasks", 17}, {"AddrMaskReps", 18},
};
static const struct snmp_name snmp_icmp6[] = {
    {"DestUnreachs", 1},
    {"PktTooBigs", 2},
    {"TimeExcds", 3},
    {"ParmProblems", 4},
    {"Echos", 128},
    {"EchoReplies", 129},
    {"GroupMembQueries", 130},
    {"GroupMembResponses", 131},
    {"GroupMembReductions", 132},
    {"RouterSolicits", 133},
    {"RouterAdvertisements", 134},
    {"NeighborSolicits", 135},
    {"NeighborAdvertisements", 136},
    {"Redirects", 137},
    {"MLDv2Reports", 143},
};

static u64 snmp_value(struct net_ns *ns, const struct snmp_name *n, u32 more)
{
    return n->number == NOT_COUNTED ? 0 : net_mib_sum(ns, n->number + more);
}

static void snmp_names(struct seq *out, const struct snmp_name *n, u32 nr)
{
    for (u32 i = 0; i < nr; i++)
        seq_printf(out, " %s", n[i].name);
}

static void snmp_values(struct net_ns *ns, struct seq *out, const struct snmp_name *n, u32 nr)
{
    for (u32 i = 0; i < nr; i++)
        seq_printf(out, " %lu", snmp_value(ns, &n[i], 0));
}

static void snmp_show_ip(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "Ip: Forwarding DefaultTTL");
    snmp_names(out, snmp_ip, ARRAY_SIZE(snmp_ip));
    seq_printf(out, "\nIp: %d %d", net_conf_all(ns, CONF4_FORWARDING) ? 1 : 2,
               READ_ONCE(ip_values_of(ns)->ttl));
    snmp_values(ns, out, snmp_ip, ARRAY_SIZE(snmp_ip));
    seq_printf(out, "\n");
}

static void snmp_icmp_side(struct net_ns *ns, struct seq *out, bool went, bool names)
{
    for (u32 i = 0; i < ARRAY_SIZE(snmp_icmp); i++)
        if (names)
            seq_printf(out, " %s%s", went ? "Out" : "In", snmp_icmp[i].name);
        else
            seq_printf(out, " %lu", net_mib_icmp_sum(ns, false, went, (u8)snmp_icmp[i].number));
}

static void snmp_show_icmp(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "Icmp: InMsgs InErrors InCsumErrors");
    snmp_icmp_side(ns, out, false, true);
    seq_printf(out, " OutMsgs OutErrors");
    snmp_icmp_side(ns, out, true, true);
    seq_printf(out, "\nIcmp: %lu %lu %lu", net_mib_sum(ns, MIB_ICMP_IN),
               net_mib_sum(ns, MIB_ICMP_ERRORS), net_mib_sum(ns, MIB_ICMP_ERRORS));
    snmp_icmp_side(ns, out, false, false);
    seq_printf(out, " %lu 0", net_mib_sum(ns, MIB_ICMP_OUT));
    snmp_icmp_side(ns, out, true, false);
    seq_printf(out, "\n");
}

/* Types that were seen, by number. */
static void snmp_show_types(struct net_ns *ns, struct seq *out)
{
    bool any = false;

    for (u32 pass = 0; pass < 2; pass++) {
        for (u32 i = 0; i < 2 * MIB_TYPES; i++) {
            u64 n = net_mib_icmp_sum(ns, false, i >= MIB_TYPES, (u8)(i % MIB_TYPES));

            if (!n)
                continue;
            if (!any)
                seq_printf(out, "IcmpMsg:");
            any = true;
            if (pass)
                seq_printf(out, " %lu", n);
            else
                seq_printf(out, " %sType%u", i >= MIB_TYPES ? "Out" : "In", i % MIB_TYPES);
        }
        if (any)
            seq_printf(out, pass ? "\n" : "\nIcmpMsg:");
    }
}

/* Connections that stand, those of this host among themselves included. */
static u32 snmp_established(struct net_ns *ns)
{
    struct socket_list *list = &tcp_ns_of(ns)->list;
    struct socket *some[SNMP_FEW], *last = NULL;
    u32 established = 0, n;

    while ((n = socket_list_take(list, last, some, SNMP_FEW))) {
        if (last)
            socket_put(last);
        for (u32 i = 0; i < n; i++) {
            u8 state = tcp_state(tcp_of(inet_of(some[i])));

            established += state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT;
            if (i + 1 < n)
                socket_put(some[i]);
        }
        last = some[n - 1];
        cond_yield();
    }
    if (last)
        socket_put(last);
    return established;
}

static void snmp_show_tcp(struct net_ns *ns, struct seq *out)
{
    const struct tcp_config *c = &tcp_ns_of(ns)->config;
    u64 errors = net_mib_sum(ns, MIB_TCP_ERRORS);

    seq_printf(out, "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens CurrEstab "
                    "InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n");
    seq_printf(out, "Tcp: 1 %lu %lu -1 %lu %lu %u %lu %lu %lu %lu %lu %lu\n",
               (u64)(c->rto_least / NSEC_PER_MSEC), (u64)(c->rto_most / NSEC_PER_MSEC),
               net_mib_sum(ns, MIB_TCP_ACTIVE), net_mib_sum(ns, MIB_TCP_PASSIVE),
               snmp_established(ns), net_mib_sum(ns, MIB_TCP_IN), net_mib_sum(ns, MIB_TCP_OUT),
               net_mib_sum(ns, MIB_TCP_AGAIN), errors, net_mib_sum(ns, MIB_TCP_RESETS), errors);
}

static void snmp_show_udp(struct net_ns *ns, struct seq *out, const char *head, u32 more)
{
    seq_printf(out, "%s", head);
    snmp_names(out, snmp_udp, ARRAY_SIZE(snmp_udp));
    seq_printf(out, "\n%s", head);
    for (u32 i = 0; i < ARRAY_SIZE(snmp_udp); i++)
        seq_printf(out, " %lu", snmp_value(ns, &snmp_udp[i], more));
    seq_printf(out, "\n");
}

static int snmp_show(struct net_ns *ns, struct seq *out)
{
    snmp_show_ip(ns, out);
    snmp_show_icmp(ns, out);
    snmp_show_types(ns, out);
    snmp_show_tcp(ns, out);
    snmp_show_udp(ns, out, "Udp:", 0);
    snmp_show_udp(ns, out, "UdpLite:", MIB_UDP_LITE - MIB_UDP);
    return 0;
}

/* One name and number a line. */
static void snmp6_lines(struct net_ns *ns, struct seq *out, const char *head,
                        const struct snmp_name *n, u32 nr, u32 more)
{
    char name[40];

    for (u32 i = 0; i < nr; i++) {
        snprintf(name, sizeof(name), "%s%s", head, n[i].name);
        seq_printf(out, "%-32s\t%lu\n", name, snmp_value(ns, &n[i], more));
    }
}

static void snmp6_icmp(struct net_ns *ns, struct seq *out, bool went)
{
    char name[40];

    for (u32 i = 0; i < ARRAY_SIZE(snmp_icmp6); i++) {
        snprintf(name, sizeof(name), "Icmp6%s%s", went ? "Out" : "In", snmp_icmp6[i].name);
        seq_printf(out, "%-32s\t%lu\n", name,
                   net_mib_icmp_sum(ns, true, went, (u8)snmp_icmp6[i].number));
    }
}

static int snmp6_show(struct net_ns *ns, struct seq *out)
{
    static const struct snmp_name icmp[] = {
        {"InMsgs", MIB_ICMP_IN}, {"InErrors", MIB_ICMP_ERRORS}, {"OutMsgs", MIB_ICMP_OUT}};

    snmp6_lines(ns, out, "Ip6", snmp_ip6, ARRAY_SIZE(snmp_ip6), MIB_IP6 - MIB_IP);
    snmp6_lines(ns, out, "Icmp6", icmp, ARRAY_SIZE(icmp), MIB_ICMP6 - MIB_ICMP);
    snmp6_icmp(ns, out, false);
    snmp6_icmp(ns, out, true);
    snmp6_lines(ns, out, "Udp6", snmp_udp, ARRAY_SIZE(snmp_udp), MIB_UDP6 - MIB_UDP);
    snmp6_lines(ns, out, "UdpLite6", snmp_udp, ARRAY_SIZE(snmp_udp), MIB_UDP_LITE6 - MIB_UDP);
    return 0;
}

static int netstat_show(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "TcpExt:");
    snmp_names(out, snmp_tcp_ext, ARRAY_SIZE(snmp_tcp_ext));
    seq_printf(out, "\nTcpExt:");
    snmp_values(ns, out, snmp_tcp_ext, ARRAY_SIZE(snmp_tcp_ext));
    seq_printf(out, "\nIpExt: InOctets OutOctets\nIpExt: %lu %lu\n", net_mib_sum(ns, MIB_IN_OCTETS),
               net_mib_sum(ns, MIB_OUT_OCTETS));
    return 0;
}

NET_FILE(snmp) = {"snmp", snmp_show};
NET_FILE(snmp6) = {"snmp6", snmp6_show};
NET_FILE(netstat) = {"netstat", netstat_show};
