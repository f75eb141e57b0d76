/* SPDX-License-Identifier: MIT
 *
 * Ethernet as a link of net/core: the shell around its pure core.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/device.h"
#include "net/link/ethernet.h"
#include "net/link/vlan.h"

#define VLAN_ID 0xfff
#define HEADERS (ETHERNET_HEADER + 28) /* with IPv4's and UDP's: made linear in one step */

COUNTER(net_rx_bad_frame);
COUNTER(net_rx_other);

static u8 ethernet_kind(const struct netdev *dev, const u8 *to)
{
    static const u8 all[ETHERNET_ADDR] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (ethernet_equal(to, dev->addr))
        return PACKET_HOST;
    if (!ethernet_is_multicast(to))
        return PACKET_OTHER;
    return ethernet_equal(to, all) ? PACKET_BROADCAST : PACKET_MULTICAST;
}

/* A tag in the frame becomes p->vlan. False: the frame is cut short. */
static bool ethernet_untag(struct packet *p)
{
    const u8 *frame = packet_need(p, MIN(p->len, (u32)HEADERS));

    return frame && p->len >= ETHERNET_HEADER &&
           (p->vlan || !netdev_is_tagged(frame) || netdev_untag(p));
}

static void ethernet_receive(struct packet *p)
{
    const u8 *frame;
    struct ethernet e;

    if (!ethernet_untag(p)) {
        COUNT(net_rx_bad_frame);
        packet_free(p);
        return;
    }
    if (unlikely(p->vlan & VLAN_ID)) {
        vlan_receive(p);
        return;
    }
    p->vlan = 0; /* of a priority alone */
    frame = packet_need(p, MIN(p->len, (u32)HEADERS));
    if (!frame || ethernet_parse(frame, MIN(p->len, (u32)ETHERNET_HEADER + VLAN_TAG), &e)) {
        COUNT(net_rx_bad_frame);
        packet_free(p);
        return;
    }
    p->kind = ethernet_kind(p->dev, e.to);
    if (p->kind == PACKET_OTHER || e.vlan) { /* no bridge, and a number behind a priority */
        COUNT(net_rx_other);
        packet_free(p);
        return;
    }
    p->link = p->start;
    p->protocol = e.type;
    packet_pull(p, e.header);
    net_protocol_receive(p);
}

static int ethernet_header(struct packet *p, struct netdev *dev, u16 protocol, const u8 *to)
{
    u8 *at = packet_push(p, ETHERNET_HEADER);

    if (!at)
        return -ENOBUFS;
    ethernet_build(at, to, dev->addr, protocol);
    return 0;
}

NET_LINK(ethernet) = {ARPHRD_ETHER, ethernet_receive, ethernet_header};
NET_LINK(loopback) = {ARPHRD_LOOPBACK, ethernet_receive, ethernet_header};
