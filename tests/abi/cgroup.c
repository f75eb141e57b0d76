/* SPDX-License-Identifier: MIT
 *
 * cgroup v2 (Linux Documentation/admin-guide/cgroup-v2): the files that runtimes, service managers
 * and Java read and write, and what comes of it.
 */
#include "abi.h"

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define TOP "/tmp/cgroup"
#define BOX TOP "/abi-box"

static char text[8192];

static const char *contents(const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t n;

    EXPECT(fd >= 0);
    n = read(fd, text, sizeof(text) - 1);
    EXPECT(n >= 0);
    text[n] = 0;
    close(fd);
    return text;
}

static int put(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY), err = 0;

    if (fd < 0)
        return errno;
    if (write(fd, value, strlen(value)) < 0)
        err = errno;
    close(fd);
    return err;
}

/* A group under the root that has every controller; removed by box_gone. */
static void box(void)
{
    EXPECT(unshare(CLONE_NEWNS) == 0);
    EXPECT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    mkdir(TOP, 0755);
    EXPECT(mount("none", TOP, "cgroup2", 0, NULL) == 0);
    EXPECT(put(TOP "/cgroup.subtree_control", "+cpuset +cpu +memory +pids") == 0);
    rmdir(BOX "/inner");
    rmdir(BOX);
    EXPECT(mkdir(BOX, 0755) == 0);
}

static void box_gone(void)
{
    char self[16];

    snprintf(self, sizeof(self), "%d", getpid());
    EXPECT(put(TOP "/cgroup.procs", self) == 0);
    EXPECT(rmdir(BOX) == 0);
}

static void enter(const char *group)
{
    char path[128], self[16];

    snprintf(path, sizeof(path), "%s/cgroup.procs", group);
    snprintf(self, sizeof(self), "%d", getpid());
    EXPECT(put(path, self) == 0);
}

TEST(controllers_are_told_in_their_order)
{
    box();
    EXPECT(strcmp(contents(BOX "/cgroup.controllers"), "cpuset cpu memory pids\n") == 0);
    EXPECT(put(BOX "/cgroup.subtree_control", "+nonsense") == EINVAL);
    EXPECT(strcmp(contents(BOX "/cgroup.subtree_control"), "\n") == 0 ||
           strcmp(contents(BOX "/cgroup.subtree_control"), "") == 0);
    EXPECT(strstr(contents("/proc/cgroups"), "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"));
    EXPECT(strstr(text, "cpuset\t0\t") && strstr(text, "cpu\t0\t") && strstr(text, "memory\t0\t"));
    EXPECT(rmdir(BOX) == 0);
}

static int cpus_allowed(void)
{
    cpu_set_t set;

    EXPECT(sched_getaffinity(0, sizeof(set), &set) == 0);
    return CPU_COUNT(&set);
}

TEST(a_cpuset_bounds_where_its_threads_run)
{
    cpu_set_t set;
    int all = cpus_allowed();

    box();
    EXPECT(*contents(BOX "/cpuset.cpus") == '\n');
    EXPECT(*contents(BOX "/cpuset.cpus.effective") == '0');
    EXPECT(strcmp(contents(BOX "/cpuset.mems.effective"), "0\n") == 0);
    EXPECT(put(BOX "/cpuset.cpus", "nonsense") == EINVAL);
    EXPECT(put(BOX "/cpuset.cpus", "0-") == EINVAL);
    EXPECT(put(BOX "/cpuset.mems", "0") == 0);
    EXPECT(strcmp(contents(BOX "/cpuset.mems"), "0\n") == 0);
    EXPECT(put(BOX "/cpuset.cpus", "0") == 0);
    EXPECT(strcmp(contents(BOX "/cpuset.cpus.effective"), "0\n") == 0);
    enter(BOX);
    EXPECT(cpus_allowed() == 1 && sched_getcpu() == 0);
    if (all > 1) {
        CPU_ZERO(&set);
        CPU_SET(1, &set);
        EXPECT_ERR(sched_setaffinity(0, sizeof(set), &set), EINVAL);
        EXPECT(put(BOX "/cpuset.cpus", "1") == 0); /* while we are in it */
        EXPECT(cpus_allowed() == 1);
        while (sched_getcpu() != 1)
            sched_yield();
    }
    EXPECT(put(BOX "/cpuset.cpus", "\n") == ENOSPC);
    enter(TOP);
    EXPECT(cpus_allowed() == all);
    EXPECT(put(BOX "/cpuset.cpus", "\n") == 0);
    box_gone();
}

TEST(a_cpuset_is_part_of_its_parents)
{
    if (cpus_allowed() < 2)
        return;
    box();
    EXPECT(put(BOX "/cgroup.subtree_control", "+cpuset") == 0);
    EXPECT(mkdir(BOX "/inner", 0755) == 0);
    EXPECT(put(BOX "/inner/cpuset.cpus", "0-1") == 0 && put(BOX "/cpuset.cpus", "1") == 0);
    EXPECT(strcmp(contents(BOX "/inner/cpuset.cpus"), "0-1\n") == 0);
    EXPECT(strcmp(contents(BOX "/inner/cpuset.cpus.effective"), "1\n") == 0);
    pid_t pid = fork();
    if (pid == 0) {
        enter(BOX "/inner");
        EXPECT(cpus_allowed() == 1);
        while (sched_getcpu() != 1)
            sched_yield();
        _exit(0);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT(rmdir(BOX "/inner") == 0 && rmdir(BOX) == 0);
}

TEST(groups_are_counted_and_bounded)
{
    box();
    EXPECT(strcmp(contents(BOX "/cgroup.max.depth"), "max\n") == 0);
    EXPECT(put(BOX "/cgroup.max.descendants", "-1") == ERANGE ||
           put(BOX "/cgroup.max.descendants", "-1") == EINVAL);
    EXPECT(put(BOX "/cgroup.max.descendants", "0") == 0);
    EXPECT_ERR(mkdir(BOX "/inner", 0755), EAGAIN);
    EXPECT(put(BOX "/cgroup.max.descendants", "1") == 0);
    EXPECT(mkdir(BOX "/inner", 0755) == 0);
    EXPECT(strstr(contents(BOX "/cgroup.stat"), "nr_descendants 1\n"));
    EXPECT_ERR(mkdir(BOX "/inner/deeper", 0755), EAGAIN);
    EXPECT(put(BOX "/cgroup.max.descendants", "max") == 0);
    EXPECT(put(BOX "/cgroup.max.depth", "1") == 0);
    EXPECT_ERR(mkdir(BOX "/inner/deeper", 0755), EAGAIN);
    EXPECT(rmdir(BOX "/inner") == 0);
    EXPECT(strstr(contents(BOX "/cgroup.stat"), "nr_descendants 0\n"));
    EXPECT(rmdir(BOX) == 0);
}

static __attribute__((noreturn)) void *thread_waits(void *arg)
{
    for (;;)
        pause();
}

TEST(threads_are_listed)
{
    pthread_t thread;
    char own[16];

    box();
    EXPECT(pthread_create(&thread, NULL, thread_waits, NULL) == 0);
    enter(BOX);
    contents(BOX "/cgroup.threads");
    snprintf(own, sizeof(own), "%d\n", getpid());
    EXPECT(strstr(text, own));
    int lines = 0;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    EXPECT(lines == 2);
    box_gone();
}

static long figure(const char *path, const char *key)
{
    const char *at = strstr(contents(path), key);

    EXPECT(at && (at == text || at[-1] == '\n'));
    return atol(at + strlen(key));
}

#define MIB (1L << 20)

/* Runs fn in a process that was made in the group, as all that a runtime starts are. */
static void in_box(void (*fn)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        enter(BOX);
        pid = fork();
        if (pid == 0) {
            fn();
            _exit(0);
        }
        EXPECT(waitpid(pid, &status, 0) == pid);
        _exit(status != 0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

static void memory_uses(void)
{
    long anon = figure(BOX "/memory.stat", "anon "), shared = figure(BOX "/memory.stat", "shmem ");
    char *p = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(p != MAP_FAILED);
    memset(p, 1, 8 * MIB);
    EXPECT(figure(BOX "/memory.stat", "anon ") >= anon + 7 * MIB);
    EXPECT(figure(BOX "/memory.stat", "shmem ") < shared + MIB);
    int fd = memfd_create("m", 0);
    EXPECT(fd >= 0 && ftruncate(fd, 4 * MIB) == 0);
    char *q = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT(q != MAP_FAILED);
    memset(q, 1, 4 * MIB);
    EXPECT(figure(BOX "/memory.stat", "shmem ") >= shared + 4 * MIB);
    EXPECT(figure(BOX "/memory.stat", "file ") >= 4 * MIB);
    EXPECT(munmap(q, 4 * MIB) == 0 && ftruncate(fd, 0) == 0);
    EXPECT(figure(BOX "/memory.stat", "shmem ") < shared + MIB);
    EXPECT(figure(BOX "/memory.stat", "inactive_file ") >= 0);
    EXPECT(figure(BOX "/memory.current", "") >= figure(BOX "/memory.stat", "anon "));
}

TEST(memory_is_told_by_its_use)
{
    box();
    in_box(memory_uses);
    EXPECT(rmdir(BOX) == 0);
}

static int end_at_once(void *arg)
{
    return 0;
}

static bool is_bothy(void)
{
    struct utsname u;

    return uname(&u) == 0 && strstr(u.release, "bothy");
}

/* n children that send a real-time signal as they end, which stays queued; then a grace period,
 * since when what they were is gone. */
static long memory_after_endings(int n, int sig)
{
    static char stack[16384] __attribute__((aligned(16)));

    while (n--) {
        pid_t pid = clone(end_at_once, stack + sizeof(stack), CLONE_VM | sig, NULL);

        EXPECT(pid > 0 && waitpid(pid, NULL, __WALL) == pid);
    }
    EXPECT(syscall(SYS_membarrier, 1 /* MEMBARRIER_CMD_GLOBAL */, 0, 0) == 0);
    return figure(BOX "/memory.current", "");
}

/* Linux charges none of them, and counts those of all processes of a user. */
static void hear_of_endings(void)
{
    enum { ENDINGS = 1500, SIGNAL = 40 };
    struct rlimit space = {2 * ENDINGS, 2 * ENDINGS};
    long before;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGNAL);
    EXPECT(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && setrlimit(RLIMIT_SIGPENDING, &space) == 0);
    before = memory_after_endings(100, SIGNAL);
    EXPECT(memory_after_endings(ENDINGS, SIGNAL) - before >= ENDINGS * 48 || !is_bothy());
}

TEST(what_children_that_end_send_is_charged)
{
    box();
    in_box(hear_of_endings);
    EXPECT(rmdir(BOX) == 0);
}

TEST(memory_marks_are_kept)
{
    static const char *const files[] = {"/memory.high", "/memory.low", "/memory.min",
                                        "/memory.swap.max", "/memory.max"};
    char path[128];

    box();
    for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++) {
        snprintf(path, sizeof(path), BOX "%s", files[i]);
        if (strstr(path, "swap") && access(path, F_OK) != 0)
            continue; /* a Linux without swap accounting */
        EXPECT(put(path, "nonsense") == EINVAL);
        EXPECT(put(path, "8M") == 0 && strcmp(contents(path), "8388608\n") == 0);
        EXPECT(put(path, "max") == 0 && strcmp(contents(path), "max\n") == 0);
    }
    EXPECT(rmdir(BOX) == 0);
}

static void touch_a_little_more(void)
{
    char *p = mmap(NULL, 5 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT(p != MAP_FAILED);
    memset(p, 1, 4 * MIB + 64 * 1024);
}

TEST(a_group_above_its_high_mark_is_slowed_and_not_killed)
{
    box();
    EXPECT(put(BOX "/memory.high", "4M") == 0);
    in_box(touch_a_little_more);
    EXPECT(figure(BOX "/memory.events", "high ") > 0);
    EXPECT(figure(BOX "/memory.events", "oom_kill ") == 0);
    EXPECT(rmdir(BOX) == 0);
}

static void touch_too_much(void)
{
    char *p = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT(p != MAP_FAILED);
    memset(p, 1, 64 * MIB);
    _exit(1); /* not reached */
}

/* Where the limit stands the event is local; the death is where the process was; and those above
 * know of both. */
TEST(memory_events_count_what_happens_below)
{
    int status = 0;
    pid_t pid;

    box();
    EXPECT(put(BOX "/memory.max", "8M") == 0);
    EXPECT(put(BOX "/cgroup.subtree_control", "+memory") == 0);
    EXPECT(mkdir(BOX "/inner", 0755) == 0);
    pid = fork();
    if (pid == 0) {
        enter(BOX "/inner");
        pid = fork();
        if (pid == 0)
            touch_too_much();
        EXPECT(waitpid(pid, &status, 0) == pid);
        _exit(WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == SIGKILL << 8);
    EXPECT(figure(BOX "/inner/memory.events", "oom_kill ") == 1);
    EXPECT(figure(BOX "/inner/memory.events.local", "oom_kill ") == 1);
    EXPECT(figure(BOX "/memory.events", "oom_kill ") == 1);
    EXPECT(figure(BOX "/memory.events.local", "oom_kill ") == 0);
    EXPECT(figure(BOX "/memory.events.local", "oom ") > 0);
    EXPECT(figure(BOX "/inner/memory.events", "oom ") == 0);
    EXPECT(rmdir(BOX "/inner") == 0 && rmdir(BOX) == 0);
}

/* A process that fills the limit above, and one beside it: the group of both wants to die whole. */
TEST(a_group_below_the_limit_dies_as_a_whole)
{
    int status = 0;
    pid_t pid;

    box();
    EXPECT(put(BOX "/memory.max", "8M") == 0);
    EXPECT(put(BOX "/cgroup.subtree_control", "+memory") == 0);
    EXPECT(mkdir(BOX "/inner", 0755) == 0);
    EXPECT(put(BOX "/inner/memory.oom.group", "1") == 0);
    EXPECT(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    pid = fork();
    if (pid == 0) {
        enter(BOX "/inner");
        if (fork() == 0)
            touch_too_much();
        for (;;)
            pause();
    }
    EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    EXPECT(waitpid(-1, &status, 0) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    EXPECT(figure(BOX "/inner/memory.events", "oom_kill ") >= 2); /* Linux counts the first twice */
    EXPECT(figure(BOX "/inner/memory.events.local", "oom_group_kill ") == 1);
    EXPECT(figure(BOX "/memory.events", "oom_group_kill ") == 1);
    EXPECT(figure(BOX "/memory.events.local", "oom_group_kill ") == 0);
    EXPECT(rmdir(BOX "/inner") == 0 && rmdir(BOX) == 0);
}

static int *go, gate[2];

static int waits_at_gate(void *arg)
{
    char c;

    syscall(SYS_close, gate[1]);
    syscall(SYS_read, gate[0], &c, 1);
    syscall(SYS_exit, 0);
    return 0;
}

/* Enters the group, has many children there, waits for *go, and then makes children in `into`. */
static void breed(const char *group, int many, int into)
{
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
            set_tid_size, cgroup;
    } args = {.flags = 1ULL << 33 /* CLONE_INTO_CGROUP */,
              .exit_signal = SIGCHLD,
              .cgroup = (unsigned)into};
    static char stacks[400][8192];

    enter(group);
    for (int i = 0; i < many; i++)
        EXPECT(clone(waits_at_gate, stacks[i + 1], CLONE_VM | SIGCHLD, NULL) > 0);
    __atomic_add_fetch(&go[1], 1, __ATOMIC_SEQ_CST);
    while (many || !__atomic_load_n(&go[0], __ATOMIC_SEQ_CST))
        many ? pause() : sched_yield();
    for (;;)
        if (syscall(SYS_clone3, &args, sizeof(args)) == 0)
            for (;;)
                pause();
}

/* Those behind make children in a group that the walk has passed. */
TEST(cgroup_kill_reaches_children_in_groups_that_it_has_passed)
{
    static const char *const groups[] = {BOX "/first", BOX "/many", BOX "/last"};
    int into, i;

    box();
    EXPECT(pipe(gate) == 0);
    go = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (i = 0; i < 3; i++)
        EXPECT(mkdir(groups[i], 0755) == 0);
    into = open(groups[0], O_RDONLY | O_DIRECTORY);
    for (i = 1; i < 3; i++)
        if (fork() == 0)
            breed(groups[i], i == 1 ? 399 : 0, into);
    while (__atomic_load_n(&go[1], __ATOMIC_SEQ_CST) < 2)
        usleep(1000);
    __atomic_store_n(&go[0], 1, __ATOMIC_SEQ_CST);
    EXPECT(put(BOX "/cgroup.kill", "1") == 0);
    EXPECT(wait(NULL) > 0 && wait(NULL) > 0);
    while (figure(BOX "/cgroup.events", "populated"))
        usleep(1000);
    close(into);
    for (i = 0; i < 3; i++)
        EXPECT(rmdir(groups[i]) == 0);
    box_gone();
}

/* Its zombies keep no group, and do not move. */
TEST(a_group_of_zombies_is_empty)
{
    char number[16];
    siginfo_t si;
    pid_t pid;

    box();
    pid = fork();
    if (pid == 0) {
        enter(BOX);
        _exit(0);
    }
    EXPECT(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT) == 0);
    EXPECT(figure(BOX "/cgroup.events", "populated") == 0);
    snprintf(number, sizeof(number), "%d", pid);
    EXPECT(put(TOP "/cgroup.procs", number) == 0 && rmdir(BOX) == 0);
    EXPECT(waitpid(pid, NULL, 0) == pid);
}

static const char *const counted[] = {"cgroup", "await", NULL};

/* Called by the program that a thread has become: says so, and waits to be killed. */
TEST(await)
{
    if (!getenv("AWAIT"))
        return;
    write(atoi(getenv("AWAIT")), "x", 1);
    pause();
}

static void *become_a_program(void *arg)
{
    char text[32];

    snprintf(text, sizeof(text), "AWAIT=%d", *(int *)arg);
    execve("/proc/self/exe", (char **)counted, (char *[]){text, NULL});
    return NULL;
}

/* The leader is ended by it, and the thread takes its place. */
static void threads_become_a_program(int ready)
{
    pthread_t t;

    enter(BOX);
    EXPECT(pthread_create(&t, NULL, become_a_program, &ready) == 0);
    for (;;)
        pause();
}

TEST(a_thread_that_becomes_a_program_counts_once)
{
    int ready[2];
    pid_t pid;
    char c;

    box();
    EXPECT(pipe(ready) == 0);
    pid = fork();
    if (pid == 0)
        threads_become_a_program(ready[1]);
    EXPECT(read(ready[0], &c, 1) == 1);
    EXPECT(atoi(contents(BOX "/pids.current")) == 2); /* the harness and its test */
    EXPECT(put(BOX "/cgroup.kill", "1") == 0);
    EXPECT(waitpid(pid, NULL, 0) == pid);
    while (rmdir(BOX) < 0) {
        EXPECT(errno == EBUSY); /* the test that the program runs is not ours to wait for */
        sched_yield();
    }
}

static void kill_a_group(void)
{
    pid_t pid;

    EXPECT(setpgid(0, 0) == 0);
    pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    EXPECT(setpgid(pid, pid) == 0 && kill(-pid, SIGKILL) == 0);
    EXPECT(waitpid(pid, NULL, 0) == pid);
    _exit(0);
}

static void have_a_group_killed(void)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        kill_a_group();
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

/* A group is in memory as long as something that was made in it. */
TEST(who_has_killed_a_process_group_leaves_nothing)
{
    long before;

    box();
    before = figure(TOP "/cgroup.stat", "nr_dying_descendants ");
    in_box(have_a_group_killed);
    EXPECT(rmdir(BOX) == 0);
    while (figure(TOP "/cgroup.stat", "nr_dying_descendants ") > before)
        usleep(1000);
}
