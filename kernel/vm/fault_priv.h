/* SPDX-License-Identifier: MIT
 *
 * Between the attempts of a page fault (fault.c) and what they wait for (fault_wait.c).
 */
#pragma once

#include "vm/vm_priv.h"

/* What an attempt answers beside 0 and -errno. */
enum { FAULT_AGAIN = 1, FAULT_READ_IN, FAULT_RELIEVE, FAULT_GROW, FAULT_MAKE_WRITABLE };

#define AROUND_PAGES 16UL /* neighbours mapped along with a cached page */

struct fault {
    struct aspace *as;
    u64 addr; /* page-aligned */
    unsigned kind;
    /* The area as it was when as->areas_seq was seq. */
    u64 seq, start, end;
    u32 flags;
    u8 prot;
    struct area *area;         /* it has an object, and as->lock is held; NULL: anonymous memory */
    struct account *failed;    /* FAULT_RELIEVE */
    unsigned tables_failed;    /* attempts that ended for want of a page table */
    struct mem_object *object; /* FAULT_READ_IN, FAULT_MAKE_WRITABLE: a reference */
    u64 index;
    struct page *page;    /* FAULT_MAKE_WRITABLE: a reference */
    struct page *granted; /* its object lets it become dirty: locked, a reference; or NULL */
};

/* Does what an attempt asked for, `what`: FAULT_*. *pin: a reference to the page that was read,
 * which replaces the one there. 0: try again; -errno ends the fault. Context: may sleep, no lock
 * held. */
int fault_wait(struct fault *f, int what, struct page **pin);
/* Gives back the page that fault_wait locked for an attempt, if there is one. */
void fault_release(struct fault *f);

static inline bool fault_writes(const struct fault *f)
{
    return f->kind & FAULT_WRITE;
}
/* fault.c */

/* Puts entry where `old` stands; false when it no longer does. The page's share and reference go
 * into the table on success; anon, file: pages more of these. */
bool fault_install(struct fault *f, u64 *slot, u64 old, u64 entry, int anon, int file);
/* Puts a fresh private page with the area's rights where nothing is. 0, or FAULT_AGAIN: the page,
 * which it takes, is freed. */
int fault_install_new(struct fault *f, u64 *slot, struct page *page);

/* fault_file.c */

/* Where no entry is. f->area is the area. */
int fault_file(struct fault *f, u64 *slot);
/* A write to a shared page that is mapped read-only so that we are notified of it. Takes the
 * reference to page. */
int fault_write_shared(struct fault *f, u64 *slot, u64 entry, struct page *page);
