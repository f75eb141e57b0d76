/* SPDX-License-Identifier: MIT
 *
 * Calls that are long by themselves, without a crowd, cost their neighbour no time: see hoards.c.
 */
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include "hoard.h"

/* ------------------------------------------------------------- select */

#define FDS 65536
static unsigned long fds[FDS / 64];

static int select_now(int n, unsigned long *set)
{
    struct timeval now = {0, 0};

    return (int)syscall(SYS_select, n, set, NULL, NULL, &now);
}

static void select_few(void)
{
    for (int i = 0; i < 3; i++)
        EXPECT(select_now(FDS, NULL) == 0);
}
TEST(select_of_no_descriptors_lets_others_run)
{
    hoard(select_few);
}

static void select_many(void)
{
    struct rlimit r = {FDS, FDS};
    int p[2];

    EXPECT(setrlimit(RLIMIT_NOFILE, &r) == 0 && pipe(p) == 0);
    memset(fds, 0xff, sizeof(fds));
    EXPECT(select_now(FDS, fds) == -1 && errno == EBADF);
    for (int fd = 8; fd < 8000; fd++)
        dup2(p[1], fd);
    memset(fds, 0, sizeof(fds));
    memset((char *)fds + 1, 0xff, 999);
    EXPECT(select_now(FDS, fds) == 0);
}
TEST(select_of_many_descriptors_lets_others_run)
{
    hoard(select_many);
}

/* ------------------------------------------------------------- filters */

static int filter(struct sock_filter *f, unsigned short n)
{
    struct sock_fprog prog = {n, f};

    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

static void many_filters(void)
{
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    int n = 0;

    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    while (filter(allow, 1) == 0)
        n++;
    EXPECT(n > 1000);
    getppid();
}
TEST(many_filters_let_others_run)
{
    hoard(many_filters);
}

/* word: of the call's data, which each filter reckons with. */
static void long_filters(unsigned word)
{
    static struct sock_filter f[BPF_MAXINSNS];
    int n = 0, last = BPF_MAXINSNS - 1;

    f[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, word);
    for (int i = 1; i < last - 1; i++)
        f[i] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1);
    f[last - 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x12345, 0, 0);
    f[last] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    while (filter(f, BPF_MAXINSNS) == 0)
        n++;
    EXPECT(n > 3);
    for (int i = 0; i < 5; i++)
        syscall(SYS_getppid, i);
}

static void filters_of_arguments(void)
{
    long_filters(offsetof(struct seccomp_data, args[0]));
}
TEST(long_filters_of_arguments_let_others_run)
{
    hoard(filters_of_arguments);
}

static void filters_of_numbers(void)
{
    long_filters(offsetof(struct seccomp_data, nr));
}
TEST(long_filters_of_numbers_let_others_run)
{
    hoard(filters_of_numbers);
}

/* ------------------------------------------------------------- robust futexes */

#define LOCKS 2048
static void leave_locks(void)
{
    static struct lock {
        struct robust_list node;
        unsigned word;
    } lock[LOCKS];
    static struct robust_list_head head = {.futex_offset = offsetof(struct lock, word)};

    head.list.next = &lock[0].node;
    for (int i = 0; i < LOCKS; i++) {
        lock[i].node.next = i + 1 < LOCKS ? &lock[i + 1].node : &head.list;
        lock[i].word = (unsigned)syscall(SYS_gettid) | FUTEX_WAITERS;
    }
    EXPECT(syscall(SYS_set_robust_list, &head, sizeof(head)) == 0);
    syscall(SYS_exit, 0);
}
TEST(an_exit_with_many_locks_lets_others_run)
{
    hoard(leave_locks);
}

/* ------------------------------------------------------------- timers of CPU time */

/* None is due, and each is looked at after each tick. */
static void timers_of_cpu_time(void)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec later = {.it_value = {1000, 0}};
    int n = 0, id;

    for (; syscall(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, &ev, &id) == 0 && n < 1024; n++)
        EXPECT(syscall(SYS_timer_settime, id, 0, &later, NULL) == 0);
    EXPECT(n >= 500);
    for (double end = now_us() + 50e3; now_us() < end;)
        ;
}
TEST(many_timers_of_cpu_time_let_others_run)
{
    hoard(timers_of_cpu_time);
}
