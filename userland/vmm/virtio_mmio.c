/* SPDX-License-Identifier: MIT
 *
 * Virtio over memory-mapped registers (virtio 1.2, 4.2.2, version 2): a page and a line each. The
 * line is high while the interrupt status is not 0, which works whether the guest's I/O APIC pin is
 * edge (as the DSDT says) or level.
 */
#include "vmm/virtio.h"
#include "vmm/vmm.h"

#define REGS_SIZE 0x1000u
#define VENDOR 0x59485442u /* "BTHY" */

static struct virtio *virtio_mmio_of(struct device *d)
{
    return container_of(d, struct virtio, dev);
}

/* ---- the transport's operations ---- */

static void virtio_mmio_raise(struct virtio *v, uint8_t why)
{
    if (!v->isr)
        irq_set(v->dev.vm, v->gsi, true);
    v->isr |= why;
}

static void virtio_mmio_lower(struct virtio *v, uint8_t why)
{
    if (v->isr && !(v->isr &= ~why))
        irq_set(v->dev.vm, v->gsi, false);
}

static void virtio_mmio_signal(struct virtio *v, const struct virtio_queue *q)
{
    virtio_mmio_raise(v, ISR_USED);
}

static void virtio_mmio_signal_config(struct virtio *v)
{
    virtio_mmio_raise(v, ISR_CONFIG);
}

static void virtio_mmio_reset(struct virtio *v)
{
    virtio_mmio_lower(v, ISR_USED | ISR_CONFIG);
}

static void virtio_mmio_doorbell(struct virtio *v, bool on)
{
    irq_doorbell(v->dev.vm, v->dev.resources[0].start + REG_NOTIFY, 4, v->dev.bell, on);
}

static const struct virtio_transport virtio_mmio_transport = {
    .signal = virtio_mmio_signal,
    .signal_config = virtio_mmio_signal_config,
    .doorbell = virtio_mmio_doorbell,
    .reset = virtio_mmio_reset,
};

/* ---- registers ---- */

static uint32_t virtio_mmio_get_locked(struct virtio *v, uint64_t offset)
{
    struct virtio_queue *q = virtio_selected(v);

    switch (offset) {
    case REG_MAGIC:
        return VIRTIO_MMIO_MAGIC;
    case REG_VERSION:
        return 2;
    case REG_DEVICE:
        return v->model->id;
    case REG_VENDOR:
        return VENDOR;
    case REG_FEATURES:
        return virtio_offered(v);
    case REG_QUEUE_MAX:
        return q ? v->model->queue_num : 0;
    case REG_QUEUE_READY:
        return q && virtq_is_on(&q->ring);
    case REG_INT_STATUS:
        return v->isr;
    case REG_STATUS:
        return v->status;
    default: /* REG_GENERATION too: no configuration changes */
        return 0;
    }
}

static void virtio_mmio_put_queue_locked(struct virtio *v, uint64_t offset, uint32_t value)
{
    struct virtio_queue *q = virtio_selected(v);

    if (!q)
        return;
    if (offset == REG_QUEUE_READY) {
        virtio_queue_enable(v, q, value & 1);
        return;
    }
    if (virtq_is_on(&q->ring))
        return;
    switch (offset) {
    case REG_QUEUE_NUM:
        q->setup.num = value;
        break;
    case REG_DESC:
    case REG_DESC + 4:
        virtio_set_half(&q->setup.desc, offset & 4, value);
        break;
    case REG_AVAIL:
    case REG_AVAIL + 4:
        virtio_set_half(&q->setup.avail, offset & 4, value);
        break;
    case REG_USED:
    case REG_USED + 4:
        virtio_set_half(&q->setup.used, offset & 4, value);
        break;
    default:
        break;
    }
}

static void virtio_mmio_put_locked(struct virtio *v, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case REG_FEATURES_SEL:
        v->features_sel = value;
        break;
    case REG_DRIVER:
        virtio_accept(v, value);
        break;
    case REG_DRIVER_SEL:
        v->driver_sel = value;
        break;
    case REG_QUEUE_SEL:
        v->queue_sel = value;
        break;
    case REG_NOTIFY:
        virtio_ring(v, value);
        break;
    case REG_INT_ACK:
        virtio_mmio_lower(v, value);
        break;
    case REG_STATUS:
        virtio_set_status(v, value);
        break;
    default:
        virtio_mmio_put_queue_locked(v, offset, value);
        break;
    }
}

static uint64_t virtio_mmio_read(struct device *d, unsigned resource, uint64_t offset, unsigned len)
{
    struct virtio *v = virtio_mmio_of(d);
    uint64_t value = 0;

    pthread_mutex_lock(&d->lock);
    if (offset >= REG_CONFIG)
        value = virtio_config(v, offset - REG_CONFIG, len);
    else if (len == 4 && !(offset & 3))
        value = virtio_mmio_get_locked(v, offset);
    pthread_mutex_unlock(&d->lock);
    return value;
}

static void virtio_mmio_write(struct device *d, unsigned resource, uint64_t offset, uint64_t value,
                              unsigned len)
{
    if (len != 4 || offset & 3 || offset >= REG_CONFIG)
        return;
    pthread_mutex_lock(&d->lock);
    virtio_mmio_put_locked(virtio_mmio_of(d), offset, value);
    pthread_mutex_unlock(&d->lock);
}

static const struct device_ops virtio_mmio_ops = {
    .read = virtio_mmio_read,
    .write = virtio_mmio_write,
};
static const struct device_ops virtio_mmio_ops_waiting = {
    .read = virtio_mmio_read,
    .write = virtio_mmio_write,
    .work = virtio_work,
};

void virtio_mmio_create(struct virtio *v, struct vm *vm)
{
    v->transport = &virtio_mmio_transport;
    device_init(&v->dev, vm, v->model->name,
                v->model->waits ? &virtio_mmio_ops_waiting : &virtio_mmio_ops);
    if (vm->nvirtio_mmio == VIRTIO_MMIO_MAX)
        fatal(EXIT_USAGE, "more than %u virtio devices without --pci", VIRTIO_MMIO_MAX);
    v->gsi = irq_alloc_pin(vm);
    vm->virtio_mmio[vm->nvirtio_mmio++] =
        (struct virtio_place){device_claim_memory(&v->dev, REGS_SIZE), REGS_SIZE, v->gsi};
}
