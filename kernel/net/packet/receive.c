/* SPDX-License-Identifier: MIT
 *
 * Packet sockets: what a device receives or sends, and reading it.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/link/ethernet.h"
#include "net/packet/packet_sock.h"
#include "sched/timer.h"

#define PACKET_AUXDATA 8
enum {
    TP_STATUS_USER = 1,
    TP_STATUS_CSUMNOTREADY = 1 << 3,
    TP_STATUS_VLAN_VALID = 1 << 4,
    TP_STATUS_VLAN_TPID_VALID = 1 << 6
};

struct tpacket_auxdata {
    u32 status, len, snaplen;
    u16 mac, net, vlan, vlan_type;
};

/* How far the link header goes, whom it addresses, and what it carries. False: a frame so short
 * that it has none. */
static bool packet_look(const struct packet *p, bool sent, struct packet_msg *about)
{
    static const u8 all[ETHERNET_ADDR] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const u8 *frame = p->head + p->start;
    struct sockaddr_ll *a = &about->from;

    if (p->linear < p->dev->header || p->dev->header != ETHERNET_HEADER) {
        about->network = 0; /* no link header: the first byte is IP's */
        if (p->dev->header)
            return false;
        a->protocol = __builtin_bswap16(p->protocol);
        a->kind = sent ? PACKET_OUTGOING : PACKET_HOST;
        return true;
    }
    about->network = ETHERNET_HEADER;
    memcpy(&a->protocol, frame + 2 * ETHERNET_ADDR, sizeof(a->protocol));
    a->halen = ETHERNET_ADDR;
    memcpy(a->addr, frame + ETHERNET_ADDR, ETHERNET_ADDR);
    if (sent)
        a->kind = PACKET_OUTGOING;
    else if (!memcmp(frame, p->dev->addr, ETHERNET_ADDR))
        a->kind = PACKET_HOST;
    else if (!memcmp(frame, all, ETHERNET_ADDR))
        a->kind = PACKET_BROADCAST;
    else
        a->kind = ethernet_is_multicast(frame) ? PACKET_MULTICAST : PACKET_OTHER;
    return true;
}

static void packet_count(struct packet_sock *ps, bool fits)
{
    spin_lock(&ps->sock.lock);
    ps->nr_packets++;
    ps->nr_drops += !fits;
    spin_unlock(&ps->sock.lock);
}

/* A message of its own, which shares the pages. */
static bool packet_queue(struct packet_sock *ps, const struct packet *p, u32 skip, u32 keep,
                         const struct packet_msg *about)
{
    struct socket *s = &ps->sock;
    struct packet_msg *pm;
    struct packet *q;

    if (READ_ONCE(s->queued) >= READ_ONCE(s->rcvbuf))
        return false;
    q = packet_clone(p);
    if (!q)
        return false;
    packet_trim(q, skip + keep);
    if (sock_packet_begin(s, q, skip)) {
        packet_free(q);
        return false;
    }
    pm = (struct packet_msg *)sock_packet_msg(q);
    pm->from = about->from;
    pm->whole = about->whole;
    pm->status = about->status;
    pm->network = (u16)(about->network - skip);
    pm->vlan = about->vlan;
    return sock_queue_offer(s, &pm->msg);
}

static void packet_take(struct packet_sock *ps, const struct packet *p, struct packet_msg *about,
                        u32 *budget)
{
    u32 skip = ps->sock.type == SOCK_DGRAM ? about->network : 0, keep = 0;
    const struct packet_ring *ring;
    bool fits;

    if (!socket_filter_pay(&ps->sock, p, skip, TAP_STEP, budget, &keep)) {
        packet_count(ps, false);
        return;
    }
    if (!keep)
        return;
    about->whole = p->len - skip;
    keep = MIN(keep, about->whole);
    ring = rcu_dereference(ps->ring);
    fits = ring ? packet_ring_put((struct packet_ring *)ring, ps, p, skip, keep, about)
                : packet_queue(ps, p, skip, keep, about);
    packet_count(ps, fits);
}

void packet_tapped(struct net_tap *t, const struct packet *p, bool sent, u32 *budget)
{
    struct packet_sock *ps = container_of(t, struct packet_sock, tap);
    struct packet_msg about = {
        .from = {.family = AF_PACKET, .index = (s32)p->dev->index, .hatype = p->dev->type}};
    u16 protocol = READ_ONCE(ps->protocol);

    if (sent && (protocol != ETH_P_ALL || READ_ONCE(ps->ignore_outgoing)))
        return;
    if (p->sender && (void *)p->sender == (void *)READ_ONCE(ps->sock.flight))
        return; /* it sent that itself */
    if (!packet_look(p, sent, &about))
        return;
    if (protocol != ETH_P_ALL && __builtin_bswap16(about.from.protocol) != protocol)
        return;
    about.vlan = p->vlan;
    about.status = TP_STATUS_USER;
    if (p->vlan)
        about.status |= TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID;
    if (p->flags & PACKET_CSUM_PARTIAL)
        about.status |= TP_STATUS_CSUMNOTREADY;
    else if (p->flags & PACKET_CSUM_VALID)
        about.status |= TP_STATUS_CSUM_VALID;
    packet_take(ps, p, &about, budget);
}

int packet_msg_give(struct socket *s, struct sock_msg *msg, struct socket_message *m,
                    unsigned flags, bool *last)
{
    const struct packet_msg *pm = (const struct packet_msg *)msg;
    struct tpacket_auxdata aux = {
        .status = pm->status,
        .len = pm->whole,
        .snaplen = msg->len,
        .mac = 0,
        .net = s->type == SOCK_DGRAM ? 0 : pm->network,
        .vlan = pm->vlan,
        .vlan_type = pm->vlan ? ETHERTYPE_VLAN : 0,
    };

    memcpy(&m->addr, &pm->from, sizeof(pm->from));
    m->addr_len = sizeof(pm->from);
    if (READ_ONCE(packet_of(s)->auxdata))
        socket_note(m, SOL_PACKET, PACKET_AUXDATA, &aux, sizeof(aux));
    return 0;
}

ssize_t packet_recv(struct socket *s, struct socket_message *m, unsigned flags)
{
    m->addr_len = 0;
    return sock_recv(s, m, flags);
}
