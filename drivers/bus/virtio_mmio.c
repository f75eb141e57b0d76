/* SPDX-License-Identifier: MIT
 *
 * Virtio over memory-mapped registers (virtio 1.2, 4.2, version 2). Devices are named on the
 * command line, as Linux has it: virtio_mmio.device=SIZE@ADDRESS:GSI, repeated for more. Each
 * becomes a platform device, whose driver registers the virtio device behind it. One interrupt, a
 * line, serves all queues and the configuration.
 *
 * Probed early, as the console of a guest is wanted by its first program.
 */
#include "arch/x86/bootinfo.h"
#include "dev/io.h"
#include "dev/virtio.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "uapi/virtio_mmio.h"

#define REGS_SIZE 0x200

struct virtio_mmio {
    struct virtio_device vdev;
    struct io_region regs;
    u32 gsi;
    u32 selected; /* the queue that the registers are about: each access may cost an exit */
};
#define NO_QUEUE (~0U)

static struct virtio_mmio *virtio_mmio_of(struct virtio_device *vdev)
{
    return container_of(vdev, struct virtio_mmio, vdev);
}

static u32 virtio_mmio_get(struct virtio_device *vdev, unsigned reg)
{
    return io_read32(&virtio_mmio_of(vdev)->regs, reg);
}

static void virtio_mmio_put(struct virtio_device *vdev, unsigned reg, u32 value)
{
    io_write32(&virtio_mmio_of(vdev)->regs, reg, value);
}

static void virtio_mmio_put64(struct virtio_device *vdev, unsigned reg, u64 value)
{
    virtio_mmio_put(vdev, reg, (u32)value);
    virtio_mmio_put(vdev, reg + 4, (u32)(value >> 32));
}

/* ---- the transport's operations ---- */

static u8 virtio_mmio_status(struct virtio_device *vdev)
{
    return (u8)virtio_mmio_get(vdev, REG_STATUS);
}

static void virtio_mmio_set_status(struct virtio_device *vdev, u8 status)
{
    virtio_mmio_put(vdev, REG_STATUS, status);
    if (!status)
        virtio_mmio_of(vdev)->selected = NO_QUEUE;
}

static u64 virtio_mmio_features(struct virtio_device *vdev)
{
    u64 low;

    virtio_mmio_put(vdev, REG_FEATURES_SEL, 0);
    low = virtio_mmio_get(vdev, REG_FEATURES);
    virtio_mmio_put(vdev, REG_FEATURES_SEL, 1);
    return low | (u64)virtio_mmio_get(vdev, REG_FEATURES) << 32;
}

static void virtio_mmio_set_features(struct virtio_device *vdev, u64 features)
{
    virtio_mmio_put(vdev, REG_DRIVER_SEL, 0);
    virtio_mmio_put(vdev, REG_DRIVER, (u32)features);
    virtio_mmio_put(vdev, REG_DRIVER_SEL, 1);
    virtio_mmio_put(vdev, REG_DRIVER, (u32)(features >> 32));
}

static u32 virtio_mmio_config_read(struct virtio_device *vdev, u32 offset, u32 n)
{
    const struct io_region *regs = &virtio_mmio_of(vdev)->regs;

    if (n == 4)
        return io_read32(regs, REG_CONFIG + offset);
    return n == 2 ? io_read16(regs, REG_CONFIG + offset) : io_read8(regs, REG_CONFIG + offset);
}

static u32 virtio_mmio_generation(struct virtio_device *vdev)
{
    return virtio_mmio_get(vdev, REG_GENERATION);
}

static void virtio_mmio_select(struct virtio_device *vdev, u32 index)
{
    struct virtio_mmio *v = virtio_mmio_of(vdev);

    if (v->selected == index)
        return;
    v->selected = index;
    virtio_mmio_put(vdev, REG_QUEUE_SEL, index);
}

static u32 virtio_mmio_queue_max(struct virtio_device *vdev, u32 index)
{
    virtio_mmio_select(vdev, index);
    return virtio_mmio_get(vdev, REG_QUEUE_MAX);
}

static int virtio_mmio_queue_enable(struct virtio_queue *vq, dma_addr_t desc, dma_addr_t avail,
                                    dma_addr_t used)
{
    struct virtio_device *vdev = vq->dev;

    virtio_mmio_select(vdev, vq->index);
    virtio_mmio_put(vdev, REG_QUEUE_NUM, vq->ring.num);
    virtio_mmio_put64(vdev, REG_DESC, desc.v);
    virtio_mmio_put64(vdev, REG_AVAIL, avail.v);
    virtio_mmio_put64(vdev, REG_USED, used.v);
    virtio_mmio_put(vdev, REG_QUEUE_READY, 1);
    return 0;
}

static void virtio_mmio_notify(struct virtio_queue *vq)
{
    virtio_mmio_put(vq->dev, REG_NOTIFY, vq->index);
}

static int virtio_mmio_irq_setup(struct virtio_device *vdev, unsigned wanted)
{
    vdev->line = true;
    return 1;
}

static int virtio_mmio_irq_request(struct virtio_device *vdev, unsigned index,
                                   struct irq_handler *handler, unsigned cpu)
{
    return irq_request_gsi(virtio_mmio_of(vdev)->gsi, false, false, handler);
}

static int virtio_mmio_config_irq(struct virtio_device *vdev, unsigned index)
{
    return 0;
}

static void virtio_mmio_irq_release(struct virtio_device *vdev, unsigned index,
                                    struct irq_handler *handler)
{
    irq_release(handler);
}

static void virtio_mmio_irq_teardown(struct virtio_device *vdev)
{
}

static u32 virtio_mmio_interrupt(struct virtio_device *vdev)
{
    u32 why = virtio_mmio_get(vdev, REG_INT_STATUS);

    if (why)
        virtio_mmio_put(vdev, REG_INT_ACK, why);
    return why;
}

static const struct virtio_transport_ops virtio_mmio_ops = {
    .status = virtio_mmio_status,
    .set_status = virtio_mmio_set_status,
    .features = virtio_mmio_features,
    .set_features = virtio_mmio_set_features,
    .config_read = virtio_mmio_config_read,
    .config_generation = virtio_mmio_generation,
    .queue_max = virtio_mmio_queue_max,
    .queue_enable = virtio_mmio_queue_enable,
    .notify = virtio_mmio_notify,
    .irq_setup = virtio_mmio_irq_setup,
    .irq_request = virtio_mmio_irq_request,
    .config_irq = virtio_mmio_config_irq,
    .irq_release = virtio_mmio_irq_release,
    .irq_teardown = virtio_mmio_irq_teardown,
    .interrupt = virtio_mmio_interrupt,
};

/* ---- the platform driver ---- */

static void virtio_mmio_release(struct device *dev)
{
    struct virtio_mmio *v = virtio_mmio_of(virtio_device_of(dev));

    io_unmap(&v->regs);
    kfree(v);
}

/* 0, or -ENODEV: no device of version 2 is there. */
static int virtio_mmio_identify(struct virtio_mmio *v)
{
    static u32 ranks[64]; /* at boot alone, one after the other */

    if (io_read32(&v->regs, REG_MAGIC) != VIRTIO_MMIO_MAGIC)
        return -ENODEV;
    v->vdev.id = io_read32(&v->regs, REG_DEVICE);
    v->vdev.vendor = io_read32(&v->regs, REG_VENDOR);
    if (!v->vdev.id) /* a place without a device (4.2.2.2) */
        return -ENODEV;
    if (io_read32(&v->regs, REG_VERSION) == 2) {
        v->vdev.rank = v->vdev.id < ARRAY_SIZE(ranks) ? ranks[v->vdev.id]++ : 0;
        return 0;
    }
    log_warn("virtio: the device at %lx speaks the legacy protocol only", v->regs.phys);
    return -ENODEV;
}

static int virtio_mmio_probe(struct device *dev, const struct device_id *id)
{
    const struct resource *mem = device_resource(dev, RES_MEM, 0);
    const struct resource *irq = device_resource(dev, RES_IRQ | RES_GSI, 0);
    struct virtio_mmio *v;
    int err;

    if (!mem || !irq || mem->size < REGS_SIZE)
        return -EINVAL;
    v = kzalloc(sizeof(*v));
    if (!v)
        return -ENOMEM;
    virtio_device_init(&v->vdev, &virtio_mmio_ops, dev, virtio_mmio_release);
    v->vdev.config_size = (u32)mem->size - REG_CONFIG;
    v->gsi = (u32)irq->start;
    err = io_map(mem->start, mem->size, IO_UNCACHED, &v->regs);
    if (!err)
        err = virtio_mmio_identify(v);
    if (!err)
        err = virtio_device_register(&v->vdev);
    if (err)
        device_put(&v->vdev.dev);
    return err;
}

static void virtio_mmio_remove(struct device *dev)
{
    device_unregister_children(dev);
}

static const struct device_id virtio_mmio_ids[] = {PLATFORM_NAME("virtio-mmio")};
DRIVER(virtio_mmio)
= {.name = "virtio_mmio",
   .bus = &platform_bus,
   .flags = DRIVER_EARLY,
   DRIVER_IDS(virtio_mmio_ids),
   .probe = virtio_mmio_probe,
   .remove = virtio_mmio_remove};

/* ---- the command line ---- */

static void virtio_mmio_add(u64 addr, u64 gsi)
{
    static int number;
    struct resource res[] = {
        {.start = addr, .size = REGS_SIZE, .flags = RES_MEM},
        {.start = gsi, .size = 1, .flags = RES_IRQ | RES_GSI},
    };
    int err = -EINVAL;

    if (addr % REGS_SIZE == 0 && !hpa_is_ram(HPA(addr)))
        err = platform_add("virtio-mmio", number++, res, ARRAY_SIZE(res));
    if (err)
        log_warn("virtio: no device at %lx, line %lu: error %d", addr, gsi, err);
}

/* Digits of one number, in base 16 after "0x"; what follows it, or NULL. */
static const char *virtio_mmio_number(const char *s, u64 *out)
{
    unsigned base = str_starts(s, "0x") ? 16 : 10;
    const char *start = s += base == 16 ? 2 : 0;

    for (*out = 0;; s++) {
        unsigned digit = *s >= '0' && *s <= '9'   ? (unsigned)(*s - '0')
                         : *s >= 'a' && *s <= 'f' ? (unsigned)(*s - 'a') + 10
                                                  : 99;
        if (digit >= base || *out >> 56)
            return s == start || *out >> 56 ? NULL : s;
        *out = *out * base + digit;
    }
}

static void virtio_mmio_scan(void)
{
    static const char key[] = "virtio_mmio.device=";
    const char *s = boot_info.cmdline;

    while ((s = strstr(s, key))) {
        u64 addr = 0, gsi = 0;

        s += sizeof(key) - 1;
        s = strchr(s, '@');
        if (!s)
            return;
        s = virtio_mmio_number(s + 1, &addr);
        if (!s || *s != ':')
            return;
        s = virtio_mmio_number(s + 1, &gsi);
        if (!s)
            return;
        virtio_mmio_add(addr, gsi);
    }
}
INIT_HOOK(virtio_mmio_scan, INIT_DRIVER);
