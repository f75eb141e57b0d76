/* SPDX-License-Identifier: MIT
 *
 * The virtio console's ports (virtio 1.1, 5.3, with MULTIPORT): /dev/vport0pN is a stream of bytes
 * to and from the VMM. A reader sees end of file once the host has closed the port and all data is
 * read.
 *
 * A port's buffers come at its first open and stay. Reading and writing take the port's mutex of
 * that direction, so that user memory is copied without the device's lock; that spinlock guards the
 * queues and states, and is taken by the interrupt. Lock order: mutex, then spinlock, then wait
 * queues.
 */
#include "dev/chrdev.h"
#include "dev/virtio.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "obj/file.h"
#include "sched/mutex.h"
#include "sync/spinlock.h"

#define F_MULTIPORT (1ULL << 1)
#define PORTS_MAX 8
#define MAJOR_VPORT 246

enum { QUEUE_CONTROL_IN = 2, QUEUE_CONTROL_OUT = 3 };
enum {
    EV_DEVICE_READY,
    EV_PORT_ADD,
    EV_PORT_REMOVE,
    EV_PORT_READY,
    EV_CONSOLE_PORT,
    EV_RESIZE,
    EV_PORT_OPEN
};

#define BUFFERS 4 /* each way, of a page */
#define CONTROL_BUFFERS 16
#define CONTROL_SIZE 64

struct vport_event {
    u32 port;
    u16 event, value;
};

struct vport_buffer {
    char *data;
    u32 len, done; /* received: written by the host, read by us */
    bool busy;     /* sent: the device has it */
};

enum vport_host { HOST_UNKNOWN, HOST_OPEN, HOST_CLOSED };

/* d device's lock · r read_lock · w write_lock */
struct vport {
    u32 id;
    bool added;           /* d */
    bool made;            /* d  its queues and locks exist */
    bool open;            /* d */
    enum vport_host host; /* d */
    struct vring in, out; /* d */
    struct vport_buffer rx[BUFFERS], tx[BUFFERS];
    struct vport_buffer *current; /* r  partly read */
    bool filled;                  /* r  rx buffers were allocated */
    struct mutex read_lock, write_lock;
    struct waitq waitq;
};

static struct vconsole {
    struct spinlock lock;
    struct virtio_device *dev;
    unsigned nr_ports;
    struct vring in, out;
    char *control; /* a page of buffers, both ways */
    struct vport ports[PORTS_MAX];
} vconsole;

/* ---- control messages; device's lock held ---- */

static char *vport_control_buffer(unsigned i)
{
    return vconsole.control + (size_t)i * CONTROL_SIZE;
}

/* A host that does not take them gets no more. */
static void vport_send_locked(u32 port, u16 event, u16 value)
{
    struct vport_event *e;
    u32 unused;
    void *done = vring_take(&vconsole.out, &unused);
    static unsigned used;

    if (!done) {
        if (used == CONTROL_BUFFERS)
            return;
        done = vport_control_buffer(CONTROL_BUFFERS + used++);
    }
    e = done;
    *e = (struct vport_event){port, event, value};
    if (vring_add(&vconsole.out, e, sizeof(*e), false, e) == 0)
        vconsole.dev->ops->notify(vconsole.dev, QUEUE_CONTROL_OUT);
}

static void vport_event_locked(const struct vport_event *e)
{
    struct vport *port;

    if (e->port >= vconsole.nr_ports)
        return;
    port = &vconsole.ports[e->port];
    if (e->event == EV_PORT_ADD && port->made && !port->added) {
        port->added = true;
        vport_send_locked(e->port, EV_PORT_READY, 1);
    }
    if (e->event == EV_PORT_OPEN)
        port->host = e->value ? HOST_OPEN : HOST_CLOSED;
    if (e->event == EV_PORT_REMOVE)
        port->host = HOST_CLOSED;
}

static void vport_control_in_locked(void)
{
    u32 len;
    char *buf;
    bool any = false;

    while ((buf = vring_take(&vconsole.in, &len))) {
        struct vport_event e;

        if (len >= sizeof(e)) {
            e = *(struct vport_event *)buf;
            vport_event_locked(&e);
        }
        any = vring_add(&vconsole.in, buf, CONTROL_SIZE, true, buf) == 0;
    }
    if (any)
        vconsole.dev->ops->notify(vconsole.dev, QUEUE_CONTROL_IN);
}

static void vport_interrupt(struct virtio_device *dev)
{
    u64 flags;

    spin_lock_irqsave(&vconsole.lock, &flags);
    vport_control_in_locked();
    spin_unlock_irqrestore(&vconsole.lock, flags);
    for (unsigned i = 0; i < vconsole.nr_ports; i++)
        if (vconsole.ports[i].made)
            waitq_wake(&vconsole.ports[i].waitq, POLLIN | POLLOUT, ~0U);
}

/* ---- reading ---- */

/* The buffer to read from: the one begun, else the next received; NULL: none. Sets *end at the end.
 */
static struct vport_buffer *vport_received(struct vport *port, bool *end)
{
    struct vport_buffer *buf = port->current;
    u64 flags;
    u32 len;

    *end = false;
    if (buf)
        return buf;
    spin_lock_irqsave(&vconsole.lock, &flags);
    buf = vring_take(&port->in, &len);
    if (buf) {
        buf->len = len;
        buf->done = 0;
    } else {
        *end = port->host == HOST_CLOSED || port->in.broken;
    }
    spin_unlock_irqrestore(&vconsole.lock, flags);
    return port->current = buf;
}

static bool vport_readable(struct vport *port)
{
    u16 used;

    if (READ_ONCE(port->current) || READ_ONCE(port->host) == HOST_CLOSED || port->in.broken)
        return true;
    used = __atomic_load_n((u16 *)&port->in.used[1], __ATOMIC_ACQUIRE);
    return used != READ_ONCE(port->in.last_used);
}

/* Gives a buffer to the device to fill. */
static void vport_offer(struct vport *port, struct vport_buffer *buf)
{
    u64 flags;

    spin_lock_irqsave(&vconsole.lock, &flags);
    if (vring_add(&port->in, buf->data, PAGE_SIZE, true, buf) == 0)
        vconsole.dev->ops->notify(vconsole.dev, port->in.index);
    spin_unlock_irqrestore(&vconsole.lock, flags);
}

static ssize_t vport_copy_out(struct vport *port, struct vport_buffer *buf, struct iov_iter *to)
{
    u64 want = MIN((u64)(buf->len - buf->done), to->count);
    u64 n = iov_copy_to(to, buf->data + buf->done, want);

    buf->done += (u32)n;
    if (buf->done == buf->len) {
        port->current = NULL;
        vport_offer(port, buf);
    }
    return n == 0 && want > 0 ? -EFAULT : (ssize_t)n;
}

static ssize_t vport_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct vport *port = f->priv;

    if (to->count == 0)
        return 0;
    for (;;) {
        struct vport_buffer *buf;
        ssize_t n = 0;
        bool end;
        int err;

        mutex_lock(&port->read_lock);
        buf = vport_received(port, &end);
        if (buf)
            n = vport_copy_out(port, buf, to);
        mutex_unlock(&port->read_lock);
        if (n || end)
            return n;
        if (buf)
            continue; /* an empty one */
        if (READ_ONCE(f->flags) & O_NONBLOCK)
            return -EAGAIN;
        err = wait_event_interruptible(&port->waitq, vport_readable(port));
        if (err)
            return err;
    }
}

/* ---- writing ---- */

/* A free buffer, or NULL. write_lock held. */
static struct vport_buffer *vport_free_buffer(struct vport *port)
{
    struct vport_buffer *buf, *found = NULL;
    u64 flags;
    u32 unused;

    spin_lock_irqsave(&vconsole.lock, &flags);
    while ((buf = vring_take(&port->out, &unused)))
        buf->busy = false;
    spin_unlock_irqrestore(&vconsole.lock, flags);
    for (unsigned i = 0; i < BUFFERS && !found; i++)
        if (!port->tx[i].busy)
            found = &port->tx[i];
    return found;
}

static bool vport_writable(struct vport *port)
{
    u16 used;

    if (port->out.broken)
        return true;
    used = __atomic_load_n((u16 *)&port->out.used[1], __ATOMIC_ACQUIRE);
    if (used != READ_ONCE(port->out.last_used))
        return true;
    for (unsigned i = 0; i < BUFFERS; i++)
        if (!READ_ONCE(port->tx[i].busy))
            return true;
    return false;
}

static ssize_t vport_send(struct vport *port, struct vport_buffer *buf, struct iov_iter *from)
{
    u64 flags, want, n;
    int err;

    if (!buf->data) {
        buf->data = page_alloc_virt(0, 0);
        if (!buf->data)
            return -ENOMEM;
    }
    want = MIN(from->count, PAGE_SIZE);
    n = iov_copy_from(from, buf->data, want);
    if (n == 0)
        return -EFAULT;
    spin_lock_irqsave(&vconsole.lock, &flags);
    err = vring_add(&port->out, buf->data, (u32)n, false, buf);
    if (!err) {
        buf->busy = true;
        vconsole.dev->ops->notify(vconsole.dev, port->out.index);
    }
    spin_unlock_irqrestore(&vconsole.lock, flags);
    return err ? err : (ssize_t)n;
}

static ssize_t vport_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct vport *port = f->priv;
    ssize_t total = 0;

    while (from->count) {
        struct vport_buffer *buf;
        ssize_t n = 0;
        int err;

        mutex_lock(&port->write_lock);
        buf = vport_free_buffer(port);
        if (buf)
            n = vport_send(port, buf, from);
        mutex_unlock(&port->write_lock);
        if (n < 0)
            return total ? total : n;
        total += n;
        if (buf)
            continue;
        if (port->out.broken)
            return total ? total : -EIO;
        if (READ_ONCE(f->flags) & O_NONBLOCK)
            return total ? total : -EAGAIN;
        err = wait_event_interruptible(&port->waitq, vport_writable(port));
        if (err)
            return total ? total : err;
    }
    return total;
}

static u32 vport_poll(struct file *f, struct poll_table *pt)
{
    struct vport *port = f->priv;
    u32 bits = 0;

    poll_wait(pt, &port->waitq);
    if (vport_readable(port))
        bits |= POLLIN | POLLRDNORM;
    if (vport_writable(port))
        bits |= POLLOUT | POLLWRNORM;
    if (READ_ONCE(port->host) == HOST_CLOSED)
        bits |= POLLHUP;
    return bits;
}

/* ---- open and close ---- */

static void vport_release(struct file *f)
{
    struct vport *port = f->priv;
    u64 flags;

    if (!port)
        return;
    spin_lock_irqsave(&vconsole.lock, &flags);
    port->open = false;
    vport_send_locked(port->id, EV_PORT_OPEN, 0);
    spin_unlock_irqrestore(&vconsole.lock, flags);
}

static const struct file_ops vport_fops = {
    .name = "vport",
    .read = vport_read,
    .write = vport_write,
    .poll = vport_poll,
    .release = vport_release,
};

/* The buffers for reception, once. */
static int vport_fill(struct vport *port)
{
    int err = 0;

    mutex_lock(&port->read_lock);
    for (unsigned i = 0; i < BUFFERS && !port->filled && !err; i++) {
        if (!port->rx[i].data)
            port->rx[i].data = page_alloc_virt(0, 0);
        if (!port->rx[i].data)
            err = -ENOMEM;
    }
    if (!err && !port->filled) {
        port->filled = true;
        for (unsigned i = 0; i < BUFFERS; i++)
            vport_offer(port, &port->rx[i]);
    }
    mutex_unlock(&port->read_lock);
    return err;
}

static int vport_open(struct file *f, u32 minor)
{
    struct vport *port = minor < vconsole.nr_ports ? &vconsole.ports[minor] : NULL;
    u64 flags;
    int err;

    f->priv = NULL; /* release of a failed open must not close the port */
    if (!port || !port->made)
        return -ENXIO;
    err = vport_fill(port);
    if (err)
        return err;
    spin_lock_irqsave(&vconsole.lock, &flags);
    err = port->open ? -EBUSY : 0;
    if (!err) {
        port->open = true;
        vport_send_locked(port->id, EV_PORT_OPEN, 1);
    }
    spin_unlock_irqrestore(&vconsole.lock, flags);
    if (!err)
        f->priv = port;
    return err;
}

#define VPORT(n) \
    CHRDEV(vport##n) = {"vport0p" #n, MAJOR_VPORT, n, 0600, &vport_fops, vport_open, 0, false}
VPORT(0);
VPORT(1);
VPORT(2);
VPORT(3);
VPORT(4);

/* ---- the device ---- */

static int vport_make(struct vport *port, u32 id)
{
    unsigned queue = id ? 2 * id + 2 : 0;
    int err = vring_create(vconsole.dev, &port->in, queue, 8);

    if (!err)
        err = vring_create(vconsole.dev, &port->out, queue + 1, 8);
    if (err)
        return err;
    port->id = id;
    mutex_init(&port->read_lock, RANK_DRIVER, 1, "vport read");
    mutex_init(&port->write_lock, RANK_DRIVER, 1, "vport write");
    waitq_init(&port->waitq);
    port->made = true;
    return 0;
}

static int vconsole_start(struct virtio_device *dev)
{
    u64 want = VIRTIO_F_VERSION_1 | F_MULTIPORT, flags;
    u32 most;
    int err;

    if ((dev->ops->features(dev) & want) != want || !dev->ops->accept(dev, want))
        return -ENODEV;
    most = dev->ops->config32(dev, 4);
    vconsole.nr_ports = MIN(most, PORTS_MAX);
    vconsole.dev = dev;
    vconsole.control = page_alloc_virt(0, PA_ZERO);
    if (!vconsole.control)
        return -ENOMEM;
    err = vring_create(dev, &vconsole.in, QUEUE_CONTROL_IN, CONTROL_BUFFERS);
    if (!err)
        err = vring_create(dev, &vconsole.out, QUEUE_CONTROL_OUT, CONTROL_BUFFERS);
    for (u32 i = 0; i < vconsole.nr_ports && !err; i++)
        err = vport_make(&vconsole.ports[i], i);
    if (err)
        return err;
    dev->interrupt = vport_interrupt;
    dev->ops->ready(dev);
    spin_lock_irqsave(&vconsole.lock, &flags);
    for (unsigned i = 0; i < CONTROL_BUFFERS && !err; i++)
        err = vring_add(&vconsole.in, vport_control_buffer(i), CONTROL_SIZE, true,
                        vport_control_buffer(i));
    dev->ops->notify(dev, QUEUE_CONTROL_IN);
    vport_send_locked(0, EV_DEVICE_READY, 1);
    spin_unlock_irqrestore(&vconsole.lock, flags);
    return err;
}

static void vconsole_probe(void)
{
    struct virtio_device *dev = virtio_find(VIRTIO_CONSOLE, 0);
    int err;

    spinlock_init(&vconsole.lock, RANK_DEV, 2, "vconsole");
    if (!dev)
        return;
    err = vconsole_start(dev);
    if (err) {
        dev->ops->reset(dev);
        vconsole.nr_ports = 0;
        log_warn("virtio console: error %d", err);
    }
}
INIT_HOOK(vconsole_probe, INIT_DRIVER);
