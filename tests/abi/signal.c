/* SPDX-License-Identifier: MIT
 *
 * Signals: delivery, masks, queues, stacks, restarting, descriptors.
 */
#include "abi.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <ucontext.h>

static volatile sig_atomic_t count, last, last_code;
static volatile int last_value;
static volatile uintptr_t last_addr;

static void on_signal(int sig, siginfo_t *si, void *uc)
{
    count++;
    last = sig;
    last_code = si->si_code;
    last_value = si->si_value.sival_int;
    last_addr = (uintptr_t)si->si_addr;
}

static void handle(int sig, int flags)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};

    EXPECT(sigaction(sig, &sa, NULL) == 0);
}

TEST(handler_runs)
{
    handle(SIGUSR1, 0);
    EXPECT(kill(getpid(), SIGUSR1) == 0);
    EXPECT(count == 1 && last == SIGUSR1 && last_code == SI_USER);
    EXPECT(raise(SIGUSR1) == 0);
    EXPECT(count == 2 && last_code == SI_TKILL);
}

TEST(blocked_signal_waits)
{
    sigset_t set, pending;

    handle(SIGUSR1, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    EXPECT(count == 0);
    EXPECT(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    EXPECT(count == 1); /* standard signals do not queue */
}

TEST(realtime_signals_queue_in_order)
{
    sigset_t set;
    siginfo_t si;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 3; i++)
        EXPECT(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}) == 0);
    EXPECT(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 9}) == 0);
    EXPECT(sigwaitinfo(&set, &si) == SIGRTMIN && si.si_value.sival_int == 9);
    for (int i = 0; i < 3; i++)
        EXPECT(sigwaitinfo(&set, &si) == SIGRTMIN + 1 && si.si_value.sival_int == i &&
               si.si_code == SI_QUEUE);
}

TEST(sigtimedwait_times_out)
{
    sigset_t set;
    struct timespec ts = {0, 20000000};

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    EXPECT_ERR(sigtimedwait(&set, NULL, &ts), EAGAIN);
}

TEST(fault_tells_the_address)
{
    handle(SIGSEGV, SA_RESETHAND);
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
        sigaction(SIGSEGV, &sa, NULL);
        page[5] = 1;
        _exit(0);
    }
    EXPECT(pid > 0);    /* -1 would be all processes */
    kill(pid, SIGKILL); /* the child loops through its handler, as the fault does not go away */
    int st;
    EXPECT(waitpid(pid, &st, 0) == pid && st == SIGKILL);
}

#include <setjmp.h>
static sigjmp_buf env;
static void jump(int sig, siginfo_t *si, void *uc)
{
    last_addr = (uintptr_t)si->si_addr;
    last_code = si->si_code;
    siglongjmp(env, 1);
}

TEST(longjmp_out_of_a_fault)
{
    struct sigaction sa = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO};
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    sigaction(SIGSEGV, &sa, NULL);
    if (!sigsetjmp(env, 1))
        page[5] = 1;
    EXPECT(last_addr == (uintptr_t)page + 5 && last_code == SEGV_ACCERR);
    munmap(page, 4096);
    if (!sigsetjmp(env, 1))
        page[6] = 1;
    EXPECT(last_addr == (uintptr_t)page + 6 && last_code == SEGV_MAPERR);
}

static volatile uintptr_t handler_sp;
static void note_stack(int sig)
{
    int here;
    handler_sp = (uintptr_t)&here;
}

TEST(alternate_stack)
{
    static char stack[32768];
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)}, old;
    struct sigaction sa = {.sa_handler = note_stack, .sa_flags = SA_ONSTACK};

    EXPECT(sigaltstack(&ss, NULL) == 0);
    sigaction(SIGUSR1, &sa, NULL);
    raise(SIGUSR1);
    EXPECT(handler_sp > (uintptr_t)stack && handler_sp < (uintptr_t)stack + sizeof(stack));
    EXPECT(sigaltstack(NULL, &old) == 0 && old.ss_flags == 0 && old.ss_sp == stack);
    ss.ss_size = 100;
    EXPECT_ERR(sigaltstack(&ss, NULL), ENOMEM);
}

static void clobber_fpu(int sig)
{
    double x = 1.0;
    for (int i = 0; i < 100; i++)
        x = x * 1.5 + (double)i;
    __asm__ volatile("pcmpeqd %%xmm7, %%xmm7; pcmpeqd %%xmm6, %%xmm6" ::: "xmm6", "xmm7");
    count += x > 0;
}

TEST(fpu_state_survives_a_handler)
{
    uint64_t in = 0x1122334455667788, out;

    signal(SIGUSR1, clobber_fpu);
    pid_t me = getpid();
    long r;
    __asm__ volatile("movq %[in], %%xmm7\n\t"
                     "syscall\n\t"
                     "movq %%xmm7, %[out]"
                     : [out] "=r"(out), "=a"(r)
                     : [in] "r"(in), "a"(SYS_kill), "D"(me), "S"(SIGUSR1)
                     : "rcx", "r11", "memory", "xmm7", "xmm6");
    EXPECT(r == 0 && count == 1 && out == in);
}

static void alarm_handler(int sig)
{
    count++;
}

static int told[2];

static void tell_handler(int sig)
{
    count++;
    EXPECT(write(told[1], "", 1) == 1);
}

TEST(read_restarts_with_sa_restart)
{
    int p[2];
    char c = 0;
    struct sigaction sa = {.sa_handler = tell_handler, .sa_flags = SA_RESTART};

    EXPECT(pipe(p) == 0 && pipe(told) == 0);
    sigaction(SIGALRM, &sa, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        until_process_asleep(getppid());
        kill(getppid(), SIGALRM);
        EXPECT(read(told[0], &c, 1) == 1);
        until_process_asleep(getppid());
        write(p[1], "z", 1);
        _exit(0);
    }
    EXPECT(read(p[0], &c, 1) == 1 && c == 'z' && count == 1);
    waitpid(pid, NULL, 0);
}

TEST(read_without_sa_restart_is_eintr)
{
    int p[2];
    char c;
    struct sigaction sa = {.sa_handler = alarm_handler};
    struct itimerval it = {{0, 30000}, {0, 30000}}; /* again, if the first comes before the read */

    pipe(p);
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &it, NULL);
    EXPECT_ERR(read(p[0], &c, 1), EINTR);
}

TEST(nanosleep_goes_on_after_stop_and_continue)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec a, b, ts = {0, 200000000};
        clock_gettime(CLOCK_MONOTONIC, &a);
        EXPECT(nanosleep(&ts, NULL) == 0);
        clock_gettime(CLOCK_MONOTONIC, &b);
        long ms = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
        _exit(ms >= 199 ? 0 : 1);
    }
    usleep(50000);
    EXPECT(pid > 0); /* -1 would be all processes */
    kill(pid, SIGSTOP);
    usleep(20000);
    kill(pid, SIGCONT);
    int st;
    EXPECT(waitpid(pid, &st, 0) == pid && st == 0);
}

TEST(sigsuspend_swaps_the_mask)
{
    sigset_t block, none;

    handle(SIGUSR1, 0);
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, NULL);
    kill(getpid(), SIGUSR1);
    EXPECT_ERR(sigsuspend(&none), EINTR);
    EXPECT(count == 1);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    EXPECT(sigismember(&now, SIGUSR1));
}

TEST(signalfd_reads)
{
    sigset_t set;
    struct signalfd_siginfo si;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    EXPECT(fd >= 0);
    EXPECT_ERR(read(fd, &si, sizeof(si)), EAGAIN);
    kill(getpid(), SIGUSR1);
    struct pollfd pf = {fd, POLLIN, 0};
    EXPECT(poll(&pf, 1, -1) == 1);
    EXPECT(read(fd, &si, sizeof(si)) == sizeof(si));
    EXPECT(si.ssi_signo == SIGUSR1 && si.ssi_pid == (uint32_t)getpid());
}

TEST(sigkill_cannot_be_caught)
{
    struct sigaction sa = {.sa_handler = alarm_handler};

    EXPECT_ERR(sigaction(SIGKILL, &sa, NULL), EINVAL);
    EXPECT_ERR(sigaction(SIGSTOP, &sa, NULL), EINVAL);
    EXPECT_ERR(kill(getpid(), 65), EINVAL);
    EXPECT_ERR(kill(999999, 0), ESRCH);
    EXPECT(kill(getpid(), 0) == 0);
}

TEST(sigpipe_ends_the_writer)
{
    pid_t pid = fork();
    if (pid == 0) {
        int p[2];
        pipe(p);
        close(p[0]);
        write(p[1], "x", 1);
        _exit(0);
    }
    int st;
    EXPECT(waitpid(pid, &st, 0) == pid && st == SIGPIPE);
    int p[2];
    signal(SIGPIPE, SIG_IGN);
    pipe(p);
    close(p[0]);
    EXPECT_ERR(write(p[1], "x", 1), EPIPE);
}

TEST(interval_timer_repeats)
{
    struct itimerval it = {{0, 10000}, {0, 10000}};

    signal(SIGALRM, alarm_handler);
    setitimer(ITIMER_REAL, &it, NULL);
    while (count < 3)
        pause();
    EXPECT(getitimer(ITIMER_REAL, &it) == 0 && it.it_interval.tv_usec == 10000);
}

TEST(posix_timer_delivers_its_value)
{
    timer_t t;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec its = {.it_value = {0, 20000000}};

    ev.sigev_value.sival_int = 77;
    handle(SIGUSR1, 0);
    EXPECT(timer_create(CLOCK_MONOTONIC, &ev, &t) == 0);
    EXPECT(timer_settime(t, 0, &its, NULL) == 0);
    while (!count)
        pause();
    EXPECT(last_code == SI_TIMER && last_value == 77);
    EXPECT(timer_delete(t) == 0);
}

TEST(group_signal_reaches_members)
{
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        if (fork() == 0)
            for (;;)
                pause();
        if (fork() == 0)
            for (;;)
                pause();
        usleep(30000);
        signal(SIGTERM, SIG_IGN);
        kill(0, SIGTERM);
        int a, b;
        wait(&a), wait(&b);
        _exit(a == SIGTERM && b == SIGTERM ? 0 : 1);
    }
    int st;
    EXPECT(waitpid(pid, &st, 0) == pid && st == 0);
}

/* The child puts its own queue of signals into the epoll that it shares with us, and goes. */
TEST(epoll_outlives_the_process_that_added_a_signalfd)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int status, ep = epoll_create1(0), sfd;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sfd = signalfd(-1, &set, 0);
    EXPECT(ep >= 0 && sfd >= 0);
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(epoll_ctl(ep, EPOLL_CTL_ADD, sfd, &ev) != 0);
        EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
        for (int k = 0; k < 3; k++) { /* others take the memory that it had */
            pid = fork();
            if (pid == 0)
                _exit(0);
            EXPECT(waitpid(pid, &status, 0) == pid);
        }
        EXPECT(epoll_wait(ep, &ev, 1, 0) == 0);
        EXPECT(epoll_ctl(ep, EPOLL_CTL_DEL, sfd, NULL) == 0);
        ev.events = EPOLLIN;
    }
    EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD, sfd, &ev) == 0);
    kill(getpid(), SIGUSR1);
    EXPECT(epoll_wait(ep, &ev, 1, -1) == 1);
}

#define CROWD 100

static atomic_int crowd_begun;
static int crowd_word; /* which all of them wait at, or 0 */

/* The last of a crowd takes what the others block. */
static void *crowd_member(void *last)
{
    sigset_t none;

    sigemptyset(&none);
    if (last)
        pthread_sigmask(SIG_SETMASK, &none, NULL);
    atomic_fetch_add(&crowd_begun, 1);
    for (;;)
        syscall(SYS_futex, &crowd_word, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0);
    return NULL;
}

static void crowd_begin(void)
{
    pthread_t thread;
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int i = 1; i <= CROWD; i++)
        EXPECT(pthread_create(&thread, NULL, crowd_member, i == CROWD ? &crowd_word : NULL) == 0);
    while (atomic_load(&crowd_begun) < CROWD)
        usleep(1000);
}

static int crowd_pipe[2];

static void on_crowd_signal(int sig)
{
    EXPECT(write(crowd_pipe[1], "", 1) == 1);
}

TEST(signals_find_the_one_of_a_crowd_that_takes_them)
{
    char c;

    EXPECT(pipe(crowd_pipe) == 0);
    signal(SIGUSR1, on_crowd_signal);
    signal(SIGUSR2, on_crowd_signal);
    crowd_begin();
    for (int i = 0; i < 10; i++) {
        EXPECT(kill(getpid(), SIGUSR1) == 0 && kill(getpid(), SIGUSR2) == 0);
        EXPECT(read(crowd_pipe[0], &c, 1) == 1 && read(crowd_pipe[0], &c, 1) == 1);
    }
}

TEST(a_signal_ends_a_crowd_of_which_one_takes_it)
{
    int status, ready[2];
    char c;
    pid_t pid;

    EXPECT(pipe(ready) == 0);
    pid = fork();
    if (pid == 0) {
        crowd_begin();
        EXPECT(write(ready[1], "", 1) == 1);
        for (;;)
            pause();
    }
    EXPECT(pid > 0); /* -1 would be all processes */
    EXPECT(read(ready[0], &c, 1) == 1 && kill(pid, SIGTERM) == 0);
    EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* What is queued for a task alone is dropped with the rest. */
TEST(stops_for_one_of_a_crowd_are_undone_by_a_continuation)
{
    sigset_t pending;

    crowd_begin();
    for (int i = 0; i < 3; i++) {
        EXPECT(raise(SIGTSTP) == 0);
        EXPECT(sigpending(&pending) == 0 && sigismember(&pending, SIGTSTP));
        EXPECT(kill(getpid(), SIGCONT) == 0);
        EXPECT(sigpending(&pending) == 0 && !sigismember(&pending, SIGTSTP));
        EXPECT(raise(SIGUSR1) == 0);
        signal(SIGUSR1, SIG_IGN);
        EXPECT(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR1));
        signal(SIGUSR1, SIG_DFL);
    }
}

static void wait_for_the_other(int sig)
{
    char c;

    EXPECT(read(crowd_pipe[0], &c, 1) == 1);
}

/* Returns when that process sleeps with no signal blocked. */
static void until_asleep_and_open(pid_t pid)
{
    char path[64], text[4096] = "";

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    while (!strstr(text, "State:\tS") || !strstr(text, "SigBlk:\t0000000000000000")) {
        int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, text, sizeof(text) - 1);

        EXPECT(n > 0 && close(fd) == 0);
        text[n] = 0;
        sched_yield();
    }
}

/* The first thread is chosen for it, and then blocks it in another's handler before it has it. */
TEST(a_signal_that_its_taker_blocks_goes_to_the_one_of_a_crowd_that_does_not)
{
    struct sigaction act = {.sa_handler = wait_for_the_other};
    sigset_t none;
    pid_t pid;

    sigemptyset(&none);
    sigaddset(&act.sa_mask, SIGUSR1);
    EXPECT(pipe(crowd_pipe) == 0 && sigaction(SIGHUP, &act, NULL) == 0);
    signal(SIGUSR1, on_crowd_signal);
    crowd_begin();
    pid = fork();
    if (pid == 0) {
        until_asleep_and_open(getppid());
        kill(getppid(), SIGUSR1);
        kill(getppid(), SIGHUP);
        _exit(0);
    }
    EXPECT(pid > 0);
    EXPECT_ERR(ppoll(NULL, 0, NULL, &none), EINTR);
    EXPECT(status_of(pid) == 0);
}
