/* SPDX-License-Identifier: MIT
 *
 * Virtio over PCI, the modern interface (virtio 1.2, 4.1). One BAR holds everything, a page each:
 * common configuration, ISR, device configuration, doorbell (one address for all queues), MSI-X
 * table, pending bits. A vector for the configuration and one for each queue, or the line. What
 * cannot reach the BAR (firmware) has a way through configuration space (4.1.4.9).
 */
#include <string.h>

#include "uapi/virtio_pci.h"
#include "vmm/pci.h"
#include "vmm/virtio.h"
#include "vmm/vmm.h"

#define BAR 0
#define BAR_SIZE 0x8000u
#define PAGE 0x1000u
enum { AT_COMMON, AT_ISR, AT_CONFIG, AT_NOTIFY, AT_TABLE, AT_PENDING }; /* pages */

struct virtio_pci {
    struct virtio *v;
    struct pci_function f;
    struct pci_msix msix;
    uint16_t config_vector; /* v */
    bool line_off;          /* v  the guest's INTX_OFF */
    bool bell_wanted;       /* v  the doorbell is to be connected ... */
    uint32_t bell_at;       /* v  ... and is, there; else 0 */
    uint32_t bar_at;        /* v  where the BAR is decoded, or 0 */
    bool look;              /* v  doorbells may have rung while it was cut off */
    unsigned access;        /* I  the capability for access through configuration space */
};

static struct virtio_pci *virtio_pci_of(struct pci_function *f)
{
    return container_of(f, struct virtio_pci, f);
}

/* ---- the transport's operations ---- */

static void virtio_pci_update_line(struct virtio_pci *p)
{
    pci_set_line(&p->f, p->v->isr && !p->line_off && !p->msix.enabled);
}

static void virtio_pci_raise(struct virtio *v, uint8_t why, uint16_t vector)
{
    if (v->pci->msix.enabled) {
        pci_msix_send(&v->pci->msix, vector);
        return;
    }
    v->isr |= why;
    virtio_pci_update_line(v->pci);
}

static void virtio_pci_signal(struct virtio *v, const struct virtio_queue *q)
{
    virtio_pci_raise(v, ISR_USED, q->vector);
}

static void virtio_pci_signal_config(struct virtio *v)
{
    virtio_pci_raise(v, ISR_CONFIG, v->pci->config_vector);
}

/* Connects the bell where it should be now. */
static void virtio_pci_update_bell(struct virtio_pci *p)
{
    uint32_t at = p->bell_wanted && p->bar_at ? p->bar_at + AT_NOTIFY * PAGE : 0;
    struct device *d = &p->v->dev;

    if (at == p->bell_at)
        return;
    if (p->bell_at)
        irq_doorbell(d->vm, p->bell_at, 2, d->bell, false);
    p->bell_at = at && irq_doorbell(d->vm, at, 2, d->bell, true) ? at : 0;
}

static void virtio_pci_doorbell(struct virtio *v, bool on)
{
    v->pci->bell_wanted = on;
    virtio_pci_update_bell(v->pci);
}

static void virtio_pci_reset(struct virtio *v)
{
    v->isr = 0;
    virtio_pci_update_line(v->pci);
    v->pci->config_vector = NO_VECTOR;
    for (unsigned i = 0; i < v->nqueues; i++)
        v->queues[i].vector = NO_VECTOR;
}

static const struct virtio_transport virtio_pci_transport = {
    .signal = virtio_pci_signal,
    .signal_config = virtio_pci_signal_config,
    .doorbell = virtio_pci_doorbell,
    .reset = virtio_pci_reset,
};

/* ---- common configuration ---- */

static uint64_t virtio_pci_queue_get(const struct virtio *v, const struct virtio_queue *q,
                                     uint64_t offset)
{
    switch (offset) {
    case COMMON_QUEUE_SIZE:
        return q->setup.num;
    case COMMON_QUEUE_VECTOR:
        return q->vector;
    case COMMON_QUEUE_ENABLE:
        return virtq_is_on(&q->ring);
    case COMMON_DESC:
        return q->setup.desc;
    case COMMON_DESC + 4:
        return q->setup.desc >> 32;
    case COMMON_AVAIL:
        return q->setup.avail;
    case COMMON_AVAIL + 4:
        return q->setup.avail >> 32;
    case COMMON_USED:
        return q->setup.used;
    case COMMON_USED + 4:
        return q->setup.used >> 32;
    default: /* COMMON_QUEUE_NOTIFY_OFF too: all have the same */
        return 0;
    }
}

static uint64_t virtio_pci_get(struct virtio *v, uint64_t offset)
{
    const struct virtio_queue *q = virtio_selected(v);

    switch (offset) {
    case COMMON_FEATURES_SEL:
        return v->features_sel;
    case COMMON_FEATURES:
        return virtio_offered(v);
    case COMMON_DRIVER_SEL:
        return v->driver_sel;
    case COMMON_DRIVER:
        return v->driver_sel < 2 ? v->accepted >> (32 * v->driver_sel) : 0;
    case COMMON_CONFIG_VECTOR:
        return v->pci->config_vector;
    case COMMON_QUEUES:
        return v->nqueues;
    case COMMON_STATUS:
        return v->status;
    case COMMON_GENERATION:
        return 0;
    case COMMON_QUEUE_SEL:
        return v->queue_sel;
    default:
        return q ? virtio_pci_queue_get(v, q, offset) : 0;
    }
}

static uint16_t virtio_pci_vector(const struct virtio_pci *p, uint64_t value)
{
    return value < p->msix.count ? value : NO_VECTOR;
}

static void virtio_pci_queue_put(struct virtio *v, struct virtio_queue *q, uint64_t offset,
                                 uint64_t value)
{
    if (offset == COMMON_QUEUE_VECTOR)
        q->vector = virtio_pci_vector(v->pci, value);
    if (virtq_is_on(&q->ring))
        return;
    switch (offset) {
    case COMMON_QUEUE_SIZE:
        q->setup.num = value & 0xffff;
        break;
    case COMMON_QUEUE_ENABLE:
        virtio_queue_enable(v, q, value == 1);
        break;
    case COMMON_DESC:
    case COMMON_DESC + 4:
        virtio_set_half(&q->setup.desc, offset & 4, value);
        break;
    case COMMON_AVAIL:
    case COMMON_AVAIL + 4:
        virtio_set_half(&q->setup.avail, offset & 4, value);
        break;
    case COMMON_USED:
    case COMMON_USED + 4:
        virtio_set_half(&q->setup.used, offset & 4, value);
        break;
    default:
        break;
    }
}

static void virtio_pci_put(struct virtio *v, uint64_t offset, uint64_t value)
{
    struct virtio_queue *q = virtio_selected(v);

    switch (offset) {
    case COMMON_FEATURES_SEL:
        v->features_sel = value;
        break;
    case COMMON_DRIVER_SEL:
        v->driver_sel = value;
        break;
    case COMMON_DRIVER:
        virtio_accept(v, value);
        break;
    case COMMON_CONFIG_VECTOR:
        v->pci->config_vector = virtio_pci_vector(v->pci, value);
        break;
    case COMMON_STATUS:
        virtio_set_status(v, value & 0xff);
        break;
    case COMMON_QUEUE_SEL:
        v->queue_sel = value & 0xffff;
        break;
    default:
        if (q)
            virtio_pci_queue_put(v, q, offset, value);
        break;
    }
}

/* Each register is accessed in its own width (4.1.3.1), 64-bit ones as halves; a 64-bit access to
 * one of those is two. */
static void virtio_pci_common_write(struct virtio *v, uint64_t offset, uint64_t value, unsigned len)
{
    if (len == 8 && offset >= COMMON_DESC && offset % 8 == 0) {
        virtio_pci_put(v, offset, (uint32_t)value);
        virtio_pci_put(v, offset + 4, value >> 32);
    } else if (len <= 4 && offset % len == 0) {
        virtio_pci_put(v, offset, value);
    }
}

static uint64_t virtio_pci_common_read(struct virtio *v, uint64_t offset, unsigned len)
{
    if (len == 8)
        return (virtio_pci_get(v, offset) & 0xffffffff) | virtio_pci_get(v, offset + 4) << 32;
    return virtio_pci_get(v, offset) & ((1ull << 8 * len) - 1);
}

/* Reading quiets the line (4.1.4.5). */
static uint8_t virtio_pci_isr(struct virtio *v)
{
    uint8_t isr = v->isr;

    v->isr = 0;
    virtio_pci_update_line(v->pci);
    return isr;
}

/* ---- the function ---- */

static uint64_t virtio_pci_read_locked(struct virtio_pci *p, uint64_t offset, unsigned len)
{
    uint64_t at = offset % PAGE;

    switch (offset / PAGE) {
    case AT_COMMON:
        return virtio_pci_common_read(p->v, at, len);
    case AT_ISR:
        return at ? 0 : virtio_pci_isr(p->v);
    case AT_CONFIG:
        return virtio_config(p->v, at, len);
    case AT_TABLE:
        return pci_msix_table_read(&p->msix, at, len);
    case AT_PENDING:
        return pci_msix_pending_read(&p->msix, at, len);
    default:
        return 0;
    }
}

static uint64_t virtio_pci_bar_read(struct pci_function *f, unsigned bar, uint64_t offset,
                                    unsigned len)
{
    struct virtio_pci *p = virtio_pci_of(f);
    uint64_t value;

    pthread_mutex_lock(&p->v->dev.lock);
    value = virtio_pci_read_locked(p, offset, len);
    pthread_mutex_unlock(&p->v->dev.lock);
    return value;
}

static void virtio_pci_bar_write(struct pci_function *f, unsigned bar, uint64_t offset,
                                 uint64_t value, unsigned len)
{
    struct virtio_pci *p = virtio_pci_of(f);
    uint64_t at = offset % PAGE;

    pthread_mutex_lock(&p->v->dev.lock);
    if (offset / PAGE == AT_COMMON)
        virtio_pci_common_write(p->v, at, value, len);
    else if (offset / PAGE == AT_NOTIFY && at == 0)
        virtio_ring(p->v, value & 0xffff);
    else if (offset / PAGE == AT_TABLE)
        pci_msix_table_write(&p->msix, at, value, len);
    pthread_mutex_unlock(&p->v->dev.lock);
}

static void virtio_pci_changed(struct pci_function *f)
{
    struct virtio_pci *p = virtio_pci_of(f);
    uint32_t command = pci_config_read(&f->config, PCI_COMMAND, 2);
    bool was_cut;

    pthread_mutex_lock(&p->v->dev.lock);
    was_cut = p->v->cut;
    p->line_off = command & PCI_COMMAND_INTX_OFF;
    p->v->cut = !(command & PCI_COMMAND_MASTER);
    p->bar_at = pci_bar_address(f, BAR);
    pci_msix_changed(&p->msix, f);
    virtio_pci_update_line(p);
    virtio_pci_update_bell(p);
    p->look |= was_cut && !p->v->cut;
    pthread_mutex_unlock(&p->v->dev.lock);
}

/* ---- the BAR through configuration space ---- */

/* Whether registers [reg, reg + len) are those of the access, and what it is to. */
static bool virtio_pci_access(struct virtio_pci *p, unsigned reg, unsigned len, uint32_t *offset,
                              uint32_t *width)
{
    unsigned data = p->access + CAP_ACCESS_DATA;

    if (reg + len <= data || reg >= data + 4)
        return false;
    *offset = pci_get(&p->f, p->access + CAP_OFFSET, 4);
    *width = pci_get(&p->f, p->access + CAP_LENGTH, 4);
    return pci_get(&p->f, p->access + CAP_BAR, 1) == BAR &&
           (*width == 1 || *width == 2 || *width == 4) && *offset % *width == 0 &&
           *offset <= BAR_SIZE - *width;
}

static void virtio_pci_reading(struct pci_function *f, unsigned reg, unsigned len)
{
    struct virtio_pci *p = virtio_pci_of(f);
    uint32_t offset, width;

    if (virtio_pci_access(p, reg, len, &offset, &width))
        pci_set(f, p->access + CAP_ACCESS_DATA, virtio_pci_bar_read(f, BAR, offset, width), width);
}

static void virtio_pci_written(struct pci_function *f, unsigned reg, unsigned len)
{
    struct virtio_pci *p = virtio_pci_of(f);
    uint32_t offset, width;

    if (virtio_pci_access(p, reg, len, &offset, &width))
        virtio_pci_bar_write(f, BAR, offset, pci_get(f, p->access + CAP_ACCESS_DATA, width), width);
    pthread_mutex_lock(&p->v->dev.lock);
    if (p->look) {
        p->look = false;
        virtio_look(p->v);
    }
    pthread_mutex_unlock(&p->v->dev.lock);
}

static const struct pci_ops virtio_pci_ops = {
    .bar_read = virtio_pci_bar_read,
    .bar_write = virtio_pci_bar_write,
    .changed = virtio_pci_changed,
    .written = virtio_pci_written,
    .reading = virtio_pci_reading,
};

static void virtio_pci_add_cap(struct virtio_pci *p, uint8_t type, unsigned page, uint32_t length)
{
    unsigned len = type == TYPE_NOTIFY ? CAP_MULTIPLIER + 4 : CAP_MULTIPLIER;
    unsigned at = pci_config_add_cap(&p->f.config, PCI_CAP_VENDOR, len);

    pci_config_set(&p->f.config, at + 2, len, 1);
    pci_config_set(&p->f.config, at + CAP_TYPE, type, 1);
    pci_config_set(&p->f.config, at + CAP_BAR, BAR, 1);
    pci_config_set(&p->f.config, at + CAP_OFFSET, page * PAGE, 4);
    pci_config_set(&p->f.config, at + CAP_LENGTH, length, 4);
}

/* BAR, offset, length and data are the guest's. */
static void virtio_pci_add_access(struct virtio_pci *p)
{
    unsigned at = pci_config_add_cap(&p->f.config, PCI_CAP_VENDOR, CAP_ACCESS_SIZE);

    pci_config_set(&p->f.config, at + 2, CAP_ACCESS_SIZE, 1);
    pci_config_set(&p->f.config, at + CAP_TYPE, TYPE_ACCESS, 1);
    p->f.config.writable[at + CAP_BAR] = 0xff;
    memset(p->f.config.writable + at + CAP_OFFSET, 0xff, CAP_ACCESS_SIZE - CAP_OFFSET);
    p->access = at;
}

static const struct device_ops virtio_pci_device_ops = {.work = NULL};
static const struct device_ops virtio_pci_device_ops_waiting = {.work = virtio_work};

void virtio_pci_create(struct virtio *v, struct vm *vm)
{
    const struct pci_id id = {
        .vendor = VIRTIO_VENDOR,
        .device = VIRTIO_DEVICE_MODERN + v->model->id,
        .sub_vendor = VIRTIO_VENDOR,
        .sub_device = VIRTIO_DEVICE_MODERN + v->model->id,
        .class = v->model->pci_class,
        .revision = 1, /* modern alone (4.1.2.1) */
    };
    struct virtio_pci *p = vm_alloc(vm, sizeof *p);

    p->v = v;
    v->pci = p;
    v->cut = true;
    v->transport = &virtio_pci_transport;
    device_init(&v->dev, vm, v->model->name,
                v->model->waits ? &virtio_pci_device_ops_waiting : &virtio_pci_device_ops);
    pci_add(vm, &p->f, &id, &virtio_pci_ops);
    pci_place_bar(&p->f, BAR, BAR_SIZE);
    virtio_pci_add_cap(p, TYPE_COMMON, AT_COMMON, COMMON_SIZE);
    virtio_pci_add_cap(p, TYPE_ISR, AT_ISR, 1);
    virtio_pci_add_cap(p, TYPE_DEVICE, AT_CONFIG, PAGE);
    virtio_pci_add_cap(p, TYPE_NOTIFY, AT_NOTIFY, 4);
    virtio_pci_add_access(p);
    pci_msix_create(&p->msix, vm, &p->f, v->nqueues + 1, BAR, AT_TABLE * PAGE, AT_PENDING * PAGE);
    virtio_pci_reset(v);
}
