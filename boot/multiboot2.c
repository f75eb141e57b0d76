/* SPDX-License-Identifier: MIT
 *
 * Reads the information block of a Multiboot2 loader (Multiboot2 specification 2.0, section 3.6).
 */
#include "boot/boot.h"
#include "lib/string.h"

struct mb2_tag {
    u32 type, size;
};
enum { TAG_END, TAG_CMDLINE, TAG_MODULE = 3, TAG_MMAP = 6, TAG_FB = 8, TAG_ACPI1 = 14, TAG_ACPI2 };

struct mb2_module {
    struct mb2_tag tag;
    u32 start, end;
    char cmdline[];
};
struct mb2_mmap {
    struct mb2_tag tag;
    u32 entry_size, version;
};
struct mb2_mem {
    u64 addr, len;
    u32 type, zero;
};
struct mb2_framebuffer {
    struct mb2_tag tag;
    u64 addr;
    u32 pitch, width, height;
    u8 bpp, type;
    u16 reserved;
    u8 red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
} __packed;

static void mb2_read_mmap(const struct mb2_mmap *map)
{
    const char *end = (const char *)map + map->tag.size;

    for (const char *p = (const char *)(map + 1); p + sizeof(struct mb2_mem) <= end;
         p += map->entry_size) {
        const struct mb2_mem *mem = (const struct mb2_mem *)p;

        boot_add_mem(mem->addr, mem->len, mem->type);
        if (map->entry_size < sizeof(*mem))
            break;
    }
}

static void mb2_read_framebuffer(const struct mb2_framebuffer *fb)
{
    if (fb->type != 1) /* 1: direct colour; 2 is EGA text */
        return;
    boot_info.framebuffer.addr = fb->addr;
    boot_info.framebuffer.pitch = fb->pitch;
    boot_info.framebuffer.width = fb->width;
    boot_info.framebuffer.height = fb->height;
    boot_info.framebuffer.bpp = fb->bpp;
    boot_info.framebuffer.red_shift = fb->red_pos;
    boot_info.framebuffer.green_shift = fb->green_pos;
    boot_info.framebuffer.blue_shift = fb->blue_pos;
}

/* The loader goes away with its memory: the RSDP is copied. Version 2 wins. */
static void mb2_read_rsdp(const struct mb2_tag *tag)
{
    size_t n = MIN(tag->size - sizeof(*tag), sizeof(boot_info.rsdp_copy));

    if (boot_info.rsdp_copied && tag->type == TAG_ACPI1)
        return;
    memcpy(boot_info.rsdp_copy, tag + 1, n);
    boot_info.rsdp_copied = true;
}

void multiboot2_read(u64 block)
{
    const char *base = boot_phys(block);
    const char *end = base + *(const u32 *)base;
    const char *p = base + 8;

    boot_info.loader = "multiboot2";
    while (p + sizeof(struct mb2_tag) <= end) {
        const struct mb2_tag *tag = (const struct mb2_tag *)p;
        const struct mb2_module *mod = (const struct mb2_module *)p;

        if (tag->type == TAG_END || tag->size < sizeof(*tag))
            break;
        if (tag->type == TAG_CMDLINE)
            boot_set_cmdline(p + sizeof(*tag));
        else if (tag->type == TAG_MODULE)
            boot_add_module(mod->start, mod->end - mod->start, mod->cmdline);
        else if (tag->type == TAG_MMAP)
            mb2_read_mmap((const struct mb2_mmap *)p);
        else if (tag->type == TAG_FB)
            mb2_read_framebuffer((const struct mb2_framebuffer *)p);
        else if (tag->type == TAG_ACPI1 || tag->type == TAG_ACPI2)
            mb2_read_rsdp(tag);
        p += ALIGN_UP(tag->size, 8U);
    }
}
