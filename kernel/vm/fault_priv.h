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
    struct area *area;
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
