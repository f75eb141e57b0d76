/* SPDX-License-Identifier: MIT
 *
 * Address spaces by way of the kernel's own user copies: each test makes an aspace, runs on it, and
 * at the end every page is back where it came from.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/uaccess.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/page.h"
#include "sched/thread.h"
#include "sync/rcu.h"
#include "vm/aspace.h"
#include "vm/up.h"

#define BASE 0x10000000UL
#define RW (PT_READ | PT_WRITE)

static struct account account;
static struct aspace *outer; /* the asking thread's own, NULL in a kernel thread */

static struct aspace *enter(void)
{
    struct aspace *as;

    outer = aspace_current();
    account_init(&account, NULL, NULL);
    as = aspace_create(&account);
    if (as)
        aspace_activate(as);
    return as;
}

static void leave(struct aspace *as)
{
    aspace_activate(outer);
    aspace_put(as);
    CHECK(atomic_read(&account.used) == 0);
}

static int map_anon(struct aspace *as, u64 addr, u64 len, u8 prot)
{
    struct map_request req = {.addr = addr,
                              .len = len,
                              .prot = prot,
                              .fixed = true,
                              .max_prot = PT_READ | PT_WRITE | PT_EXEC};
    u64 at;
    int err = aspace_map(as, &req, &at);

    return err ? err : at == addr ? 0 : -EINVAL;
}

static u64 peek(u64 addr)
{
    u64 v = 0xdead;

    return user_copy_in(&v, (const void __user *)addr, 8) ? 0xbad : v;
}

static bool poke(u64 addr, u64 v)
{
    return !user_copy_out((void __user *)addr, &v, 8);
}

static u64 free_pages(void)
{
    struct mem_info info;

    rcu_synchronize();
    mem_info_get(&info);
    return info.free + info.slab;
}

SELFTEST(vm_anonymous_memory_is_zero_and_keeps_what_is_written)
{
    struct aspace *as = enter();

    CHECK(as && !map_anon(as, BASE, 16 * PAGE_SIZE, RW));
    CHECK(peek(BASE) == 0 && peek(BASE + PAGE_SIZE) == 0);
    CHECK(as->rss_anon == 0); /* the zero page is not counted */
    CHECK(poke(BASE, 7) && poke(BASE + 5 * PAGE_SIZE, 8));
    CHECK(peek(BASE) == 7 && peek(BASE + 5 * PAGE_SIZE) == 8 && peek(BASE + 4 * PAGE_SIZE) == 0);
    CHECK(as->rss_anon == 2);
    CHECK(peek(BASE + 16 * PAGE_SIZE) == 0xbad);
    leave(as);
}

SELFTEST(vm_munmap_in_the_middle_leaves_both_sides)
{
    struct aspace *as = enter();

    CHECK(!map_anon(as, BASE, 16 * PAGE_SIZE, RW));
    for (u64 i = 0; i < 16; i++)
        CHECK(poke(BASE + i * PAGE_SIZE, i + 1));
    CHECK(!aspace_unmap(as, BASE + 4 * PAGE_SIZE, 4 * PAGE_SIZE));
    CHECK(peek(BASE + 3 * PAGE_SIZE) == 4 && peek(BASE + 8 * PAGE_SIZE) == 9);
    CHECK(peek(BASE + 4 * PAGE_SIZE) == 0xbad && peek(BASE + 7 * PAGE_SIZE) == 0xbad);
    CHECK(as->rss_anon == 12 && as->total_pages == 12);
    CHECK(!map_anon(as, BASE + 4 * PAGE_SIZE, 4 * PAGE_SIZE, RW));
    CHECK(as->areas.node && !as->areas.node->left && !as->areas.node->right); /* merged */
    CHECK(peek(BASE + 4 * PAGE_SIZE) == 0);
    leave(as);
}

SELFTEST(vm_mprotect_takes_and_gives_rights)
{
    struct aspace *as = enter();

    CHECK(!map_anon(as, BASE, 8 * PAGE_SIZE, RW));
    for (u64 i = 0; i < 8; i++)
        CHECK(poke(BASE + i * PAGE_SIZE, i + 1));
    CHECK(!aspace_protect(as, BASE + 2 * PAGE_SIZE, 2 * PAGE_SIZE, PT_READ));
    CHECK(!poke(BASE + 2 * PAGE_SIZE, 9) && peek(BASE + 2 * PAGE_SIZE) == 3);
    CHECK(!aspace_protect(as, BASE + 2 * PAGE_SIZE, PAGE_SIZE, 0));
    CHECK(peek(BASE + 2 * PAGE_SIZE) == 0xbad);
    CHECK(!aspace_protect(as, BASE, 8 * PAGE_SIZE, RW));
    CHECK(peek(BASE + 2 * PAGE_SIZE) == 3 && poke(BASE + 2 * PAGE_SIZE, 9));
    CHECK(aspace_protect(as, BASE, 9 * PAGE_SIZE, RW) == -ENOMEM);
    leave(as);
}

SELFTEST(vm_fork_copies_on_write_both_ways)
{
    struct aspace *as = enter(), *child;

    CHECK(!map_anon(as, BASE, 4 * PAGE_SIZE, RW));
    CHECK(poke(BASE, 1) && poke(BASE + PAGE_SIZE, 2));
    CHECK(!aspace_clone(as, &account, &child));
    CHECK(poke(BASE, 10)); /* parent writes: child keeps 1 */
    aspace_activate(child);
    CHECK(peek(BASE) == 1 && peek(BASE + PAGE_SIZE) == 2);
    CHECK(poke(BASE + PAGE_SIZE, 20));
    aspace_activate(as);
    CHECK(peek(BASE) == 10 && peek(BASE + PAGE_SIZE) == 2);
    aspace_put(child);
    CHECK(poke(BASE + PAGE_SIZE, 3) && peek(BASE + PAGE_SIZE) == 3);
    leave(as);
}

SELFTEST(vm_huge_folio_splits_on_partial_unmap_and_fork)
{
    struct aspace *as = enter(), *child;
    struct fault_result r;
    u64 base = 0x40000000;

    CHECK(!map_anon(as, base, 64UL << 20, RW));
    CHECK(poke(base + 0x1000, 5));
    CHECK(!aspace_resolve(as, base + 0x1000, FAULT_READ, &r) && r.level == 1);
    page_put(r.page);
    CHECK(as->rss_anon == 512);
    CHECK(poke(base + (1UL << 20), 6));
    CHECK(!aspace_clone(as, &account, &child));
    CHECK(poke(base + 0x1000, 7)); /* splits, copies 4 KiB */
    aspace_activate(child);
    CHECK(peek(base + 0x1000) == 5 && peek(base + (1UL << 20)) == 6);
    aspace_activate(as);
    aspace_put(child);
    CHECK(peek(base + 0x1000) == 7 && peek(base + (1UL << 20)) == 6);
    CHECK(!aspace_unmap(as, base + 0x2000, 0x3000));
    CHECK(peek(base + 0x1000) == 7 && peek(base + 0x2000) == 0xbad);
    CHECK(poke(base + 0x200000, 9)); /* a second folio */
    CHECK(!aspace_unmap(as, base + 0x210000, 0x1000));
    CHECK(peek(base + 0x200000) == 9 && peek(base + 0x210000) == 0xbad);
    CHECK(!aspace_protect(as, base + 0x200000, 0x1000, 0) && peek(base + 0x200000) == 0xbad);
    leave(as);
}

SELFTEST(vm_shared_object_shows_one_page_to_all)
{
    struct aspace *as = enter(), *child;
    struct mem_object *obj = mem_object_create_shared(4 * PAGE_SIZE);
    struct map_request req = {.addr = BASE,
                              .len = 8 * PAGE_SIZE,
                              .prot = RW,
                              .max_prot = RW,
                              .flags = AREA_SHARED,
                              .fixed = true,
                              .object = obj};
    struct map_request priv = {.addr = BASE + 0x100000,
                               .len = 4 * PAGE_SIZE,
                               .prot = RW,
                               .max_prot = RW,
                               .fixed = true,
                               .object = obj};
    u64 at;

    CHECK(!aspace_map(as, &req, &at) && !aspace_map(as, &priv, &at));
    mem_object_put(obj);
    CHECK(poke(BASE, 1) && poke(BASE + PAGE_SIZE, 2));
    CHECK(peek(BASE + 0x100000) == 1);
    CHECK(poke(BASE + 0x100000, 11) && peek(BASE) == 1);
    CHECK(!aspace_clone(as, &account, &child));
    CHECK(poke(BASE, 3));
    aspace_activate(child);
    CHECK(peek(BASE) == 3 && peek(BASE + 0x100000) == 11 && peek(BASE + 0x101000) == 2);
    aspace_activate(as);
    aspace_put(child);
    CHECK(aspace_fault(as, BASE + 4 * PAGE_SIZE, FAULT_READ) == -EIO);
    mem_object_truncate(obj, 0, U64_MAX);
    CHECK(peek(BASE) == 0 && peek(BASE + 0x100000) == 0);
    leave(as);
}

/* What boot brings becomes a file's without a copy; it is charged, and goes with the object. */
SELFTEST(vm_an_adopted_page_is_the_objects_own)
{
    struct aspace *as = enter();
    struct mem_object *obj = mem_object_create_shared(2 * PAGE_SIZE);
    struct page *page = page_alloc(0, PA_ZERO), *second = page_alloc(0, PA_ZERO), *there;

    CHECK(as && obj && page && second);
    strlcpy(page_virt(page), "as it is", PAGE_SIZE);
    CHECK(mem_object_adopt(obj, 1, page) == 0);
    there = mem_object_peek(obj, 1);
    CHECK(there == page && !strcmp(page_virt(there), "as it is"));
    CHECK(atomic_read(&account.used) >= 1);
    page_put(there);
    CHECK(mem_object_adopt(obj, 1, second) == -EEXIST); /* and `second` is free again */
    mem_object_put(obj);
    leave(as);
}

SELFTEST(vm_mremap_moves_and_grows)
{
    struct aspace *as = enter();
    u64 at;

    CHECK(!map_anon(as, BASE, 4 * PAGE_SIZE, RW) &&
          !map_anon(as, BASE + 4 * PAGE_SIZE, PAGE_SIZE, PT_READ));
    CHECK(poke(BASE, 1) && poke(BASE + 3 * PAGE_SIZE, 4));
    CHECK(aspace_remap(as, BASE, 4 * PAGE_SIZE, 8 * PAGE_SIZE, 0, 0, &at) == -ENOMEM);
    CHECK(!aspace_remap(as, BASE, 4 * PAGE_SIZE, 8 * PAGE_SIZE, 1, 0, &at) && at != BASE);
    CHECK(peek(at) == 1 && peek(at + 3 * PAGE_SIZE) == 4 && peek(at + 7 * PAGE_SIZE) == 0);
    CHECK(peek(BASE) == 0xbad);
    CHECK(!aspace_remap(as, at, 8 * PAGE_SIZE, 2 * PAGE_SIZE, 0, 0, &at));
    CHECK(peek(at) == 1 && peek(at + 2 * PAGE_SIZE) == 0xbad);
    leave(as);
}

SELFTEST(vm_gaps_are_found_from_the_top_and_reused)
{
    struct aspace *as = enter();
    struct map_request req = {.len = 4 * PAGE_SIZE, .prot = RW, .max_prot = RW};
    u64 a, b, c, d;

    as->mmap_base = 0x7f0000000000;
    CHECK(!aspace_map(as, &req, &a) && a == as->mmap_base - 4 * PAGE_SIZE);
    req.prot = PT_READ;
    CHECK(!aspace_map(as, &req, &b) && b == a - 4 * PAGE_SIZE);
    req.prot = RW;
    CHECK(!aspace_map(as, &req, &c) && c == b - 4 * PAGE_SIZE);
    CHECK(!aspace_unmap(as, b, 4 * PAGE_SIZE));
    req.len = 5 * PAGE_SIZE;
    CHECK(!aspace_map(as, &req, &d) && d == c - 5 * PAGE_SIZE);
    req.len = 2 * PAGE_SIZE;
    CHECK(!aspace_map(as, &req, &d) && d == b + 2 * PAGE_SIZE);
    leave(as);
}

SELFTEST(vm_limit_refuses_and_gives_all_back)
{
    struct aspace *as = enter();

    account.limit = 32;
    CHECK(!map_anon(as, BASE, 64 * PAGE_SIZE, RW));
    for (u64 i = 0; i < 32; i++)
        CHECK(poke(BASE + i * PAGE_SIZE, 1));
    CHECK(aspace_fault(as, BASE + 40 * PAGE_SIZE, FAULT_WRITE) == -ENOMEM);
    CHECK(!aspace_advise(as, BASE, 32 * PAGE_SIZE, 4)); /* MADV_DONTNEED */
    CHECK(poke(BASE + 40 * PAGE_SIZE, 1) && peek(BASE) == 0);
    leave(as);
}

SELFTEST(vm_everything_is_freed)
{
    u64 before = free_pages(), after;

    for (int i = 0; i < 3; i++) {
        struct aspace *as = enter(), *child;

        CHECK(!map_anon(as, BASE, 256 * PAGE_SIZE, RW) &&
              !map_anon(as, 0x40000000, 64UL << 20, RW));
        for (u64 j = 0; j < 256; j++)
            CHECK(poke(BASE + j * PAGE_SIZE, j));
        CHECK(poke(0x40000000, 1) && poke(0x40000000 + (3UL << 20), 1));
        CHECK(!aspace_clone(as, &account, &child));
        CHECK(poke(BASE, 5));
        aspace_put(child);
        leave(as);
    }
    after = free_pages();
    CHECK(after + 64 >= before);
}

SELFTEST(vm_range_is_judged_without_wrapping)
{
    u64 end = 7;

    CHECK(!aspace_range(BASE, 1, &end) && end == BASE + PAGE_SIZE);
    CHECK(!aspace_range(BASE, 0, &end) && end == BASE);
    CHECK(!aspace_range(0, USER_MAX, &end) && end == USER_MAX);
    end = 7;
    CHECK(aspace_range(BASE + 1, PAGE_SIZE, &end) == -EINVAL);
    CHECK(aspace_range(PAGE_SIZE, USER_MAX, &end) == -ENOMEM);
    CHECK(aspace_range(BASE, USER_MAX - 1, &end) == -ENOMEM);
    CHECK(aspace_range(0xffff888010001000UL, PAGE_SIZE, &end) == -ENOMEM);
    CHECK(aspace_range(0xffff888010001000UL, USER_MAX, &end) == -EINVAL);
    CHECK(aspace_range(BASE, U64_MAX, &end) == -EINVAL);
    CHECK(aspace_range(BASE, -BASE, &end) == -ENOMEM || end == 7);
    CHECK(aspace_range(-PAGE_SIZE, PAGE_SIZE, &end) && end == 7);
}

/* A walk whose range was wrong must end the kernel, not free what all tables share: what the checks
 * before it let through stays below the half. */
SELFTEST(vm_a_part_of_a_large_leaf_goes_without_a_cut_before)
{
    struct aspace *as = enter();
    u64 base = 0x40000000UL;

    CHECK(as && !map_anon(as, base, 64UL << 20, RW) && poke(base + 8, 5));
    CHECK(as->rss_anon == 512);
    CHECK(!aspace_advise(as, base + PAGE_SIZE, HUGE_SIZE - PAGE_SIZE, 4)); /* MADV_DONTNEED */
    CHECK(as->rss_anon == 1 && peek(base + 8) == 5 && peek(base + PAGE_SIZE) == 0);
    leave(as);
}

/* When there is no table to split a leaf into, no area may come to end within it: the whole could
 * not be taken away then. */
SELFTEST(vm_an_unmap_that_fails_leaves_no_area_within_a_large_leaf)
{
    struct aspace *as = enter();
    u64 base = 0x40000000UL, len = 64UL << 20;
    static struct account payer;
    int part, areas, whole;

    CHECK(as && !map_anon(as, base, len, RW) && poke(base + 8, 5));
    CHECK(as->rss_anon == 512 && as->nr_areas == 1);
    account_init(&payer, &account_root_memory, NULL);
    payer.limit = 0;
    atomic_set(&payer.stock, PAGE_SIZE); /* enough for areas, but not for a table */
    as->account = &payer;
    aspace_activate(as);
    part = aspace_unmap(as, base + PAGE_SIZE, PAGE_SIZE);
    areas = (int)as->nr_areas;
    whole = aspace_unmap(as, base, len);
    as->account = &account;
    aspace_activate(as);
    thread_work_clear(current_thread(), WORK_MEMORY);
    CHECK(part == -ENOMEM && areas == 1 && !whole && !as->rss_anon);
    CHECK(!atomic_read(&payer.used));
    leave(as);
}

SELFTEST(vm_truncation_reaches_every_mapping)
{
    struct aspace *as = enter();
    struct mem_object *obj = mem_object_create_shared(64 * PAGE_SIZE);
    u64 at;

    CHECK(as && obj);
    for (u64 i = 0; i < 3; i++) {
        struct map_request req = {.addr = BASE + i * HUGE_SIZE,
                                  .len = 64 * PAGE_SIZE,
                                  .prot = RW,
                                  .max_prot = RW,
                                  .flags = i < 2 ? AREA_SHARED : 0,
                                  .fixed = true,
                                  .object = obj};
        CHECK(!aspace_map(as, &req, &at));
        CHECK(poke(at, 1 + i) && poke(at + 40 * PAGE_SIZE, 9));
    }
    CHECK(peek(BASE) == 2 && peek(BASE + 2 * HUGE_SIZE) == 3);
    mem_object_truncate(obj, 0, 32); /* a hole: private copies stay */
    CHECK(peek(BASE) == 0 && peek(BASE + HUGE_SIZE) == 0 && peek(BASE + 2 * HUGE_SIZE) == 3);
    CHECK(peek(BASE + 40 * PAGE_SIZE) == 9);
    obj->size = PAGE_SIZE;
    mem_object_truncate(obj, 1, U64_MAX); /* an end: they go */
    CHECK(peek(BASE + 40 * PAGE_SIZE) == 0xbad &&
          peek(BASE + 2 * HUGE_SIZE + 40 * PAGE_SIZE) == 0xbad);
    CHECK(peek(BASE + 2 * HUGE_SIZE) == 3);
    mem_object_put(obj);
    leave(as);
}
