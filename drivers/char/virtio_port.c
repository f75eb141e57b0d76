/* SPDX-License-Identifier: MIT
 *
 * The files of a virtio console's ports: a stream of bytes each way. A reader sees end of file once
 * the host has closed the port, or it is gone, and all data is read; a writer to a port that is
 * gone gets -ENODEV.
 *
 * A port's buffers come at its first open and stay until the device goes. An interrupt is asked for
 * only by those who wait or poll.
 */
#include "dev/chrdev.h"
#include "drivers/char/vport.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "obj/file.h"

static bool vport_gone_locked(const struct vport *port) REQUIRES(port->console->lock)
{
    ASSERT_HELD(&port->console->lock);
    return port->console->gone || !port->added;
}

/* ---- buffers; the console's lock is held ---- */

static int vport_add_locked(struct vport *port, struct vport_buffer *buf, u32 n, bool in)
    REQUIRES(port->console->lock)
{
    struct virtio_queue *vq = in ? port->in : port->out;
    struct device *dma = virtio_dma(port->console->vdev);
    enum dma_dir dir = in ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
    struct virtq_piece piece;
    int err;

    ASSERT_HELD(&port->console->lock);
    buf->addr = dma_map(dma, buf->data, PAGE_SIZE, dir);
    if (!dma_ok(buf->addr))
        return -ENOMEM;
    piece = (struct virtq_piece){buf->addr.v, n};
    err = virtq_add(&vq->ring, &piece, !in, in, buf);
    if (err) {
        dma_unmap(dma, buf->addr, PAGE_SIZE, dir);
        return err;
    }
    buf->busy = true;
    return 0;
}

static struct vport_buffer *vport_take_locked(struct vport *port, bool in)
    REQUIRES(port->console->lock)
{
    struct virtio_queue *vq = in ? port->in : port->out;
    struct vport_buffer *buf;
    u32 written;

    ASSERT_HELD(&port->console->lock);
    buf = virtq_take(&vq->ring, &written);
    if (!buf) {
        if (vq->ring.broken)
            virtio_break(port->console->vdev, vq->ring.why);
        return NULL;
    }
    dma_unmap(virtio_dma(port->console->vdev), buf->addr, PAGE_SIZE,
              in ? DMA_FROM_DEVICE : DMA_TO_DEVICE);
    buf->busy = false;
    buf->len = written;
    buf->done = 0;
    return buf;
}

/* Whether something came back; if not, it will interrupt. */
static bool vport_ready_locked(struct vport *port, bool in) REQUIRES(port->console->lock)
{
    struct virtio_queue *vq = in ? port->in : port->out;

    ASSERT_HELD(&port->console->lock);
    return vq->ring.broken || virtq_has_used(&vq->ring) || !virtq_arm(&vq->ring, 1);
}

/* ---- reading ---- */

/* The buffer to read from: the one begun, else the next received; NULL: none. Sets *end at the end.
 */
static struct vport_buffer *vport_received(struct vport *port, bool *end) REQUIRES(port->read_lock)
{
    struct vconsole *c = port->console;
    struct vport_buffer *buf = port->current;

    ASSERT_HELD(&port->read_lock);
    *end = false;
    if (buf)
        return buf;
    spin_lock(&port->console->lock);
    if (!c->gone)
        buf = vport_take_locked(port, true);
    if (!buf)
        *end = vport_gone_locked(port) || port->host == HOST_CLOSED || port->in->ring.broken;
    spin_unlock(&port->console->lock);
    return port->current = buf;
}

static bool vport_readable(struct vport *port)
{
    bool yes;

    spin_lock(&port->console->lock);
    yes = READ_ONCE(port->current) || vport_gone_locked(port) || port->host == HOST_CLOSED ||
          vport_ready_locked(port, true);
    spin_unlock(&port->console->lock);
    return yes;
}

/* Gives a buffer to the device to fill; kick: and tells it. */
static void vport_offer(struct vport *port, struct vport_buffer *buf, bool kick)
{
    struct vconsole *c = port->console;

    spin_lock(&port->console->lock);
    if (!c->gone && vport_add_locked(port, buf, PAGE_SIZE, true))
        log_warn("vport%up%u: a receive buffer is lost", c->index, port->id);
    if (!c->gone && kick)
        virtio_kick(port->in);
    spin_unlock(&port->console->lock);
}

static ssize_t vport_copy_out(struct vport *port, struct vport_buffer *buf, struct iov_iter *to)
    REQUIRES(port->read_lock)
{
    u64 want = MIN((u64)(buf->len - buf->done), to->count);
    u64 n = iov_copy_to(to, (char *)buf->data + buf->done, want);

    ASSERT_HELD(&port->read_lock);
    buf->done += (u32)n;
    if (buf->done == buf->len) {
        port->current = NULL;
        vport_offer(port, buf, true);
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

/* A free buffer, or NULL; *err: no more is to be had. write_lock held. */
static struct vport_buffer *vport_free_buffer(struct vport *port, int *err)
    REQUIRES(port->write_lock)
{
    struct vconsole *c = port->console;
    struct vport_buffer *found = NULL;

    ASSERT_HELD(&port->write_lock);
    spin_lock(&port->console->lock);
    *err = vport_gone_locked(port) ? -ENODEV : 0;
    while (!c->gone && vport_take_locked(port, false))
        ;
    if (!c->gone)
        virtq_disarm(&port->out->ring);
    for (unsigned i = 0; i < VPORT_BUFFERS && !found && !*err; i++)
        if (!port->tx[i].busy)
            found = &port->tx[i];
    if (!found && !*err && port->out->ring.broken)
        *err = -EIO;
    spin_unlock(&port->console->lock);
    return found;
}

static bool vport_writable(struct vport *port)
{
    bool yes;

    spin_lock(&port->console->lock);
    yes = vport_gone_locked(port);
    for (unsigned i = 0; i < VPORT_BUFFERS && !yes; i++)
        yes = !port->tx[i].busy;
    yes = yes || vport_ready_locked(port, false);
    spin_unlock(&port->console->lock);
    return yes;
}

static ssize_t vport_send(struct vport *port, struct vport_buffer *buf, struct iov_iter *from)
    REQUIRES(port->write_lock)
{
    u64 n;
    int err;

    ASSERT_HELD(&port->write_lock);
    if (!buf->data) {
        buf->data = page_alloc_virt(0, 0);
        if (!buf->data)
            return -ENOMEM;
    }
    n = iov_copy_from(from, buf->data, MIN(from->count, PAGE_SIZE));
    if (n == 0)
        return -EFAULT;
    spin_lock(&port->console->lock);
    err = vport_gone_locked(port) ? -ENODEV : vport_add_locked(port, buf, (u32)n, false);
    if (!err)
        virtio_kick(port->out);
    spin_unlock(&port->console->lock);
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
        buf = vport_free_buffer(port, &err);
        if (buf)
            n = vport_send(port, buf, from);
        mutex_unlock(&port->write_lock);
        if (err || n < 0)
            return total ? total : err ? err : n;
        total += n;
        if (buf)
            continue;
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
    if (READ_ONCE(port->host) == HOST_CLOSED || READ_ONCE(port->console->gone) ||
        !READ_ONCE(port->added))
        bits |= POLLHUP;
    return bits;
}

/* ---- open and close ---- */

static void vport_release(struct file *f)
{
    struct vport *port = f->priv;
    struct vconsole *c;

    if (!port)
        return;
    c = port->console;
    spin_lock(&port->console->lock);
    port->open = false;
    if (!vport_gone_locked(port))
        vport_send_locked(port->console, port->id, EV_PORT_OPEN, 0);
    spin_unlock(&port->console->lock);
    vconsole_put(c);
}

static const struct file_ops vport_fops = {
    .name = "vport",
    .read = vport_read,
    .write = vport_write,
    .poll = vport_poll,
    .release = vport_release,
};

/* The buffers for reception, once; zeroed, since the device says how much of them it wrote. */
static int vport_fill(struct vport *port)
{
    int err = 0;

    mutex_lock(&port->read_lock);
    for (unsigned i = 0; i < VPORT_BUFFERS && !port->filled && !err; i++) {
        if (!port->rx[i].data)
            port->rx[i].data = page_alloc_virt(0, PA_ZERO);
        if (!port->rx[i].data)
            err = -ENOMEM;
    }
    if (!err && !port->filled) {
        port->filled = true;
        for (unsigned i = 0; i < VPORT_BUFFERS; i++)
            vport_offer(port, &port->rx[i], i + 1 == VPORT_BUFFERS);
    }
    mutex_unlock(&port->read_lock);
    return err;
}

static int vport_open(struct file *f, u32 minor)
{
    struct vport *port = vport_find(minor);
    struct vconsole *c;
    int err;

    f->priv = NULL; /* release of a failed open must not close the port */
    if (!port)
        return -ENXIO;
    c = port->console;
    err = vport_fill(port);
    spin_lock(&port->console->lock);
    if (!err && vport_gone_locked(port))
        err = -ENXIO;
    if (!err && port->open)
        err = -EBUSY;
    if (!err) {
        port->open = true;
        vport_send_locked(port->console, port->id, EV_PORT_OPEN, 1);
    }
    spin_unlock(&port->console->lock);
    if (err)
        vconsole_put(c);
    else
        f->priv = port;
    return err;
}

CHRDEV(vport) = {"vport", MAJOR_VPORT, 0, 0600, &vport_fops, vport_open, VPORTS_MAX *VCONSOLES_MAX,
                 true};

/* ---- the end ---- */

void vport_give_up(struct vport *port)
{
    struct device *dma = virtio_dma(port->console->vdev);
    struct vport_buffer *buf;

    while ((buf = virtq_detach(&port->in->ring))) {
        dma_unmap(dma, buf->addr, PAGE_SIZE, DMA_FROM_DEVICE);
        buf->busy = false;
    }
    while ((buf = virtq_detach(&port->out->ring))) {
        dma_unmap(dma, buf->addr, PAGE_SIZE, DMA_TO_DEVICE);
        buf->busy = false;
    }
}

/* A device that did not confirm its reset keeps what it may still write to. */
void vport_free(struct vport *port)
{
    bool stuck = port->console->stuck;

    for (unsigned i = 0; i < VPORT_BUFFERS && !stuck; i++) {
        if (port->rx[i].data)
            page_free_virt(port->rx[i].data, 0);
        if (port->tx[i].data)
            page_free_virt(port->tx[i].data, 0);
    }
    kfree(port);
}
