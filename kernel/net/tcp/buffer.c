/* SPDX-License-Identifier: MIT
 *
 * The send buffer. buffer.h has the rules.
 */
#include "net/tcp/buffer.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "vm/iov.h"

#define CHUNK_COST 256U /* of a stretch, beside its bytes: it may keep a page alive */
#define STAGE_ORDER 3U  /* the largest block for bytes of a program: 32 KiB */
#define PUT_COPY 128U   /* so many bytes are copied rather than referred to */
#define FREE_SHARE 64U  /* stretches that are freed between two yields */

static struct slab_cache *tcp_chunk_cache;

static void tcp_chunk_init(void)
{
    tcp_chunk_cache = slab_cache_create("tcp_chunk", sizeof(struct tcp_chunk), 0);
}
INIT_HOOK(tcp_chunk_init, INIT_CORE);

static void tcp_chunk_free(struct tcp_chunk *c)
{
    page_put(c->page);
    slab_free(tcp_chunk_cache, c);
}

void tcp_chunks_free(struct list_node *chunks)
{
    struct tcp_chunk *c;

    for (u32 n = 1; (c = list_first(chunks, struct tcp_chunk, node)); n++) {
        list_del(&c->node);
        tcp_chunk_free(c);
        if (n % FREE_SHARE == 0)
            cond_yield();
    }
}

static void tcp_spare_drop(struct tcp_spare *s)
{
    if (s->page)
        page_put(s->page);
    *s = (struct tcp_spare){0};
}

void tcp_buffer_init(struct tcp_buffer *b, u32 seq)
{
    *b = (struct tcp_buffer){.first = seq, .end = seq};
    list_init(&b->chunks);
}

void tcp_buffer_fini(struct tcp_buffer *b, struct list_node *done)
{
    list_splice_tail(done, &b->chunks);
    tcp_spare_drop(&b->spare);
    b->first = b->end;
    b->cost = b->nr = 0;
    b->last_read = NULL;
}

void tcp_stage_init(struct tcp_stage *g, struct tcp_buffer *b)
{
    *g = (struct tcp_stage){.spare = b->spare};
    list_init(&g->chunks);
    b->spare = (struct tcp_spare){0};
}

void tcp_stage_fini(struct tcp_stage *g)
{
    if (!list_empty(&g->chunks))
        tcp_chunks_free(&g->chunks);
    tcp_spare_drop(&g->spare);
}

/* The order of a block for n more bytes: no larger than they fill. */
static unsigned tcp_stage_order(u32 n)
{
    unsigned order = 0;

    while (order < STAGE_ORDER && (PAGE_SIZE << (order + 1)) <= n)
        order++;
    return order;
}

static bool tcp_stage_block(struct tcp_stage *g, u32 n)
{
    unsigned order = tcp_stage_order(n);
    struct page *page = page_alloc(order, PA_CHARGE);

    if (!page && order) {
        order = 0;
        page = page_alloc(0, PA_CHARGE);
    }
    if (!page)
        return false;
    tcp_spare_drop(&g->spare);
    g->spare = (struct tcp_spare){page, 0, (u32)PAGE_SIZE << order};
    return true;
}

/* n bytes of the spare space are a program's now: behind the last stretch, or a new one. */
static bool tcp_stage_add(struct tcp_stage *g, struct page *page, u32 offset, u32 n)
{
    struct tcp_chunk *last =
        list_empty(&g->chunks) ? NULL : list_entry(g->chunks.prev, struct tcp_chunk, node);

    if (last && last->page == page && last->offset + last->len == offset) {
        last->len += n;
    } else {
        last = slab_alloc(tcp_chunk_cache);
        if (!last)
            return false;
        *last = (struct tcp_chunk){.page = page, .offset = offset, .len = n, .cost = CHUNK_COST};
        page_get(page);
        list_add_tail(&g->chunks, &last->node);
    }
    last->cost += n;
    g->bytes += n;
    return true;
}

u32 tcp_stage_copy(struct tcp_stage *g, struct iov_iter *from, u32 n, int *err)
{
    u32 done = 0;

    *err = 0;
    while (done < n) {
        u32 room = g->spare.size - g->spare.offset, k = MIN(n - done, room), got;

        if (!k) {
            if (tcp_stage_block(g, n - done))
                continue;
            *err = -ENOMEM;
            break;
        }
        got = (u32)iov_copy_from(from, (u8 *)page_virt(g->spare.page) + g->spare.offset, k);
        if (got && !tcp_stage_add(g, g->spare.page, g->spare.offset, got)) {
            *err = -ENOMEM;
            break;
        }
        g->spare.offset += got;
        done += got;
        if (got < k) {
            *err = -EFAULT;
            break;
        }
    }
    return done;
}

int tcp_stage_page(struct tcp_stage *g, struct page *page, u32 offset, u32 n)
{
    return tcp_stage_add(g, page, offset, n) ? 0 : -ENOMEM;
}

static void tcp_buffer_give_back(struct tcp_buffer *b, struct tcp_stage *g)
{
    struct tcp_spare given = g->spare;
    u32 room = given.size - given.offset;

    if (!room || b->spare.size - b->spare.offset >= room)
        return;
    g->spare = b->spare;
    b->spare = given;
}

/* The stretch goes on where the buffer's last one ends. */
static bool tcp_chunk_joins(struct tcp_buffer *b, const struct tcp_chunk *c)
{
    struct tcp_chunk *last =
        list_empty(&b->chunks) ? NULL : list_entry(b->chunks.prev, struct tcp_chunk, node);

    if (!last || last->page != c->page || last->offset + last->len != c->offset)
        return false;
    last->len += c->len;
    last->cost += c->cost - CHUNK_COST;
    b->cost -= CHUNK_COST;
    return true;
}

void tcp_buffer_append(struct tcp_buffer *b, struct tcp_stage *g)
{
    struct tcp_chunk *c;

    while ((c = list_first(&g->chunks, struct tcp_chunk, node))) {
        list_del(&c->node);
        c->seq = b->end;
        b->end += c->len;
        b->cost += c->cost;
        if (tcp_chunk_joins(b, c)) {
            tcp_chunk_free(c);
        } else {
            list_add_tail(&b->chunks, &c->node);
            b->nr++;
        }
    }
    g->bytes = 0;
    tcp_buffer_give_back(b, g);
}

void tcp_buffer_acked(struct tcp_buffer *b, u32 seq, struct list_node *done)
{
    struct tcp_chunk *c;

    while ((c = list_first(&b->chunks, struct tcp_chunk, node)) && (s32)(seq - b->first) > 0) {
        u32 n = MIN(seq - b->first, c->len);

        b->first += n;
        if (n == c->len) {
            if (b->last_read == c)
                b->last_read = NULL;
            b->cost -= c->cost;
            b->nr--;
            list_del(&c->node);
            list_add_tail(done, &c->node);
            continue;
        }
        c->seq += n;
        c->offset += n;
        c->len -= n;
        c->cost -= n;
        b->cost -= n;
    }
}

static struct tcp_chunk *tcp_chunk_next(struct tcp_buffer *b, struct tcp_chunk *c)
{
    return c->node.next == &b->chunks ? NULL : list_entry(c->node.next, struct tcp_chunk, node);
}

/* The stretch that has the byte: new bytes lie at or behind the last one read, resent ones near the
 * front. */
static struct tcp_chunk *tcp_chunk_of(struct tcp_buffer *b, u32 seq)
{
    struct tcp_chunk *c = b->last_read;

    if (!c || (s32)(seq - c->seq) < 0)
        c = list_first(&b->chunks, struct tcp_chunk, node);
    while (c && seq - c->seq >= c->len)
        c = tcp_chunk_next(b, c);
    return c;
}

static void tcp_put_copy(struct tcp_buffer *b, struct tcp_chunk *c, u32 seq, u32 n, u8 *to)
{
    while (n) {
        u32 skip = seq - c->seq, k = MIN(n, c->len - skip);

        memcpy(to, (u8 *)page_virt(c->page) + c->offset + skip, k);
        to += k;
        seq += k;
        n -= k;
        b->last_read = c;
        c = tcp_chunk_next(b, c);
    }
}

/* How many of n bytes from seq lie in at most `most` stretches. */
static u32 tcp_put_fits(struct tcp_buffer *b, struct tcp_chunk *c, u32 seq, u32 n, u32 most)
{
    u32 fits = 0;

    for (u32 i = 0; i < most && fits < n; i++, c = tcp_chunk_next(b, c))
        fits += MIN(n - fits, c->len - (i ? 0 : seq - c->seq));
    return fits;
}

int tcp_buffer_put(struct tcp_buffer *b, u32 seq, u32 *n, struct packet *p)
{
    struct tcp_chunk *c = tcp_chunk_of(b, seq);
    u32 left = *n, fits;
    u8 *at;

    ASSERT(c && b->end - seq >= left);
    at = left <= PUT_COPY ? packet_append(p, left) : NULL;
    if (at) {
        tcp_put_copy(b, c, seq, left, at);
        return 0;
    }
    fits = tcp_put_fits(b, c, seq, left, PACKET_FRAGS);
    if (fits < left) {
        *n = fits;
        return -EMSGSIZE;
    }
    for (; left; c = tcp_chunk_next(b, c)) {
        u32 skip = seq - c->seq, k = MIN(left, c->len - skip);

        if (packet_add_page(p, c->page, c->offset + skip, k))
            return -EMSGSIZE;
        page_get(c->page);
        seq += k;
        left -= k;
        b->last_read = c;
    }
    return 0;
}
