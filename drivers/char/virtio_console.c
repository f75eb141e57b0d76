/* SPDX-License-Identifier: MIT
 *
 * The virtio console (virtio 1.2, 5.3): any number of them, each with up to VPORTS_MAX ports that
 * the host adds and removes by control messages (F_MULTIPORT); without that feature a console is
 * its port 0. Queues 0 and 1 are port 0's, 2 and 3 control, then a pair for each further port; all
 * exist from the start, since queues cannot be added to a device that runs.
 *
 * Configuration space: columns 0 and rows 2 (16 bits each), most ports 4 (32 bits).
 *
 * Probed early where it is found early: a guest's first program talks to its host through it.
 */
#include "drivers/char/vport.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/poll.h"

#define F_MULTIPORT (1ULL << 1)
#define CONFIG_MAX_PORTS 4
#define CONTROL_BUFFERS 16 /* each way */
#define QUEUE_SIZE 8

enum { QUEUE_CONTROL_IN = 2, QUEUE_CONTROL_OUT = 3 };

/* A message, and for EV_PORT_NAME the name behind it. */
struct vport_control {
    u32 port;
    u16 event, value;
    char name[VPORT_NAME_MAX];
    char pad[56];
};
#define MESSAGE_SIZE 8

static struct mutex vconsole_list_lock;
static LIST_HEAD(vconsoles); /* vconsole_list_lock */

static void vconsole_init(void)
{
    mutex_init(&vconsole_list_lock, RANK_DRIVER, 2, "virtio consoles");
}
INIT_HOOK(vconsole_init, INIT_CORE);

/* ---- the list ---- */

static void vconsole_free(struct vconsole *c)
{
    for (unsigned i = 0; i < VPORTS_MAX; i++)
        if (c->ports[i])
            vport_free(c->ports[i]);
    kfree(c->queues);
    kfree(c);
}

void vconsole_put(struct vconsole *c)
{
    if (refcount_put(&c->ref))
        vconsole_free(c);
}

struct vport *vport_find(u32 minor)
{
    struct vconsole *c;
    struct vport *found = NULL;

    mutex_lock(&vconsole_list_lock);
    list_for_each (c, &vconsoles, node)
        if (c->index == minor / VPORTS_MAX) {
            found = READ_ONCE(c->ports[minor % VPORTS_MAX]);
            if (found)
                refcount_get(&c->ref);
            break;
        }
    mutex_unlock(&vconsole_list_lock);
    return found;
}

/* Its place's number, or the lowest that no console has. */
static int vconsole_list(struct vconsole *c)
{
    struct vconsole *other;
    u32 used = 0, rank = MIN(c->vdev->rank, VCONSOLES_MAX - 1U);

    mutex_lock(&vconsole_list_lock);
    list_for_each (other, &vconsoles, node)
        used |= 1U << other->index;
    c->index = used >> rank & 1 ? (u32)__builtin_ctz(~used) : rank;
    if (c->index < VCONSOLES_MAX)
        list_add_tail(&vconsoles, &c->node);
    mutex_unlock(&vconsole_list_lock);
    return c->index < VCONSOLES_MAX ? 0 : -ENOSPC;
}

static void vconsole_unlist(struct vconsole *c)
{
    mutex_lock(&vconsole_list_lock);
    list_del(&c->node);
    mutex_unlock(&vconsole_list_lock);
}

/* ---- control messages ---- */

/* Buffers for receiving are the first CONTROL_BUFFERS, those for sending follow. */
static struct virtq_piece vport_control_piece(const struct vconsole *c,
                                              const struct vport_control *m, u32 n)
{
    u64 off = (u64)((const char *)m - (const char *)c->control);

    return (struct virtq_piece){c->control_addr.v + off, n};
}

void vport_send_locked(struct vconsole *c, u32 port, u16 event, u16 value)
{
    struct vport_control *m;
    struct virtq_piece piece;
    u32 unused;

    ASSERT_HELD(&c->lock);
    if (!c->multiport || c->gone)
        return;
    m = virtq_take(&c->control_out->ring, &unused);
    if (!m) {
        if (c->control_used == CONTROL_BUFFERS)
            return;
        m = &c->control[CONTROL_BUFFERS + c->control_used++];
    }
    m->port = port;
    m->event = event;
    m->value = value;
    piece = vport_control_piece(c, m, MESSAGE_SIZE);
    if (virtq_add(&c->control_out->ring, &piece, 1, 0, m) == 0)
        virtio_kick(c->control_out);
}

static struct vport *vport_make(struct vconsole *c, u32 id)
{
    struct vport *port = kzalloc(sizeof(*port));
    u32 queue = id ? 2 * id + 2 : 0;

    if (!port)
        return NULL;
    port->console = c;
    port->id = id;
    port->in = c->queues[queue];
    port->out = c->queues[queue + 1];
    /* Over copies to and from buffers that a port owns: only its own users wait. */
    mutex_init(&port->read_lock, RANK_OPS, ORDER_CHAR_DEVICE | LOCK_OVER_COPY, "vport read");
    mutex_init(&port->write_lock, RANK_OPS, ORDER_CHAR_DEVICE | LOCK_OVER_COPY, "vport write");
    waitq_init(&port->waitq);
    return port;
}

static struct dev_node *vport_name(const struct vport *port)
{
    struct dev_node n = {.mode = NODE_CHAR | 0600,
                         .major = MAJOR_VPORT,
                         .minor = port->console->index * VPORTS_MAX + port->id};
    struct dev_node *name;

    scnprintf(n.name, sizeof(n.name), "vport%up%u", port->console->index, port->id);
    name = dev_node_add(&n);
    if (!name)
        log_warn("%s: no memory for its name in /dev", n.name);
    return name;
}

static void vport_appear(struct vconsole *c, u32 id)
{
    struct vport *port = c->ports[id];
    bool fresh;

    if (!port)
        port = vport_make(c, id);
    spin_lock(&c->lock);
    if (port)
        c->ports[id] = port;
    fresh = port && !port->added && !c->gone;
    if (fresh) {
        port->added = true;
        port->host = HOST_UNKNOWN;
    }
    if (!port || fresh)
        vport_send_locked(c, id, EV_PORT_READY, port != NULL);
    spin_unlock(&c->lock);
    if (fresh)
        port->node = vport_name(port);
}

static void vport_disappear(struct vport *port)
{
    struct vconsole *c = port->console;
    bool was;

    spin_lock(&c->lock);
    was = port->added;
    port->added = false;
    spin_unlock(&c->lock);
    if (was)
        dev_node_remove(port->node);
    waitq_wake_all(&port->waitq);
}

static void vport_host_opened(struct vport *port, bool open)
{
    spin_lock(&port->console->lock);
    port->host = open ? HOST_OPEN : HOST_CLOSED;
    spin_unlock(&port->console->lock);
    waitq_wake_all(&port->waitq);
}

/* One message, copied; without locks. */
static void vport_event(struct vconsole *c, const struct vport_control *m, u32 len)
{
    struct vport *port;

    if (len < MESSAGE_SIZE || m->port >= c->nr_ports)
        return;
    if (m->event == EV_PORT_ADD) {
        vport_appear(c, m->port);
        return;
    }
    port = c->ports[m->port];
    if (!port)
        return;
    if (m->event == EV_PORT_REMOVE)
        vport_disappear(port);
    if (m->event == EV_PORT_OPEN)
        vport_host_opened(port, m->value);
    if (m->event == EV_PORT_NAME) {
        spin_lock(&c->lock);
        memcpy(port->name, m->name, MIN(len - MESSAGE_SIZE, VPORT_NAME_MAX - 1U));
        spin_unlock(&c->lock);
    }
}

static void vport_offer_control_locked(struct vconsole *c, struct vport_control *m)
    REQUIRES(c->lock)
{
    struct virtq_piece piece = vport_control_piece(c, m, offsetof(struct vport_control, pad));

    ASSERT_HELD(&c->lock);
    if (virtq_add(&c->control_in->ring, &piece, 0, 1, m))
        log_warn("virtio console: a control buffer is lost");
}

/* The control queue's work. As many messages as there are buffers, then others have their turn. */
static void vport_control_work(struct virtio_queue *vq)
{
    struct vconsole *c = vq->driver;

    for (unsigned n = 0; n < CONTROL_BUFFERS; n++) {
        struct vport_control copy = {0}, *m;
        u32 len = 0;

        spin_lock(&c->lock);
        m = c->gone ? NULL : virtq_take(&vq->ring, &len);
        if (m) {
            copy = *m;
            vport_offer_control_locked(c, m);
        } else if (!c->gone) {
            virtio_kick(vq); /* once for all that were offered again */
            if (!virtq_arm(&vq->ring, 1))
                m = &copy; /* one has come meanwhile */
        }
        spin_unlock(&c->lock);
        if (!m) {
            if (vq->ring.broken)
                virtio_break(c->vdev, vq->ring.why);
            return;
        }
        vport_event(c, &copy, len);
    }
    spin_lock(&c->lock);
    if (!c->gone)
        virtio_kick(vq);
    spin_unlock(&c->lock);
    virtio_again(vq);
}

/* ---- data queues ---- */

static void vport_data_work(struct virtio_queue *vq)
{
    struct vconsole *c = vq->driver;
    u32 id = vq->index < 2 ? 0 : vq->index / 2 - 1;
    struct vport *port = READ_ONCE(c->ports[id]);

    if (port)
        waitq_wake(&port->waitq, POLLIN | POLLOUT, ~0U);
}

/* ---- the device ---- */

static int vconsole_queues(struct vconsole *c)
{
    unsigned n = c->multiport ? 2 * c->nr_ports + 2 : 2;
    struct virtio_queue_config *configs = kcalloc(n, sizeof(*configs));
    int err = -ENOMEM;

    c->queues = kcalloc(n, sizeof(struct virtio_queue *));
    if (c->queues && configs) {
        for (unsigned i = 0; i < n; i++) {
            bool control = i / 2 == 1;

            configs[i] = (struct virtio_queue_config){
                .name = "virtio console",
                .index = i,
                .size = control ? CONTROL_BUFFERS : QUEUE_SIZE,
                .work =
                    control ? (i == QUEUE_CONTROL_IN ? vport_control_work : NULL) : vport_data_work,
                .driver = c,
            };
        }
        err = virtio_queues_create(c->vdev, configs, n, c->queues);
    }
    kfree(configs);
    return err;
}

static int vconsole_control(struct vconsole *c)
{
    if (!c->multiport)
        return 0;
    c->control_in = c->queues[QUEUE_CONTROL_IN];
    c->control_out = c->queues[QUEUE_CONTROL_OUT];
    c->control = dma_alloc_coherent(virtio_dma(c->vdev), 2 * CONTROL_BUFFERS * sizeof(*c->control),
                                    &c->control_addr);
    if (!c->control)
        return -ENOMEM;
    spin_lock(&c->lock);
    for (unsigned i = 0; i < c->control_in->ring.num && i < CONTROL_BUFFERS; i++)
        vport_offer_control_locked(c, &c->control[i]);
    spin_unlock(&c->lock);
    return 0;
}

/* Says that we are there: the host tells what ports there are. */
static void vconsole_begin(struct vconsole *c)
{
    if (!c->multiport) {
        vport_appear(c, 0);
        return;
    }
    spin_lock(&c->lock);
    virtio_kick(c->control_in);
    vport_send_locked(c, 0, EV_DEVICE_READY, 1);
    spin_unlock(&c->lock);
}

/* The device was reset: wakes all, and takes back what it had. Once. */
static void vconsole_give_up(struct vconsole *c)
{
    spin_lock(&c->lock);
    if (!c->gone) {
        c->gone = true;
        for (unsigned i = 0; i < VPORTS_MAX; i++)
            if (c->ports[i])
                vport_give_up(c->ports[i]);
    }
    spin_unlock(&c->lock);
    for (unsigned i = 0; i < VPORTS_MAX; i++)
        if (c->ports[i])
            vport_disappear(c->ports[i]);
}

static void vconsole_broken(struct virtio_device *vdev)
{
    vconsole_give_up(vdev->dev.driver_data);
}

static const struct virtio_events vconsole_events = {.broken = vconsole_broken};

static void vconsole_remove(struct device *dev)
{
    struct vconsole *c = dev->driver_data;

    virtio_stop(c->vdev);
    c->stuck = c->vdev->stuck;
    vconsole_unlist(c);
    vconsole_give_up(c);
    if (c->control && !c->vdev->stuck)
        dma_free_coherent(virtio_dma(c->vdev), c->control,
                          2 * CONTROL_BUFFERS * sizeof(*c->control), c->control_addr);
    virtio_queues_destroy(c->vdev);
    vconsole_put(c);
}

static int vconsole_probe(struct device *dev, const struct device_id *id)
{
    struct virtio_device *vdev = virtio_device_of(dev);
    struct vconsole *c = kzalloc(sizeof(*c));
    int err;

    if (!c)
        return -ENOMEM;
    spinlock_init(&c->lock, RANK_DEV, 2, "virtio console");
    refcount_init(&c->ref, 1);
    c->vdev = vdev;
    err = virtio_negotiate(vdev, &vconsole_events, F_MULTIPORT, 0);
    if (!err)
        err = vconsole_list(c);
    if (err) {
        kfree(c);
        return err;
    }
    c->multiport = virtio_has(vdev, F_MULTIPORT);
    c->nr_ports = c->multiport ? MIN(virtio_config32(vdev, CONFIG_MAX_PORTS), VPORTS_MAX) : 1;
    dev->driver_data = c;
    err = c->nr_ports ? vconsole_queues(c) : -EINVAL;
    if (!err)
        err = vconsole_control(c);
    if (err) {
        vconsole_remove(dev);
        return err;
    }
    virtio_start(vdev);
    vconsole_begin(c);
    return 0;
}

static const struct device_id vconsole_ids[] = {VIRTIO_ID(VIRTIO_CONSOLE)};
DRIVER(virtio_console)
= {.name = "virtio_console",
   .bus = &virtio_bus,
   .flags = DRIVER_EARLY,
   DRIVER_IDS(vconsole_ids),
   .probe = vconsole_probe,
   .remove = vconsole_remove};
