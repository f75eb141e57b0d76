/* SPDX-License-Identifier: MIT
 *
 * ELF64 header validation; layouts and numbers from the System V ABI and its AMD64 supplement.
 */
#include "lib/elf.h"
#include "lib/compiler.h"
#include "lib/errno.h"
#include "lib/string.h"

enum {
    ELF_CLASS_64 = 2,
    ELF_DATA_LSB = 1,
    ELF_VERSION = 1,
    ELF_ET_EXEC = 2,
    ELF_ET_DYN = 3,
    ELF_EM_X86_64 = 62,
    ELF_PT_LOAD = 1,
    ELF_PT_INTERP = 3,
    ELF_PT_NOTE = 4,
    ELF_PT_GNU_STACK = 0x6474e551,
};

struct elf_header {
    u8 ident[16];
    u16 type, machine;
    u32 version;
    u64 entry, phoff, shoff;
    u32 flags;
    u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_phdr {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};

static_assert(sizeof(struct elf_header) == 64, "ELF64 header");
static_assert(sizeof(struct elf_phdr) == 56, "ELF64 program header");

static int elf_check_header(const struct elf_header *h)
{
    if (memcmp(h->ident, "\177ELF", 4))
        return -ENOEXEC;
    if (h->ident[4] != ELF_CLASS_64 || h->ident[5] != ELF_DATA_LSB || h->ident[6] != ELF_VERSION)
        return -ENOEXEC;
    if (h->machine != ELF_EM_X86_64 || (h->type != ELF_ET_EXEC && h->type != ELF_ET_DYN))
        return -ENOEXEC;
    if (h->phentsize != sizeof(struct elf_phdr) || !h->phnum || h->phnum > ELF_MAX_PHDRS)
        return -EINVAL;
    return 0;
}

static bool elf_in_file(const struct elf_phdr *ph, u64 file_size)
{
    u64 end;

    return !add_overflows(ph->offset, ph->filesz, &end) && end <= file_size;
}

static int elf_add_load(struct elf_image *img, const struct elf_phdr *ph, u64 file_size)
{
    bool aligned = ph->align && !(ph->align & (ph->align - 1)); /* else it asks for nothing */
    u64 end, align = aligned ? ph->align : 1;

    if (!ph->memsz)
        return ph->filesz ? -EINVAL : 0;
    if (ph->filesz > ph->memsz || !elf_in_file(ph, file_size))
        return -EINVAL;
    if (add_overflows(ph->vaddr, ph->memsz, &end) || end > PAGE_MASK) /* in whole pages too */
        return -EINVAL;
    if ((ph->vaddr - ph->offset) & (MIN(align, PAGE_SIZE) - 1)) /* more is not needed to map it */
        return -EINVAL;
    if (img->count == ELF_MAX_SEGMENTS || (img->count && ph->vaddr < img->high))
        return -EINVAL;
    if (!img->count)
        img->low = ph->vaddr;
    img->high = end;
    if (img->high - img->low > ELF_MAX_SPAN)
        return -EINVAL;
    if ((ph->flags & (ELF_W | ELF_X)) == (ELF_W | ELF_X))
        img->wx = true;
    img->max_align = MAX(img->max_align, align);
    img->segments[img->count++] = (struct elf_segment){
        .vaddr = ph->vaddr,
        .mem_size = ph->memsz,
        .file_off = ph->offset,
        .file_size = ph->filesz,
        .paddr = ph->paddr,
        .flags = ph->flags & (ELF_R | ELF_W | ELF_X),
        .align = align,
    };
    return 0;
}

static int elf_set_interp(struct elf_image *img, const struct elf_phdr *ph, u64 file_size)
{
    if (img->interp_len || ph->filesz < 2 || ph->filesz > ELF_INTERP_MAX)
        return -EINVAL;
    if (!elf_in_file(ph, file_size))
        return -EINVAL;
    img->interp_off = ph->offset;
    img->interp_len = ph->filesz - 1;
    return 0;
}

static int elf_add_phdr(struct elf_image *img, const struct elf_phdr *ph, u64 file_size)
{
    switch (ph->type) {
    case ELF_PT_LOAD:
        return elf_add_load(img, ph, file_size);
    case ELF_PT_INTERP:
        return elf_set_interp(img, ph, file_size);
    case ELF_PT_NOTE:
        if (!img->note_size && elf_in_file(ph, file_size)) {
            img->note_off = ph->offset;
            img->note_size = ph->filesz;
        }
        return 0;
    case ELF_PT_GNU_STACK:
        img->exec_stack = ph->flags & ELF_X;
        return 0;
    default:
        return 0;
    }
}

/* Where the file's bytes [off, off + size) appear in memory, or 0. */
static u64 elf_off_to_vaddr(const struct elf_image *img, u64 off, u64 size)
{
    for (unsigned i = 0; i < img->count; i++) {
        const struct elf_segment *seg = &img->segments[i];

        if (off >= seg->file_off && off - seg->file_off <= seg->file_size &&
            size <= seg->file_size - (off - seg->file_off))
            return seg->vaddr + (off - seg->file_off);
    }
    return 0;
}

static bool elf_entry_ok(const struct elf_image *img)
{
    for (unsigned i = 0; i < img->count; i++) {
        const struct elf_segment *seg = &img->segments[i];

        if (img->entry >= seg->vaddr && img->entry - seg->vaddr < seg->mem_size)
            return seg->flags & ELF_X;
    }
    return false;
}

/* The file header, and where the table of program headers ends in the file. */
static int elf_read_header(const void *head, size_t head_size, u64 file_size, struct elf_header *h,
                           u64 *end)
{
    int err;

    if (head_size < sizeof(*h) || file_size < head_size)
        return -ENOEXEC;
    memcpy(h, head, sizeof(*h));
    err = elf_check_header(h);
    if (err)
        return err;
    if (add_overflows(h->phoff, (u64)h->phnum * sizeof(struct elf_phdr), end) || *end > file_size)
        return -EINVAL;
    return 0;
}

int elf_find_table(const void *head, size_t head_size, u64 file_size, u64 *off, size_t *size)
{
    struct elf_header h;
    u64 end;
    int err = elf_read_header(head, head_size, file_size, &h, &end);

    if (err)
        return err;
    *off = h.phoff;
    *size = (size_t)(end - h.phoff);
    return 0;
}

int elf_parse_table(const void *head, size_t head_size, const void *table, u64 file_size,
                    struct elf_image *image)
{
    struct elf_image img = {.max_align = 1};
    struct elf_header h;
    u64 end;
    int err = elf_read_header(head, head_size, file_size, &h, &end);

    if (err)
        return err;
    img.entry = h.entry;
    img.dynamic = h.type == ELF_ET_DYN;
    img.phdr_off = h.phoff;
    img.phdr_count = h.phnum;
    for (unsigned i = 0; i < h.phnum; i++) {
        struct elf_phdr ph;

        memcpy(&ph, (const u8 *)table + i * sizeof(ph), sizeof(ph));
        err = elf_add_phdr(&img, &ph, file_size);
        if (err)
            return err;
    }
    if (!img.count || !elf_entry_ok(&img))
        return -EINVAL;
    /* PT_PHDR would be the claim of the file; this is where the bytes really land. */
    img.phdr_vaddr = elf_off_to_vaddr(&img, h.phoff, end - h.phoff);
    *image = img;
    return 0;
}

int elf_parse(const void *head, size_t head_size, u64 file_size, struct elf_image *image)
{
    size_t size;
    u64 off;
    int err = elf_find_table(head, head_size, file_size, &off, &size);

    if (err)
        return err;
    if (off + size > head_size)
        return -E2BIG;
    return elf_parse_table(head, head_size, (const u8 *)head + off, file_size, image);
}
