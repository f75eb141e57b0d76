/* SPDX-License-Identifier: MIT
 *
 * Page cache, inode cache and flusher, over a store that does what the test says.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/slab.h"
#include "sched/timer.h"
#include "sync/rcu.h"
#include "tests/kernel/writeback.h"
#include "vm/aspace.h"
#include "vm/up.h"

#define BASE 0x10000000UL

static int sync_file(struct file *f)
{
    return f->ops->fsync(f, false);
}

/* For ever: what the kernel keeps for its threads may stay charged to it. */
static void account_ready(struct account *a, s64 limit)
{
    if (!a->parent)
        account_init(a, &account_root_memory, NULL);
    a->limit = limit;
    atomic_set(&a->peak, 0);
}

SELFTEST(writeback_goes_by_runs_and_reads_come_back)
{
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);

    CHECK(s && !IS_ERR(f));
    for (u64 i = 0; i < 96; i++)
        CHECK(put_page(f, i, (u8)(i + 1)));
    CHECK(file_write_kernel(f, "end", 3, 96 * PAGE_SIZE) == 3);
    CHECK(!sync_file(f));
    CHECK(atomic_read(&s->pages_written) == 97 && atomic_read(&s->write_runs) <= 5);
    CHECK(store_byte(s, "a", 95 * PAGE_SIZE + 7) == 96 &&
          store_byte(s, "a", 96 * PAGE_SIZE) == 'e');
    file_put(f);
    CHECK(!test_store_again(s));
    f = store_open_file(s, "/a", O_RDONLY);
    CHECK(!IS_ERR(f));
    for (u64 i = 0; i < 96; i++)
        CHECK(get_byte(f, i * PAGE_SIZE + 4095) == (int)(i + 1));
    CHECK(get_byte(f, 96 * PAGE_SIZE + 2) == 'd' && get_byte(f, 96 * PAGE_SIZE + 3) == -1);
    CHECK(atomic_read(&s->pages_read) == 97 && atomic_read(&s->read_runs) <= 12);
    file_put(f);
    test_store_close(s);
}

SELFTEST(writeback_readers_here_and_there_read_what_they_ask_for)
{
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);

    CHECK(put_pages(f, 0, 256, 9));
    file_put(f);
    CHECK(!test_store_again(s));
    atomic_set(&s->pages_read, 0);
    f = store_open_file(s, "/a", O_RDONLY);
    for (u64 i = 250; i > 10; i -= 30)
        CHECK(get_byte(f, i * PAGE_SIZE) == 9);
    CHECK(atomic_read(&s->pages_read) == 8);
    file_put(f);
    test_store_close(s);
}

SELFTEST(writeback_errors_reach_each_descriptor_once)
{
    struct test_store *s = test_store_open();
    struct file *a = store_open_file(s, "/a", O_RDWR | O_CREAT), *b, *late;

    b = store_open_file(s, "/a", O_RDWR);
    CHECK(!IS_ERR(a) && !IS_ERR(b) && !sync_file(a));
    s->fail_writes = 1;
    CHECK(put_pages(a, 0, 3, 5));
    CHECK(sync_file(a) == -EIO && sync_file(a) == 0);
    late = store_open_file(s, "/a", O_RDWR);
    CHECK(sync_file(late) == 0); /* it was told before */
    CHECK(sync_file(b) == -EIO && sync_file(b) == 0);
    CHECK(file_sync_super(a) == -EIO && file_sync_super(a) == 0);
    CHECK(file_sync_super(b) == -EIO && file_sync_super(b) == 0);
    CHECK(file_sync_super(late) == -EIO); /* it came before any had heard of it */
    s->fail_writes = 1;                   /* once more, by the flusher, unasked */
    CHECK(put_page(a, 7, 5));
    inode_object_write_wanted(a->inode->object);
    for (unsigned i = 0; i < 60000 && READ_ONCE(s->fail_writes); i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    CHECK(!s->fail_writes);
    mem_object_wait(a->inode->object, 0, U64_MAX);
    file_put(late);
    late = store_open_file(s, "/a", O_RDWR);
    CHECK(sync_file(late) == -EIO && sync_file(late) == 0); /* none had heard of it */
    CHECK(sync_file(a) == -EIO && sync_file(a) == 0 && sync_file(b) == -EIO);
    file_put(a);
    file_put(b);
    file_put(late);
    test_store_close(s);
}

SELFTEST(writeback_a_read_that_failed_is_tried_again)
{
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);
    u8 byte;

    CHECK(put_page(f, 0, 6));
    file_put(f);
    CHECK(!test_store_again(s));
    f = store_open_file(s, "/a", O_RDWR);
    s->fail_reads = 2;
    CHECK(file_read_kernel(f, &byte, 1, 0) == -EIO && file_read_kernel(f, &byte, 1, 0) == -EIO);
    CHECK(get_byte(f, 0) == 6);
    file_put(f);
    test_store_close(s);
}

static void dirty_again(struct test_store *s, struct mem_object *obj, struct page *page)
{
    memset(page_virt(page), 0x77, 16);
    mem_object_dirty(obj, page);
}

SELFTEST(writeback_sync_ends_though_each_page_gets_dirty_again)
{
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);

    CHECK(put_pages(f, 0, 40, 1));
    s->on_write = dirty_again;
    CHECK(!sync_file(f) && atomic_read(&s->pages_written) == 40);
    CHECK(!super_sync(&s->super) && atomic_read(&s->pages_written) == 80);
    CHECK(mem_object_is_dirty(f->inode->object));
    s->on_write = NULL;
    file_put(f);
    test_store_close(s);
}

SELFTEST(writeback_what_is_written_to_meanwhile_is_written_again)
{
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);
    struct write_control wc = {.why = WRITE_BACKGROUND, .to = U64_MAX, .budget = 64};

    s->hold_writes = true;
    CHECK(put_pages(f, 0, 4, 1));
    mem_object_write_back(f->inode->object, &wc);
    CHECK(wc.written == 4 && s->nr_held == 4);
    CHECK(put_page(f, 2, 2)); /* does not wait */
    CHECK(get_byte(f, 2 * PAGE_SIZE) == 2);
    wc.written = 0;
    mem_object_write_back(f->inode->object, &wc);
    CHECK(wc.written == 0 && wc.left_out);   /* not twice at a time */
    CHECK(store_finish(s, 4, true, 0) == 4); /* the last one first */
    s->hold_writes = false;
    CHECK(!sync_file(f) && atomic_read(&s->pages_written) == 5);
    CHECK(store_byte(s, "a", 2 * PAGE_SIZE) == 2 && store_byte(s, "a", 3 * PAGE_SIZE) == 1);
    file_put(f);
    test_store_close(s);
}

SELFTEST(writeback_what_finds_no_place_stays_dirty)
{
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);
    struct write_control wc = {.why = WRITE_BACKGROUND, .to = U64_MAX, .budget = 64};

    CHECK(put_pages(f, 0, 4, 1));
    s->refuse_place = true;
    mem_object_write_back(f->inode->object, &wc);
    CHECK(wc.left_out && wc.written == 0 && mem_object_is_dirty(f->inode->object));
    s->refuse_place = false;
    s->refuse_write = true; /* it had a place, and could not be begun */
    mem_object_write_back(f->inode->object, &wc);
    CHECK(wc.written == 4 && mem_object_is_dirty(f->inode->object));
    s->refuse_write = false;
    CHECK(!sync_file(f) && store_byte(s, "a", 3 * PAGE_SIZE) == 1);
    file_put(f);
    test_store_close(s);
}

static void write_many(struct helper *h)
{
    for (u64 i = 0; i < h->n; i++) {
        u8 *page = kmalloc(PAGE_SIZE);

        if (!page)
            return;
        memset(page, 3, PAGE_SIZE);
        if (file_write_kernel(h->f, page, PAGE_SIZE, (loff_t)(i * PAGE_SIZE)) == PAGE_SIZE)
            __atomic_store_n(&h->done, i + 1, __ATOMIC_SEQ_CST);
        kfree(page);
    }
}

SELFTEST(writeback_a_store_that_stalls_slows_its_writer_and_no_other)
{
    static struct account slow, fast;
    struct test_store *s = test_store_open(), *t = test_store_open();
    struct helper stuck = {.s = s, .run = write_many, .n = 400, .account = &slow};
    struct helper free = {.s = t, .run = write_many, .n = 400, .account = &fast};
    u64 done;

    account_ready(&slow, 500); /* a hundred may be dirty */
    account_ready(&fast, 500);
    stuck.f = store_open_file(s, "/a", O_RDWR | O_CREAT);
    free.f = store_open_file(t, "/a", O_RDWR | O_CREAT);
    CHECK(!IS_ERR(stuck.f) && !IS_ERR(free.f));
    s->hold_writes = true;
    CHECK(helper_start(&stuck));
    CHECK(store_wait_held(s, 50));
    CHECK(helper_start(&free) && helper_wait(&free) && free.done == 400);
    CHECK(atomic_read(&fast.dirty) + atomic_read(&fast.writing) <= 100);
    linger();
    done = READ_ONCE(stuck.done);
    CHECK(!READ_ONCE(stuck.ended) && done >= 50 && done <= 101);
    linger();
    CHECK(READ_ONCE(stuck.done) == done);
    s->hold_writes = false;
    (void)store_finish(s, U64_MAX, false, 0);
    CHECK(helper_wait(&stuck) && stuck.done == 400);
    file_put(stuck.f);
    file_put(free.f);
    test_store_close(s);
    test_store_close(t);
    CHECK(atomic_read(&slow.dirty) == 0 && atomic_read(&slow.writing) == 0);
    CHECK(atomic_read(&slow.uses[ACCOUNT_FILE]) == 0 && atomic_read(&fast.uses[ACCOUNT_FILE]) == 0);
}

SELFTEST(writeback_an_account_full_of_dirty_pages_is_written_not_refused)
{
    static struct account small;
    struct test_store *s = test_store_open();
    struct helper h = {.s = s, .run = write_many, .n = 300, .account = &small};

    account_ready(&small, 48); /* thirty-two of which may be dirty */
    h.f = store_open_file(s, "/a", O_RDWR | O_CREAT);
    CHECK(!IS_ERR(h.f) && helper_start(&h) && helper_wait(&h) && h.done == 300);
    CHECK(atomic_read(&small.peak) <= 48);
    file_put(h.f);
    test_store_close(s);
}

static void truncate_file(struct helper *h)
{
    h->n = (u64)-file_truncate(h->f, 10);
}

SELFTEST(writeback_truncation_waits_for_what_is_being_written)
{
    struct test_store *s = test_store_open();
    struct helper h = {.s = s, .run = truncate_file};
    struct write_control wc = {.why = WRITE_BACKGROUND, .to = U64_MAX, .budget = 64};

    h.f = store_open_file(s, "/a", O_RDWR | O_CREAT);
    CHECK(put_pages(h.f, 0, 8, 1));
    s->hold_writes = true;
    mem_object_write_back(h.f->inode->object, &wc);
    CHECK(s->nr_held == 8 && helper_start(&h));
    linger();
    CHECK(!READ_ONCE(h.ended));
    CHECK(store_finish(s, 8, false, 0) == 8 && helper_wait(&h) && h.n == 0);
    CHECK(h.f->inode->object->nr_pages == 1 && get_byte(h.f, 9) == 1 && get_byte(h.f, 10) == -1);
    s->hold_writes = false;
    CHECK(file_write_kernel(h.f, "x", 1, 100) == 1); /* the gap is zero, here and on the store */
    CHECK(get_byte(h.f, 50) == 0 && !sync_file(h.f) && store_byte(s, "a", 50) == 0);
    CHECK(store_byte(s, "a", 9) == 1 && store_byte(s, "a", 100) == 'x');
    file_put(h.f);
    test_store_close(s);
}

SELFTEST(writeback_reclaim_takes_pages_when_they_are_clean)
{
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);
    u64 before = reclaim_cached_pages();

    CHECK(put_pages(f, 0, 20, 1));
    CHECK(reclaim_cached_pages() <= before + 1); /* dirty ones are on no list */
    s->hold_writes = true;
    (void)reclaim_pages(NULL, U64_MAX);
    CHECK(f->inode->object->nr_pages == 20);
    s->hold_writes = false;
    CHECK(!sync_file(f) && f->inode->object->nr_pages == 20);
    for (unsigned i = 0; i < 3; i++) /* those used since the last look have a second chance */
        (void)reclaim_pages(NULL, U64_MAX);
    CHECK(f->inode->object->nr_pages == 0);
    CHECK(get_byte(f, 5 * PAGE_SIZE) == 1);
    file_put(f);
    test_store_close(s);
}

static void read_many(struct helper *h)
{
    u8 byte;

    for (u64 i = 0; i < h->n; i++)
        if (file_read_kernel(h->f, &byte, 1, (loff_t)(i * PAGE_SIZE)) == 1)
            h->done++;
}

SELFTEST(writeback_a_reader_of_much_takes_its_own_pages)
{
    static struct account small, other;
    struct test_store *s = test_store_open();
    struct helper much = {.s = s, .run = read_many, .n = 400, .account = &small};
    struct helper few = {.s = s, .run = read_many, .n = 10, .account = &other};
    struct file *f = store_open_file(s, "/much", O_RDWR | O_CREAT);

    CHECK(put_pages(f, 0, 400, 1));
    file_put(f);
    f = store_open_file(s, "/few", O_RDWR | O_CREAT);
    CHECK(put_pages(f, 0, 10, 1));
    file_put(f);
    CHECK(!test_store_again(s));
    account_ready(&small, 100);
    account_ready(&other, S64_MAX);
    much.f = store_open_file(s, "/much", O_RDONLY);
    few.f = store_open_file(s, "/few", O_RDONLY);
    CHECK(helper_start(&few) && helper_wait(&few) && few.done == 10);
    CHECK(helper_start(&much) && helper_wait(&much) && much.done == 400);
    CHECK(atomic_read(&small.peak) <= 100 && few.f->inode->object->nr_pages == 10);
    /* The machine wants some: of the two that one pays that has more than the average. */
    CHECK(atomic_read(&small.uses[ACCOUNT_FILE]) > 60);
    for (unsigned i = 0; i < 4; i++)
        (void)reclaim_pages(&account_root_memory, 8);
    CHECK(few.f->inode->object->nr_pages == 10);
    file_put(much.f);
    file_put(few.f);
    test_store_close(s);
}

static u64 map_file(struct aspace *as, struct file *f, u64 pages)
{
    struct map_request req = {.addr = BASE,
                              .len = pages * PAGE_SIZE,
                              .prot = PT_READ | PT_WRITE,
                              .max_prot = PT_READ | PT_WRITE,
                              .flags = AREA_SHARED,
                              .fixed = true,
                              .file = f};
    u64 at = 0;

    if (f->ops->mmap(f, &req) || aspace_map(as, &req, &at))
        return 0;
    mem_object_put(req.object);
    return at;
}

static bool poke(u64 addr, u64 v)
{
    return !user_copy_out((void __user *)addr, &v, 8);
}

static u64 peek(u64 addr)
{
    u64 v = 0;

    return user_copy_in(&v, (const void __user *)addr, 8) ? 0xbad : v;
}

SELFTEST(writeback_a_mapped_page_that_was_written_gets_dirty_anew)
{
    struct aspace *outer = aspace_current(), *as;
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);
    static struct account account;
    struct mem_object *obj;

    account_init(&account, NULL, NULL);
    as = aspace_create(&account);
    aspace_activate(as);
    CHECK(put_pages(f, 0, 20, 0) && !sync_file(f));
    obj = f->inode->object;
    CHECK(map_file(as, f, 20) == BASE);
    CHECK(peek(BASE) == 0 && !mem_object_is_dirty(obj)); /* to read is not to write */
    CHECK(poke(BASE + 3 * PAGE_SIZE, 0x41) && mem_object_is_dirty(obj));
    CHECK(!aspace_sync(as, BASE, 20 * PAGE_SIZE, 4)); /* MS_SYNC */
    CHECK(!mem_object_is_dirty(obj) && store_byte(s, "a", 3 * PAGE_SIZE) == 0x41);
    CHECK(poke(BASE + 3 * PAGE_SIZE, 0x42) && mem_object_is_dirty(obj));
    CHECK(!sync_file(f) && store_byte(s, "a", 3 * PAGE_SIZE) == 0x42);
    s->refuse_writable = -ENOSPC;
    CHECK(!poke(BASE + 4 * PAGE_SIZE, 1) && !mem_object_is_dirty(obj));
    s->refuse_writable = 0;
    CHECK(poke(BASE + 4 * PAGE_SIZE, 1));
    s->fail_writes = 1;
    CHECK(aspace_sync(as, BASE, 20 * PAGE_SIZE, 4) == -EIO);
    CHECK(aspace_sync(as, BASE, 20 * PAGE_SIZE, 4) == 0);
    aspace_activate(outer);
    aspace_put(as);
    file_put(f);
    test_store_close(s);
    CHECK(atomic_read(&account.used) == 0);
}

SELFTEST(writeback_range_sync_writes_the_range)
{
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);

    CHECK(put_pages(f, 0, 20, 1));
    s->hold_writes = true;
    CHECK(!f->ops->sync_range(f, 4 * PAGE_SIZE, 8 * PAGE_SIZE, SYNC_FILE_RANGE_WRITE));
    CHECK(s->nr_held == 4 && atomic_read(&s->pages_written) == 4);
    s->hold_writes = false;
    CHECK(store_finish(s, 4, false, 0) == 4);
    CHECK(!f->ops->sync_range(f, 0, U64_MAX, 7) && atomic_read(&s->pages_written) == 20);
    file_put(f);
    test_store_close(s);
}

SELFTEST(writeback_advice_brings_pages_and_drops_clean_ones)
{
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);
    struct mem_object *obj;

    CHECK(put_pages(f, 0, 64, 7));
    file_put(f);
    CHECK(!test_store_again(s));
    f = store_open_file(s, "/a", O_RDWR);
    obj = f->inode->object;
    atomic_set(&s->read_runs, 0);
    f->ops->advise(f, 0, 64 * PAGE_SIZE, FADVISE_WILLNEED);
    CHECK(obj->nr_pages == 64 && atomic_read(&s->read_runs) == 2);
    CHECK(put_page(f, 5, 8));
    f->ops->advise(f, 0, 32 * PAGE_SIZE + 10, FADVISE_DONTNEED);
    CHECK(obj->nr_pages == 33 && get_byte(f, 5 * PAGE_SIZE) == 8);
    f->ops->advise(f, 0, U64_MAX, FADVISE_DONTNEED);
    CHECK(obj->nr_pages == 1);
    f->ops->advise(f, 0, 0, FADVISE_RANDOM);
    CHECK(get_byte(f, 0) == 7 && get_byte(f, PAGE_SIZE) == 7 && obj->nr_pages == 3);
    file_put(f);
    test_store_close(s);
}
