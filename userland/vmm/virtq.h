/* SPDX-License-Identifier: MIT
 *
 * A split virtqueue as its device sees it (virtio 1.2, 2.7): the pure core. It knows no lock, no
 * clock, no transport and no memory but the guest's, and builds on the host as it is.
 *
 * The driver is not trusted, and the rings lie in memory that it may change at any time: each word
 * is copied once, the copy is checked, and the copy is used. An index that runs ahead, a descriptor
 * beyond the ring, a loop, an address outside of RAM, lengths whose sum is 4 GiB or more, a table
 * within a table: virtq_pop says -EPROTO, the queue gives nothing any more, and its owner asks the
 * driver for a reset. A chain that was given out is checked: its pieces lie in RAM.
 *
 * The driver notifies the device when the device listens (virtq_listen), and the device interrupts
 * the driver when virtq_signal_due says so: by the event indices where they are agreed upon
 * (2.7.7.2, 2.7.10), else by the flags.
 *
 * Everything is called with the owner's lock of the queue held. Each call ends after at most as
 * many steps as the ring or a chain has entries.
 */
#pragma once

#include <stddef.h>
#include <sys/uio.h>

#include "vmm/mem.h"

#define VIRTQ_NUM_MAX 32768

/* What the driver said of a queue before it turned it on. */
struct virtq_setup {
    uint32_t num;               /* entries */
    uint64_t desc, avail, used; /* guest addresses */
};

/* What both agreed upon. */
#define VIRTQ_INDIRECT 1u  /* VIRTIO_F_INDIRECT_DESC */
#define VIRTQ_EVENT_IDX 2u /* VIRTIO_F_EVENT_IDX */

struct virtq {
    const struct memory *mem; /* NULL: the queue is off */
    uint32_t num;             /* entries, a power of two */
    unsigned flags;           /* VIRTQ_* */
    const char *why;          /* broken: what the driver did; for good */
    const void *desc;         /* host addresses, inside guest memory */
    uint16_t *avail;          /* flags, index, ring[num], used_event */
    uint16_t *used;           /* flags, index, {u32 id, len}[num], avail_event */
    uint16_t next_avail;      /* of the driver's ring, the next entry to take */
    uint16_t next_used;       /* the used index as the driver sees it */
    uint16_t signalled;       /* the used index when an interrupt was last decided on */
};

/* A request: first the pieces that the device reads, then those that it writes. */
struct virtq_chain {
    uint16_t head;
    unsigned out, in;
    uint64_t out_len, in_len; /* bytes; together less than 4 GiB */
    struct iovec *iov;        /* out + in pieces, host addresses inside guest memory */
    unsigned iov_max;         /* the caller gives iov and how many fit */
};

/* Turns a queue on, empty. mem is borrowed until virtq_stop. -EINVAL: num is no power of two up to
 * VIRTQ_NUM_MAX, or a part is not aligned, or not in one region of RAM; the queue stays off. */
int virtq_start(struct virtq *q, const struct memory *mem, const struct virtq_setup *setup,
                unsigned flags);
void virtq_stop(struct virtq *q);
static inline bool virtq_is_on(const struct virtq *q)
{
    return q->mem != NULL;
}

/* Takes the next request: 1; 0: none is there, or the queue is off; -EPROTO: it is broken (a
 * request of more than iov_max pieces breaks it too). */
int virtq_pop(struct virtq *q, struct virtq_chain *chain);
/* Gives the request `head` back, `written` bytes of its writable part used. Nothing if it is off.
 */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);
/* Whether the driver wants an interrupt for what was given back since this was last asked. */
bool virtq_signal_due(struct virtq *q);

/* The driver need not notify: the device will look by itself. It may notify all the same. */
void virtq_quiet(struct virtq *q);
/* The driver is to notify from now on. True: something came meanwhile, which it may not notify of,
 * or the queue broke: pop again. */
bool virtq_listen(struct virtq *q);

/* ---- bytes of a chain, however the driver has cut it into pieces ---- */

/* Copies from the readable part, beginning `skip` bytes into it, or to the writable one: how many.
 */
size_t virtq_read(const struct virtq_chain *chain, uint64_t skip, void *to, size_t len);
size_t virtq_write(const struct virtq_chain *chain, uint64_t skip, const void *from, size_t len);
/* Cuts n pieces in place to the `len` bytes that begin `skip` bytes into them: how many pieces are
 * left, from iov[0] on. skip + len is at most what they have. */
unsigned virtq_cut(struct iovec *iov, unsigned n, uint64_t skip, uint64_t len);
