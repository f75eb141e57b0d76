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

    if (map->entry_size < sizeof(struct mb2_mem))
        return;
    for (const char *p = (const char *)(map + 1); (size_t)(end - p) >= sizeof(struct mb2_mem);
         p += map->entry_size) {
        const struct mb2_mem *mem = (const struct mb2_mem *)p;

        boot_add_mem(mem->addr, mem->len, mem->type);
        if ((size_t)(end - p) < map->entry_size)
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

/* A string that ends where its tag does. */
static bool mb2_string_ok(const char *s, const struct mb2_tag *tag)
{
    return memchr(s, 0, (size_t)((const char *)tag + tag->size - s)) != NULL;
}

static void mb2_read_module(const struct mb2_module *mod)
{
    if (mod->end > mod->start && mb2_string_ok(mod->cmdline, &mod->tag))
        boot_add_module(mod->start, mod->end - mod->start, mod->cmdline);
}

/* The least size of a tag that is looked into. */
static u32 mb2_tag_least(u32 type)
{
    switch (type) {
    case TAG_MODULE:
        return sizeof(struct mb2_module) + 1;
    case TAG_MMAP:
        return sizeof(struct mb2_mmap);
    case TAG_FB:
        return sizeof(struct mb2_framebuffer);
    default:
        return sizeof(struct mb2_tag) + 1;
    }
}

static void mb2_read_tag(const struct mb2_tag *tag)
{
    const char *text = (const char *)(tag + 1);

    if (tag->size < mb2_tag_least(tag->type))
        return;
    if (tag->type == TAG_CMDLINE && mb2_string_ok(text, tag))
        boot_set_cmdline(text);
    else if (tag->type == TAG_MODULE)
        mb2_read_module((const struct mb2_module *)tag);
    else if (tag->type == TAG_MMAP)
        mb2_read_mmap((const struct mb2_mmap *)tag);
    else if (tag->type == TAG_FB)
        mb2_read_framebuffer((const struct mb2_framebuffer *)tag);
    else if (tag->type == TAG_ACPI1 || tag->type == TAG_ACPI2)
        mb2_read_rsdp(tag);
}

/* Every tag must lie inside the block. */
void multiboot2_read(u64 block)
{
    const char *base = boot_phys(block);
    u64 size = *(const u32 *)base, at = 8;

    boot_info.loader = "multiboot2";
    while (at + sizeof(struct mb2_tag) <= size) {
        const struct mb2_tag *tag = (const struct mb2_tag *)(base + at);

        if (tag->type == TAG_END || tag->size < sizeof(*tag) || tag->size > size - at)
            break;
        mb2_read_tag(tag);
        at += ALIGN_UP((u64)tag->size, 8UL);
    }
}
