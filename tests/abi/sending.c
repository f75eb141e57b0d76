/* SPDX-License-Identifier: MIT
 *
 * Signals by number and by descriptor, who may be named, what they tell; waiting by descriptor.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "abi.h"

#define PIDFD_NONBLOCK O_NONBLOCK

static long queue(pid_t pid, int sig, int code, int value)
{
    siginfo_t info = {.si_code = code};

    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = value;
    return syscall(SYS_rt_sigqueueinfo, pid, sig, &info);
}

static void block_all(void)
{
    sigset_t all;

    sigfillset(&all);
    EXPECT(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
}

static int take(int sig, siginfo_t *info)
{
    static const struct timespec now;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, sig);
    return sigtimedwait(&set, info, &now);
}

static pid_t other_tid;
static pthread_barrier_t barrier;

static void *other_thread(void *arg)
{
    other_tid = gettid();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

/* A thread's number names its process. */
TEST(a_threads_number_will_do)
{
    struct rlimit r;
    siginfo_t info;
    pthread_t t;

    block_all();
    pthread_barrier_init(&barrier, NULL, 2);
    EXPECT(pthread_create(&t, NULL, other_thread, NULL) == 0);
    pthread_barrier_wait(&barrier);
    EXPECT(kill(other_tid, SIGUSR1) == 0);
    EXPECT(take(SIGUSR1, &info) == SIGUSR1 && info.si_pid == getpid() && info.si_code == SI_USER);
    EXPECT(queue(other_tid, SIGUSR2, SI_QUEUE, 5) == 0);
    EXPECT(take(SIGUSR2, &info) == SIGUSR2 && info.si_value.sival_int == 5);
    EXPECT_ERR(queue(other_tid, SIGUSR2, SI_USER, 5), EPERM);
    EXPECT(queue(getpid(), SIGUSR2, SI_USER, 5) == 0);
    EXPECT(getpgid(other_tid) == getpgid(0) && getsid(other_tid) == getsid(0));
    EXPECT(syscall(SYS_prlimit64, other_tid, RLIMIT_NOFILE, NULL, &r) == 0);
    EXPECT_ERR(setpgid(other_tid, 0), EINVAL);
    EXPECT_ERR(syscall(SYS_pidfd_open, other_tid, 0), EINVAL);
    pthread_barrier_wait(&barrier);
    pthread_join(t, NULL);
    while (kill(other_tid, 0) == 0)
        sched_yield();
    EXPECT(errno == ESRCH);
}

/* Whatever a program says of its signals, RLIMIT_SIGPENDING holds. */
TEST(the_limit_of_pending_signals_holds_for_any_code)
{
    const int codes[] = {SI_QUEUE, SI_KERNEL, 1, SI_TIMER};
    struct rlimit r = {64, 64};

    block_all();
    EXPECT(setrlimit(RLIMIT_SIGPENDING, &r) == 0);
    for (int i = 0; i < 4; i++) {
        long n = 0;

        while (n < 1000 && queue(getpid(), 40, codes[i], 0) == 0)
            n++;
        EXPECT(n <= 64 && (n == 1000 || errno == EAGAIN));
    }
    EXPECT(kill(getpid(), 41) == 0); /* is noted, if not queued */
    EXPECT(take(41, NULL) == 41);
    EXPECT(kill(getpid(), SIGUSR1) == 0 && take(SIGUSR1, NULL) == SIGUSR1);
    EXPECT(signal(40, SIG_IGN) != SIG_ERR);
    EXPECT(signal(40, SIG_DFL) != SIG_ERR);
}

/* One of many is found at once, in the order of their coming. */
TEST(queued_signals_keep_their_order)
{
    siginfo_t info;

    block_all();
    for (int i = 0; i < 100; i++)
        for (int sig = 40; sig < 43; sig++)
            EXPECT(queue(getpid(), sig, SI_QUEUE, i) == 0);
    for (int sig = 42; sig >= 40; sig--) {
        for (int i = 0; i < 100; i++)
            EXPECT(take(sig, &info) == sig && info.si_value.sival_int == i);
        EXPECT_ERR(take(sig, &info), EAGAIN);
    }
}

TEST(ignoring_a_signal_drops_all_that_are_queued)
{
    block_all();
    for (int i = 0; i < 1000; i++)
        EXPECT(queue(getpid(), 40 + i % 2, SI_QUEUE, i) == 0);
    EXPECT(signal(40, SIG_IGN) != SIG_ERR);
    EXPECT_ERR(take(40, NULL), EAGAIN);
    EXPECT(take(41, NULL) == 41);
}

static long pidfd_signal(int fd, int sig, siginfo_t *info, unsigned flags)
{
    return syscall(SYS_pidfd_send_signal, fd, sig, info, flags);
}

TEST(a_pidfd_takes_the_signal_that_its_message_names)
{
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0), child;
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    pid_t pid;

    block_all();
    EXPECT(pidfd_signal(self, SIGUSR1, &info, 0) == 0);
    EXPECT_ERR(pidfd_signal(self, SIGUSR2, &info, 0), EINVAL);
    EXPECT_ERR(pidfd_signal(self, 0, &info, 0), EINVAL);
    EXPECT_ERR(pidfd_signal(self, SIGUSR1, NULL, 16), EINVAL);
    EXPECT_ERR(pidfd_signal(self, SIGUSR1, (siginfo_t *)8, 0), EFAULT);
    EXPECT_ERR(pidfd_signal(self, 65, NULL, 0), EINVAL);
    EXPECT_ERR(pidfd_signal(1000, SIGUSR1, NULL, 0), EBADF);
    info.si_code = SI_USER;
    EXPECT(pidfd_signal(self, SIGUSR1, &info, 0) == 0);
    pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    child = (int)syscall(SYS_pidfd_open, pid, 0);
    EXPECT_ERR(pidfd_signal(child, SIGUSR1, &info, 0), EPERM);
    EXPECT(pidfd_signal(child, SIGKILL, NULL, 0) == 0);
    EXPECT(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
    EXPECT(pidfd_signal(child, 0, NULL, 0) == 0); /* a zombie is there still */
    EXPECT(waitpid(pid, NULL, 0) == pid);
    EXPECT_ERR(pidfd_signal(child, 0, NULL, 0), ESRCH);
}

TEST(waiting_on_a_nonblocking_pidfd_is_eagain)
{
    siginfo_t info = {.si_pid = 7};
    int gate[2], fd;
    pid_t pid;
    char c;

    EXPECT(pipe(gate) == 0);
    pid = fork();
    if (pid == 0) {
        close(gate[1]);
        read(gate[0], &c, 1);
        _exit(5);
    }
    fd = (int)syscall(SYS_pidfd_open, pid, PIDFD_NONBLOCK);
    EXPECT(fd >= 0);
    EXPECT_ERR(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), EAGAIN);
    EXPECT(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0);
    close(gate[1]);
    EXPECT(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1) == 1);
    EXPECT(waitid(P_PIDFD, (id_t)fd, &info, WEXITED) == 0 && info.si_status == 5);
    EXPECT_ERR(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), ECHILD);
    EXPECT_ERR(waitid(P_PIDFD, (id_t)-1, &info, WEXITED), EINVAL);
}

/* Children are told in the order of their birth, stops and ends alike. */
TEST(the_eldest_that_has_something_to_tell_comes_first)
{
    pid_t pid[4];
    siginfo_t info;
    int status;

    for (int i = 0; i < 4; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            if (i == 1)
                raise(SIGSTOP);
            _exit(i);
        }
    }
    for (int i = 3; i >= 0; i--)
        EXPECT(waitid(P_PID, (id_t)pid[i], &info, WEXITED | WSTOPPED | WNOWAIT) == 0);
    EXPECT(waitpid(-1, &status, WUNTRACED) == pid[0] && status == 0);
    EXPECT(waitpid(-1, &status, WUNTRACED) == pid[1] && WIFSTOPPED(status));
    EXPECT(waitpid(0, &status, 0) == pid[2] && status == 2 << 8);
    EXPECT(waitpid(-1, &status, 0) == pid[3]);
    EXPECT(waitpid(-1, &status, WNOHANG) == 0);
    EXPECT(kill(pid[1], SIGCONT) == 0 && waitpid(-1, &status, 0) == pid[1]);
    EXPECT_ERR(waitpid(-1, &status, 0), ECHILD);
    EXPECT_ERR(waitpid(getppid(), &status, 0), ECHILD);
}

/* Numbers are the receiver's: a namespace's init hears no number of one outside. */
TEST(senders_are_told_in_the_receivers_numbers)
{
    int ready[2], status;
    siginfo_t info = {0};
    pid_t pid;
    char c;

    EXPECT(pipe(ready) == 0);
    pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        sigset_t set;

        block_all();
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        write(ready[1], "", 1);
        EXPECT(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_pid == 0);
        write(ready[1], "", 1);
        EXPECT(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_pid == 0);
        if (fork() == 0) {
            EXPECT(kill(1, SIGUSR1) == 0);
            _exit(0);
        }
        EXPECT(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_pid == 2);
        _exit(0);
    }
    EXPECT(read(ready[0], &c, 1) == 1 && kill(pid, SIGUSR1) == 0);
    EXPECT(read(ready[0], &c, 1) == 1 && queue(pid, SIGUSR1, SI_QUEUE, 1) == 0);
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

/* kill(-1) that may signal none, though there are some, is no error. */
TEST(a_broadcast_that_is_not_permitted_is_no_error)
{
    int status;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);

    if (pid == 0) {
        EXPECT_ERR(kill(-1, 0), ESRCH);
        if (fork() == 0)
            for (;;)
                pause();
        pid = fork();
        if (pid == 0) {
            EXPECT(setuid(1000) == 0);
            EXPECT(kill(-1, SIGKILL) == 0);
            _exit(0);
        }
        EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
        EXPECT(waitpid(-1, &status, WNOHANG) == 0);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Each makes another and ends: a number that is never the same twice. */
static void run_away(void)
{
    for (;;) {
        pid_t pid = fork();

        if (pid > 0)
            _exit(0);
    }
}

static void kill_runaways(void)
{
    pid_t leader = fork();

    if (leader == 0) {
        EXPECT(setpgid(0, 0) == 0);
        for (int i = 0; i < 8; i++)
            if (fork() == 0)
                run_away();
        for (;;)
            pause();
    }
    setpgid(leader, leader);
    usleep(3000); /* some of them run */
    EXPECT(kill(-leader, SIGKILL) == 0);
    while (wait(NULL) > 0) /* for ever, if one is left */
        ;
    EXPECT(errno == ECHILD);
}

TEST(a_group_dies_whole)
{
    EXPECT(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    for (int i = 0; i < 20; i++)
        kill_runaways();
}
