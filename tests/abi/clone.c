/* SPDX-License-Identifier: MIT
 *
 * What clone lets its caller choose: the signal that the end sends, the parent, numbers, shared
 * handlers; and structures of later versions.
 */
#include <linux/sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "abi.h"

struct args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};

static long do_clone(unsigned long flags)
{
    return syscall(SYS_clone, flags, 0, NULL, NULL, 0);
}

static long do_clone3(const void *args, size_t size)
{
    return syscall(SYS_clone3, args, size);
}

static int wait_all(pid_t pid)
{
    int status = -1;

    EXPECT(waitpid(pid, &status, __WALL) == pid);
    return status;
}

/* A sister chooses no signal for the parent that both have. */
TEST(a_sister_has_its_makers_exit_signal)
{
    pid_t maker = fork(), sister;
    int status, exits = 0;

    if (maker == 0) {
        EXPECT(do_clone(CLONE_PARENT | SIGKILL) >= 0);
        _exit(7);
    }
    while ((sister = waitpid(-1, &status, 0)) > 0) {
        EXPECT(status == 7 << 8 || (sister != maker && status == 0));
        exits++;
    }
    EXPECT(errno == ECHILD && exits == 2);
}

static volatile sig_atomic_t heard;

static void hear(int sig)
{
    heard = sig;
}

TEST(a_childs_end_sends_the_signal_asked_for)
{
    pid_t pid;

    signal(SIGUSR2, hear);
    pid = (pid_t)do_clone(SIGUSR2);
    if (pid == 0)
        _exit(0);
    EXPECT(pid > 0 && wait_all(pid) == 0 && heard == SIGUSR2);
    pid = (pid_t)do_clone(0);
    if (pid == 0)
        _exit(3);
    EXPECT_ERR(waitpid(pid, NULL, 0), ECHILD);
    EXPECT(wait_all(pid) == 3 << 8);
    pid = (pid_t)do_clone(255); /* no signal has that number: none is sent */
    if (pid == 0)
        _exit(4);
    EXPECT(pid > 0 && wait_all(pid) == 4 << 8);
}

/* The child ends when the parent, which chose SIGKILL for itself, runs another program. */
__attribute__((constructor)) static void after_exec(void)
{
    const char *text = getenv("CLONE_TEST_CHILD");
    int gate = text ? atoi(text) : -1, status;

    if (!text)
        return;
    close(gate);
    _exit(waitpid(-1, &status, __WALL) > 0 && status == 0 ? 42 : 43);
}
TEST(a_signal_chosen_before_exec_is_void_after_it)
{
    pid_t pid = fork();
    char text[16], c;
    int gate[2];

    if (pid == 0) {
        EXPECT(pipe(gate) == 0);
        if (do_clone(SIGKILL) == 0) {
            close(gate[1]);
            read(gate[0], &c, 1);
            _exit(0);
        }
        close(gate[0]);
        snprintf(text, sizeof(text), "%d", gate[1]);
        setenv("CLONE_TEST_CHILD", text, 1);
        execl("/proc/self/exe", "clone", NULL);
        _exit(1);
    }
    EXPECT(wait_all(pid) == 42 << 8);
}

__attribute__((noreturn)) static void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* The init of a pid namespace has a child that tells of its end by no signal. */
TEST(a_namespace_ends_whatever_its_inits_children_signal)
{
    int ready[2];
    pid_t pid;
    char c;

    EXPECT(pipe(ready) == 0);
    pid = (pid_t)do_clone(CLONE_NEWPID | SIGCHLD);
    if (pid == 0) {
        for (int i = 0; i < 3; i++)
            if (do_clone(i == 1 ? SIGUSR1 : 0) == 0)
                wait_for_ever();
        if (do_clone(0) == 0)
            _exit(0); /* a zombie already */
        write(ready[1], "", 1);
        wait_for_ever();
    }
    EXPECT(read(ready[0], &c, 1) == 1);
    kill(pid, SIGKILL);
    EXPECT(wait_all(pid) == SIGKILL);
}

/* A failure after the number was given: the pidfd cannot be written. */
TEST(a_namespace_whose_first_process_failed_has_no_other)
{
    struct args a = {.flags = CLONE_PIDFD, .pidfd = 8, .exit_signal = SIGCHLD};

    EXPECT(unshare(CLONE_NEWPID) == 0);
    EXPECT_ERR(do_clone3(&a, sizeof(a)), EFAULT);
    EXPECT_ERR(fork(), ENOMEM);
}

TEST(a_number_that_cannot_be_written_is_no_error)
{
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT_SETTID | SIGCHLD, 0, 8, 0, 0);

    if (pid == 0)
        _exit(0);
    EXPECT(pid > 0 && wait_all(pid) == 0);
}

TEST(clone3_takes_larger_structures_that_are_zero)
{
    static union {
        struct args a;
        unsigned char bytes[4097];
    } u;
    pid_t pid;

    u.a.exit_signal = SIGCHLD;
    pid = (pid_t)do_clone3(&u, 4096);
    if (pid == 0)
        _exit(0);
    EXPECT(pid > 0 && wait_all(pid) == 0);
    EXPECT_ERR(do_clone3(&u, 4097), E2BIG);
    EXPECT_ERR(do_clone3(&u, 63), EINVAL);
    u.bytes[4000] = 1;
    EXPECT_ERR(do_clone3(&u, 4096), E2BIG);
    EXPECT_ERR(do_clone3((char *)NULL + 8, 88), EFAULT);
}

TEST(clone3_judges_its_arguments)
{
    static const struct args bad[] = {
        {.exit_signal = 65},
        {.exit_signal = 256},
        {.flags = CLONE_PARENT, .exit_signal = SIGCHLD},
        {.flags = SIGCHLD},
        {.flags = 1UL << 34, .exit_signal = SIGCHLD},
        {.flags = CLONE_DETACHED, .exit_signal = SIGCHLD},
        {.stack = 4096, .exit_signal = SIGCHLD},
        {.stack_size = 4096, .exit_signal = SIGCHLD},
        {.stack = -4096UL, .stack_size = 4096, .exit_signal = SIGCHLD},
        {.set_tid = 4096, .exit_signal = SIGCHLD},
        {.set_tid_size = 1, .exit_signal = SIGCHLD},
        {.set_tid = 4096, .set_tid_size = 33, .exit_signal = SIGCHLD},
        {.flags = CLONE_INTO_CGROUP, .cgroup = 1UL << 31, .exit_signal = SIGCHLD},
        {.flags = CLONE_SIGHAND, .exit_signal = SIGCHLD},
        {.flags = CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD},
    };
    struct args into = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        errno = 0;
        if (do_clone3(&bad[i], sizeof(bad[i])) != -1 || errno != EINVAL)
            printf("# structure %u: errno %d\n", i, errno);
        EXPECT(errno == EINVAL);
    }
    EXPECT_ERR(do_clone3(&into, 80), EINVAL);
}

static int try_numbers(const pid_t *nr, unsigned n, unsigned long flags)
{
    struct args a = {.flags = flags, .exit_signal = SIGCHLD};
    pid_t pid;

    a.set_tid = (uintptr_t)nr;
    a.set_tid_size = n;
    pid = (pid_t)do_clone3(&a, sizeof(a));
    if (pid < 0)
        return -errno;
    if (pid == 0)
        _exit(getpid() == nr[0] ? 0 : 1);
    EXPECT(wait_all(pid) == 0);
    return pid;
}

TEST(clone3_gives_the_numbers_that_are_asked_for)
{
    const pid_t one[] = {31000}, two[] = {1, 31001}, three[] = {1, 31002, 31003};
    const pid_t taken[] = {getpid()}, zero[] = {0}, large[] = {1 << 22}, not_first[] = {2, 31004};

    EXPECT(try_numbers(one, 1, 0) == 31000);
    EXPECT(try_numbers(two, 2, CLONE_NEWPID) == 31001);
    EXPECT(try_numbers(taken, 1, 0) == -EEXIST);
    EXPECT(try_numbers(zero, 1, 0) == -EINVAL);
    EXPECT(try_numbers(large, 1, 0) == -EINVAL);
    EXPECT(try_numbers(three, 3, CLONE_NEWPID) == -EINVAL);
    EXPECT(try_numbers(not_first, 2, CLONE_NEWPID) == -EINVAL);
    EXPECT(setuid(1000) == 0);
    EXPECT(try_numbers(one, 1, 0) == -EPERM);
}

static char stack[65536] __attribute__((aligned(16)));
static volatile int turn;

static int set_a_handler(void *arg)
{
    signal(SIGUSR1, hear);
    signal(SIGUSR2, SIG_IGN);
    turn = 1;
    while (turn == 1)
        sched_yield();
    struct sigaction a;
    sigaction(SIGUSR1, NULL, &a);
    return a.sa_handler == SIG_DFL ? 5 : 6;
}

static pid_t share_handlers(void)
{
    return clone(set_a_handler, stack + sizeof(stack), CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL);
}

TEST(processes_share_handlers)
{
    pid_t pid = share_handlers();
    struct sigaction a;

    EXPECT(pid > 0);
    while (turn == 0)
        sched_yield();
    raise(SIGUSR2);
    raise(SIGUSR1);
    EXPECT(heard == SIGUSR1);
    EXPECT(sigaction(SIGUSR1, NULL, &a) == 0 && a.sa_handler == hear);
    signal(SIGUSR1, SIG_DFL);
    EXPECT_ERR(unshare(CLONE_SIGHAND), EINVAL);
    turn = 2;
    EXPECT(wait_all(pid) == 5 << 8);
    EXPECT(unshare(CLONE_SIGHAND) == 0);
}

static char other_stack[65536] __attribute__((aligned(16)));

static int run_nothing(void *arg)
{
    execl("/proc/self/exe", "clone", "none", NULL);
    return 1;
}

/* fork copies a shared table, exec leaves it to the others. */
TEST(fork_and_exec_leave_shared_handlers)
{
    pid_t pid = share_handlers(), other;
    struct sigaction a;

    while (turn == 0)
        sched_yield();
    other = fork();
    if (other == 0) {
        EXPECT(sigaction(SIGUSR1, NULL, &a) == 0 && a.sa_handler == hear);
        signal(SIGUSR1, SIG_IGN);
        _exit(0);
    }
    EXPECT(wait_all(other) == 0);
    EXPECT(sigaction(SIGUSR1, NULL, &a) == 0 && a.sa_handler == hear);
    other = clone(run_nothing, other_stack + sizeof(other_stack),
                  CLONE_VM | CLONE_VFORK | CLONE_SIGHAND | SIGCHLD, NULL);
    EXPECT(wait_all(other) == 0);
    EXPECT(sigaction(SIGUSR1, NULL, &a) == 0 && a.sa_handler == hear);
    signal(SIGUSR1, SIG_DFL);
    turn = 2;
    EXPECT(wait_all(pid) == 5 << 8);
}

/* A subreaper adopts descendants that were there before it became one. */
TEST(a_new_subreaper_adopts_grandchildren)
{
    int told[2], gate[2];
    pid_t child, nephew = 0;
    char c;

    EXPECT(pipe(told) == 0 && pipe(gate) == 0);
    child = fork();
    if (child == 0) {
        if (fork() == 0) {
            pid_t me;

            if (fork() != 0)
                wait_for_ever(); /* until its end is awaited below */
            me = getpid();
            write(told[1], &me, sizeof(me));
            read(gate[0], &c, 1);
            _exit(getppid() == 1 ? 1 : 9);
        }
        pause();
    }
    EXPECT(read(told[0], &nephew, sizeof(nephew)) == sizeof(nephew));
    EXPECT(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    kill(child, SIGKILL);
    EXPECT(wait_all(child) == SIGKILL);
    for (pid_t middle = 0; middle == 0;) { /* ours now: it ends, then its own child is */
        siginfo_t info = {0};
        char path[64], text[256];
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/stat", nephew);
        fd = open(path, O_RDONLY);
        EXPECT(read(fd, text, sizeof(text)) > 0);
        close(fd);
        EXPECT(sscanf(strrchr(text, ')'), ") %*c %d", &middle) == 1);
        kill(middle, SIGKILL);
        EXPECT(waitid(P_PID, (id_t)middle, &info, WEXITED) == 0);
    }
    write(gate[1], "", 1);
    EXPECT(wait_all(nephew) == 9 << 8);
}
