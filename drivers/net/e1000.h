/* SPDX-License-Identifier: MIT
 *
 * Between the files of the e1000 driver: e1000.c (life, interrupts, link), e1000_hw.c (what is
 * written to and read from registers, without locks or time), e1000_tx.c and e1000_rx.c.
 *
 * Locks: `run` (mutex, RANK_DRIVER 15, below the device's config) over the receiver, and over
 * starting, stopping and resetting the hardware; the queue's lock over the transmit ring, as
 * netdev.h has it; it may be taken under `run`.
 */
#pragma once

#include "dev/netdev.h"
#include "dev/netdev_buffer.h"
#include "dev/netdev_watch.h"
#include "dev/pci.h"
#include "drivers/net/e1000_regs.h"

#define ETHERNET_HEADER 14
#define E1000_RX_RING 128
#define E1000_TX_RING 256
#define E1000_MTU_MAX 9000
#define E1000_FRAME_FRAGS 8 /* buffers of the largest frame */

/* What a model has. */
struct e1000_model {
    const char *name;
    bool is_82574; /* its EEPROM, its MSI-X; no segments */
};

struct e1000_rx {
    struct e1000_rx_desc *ring;
    dma_addr_t addr;
    struct netdev_pool pool;
    struct netdev_buffer *buffers; /* E1000_RX_RING while open */
    u32 next;                      /* the descriptor that is filled next */
    struct packet *part;           /* of a frame that goes on in the next one */
    bool bad;                      /* and is dropped at its end */
};

/* What belongs to a descriptor. */
struct e1000_sent {
    dma_addr_t addr; /* the mapping that ends here; len 0: none */
    u32 len;
    u32 last;         /* of the packet that begins here */
    struct packet *p; /* that ends here */
};

/* All under the queue's lock. head and tail count descriptors, modulo 2^32. */
struct e1000_tx {
    union e1000_tx_desc *ring;
    dma_addr_t addr;
    struct e1000_sent *sent;     /* E1000_TX_RING while open */
    u32 head, tail;              /* first that is not done; next to fill */
    u32 told;                    /* tail as the device knows it */
    union e1000_tx_desc context; /* as the device has it */
    bool segments;               /* the last packet was cut by the device */
    u32 seen;                    /* head when the watch looked */
};

/* I immutable after probe · r run · a atomic · s stats_lock · q the queue's lock */
struct e1000 {
    struct netdev dev;
    struct netdev_queue queue;
    struct pci_device *pci;          /* I */
    const struct e1000_model *model; /* I */
    struct io_region regs;           /* I */
    struct irq_handler irqs[2];      /* I  queues; with MSI-X also the rest */
    unsigned nr_irqs;                /* I */
    struct mutex run;
    bool running;       /* r to write, a */
    bool gone;          /* a  its registers read as ones */
    u32 causes;         /* a  that the handler has seen, for the thread */
    struct e1000_rx rx; /* r */
    struct e1000_tx tx; /* q */
    struct netdev_watch watch;
    struct spinlock stats_lock;
    struct netdev_stats total; /* s */
};

static inline u32 e1000_read(const struct e1000 *e, u32 reg)
{
    return io_read32(&e->regs, reg);
}
static inline void e1000_write(const struct e1000 *e, u32 reg, u32 v)
{
    io_write32(&e->regs, reg, v);
}

/* ---- e1000_hw.c ---- */

/* Begins a reset; e1000_hw_is_reset 1 ms later says whether it has ended: 0, -EBUSY, -ENXIO (the
 * registers read as ones: the device is not there). */
void e1000_hw_reset(const struct io_region *regs, const struct e1000_model *model);
int e1000_hw_is_reset(const struct io_region *regs);
/* The address that the device has from its EEPROM. -EIO: none that is one. */
int e1000_hw_address(const struct io_region *regs, const struct e1000_model *model,
                     u8 *addr) __must_check;
void e1000_hw_set_address(const struct io_region *regs, const u8 *addr);
/* all: every frame; multicast: every group's; else the groups given. RCTL is written with `rctl`.
 */
void e1000_hw_filter(const struct io_region *regs, u32 rctl, bool all, bool multicast,
                     const u8 (*groups)[NETDEV_ADDR], u32 nr_groups);
/* Adds what was counted since the last call. */
void e1000_hw_stats(const struct io_region *regs, struct netdev_stats *out);
/* Begin to send and receive, with rings that are set up. */
void e1000_hw_start_tx(const struct io_region *regs, const struct e1000_model *model, u64 ring,
                       u32 bytes);
void e1000_hw_start_rx(const struct io_region *regs, u64 ring, u32 bytes, u32 last);

/* ---- e1000_tx.c: queue's lock held where `_locked` ---- */

int e1000_tx_open(struct e1000 *e) __must_check;
/* The device does not send any more: all that it had is dropped. */
void e1000_tx_close(struct e1000 *e);
void e1000_tx_reset_locked(struct e1000 *e) REQUIRES(e->queue.lock);
int e1000_transmit(struct netdev_queue *q, struct packet *p, bool more);
/* What was sent is freed; the queue goes on. */
void e1000_tx_done(struct e1000 *e);

/* ---- e1000_rx.c: run held ---- */

int e1000_rx_open(struct e1000 *e) REQUIRES(e->run)
__must_check;
void e1000_rx_close(struct e1000 *e) REQUIRES(e->run);
/* All descriptors are the device's, from the first. */
void e1000_rx_reset(struct e1000 *e) REQUIRES(e->run);
/* Up to the budget; true: there is more. */
bool e1000_rx_some(struct e1000 *e) REQUIRES(e->run);
