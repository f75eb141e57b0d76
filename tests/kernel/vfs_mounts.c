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
#include "vfs/mount_priv.h"
#include "vfs/pseudo.h"
#include "vfs/vfs_priv.h"

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
    path_get(&place);
    CHECK(vfs_umount(ctx, &place, 2) == 0); /* the old root, which covers the new */
    path_get(&place);
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

static u64 mounts_count(const struct walk_ctx *ctx)
{
    struct seq out = {0};
    u64 lines = 0;

    if (mount_ns_show(ctx->ns, &ctx->root, &out, false))
        return 0;
    for (u64 i = 0; i < out.len; i++)
        lines += out.buf[i] == '\n';
    kfree(out.buf);
    return lines;
}

/* Binds or moves a path onto another: flags as of mount(2). */
static int mounts_call(struct walk_ctx *ctx, const char *from, const char *to, u64 flags)
{
    struct path p;
    int err = vfs_lookup(ctx, NULL, to, WALK_FOLLOW, &p);

    if (err)
        return err;
    err = vfs_mount(ctx, from, &p, NULL, flags, NULL);
    path_put(&p);
    return err;
}

#define BIND_REC (4096 | 16384)
#define MOVE 8192

SELFTEST(vfs_bind_of_a_part_leaves_nothing_of_what_lies_outside)
{
    static const char *const dirs[] = {"/mnt-test/a", "/mnt-test/to", "/mnt-test/b", NULL};
    struct walk_ctx ctx;
    u64 before;

    CHECK(mounts_test_begin(&ctx));
    for (unsigned i = 0; dirs[i]; i++)
        CHECK(vfs_mkdir(&ctx, NULL, dirs[i], 0755) == 0);
    CHECK(vfs_test_mount(&ctx, "/mnt-test/b", "tmpfs", "") == 0);
    CHECK(vfs_mkdir(&ctx, NULL, "/mnt-test/b/c", 0755) == 0);
    CHECK(vfs_test_mount(&ctx, "/mnt-test/b/c", "tmpfs", "") == 0);
    CHECK(vfs_mkdir(&ctx, NULL, "/mnt-test/b/c/d", 0755) == 0);
    CHECK(vfs_test_mount(&ctx, "/mnt-test/b/c/d", "tmpfs", "") == 0);
    before = mounts_count(&ctx);
    CHECK(mounts_call(&ctx, "/mnt-test/a", "/mnt-test/to", BIND_REC) == 0);
    CHECK(mounts_count(&ctx) == before + 1);
    /* nobody holds b/c/d: it comes off without force */
    CHECK(vfs_test_umount(&ctx, "/mnt-test/to") == 0);
    struct path p;
    CHECK(vfs_lookup(&ctx, NULL, "/mnt-test/b/c/d", WALK_FOLLOW, &p) == 0);
    CHECK(refcount_read(&p.mount->super->ref) == 1);
    CHECK(vfs_umount(&ctx, &p, 0) == 0);
    mounts_test_end(&ctx);
}

SELFTEST(vfs_mounts_move_only_to_where_they_fit)
{
    struct walk_ctx ctx;

    CHECK(mounts_test_begin(&ctx));
    CHECK(vfs_mkdir(&ctx, NULL, "/mnt-test/d", 0755) == 0);
    CHECK(vfs_mkdir(&ctx, NULL, "/mnt-test/e", 0755) == 0);
    CHECK(vfs_test_write(&ctx, "/mnt-test/f", "file") == 0);
    CHECK(vfs_test_write(&ctx, "/mnt-test/g", "other") == 0);
    CHECK(mounts_call(&ctx, "/mnt-test/f", "/mnt-test/f", BIND_REC) == 0);
    CHECK(mounts_call(&ctx, "/mnt-test/f", "/mnt-test/d", MOVE) == -ENOTDIR);
    CHECK(mounts_call(&ctx, "/mnt-test/f", "/mnt-test/g", MOVE) == 0);
    CHECK(vfs_test_reads(&ctx, "/mnt-test/g", "file"));
    CHECK(vfs_test_mount(&ctx, "/mnt-test/d", "tmpfs", "") == 0);
    CHECK(vfs_mkdir(&ctx, NULL, "/mnt-test/d/in", 0755) == 0);
    CHECK(mounts_call(&ctx, "/mnt-test/d", "/mnt-test/d/in", MOVE) == -ELOOP);
    CHECK(mounts_call(&ctx, "/mnt-test/d", "/mnt-test/e", MOVE) == 0);
    mounts_test_end(&ctx);
}

SELFTEST(vfs_pivot_root_hangs_no_tree_from_itself)
{
    struct walk_ctx ctx, inner;
    struct path above, below, put_old;

    CHECK(mounts_test_begin(&ctx));
    CHECK(vfs_mkdir(&ctx, NULL, "/mnt-test/in", 0755) == 0);
    CHECK(vfs_mkdir(&ctx, NULL, "/mnt-test/old", 0755) == 0);
    CHECK(vfs_test_write(&ctx, "/mnt-test/f", "file") == 0);
    CHECK(vfs_test_mount(&ctx, "/mnt-test/in", "tmpfs", "") == 0);
    CHECK(mounts_call(&ctx, "/mnt-test/f", "/mnt-test/f", BIND_REC) == 0);
    CHECK(vfs_lookup(&ctx, NULL, "/mnt-test", 0, &above) == 0);
    CHECK(vfs_lookup(&ctx, NULL, "/mnt-test/in", 0, &below) == 0);
    CHECK(vfs_lookup(&ctx, NULL, "/mnt-test/old", 0, &put_old) == 0);
    /* a process in a chroot that kept a descriptor of what is above it */
    inner = ctx;
    inner.root = inner.cwd = below;
    CHECK(vfs_pivot_root(&inner, &above, &put_old) == -EINVAL);
    path_put(&put_old);
    path_put(&below);
    path_put(&above);
    CHECK(vfs_lookup(&ctx, NULL, "/mnt-test/f", 0, &above) == 0);
    CHECK(vfs_pivot_root(&ctx, &above, &above) == -ENOTDIR);
    path_put(&above);
    mounts_test_end(&ctx);
}

SELFTEST(vfs_mounts_of_another_namespace_stay_there)
{
    struct walk_ctx ctx, other;
    struct path p;

    CHECK(mounts_test_begin(&ctx));
    CHECK(vfs_lookup(&ctx, NULL, "/mnt-test", 0, &p) == 0);
    vfs_test_ctx(&other);
    CHECK(vfs_mount(&other, NULL, &p, NULL, 4096 | 32 | 1, NULL) == -EINVAL);
    CHECK(vfs_mount(&other, "/", &p, NULL, 4096, NULL) == -EINVAL);
    other.root = ctx.root; /* as through /proc/<pid>/root */
    CHECK(mounts_call(&other, "/mnt-test", "/mnt-test", 4096) == -EINVAL);
    path_put(&p);
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

SELFTEST(vfs_files_without_a_name_need_no_tmpfs_at_the_root)
{
    struct walk_ctx ctx;
    struct path top;
    struct file *f;

    vfs_test_ctx(&ctx);
    CHECK(vfs_mount(&ctx, "proc", &ctx.root, "proc", 0, NULL) == 0);
    f = tmpfs_create_unlinked("memfd:test", 4096, O_RDWR, true);
    CHECK(!IS_ERR(f) && file_write_kernel(f, "x", 1, 0) == 1);
    file_put(f);
    mount_ns_root(mount_ns_init, &top);
    CHECK(top.mount != ctx.root.mount && vfs_umount(&ctx, &top, 0) == 0);
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

#define DEEP 2500

/* From the mount on /mnt-test/m down to the bottom of the tree; a reference. */
static void mounts_bottom(struct walk_ctx *ctx, struct path *at)
{
    struct path next;

    CHECK(vfs_lookup(ctx, NULL, "/mnt-test/m", 0, at) == 0);
    while (!vfs_lookup(ctx, at, "d", 0, &next)) {
        path_put(at);
        *at = next;
    }
}

static void mounts_make_deep(struct walk_ctx *ctx)
{
    struct path at, next;

    CHECK(vfs_mkdir(ctx, NULL, "/mnt-test/part", 0755) == 0);
    CHECK(vfs_mkdir(ctx, NULL, "/mnt-test/m", 0755) == 0);
    CHECK(vfs_lookup(ctx, NULL, "/mnt-test/part", 0, &at) == 0);
    for (unsigned i = 0; i < DEEP; i++) {
        CHECK(vfs_mkdir(ctx, &at, "d", 0755) == 0);
        CHECK(vfs_lookup(ctx, &at, "d", 0, &next) == 0);
        path_put(&at);
        at = next;
    }
    path_put(&at);
}

/* Deeper than what is climbed in one look. */
SELFTEST(vfs_dotdot_of_a_deep_tree_knows_what_part_is_mounted)
{
    struct path target, bottom, up;
    struct walk_ctx ctx;

    CHECK(mounts_test_begin(&ctx));
    mounts_make_deep(&ctx);
    CHECK(vfs_lookup(&ctx, NULL, "/mnt-test/m", 0, &target) == 0);
    CHECK(vfs_mount(&ctx, "/mnt-test/part", &target, NULL, 4096 /* MS_BIND */, NULL) == 0);
    path_put(&target);
    mounts_bottom(&ctx, &bottom);
    CHECK(vfs_lookup(&ctx, &bottom, "..", 0, &up) == 0);
    CHECK(up.mount == bottom.mount);
    path_put(&up);
    CHECK(vfs_rename(&ctx, NULL, "/mnt-test/part/d", NULL, "/mnt-test/out", 0) == 0);
    CHECK(vfs_lookup(&ctx, &bottom, "..", 0, &up) == -ENOENT);
    path_put(&bottom);
    mounts_test_end(&ctx);
}

static bool computed_fails;
static const struct pseudo_ops computed_ops;

static struct pseudo_node *computed_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    struct pseudo_node *node;

    if (computed_fails)
        return ERR_PTR(-ENOMEM);
    node = pseudo_create(NULL, "d", 0755, &computed_ops, NULL);
    if (node)
        node->revalidate = true;
    return node;
}

static const struct pseudo_ops computed_ops = {.lookup = computed_lookup};

/* A loose mount whose names are all computed. */
static struct mount *computed_mount(void)
{
    static const struct fs_type type = {.name = "computed"};
    struct pseudo_node *root = pseudo_create(NULL, "", 0755, &computed_ops, NULL);
    struct super *s;
    int err;

    if (!root)
        return NULL;
    err = pseudo_super(&type, root, NULL, &s);
    pseudo_put(root);
    return err ? NULL : mount_alloc(s, s->root, NULL, 0);
}

/* Files open below it, and mounts on it, would be cut off for ever. */
SELFTEST(vfs_a_name_does_not_go_for_want_of_memory_to_look_for_it)
{
    struct mount *m = computed_mount();
    struct path d, again;
    struct walk_ctx ctx;
    int err;

    CHECK(m);
    vfs_test_ctx(&ctx);
    ctx.root = ctx.cwd = (struct path){m, m->root};
    CHECK(vfs_lookup(&ctx, NULL, "/d", 0, &d) == 0);
    computed_fails = true;
    err = vfs_lookup(&ctx, NULL, "/d", 0, &again);
    computed_fails = false;
    CHECK(err == 0 && again.dentry == d.dentry && !path_is_unlinked(&d));
    path_put(&again);
    path_put(&d);
    mount_put(m);
}
