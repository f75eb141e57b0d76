/* SPDX-License-Identifier: MIT
 *
 * Linux's x86 boot protocol, 64-bit entry: the protected-mode part of a bzImage is placed in
 * memory as it is, boot parameters are filled in, and vCPU 0 starts in long mode, 0x200 bytes
 * into it, with RSI at the parameters and the first 4 GiB mapped one to one.
 * (Documentation/arch/x86/boot.rst gives the offsets.)
 */
#include "vmm/load.h"

#include <string.h>

/* Offsets in the file's first page, and the same ones in the boot parameters. */
enum {
    SETUP_SECTS = 0x1f1,      /* 1 */
    BOOT_FLAG = 0x1fe,        /* 2: 0xaa55 */
    HEADER_JUMP = 0x200,      /* second byte: the header ends at 0x202 + it */
    HEADER_MAGIC = 0x202,     /* "HdrS" */
    PROTOCOL = 0x206,         /* 2 */
    LOADER_TYPE = 0x210,      /* 1 */
    LOAD_FLAGS = 0x211,       /* 1: bit 0, loaded high */
    RAMDISK_ADDR = 0x218,     /* 4 */
    RAMDISK_SIZE = 0x21c,     /* 4 */
    CMDLINE_PTR = 0x228,      /* 4 */
    INITRD_MAX = 0x22c,       /* 4 */
    KERNEL_ALIGNMENT = 0x230, /* 4 */
    XLOADFLAGS = 0x236,       /* 2: bit 0, has a 64-bit entry */
    CMDLINE_SIZE = 0x238,     /* 4 */
    PREF_ADDRESS = 0x258,     /* 8 */
    INIT_SIZE = 0x260,        /* 4 */
    /* in the boot parameters alone */
    PARAM_RSDP = 0x070,       /* 8 */
    PARAM_E820_COUNT = 0x1e8, /* 1 */
    PARAM_E820 = 0x2d0,       /* 20 bytes each */
};

#define PROTOCOL_MIN 0x20c
#define LOADED_HIGH 1
#define XLF_64 1
#define ENTRY_64 0x200

struct linux_header {
    uint16_t protocol;
    uint16_t xloadflags;
    uint8_t load_flags;
    uint64_t setup_size;
    uint64_t image_size;
    uint64_t pref_address;
    uint32_t init_size;
    uint32_t initrd_max;
    uint32_t cmdline_size;
};

static uint64_t linux_get(const uint8_t *p, unsigned offset, unsigned len)
{
    uint64_t v = 0;
    memcpy(&v, p + offset, len);
    return v;
}

static void linux_put(uint8_t *p, unsigned offset, uint64_t value, unsigned len)
{
    memcpy(p + offset, &value, len);
}

bool load_linux_probe(const uint8_t *head)
{
    return linux_get(head, BOOT_FLAG, 2) == 0xaa55 && memcmp(head + HEADER_MAGIC, "HdrS", 4) == 0;
}

static struct linux_header linux_header(const struct load_file *f, const uint8_t *head)
{
    unsigned sectors = head[SETUP_SECTS] ? head[SETUP_SECTS] : 4;
    struct linux_header h = {
        .protocol = linux_get(head, PROTOCOL, 2),
        .xloadflags = linux_get(head, XLOADFLAGS, 2),
        .load_flags = head[LOAD_FLAGS],
        .setup_size = (sectors + 1) * 512ull,
        .pref_address = linux_get(head, PREF_ADDRESS, 8),
        .init_size = linux_get(head, INIT_SIZE, 4),
        .initrd_max = linux_get(head, INITRD_MAX, 4),
        .cmdline_size = linux_get(head, CMDLINE_SIZE, 4),
    };
    if (h.protocol < PROTOCOL_MIN)
        fatal(EXIT_BAD_FILE, "%s: boot protocol %u.%u is older than 2.12", f->path, h.protocol >> 8,
              h.protocol & 0xff);
    if (!(h.xloadflags & XLF_64) || !(h.load_flags & LOADED_HIGH))
        fatal(EXIT_BAD_FILE, "%s: no 64-bit entry point", f->path);
    if (f->size <= h.setup_size + ENTRY_64)
        fatal(EXIT_BAD_FILE, "%s: truncated: ends before the kernel proper", f->path);
    h.image_size = f->size - h.setup_size;
    /* syssize counts 16-byte units of what must follow the set-up sectors. */
    uint64_t want = linux_get(head, 0x1f4, 4) * 16;
    if (h.image_size + 16 < want)
        fatal(EXIT_BAD_FILE, "%s: truncated: %llu bytes of the kernel are missing", f->path,
              (unsigned long long)(want - h.image_size));
    if (h.pref_address < BOOT_HIGH || h.pref_address > LOW_RAM_MAX || h.pref_address & 0xfff)
        fatal(EXIT_BAD_FILE, "%s: impossible load address %#llx", f->path,
              (unsigned long long)h.pref_address);
    return h;
}

/* The first 4 GiB, one to one, in 2 MiB pages. */
static void linux_page_tables(struct vm *vm)
{
    uint64_t table[512] = {0};
    table[0] = (BOOT_PML4 + 0x1000) | 3;
    mem_write(&vm->ram, BOOT_PML4, table, sizeof table);
    for (unsigned i = 0; i < 4; i++)
        table[i] = (BOOT_PML4 + 0x2000 + i * 0x1000ull) | 3;
    mem_write(&vm->ram, BOOT_PML4 + 0x1000, table, sizeof table);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 512; j++)
            table[j] = (i * GIB + j * 2 * MIB) | 0x83;
        mem_write(&vm->ram, BOOT_PML4 + 0x2000 + i * 0x1000ull, table, sizeof table);
    }
}

static void linux_params(struct vm *vm, const struct vm_options *opt, const uint8_t *head,
                         uint64_t rsdp)
{
    uint8_t params[4096] = {0};
    struct load_range map[LOAD_RANGES];
    unsigned end = HEADER_MAGIC + head[HEADER_JUMP + 1];

    memcpy(params + SETUP_SECTS, head + SETUP_SECTS, end - SETUP_SECTS);
    params[LOADER_TYPE] = 0xff;
    linux_put(params, CMDLINE_PTR, BOOT_CMDLINE, 4);
    if (opt->nmodules) {
        linux_put(params, RAMDISK_ADDR, opt->modules[0].gpa, 4);
        linux_put(params, RAMDISK_SIZE, opt->modules[0].size, 4);
    }
    linux_put(params, PARAM_RSDP, rsdp, 8);
    unsigned n = load_memmap(vm, map);
    params[PARAM_E820_COUNT] = n;
    for (unsigned i = 0; i < n; i++) {
        linux_put(params, PARAM_E820 + i * 20, map[i].addr, 8);
        linux_put(params, PARAM_E820 + i * 20 + 8, map[i].size, 8);
        linux_put(params, PARAM_E820 + i * 20 + 16, map[i].type, 4);
    }
    mem_write(&vm->ram, BOOT_PARAMS, params, sizeof params);
}

void load_linux(struct vm *vm, struct vm_options *opt, const struct load_file *f, uint64_t rsdp,
                struct vm_entry *entry)
{
    uint8_t head[4096] = {0};
    load_read(f, 0, head, f->size < sizeof head ? f->size : sizeof head);
    struct linux_header h = linux_header(f, head);
    uint64_t low = vm->ram.regions[0].size;

    if (opt->nmodules > 1)
        fatal(EXIT_USAGE, "%s: a Linux kernel takes one --initrd and no --module", f->path);
    if (strlen(opt->cmdline) > h.cmdline_size)
        fatal(EXIT_USAGE, "%s: the kernel takes a command line of %u bytes", f->path,
              h.cmdline_size);
    if (h.pref_address > low || h.init_size > low - h.pref_address)
        fatal(EXIT_BAD_FILE, "%s: needs %llu MiB of memory to start", f->path,
              (unsigned long long)((h.pref_address + h.init_size + MIB - 1) / MIB));
    load_into(vm, f, h.setup_size, h.pref_address, h.image_size, "the kernel");
    uint64_t top = low;
    if (top > (uint64_t)h.initrd_max + 1)
        top = (uint64_t)h.initrd_max + 1;
    load_modules(vm, opt, BOOT_HIGH, h.pref_address + h.init_size, top);
    linux_params(vm, opt, head, rsdp);
    linux_page_tables(vm);
    *entry = (struct vm_entry){
        .long_mode = true,
        .rip = h.pref_address + ENTRY_64,
        .rsi = BOOT_PARAMS,
    };
}
