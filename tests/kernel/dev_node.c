/* SPDX-License-Identifier: MIT
 *
 * Names in /dev that come and go, by a mount of devtmpfs and a watch over it.
 */
#include "dev/chrdev.h"
#include "dev/node.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "obj/file.h"
#include "sched/timer.h"
#include "tests/kernel/vfs_test.h"
#include "vfs/inotify.h"

struct node_event {
    s32 wd;
    u32 mask, cookie, len;
    char name[16];
};

/* The next event tells of that name; it is waited for. */
static bool node_told(struct file *f, u32 mask, const char *name)
{
    struct node_event e = {0};

    for (u32 i = 0; i < 60000 && !file_poll(f, NULL); i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    return file_read_kernel(f, &e, sizeof(e), 0) == sizeof(e) && e.mask == mask &&
           strcmp(e.name, name) == 0;
}

static const char *node_test(struct walk_ctx *ctx, struct file *f)
{
    static const struct dev_node what = {
        .name = "selftest-node", .mode = NODE_BLOCK | 0640, .gid = 6, .major = 999, .minor = 7};
    struct dev_node *n;
    struct path dir;
    struct kstat st;

    if (vfs_lookup(ctx, NULL, "/node-test", 0, &dir))
        return "the mount is there";
    if (inotify_add(f, &dir, IN_CREATE | IN_DELETE, &cred_init) < 0)
        return "it is watched";
    path_put(&dir);
    n = dev_node_add(&what);
    if (!n || !node_told(f, IN_CREATE, "selftest-node"))
        return "watchers hear of a name that comes";
    if (vfs_test_stat(ctx, "/node-test/selftest-node", &st) || st.mode != (NODE_BLOCK | 0640) ||
        st.rdev != dev_make(999, 7) || st.gid != 6)
        return "it is what was said";
    dev_node_remove(n);
    if (!node_told(f, IN_DELETE, "selftest-node"))
        return "watchers hear of a name that goes";
    if (vfs_test_stat(ctx, "/node-test/selftest-node", &st) != -ENOENT)
        return "it is gone";
    /* One that goes at once leaves nothing behind. */
    n = dev_node_add(&what);
    dev_node_remove(n);
    n = dev_node_add(&(struct dev_node){.name = "selftest-end", .mode = NODE_CHAR});
    while (vfs_test_stat(ctx, "/node-test/selftest-end", &st))
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    dev_node_remove(n);
    while (!vfs_test_stat(ctx, "/node-test/selftest-end", &st))
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    return vfs_test_stat(ctx, "/node-test/selftest-node", &st) == -ENOENT ? NULL : "it stays gone";
}

SELFTEST(dev_names_come_and_go_and_watchers_hear_of_it)
{
    struct file *f = inotify_create(O_NONBLOCK);
    struct walk_ctx ctx;
    const char *wrong = "mounted";

    CHECK(!IS_ERR(f));
    vfs_test_ctx(&ctx);
    (void)vfs_mkdir(&ctx, NULL, "/node-test", 0755);
    if (vfs_test_mount(&ctx, "/node-test", "devtmpfs", "") == 0) {
        wrong = node_test(&ctx, f);
        (void)vfs_test_umount(&ctx, "/node-test");
    }
    (void)vfs_rmdir(&ctx, NULL, "/node-test");
    file_put(f);
    if (wrong)
        selftest_fail(__FILE__, __LINE__, wrong);
}
