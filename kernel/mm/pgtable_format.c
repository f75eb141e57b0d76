/* SPDX-License-Identifier: MIT
 *
 * How native tables (also AMD's NPT) and EPT spell their entries.
 * Native: SDM 3A 4.5, APM 2 5.3. EPT: SDM 3C 29.3.2.
 */
#include "mm/pgtable.h"

#include "arch/x86/pte.h"

#define E_READ (1ULL << 0)
#define E_WRITE (1ULL << 1)
#define E_EXEC (1ULL << 2)
#define E_TYPE_WB (6ULL << 3)
#define E_TYPE_WC (1ULL << 3)
#define E_TYPE_UC (0ULL << 3)
#define E_IGNORE_PAT (1ULL << 6)
#define E_LARGE (1ULL << 7)
#define E_ACCESSED (1ULL << 8)
#define E_DIRTY (1ULL << 9)

static u64 native_leaf(hpa_t pa, unsigned prot, unsigned level)
{
    u64 e = pa.v | PTE_P | PTE_A;

    if (prot & PT_WRITE)
        e |= PTE_W;
    if (prot & PT_USER)
        e |= PTE_U;
    if (!(prot & PT_EXEC))
        e |= PTE_NX;
    if (prot & PT_GLOBAL)
        e |= PTE_G;
    if (prot & PT_UNCACHED)
        e |= PTE_PCD | PTE_PWT;
    if (prot & PT_WRITECOMBINE)
        e |= level ? PTE_PAT_LARGE : PTE_PAT; /* PAT entry 4 */
    if (level)
        e |= PTE_PS;
    return e;
}

static u64 native_table(hpa_t pa)
{
    return pa.v | PTE_P | PTE_W | PTE_U | PTE_A;
}

static bool native_present(u64 e)
{
    return e & PTE_P;
}

static bool native_is_leaf(u64 e, unsigned level)
{
    return level == 0 || (e & PTE_PS);
}

static hpa_t native_address(u64 e, unsigned level)
{
    return HPA(e & PTE_ADDR & ~((1ULL << (PAGE_SHIFT + 9 * level)) - 1));
}

/* Write-combining is not told apart: its bit means another thing per level. */
static unsigned native_prot(u64 e)
{
    unsigned prot = PT_READ;

    if (e & PTE_W)
        prot |= PT_WRITE;
    if (e & PTE_U)
        prot |= PT_USER;
    if (!(e & PTE_NX))
        prot |= PT_EXEC;
    if (e & PTE_G)
        prot |= PT_GLOBAL;
    if (e & PTE_PCD)
        prot |= PT_UNCACHED;
    return prot;
}

const struct pt_format pt_native = {
    .name = "native",
    .leaf = native_leaf,
    .table = native_table,
    .present = native_present,
    .is_leaf = native_is_leaf,
    .address = native_address,
    .prot = native_prot,
    .accessed = PTE_A,
    .dirty = PTE_D,
};

static u64 ept_leaf(hpa_t pa, unsigned prot, unsigned level)
{
    u64 e = pa.v;

    if (prot & PT_READ)
        e |= E_READ;
    if (prot & PT_WRITE)
        e |= E_WRITE;
    if (prot & PT_EXEC)
        e |= E_EXEC;
    if (prot & PT_UNCACHED)
        e |= E_TYPE_UC;
    else if (prot & PT_WRITECOMBINE)
        e |= E_TYPE_WC;
    else
        e |= E_TYPE_WB | E_IGNORE_PAT; /* RAM is cached, regardless of the guest's memory type */
    if (level)
        e |= E_LARGE;
    return e;
}

static u64 ept_table(hpa_t pa)
{
    return pa.v | E_READ | E_WRITE | E_EXEC;
}

static bool ept_present(u64 e)
{
    return e & (E_READ | E_WRITE | E_EXEC);
}

static unsigned ept_prot(u64 e)
{
    unsigned prot = 0;

    if (e & E_READ)
        prot |= PT_READ;
    if (e & E_WRITE)
        prot |= PT_WRITE;
    if (e & E_EXEC)
        prot |= PT_EXEC;
    if ((e & (7ULL << 3)) == E_TYPE_UC)
        prot |= PT_UNCACHED;
    else if ((e & (7ULL << 3)) == E_TYPE_WC)
        prot |= PT_WRITECOMBINE;
    return prot;
}

const struct pt_format pt_ept = {
    .name = "ept",
    .leaf = ept_leaf,
    .table = ept_table,
    .present = ept_present,
    .is_leaf = native_is_leaf, /* bit 7 means the same */
    .address = native_address,
    .prot = ept_prot,
    .accessed = E_ACCESSED,
    .dirty = E_DIRTY,
};
