/* SPDX-License-Identifier: MIT
 *
 * vfs by its own calls, on a tmpfs of the test's own: names, walks, links, renames, attributes,
 * locks.
 */
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "tests/kernel/vfs_test.h"
#include "vfs/dentry.h"

/* The root of the first mount namespace, as root sees it. */
void vfs_test_ctx(struct walk_ctx *ctx)
{
    *ctx = (struct walk_ctx){.cred = &cred_init, .ns = mount_ns_init};
    mount_ns_root(mount_ns_init, &ctx->root);
    path_put(&ctx->root); /* borrowed from the namespace, which stays */
    ctx->cwd = ctx->root;
}

int vfs_test_mount(struct walk_ctx *ctx, const char *where, const char *type, const char *options)
{
    struct path p;
    int err = vfs_lookup(ctx, NULL, where, WALK_FOLLOW | WALK_DIRECTORY, &p);

    if (err)
        return err;
    err = vfs_mount(ctx, type, &p, type, 0, options);
    path_put(&p);
    return err;
}

int vfs_test_umount(struct walk_ctx *ctx, const char *where)
{
    struct path p;
    int err = vfs_lookup(ctx, NULL, where, WALK_FOLLOW, &p);

    return err ? err : vfs_umount(ctx, &p, 2); /* MNT_DETACH */
}

int vfs_test_write(struct walk_ctx *ctx, const char *name, const char *text)
{
    struct file *f;
    ssize_t n;
    int err = vfs_open(ctx, NULL, name, O_WRONLY | O_CREAT | O_TRUNC, 0644, 0, &f);

    if (err)
        return err;
    n = file_write_kernel(f, text, strlen(text), 0);
    file_put(f);
    return n < 0 ? (int)n : 0;
}

bool vfs_test_reads(struct walk_ctx *ctx, const char *name, const char *text)
{
    char buf[256];
    struct file *f;
    ssize_t n;

    if (vfs_open(ctx, NULL, name, O_RDONLY, 0, 0, &f))
        return false;
    n = file_read_kernel(f, buf, sizeof(buf), 0);
    file_put(f);
    return n == (ssize_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0;
}

int vfs_test_stat(struct walk_ctx *ctx, const char *name, struct kstat *st)
{
    struct path p;
    int err = vfs_lookup(ctx, NULL, name, 0, &p);

    if (err)
        return err;
    err = vfs_stat(&p, st);
    path_put(&p);
    return err;
}

struct vfs_test_list {
    struct dir_context ctx;
    char *buf;
    size_t len, size;
};

static bool vfs_test_emit(struct dir_context *ctx, const char *name, size_t len, u64 ino,
                          unsigned type)
{
    struct vfs_test_list *l = container_of(ctx, struct vfs_test_list, ctx);

    if (name[0] == '.')
        return true;
    l->len += (size_t)scnprintf(l->buf + l->len, l->size - l->len, "%.*s ", (int)len, name);
    return true;
}

int vfs_test_list(struct walk_ctx *ctx, const char *name, char *buf, size_t size)
{
    struct vfs_test_list l = {.ctx.emit = vfs_test_emit, .buf = buf, .size = size};
    struct file *f;
    int err = vfs_open(ctx, NULL, name, O_RDONLY | O_DIRECTORY, 0, 0, &f);

    if (err)
        return err;
    buf[0] = '\0';
    err = file_readdir(f, &l.ctx);
    file_put(f);
    return err;
}

/* Each test works in a fresh tmpfs on /vfs-test. */
static bool vfs_test_begin(struct walk_ctx *ctx)
{
    vfs_test_ctx(ctx);
    (void)vfs_mkdir(ctx, NULL, "/vfs-test", 0755);
    return vfs_test_mount(ctx, "/vfs-test", "tmpfs", "") == 0;
}

static void vfs_test_end(struct walk_ctx *ctx)
{
    (void)vfs_test_umount(ctx, "/vfs-test");
    (void)vfs_rmdir(ctx, NULL, "/vfs-test");
}

#define VFS_TEST(id)                                 \
    static void vfs_body_##id(struct walk_ctx *ctx); \
    SELFTEST(id)                                     \
    {                                                \
        struct walk_ctx ctx;                         \
        CHECK(vfs_test_begin(&ctx));                 \
        vfs_body_##id(&ctx);                         \
        vfs_test_end(&ctx);                          \
    }                                                \
    static void vfs_body_##id(struct walk_ctx *ctx)

VFS_TEST(vfs_a_file_keeps_what_is_written)
{
    struct kstat st;

    CHECK(vfs_test_write(ctx, "/vfs-test/a", "hello") == 0);
    CHECK(vfs_test_reads(ctx, "/vfs-test/a", "hello"));
    CHECK(vfs_test_stat(ctx, "/vfs-test/a", &st) == 0);
    CHECK(st.size == 5 && S_ISREG(st.mode) && st.nlink == 1 && (st.mode & 07777) == 0644);
    CHECK(vfs_test_write(ctx, "/vfs-test/a", "x") == 0);
    CHECK(vfs_test_reads(ctx, "/vfs-test/a", "x"));
    CHECK(vfs_unlink(ctx, NULL, "/vfs-test/a") == 0);
    CHECK(vfs_test_stat(ctx, "/vfs-test/a", &st) == -ENOENT);
}

/* Whether a look-up writes to the dentry of `passed`, on its way: its lock counts how often it is
 * taken. */
static bool walk_touches(struct walk_ctx *ctx, const char *name, const char *passed)
{
    struct path at, p;
    bool touched = true;
    u32 before;

    if (vfs_lookup(ctx, NULL, passed, 0, &at))
        return true;
    before = at.dentry->lock.both;
    if (!vfs_lookup(ctx, NULL, name, 0, &p)) {
        touched = at.dentry->lock.both != before;
        path_put(&p);
    }
    path_put(&at);
    return touched;
}

VFS_TEST(vfs_a_walk_leaves_the_directories_that_it_passes_alone)
{
    static const char *const dirs[] = {"/vfs-test/by", "/vfs-test/by/name"};

    for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++)
        CHECK(!vfs_mkdir(ctx, NULL, dirs[i], 0755));
    CHECK(!walk_touches(ctx, "/vfs-test/by/name", "/vfs-test/by"));
    CHECK(!vfs_test_mount(ctx, "/vfs-test/by/name", "tmpfs", ""));
    CHECK(!walk_touches(ctx, "/vfs-test/by/name/.", "/vfs-test/by"));
    CHECK(walk_touches(ctx, "/vfs-test/by/name/..", "/vfs-test/by")); /* there it ends */
    CHECK(!vfs_test_umount(ctx, "/vfs-test/by/name"));
}

VFS_TEST(vfs_errors_are_those_of_linux)
{
    struct kstat st;
    struct file *f;
    char longname[300];

    memset(longname, 'n', sizeof(longname));
    memcpy(longname, "/vfs-test/", 10);
    longname[10 + 256] = '\0';
    CHECK(vfs_test_stat(ctx, longname, &st) == -ENAMETOOLONG);
    longname[10 + 255] = '\0';
    CHECK(vfs_test_stat(ctx, longname, &st) == -ENOENT);
    CHECK(vfs_mkdir(ctx, NULL, "/vfs-test/d", 0755) == 0);
    CHECK(vfs_mkdir(ctx, NULL, "/vfs-test/d", 0755) == -EEXIST);
    CHECK(vfs_mkdir(ctx, NULL, "/vfs-test/d/e/", 0755) == 0);
    CHECK(vfs_rmdir(ctx, NULL, "/vfs-test/d") == -ENOTEMPTY);
    CHECK(vfs_unlink(ctx, NULL, "/vfs-test/d") == -EISDIR);
    CHECK(vfs_rmdir(ctx, NULL, "/vfs-test/d/.") == -EINVAL);
    CHECK(vfs_test_write(ctx, "/vfs-test/f", "1") == 0);
    CHECK(vfs_rmdir(ctx, NULL, "/vfs-test/f") == -ENOTDIR);
    CHECK(vfs_test_stat(ctx, "/vfs-test/f/", &st) == -ENOTDIR);
    CHECK(vfs_test_stat(ctx, "/vfs-test/f/x", &st) == -ENOTDIR);
    CHECK(vfs_open(ctx, NULL, "/vfs-test/d", O_WRONLY, 0, 0, &f) == -EISDIR);
    CHECK(vfs_open(ctx, NULL, "/vfs-test/f", O_WRONLY | O_CREAT | O_EXCL, 0, 0, &f) == -EEXIST);
    CHECK(vfs_open(ctx, NULL, "/vfs-test/f", O_RDONLY | O_DIRECTORY, 0, 0, &f) == -ENOTDIR);
    CHECK(vfs_rename(ctx, NULL, "/vfs-test/d", NULL, "/vfs-test/d/e/x", 0) == -EINVAL);
    CHECK(vfs_rename(ctx, NULL, "/vfs-test/f", NULL, "/vfs-test/d", 0) == -EISDIR);
    CHECK(vfs_rename(ctx, NULL, "/vfs-test/d", NULL, "/vfs-test/f", 0) == -ENOTDIR);
    CHECK(vfs_rename(ctx, NULL, "/vfs-test/f", NULL, "/vfs-test/d", 1) == -EEXIST);
}

VFS_TEST(vfs_symbolic_links_are_followed_but_not_for_ever)
{
    struct kstat st;
    struct path p;

    CHECK(vfs_mkdir(ctx, NULL, "/vfs-test/d", 0755) == 0);
    CHECK(vfs_test_write(ctx, "/vfs-test/d/f", "deep") == 0);
    CHECK(vfs_symlink(ctx, "d/f", NULL, "/vfs-test/rel") == 0);
    CHECK(vfs_symlink(ctx, "/vfs-test/d", NULL, "/vfs-test/abs") == 0);
    CHECK(vfs_symlink(ctx, "loop", NULL, "/vfs-test/loop") == 0);
    CHECK(vfs_symlink(ctx, "made", NULL, "/vfs-test/dangling") == 0);
    CHECK(vfs_test_reads(ctx, "/vfs-test/rel", "deep"));
    CHECK(vfs_test_reads(ctx, "/vfs-test/abs/f", "deep"));
    CHECK(vfs_test_reads(ctx, "/vfs-test/abs/../rel", "deep"));
    CHECK(vfs_lookup(ctx, NULL, "/vfs-test/loop", WALK_FOLLOW, &p) == -ELOOP);
    CHECK(vfs_lookup(ctx, NULL, "/vfs-test/rel", WALK_FOLLOW | WALK_NO_SYMLINKS, &p) == -ELOOP);
    CHECK(vfs_test_stat(ctx, "/vfs-test/rel", &st) == 0 && S_ISLNK(st.mode) && st.size == 3);
    CHECK(vfs_test_write(ctx, "/vfs-test/dangling", "new") == 0);
    CHECK(vfs_test_reads(ctx, "/vfs-test/made", "new"));
}

VFS_TEST(vfs_rename_replaces_and_exchanges)
{
    char list[64];
    struct kstat st;

    CHECK(vfs_test_write(ctx, "/vfs-test/a", "A") == 0);
    CHECK(vfs_test_write(ctx, "/vfs-test/b", "B") == 0);
    CHECK(vfs_mkdir(ctx, NULL, "/vfs-test/d", 0755) == 0);
    CHECK(vfs_rename(ctx, NULL, "/vfs-test/a", NULL, "/vfs-test/b", 2) == 0);
    CHECK(vfs_test_reads(ctx, "/vfs-test/a", "B"));
    CHECK(vfs_rename(ctx, NULL, "/vfs-test/a", NULL, "/vfs-test/d/b", 0) == 0);
    CHECK(vfs_rename(ctx, NULL, "/vfs-test/b", NULL, "/vfs-test/d/b", 0) == 0);
    CHECK(vfs_test_reads(ctx, "/vfs-test/d/b", "A"));
    CHECK(vfs_test_stat(ctx, "/vfs-test/b", &st) == -ENOENT);
    CHECK(vfs_test_list(ctx, "/vfs-test", list, sizeof(list)) == 0);
    CHECK(strcmp(list, "d ") == 0);
    CHECK(vfs_mkdir(ctx, NULL, "/vfs-test/e", 0755) == 0);
    CHECK(vfs_rename(ctx, NULL, "/vfs-test/d", NULL, "/vfs-test/e", 0) == 0);
    CHECK(vfs_test_reads(ctx, "/vfs-test/e/b", "A"));
    CHECK(vfs_test_stat(ctx, "/vfs-test", &st) == 0 && st.nlink == 3);
}

VFS_TEST(vfs_hard_links_share_the_file)
{
    struct path p;
    struct kstat st;

    CHECK(vfs_test_write(ctx, "/vfs-test/a", "one") == 0);
    CHECK(vfs_lookup(ctx, NULL, "/vfs-test/a", 0, &p) == 0);
    CHECK(vfs_link(ctx, &p, NULL, "/vfs-test/b") == 0);
    path_put(&p);
    CHECK(vfs_test_write(ctx, "/vfs-test/b", "two") == 0);
    CHECK(vfs_test_reads(ctx, "/vfs-test/a", "two"));
    CHECK(vfs_test_stat(ctx, "/vfs-test/a", &st) == 0 && st.nlink == 2);
    CHECK(vfs_unlink(ctx, NULL, "/vfs-test/a") == 0);
    CHECK(vfs_test_reads(ctx, "/vfs-test/b", "two"));
}

VFS_TEST(vfs_xattrs_are_kept_and_listed)
{
    struct path p;
    char buf[64];

    CHECK(vfs_test_write(ctx, "/vfs-test/a", "") == 0);
    CHECK(vfs_lookup(ctx, NULL, "/vfs-test/a", 0, &p) == 0);
    CHECK(vfs_setxattr(&p, &cred_init, "user.x", "1", 1, 0) == 0);
    CHECK(vfs_setxattr(&p, &cred_init, "user.x", "1", 1, 1) == -EEXIST);
    CHECK(vfs_setxattr(&p, &cred_init, "trusted.y", "22", 2, 0) == 0);
    CHECK(vfs_setxattr(&p, &cred_init, "system.posix_acl_access", "", 0, 0) == -EOPNOTSUPP);
    CHECK(vfs_getxattr(&p, &cred_init, "trusted.y", buf, sizeof(buf)) == 2);
    CHECK(vfs_getxattr(&p, &cred_init, "trusted.y", buf, 1) == -ERANGE);
    CHECK(vfs_listxattr(&p, buf, sizeof(buf)) == 17);
    CHECK(vfs_removexattr(&p, &cred_init, "user.x") == 0);
    CHECK(vfs_getxattr(&p, &cred_init, "user.x", buf, sizeof(buf)) == -ENODATA);
    path_put(&p);
}

VFS_TEST(vfs_record_locks_split_and_merge)
{
    struct flock_k fl = {.type = 1, .start = 0, .len = 100, .pid = 1};
    struct file *f;
    int a, b;

    CHECK(vfs_open(ctx, NULL, "/vfs-test/l", O_RDWR | O_CREAT, 0644, 0, &f) == 0);
    CHECK(file_lock(f, &a, 6, &fl) == 0);
    fl = (struct flock_k){.type = 2, .start = 40, .len = 20};
    CHECK(file_lock(f, &a, 6, &fl) == 0);
    fl = (struct flock_k){.type = 1, .start = 45, .len = 5, .pid = 2};
    CHECK(file_lock(f, &b, 6, &fl) == 0);
    fl = (struct flock_k){.type = 0, .start = 60, .len = 1};
    CHECK(file_lock(f, &b, 6, &fl) == -EAGAIN);
    CHECK(file_lock(f, &b, 5, &fl) == 0);
    CHECK(fl.type == 1 && fl.start == 60 && fl.len == 40 && fl.pid == 1);
    CHECK(file_flock(f, 2 | 4) == 0);
    file_lock_release(f, &a);
    fl = (struct flock_k){.type = 1, .start = 0, .len = 0};
    CHECK(file_lock(f, &b, 6, &fl) == 0);
    file_put(f);
}

VFS_TEST(vfs_fifo_has_a_pipe_only_while_it_is_open)
{
    struct file *r, *w;
    struct path p;

    CHECK(vfs_mknod(ctx, NULL, "/vfs-test/fifo", S_IFIFO | 0600, 0) == 0);
    CHECK(vfs_lookup(ctx, NULL, "/vfs-test/fifo", 0, &p) == 0);
    CHECK(vfs_open(ctx, NULL, "/vfs-test/fifo", O_RDONLY | O_NONBLOCK, 0, 0, &r) == 0);
    CHECK(vfs_open(ctx, NULL, "/vfs-test/fifo", O_WRONLY | O_NONBLOCK, 0, 0, &w) == 0);
    CHECK(file_write_kernel(w, "lost", 4, 0) == 4);
    CHECK(dentry_inode(p.dentry)->pipe != NULL);
    file_put(r);
    CHECK(dentry_inode(p.dentry)->pipe != NULL);
    file_put(w);
    CHECK(dentry_inode(p.dentry)->pipe == NULL);
    CHECK(vfs_open(ctx, NULL, "/vfs-test/fifo", O_WRONLY | O_NONBLOCK, 0, 0, &w) == -ENXIO);
    CHECK(dentry_inode(p.dentry)->pipe == NULL);
    path_put(&p);
}

VFS_TEST(vfs_binds_show_the_same_and_read_only_ones_refuse)
{
    struct path p;

    CHECK(vfs_mkdir(ctx, NULL, "/vfs-test/a", 0755) == 0);
    CHECK(vfs_mkdir(ctx, NULL, "/vfs-test/b", 0755) == 0);
    CHECK(vfs_test_write(ctx, "/vfs-test/a/f", "1") == 0);
    CHECK(vfs_lookup(ctx, NULL, "/vfs-test/b", 0, &p) == 0);
    CHECK(vfs_mount(ctx, "/vfs-test/a", &p, NULL, 4096, NULL) == 0);
    path_put(&p);
    CHECK(vfs_test_reads(ctx, "/vfs-test/b/f", "1"));
    CHECK(vfs_lookup(ctx, NULL, "/vfs-test/b", 0, &p) == 0);
    CHECK(vfs_mount(ctx, NULL, &p, NULL, 4096 | 32 | 1, NULL) == 0);
    path_put(&p);
    CHECK(vfs_test_write(ctx, "/vfs-test/b/f", "2") == -EROFS);
    CHECK(vfs_unlink(ctx, NULL, "/vfs-test/b/f") == -EROFS);
    CHECK(vfs_test_write(ctx, "/vfs-test/a/f", "2") == 0);
    CHECK(vfs_test_reads(ctx, "/vfs-test/b/f", "2"));
    CHECK(vfs_rename(ctx, NULL, "/vfs-test/a/f", NULL, "/vfs-test/b/g", 0) == -EXDEV);
    CHECK(vfs_rmdir(ctx, NULL, "/vfs-test/b") == -EBUSY);
    CHECK(vfs_test_umount(ctx, "/vfs-test/b") == 0);
}

VFS_TEST(vfs_mounts_are_private_and_say_so)
{
    struct path p;

    CHECK(vfs_test_mount(ctx, "/vfs-test", "tmpfs", "") == 0);
    CHECK(vfs_lookup(ctx, NULL, "/vfs-test", WALK_FOLLOW, &p) == 0);
    CHECK(vfs_mount(ctx, NULL, &p, NULL, 1 << 18 | 1 << 14, NULL) == 0); /* private, recursive */
    CHECK(vfs_mount(ctx, NULL, &p, NULL, 1 << 19, NULL) == 0);           /* slave */
    CHECK(vfs_mount(ctx, NULL, &p, NULL, 1 << 20, NULL) == -EINVAL);     /* shared */
    CHECK(vfs_mount(ctx, NULL, &p, NULL, 1 << 17, NULL) == -EINVAL);     /* unbindable */
    CHECK(vfs_mount(ctx, NULL, &p, NULL, 1 << 18 | 1 << 19, NULL) == -EINVAL);
    path_put(&p);
    CHECK(vfs_test_umount(ctx, "/vfs-test") == 0);
}

/* tmpfs asserts that its rename mutex is not held where contents end. */
VFS_TEST(vfs_what_a_move_replaces_ends_when_nothing_is_locked)
{
    CHECK(vfs_mkdir(ctx, NULL, "/vfs-test/a", 0755) == 0);
    CHECK(vfs_mkdir(ctx, NULL, "/vfs-test/b", 0755) == 0);
    CHECK(vfs_test_write(ctx, "/vfs-test/a/f", "new") == 0);
    CHECK(vfs_test_write(ctx, "/vfs-test/b/f", "old") == 0);
    CHECK(vfs_rename(ctx, NULL, "/vfs-test/a/f", NULL, "/vfs-test/b/f", 0) == 0);
    CHECK(vfs_test_reads(ctx, "/vfs-test/b/f", "new"));
}
