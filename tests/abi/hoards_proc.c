/* SPDX-License-Identifier: MIT
 *
 * Crowds of processes, threads, signals and timers cost their neighbour no time either: see
 * hoards.c and hoard_group.h. Children share memory where they only have to be many.
 */
#include <linux/futex.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include "hoard_group.h"

#define CROWD 2500
#define STACK 8192

static char *stacks;
static int gate[2];

static int wait_at_gate(void *arg)
{
    char c;

    if (arg)
        syscall(SYS_setpgid, 0, *(pid_t *)arg);
    syscall(SYS_close, gate[1]);
    syscall(SYS_read, gate[0], &c, 1);
    syscall(SYS_exit, 0);
    return 0;
}

static int thread_at_gate(void *arg)
{
    char c;

    syscall(SYS_read, gate[0], &c, 1);
    syscall(SYS_exit, 0);
    return 0;
}

static int end_at_once(void *arg)
{
    syscall(SYS_exit, 0);
    return 0;
}

/* n children without memory of their own. */
static void crowd(int n, int (*fn)(void *), void *arg)
{
    static int made;

    if (!stacks)
        stacks = mmap(NULL, (size_t)CROWD * 2 * STACK, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (int i = 0; i < n; i++)
        EXPECT(clone(fn, stacks + (size_t)++made * STACK, CLONE_VM | SIGCHLD, arg) > 0);
}

/* They are asked for one that lives, and left behind. */
static void zombies(void)
{
    pid_t live = fork();

    if (live == 0)
        for (;;)
            pause();
    crowd(CROWD, end_at_once, NULL);
    for (int i = 0; i < 2000; i++)
        EXPECT(waitpid(live, NULL, WNOHANG) == 0);
    kill(live, SIGKILL);
    EXPECT(waitpid(live, NULL, 0) == live);
}
TEST(zombies_let_others_run)
{
    let_others_run(zombies);
}

static void reaped_zombies(void)
{
    crowd(CROWD, end_at_once, NULL);
    for (int i = 0; i < CROWD; i++)
        EXPECT(waitpid(i % 2 ? 0 : -1, NULL, i % 3 ? 0 : WUNTRACED) > 0);
}
TEST(reaping_zombies_lets_others_run)
{
    let_others_run(reaped_zombies);
}

/* The leader of a session ends, whose children are one group. */
static void orphans(void)
{
    pid_t group;

    EXPECT(setsid() > 0 && pipe(gate) == 0);
    group = fork();
    if (group == 0) {
        setpgid(0, 0);
        close(gate[1]);
        wait_at_gate(NULL);
    }
    setpgid(group, group);
    crowd(CROWD, wait_at_gate, &group);
    usleep(20000);
    kill(group, SIGSTOP);
    usleep(20000);
    kill(group, SIGCONT);
    _exit(0);
}
TEST(a_session_leaders_end_lets_others_run)
{
    let_others_run(orphans);
}

static void signalled_group(void)
{
    signal(SIGCONT, SIG_IGN);
    EXPECT(setsid() > 0 && pipe(gate) == 0);
    crowd(CROWD, wait_at_gate, NULL);
    for (int i = 0; i < 20; i++)
        EXPECT(kill(0, SIGCONT) == 0);
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    kill(0, SIGKILL);
}
static void signalled_group_child(void)
{
    pid_t pid = fork();

    if (pid == 0)
        signalled_group();
    EXPECT(waitpid(pid, NULL, 0) == pid);
}
TEST(signalling_a_large_group_lets_others_run)
{
    let_others_run(signalled_group_child);
}

/* The foreground group of a terminal is interrupted, then hung up. */
static void interrupted_group(void)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), slave, zero = 0;
    char name[32];
    unsigned nr;

    EXPECT(master >= 0 && ioctl(master, TIOCSPTLCK, &zero) == 0);
    EXPECT(ioctl(master, TIOCGPTN, &nr) == 0);
    snprintf(name, sizeof(name), "/dev/pts/%u", nr);
    EXPECT(setsid() > 0 && pipe(gate) == 0);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    slave = open(name, O_RDWR);
    EXPECT(slave >= 0);
    crowd(CROWD, wait_at_gate, NULL);
    for (int i = 0; i < 20; i++)
        EXPECT(write(master, "\003", 1) == 1);
}
TEST(interrupting_a_large_group_lets_others_run)
{
    let_others_run(interrupted_group);
}

static void queued_signals(void)
{
    siginfo_t info = {.si_code = SI_KERNEL};
    sigset_t all;
    long n = 0;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    while (n < 100000 && syscall(SYS_rt_sigqueueinfo, getpid(), 40 + n % 20, &info) == 0)
        n++;
    EXPECT(n < 100000);
    for (int i = 0; i < 200; i++)
        kill(getpid(), SIGCONT);
    signal(40, SIG_IGN);
    for (int sig = 41; sig < 50; sig++)
        signal(sig, SIG_IGN);
}
TEST(queued_signals_let_others_run)
{
    let_others_run(queued_signals);
}

static struct itimerspec all_at_once;

/* 1000 timers and 500 descriptors that all expire in one instant. */
static int expire(void *arg)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 8};
    timer_t id;

    for (int i = 0; i < 1000; i++) {
        if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id))
            break;
        syscall(SYS_timer_settime, (int)(long)id, TIMER_ABSTIME, &all_at_once, NULL);
    }
    for (int i = 0; i < 500; i++) {
        int fd = timerfd_create(CLOCK_MONOTONIC, 0);

        if (fd >= 0)
            timerfd_settime(fd, TFD_TIMER_ABSTIME, &all_at_once, NULL);
    }
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &all_at_once.it_value, NULL);
    syscall(SYS_exit, 0);
    return 0;
}
static void timers(void)
{
    struct rlimit r = {1 << 16, 1 << 16};
    sigset_t all;

    setrlimit(RLIMIT_NOFILE, &r);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    clock_gettime(CLOCK_MONOTONIC, &all_at_once.it_value);
    all_at_once.it_value.tv_sec += 1;
    for (int i = 0; i < 20; i++)
        if (fork() == 0)
            expire(NULL);
    for (int i = 0; i < 20; i++)
        EXPECT(wait(NULL) > 0);
}
TEST(timers_that_expire_together_let_others_run)
{
    let_others_run(timers);
}

/* As many threads: asked for their time, continued, ended. */
static void threads(void)
{
    struct timespec t;

    stacks = mmap(NULL, (size_t)CROWD * STACK, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(pipe(gate) == 0);
    for (int i = 0; i < CROWD; i++)
        EXPECT(clone(thread_at_gate, stacks + (size_t)(i + 1) * STACK,
                     CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL) > 0);
    for (int i = 0; i < 30; i++) {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        kill(getpid(), SIGCONT);
    }
    syscall(SYS_exit_group, 0);
}
TEST(threads_let_others_run)
{
    let_others_run(threads);
}

static volatile sig_atomic_t taken;

static void take(int sig)
{
    taken++;
}

/* Each taking sets all the timers going again, by the time that all the threads have had. */
static void timers_of_threads(void)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec ms = {{0, 1000000}, {0, 1000000}};
    struct sigaction act = {.sa_handler = take};
    sigset_t usr1;
    int id;

    stacks = mmap(NULL, 1000UL * STACK, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(pipe(gate) == 0 && sigaction(SIGUSR1, &act, NULL) == 0);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL); /* in them */
    for (int i = 0; i < 1000; i++)
        EXPECT(clone(thread_at_gate, stacks + (size_t)(i + 1) * STACK,
                     CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL) > 0);
    for (int i = 0; i < 1000; i++) {
        EXPECT(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &ev, &id) == 0);
        EXPECT(syscall(SYS_timer_settime, id, 0, &ms, NULL) == 0);
    }
    sigprocmask(SIG_UNBLOCK, &usr1, NULL);
    while (taken < 3)
        ;
    syscall(SYS_exit_group, 0);
}
TEST(timers_of_a_crowds_time_let_others_run)
{
    let_others_run(timers_of_threads);
}

static int word;
static struct timespec wake_up;

static int thread_at_word(void *arg)
{
    syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0);
    syscall(SYS_exit, 0);
    return 0;
}

static int sleeping_thread(void *arg)
{
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &wake_up, NULL);
    syscall(SYS_exit, 0);
    return 0;
}

static void crowd_of_threads(int (*fn)(void *))
{
    stacks = mmap(NULL, (size_t)CROWD * STACK, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (int i = 0; i < CROWD; i++)
        EXPECT(clone(fn, stacks + (size_t)(i + 1) * STACK,
                     CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL) > 0);
}

/* Woken by one call. */
static void waiters(void)
{
    int woken = 0;

    crowd_of_threads(thread_at_word);
    usleep(20000);
    while (woken < CROWD) {
        woken += (int)syscall(SYS_futex, &word, 1 /* FUTEX_WAKE */, 1 << 30, NULL, NULL, 0);
        usleep(1000);
    }
}
TEST(waiters_that_are_woken_at_once_let_others_run)
{
    let_others_run(waiters);
}

/* Woken by one instant. Until shortly before one of them runs: else the scheduler owes the group
 * something for its sleep, see join_group. */
static void sleepers(void)
{
    double begin = now_us();

    clock_gettime(CLOCK_MONOTONIC, &wake_up);
    wake_up.tv_sec += 1;
    crowd_of_threads(sleeping_thread);
    while (now_us() - begin < 999000)
        ;
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &wake_up, NULL);
}
TEST(sleepers_that_wake_together_let_others_run)
{
    let_others_run(sleepers);
}

/* Told one by one who is in the group, and moved. */
static void listed(void)
{
    crowd_of_threads(sleeping_thread);
    for (int i = 0; i < 3; i++) {
        char text[1 << 16];
        int fd = open("/tmp/cgroup/crowd/cgroup.threads", O_RDONLY);
        EXPECT(fd >= 0 && read(fd, text, sizeof(text)) > 0 && close(fd) == 0);
        put("/tmp/cgroup", "cgroup.procs", "0");
        put("/tmp/cgroup/crowd", "cgroup.procs", "0");
        put("/tmp/cgroup/crowd", "cgroup.freeze", "0");
    }
}
TEST(threads_that_are_listed_and_moved_let_others_run)
{
    clock_gettime(CLOCK_MONOTONIC, &wake_up);
    wake_up.tv_sec += 1000;
    let_others_run(listed);
}

/* Each with a group of its own. */
static void groups(void)
{
    static pid_t own;

    EXPECT(pipe(gate) == 0);
    crowd(CROWD, wait_at_gate, &own);
    usleep(1000);
    close(gate[1]);
}
TEST(process_groups_let_others_run)
{
    let_others_run(groups);
}

/* Namespaces in namespaces, each with some processes, end with the outermost. */
static void nest(int depth)
{
    while (depth > 0 && syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0) == 0)
        depth--;
    for (int i = 0; i < 40; i++)
        if (fork() == 0)
            for (;;)
                pause();
    if (depth == 0)
        write(gate[1], "", 1);
    for (;;)
        pause();
}
static void namespaces(void)
{
    pid_t pid;
    char c;

    EXPECT(pipe(gate) == 0);
    pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        nest(10);
    EXPECT(read(gate[0], &c, 1) == 1);
    kill(pid, SIGKILL);
    EXPECT(waitpid(pid, NULL, 0) == pid);
}
TEST(pid_namespaces_let_others_run)
{
    let_others_run(namespaces);
}

static void lists_of_a_group(void)
{
    static char block[1 << 20];
    static const char *const files[] = {"/tmp/cgroup/crowd/cgroup.procs",
                                        "/tmp/cgroup/crowd/cgroup.threads"};

    EXPECT(pipe(gate) == 0);
    crowd(CROWD, wait_at_gate, NULL);
    for (int i = 0; i < 2; i++) {
        int fd = open(files[i], O_RDONLY), lines = 0;
        ssize_t n;

        while ((n = read(fd, block, sizeof(block))) > 0)
            for (ssize_t at = 0; at < n; at++)
                lines += block[at] == '\n';
        EXPECT(lines >= CROWD && close(fd) == 0);
    }
}
TEST(lists_of_a_large_group_let_others_run)
{
    let_others_run(lists_of_a_group);
}

static int word, waiting;

static int wait_for_the_word(void *arg)
{
    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL);
    syscall(SYS_exit, 0);
    return 0;
}

static void all_woken_at_once(void)
{
    long woken = 0;

    crowd(2 * CROWD - 10, wait_for_the_word, NULL);
    while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < 2 * CROWD - 10)
        sched_yield();
    usleep(20000); /* the last sleep, too */
    woken = syscall(SYS_futex, &word, FUTEX_WAKE, 1 << 30);
    EXPECT(woken >= CROWD);
}
TEST(many_that_are_woken_at_once_let_others_run)
{
    let_others_run(all_woken_at_once);
}

static int wait_with_one_bit(void *arg)
{
    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 1);
    syscall(SYS_exit, 0);
    return 0;
}

static void all_requeued(void)
{
    static int second;
    long n;

    crowd(2 * CROWD - 10, wait_with_one_bit, NULL);
    while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < 2 * CROWD - 10)
        sched_yield();
    usleep(20000); /* the last sleep, too */
    EXPECT(syscall(SYS_futex, &word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 2) == 0);
    n = syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 0, 1L << 30, &second, 0);
    EXPECT(n >= CROWD);
    EXPECT(syscall(SYS_futex, &second, FUTEX_CMP_REQUEUE, 1L << 30, 1L << 30, &word, 0) == n);
    EXPECT(syscall(SYS_futex, &word, FUTEX_WAKE, 1) == 0);
}
TEST(many_that_are_requeued_at_once_let_others_run)
{
    let_others_run(all_requeued);
}

/* A program with little CPU time that asks for long walks over its group's members. */
static void walk_for_ever(int ready)
{
    join_group();
    EXPECT(pipe(gate) == 0);
    crowd(CROWD, wait_at_gate, NULL);
    put("/tmp/cgroup/crowd", "cpu.weight", "1");
    write(ready, "", 1);
    for (;;)
        put("/tmp/cgroup/crowd", "cpuset.cpus", "0");
}

TEST(a_poor_groups_long_walks_keep_no_other_from_making_groups)
{
    double late = 1e3 * (getenv("LATE_MS") ? atof(getenv("LATE_MS")) : 5), worst = 0;
    pid_t poor, busy;
    int ready[2];
    char c;

    on_one_processor();
    mkdir("/tmp", 0777);
    mkdir("/tmp/cgroup", 0755);
    mount("none", "/tmp/cgroup", "cgroup2", 0, NULL);
    put("/tmp/cgroup", "cgroup.subtree_control", "+cpu +cpuset");
    EXPECT(mkdir("/tmp/cgroup/crowd", 0755) == 0 || errno == EEXIST);
    EXPECT(pipe(ready) == 0);
    poor = fork();
    if (poor == 0)
        walk_for_ever(ready[1]);
    EXPECT(read(ready[0], &c, 1) == 1);
    busy = fork();
    if (busy == 0)
        for (;;)
            ;
    for (int i = 0; i < 50; i++) {
        double t = now_us();

        EXPECT(mkdir("/tmp/cgroup/other", 0755) == 0 && rmdir("/tmp/cgroup/other") == 0);
        t = now_us() - t;
        worst = t > worst ? t : worst;
        usleep(1000);
    }
    kill(busy, SIGKILL);
    put("/tmp/cgroup/crowd", "cgroup.kill", "1");
    EXPECT(waitpid(busy, NULL, 0) == busy && waitpid(poor, NULL, 0) == poor);
    for (int i = 0; rmdir("/tmp/cgroup/crowd") && i < 1000; i++)
        usleep(2000);
    umount2("/tmp/cgroup", MNT_DETACH);
    if (worst > late || getenv("VERBOSE"))
        printf("# a group took up to %.1f ms\n", worst / 1e3);
    EXPECT(worst <= late);
}

/* Strings near the bound of what an exec takes. */
static void exec_with_long_strings(void)
{
    static char text[120000];
    char *env[17] = {NULL}, *argv[] = {"exec", "none", NULL};

    memset(text, 'x', sizeof(text) - 1);
    for (int i = 0; i < 16; i++)
        env[i] = text;
    execve("/proc/self/exe", argv, env);
    EXPECT(!"the program could not be run");
}

TEST(long_arguments_let_others_run)
{
    hoard(exec_with_long_strings);
}

#define THREADS 25000 /* or as many as there may be */

static void join_with_threads(void)
{
    char *at = mmap(NULL, (size_t)THREADS * 4096, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    join_group();
    for (int i = 0; i < THREADS; i++)
        if (clone(thread_at_word, at + (size_t)(i + 1) * 4096,
                  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL) < 0)
            break;
    usleep(100000);
}

/* The threads end before the process does. */
static void ask_for_times(void)
{
    struct rusage u;

    for (int i = 0; i < 10; i++)
        EXPECT(getrusage(RUSAGE_SELF, &u) == 0);
    while (syscall(SYS_futex, &word, FUTEX_WAKE, 200, NULL, NULL, 0) > 0)
        usleep(1000);
}

TEST(times_of_many_threads_let_others_run)
{
    let_others_run_after(join_with_threads, ask_for_times);
}
