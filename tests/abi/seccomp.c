/* SPDX-License-Identifier: MIT
 *
 * seccomp(2): what filters may answer, strict mode, filters for all threads at once.
 */
#include "abi.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

static int seccomp(unsigned op, unsigned flags, void *args)
{
    return (int)syscall(SYS_seccomp, op, flags, args);
}

/* getppid gets `verdict`, all else goes on. */
static int filter_getppid(unsigned verdict, unsigned flags)
{
    struct sock_filter insns[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, verdict),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {4, insns};

    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    return seccomp(SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static int in_child(void (*fn)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        fn();
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    return status & ~0x80; /* whether a core was written is not asked */
}

TEST(available_actions_are_told)
{
    static const unsigned there[] = {
        SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
        SECCOMP_RET_TRACE,        SECCOMP_RET_LOG,         SECCOMP_RET_ALLOW};
    unsigned action;

    for (unsigned i = 0; i < sizeof(there) / sizeof(there[0]); i++) {
        action = there[i];
        EXPECT(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0);
    }
    action = 0x00010000;
    EXPECT_ERR(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action), EOPNOTSUPP);
    action = SECCOMP_RET_ERRNO | 1;
    EXPECT_ERR(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action), EOPNOTSUPP);
    EXPECT_ERR(seccomp(SECCOMP_GET_ACTION_AVAIL, 1, &action), EINVAL);
    EXPECT_ERR(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, NULL), EFAULT);
}

TEST(sizes_of_notifications_are_told)
{
    struct seccomp_notif_sizes s = {0, 0, 0};

    EXPECT(seccomp(SECCOMP_GET_NOTIF_SIZES, 0, &s) == 0);
    EXPECT(s.seccomp_notif == 80 && s.seccomp_notif_resp == 24 && s.seccomp_data == 64);
    EXPECT_ERR(seccomp(SECCOMP_GET_NOTIF_SIZES, 1, &s), EINVAL);
    EXPECT_ERR(seccomp(SECCOMP_GET_NOTIF_SIZES, 0, NULL), EFAULT);
    EXPECT_ERR(seccomp(99, 0, &s), EINVAL);
}

static void call_killed(void)
{
    EXPECT(filter_getppid(SECCOMP_RET_KILL_PROCESS, 0) == 0);
    syscall(SYS_getppid);
}

static void call_with_no_action(void)
{
    EXPECT(filter_getppid(0x00010000, 0) == 0);
    syscall(SYS_getppid);
}

static void call_traced_by_no_one(void)
{
    EXPECT(filter_getppid(SECCOMP_RET_TRACE, 0) == 0);
    EXPECT_ERR(syscall(SYS_getppid), ENOSYS);
}

static void call_refused(void)
{
    EXPECT(filter_getppid(SECCOMP_RET_ERRNO | 0xffff, 0) == 0);
    EXPECT_ERR(syscall(SYS_getppid), 4095);
    EXPECT(prctl(PR_GET_SECCOMP) == 2);
    EXPECT_ERR(seccomp(SECCOMP_SET_MODE_STRICT, 0, NULL), EINVAL);
    EXPECT_ERR(prctl(PR_SET_SECCOMP, 1), EINVAL);
}

TEST(an_unknown_action_kills)
{
    EXPECT(in_child(call_killed) == SIGSYS);
    EXPECT(in_child(call_with_no_action) == SIGSYS);
    EXPECT(in_child(call_traced_by_no_one) == 0);
    EXPECT(in_child(call_refused) == 0);
}

static void strict_and_quiet(void)
{
    EXPECT_ERR(seccomp(SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
    EXPECT_ERR(seccomp(SECCOMP_SET_MODE_STRICT, 0, &errno), EINVAL);
    EXPECT(seccomp(SECCOMP_SET_MODE_STRICT, 0, NULL) == 0);
    write(-1, "", 0);
    syscall(SYS_exit, 5);
}

static void strict_and_curious(void)
{
    EXPECT(prctl(PR_SET_SECCOMP, 1) == 0);
    syscall(SYS_getpid);
    syscall(SYS_exit, 5);
}

/* Whether it divides by zero hangs on an argument. */
static void divide_by_an_argument(void)
{
    struct sock_filter insns[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_IMM, 100),
        BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {8, insns};

    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(seccomp(SECCOMP_SET_MODE_FILTER, 0, &prog) == 0);
    EXPECT(syscall(SYS_getppid, 1) > 0);
    syscall(SYS_getppid, -1); /* ends the program with 0: kill */
}

TEST(a_filter_that_divides_by_zero_kills)
{
    EXPECT(in_child(divide_by_an_argument) == SIGSYS);
}

TEST(strict_mode_leaves_four_calls)
{
    EXPECT(in_child(strict_and_quiet) == 5 << 8);
    EXPECT(in_child(strict_and_curious) == SIGKILL);
    EXPECT_ERR(prctl(PR_SET_SECCOMP, 3, NULL), EINVAL);
}

/* ------------------------------------------------------------- all threads */

static int ask[2], told[2];
static volatile pid_t sibling;

static void *answer(void *arg)
{
    char c;

    sibling = (pid_t)syscall(SYS_gettid);
    if (arg)
        EXPECT(filter_getppid(SECCOMP_RET_ERRNO | EUSERS, 0) == 0);
    EXPECT(write(told[1], "r", 1) == 1);
    EXPECT(read(ask[0], &c, 1) == 1);
    long r = syscall(SYS_getppid);
    return (void *)(r < 0 ? (long)errno : 0);
}

static pthread_t start_sibling(void *arg)
{
    pthread_t t;
    char c;

    EXPECT(pipe(ask) == 0 && pipe(told) == 0);
    EXPECT(pthread_create(&t, NULL, answer, arg) == 0);
    EXPECT(read(told[0], &c, 1) == 1);
    return t;
}

TEST(filter_for_all_threads_reaches_all)
{
    pthread_t t = start_sibling(NULL);
    void *got;

    EXPECT(filter_getppid(SECCOMP_RET_ERRNO | EXDEV, SECCOMP_FILTER_FLAG_TSYNC) == 0);
    EXPECT(write(ask[1], "g", 1) == 1 && pthread_join(t, &got) == 0 && (long)got == EXDEV);
    EXPECT_ERR(syscall(SYS_getppid), EXDEV);
}

TEST(filter_for_all_threads_names_the_one_in_the_way)
{
    pthread_t t = start_sibling(&ask);
    void *got;

    EXPECT(filter_getppid(SECCOMP_RET_ERRNO | EXDEV, SECCOMP_FILTER_FLAG_TSYNC) == sibling);
    EXPECT_ERR(filter_getppid(SECCOMP_RET_ERRNO | EXDEV,
                              SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH),
               ESRCH);
    EXPECT(syscall(SYS_getppid) > 0);
    EXPECT(write(ask[1], "g", 1) == 1 && pthread_join(t, &got) == 0 && (long)got == EUSERS);
}

/* ------------------------------------------------------------- filters and races */

static volatile bool forks;

static void *fork_one(void *arg)
{
    pid_t pid;

    forks = true;
    pid = fork();
    if (pid == 0)
        _exit(syscall(SYS_getppid) < 0 ? 1 : 2);
    EXPECT(pid > 0);
    return NULL;
}

/* A filter comes to all threads while one of them forks: a child that was not there yet has it. */
static void filter_in_a_fork(void)
{
    pthread_t t;
    siginfo_t info;
    int status;
    bool there;

    forks = false;
    EXPECT(pthread_create(&t, NULL, fork_one, NULL) == 0);
    while (!forks)
        ;
    EXPECT(filter_getppid(SECCOMP_RET_ERRNO | EXDEV, SECCOMP_FILTER_FLAG_TSYNC) == 0);
    there = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
    EXPECT(pthread_join(t, NULL) == 0 && wait(&status) > 0);
    EXPECT(there || status == 1 << 8);
}

TEST(a_filter_for_all_threads_comes_with_their_children)
{
    delay_at("clone_publish", true);
    for (int i = 0; i < 30; i++)
        EXPECT(in_child(filter_in_a_fork) == 0);
    delay_at("clone_publish", false);
}

#define SET_ID "/abi-set-id"

/* What main() becomes where the program was started as a set-id one. */
__attribute__((constructor)) static void started_as_set_id(void)
{
    if (getenv("SET_ID_PROBE"))
        _exit(geteuid() == 0 && syscall(SYS_getppid) < 0 ? 1 : 0);
}

static void *exec_set_id(void *arg)
{
    static char *const argv[] = {SET_ID, NULL}, *const envp[] = {"SET_ID_PROBE=1", NULL};

    forks = true;
    execve(SET_ID, argv, envp);
    _exit(2);
}

static long filter_late; /* ns */

static long ns_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* The thread that filters has renounced privileges, the one that starts the program has not. */
static void filter_in_an_exec(void)
{
    pthread_t t;
    long start;

    EXPECT(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
    forks = false;
    EXPECT(pthread_create(&t, NULL, exec_set_id, NULL) == 0);
    while (!forks)
        ;
    for (start = ns_now(); ns_now() - start < filter_late;)
        ;
    filter_getppid(SECCOMP_RET_ERRNO | EXDEV, SECCOMP_FILTER_FLAG_TSYNC);
    pause();
}

static void copy_self(const char *to)
{
    char block[65536];
    int in = open("/proc/self/exe", O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ssize_t n;

    while ((n = read(in, block, sizeof(block))) > 0)
        EXPECT(write(out, block, (size_t)n) == n);
    EXPECT(n == 0 && fchmod(out, 04755) == 0 && close(out) == 0 && close(in) == 0);
}

TEST(a_set_id_program_meets_no_filter_of_a_sibling)
{
    copy_self(SET_ID);
    delay_at("exec_creds", true);
    for (filter_late = 0; filter_late < 1500000; filter_late += 50000)
        EXPECT(in_child(filter_in_an_exec) == 0);
    delay_at("exec_creds", false);
    unlink(SET_ID);
}
