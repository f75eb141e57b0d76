/* SPDX-License-Identifier: MIT
 *
 * Descriptors and what hangs on them: large and sparse tables, tables shared by threads, record
 * locks and whose they are.
 */
#include "abi.h"

#include <sys/mount.h>
#include <sys/resource.h>

#define MOST (1 << 20)

static void allow(rlim_t n)
{
    struct rlimit r = {n, n};

    EXPECT(setrlimit(RLIMIT_NOFILE, &r) == 0);
}

static void wait_ok(pid_t pid)
{
    int status = -1;

    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT(status == 0);
}

/* ------------------------------------------------------------- tables */

TEST(table_reaches_its_limit)
{
    allow(MOST);
    EXPECT(dup2(0, MOST - 1) == MOST - 1);
    EXPECT_ERR(dup2(0, MOST), EBADF);
    EXPECT_ERR(fcntl(0, F_DUPFD, MOST), EINVAL);
    EXPECT_ERR(fcntl(0, F_DUPFD, MOST - 1), EMFILE);
    EXPECT(fcntl(0, F_DUPFD, 300000) == 300000);
    EXPECT(fcntl(0, F_DUPFD, 300000) == 300001);
    EXPECT(dup(0) == 3);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(fcntl(MOST - 1, F_GETFD) == 0 && fcntl(300001, F_GETFD) == 0);
        EXPECT_ERR(fcntl(300002, F_GETFD), EBADF);
        EXPECT(close(MOST - 1) == 0);
        _exit(0);
    }
    wait_ok(pid);
    EXPECT(fcntl(MOST - 1, F_GETFD) == 0);
    EXPECT(syscall(SYS_close_range, 4, ~0U, 0) == 0);
    EXPECT_ERR(fcntl(MOST - 1, F_GETFD), EBADF);
    EXPECT(fcntl(3, F_GETFD) == 0);
}

TEST(lowest_free_number_is_taken_among_many)
{
    enum { N = 70000 };
    static const int holes[] = {5, 63, 64, 127, 4095, 4096, 32768, 65536, 69999};

    allow(MOST);
    for (int fd = 3; fd < N; fd++)
        EXPECT(dup(0) == fd);
    for (unsigned i = 0; i < sizeof(holes) / sizeof(holes[0]); i++)
        EXPECT(close(holes[i]) == 0);
    for (unsigned i = 0; i < sizeof(holes) / sizeof(holes[0]); i++)
        EXPECT(dup(0) == holes[i]);
    EXPECT(dup(0) == N);
    EXPECT(close(64) == 0 && fcntl(0, F_DUPFD, 65) == N + 1 && dup(0) == 64);
    allow(N);
    EXPECT_ERR(dup(0), EMFILE);
}

TEST(close_on_exec_holds_for_every_number)
{
    int last = 40000, kept = 40001;
    char text[32];

    allow(MOST);
    EXPECT(fcntl(0, F_DUPFD_CLOEXEC, last) == last && fcntl(0, F_DUPFD, kept) == kept);
    pid_t pid = fork();
    if (pid == 0) {
        snprintf(text, sizeof(text), "%d", last);
        execl("/proc/self/exe", "descriptors", "opened", text, NULL);
        _exit(9);
    }
    wait_ok(pid);
}

static void *read_a_byte(void *arg)
{
    char c = 0;

    return (void *)(long)(read(*(int *)arg, &c, 1) == 1 ? c : -1);
}

/* Until the thread sleeps in the kernel. */
static void await_sleep(pid_t tid)
{
    char path[64], line[512], *p;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    for (;;) {
        FILE *f = fopen(path, "r");
        EXPECT(f && fgets(line, sizeof(line), f));
        fclose(f);
        p = strrchr(line, ')');
        if (p && p[2] == 'S')
            return;
        sched_yield();
    }
}

static volatile pid_t thread_id;
static void *read_a_byte_known(void *arg)
{
    thread_id = (pid_t)syscall(SYS_gettid);
    return read_a_byte(arg);
}

static pid_t await_thread(void)
{
    while (!thread_id)
        sched_yield();
    await_sleep(thread_id);
    return thread_id;
}

TEST(descriptor_in_use_outlives_a_siblings_close)
{
    pthread_t t;
    void *got;
    int p[2];

    EXPECT(pipe(p) == 0);
    EXPECT(pthread_create(&t, NULL, read_a_byte_known, &p[0]) == 0);
    await_thread();
    EXPECT(close(p[0]) == 0);
    EXPECT(write(p[1], "x", 1) == 1);
    EXPECT(pthread_join(t, &got) == 0 && (long)got == 'x');
}

/* ------------------------------------------------------------- record locks */

static const char locked[] = "/tmp/descriptors-lock";

static int lock_op(int fd, int cmd, short type, pid_t *holder)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET};
    int r = fcntl(fd, cmd, &l);

    if (holder)
        *holder = r == 0 && l.l_type != F_UNLCK ? l.l_pid : -1;
    return r;
}

static int lock_file_open(void)
{
    int fd;

    mkdir("/tmp", 0777);
    fd = open(locked, O_RDWR | O_CREAT, 0600);
    EXPECT(fd >= 0);
    return fd;
}

static int waiter_fd, waiter_errno;
static void *wait_for_lock(void *arg)
{
    thread_id = (pid_t)syscall(SYS_gettid);
    waiter_errno = lock_op(waiter_fd, F_SETLKW, F_WRLCK, NULL) ? errno : 0;
    return NULL;
}

/* The lock's waiter: its descriptor is closed while it sleeps. The pipes say how far it is. */
static void lock_waiter(int say, int hear)
{
    pthread_t t;
    char c;

    waiter_fd = open(locked, O_RDWR);
    EXPECT(waiter_fd >= 0 && pthread_create(&t, NULL, wait_for_lock, NULL) == 0);
    await_thread();
    EXPECT(close(waiter_fd) == 0);
    EXPECT(write(say, "c", 1) == 1);
    EXPECT(pthread_join(t, NULL) == 0 && waiter_errno == EBADF);
    EXPECT(write(say, "e", 1) == 1 && read(hear, &c, 1) == 0);
    _exit(0);
}

TEST(lock_waited_for_through_a_closed_descriptor_is_not_kept)
{
    int fd = lock_file_open(), up[2], down[2];
    pid_t holder;
    char c;

    EXPECT(pipe(up) == 0 && pipe(down) == 0);
    EXPECT(lock_op(fd, F_SETLK, F_WRLCK, NULL) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(down[1]);
        lock_waiter(up[1], down[0]);
    }
    EXPECT(read(up[0], &c, 1) == 1 && lock_op(fd, F_SETLK, F_UNLCK, NULL) == 0);
    EXPECT(read(up[0], &c, 1) == 1); /* it is told EBADF, and lives on */
    EXPECT(lock_op(fd, F_GETLK, F_WRLCK, &holder) == 0 && holder == -1);
    EXPECT(lock_op(fd, F_SETLK, F_WRLCK, NULL) == 0);
    close(down[1]);
    wait_ok(pid);
    unlink(locked);
}

static void *just_wait(void *arg)
{
    pause();
    return NULL;
}

/* An exec'd program: waits for the end of its standard input. */
static void as_program(int argc, char **argv)
{
    char c;

    if (argc == 3 && strcmp(argv[1], "opened") == 0) {
        int fd = atoi(argv[2]);
        _exit(!(fcntl(fd, F_GETFD) == -1 && fcntl(fd + 1, F_GETFD) == 0));
    }
    if (argc == 2 && strcmp(argv[1], "await") == 0) {
        EXPECT(write(1, "r", 1) == 1);
        _exit(read(0, &c, 1) != 0);
    }
}

__attribute__((constructor)) static void maybe_program(int argc, char **argv)
{
    as_program(argc, argv);
}

TEST(locks_of_a_threaded_program_survive_exec)
{
    int fd = lock_file_open(), up[2], down[2];
    pthread_t t;
    pid_t holder;
    char c;

    EXPECT(pipe(up) == 0 && pipe(down) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        int mine = open(locked, O_RDWR);
        EXPECT(mine >= 0 && lock_op(mine, F_SETLK, F_WRLCK, NULL) == 0);
        EXPECT(pthread_create(&t, NULL, just_wait, NULL) == 0);
        EXPECT(dup2(up[1], 1) == 1 && dup2(down[0], 0) == 0);
        close(down[1]);
        execl("/proc/self/exe", "descriptors", "await", NULL);
        _exit(9);
    }
    close(down[0]);
    EXPECT(read(up[0], &c, 1) == 1);
    EXPECT(lock_op(fd, F_GETLK, F_WRLCK, &holder) == 0 && holder == pid);
    close(down[1]);
    wait_ok(pid);
    EXPECT(lock_op(fd, F_GETLK, F_WRLCK, &holder) == 0 && holder == -1);
    unlink(locked);
}

/* ------------------------------------------------------------- whose number */

static int owner_inside(void *arg)
{
    int *say = arg, fd = open(locked, O_RDWR);
    pid_t holder;

    /* The lock of a process outside is of nobody here. */
    EXPECT(getpid() == 1 && fd >= 0);
    EXPECT(lock_op(fd, F_GETLK, F_WRLCK, &holder) == 0 && holder == 0);
    EXPECT(write(say[1], "a", 1) == 1);
    EXPECT(lock_op(fd, F_SETLKW, F_WRLCK, NULL) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(lock_op(fd, F_GETLK, F_WRLCK, &holder) == 0 && holder == 1);
        _exit(0);
    }
    wait_ok(pid);
    EXPECT(write(say[1], "b", 1) == 1);
    pause();
    return 0;
}

TEST(holder_of_a_lock_has_its_number_of_the_readers_namespace)
{
    static char stack[65536];
    int fd = lock_file_open(), say[2];
    pid_t holder;
    char c;

    EXPECT(pipe(say) == 0 && lock_op(fd, F_SETLK, F_WRLCK, NULL) == 0);
    pid_t pid = clone(owner_inside, stack + sizeof(stack), CLONE_NEWPID | SIGCHLD, say);
    EXPECT(pid > 0);
    EXPECT(read(say[0], &c, 1) == 1 && lock_op(fd, F_SETLK, F_UNLCK, NULL) == 0);
    EXPECT(read(say[0], &c, 1) == 1);
    EXPECT(lock_op(fd, F_GETLK, F_WRLCK, &holder) == 0 && holder == pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    unlink(locked);
}

/* A file is neither made nor emptied for one who has no number left for it. */
TEST(an_open_without_a_number_changes_nothing)
{
    struct rlimit r, few;
    struct stat st;
    int fd;

    mkdir("/tmp", 01777);
    unlink("/tmp/nofile.new");
    fd = open("/tmp/nofile", O_CREAT | O_TRUNC | O_RDWR, 0600);
    EXPECT(fd >= 0 && write(fd, "kept", 4) == 4 && getrlimit(RLIMIT_NOFILE, &r) == 0);
    few = (struct rlimit){(rlim_t)fd + 1, r.rlim_max};
    EXPECT(setrlimit(RLIMIT_NOFILE, &few) == 0);
    EXPECT_ERR(open("/tmp/nofile", O_RDWR | O_TRUNC), EMFILE);
    EXPECT_ERR(open("/tmp/nofile.new", O_CREAT | O_RDWR, 0600), EMFILE);
    EXPECT(fstat(fd, &st) == 0 && st.st_size == 4 && stat("/tmp/nofile.new", &st) < 0);
    EXPECT(setrlimit(RLIMIT_NOFILE, &r) == 0);
    EXPECT_ERR(open("/tmp/nofile.new", O_RDWR), ENOENT);
    EXPECT(open("/tmp/nofile", O_RDONLY) == fd + 1);
}

TEST(a_time_of_access_is_its_owners_to_hide)
{
    int fd = open("/tmp/noatime", O_CREAT | O_RDWR, 0644), own;

    EXPECT(fd >= 0 && fcntl(fd, F_SETFL, O_NOATIME) == 0 && fcntl(fd, F_SETFL, 0) == 0);
    own = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    EXPECT(own >= 0 && fchown(own, 1000, 1000) == 0);
    EXPECT(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
    EXPECT_ERR(fcntl(fd, F_SETFL, O_NOATIME), EPERM);
    EXPECT(fcntl(fd, F_SETFL, O_APPEND) == 0 && fcntl(own, F_SETFL, O_NOATIME) == 0);
}
