/* SPDX-License-Identifier: MIT
 *
 * The MMIO transport and the split virtqueue. See virtio.h.
 *
 * Queue memory, addressed by the guest: descriptors of 16 bytes {addr 8, len 4, flags 2,
 * next 2}; available ring {flags 2, idx 2, ring 2 each}; used ring {flags 2, idx 2,
 * {id 4, len 4} each}.
 */
#include "vmm/virtio.h"

#include <stdatomic.h>
#include <string.h>

#include "uapi/virtio_mmio.h"

#define INT_USED 1u
#define INT_CONFIG 2u

#define DESC_NEXT 1u
#define DESC_WRITE 2u
#define DESC_INDIRECT 4u
#define AVAIL_QUIET 1u

struct virtq_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

static void virtio_interrupt_locked(struct virtio_device *d, uint32_t why)
{
    if (!d->interrupt)
        vm_irq(d->gsi, true);
    d->interrupt |= why;
}

static void virtio_break_locked(struct virtio_device *d)
{
    d->status |= STATUS_NEEDS_RESET;
    virtio_interrupt_locked(d, INT_CONFIG);
}

static bool virtio_running(const struct virtio_device *d)
{
    return (d->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) == STATUS_DRIVER_OK;
}

/* ---- queues ---- */

/* The driver's index; -1 when it is out of all bounds. */
static int virtq_pending(struct virtio_device *d, const struct virtq *q)
{
    const _Atomic uint16_t *idx = mem_at(d->vm, q->avail + 2, 2);
    if (!idx)
        return -1;
    /* Pairs with the driver's barrier between filling the ring and raising the index. */
    uint16_t n = atomic_load_explicit(idx, memory_order_acquire) - q->next_avail;
    return n > q->num ? -1 : n;
}

static bool virtq_walk(struct virtio_device *d, const struct virtq *q, struct virtq_chain *c)
{
    uint16_t at = c->head;
    c->count = c->writable = 0;
    for (;;) {
        struct virtq_desc desc;
        if (at >= q->num || c->count == CHAIN_MAX ||
            !mem_read(d->vm, q->desc + at * sizeof desc, &desc, sizeof desc) ||
            desc.flags & DESC_INDIRECT)
            return false;
        void *host = mem_at(d->vm, desc.addr, desc.len);
        if (!host || (c->writable && !(desc.flags & DESC_WRITE)))
            return false;
        c->iov[c->count++] = (struct iovec){host, desc.len};
        if (desc.flags & DESC_WRITE)
            c->writable++;
        if (!(desc.flags & DESC_NEXT))
            return true;
        at = desc.next;
    }
}

bool virtq_pop(struct virtio_device *d, unsigned queue, struct virtq_chain *chain)
{
    struct virtq *q = &d->queues[queue];
    if (!virtio_running(d) || !q->ready)
        return false;
    int pending = virtq_pending(d, q);
    if (pending == 0)
        return false;
    if (pending < 0 ||
        !mem_read(d->vm, q->avail + 4 + 2ull * (q->next_avail % q->num), &chain->head, 2) ||
        !virtq_walk(d, q, chain)) {
        virtio_break_locked(d);
        return false;
    }
    q->next_avail++;
    return true;
}

void virtq_push(struct virtio_device *d, unsigned queue, const struct virtq_chain *chain,
                uint32_t written)
{
    struct virtq *q = &d->queues[queue];
    uint32_t entry[2] = {chain->head, written};
    uint16_t flags = 0;
    _Atomic uint16_t *idx = mem_at(d->vm, q->used + 2, 2);

    if (!q->ready)
        return; /* a reset came between */
    if (!idx || !mem_write(d->vm, q->used + 4 + 8ull * (q->next_used % q->num), entry, 8)) {
        virtio_break_locked(d);
        return;
    }
    /* Pairs with the driver's barrier after it reads the index. */
    atomic_store_explicit(idx, ++q->next_used, memory_order_release);
    /* Full barrier: the index must be seen before we look whether an interrupt is wanted. */
    atomic_thread_fence(memory_order_seq_cst);
    mem_read(d->vm, q->avail, &flags, 2);
    if (!(flags & AVAIL_QUIET))
        virtio_interrupt_locked(d, INT_USED);
}

/* ---- registers ---- */

static void virtio_reset_locked(struct virtio_device *d)
{
    memset(d->queues, 0, sizeof d->queues);
    d->features_sel = d->driver_sel = d->queue_sel = 0;
    d->driver_features = 0;
    d->status = 0;
    if (d->interrupt)
        vm_irq(d->gsi, false);
    d->interrupt = 0;
    d->ops->reset(d);
}

static struct virtq *virtio_selected(struct virtio_device *d)
{
    return d->queue_sel < d->ops->queues ? &d->queues[d->queue_sel] : NULL;
}

static void virtio_set_half(uint64_t *value, bool high, uint32_t half)
{
    *value = high ? (*value & 0xffffffff) | (uint64_t)half << 32 : (*value & ~0xffffffffull) | half;
}

/* Queue addresses are taken while the queue is off, and checked when it is turned on. */
static void virtio_queue_enable(struct virtio_device *d, struct virtq *q, bool on)
{
    if (!on) {
        q->ready = false;
        return;
    }
    bool sound = q->num && q->num <= VIRTQ_MAX && !(q->num & (q->num - 1)) && !(q->desc & 15) &&
                 !(q->avail & 1) && !(q->used & 3) && mem_at(d->vm, q->desc, 16ull * q->num) &&
                 mem_at(d->vm, q->avail, 6 + 2ull * q->num) &&
                 mem_at(d->vm, q->used, 6 + 8ull * q->num);
    if (!sound) {
        virtio_break_locked(d);
        return;
    }
    q->next_avail = q->next_used = 0;
    q->ready = true;
}

static void virtio_set_status(struct virtio_device *d, uint32_t status)
{
    if (status == 0) {
        virtio_reset_locked(d);
        return;
    }
    uint64_t offered = d->ops->features | VIRTIO_F_VERSION_1;
    if (status & STATUS_FEATURES_OK && !(d->status & STATUS_FEATURES_OK) &&
        (d->driver_features & ~offered || !(d->driver_features & VIRTIO_F_VERSION_1)))
        status &= ~STATUS_FEATURES_OK;
    d->status = status | (d->status & STATUS_NEEDS_RESET);
}

static uint32_t virtio_get_locked(struct virtio_device *d, uint64_t offset)
{
    uint64_t offered = d->ops->features | VIRTIO_F_VERSION_1;
    struct virtq *q = virtio_selected(d);
    switch (offset) {
    case REG_MAGIC:
        return VIRTIO_MMIO_MAGIC;
    case REG_VERSION:
        return 2;
    case REG_DEVICE:
        return d->ops->device_id;
    case REG_VENDOR:
        return 0x59485442;
    case REG_FEATURES:
        return d->features_sel < 2 ? offered >> (32 * d->features_sel) : 0;
    case REG_QUEUE_MAX:
        return q ? VIRTQ_MAX : 0;
    case REG_QUEUE_READY:
        return q && q->ready;
    case REG_INT_STATUS:
        return d->interrupt;
    case REG_STATUS:
        return d->status;
    case REG_GENERATION:
        return 0;
    default:
        return 0;
    }
}

static void virtio_put_queue_locked(struct virtio_device *d, uint64_t offset, uint32_t value)
{
    struct virtq *q = virtio_selected(d);
    if (!q)
        return;
    if (offset == REG_QUEUE_READY) {
        virtio_queue_enable(d, q, value & 1);
        return;
    }
    if (q->ready)
        return;
    switch (offset) {
    case REG_QUEUE_NUM:
        q->num = value;
        break;
    case REG_DESC:
    case REG_DESC + 4:
        virtio_set_half(&q->desc, offset & 4, value);
        break;
    case REG_AVAIL:
    case REG_AVAIL + 4:
        virtio_set_half(&q->avail, offset & 4, value);
        break;
    case REG_USED:
    case REG_USED + 4:
        virtio_set_half(&q->used, offset & 4, value);
        break;
    default:
        break;
    }
}

static void virtio_put_locked(struct virtio_device *d, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case REG_FEATURES_SEL:
        d->features_sel = value;
        break;
    case REG_DRIVER:
        if (d->driver_sel < 2 && !(d->status & STATUS_FEATURES_OK))
            virtio_set_half(&d->driver_features, d->driver_sel, value);
        break;
    case REG_DRIVER_SEL:
        d->driver_sel = value;
        break;
    case REG_QUEUE_SEL:
        d->queue_sel = value;
        break;
    case REG_NOTIFY:
        if (value < d->ops->queues && virtio_running(d))
            d->ops->notify(d, value);
        break;
    case REG_INT_ACK:
        if (d->interrupt && !(d->interrupt &= ~value))
            vm_irq(d->gsi, false);
        break;
    case REG_STATUS:
        virtio_set_status(d, value & 0xff);
        break;
    default:
        virtio_put_queue_locked(d, offset, value);
        break;
    }
}

static uint64_t virtio_read(void *dev, uint64_t offset, unsigned len)
{
    struct virtio_device *d = dev;
    uint64_t value = 0;
    pthread_mutex_lock(&d->lock);
    if (offset >= REG_CONFIG) {
        for (unsigned i = 0; i < len; i++)
            value |= (uint64_t)d->ops->config(d, offset - REG_CONFIG + i) << (8 * i);
    } else if (len == 4 && !(offset & 3)) {
        value = virtio_get_locked(d, offset);
    }
    pthread_mutex_unlock(&d->lock);
    return value;
}

static void virtio_write(void *dev, uint64_t offset, uint64_t value, unsigned len)
{
    struct virtio_device *d = dev;
    if (len != 4 || offset & 3 || offset >= REG_CONFIG)
        return;
    pthread_mutex_lock(&d->lock);
    virtio_put_locked(d, offset, value);
    pthread_mutex_unlock(&d->lock);
}

static const struct bus_ops virtio_bus_ops = {.read = virtio_read, .write = virtio_write};

void virtio_register(struct vm *vm, struct virtio_device *d, const struct virtio_ops *ops)
{
    unsigned index = vm->virtio_count++;
    if (index >= VIRTIO_MAX)
        fatal(EXIT_USAGE, "more than %u virtio devices", VIRTIO_MAX);
    pthread_mutex_init(&d->lock, NULL);
    d->vm = vm;
    d->ops = ops;
    d->gsi = VIRTIO_GSI + index;
    bus_add(BUS_MEMORY, VIRTIO_BASE + index * VIRTIO_SIZE, VIRTIO_SIZE, &virtio_bus_ops, d);
}
