/* SPDX-License-Identifier: MIT
 *
 * Virtio (1.2) as a bus: a transport (drivers/bus) finds a device and registers it, a driver
 * matches it by its device id and sees no transport. Legacy devices and drivers (before 1.0) are
 * not served.
 *
 *     static const struct device_id rng_ids[] = {VIRTIO_ID(VIRTIO_ENTROPY)};
 *     DRIVER(virtio_rng) = {.name = "virtio_rng", .bus = &virtio_bus, DRIVER_IDS(rng_ids),
 *                           .probe = rng_probe, .remove = rng_remove};
 *
 * A probe calls, in this order: virtio_negotiate, virtio_config_*, virtio_queues_create,
 * virtio_start (from then on the device runs and a queue's work is called), and adds its first
 * requests.
 *
 *     virtq_add(&vq->ring, pieces, out, in, token)   with dma addresses: dma_map(virtio_dma(dev),
 * ..) virtio_kick(vq)                                 shows them and notifies where that is wanted
 *
 * A queue's work runs in its interrupt's thread. It takes what came back until the ring is empty,
 * and arms it; without arming no further interrupt comes:
 *
 *     do {
 *         while ((token = virtq_take(&vq->ring, &written)))
 *             ...
 *     } while (!virtq_arm(&vq->ring, 1));
 *     if (vq->ring.broken)
 *         virtio_break(dev, vq->ring.why);
 *
 * A work that adds a request for each that it takes has a bound on its rounds, as the device may be
 * quick: virtio_again(vq) and return calls it again behind others. The ring is guarded by the
 * driver's own lock, of any kind that a thread may take; the device's interrupt takes none.
 *
 * A device that breaks (it broke a ring's rules, or says that it needs a reset): virtio_break, from
 * any context, has the device reset in a worker; then events->broken is called, once: the driver
 * gives up what the device had (virtq_detach) and fails what comes. So does a driver's remove,
 * after virtio_stop. Neither ever waits for the device: a reset that is not confirmed within a
 * second is logged, and the memory that the device had is given up for lost (virtio_queues_destroy
 * keeps it).
 *
 * Threads: probe and remove as dev/device.h has it. events->* and the works of one device's queues
 * may run beside each other on several CPUs.
 */
#pragma once

#include "dev/device.h"
#include "dev/dma.h"
#include "dev/irq.h"
#include "dev/virtq.h"
#include "sched/work.h"

/* Device ids (5). */
enum virtio_id {
    VIRTIO_NET = 1,
    VIRTIO_BLOCK = 2,
    VIRTIO_CONSOLE = 3,
    VIRTIO_ENTROPY = 4,
};
#define VIRTIO_ID(id)                    \
    {                                    \
        .vendor = ID_ANY, .device = (id) \
    }

/* Feature bits (6). The bus itself sees to these: */
#define VIRTIO_F_INDIRECT_DESC (1ULL << 28)
#define VIRTIO_F_EVENT_IDX (1ULL << 29)
#define VIRTIO_F_VERSION_1 (1ULL << 32)
#define VIRTIO_F_ACCESS_PLATFORM (1ULL << 33)

struct virtio_device;
struct virtio_queue;

/* Calls into the driver; any may be NULL. In a worker thread, one call at a time for a device, none
 * after virtio_stop or the call of `broken`; may sleep. */
struct virtio_events {
    /* The configuration space has changed. */
    void (*config)(struct virtio_device *dev);
    /* The device was reset and touches nothing any more. */
    void (*broken)(struct virtio_device *dev);
};

/* What a transport does. Context: a thread, one call at a time, but for notify and interrupt. */
struct virtio_transport_ops {
    u8 (*status)(struct virtio_device *dev);
    void (*set_status)(struct virtio_device *dev, u8 status); /* 0: begins a reset */
    u64 (*features)(struct virtio_device *dev);
    void (*set_features)(struct virtio_device *dev, u64 features);
    /* The device's configuration space: one access of n = 1, 2 or 4 bytes, aligned, inside
     * config_size. */
    u32 (*config_read)(struct virtio_device *dev, u32 offset, u32 n);
    u32 (*config_generation)(struct virtio_device *dev);
    /* Entries that the queue may have at most; 0: there is no such queue. */
    u32 (*queue_max)(struct virtio_device *dev, u32 index);
    /* Tells the device of vq->ring, whose parts are at desc, avail and used. 0 or -errno. */
    int (*queue_enable)(struct virtio_queue *vq, dma_addr_t desc, dma_addr_t avail,
                        dma_addr_t used);
    /* Context: any; the ring's lock is held. */
    void (*notify)(struct virtio_queue *vq);
    /* Prepares as many interrupts as it has, at most `wanted`; how many, or -errno. */
    int (*irq_setup)(struct virtio_device *dev, unsigned wanted);
    /* Of those, number `index`, near that CPU. 0 or -errno. */
    int (*irq_request)(struct virtio_device *dev, unsigned index, struct irq_handler *handler,
                       unsigned cpu);
    /* Interrupt `index` tells of changes in the configuration (and of a need of reset). */
    int (*config_irq)(struct virtio_device *dev, unsigned index);
    void (*irq_release)(struct virtio_device *dev, unsigned index, struct irq_handler *handler);
    void (*irq_teardown)(struct virtio_device *dev);
    /* Where the interrupt is one for all and shared: why it came, and quiets it; VIRTIO_INT_*. Else
     * not called. irq context. */
    u32 (*interrupt)(struct virtio_device *dev);
    /* The device did not confirm its reset: its access to memory is cut off. NULL: there is no way.
     */
    void (*cut)(struct virtio_device *dev);
};
#define VIRTIO_INT_CONFIG 2

/* One interrupt and the queues that it is for. */
struct virtio_irq;

/* I immutable from virtio_queues_create on · driver's lock otherwise */
struct virtio_queue {
    struct virtq ring;                     /* the driver's lock guards it */
    struct virtio_device *dev;             /* I */
    u32 index;                             /* I  the device's number of it */
    void (*work)(struct virtio_queue *vq); /* I  NULL: the driver looks by itself */
    void *driver;                          /* the driver's */
    volatile void *doorbell;               /* I  the transport's */
    struct virtio_irq *irq;                /* I  NULL: no work */
    u16 vector;                            /* I  number of the interrupt */
    struct virtio_queue *next;             /* I  of the same interrupt */
    bool again;                            /* a  virtio_again */
    void *memory, *tables;                 /* I */
    dma_addr_t memory_addr, tables_addr;   /* I */
};

/* I immutable once registered · p probe and remove · a atomic · e event_lock */
struct virtio_device {
    struct device dev;                      /* parent: what does the DMA */
    const struct virtio_transport_ops *ops; /* I */
    u32 id, vendor;                         /* I */
    u32 config_size;                        /* I  bytes */
    u32 rank; /* I  among those of its id, by their place: probes run in any order, names do not */
    u64 offered, features;              /* p  by the device; agreed upon */
    const struct virtio_events *events; /* p */
    struct virtio_queue **queues;       /* p */
    unsigned nr_queues;                 /* p */
    struct virtio_irq *irqs;            /* p  nr_irqs of them */
    unsigned nr_irqs;                   /* p */
    bool line;                          /* p  ops->interrupt tells why: by irq_setup */
    struct mutex event_lock;
    struct work event_work;
    u32 pending;     /* a  VIRTIO_EVENT_* */
    bool running;    /* a, written under e  between virtio_start and virtio_stop */
    bool stuck;      /* e  did not confirm its reset */
    const char *why; /* a  first reason of a break, or NULL */
};

static inline struct virtio_device *virtio_device_of(struct device *dev)
{
    return container_of(dev, struct virtio_device, dev);
}
extern const struct bus virtio_bus;

/* ---- for transports ---- */

/* Initialises what the bus has in it; the transport then sets id, vendor, config_size, rank. parent
 * does the DMA. */
void virtio_device_init(struct virtio_device *dev, const struct virtio_transport_ops *ops,
                        struct device *parent, void (*release)(struct device *dev));
/* Names it (virtio0, virtio1...) and registers it. Takes the reference on success. -errno of
 * device_register. */
int virtio_device_register(struct virtio_device *dev) __must_check;

/* ---- for drivers; in probe, in this order ---- */

/* Agrees on those of `wanted` and `needed` that the device offers (1.0 and what concerns rings is
 * the bus's). 0; -ENODEV: one of `needed` is not offered, or the device is a legacy one; -EIO: the
 * device refuses (FEATURES_OK). events may be NULL, and lives as long as the driver. */
int virtio_negotiate(struct virtio_device *dev, const struct virtio_events *events, u64 wanted,
                     u64 needed) __must_check;
static inline bool virtio_has(const struct virtio_device *dev, u64 feature)
{
    return dev->features & feature;
}

/* Bytes of the configuration space, as they were together at one time; beyond its end zeros. An
 * aligned field of up to 4 bytes is read in one access. Also from events->config. */
void virtio_config_read(struct virtio_device *dev, u32 offset, void *buf, u32 n);
static inline u8 virtio_config8(struct virtio_device *dev, u32 offset)
{
    u8 v;

    virtio_config_read(dev, offset, &v, sizeof(v));
    return v;
}
static inline u16 virtio_config16(struct virtio_device *dev, u32 offset)
{
    u16 v;

    virtio_config_read(dev, offset, &v, sizeof(v));
    return v;
}
static inline u32 virtio_config32(struct virtio_device *dev, u32 offset)
{
    u32 v;

    virtio_config_read(dev, offset, &v, sizeof(v));
    return v;
}
static inline u64 virtio_config64(struct virtio_device *dev, u32 offset)
{
    u64 v;

    virtio_config_read(dev, offset, &v, sizeof(v));
    return v;
}

struct virtio_queue_config {
    const char *name; /* of its interrupt; lives as long as the driver */
    u32 index;        /* the device's number of it */
    u32 size;     /* entries wanted, rounded down to a power of two and to the device's maximum */
    u32 pieces;   /* of the largest request that is added often: it gets a table for indirect
                     descriptors, where the device has these; 0 and 1: no tables */
    unsigned cpu; /* where its interrupt should go */
    /* Context: thread of the interrupt; may sleep a little. */
    void (*work)(struct virtio_queue *vq);
    void *driver;
};
/* All queues of the device at once: out[i] for configs[i]. Each has an interrupt of its own where
 * the device has as many, else some share. -ENOENT: the device has no such queue; -ENOMEM;
 * transport's -errno: nothing was made. No work is called before virtio_start. */
int virtio_queues_create(struct virtio_device *dev, const struct virtio_queue_config *configs,
                         unsigned n, struct virtio_queue **out) __must_check;
/* DRIVER_OK: the device begins; each ring has been armed. */
void virtio_start(struct virtio_device *dev);

/* ---- running ---- */

/* Shows the device what was added, and notifies it where it wants to be. Driver's lock held. */
void virtio_kick(struct virtio_queue *vq);
/* From a queue's work: it is called again, after others of its thread. */
void virtio_again(struct virtio_queue *vq);
/* why: a static string, of which the first is logged. irq-safe. */
void virtio_break(struct virtio_device *dev, const char *why);
/* The device is asked whether it is there and well, and given up where it is not. irq-safe. */
void virtio_look(struct virtio_device *dev);
/* Whose DMA it is: for dma_map. */
static inline struct device *virtio_dma(const struct virtio_device *dev)
{
    return dev->dev.parent;
}

/* ---- in remove, or after a probe that failed behind virtio_negotiate ---- */

/* Resets the device. When it returns no work and no event runs or will, and the device touches no
 * memory (see above for one that hangs). Nothing to do the second time. Context: may sleep; not
 * from a work or an event. */
void virtio_stop(struct virtio_device *dev);
/* After virtio_stop, when nothing is in the rings any more (virtq_detach). */
void virtio_queues_destroy(struct virtio_device *dev);
