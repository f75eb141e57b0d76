/* SPDX-License-Identifier: MIT
 *
 * A virtio console and its ports: what virtio_console.c (the device, its control messages) and
 * virtio_port.c (the files /dev/vportNpM) share.
 *
 * The console's lock guards its queues and the states of its ports; it is taken by threads only.
 * Once `gone` is set under it, the queues are touched no more: they go with the device, while the
 * struct and its ports stay for those who have a port open. Lock order: a port's mutex of one
 * direction, then the console's lock, then wait queues; no lock is held over a copy of user memory
 * but the mutex.
 */
#pragma once

#include "dev/node.h"
#include "dev/virtio.h"
#include "lib/list.h"
#include "sched/mutex.h"
#include "sync/spinlock.h"

#define MAJOR_VPORT 246
#define VPORTS_MAX 32 /* of a console: minors of one follow those of another */
#define VCONSOLES_MAX 16
#define VPORT_BUFFERS 4 /* each way, of a page */
#define VPORT_NAME_MAX 64

/* Control messages (5.3.6.2). */
enum vport_event_kind {
    EV_DEVICE_READY,
    EV_PORT_ADD,
    EV_PORT_REMOVE,
    EV_PORT_READY,
    EV_CONSOLE_PORT,
    EV_RESIZE,
    EV_PORT_OPEN,
    EV_PORT_NAME
};

struct vport_buffer {
    void *data;
    dma_addr_t addr;
    u32 len, done; /* received: written by the host, read by us */
    bool busy;     /* the device has it */
};

enum vport_host { HOST_UNKNOWN, HOST_OPEN, HOST_CLOSED };

/* I immutable · d console's lock · r read_lock · w write_lock */
struct vport {
    struct vconsole *console;                                 /* I */
    u32 id;                                                   /* I */
    bool added;                                               /* d  the host has such a port now */
    bool open;                                                /* d  by a file here */
    enum vport_host host;                                     /* d */
    struct virtio_queue *in, *out;                            /* d */
    struct vport_buffer rx[VPORT_BUFFERS], tx[VPORT_BUFFERS]; /* d  data: r, w */
    struct vport_buffer *current;                             /* r  partly read */
    bool filled;                                              /* r  rx buffers were allocated */
    char name[VPORT_NAME_MAX];                                /* d  the host's name of it */
    struct mutex read_lock, write_lock;
    struct waitq waitq;
    struct dev_node *node; /* its name in /dev, or NULL: the control queue's thread, remove */
};

/* I immutable once listed · d lock · l vconsole_list_lock */
struct vconsole {
    struct spinlock lock;
    refcount_t ref;
    struct list_node node;                         /* l */
    u32 index;                                     /* I  the N of vportNpM */
    struct virtio_device *vdev;                    /* d  until gone */
    bool gone;                                     /* d */
    bool stuck;                                    /* I  once gone: it may still write */
    bool multiport;                                /* I */
    u32 nr_ports;                                  /* I */
    struct virtio_queue *control_in, *control_out; /* d */
    struct vport_control *control;                 /* d  device memory */
    dma_addr_t control_addr;                       /* I */
    u32 control_used;                /* d  buffers for sending that were used at least once */
    struct vport *ports[VPORTS_MAX]; /* d  set once: by the first PORT_ADD */
    struct virtio_queue **queues;    /* I  all, as the device numbers them */
};

/* virtio_console.c */
/* The port, with a reference to its console; NULL: no such. */
struct vport *vport_find(u32 minor);
void vconsole_put(struct vconsole *c);
/* The console's lock is held. A host that does not take messages gets no more. */
void vport_send_locked(struct vconsole *c, u32 port, u16 event, u16 value) REQUIRES(c->lock);

/* virtio_port.c */
/* The device touches nothing any more: ends mappings, frees what is not read. */
void vport_give_up(struct vport *port);
void vport_free(struct vport *port);
