/* SPDX-License-Identifier: MIT
 *
 * A virtio device on the MMIO transport (virtio 1.1, 4.2), split queues, no optional features.
 *
 * The device's lock guards everything here; the transport takes it around every operation of
 * the device and the device takes it in its own entry points. What the guest puts in a queue is
 * copied and checked: a chain that is not sound stops the device (DEVICE_NEEDS_RESET) and
 * nothing else.
 */
#pragma once

#include <pthread.h>
#include <sys/uio.h>

#include "vmm/vmm.h"

#define VIRTQ_MAX 128 /* entries; what QueueNumMax says */
#define VIRTIO_QUEUES 16
#define CHAIN_MAX 32

#define VIRTIO_F_VERSION_1 (1ull << 32)

struct virtq {
    uint32_t num;
    bool ready;
    uint64_t desc, avail, used;
    uint16_t next_avail; /* of the guest's ring, the next entry to take */
    uint16_t next_used;
};

/* One request taken from a queue: host addresses of its buffers, all inside guest memory. */
struct virtq_chain {
    uint16_t head;
    unsigned count;    /* of the buffers in iov */
    unsigned writable; /* the last so many of them are for the device to write */
    struct iovec iov[CHAIN_MAX];
};

struct virtio_device;
struct virtio_ops {
    uint32_t device_id;
    uint64_t features;
    unsigned queues;
    /* All with the device's lock held. */
    void (*notify)(struct virtio_device *d, unsigned queue);
    void (*reset)(struct virtio_device *d);
    uint8_t (*config)(struct virtio_device *d, unsigned offset);
};

struct virtio_device {
    pthread_mutex_t lock;
    struct vm *vm;
    const struct virtio_ops *ops;
    unsigned gsi;
    uint32_t features_sel, driver_sel, queue_sel;
    uint64_t driver_features;
    uint32_t status;
    uint32_t interrupt;
    struct virtq queues[VIRTIO_QUEUES];
};

/* Puts the device at the next free place and tells `vm`. Before the guest runs. */
void virtio_register(struct vm *vm, struct virtio_device *d, const struct virtio_ops *ops);

/* Takes the next request. False: none is there, or the queue is not ready or unsound. */
bool virtq_pop(struct virtio_device *d, unsigned queue, struct virtq_chain *chain);

/* Gives a request back, `written` bytes of its writable part used, and interrupts. */
void virtq_push(struct virtio_device *d, unsigned queue, const struct virtq_chain *chain,
                uint32_t written);
