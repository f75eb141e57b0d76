/* SPDX-License-Identifier: MIT
 *
 * What is looked at in each of a crowd of threads lets the neighbour run: see hoard_group.h. And a
 * fork of much memory goes on whatever its timer does.
 */
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/time.h>

#include "hoard_group.h"

#define CROWD 2500
#define STACK 8192
#define FILTERS 1000

static int word;

static int wait_for_ever(void *arg)
{
    for (;;)
        syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
    return 0;
}

static int hear_of_parents_death(void *arg)
{
    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGCONT, 0, 0, 0);
    return wait_for_ever(arg);
}

static void crowd_of_threads(int (*fn)(void *))
{
    char *at = mmap(NULL, (size_t)CROWD * STACK, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    for (int i = 0; i < CROWD; i++)
        EXPECT(clone(fn, at + (size_t)(i + 1) * STACK,
                     CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL) > 0);
    usleep(200000); /* all have come to wait */
}

static void join_as_parent_of_a_crowd(void)
{
    int ready[2];
    char c;

    join_group();
    EXPECT(pipe(ready) == 0);
    if (fork() == 0) {
        close_range(3, (unsigned)ready[1] - 1, 0); /* the neighbour waits for their end */
        crowd_of_threads(hear_of_parents_death);
        write(ready[1], "", 1);
        wait_for_ever(NULL);
    }
    EXPECT(read(ready[0], &c, 1) == 1);
}

static void end(void)
{
    _exit(0);
}

TEST(a_death_that_all_of_a_crowd_hear_of_lets_others_run)
{
    let_others_run_after(join_as_parent_of_a_crowd, end);
}

static struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
static struct sock_fprog filter = {1, allow};

static void join_with_many_filters(void)
{
    join_group();
    crowd_of_threads(wait_for_ever);
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    for (int i = 0; i < FILTERS; i++)
        EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0);
}

static void filter_all(void)
{
    for (int i = 0; i < 3; i++)
        EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) ==
               0);
    _exit(0);
}

TEST(a_long_chain_of_filters_for_a_crowd_lets_others_run)
{
    let_others_run_after(join_with_many_filters, filter_all);
}

static void tick(int sig)
{
}

/* Each expiration interrupts the fork, which takes longer than it takes to the next. */
TEST(a_timer_keeps_no_large_process_from_forking)
{
    struct itimerval often = {{0, 300}, {0, 300}}, off = {{0, 0}, {0, 0}};
    struct sigaction act = {.sa_handler = tick, .sa_flags = SA_RESTART};
    size_t size = 96UL << 20;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int status;

    EXPECT(p != MAP_FAILED && madvise(p, size, MADV_NOHUGEPAGE) == 0);
    memset(p, 1, size);
    EXPECT(sigaction(SIGALRM, &act, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    EXPECT(setitimer(ITIMER_REAL, &off, NULL) == 0);
    EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}
