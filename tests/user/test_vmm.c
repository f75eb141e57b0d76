// SPDX-License-Identifier: MIT
// The VMM's pure cores: virtqueues from the device's side, against a driver that is written here
// from the specification (virtio 1.2, 2.7) and one that keeps no rule; ranges; PCI's registers.
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/pci.h"
#include "vmm/space.h"
#include "vmm/virtq.h"

#define RAM 0x10000u
#define DESC 0x1000u
#define AVAIL 0x2000u
#define USED 0x3000u
#define TABLE 0x4000u
#define NUM 8u
#define PIECES 6

#define NEXT 1u
#define WRITE 2u
#define INDIRECT 4u

/* ---- the driver ---- */

struct driver {
    struct memory mem;
    uint8_t *ram;
    struct virtq q;
    struct virtq_chain chain;
    struct iovec iov[PIECES];
};

static void driver_init(struct driver *d, unsigned flags)
{
    const struct virtq_setup setup = {.num = NUM, .desc = DESC, .avail = AVAIL, .used = USED};

    memset(d, 0, sizeof(*d));
    d->ram = calloc(1, RAM);
    /* What lies above 4 GiB is never touched: it only has to be large. */
    d->mem = (struct memory){.count = 2,
                             .regions = {{0, RAM, d->ram}, {1ull << 32, 3ull << 30, d->ram}}};
    d->chain = (struct virtq_chain){.iov = d->iov, .iov_max = PIECES};
    if (virtq_start(&d->q, &d->mem, &setup, flags) != 0)
        abort();
}

static void driver_end(struct driver *d)
{
    free(d->ram);
}

static void put16(struct driver *d, uint32_t at, uint16_t value)
{
    memcpy(d->ram + at, &value, 2);
}

static uint16_t get16(struct driver *d, uint32_t at)
{
    uint16_t value;

    memcpy(&value, d->ram + at, 2);
    return value;
}

static void put_desc(struct driver *d, uint32_t at, uint64_t addr, uint32_t len, uint16_t flags,
                     uint16_t next)
{
    memcpy(d->ram + at, &addr, 8);
    memcpy(d->ram + at + 8, &len, 4);
    put16(d, at + 12, flags);
    put16(d, at + 14, next);
}

static void offer(struct driver *d, uint16_t head)
{
    uint16_t index = get16(d, AVAIL + 2);

    put16(d, AVAIL + 4 + 2 * (index % NUM), head);
    put16(d, AVAIL + 2, index + 1);
}

/* ---- what is sound ---- */

TEST(a_request_is_taken_piece_by_piece_and_given_back)
{
    struct driver d;
    char text[8] = "";

    driver_init(&d, 0);
    EXPECT(virtq_pop(&d.q, &d.chain) == 0);
    put_desc(&d, DESC + 16 * 5, 0x8000, 3, NEXT, 2);
    put_desc(&d, DESC + 16 * 2, 0x9000, 4, NEXT, 7);
    put_desc(&d, DESC + 16 * 7, 0xa000, 100, WRITE | NEXT, 0);
    put_desc(&d, DESC, 0xb000, 1, WRITE, 9);
    memcpy(d.ram + 0x8000, "abc", 3);
    memcpy(d.ram + 0x9000, "defg", 4);
    offer(&d, 5);
    EXPECT(virtq_pop(&d.q, &d.chain) == 1);
    EXPECT(d.chain.head == 5 && d.chain.out == 2 && d.chain.in == 2);
    EXPECT(d.chain.out_len == 7 && d.chain.in_len == 101);
    EXPECT(virtq_read(&d.chain, 2, text, 4) == 4 && !strcmp(text, "cdef"));
    EXPECT(virtq_read(&d.chain, 6, text, 4) == 1);
    EXPECT(virtq_write(&d.chain, 99, "xy", 3) == 2 && d.ram[0xa063] == 'x' && d.ram[0xb000] == 'y');
    EXPECT(virtq_pop(&d.q, &d.chain) == 0);
    virtq_push(&d.q, 5, 101);
    EXPECT(get16(&d, USED + 2) == 1 && get16(&d, USED + 4) == 5 && get16(&d, USED + 8) == 101);
    driver_end(&d);
}

TEST(a_table_may_stand_for_descriptors_and_behind_some)
{
    struct driver d;

    driver_init(&d, VIRTQ_INDIRECT);
    put_desc(&d, DESC, 0x8000, 16, NEXT, 1);
    put_desc(&d, DESC + 16, TABLE, 3 * 16, INDIRECT | WRITE, 0);
    put_desc(&d, TABLE, 0x9000, 5, NEXT, 2);
    put_desc(&d, TABLE + 32, 0xa000, 6, WRITE | NEXT, 1);
    put_desc(&d, TABLE + 16, 0xb000, 7, WRITE, 0);
    offer(&d, 0);
    EXPECT(virtq_pop(&d.q, &d.chain) == 1);
    EXPECT(d.chain.out == 2 && d.chain.out_len == 21 && d.chain.in == 2 && d.chain.in_len == 13);
    EXPECT(d.iov[3].iov_base == d.ram + 0xb000);
    driver_end(&d);
}

TEST(pieces_are_cut_to_a_part)
{
    char text[] = "abcdefghij";
    struct iovec iov[] = {{text, 3}, {text + 3, 1}, {text + 4, 6}};

    EXPECT(virtq_cut(iov, 3, 2, 4) == 3);
    EXPECT(iov[0].iov_base == text + 2 && iov[0].iov_len == 1 && iov[1].iov_len == 1 &&
           iov[2].iov_len == 2);
    EXPECT(virtq_cut(iov, 3, 1, 0) == 0);
    EXPECT(virtq_cut(iov, 3, 2, 2) == 1 && iov[0].iov_base == text + 4);
}

/* ---- what is not ---- */

struct bad_request {
    unsigned flags; /* of the queue */
    struct {
        uint32_t at;
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } desc[4];
    uint16_t head;
};

static const struct bad_request bad_requests[] = {
    {0, {{DESC, 0x8000, 8, 0, 0}}, NUM},    /* a head beyond the ring */
    {0, {{DESC, 0x8000, 8, NEXT, NUM}}, 0}, /* and a next one */
    {0, {{DESC, 0x8000, 8, NEXT, 0}}, 0},   /* a loop of one */
    {0, {{DESC, 0x8000, 8, NEXT, 1}, {DESC + 16, 0x8000, 8, NEXT, 0}}, 0},
    {0, {{DESC, RAM, 8, 0, 0}}, 0},       /* outside of memory */
    {0, {{DESC, RAM - 4, 8, 0, 0}}, 0},   /* across its end */
    {0, {{DESC, ~0ull - 3, 8, 0, 0}}, 0}, /* and across that of numbers */
    {0, {{DESC, 0x8000, ~0u, 0, 0}}, 0},
    {0, {{DESC, 0x8000, 0, 0, 0}}, 0},                                          /* empty */
    {0, {{DESC, 0x8000, 8, NEXT | WRITE, 1}, {DESC + 16, 0x8000, 8, 0, 0}}, 0}, /* out behind in */
    {0,
     {{DESC, 1ull << 32, 0x80000000u, NEXT, 1}, {DESC + 16, 1ull << 32, 0x80000000u, WRITE, 0}},
     0},                                                                /* 4 GiB */
    {0, {{DESC, TABLE, 16, INDIRECT, 0}, {TABLE, 0x8000, 8, 0, 0}}, 0}, /* not agreed upon */
    {VIRTQ_INDIRECT,
     {{DESC, TABLE, 16, INDIRECT, 0},
      {TABLE, TABLE + 64, 16, INDIRECT, 0},
      {TABLE + 64, 0x8000, 8, 0, 0}},
     0},
    {VIRTQ_INDIRECT, {{DESC, TABLE, 16, INDIRECT, 0}, {TABLE, TABLE, 16, INDIRECT, 0}}, 0},
    {VIRTQ_INDIRECT,
     {{DESC, TABLE, 16, INDIRECT | NEXT, 1},
      {TABLE, 0x8000, 8, 0, 0},
      {DESC + 16, 0x8000, 8, 0, 0}},
     0},
    {VIRTQ_INDIRECT, {{DESC, TABLE, 0, INDIRECT, 0}}, 0},
    {VIRTQ_INDIRECT, {{DESC, TABLE, 24, INDIRECT, 0}, {TABLE, 0x8000, 8, 0, 0}}, 0},
    {VIRTQ_INDIRECT, {{DESC, TABLE, (PIECES + 1) * 16, INDIRECT, 0}, {TABLE, 0x8000, 8, 0, 0}}, 0},
    {VIRTQ_INDIRECT, {{DESC, TABLE, 0xfffffff0u, INDIRECT, 0}, {TABLE, 0x8000, 8, 0, 0}}, 0},
    {VIRTQ_INDIRECT, {{DESC, RAM - 16, 32, INDIRECT, 0}}, 0},
    {VIRTQ_INDIRECT,
     {{DESC, TABLE, 32, INDIRECT, 0}, {TABLE, 0x8000, 8, NEXT, 2}},
     0}, /* out of the table */
    {VIRTQ_INDIRECT,
     {{DESC, TABLE, 32, INDIRECT, 0},
      {TABLE, 0x8000, 8, NEXT, 1},
      {TABLE + 16, 0x8000, 8, NEXT, 0}},
     0},
};

TEST(a_request_against_the_rules_breaks_its_queue_for_good)
{
    for (size_t i = 0; i < sizeof(bad_requests) / sizeof(bad_requests[0]); i++) {
        const struct bad_request *bad = &bad_requests[i];
        struct driver d;

        driver_init(&d, bad->flags);
        for (unsigned n = 0; n < 4 && bad->desc[n].at; n++)
            put_desc(&d, bad->desc[n].at, bad->desc[n].addr, bad->desc[n].len, bad->desc[n].flags,
                     bad->desc[n].next);
        offer(&d, bad->head);
        EXPECT(virtq_pop(&d.q, &d.chain) == -EPROTO);
        put_desc(&d, DESC, 0x8000, 8, 0, 0);
        EXPECT(virtq_pop(&d.q, &d.chain) == -EPROTO && d.q.why);
        virtq_push(&d.q, 0, 0);
        EXPECT(get16(&d, USED + 2) == 0 && !virtq_listen(&d.q));
        driver_end(&d);
    }
}

TEST(an_index_that_runs_ahead_breaks_its_queue)
{
    struct driver d;

    driver_init(&d, 0);
    put16(&d, AVAIL + 2, NUM + 1);
    EXPECT(virtq_pop(&d.q, &d.chain) == -EPROTO);
    driver_end(&d);
}

TEST(a_request_of_more_pieces_than_the_device_takes_breaks_its_queue)
{
    struct driver d;

    driver_init(&d, 0);
    for (uint16_t i = 0; i <= PIECES; i++)
        put_desc(&d, DESC + 16 * i, 0x8000, 8, i < PIECES ? NEXT : 0, i + 1);
    offer(&d, 1);
    EXPECT(virtq_pop(&d.q, &d.chain) == 1 && d.chain.out == PIECES);
    offer(&d, 0);
    EXPECT(virtq_pop(&d.q, &d.chain) == -EPROTO);
    driver_end(&d);
}

TEST(a_queue_that_does_not_lie_in_memory_is_not_turned_on)
{
    static const struct virtq_setup setups[] = {
        {0, DESC, AVAIL, USED},           {3, DESC, AVAIL, USED},
        {65536, DESC, AVAIL, USED},       {NUM, DESC + 8, AVAIL, USED},
        {NUM, DESC, AVAIL + 1, USED},     {NUM, DESC, AVAIL, USED + 2},
        {NUM, RAM - 64, AVAIL, USED},     {NUM, DESC, RAM - 4, USED},
        {NUM, DESC, AVAIL, RAM - 8},      {NUM, ~15ull, AVAIL, USED},
        {NUM, DESC, ~1ull, USED},         {NUM, DESC, AVAIL, ~3ull},
        {0x80000000u, DESC, AVAIL, USED},
    };
    struct driver d;

    driver_init(&d, 0);
    for (size_t i = 0; i < sizeof(setups) / sizeof(setups[0]); i++) {
        struct virtq q = {.mem = NULL};

        EXPECT(virtq_start(&q, &d.mem, &setups[i], 0) == -EINVAL && !virtq_is_on(&q));
        EXPECT(virtq_pop(&q, &d.chain) == 0 && !virtq_listen(&q) && !virtq_signal_due(&q));
        virtq_push(&q, 0, 0);
    }
    driver_end(&d);
}

/* The request that was taken lies in memory, and its lengths agree. */
static bool chain_is_sound(const struct driver *d)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < d->chain.out + d->chain.in; i++) {
        if ((uint8_t *)d->iov[i].iov_base < d->ram || !d->iov[i].iov_len)
            return false;
        all += d->iov[i].iov_len;
    }
    return d->chain.out + d->chain.in <= PIECES && all == d->chain.out_len + d->chain.in_len &&
           all < 1ull << 32;
}

/* Every word of the rings is random, again and again: what is given out lies in memory. */
TEST(rings_of_random_words_survive_and_give_out_memory_alone)
{
    u64 state = 11;

    for (u64 round = 0; round < 3000 * unit_times(); round++) {
        struct driver d;
        unsigned flags = unit_rand(&state) & 3;

        driver_init(&d, flags);
        for (unsigned i = 0; i < 16; i++) {
            u64 r = unit_rand(&state), a = unit_rand(&state);

            put_desc(&d, i < NUM ? DESC + 16 * i : TABLE + 16 * (i - NUM),
                     r & 1   ? a % RAM
                     : r & 2 ? TABLE + 16 * (a % 4)
                             : a,
                     r & 4 ? a >> 50 : 16 * (a >> 61), r >> 8 & 7, r & 8 ? (r >> 16) & 7 : r >> 16);
        }
        for (unsigned n = 0; n < 20; n++) {
            offer(&d, unit_rand(&state) % (NUM + (unit_rand(&state) % 16 == 0)));
            while (virtq_pop(&d.q, &d.chain) > 0) {
                EXPECT(chain_is_sound(&d));
                virtq_push(&d.q, d.chain.head, (uint32_t)d.chain.in_len);
            }
            (void)virtq_signal_due(&d.q);
            (void)virtq_listen(&d.q);
        }
        driver_end(&d);
    }
}

/* ---- notifications ---- */

TEST(an_interrupt_is_due_when_the_driver_asks_for_it_by_its_flag)
{
    struct driver d;

    driver_init(&d, 0);
    EXPECT(!virtq_signal_due(&d.q));
    virtq_push(&d.q, 0, 0);
    EXPECT(virtq_signal_due(&d.q) && !virtq_signal_due(&d.q));
    put16(&d, AVAIL, 1);
    virtq_push(&d.q, 0, 0);
    EXPECT(!virtq_signal_due(&d.q));
    driver_end(&d);
}

/* By event index: due when the used index has passed what the driver wrote, round and round. */
TEST(an_interrupt_is_due_when_the_index_passes_the_event)
{
    struct driver d;
    u64 state = 3;
    uint16_t at = 0;

    driver_init(&d, VIRTQ_EVENT_IDX);
    for (unsigned i = 0; i < 60000; i++) {
        uint16_t event = at + unit_rand(&state) % 12 - 4;
        unsigned n = 1 + unit_rand(&state) % NUM;
        bool passed = false;

        put16(&d, AVAIL + 4 + 2 * NUM, event);
        for (unsigned k = 0; k < n; k++) {
            virtq_push(&d.q, 0, 0);
            passed |= at++ == event;
        }
        EXPECT(virtq_signal_due(&d.q) == passed);
    }
    driver_end(&d);
}

TEST(a_device_that_listens_is_told_of_what_came_meanwhile)
{
    for (unsigned flags = 0; flags <= VIRTQ_EVENT_IDX; flags += VIRTQ_EVENT_IDX) {
        uint32_t event = USED + 4 + 8 * NUM;
        struct driver d;

        driver_init(&d, flags);
        put_desc(&d, DESC, 0x8000, 8, 0, 0);
        virtq_quiet(&d.q);
        EXPECT(get16(&d, USED) == (flags ? 0 : 1));
        offer(&d, 0);
        EXPECT(virtq_listen(&d.q));
        EXPECT(get16(&d, USED) == 0 && get16(&d, event) == 0);
        EXPECT(virtq_pop(&d.q, &d.chain) == 1);
        EXPECT(!virtq_listen(&d.q));
        EXPECT(get16(&d, event) == (flags ? 1 : 0));
        driver_end(&d);
    }
}

/* ---- ranges ---- */

TEST(ranges_are_given_out_once_and_lowest_first)
{
    static const uint64_t base = 100, size = 64;
    uint8_t taken[64] = {0};
    struct space s;
    u64 state = 5;

    space_init(&s, base, size);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t n = unit_rand(&state) % 9, align = 1u << unit_rand(&state) % 4,
                 at = base + unit_rand(&state) % 70, got = 0;
        unsigned want;

        if (unit_rand(&state) % 3 == 0 && s.count) { /* one goes */
            struct space_range r = s.taken[unit_rand(&state) % s.count];

            memset(taken + (r.start - base), 0, r.size);
            space_release(&s, r.start);
            continue;
        }
        if (unit_rand(&state) & 1) {
            bool fits = n && at - base < size && n <= size - (at - base);
            bool is_free = fits && !memchr(taken + (at - base), 1, n);

            EXPECT(space_take(&s, at, n) == (!fits ? -ERANGE : is_free ? 0 : -EBUSY));
            if (is_free)
                memset(taken + (at - base), 1, n);
            continue;
        }
        for (want = (unsigned)((align - base % align) % align);
             want + n <= size && memchr(taken + want, 1, n); want += align)
            ;
        if (!n || want + n > size) {
            EXPECT(space_alloc(&s, n, align, &got) == (n ? -ENOSPC : -ERANGE));
            continue;
        }
        EXPECT(space_alloc(&s, n, align, &got) == 0 && got == base + want);
        memset(taken + want, 1, n);
    }
}

TEST(ranges_at_the_end_of_numbers_do_not_wrap)
{
    struct space s;
    uint64_t at;

    space_init(&s, ~0ull - 15, 15);
    EXPECT(space_take(&s, ~0ull - 3, 8) == -ERANGE);
    EXPECT(space_take(&s, 0, 8) == -ERANGE);
    EXPECT(space_alloc(&s, 8, 8, &at) == 0 && at == ~0ull - 15);
    EXPECT(space_alloc(&s, 8, 8, &at) == -ENOSPC);
    EXPECT(space_alloc(&s, 7, 1 << 20, &at) == -ENOSPC);
    EXPECT(space_alloc(&s, ~0ull, 1, &at) == -ENOSPC);
}

/* ---- PCI ---- */

TEST(a_bar_tells_its_size_and_keeps_its_kind)
{
    static const struct pci_id id = {
        .vendor = 0x1af4, .device = 0x1042, .class = 0x018000, .revision = 1};
    struct pci_config c;

    pci_config_init(&c, &id);
    pci_config_add_bar(&c, 0, 0x8000, 0xf0000000);
    EXPECT(pci_config_read(&c, PCI_VENDOR, 4) == 0x10421af4 &&
           pci_config_read(&c, PCI_CLASS, 4) == 0x01800001);
    pci_config_write(&c, PCI_BAR0, ~0u, 4);
    EXPECT(pci_config_read(&c, PCI_BAR0, 4) == 0xffff8000);
    pci_config_write(&c, PCI_BAR0 + 4, ~0u, 4);
    EXPECT(pci_config_read(&c, PCI_BAR0 + 4, 4) == 0);
    pci_config_write(&c, PCI_BAR0 + 2, 0xd012, 2);
    EXPECT(pci_config_bar(&c, 0) == 0xd0128000);
}

TEST(configuration_space_changes_only_where_it_may)
{
    static const struct pci_id id = {.vendor = 1, .device = 2};
    struct pci_config c, before;
    unsigned cap;
    u64 state = 9;

    pci_config_init(&c, &id);
    cap = pci_config_add_cap(&c, PCI_CAP_MSIX, 12);
    EXPECT(pci_config_add_cap(&c, PCI_CAP_VENDOR, 17) == cap + 12);
    EXPECT(pci_config_read(&c, PCI_CAPABILITIES, 1) == cap &&
           pci_config_read(&c, cap, 2) == (PCI_CAP_MSIX | (cap + 12) << 8));
    EXPECT(pci_config_read(&c, cap + 13, 1) == 0 &&
           pci_config_read(&c, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES);
    before = c;
    for (unsigned i = 0; i < 20000; i++) {
        u64 r = unit_rand(&state);

        pci_config_write(&c, r % 300, (uint32_t)(r >> 32), 1u << (r >> 20) % 4);
        (void)pci_config_read(&c, r % 300, 1u << (r >> 24) % 4);
    }
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
        EXPECT(((c.bytes[i] ^ before.bytes[i]) & ~c.writable[i]) == 0);
    EXPECT(pci_config_read(&c, PCI_CONFIG_SIZE, 4) == ~0u &&
           pci_config_read(&c, PCI_CONFIG_SIZE - 2, 4) == ~0u);
}
