/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net/ptype: who gets frames: packet sockets of the namespace first, then the protocols
 * of links by their ethertypes. Programs that look for others that listen search for the words in
 * the last column.
 */
#include "net/core/device.h"
#include "net/packet/packet_sock.h"
#include "vfs/pseudo.h"

TABLE_DECLARE(struct net_protocol, net_protocols);

static void ptype_line(struct seq *out, u16 type, const char *device, const char *who)
{
    if (type == ETH_P_ALL)
        seq_printf(out, "ALL ");
    else
        seq_printf(out, "%04x", type);
    seq_printf(out, " %-8s %s\n", device, who);
}

static void ptype_socket(struct net_ns *ns, struct seq *out, const struct packet_sock *ps,
                         u16 protocol)
{
    u32 device = READ_ONCE(ps->device);
    struct netdev *dev = device ? net_device_by_index(ns, device) : NULL;
    char name[NETDEV_NAME] = {0};

    if (dev) {
        net_device_name(dev, name);
        netdev_put(dev);
    }
    if (dev || !device)
        ptype_line(out, protocol, name, READ_ONCE(ps->ring) ? "tpacket_rcv" : "packet_rcv");
}

static void ptype_sockets(struct net_ns *ns, struct seq *out, bool all)
{
    struct socket_list *list = &packet_ns_of(ns)->list;

    for (struct socket *s = NULL; (s = socket_list_next(list, s)); cond_yield()) {
        u16 protocol = READ_ONCE(packet_of(s)->protocol);

        if (protocol && (protocol == ETH_P_ALL) == all)
            ptype_socket(ns, out, packet_of(s), protocol);
    }
}

static int ptype_show(struct net_ns *ns, struct seq *out)
{
    const struct net_protocol *p;

    seq_printf(out, "Type Device      Function\n");
    ptype_sockets(ns, out, true);
    ptype_sockets(ns, out, false);
    TABLE_FOR_EACH(p, net_protocols)
    {
        ptype_line(out, p->type, "", p->shown);
    }
    return 0;
}
NET_FILE(ptype) = {"ptype", ptype_show};
