/* SPDX-License-Identifier: MIT
 *
 * What the loader says: one shape for Multiboot2 and PVH, filled by boot/ before kernel_main.
 * Addresses are physical; the strings are copies.
 */
#pragma once

#include "lib/types.h"

enum boot_mem_type { BOOT_MEM_RAM = 1, BOOT_MEM_RESERVED = 2, BOOT_MEM_ACPI = 3, BOOT_MEM_NVS = 4 };
struct boot_mem {
    u64 start, end; /* bytes; end exclusive */
    u32 type;       /* enum boot_mem_type */
};
#define BOOT_MEM_MAX 128
#define BOOT_MODULES_MAX 16
#define BOOT_CMDLINE_MAX 4096

struct boot_module {
    u64 start, size;
    char name[64];
};

struct boot_info {
    u64 kernel_start, kernel_end; /* where the image lies */
    u64 rsdp;                     /* 0: unknown, search the BIOS area */
    u8 rsdp_copy[36];             /* Multiboot2 passes a copy */
    bool rsdp_copied;
    unsigned nr_mem;
    struct boot_mem mem[BOOT_MEM_MAX]; /* sorted, not overlapping */
    unsigned nr_modules;
    struct boot_module modules[BOOT_MODULES_MAX];
    char cmdline[BOOT_CMDLINE_MAX];
    bool cmdline_cut; /* further words did not fit */
    struct {
        u64 addr;
        u32 pitch, width, height, bpp;
        u8 red_shift, green_shift, blue_shift;
    } framebuffer; /* addr 0: none */
    u64 entry_tsc;
    const char *loader; /* "multiboot2", "pvh" */
};
extern struct boot_info boot_info;

/* The value of `key=value` on the kernel command line ("" for a bare key), or NULL; *len its
 * length. */
const char *boot_option(const char *key, size_t *len);
bool boot_option_is(const char *key, const char *value);

/* The physical address of something in the kernel's image. */
extern char __kernel_start[];
static inline u64 image_phys(const void *va)
{
    return boot_info.kernel_start + (u64)((const char *)va - __kernel_start);
}
