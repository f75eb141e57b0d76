/* SPDX-License-Identifier: MIT
 *
 * Between rtl8139.c (life, interrupts, link) and rtl8139_ring.c (what is sent and received).
 *
 * Locks, as the e1000's: `run` (mutex, RANK_DRIVER 15) over the receiver, and over starting,
 * stopping and resetting the hardware; the queue's lock over the transmit ring.
 */
#pragma once

#include "dev/netdev.h"
#include "dev/netdev_buffer.h"
#include "dev/netdev_watch.h"
#include "dev/pci.h"
#include "drivers/net/rtl8139_regs.h"

#define ETHERNET_HEADER 14
#define RTL_RING 64 /* as many as there can be, of both */

/* What belongs to a transmit descriptor. */
struct rtl_sent {
    dma_addr_t addr;
    u32 len;          /* 0: none */
    struct packet *p; /* that ends here */
};

/* I immutable after probe · r run · a atomic · q the queue's lock · s stats_lock */
struct rtl {
    struct netdev dev;
    struct netdev_queue queue;
    struct pci_device *pci; /* I */
    struct io_region regs;  /* I, s to ask for counts */
    struct irq_handler irq; /* I */
    struct mutex run;
    bool running; /* r to write, a */
    bool gone;    /* a  its registers read as ones */
    bool link;    /* a  the link may have changed */
    struct netdev_watch watch;
    struct rtl_desc *rx_ring;       /* I */
    dma_addr_t rx_addr;             /* I */
    struct netdev_pool pool;        /* r */
    struct netdev_buffer *buffers;  /* r  RTL_RING while open */
    u32 rx_next;                    /* r */
    struct rtl_desc *tx_ring;       /* I */
    dma_addr_t tx_addr;             /* I */
    struct rtl_sent sent[RTL_RING]; /* q */
    u32 head, tail;                 /* q  first that is not done; next to fill; modulo 2^32 */
    u32 told;                       /* q  tail as the device knows it */
    u32 seen;   /* q  head when the watch looked, and one more; 0: nothing was under way */
    bool sends; /* q */
    struct spinlock stats_lock;
    u64 missed; /* s */
};

int rtl_rx_open(struct rtl *r) REQUIRES(r->run)
__must_check;
void rtl_rx_reset(struct rtl *r) REQUIRES(r->run);
void rtl_rx_close(struct rtl *r) REQUIRES(r->run);
/* Up to the budget; true: there is more. */
bool rtl_rx_some(struct rtl *r) REQUIRES(r->run);

/* The device has nothing of the ring; packets may be put on it, or not. */
void rtl_tx_reset(struct rtl *r, bool sends);
int rtl_transmit(struct netdev_queue *q, struct packet *p, bool more);
/* What was sent is freed; the queue goes on. */
void rtl_tx_done(struct rtl *r);
