/* SPDX-License-Identifier: MIT
 *
 * The Multiboot2 block: a sound one, and damaged ones in memory that ends where they do.
 */
#include "harness.h"

/* The block lies where the host's memory is, not behind the direct map. */
#define boot_phys boot_phys_direct
#include "boot/boot.h"
#undef boot_phys
static void *boot_phys(u64 pa)
{
    return (void *)pa;
}
#include "boot/cmdline.c"
#include "boot/multiboot2.c"

#include <stdlib.h>

struct boot_info boot_info;
static u64 boot_seen, boot_ram;

void boot_add_mem(u64 start, u64 size, u32 type)
{
    boot_seen++;
    if (type == BOOT_MEM_RAM)
        boot_ram += size;
}

void boot_add_module(u64 start, u64 size, const char *name)
{
    boot_seen += 1 + strlen(name);
}

/* As GRUB makes it. Returns its length. */
static u32 boot_make_block(u32 *w)
{
    static const u32 block[] = {
        0,         0,                                          /* size, reserved */
        1,         12,    0x61,       0,                       /* command line "a" */
        3,         18,    0x100000,   0x200000, 0x62,       0, /* a module named "b" */
        6,         40,    24,         0,                       /* memory map */
        0x100000,  0,     0x7f000000, 0,        1,          0, /* one range of RAM */
        8,         38,    0xfd000000, 0,        4096,       1024, 768, 0x120,
        0x8100810, 0x800, 15,         44,       0x20445352, 0,    0,   0,
        0,         0,     0,          0,        0,          0,    0,   8, /* end */
    };

    memcpy(w, block, sizeof(block));
    w[0] = sizeof(block);
    return sizeof(block);
}

TEST(multiboot2_reads_what_grub_says)
{
    u32 block[64];

    boot_make_block(block);
    boot_seen = boot_ram = 0;
    boot_info = (struct boot_info){0};
    multiboot2_read((u64)block);
    EXPECT(boot_ram == 0x7f000000 && boot_seen == 3);
    EXPECT(!strcmp(boot_info.cmdline, "a") && !boot_info.cmdline_cut);
    EXPECT(boot_info.rsdp_copied);
}

TEST(multiboot2_survives_damage)
{
    u64 seed = 5, times = unit_times() * 20000;

    for (u64 i = 0; i < times; i++) {
        u32 sound[64], n = boot_make_block(sound);
        u32 cut = unit_rand(&seed) % 4 ? n : 8 + (u32)(unit_rand(&seed) % (n - 8));
        u8 *block = malloc(cut);

        memcpy(block, sound, cut);
        for (u64 k = unit_rand(&seed) % 4; k; k--)
            block[unit_rand(&seed) % cut] = (u8)unit_rand(&seed);
        memcpy(block, &cut, 4); /* the loader knows how much it wrote */
        boot_info = (struct boot_info){0};
        multiboot2_read((u64)block);
        free(block);
    }
    EXPECT(true);
}

TEST(a_command_line_that_does_not_fit_loses_whole_words)
{
    static const char word[] = " api=any", more[] = ",but.not.everybody.of.these";
    static char line[BOOT_CMDLINE_MAX + 64];
    size_t n = BOOT_CMDLINE_MAX - 20, len;

    boot_info = (struct boot_info){0};
    memset(line, 'x', n);
    memcpy(line + n, word, sizeof(word));
    boot_set_cmdline(line);
    EXPECT(!boot_info.cmdline_cut && boot_option_is("api", "any"));
    memcpy(line + n + sizeof(word) - 1, more, sizeof(more));
    boot_set_cmdline(line);
    EXPECT(boot_info.cmdline_cut && !boot_option("api", &len));
    EXPECT(strlen(boot_info.cmdline) == n);
}
