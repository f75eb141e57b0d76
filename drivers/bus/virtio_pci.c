/* SPDX-License-Identifier: MIT
 *
 * Virtio over PCI (virtio 1.2, 4.1): the modern interface, found by vendor capabilities; a
 * transitional device is used by the same, one that has only the legacy interface is refused.
 * Interrupts: MSI-X, one for each queue and one for the configuration where there are as many; else
 * the pin with the ISR register.
 */
#include "dev/pci.h"
#include "dev/virtio.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "uapi/virtio_pci.h"

struct virtio_pci {
    struct virtio_device vdev;
    struct pci_device *pci;                       /* the parent */
    struct io_region common, notify, isr, config; /* config: base NULL where it has none */
    u32 multiplier;                               /* of notify offsets, bytes */
};

static struct virtio_pci *virtio_pci_of(struct virtio_device *vdev)
{
    return container_of(vdev, struct virtio_pci, vdev);
}

/* ---- the transport's operations ---- */

static u8 virtio_pci_status(struct virtio_device *vdev)
{
    return io_read8(&virtio_pci_of(vdev)->common, COMMON_STATUS);
}

static void virtio_pci_set_status(struct virtio_device *vdev, u8 status)
{
    io_write8(&virtio_pci_of(vdev)->common, COMMON_STATUS, status);
}

static u64 virtio_pci_features(struct virtio_device *vdev)
{
    const struct io_region *common = &virtio_pci_of(vdev)->common;
    u64 low;

    io_write32(common, COMMON_FEATURES_SEL, 0);
    low = io_read32(common, COMMON_FEATURES);
    io_write32(common, COMMON_FEATURES_SEL, 1);
    return low | (u64)io_read32(common, COMMON_FEATURES) << 32;
}

static void virtio_pci_set_features(struct virtio_device *vdev, u64 features)
{
    const struct io_region *common = &virtio_pci_of(vdev)->common;

    io_write32(common, COMMON_DRIVER_SEL, 0);
    io_write32(common, COMMON_DRIVER, (u32)features);
    io_write32(common, COMMON_DRIVER_SEL, 1);
    io_write32(common, COMMON_DRIVER, (u32)(features >> 32));
}

static u32 virtio_pci_config_read(struct virtio_device *vdev, u32 offset, u32 n)
{
    const struct io_region *config = &virtio_pci_of(vdev)->config;

    if (n == 4)
        return io_read32(config, offset);
    return n == 2 ? io_read16(config, offset) : io_read8(config, offset);
}

static u32 virtio_pci_generation(struct virtio_device *vdev)
{
    return io_read8(&virtio_pci_of(vdev)->common, COMMON_GENERATION);
}

static u32 virtio_pci_queue_max(struct virtio_device *vdev, u32 index)
{
    const struct io_region *common = &virtio_pci_of(vdev)->common;

    if (index >= io_read16(common, COMMON_QUEUES))
        return 0;
    io_write16(common, COMMON_QUEUE_SEL, (u16)index);
    return io_read16(common, COMMON_QUEUE_SIZE);
}

static void virtio_pci_put64(const struct io_region *r, unsigned reg, u64 value)
{
    io_write32(r, reg, (u32)value);
    io_write32(r, reg + 4, (u32)(value >> 32));
}

/* A vector that the device has no space for reads back as none (4.1.5.1.2.1). */
static int virtio_pci_queue_vector(struct virtio_pci *v, struct virtio_queue *vq)
{
    u16 vector = vq->irq && !v->vdev.line ? vq->vector : NO_VECTOR;

    io_write16(&v->common, COMMON_QUEUE_VECTOR, vector);
    return io_read16(&v->common, COMMON_QUEUE_VECTOR) == vector ? 0 : -EBUSY;
}

static int virtio_pci_queue_enable(struct virtio_queue *vq, dma_addr_t desc, dma_addr_t avail,
                                   dma_addr_t used)
{
    struct virtio_pci *v = virtio_pci_of(vq->dev);
    u64 at;

    io_write16(&v->common, COMMON_QUEUE_SEL, (u16)vq->index);
    at = (u64)io_read16(&v->common, COMMON_QUEUE_NOTIFY_OFF) * v->multiplier;
    if (v->notify.size < 2 || at > v->notify.size - 2 || at % 2)
        return -EINVAL;
    vq->doorbell = v->notify.base + at;
    io_write16(&v->common, COMMON_QUEUE_SIZE, (u16)vq->ring.num);
    virtio_pci_put64(&v->common, COMMON_DESC, desc.v);
    virtio_pci_put64(&v->common, COMMON_AVAIL, avail.v);
    virtio_pci_put64(&v->common, COMMON_USED, used.v);
    if (virtio_pci_queue_vector(v, vq))
        return -EBUSY;
    io_write16(&v->common, COMMON_QUEUE_ENABLE, 1);
    return 0;
}

static void virtio_pci_notify(struct virtio_queue *vq)
{
    barrier();
    *(volatile u16 *)vq->doorbell = (u16)vq->index;
}

static int virtio_pci_irq_setup(struct virtio_device *vdev, unsigned wanted)
{
    struct virtio_pci *v = virtio_pci_of(vdev);
    int got = pci_irq_setup(v->pci, 1, v->pci->msix ? wanted : 1);

    vdev->line = got > 0 && (!v->pci->msix || pci_irq_is_line(v->pci));
    return got;
}

static int virtio_pci_irq_request(struct virtio_device *vdev, unsigned index,
                                  struct irq_handler *handler, unsigned cpu)
{
    return pci_irq_request(virtio_pci_of(vdev)->pci, index, handler, cpu);
}

static int virtio_pci_config_irq(struct virtio_device *vdev, unsigned index)
{
    struct virtio_pci *v = virtio_pci_of(vdev);
    u16 vector = vdev->line ? NO_VECTOR : (u16)index;

    if (!v->pci->msix)
        return 0;
    io_write16(&v->common, COMMON_CONFIG_VECTOR, vector);
    return io_read16(&v->common, COMMON_CONFIG_VECTOR) == vector ? 0 : -EBUSY;
}

static void virtio_pci_irq_release(struct virtio_device *vdev, unsigned index,
                                   struct irq_handler *handler)
{
    pci_irq_release(virtio_pci_of(vdev)->pci, index);
}

static void virtio_pci_irq_teardown(struct virtio_device *vdev)
{
    pci_irq_teardown(virtio_pci_of(vdev)->pci);
}

/* Reading quiets it (4.1.4.5). */
static u32 virtio_pci_interrupt(struct virtio_device *vdev)
{
    return io_read8(&virtio_pci_of(vdev)->isr, 0);
}

static void virtio_pci_cut(struct virtio_device *vdev)
{
    pci_set_master(virtio_pci_of(vdev)->pci, false);
}

static const struct virtio_transport_ops virtio_pci_ops = {
    .status = virtio_pci_status,
    .set_status = virtio_pci_set_status,
    .features = virtio_pci_features,
    .set_features = virtio_pci_set_features,
    .config_read = virtio_pci_config_read,
    .config_generation = virtio_pci_generation,
    .queue_max = virtio_pci_queue_max,
    .queue_enable = virtio_pci_queue_enable,
    .notify = virtio_pci_notify,
    .irq_setup = virtio_pci_irq_setup,
    .irq_request = virtio_pci_irq_request,
    .config_irq = virtio_pci_config_irq,
    .irq_release = virtio_pci_irq_release,
    .irq_teardown = virtio_pci_irq_teardown,
    .interrupt = virtio_pci_interrupt,
    .cut = virtio_pci_cut,
};

/* ---- the PCI driver ---- */

static void virtio_pci_unmap(struct virtio_pci *v)
{
    struct io_region *all[] = {&v->common, &v->notify, &v->isr, &v->config};

    for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i]->base)
            io_unmap(all[i]);
}

/* The registers stay mapped as long as the struct: files in /sys may look at the device's status
 * until then. */
static void virtio_pci_release(struct device *dev)
{
    struct virtio_pci *v = virtio_pci_of(virtio_device_of(dev));

    virtio_pci_unmap(v);
    kfree(v);
}

/* Maps what the first capability of that type locates that can be mapped; the others are to be
 * passed over (4.1.4.1). -ENOENT: there is none. */
static int virtio_pci_map(struct virtio_pci *v, u8 type, u32 min, struct io_region *out)
{
    unsigned cap;

    for (unsigned n = 0; (cap = pci_find_cap(v->pci, PCI_CAP_VENDOR, n)); n++) {
        u8 bar = pci_read8(v->pci, cap + CAP_BAR);
        u32 offset = pci_read32(v->pci, cap + CAP_OFFSET);
        u32 length = pci_read32(v->pci, cap + CAP_LENGTH);

        if (pci_read8(v->pci, cap + CAP_TYPE) != type || bar >= PCI_BARS || length < min)
            continue;
        if (pci_map_bar_range(v->pci, bar, offset, length, IO_UNCACHED, out))
            continue;
        if (type == TYPE_NOTIFY)
            v->multiplier = pci_read32(v->pci, cap + CAP_MULTIPLIER);
        return 0;
    }
    return -ENOENT;
}

static int virtio_pci_map_all(struct virtio_pci *v)
{
    int err = virtio_pci_map(v, TYPE_COMMON, COMMON_SIZE, &v->common);

    if (err) {
        log_warn("virtio: %s has the legacy interface only: refused", v->pci->dev.name);
        return -ENODEV;
    }
    err = virtio_pci_map(v, TYPE_NOTIFY, 2, &v->notify);
    if (!err)
        err = virtio_pci_map(v, TYPE_ISR, 1, &v->isr);
    if (err)
        return -EINVAL;
    if (virtio_pci_map(v, TYPE_DEVICE, 1, &v->config) == 0)
        v->vdev.config_size = (u32)v->config.size;
    return 0;
}

/* A transitional device tells its id in the subsystem's (4.1.2.1). */
static u32 virtio_pci_id(const struct pci_device *pci)
{
    if (pci->device >= VIRTIO_DEVICE_MODERN)
        return pci->device - VIRTIO_DEVICE_MODERN;
    return pci->sub_device;
}

static bool virtio_pci_is(const struct pci_device *pci)
{
    return pci->vendor == VIRTIO_VENDOR && pci->device >= VIRTIO_DEVICE_FIRST &&
           pci->device <= VIRTIO_DEVICE_LAST;
}

/* How many of its kind were found before it: the scan registers them in order. */
static u32 virtio_pci_rank(const struct pci_device *pci)
{
    struct device *d;
    u64 serial = 0;
    u32 rank = 0;

    while ((d = device_next(serial))) {
        serial = d->serial;
        rank += d->bus == &pci_bus && serial < pci->dev.serial && virtio_pci_is(pci_device_of(d)) &&
                virtio_pci_id(pci_device_of(d)) == virtio_pci_id(pci);
        device_put(d);
        if (serial >= pci->dev.serial)
            break;
    }
    return rank;
}

static int virtio_pci_start(struct virtio_pci *v)
{
    int err = pci_enable(v->pci);

    if (!err)
        err = virtio_pci_map_all(v);
    if (!err)
        err = dma_set_mask(&v->pci->dev, DMA_MASK(64));
    if (err)
        return err;
    v->vdev.id = virtio_pci_id(v->pci);
    v->vdev.vendor = v->pci->sub_vendor;
    v->vdev.rank = virtio_pci_rank(v->pci);
    pci_set_master(v->pci, true);
    return virtio_device_register(&v->vdev);
}

static int virtio_pci_probe(struct device *dev, const struct device_id *id)
{
    struct pci_device *pci = pci_device_of(dev);
    struct virtio_pci *v;
    int err;

    if (!virtio_pci_is(pci))
        return -ENODEV;
    v = kzalloc(sizeof(*v));
    if (!v)
        return -ENOMEM;
    virtio_device_init(&v->vdev, &virtio_pci_ops, dev, virtio_pci_release);
    v->pci = pci;
    err = virtio_pci_start(v);
    if (err)
        device_put(&v->vdev.dev);
    return err;
}

static void virtio_pci_remove(struct device *dev)
{
    device_unregister_children(dev);
}

static const struct device_id virtio_pci_ids[] = {PCI_ID(VIRTIO_VENDOR, ID_ANY)};
DRIVER(virtio_pci)
= {.name = "virtio_pci",
   .bus = &pci_bus,
   DRIVER_IDS(virtio_pci_ids),
   .probe = virtio_pci_probe,
   .remove = virtio_pci_remove};
