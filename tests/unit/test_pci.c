/* SPDX-License-Identifier: MIT
 *
 * The core that reads PCI configuration space: a board of made-up functions whose registers keep
 * what they are given as far as they can, and whose bridges pass on what their numbers say.
 */
#include "harness.h"

#include <string.h>

#include "dev/pci_config.h"
#include "lib/errno.h"

#define BOARD_MAX 64

struct function {
    int bridge; /* index of the one above; -1: on bus 0 */
    unsigned devfn;
    uint8_t reg[PCI_CONFIG_SIZE_EXTENDED], keeps[PCI_CONFIG_SIZE_EXTENDED];
};

static struct board {
    struct function fn[BOARD_MAX];
    int count;
    unsigned reads, writes, decoding_writes; /* the last: to a BAR while it decoded */
    u64 hostile;                             /* seed: answers are spoilt at random; 0: not */
} board;

static unsigned board_bus(const struct function *f);

/* The number that f's bridge gives its bus, if all bridges above pass it on; 256: they do not. */
static unsigned board_bus(const struct function *f)
{
    unsigned bus, depth = 0;

    if (f->bridge < 0)
        return 0;
    bus = board.fn[f->bridge].reg[PCI_SECONDARY_BUS];
    for (int up = f->bridge; up >= 0; up = board.fn[up].bridge) {
        const uint8_t *reg = board.fn[up].reg;

        if (bus < reg[PCI_SECONDARY_BUS] || bus > reg[PCI_SUBORDINATE_BUS] || ++depth > BOARD_MAX)
            return 256;
    }
    return bus ? bus : 256;
}

static struct function *board_at(bdf_t bdf)
{
    for (int i = 0; i < board.count; i++)
        if (board.fn[i].devfn == (bdf.v & 0xffU) && board_bus(&board.fn[i]) == bdf_bus(bdf))
            return &board.fn[i];
    return NULL;
}

static u32 board_read(void *arg, bdf_t bdf, unsigned reg, unsigned width)
{
    const struct function *f = board_at(bdf);
    u32 v = 0;

    board.reads++;
    if (reg % width || reg + width > PCI_CONFIG_SIZE_EXTENDED)
        unit_fail(__FILE__, __LINE__, "an access out of bounds");
    if (board.hostile && unit_rand(&board.hostile) % 8 == 0)
        return (u32)unit_rand(&board.hostile) & (width == 4 ? ~0U : (1U << width * 8) - 1);
    if (!f)
        return ~0U >> (4 - width) * 8;
    memcpy(&v, f->reg + reg, width);
    return v;
}

static void board_write(void *arg, bdf_t bdf, unsigned reg, unsigned width, u32 value)
{
    struct function *f = board_at(bdf);

    board.writes++;
    if (reg % width || reg + width > PCI_CONFIG_SIZE_EXTENDED)
        unit_fail(__FILE__, __LINE__, "an access out of bounds");
    if (!f)
        return;
    if (reg >= PCI_BAR0 && reg < PCI_BAR0 + 24 && (f->reg[PCI_HEADER_TYPE] & 0x7f) == 0 &&
        f->reg[PCI_COMMAND] & (PCI_COMMAND_IO | PCI_COMMAND_MEM))
        board.decoding_writes++;
    for (unsigned i = 0; i < width; i++) {
        uint8_t keeps = f->keeps[reg + i], byte = (uint8_t)(value >> 8 * i);

        f->reg[reg + i] = (uint8_t)((f->reg[reg + i] & ~keeps) | (byte & keeps));
    }
}

static const struct pci_config_ops board_ops = {board_read, board_write};
static const struct pci_config board_config = {
    .ops = &board_ops, .bus_last = 0xff, .extended = true};

static void put(uint8_t *at, unsigned width, u64 v)
{
    memcpy(at, &v, width);
}

static void board_clear(void)
{
    memset(&board, 0, sizeof(board));
}

static int board_add(int bridge, unsigned dev, unsigned fn, u32 class, unsigned header)
{
    struct function *f = &board.fn[board.count];

    memset(f, 0, sizeof(*f));
    f->bridge = bridge;
    f->devfn = dev << 3 | fn;
    put(f->reg + PCI_VENDOR, 2, 0x1234);
    put(f->reg + PCI_DEVICE, 2, 0x1000U + (unsigned)board.count);
    put(f->reg + PCI_CLASS, 4, class << 8 | 1);
    f->reg[PCI_HEADER_TYPE] = (uint8_t)header;
    put(f->keeps + PCI_COMMAND, 2, 0xffff);
    if ((header & PCI_HEADER_MASK) == PCI_HEADER_BRIDGE)
        put(f->keeps + PCI_PRIMARY_BUS, 4, 0xffffff);
    return board.count++;
}

static int board_add_bridge(int above, unsigned dev, unsigned primary, unsigned secondary,
                            unsigned subordinate)
{
    int i = board_add(above, dev, 0, PCI_CLASS_BRIDGE_PCI, PCI_HEADER_BRIDGE);

    put(board.fn[i].reg + PCI_PRIMARY_BUS, 4, primary | secondary << 8 | subordinate << 16);
    return i;
}

/* A memory or port BAR: bits below the size are fixed. */
static void board_add_bar(int i, unsigned index, u64 size, u32 kind, u64 base)
{
    unsigned reg = PCI_BAR0 + index * 4;
    bool wide = !(kind & PCI_BAR_IO) && (kind & PCI_BAR_TYPE) == PCI_BAR_TYPE_64;
    unsigned width = wide ? 8 : 4;

    put(board.fn[i].reg + reg, width, base | kind);
    put(board.fn[i].keeps + reg, width, -size);
}

static struct {
    struct pci_found f[256];
    int n, limit;
} found;

static int note(void *arg, const struct pci_found *f)
{
    if (found.n == found.limit)
        return -ENOMEM;
    found.f[found.n] = *f;
    return found.n++;
}

static int scan(void)
{
    struct pci_scan s = {.found = note};

    found.n = 0;
    found.limit = 256;
    return pci_config_scan(&board_config, &s, 0);
}

/* The one with that device number, as board_add gave it. */
static const struct pci_found *found_of(int i)
{
    for (int n = 0; n < found.n; n++)
        if (found.f[n].device == 0x1000 + i)
            return &found.f[n];
    return NULL;
}

TEST(pci_scan_finds_what_is_behind_numbered_bridges)
{
    int host, bridge, below, far;

    board_clear();
    host = board_add(-1, 0, 0, PCI_CLASS_BRIDGE_HOST, 0);
    bridge = board_add_bridge(-1, 3, 0, 2, 5);
    below = board_add_bridge(bridge, 31, 2, 5, 5);
    far = board_add(below, 31, 0, 0x020000, 0);
    EXPECT(scan() == 0 && found.n == 4);
    EXPECT(found_of(host)->bridge == -1 && found_of(bridge)->secondary == 2);
    EXPECT(found_of(far)->bdf.v == BDF(5, 31, 0).v && found_of(far)->depth == 2);
    EXPECT(found.f[found_of(far)->bridge].device == 0x1000 + below);
    EXPECT(found_of(far)->class == 0x020000 && found_of(far)->revision == 1);
    EXPECT(board.writes == 0);
}

TEST(pci_scan_asks_only_what_may_exist)
{
    int i;

    board_clear();
    i = board_add(-1, 4, 0, 0x020000, 0); /* one function alone: others are its echo */
    (void)board_add(-1, 4, 3, 0x020000, 0);
    EXPECT(scan() == 0 && found.n == 1 && found_of(i));
    EXPECT(board.reads < 32 + 8);
    board.fn[i].reg[PCI_HEADER_TYPE] = PCI_HEADER_MULTI;
    EXPECT(scan() == 0 && found.n == 2);
    EXPECT(found.f[1].bdf.v == BDF(0, 4, 3).v);
}

TEST(pci_scan_reaches_the_last_bus_device_and_function)
{
    int bridge, i;

    board_clear();
    bridge = board_add_bridge(-1, 31, 0, 255, 255);
    (void)board_add(bridge, 31, 0, 0x020000, PCI_HEADER_MULTI);
    i = board_add(bridge, 31, 7, 0x020000, 0);
    EXPECT(scan() == 0 && found.n == 3 && found_of(i)->bdf.v == 0xffff);
}

TEST(pci_scan_asks_a_link_for_one_device)
{
    int port, i;

    board_clear();
    port = board_add_bridge(-1, 1, 0, 1, 1);
    put(board.fn[port].reg + PCI_STATUS, 2, PCI_STATUS_CAPABILITIES);
    board.fn[port].reg[PCI_CAPABILITIES] = 0x40;
    put(board.fn[port].reg + 0x40, 4, PCI_CAP_EXPRESS | 0x42 << 16); /* a root port */
    i = board_add(port, 0, 0, 0x020000, 0);
    (void)board_add(port, 1, 0, 0x020000, 0); /* its echo */
    EXPECT(scan() == 0 && found.n == 2 && found_of(i));
}

TEST(pci_scan_numbers_bridges_that_firmware_left)
{
    int set, left, below, other, a, b, c;

    board_clear();
    left = board_add_bridge(-1, 1, 0, 0, 0);
    set = board_add_bridge(-1, 2, 0, 1, 2);
    below = board_add_bridge(left, 1, 0, 0, 0);
    other = board_add_bridge(-1, 3, 0, 0, 0);
    a = board_add(set, 0, 0, 0x020000, 0);
    b = board_add(below, 0, 0, 0x020000, 0);
    c = board_add(other, 0, 0, 0x020000, 0);
    EXPECT(scan() == 0 && found.n == 7);
    EXPECT(bdf_bus(found_of(a)->bdf) == 1);
    EXPECT(found_of(left)->secondary == 3 && bdf_bus(found_of(b)->bdf) == 4);
    EXPECT(board.fn[left].reg[PCI_SUBORDINATE_BUS] == 4);
    EXPECT(bdf_bus(found_of(c)->bdf) == 5 && board.fn[other].reg[PCI_SUBORDINATE_BUS] == 5);
    EXPECT(scan() == 0 && found.n == 7); /* a second one finds all in order */
}

TEST(pci_scan_ends_where_bridges_lead_in_circles)
{
    int bridge;

    board_clear(); /* to its own bus, to one that another has, backwards */
    bridge = board_add_bridge(-1, 1, 0, 1, 9);
    (void)board_add_bridge(bridge, 1, 1, 1, 9);
    (void)board_add_bridge(bridge, 2, 1, 0, 9);
    (void)board_add_bridge(bridge, 3, 1, 2, 255);
    (void)board_add_bridge(-1, 2, 0, 1, 9);
    EXPECT(scan() == 0 && found.n == 5);
    for (int i = 0; i < found.n; i++)
        for (int j = 0; j < i; j++)
            EXPECT(!found.f[i].secondary || found.f[i].secondary != found.f[j].secondary);
}

TEST(pci_scan_goes_no_deeper_than_it_may)
{
    int at = -1;

    board_clear();
    for (unsigned i = 0; i < PCI_DEPTH_MAX + 4; i++)
        at = board_add_bridge(at, 0, i, i + 1, 255);
    EXPECT(scan() == 0 && found.n == PCI_DEPTH_MAX + 1);
    EXPECT(found.f[PCI_DEPTH_MAX].secondary == 0);
}

TEST(pci_scan_leaves_a_bridge_shut_when_numbers_are_used_up)
{
    int first, second;

    board_clear();
    first = board_add_bridge(-1, 1, 0, 1, 255);
    second = board_add_bridge(-1, 2, 0, 0, 0);
    (void)board_add(second, 0, 0, 0x020000, 0);
    EXPECT(scan() == 0 && found.n == 2 && found_of(first) && found_of(second)->secondary == 0);
}

TEST(pci_scan_ends_with_the_callers_error)
{
    struct pci_scan s = {.found = note};

    board_clear();
    for (unsigned dev = 0; dev < 4; dev++)
        (void)board_add(-1, dev, 0, 0x020000, 0);
    found.n = 0;
    found.limit = 2;
    EXPECT(pci_config_scan(&board_config, &s, 0) == -ENOMEM && found.n == 2);
}

/* ---- capabilities ---- */

TEST(pci_capabilities_are_found_by_kind_and_place)
{
    struct function *f;

    board_clear();
    f = &board.fn[board_add(-1, 0, 0, 0x020000, 0)];
    EXPECT(pci_config_cap(&board_config, BDF(0, 0, 0), PCI_CAP_MSI, 0) == 0); /* no list */
    put(f->reg + PCI_STATUS, 2, PCI_STATUS_CAPABILITIES);
    f->reg[PCI_CAPABILITIES] = 0x43; /* the low bits mean nothing */
    put(f->reg + 0x40, 2, PCI_CAP_MSI | 0xfc << 8);
    put(f->reg + 0xfc, 2, 9 | 0x50 << 8);
    put(f->reg + 0x50, 2, 9 | 0x10 << 8); /* into the header: the end */
    EXPECT(pci_config_cap(&board_config, BDF(0, 0, 0), PCI_CAP_MSI, 0) == 0x40);
    EXPECT(pci_config_cap(&board_config, BDF(0, 0, 0), 9, 1) == 0x50);
    EXPECT(pci_config_cap(&board_config, BDF(0, 0, 0), 9, 2) == 0);
    EXPECT(pci_config_cap(&board_config, BDF(0, 1, 0), 9, 0) == 0);
}

TEST(pci_capabilities_in_a_circle_end)
{
    struct function *f;

    board_clear();
    f = &board.fn[board_add(-1, 0, 0, 0x020000, 0)];
    put(f->reg + PCI_STATUS, 2, PCI_STATUS_CAPABILITIES);
    f->reg[PCI_CAPABILITIES] = 0x40;
    put(f->reg + 0x40, 2, 5 | 0x60 << 8);
    put(f->reg + 0x60, 2, 9 | 0x40 << 8);
    EXPECT(pci_config_cap(&board_config, BDF(0, 0, 0), 0x11, 0) == 0);
    EXPECT(pci_config_cap(&board_config, BDF(0, 0, 0), 9, 1) == 0); /* not the same one again */
    put(f->reg + 0x100, 4, 1 | 1 << 16 | 0x200U << 20);
    put(f->reg + 0x200, 4, 3 | 1 << 16 | 0x100U << 20);
    EXPECT(pci_config_ext_cap(&board_config, BDF(0, 0, 0), 3, 0) == 0x200);
    EXPECT(pci_config_ext_cap(&board_config, BDF(0, 0, 0), 4, 0) == 0);
    EXPECT(pci_config_ext_cap(&board_config, BDF(0, 0, 0), 3, 1) == 0);
}

/* ---- BARs, windows, places ---- */

TEST(pci_bars_are_sized_with_decoding_off_and_left_as_they_were)
{
    struct pci_bar bars[PCI_RESOURCES];
    struct function *f, before;
    int i;

    board_clear();
    i = board_add(-1, 0, 0, 0x020000, 0);
    f = &board.fn[i];
    board_add_bar(i, 0, 0x20, PCI_BAR_IO, 0xc040);
    board_add_bar(i, 1, 0x1000, 0, 0xfebf0000);
    board_add_bar(i, 2, 1ULL << 34, PCI_BAR_TYPE_64 | PCI_BAR_PREFETCH, 0x4000000000);
    board_add_bar(i, 5, 16, 0, 0xfebf1000);
    put(f->reg + PCI_ROM, 4, 0xfeb00001);
    put(f->keeps + PCI_ROM, 4, 0xffff0001);
    put(f->reg + PCI_COMMAND, 2, 7);
    before = *f;
    pci_config_bars(&board_config, BDF(0, 0, 0), PCI_HEADER_NORMAL, bars);
    EXPECT(memcmp(&before, f, sizeof(before)) == 0 && board.decoding_writes == 0);
    EXPECT(bars[0].io && bars[0].size == 0x20 && bars[0].base == 0xc040);
    EXPECT(!bars[1].io && bars[1].size == 0x1000 && bars[1].base == 0xfebf0000 && !bars[1].wide);
    EXPECT(bars[2].wide && bars[2].prefetch && bars[2].size == 1ULL << 34);
    EXPECT(bars[2].base == 0x4000000000 && bars[3].size == 0 && bars[4].size == 0);
    EXPECT(bars[5].size == 16 && bars[PCI_BAR_ROM].size == 0x10000);
    EXPECT(bars[PCI_BAR_ROM].base == 0xfeb00000);
}

TEST(pci_bar_of_64_bits_at_the_end_has_no_upper_half)
{
    struct pci_bar bars[PCI_RESOURCES];
    int i;

    board_clear();
    i = board_add(-1, 0, 0, 0x020000, 0);
    board_add_bar(i, 5, 0x1000, PCI_BAR_TYPE_64, 0xfebf0000); /* it would reach into 0x28 */
    pci_config_bars(&board_config, BDF(0, 0, 0), PCI_HEADER_NORMAL, bars);
    EXPECT(!bars[5].wide && bars[5].size == 0x1000 && bars[5].base == 0xfebf0000);
}

TEST(pci_bar_is_given_its_place)
{
    struct pci_bar bars[PCI_RESOURCES];
    int i;

    board_clear();
    i = board_add(-1, 0, 0, 0x020000, 0);
    board_add_bar(i, 2, 1ULL << 20, PCI_BAR_TYPE_64, 0);
    pci_config_bars(&board_config, BDF(0, 0, 0), PCI_HEADER_NORMAL, bars);
    pci_config_bar_set(&board_config, BDF(0, 0, 0), PCI_HEADER_NORMAL, 2, &bars[2], 0x7fff00000);
    pci_config_bars(&board_config, BDF(0, 0, 0), PCI_HEADER_NORMAL, bars);
    EXPECT(bars[2].base == 0x7fff00000 && bars[2].size == 1ULL << 20);
}

TEST(pci_windows_of_a_bridge_are_read)
{
    struct pci_window w[PCI_WINDOWS];
    struct function *f;

    board_clear();
    f = &board.fn[board_add_bridge(-1, 0, 0, 1, 1)];
    pci_config_windows(&board_config, BDF(0, 0, 0), w);
    for (unsigned i = 0; i < PCI_WINDOWS; i++)
        EXPECT(w[i].start > w[i].end); /* never set up */
    put(f->reg + PCI_IO_BASE, 2, 0xc1 | 0xd1 << 8);
    put(f->reg + PCI_MEM_BASE, 4, 0xfe80 | 0xfe90ULL << 16);
    put(f->reg + PCI_PREFETCH_BASE, 4, 0x0001 | 0xfff1ULL << 16);
    put(f->reg + PCI_PREFETCH_BASE_HIGH, 4, 8);
    put(f->reg + PCI_PREFETCH_LIMIT_HIGH, 4, 9);
    pci_config_windows(&board_config, BDF(0, 0, 0), w);
    EXPECT(w[PCI_WINDOW_IO].start == 0xc000 && w[PCI_WINDOW_IO].end == 0xdfff);
    EXPECT(w[PCI_WINDOW_MEM].start == 0xfe800000 && w[PCI_WINDOW_MEM].end == 0xfe9fffff);
    EXPECT(w[PCI_WINDOW_PREFETCH].start == 0x800000000 &&
           w[PCI_WINDOW_PREFETCH].end == 0x9ffffffff);
    put(f->reg + PCI_MEM_BASE, 4, 0xfff0 | 0ULL << 16); /* shut: base above limit */
    pci_config_windows(&board_config, BDF(0, 0, 0), w);
    EXPECT(w[PCI_WINDOW_MEM].start > w[PCI_WINDOW_MEM].end);
}

TEST(pci_places_are_the_lowest_free_ones)
{
    struct pci_window window = {0x1000, 0x8fff};
    struct pci_window used[] = {{0x3000, 0x3fff}, {0x0, 0x10ff}, {0x5000, 0x50ff}, {9, 1}};
    u64 at = 1;

    EXPECT(pci_place(&window, used, 4, 0x100, &at) && at == 0x1100);
    EXPECT(pci_place(&window, used, 4, 0x1000, &at) && at == 0x2000);
    EXPECT(pci_place(&window, used, 4, 0x2000, &at) && at == 0x6000);
    EXPECT(!pci_place(&window, used, 4, 0x4000, &at) && at == 0x6000);
    window = (struct pci_window){1ULL << 63, ~0ULL};
    used[0] = (struct pci_window){0, ~0ULL - 1};
    EXPECT(!pci_place(&window, used, 1, 0x1000, &at));
    used[0].end = ~0ULL;
    EXPECT(!pci_place(&window, used, 1, 1, &at));
    EXPECT(pci_place(&window, NULL, 0, 1ULL << 63, &at) && at == 1ULL << 63);
}

/* ---- what has no sense ---- */

static void board_random(u64 *seed)
{
    board_clear();
    while (board.count < BOARD_MAX) {
        int above = (int)(unit_rand(seed) % (unsigned)(board.count + 1)) - 1;
        bool bridge = unit_rand(seed) % 2;
        int i = bridge ? board_add_bridge(above, unit_rand(seed) % 32, unit_rand(seed) % 8,
                                          unit_rand(seed) % 16, unit_rand(seed) % 256)
                       : board_add(above, unit_rand(seed) % 32, unit_rand(seed) % 8, 0x020000,
                                   unit_rand(seed) % 2 ? PCI_HEADER_MULTI : 0);
        struct function *f = &board.fn[i];

        for (unsigned n = 0; n < 64; n++) {
            unsigned at = 0x34 + unit_rand(seed) % (unit_rand(seed) % 2 ? 0xcc : 0xfcc);

            f->reg[at] = (uint8_t)unit_rand(seed);
            f->keeps[at] = (uint8_t)unit_rand(seed);
        }
        for (unsigned at = PCI_BAR0; at < 0x28 && !bridge; at++)
            f->keeps[at] = f->reg[at] = (uint8_t)unit_rand(seed);
        put(f->reg + PCI_STATUS, 2, unit_rand(seed));
    }
    board.hostile = unit_rand(seed) % 2 ? unit_rand(seed) : 0;
}

TEST(pci_hostile_device_config_is_read_to_an_end)
{
    struct pci_bar bars[PCI_RESOURCES];
    struct pci_window windows[PCI_WINDOWS];
    u64 seed = 1;

    for (u64 round = 0; round < 200 * unit_times(); round++) {
        int err;

        board_random(&seed);
        err = scan();
        EXPECT(err == 0 || err == -ENOMEM || err == -E2BIG);
        for (int i = 0; i < found.n; i++) {
            bdf_t bdf = found.f[i].bdf;
            unsigned cap = pci_config_cap(&board_config, bdf, (uint8_t)unit_rand(&seed), 0);

            EXPECT(cap == 0 || (cap >= 0x40 && cap < 0x100));
            cap = pci_config_ext_cap(&board_config, bdf, (uint8_t)unit_rand(&seed), 1);
            EXPECT(cap == 0 || (cap >= 0x100 && cap < 0x1000));
            pci_config_windows(&board_config, bdf, windows);
            pci_config_bars(&board_config, bdf, found.f[i].header, bars);
            for (unsigned b = 0; b < PCI_RESOURCES; b++)
                EXPECT((bars[b].size & (bars[b].size - 1)) == 0);
        }
        EXPECT(board.reads < 4000000);
    }
}
