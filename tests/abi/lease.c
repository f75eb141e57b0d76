/* SPDX-License-Identifier: MIT
 *
 * Leases, fcntl(2) F_SETLEASE: a holder is told by a signal before another opens its file, and the
 * open waits until it lets go.
 */
#include "abi.h"

#include <sys/stat.h>

#define FILE_NAME "/tmp/lease"

static int make_file(int flags)
{
    int fd;

    unlink(FILE_NAME);
    fd = open(FILE_NAME, O_CREAT | O_RDWR | O_EXCL, 0644);
    EXPECT(fd >= 0 && write(fd, "old", 3) == 3 && close(fd) == 0);
    fd = open(FILE_NAME, flags);
    EXPECT(fd >= 0);
    return fd;
}

static int lease(int fd, int type)
{
    return fcntl(fd, F_SETLEASE, type);
}

static sigset_t hold(int sig)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, sig);
    EXPECT(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    return set;
}

static pid_t opener(int flags, int err)
{
    pid_t pid = fork();

    if (pid == 0) {
        int fd = open(FILE_NAME, flags);

        EXPECT(err ? fd < 0 && errno == err : fd >= 0);
        _exit(0);
    }
    return pid;
}

/* The child waits in the kernel. */
static void until_child_asleep(pid_t pid)
{
    char path[64], line[256] = "";

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    while (!strstr(line, ") S") && !strstr(line, ") D")) {
        int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, line, sizeof(line) - 1);

        EXPECT(n > 0 && close(fd) == 0);
        line[n] = 0;
        sched_yield();
    }
}

static void ends_well(pid_t pid)
{
    int status = -1;

    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(a_lease_is_taken_where_no_open_conflicts)
{
    int reader = make_file(O_RDONLY), other, dir = open("/tmp", O_RDONLY), ends[2];

    EXPECT(fcntl(reader, F_GETLEASE) == F_UNLCK);
    EXPECT_ERR(lease(reader, F_UNLCK), EAGAIN);
    EXPECT_ERR(lease(reader, 3), EINVAL);
    EXPECT_ERR(lease(reader, -1), EINVAL);
    EXPECT_ERR(lease(dir, F_RDLCK), EINVAL);
    EXPECT(pipe(ends) == 0);
    EXPECT_ERR(lease(ends[0], F_RDLCK), EINVAL);
    EXPECT(lease(reader, F_RDLCK) == 0 && fcntl(reader, F_GETLEASE) == F_RDLCK);
    EXPECT(lease(reader, F_WRLCK) == 0 && fcntl(reader, F_GETLEASE) == F_WRLCK);
    EXPECT(lease(reader, F_RDLCK) == 0 && fcntl(reader, F_GETLEASE) == F_RDLCK);
    other = open(FILE_NAME, O_RDONLY);
    EXPECT(other >= 0 && fcntl(other, F_GETLEASE) == F_UNLCK);
    EXPECT_ERR(lease(reader, F_WRLCK), EAGAIN);
    EXPECT(fcntl(reader, F_GETLEASE) == F_RDLCK);
    EXPECT(lease(other, F_RDLCK) == 0 && lease(other, F_UNLCK) == 0);
    EXPECT(lease(reader, F_UNLCK) == 0 && fcntl(reader, F_GETLEASE) == F_UNLCK);
    EXPECT(close(reader) == 0 && close(other) == 0);
    other = open(FILE_NAME, O_RDWR);
    EXPECT_ERR(lease(other, F_RDLCK), EAGAIN); /* its own open writes */
    EXPECT(lease(other, F_WRLCK) == 0);
    EXPECT(close(other) == 0);
}

TEST(a_files_lease_is_for_its_owner)
{
    int fd = make_file(O_RDONLY);
    pid_t pid = fork();

    if (pid == 0) {
        EXPECT(setresuid(1000, 1000, 1000) == 0);
        EXPECT_ERR(lease(fd, F_RDLCK), EACCES);
        _exit(0);
    }
    ends_well(pid);
    EXPECT(chown(FILE_NAME, 1000, 1000) == 0);
    EXPECT(lease(fd, F_RDLCK) == 0); /* CAP_LEASE */
}

TEST(an_open_for_writing_breaks_a_read_lease)
{
    int fd = make_file(O_RDONLY);
    sigset_t set = hold(SIGIO);
    siginfo_t info;
    pid_t pid;

    EXPECT(lease(fd, F_RDLCK) == 0 && fcntl(fd, F_GETOWN) == getpid());
    ends_well(opener(O_RDONLY, 0));
    ends_well(opener(O_WRONLY | O_NONBLOCK, EWOULDBLOCK));
    EXPECT(sigwaitinfo(&set, &info) == SIGIO);
    EXPECT(fcntl(fd, F_GETLEASE) == F_UNLCK); /* what it is to become */
    pid = opener(O_WRONLY, 0);
    until_child_asleep(pid);
    EXPECT(waitpid(pid, NULL, WNOHANG) == 0);
    EXPECT(lease(fd, F_UNLCK) == 0);
    ends_well(pid);
}

TEST(an_open_for_reading_lowers_a_write_lease)
{
    int fd = make_file(O_RDONLY);
    sigset_t set = hold(SIGIO);
    siginfo_t info;
    pid_t pid;

    EXPECT(lease(fd, F_WRLCK) == 0);
    pid = opener(O_RDONLY, 0);
    EXPECT(sigwaitinfo(&set, &info) == SIGIO);
    EXPECT(fcntl(fd, F_GETLEASE) == F_RDLCK);
    EXPECT(lease(fd, F_RDLCK) == 0);
    ends_well(pid);
    EXPECT(fcntl(fd, F_GETLEASE) == F_RDLCK);
}

TEST(truncating_by_name_breaks_a_lease_and_a_close_gives_it_back)
{
    int fd = make_file(O_RDONLY);
    sigset_t set = hold(SIGIO);
    siginfo_t info;
    struct stat st;
    pid_t pid;

    EXPECT(lease(fd, F_RDLCK) == 0);
    pid = fork();
    if (pid == 0) {
        close(fd); /* the child's descriptor is of the same open file */
        EXPECT(truncate(FILE_NAME, 1) == 0);
        _exit(0);
    }
    EXPECT(sigwaitinfo(&set, &info) == SIGIO);
    EXPECT(stat(FILE_NAME, &st) == 0 && st.st_size == 3);
    EXPECT(close(fd) == 0);
    ends_well(pid);
    EXPECT(stat(FILE_NAME, &st) == 0 && st.st_size == 1);
}

TEST(a_chosen_signal_tells_the_descriptor)
{
    int fd = make_file(O_RDONLY), sig = SIGRTMIN + 2;
    sigset_t set = hold(sig);
    siginfo_t info;
    pid_t pid;

    EXPECT(fcntl(fd, F_SETSIG, sig) == 0 && lease(fd, F_RDLCK) == 0);
    pid = opener(O_WRONLY | O_NONBLOCK, EWOULDBLOCK);
    EXPECT(sigwaitinfo(&set, &info) == sig);
    EXPECT(info.si_fd == fd && info.si_code == POLL_MSG);
    ends_well(pid);
}

TEST(the_owner_that_was_named_is_told_if_its_namer_may_signal_it)
{
    int fd = make_file(O_RDONLY), ready[2];
    pid_t told, pid;
    sigset_t set = hold(SIGIO);
    siginfo_t info;
    char c;

    EXPECT(pipe(ready) == 0);
    told = fork();
    if (told == 0) {
        EXPECT(setpgid(0, 0) == 0 && write(ready[1], "x", 1) == 1);
        EXPECT(sigwaitinfo(&set, &info) == SIGIO);
        _exit(0);
    }
    EXPECT(read(ready[0], &c, 1) == 1);
    EXPECT(fcntl(fd, F_SETOWN, -told) == 0 && lease(fd, F_RDLCK) == 0);
    EXPECT(fcntl(fd, F_GETOWN) == -told);
    ends_well(opener(O_WRONLY | O_NONBLOCK, EWOULDBLOCK));
    ends_well(told);
    EXPECT(lease(fd, F_UNLCK) == 0 && chown(FILE_NAME, 1000, 1000) == 0);
    EXPECT(chmod(FILE_NAME, 0666) == 0);
    pid = fork();
    if (pid == 0) { /* uid 1000 names root's process: in vain */
        EXPECT(setresuid(1000, 1000, 1000) == 0);
        EXPECT(fcntl(fd, F_SETOWN, getppid()) == 0 && lease(fd, F_RDLCK) == 0);
        ends_well(opener(O_WRONLY | O_NONBLOCK, EWOULDBLOCK));
        EXPECT(fcntl(fd, F_GETLEASE) == F_UNLCK);
        _exit(0);
    }
    ends_well(pid);
    EXPECT(sigpending(&set) == 0 && !sigismember(&set, SIGIO));
}

static void on_alarm(int sig)
{
}

TEST(an_opener_that_waits_may_be_interrupted)
{
    struct sigaction act = {.sa_handler = on_alarm};
    int fd = make_file(O_RDONLY);
    pid_t pid;

    hold(SIGIO);
    EXPECT(lease(fd, F_RDLCK) == 0);
    EXPECT(sigaction(SIGUSR1, &act, NULL) == 0);
    pid = fork();
    if (pid == 0) {
        EXPECT(open(FILE_NAME, O_WRONLY) < 0 && errno == EINTR);
        _exit(0);
    }
    until_child_asleep(pid);
    EXPECT(kill(pid, SIGUSR1) == 0);
    ends_well(pid);
}

TEST(a_holder_that_does_not_answer_loses_it_in_time)
{
    int time = open("/proc/sys/fs/lease-break-time", O_RDWR), fd = make_file(O_RDONLY);
    char former[16] = "";

    EXPECT(time >= 0 && read(time, former, sizeof(former)) > 0);
    EXPECT(pwrite(time, "1\n", 2, 0) == 2);
    hold(SIGIO);
    EXPECT(lease(fd, F_WRLCK) == 0);
    ends_well(opener(O_RDONLY, 0));
    EXPECT(fcntl(fd, F_GETLEASE) == F_RDLCK);
    ends_well(opener(O_WRONLY, 0));
    EXPECT(fcntl(fd, F_GETLEASE) == F_UNLCK);
    EXPECT_ERR(lease(fd, F_UNLCK), EAGAIN);
    EXPECT(pwrite(time, former, strlen(former), 0) > 0);
}

TEST(a_lease_that_was_not_taken_names_no_owner)
{
    int fd = make_file(O_RDONLY), other = open(FILE_NAME, O_WRONLY);

    EXPECT_ERR(lease(fd, F_RDLCK), EAGAIN);
    EXPECT(fcntl(fd, F_GETOWN) == 0);
    EXPECT(close(other) == 0 && lease(fd, F_RDLCK) == 0 && fcntl(fd, F_GETOWN) == getpid());
}
