/* SPDX-License-Identifier: MIT
 *
 * Between the files of the virtio network device: virtio_net.c (its life), virtio_net_tx.c (what it
 * sends), virtio_net_rx.c (what it receives), virtio_net_control.c (the control queue).
 *
 * Locks: a pair's `run` (mutex, RANK_DRIVER 15) over its receive ring, which stop takes to know
 * that no frame is on its way up; nothing that transmit takes is held while a frame goes up. The
 * transmit ring is under the netdev queue's lock. `control.lock` (mutex, RANK_DRIVER 14) over a
 * command.
 */
#pragma once

#include "dev/netdev.h"
#include "dev/netdev_buffer.h"
#include "dev/netdev_watch.h"
#include "dev/virtio.h"
#include "sched/wait.h"

#define ETHERNET_HEADER 14

#define F_CSUM (1ULL << 0)
#define F_GUEST_CSUM (1ULL << 1)
#define F_MTU (1ULL << 3)
#define F_MAC (1ULL << 5)
#define F_GUEST_TSO4 (1ULL << 7)
#define F_GUEST_TSO6 (1ULL << 8)
#define F_GUEST_ECN (1ULL << 9)
#define F_HOST_TSO4 (1ULL << 11)
#define F_HOST_TSO6 (1ULL << 12)
#define F_HOST_ECN (1ULL << 13)
#define F_MRG_RXBUF (1ULL << 15)
#define F_STATUS (1ULL << 16)
#define F_CTRL_VQ (1ULL << 17)
#define F_CTRL_RX (1ULL << 18)
#define F_MQ (1ULL << 22)
#define F_CTRL_MAC_ADDR (1ULL << 23)
#define F_GUEST_USO4 (1ULL << 54)
#define F_GUEST_USO6 (1ULL << 55)
#define F_HOST_USO (1ULL << 56)
#define F_SPEED_DUPLEX (1ULL << 63)
#define F_GUEST_SEGMENTS (F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN | F_GUEST_USO4 | F_GUEST_USO6)

#define HDR_NEEDS_CSUM 1
#define HDR_DATA_VALID 2

#define TX_PIECES (PACKET_FRAGS + 1)

struct vnet_hdr { /* 5.1.6 */
    u8 flags, gso_type;
    u16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
static_assert(sizeof(struct vnet_hdr) == 12, "virtio_net_hdr");

struct vnet;

/* I immutable once registered · r run · q the netdev queue's lock */
struct vnet_rx {
    struct mutex run;
    struct virtio_queue *vq;       /* I */
    struct netdev_pool pool;       /* r */
    struct netdev_buffer *buffers; /* I  of the ring's size */
    u32 filled;                    /* r  buffers that have memory */
};

/* A packet that the device has. */
struct vnet_sent {
    struct packet *p;
    struct vnet_sent *next; /* free */
    u32 n;
    struct virtq_piece pieces[TX_PIECES];
};

struct vnet_tx {
    struct virtio_queue *vq;  /* I */
    struct vnet_sent *sent;   /* I  of the ring's size */
    struct vnet_sent *free;   /* q */
    struct netdev_watch reap; /* its ns: q */
    bool silent;              /* q  the log has said so */
};

struct vnet_pair {
    struct vnet *v;         /* I */
    struct netdev_queue *q; /* I */
    struct vnet_rx rx;
    struct vnet_tx tx;
};

struct vnet_control {
    struct mutex lock;
    struct virtio_queue *vq; /* I  or NULL */
    u8 *bytes;          /* lock, while no command is under way: command, data, and the answer */
    dma_addr_t addr;    /* I */
    bool pending;       /* lock  the device has it */
    struct waitq waitq; /* it may have come back */
};

struct vnet {
    struct netdev dev;
    struct virtio_device *vdev;  /* I */
    struct netdev_queue *queues; /* I  nr of them */
    struct vnet_pair *pairs;     /* I */
    u32 nr;                      /* I */
    bool merge;                  /* I  frames may take several buffers */
    bool broken;                 /* a */
    struct vnet_control control;
};

/* ---- virtio_net_tx.c ---- */

/* -ENOMEM. May sleep. */
int vnet_tx_make(struct vnet_pair *pair) __must_check;
int vnet_transmit(struct netdev_queue *q, struct packet *p, bool more);
/* The transmit queue's work. */
void vnet_tx_work(struct virtio_queue *vq);
/* The device touches nothing any more: what it had is dropped. */
void vnet_tx_give_up(struct vnet_pair *pair);
/* After that. */
void vnet_tx_free(struct vnet_pair *pair);

/* ---- virtio_net_rx.c; may sleep ---- */

int vnet_rx_make(struct vnet_pair *pair) __must_check;
/* Makes the buffers that lack memory and gives them to the device: 0 or -ENOMEM. */
int vnet_rx_fill(struct vnet_pair *pair) __must_check;
/* The receive queue's work. One round: where more has come meanwhile the interrupt's thread calls
 * again, unless the device is stopped. */
void vnet_rx_work(struct virtio_queue *vq);
void vnet_rx_give_up(struct vnet_pair *pair);
/* stuck: the device may still write to the buffers, so they are lost. */
void vnet_rx_free(struct vnet_pair *pair, bool stuck);

/* ---- virtio_net_control.c; may sleep ---- */

int vnet_control_make(struct vnet *v) __must_check;
void vnet_control_work(struct virtio_queue *vq);
/* Which of its queues the device uses: as many pairs as were made. 0, -EIO: it refuses, or does not
 * answer; -EOPNOTSUPP: it has no control queue. So do those below. */
int vnet_control_pairs(struct vnet *v) __must_check;
int vnet_control_address(struct vnet *v, const u8 *addr) __must_check;
/* What is let through: as netdev_wants_* and the groups say. config held. */
void vnet_control_filter(struct vnet *v);
void vnet_control_give_up(struct vnet *v);
void vnet_control_free(struct vnet *v, bool stuck);
