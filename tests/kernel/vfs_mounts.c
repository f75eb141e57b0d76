/* SPDX-License-Identifier: MIT
 *
 * Mount namespaces: copies are apart, pivot_root changes the root, stacked mounts come off in
 * order.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "tests/kernel/vfs_test.h"
#include "vfs/pseudo.h"

/* A context in a namespace of its own, a copy of the first; root holds references. */
static bool mounts_test_begin(struct walk_ctx *ctx)
{
    vfs_test_ctx(ctx);
    (void)vfs_mkdir(ctx, NULL, "/mnt-test", 0755);
    ctx->ns = mount_ns_copy(mount_ns_init, &user_ns_init, NULL, NULL);
    if (!ctx->ns)
        return false;
    mount_ns_root(ctx->ns, &ctx->root);
    ctx->cwd = ctx->root;
    return vfs_test_mount(ctx, "/mnt-test", "tmpfs", "size=64k") == 0;
}

static void mounts_test_end(struct walk_ctx *ctx)
{
    path_put(&ctx->root);
    mount_ns_put(ctx->ns);
    vfs_test_ctx(ctx);
    (void)vfs_rmdir(ctx, NULL, "/mnt-test");
}

static void mounts_pivot(struct walk_ctx *ctx)
{
    struct path old_root = ctx->root, place;
    struct kstat st;

    CHECK(vfs_mkdir(ctx, NULL, "/mnt-test/old", 0755) == 0);
    CHECK(vfs_test_write(ctx, "/mnt-test/f", "inside") == 0);
    CHECK(vfs_lookup(ctx, NULL, "/mnt-test", 0, &place) == 0);
    CHECK(vfs_pivot_root(ctx, &place, &place) == 0);
    ctx->root = ctx->cwd = place;
    path_put(&old_root);
    CHECK(vfs_test_reads(ctx, "/f", "inside"));
    CHECK(vfs_umount(ctx, &place, 2) == 0); /* the old root, which covers the new */
    CHECK(vfs_umount(ctx, &place, 2) == -EINVAL);
    CHECK(vfs_test_stat(ctx, "/mnt-test", &st) == -ENOENT);
    CHECK(vfs_test_stat(ctx, "/..", &st) == 0);
    CHECK(vfs_test_reads(ctx, "/../f", "inside"));
}

SELFTEST(vfs_pivot_root_leaves_only_the_new_root)
{
    struct walk_ctx ctx, first;
    struct kstat st;

    CHECK(mounts_test_begin(&ctx));
    mounts_pivot(&ctx);
    vfs_test_ctx(&first);
    CHECK(vfs_test_stat(&first, "/mnt-test/f", &st) == -ENOENT);
    mounts_test_end(&ctx);
}

SELFTEST(vfs_stacked_mounts_come_off_in_order)
{
    struct walk_ctx ctx;

    CHECK(mounts_test_begin(&ctx));
    CHECK(vfs_test_write(&ctx, "/mnt-test/f", "1") == 0);
    CHECK(vfs_test_mount(&ctx, "/mnt-test", "tmpfs", "mode=700") == 0);
    CHECK(vfs_test_write(&ctx, "/mnt-test/f", "2") == 0);
    CHECK(vfs_test_reads(&ctx, "/mnt-test/f", "2"));
    CHECK(vfs_test_umount(&ctx, "/mnt-test") == 0);
    CHECK(vfs_test_reads(&ctx, "/mnt-test/f", "1"));
    mounts_test_end(&ctx);
}

SELFTEST(vfs_mounts_are_told_as_text)
{
    struct walk_ctx ctx;
    struct seq out = {0};
    const char *line;

    CHECK(mounts_test_begin(&ctx));
    CHECK(vfs_mkdir(&ctx, NULL, "/mnt-test/a b", 0755) == 0);
    CHECK(vfs_test_mount(&ctx, "/mnt-test/a b", "proc", "") == 0);
    CHECK(mount_ns_show(ctx.ns, &ctx.root, &out, false) == 0);
    seq_write(&out, "", 1);
    CHECK(out.buf && strstr(out.buf, "tmpfs /mnt-test tmpfs rw,relatime,size=64k 0 0\n"));
    CHECK(strstr(out.buf, "proc /mnt-test/a\\040b proc rw,relatime 0 0\n"));
    out.len = 0;
    CHECK(mount_ns_show(ctx.ns, &ctx.root, &out, true) == 0);
    seq_write(&out, "", 1);
    line = strstr(out.buf, " / /mnt-test rw,relatime - tmpfs tmpfs rw,size=64k\n");
    CHECK(line);
    kfree(out.buf);
    mounts_test_end(&ctx);
}

SELFTEST(vfs_tmpfs_keeps_its_size)
{
    struct walk_ctx ctx;
    struct file *f;
    char *page;

    CHECK(mounts_test_begin(&ctx));
    page = kzalloc(65536);
    CHECK(page);
    CHECK(vfs_open(&ctx, NULL, "/mnt-test/f", O_WRONLY | O_CREAT, 0644, 0, &f) == 0);
    CHECK(file_write_kernel(f, page, 65536, 0) == 65536);
    CHECK(file_write_kernel(f, page, 1, 65536) == -ENOSPC);
    CHECK(file_truncate(f, 4096) == 0);
    CHECK(file_write_kernel(f, page, 1, 65536) == 1);
    file_put(f);
    CHECK(vfs_unlink(&ctx, NULL, "/mnt-test/f") == 0);
    CHECK(vfs_open(&ctx, NULL, "/mnt-test/g", O_WRONLY | O_CREAT, 0644, 0, &f) == 0);
    CHECK(file_write_kernel(f, page, 65536, 0) == 65536);
    file_put(f);
    kfree(page);
    mounts_test_end(&ctx);
}
