/* SPDX-License-Identifier: MIT
 *
 * A packet: a header of linear bytes with space before it, and fragments of pages behind. A NIC's
 * pages become a receiver's, a page cache's pages a NIC's: payload is never copied on its way, only
 * headers are.
 *
 * Ownership. A packet has one owner; a function that "takes" it frees it or hands it on, on errors
 * too, and the caller does not look at it again. It lies in at most one list, by `node`. Its linear
 * bytes are its own and may be written by the owner. Each fragment is a reference to its page; the
 * bytes may be shared (a file's page cache, a clone's, a transmission that waits for its
 * acknowledgment), so nothing writes them after the packet was made.
 *
 * Charges. The struct is charged like any object to the thread that makes it, a page to the account
 * that it was allocated for; interrupt threads have no account. Once the receiver is known,
 * packet_charge moves the charge for all that the packet keeps alive (`cost`) to its account, or
 * fails, and the packet is dropped: memory is charged before it lies in a queue that a program
 * fills.
 *
 * Device. `dev` is whence it came, or through which it goes; borrowed: good while a call of the
 * device's receive or transmit lasts. A layer that keeps a packet longer drops it when the device
 * goes (net/core/device.h tells), or takes a reference.
 *
 * Checksums and segments are virtio-net's words (virtio 1.2, 5.1.6): a packet with
 * PACKET_CSUM_PARTIAL has the sum of the pseudo header in its checksum field, and csum_start and
 * csum_offset say which bytes are still to be summed; gso says into what its payload is still to be
 * cut. A device that cannot do either gets it done by netdev_transmit (sums) or its caller
 * (segments).
 *
 * Control. `control` belongs to the layer that has the packet in a queue of its own: a message of a
 * socket's queue (net/core/queue.h) and a piece of a TCP stream lie there, so that to queue a
 * packet takes no memory.
 *
 * Context: irq-safe, never sleeps, but packet_alloc, which fails. Offsets and lengths are bytes.
 */
#pragma once

#include "dev/packet_words.h"
#include "lib/errno.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/types.h"
#include "mm/account.h"
#include "mm/page.h"

struct netdev;

#define PACKET_HEAD 288 /* linear bytes, and the space before them */
#define PACKET_HEADROOM                                                       \
    128 /* of a new packet: a tagged link's, IPv6's and TCP's largest headers \
         */
#define PACKET_LINEAR (PACKET_HEAD - PACKET_HEADROOM)
#define PACKET_FRAGS 18 /* 64 KiB in pages, not aligned, and one more */
#define PACKET_LEN_MAX 65550U
#define PACKET_CONTROL 128 /* bytes for the layer that holds it */

struct packet_frag {
    struct page *page; /* a reference; may be the head of a block */
    u32 offset, len;
};

enum packet_flags {
    PACKET_CSUM_PARTIAL = 1 << 0, /* csum_start and csum_offset are to be done */
    PACKET_CSUM_VALID = 1 << 1,   /* received: the device has checked the transport's */
};
/* Who counts the packets that it has under way, and is told when one is freed or has come to a
 * receiver. */
struct packet;
struct packet_sender {
    /* n: what was counted. Under any lock; never sleeps. */
    void (*gone)(struct packet_sender *sender, u32 n);
};
/* Whom a received frame was sent to, by its link address. */
enum packet_kind { PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST, PACKET_OTHER };

struct packet {
    struct list_node node; /* the queue it lies in */
    struct netdev *dev;
    struct account *account; /* charged for `charged` bytes, or NULL */
    u32 charged;
    u32 len;    /* of all */
    u16 start;  /* of the first byte, in head */
    u16 linear; /* bytes in head */
    u8 nr_frags;
    u8 kind;                      /* enum packet_kind */
    u8 flags;                     /* enum packet_flags */
    u8 gso;                       /* enum packet_gso */
    u16 gso_size;                 /* payload bytes of each segment */
    u16 gso_header;               /* bytes of all headers, a hint */
    u16 csum_start, csum_offset;  /* from the first byte, as that moves; from csum_start */
    u16 protocol;                 /* ethertype of what the first byte begins */
    u16 vlan;                     /* tag that hardware took off, or is to put on; 0: none */
    u16 link, network, transport; /* where those headers begin, in head; set as they are parsed */
    u16 queue;                    /* received: the device's queue */
    u32 hash;                     /* of the flow; 0: not known */
    u32 mark, priority;
    u64 time;                        /* ns of time_ns() when it came; 0: not known */
    struct packet_sender *sender;    /* or NULL */
    u32 sent;                        /* counted there */
    u64 control[PACKET_CONTROL / 8]; /* its owner's, which says what is in it; not cleared */
    struct packet_frag frags[PACKET_FRAGS];
    u8 head[PACKET_HEAD];
};

/* An empty packet; NULL: no memory. */
struct packet *packet_alloc(void) __must_check;
/* A packet that came is sent as the answer: what is said of how it came holds no longer. */
void packet_reuse(struct packet *p);
/* Takes p; NULL does nothing. */
void packet_free(struct packet *p);
/* All of a list, which is empty then. Context: may yield the CPU. */
void packets_free(struct list_node *list);
/* Another packet of the same bytes, whose pages are shared; uncharged. NULL: no memory. */
struct packet *packet_clone(const struct packet *p) __must_check;

/* Its sender has it no longer under way. */
static inline void packet_arrived(struct packet *p)
{
    struct packet_sender *sender = p->sender;

    p->sender = NULL;
    if (sender)
        sender->gone(sender, p->sent);
}
static inline u8 *packet_data(struct packet *p)
{
    return p->head + p->start;
}
/* n more bytes before the first; NULL: no space. */
static inline u8 *packet_push(struct packet *p, u32 n)
{
    if (n > p->start)
        return NULL;
    p->start = (u16)(p->start - n);
    p->linear = (u16)(p->linear + n);
    p->len += n;
    p->csum_start = (u16)(p->csum_start + n);
    return packet_data(p);
}
/* The first n bytes are done with; they must be linear. */
static inline void packet_pull(struct packet *p, u32 n)
{
    p->start = (u16)(p->start + n);
    p->linear = (u16)(p->linear - n);
    p->len -= n;
    p->csum_start = (u16)(p->csum_start - n);
}
/* n bytes at the end of a packet without fragments; NULL: no space. */
u8 *packet_append(struct packet *p, u32 n);
/* len bytes of a page at the end; takes the reference on 0. -EMSGSIZE: too many, or too long. */
int packet_add_page(struct packet *p, struct page *page, u32 offset, u32 len) __must_check;
/* For packet_need: n is more than is linear. */
u8 *packet_need_more(struct packet *p, u32 n) __must_check;
/* Makes the first n bytes linear: a pointer to them; NULL: it has not so many, or they do not fit
 * in head. */
static inline __must_check u8 *packet_need(struct packet *p, u32 n)
{
    return likely(n <= p->linear) ? packet_data(p) : packet_need_more(p, n);
}
/* The same of a packet that came, which may use the space before its first byte as well: the
 * headers that were pulled and lay there are lost then, and pointers into its bytes no longer hold.
 */
u8 *packet_need_room(struct packet *p, u32 n) __must_check;
/* The first n <= len bytes are done with, wherever they lie. */
void packet_skip(struct packet *p, u32 n);
/* n bytes of p from offset, which it has, to out. */
void packet_copy(const struct packet *p, u32 offset, u32 n, void *out);
/* Appends n bytes of `from`, which it has, from offset on: linear bytes are copied, pages shared.
 * -EMSGSIZE: too many fragments, no space for linear bytes; some may have been appended. */
int packet_add_slice(struct packet *p, const struct packet *from, u32 offset, u32 n) __must_check;
/* Cuts all but the first len bytes. */
void packet_trim(struct packet *p, u32 len);
/* The longest stretch of bytes from offset < p->len that lies in one place, of at most n: *len of
 * them. They are not to be written. */
const u8 *packet_stretch(const struct packet *p, u32 offset, u32 n, u32 *len);
/* The internet checksum (RFC 1071) of n bytes from offset, added to `sum` and not folded. */
u64 packet_sum(const struct packet *p, u32 offset, u32 n, u64 sum);
/* Does what PACKET_CSUM_PARTIAL asks for. False: its words lie outside the linear bytes. */
bool packet_finish_sum(struct packet *p) __must_check;

/* What it keeps alive. */
static inline u32 packet_cost(const struct packet *p)
{
    return (u32)sizeof(*p) + p->nr_frags * (u32)PAGE_SIZE;
}
/* Charges p to a until it is freed, no longer to its former account. 0 or -ENOMEM: nothing changed.
 */
static inline __must_check int packet_charge(struct packet *p, struct account *a)
{
    u32 cost = packet_cost(p);

    if (FAILPOINT(packet_charge) || account_charge_bytes(a, cost))
        return -ENOMEM;
    if (p->account)
        account_uncharge_bytes(p->account, p->charged);
    p->account = a;
    p->charged = cost;
    return 0;
}
