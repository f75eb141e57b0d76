/* SPDX-License-Identifier: MIT
 *
 * Pseudo-terminals, by the files of both ends.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "tests/kernel/vfs_test.h"
#include "tty/pty.h"

#define ROUNDS 40

static struct file *pty_open_end(struct walk_ctx *ctx, const char *name)
{
    struct file *f;
    int err = vfs_open(ctx, NULL, name, O_RDWR | O_NOCTTY | O_NONBLOCK, 0, WALK_FOLLOW, &f);

    return err ? NULL : f;
}

static ssize_t pty_get(struct file *master)
{
    struct iov_iter it;
    char c;

    iov_init_kernel(&it, &c, 1);
    return file_read(master, &it, NULL);
}

static struct pty_reader {
    struct file *master;
    u32 stop, running, ends, bytes; /* a */
} pty_reader;

static void pty_read_on(void *arg)
{
    struct pty_reader *r = arg;

    while (!READ_ONCE(r->stop)) {
        ssize_t n = pty_get(r->master);

        r->ends += n == 0;
        r->bytes += n == 1;
        cond_yield();
    }
    store_release(&r->running, 0);
}

static bool pty_race(struct file *master, struct file *slave, u32 *bytes)
{
    struct thread *t = thread_create("reader", pty_read_on, &pty_reader);
    struct iov_iter it;

    if (!t)
        return false;
    pty_reader = (struct pty_reader){.master = master, .running = 1};
    thread_start(t);
    thread_put(t);
    for (unsigned i = 0; i < ROUNDS; i++) {
        ssize_t n;

        iov_init_kernel(&it, (void *)"x", 1);
        if (file_write(slave, &it, NULL) != 1)
            return false;
        n = pty_get(master);
        pty_reader.ends += n == 0;
        *bytes += n == 1;
        cond_yield();
    }
    WRITE_ONCE(pty_reader.stop, 1);
    while (load_acquire(&pty_reader.running))
        (void)sleep_until(time_ns() + NSEC_PER_MSEC / 10, SLEEP_UNINTERRUPTIBLE);
    while (pty_get(master) == 1)
        ++*bytes;
    *bytes += pty_reader.bytes;
    return true;
}

/* Of two that read a master at once one gets the bytes, and the other is not told of an end. */
SELFTEST(tty_a_master_that_another_has_read_is_not_at_its_end)
{
    struct file *master, *slave;
    struct walk_ctx ctx;
    u32 bytes = 0;
    bool ok;

    vfs_test_ctx(&ctx);
    (void)vfs_mkdir(&ctx, NULL, "/pts-test", 0755);
    CHECK(!vfs_test_mount(&ctx, "/pts-test", "devpts", "newinstance,ptmxmode=0666"));
    master = pty_open_end(&ctx, "/pts-test/ptmx");
    CHECK(master);
    ((struct pty *)master->priv)->locked = false;
    slave = pty_open_end(&ctx, "/pts-test/0");
    CHECK(slave);
    fail_point_arm("pty_master_read", 1);
    ok = pty_race(master, slave, &bytes);
    fail_point_arm("pty_master_read", 0);
    file_put(slave);
    file_put(master);
    (void)vfs_test_umount(&ctx, "/pts-test");
    (void)vfs_rmdir(&ctx, NULL, "/pts-test");
    CHECK(ok && bytes == ROUNDS && pty_reader.ends == 0);
}
