/* SPDX-License-Identifier: MIT
 *
 * Of several signals, which one ends a process; what its parent hears of stops and continuations.
 *
 * A process inside vfork(2) is neither running nor stopped, and looks at signals only once its
 * child is gone: so the child can send several that its parent finds together.
 */
#include <semaphore.h>
#include <sys/resource.h>

#include "abi.h"

static void nothing(int sig)
{
}

/* R, S, T and so on, of a thread of a process that is ours. */
static char state_of(pid_t pid, pid_t tid)
{
    char path[64], text[256] = "";

    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
    int fd = open(path, O_RDONLY);
    EXPECT(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    return strrchr(text, ')')[2];
}

static void until_state(pid_t pid, pid_t tid, char state)
{
    while (state_of(pid, tid) != state)
        usleep(1000);
}

/* On one processor, a child of vfork(2) runs only once its parent waits for it. */
static void stay_on_this_cpu(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    EXPECT(sched_setaffinity(0, sizeof(one), &one) == 0);
}

/* How a process ends that finds these signals, sent in this order, SIGUSR2 being handled. */
static int found_together(int n, const int *signals)
{
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGUSR2, nothing);
        stay_on_this_cpu();
        if (vfork() == 0) {
            for (int i = 0; i < n; i++)
                kill(getppid(), signals[i]);
            _exit(0);
        }
        _exit(0);
    }
    return status_of(pid);
}
#define FOUND_TOGETHER(...) \
    found_together(sizeof((int[]){__VA_ARGS__}) / sizeof(int), (int[]){__VA_ARGS__})

TEST(first_deadly_signal_ends_the_process)
{
    EXPECT(FOUND_TOGETHER(SIGTERM, SIGHUP) == SIGTERM);
    EXPECT(FOUND_TOGETHER(SIGTERM, SIGKILL) == SIGTERM);
    EXPECT(FOUND_TOGETHER(SIGRTMIN, SIGHUP, SIGQUIT) == SIGRTMIN);
}

TEST(lowest_of_signals_found_together_ends_the_process)
{
    EXPECT(FOUND_TOGETHER(SIGUSR2, SIGTERM, SIGHUP) == SIGHUP);
    EXPECT(FOUND_TOGETHER(SIGUSR2, SIGTERM, SIGKILL) == SIGKILL);
}

TEST(signal_that_dumps_core_takes_its_turn)
{
    EXPECT(FOUND_TOGETHER(SIGXCPU, SIGTERM) == SIGTERM);
    EXPECT(FOUND_TOGETHER(SIGTERM, SIGQUIT) == SIGTERM);
    EXPECT((FOUND_TOGETHER(SIGXCPU, SIGUSR1, SIGQUIT) & 0x7f) == SIGQUIT);
}

/* What a fault sends comes before lower numbers, whoever sent it. */
TEST(signal_of_a_fault_comes_first)
{
    EXPECT((FOUND_TOGETHER(SIGSYS, SIGTERM) & 0x7f) == SIGSYS);
    EXPECT((FOUND_TOGETHER(SIGUSR2, SIGTERM, SIGSEGV) & 0x7f) == SIGSEGV);
}

TEST(waiting_for_a_signal_does_not_block_it)
{
    sigset_t set;
    pid_t pid = fork();

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (pid == 0)
        _exit(sigwaitinfo(&set, NULL) != SIGUSR1);
    until_state(pid, pid, 'S');
    kill(pid, SIGUSR1);
    EXPECT(status_of(pid) == SIGUSR1);
}

TEST(waiting_for_an_ignored_signal_does_not_keep_it)
{
    struct timespec ts = {0, 300000000};
    sigset_t set;
    pid_t pid = fork();

    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    if (pid == 0)
        _exit(sigtimedwait(&set, NULL, &ts) != -1 || errno != EAGAIN);
    until_state(pid, pid, 'S');
    kill(pid, SIGURG);
    EXPECT(status_of(pid) == 0);
}

TEST(killed_process_tells_no_earlier_stop)
{
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        siginfo_t si;
        if (pid == 0)
            for (;;)
                pause();
        kill(pid, SIGSTOP);
        until_state(pid, pid, 'T');
        kill(pid, SIGKILL);
        EXPECT(waitid(P_PID, pid, &si, WEXITED | WSTOPPED | WCONTINUED) == 0);
        EXPECT(si.si_code == CLD_KILLED && si.si_status == SIGKILL);
    }
}

struct vforker {
    int ready, go; /* of pipes */
};

static void *vfork_until_told(void *arg)
{
    struct vforker *v = arg;
    char c;

    if (vfork() == 0) {
        write(v->ready, "", 1);
        read(v->go, &c, 1);
        _exit(0);
    }
    return NULL;
}

/* One thread stops, the other is busy: its parent hears that it stopped when that is over already,
 * and that it was continued. */
TEST(continued_before_all_threads_stopped)
{
    int ready[2], go[2], status;
    struct vforker v;
    sigset_t set;
    siginfo_t si;
    pthread_t t;
    char c;

    EXPECT(pipe(ready) == 0 && pipe(go) == 0);
    v = (struct vforker){ready[1], go[0]};
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(pthread_create(&t, NULL, vfork_until_told, &v) == 0);
        EXPECT(pthread_join(t, NULL) == 0);
        _exit(0);
    }
    EXPECT(read(ready[0], &c, 1) == 1);
    kill(pid, SIGSTOP);
    until_state(pid, pid, 'T');
    EXPECT(waitpid(pid, &status, WNOHANG | WUNTRACED) == 0);
    kill(pid, SIGCONT);
    EXPECT(sigwaitinfo(&set, &si) == SIGCHLD);
    EXPECT(si.si_code == CLD_STOPPED && si.si_pid == pid && si.si_status == 0);
    EXPECT(waitpid(pid, &status, WUNTRACED | WCONTINUED) == pid && WIFCONTINUED(status));
    write(go[1], "", 1);
    EXPECT(status_of(pid) == 0);
}

static void *nothing_to_do(void *arg)
{
    return arg;
}

__attribute__((noreturn)) static void make_and_join_for_ever(void)
{
    pthread_t t[2];

    for (;;) {
        for (int n = 0; n < 2; n++)
            EXPECT(pthread_create(&t[n], NULL, nothing_to_do, NULL) == 0);
        for (int n = 0; n < 2; n++)
            EXPECT(pthread_join(t[n], NULL) == 0);
    }
}

/* The last that a stop waits for may end instead, and one may be made meanwhile. */
TEST(stop_and_end_reach_all_threads_that_come_and_go)
{
    for (int i = 0; i < 10; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0)
            make_and_join_for_ever();
        for (int k = 0; k < 10; k++) {
            usleep(rand() % 1000);
            kill(pid, SIGSTOP);
            EXPECT(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
            kill(pid, SIGCONT);
            EXPECT(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
        }
        kill(pid, SIGTERM);
        EXPECT(status_of(pid) == SIGTERM);
    }
}

/* A stop that was under way when SIGCONT came is over. */
TEST(continue_undoes_each_stop_before_it)
{
    static const int stops[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    volatile unsigned *turns =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();

    if (pid == 0) {
        setpgid(0, 0); /* not orphaned, so that all of them stop it */
        for (;;) {
            ++*turns;
            getppid();
        }
    }
    while (!*turns)
        usleep(1000);
    for (int i = 0; i < 400; i++) {
        kill(pid, stops[i % 4]);
        for (volatile int n = rand() % 3000; n; n--)
            ;
        kill(pid, SIGCONT);
        for (unsigned before = *turns; *turns == before;)
            sched_yield();
    }
    kill(pid, SIGKILL);
    EXPECT(status_of(pid) == SIGKILL);
}

/* A child that is PID 1 of a namespace and reboots it, itself or by another process. */
static int reboot_status(int command, bool by_another)
{
    int status = -1;
    pid_t pid;

    if (unshare(CLONE_NEWPID) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        if (by_another && fork() != 0)
            for (;;)
                pause();
        syscall(SYS_reboot, 0xfee1dead, 672274793, command, NULL);
        _exit(errno == EINVAL ? 77 : 78);
    }
    waitpid(pid, &status, 0);
    return status;
}

TEST(reboot_of_a_namespace_ends_its_init_as_by_a_signal)
{
    static const struct {
        unsigned command;
        bool by_another;
        int status;
    } cases[] = {{0x01234567, false, SIGHUP},  {0xa1b2c3d4, true, SIGHUP},
                 {0xcdef0123, true, SIGINT},   {0x4321fedc, false, SIGINT},
                 {0x89abcdef, false, 77 << 8}, {0, false, 77 << 8}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        pid_t pid = fork(); /* unshare of a pid namespace is done once */
        int status;
        if (pid == 0)
            _exit(reboot_status((int)cases[i].command, cases[i].by_another) == cases[i].status ? 0
                                                                                               : 1);
        EXPECT(waitpid(pid, &status, 0) == pid);
        EXPECT(status == 0);
    }
}

#define CROWD 1000 /* so many threads are not told of their end at once */

static sem_t there;
static volatile int *went_on;

static void *wait_in_a_crowd(void *arg)
{
    sem_post(&there);
    for (;;)
        pause();
    return NULL;
}

/* The youngest of the crowd, which no one is to run ahead of. */
static void *end_the_crowd(void *arg)
{
    setpriority(PRIO_PROCESS, (id_t)gettid(), -20);
    for (int i = 0; i < CROWD; i++)
        sem_wait(&there);
    kill(getpid(), *(int *)arg);
    *went_on = 1;
    return NULL;
}

static void be_a_crowd_that_ends_by(int sig)
{
    pthread_attr_t attr;
    pthread_t t;

    sem_init(&there, 0, 0);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN);
    for (int i = 0; i < CROWD; i++)
        EXPECT(pthread_create(&t, &attr, wait_in_a_crowd, NULL) == 0);
    EXPECT(pthread_create(&t, &attr, end_the_crowd, &sig) == 0);
    for (;;)
        pause();
}

TEST(a_thread_that_ends_its_process_goes_no_further_in_any_crowd)
{
    static const int signals[] = {SIGKILL, SIGTERM};

    went_on = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(went_on != MAP_FAILED);
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();

        if (pid == 0)
            be_a_crowd_that_ends_by(signals[i]);
        EXPECT(status_of(pid) == signals[i]);
        EXPECT(!*went_on);
    }
}
