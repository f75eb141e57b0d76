/* SPDX-License-Identifier: MIT
 *
 * Inodes of file systems that have a store: their cache, and write-back. A file system in memory
 * does not need this: its inodes are made by inode_create and live as long as their names.
 *
 * The cache is keyed by super and inode number, and holds one reference to each of its inodes. An
 * inode without another reference is unused: it is on a list of the account that it is charged to,
 * and is evicted, with its pages, when memory is short. A dirty inode has a reference of its
 * super's flusher: it is written before it becomes unused. An inode without a name (nlink 0) is
 * evicted with its last other reference, dirty or not.
 *
 * The first caller of inode_find that finds an inode absent fills it; other callers wait. If
 * filling fails the inode leaves the cache, and each waiting caller tries again. An inode that is
 * being evicted cannot be found, but stays in the cache until the end: a caller that asks for its
 * number waits, so that no second inode is filled from a store that lacks the first one's changes.
 *
 * The flusher. Each super that writes has a list of dirty inodes, the longest dirty first, and a
 * thread, made when it is first needed, that writes them: inodes that have been dirty for
 * FLUSH_AGE, and all when much is dirty or memory is short (mem_object_throttle,
 * writeback_relieve). It takes memory from the reserves and never waits for memory. A sync writes
 * the inodes that are dirty at its call; those that become dirty later are behind them on the list.
 *
 * Lock order: inode->lock → flusher->turn (one at a time takes inodes off the lists) → page locks,
 * transactions → object->lock → super->inodes_lock, LRU lock, flusher->lock (leaves).
 */
#pragma once

#include "arch/x86/percpu.h"
#include "sched/thread.h"
#include "vfs/inotify.h"
#include "vfs/vfs.h"

/* The parts of an inode that differ from the store, beside its pages. */
enum inode_dirty {
    INODE_DIRTY_TIMES = 1, /* what fdatasync(2) may leave */
    INODE_DIRTY_DATA = 2,  /* what is needed to find the data: size, blocks */
};

/* The first member of a file system's own inode. c super->inodes_lock · u the LRU lock · f the
 * flusher's lock */
struct cached_inode {
    struct inode inode;
    struct list_node unused; /* u  empty: on none; with it a reference to none */
    struct list_node dirty;  /* f  on one of the flusher's lists, which then has a reference */
    u64 since;               /* f  time_ns() at which it became dirty */
    u8 state;                /* c  enum cached_state */
    u8 what;                 /* f  enum inode_dirty */
    bool busy;               /* f  the flusher works on it: it stays on its list */
    bool writing;            /* f  write_inode runs */
    u8 on;                   /* f  which list `dirty` is on */
    void (*free)(struct inode *i); /* I  super_ops' free_inode */
};
enum cached_state { CACHED_FILLING, CACHED_READY, CACHED_LEAVING };

static inline struct cached_inode *cached_inode_of(struct inode *i)
{
    return container_of(i, struct cached_inode, inode);
}

/* For the mount of such a file system, before its first inode: its ops have alloc_inode, free_inode
 * and read_inode. writes: also write_inode; there is a flusher. 0 or -ENOMEM. */
int super_cache_begin(struct super *s, bool writes) __must_check;
/* The mount failed: what begin made goes, and the inodes. No dentry has one. */
void super_cache_end(struct super *s);
/* The inode, with a reference; filled by read_inode if it was not there. -ENOMEM, -EINTR (a kill),
 * or what that says. Context: may sleep; no transaction, and no lock that evict takes. */
int inode_find(struct super *s, u64 ino, struct inode **out) __must_check;
/* A new inode, not in the store yet, whose number the file system has just chosen: in the cache,
 * with a reference, present times, nlink 1. The file system fills it and calls inode_publish; until
 * then other callers that ask for it wait. -ENOMEM; -EEXIST: there is an inode of that number. */
int inode_find_new(struct super *s, u64 ino, u32 mode, struct inode **out) __must_check;
void inode_publish(struct inode *i);
/* Instead of that: there will be no such inode. */
void inode_discard(struct inode *i);
/* For read_inode and after inode_find_new: the page cache of a regular file, which lies in the file
 * system's inode. Its ops have inode_object_destroy. */
void inode_set_object(struct inode *i, struct mem_object *obj);
void inode_object_destroy(struct mem_object *obj);
/* The inode has changed, not (only) its pages. No effect on inodes without a store. Never sleeps.
 */
void inode_set_dirty(struct inode *i, unsigned what);
/* For mem_object_ops of such objects, whose owner is the inode. */
void inode_object_dirtied(struct mem_object *obj);
void inode_object_write_wanted(struct mem_object *obj);
/* Writes the pages and the inode as they are now to the store; data_only: of the inode only what is
 * needed to find the data. 0 or write_inode's error; errors of pages are in object->error. Context:
 * may sleep. */
int inode_sync(struct inode *i, bool data_only) __must_check;
/* Evicts up to n unused inodes charged to account (NULL: to any); how many. Context: may sleep, no
 * lock held. */
u64 inode_reclaim(struct account *account, u64 n);

/* Files over such inodes: members of file_ops, and what they are made of. */
ssize_t cached_file_read(struct file *f, struct iov_iter *to, loff_t *pos);
int cached_file_parts(struct file *f, struct page_part *out, unsigned nr, loff_t pos, u64 n);
int cached_file_mmap(struct file *f, struct map_request *req);
int cached_file_fsync(struct file *f, bool data_only);
int cached_file_sync_range(struct file *f, u64 from, u64 to, unsigned flags);
void cached_file_advise(struct file *f, u64 from, u64 to, unsigned advice);
loff_t cached_file_seek(struct file *f, loff_t off, int whence);
/* open: from here on f gets errors of write-back. */
void cached_file_open(struct file *f);

/* The model for every write under a lock of a file system: `part` runs with the inode locked for
 * writing and page faults off, and writes what it can; bytes, 0 or -errno, -EFAULT when it met a
 * page that is not present. Then the lock is dropped, the page is faulted in, and the write
 * continues. Before each part, with nothing locked, the writer waits if too much is dirty. What is
 * appended in one call is contiguous: only `append` (NULL: none) is held over all of it. Bytes or
 * -errno. Inline, so that `part` is inlined: writes of one byte are common.
 */
#define WRITE_PART (256UL << 10) /* bytes of a part, where there is a store */
typedef ssize_t (*write_part_fn)(struct file *f, struct iov_iter *from, loff_t *pos);

/* What `from` begins with is faulted in: 0 or -EFAULT. */
int file_write_fault_in(struct iov_iter *from) __must_check;
/* n bytes were written to a file with a store: what O_SYNC and O_DSYNC want. n or -errno. */
ssize_t file_write_synced(struct file *f, ssize_t n);

static __always_inline ssize_t file_write_part(struct file *f, struct iov_iter *from, loff_t *pos,
                                               u64 most, write_part_fn part)
{
    u64 rest = from->count > most ? from->count - most : 0;
    struct thread *me = current_thread();
    ssize_t n;

    from->count -= rest;
    rwlock_write_lock(&f->inode->lock);
    me->nofault++;
    n = part(f, from, pos);
    me->nofault--;
    rwlock_write_unlock(&f->inode->lock);
    from->count += rest;
    return n;
}

static __always_inline ssize_t file_write_all(struct file *f, struct iov_iter *from, loff_t *pos,
                                              bool store, write_part_fn part)
{
    ssize_t done = 0, n;

    for (;;) {
        n = store ? mem_object_throttle(f->inode->object) : 0;
        if (n)
            break;
        n = file_write_part(f, from, pos, store ? WRITE_PART : U64_MAX, part);
        if (n > 0)
            done += n;
        if (!from->count || (n < 0 && n != -EFAULT))
            break;
        n = file_write_fault_in(from);
        if (n)
            break;
    }
    return store && done ? file_write_synced(f, done) : done ? done : n;
}

static __always_inline ssize_t
file_write_parts(struct file *f, struct iov_iter *from, loff_t *pos, struct mutex *append,
                 bool store, write_part_fn part) NO_THREAD_SAFETY /* one append at a time */
{
    bool appends = append && (f->flags & O_APPEND || from->append);
    ssize_t n;

    if (appends && mutex_lock_killable(append))
        return -EINTR;
    n = file_write_all(f, from, pos, store, part);
    if (appends)
        mutex_unlock(append);
    if (n > 0)
        notify_file(f, IN_MODIFY);
    return n;
}
