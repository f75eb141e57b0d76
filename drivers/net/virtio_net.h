/* SPDX-License-Identifier: MIT
 *
 * Between virtio_net.c (the device, and what it sends) and virtio_net_rx.c (what it receives).
 */
#pragma once

#include "dev/netdev.h"
#include "dev/virtio.h"

#define ETHERNET_HEADER 14

#define F_CSUM (1ULL << 0)
#define F_GUEST_CSUM (1ULL << 1)
#define F_MTU (1ULL << 3)
#define F_MAC (1ULL << 5)
#define F_HOST_TSO4 (1ULL << 11)
#define F_HOST_TSO6 (1ULL << 12)
#define F_MRG_RXBUF (1ULL << 15)
#define F_STATUS (1ULL << 16)

#define HDR_NEEDS_CSUM 1
#define HDR_DATA_VALID 2

#define BUFFER 2048 /* bytes: two in a page */
#define TX_PIECES (PACKET_FRAGS + 1)

struct vnet_hdr { /* 5.1.6 */
    u8 flags, gso_type;
    u16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
static_assert(sizeof(struct vnet_hdr) == 12, "virtio_net_hdr");

/* A receive buffer; one for each entry of the ring. */
struct vnet_buffer {
    struct page *page; /* a reference */
    u32 offset;
    dma_addr_t addr;
};

struct vnet_rx {
    struct mutex run;
    struct virtio_queue *vq;
    struct vnet_buffer *buffers; /* of the ring's size */
    struct page *half;           /* run  its second half is free; a reference */
};

/* A packet that the device has. */
struct vnet_sent {
    struct packet *p;
    struct vnet_sent *next; /* free */
    u32 n;
    struct virtq_piece pieces[TX_PIECES];
};

struct vnet_tx {
    struct spinlock lock;
    struct virtio_queue *vq;
    struct vnet_sent *sent; /* of the ring's size */
    struct vnet_sent *free; /* lock */
};

struct vnet {
    struct netdev dev;
    struct netdev_queue queue;
    struct virtio_device *vdev;
    bool merge;  /* I  frames may take several buffers */
    bool broken; /* a */
    struct vnet_rx rx;
    struct vnet_tx tx;
};

/* Makes the buffers and gives them to the device: 0 or -ENOMEM, then vnet_rx_free takes back what
 * was made. Context: may sleep, as all below. */
int vnet_rx_fill(struct vnet *v) __must_check;
/* The receive queue's work. One round: where more has come meanwhile the interrupt's thread calls
 * again, unless the device is stopped. */
void vnet_rx_work(struct virtio_queue *vq);
/* The device touches nothing any more: its buffers come back. */
void vnet_rx_give_up(struct vnet *v);
/* n buffers were made. stuck: the device may still write to them, so they are lost. */
void vnet_rx_free(struct vnet *v, u32 n, bool stuck);
