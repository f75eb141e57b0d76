/* SPDX-License-Identifier: MIT
 *
 * What the files of vm share with each other.
 */
#pragma once

#include "arch/x86/percpu.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/account.h"
#include "mm/page.h"
#include "sched/thread.h"
#include "vm/aspace.h"
#include "vm/object.h"
#include "vm/pte_priv.h"

/* charge.c: pages that are charged. */

/* A page (or 2^order block) charged to account; NULL with *failed the account that refused, or NULL
 * there when RAM is short. Never sleeps. */
struct page *charge_page_alloc(struct account *account, unsigned order, unsigned flags,
                               struct account **failed) __must_check;
/* The account for a page of an object that the current thread makes; not NULL. */
struct account *object_account(void);
/* As charge_page_alloc, for one page of as, out of its stock. */
struct page *charge_anon_alloc(struct aspace *as, unsigned flags,
                               struct account **failed) __must_check;
/* Pages freed by as that were charged to its account come back to the stock. */
void charge_restock(struct aspace *as, unsigned n);
void charge_stock_drop(struct aspace *as);
/* After a failed allocation: reclaims, or has a process killed. 0: try again. Context: may sleep.
 */
int charge_relieve(struct account *failed) __must_check;

/* areas_seq, for a reader without the lock: it does not look while the number is odd, and what it
 * read of the areas, or of the tables, counts if aspace_areas_are(as, seq) still holds. The kernel
 * maps all memory: what has been freed since may be read, and is not used. */
static inline u64 aspace_areas_seq(const struct aspace *as)
{
    return load_acquire(&as->areas_seq);
}
static inline bool aspace_areas_are(const struct aspace *as, u64 seq)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);            /* of the reads before */
    return likely(load_acquire(&as->areas_seq) == seq); /* and of those that follow */
}
/* Around changes of areas. Called alone only for a new aspace that no other thread knows. */
static inline void area_changes_begin(struct aspace *as)
{
    DEBUG_ASSERT(!(as->areas_seq & 1));
    WRITE_ONCE(as->areas_seq, as->areas_seq + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* pairs with aspace_areas_are */
}
static inline void area_changes_end(struct aspace *as)
{
    DEBUG_ASSERT(as->areas_seq & 1);
    store_release(&as->areas_seq, as->areas_seq + 1);
}

/* The areas of an aspace in use change only between these two. The second unlocks, then drops what
 * removed areas referred to. */
static inline void aspace_write_lock(struct aspace *as) ACQUIRES(as->lock)
{
    rwlock_write_lock(&as->lock);
    area_changes_begin(as);
}
void aspace_write_unlock(struct aspace *as) RELEASES(as->lock);

/* area.c: the tree of areas. All need as->lock, for writing unless said. */

struct area *area_alloc(void) __must_check;
/* The area that covers addr, else the next one above, else NULL. Reading suffices. */
struct area *area_find(struct aspace *as, u64 addr);
/* The area that covers addr, without the lock, of the current thread's aspace; it may be gone: see
 * aspace_areas_are. NULL: there is none, or the areas are not those of seq any more. */
const struct area *area_find_unlocked(struct aspace *as, u64 addr, u64 seq);
/* The areas on either side of addr, which no area covers; NULL: none. */
void area_around(struct aspace *as, u64 addr, struct area **prev, struct area **next);
struct area *area_next(const struct area *a);
struct area *area_prev(const struct area *a);
void area_insert(struct aspace *as, struct area *a);
/* Out of the tree and its object's list; freed by aspace_write_unlock. */
void area_remove(struct aspace *as, struct area *a);
/* Cuts so that no area crosses start or end. */
int area_split_range(struct aspace *as, u64 start, u64 end) __must_check;
void area_resize(struct aspace *as, struct area *a, u64 start, u64 end);
/* Whether the calling process's limits let len more bytes be mapped with flags: 0, -ENOMEM,
 * -EAGAIN (locked), -EPERM (may lock nothing). */
int area_may_add(const struct aspace *as, u64 len, u32 flags, u8 prot) __must_check;
/* What RLIMIT_DATA counts: private writable memory but stacks (setrlimit(2)). */
static inline bool area_is_data(u32 flags, u8 prot)
{
    return (prot & PT_WRITE) && !(flags & (AREA_SHARED | AREA_GROWSDOWN));
}
void area_set_prot(struct aspace *as, struct area *a, u8 prot);
bool area_may_add_data(const struct aspace *as, u64 len) __must_check;
/* Bytes of [start, end) that areas cover. */
u64 area_covered(struct aspace *as, u64 start, u64 end);
/* Joins a with its neighbours where they are alike; returns the area that now covers it. */
struct area *area_merge(struct aspace *as, struct area *a);
/* The highest free address below as->mmap_base for len bytes; 0: none. */
u64 area_find_gap(struct aspace *as, u64 len, u64 align);
/* The highest free address in [low, high); 0: none. */
u64 area_find_gap_in(struct aspace *as, u64 len, u64 low, u64 high);
/* Takes the references that a new area holds and puts it on its object's list. */
void area_attach(struct area *a);

/* Orders of vm's locks within their ranks. */
#define RANK_ORDER_ASPACE 90
#define RANK_ORDER_OBJECT 50
#define RANK_ORDER_PT 30
#define RANK_ORDER_LRU 20

/* tlb.c */
/* Forgets TLB entries of [start, end) on every CPU that may have some. Interrupts must be on. */
void tlb_flush(struct aspace *as, u64 start, u64 end);
/* No CPU has the table loaded any more. */
void tlb_drop(struct aspace *as);

/* zap.c: taking entries away. */

#define ZAP_BATCH 64
struct zap {
    struct aspace *as;
    bool even_cow; /* private copies too, not only pages of the object */
    u64 start, end;
    unsigned n, anon, file, restock;
    struct page *pages[ZAP_BATCH];
};
/* Removes the entries of [start, end), flushes and drops the pages, a stretch at a time: with
 * as->lock held and no spinlock. No 2 MiB leaf lies across an edge. */
void zap_range(struct aspace *as, u64 start, u64 end, bool even_cow);
/* The same where one may: it is split. 0 or -ENOMEM. */
int zap_range_cut(struct aspace *as, u64 start, u64 end, bool even_cow) __must_check;
int zap_range_locked(struct aspace *as, u64 start, u64 end, bool even_cow) __must_check
    REQUIRES(as->pt_lock);
/* Frees page tables that lie wholly within [floor, ceiling), all of whose leaves are gone. */
void zap_tables(struct aspace *as, u64 floor, u64 ceiling);
/* Makes a 2 MiB leaf into a table of 4 KiB leaves. -ENOMEM. */
int zap_split_huge_locked(struct aspace *as, u64 *slot1, u64 va) __must_check REQUIRES(as->pt_lock);
int zap_split_at(struct aspace *as, u64 va) __must_check;
/* Splits every 2 MiB leaf in [start, end). */
int zap_split_all(struct aspace *as, u64 start, u64 end) __must_check;
/* Tells the further translations, and raises seq. */
void zap_translations_locked(struct aspace *as, u64 start, u64 end, bool protect_only)
    REQUIRES(as->pt_lock);

/* map.c: with as->lock held for writing. */
int map_unmap_locked(struct aspace *as, u64 start, u64 end) __must_check REQUIRES(as->lock);
/* Makes the edges cuttable: areas and 2 MiB leaves. */
int map_cut(struct aspace *as, u64 start, u64 end) __must_check;

/* protect.c */
/* A 2 MiB leaf must lie in the range wholly, and is split already where a has no rights. */
void protect_range(struct aspace *as, u64 start, u64 end, const struct area *a);
/* Takes the right to write to the run's pages, which are locked, off every mapping. Context: may
 * sleep. */
void protect_object_run(struct mem_object *obj, const struct page_run *run);

/* object.c */
/* A page comes into the object, or leaves it with change -1. REQUIRES(obj->lock) */
void object_count_page(const struct mem_object *obj, const struct page *page, s64 change);
void object_lru_add(struct page *page);
void object_lru_del(struct page *page);

/* truncate.c: the list of areas. A walk that lets others run leaves a cursor there, which is an
 * area without an aspace; object->lock is held from one step to the next otherwise. An area that is
 * new, or grows, is the last of the list. */
struct area *object_next_area(struct mem_object *obj, struct list_node *at);
#define object_for_each_area(a, obj)                      \
    for ((a) = object_next_area(obj, &(obj)->areas); (a); \
         (a) = object_next_area(obj, &(a)->object_node))
/* As many as are looked through without a pause. */
#define OBJECT_AREAS_MANY 320
/* Removes the mappings of a cached page; false: it has too many, or not all were found. */
bool object_unmap_page_locked(struct mem_object *obj, struct page *page) __must_check
    REQUIRES(obj->lock);

/* object.c: pages */

/* A page at index, private to the caller until inserted. NULL: no memory, or the thread is to die.
 * Context: may sleep. */
struct page *object_page_new(struct mem_object *obj, u64 index, unsigned flags);
/* The same if it is to be had at once; never sleeps. */
struct page *object_page_try(struct mem_object *obj, u64 index);
bool object_has_page(const struct mem_object *obj, u64 index);
/* The page is in its cache, and not a former one's. */
bool object_holds(struct mem_object *obj, const struct page *page);
int page_wait_killable(struct page *page, u32 flags) __must_check;
/* Clears PG_LOCKED or PG_WRITEBACK and wakes what waits for it. */
void page_flag_release(struct page *page, u32 flag);

/* object_read.c, of objects with a store */

/* The page at index, up to date, with a reference; what is missing of [first, end) around it is
 * read along, and the reader of page `mark` (U64_MAX: none) goes on from there. Errors as
 * mem_object_page. */
int object_page_read(struct mem_object *obj, u64 index, u64 first, u64 end, u64 mark,
                     struct page **out) __must_check;
/* A reader is at index, and is to have what lies before `end` as well. A hole: NULL. */
int object_read_page(struct mem_object *obj, u64 index, u64 end, struct read_ahead *ahead,
                     struct page **out) __must_check;
/* A reader has come to a page with PG_AHEAD. */
void object_ahead_reached(struct mem_object *obj, struct page *page, struct read_ahead *ahead);

/* dirty.c: pages that differ from their store, by the account that they are charged to. */
void dirty_count(struct page *page, s64 dirty, s64 writing);
/* Not dirty any more, as it goes. */
void object_clean_locked(struct mem_object *obj, struct page *page) REQUIRES(obj->lock);
/* object.c again */

/* So many have left the map. */
void object_uncount_locked(struct mem_object *obj, u64 pages) REQUIRES(obj->lock);
/* 0, -EEXIST, -ENOSPC (the bound) or -ENOMEM; the cache takes the page's first reference, the
 * caller gets another. */
int object_page_insert(struct mem_object *obj, struct page *page) __must_check;

/* Between two stretches of work that a program sizes. Context: no spinlock. */
static inline void vm_pause(void)
{
    cond_yield();
}
static inline bool vm_killed(void)
{
    return thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE);
}
/* Before what has been in vain is tried again: other threads may see to it that it is in vain each
 * time. 0 or -EINTR (killed). Context: as vm_pause. */
static inline int vm_try_again(void)
{
    vm_pause();
    return vm_killed() ? -EINTR : 0;
}

static inline u64 align_down_huge(u64 va)
{
    return va & ~(HUGE_SIZE - 1);
}
