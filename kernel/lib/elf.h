/* SPDX-License-Identifier: MIT
 *
 * Reads the headers of an x86-64 ELF executable out of untrusted bytes. It looks at
 * nothing but the buffer it is given, allocates nothing, and what it returns is bounded: every
 * loadable segment lies inside the file, does not wrap around, is in ascending order and overlaps
 * no other. Placing it in an address space is the caller's business.
 */
#pragma once

#include "lib/types.h"

#define ELF_MAX_SEGMENTS 16
#define ELF_MAX_PHDRS 64
/* An image's lowest to highest byte may span no more. */
#define ELF_MAX_SPAN (1ull << 46)
#define ELF_INTERP_MAX 4096

enum elf_flags {
    ELF_X = 1,
    ELF_W = 2,
    ELF_R = 4,
};

struct elf_segment {
    u64 vaddr; /* as linked; add the load bias */
    u64 mem_size;
    u64 file_off;
    u64 file_size; /* <= mem_size; the rest is zero */
    u64 paddr;
    u32 flags; /* enum elf_flags */
    u64 align; /* a power of two, at least 1 */
};

struct elf_image {
    u64 entry;
    u64 phdr_vaddr; /* where the program headers appear in memory, or 0 */
    u64 phdr_off;   /* in the file */
    u16 phdr_count;
    bool dynamic;    /* ET_DYN: may be placed anywhere */
    bool wx;         /* some segment is both writable and executable */
    bool exec_stack; /* PT_GNU_STACK asks for an executable stack */
    u64 interp_off;  /* of the interpreter's path, interp_len 0 if there is none */
    u64 interp_len;  /* without the terminator; the caller checks the terminator in the file */
    u64 low, high;   /* extent of all segments: [low, high) */
    u64 max_align;
    unsigned count;
    struct elf_segment segments[ELF_MAX_SEGMENTS];
    u64 note_off, note_size; /* PT_NOTE, inside the file, or 0: PVH entry notes */
};

/*
 * `head` holds the file's first `head_size` bytes, with its program headers among them mostly;
 * `file_size` is the size of all of it.
 * Returns 0; -ENOEXEC if this is no x86-64 ELF executable; -EINVAL if it is one with bad headers;
 * -E2BIG if the program headers end beyond `head_size`. *image is untouched on failure.
 */
int elf_parse(const void *head, size_t head_size, u64 file_size, struct elf_image *image);
/* Where the program headers lie, inside the file: ELF_TABLE_MAX bytes at most. Errors as above. */
#define ELF_TABLE_MAX (ELF_MAX_PHDRS * 56)
int elf_find_table(const void *head, size_t head_size, u64 file_size, u64 *off, size_t *size);
/* The same as elf_parse, with what was read from there. */
int elf_parse_table(const void *head, size_t head_size, const void *table, u64 file_size,
                    struct elf_image *image);
