/* SPDX-License-Identifier: MIT
 *
 * Four-level translation tables: native page tables, EPT and NPT share the walk and differ in the
 * entry format, which `struct pt_format` describes. Tables are changed under the owner's lock
 * (address-space lock, in vm); a table page comes from page_alloc and is counted.
 *
 * Context: never sleeps; the flush after a downgrade is the caller's (vm/translation.h).
 */
#pragma once

#include "lib/types.h"

struct page;

enum pt_prot {
    PT_READ = 1 << 0,
    PT_WRITE = 1 << 1,
    PT_EXEC = 1 << 2,
    PT_USER = 1 << 3,
    PT_GLOBAL = 1 << 4,
    PT_UNCACHED = 1 << 5,
    PT_WRITECOMBINE = 1 << 6,
};

/* How one kind of table spells an entry. */
struct pt_format {
    const char *name;
    u64 (*leaf)(hpa_t pa, unsigned prot, unsigned level); /* level 0: 4 KiB, 1: 2 MiB, 2: 1 GiB */
    u64 (*table)(hpa_t pa);
    bool (*present)(u64 entry);
    bool (*is_leaf)(u64 entry, unsigned level);
    hpa_t (*address)(u64 entry, unsigned level);
    unsigned (*prot)(u64 entry);
    u64 accessed, dirty; /* masks; 0 where the format has none */
};
extern const struct pt_format pt_native, pt_ept; /* NPT uses pt_native with PT_USER set */

struct pgtable {
    hpa_t root;
    const struct pt_format *format;
    u64 tables;           /* table pages in use, the root included */
    bool user;            /* has the kernel's half too, which is not its own */
    struct page *retired; /* empty tables that wait for a flush, through page->owner */
};

int pgtable_init(struct pgtable *pt, const struct pt_format *format) __must_check;
/* Frees every table page; leaves are the caller's to drop first. */
void pgtable_destroy(struct pgtable *pt);
/* A new native table whose kernel half is shared with every other. */
int pgtable_init_user(struct pgtable *pt) __must_check;

/* What an entry at a level maps, in bytes. */
static inline u64 pgtable_span(unsigned level)
{
    return 1UL << (PAGE_SHIFT + 9 * level);
}
/* The entry that maps va, or NULL where a table is missing; *level tells how much it maps, or how
 * much nothing does. */
u64 *pgtable_lookup(struct pgtable *pt, u64 va, unsigned *level);
/* The entry at `level` for va, making tables on the way: NULL on no memory, or where a larger leaf
 * stands in the way. */
u64 *pgtable_entry(struct pgtable *pt, u64 va, unsigned level) __must_check;
/* Maps n bytes at va to pa, 4 KiB-aligned, using large leaves where aligned. 0 or -ENOMEM. */
int pgtable_map(struct pgtable *pt, u64 va, hpa_t pa, u64 n, unsigned prot) __must_check;
/* Clears [va, va+n), calling leaf (may be NULL) for each present entry before it goes; splits no
 * large leaf that is only partly inside: returns -EINVAL there. Empty tables are retired: after the
 * flush the owner calls pgtable_reap, which frees them (pgtable_destroy does so too). */
int pgtable_unmap(struct pgtable *pt, u64 va, u64 n,
                  void (*leaf)(void *arg, u64 va, u64 entry, unsigned level), void *arg);
void pgtable_reap(struct pgtable *pt);
extern struct pgtable pgtable_kernel;
