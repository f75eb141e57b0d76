/* SPDX-License-Identifier: MIT
 *
 * The driver's side of a virtqueue against a device that is written here from the specification
 * (virtio 1.2, 2.7): in order, out of order, lazy about notifications and interrupts, and hostile.
 */
#include "dev/virtq.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "lib/errno.h"

#define PIECES_MAX 9
#define ADDR_BASE 0x100000 /* where the device sees the ring's memory */
#define TABLES_BASE 0x8000000

/* ---- the device ---- */

struct device {
    struct virtq q;
    void *ring, *shadow, *tables;
    struct virtq_layout layout;
    u32 table_len;
    u16 seen;           /* available entries taken */
    u16 used;           /* used index */
    u32 waiting[32768]; /* heads taken, not returned */
    u32 nr_waiting;
    bool wants_notify; /* has said so since it last looked */
    bool notified, interrupted;
    u64 interrupts, notifications;
};

static u16 *device_avail(struct device *d)
{
    return (u16 *)((char *)d->ring + d->layout.avail);
}

static u16 *device_used(struct device *d)
{
    return (u16 *)((char *)d->ring + d->layout.used);
}

static struct device *device_make(u32 num, bool event_idx, u32 table_len)
{
    struct device *d = calloc(1, sizeof(*d));

    d->layout = virtq_layout(num);
    d->ring = aligned_alloc(64, (d->layout.size + 63) & ~63UL);
    memset(d->ring, 0, d->layout.size);
    d->shadow = malloc(virtq_shadow_size(num));
    virtq_init(&d->q, num, event_idx, d->ring, d->shadow);
    d->table_len = table_len;
    if (table_len) {
        d->tables = malloc(virtq_tables_size(num, table_len));
        virtq_set_tables(&d->q, d->tables, TABLES_BASE, table_len);
    }
    return d;
}

static void device_free(struct device *d)
{
    free(d->ring);
    free(d->shadow);
    free(d->tables);
    free(d);
}

/* What a request must look like by its number. */
static u32 request_out(u64 number)
{
    return number % 4;
}

static u32 request_in(u64 number)
{
    return (u32)(number / 4 % 5) + (request_out(number) == 0);
}

static struct virtq_piece request_piece(u64 number, u32 i)
{
    return (struct virtq_piece){number * 1000 + i, (u32)(1 + (number + i) % 4096)};
}

static u32 request_space(u64 number)
{
    u32 space = 0;

    for (u32 i = 0; i < request_in(number); i++)
        space += request_piece(number, request_out(number) + i).len;
    return space;
}

static int request_add(struct device *d, u64 number)
{
    struct virtq_piece pieces[PIECES_MAX];
    u32 out = request_out(number), in = request_in(number);

    for (u32 i = 0; i < out + in; i++)
        pieces[i] = request_piece(number, i);
    return virtq_add(&d->q, pieces, out, in, (void *)(uintptr_t)(number + 1));
}

/* The request at head: its number, or 0 with a failed test when its descriptors are not as they
 * must be. */
static u64 device_read(struct device *d, u32 head)
{
    const struct virtq_desc *at = (struct virtq_desc *)d->ring + head, *table = d->ring;
    u64 number;
    u32 i = 0, all;

    if (at->flags & 4) {
        u64 off = at->addr - TABLES_BASE;

        if (off % 16 || off >= virtq_tables_size(d->q.num, d->table_len) || at->flags != 4)
            return 0;
        all = at->len / 16;
        table = at = (struct virtq_desc *)((char *)d->tables + off);
        if (all < 2 || all > d->table_len)
            return 0;
    }
    number = at->addr / 1000;
    for (;; i++) {
        struct virtq_piece want = request_piece(number, i);
        bool writes = i >= request_out(number);

        if (at->addr != want.addr || at->len != want.len || !!(at->flags & 2) != writes)
            return 0;
        if (!(at->flags & 1))
            break;
        at = table + at->next;
    }
    return i + 1 == request_out(number) + request_in(number) ? number : 0;
}

static bool device_collect(struct device *d)
{
    u16 *avail = device_avail(d);

    while (d->seen != avail[1]) {
        u32 head = avail[2 + d->seen++ % d->q.num];

        if (!device_read(d, head))
            return false;
        d->waiting[d->nr_waiting++] = head;
    }
    return true;
}

static void device_return(struct device *d, u32 which)
{
    u32 head = d->waiting[which];
    u64 number = device_read(d, head);
    u16 *used = device_used(d), *avail = device_avail(d);
    u32 *element = (u32 *)&used[2 + 4 * (d->used % d->q.num)];

    d->waiting[which] = d->waiting[--d->nr_waiting];
    element[0] = head;
    element[1] = request_space(number) ? (u32)(number % (request_space(number) + 1)) : 77;
    used[1] = ++d->used;
    if (d->q.event_idx ? (u16)(d->used - avail[2 + d->q.num] - 1) < 1 : !(avail[0] & 1)) {
        d->interrupted = true;
        d->interrupts++;
    }
}

/* It sleeps until it is notified: says from where on, then looks once more. */
static void device_sleep(struct device *d)
{
    u16 *used = device_used(d);

    used[2 + 4 * d->q.num] = d->seen;
    used[0] = 0;
}

/* ---- the driver ---- */

/* Takes what there is; false: not what was added. */
static bool driver_take(struct device *d, u8 *pending)
{
    u32 written;
    void *token;

    while ((token = virtq_take(&d->q, &written))) {
        u64 number = (uintptr_t)token - 1;
        u32 space = request_space(number);

        if (!pending[number] || written != (space ? number % (space + 1) : 0))
            return false;
        pending[number] = 0;
    }
    return !d->q.broken;
}

/* Up to n requests from *next on, as far as `total` and the queue have space: false if it had not.
 */
static bool driver_add(struct device *d, u8 *pending, u64 *next, u64 total, u64 n)
{
    for (; n && *next <= total; n--) {
        if (request_add(d, *next))
            return false;
        pending[(*next)++] = 1;
    }
    return true;
}

/* Random steps of both, each of which sleeps unless it is woken: all requests come back. */
static bool play(u32 num, bool event_idx, u32 table_len, bool in_order, u64 total, u64 seed)
{
    struct device *d = device_make(num, event_idx, table_len);
    u8 *pending = calloc(total + 1, 1);
    u64 next = 1, idle = 0;
    bool driver_awake = true, ok = true;

    while (ok && (next <= total || d->q.nr_requests) && idle < 64) {
        u64 dice = unit_rand(&seed);
        bool moved = false;

        if (dice % 2 && (d->notified || d->nr_waiting)) { /* the device's turn */
            d->notified = false;
            ok = device_collect(d);
            if (d->nr_waiting)
                device_return(d, in_order ? 0 : (u32)(dice >> 8) % d->nr_waiting);
            device_sleep(d);
            if (d->seen != device_avail(d)[1])
                d->notified = true;
            moved = true;
        } else if (dice % 2 == 0 && (driver_awake || d->interrupted)) {
            bool added;

            d->interrupted = false;
            virtq_disarm(&d->q);
            ok = driver_take(d, pending);
            added = driver_add(d, pending, &next, total, dice >> 8 & 7);
            if (virtq_publish(&d->q)) {
                d->notified = true;
                d->notifications++;
            }
            driver_awake = !virtq_arm(&d->q, 1) || (added && next <= total);
            moved = true;
        }
        idle = moved ? 0 : idle + 1;
    }
    ok = ok && idle < 64 && d->q.nr_free == num && d->q.nr_requests == 0;
    for (u64 i = 1; i <= total; i++)
        ok = ok && !pending[i];
    free(pending);
    device_free(d);
    return ok;
}

TEST(virtq_requests_come_back_once_in_any_order)
{
    for (u64 seed = 0; seed < 64 * unit_times(); seed++)
        for (u32 num = 8; num <= 512; num *= 4) {
            EXPECT(play(num, seed & 1, seed & 2 ? 4 + seed % 8 : 0, seed & 4, 600, seed));
        }
}

TEST(virtq_indices_wrap)
{
    EXPECT(play(16, true, 8, false, 150000, 3));
    EXPECT(play(32768, false, 0, false, 150000, 4));
}

TEST(virtq_takes_no_more_than_it_has_space_for)
{
    struct virtq_piece pieces[20];
    struct device *d = device_make(8, false, 0);
    char tokens[8];

    for (u32 i = 0; i < 20; i++)
        pieces[i] = (struct virtq_piece){i, 1};
    EXPECT(virtq_add(&d->q, pieces, 4, 5, tokens) == -EMSGSIZE);
    EXPECT(virtq_add(&d->q, pieces, 4, 1, tokens) == 0);
    EXPECT(virtq_fits(&d->q, 3) && !virtq_fits(&d->q, 4));
    EXPECT(virtq_add(&d->q, pieces, 0, 4, tokens) == -ENOSPC);
    EXPECT(virtq_add(&d->q, pieces, 0, 3, tokens + 1) == 0);
    EXPECT(virtq_add(&d->q, pieces, 1, 0, tokens + 2) == -ENOSPC);
    device_free(d);
    d = device_make(8, false, 16);
    EXPECT(virtq_pieces_max(&d->q) == 16);
    EXPECT(virtq_add(&d->q, pieces, 4, 13, tokens) == -EMSGSIZE);
    for (u32 i = 0; i < 8; i++)
        EXPECT(virtq_add(&d->q, pieces, 4, 12, tokens + i) == 0);
    EXPECT(virtq_add(&d->q, pieces, 1, 0, tokens) == -ENOSPC);
    device_free(d);
}

TEST(virtq_notifies_only_where_the_device_asked)
{
    for (int event_idx = 0; event_idx < 2; event_idx++) {
        struct device *d = device_make(64, event_idx, 0);

        /* Nothing is shown before it is published. */
        EXPECT(request_add(d, 1) == 0 && device_avail(d)[1] == 0);
        EXPECT(virtq_publish(&d->q) && device_avail(d)[1] == 1);
        EXPECT(!virtq_publish(&d->q));
        /* The device is busy: it has seen one, and asks for nothing more. */
        device_used(d)[0] = 1;
        for (u64 i = 2; i < 6; i++)
            EXPECT(request_add(d, i) == 0 && !virtq_publish(&d->q));
        /* It asks for the sixth, or for any. */
        device_used(d)[0] = 0;
        device_used(d)[2 + 4 * 64] = 6;
        EXPECT(request_add(d, 6) == 0 && virtq_publish(&d->q) == !event_idx);
        EXPECT(request_add(d, 7) == 0 && virtq_publish(&d->q));
        device_free(d);
    }
}

TEST(virtq_arms_for_the_next_or_for_several)
{
    u8 pending[16];

    memset(pending, 1, sizeof(pending));
    for (int event_idx = 0; event_idx < 2; event_idx++) {
        struct device *d = device_make(64, event_idx, 0);

        virtq_disarm(&d->q);
        for (u64 i = 1; i <= 8; i++)
            EXPECT(request_add(d, i) == 0);
        EXPECT(virtq_publish(&d->q) && device_collect(d));
        device_return(d, 0);
        EXPECT(d->interrupts == 0 && virtq_has_used(&d->q));
        EXPECT(!virtq_arm(&d->q, 1)); /* one has come already */
        EXPECT(driver_take(d, pending) && !virtq_has_used(&d->q));
        EXPECT(virtq_arm(&d->q, 3));
        device_return(d, 0);
        device_return(d, 0);
        EXPECT(d->interrupts == (event_idx ? 0 : 2));
        device_return(d, 0);
        EXPECT(d->interrupts == (event_idx ? 1 : 3));
        memset(pending, 1, sizeof(pending));
        device_free(d);
    }
}

TEST(virtq_gives_back_what_a_reset_device_had)
{
    struct device *d = device_make(256, false, 4);
    u8 back[64] = {0};
    u32 written;
    void *token;

    for (u64 i = 1; i < 64; i++)
        EXPECT(request_add(d, i) == 0);
    EXPECT(virtq_publish(&d->q) && device_collect(d));
    for (int i = 0; i < 20; i++)
        device_return(d, 0);
    for (int i = 0; i < 10; i++)
        EXPECT((token = virtq_take(&d->q, &written)) && !back[(uintptr_t)token - 1]++);
    while ((token = virtq_detach(&d->q)))
        EXPECT(!back[(uintptr_t)token - 1]++);
    for (int i = 1; i < 64; i++)
        EXPECT(back[i] == 1);
    EXPECT(!virtq_take(&d->q, &written) && request_add(d, 1) == -EIO && !virtq_publish(&d->q));
    device_free(d);
}

/* One broken rule each, on a queue with eight requests of which the device returned one. */
static bool breaks(void (*spoil)(struct device *d))
{
    struct device *d = device_make(64, false, 0);
    u32 written;
    bool ok;

    for (u64 i = 5; i < 13; i++)
        if (request_add(d, i) != 0)
            return false;
    ok = virtq_publish(&d->q) && device_collect(d);
    device_return(d, 0);
    spoil(d);
    ok = ok && !virtq_take(&d->q, &written) && d->q.broken && d->q.why &&
         request_add(d, 20) == -EIO && d->q.nr_requests == 8;
    device_free(d);
    return ok;
}

static void spoil_index(struct device *d)
{
    device_used(d)[1] = 9;
}
static void spoil_index_backwards(struct device *d)
{
    device_used(d)[1] = 0xffff;
}
static void spoil_id(struct device *d)
{
    *(u32 *)&device_used(d)[2] = 64;
}
static void spoil_id_high(struct device *d)
{
    *(u32 *)&device_used(d)[2] |= 0x10000;
}
static void spoil_id_not_a_head(struct device *d)
{
    *(u32 *)&device_used(d)[2] = 1; /* the first request has two descriptors */
}
static void spoil_id_free(struct device *d)
{
    *(u32 *)&device_used(d)[2] = 60;
}
static void spoil_length(struct device *d)
{
    *(u32 *)&device_used(d)[4] = request_space(5) + 1;
}

TEST(virtq_breaks_when_the_device_breaks_the_rules)
{
    EXPECT(request_out(5) == 1 && request_in(5) == 1);
    EXPECT(breaks(spoil_index));
    EXPECT(breaks(spoil_index_backwards));
    EXPECT(breaks(spoil_id));
    EXPECT(breaks(spoil_id_high));
    EXPECT(breaks(spoil_id_not_a_head));
    EXPECT(breaks(spoil_id_free));
    EXPECT(breaks(spoil_length));
}

TEST(virtq_breaks_when_a_request_returns_twice)
{
    struct device *d = device_make(64, false, 0);
    u32 written;

    EXPECT(request_add(d, 5) == 0 && request_add(d, 6) == 0 && virtq_publish(&d->q));
    EXPECT(device_collect(d));
    device_return(d, 0);
    memcpy(&device_used(d)[6], &device_used(d)[2], 8);
    device_used(d)[1] = 2;
    EXPECT(virtq_take(&d->q, &written) && !virtq_take(&d->q, &written) && d->q.broken);
    device_free(d);
}

/* All memory that the device sees changes at random between any two calls. What comes back was
 * added, comes once, and has not more bytes than it has space for; after a reset all is back. */
static bool hostile(u64 seed)
{
    u32 num = 1U << unit_rand(&seed) % 9;
    struct device *d = device_make(num, seed & 1, seed & 2 ? 1 + (u32)(seed >> 8) % 12 : 0);
    u8 *pending = calloc(4001, 1);
    u64 next = 1, rounds = 3000;
    bool ok = true;
    void *token;
    u32 written;

    while (ok && rounds-- && next <= 4000) {
        u64 dice = unit_rand(&seed);
        u16 *used = device_used(d);

        if (dice % 8 == 0)
            ((u8 *)d->ring)[(dice >> 8) % d->layout.size] ^= (u8)(dice >> 40);
        if (dice % 8 == 1)
            used[1] = (u16)(d->q.taken + (dice >> 8) % 3);
        if (dice % 8 == 2) {
            *(u32 *)&used[2 + 4 * (d->q.taken % num)] = (u32)(dice >> 8) % num;
            *(u32 *)&used[4 + 4 * (d->q.taken % num)] = (u32)(dice >> 20) % 64;
        }
        if (dice % 8 == 3 && request_add(d, next) == 0)
            pending[next++] = 1;
        if (dice % 8 == 4)
            d->notified = virtq_publish(&d->q);
        if (dice % 8 == 5)
            d->interrupted = !virtq_arm(&d->q, (u16)(dice >> 8));
        if (dice % 8 == 6)
            virtq_disarm(&d->q);
        while ((token = virtq_take(&d->q, &written))) {
            u64 number = (uintptr_t)token - 1;

            ok = ok && number < next && pending[number] && written <= request_space(number);
            pending[number] = 0;
        }
    }
    while ((token = virtq_detach(&d->q))) {
        ok = ok && pending[(uintptr_t)token - 1];
        pending[(uintptr_t)token - 1] = 0;
    }
    ok = ok && d->q.nr_free == num && d->q.nr_requests == 0;
    for (u64 i = 0; i <= 4000; i++)
        ok = ok && !pending[i];
    free(pending);
    device_free(d);
    return ok;
}

TEST(virtq_survives_a_hostile_device)
{
    for (u64 seed = 1; seed <= 300 * unit_times(); seed++)
        EXPECT(hostile(seed));
}
