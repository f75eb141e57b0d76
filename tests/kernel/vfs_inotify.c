/* SPDX-License-Identifier: MIT
 *
 * inotify by its own calls: what is told about names, contents, and the end of a file system.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/account.h"
#include "tests/kernel/vfs_test.h"
#include "vfs/inotify.h"

struct inotify_seen {
    s32 wd;
    u32 mask, cookie, len;
    char name[16];
};

/* The next event of f is this one. */
static bool inotify_next_is(struct file *f, s32 wd, u32 mask, const char *name, u32 *cookie)
{
    struct inotify_seen e = {0};
    ssize_t n = file_read_kernel(f, &e, name[0] ? sizeof(e) : 16, 0);

    if (cookie)
        *cookie = e.cookie;
    return n == (name[0] ? 32 : 16) && e.wd == wd && e.mask == mask && strcmp(e.name, name) == 0;
}

/* For want of memory for an event the watcher is told that there was one. */
static void inotify_check_lost(struct walk_ctx *ctx, struct file *f)
{
    if (!fail_point_arm("inotify_event", 1))
        return;
    CHECK(vfs_mkdir(ctx, NULL, "/in-test/lost", 0755) == 0);
    CHECK(vfs_rmdir(ctx, NULL, "/in-test/lost") == 0);
    fail_point_arm("inotify_event", 0);
    CHECK(inotify_next_is(f, -1, IN_Q_OVERFLOW, "", NULL) && file_poll(f, NULL) == 0);
}

static void inotify_check(struct walk_ctx *ctx, struct file *f)
{
    struct path dir;
    u32 from, to;
    int wd;

    CHECK(vfs_lookup(ctx, NULL, "/in-test", 0, &dir) == 0);
    CHECK(inotify_add(f, &dir, 0, &cred_init) == -EINVAL);
    wd = inotify_add(f, &dir, IN_ALL_EVENTS & ~(u32)(IN_ATTRIB | IN_ACCESS), &cred_init);
    CHECK(wd > 0 && inotify_add(f, &dir, IN_MASK_CREATE | IN_MODIFY, &cred_init) == -EEXIST);
    path_put(&dir);
    CHECK(vfs_test_write(ctx, "/in-test/f", "x") == 0);
    CHECK(inotify_next_is(f, wd, IN_CREATE, "f", NULL));
    CHECK(inotify_next_is(f, wd, IN_OPEN, "f", NULL));
    CHECK(inotify_next_is(f, wd, IN_MODIFY, "f", NULL));
    CHECK(inotify_next_is(f, wd, IN_CLOSE_WRITE, "f", NULL));
    CHECK(vfs_mkdir(ctx, NULL, "/in-test/d", 0755) == 0);
    CHECK(inotify_next_is(f, wd, IN_CREATE | IN_ISDIR, "d", NULL));
    inotify_check_lost(ctx, f);
    CHECK(vfs_rename(ctx, NULL, "/in-test/f", NULL, "/in-test/g", 0) == 0);
    CHECK(inotify_next_is(f, wd, IN_MOVED_FROM, "f", &from));
    CHECK(inotify_next_is(f, wd, IN_MOVED_TO, "g", &to) && from == to && from);
    CHECK(vfs_unlink(ctx, NULL, "/in-test/g") == 0);
    CHECK(inotify_next_is(f, wd, IN_DELETE, "g", NULL));
    CHECK(vfs_test_umount(ctx, "/in-test") == 0);
    CHECK(inotify_next_is(f, wd, IN_UNMOUNT, "", NULL));
    CHECK(inotify_next_is(f, wd, IN_IGNORED, "", NULL));
    CHECK(file_poll(f, NULL) == 0 && inotify_remove(f, wd) == -EINVAL);
}

SELFTEST(vfs_inotify_tells_what_happens_in_a_directory)
{
    struct walk_ctx ctx;
    struct file *f = inotify_create(O_NONBLOCK);

    CHECK(!IS_ERR(f));
    vfs_test_ctx(&ctx);
    (void)vfs_mkdir(&ctx, NULL, "/in-test", 0755);
    CHECK(vfs_test_mount(&ctx, "/in-test", "tmpfs", "") == 0);
    inotify_check(&ctx, f);
    (void)vfs_test_umount(&ctx, "/in-test");
    (void)vfs_rmdir(&ctx, NULL, "/in-test");
    file_put(f);
    CHECK(inotify_watches == 0);
}

/* As many as there may be, charged to the account. */
static unsigned inotify_take(struct account *a, struct file **files, unsigned n)
{
    struct account *former = account_swap(a);
    unsigned got = 0;

    while (got < n && !IS_ERR(files[got] = inotify_create(0)))
        got++;
    (void)account_swap(former);
    return got;
}

SELFTEST(vfs_inotify_files_of_one_group_are_not_counted_in_another)
{
    static struct account groups[2]; /* they keep a stock */
    static struct file *files[2][INOTIFY_INSTANCES_MAX + 1];

    for (unsigned i = 0; i < 2; i++) {
        account_init(&groups[i], NULL, NULL);
        CHECK(inotify_take(&groups[i], files[i], INOTIFY_INSTANCES_MAX + 1) ==
              INOTIFY_INSTANCES_MAX);
    }
    for (unsigned i = 0; i < 2 * (INOTIFY_INSTANCES_MAX + 1); i++) {
        struct file *f = files[i / (INOTIFY_INSTANCES_MAX + 1)][i % (INOTIFY_INSTANCES_MAX + 1)];

        if (f && !IS_ERR(f))
            file_put(f);
    }
}
