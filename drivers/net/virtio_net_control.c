/* SPDX-License-Identifier: MIT
 *
 * The control queue of the virtio network device (5.1.6.5): one command at a time, whose caller
 * waits for the answer. A device that does not answer within a second is given up.
 */
#include "drivers/net/virtio_net.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

#define BYTES 1024 /* of the command's memory: head, data, and the answer at its end */
#define HEAD 2     /* class and command */
#define ANSWER (BYTES - 1)
#define DATA_MAX (ANSWER - HEAD)
#define OK 0
#define NO_ANSWER 0xff
#define WAIT_NS NSEC_PER_SEC

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_MQ = 4 };
enum { RX_PROMISC = 0, RX_ALLMULTI = 1 };
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1 };
enum { MQ_PAIRS_SET = 0 };

static_assert(2 * sizeof(u32) + NETDEV_MULTICAST * NETDEV_ADDR <= DATA_MAX, "the table fits");

static bool vnet_control_back(struct vnet_control *c) REQUIRES(c->lock)
{
    u32 written;

    ASSERT_HELD(&c->lock);
    if (c->pending && virtq_take(&c->vq->ring, &written))
        c->pending = false;
    return !c->pending || c->vq->ring.broken;
}

static int vnet_control_wait(struct vnet *v) REQUIRES(v->control.lock)
{
    struct vnet_control *c = &v->control;
    u64 deadline = time_ns() + WAIT_NS;
    int err = 0;

    ASSERT_HELD(&c->lock);
    while (!err && !READ_ONCE(v->broken) && !vnet_control_back(c))
        if (virtq_arm(&c->vq->ring, 1))
            err =
                wait_event_deadline(&c->waitq, virtq_has_used(&c->vq->ring) || READ_ONCE(v->broken),
                                    SLEEP_UNINTERRUPTIBLE, deadline);
    if (err)
        (void)vnet_control_back(c);
    if (c->pending) {
        virtio_break(v->vdev, "its control queue does not answer");
        return -EIO;
    }
    return c->bytes[ANSWER] == OK ? 0 : -EIO;
}

static int vnet_control_send(struct vnet *v, u8 class, u8 command, const void *data, u32 n)
{
    struct vnet_control *c = &v->control;
    struct virtq_piece pieces[2] = {{c->addr.v, HEAD + n}, {c->addr.v + ANSWER, 1}};
    int err = -EIO;

    if (!c->vq)
        return -EOPNOTSUPP;
    ASSERT(n <= DATA_MAX);
    mutex_lock(&v->control.lock);
    if (!c->pending && !READ_ONCE(v->broken)) {
        c->bytes[0] = class;
        c->bytes[1] = command;
        memcpy(c->bytes + HEAD, data, n);
        c->bytes[ANSWER] = NO_ANSWER;
        err = virtq_add(&c->vq->ring, pieces, 1, 1, c);
        if (!err) {
            c->pending = true;
            virtio_kick(c->vq);
            err = vnet_control_wait(v);
        }
    }
    mutex_unlock(&v->control.lock);
    return err;
}

void vnet_control_work(struct virtio_queue *vq)
{
    waitq_wake_all(&((struct vnet *)vq->driver)->control.waitq);
}

int vnet_control_pairs(struct vnet *v)
{
    u16 pairs = (u16)v->nr;

    return vnet_control_send(v, CLASS_MQ, MQ_PAIRS_SET, &pairs, sizeof(pairs));
}

int vnet_control_address(struct vnet *v, const u8 *addr)
{
    if (!virtio_has(v->vdev, F_CTRL_MAC_ADDR))
        return -EOPNOTSUPP;
    return vnet_control_send(v, CLASS_MAC, MAC_ADDR_SET, addr, NETDEV_ADDR);
}

/* The table: a count and the addresses, of hosts (none) and of groups. */
static int vnet_control_table(struct vnet *v)
{
    struct {
        u32 hosts, groups;
        u8 addrs[NETDEV_MULTICAST][NETDEV_ADDR];
    } __packed table = {.groups = v->dev.nr_groups};

    memcpy(table.addrs, v->dev.groups, v->dev.nr_groups * NETDEV_ADDR);
    return vnet_control_send(v, CLASS_MAC, MAC_TABLE_SET, &table,
                             (u32)offsetof(typeof(table), addrs) + v->dev.nr_groups * NETDEV_ADDR);
}

void vnet_control_filter(struct vnet *v)
{
    u8 all = netdev_wants_all(&v->dev), groups = netdev_wants_groups(&v->dev);
    int err;

    if (!virtio_has(v->vdev, F_CTRL_RX))
        return; /* all is let through */
    err = vnet_control_send(v, CLASS_RX, RX_PROMISC, &all, sizeof(all));
    if (!err)
        err = vnet_control_send(v, CLASS_RX, RX_ALLMULTI, &groups, sizeof(groups));
    if (!err)
        err = vnet_control_table(v);
    if (err)
        log_warn("%s: it refuses the filter", v->dev.name);
}

int vnet_control_make(struct vnet *v)
{
    struct vnet_control *c = &v->control;

    c->bytes = dma_alloc_coherent(virtio_dma(v->vdev), BYTES, &c->addr);
    return c->bytes ? 0 : -ENOMEM;
}

void vnet_control_give_up(struct vnet *v)
{
    struct vnet_control *c = &v->control;

    waitq_wake_all(&c->waitq);
    if (!c->vq)
        return;
    mutex_lock(&c->lock);
    while (virtq_detach(&c->vq->ring))
        ;
    c->pending = false;
    mutex_unlock(&c->lock);
}

void vnet_control_free(struct vnet *v, bool stuck)
{
    if (v->control.bytes && !stuck)
        dma_free_coherent(virtio_dma(v->vdev), v->control.bytes, BYTES, v->control.addr);
    v->control.bytes = NULL;
}
