/* SPDX-License-Identifier: MIT
 *
 * The iterator over user segments or one kernel buffer. Only arch's user copies touch user memory.
 */
#include "vm/iov.h"
#include "arch/x86/percpu.h"
#include "arch/x86/uaccess.h"
#include "lib/string.h"
#include "sched/thread.h"
#include "vm/aspace.h"

void iov_init_kernel(struct iov_iter *it, void *buf, u64 n)
{
    *it = (struct iov_iter){.kernel = buf, .count = n};
}

void iov_init_user(struct iov_iter *it, struct iovec_k *seg, const void __user *buf, u64 n)
{
    seg->base = (u64)buf;
    seg->len = n;
    *it = (struct iov_iter){.segs = seg, .nr_segs = 1, .count = n};
}

void iov_init_segs(struct iov_iter *it, const struct iovec_k *segs, u64 nr, u64 count)
{
    *it = (struct iov_iter){.segs = segs, .nr_segs = nr, .count = count};
}

void iov_advance(struct iov_iter *it, u64 n)
{
    n = MIN(n, it->count);
    it->count -= n;
    if (!it->segs) {
        it->kernel += n;
        return;
    }
    it->seg_off += n;
    while (it->nr_segs && it->seg_off >= it->segs->len) {
        it->seg_off -= it->segs->len;
        it->segs++;
        it->nr_segs--;
    }
}

enum iov_op { IOV_TO, IOV_FROM, IOV_ZERO };

/* One stretch; bytes not copied. */
static u64 iov_user_op(enum iov_op op, u64 user, void *kernel, u64 n)
{
    switch (op) {
    case IOV_TO:
        return user_copy_out((void __user *)user, kernel, n);
    case IOV_FROM:
        return user_copy_in(kernel, (const void __user *)user, n);
    default:
        return user_clear((void __user *)user, n);
    }
}

static void iov_kernel_op(enum iov_op op, char *buf, void *kernel, u64 n)
{
    if (op == IOV_TO)
        memcpy(buf, kernel, n);
    else if (op == IOV_FROM)
        memcpy(kernel, buf, n);
    else
        memset(buf, 0, n);
}

static u64 iov_copy(struct iov_iter *it, void *kernel, u64 n, enum iov_op op)
{
    u64 done = 0;

    n = MIN(n, it->count);
    if (!it->segs) {
        iov_kernel_op(op, it->kernel, kernel, n);
        iov_advance(it, n);
        return n;
    }
    while (done < n) {
        u64 m = MIN(n - done, it->segs->len - it->seg_off), left;

        left = m ? iov_user_op(op, it->segs->base + it->seg_off, (char *)kernel + done, m) : 0;
        iov_advance(it, m - left); /* steps over empty segments too */
        done += m - left;
        if (left)
            break;
    }
    return done;
}

/* Whether n bytes lie in the first segment, as they mostly do, and no segment has to be stepped
 * over behind them: some of it is left, or nothing at all. */
static inline bool iov_is_simple(const struct iov_iter *it, u64 n)
{
    u64 space;

    if (!it->segs || n - 1 >= it->count) /* n is 0, or there is a segment */
        return false;
    space = it->segs->len - it->seg_off;
    return n < space || (n == space && n == it->count);
}

static inline u64 iov_stepped(struct iov_iter *it, u64 n)
{
    it->seg_off += n;
    it->count -= n;
    return n;
}

u64 iov_copy_to(struct iov_iter *it, const void *src, u64 n)
{
    if (likely(iov_is_simple(it, n)))
        return iov_stepped(
            it, n - user_copy_out((void __user *)(it->segs->base + it->seg_off), src, n));
    return iov_copy(it, (void *)src, n, IOV_TO);
}

u64 iov_copy_from(struct iov_iter *it, void *dst, u64 n)
{
    if (likely(iov_is_simple(it, n)))
        return iov_stepped(
            it, n - user_copy_in(dst, (const void __user *)(it->segs->base + it->seg_off), n));
    return iov_copy(it, dst, n, IOV_FROM);
}

u64 iov_zero(struct iov_iter *it, u64 n)
{
    return iov_copy(it, NULL, n, IOV_ZERO);
}

static u64 iov_copy_nofault(struct iov_iter *it, void *kernel, u64 n, enum iov_op op)
{
    struct thread *t = current_thread();
    u64 done;

    t->nofault++;
    done = iov_copy(it, kernel, n, op);
    t->nofault--;
    return done;
}

u64 iov_copy_to_nofault(struct iov_iter *it, const void *src, u64 n)
{
    return iov_copy_nofault(it, (void *)src, n, IOV_TO);
}

/* Mostly it is one stretch of user memory. */
static inline bool iov_copy_whole(struct iov_iter *it, void *kernel, u64 n, enum iov_op op)
{
    struct thread *t = current_thread();
    struct iov_iter before;
    u64 left;

    if (unlikely(!it->segs || n > it->segs->len - it->seg_off)) {
        before = *it;
        if (iov_copy_nofault(it, kernel, n, op) == n)
            return true;
        *it = before;
        return false;
    }
    t->nofault++;
    left = iov_user_op(op, it->segs->base + it->seg_off, kernel, n);
    t->nofault--;
    if (unlikely(left))
        return false;
    iov_advance(it, n);
    return true;
}

bool iov_put_whole(struct iov_iter *it, const void *src, u64 n)
{
    return iov_copy_whole(it, (void *)src, n, IOV_TO);
}

bool iov_get_whole(struct iov_iter *it, void *dst, u64 n)
{
    return iov_copy_whole(it, dst, n, IOV_FROM);
}

/* Makes [addr, addr + n) accessible. */
static int iov_fault_range(u64 addr, u64 n, bool write)
{
    unsigned kind = (write ? FAULT_WRITE : FAULT_READ) | FAULT_USER;
    struct aspace *as = aspace_current();

    if (!as || !user_range_ok(addr, n))
        return -EFAULT;
    for (u64 va = addr & PAGE_MASK; va < addr + n; va += PAGE_SIZE) {
        if (aspace_fault(as, va, kind))
            return -EFAULT;
        cond_yield();
    }
    return 0;
}

int iov_fault_in(struct iov_iter *it, u64 n, bool write)
{
    u64 off = it->seg_off;

    n = MIN(n, it->count);
    if (!it->segs)
        return 0;
    /* Another thread may take the page away each time: the caller's loop ends with a kill. */
    if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
        return -EFAULT;
    for (u64 i = 0; n && i < it->nr_segs; i++, off = 0) {
        u64 m = MIN(n, it->segs[i].len - off);
        int err = m ? iov_fault_range(it->segs[i].base + off, m, write) : 0;

        if (err)
            return err;
        n -= m;
    }
    return 0;
}
