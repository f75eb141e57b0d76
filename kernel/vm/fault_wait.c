/* SPDX-License-Identifier: MIT
 *
 * What a page fault waits for, without as->lock: a page from its store, an object's consent to a
 * write, memory, a stack that grows.
 */
#include "vm/fault_priv.h"

#include "lib/errno.h"
#include "sched/thread.h"
#include "vm/up.h"

#define STACK_GAP (256UL << PAGE_SHIFT)
#define STACK_STEP (16UL << PAGE_SHIFT)

/* Whether a stack area may begin at start: by the calling process's limits, and what lies below. */
static bool fault_may_grow(const struct aspace *as, const struct area *a, u64 start)
{
    const struct area *prev = area_prev(a);

    return start >= USER_MIN && a->end - start <= up_memory_limit(MEMORY_STACK) &&
           !area_may_add(as, a->start - start, a->flags, a->prot) &&
           (!prev || start >= prev->end + STACK_GAP);
}

/* Where a stack area that is to hold addr begins: a step at a time, or at addr where there is no
 * space for that. 0: nowhere. */
static u64 fault_grow_to(const struct aspace *as, const struct area *a, u64 addr)
{
    u64 step = ALIGN_DOWN(addr, STACK_STEP);

    if (fault_may_grow(as, a, step))
        return step;
    return fault_may_grow(as, a, addr) ? addr : 0;
}

/* Extends the stack area above f->addr down to it. */
static int fault_grow(struct fault *f)
{
    struct aspace *as = f->as;
    struct area *a;
    int err = -EFAULT;
    u64 start;

    aspace_write_lock(as);
    a = area_find(as, f->addr);
    if (a && f->addr >= a->start) {
        err = 0; /* another thread did */
    } else if (a && a->flags & AREA_GROWSDOWN) {
        start = fault_grow_to(as, a, f->addr);
        if (start) {
            area_resize(as, a, start, a->end);
            err = 0;
        }
    }
    aspace_write_unlock(as);
    return err;
}

void fault_release(struct fault *f)
{
    if (!f->granted)
        return;
    page_unlock(f->granted);
    page_put(f->granted);
    f->granted = NULL;
}

/* Brings the page and its neighbours from the store, or makes it. */
static int fault_bring(struct fault *f, struct page **pin)
{
    u64 first = ALIGN_DOWN(f->index, AROUND_PAGES);

    current_thread()->maj_faults += f->object->ops->read_run != NULL;
    if (f->object->ops->read_run)
        return object_page_read(f->object, f->index, first, first + AROUND_PAGES, U64_MAX, pin);
    return mem_object_page(f->object, f->index, true, pin);
}

static int fault_read_page(struct fault *f, struct page **pin)
{
    int err;

    if (*pin)
        page_put(*pin);
    *pin = NULL;
    err = fault_bring(f, pin);
    mem_object_put(f->object);
    return err == -ENOSPC ? -EIO : err;
}

/* The page is locked from here to the end of the next attempt. */
static int fault_ask_writable(struct fault *f)
{
    struct mem_object *obj = f->object;
    int err = mem_object_throttle(obj) ?: page_lock_killable(f->page);

    if (!err) {
        f->granted = f->page;
        if (object_holds(obj, f->page) && obj->ops->make_writable)
            err = obj->ops->make_writable(obj, f->page);
        if (err)
            fault_release(f);
    } else {
        page_put(f->page);
    }
    mem_object_put(obj);
    return err == -ENOSPC ? -EIO : err;
}

int fault_wait(struct fault *f, int what, struct page **pin)
{
    switch (what) {
    case FAULT_READ_IN:
        return fault_read_page(f, pin);
    case FAULT_MAKE_WRITABLE:
        return fault_ask_writable(f);
    case FAULT_RELIEVE:
        return charge_relieve(f->failed);
    case FAULT_GROW:
        return fault_grow(f);
    default:
        return 0;
    }
}
