/* SPDX-License-Identifier: MIT
 *
 * Ticket spinlocks with ranks. A CPU may only take a lock of a lower (rank, order) than the lowest
 * that it holds; debug builds check it. A leaf taken inside wake-up callbacks and interrupts
 * declares the rank it is taken at.
 *
 * Context: a plain spin_lock is for locks that no interrupt handler takes; all others take
 * spin_lock_irqsave. The kernel is not preempted, so a holder runs until it unlocks.
 */
#pragma once

#include "arch/x86/regs.h"
#include "lib/atomic.h"
#include "lib/types.h"
#include "sync/lockdep.h"

/* Higher layers first taken: rank numbers are those of the folders (kernel/README.md). */
enum lock_rank {
    RANK_NONE = 0, /* not checked: the log, the panic path */
    RANK_DEBUG = 4,
    RANK_MM = 5,
    RANK_SCHED = 6,
    RANK_VM = 7,
    RANK_OBJ = 8,
    RANK_DEV = 9,
    RANK_VFS = 10,
    RANK_FS = 11,
    RANK_NET = 11,
    RANK_HV = 11,
    RANK_DRIVER = 11,
    RANK_CONTAINER = 12,
    RANK_PROC = 13,
    RANK_TTY = 14,
    RANK_LINUX = 15,
    RANK_OPS = 16, /* sleeping locks, held over a call through an ops table into any layer */
};

/* Orders within RANK_OPS, the outermost first: the one list that knows of several layers. What is
 * held over user copies stands above ORDER_PAGE, as a fault may read pages. */
enum ops_order {
    ORDER_CONSOLE = 255,  /* init: over a whole command of the console */
    ORDER_EXEC = 250,     /* proc: cred_guard, over a whole execve */
    ORDER_FILE_POS = 240, /* obj: over reading, writing and listing */
    ORDER_VCPU = 230,     /* hv: over KVM_RUN */
    ORDER_VM = 225,       /* hv: over changes of memory slots */
    ORDER_HYPERV = 222,   /* hv: over pages of the guest's */
    ORDER_EPOLL = 220,    /* obj: over the files' poll, of other epolls too */
    ORDER_EPOLL_NEST = 219,
    ORDER_TTY_WRITE = 214, /* tty: over line discipline and driver */
    ORDER_SOCKET_READ = 210,
    ORDER_CHAR_DEVICE = 205,  /* drivers: over one read or write of a device */
    ORDER_PSEUDO_TEXT = 200,  /* vfs: over a node's show */
    ORDER_REMOUNT = 190,      /* vfs: over what a file system does */
    ORDER_DEVICE_MOUNT = 185, /* vfs: over the mount of a device */
    ORDER_APPEND = 180,       /* tmpfs: over all pieces of one write */
    ORDER_DEVICE = 178,       /* dev: over probe and remove; less its depth */
    ORDER_DEVFS = 140,        /* devfs: over its own directories */
    /* vfs, and 8 more for each file system that lies below (struct super, stacked): */
    ORDER_MOVERS = 107,
    ORDER_INODE = 106,
    ORDER_RENAMES = 105,
    ORDER_OVERLAY_NODE = 104, /* overlay: over a copy-up */
    ORDER_STACKED_STEP = 8,
    ORDER_MOUNT_TREES = 102, /* vfs: over walks of mount trees */
    ORDER_FLUSH = 100,       /* vfs: over the writing of inodes and their pages */
    ORDER_PAGE = 90,         /* vm: the page lock, over read_page and write_page */
    ORDER_CGROUP_TREE = 50,  /* container: over up_calls to proc */
    ORDER_PIPE = 40,
};

struct LOCK_TYPE("spinlock") spinlock {
    union {
        u32 both;
        struct {
            u16 owner, next;
        };
    };
    struct lock_tag tag;
#ifdef DEBUG
    bool open;        /* was taken with interrupts on */
    bool closed;      /* was taken with interrupts off */
    bool in_handlers; /* was taken by an interrupt handler */
    bool over_wait;   /* was held while other CPUs' answers were waited for */
    u16 holder;       /* the CPU that has it, plus 1; 0: none */
    u64 holder_rip;
#endif
};

#define SPINLOCK_INIT(rank_, order_, name_)                             \
    {                                                                   \
        .both = 0, .tag = LOCK_TAG((rank_), (order_), KIND_SPIN, name_) \
    }

static inline void spinlock_init(struct spinlock *lock, unsigned rank, unsigned order,
                                 const char *name)
{
    *lock = (struct spinlock)SPINLOCK_INIT(rank, order, name);
}

static inline void spinlock_wait(struct spinlock *lock)
{
    u16 ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

    while (unlikely(__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket))
        cpu_relax();
}

static inline void spin_lock(struct spinlock *lock) ACQUIRES(*lock) NO_THREAD_SAFETY
{
    spinlock_wait(lock);
    lockdep_acquire(lock, NULL, code_here());
}

/* Two locks of one rank, which may be the same one: the lower address comes first. */
static inline void spin_lock_pair(struct spinlock *a, struct spinlock *b)
    ACQUIRES(*a, *b) NO_THREAD_SAFETY
{
    struct spinlock *first = a < b ? a : b, *second = a < b ? b : a;

    spin_lock(first);
    if (first == second)
        return;
    spinlock_wait(second);
    lockdep_acquire(second, first, code_here());
}

static inline bool spin_trylock(struct spinlock *lock) TRY_ACQUIRES(true, *lock) NO_THREAD_SAFETY
{
    u32 seen = __atomic_load_n(&lock->both, __ATOMIC_RELAXED);

    if ((u16)seen != (u16)(seen >> 16))
        return false;
    if (!__atomic_compare_exchange_n(&lock->both, &seen, seen + (1U << 16), false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    lockdep_acquire_tried(lock, code_here());
    return true;
}

static inline void spin_unlock(struct spinlock *lock) RELEASES(*lock) NO_THREAD_SAFETY
{
    lockdep_release(lock);
    /* Only the holder writes owner. Pairs with the acquire load in spin_lock. */
    __atomic_store_n(&lock->owner, (u16)(lock->owner + 1), __ATOMIC_RELEASE);
}

static inline void spin_unlock_pair(struct spinlock *a, struct spinlock *b)
    RELEASES(*a, *b) NO_THREAD_SAFETY
{
    if (a != b)
        spin_unlock(b);
    spin_unlock(a);
}

static inline bool spin_is_locked(const struct spinlock *lock)
{
    u32 v = __atomic_load_n(&lock->both, __ATOMIC_RELAXED);

    return (u16)v != (u16)(v >> 16);
}

static inline void spin_lock_irqsave(struct spinlock *lock, u64 *flags) ACQUIRES(*lock)
{
    *flags = irq_save();
    spin_lock(lock);
}

static inline void spin_unlock_irqrestore(struct spinlock *lock, u64 flags) RELEASES(*lock)
{
    spin_unlock(lock);
    irq_restore(flags);
}
