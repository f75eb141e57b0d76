/* SPDX-License-Identifier: MIT
 *
 * ELF headers and cpio archives: good ones, hostile ones, and random damage.
 */
#include "harness.h"
#include "lib/compiler.h"
#include "lib/cpio.h"
#include "lib/elf.h"
#include "lib/errno.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct images_elf {
    Elf64_Ehdr h;
    Elf64_Phdr p[4];
    u8 rest[4096];
};

static void images_make(struct images_elf *e)
{
    memset(e, 0, sizeof(*e));
    memcpy(e->h.e_ident, "\177ELF\2\1\1", 7);
    e->h.e_type = ET_EXEC;
    e->h.e_machine = EM_X86_64;
    e->h.e_phoff = sizeof(e->h);
    e->h.e_phentsize = sizeof(e->p[0]);
    e->h.e_phnum = 4;
    e->h.e_entry = 0x401000;
    e->p[0] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0, 0x400000, 0, 0x1010, 0x1010, 0x1000};
    e->p[1] = (Elf64_Phdr){PT_LOAD, PF_R | PF_W, 0x1010, 0x402010, 0, 8, 0x100, 0x1000};
    e->p[2] = (Elf64_Phdr){PT_INTERP, PF_R, 0x200, 0x400200, 0, 6, 6, 1};
    e->p[3] = (Elf64_Phdr){PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16};
}

static int images_parse(const struct images_elf *e, struct elf_image *img)
{
    return elf_parse(e, sizeof(*e), sizeof(*e), img);
}

TEST(elf_parses_a_sound_image)
{
    struct images_elf e;
    struct elf_image img;

    images_make(&e);
    EXPECT(!images_parse(&e, &img));
    EXPECT(img.count == 2 && img.low == 0x400000 && img.high == 0x402110 && !img.wx);
    EXPECT(!img.exec_stack && img.interp_off == 0x200 && img.interp_len == 5 && !img.dynamic);
    EXPECT(img.phdr_vaddr == 0x400040 && img.phdr_count == 4 && img.max_align == 0x1000);
    EXPECT(img.segments[1].file_size == 8 && img.segments[1].mem_size == 0x100);
    EXPECT(elf_parse(&e, 100, sizeof(e), &img) == -E2BIG);
    e.p[0].p_align = 0x1800;                             /* no alignment at all */
    e.p[1].p_vaddr += 0x1000, e.p[1].p_align = 0x200000; /* not that of the file's bytes */
    EXPECT(!images_parse(&e, &img) && img.segments[0].align == 1 && img.max_align == 0x200000);
}

#define REFUSES(change, errno_)                      \
    do {                                             \
        images_make(&e);                             \
        change;                                      \
        EXPECT(images_parse(&e, &img) == -(errno_)); \
    } while (0)

TEST(elf_takes_program_headers_from_anywhere_in_the_file)
{
    struct images_elf e;
    struct elf_image img;
    Elf64_Phdr table[4];
    size_t size;
    u64 off;

    images_make(&e);
    memcpy(table, e.p, sizeof(table));
    memset(e.p, 0, sizeof(table));
    e.h.e_phoff = 0x2000;
    EXPECT(elf_parse(&e, sizeof(e), 0x2000 + sizeof(table), &img) == -E2BIG);
    EXPECT(elf_parse(&e, sizeof(e), 0x1fff + sizeof(table), &img) == -EINVAL);
    EXPECT(!elf_find_table(&e, sizeof(e), 0x2000 + sizeof(table), &off, &size));
    EXPECT(off == 0x2000 && size == sizeof(table) && size <= ELF_TABLE_MAX);
    EXPECT(!elf_parse_table(&e, sizeof(e), table, 0x2000 + sizeof(table), &img));
    EXPECT(img.count == 2 && img.phdr_off == 0x2000 && !img.phdr_vaddr);
}

TEST(elf_refuses_hostile_headers)
{
    struct images_elf e;
    struct elf_image img;

    REFUSES(e.h.e_ident[0] = 0, ENOEXEC);
    REFUSES(e.h.e_ident[4] = 1, ENOEXEC);
    REFUSES(e.h.e_machine = EM_386, ENOEXEC);
    REFUSES(e.h.e_type = ET_REL, ENOEXEC);
    REFUSES(e.h.e_phnum = 0, EINVAL);
    REFUSES(e.h.e_phnum = 0xffff, EINVAL);
    REFUSES(e.h.e_phentsize = 1, EINVAL);
    REFUSES(e.h.e_phoff = ~0ull - 10, EINVAL);
    REFUSES(e.h.e_entry = 0x402010, EINVAL);
    REFUSES(e.h.e_entry = 0x500000, EINVAL);
    REFUSES(e.p[0].p_filesz = ~0ull, EINVAL);
    REFUSES(e.p[0].p_offset = ~0ull - 0xfff, EINVAL);
    REFUSES(e.p[0].p_memsz = 0x10, EINVAL);
    REFUSES(e.p[0].p_memsz = ~0ull, EINVAL);
    REFUSES(e.p[1].p_vaddr = 0x400010, EINVAL);
    REFUSES(e.p[1].p_memsz = 1ull << 47, EINVAL);
    REFUSES(e.p[1].p_vaddr = 0x402011, EINVAL);
    REFUSES((e.p[0].p_vaddr = -0x2000ull, e.p[1].p_vaddr = -0xff0ull, e.h.e_entry = -0x1000ull),
            EINVAL); /* the end of its last page is no address */
    REFUSES(e.p[2].p_filesz = 1 << 20, EINVAL);
    REFUSES(e.p[2].p_offset = 1 << 20, EINVAL);
    images_make(&e);
    EXPECT(elf_parse(&e, 10, 10, &img) == -ENOEXEC);
}

TEST(elf_reports_writable_code)
{
    struct images_elf e;
    struct elf_image img;

    images_make(&e);
    e.p[0].p_flags |= PF_W;
    EXPECT(!images_parse(&e, &img) && img.wx);
}

TEST(elf_keeps_its_promises_on_damaged_headers)
{
    u64 seed = 77;
    int good = 0;

    for (u64 i = 0; i < 50000 * unit_times(); i++) {
        struct images_elf e;
        struct elf_image img;

        images_make(&e);
        for (u64 n = unit_rand(&seed) % 4 + 1; n; n--)
            ((u8 *)&e)[unit_rand(&seed) % 288] = (u8)unit_rand(&seed);
        if (images_parse(&e, &img))
            continue;
        good++;
        EXPECT(img.count >= 1 && img.count <= ELF_MAX_SEGMENTS);
        u64 last = 0;

        for (unsigned k = 0; k < img.count; k++) {
            struct elf_segment *s = &img.segments[k];

            EXPECT(s->file_off <= sizeof(e) && s->file_size <= sizeof(e) - s->file_off);
            EXPECT(s->file_size <= s->mem_size && s->vaddr >= last);
            last = s->vaddr + s->mem_size;
            EXPECT(last > s->vaddr && last <= img.high);
        }
        EXPECT(img.interp_off + img.interp_len < sizeof(e));
    }
    EXPECT(good > 100);
}

static size_t images_cpio_add(char *at, const char *name, unsigned mode, const char *data)
{
    size_t n = (size_t)sprintf(at, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x",
                               1, mode, 2, 3, 1, 5, strlen(data), 8, 9, 4, 6, strlen(name) + 1, 0);

    memcpy(at + n, name, strlen(name) + 1);
    n = ALIGN_UP(n + strlen(name) + 1, 4);
    memcpy(at + n, data, strlen(data));
    return ALIGN_UP(n + strlen(data), 4);
}

static size_t images_make_cpio(char *buf)
{
    size_t n = images_cpio_add(buf, "etc", 040755, "");

    n += images_cpio_add(buf + n, "etc/motd", 0100644, "hello");
    n += images_cpio_add(buf + n, "TRAILER!!!", 0, "");
    n += 12; /* zeros between archives */
    return n + images_cpio_add(buf + n, "more", 0100600, "x");
}

TEST(cpio_iterates_over_concatenated_archives)
{
    char buf[1024] = {0};
    struct cpio_iter it;
    struct cpio_entry e;

    cpio_init(&it, buf, images_make_cpio(buf));
    EXPECT(cpio_next(&it, &e) == 1 && !strcmp(e.name, "etc") && e.mode == 040755 && !e.size);
    EXPECT(e.uid == 2 && e.gid == 3 && e.mtime == 5 && e.rdev_major == 4 && e.rdev_minor == 6);
    EXPECT(cpio_next(&it, &e) == 1 && e.size == 5 && !memcmp(e.data, "hello", 5));
    EXPECT(cpio_next(&it, &e) == 1 && !strcmp(e.name, "more"));
    EXPECT(cpio_next(&it, &e) == 0 && cpio_next(&it, &e) == 0);
}

TEST(cpio_never_leaves_the_archive)
{
    u64 seed = 9;

    for (u64 i = 0; i < 30000 * unit_times(); i++) {
        char base[1024] = {0};
        size_t size = images_make_cpio(base);

        for (u64 n = unit_rand(&seed) % 3; n; n--)
            base[unit_rand(&seed) % size] = "0123456789abcdef\0z"[unit_rand(&seed) % 18];
        size -= unit_rand(&seed) % 3 ? 0 : unit_rand(&seed) % size;
        /* An exact allocation: the sanitizer sees a byte too far. */
        char *buf = malloc(size ? size : 1);
        struct cpio_iter it;
        struct cpio_entry e;
        u32 sum = 0;

        memcpy(buf, base, size);
        cpio_init(&it, buf, size);
        while (cpio_next(&it, &e) == 1) {
            sum += (u32)strlen(e.name);
            for (u32 k = 0; k < e.size; k++)
                sum += e.data[k];
        }
        free(buf);
        EXPECT(sum < 1u << 24);
    }
}
