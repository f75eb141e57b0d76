/* SPDX-License-Identifier: MIT
 *
 * Memory objects: what a mapping shows. A file or shared-memory object is a page cache (pages by
 * index) with the list of areas that map it, which is its reverse map. A device object hands out
 * frames that have no struct page. Private anonymous memory has no object: there is no swap, so its
 * pages live in page tables alone, counted by page->share.
 *
 * Lock order: aspace->lock, object->lock, aspace->pt_lock. Reading a page (ops->read_page) holds
 * none.
 */
#pragma once

#include "lib/list.h"
#include "lib/xarray.h"
#include "mm/page.h"
#include "sync/refcount.h"
#include "sync/spinlock.h"

struct area;
struct mem_object;

struct mem_object_ops {
    /* Fills a locked page that is not up to date; NULL: zero-filled. Context: may sleep. */
    int (*read_page)(struct mem_object *obj, struct page *page);
    /* Writes a dirty page back; NULL: pages stay (tmpfs). Context: may sleep. */
    int (*write_page)(struct mem_object *obj, struct page *page);
    /* Device objects only: the frame for index, and PT_* caching bits. */
    int (*frame)(struct mem_object *obj, u64 index, hpa_t *out, unsigned *prot);
    /* A shared writable mapping is about to dirty the page: reserve space, or -errno (NULL: 0). */
    int (*make_writable)(struct mem_object *obj, struct page *page);
    /* An area that mapped it is gone, and still holds its reference (NULL: nothing to do). Context:
     * may sleep. */
    void (*unmapped)(struct mem_object *obj);
    void (*destroy)(
        struct mem_object *obj); /* the last reference is gone; pages are freed already */
};

/* How many pages some objects may have together, and have by now: more only where max was lowered
 * meanwhile. */
struct mem_bound {
    u64 max;        /* a  U64_MAX: any number */
    atomic64_t now; /* a */
};

/* I immutable · l lock · a atomic */
struct mem_object {
    const struct mem_object_ops *ops; /* I */
    refcount_t ref;                   /* a */
    struct spinlock lock;             /*    RANK_VM */
    struct xarray pages;              /* l  RCU-safe to read; marks: dirty, towrite */
    struct list_node areas;           /* l  areas that map it, by area->object_node */
    u64 nr_areas;                     /* l */
    u64 nr_pages;                     /* l */
    struct mem_bound *bound;          /* l  of its pages; NULL: none, or not any more */
    u64 size;                         /* a  bytes; faults at or past the page end get SIGBUS */
    u64 id;                           /* a  0: not asked for yet */
    void *owner;                      /* I  the inode */
    u64 nr_writable;                  /* l  shared areas that are writable, or may become so */
    bool no_writers;                  /* l  new shared mappings may not become writable */
};

void mem_object_init(struct mem_object *obj, const struct mem_object_ops *ops, void *owner);
static inline void mem_object_get(struct mem_object *obj)
{
    refcount_get(&obj->ref);
}
void mem_object_put(struct mem_object *obj);
/* Its pages no longer count in its bound, which may go; pages that come later are bounded by
 * nothing but their payer's account. */
void mem_object_unbind(struct mem_object *obj);
/* What names the object for ever: unlike its address no other object ever gets it. Not 0. */
u64 mem_object_id(struct mem_object *obj);

/* The up-to-date page at index with a reference, reading it in if need be. With create false a hole
 * in an object without read_page gives *out NULL and 0. -ENOMEM, -ENOSPC (its bound), -EIO, -EINTR.
 * Context: may sleep. */
int mem_object_page(struct mem_object *obj, u64 index, bool create, struct page **out) __must_check;
/* The cached page or NULL; never sleeps. */
struct page *mem_object_peek(struct mem_object *obj, u64 index);
/* From now on nobody maps it shared and writable; -EBUSY: somebody does. */
int mem_object_forbid_writers(struct mem_object *obj) __must_check;
/* Drops pages [from, to) from the cache and from every mapping; a partial page is zeroed by the
 * caller. */
void mem_object_truncate(struct mem_object *obj, u64 from, u64 to);
void mem_object_dirty(struct mem_object *obj, struct page *page);
/* Writes dirty pages of [from, to) back and waits. */
int mem_object_sync(struct mem_object *obj, u64 from, u64 to);

/* read(2) and write(2) of cached files and of tmpfs: copies between the cache and user memory
 * without holding a lock over a fault. Bytes done, or -errno when none. The caller bounds by, or
 * moves, size. */
struct iov_iter;
ssize_t mem_object_read(struct mem_object *obj, struct iov_iter *to, u64 pos);
ssize_t mem_object_write(struct mem_object *obj, struct iov_iter *from, u64 pos);
/* Whether the current process could have that many more pages now, without another's end: 0 or
 * -ENOMEM. May sleep. */
int mem_object_room(u64 pages) __must_check;

/* An unnamed shared object: MAP_SHARED|MAP_ANONYMOUS, SysV, memfd. */
struct mem_object *mem_object_create_shared(u64 size) __must_check;
/* MMIO or reserved frames [pa, pa+size), mapped with prot's caching bits: registers, or memory that
 * is never given back, since readers of it hold no reference. */
struct mem_object *mem_object_create_device(hpa_t pa, u64 size, unsigned prot) __must_check;

void page_lock(struct page *page);
int page_lock_killable(struct page *page) __must_check;
void page_unlock(struct page *page);

/* Gives up to n clean cached pages back to the allocator, oldest first; how many it did. */
u64 reclaim_pages(struct account *account, u64 n);
/* Pages of tmpfs, shared memory and memfds, now. */
u64 mem_object_memory_pages(void);
/* Clean cached pages that reclaim could give back: part of MemAvailable. */
u64 reclaim_cached_pages(void);
