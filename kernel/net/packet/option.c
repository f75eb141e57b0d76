/* SPDX-License-Identifier: MIT
 *
 * Packet sockets: options and memberships.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/device.h"
#include "net/packet/packet_sock.h"

enum {
    PACKET_ADD_MEMBERSHIP = 1,
    PACKET_DROP_MEMBERSHIP = 2,
    PACKET_RX_RING = 5,
    PACKET_STATISTICS = 6,
    PACKET_AUXDATA = 8,
    PACKET_VERSION = 10,
    PACKET_HDRLEN = 11,
    PACKET_RESERVE = 12,
    PACKET_VNET_HDR = 15,
    PACKET_TIMESTAMP = 17,
    PACKET_IGNORE_OUTGOING = 23,
};
enum { PACKET_MR_MULTICAST, PACKET_MR_PROMISC, PACKET_MR_ALLMULTI, PACKET_MR_UNICAST };

struct packet_mreq {
    s32 index;
    u16 kind, len;
    u8 addr[8];
};

/* ---- memberships ---- */

static int packet_member_join(struct netdev *dev, const struct packet_member *m)
{
    if (m->kind == PACKET_MR_MULTICAST)
        return netdev_group_join(dev, m->addr);
    return netdev_hold_flag(dev, m->kind == PACKET_MR_ALLMULTI ? NETDEV_ALLMULTI : NETDEV_PROMISC);
}

static void packet_member_drop(struct packet_sock *ps, const struct packet_member *m)
{
    struct netdev *dev = net_device_by_index(ps->sock.ns, m->device);

    if (!dev) /* it has gone, and so has all that it was asked for */
        return;
    if (m->kind == PACKET_MR_MULTICAST)
        netdev_group_leave(dev, m->addr);
    else
        netdev_release_flag(dev, m->kind == PACKET_MR_ALLMULTI ? NETDEV_ALLMULTI : NETDEV_PROMISC);
    netdev_put(dev);
}

static struct packet_member *packet_member_find(struct packet_sock *ps,
                                                const struct packet_member *m)
{
    for (u32 i = 0; i < ps->nr_members; i++) {
        struct packet_member *have = &ps->members[i];

        if (have->device == m->device && have->kind == m->kind &&
            !memcmp(have->addr, m->addr, NETDEV_ADDR))
            return have;
    }
    return NULL;
}

static int packet_join(struct packet_sock *ps, const struct packet_member *m)
{
    struct packet_member *have = packet_member_find(ps, m);
    struct netdev *dev;
    int err;

    if (have) {
        have->users++;
        return have->users ? 0 : -EINVAL;
    }
    if (ps->nr_members == PACKET_MEMBERSHIPS)
        return -ENOBUFS;
    dev = net_device_by_index(ps->sock.ns, m->device);
    if (!dev)
        return -ENODEV;
    err = packet_member_join(dev, m);
    netdev_put(dev);
    if (err)
        return err;
    ps->members[ps->nr_members] = *m;
    ps->members[ps->nr_members++].users = 1;
    return 0;
}

static int packet_leave(struct packet_sock *ps, const struct packet_member *m)
{
    struct packet_member *have = packet_member_find(ps, m);

    if (!have || --have->users) /* as on Linux: what is not there is not missed */
        return 0;
    packet_member_drop(ps, have);
    *have = ps->members[--ps->nr_members];
    return 0;
}

void packet_leave_all(struct packet_sock *ps)
{
    while (ps->nr_members)
        packet_member_drop(ps, &ps->members[--ps->nr_members]);
}

static int packet_membership(struct packet_sock *ps, bool join, const void *val, u32 n)
{
    struct packet_member m = {0};
    struct packet_mreq q;
    int err;

    if (n < sizeof(q))
        return -EINVAL;
    memcpy(&q, val, sizeof(q));
    if (q.index <= 0)
        return -ENODEV;
    if (q.kind > PACKET_MR_UNICAST || q.len > sizeof(q.addr))
        return -EINVAL;
    m.device = (u32)q.index;
    m.kind = q.kind;
    if (q.kind == PACKET_MR_MULTICAST || q.kind == PACKET_MR_UNICAST) {
        if (q.len != NETDEV_ADDR)
            return -EINVAL;
        memcpy(m.addr, q.addr, NETDEV_ADDR);
    }
    mutex_lock(&ps->config);
    err = join ? packet_join(ps, &m) : packet_leave(ps, &m);
    mutex_unlock(&ps->config);
    return err;
}

/* ---- options ---- */

static int packet_set_int(struct packet_sock *ps, int name, u32 v)
{
    int err = 0;

    mutex_lock(&ps->config);
    switch (name) {
    case PACKET_AUXDATA:
        WRITE_ONCE(ps->auxdata, v != 0);
        break;
    case PACKET_IGNORE_OUTGOING:
        WRITE_ONCE(ps->ignore_outgoing, v != 0);
        break;
    case PACKET_TIMESTAMP: /* software's alone */
        err = v & ~0x10U ? -EINVAL : 0;
        break;
    case PACKET_VERSION:
        if (!packet_ring_header(v))
            err = -EINVAL;
        else if (ps->ring)
            err = -EBUSY;
        else
            ps->version = v;
        break;
    case PACKET_RESERVE:
        if (v > PAGE_SIZE)
            err = -EINVAL;
        else if (ps->ring)
            err = -EBUSY;
        else
            ps->reserve = v;
        break;
    case PACKET_VNET_HDR:
        err = v ? -EOPNOTSUPP : 0;
        break;
    default:
        err = -ENOPROTOOPT;
    }
    mutex_unlock(&ps->config);
    return err;
}

int packet_set_option(struct socket *s, int level, int name, const void *val, u32 n)
{
    struct packet_sock *ps = packet_of(s);
    u32 v;

    if (level != SOL_PACKET)
        return -ENOPROTOOPT;
    if (name == PACKET_ADD_MEMBERSHIP || name == PACKET_DROP_MEMBERSHIP)
        return packet_membership(ps, name == PACKET_ADD_MEMBERSHIP, val, n);
    if (name == PACKET_RX_RING)
        return packet_ring_set(ps, val, n);
    if (n != sizeof(v))
        return -EINVAL;
    memcpy(&v, val, sizeof(v));
    return packet_set_int(ps, name, v);
}

/* They begin anew when they are read. */
static int packet_statistics(struct packet_sock *ps, void *val, u32 *n)
{
    u32 stats[3] = {0}, version = READ_ONCE(ps->version);

    spin_lock(&ps->sock.lock);
    stats[0] = ps->nr_packets;
    stats[1] = ps->nr_drops;
    ps->nr_packets = ps->nr_drops = 0;
    spin_unlock(&ps->sock.lock);
    return socket_option_put(val, n, stats,
                             version == PACKET_RING_BLOCKS ? sizeof(stats) : 2 * sizeof(stats[0]));
}

int packet_get_option(struct socket *s, int level, int name, void *val, u32 *n)
{
    struct packet_sock *ps = packet_of(s);
    u32 v;

    if (level != SOL_PACKET)
        return -ENOPROTOOPT;
    switch (name) {
    case PACKET_STATISTICS:
        return packet_statistics(ps, val, n);
    case PACKET_AUXDATA:
        v = ps->auxdata;
        break;
    case PACKET_IGNORE_OUTGOING:
        v = ps->ignore_outgoing;
        break;
    case PACKET_VERSION:
        v = ps->version;
        break;
    case PACKET_RESERVE:
        v = ps->reserve;
        break;
    case PACKET_VNET_HDR:
    case PACKET_TIMESTAMP:
        v = 0;
        break;
    case PACKET_HDRLEN:
        if (*n < sizeof(v))
            return -EINVAL;
        memcpy(&v, val, sizeof(v));
        if (!packet_ring_header(v))
            return -EINVAL;
        v = packet_ring_head(v);
        break;
    default:
        return -ENOPROTOOPT;
    }
    return socket_option_put(val, n, &v, sizeof(v));
}
