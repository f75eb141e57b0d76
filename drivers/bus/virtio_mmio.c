/* SPDX-License-Identifier: MIT
 *
 * Virtio over memory-mapped registers (virtio 1.1, 4.2, version 2). Devices are named on the
 * command line, as Linux has it: virtio_mmio.device=SIZE@ADDRESS:GSI, repeated for more.
 */
#include "arch/x86/bootinfo.h"
#include "dev/virtio.h"
#include "lib/errno.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "uapi/virtio_mmio.h"

#define REGS_SIZE 0x200

struct virtio_mmio {
    struct virtio_device dev;
    struct irq_handler irq;
    volatile u8 *regs;
    u32 gsi;
};

static u32 virtio_mmio_get(const struct virtio_mmio *v, unsigned reg)
{
    return *(const volatile u32 *)(v->regs + reg);
}

static void virtio_mmio_put(struct virtio_mmio *v, unsigned reg, u32 value)
{
    *(volatile u32 *)(v->regs + reg) = value;
}

static struct virtio_mmio *virtio_mmio_of(struct virtio_device *dev)
{
    return container_of(dev, struct virtio_mmio, dev);
}

static u64 virtio_mmio_features(struct virtio_device *dev)
{
    struct virtio_mmio *v = virtio_mmio_of(dev);
    u64 low;

    virtio_mmio_put(v, REG_FEATURES_SEL, 0);
    low = virtio_mmio_get(v, REG_FEATURES);
    virtio_mmio_put(v, REG_FEATURES_SEL, 1);
    return low | (u64)virtio_mmio_get(v, REG_FEATURES) << 32;
}

static bool virtio_mmio_accept(struct virtio_device *dev, u64 features)
{
    struct virtio_mmio *v = virtio_mmio_of(dev);
    u32 status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;

    virtio_mmio_put(v, REG_STATUS, status);
    virtio_mmio_put(v, REG_DRIVER_SEL, 0);
    virtio_mmio_put(v, REG_DRIVER, (u32)features);
    virtio_mmio_put(v, REG_DRIVER_SEL, 1);
    virtio_mmio_put(v, REG_DRIVER, (u32)(features >> 32));
    virtio_mmio_put(v, REG_STATUS, status | STATUS_FEATURES_OK);
    return virtio_mmio_get(v, REG_STATUS) & STATUS_FEATURES_OK;
}

static void virtio_mmio_put64(struct virtio_mmio *v, unsigned reg, u64 value)
{
    virtio_mmio_put(v, reg, (u32)value);
    virtio_mmio_put(v, reg + 4, (u32)(value >> 32));
}

static int virtio_mmio_queue_set(struct virtio_device *dev, struct vring *q)
{
    struct virtio_mmio *v = virtio_mmio_of(dev);
    u32 max;

    virtio_mmio_put(v, REG_QUEUE_SEL, q->index);
    max = virtio_mmio_get(v, REG_QUEUE_MAX);
    if (max == 0)
        return -ENOENT;
    if (max < q->num)
        return -EINVAL;
    virtio_mmio_put(v, REG_QUEUE_NUM, q->num);
    virtio_mmio_put64(v, REG_DESC, virt_hpa((const void *)q->desc).v);
    virtio_mmio_put64(v, REG_AVAIL, virt_hpa((const void *)q->avail).v);
    virtio_mmio_put64(v, REG_USED, virt_hpa((const void *)q->used).v);
    virtio_mmio_put(v, REG_QUEUE_READY, 1);
    return 0;
}

static void virtio_mmio_notify(struct virtio_device *dev, unsigned queue)
{
    virtio_mmio_put(virtio_mmio_of(dev), REG_NOTIFY, queue);
}

static void virtio_mmio_ready(struct virtio_device *dev)
{
    struct virtio_mmio *v = virtio_mmio_of(dev);

    virtio_mmio_put(v, REG_STATUS, virtio_mmio_get(v, REG_STATUS) | STATUS_DRIVER_OK);
}

static void virtio_mmio_reset(struct virtio_device *dev)
{
    virtio_mmio_put(virtio_mmio_of(dev), REG_STATUS, 0);
}

static u32 virtio_mmio_config32(struct virtio_device *dev, unsigned offset)
{
    return virtio_mmio_get(virtio_mmio_of(dev), REG_CONFIG + offset);
}

static const struct virtio_ops virtio_mmio_ops = {
    .features = virtio_mmio_features,
    .accept = virtio_mmio_accept,
    .queue_set = virtio_mmio_queue_set,
    .notify = virtio_mmio_notify,
    .ready = virtio_mmio_ready,
    .reset = virtio_mmio_reset,
    .config32 = virtio_mmio_config32,
};

static bool virtio_mmio_irq(void *arg)
{
    struct virtio_mmio *v = arg;
    u32 why = virtio_mmio_get(v, REG_INT_STATUS);

    if (!why)
        return false;
    virtio_mmio_put(v, REG_INT_ACK, why);
    if (v->dev.interrupt)
        v->dev.interrupt(&v->dev);
    return true;
}

static void virtio_mmio_add(u64 addr, u32 gsi)
{
    struct virtio_mmio *v = kzalloc(sizeof(*v));
    int err = -ENOMEM;

    if (!v)
        goto fail;
    v->regs = mmio_map(HPA(addr), REGS_SIZE);
    if (!v->regs)
        goto fail_free;
    err = -ENODEV;
    if (virtio_mmio_get(v, REG_MAGIC) != VIRTIO_MMIO_MAGIC ||
        virtio_mmio_get(v, REG_VERSION) != 2 || virtio_mmio_get(v, REG_DEVICE) == 0)
        goto fail_unmap;
    v->dev.ops = &virtio_mmio_ops;
    v->dev.id = virtio_mmio_get(v, REG_DEVICE);
    v->irq = (struct irq_handler){.fn = virtio_mmio_irq, .arg = v, .name = "virtio"};
    virtio_mmio_reset(&v->dev);
    err = irq_request_gsi(gsi, false, false, &v->irq);
    if (err)
        goto fail_unmap;
    err = virtio_register(&v->dev);
    if (!err)
        return;
    irq_release(&v->irq);
fail_unmap:
    mmio_unmap((void *)v->regs, REGS_SIZE);
fail_free:
    kfree(v);
fail:
    log_warn("virtio: device at %lx, line %u: error %d", addr, gsi, err);
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
        if (addr % PAGE_SIZE == 0 && gsi < 24 && !hpa_is_ram(HPA(addr)))
            virtio_mmio_add(addr, (u32)gsi);
    }
}
INIT_HOOK(virtio_mmio_scan, INIT_DEV);
