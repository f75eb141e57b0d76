/* SPDX-License-Identifier: MIT
 *
 * Walks a guest's own page tables, for the emulator and KVM_TRANSLATE (SDM vol. 3, 4.3 to 4.6).
 * Rights are gathered on the way down and judged at the leaf; accessed and dirty bits are set only
 * when the access is allowed, each by compare and exchange, since other vCPUs walk the same tables.
 */
#include "arch/x86/msr.h"
#include "arch/x86/pte.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "arch/x86/uaccess.h"
#include "hv/memory/memory.h"
#include "lib/errno.h"

#define PDPTE_RESERVED (PTE_NX | 0x1e6UL) /* PAE paging, SDM 4.4.1: the top level has no rights */
#define MMU_LEVELS 4
#define MMU_RETRIES 64 /* another vCPU may change an entry under us; not for ever */

struct mmu_walk {
    struct vcpu *vcpu;
    u64 linear, cr0, cr4;
    u32 access; /* PF_* */
    bool lma, pae, nxe;
    unsigned levels, level; /* level: of the entry at hand, 0 the last */
    u64 entry;
    u64 path[MMU_LEVELS];      /* where each entry lies */
    u64 seen[MMU_LEVELS];      /* what it held */
    bool write, user, execute; /* rights so far */
};

static int mmu_fault(const struct mmu_walk *w, u32 error, struct emul_fault *fault)
{
    error |= w->access & (PF_WRITE | PF_USER);
    if ((w->access & PF_FETCH) && (w->nxe || (w->cr4 & CR4_SMEP)))
        error |= PF_FETCH;
    *fault =
        (struct emul_fault){.vector = VEC_PF, .has_error = true, .error = error, .cr2 = w->linear};
    return EMUL_FAULT;
}

static void mmu_begin(struct mmu_walk *w, struct vcpu *v, u64 linear, u32 access)
{
    *w = (struct mmu_walk){.vcpu = v,
                           .linear = linear,
                           .access = access,
                           .write = true,
                           .user = true,
                           .execute = true};
    w->cr0 = hv_ops->get_cr(v, 0);
    w->cr4 = hv_ops->get_cr(v, 4);
    w->lma = v->efer & EFER_LMA;
    w->pae = w->cr4 & CR4_PAE;
    w->nxe = w->pae && (v->efer & EFER_NXE);
    w->levels = w->lma ? 4 : w->pae ? 3 : 2;
    if (!w->lma)
        w->linear &= U32_MAX;
}

static bool mmu_canonical(const struct mmu_walk *w)
{
    return !w->lma || (u64)((s64)(w->linear << 16) >> 16) == w->linear;
}

static u64 mmu_root(const struct mmu_walk *w)
{
    u64 cr3 = hv_ops->get_cr(w->vcpu, 3);

    if (w->lma)
        return cr3 & PTE_ADDR;
    return cr3 & (w->pae ? 0xffffffe0UL : 0xfffff000UL);
}

static unsigned mmu_shift(const struct mmu_walk *w)
{
    return PAGE_SHIFT + w->level * (w->pae ? 9 : 10);
}

/* Bytes of one entry, and how many a table has. */
static int mmu_load(struct mmu_walk *w, u64 table)
{
    unsigned size = w->pae ? 8 : 4, bits = w->pae ? 9 : 10;
    u64 at = table + ((w->linear >> mmu_shift(w)) & ((1UL << bits) - 1)) * size;

    w->path[w->level] = at;
    if (guest_load(w->vcpu->vm, GPA(at), size, &w->entry))
        return -EFAULT;
    w->seen[w->level] = w->entry;
    return 0;
}

static bool mmu_pdpte(const struct mmu_walk *w)
{
    return w->pae && !w->lma && w->level == 2;
}

static bool mmu_leaf(const struct mmu_walk *w)
{
    if (w->level == 0)
        return true;
    if (!(w->entry & PTE_PS) || mmu_pdpte(w))
        return false;
    return w->level == 1 ? w->pae || (w->cr4 & CR4_PSE) : w->level == 2;
}

/* Bits that must be zero; a page of 4 MiB has its upper address bits at 13 to 20 (PSE-36). */
static bool mmu_reserved(const struct mmu_walk *w)
{
    if (!w->pae)
        return mmu_leaf(w) && w->level == 1 && (w->entry & 1UL << 21);
    if (mmu_pdpte(w))
        return w->entry & PDPTE_RESERVED;
    if ((w->entry & PTE_NX) && !w->nxe)
        return true;
    if (w->level >= 3)
        return w->entry & PTE_PS;
    if (w->level && mmu_leaf(w))
        return w->entry & ((1UL << mmu_shift(w)) - 1) & ~0x1fffUL;
    return false;
}

static void mmu_gather(struct mmu_walk *w)
{
    if (mmu_pdpte(w))
        return;
    w->write &= (w->entry & PTE_W) != 0;
    w->user &= (w->entry & PTE_U) != 0;
    w->execute &= !(w->nxe && (w->entry & PTE_NX));
}

static bool mmu_allowed(const struct mmu_walk *w)
{
    if ((w->access & PF_FETCH) && !w->execute)
        return false;
    if (w->access & PF_USER)
        return w->user && (w->write || !(w->access & PF_WRITE));
    if (w->user && (w->access & PF_FETCH) && (w->cr4 & CR4_SMEP))
        return false;
    if (w->user && !(w->access & PF_FETCH) && (w->cr4 & CR4_SMAP) && !(w->vcpu->rflags & RFLAGS_AC))
        return false;
    return w->write || !(w->access & PF_WRITE) || !(w->cr0 & CR0_WP);
}

/* False: an entry is not what it was, walk again. Tables in read-only memory stay as they are. */
static bool mmu_mark(struct mmu_walk *w)
{
    for (unsigned level = w->level; level < w->levels; level++) {
        u32 old = (u32)w->seen[level], new = old | PTE_A, found = old;

        if (w->pae && !w->lma && level == 2)
            continue;
        if (level == w->level && (w->access & PF_WRITE))
            new |= PTE_D;
        if (new == old)
            continue;
        if (guest_cas(w->vcpu->vm, GPA(w->path[level]), &found, new, sizeof(new)) == 0 &&
            found != old)
            return false;
    }
    return true;
}

static u64 mmu_address(const struct mmu_walk *w)
{
    u64 mask = (1UL << mmu_shift(w)) - 1, base = w->entry & PTE_ADDR & ~mask;

    if (!w->pae && w->level == 1)
        base = (w->entry & 0xffc00000UL) | (w->entry >> 13 & 0xff) << 32;
    return base | (w->linear & mask);
}

/* One way down. 0, EMUL_FAULT, -EFAULT. */
static int mmu_descend(struct mmu_walk *w, struct emul_fault *fault)
{
    u64 table = mmu_root(w);

    w->write = w->user = w->execute = true;
    for (w->level = w->levels - 1;; w->level--) {
        if (mmu_load(w, table))
            return -EFAULT;
        if (!(w->entry & PTE_P))
            return mmu_fault(w, 0, fault);
        if (mmu_reserved(w))
            return mmu_fault(w, PF_PRESENT | PF_RESERVED, fault);
        mmu_gather(w);
        if (mmu_leaf(w))
            break;
        table = w->entry & PTE_ADDR;
    }
    return mmu_allowed(w) ? 0 : mmu_fault(w, PF_PRESENT, fault);
}

/* A walk to its end: marks what it has used. */
static int mmu_walk(struct mmu_walk *w, struct emul_fault *fault)
{
    for (unsigned i = 0; i < MMU_RETRIES; i++) {
        int err = mmu_descend(w, fault);

        if (err)
            return err;
        if (mmu_mark(w))
            break;
    }
    return 0;
}

int vcpu_translate(struct vcpu *v, u64 linear, u32 access, gpa_t *out, struct emul_fault *fault)
{
    struct mmu_walk w;
    int err;

    mmu_begin(&w, v, linear, access);
    if (!(w.cr0 & CR0_PG)) {
        *out = GPA(w.linear);
        return 0;
    }
    if (!mmu_canonical(&w)) {
        *fault = (struct emul_fault){.vector = VEC_GP, .has_error = true};
        return EMUL_FAULT;
    }
    err = mmu_walk(&w, fault);
    if (!err)
        *out = GPA(mmu_address(&w));
    return err;
}

/* ------------------------------------------------------------- instructions */

/* Long mode only: the tables are read again, so that a guest may change them and needs to tell only
 * its own CPU. */
static bool fetch_known(struct vcpu *v, u64 linear, u32 access)
{
    const struct fetch_cache *c = &v->fetch;

    if (c->page != (linear & PAGE_MASK) || c->access != access || c->efer != v->efer ||
        c->generation != vm_slots_generation(v->vm) || c->cr3 != v->mode_now.cr3 ||
        c->cr0 != v->mode_now.cr0 || c->cr4 != v->mode_now.cr4)
        return false;
    for (unsigned level = c->first; level < MMU_LEVELS; level++) {
        u64 entry;

        if (user_load64(&entry, (const u64 __user *)c->entry_hva[level]) ||
            entry != c->entry[level])
            return false;
    }
    return true;
}

static void fetch_remember(struct vcpu *v, const struct mmu_walk *w, u32 generation, gpa_t gpa)
{
    struct fetch_cache *c = &v->fetch;

    c->page = U64_MAX;
    if (!w->lma || !guest_hva(v->vm, GPA(gpa.v & PAGE_MASK), &c->hva))
        return;
    for (unsigned level = w->level; level < MMU_LEVELS; level++) {
        c->entry[level] = w->seen[level] | PTE_A; /* mmu_mark has seen to that */
        if (!guest_hva(v->vm, GPA(w->path[level]), &c->entry_hva[level]))
            return;
    }
    c->first = w->level;
    c->generation = generation;
    c->access = w->access;
    c->efer = v->efer;
    c->cr0 = v->mode_now.cr0;
    c->cr3 = v->mode_now.cr3;
    c->cr4 = v->mode_now.cr4;
    c->page = w->linear & PAGE_MASK;
}

static int fetch_walk(struct vcpu *v, u64 linear, u32 access, gpa_t *gpa, struct emul_fault *fault)
{
    u32 generation = vm_slots_generation(v->vm);
    struct mmu_walk w;
    int err;

    mmu_begin(&w, v, linear, access);
    if (!(w.cr0 & CR0_PG) || !mmu_canonical(&w))
        return vcpu_translate(v, linear, access, gpa, fault);
    err = mmu_walk(&w, fault);
    if (err)
        return err;
    *gpa = GPA(mmu_address(&w));
    fetch_remember(v, &w, generation, *gpa);
    return 0;
}

int vcpu_fetch(struct vcpu *v, u64 linear, u32 access, void *buf, u32 n, struct emul_fault *fault)
{
    u64 *word = buf, hva;
    gpa_t gpa;
    int err;

    ASSERT_HELD(&v->lock);
    if (unlikely(!fetch_known(v, linear, access))) {
        err = fetch_walk(v, linear, access, &gpa, fault);
        return err ? err : guest_read(v->vm, gpa, buf, n);
    }
    hva = v->fetch.hva + (linear & (PAGE_SIZE - 1));
    if (n != 2 * sizeof(*word))
        return copy_in(buf, (const void __user *)hva, n);
    err = user_load64(word, (const u64 __user *)hva);
    return err ? err : user_load64(word + 1, (const u64 __user *)(hva + sizeof(*word)));
}
