/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net/protocols: the kinds of sockets, how large one is, and how many of them the
 * namespace has. Memory is no protocol's here but its account's: -1 and NI, "not implemented", as
 * Linux says of kinds without a bound of their own. Of the other columns readers want the places
 * alone: they are the same for all streams, and for all others.
 */
#include "net/netlink/netlink.h"
#include "net/packet/packet_sock.h"
#include "net/raw/raw.h"
#include "net/tcp/tcp.h"
#include "net/udp/udp.h"
#include "net/unix/unix_priv.h"
#include "vfs/pseudo.h"

enum protocols_of { OF_V4 = 1, OF_V6, OF_STREAMS, OF_OTHERS, OF_ALL };

/* Sockets of a list: those of a family, or those of a type. */
static u64 protocols_count(struct socket_list *list, enum protocols_of which)
{
    u64 nr, nr6, streams = 0;

    socket_list_numbers(list, &nr, &nr6);
    if (which == OF_STREAMS || which == OF_OTHERS)
        for (struct socket *s = NULL; (s = socket_list_next(list, s)); cond_yield())
            streams += s->type == SOCK_STREAM;
    switch (which) {
    case OF_V4:
        return nr - nr6;
    case OF_V6:
        return nr6;
    case OF_STREAMS:
        return streams;
    case OF_OTHERS:
        return nr > streams ? nr - streams : 0;
    default:
        return nr;
    }
}

static void protocols_line(struct seq *out, const char *name, u64 size, u64 nr, bool stream)
{
    seq_printf(out, "%-9s %4lu %6lu  %6d   NI  %6u   yes  kernel     ", name, size, nr, -1, 0U);
    for (const char *c = stream ? "yyyyyynyyyyyyynnnyn" : "yyynyynyyyyynynnnyn"; *c; c++)
        seq_printf(out, " %2c", *c);
    seq_printf(out, "\n");
}

static int protocols_show(struct net_ns *ns, struct seq *out)
{
    struct socket_list *local = &((struct unix_ns *)net_part(ns, unix_ns_offset))->list;
    struct raw_ns *raw = raw_ns_of(ns);
    const struct {
        const char *name;
        u64 size;
        struct socket_list *list;
        enum protocols_of which;
    } rows[] = {
        {"PACKET", sizeof(struct packet_sock), &packet_ns_of(ns)->list, OF_ALL},
        {"PINGv6", sizeof(struct raw_sock), &raw->ping_list, OF_V6},
        {"RAWv6", sizeof(struct raw_sock), &raw->list, OF_V6},
        {"UDPLITEv6", sizeof(struct udp_sock), &udp_ns_of(ns, true)->list, OF_V6},
        {"UDPv6", sizeof(struct udp_sock), &udp_ns_of(ns, false)->list, OF_V6},
        {"TCPv6", sizeof(struct tcp_sock), &tcp_ns_of(ns)->list, OF_V6},
        {"UNIX-STREAM", sizeof(struct unix_sock), local, OF_STREAMS},
        {"UNIX", sizeof(struct unix_sock), local, OF_OTHERS},
        {"UDP-Lite", sizeof(struct udp_sock), &udp_ns_of(ns, true)->list, OF_V4},
        {"PING", sizeof(struct raw_sock), &raw->ping_list, OF_V4},
        {"RAW", sizeof(struct raw_sock), &raw->list, OF_V4},
        {"UDP", sizeof(struct udp_sock), &udp_ns_of(ns, false)->list, OF_V4},
        {"TCP", sizeof(struct tcp_sock), &tcp_ns_of(ns)->list, OF_V4},
        {"NETLINK", sizeof(struct nl_sock), &nl_ns_of(ns)->list, OF_ALL},
    };

    seq_printf(out, "protocol  size sockets  memory press maxhdr  slab module     "
                    "cl co di ac io in de sh ss gs se re sp bi br ha uh gp em\n");
    for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
        protocols_line(out, rows[i].name, rows[i].size,
                       protocols_count(rows[i].list, rows[i].which),
                       rows[i].list == &tcp_ns_of(ns)->list || rows[i].which == OF_STREAMS);
    return 0;
}
NET_FILE(protocols) = {"protocols", protocols_show};
