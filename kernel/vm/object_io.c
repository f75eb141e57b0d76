/* SPDX-License-Identifier: MIT
 *
 * read(2) and write(2) over the page cache. The copy to or from the user runs with nothing held but
 * a reference to the page, so that it may fault in anything, this very file included.
 *
 * A page that a write creates is filled in private and published last: it is never seen
 * half-written.
 */
#include "lib/string.h"
#include "sched/thread.h"
#include "vm/iov.h"
#include "vm/object.h"
#include "vm/vm_priv.h"

#define SPACE_RECLAIM 256UL /* pages at a time */

static inline bool object_io_ready(const struct page *page)
{
    return page && page_flag_test(page, PG_UPTODATE);
}

/* The page is read, used, and no place where something else is to be done. */
static inline bool object_io_plain(const struct page *page)
{
    return page && (READ_ONCE(page->flags) & (PG_UPTODATE | PG_REFERENCED | PG_AHEAD)) ==
                       (PG_UPTODATE | PG_REFERENCED);
}

/* What the reader finds at index instead of a plain page: *page, a reference or NULL, is replaced;
 * NULL afterwards: a hole. [index, end) is what the call wants. */
static __noinline int object_io_fetch(struct mem_object *obj, u64 index, u64 end,
                                      struct read_ahead *ahead, struct page **page)
{
    int err = 0;

    if (!object_io_ready(*page)) {
        if (*page)
            page_put(*page);
        err = object_read_page(obj, index, end, ahead, page);
    }
    if (err || !*page)
        return err;
    if (page_flag_test(*page, PG_AHEAD))
        object_ahead_reached(obj, *page, ahead);
    if (!page_flag_test(*page, PG_REFERENCED))
        page_flag_set(*page, PG_REFERENCED);
    return 0;
}

static __always_inline ssize_t object_io_read(struct mem_object *obj, struct iov_iter *to, u64 pos,
                                              struct read_ahead *ahead)
{
    u64 size = READ_ONCE(obj->size), left, done = 0;
    int err = 0;

    if (pos >= size)
        return 0;
    left = MIN(to->count, size - pos);
    while (left) {
        u64 off = pos & (PAGE_SIZE - 1), n = MIN(left, PAGE_SIZE - off), got;
        struct page *page = mem_object_peek(obj, pos >> PAGE_SHIFT);

        if (unlikely(!object_io_plain(page))) {
            err = object_io_fetch(obj, pos >> PAGE_SHIFT, DIV_ROUND_UP(pos + left, PAGE_SIZE),
                                  ahead, &page);
            if (err)
                break;
        }
        if (page) {
            got = iov_copy_to(to, (char *)page_virt(page) + off, n);
            page_put(page);
        } else {
            got = iov_zero(to, n);
        }
        done += got;
        pos += got;
        left -= got;
        if (got < n)
            err = -EFAULT;
        else if (left && vm_killed())
            err = -EINTR;
        if (err || !left)
            break;
        vm_pause();
    }
    if (ahead && done)
        WRITE_ONCE(ahead->next, (pos - 1) >> PAGE_SHIFT);
    return done ? (ssize_t)done : err;
}

/* Twice, as what has no store is read by the byte, too. */
ssize_t mem_object_read(struct mem_object *obj, struct iov_iter *to, u64 pos,
                        struct read_ahead *ahead)
{
    return likely(!ahead) ? object_io_read(obj, to, pos, NULL)
                          : object_io_read(obj, to, pos, ahead);
}

int mem_object_parts(struct mem_object *obj, struct page_part *out, unsigned nr, u64 pos, u64 n,
                     struct read_ahead *ahead)
{
    u64 size = READ_ONCE(obj->size);
    unsigned done = 0;
    int err = 0;

    if (pos >= size)
        return 0;
    for (n = MIN(n, size - pos); n && done < nr; done++) {
        u64 off = pos & (PAGE_SIZE - 1), k = MIN(n, PAGE_SIZE - off);
        struct page *page = mem_object_peek(obj, pos >> PAGE_SHIFT);

        if (!object_io_plain(page))
            err = object_io_fetch(obj, pos >> PAGE_SHIFT, DIV_ROUND_UP(pos + n, PAGE_SIZE), ahead,
                                  &page);
        if (!err && !page)
            err = -EOPNOTSUPP;
        if (err)
            break;
        out[done] = (struct page_part){page, (u32)off, (u32)k};
        pos += k;
        n -= k;
    }
    if (ahead && done)
        WRITE_ONCE(ahead->next, (pos - 1) >> PAGE_SHIFT);
    return done ? (int)done : err;
}

/* A new page with n bytes of `from` at off, the rest zero, published. Bytes or -errno, and then
 * `from` is as it was: a file system may go on behind what is done. -EAGAIN: less than n could be
 * copied, and the rest of the page is in the store. */
static ssize_t object_io_write_new(struct mem_object *obj, struct iov_iter *from, u64 index,
                                   u64 off, u64 n)
{
    struct page *page = object_page_new(obj, index, 0), *there;
    struct iov_iter before = *from;
    bool stored = obj->ops->read_run && index << PAGE_SHIFT < READ_ONCE(obj->size);
    char *p;
    u64 got;
    int err;

    if (!page)
        return -ENOMEM;
    p = page_virt(page);
    memset(p, 0, off);
    got = iov_copy_from(from, p + off, n);
    memset(p + off + got, 0, PAGE_SIZE - off - got);
    page->flags |= PG_UPTODATE;
    if (unlikely(got < n))
        err = !got ? -EFAULT : stored ? -EAGAIN : object_page_insert(obj, page);
    else
        err = object_page_insert(obj, page);
    if (err == -EEXIST) {
        /* Another thread was faster; the bytes go into its page. */
        err = mem_object_page(obj, index, true, &there);
        if (!err) {
            memcpy((char *)page_virt(there) + off, p + off, got);
            mem_object_dirty(obj, there);
            page_put(there);
        }
        page->object = NULL;
    } else if (!err) {
        mem_object_dirty(obj, page);
    } else {
        page->object = NULL;
    }
    page_put(page);
    if (unlikely(err))
        *from = before;
    return err ? err : (ssize_t)got;
}

static ssize_t object_io_write_page(struct mem_object *obj, struct iov_iter *from, u64 index,
                                    u64 off, u64 n)
{
    struct page *page = mem_object_peek(obj, index);
    bool blank =
        !obj->ops->read_run || n == PAGE_SIZE || index << PAGE_SHIFT >= READ_ONCE(obj->size);
    ssize_t got;
    int err;

    if (!page && blank) {
        got = object_io_write_new(obj, from, index, off, n);
        if (likely(got != -EAGAIN))
            return got;
    }
    if (!object_io_ready(page)) {
        if (page)
            page_put(page);
        err = mem_object_page(obj, index, true, &page);
        if (err)
            return err;
    }
    got = (ssize_t)iov_copy_from(from, (char *)page_virt(page) + off, n);
    if (got)
        mem_object_dirty(obj, page);
    page_put(page);
    return got ? got : -EFAULT;
}

ssize_t mem_object_write(struct mem_object *obj, struct iov_iter *from, u64 pos)
{
    u64 left = from->count, done = 0;
    ssize_t got = 0;

    while (left) {
        u64 off = pos & (PAGE_SIZE - 1), n = MIN(left, PAGE_SIZE - off);

        got = object_io_write_page(obj, from, pos >> PAGE_SHIFT, off, n);
        if (got < 0)
            break;
        done += (u64)got;
        pos += (u64)got;
        left -= (u64)got;
        if ((u64)got < n || !left || vm_killed())
            break;
        vm_pause();
    }
    return done ? (ssize_t)done : got;
}

int mem_object_space(u64 pages)
{
    struct aspace *as = aspace_current();
    struct account *account = as && as->account ? as->account : &account_root_memory, *full;
    struct mem_info mem;

    mem_info_get(&mem);
    if (pages >= mem.free + reclaim_cached_pages())
        return -ENOMEM;
    while ((full = account_full_for(account, pages))) {
        if (vm_killed() || !reclaim_pages(full, MIN(pages, SPACE_RECLAIM)))
            return -ENOMEM;
        vm_pause();
    }
    return 0;
}

int mem_object_grow(struct mem_object *obj, u64 size)
{
    u64 end = obj->size;
    struct page *page;
    int err;

    if (size <= end || end % PAGE_SIZE == 0 || !obj->ops->read_run)
        return 0;
    err = mem_object_page(obj, end >> PAGE_SHIFT, true, &page);
    if (err)
        return err;
    memset((char *)page_virt(page) + end % PAGE_SIZE, 0, PAGE_SIZE - end % PAGE_SIZE);
    mem_object_dirty(obj, page);
    page_put(page);
    return 0;
}

int mem_object_adopt(struct mem_object *obj, u64 index, struct page *page)
{
    struct account *account = object_account(), *failed;
    int err = account_charge(account, 1, &failed) ? -ENOMEM : 0;

    if (!err) {
        page->account = account;
        page->object = obj;
        page->index = index;
        page->flags |= PG_UPTODATE;
        err = object_page_insert(obj, page);
        if (err)
            page->object = NULL;
    }
    page_put(page);
    return err;
}
