/* SPDX-License-Identifier: MIT
 *
 * Scheduling policies: what they may be set to, and that they count.
 */
#include <sys/resource.h>

#include "abi.h"

struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};

static long setattr(const void *a)
{
    return syscall(SYS_sched_setattr, 0, a, 0);
}

static long getattr(struct attr *a, unsigned size)
{
    return syscall(SYS_sched_getattr, 0, a, size, 0);
}

static int set(int policy)
{
    const struct sched_param none = {0};

    return sched_setscheduler(0, policy, &none);
}

/* Turns a child makes on this processor beside us. */
static volatile long *counter(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static pid_t spinner(volatile long *turns, int policy, int nice_value)
{
    pid_t pid = fork();

    if (pid == 0) {
        EXPECT(set(policy) == 0 && setpriority(PRIO_PROCESS, 0, nice_value) == 0);
        for (;;)
            (*turns)++;
    }
    return pid;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* What the second of two has in the middle one of some stretches: where the emulator's clock thread
 * gets no processor, a tick comes late, and who runs then has all of that stretch. */
#define STRETCHES 5
static double share_of_middle(const volatile long *a, const volatile long *b)
{
    struct timespec t = {0, 150000000};
    double shares[STRETCHES];

    for (int i = 0; i < STRETCHES; i++) {
        long a0 = *a, b0 = *b, more;

        nanosleep(&t, NULL);
        more = *b - b0;
        shares[i] = (double)more / (double)(*a - a0 + more);
    }
    qsort(shares, STRETCHES, sizeof(shares[0]), compare);
    return shares[STRETCHES / 2];
}

static double share_of(int policy, int nice_value)
{
    volatile long *a = counter(), *b = counter();
    cpu_set_t one;
    pid_t pids[2];
    double share;

    CPU_ZERO(&one);
    CPU_SET(0, &one);
    EXPECT(sched_setaffinity(0, sizeof(one), &one) == 0);
    pids[0] = spinner(a, SCHED_OTHER, 0);
    pids[1] = spinner(b, policy, nice_value);
    share = share_of_middle(a, b);
    for (int i = 0; i < 2; i++) {
        kill(pids[i], SIGKILL);
        EXPECT(waitpid(pids[i], NULL, 0) == pids[i]);
    }
    return share;
}

/* 3 of 1027; nice 19 would be 15 of 1039. */
TEST(an_idle_thread_has_what_others_leave)
{
    double share = share_of(SCHED_IDLE, 0);

    if (share > 0.05)
        printf("# %.3f\n", share);
    EXPECT(share <= 0.05);
}

TEST(a_batch_thread_has_a_full_share)
{
    double share = share_of(SCHED_BATCH, 0);

    EXPECT(share > 0.35 && share < 0.65);
}

TEST(policies_are_kept_and_inherited)
{
    int status;
    pid_t pid;

    EXPECT(sched_getscheduler(0) == SCHED_OTHER);
    EXPECT(set(SCHED_BATCH) == 0 && sched_getscheduler(0) == SCHED_BATCH);
    EXPECT(set(SCHED_IDLE | SCHED_RESET_ON_FORK) == 0);
    EXPECT(sched_getscheduler(0) == (SCHED_IDLE | SCHED_RESET_ON_FORK));
    pid = fork();
    if (pid == 0)
        _exit(sched_getscheduler(0));
    EXPECT(waitpid(pid, &status, 0) == pid && status == SCHED_IDLE << 8);
    EXPECT_ERR(set(4), EINVAL);
    EXPECT_ERR(set(7), EINVAL);
    EXPECT_ERR(set(-1), EINVAL);
    EXPECT_ERR(set(SCHED_FIFO), EINVAL);
    EXPECT_ERR(sched_setscheduler(0, SCHED_OTHER, NULL), EINVAL);
    EXPECT_ERR(sched_setscheduler(-1, SCHED_OTHER, &(struct sched_param){0}), EINVAL);
    EXPECT_ERR(sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){1}), EINVAL);
    EXPECT_ERR(sched_setscheduler(0, SCHED_OTHER, (struct sched_param *)8), EFAULT);
}

TEST(a_nice_below_zero_ends_with_a_fork_where_asked)
{
    int status;
    pid_t pid;

    EXPECT(setpriority(PRIO_PROCESS, 0, -5) == 0);
    for (int reset = 0; reset < 2; reset++) {
        EXPECT(set(reset ? SCHED_OTHER | SCHED_RESET_ON_FORK : SCHED_OTHER) == 0);
        pid = fork();
        if (pid == 0)
            _exit(getpriority(PRIO_PROCESS, 0) == (reset ? 0 : -5) &&
                          sched_getscheduler(0) == SCHED_OTHER
                      ? 0
                      : 1);
        EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    }
}

TEST(structures_of_attributes_grow)
{
    static union {
        struct attr a;
        unsigned char bytes[4097];
    } u;
    struct attr got;

    u.a.size = 4096;
    u.a.policy = SCHED_BATCH;
    u.a.nice = 7;
    EXPECT(setattr(&u) == 0);
    EXPECT(getattr(&got, sizeof(got)) == 0);
    EXPECT(got.size == 56 && got.policy == SCHED_BATCH && got.nice == 7 && got.flags == 0);
    got.util_min = 77;
    EXPECT(getattr(&got, 48) == 0 && got.size == 48 && got.util_min == 77);
    EXPECT_ERR(getattr(&got, 47), EINVAL);
    EXPECT_ERR(getattr(&got, 4097), EINVAL);
    EXPECT_ERR(getattr(NULL, 48), EINVAL);
    u.bytes[4000] = 1;
    EXPECT_ERR(setattr(&u), E2BIG);
    EXPECT(u.a.size == 56); /* what is understood */
    u.a.size = 47;
    EXPECT_ERR(setattr(&u), E2BIG);
    EXPECT(u.a.size == 56);
    u.a.size = 0; /* the first version's */
    u.a.policy = SCHED_OTHER;
    u.a.nice = 100;
    u.a.flags = 1;
    EXPECT(setattr(&u) == 0 && getattr(&got, 56) == 0);
    EXPECT(got.policy == SCHED_OTHER && got.nice == 19 && got.flags == 1);
    u.a.flags = 0x80;
    EXPECT_ERR(setattr(&u), EINVAL);
    u.a.flags = 0;
    u.a.policy = 77;
    EXPECT_ERR(setattr(&u), EINVAL);
    u.a.policy = -1U;
    EXPECT_ERR(setattr(&u), EINVAL);
    EXPECT_ERR(setattr(NULL), EINVAL);
    EXPECT_ERR(setattr((void *)8), EFAULT);
    EXPECT_ERR(syscall(SYS_sched_setattr, 0, &u, 1), EINVAL);
    EXPECT_ERR(syscall(SYS_sched_setattr, -1, &u, 0), EINVAL);
}

TEST(what_one_may_set_without_privilege)
{
    struct rlimit some = {25, 25};
    struct attr a = {.size = 48, .nice = 4};

    EXPECT(setrlimit(RLIMIT_NICE, &(struct rlimit){0, 25}) == 0);
    EXPECT(setgid(1000) == 0 && setuid(1000) == 0);
    EXPECT(setpriority(PRIO_PROCESS, 0, 5) == 0);
    EXPECT_ERR(setpriority(PRIO_PROCESS, 0, 4), EACCES);
    EXPECT_ERR(setattr(&a), EPERM);
    EXPECT(set(SCHED_IDLE) == 0);
    EXPECT_ERR(set(SCHED_OTHER), EPERM);
    EXPECT(setrlimit(RLIMIT_NICE, &some) == 0);
    EXPECT(set(SCHED_OTHER) == 0);
    EXPECT(setpriority(PRIO_PROCESS, 0, -5) == 0);
    EXPECT_ERR(setpriority(PRIO_PROCESS, 0, -6), EACCES);
    EXPECT(set(SCHED_OTHER | SCHED_RESET_ON_FORK) == 0);
    EXPECT_ERR(set(SCHED_OTHER), EPERM);
}

static void *pause_thread(void *arg)
{
    *(pid_t *)arg = gettid();
    pthread_barrier_wait(*(pthread_barrier_t **)((char *)arg + 8));
    pause();
    return NULL;
}

/* A group's and a user's nice value is that of each thread. */
TEST(priorities_of_a_group_reach_each_thread)
{
    pthread_barrier_t ready;
    struct {
        pid_t tid;
        int pad;
        pthread_barrier_t *ready;
    } arg = {.ready = &ready};
    pthread_t t;

    setpgid(0, 0);
    pthread_barrier_init(&ready, NULL, 2);
    EXPECT(pthread_create(&t, NULL, pause_thread, &arg) == 0);
    pthread_barrier_wait(&ready);
    EXPECT(setpriority(PRIO_PGRP, 0, 3) == 0);
    EXPECT(getpriority(PRIO_PROCESS, 0) == 3);
    EXPECT(getpriority(PRIO_PROCESS, (id_t)arg.tid) == 3);
}
