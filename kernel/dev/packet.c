/* SPDX-License-Identifier: MIT
 *
 * Packets. packet.h has the rules.
 */
#include "dev/packet.h"
#include "lib/checksum.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"

static struct slab_cache *packet_cache;

static void packet_init(void)
{
    packet_cache = slab_cache_create("packet", sizeof(struct packet), 0);
}
INIT_HOOK(packet_init, INIT_CORE);

void packet_reuse(struct packet *p)
{
    p->flags = p->gso = 0;
    p->gso_size = p->gso_header = p->csum_start = p->csum_offset = 0;
    p->vlan = 0;
    p->hash = p->mark = p->priority = 0;
}

struct packet *packet_alloc(void)
{
    struct packet *p = FAILPOINT(packet_alloc) ? NULL : slab_alloc(packet_cache);

    if (!p)
        return NULL;
    memset(p, 0, offsetof(struct packet, control));
    list_init(&p->node);
    p->start = PACKET_HEADROOM;
    return p;
}

static void packet_drop_frags(struct packet *p, u32 keep)
{
    while (p->nr_frags > keep)
        page_put(p->frags[--p->nr_frags].page);
}

void packet_free(struct packet *p)
{
    if (!p)
        return;
    packet_arrived(p);
    packet_drop_frags(p, 0);
    if (p->account)
        account_uncharge_bytes(p->account, p->charged);
    slab_free(packet_cache, p);
}

void packets_free(struct list_node *list)
{
    struct packet *p;

    while ((p = list_first(list, struct packet, node))) {
        list_del(&p->node);
        packet_free(p);
        cond_yield();
    }
}

struct packet *packet_clone(const struct packet *p)
{
    struct packet *q = packet_alloc();
    u32 from = p->start; /* filters look at headers that were taken off, too */

    if (!q)
        return NULL;
    if (p->network)
        from = MIN(from, p->network);
    if (p->link)
        from = MIN(from, p->link);
    memcpy(q, p, offsetof(struct packet, control));
    memcpy(q->head + from, p->head + from, p->start - from + p->linear);
    memcpy(q->frags, p->frags, p->nr_frags * sizeof(p->frags[0]));
    for (u32 i = 0; i < p->nr_frags; i++)
        page_get(p->frags[i].page);
    list_init(&q->node);
    q->account = NULL;
    q->charged = 0;
    q->sender = NULL;
    return q;
}

u8 *packet_append(struct packet *p, u32 n)
{
    u8 *at = packet_data(p) + p->linear;

    if (p->nr_frags || n > PACKET_HEAD - (u32)p->start - p->linear)
        return NULL;
    p->linear = (u16)(p->linear + n);
    p->len += n;
    return at;
}

int packet_add_page(struct packet *p, struct page *page, u32 offset, u32 len)
{
    if (p->nr_frags == PACKET_FRAGS || len > PACKET_LEN_MAX - p->len)
        return -EMSGSIZE;
    p->frags[p->nr_frags++] = (struct packet_frag){page, offset, len};
    p->len += len;
    return 0;
}

/* Takes n bytes off the front of the fragments, into out; NULL: they are dropped. */
static void packet_move_front(struct packet *p, u8 *out, u32 n)
{
    u32 gone = 0;

    while (n) {
        struct packet_frag *f = &p->frags[gone];
        u32 k = MIN(n, f->len);

        if (out) {
            memcpy(out, (u8 *)page_virt(f->page) + f->offset, k);
            out += k;
        }
        n -= k;
        f->offset += k;
        f->len -= k;
        if (f->len)
            break;
        page_put(f->page);
        gone++;
    }
    p->nr_frags = (u8)(p->nr_frags - gone);
    memmove(p->frags, p->frags + gone, p->nr_frags * sizeof(p->frags[0]));
}

u8 *packet_need_more(struct packet *p, u32 n)
{
    u32 more = n - p->linear;

    if (n > p->len || n > PACKET_HEAD - (u32)p->start)
        return NULL;
    packet_move_front(p, packet_data(p) + p->linear, more);
    p->linear = (u16)n;
    return packet_data(p);
}

u8 *packet_need_room(struct packet *p, u32 n)
{
    if (n > p->len || n > PACKET_HEAD || likely(n <= PACKET_HEAD - (u32)p->start))
        return packet_need(p, n);
    memmove(p->head, packet_data(p), p->linear);
    p->start = 0;
    p->link = p->network = p->transport = 0;
    return packet_need(p, n);
}

void packet_skip(struct packet *p, u32 n)
{
    u32 linear = MIN(n, (u32)p->linear);

    packet_pull(p, linear);
    packet_move_front(p, NULL, n - linear);
    p->len -= n - linear;
}

void packet_trim(struct packet *p, u32 len)
{
    u32 at = p->linear, keep = 0;

    if (len >= p->len)
        return;
    p->len = len;
    if (len <= at) {
        p->linear = (u16)len;
        packet_drop_frags(p, 0);
        return;
    }
    while (at + p->frags[keep].len < len)
        at += p->frags[keep++].len;
    p->frags[keep].len = len - at;
    packet_drop_frags(p, keep + 1);
}

const u8 *packet_stretch(const struct packet *p, u32 offset, u32 n, u32 *len)
{
    const struct packet_frag *f = p->frags;

    ASSERT(offset < p->len);
    if (offset < p->linear) {
        *len = MIN(n, p->linear - offset);
        return p->head + p->start + offset;
    }
    for (offset -= p->linear; offset >= f->len; f++)
        offset -= f->len;
    *len = MIN(n, f->len - offset);
    return (const u8 *)page_virt(f->page) + f->offset + offset;
}

void packet_copy(const struct packet *p, u32 offset, u32 n, void *out)
{
    while (n) {
        u32 len;
        const u8 *at = packet_stretch(p, offset, n, &len);

        memcpy(out, at, len);
        out = (u8 *)out + len;
        offset += len;
        n -= len;
    }
}

/* The part of a slice that is linear in `from`. */
static int packet_slice_linear(struct packet *p, const struct packet *from, u32 offset, u32 n)
{
    u8 *to = packet_append(p, n);

    if (!to)
        return -EMSGSIZE;
    memcpy(to, from->head + from->start + offset, n);
    return 0;
}

int packet_add_slice(struct packet *p, const struct packet *from, u32 offset, u32 n)
{
    u32 linear = offset < from->linear ? MIN(n, from->linear - offset) : 0, end = offset + n;
    u32 at = from->linear;

    if (linear && packet_slice_linear(p, from, offset, linear))
        return -EMSGSIZE;
    offset += linear;
    for (u32 i = 0; i < from->nr_frags && offset < end; at += from->frags[i++].len) {
        const struct packet_frag *f = &from->frags[i];
        u32 skip = offset - at, len;

        if (skip >= f->len)
            continue;
        len = MIN(end - offset, f->len - skip);
        if (packet_add_page(p, f->page, f->offset + skip, len))
            return -EMSGSIZE;
        page_get(f->page);
        offset += len;
    }
    return 0;
}

u64 packet_sum(const struct packet *p, u32 offset, u32 n, u64 sum)
{
    bool odd = false;

    while (n) {
        u32 len;
        const u8 *at = packet_stretch(p, offset, n, &len);
        u64 part = checksum_add(0, at, len);

        sum += odd ? checksum_odd(part) : checksum_fold(part);
        odd ^= len & 1;
        offset += len;
        n -= len;
    }
    return sum;
}

bool packet_finish_sum(struct packet *p)
{
    u32 start = p->csum_start, at = start + p->csum_offset;
    u16 sum;

    if (start > p->len || at + sizeof(sum) > p->linear)
        return false;
    sum = (u16)~checksum_fold(packet_sum(p, start, p->len - start, 0));
    sum = sum ? sum : 0xffff; /* UDP: zero would mean that there is none (RFC 768) */
    memcpy(packet_data(p) + at, &sum, sizeof(sum));
    p->flags &= (u8)~PACKET_CSUM_PARTIAL;
    return true;
}
