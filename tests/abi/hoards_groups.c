/* SPDX-License-Identifier: MIT
 *
 * Crowds that a control group keeps waiting cost those outside of it no time: see hoards.c.
 */
#include <linux/futex.h>
#include <sys/mount.h>

#include "hoard_group.h"

#define CROWD 10000
#define STACK 8192

static int word;

static int wait_then_spin(void *arg)
{
    while (!__atomic_load_n(&word, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL);
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST))
        ;
    return 0;
}

/* More threads than a period's quota is for; they never end by themselves. */
static void crowd_without_quota(int ready)
{
    const unsigned long flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
    char *at = mmap(NULL, (CROWD + 1UL) * STACK, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int n = 0;

    put("/tmp/cgroup/crowd", "cgroup.procs", "0");
    while (n < CROWD && clone(wait_then_spin, at += STACK, flags, NULL) > 0)
        n++;
    EXPECT(n > 1000); /* Linux has no more in a small machine */
    put("/tmp/cgroup/crowd", "cpu.max", "20000 100000");
    write(ready, "", 1); /* now: the next turn is a long way off */
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &word, FUTEX_WAKE, 1 << 30);
    for (;;)
        pause();
}

/* Each period its quota comes for all of them. */
TEST(a_crowd_that_waits_for_quota_lets_others_run)
{
    double late = 1e3 * (getenv("LATE_MS") ? atof(getenv("LATE_MS")) : 5), worst = 0, end;
    struct timespec ms = {0, 1000000};
    int ready[2];
    pid_t pid;
    char c;

    on_one_processor();
    mkdir("/tmp", 0777);
    mkdir("/tmp/cgroup", 0755);
    mount("none", "/tmp/cgroup", "cgroup2", 0, NULL);
    put("/tmp/cgroup", "cgroup.subtree_control", "+cpu");
    EXPECT(mkdir("/tmp/cgroup/crowd", 0755) == 0 || errno == EEXIST);
    EXPECT(pipe(ready) == 0);
    pid = fork();
    if (pid == 0)
        crowd_without_quota(ready[1]);
    close(ready[1]);
    EXPECT(read(ready[0], &c, 1) == 1);
    usleep(500000);
    for (end = now_us() + 1e6; now_us() < end;) {
        double t = now_us();

        nanosleep(&ms, NULL);
        t = now_us() - t;
        worst = t > worst ? t : worst;
    }
    if (worst > late || getenv("VERBOSE"))
        printf("# 1 ms of sleep took up to %.1f ms\n", worst / 1e3);
    EXPECT(worst <= late);
    put("/tmp/cgroup/crowd", "cgroup.kill", "1");
    EXPECT(waitpid(pid, NULL, 0) == pid);
    umount2("/tmp/cgroup", MNT_DETACH);
}
