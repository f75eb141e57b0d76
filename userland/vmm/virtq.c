/* SPDX-License-Identifier: MIT
 *
 * Queue memory, addressed by the guest: descriptors of 16 bytes {addr 8, len 4, flags 2, next 2};
 * available ring {flags 2, idx 2, ring 2 each, used_event 2}; used ring {flags 2, idx 2, {id 4,
 * len 4} each, avail_event 2}.
 */
#include "vmm/virtq.h"

#include <errno.h>
#include <string.h>

#define DESC_NEXT 1u
#define DESC_WRITE 2u
#define DESC_INDIRECT 4u
#define AVAIL_QUIET 1u
#define USED_QUIET 1u

struct virtq_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

/* A walk along a request: the table it is in, and how many descriptors it may still take. */
struct virtq_walk {
    const uint8_t *table;
    uint32_t entries;
    uint32_t left;
    bool indirect;
};

/* ---- words that the driver may change ---- */

static uint16_t virtq_load(const uint16_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void virtq_store(uint16_t *word, uint16_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* The compiler may not look at the original again afterwards. */
static struct virtq_desc virtq_copy(const void *from)
{
    struct virtq_desc d;

    memcpy(&d, from, sizeof d);
    __asm__ volatile("" : "+m"(d) : : "memory");
    return d;
}

static uint16_t *virtq_used_event(const struct virtq *q)
{
    return q->avail + 2 + q->num;
}

static uint16_t *virtq_avail_event(const struct virtq *q)
{
    return q->used + 2 + 4 * q->num;
}

/* ---- on and off ---- */

int virtq_start(struct virtq *q, const struct memory *mem, const struct virtq_setup *s,
                unsigned flags)
{
    const void *desc;
    uint16_t *avail, *used;

    if (!s->num || s->num > VIRTQ_NUM_MAX || s->num & (s->num - 1) || s->desc & 15 ||
        s->avail & 1 || s->used & 3)
        return -EINVAL;
    desc = mem_at(mem, s->desc, 16ull * s->num);
    avail = mem_at(mem, s->avail, 6 + 2ull * s->num);
    used = mem_at(mem, s->used, 6 + 8ull * s->num);
    if (!desc || !avail || !used)
        return -EINVAL;
    *q = (struct virtq){
        .mem = mem, .num = s->num, .flags = flags, .desc = desc, .avail = avail, .used = used};
    return 0;
}

void virtq_stop(struct virtq *q)
{
    *q = (struct virtq){.mem = NULL};
}

static int virtq_break(struct virtq *q, const char *why)
{
    q->why = why;
    return -EPROTO;
}

/* ---- taking ---- */

/* Entries that wait, or -EPROTO. */
static int virtq_pending(struct virtq *q)
{
    /* Pairs with the driver's barrier between filling the ring and raising the index. */
    uint16_t n = __atomic_load_n(q->avail + 1, __ATOMIC_ACQUIRE) - q->next_avail;

    return n > q->num ? virtq_break(q, "an available index that runs ahead") : n;
}

/* Goes on in the table that d locates. */
static int virtq_enter_table(struct virtq *q, struct virtq_walk *w, const struct virtq_desc *d,
                             const struct virtq_chain *c)
{
    uint32_t entries = d->len / sizeof *d;

    if (w->indirect || !(q->flags & VIRTQ_INDIRECT) || d->flags & DESC_NEXT)
        return virtq_break(q, "a table of descriptors where none may be");
    if (!entries || d->len % sizeof *d || entries > c->iov_max)
        return virtq_break(q, "a table of descriptors of a wrong size");
    w->table = mem_at(q->mem, d->addr, d->len);
    if (!w->table)
        return virtq_break(q, "a table of descriptors outside of memory");
    w->entries = w->left = entries;
    w->indirect = true;
    return 0;
}

/* One more piece of the request. */
static int virtq_add(struct virtq *q, const struct virtq_desc *d, struct virtq_chain *c)
{
    void *host = mem_at(q->mem, d->addr, d->len);

    if (!host || !d->len)
        return virtq_break(q, "a buffer outside of memory, or empty");
    if (c->in && !(d->flags & DESC_WRITE))
        return virtq_break(q, "a readable buffer behind a writable one");
    if (c->out + c->in == c->iov_max)
        return virtq_break(q, "a request of too many buffers");
    c->iov[c->out + c->in] = (struct iovec){host, d->len};
    if (d->flags & DESC_WRITE) {
        c->in++;
        c->in_len += d->len;
    } else {
        c->out++;
        c->out_len += d->len;
    }
    return (c->out_len + c->in_len) >> 32 ? virtq_break(q, "a request of 4 GiB") : 0;
}

static int virtq_walk(struct virtq *q, struct virtq_chain *c)
{
    struct virtq_walk w = {.table = q->desc, .entries = q->num, .left = q->num};
    struct virtq_desc d;
    uint16_t at = c->head;
    int err;

    do {
        if (at >= w.entries || w.left-- == 0)
            return virtq_break(q, "descriptors that leave their table, or loop");
        d = virtq_copy(w.table + at * sizeof d);
        if (d.flags & DESC_INDIRECT) {
            err = virtq_enter_table(q, &w, &d, c);
            at = 0;
            d.flags = DESC_NEXT;
        } else {
            err = virtq_add(q, &d, c);
            at = d.next;
        }
    } while (!err && d.flags & DESC_NEXT);
    return err;
}

int virtq_pop(struct virtq *q, struct virtq_chain *c)
{
    int n;

    if (!q->mem)
        return 0;
    if (q->why)
        return -EPROTO;
    n = virtq_pending(q);
    if (n <= 0)
        return n;
    c->head = virtq_load(q->avail + 2 + (q->next_avail & (q->num - 1)));
    c->out = c->in = 0;
    c->out_len = c->in_len = 0;
    n = virtq_walk(q, c);
    if (n)
        return n;
    q->next_avail++;
    return 1;
}

/* ---- giving back ---- */

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
    uint32_t entry[2] = {head, written};

    if (!q->mem || q->why)
        return;
    memcpy(q->used + 2 + 4 * (q->next_used & (q->num - 1)), entry, sizeof entry);
    /* Pairs with the driver's barrier after it reads the index. */
    __atomic_store_n(q->used + 1, ++q->next_used, __ATOMIC_RELEASE);
}

bool virtq_signal_due(struct virtq *q)
{
    uint16_t now = q->next_used, before = q->signalled;

    if (!q->mem || now == before)
        return false;
    q->signalled = now;
    /* Pairs with the driver's: it asks for an interrupt, then looks at the index once more. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!(q->flags & VIRTQ_EVENT_IDX))
        return !(virtq_load(q->avail) & AVAIL_QUIET);
    return (uint16_t)(now - virtq_load(virtq_used_event(q)) - 1) < (uint16_t)(now - before);
}

/* ---- being notified ---- */

void virtq_quiet(struct virtq *q)
{
    if (q->mem && !(q->flags & VIRTQ_EVENT_IDX))
        virtq_store(q->used, USED_QUIET);
}

bool virtq_listen(struct virtq *q)
{
    if (!q->mem || q->why)
        return false;
    if (q->flags & VIRTQ_EVENT_IDX)
        virtq_store(virtq_avail_event(q), q->next_avail);
    else
        virtq_store(q->used, 0);
    /* Pairs with the driver's between raising the index and looking whether to notify. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return virtq_pending(q) != 0;
}

/* ---- bytes ---- */

static size_t virtq_move(const struct iovec *iov, unsigned n, uint64_t skip, void *bytes,
                         size_t len, bool from_guest)
{
    uint8_t *p = bytes;
    size_t left = len;

    for (unsigned i = 0; i < n && left; i++) {
        uint8_t *host = iov[i].iov_base;
        size_t part;

        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        part = iov[i].iov_len - skip < left ? iov[i].iov_len - skip : left;
        if (from_guest)
            memcpy(p, host + skip, part);
        else
            memcpy(host + skip, p, part);
        p += part;
        left -= part;
        skip = 0;
    }
    return len - left;
}

size_t virtq_read(const struct virtq_chain *c, uint64_t skip, void *to, size_t len)
{
    return virtq_move(c->iov, c->out, skip, to, len, true);
}

size_t virtq_write(const struct virtq_chain *c, uint64_t skip, const void *from, size_t len)
{
    return virtq_move(c->iov + c->out, c->in, skip, (void *)from, len, false);
}

unsigned virtq_cut(struct iovec *iov, unsigned n, uint64_t skip, uint64_t len)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < n && len; i++) {
        struct iovec v = iov[i];

        if (skip >= v.iov_len) {
            skip -= v.iov_len;
            continue;
        }
        v.iov_base = (uint8_t *)v.iov_base + skip;
        v.iov_len -= skip;
        skip = 0;
        if (v.iov_len > len)
            v.iov_len = len;
        len -= v.iov_len;
        iov[kept++] = v;
    }
    return kept;
}
