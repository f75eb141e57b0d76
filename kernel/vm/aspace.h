/* SPDX-License-Identifier: MIT
 *
 * Address spaces. An area maps [start, end) of an aspace to an object (or to anonymous memory). One
 * aspace has one native table and any number of further translations (EPT, NPT) of the same
 * addresses: what is taken from the native table is zapped in all of them by the same call.
 *
 * A fault is tried without sleeping, of anonymous memory without the lock, else under it for
 * reading. What must be waited for (a page to come from a store, an object to let a page become
 * dirty, memory, a stack to grow) is done without the lock, and the fault is tried anew from the
 * start: nothing is kept meanwhile but a reference to the page, or its lock.
 *
 * Lock order: (page lock), lock, (object lock), pt_lock, translation's own lock.
 */
#pragma once

#include "lib/rbtree.h"
#include "mm/pgtable.h"
#include "sched/mutex.h"
#include "vm/object.h"

#define USER_MIN 0x10000UL
#define USER_MAX 0x7ffffffff000UL

#define AREAS_MAX 65530UL /* vm.max_map_count: areas that an aspace may be split into */

/* prot: PT_READ, PT_WRITE, PT_EXEC. */
enum area_flags {
    AREA_SHARED = 1 << 0,    /* writes go to the object; else copy-on-write */
    AREA_GROWSDOWN = 1 << 1, /* a stack */
    AREA_LOCKED = 1 << 2,
    AREA_NORESERVE = 1 << 3,
    AREA_NOFORK = 1 << 4, /* MADV_DONTFORK */
    AREA_NOHUGE = 1 << 5,
    AREA_HUGE = 1 << 6, /* MADV_HUGEPAGE */
    AREA_WIPEFORK = 1 << 7,
    AREA_DEVICE = 1 << 8,
    AREA_COWED = 1 << 9, /* vm sets it: a private page of a file area has been copied */
};
/* The flags a caller of aspace_map may set. */
#define AREA_REQUEST_FLAGS \
    (AREA_SHARED | AREA_GROWSDOWN | AREA_LOCKED | AREA_NORESERVE | AREA_DEVICE)

/* w aspace->lock for writing · l object->lock */
struct area {
    struct rb_node node;       /* w */
    u64 start, end;            /* w  page-aligned; l too where there is an object */
    u64 gap, max_gap;          /* w  free bytes below start; the largest in the subtree */
    u32 flags;                 /* w */
    u8 prot, max_prot;         /* w  max: what mprotect may ask (a read-only file's shared map) */
    struct mem_object *object; /* w  NULL: anonymous */
    u64 offset;                /* w  bytes into object at start */
    struct list_node object_node; /* l */
    struct aspace *aspace;        /* I */
    struct file *file;            /* w  kept for /proc/<pid>/maps; a reference */
};

/* A further translation of an aspace. No op may sleep; all are called under pt_lock. zap removes
 * [start, end) from its tables and from every TLB or guest before it returns. */
struct translation {
    struct list_node node; /* aspace->pt_lock */
    void (*zap)(struct translation *t, u64 start, u64 end);
    /* Where a zap that begins at start ends, so that it is short: behind start, end at most. */
    u64 (*stretch)(struct translation *t, u64 start, u64 end);
    /* A page was accessed or made clean/dirty-logged: may be NULL. */
    void (*write_protect)(struct translation *t, u64 start, u64 end);
};

#define RANK_ORDER_TRANSLATION 25 /* of a translation's own lock, in RANK_VM: below pt_lock */

struct aspace {
    struct rwlock lock;      /* RANK_VM: areas */
    struct spinlock pt_lock; /* pt, seq, translations */
    refcount_t ref;          /* a  structure; users keeps the contents */
    refcount_t users;        /* a */
    struct rb_root areas;    /* lock; read without: area_find_unlocked */
    u64 areas_seq;           /* lock, a to read  odd while a writer is inside: see fault.c */
    struct area *cache;      /* a  last hit, a hint checked under lock */
    struct area *dead;       /* lock  removed areas, freed after the lock is released */
    struct pgtable pt;       /* pt_lock */
    u64 seq;                 /* pt_lock; raised by each change that takes rights or pages away */
    struct list_node translations;
    u32 nr_translations;              /* pt_lock */
    u64 cpus;                         /* a  CPUs whose TLB may hold entries */
    struct account *account;          /* I  memory is charged here, while there are users */
    atomic_t stock;                   /* a  pages charged to account and not used yet */
    u64 nr_areas;                     /* lock */
    u64 total_pages, locked_pages;    /* lock */
    u64 data_pages;                   /* lock  of total: as RLIMIT_DATA counts them */
    bool lock_future;                 /* a  new areas are AREA_LOCKED: mlockall(MCL_FUTURE) */
    u64 rss_anon, rss_file, rss_peak; /* pt_lock; pages; peak: see aspace_rss_peak */
    /* Set by exec, read by /proc: */
    u64 code_start, code_end, data_start, data_end, brk_start, brk, stack_start;
    u64 arg_start, arg_end, env_start, env_end, mmap_base, vdso;
    struct file *exe; /* lock */
    u64 auxv[48];
};

/* Holds the account's owner until the last user is gone. */
struct aspace *aspace_create(struct account *account) __must_check;
/* fork: areas copied, anonymous pages shared copy-on-write. */
int aspace_clone(struct aspace *from, struct account *account, struct aspace **out) __must_check;
void aspace_put(struct aspace *as);     /* of users: the last one unmaps everything */
void aspace_put_ref(struct aspace *as); /* of ref */
/* Whether much memory of processes that have ended, charged to a or below, is on its way back. */
bool aspace_gives_back(struct account *a);

/* The one check of a range that a program names: *end is where it ends, on a page boundary.
 * -EINVAL: addr lies within a page, or the sum wraps; -ENOMEM: it leaves the user half. */
int aspace_range(u64 addr, u64 len, u64 *end) __must_check;

struct map_request {
    u64 addr; /* hint, or exact with fixed */
    u64 len;  /* bytes > 0 */
    u8 prot, max_prot;
    u32 flags; /* AREA_* */
    bool fixed, fixed_noreplace, populate;
    bool low;                  /* in the second GiB, whose addresses fit in an int: MAP_32BIT */
    struct mem_object *object; /* borrowed; a reference is taken */
    u64 offset;
    struct file *file; /* borrowed */
    /* What is mapped from tail_at on, less than len, is another object from its start; NULL: none.
     * Borrowed, as object is. */
    struct mem_object *tail;
    u64 tail_at;
};
/* Each: 0 or -ENOMEM, -EINVAL, -EEXIST, -EACCES, -EAGAIN as mmap(2) and its family say: they judge
 * the range, and the calling process's limits (up_memory_limit). May sleep. */
int aspace_map(struct aspace *as, const struct map_request *req, u64 *out) __must_check;
int aspace_unmap(struct aspace *as, u64 addr, u64 len) __must_check;
int aspace_protect(struct aspace *as, u64 addr, u64 len, u8 prot) __must_check;
/* The same from the start of the stack on in which addr lies; -EINVAL: it is no stack. */
int aspace_protect_stack(struct aspace *as, u64 addr, u64 len, u8 prot) __must_check;
int aspace_remap(struct aspace *as, u64 old, u64 old_len, u64 new_len, unsigned mremap_flags,
                 u64 new_addr, u64 *out) __must_check;
int aspace_advise(struct aspace *as, u64 addr, u64 len, int advice) __must_check;
int aspace_sync(struct aspace *as, u64 addr, u64 len, int flags) __must_check;
int aspace_brk(struct aspace *as, u64 brk, u64 limit, u64 *out) __must_check;
/* mlock, munlock: 0, -EINVAL (wraps), -ENOMEM (a hole, the limit), -EPERM (may lock nothing). */
int aspace_lock_range(struct aspace *as, u64 addr, u64 len, bool lock) __must_check;
/* mlockall, munlockall: all there is, and whether what comes is. 0, -ENOMEM, -EPERM; populating is
 * best effort. */
int aspace_lock_all(struct aspace *as, bool lock, bool future) __must_check;
/* Faults [start, end) in, page by page, yielding. 0, what aspace_fault says, -EINTR (killed). */
int aspace_populate(struct aspace *as, u64 start, u64 end, unsigned kind);
/* One byte per page of [addr, addr + len): bit 0 set when it is in memory. out is kernel memory. */
int aspace_mincore(struct aspace *as, u64 addr, u64 len, u8 *out) __must_check;

enum fault_kind {
    FAULT_READ = 1,
    FAULT_WRITE = 2,
    FAULT_EXEC = 4,
    FAULT_USER = 8,
    FAULT_FORCE = 16, /* a debugger: rights of a private area do not count; a write makes a copy */
};
/* Makes addr accessible in the native table. 0, -EFAULT (no area or rights: SIGSEGV), -EIO (past
 * the object's end or read error: SIGBUS), -ENOMEM (limit or RAM: OOM), -EINTR (killed). May sleep.
 */
int aspace_fault(struct aspace *as, u64 addr, unsigned kind) __must_check;

/* For EPT/NPT and O_DIRECT-like users: faults addr in and returns its page (a reference to the
 * head; NULL for the zero page or a device frame), frame, granted PT_* prot and leaf level (0 or 1;
 * 1: *pa is the 2 MiB frame). Install it only if aspace->seq still equals *seq, with pt_lock held
 * or a lock that the translation's zap takes: seq changes before it is called. */
struct fault_result {
    struct page *page;
    hpa_t pa;
    unsigned prot, level;
    u64 seq;
};
int aspace_resolve(struct aspace *as, u64 addr, unsigned kind,
                   struct fault_result *out) __must_check;
/* 0, or -EMFILE: each change walks all of them under pt_lock, so there are not too many. */
#define ASPACE_TRANSLATIONS_MAX 1024
int aspace_attach(struct aspace *as, struct translation *t) __must_check;
void aspace_detach(struct aspace *as, struct translation *t);

/* Another process's memory (process_vm_readv, /proc/<pid>/mem): bytes done or -EFAULT. force: as
 * FAULT_FORCE. */
ssize_t aspace_read(struct aspace *as, u64 addr, void *dst, size_t n, bool force);
ssize_t aspace_write(struct aspace *as, u64 addr, const void *src, size_t n, bool force);
/* Calls fn for each area in address order from `from` on, under the lock, until it returns
 * non-zero. */
int aspace_for_each(struct aspace *as, u64 from, int (*fn)(struct area *a, void *arg), void *arg);

/* What is in memory, in pages; share_sum: each divided by the number that map it, in units of
 * 2^-RESIDENCY_SHIFT pages. A page of an anonymous area, or one that was written to, is dirty. */
struct residency {
    u64 present, anon, huge, dirty, private, private_dirty, share_sum;
};
#define RESIDENCY_SHIFT 12
/* Adds what area a has. Inside aspace_for_each. */
void aspace_residency(struct aspace *as, const struct area *a, struct residency *r);
enum page_kind { PAGE_ABSENT, PAGE_OF_FILE, PAGE_OF_PROCESS };
/* Inside aspace_for_each. */
enum page_kind aspace_page_kind(const struct area *a, u64 addr);
/* The most that was in memory at once so far, pages. */
static inline u64 aspace_rss_peak(const struct aspace *as)
{
    u64 now = READ_ONCE(as->rss_anon) + READ_ONCE(as->rss_file), peak = READ_ONCE(as->rss_peak);

    return peak > now ? peak : now;
}

/* The current thread's; NULL in a kernel thread. */
struct aspace *aspace_current(void);
/* as, and who pays for kernel memory with it, become those of a thread that does not run yet. */
struct thread;
void aspace_give(struct thread *t, struct aspace *as);
/* Every CPU that runs in the address space has passed a full barrier, and an IRET, before it goes
 * on in user mode. Interrupts on. */
void aspace_barrier(struct aspace *as);
/* The CPUs that run in it, or did a moment ago. A full barrier before the look. */
u64 aspace_cpus(struct aspace *as);
/* Loads the table for the current thread (exec). */
void aspace_activate(struct aspace *as);

/* WORK_MEMORY, on the way to user or guest mode: brings the current thread's account back below its
 * limit, and empties caches where RAM is short. Context: may sleep, no lock held. */
void memory_relieve(void);
/* Kernel memory was refused on the way there: the group that is full pays, or, where there is no
 * RAM, the process that the OOM killer chooses. 0: try again; -ENOMEM; -EINTR (killed). Context:
 * likewise. */
int memory_relieve_kernel(void) __must_check;
