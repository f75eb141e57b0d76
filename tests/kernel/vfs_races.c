/* SPDX-License-Identifier: MIT
 *
 * vfs on two processors at once. In the debug build delay points stand where one thread once met
 * what another had half done: each meeting surely comes about. Without the points these are just
 * many tries.
 */
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "tests/kernel/vfs_test.h"
#include "vfs/inotify.h"
#include "vfs/vfs_priv.h"

#define ROUNDS 40

/* Someone who looks on, on another processor, until told to stop. */
struct onlooker {
    struct walk_ctx ctx;
    void (*look)(struct onlooker *o);
    struct path at;
    u32 stop, running; /* a */
    u64 looks;         /* a */
};

static void onlooker_run(void *arg)
{
    struct onlooker *o = arg;

    while (!READ_ONCE(o->stop)) {
        o->look(o);
        WRITE_ONCE(o->looks, o->looks + 1);
        cond_yield();
    }
    store_release(&o->running, 0);
}

static bool onlooker_start(struct onlooker *o, void (*look)(struct onlooker *o))
{
    struct thread *t;

    o->look = look;
    o->running = 1;
    t = thread_create("onlooker", onlooker_run, o);
    if (!t)
        return false;
    thread_start(t);
    thread_put(t);
    return true;
}

static void onlooker_stop(struct onlooker *o)
{
    WRITE_ONCE(o->stop, 1);
    while (load_acquire(&o->running))
        (void)sleep_until(time_ns() + NSEC_PER_MSEC / 10, SLEEP_UNINTERRUPTIBLE);
}

/* Rounds enough, and each side had its turns. */
static bool races_go_on(unsigned round, struct onlooker *o)
{
    if (round < ROUNDS)
        return true;
    cond_yield();
    return READ_ONCE(o->looks) < ROUNDS;
}

static bool races_begin(struct walk_ctx *ctx)
{
    vfs_test_ctx(ctx);
    (void)vfs_mkdir(ctx, NULL, "/race", 0755);
    return vfs_test_mount(ctx, "/race", "tmpfs", "") == 0;
}

static void races_end(struct walk_ctx *ctx)
{
    (void)vfs_test_umount(ctx, "/race");
    (void)vfs_rmdir(ctx, NULL, "/race");
}

static void look_at_link(struct onlooker *o)
{
    struct kstat st;
    struct path p;
    char text[8];

    if (vfs_lookup(&o->ctx, NULL, "/race/link", 0, &p))
        return;
    (void)vfs_readlink(&p, text, sizeof(text));
    (void)vfs_stat(&p, &st);
    path_put(&p);
}

/* The inode is whole when its name first leads to it. */
SELFTEST(vfs_a_link_has_its_text_from_the_first)
{
    static struct onlooker o;

    CHECK(races_begin(&o.ctx));
    fail_point_arm("dentry_instantiate", 1);
    CHECK(onlooker_start(&o, look_at_link));
    for (unsigned i = 0; races_go_on(i, &o); i++) {
        (void)vfs_symlink(&o.ctx, "text", NULL, "/race/link");
        (void)vfs_unlink(&o.ctx, NULL, "/race/link");
    }
    onlooker_stop(&o);
    fail_point_arm("dentry_instantiate", 0);
    races_end(&o.ctx);
    o = (struct onlooker){0};
}

static void look_above(struct onlooker *o)
{
    struct path p;

    if (vfs_lookup(&o->ctx, &o->at, "..", 0, &p))
        return;
    (void)sleep_until(time_ns() + NSEC_PER_MSEC / 10, SLEEP_UNINTERRUPTIBLE);
    path_put(&p);
}

/* A directory is moved away from a parent that is then removed, while others go up from it. */
SELFTEST(vfs_the_way_up_holds_on_to_the_parent)
{
    static struct onlooker o;

    CHECK(races_begin(&o.ctx));
    CHECK(!vfs_mkdir(&o.ctx, NULL, "/race/d", 0755));
    CHECK(!vfs_lookup(&o.ctx, NULL, "/race/d", 0, &o.at));
    fail_point_arm("dentry_parent", 1);
    CHECK(onlooker_start(&o, look_above));
    for (unsigned i = 0; races_go_on(i, &o); i++) {
        (void)vfs_mkdir(&o.ctx, NULL, "/race/p", 0755);
        (void)vfs_rename(&o.ctx, NULL, "/race/d", NULL, "/race/p/d", 0);
        (void)vfs_rename(&o.ctx, NULL, "/race/p/d", NULL, "/race/d", 0);
        (void)vfs_rmdir(&o.ctx, NULL, "/race/p");
    }
    onlooker_stop(&o);
    fail_point_arm("dentry_parent", 0);
    path_put(&o.at);
    races_end(&o.ctx);
    o = (struct onlooker){0};
}

#define TWO_LAYERS "lowerdir=/race/l,upperdir=/race/u,workdir=/race/w"

static u32 twin_round, twin_seen; /* a */
static struct path twin_found;    /* the onlooker's, of round twin_seen */

static void look_at_twin(struct onlooker *o)
{
    u32 round = load_acquire(&twin_round);

    if (round == twin_seen)
        return;
    if (vfs_lookup(&o->ctx, NULL, "/race/m/b", 0, &twin_found))
        twin_found = (struct path){0};
    store_release(&twin_seen, round);
}

static bool twins_are_one(struct walk_ctx *ctx, u32 round)
{
    struct path mine;
    bool one;

    if (vfs_test_mount(ctx, "/race/m", "overlay", TWO_LAYERS))
        return false;
    store_release(&twin_round, round);
    if (vfs_lookup(ctx, NULL, "/race/m/a", 0, &mine))
        return false;
    while (load_acquire(&twin_seen) != round)
        cond_yield();
    one = twin_found.dentry && dentry_inode(mine.dentry) == dentry_inode(twin_found.dentry);
    path_put(&mine);
    path_put(&twin_found);
    return vfs_test_umount(ctx, "/race/m") == 0 && one;
}

SELFTEST(overlay_two_names_looked_up_at_once_are_one_file)
{
    static const char *const dirs[] = {"/race/l", "/race/u", "/race/w", "/race/m"};
    static struct onlooker o;
    struct path old;
    bool one = true;

    CHECK(races_begin(&o.ctx));
    for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++)
        CHECK(!vfs_mkdir(&o.ctx, NULL, dirs[i], 0755));
    CHECK(!vfs_test_write(&o.ctx, "/race/u/a", "text"));
    CHECK(!vfs_lookup(&o.ctx, NULL, "/race/u/a", 0, &old));
    CHECK(!vfs_link(&o.ctx, &old, NULL, "/race/u/b"));
    path_put(&old);
    fail_point_arm("overlay_inode", 1);
    CHECK(onlooker_start(&o, look_at_twin));
    for (u32 i = 1; i <= ROUNDS && one; i++)
        one = twins_are_one(&o.ctx, i);
    onlooker_stop(&o);
    fail_point_arm("overlay_inode", 0);
    races_end(&o.ctx);
    o = (struct onlooker){0};
    twin_round = twin_seen = 0;
    CHECK(one);
}

static u32 walk_failed; /* a */

static void look_at_name_in_layer(struct onlooker *o)
{
    struct path p;

    if (vfs_lookup(&o->ctx, NULL, "/race/m/d/e", 0, &p))
        WRITE_ONCE(walk_failed, 1);
    else
        path_put(&p);
}

/* Directories of an overlay are in the cache, but nothing keeps them there. */
SELFTEST(vfs_a_walk_finds_a_name_that_leaves_the_cache_meanwhile)
{
    static const char *const dirs[] = {"/race/l", "/race/l/d", "/race/l/d/e",
                                       "/race/u", "/race/w",   "/race/m"};
    static struct onlooker o;
    struct path top;

    CHECK(races_begin(&o.ctx));
    for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++)
        CHECK(!vfs_mkdir(&o.ctx, NULL, dirs[i], 0755));
    CHECK(!vfs_test_mount(&o.ctx, "/race/m", "overlay", TWO_LAYERS));
    CHECK(!vfs_lookup(&o.ctx, NULL, "/race/m", 0, &top));
    walk_failed = 0;
    fail_point_arm("walk_hold", 1);
    CHECK(onlooker_start(&o, look_at_name_in_layer));
    for (unsigned i = 0; races_go_on(i, &o); i++)
        dentry_shrink_super(top.mount->super);
    onlooker_stop(&o);
    fail_point_arm("walk_hold", 0);
    path_put(&top);
    CHECK(!vfs_test_umount(&o.ctx, "/race/m"));
    races_end(&o.ctx);
    o = (struct onlooker){0};
    CHECK(!walk_failed);
}

static u32 mount_went; /* a  while there was a reference */

static void look_into_mount(struct onlooker *o)
{
    struct path p;

    if (vfs_lookup(&o->ctx, NULL, "/race/m", 0, &p))
        return;
    for (unsigned i = 0; i < 100 && p.mount != o->at.mount; i++) {
        if (!READ_ONCE(p.mount->parent))
            WRITE_ONCE(mount_went, 1);
        cpu_relax();
    }
    path_put(&p);
}

/* One that is used is busy: the last walk into it either came before, or finds it gone. */
SELFTEST(vfs_a_mount_that_a_walk_has_reached_is_not_unmounted)
{
    static struct onlooker o;
    bool ok = true;

    CHECK(races_begin(&o.ctx));
    CHECK(!vfs_mkdir(&o.ctx, NULL, "/race/m", 0755));
    CHECK(!vfs_lookup(&o.ctx, NULL, "/race", 0, &o.at));
    mount_went = 0;
    fail_point_arm("walk_hold", 1);
    CHECK(onlooker_start(&o, look_into_mount));
    for (unsigned i = 0; ok && races_go_on(i, &o); i++) {
        struct path p;
        int err = -EBUSY;

        ok = !vfs_test_mount(&o.ctx, "/race/m", "tmpfs", "");
        for (; ok && err == -EBUSY; cond_yield()) {
            ok = !vfs_lookup(&o.ctx, NULL, "/race/m", 0, &p);
            err = ok ? vfs_umount(&o.ctx, &p, 0) : -EINVAL;
        }
        ok = ok && !err && !READ_ONCE(mount_went);
    }
    onlooker_stop(&o);
    fail_point_arm("walk_hold", 0);
    path_put(&o.at);
    races_end(&o.ctx);
    o = (struct onlooker){0};
    CHECK(ok && !mount_went);
}

static u32 stat_was_wrong; /* a */
static const char *stat_name;

static void look_at_attributes(struct onlooker *o)
{
    struct kstat st;

    if (vfs_stat_at(&o->ctx, NULL, stat_name, 0, &st))
        return;
    if (!S_ISREG(st.mode) || st.nlink > 1 || st.size > 4 || st.blocks > PAGE_SIZE / 512)
        WRITE_ONCE(stat_was_wrong, 1);
}

/* Gets the memory that what has just ended had, if it is to be had, and overwrites it for as long
 * as the look takes that is under way. */
static bool overwrite_freed(struct onlooker *o)
{
    u64 looks = READ_ONCE(o->looks);
    void *got[16] = {NULL};
    bool all = true;

    for (unsigned i = 0; i < ARRAY_SIZE(got); i++) {
        got[i] = kmalloc(32 + 32 * i);
        if (got[i])
            memset(got[i], 0xff, 32 + 32 * i);
        all = all && got[i];
    }
    while (READ_ONCE(o->looks) == looks)
        cond_yield();
    for (unsigned i = 0; i < ARRAY_SIZE(got); i++)
        kfree(got[i]);
    return all;
}

static bool stat_beside_ends(struct onlooker *o, const char *name)
{
    bool ok;

    stat_name = name;
    stat_was_wrong = 0;
    fail_point_arm("walk_stat", 1);
    ok = onlooker_start(o, look_at_attributes);
    for (unsigned i = 0; ok && races_go_on(i, o); i++)
        ok = !vfs_test_write(&o->ctx, name, "text") && !vfs_unlink(&o->ctx, NULL, name) &&
             overwrite_freed(o);
    onlooker_stop(o);
    fail_point_arm("walk_stat", 0);
    return ok && !stat_was_wrong;
}

SELFTEST(vfs_stat_needs_no_reference_of_a_file_that_goes)
{
    static struct onlooker o;
    bool ok;

    CHECK(races_begin(&o.ctx));
    ok = stat_beside_ends(&o, "/race/f");
    races_end(&o.ctx);
    o = (struct onlooker){0};
    CHECK(ok);
}

SELFTEST(overlay_stat_needs_no_reference_of_a_file_that_goes)
{
    static const char *const dirs[] = {"/race/l", "/race/u", "/race/w", "/race/m"};
    static struct onlooker o;
    bool ok;

    CHECK(races_begin(&o.ctx));
    for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++)
        CHECK(!vfs_mkdir(&o.ctx, NULL, dirs[i], 0755));
    CHECK(!vfs_test_mount(&o.ctx, "/race/m", "overlay", TWO_LAYERS));
    ok = stat_beside_ends(&o, "/race/m/f");
    CHECK(!vfs_test_umount(&o.ctx, "/race/m"));
    races_end(&o.ctx);
    o = (struct onlooker){0};
    CHECK(ok);
}

static void look_from_fifo(struct onlooker *o)
{
    struct file *f;

    if (!vfs_open(&o->ctx, NULL, "/race/fifo", O_RDONLY, 0, 0, &f))
        file_put(f);
}

/* Opens it for writing as soon as it has a reader. */
static struct file *fifo_writer(struct walk_ctx *ctx)
{
    struct file *f;

    while (vfs_open(ctx, NULL, "/race/fifo", O_WRONLY | O_NONBLOCK, 0, 0, &f))
        cond_yield();
    return f;
}

/* Within a minute: a reader that missed its writer waits for ever. */
static bool onlooker_looks(struct onlooker *o, u64 looks)
{
    u64 end = time_ns() + 60 * NSEC_PER_SEC;

    while (READ_ONCE(o->looks) == looks && time_ns() < end)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC / 10, SLEEP_UNINTERRUPTIBLE);
    return READ_ONCE(o->looks) != looks;
}

SELFTEST(a_fifos_reader_meets_a_writer_that_has_gone_again)
{
    static struct onlooker o;
    bool met = true;

    CHECK(races_begin(&o.ctx));
    CHECK(!vfs_mknod(&o.ctx, NULL, "/race/fifo", S_IFIFO | 0600, 0));
    fail_point_arm("pipe_open", 1);
    CHECK(onlooker_start(&o, look_from_fifo));
    for (unsigned i = 0; i < ROUNDS && met; i++) {
        u64 looks = READ_ONCE(o.looks);

        file_put(fifo_writer(&o.ctx));
        met = onlooker_looks(&o, looks);
    }
    WRITE_ONCE(o.stop, 1);
    /* Lets it out of its last open; it may have seen the stop before, and opens no more. */
    for (struct file *f; load_acquire(&o.running);) {
        if (!vfs_open(&o.ctx, NULL, "/race/fifo", O_WRONLY | O_NONBLOCK, 0, 0, &f))
            file_put(f);
        cond_yield(); /* the onlooker may want this CPU */
    }
    fail_point_arm("pipe_open", 0);
    races_end(&o.ctx);
    o = (struct onlooker){0};
    CHECK(met);
}

static void rename_to_and_fro(struct onlooker *o)
{
    (void)vfs_rename(&o->ctx, NULL, "/race/x", NULL, "/race/y", 0);
    (void)vfs_rename(&o->ctx, NULL, "/race/y", NULL, "/race/x", 0);
}

/* A look at a path ends, though others rename without a pause. */
SELFTEST(vfs_renames_wait_for_a_look_at_a_path)
{
    static struct onlooker o;
    static char text[PATH_MAX];
    struct path p;
    bool right = true;

    CHECK(races_begin(&o.ctx));
    CHECK(!vfs_mkdir(&o.ctx, NULL, "/race/d", 0755) && !vfs_mkdir(&o.ctx, NULL, "/race/x", 0755));
    CHECK(!vfs_lookup(&o.ctx, NULL, "/race/d", 0, &p));
    fail_point_arm("dentry_look", 1);
    CHECK(onlooker_start(&o, rename_to_and_fro));
    for (unsigned i = 0; i < ROUNDS; i++) {
        char *name = path_name(&p, &o.ctx.root, text, sizeof(text));

        right &= !IS_ERR(name) && strcmp(name, "/race/d") == 0;
        cond_yield();
    }
    onlooker_stop(&o);
    fail_point_arm("dentry_look", 0);
    path_put(&p);
    races_end(&o.ctx);
    o = (struct onlooker){0};
    CHECK(right);
}

static struct file *watcher; /* a */

static void let_watches_go(struct onlooker *o)
{
    struct file *f = __atomic_exchange_n(&watcher, NULL, __ATOMIC_SEQ_CST);

    if (f)
        file_put(f);
}

static int watch_race(struct walk_ctx *ctx, struct file *f, const char *name)
{
    struct path p;
    int err = vfs_test_write(ctx, name, "text");

    if (!err)
        err = vfs_lookup(ctx, NULL, name, 0, &p);
    if (err)
        return err;
    err = inotify_add(f, &p, IN_MODIFY, &cred_init);
    path_put(&p);
    return err < 0 ? err : 0;
}

/* Watches that have been taken off a file system hold parts of it for a while yet. */
SELFTEST(vfs_a_file_system_waits_for_the_last_of_its_watches)
{
    static struct onlooker o;
    struct walk_ctx ctx;
    int err = 0;

    vfs_test_ctx(&ctx);
    vfs_test_ctx(&o.ctx);
    (void)vfs_mkdir(&ctx, NULL, "/race", 0755);
    fail_point_arm("inotify_put", 1);
    CHECK(onlooker_start(&o, let_watches_go));
    for (unsigned i = 0; i < ROUNDS && !err; i++) {
        struct file *f = inotify_create(0);

        err = IS_ERR(f) ? PTR_ERR(f) : vfs_test_mount(&ctx, "/race", "tmpfs", "");
        if (!err)
            err = watch_race(&ctx, f, "/race/a");
        if (!err)
            err = watch_race(&ctx, f, "/race/b");
        __atomic_store_n(&watcher, f, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&watcher, __ATOMIC_SEQ_CST))
            sched_yield_current(); /* the onlooker may want this CPU */
        if (!err)
            err = vfs_test_umount(&ctx, "/race");
    }
    onlooker_stop(&o);
    fail_point_arm("inotify_put", 0);
    (void)vfs_rmdir(&ctx, NULL, "/race");
    o = (struct onlooker){0};
    CHECK(!err);
}

static u32 name_may_go, name_gone; /* a */

static void take_name_away(struct onlooker *o)
{
    if (!load_acquire(&name_may_go) || vfs_rmdir(&o->ctx, NULL, "/race/x"))
        return;
    WRITE_ONCE(name_may_go, 0);
    store_release(&name_gone, 1);
}

/* A tree of mounts on /race/x, and of what it is copied from nothing stays when the name goes. */
static bool copy_mounts_of_a_name_that_goes(struct walk_ctx *first, struct walk_ctx *ctx)
{
    static const char *const names[] = {"/race/x", "/race/x/y", "/race/x/y/z"};
    struct mount_ns *copy;
    struct path point;
    bool gone;

    if (vfs_mkdir(first, NULL, names[0], 0755) || vfs_lookup(first, NULL, names[0], 0, &point))
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        (void)vfs_mkdir(ctx, NULL, names[i], 0755); /* the first is there */
        if (vfs_test_mount(ctx, names[i], "tmpfs", ""))
            return false;
    }
    WRITE_ONCE(name_gone, 0);
    store_release(&name_may_go, 1);
    copy = mount_ns_copy(ctx->ns, &user_ns_init, NULL, NULL);
    while (!load_acquire(&name_gone))
        sched_yield_current(); /* the onlooker may want this CPU */
    gone = copy && READ_ONCE(point.dentry->mounts) == 0;
    path_put(&point);
    if (copy)
        mount_ns_put(copy);
    return gone;
}

SELFTEST(vfs_a_name_that_goes_takes_copies_of_its_mounts_along)
{
    static const char *const points[] = {"mount_copied", "mount_copies_free", "mount_dissolve"};
    static struct onlooker o;
    struct walk_ctx ctx;
    bool gone = true;

    CHECK(races_begin(&o.ctx));
    ctx = o.ctx;
    ctx.ns = mount_ns_copy(mount_ns_init, &user_ns_init, NULL, NULL);
    CHECK(ctx.ns);
    mount_ns_root(ctx.ns, &ctx.root);
    ctx.cwd = ctx.root;
    for (unsigned i = 0; i < ARRAY_SIZE(points); i++)
        fail_point_arm(points[i], 1);
    CHECK(onlooker_start(&o, take_name_away));
    for (unsigned i = 0; i < ROUNDS && gone; i++)
        gone = copy_mounts_of_a_name_that_goes(&o.ctx, &ctx);
    onlooker_stop(&o);
    for (unsigned i = 0; i < ARRAY_SIZE(points); i++)
        fail_point_arm(points[i], 0);
    path_put(&ctx.root);
    mount_ns_put(ctx.ns);
    races_end(&o.ctx);
    o = (struct onlooker){0};
    CHECK(gone);
}
