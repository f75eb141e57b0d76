/* SPDX-License-Identifier: MIT
 *
 * overlay over directories of a tmpfs: /ovl/{a,b} lower (a above b), /ovl/up, /ovl/work, shown on
 * /ovl/m.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "tests/kernel/vfs_test.h"

static bool overlay_test_begin(struct walk_ctx *ctx)
{
    static const char *const dirs[] = {"/ovl/a", "/ovl/b",   "/ovl/up", "/ovl/work",
                                       "/ovl/m", "/ovl/a/d", "/ovl/b/d"};

    vfs_test_ctx(ctx);
    (void)vfs_mkdir(ctx, NULL, "/ovl", 0755);
    if (vfs_test_mount(ctx, "/ovl", "tmpfs", ""))
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++)
        if (vfs_mkdir(ctx, NULL, dirs[i], 0755))
            return false;
    return vfs_test_write(ctx, "/ovl/a/f", "fa") == 0 &&
           vfs_test_write(ctx, "/ovl/b/f", "fb") == 0 &&
           vfs_test_write(ctx, "/ovl/b/g", "gb") == 0 &&
           vfs_test_write(ctx, "/ovl/a/d/x", "xa") == 0 &&
           vfs_test_write(ctx, "/ovl/b/d/y", "yb") == 0 &&
           vfs_test_mount(ctx, "/ovl/m", "overlay",
                          "lowerdir=/ovl/a:/ovl/b,upperdir=/ovl/up,workdir=/ovl/work") == 0;
}

static void overlay_test_end(struct walk_ctx *ctx)
{
    (void)vfs_test_umount(ctx, "/ovl/m");
    (void)vfs_test_umount(ctx, "/ovl");
    (void)vfs_rmdir(ctx, NULL, "/ovl");
}

#define OVERLAY_TEST(id)                                 \
    static void overlay_body_##id(struct walk_ctx *ctx); \
    SELFTEST(id)                                         \
    {                                                    \
        struct walk_ctx ctx;                             \
        CHECK(overlay_test_begin(&ctx));                 \
        overlay_body_##id(&ctx);                         \
        overlay_test_end(&ctx);                          \
    }                                                    \
    static void overlay_body_##id(struct walk_ctx *ctx)

static bool overlay_lists(struct walk_ctx *ctx, const char *dir, const char *const *names)
{
    char list[256];

    if (vfs_test_list(ctx, dir, list, sizeof(list)))
        return false;
    for (; *names; names++)
        if (!strstr(list, *names))
            return false;
    return true;
}

OVERLAY_TEST(overlay_shows_the_topmost_of_each_name)
{
    char list[64];

    CHECK(vfs_test_reads(ctx, "/ovl/m/f", "fa"));
    CHECK(vfs_test_reads(ctx, "/ovl/m/g", "gb"));
    CHECK(vfs_test_reads(ctx, "/ovl/m/d/x", "xa"));
    CHECK(vfs_test_reads(ctx, "/ovl/m/d/y", "yb"));
    CHECK(vfs_test_list(ctx, "/ovl/m", list, sizeof(list)) == 0);
    CHECK(strlen(list) == 6);
    CHECK(overlay_lists(ctx, "/ovl/m", (const char *const[]){"f ", "g ", "d ", NULL}));
    CHECK(overlay_lists(ctx, "/ovl/m/d", (const char *const[]){"x ", "y ", NULL}));
}

OVERLAY_TEST(overlay_changes_go_to_the_upper_layer)
{
    struct kstat st;

    CHECK(vfs_test_write(ctx, "/ovl/m/g", "changed") == 0);
    CHECK(vfs_test_reads(ctx, "/ovl/m/g", "changed"));
    CHECK(vfs_test_reads(ctx, "/ovl/b/g", "gb"));
    CHECK(vfs_test_reads(ctx, "/ovl/up/g", "changed"));
    CHECK(vfs_test_write(ctx, "/ovl/m/d/new", "n") == 0);
    CHECK(vfs_test_reads(ctx, "/ovl/up/d/new", "n"));
    CHECK(vfs_test_stat(ctx, "/ovl/a/d/new", &st) == -ENOENT);
    CHECK(overlay_lists(ctx, "/ovl/m/d", (const char *const[]){"new ", "x ", "y ", NULL}));
    CHECK(vfs_test_stat(ctx, "/ovl/m/d/new", &st) == 0 && st.nlink == 1);
}

OVERLAY_TEST(overlay_reader_sees_a_later_copy_up)
{
    struct file *f;
    char buf[16];

    CHECK(vfs_open(ctx, NULL, "/ovl/m/g", O_RDONLY, 0, 0, &f) == 0);
    CHECK(vfs_test_write(ctx, "/ovl/m/g", "later") == 0);
    CHECK(file_read_kernel(f, buf, sizeof(buf), 0) == 5 && memcmp(buf, "later", 5) == 0);
    file_put(f);
}

OVERLAY_TEST(overlay_removed_names_stay_removed)
{
    struct kstat st;
    char list[64];

    CHECK(vfs_unlink(ctx, NULL, "/ovl/m/f") == 0);
    CHECK(vfs_test_stat(ctx, "/ovl/m/f", &st) == -ENOENT);
    CHECK(vfs_test_stat(ctx, "/ovl/up/f", &st) == 0 && S_ISCHR(st.mode) && st.rdev == 0);
    CHECK(vfs_rmdir(ctx, NULL, "/ovl/m/d") == -ENOTEMPTY);
    CHECK(vfs_unlink(ctx, NULL, "/ovl/m/d/x") == 0);
    CHECK(vfs_unlink(ctx, NULL, "/ovl/m/d/y") == 0);
    CHECK(vfs_test_list(ctx, "/ovl/m/d", list, sizeof(list)) == 0 && !list[0]);
    CHECK(vfs_rmdir(ctx, NULL, "/ovl/m/d") == 0);
    CHECK(vfs_test_stat(ctx, "/ovl/m/d", &st) == -ENOENT);
    CHECK(vfs_test_list(ctx, "/ovl/m", list, sizeof(list)) == 0 && strcmp(list, "g ") == 0);
    /* A directory made again is opaque. */
    CHECK(vfs_mkdir(ctx, NULL, "/ovl/m/d", 0755) == 0);
    CHECK(vfs_test_stat(ctx, "/ovl/m/d/x", &st) == -ENOENT);
    CHECK(vfs_test_list(ctx, "/ovl/m/d", list, sizeof(list)) == 0 && !list[0]);
    CHECK(vfs_test_write(ctx, "/ovl/m/f", "again") == 0);
    CHECK(vfs_test_reads(ctx, "/ovl/m/f", "again"));
}

OVERLAY_TEST(overlay_rename_follows_linux)
{
    struct kstat st;

    CHECK(vfs_rename(ctx, NULL, "/ovl/m/d", NULL, "/ovl/m/d2", 0) == -EXDEV);
    CHECK(vfs_rename(ctx, NULL, "/ovl/m/f", NULL, "/ovl/m/h", 0) == 0);
    CHECK(vfs_test_reads(ctx, "/ovl/m/h", "fa"));
    CHECK(vfs_test_stat(ctx, "/ovl/m/f", &st) == -ENOENT);
    CHECK(vfs_rename(ctx, NULL, "/ovl/m/h", NULL, "/ovl/m/d/x", 0) == 0);
    CHECK(vfs_test_reads(ctx, "/ovl/m/d/x", "fa"));
    CHECK(vfs_mkdir(ctx, NULL, "/ovl/m/n", 0755) == 0);
    CHECK(vfs_test_write(ctx, "/ovl/m/n/i", "inside") == 0);
    CHECK(vfs_rename(ctx, NULL, "/ovl/m/n", NULL, "/ovl/m/f", 0) == 0);
    CHECK(vfs_test_reads(ctx, "/ovl/m/f/i", "inside"));
    CHECK(vfs_rename(ctx, NULL, "/ovl/m/f", NULL, "/ovl/m/g", 2) == 0);
    CHECK(vfs_test_reads(ctx, "/ovl/m/g/i", "inside"));
    CHECK(vfs_test_reads(ctx, "/ovl/m/f", "gb"));
}

OVERLAY_TEST(overlay_hard_links_and_attributes_last)
{
    struct attr_change ch = {.valid = ATTR_MODE | ATTR_UID, .mode = 0600, .uid = 7};
    struct path p;
    struct kstat st;

    CHECK(vfs_lookup(ctx, NULL, "/ovl/m/g", 0, &p) == 0);
    CHECK(vfs_setattr(&p, &cred_init, &ch) == 0);
    CHECK(vfs_setxattr(&p, &cred_init, "user.k", "v", 1, 0) == 0);
    CHECK(vfs_setxattr(&p, &cred_init, "trusted.overlay.opaque", "y", 1, 0) == -EPERM);
    CHECK(vfs_link(ctx, &p, NULL, "/ovl/m/d/g2") == 0);
    path_put(&p);
    CHECK(vfs_test_stat(ctx, "/ovl/up/g", &st) == 0 && st.uid == 7 && (st.mode & 07777) == 0600);
    CHECK(vfs_test_stat(ctx, "/ovl/m/d/g2", &st) == 0 && st.nlink == 2 && st.uid == 7);
    CHECK(vfs_test_write(ctx, "/ovl/m/d/g2", "both") == 0);
    CHECK(vfs_test_reads(ctx, "/ovl/m/g", "both"));
    CHECK(vfs_test_stat(ctx, "/ovl/b/g", &st) == 0 && st.uid == 0);
}

#define LONG_CHUNK 65536UL
#define LONG_CHUNKS 128 /* in a file */
#define LONG_FILES 4

/* Moves a file of a lower layer to another directory, which copies it up first. */
struct overlay_mover {
    struct walk_ctx ctx;
    const char *from, *to;
    u32 running; /* a */
};

static void overlay_mover_run(void *arg)
{
    struct overlay_mover *m = arg;

    CHECK(vfs_rename(&m->ctx, NULL, m->from, NULL, m->to, 0) == 0);
    store_release(&m->running, 0);
}

static void overlay_write_long(struct walk_ctx *ctx, const char *name)
{
    char *chunk = kmalloc(LONG_CHUNK);
    struct file *f;

    CHECK(chunk);
    CHECK(vfs_open(ctx, NULL, name, O_WRONLY | O_CREAT, 0644, 0, &f) == 0);
    memset(chunk, 'x', LONG_CHUNK);
    for (loff_t at = 0; at < (loff_t)(LONG_CHUNKS * LONG_CHUNK); at += (loff_t)LONG_CHUNK)
        CHECK(file_write_kernel(f, chunk, LONG_CHUNK, at) == (ssize_t)LONG_CHUNK);
    file_put(f);
    kfree(chunk);
}

static s64 overlay_space(struct walk_ctx *ctx)
{
    struct statfs_k st = {0};
    struct path p;

    if (!vfs_lookup(ctx, NULL, "/ovl", 0, &p)) {
        (void)vfs_statfs(&p, &st);
        path_put(&p);
    }
    return st.bfree;
}

/* Whether a move between directories of another file system ends while a copy-up goes on. The other
 * thread may, by luck, be through before we look. */
static void overlay_pass_by(struct walk_ctx *ctx, const char *from, const char *to, bool *passed)
{
    static struct overlay_mover m;
    s64 space = overlay_space(ctx);
    struct thread *t;

    m = (struct overlay_mover){.ctx = *ctx, .from = from, .to = to, .running = 1};
    t = thread_create("mover", overlay_mover_run, &m);
    CHECK(t);
    thread_start(t);
    thread_put(t);
    while (load_acquire(&m.running) && overlay_space(ctx) > space - 16)
        cond_yield();
    CHECK(vfs_rename(ctx, NULL, "/ovl2/a/f", NULL, "/ovl2/b/f", 0) == 0);
    *passed = load_acquire(&m.running);
    while (load_acquire(&m.running))
        (void)sleep_until(time_ns() + NSEC_PER_MSEC / 10, SLEEP_UNINTERRUPTIBLE);
    CHECK(vfs_rename(ctx, NULL, "/ovl2/b/f", NULL, "/ovl2/a/f", 0) == 0);
}

SELFTEST(overlay_a_long_copy_up_stops_no_renames_elsewhere)
{
    static const char *const names[LONG_FILES][3] = {{"/ovl/a/1", "/ovl/m/1", "/ovl/m/d/1"},
                                                     {"/ovl/a/2", "/ovl/m/2", "/ovl/m/d/2"},
                                                     {"/ovl/a/3", "/ovl/m/3", "/ovl/m/d/3"},
                                                     {"/ovl/a/4", "/ovl/m/4", "/ovl/m/d/4"}};
    struct walk_ctx ctx;
    bool passed = false;

    CHECK(overlay_test_begin(&ctx));
    CHECK(vfs_mkdir(&ctx, NULL, "/ovl2", 0755) == 0);
    CHECK(vfs_test_mount(&ctx, "/ovl2", "tmpfs", "") == 0);
    CHECK(vfs_mkdir(&ctx, NULL, "/ovl2/a", 0755) == 0);
    CHECK(vfs_mkdir(&ctx, NULL, "/ovl2/b", 0755) == 0);
    CHECK(vfs_test_write(&ctx, "/ovl2/a/f", "f") == 0);
    for (unsigned i = 0; i < LONG_FILES && !passed; i++) {
        overlay_write_long(&ctx, names[i][0]);
        overlay_pass_by(&ctx, names[i][1], names[i][2], &passed);
    }
    CHECK(passed);
    CHECK(vfs_test_umount(&ctx, "/ovl2") == 0);
    (void)vfs_rmdir(&ctx, NULL, "/ovl2");
    overlay_test_end(&ctx);
}

/* What was taken out of the upper layer directly holds nothing: neither would ever go. */
OVERLAY_TEST(overlay_makes_nothing_in_what_was_removed_behind_its_back)
{
    CHECK(vfs_mkdir(ctx, NULL, "/ovl/m/new", 0755) == 0);
    CHECK(vfs_rmdir(ctx, NULL, "/ovl/up/new") == 0);
    CHECK(vfs_test_write(ctx, "/ovl/m/new/x", "x") == -ENOENT);
    CHECK(vfs_mkdir(ctx, NULL, "/ovl/m/new/x", 0755) == -ENOENT);
    CHECK(vfs_test_write(ctx, "/ovl/m/f", "f") == 0);
    CHECK(vfs_rename(ctx, NULL, "/ovl/m/f", NULL, "/ovl/m/new/f", 0) == -ENOENT);
    CHECK(vfs_test_reads(ctx, "/ovl/m/f", "f"));
}

SELFTEST(overlay_without_upper_is_read_only)
{
    struct walk_ctx ctx;

    CHECK(overlay_test_begin(&ctx));
    CHECK(vfs_test_umount(&ctx, "/ovl/m") == 0);
    CHECK(vfs_test_mount(&ctx, "/ovl/m", "overlay", "lowerdir=/ovl/a") == 0);
    CHECK(vfs_test_reads(&ctx, "/ovl/m/f", "fa"));
    CHECK(vfs_test_write(&ctx, "/ovl/m/f", "no") == -EROFS);
    CHECK(vfs_test_umount(&ctx, "/ovl/m") == 0);
    CHECK(vfs_test_mount(&ctx, "/ovl/m", "overlay", "lowerdir=/ovl/a,upperdir=/ovl/a") == -EINVAL);
    CHECK(vfs_test_mount(&ctx, "/ovl/m", "overlay",
                         "lowerdir=/ovl/a,upperdir=/ovl/a,workdir=/ovl/work") == -ELOOP);
    CHECK(vfs_test_mount(&ctx, "/ovl/m", "overlay", "lowerdir=/ovl/none") == -ENOENT);
    overlay_test_end(&ctx);
}
