/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/mem and pagemap: another process's memory by its addresses, and which of its pages
 * are there (proc(5), Linux Documentation/admin-guide/mm/pagemap). Each read and write asks anew
 * whether the caller, and the one who opened it, may look into the process. Frame numbers are not
 * told.
 */
#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "mm/page.h"
#include "proc/procfs.h"
#include "vm/iov.h"

#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_FILE (1ULL << 61) /* or shared memory */

/* NULL: the process has ended. */
static struct aspace *mem_aspace(struct file *f)
{
    struct process *p = pid_node_task(pseudo_of_file(f))->process;
    struct aspace *as = process_aspace(p);

    if (!as)
        return NULL;
    aspace_put(as);
    return process_inspect_aspace_as(p, f->cred);
}

/* One page's worth between it and the process; bytes, or -errno. */
static ssize_t mem_move(struct aspace *as, char *page, struct iov_iter *it, u64 at, bool write)
{
    u64 n = MIN(it->count, PAGE_SIZE - at % PAGE_SIZE);
    ssize_t r;

    if (write) {
        n = iov_copy_from(it, page, n);
        r = n ? aspace_write(as, at, page, n, true) : -EFAULT;
        return r == -EFAULT && n ? -EIO : r;
    }
    r = aspace_read(as, at, page, n, true);
    if (r < 0)
        return -EIO;
    n = iov_copy_to(it, page, (u64)r);
    return n ? (ssize_t)n : -EFAULT;
}

static ssize_t mem_move_all(struct file *f, struct iov_iter *it, loff_t *pos, bool write)
{
    struct aspace *as = mem_aspace(f);
    char *page;
    ssize_t r = 0, done = 0;

    if (!as || IS_ERR(as))
        return as ? -EACCES : 0;
    page = page_alloc_virt(0, 0);
    while (page && it->count && (u64)*pos < USER_MAX) {
        r = mem_move(as, page, it, (u64)*pos, write);
        if (r <= 0)
            break;
        done += r;
        *pos += r;
        if (procfs_interrupted())
            break;
    }
    if (page)
        page_free_virt(page, 0);
    aspace_put(as);
    return done ? done : page ? r : -ENOMEM;
}

static ssize_t mem_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    return mem_move_all(f, to, pos, false);
}

static ssize_t mem_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    return mem_move_all(f, from, pos, true);
}

/* A position is an address: any that the type holds. SEEK_SET and SEEK_CUR. */
static loff_t mem_seek(struct file *f, loff_t off, int whence)
{
    if (whence != 0 && whence != 1)
        return -EINVAL;
    f->pos = whence == 0 ? off : (loff_t)((u64)f->pos + (u64)off);
    return f->pos;
}

const struct file_ops procfs_mem_fops = {
    .name = "mem", .read = mem_read, .write = mem_write, .seek = mem_seek};

/* ------------------------------------------------------------- pagemap */

struct pagemap {
    u64 *entries;
    u64 first, n; /* pages */
};

static int pagemap_area(struct area *a, void *arg)
{
    struct pagemap *map = arg;
    u64 from = MAX(a->start >> PAGE_SHIFT, map->first);
    u64 to = MIN(a->end >> PAGE_SHIFT, map->first + map->n);

    for (u64 i = from; i < to; i++) {
        int kind = aspace_page_kind(a, i << PAGE_SHIFT);
        map->entries[i - map->first] =
            kind == PAGE_ABSENT ? 0 : PAGEMAP_PRESENT | (kind == PAGE_OF_FILE ? PAGEMAP_FILE : 0);
    }
    return to == map->first + map->n;
}

static ssize_t pagemap_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct aspace *as;
    struct pagemap map = {.entries = NULL};
    ssize_t done = 0;

    if (*pos % 8 || to->count % 8)
        return -EINVAL;
    as = mem_aspace(f);
    if (!as || IS_ERR(as))
        return as ? -EACCES : 0;
    map.entries = page_alloc_virt(0, 0);
    while (map.entries && to->count && (u64)*pos / 8 < USER_MAX >> PAGE_SHIFT) {
        map.first = (u64)*pos / 8;
        map.n = MIN(MIN(to->count, PAGE_SIZE) / 8, (USER_MAX >> PAGE_SHIFT) - map.first);
        __builtin_memset(map.entries, 0, map.n * 8);
        (void)aspace_for_each(as, map.first << PAGE_SHIFT, pagemap_area, &map);
        u64 n = iov_copy_to(to, map.entries, map.n * 8);
        done += (ssize_t)n;
        *pos += (loff_t)n;
        if (n < map.n * 8 || procfs_interrupted())
            break;
    }
    if (map.entries)
        page_free_virt(map.entries, 0);
    aspace_put(as);
    return done || !to->count ? done : map.entries ? 0 : -ENOMEM;
}

const struct file_ops procfs_pagemap_fops = {
    .name = "pagemap", .read = pagemap_read, .seek = mem_seek};
