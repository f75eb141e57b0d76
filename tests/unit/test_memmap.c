/* SPDX-License-Identifier: MIT
 *
 * Firmware's memory maps, whose ranges may overlap in any way.
 */
#include "harness.h"

#define boot_info memmap_info
#define boot_add_mem memmap_add
#define boot_mem_finish memmap_finish
#include "boot/memmap.c"

struct boot_info memmap_info;

static void memmap_make(const struct boot_mem *list, unsigned n)
{
    memmap_info.nr_mem = 0;
    for (unsigned i = 0; i < n; i++)
        memmap_add(list[i].start, list[i].end - list[i].start, list[i].type);
    memmap_finish();
}

/* The type of the byte at pa, 0: none's. */
static u32 memmap_type(u64 pa)
{
    u32 type = 0;

    for (unsigned i = 0; i < memmap_info.nr_mem; i++)
        if (pa >= memmap_info.mem[i].start && pa < memmap_info.mem[i].end)
            type = memmap_info.mem[i].type;
    return type;
}

TEST(memmap_keeps_ram_on_both_sides_of_a_hole)
{
    static const struct boot_mem map[] = {{0, 100, BOOT_MEM_RAM}, {10, 20, BOOT_MEM_RESERVED}};

    memmap_make(map, 2);
    EXPECT(memmap_type(9) == BOOT_MEM_RAM && memmap_type(10) == BOOT_MEM_RESERVED);
    EXPECT(memmap_type(19) == BOOT_MEM_RESERVED && memmap_type(20) == BOOT_MEM_RAM);
    EXPECT(memmap_type(99) == BOOT_MEM_RAM && memmap_type(100) == 0);
}

/* One of n ranges holds the byte: one of RAM, or one of all else. */
static bool map_holds(const struct boot_mem *map, unsigned n, u64 pa, bool is_ram)
{
    for (unsigned i = 0; i < n; i++)
        if (pa >= map[i].start && pa < map[i].end && (map[i].type == BOOT_MEM_RAM) == is_ram)
            return true;
    return false;
}

/* Against a look at each byte: what any other range claims is not RAM. */
TEST(memmap_of_any_overlap)
{
    struct boot_mem map[6];
    u64 seed = 1;

    for (u64 round = 0; round < 2000 * unit_times(); round++) {
        for (unsigned i = 0; i < 6; i++) {
            map[i].start = unit_rand(&seed) & 63;
            map[i].end = map[i].start + (unit_rand(&seed) & 31);
            map[i].type = 1 + (unit_rand(&seed) & 1);
        }
        memmap_make(map, 6);
        for (u64 pa = 0; pa < 96; pa++)
            EXPECT((memmap_type(pa) == BOOT_MEM_RAM) ==
                   (map_holds(map, 6, pa, true) && !map_holds(map, 6, pa, false)));
        for (unsigned i = 1; i < memmap_info.nr_mem; i++)
            EXPECT(memmap_info.mem[i].start >= memmap_info.mem[i - 1].end);
    }
}
