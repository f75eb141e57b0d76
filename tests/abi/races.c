/* SPDX-License-Identifier: MIT
 *
 * What processes do to each other at the same moment; see dwell.h.
 */
#include "dwell.h"

#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* ------------------------------------------------------------- the end of a pid namespace */

/* Ends `init` once told to: from outside of its namespace. */
static pid_t start_killer(int tell, pid_t init)
{
    pid_t pid = fork();
    char c;

    if (pid == 0) {
        EXPECT(read(tell, &c, 1) == 1);
        EXPECT(kill(init, SIGKILL) == 0);
        _exit(0);
    }
    return pid;
}

/* One namespace that ends while a process outside it forks into it. */
static void fork_into_a_dying_namespace(void)
{
    pid_t init, late, killer;
    int fds[2];

    EXPECT(pipe(fds) == 0 && unshare(CLONE_NEWPID) == 0);
    init = fork();
    if (init == 0)
        sleep_for_ever();
    EXPECT(setns(open("/proc/self/ns/pid", O_RDONLY), 0) == 0); /* the killer's is ours */
    killer = start_killer(fds[0], init);
    EXPECT(init > 0 && killer > 0);
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", init);
    EXPECT(setns(open(path, O_RDONLY), CLONE_NEWPID) == 0);
    become_dweller();
    EXPECT(write(fds[1], "", 1) == 1);
    late = fork();
    if (late == 0)
        sleep_for_ever();
    EXPECT(late > 0 || errno == ENOMEM);
    for (int left = 2 + (late > 0); left; left--) /* init may wait for us to reap the late one */
        EXPECT(waitpid(-1, NULL, 0) > 0);
    _exit(0);
}

static void in_rounds(const char *point, void (*round)(void))
{
    dwell(point, true);
    for (int i = 0; i < ROUNDS; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            alarm(LIMIT_S);
            round();
        }
        EXPECT(waitpid(pid, &status, 0) == pid);
        if (status)
            dwell(point, false);
        EXPECT(status == 0);
    }
    dwell(point, false);
}

TEST(a_namespace_ends_though_a_fork_into_it_is_given_up)
{
    in_rounds("clone_publish", fork_into_a_dying_namespace);
}

TEST(a_namespace_takes_along_who_is_just_being_forked)
{
    in_rounds("clone_link", fork_into_a_dying_namespace);
}

static void nothing(int sig)
{
}

/* The first process of a namespace, while signals come for all of its maker's group. */
static void fork_first_among_signals(void)
{
    int fds[2], status = -1;
    pid_t sender, init;
    char c;

    EXPECT(setpgid(0, 0) == 0 && signal(SIGUSR1, nothing) != SIG_ERR && pipe(fds) == 0);
    sender = fork();
    if (sender == 0) {
        EXPECT(read(fds[0], &c, 1) == 1);
        for (int i = 0; i < 4; i++) {
            usleep(5000);
            EXPECT(kill(0, SIGUSR1) == 0);
        }
        _exit(0);
    }
    EXPECT(sender > 0 && unshare(CLONE_NEWPID) == 0);
    become_dweller();
    EXPECT(write(fds[1], "", 1) == 1);
    init = fork();
    if (init == 0)
        _exit(getpid() != 1);
    EXPECT(init > 0 && waitpid(init, &status, 0) == init && status == 0);
    EXPECT(waitpid(sender, &status, 0) == sender && status == 0);
    _exit(0);
}

TEST(the_first_fork_into_a_namespace_gets_through_signals)
{
    in_rounds("clone_publish", fork_first_among_signals);
}

static void *sleeper(void *arg)
{
    sleep_for_ever();
    return NULL;
}

/* One namespace with a process of several threads in it. */
static void end_a_namespace_of_threads(void)
{
    pthread_t t;
    pid_t init;
    int fds[2];
    char c;

    EXPECT(pipe(fds) == 0 && unshare(CLONE_NEWPID) == 0);
    become_dweller();
    init = fork();
    if (init == 0) {
        if (fork() == 0) {
            for (int i = 0; i < 3; i++)
                EXPECT(pthread_create(&t, NULL, sleeper, NULL) == 0);
            EXPECT(write(fds[1], "", 1) == 1);
        }
        sleep_for_ever();
    }
    EXPECT(read(fds[0], &c, 1) == 1);
    EXPECT(kill(init, SIGKILL) == 0 && waitpid(init, NULL, 0) == init);
    _exit(0);
}

TEST(a_namespace_ends_whichever_thread_of_it_leaves_last)
{
    in_rounds("exit_number", end_a_namespace_of_threads);
}

/* ------------------------------------------------------------- the end of a process */

static volatile pid_t ending;

static void *look_it_up(void *arg)
{
    char path[64];

    become_dweller();
    for (int i = 0; i < ROUNDS; i++) {
        while (!ending)
            sched_yield();
        snprintf(path, sizeof(path), "/proc/%d/stat", ending);
        EXPECT(access(path, R_OK) == 0 || errno == ENOENT);
        ending = 0;
    }
    return NULL;
}

static void dwell_in_all(const char *const *points, bool on)
{
    for (; *points; points++)
        dwell(*points, on);
}

TEST(a_process_is_looked_up_while_it_is_reaped)
{
    static const char *const points[] = {"process_leader", "process_leader_get", "reap_leader",
                                         NULL};
    pthread_t looker;
    siginfo_t info;

    become_dweller();
    EXPECT(pthread_create(&looker, NULL, look_it_up, NULL) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        EXPECT(waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0);
        dwell_in_all(points, true);
        ending = pid;
        usleep(10000); /* half of what the other dwells */
        EXPECT(waitpid(pid, NULL, 0) == pid);
        while (ending)
            sched_yield();
        dwell_in_all(points, false);
    }
    EXPECT(pthread_join(looker, NULL) == 0);
}

/* ------------------------------------------------------------- the end of a thread */

static void *no_thread(void *arg)
{
    return NULL;
}

static void just_come(int sig)
{
}

/* The first process of a namespace: a timer's signal is judged by who it comes from, even where the
 * timer interrupts a thread that has just ended. */
static void end_threads_under_a_timer(void)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec often = {{0, 2000000}, {0, 2000000}};
    pthread_t thread;
    timer_t timer;
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(0, &one);
    EXPECT(sched_setaffinity(0, sizeof(one), &one) == 0);
    EXPECT(signal(SIGUSR1, just_come) != SIG_ERR);
    EXPECT(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
    EXPECT(timer_settime(timer, 0, &often, NULL) == 0);
    for (int i = 0; i < ROUNDS; i++)
        EXPECT(pthread_create(&thread, NULL, no_thread, NULL) == 0 &&
               pthread_join(thread, NULL) == 0);
    _exit(0);
}

TEST(a_timer_of_the_first_process_comes_while_a_thread_ends)
{
    pid_t init;
    int status;

    EXPECT(unshare(CLONE_NEWPID) == 0);
    become_dweller();
    dwell("task_exit", true);
    init = fork();
    if (init == 0)
        end_threads_under_a_timer();
    EXPECT(waitpid(init, &status, 0) == init);
    dwell("task_exit", false);
    EXPECT(status == 0);
}

/* ------------------------------------------------------------- signals */

static volatile pid_t taken_by;

static void take(int sig)
{
    taken_by = gettid();
}

static void block(int how, int sig)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, sig);
    EXPECT(pthread_sigmask(how, &set, NULL) == 0);
}

static volatile bool about_to_block;

/* Sends the process a signal that the first thread is just blocking, and would take itself. */
static void *send_while_it_blocks(void *arg)
{
    while (!about_to_block)
        ;
    EXPECT(kill(getpid(), SIGUSR1) == 0);
    while (!taken_by)
        ;
    return NULL;
}

TEST(a_signal_that_its_taker_blocks_goes_to_another_thread)
{
    pthread_t t;

    become_dweller();
    signal(SIGUSR1, take);
    for (int i = 0; i < ROUNDS; i++) {
        taken_by = 0;
        about_to_block = false;
        EXPECT(pthread_create(&t, NULL, send_while_it_blocks, NULL) == 0);
        dwell("signal_mask", true);
        about_to_block = true;
        block(SIG_BLOCK, SIGUSR1);
        dwell("signal_mask", false);
        EXPECT(pthread_join(t, NULL) == 0);
        block(SIG_UNBLOCK, SIGUSR1);
    }
}

/* ------------------------------------------------------------- descriptors */

static volatile int locked_fd, about_to_lock, has_locked;

/* Locks it while the other thread, which came first, dwells on its way. */
static void *lock_second(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        while (about_to_lock == i)
            ;
        usleep(1000);
        EXPECT(flock(locked_fd, LOCK_SH) == 0);
        has_locked = i + 1;
    }
    return NULL;
}

/* Each file has one inode, made when it is first asked for; a copy of the descriptor finds the
 * lock. */
static void two_threads_lock(int (*nameless)(void))
{
    pthread_t t;

    about_to_lock = has_locked = 0;
    EXPECT(pthread_create(&t, NULL, lock_second, NULL) == 0);
    become_dweller();
    for (int i = 0; i < ROUNDS; i++) {
        struct stat st;
        locked_fd = nameless();
        EXPECT(locked_fd >= 0);
        dwell("anon_inode", true);
        about_to_lock = i + 1;
        EXPECT(flock(locked_fd, LOCK_SH) == 0);
        dwell("anon_inode", false);
        while (has_locked == i)
            ;
        EXPECT(flock(locked_fd, LOCK_EX) == 0 && fchmod(locked_fd, 0640) == 0);
        EXPECT(fstat(locked_fd, &st) == 0 && (st.st_mode & 0777) == 0640);
        EXPECT(close(locked_fd) == 0);
    }
    EXPECT(pthread_join(t, NULL) == 0);
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int new_pipe(void)
{
    int fds[2];

    EXPECT(pipe(fds) == 0 && close(fds[1]) == 0);
    return fds[0];
}

TEST(two_threads_lock_a_nameless_file_at_once)
{
    two_threads_lock(new_socket);
    two_threads_lock(new_pipe);
}

/* ------------------------------------------------------------- memory that is taken away */

static volatile char *taken_page;

/* For as long as it is told to, Bothy's debug build does as if another thread had taken the page
 * away each time that it has been brought in. */
static void use_for_ever(void (*use)(void))
{
    become_dweller();
    for (;;) {
        EXPECT(madvise((void *)taken_page, 4096, MADV_DONTNEED) == 0);
        use();
    }
}

/* A thread that waits for the page keeps no other thread from the processor, and can be killed. */
static void use_beside(const char *point, void (*use)(void))
{
    cpu_set_t one;
    pid_t pid;
    int status;

    CPU_ZERO(&one);
    CPU_SET(0, &one);
    EXPECT(sched_setaffinity(0, sizeof(one), &one) == 0);
    taken_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(taken_page != MAP_FAILED);
    pid = fork();
    if (pid == 0)
        use_for_ever(use);
    dwell(point, true);
    for (int i = 0; i < ROUNDS; i++)
        usleep(1000);
    EXPECT(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    dwell(point, false);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void touch(void)
{
    *taken_page = 1;
}

static void be_told(void)
{
    EXPECT(syscall(SYS_getcpu, taken_page, NULL, NULL) == 0);
}

static void read_as_a_debugger(void)
{
    char c;
    struct iovec here = {&c, 1}, there = {(void *)taken_page, 1};

    EXPECT(process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1 && c == 0);
}

static void wait_for_its_change(void)
{
    EXPECT(syscall(SYS_futex, taken_page, FUTEX_WAIT_PRIVATE, 1, NULL) < 0 && errno == EAGAIN);
}

TEST(memory_that_is_taken_away_each_time_keeps_no_processor)
{
    use_beside("aspace_fault", touch);
    use_beside("copy_fault", be_told);
    use_beside("aspace_resolve", read_as_a_debugger);
    use_beside("futex_peek", wait_for_its_change);
}

/* ------------------------------------------------------------- a root that moves */

#define A_ROOT "/tmp/races-root"

/* In a mount namespace of its own, under a root that may move. */
static void enter_a_root(void)
{
    EXPECT(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    mkdir(A_ROOT, 0755);
    EXPECT(mount("a", A_ROOT, "tmpfs", 0, NULL) == 0);
    EXPECT(chroot(A_ROOT) == 0 && chdir("/") == 0);
}

/* All processes go to a new root; the old one is taken down, as umount2(2) does it by `flags`. */
static void move_root(int flags)
{
    EXPECT(mkdir("/b", 0755) == 0 && mount("b", "/b", "tmpfs", 0, NULL) == 0);
    EXPECT(mkdir("/b/a", 0755) == 0 && syscall(SYS_pivot_root, "/b", "/b/a") == 0);
    EXPECT(umount2("/a", flags) == 0 && rmdir("/a") == 0);
}

static void walk_for_ever(void)
{
    for (;;) {
        (void)access("/b/a", F_OK);
        (void)access("b", F_OK);
    }
}

/* The walker is moved in the middle of a walk or not; in the end no reference to its root is left
 * over: that is not busy. */
static void move_root_under_a_walker(void)
{
    pid_t walker;

    enter_a_root();
    walker = fork();
    if (walker == 0) {
        become_dweller();
        walk_for_ever();
    }
    for (int i = 0; i < 10 * ROUNDS; i++)
        move_root(MNT_DETACH);
    EXPECT(kill(walker, SIGKILL) == 0 && waitpid(walker, NULL, 0) == walker);
    move_root(0);
    _exit(0);
}

TEST(a_root_moves_while_its_processes_walk)
{
    dwell("walk_hold", true);
    pid_t pid = fork();
    if (pid == 0)
        move_root_under_a_walker();
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    dwell("walk_hold", false);
}
