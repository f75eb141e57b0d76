/* SPDX-License-Identifier: MIT
 *
 * Reaching into an address space from outside: resolving an address to its page for EPT, NPT and
 * DMA, and copying to and from another process.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "vm/vm_priv.h"

/* The entry that maps addr and its level; 0: none. */
static u64 access_entry(struct aspace *as, u64 addr, unsigned *level)
{
    u64 *slot = pte_lookup1(&as->pt, addr);

    *level = 1;
    if (!slot || pte_huge(*slot))
        return slot ? *slot : 0;
    *level = 0;
    return *slot & PTE_P ? pte_table(*slot)[pte_slot(addr, 0)] : 0;
}

static unsigned access_prot(u64 entry)
{
    return PT_READ | (entry & PTE_W ? PT_WRITE : 0) | (entry & PTE_NX ? 0 : PT_EXEC) |
           (entry & PTE_PCD ? PT_UNCACHED : 0);
}

/* A forced write needs a private copy, not the right. */
static bool access_suffices(u64 entry, unsigned kind)
{
    if (!entry || (!(entry & PTE_P) && !(kind & FAULT_FORCE)))
        return false;
    if (!(kind & FAULT_WRITE) || (entry & PTE_W))
        return true;
    return (kind & FAULT_FORCE) && !(entry & PTE_SPECIAL) && page_is_anon(pte_head(entry)) &&
           atomic_read(&pte_head(entry)->share) == 1;
}

/* One look: true with *out filled (a page reference taken). Without as->lock: tables are freed
 * under pt_lock too, and an entry that is there is one that its area allows, or did a moment ago;
 * taking it away raises seq under pt_lock, so after this look. */
static bool access_look(struct aspace *as, u64 addr, unsigned kind, struct fault_result *out)
{
    unsigned level;
    u64 entry;
    bool ok;

    spin_lock(&as->pt_lock);
    entry = access_entry(as, addr, &level);
    ok = access_suffices(entry, kind);
    if (ok) {
        out->page = entry & PTE_SPECIAL ? NULL : pte_page(entry);
        out->pa = HPA(entry & PTE_PA & ~(level ? HUGE_SIZE - 1 : 0UL));
        out->prot = access_prot(entry);
        out->level = level;
        out->seq = as->seq;
        if (out->page) {
            out->page = page_head(out->page);
            page_get(out->page);
        }
    }
    spin_unlock(&as->pt_lock);
    return ok;
}

int aspace_resolve(struct aspace *as, u64 addr, unsigned kind, struct fault_result *out)
{
    int err;

    if (addr >= USER_MAX)
        return -EFAULT;
    while (FAILPOINT_APART(aspace_resolve) || !access_look(as, addr, kind, out)) {
        err = aspace_fault(as, addr, kind);
        if (err)
            return err;
        err = vm_try_again();
        if (err)
            return err;
    }
    return 0;
}

/* What has no counted page: the zero page and frames of memory, which are the kernel's own and
 * stay, may be read. A device's registers are not for debuggers: a look may have side effects. */
static bool access_may_read(const struct fault_result *r, unsigned kind)
{
    return !(kind & FAULT_WRITE) && !(r->prot & PT_UNCACHED) && hpa_is_ram(r->pa);
}

/* After a write from outside to a shared page: write-back may have cleaned it, and taken the right
 * away, since access_look found that right. */
static void access_dirty(struct aspace *as, u64 addr, const struct page *written)
{
    struct page *page = NULL;
    struct area *a;

    rwlock_read_lock(&as->lock);
    a = area_find(as, addr);
    if (a && addr >= a->start && a->object && (a->flags & AREA_SHARED) &&
        mem_object_tracked(a->object))
        page = mem_object_peek(a->object, (addr - a->start + a->offset) >> PAGE_SHIFT);
    if (page && page == written)
        mem_object_dirty(a->object, page);
    rwlock_read_unlock(&as->lock);
    if (page)
        page_put(page);
}

static ssize_t access_copy(struct aspace *as, u64 addr, void *buf, size_t n, unsigned kind)
{
    size_t done = 0;

    while (done < n) {
        u64 off = addr & (PAGE_SIZE - 1), m = MIN(n - done, PAGE_SIZE - off);
        struct fault_result r;
        char *at;

        if (aspace_resolve(as, addr, kind, &r))
            break;
        if (!r.page && !access_may_read(&r, kind))
            break;
        at = (char *)hpa_virt(r.pa) + (r.level ? addr & (HUGE_SIZE - 1) : off);
        if (kind & FAULT_WRITE)
            memcpy(at, (char *)buf + done, m);
        else
            memcpy((char *)buf + done, at, m);
        if (r.page && kind & FAULT_WRITE)
            access_dirty(as, addr, r.page);
        if (r.page)
            page_put(r.page);
        done += m;
        addr += m;
    }
    return done ? (ssize_t)done : n ? -EFAULT : 0;
}

ssize_t aspace_read(struct aspace *as, u64 addr, void *dst, size_t n, bool force)
{
    return access_copy(as, addr, dst, n, FAULT_READ | (force ? FAULT_FORCE : 0));
}

ssize_t aspace_write(struct aspace *as, u64 addr, const void *src, size_t n, bool force)
{
    return access_copy(as, addr, (void *)src, n, FAULT_WRITE | (force ? FAULT_FORCE : 0));
}
