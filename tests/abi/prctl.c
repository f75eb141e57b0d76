/* SPDX-License-Identifier: MIT
 *
 * What a program says about itself and its threads: prctl(2), membarrier(2), limits of others.
 */
#include "abi.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum {
    MB_QUERY = 0,
    MB_PRIVATE = 8,
    MB_REGISTER_PRIVATE = 16,
    MB_SYNC_CORE = 32,
    MB_REGISTER_SYNC_CORE = 64,
};

static int membarrier(int cmd, unsigned flags)
{
    return (int)syscall(SYS_membarrier, cmd, flags, 0);
}

static void wait_ok(pid_t pid)
{
    int status = -1;

    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT(status == 0);
}

/* An exec'd program. */
__attribute__((constructor)) static void maybe_program(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "fresh") == 0) {
        EXPECT_ERR(membarrier(MB_PRIVATE, 0), EPERM);
        EXPECT(prctl(PR_GET_TIMERSLACK) == 77777);
        EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
        EXPECT(prctl(PR_GET_KEEPCAPS) == 0);
        _exit(0);
    }
    if (argc == 2 && strcmp(argv[1], "tsc") == 0) {
        int how = 0;

        EXPECT(prctl(PR_GET_TSC, &how) == 0 && how == PR_TSC_SIGSEGV);
        _exit(0);
    }
}

static void exec_self(const char *word)
{
    pid_t pid = fork();

    if (pid == 0) {
        execl("/proc/self/exe", "prctl", word, NULL);
        _exit(9);
    }
    wait_ok(pid);
}

TEST(private_barriers_are_registered_first)
{
    EXPECT((membarrier(MB_QUERY, 0) & 127) == 127);
    EXPECT_ERR(membarrier(MB_PRIVATE, 0), EPERM);
    EXPECT_ERR(membarrier(MB_SYNC_CORE, 0), EPERM);
    EXPECT(membarrier(MB_REGISTER_PRIVATE, 0) == 0 && membarrier(MB_PRIVATE, 0) == 0);
    EXPECT_ERR(membarrier(MB_SYNC_CORE, 0), EPERM);
    EXPECT(membarrier(MB_REGISTER_SYNC_CORE, 0) == 0 && membarrier(MB_SYNC_CORE, 0) == 0);
    EXPECT_ERR(membarrier(MB_PRIVATE, 1), EINVAL);
    EXPECT_ERR(membarrier(1 << 20, 0), EINVAL);
    EXPECT(prctl(PR_SET_TIMERSLACK, 77777) == 0);
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(prctl(PR_SET_KEEPCAPS, 1) == 0);
    exec_self("fresh");
}

/* x = 1, barrier, read y; on the other side y = 1, compiler barrier, read x: not both see 0. */
static volatile int x, y, seen, round_of_other, stop;
static void *light_side(void *arg)
{
    for (int r = 1; !stop; r++) {
        while (round_of_other < r && !stop)
            sched_yield();
        y = 1;
        __asm__ volatile("" ::: "memory");
        seen = x;
        __atomic_store_n(&round_of_other, -r, __ATOMIC_RELEASE);
        while (round_of_other == -r && !stop)
            sched_yield();
    }
    return NULL;
}

TEST(private_barrier_orders_the_other_thread_too)
{
    pthread_t t;

    EXPECT(membarrier(MB_REGISTER_PRIVATE, 0) == 0);
    EXPECT(pthread_create(&t, NULL, light_side, NULL) == 0);
    for (int r = 1; r <= 200; r++) {
        x = y = 0;
        __atomic_store_n(&round_of_other, r, __ATOMIC_SEQ_CST);
        x = 1;
        EXPECT(membarrier(MB_PRIVATE, 0) == 0);
        int mine = y;
        while (__atomic_load_n(&round_of_other, __ATOMIC_ACQUIRE) != -r)
            sched_yield();
        EXPECT(mine || seen);
    }
    stop = 1;
    EXPECT(pthread_join(t, NULL) == 0);
}

static void *slack_of_thread(void *arg)
{
    return (void *)(long)prctl(PR_GET_TIMERSLACK);
}

TEST(timer_slack_is_inherited_and_reset_to_what_was)
{
    pthread_t t;
    void *got;

    EXPECT(prctl(PR_GET_TIMERSLACK) == 50000);
    EXPECT(prctl(PR_SET_TIMERSLACK, 123456) == 0);
    EXPECT(pthread_create(&t, NULL, slack_of_thread, NULL) == 0);
    EXPECT(pthread_join(t, &got) == 0 && (long)got == 123456);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(prctl(PR_SET_TIMERSLACK, 1) == 0 && prctl(PR_GET_TIMERSLACK) == 1);
        EXPECT(prctl(PR_SET_TIMERSLACK, 0) == 0 && prctl(PR_GET_TIMERSLACK) == 123456);
        _exit(0);
    }
    wait_ok(pid);
    EXPECT(prctl(PR_SET_TIMERSLACK, 0L) == 0 && prctl(PR_GET_TIMERSLACK) == 50000);
}

TEST(timing_is_statistical)
{
    EXPECT(prctl(PR_GET_TIMING) == 0 && prctl(PR_SET_TIMING, 0) == 0);
    EXPECT_ERR(prctl(PR_SET_TIMING, 1), EINVAL);
}

/* ------------------------------------------------------------- limits of others */

static void become(uid_t uid)
{
    EXPECT(setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 &&
           setresuid(uid, uid, uid) == 0);
}

TEST(limits_of_another_are_for_who_has_its_ids)
{
    struct rlimit r;
    pid_t same, other;
    char c;
    int p[2];

    EXPECT(pipe(p) == 0);
    same = fork();
    if (same == 0) {
        close(p[0]);
        become(1000); /* which makes it undumpable: that is not what is asked */
        EXPECT(write(p[1], "r", 1) == 1);
        pause();
    }
    EXPECT(read(p[0], &c, 1) == 1);
    other = fork();
    if (other == 0) {
        EXPECT(prlimit(same, RLIMIT_NOFILE, NULL, &r) == 0);
        become(1001);
        EXPECT_ERR(prlimit(same, RLIMIT_NOFILE, NULL, &r), EPERM);
        _exit(0);
    }
    wait_ok(other);
    other = fork();
    if (other == 0) {
        become(1000);
        EXPECT(prlimit(same, RLIMIT_NOFILE, NULL, &r) == 0);
        r.rlim_cur--;
        EXPECT(prlimit(same, RLIMIT_NOFILE, &r, NULL) == 0);
        _exit(0);
    }
    wait_ok(other);
    kill(same, SIGKILL);
    waitpid(same, NULL, 0);
}

static void read_tsc(void)
{
    __asm__ volatile("rdtsc" ::: "eax", "edx");
}

static int faulted;
static void on_fault(int sig)
{
    int how = 0;

    EXPECT(prctl(PR_GET_TSC, &how) == 0 && how == PR_TSC_SIGSEGV);
    faulted++;
    EXPECT(prctl(PR_SET_TSC, PR_TSC_ENABLE) == 0);
}

static void *read_tsc_often(void *arg)
{
    for (int i = 0; i < 200; i++) {
        read_tsc();
        sched_yield();
    }
    return NULL;
}

TEST(a_thread_may_be_kept_from_the_time_stamp_counter)
{
    pthread_t other;
    int how = 0, status = 0;
    pid_t pid;

    EXPECT_ERR(prctl(PR_SET_TSC, 0), EINVAL);
    EXPECT_ERR(prctl(PR_SET_TSC, 3), EINVAL);
    EXPECT_ERR(prctl(PR_GET_TSC, NULL), EFAULT);
    EXPECT(prctl(PR_GET_TSC, &how) == 0 && how == PR_TSC_ENABLE);
    signal(SIGSEGV, on_fault);
    EXPECT(pthread_create(&other, NULL, read_tsc_often, NULL) == 0);
    for (int i = 1; i <= 50; i++) { /* this thread only, over switches to another that may */
        EXPECT(prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0);
        sched_yield();
        read_tsc();
        EXPECT(faulted == i);
    }
    EXPECT(pthread_join(other, NULL) == 0 && faulted == 50);
    EXPECT(prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0);
    signal(SIGSEGV, SIG_DFL);
    pid = fork();
    if (pid == 0) {
        read_tsc();
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "prctl", "tsc", NULL);
        _exit(9);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}
