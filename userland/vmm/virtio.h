/* SPDX-License-Identifier: MIT
 *
 * A virtio device (virtio 1.2): what lies between its transport (virtio_mmio.c, virtio_pci.c) and
 * its model (console.c, rng.c, blk.c). Neither knows the other.
 *
 * The device's lock guards all of it. A transport takes it around register accesses and calls what
 * is below; a model's ops are called with it held. A model whose requests may wait (`waits`) is
 * kicked in the device's thread, any other in the thread of the vCPU that rang. What may wait for
 * the host is done without the lock (virtio_wait_begin): no vCPU is kept waiting by another's
 * request but by a reset, which ends when the request does.
 *
 * What the guest puts in a queue is copied and checked (virtq.h): a queue that is not sound stops
 * the device (DEVICE_NEEDS_RESET) and nothing else.
 */
#pragma once

#include <stdbool.h>

#include "uapi/virtio_mmio.h" /* STATUS_* */
#include "vmm/device.h"
#include "vmm/virtq.h"

#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)

#define ISR_USED 1u
#define ISR_CONFIG 2u

struct virtio;
struct virtio_queue;
struct virtio_pci;

struct virtio_model {
    const char *name;
    uint32_t id;        /* virtio 1.2, 5 */
    uint32_t pci_class; /* class, subclass, interface */
    uint16_t queue_num; /* entries that a queue may have */
    bool waits;
    /* The driver has rung for this queue, or may have: pops until there is nothing. */
    void (*kick)(struct virtio *v, unsigned queue);
    /* The driver has reset the device: no request that was popped is pushed any more. Or NULL. */
    void (*reset)(struct virtio *v);
    /* A byte of the configuration space; 0 beyond its end. Or NULL. */
    uint8_t (*config)(struct virtio *v, unsigned offset);
};

struct virtio_transport {
    /* Interrupts the driver: a queue has used buffers, or the configuration or status changed. */
    void (*signal)(struct virtio *v, const struct virtio_queue *q);
    void (*signal_config)(struct virtio *v);
    /* Connects the doorbell with the device's bell, or takes it off. */
    void (*doorbell)(struct virtio *v, bool on);
    /* The device was reset: no interrupt is raised any more. */
    void (*reset)(struct virtio *v);
};

struct virtio_queue {
    struct virtq ring;
    struct virtq_setup setup; /* as the driver writes it, checked when the queue is turned on */
    uint16_t vector;          /* PCI: the MSI-X vector, or NO_VECTOR */
};

/* I immutable once the guest runs · v dev.lock */
struct virtio {
    struct device dev;
    const struct virtio_model *model;         /* I */
    const struct virtio_transport *transport; /* I */
    uint64_t features;                        /* I  offered */
    unsigned nqueues;                         /* I */
    unsigned gsi;                             /* I  MMIO: the line */
    struct virtio_pci *pci;                   /* I  PCI: the function */
    struct virtio_queue *queues;              /* v */
    uint64_t accepted;                        /* v  stays while requests wait */
    uint32_t features_sel, driver_sel;        /* v */
    uint32_t queue_sel;                       /* v */
    uint8_t status;                           /* v */
    uint8_t isr;                              /* v  why its line is high (ISR_*) */
    bool cut;                                 /* v  PCI: it may not reach memory */
    unsigned waiting;                         /* v  requests that wait, without the lock */
    unsigned stopping;                        /* v  resets that wait for them */
    pthread_cond_t idle;                      /* v */
};

/* ---- for models ---- */

/* Puts the device on the VM's transport. Before the guest runs. */
void virtio_create(struct virtio *v, struct vm *vm, const struct virtio_model *model,
                   uint64_t features, unsigned nqueues);
/* Takes the next request of a queue. False: none is there, the device does not run, or the queue
 * was unsound. Lock held, as below. */
bool virtio_pop(struct virtio *v, unsigned queue, struct virtq_chain *chain);
/* Gives it back, `written` bytes of its writable part used, and interrupts if that is wanted. */
void virtio_push(struct virtio *v, unsigned queue, uint16_t head, uint32_t written);
/* A request that was taken waits from here to there, without the lock: its memory is the device's,
 * which is not reset meanwhile. Any number may wait at once. */
void virtio_wait_begin(struct virtio *v);
void virtio_wait_end(struct virtio *v);

/* ---- for transports; lock held ---- */

void virtio_mmio_create(struct virtio *v, struct vm *vm);
void virtio_pci_create(struct virtio *v, struct vm *vm);

/* The device_ops.work of a model that waits. */
void virtio_work(struct device *d);

/* The half of the features that features_sel says, and the driver's, by driver_sel. */
uint32_t virtio_offered(const struct virtio *v);
void virtio_accept(struct virtio *v, uint32_t half);
/* May let the lock go: a reset waits for a request that waits. */
void virtio_set_status(struct virtio *v, uint8_t status);
/* The queue that queue_sel says, or NULL. */
struct virtio_queue *virtio_selected(struct virtio *v);
/* Turns it on as its setup says, or off. May let the lock go. A wrong setup breaks the device. */
void virtio_queue_enable(struct virtio *v, struct virtio_queue *q, bool on);
/* The driver rang, by a write that exited. May let the lock go. */
void virtio_ring(struct virtio *v, uint32_t queue);
/* All doorbells rang, or may have. May let the lock go. */
void virtio_look(struct virtio *v);
uint64_t virtio_config(struct virtio *v, uint64_t offset, unsigned len);
/* Replaces a half of a 64-bit register. */
void virtio_set_half(uint64_t *value, bool high, uint32_t half);
