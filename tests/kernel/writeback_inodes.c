/* SPDX-License-Identifier: MIT
 *
 * The inode cache over a store that does what the test says: unused inodes, nameless ones, such as
 * cannot be had, and what unmounting leaves.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "sync/rcu.h"
#include "tests/kernel/writeback.h"
#include "vm/up.h"

static u64 free_pages(void)
{
    struct mem_info info;

    rcu_synchronize();
    mem_info_get(&info);
    return info.free + info.slab;
}

SELFTEST(writeback_unused_inodes_go_and_come_back)
{
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);
    s32 filled;

    CHECK(put_pages(f, 0, 5, 4));
    file_put(f);
    (void)up_reclaim_names(NULL, U64_MAX); /* it is dirty: it stays */
    CHECK(atomic_read(&s->inodes_evicted) == 0);
    CHECK(!super_sync(&s->super) && atomic_read(&s->inodes_written) == 1);
    (void)up_reclaim_names(NULL, U64_MAX);
    CHECK(atomic_read(&s->inodes_evicted) == 1);
    filled = atomic_read(&s->inodes_filled);
    f = store_open_file(s, "/a", O_RDWR);
    CHECK(!IS_ERR(f) && get_byte(f, 4 * PAGE_SIZE) == 4);
    CHECK(atomic_read(&s->inodes_filled) == filled + 1);
    file_put(f);
    f = store_open_file(s, "/a", O_RDWR); /* kept */
    CHECK(!IS_ERR(f) && atomic_read(&s->inodes_filled) == filled + 1);
    file_put(f);
    test_store_close(s);
}

SELFTEST(writeback_a_file_without_a_name_is_not_written)
{
    struct test_store *s = test_store_open();
    struct walk_ctx ctx = {
        .cred = &cred_init, .root = s->root, .cwd = s->root, .ns = mount_ns_init};
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);

    CHECK(put_pages(f, 0, 30, 4));
    CHECK(!vfs_unlink(&ctx, NULL, "/a"));
    CHECK(get_byte(f, 0) == 4 && atomic_read(&s->inodes_evicted) == 0);
    file_put(f);
    CHECK(atomic_read(&s->inodes_evicted) == 1 && !s->files[0].there);
    CHECK(!super_sync(&s->super) && atomic_read(&s->pages_written) == 0);
    test_store_close(s);
}

static void find_inode(struct helper *h)
{
    struct inode *i;

    h->n = (u64)-inode_find(&h->s->super, h->n, &i);
    if (!h->n)
        inode_put(i);
}

SELFTEST(writeback_an_inode_is_filled_once_and_a_failure_is_each_ones_own)
{
    struct test_store *s = test_store_open();
    struct file *f = store_open_file(s, "/a", O_RDWR | O_CREAT);
    struct helper h[3], none[2];
    struct inode *i;

    file_put(f);
    CHECK(PTR_ERR(store_open_file(s, "/too-long-a-name-for-it", O_RDWR | O_CREAT)) ==
          -ENAMETOOLONG);
    CHECK(inode_find(&s->super, 3, &i) == -ESTALE); /* it never was */
    CHECK(!super_sync(&s->super));
    (void)up_reclaim_names(NULL, U64_MAX);
    atomic_set(&s->inodes_filled, 0);
    s->hold_inodes = true;
    for (unsigned k = 0; k < 3; k++) {
        h[k] = (struct helper){.s = s, .run = find_inode, .n = 2};
        CHECK(helper_start(&h[k]));
    }
    for (unsigned k = 0; k < 2; k++) {
        none[k] = (struct helper){.s = s, .run = find_inode, .n = 9};
        CHECK(helper_start(&none[k]));
    }
    linger();
    WRITE_ONCE(s->hold_inodes, false);
    waitq_wake_all(&s->changed);
    for (unsigned k = 0; k < 3; k++)
        CHECK(helper_wait(&h[k]) && h[k].n == 0);
    for (unsigned k = 0; k < 2; k++)
        CHECK(helper_wait(&none[k]) && none[k].n == ESTALE);
    CHECK(atomic_read(&s->inodes_filled) == 3); /* one, and two in vain */
    CHECK(inode_find(&s->super, 9, &i) == -ESTALE);
    test_store_close(s);
}

SELFTEST(writeback_unmounting_writes_all_and_gives_memory_back)
{
    struct test_store *s = test_store_open();
    struct file *f;
    char name[] = "/a";
    u64 before;

    CHECK(!test_store_again(s));
    before = free_pages();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 8; i++) {
            name[1] = (char)('a' + i);
            f = store_open_file(s, name, O_RDWR | O_CREAT);
            CHECK(!IS_ERR(f) && put_pages(f, 0, 6, (u8)(round * 8 + i + 1)));
            file_put(f);
        }
        CHECK(!test_store_again(s));
        for (unsigned i = 0; i < 8; i++) {
            name[1] = (char)('a' + i);
            CHECK(store_byte(s, name + 1, 5 * PAGE_SIZE) == round * 8 + i + 1);
        }
    }
    for (unsigned i = 0; i < STORE_FILES; i++) /* what the store holds is not the cache's */
        for (unsigned k = 0; k < STORE_PAGES; k++) {
            kfree(s->files[i].pages[k]);
            s->files[i].pages[k] = NULL;
        }
    CHECK(free_pages() + 16 >= before);
    test_store_close(s);
}
