/* SPDX-License-Identifier: MIT
 *
 * Virtio devices (virtio 1.1) as a driver sees them: a device that some transport found, and split
 * vringueues whose requests are single buffers. The host behind a device is not trusted: lengths
 * and indices it returns are checked, and a device that breaks the rules is not asked again.
 */
#pragma once

#include "dev/irq.h"
#include "lib/types.h"

#define VIRTIO_CONSOLE 3

#define VIRTIO_F_VERSION_1 (1ULL << 32)

/* One queue. Not locked: the driver's own lock guards it. */
struct vring {
    unsigned index, num;
    struct vring_desc *desc; /* the ring's page holds descriptors, available and used rings */
    volatile u16 *avail;
    volatile u16 *used;
    u16 free_head, nr_free, next_avail, last_used;
    u16 next[64]; /* free descriptors: not in the ring, which the host can write */
    u32 lens[64]; /* of what was added, by descriptor */
    void *tokens[64];
    bool broken;
};
#define VRING_MAX 64

struct virtio_device;
struct virtio_ops {
    u64 (*features)(struct virtio_device *dev);
    /* Negotiates; false: the device refuses them. */
    bool (*accept)(struct virtio_device *dev, u64 features);
    /* Tells the device of the queue; 0, -ENOENT (it has no such queue), -EINVAL. */
    int (*queue_set)(struct virtio_device *dev, struct vring *q);
    void (*notify)(struct virtio_device *dev, unsigned queue);
    void (*ready)(struct virtio_device *dev);
    void (*reset)(struct virtio_device *dev);
    u32 (*config32)(struct virtio_device *dev, unsigned offset);
};

struct virtio_device {
    const struct virtio_ops *ops;
    u32 id; /* VIRTIO_* */
    /* Set by the driver before ready: called in interrupt context after the device asked. */
    void (*interrupt)(struct virtio_device *dev);
    void *driver;
};

/* A transport adds what it finds at INIT_DEV, up to eight; drivers look at INIT_DRIVER. */
int virtio_register(struct virtio_device *dev);
/* The nth device of that kind, or NULL. */
struct virtio_device *virtio_find(u32 id, unsigned nth);

/* Makes the ring, of at most num requests, and gives it to the device. -ENOMEM, or queue_set's. */
int vring_create(struct virtio_device *dev, struct vring *q, unsigned index,
                 unsigned num) __must_check;
/* Adds one buffer (physically contiguous). -ENOSPC: the queue is full; -EIO: broken. */
int vring_add(struct vring *q, void *buf, u32 len, bool device_writes, void *token) __must_check;
/* A request that the device finished: its token, and how much it wrote; NULL: none. */
void *vring_take(struct vring *q, u32 *written);
