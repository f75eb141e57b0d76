/* SPDX-License-Identifier: MIT
 *
 * Memory objects: what a mapping shows. A file or shared-memory object is a page cache (pages by
 * index) with the list of areas that map it, which is its reverse map. A device object hands out
 * frames that have no struct page. Private anonymous memory has no object: there is no swap, so its
 * pages live in page tables alone, counted by page->share.
 *
 * An object that has a store (a disk, say) reads and writes it in runs of neighbouring pages. The
 * states of a cached page:
 *
 *   PG_LOCKED     held by one thread, from page_lock to page_unlock, or by a read from the store:
 *                 then page_read_end unlocks. Locked pages do not leave the cache.
 *   PG_UPTODATE   the contents are valid. Set once: before the page enters the cache, or by
 *                 page_read_end. A page whose read failed stays without it; the next thread
 *                 that needs the page reads it again.
 *   PG_DIRTY      differs from the store: set by mem_object_dirty after the change, taken off by
 *                 write-back under object->lock and the page lock; each change of either flag is
 *                 one of the map's mark. A dirty page is on no reclaim list.
 *   PG_WRITEBACK  being written to the store, from when it was clean to page_write_end. Not
 *                 locked meanwhile: it may be read, written to and made dirty again, then it is
 *                 written once more. It does not leave the cache.
 *   PG_AHEAD      a read of it starts the next window of read-ahead.
 *
 * There is no flag for an error: after a failed read the page is not up to date; after a failed
 * write the error is in object->error and the store's (lib/errseq.h), and the page is clean.
 *
 * A mapping is writable only while its page is dirty: the right comes with the mark, and goes when
 * write-back takes that. So page tables' dirty bits say nothing that the mark does not.
 *
 * What lies behind the end in the last page is zero for readers: input clears it. A program may
 * write there through a mapping, and that may reach the store: a caller that makes an object longer
 * clears it first (mem_object_grow).
 *
 * Lock order: page lock, aspace->lock, object->lock, aspace->pt_lock; a file system's transaction
 * begins under the page lock. So: nothing that a transaction's end waits for, and nothing inside of
 * one, waits for a page lock; pages are taken from the cache (truncation) before it begins.
 */
#pragma once

#include "lib/errseq.h"
#include "lib/list.h"
#include "lib/xarray.h"
#include "mm/page.h"
#include "sync/refcount.h"
#include "sync/spinlock.h"

struct area;
struct mem_object;
struct iov_iter;

/* Neighbours: pages[i] has index + i. */
#define PAGE_RUN_MAX 32
struct page_run {
    u64 index;
    unsigned n; /* 1..PAGE_RUN_MAX */
    struct page *pages[PAGE_RUN_MAX];
};

enum write_why {
    WRITE_SYNC,       /* a program waits: all that was dirty when it asked */
    WRITE_BACKGROUND, /* it has been dirty for long, or much is */
};
/* What a round of write-back is to do, and what it did. */
struct write_control {
    enum write_why why;
    u64 from, to;  /* pages, to excluded */
    u64 budget;    /* how many pages more it may begin to write; WRITE_SYNC: not looked at */
    u64 written;   /* of how many it began to write them */
    bool left_out; /* some were dirty and could not be had without waiting, or not be placed */
};

struct mem_object_ops {
    /* Brings the run from the store: its pages are in the cache, locked and not up to date. Each
     * ends with page_read_end, once, now or later, in any order. A hole, and what lies behind the
     * store's end, is zeroed. The array is the caller's: what goes on later has a copy. NULL: there
     * is no store, pages begin as zero. Context: may sleep; takes from the reserves where memory is
     * short. */
    void (*read_run)(struct mem_object *obj, const struct page_run *run);
    /* Finds a place on the store for a run that is to be written: its pages are locked and still
     * dirty. May begin a transaction. 0; -EAGAIN: not now, they stay dirty; else they are given up,
     * clean, and the error is reported (NULL: 0). Context: may sleep. */
    int (*place_run)(struct mem_object *obj, const struct page_run *run,
                     const struct write_control *wc);
    /* Writes a run that has its place: its pages are under write-back, not locked. Each ends with
     * page_write_end, once, now or later, in any order. Waits for nothing that waits for these
     * pages, a commit say. The array as above. NULL: no store is written. Context: may sleep; takes
     * from the reserves. */
    void (*write_run)(struct mem_object *obj, const struct page_run *run,
                      const struct write_control *wc);
    /* Of objects with write_run: the first page of a clean object is dirty. Context: under
     * object->lock. */
    void (*dirtied)(struct mem_object *obj);
    /* The same: much is dirty, or has been for long: writes some soon. Context: no lock held. */
    void (*write_wanted)(struct mem_object *obj);
    /* Device objects only: the frame for index, and PT_* caching bits. */
    int (*frame)(struct mem_object *obj, u64 index, hpa_t *out, unsigned *prot);
    /* A shared mapping is about to make the page, which is locked and up to date, dirty: reserves
     * what its writing will need, or -errno (NULL: 0). Context: may sleep, as place_run. */
    int (*make_writable)(struct mem_object *obj, struct page *page);
    /* An area that mapped it is gone, and still holds its reference (NULL: nothing to do). Context:
     * may sleep. */
    void (*unmapped)(struct mem_object *obj);
    /* The last reference is gone; pages are freed already. */
    void (*destroy)(struct mem_object *obj);
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
    struct xarray pages;              /* l  RCU-safe to read; marks: dirty, to write, writing */
    struct list_node areas;           /* l  areas that map it, by area->object_node */
    u64 nr_areas;                     /* l */
    u64 nr_pages;                     /* l */
    struct mem_bound *bound;          /* l  of its pages; NULL: none, or not any more */
    u64 size;                         /* a  bytes; faults at or past the page end get SIGBUS */
    u64 id;                           /* a  0: not asked for yet */
    void *owner;                      /* I  the inode */
    u64 nr_writable;                  /* l  shared areas that are writable, or may become so */
    bool no_writers;                  /* l  new shared mappings may not become writable */
    bool shut;                        /* l  its owner is gone: no page comes any more */
    struct errseq error;              /* a  of write-back */
    struct errseq *store_error;       /* I  the same of all that the store has; NULL: no store */
};
/* What write-back marks in the map: dirty, to be written by a sync, being written. */
enum { MARK_DIRTY, MARK_TOWRITE, MARK_WRITING };

/* Nodes of maps that are read under RCU, of objects and others: for xa_pool_fill, xa_init and
 * xa_pool_drain. */
void *object_node_alloc(size_t size, void *ctx);
void object_node_free(struct xa_node *node);
void object_node_drop(struct xa_node *node);

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
 * in an object without a store gives *out NULL and 0. -ENOMEM, -ENOSPC (its bound), -EIO, -EINTR.
 * Context: may sleep. */
int mem_object_page(struct mem_object *obj, u64 index, bool create, struct page **out) __must_check;
/* The cached page or NULL; never sleeps. */
struct page *mem_object_peek(struct mem_object *obj, u64 index);
/* Forbids shared writable mappings from now on; -EBUSY: there is one. */
int mem_object_forbid_writers(struct mem_object *obj) __must_check;
/* Drops pages [from, to) from the cache and from every mapping, when no input or output has them
 * any more; a partial page is zeroed by the caller. */
void mem_object_truncate(struct mem_object *obj, u64 from, u64 to);
/* Its owner goes: waits for inputs and outputs, drops all pages unwritten; from then on a page that
 * is asked for is -EIO, and ops are called no more but for destroy. Context: may sleep. */
void mem_object_shut(struct mem_object *obj);

/* Input. What one reader of a file has read, so that what it reads next is there before; a hint
 * that nothing guards. All zero: nothing yet. */
struct read_ahead {
    u64 next;   /* a  the page after the last one that was asked for */
    u64 end;    /* a  pages before it have been asked of the store */
    u32 window; /* a  how many that were, the last time; READ_AHEAD_NONE: no read-ahead */
};
#define READ_AHEAD_MAX 32U
#define READ_AHEAD_NONE ~0U
/* Asks the store for those of [first, first + n) that are not there, without waiting; as far as
 * memory is to be had at once. */
void mem_object_read_ahead(struct mem_object *obj, u64 first, u64 n);
/* A page of a run has been brought (0) or not (-errno). Context: a thread, or an interrupt's
 * thread; no spinlock but leaves of lower ranks; never sleeps. */
void page_read_end(struct page *page, int err);

/* Output. The page's contents have changed, by a copy that is done. */
void mem_object_dirty(struct mem_object *obj, struct page *page);
/* Begins to write dirty pages of [wc->from, wc->to) and does not wait for the end. WRITE_SYNC
 * takes those that were dirty at the call and no others, so that it ends though others write on.
 * Context: may sleep, no page locked. */
void mem_object_write_back(struct mem_object *obj, struct write_control *wc);
/* Waits until what is being written of [from, to) has been: each page once. */
void mem_object_wait(struct mem_object *obj, u64 from, u64 to);
/* Both, for what was dirty in [from, to) at the call. Failures are in obj->error. */
void mem_object_sync(struct mem_object *obj, u64 from, u64 to);
/* A page of a run has been written (0) or not (-errno). Context: as page_read_end. */
void page_write_end(struct page *page, int err);
/* It could not be begun, and is not lost: the page is dirty again. */
void page_write_again(struct page *page);
bool mem_object_is_dirty(const struct mem_object *obj);
static inline bool mem_object_tracked(const struct mem_object *obj)
{
    return obj->ops->write_run != NULL;
}
/* Before a page is made dirty, by a write or a mapping, with nothing locked and no transaction
 * begun: waits while the payer, or the machine with the payer's help, has too much that is not
 * written. 0, or -EINTR: the thread is to die. At once where there is no store. */
int mem_object_throttle(struct mem_object *obj) __must_check;

/* The file is made longer, to size, or written to behind its end: what lies there in the page of
 * the old end becomes zero. The owner's lock is held for writing, obj->size is the old one. 0 or
 * as mem_object_page. */
int mem_object_grow(struct mem_object *obj, u64 size) __must_check;
/* The file is made shorter: size is lowered, pages behind it go, the rest of the last page is zero
 * for readers. The owner's lock as above. Context: may sleep. */
void mem_object_shrink(struct mem_object *obj, u64 size);

/* read(2) and write(2) of cached files and of tmpfs: copies between the cache and user memory
 * without holding a lock over a fault. Bytes done, or -errno when none. The caller bounds by, or
 * moves, size. ahead NULL: no read-ahead. */
ssize_t mem_object_read(struct mem_object *obj, struct iov_iter *to, u64 pos,
                        struct read_ahead *ahead);
ssize_t mem_object_write(struct mem_object *obj, struct iov_iter *from, u64 pos);
/* A stretch of a page; its holder has a reference. */
struct page_part {
    struct page *page;
    u32 offset, len;
};
/* As mem_object_read, but instead of a copy the pages themselves, as they are and will be: at most
 * nr parts. How many, 0: at the end; -errno when none: -EOPNOTSUPP: a hole is there, which only a
 * copy shows. */
int mem_object_parts(struct mem_object *obj, struct page_part *out, unsigned nr, u64 pos, u64 n,
                     struct read_ahead *ahead);
/* A page with its contents becomes the object's, which has no store and no page there, instead of a
 * copy. Takes the caller's reference in any case; the caller's account pays. 0, -ENOMEM, -ENOSPC or
 * -EEXIST. */
int mem_object_adopt(struct mem_object *obj, u64 index, struct page *page) __must_check;
/* Whether the current process could have that many more pages now, without another's end: 0 or
 * -ENOMEM. May sleep. */
int mem_object_space(u64 pages) __must_check;

/* An unnamed shared object: MAP_SHARED|MAP_ANONYMOUS, SysV, memfd. */
struct mem_object *mem_object_create_shared(u64 size) __must_check;
/* MMIO or reserved frames [pa, pa+size), mapped with prot's caching bits: registers, or memory that
 * is never given back, since readers of it hold no reference. */
struct mem_object *mem_object_create_device(hpa_t pa, u64 size, unsigned prot) __must_check;

void page_lock(struct page *page);
int page_lock_killable(struct page *page) __must_check;
bool page_trylock(struct page *page) __must_check;
/* Waits until none of the flags (PG_LOCKED, PG_WRITEBACK) is set. */
void page_wait(struct page *page, u32 flags);
void page_unlock(struct page *page);

/* Pages of [from, to) that are clean, can be read again and are in no use leave the cache; how
 * many. Context: may sleep. */
u64 mem_object_drop_clean(struct mem_object *obj, u64 from, u64 to);
/* The same, and waits for those being read or written, and a little for those in use. False: some
 * stay, which are dirty, or in use for long. Context: may sleep. */
bool mem_object_forget(struct mem_object *obj, u64 from, u64 to) __must_check;
/* Gives up to n clean cached pages back to the allocator, oldest first; how many it did. */
u64 reclaim_pages(struct account *account, u64 n);
/* Tells those who write back that memory is wanted for `account` (NULL: the machine), and waits a
 * little for some of its pages to be clean. False: none is dirty or being written, or none came.
 * Context: may sleep, no lock held. */
bool writeback_relieve(struct account *account);
/* Pages of tmpfs, shared memory and memfds, now. */
u64 mem_object_memory_pages(void);
/* Clean cached pages that reclaim could give back: part of MemAvailable. */
u64 reclaim_cached_pages(void);
