/* SPDX-License-Identifier: MIT
 *
 * Crowds of threads that something happens to at once: what is done for each of them is done some
 * at a time. See hoard.h and hoard_group.h.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "hoard_group.h"

#define THREADS 20000 /* or as many as there may be */
#define STACK 4096

static int gate[2], event, word;

static int at_word(void *arg)
{
    syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0);
    syscall(SYS_exit, 0);
    return 0;
}

static int at_pipe(void *arg)
{
    char c;

    syscall(SYS_read, gate[0], &c, 1);
    syscall(SYS_exit, 0);
    return 0;
}

static int at_event(void *arg)
{
    struct pollfd p = {.fd = event, .events = POLLIN};

    syscall(SYS_poll, &p, 1, -1);
    syscall(SYS_exit, 0);
    return 0;
}

static int at_child(void *arg)
{
    syscall(SYS_wait4, -1, NULL, 0, NULL);
    syscall(SYS_exit, 0);
    return 0;
}

/* Joins the group with a crowd of threads that wait. */
static void threads_that(int (*fn)(void *))
{
    char *at = mmap(NULL, (size_t)THREADS * STACK, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int n = 0;

    join_group();
    while (n < THREADS &&
           clone(fn, at + (size_t)(n + 1) * STACK,
                 CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL) > 0)
        n++;
    EXPECT(n > 1000);
    usleep(100000);
}

/* Until this thread is the only one. */
static void wait_for_the_end(void)
{
    char text[4096];

    for (;;) {
        int fd = open("/proc/self/stat", O_RDONLY);
        ssize_t n = read(fd, text, sizeof(text) - 1);
        char *at;

        EXPECT(n > 0);
        text[n] = 0;
        at = strrchr(text, ')');
        close(fd);
        for (int i = 0; i < 18; i++)
            at = strchr(at + 1, ' ');
        if (atoi(at) == 1)
            break;
        usleep(2000);
    }
}

static void threads_at_a_word(void)
{
    threads_that(at_word);
}

static void end_all(void)
{
    syscall(SYS_exit_group, 0);
}
TEST(the_end_of_a_crowd_of_threads_lets_others_run)
{
    let_others_run_after(threads_at_a_word, end_all);
}

static void exec_alone(void)
{
    execl("/proc/self/exe", "exec", "none", NULL);
    EXPECT(!"the program could not be run");
}
TEST(an_exec_that_ends_a_crowd_of_threads_lets_others_run)
{
    let_others_run_after(threads_at_a_word, exec_alone);
}

/* Continues its parent 200 ms after each byte: by then the last thread has stopped as well. */
static void continuer(void)
{
    char c;

    for (int fd = 3; fd < 64; fd++)
        if (fd != gate[0])
            close(fd);
    while (read(gate[0], &c, 1) == 1) {
        usleep(200000);
        kill(getppid(), SIGCONT);
    }
    _exit(0);
}

static void threads_and_continuer(void)
{
    EXPECT(pipe(gate) == 0);
    if (fork() == 0)
        continuer();
    threads_that(at_word);
}

static void stop_and_continue(void)
{
    for (int i = 0; i < 2; i++) {
        EXPECT(write(gate[1], "", 1) == 1);
        EXPECT(raise(SIGSTOP) == 0);
    }
}
TEST(stops_of_a_crowd_of_threads_let_others_run)
{
    let_others_run_after(threads_and_continuer, stop_and_continue);
}

static void readers(void)
{
    EXPECT(pipe(gate) == 0);
    threads_that(at_pipe);
}
static void end_of_the_pipe(void)
{
    close(gate[1]);
    wait_for_the_end();
}
TEST(the_end_of_a_pipe_that_a_crowd_reads_lets_others_run)
{
    let_others_run_after(readers, end_of_the_pipe);
}

static void pollers(void)
{
    event = eventfd(0, 0);
    threads_that(at_event);
}
static void the_event(void)
{
    EXPECT(eventfd_write(event, 1) == 0);
    EXPECT(eventfd_write(event, 1) == 0);
    wait_for_the_end();
}
TEST(an_event_that_a_crowd_waits_for_lets_others_run)
{
    let_others_run_after(pollers, the_event);
}

static void parents(void)
{
    pid_t child = fork();

    EXPECT(pipe(gate) == 0);
    if (child == 0) {
        for (int fd = 3; fd < 64; fd++)
            close(fd); /* the neighbour waits for the end of a pipe */
        for (;;)
            pause();
    }
    word = child;
    threads_that(at_child);
}
static void end_of_the_child(void)
{
    kill(word, SIGKILL);
    wait_for_the_end();
}
TEST(the_end_of_a_child_that_a_crowd_waits_for_lets_others_run)
{
    let_others_run_after(parents, end_of_the_child);
}

/* ------------------------------------------------------------- walks over a crowd */

/* A filter for all of them. */
static void filter_all(void)
{
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog prog = {1, allow};

    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    for (int i = 0; i < 500; i++)
        EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0);
    EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog) == 0);
}
TEST(a_filter_for_a_crowd_lets_others_run)
{
    let_others_run_after(threads_at_a_word, filter_all);
}

static void signals_that_none_takes(void)
{
    sigset_t set;

    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 20; i++) {
        kill(getpid(), SIGUSR1); /* blocked in all */
        kill(getpid(), SIGCONT);
        signal(SIGUSR1, i % 2 ? SIG_DFL : SIG_IGN);
    }
}
static void threads_that_block_all(void)
{
    sigset_t set;

    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    threads_that(at_word);
}
TEST(signals_that_none_of_a_crowd_takes_let_others_run)
{
    let_others_run_after(threads_that_block_all, signals_that_none_takes);
}

/* ------------------------------------------------------------- the CPU time of a crowd */

static volatile sig_atomic_t taken;

static void take(int sig)
{
    taken++;
}

/* Who leave the signals to the first of them. */
static void threads_with_a_handler(void)
{
    struct sigaction act = {.sa_handler = take};
    sigset_t set;

    EXPECT(sigaction(SIGUSR1, &act, NULL) == 0 && sigaction(SIGPROF, &act, NULL) == 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGPROF);
    sigprocmask(SIG_BLOCK, &set, NULL);
    threads_that(at_word);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void timers_of_all_time(void)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec ms = {{0, 1000000}, {0, 1000000}}, now;
    struct itimerval prof = {{0, 1000}, {0, 1000}};
    int id;

    EXPECT(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &ev, &id) == 0);
    for (int i = 0; i < 5; i++) {
        EXPECT(syscall(SYS_timer_settime, id, 0, &ms, NULL) == 0);
        EXPECT(syscall(SYS_timer_gettime, id, &now) == 0);
    }
    EXPECT(setitimer(ITIMER_PROF, &prof, NULL) == 0);
    while (taken < 5)
        ;
}
TEST(timers_of_a_crowds_time_let_others_run)
{
    let_others_run_after(threads_with_a_handler, timers_of_all_time);
}

/* Each tick, and each change of the limit, asks for the time of all. */
static void limit_of_all_time(void)
{
    struct rlimit cpu = {1000, 1001};
    clock_t begin = clock();

    for (int i = 0; i < 20; i++)
        EXPECT(setrlimit(RLIMIT_CPU, &cpu) == 0);
    while (clock() - begin < CLOCKS_PER_SEC / 10)
        ;
}
TEST(a_limit_of_a_crowds_time_lets_others_run)
{
    let_others_run_after(threads_at_a_word, limit_of_all_time);
}
