/* SPDX-License-Identifier: MIT
 *
 * Namespaces as objects: what an open one keeps, who may enter, what they tell of each other; ids
 * through several levels of user namespaces.
 */
#include "abi.h"

#include <grp.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/xattr.h>

#define USER 1000
enum { NS_GET_USERNS = 0xb701, NS_GET_PARENT, NS_GET_NSTYPE, NS_GET_OWNER_UID };

static void wait_ok(pid_t pid)
{
    int status = -1;

    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT(status == 0);
}

static int pidfd_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static int open_ns(pid_t pid, const char *kind)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void become_user(uid_t id)
{
    EXPECT(setgroups(0, NULL) == 0 && setresgid(id, id, id) == 0 && setresuid(id, id, id) == 0);
    EXPECT(prctl(PR_SET_DUMPABLE, 1) == 0);
}

/* write(2) of a whole text to /proc/PID/NAME: 0 or the errno, of open or of write. */
static int put(pid_t pid, const char *name, const char *text)
{
    char path[64];
    int fd, err = 0;

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    fd = open(path, O_WRONLY);
    if (fd < 0)
        return errno;
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        err = errno;
    close(fd);
    return err;
}

/* The first three numbers of /proc/PID/NAME. */
static void get_map(pid_t pid, const char *name, unsigned v[3])
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    FILE *f = fopen(path, "r");
    EXPECT(f && fscanf(f, "%u %u %u", &v[0], &v[1], &v[2]) == 3);
    fclose(f);
}

/* A child that runs fn, then waits for its standard input's end. */
struct child {
    pid_t pid;
    int up, down;
};

static struct child child_start(void (*fn)(void))
{
    int up[2], down[2];
    char c;

    EXPECT(pipe(up) == 0 && pipe(down) == 0);
    struct child ch = {fork(), up[0], down[1]};
    if (ch.pid == 0) {
        close(up[0]);
        close(down[1]);
        fn();
        EXPECT(write(up[1], "r", 1) == 1);
        while (read(down[0], &c, 1) == 1)
            ;
        _exit(0);
    }
    close(up[1]);
    close(down[0]);
    EXPECT(read(ch.up, &c, 1) == 1);
    return ch;
}

static void child_end(struct child *ch)
{
    close(ch->up);
    close(ch->down);
    wait_ok(ch->pid);
}

/* ------------------------------------------------------------- open namespaces */

static void own_hostname(void)
{
    EXPECT(unshare(CLONE_NEWUTS) == 0 && sethostname("inside", 6) == 0);
}

TEST(open_namespace_is_that_of_the_moment_it_was_opened)
{
    char name[64], before[64];
    int fd = open_ns(getpid(), "uts");

    EXPECT(fd >= 0 && gethostname(before, sizeof(before)) == 0);
    own_hostname();
    EXPECT(setns(fd, CLONE_NEWUTS) == 0);
    EXPECT(gethostname(name, sizeof(name)) == 0 && strcmp(name, before) == 0);
}

TEST(open_namespace_outlives_its_processes)
{
    struct child ch = child_start(own_hostname);
    int fd = open_ns(ch.pid, "uts");
    char name[64];

    EXPECT(fd >= 0);
    child_end(&ch);
    EXPECT(setns(fd, 0) == 0);
    EXPECT(gethostname(name, sizeof(name)) == 0 && strcmp(name, "inside") == 0);
}

TEST(mounted_namespace_outlives_its_processes)
{
    struct child ch = child_start(own_hostname);
    char path[64], name[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/ns/uts", ch.pid);
    EXPECT(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    mkdir("/tmp", 0777);
    EXPECT(mount("none", "/tmp", "tmpfs", 0, NULL) == 0);
    EXPECT(close(open("/tmp/ns", O_CREAT | O_WRONLY, 0600)) == 0);
    EXPECT(mount(path, "/tmp/ns", NULL, MS_BIND, NULL) == 0);
    child_end(&ch);
    fd = open("/tmp/ns", O_RDONLY);
    EXPECT(fd >= 0 && setns(fd, CLONE_NEWUTS) == 0);
    EXPECT(gethostname(name, sizeof(name)) == 0 && strcmp(name, "inside") == 0);
}

TEST(namespace_has_the_number_its_link_tells)
{
    char text[64] = "", want[64];
    struct stat st;
    int fd = open_ns(getpid(), "uts");

    EXPECT(fd >= 0 && fstat(fd, &st) == 0);
    EXPECT(readlink("/proc/self/ns/uts", text, sizeof(text) - 1) > 0);
    snprintf(want, sizeof(want), "uts:[%lu]", (unsigned long)st.st_ino);
    EXPECT(strcmp(text, want) == 0);
}

TEST(namespaces_of_others_are_not_shown)
{
    char text[64];
    pid_t parent = getppid(), pid = fork();

    if (pid == 0) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/ns/mnt", parent);
        become_user(USER);
        EXPECT_ERR(readlink(path, text, sizeof(text)), EACCES);
        EXPECT_ERR(open(path, O_RDONLY), EACCES);
        EXPECT(readlink("/proc/self/ns/mnt", text, sizeof(text)) > 0);
        EXPECT_ERR(setns(pidfd_open(parent), CLONE_NEWNS), EPERM);
        _exit(0);
    }
    wait_ok(pid);
}

TEST(namespaces_tell_their_kind_owner_and_parent)
{
    int uts = open_ns(getpid(), "uts"), user = open_ns(getpid(), "user"),
        pid_ns = open_ns(getpid(), "pid");
    struct stat a, b;
    uid_t uid = 77;
    int fd;

    EXPECT(ioctl(uts, NS_GET_NSTYPE) == CLONE_NEWUTS &&
           ioctl(user, NS_GET_NSTYPE) == CLONE_NEWUSER);
    fd = ioctl(uts, NS_GET_USERNS);
    EXPECT(fd >= 0 && fstat(fd, &a) == 0 && fstat(user, &b) == 0 && a.st_ino == b.st_ino);
    EXPECT(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    EXPECT_ERR(ioctl(user, NS_GET_PARENT), EPERM);
    EXPECT_ERR(ioctl(pid_ns, NS_GET_PARENT), EPERM);
    EXPECT_ERR(ioctl(uts, NS_GET_PARENT), EINVAL);
    EXPECT(ioctl(user, NS_GET_OWNER_UID, &uid) == 0 && uid == 0);
    EXPECT_ERR(ioctl(uts, NS_GET_OWNER_UID, &uid), EINVAL);
    EXPECT_ERR(ioctl(uts, 0xb7ff), ENOTTY);
}

static int paused(void *arg)
{
    pause();
    return 0;
}

TEST(parent_of_a_pid_namespace_is_found)
{
    static char stack[65536];
    pid_t pid = clone(paused, stack + sizeof(stack), CLONE_NEWPID | SIGCHLD, NULL);
    int own = open_ns(getpid(), "pid"), inner = open_ns(pid, "pid"), fd;
    struct stat a, b;

    EXPECT(own >= 0 && inner >= 0);
    fd = ioctl(inner, NS_GET_PARENT);
    EXPECT(fd >= 0 && fstat(fd, &a) == 0 && fstat(own, &b) == 0 && a.st_ino == b.st_ino);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

TEST(root_of_a_user_namespace_enters_none_of_its_makers)
{
    static const char *const kinds[] = {"mnt", "uts", "ipc", "net", "pid", "cgroup", "time"};
    int fds[7];

    for (int i = 0; i < 7; i++)
        EXPECT((fds[i] = open_ns(getpid(), kinds[i])) >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        become_user(USER);
        EXPECT(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
        for (int i = 0; i < 7; i++)
            EXPECT_ERR(setns(fds[i], 0), EPERM);
        _exit(0);
    }
    wait_ok(pid);
}

static void user_alone(void)
{
    become_user(USER);
    EXPECT(unshare(CLONE_NEWUSER) == 0);
}

/* What is in the memory of one who enters is not for the namespace's root, until it executes. */
TEST(who_enters_anothers_user_namespace_is_not_dumpable)
{
    struct child ch = child_start(user_alone);
    int fd = open_ns(ch.pid, "user");

    EXPECT(fd >= 0 && prctl(PR_GET_DUMPABLE) == 1);
    EXPECT(unshare(CLONE_FS) == 0 && setns(fd, CLONE_NEWUSER) == 0);
    EXPECT(prctl(PR_GET_DUMPABLE) == 0);
    child_end(&ch);
}

static void user_and_hostname(void)
{
    become_user(USER);
    EXPECT(unshare(CLONE_NEWUSER | CLONE_NEWUTS) == 0 && sethostname("inside", 6) == 0);
}

TEST(pidfd_enters_a_user_namespace_and_what_it_owns_at_once)
{
    struct child ch = child_start(user_and_hostname);
    int fd = pidfd_open(ch.pid);
    char name[64], before[64];

    EXPECT(gethostname(before, sizeof(before)) == 0 && fd >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        become_user(USER);
        EXPECT_ERR(setns(fd, CLONE_NEWUTS), EPERM);
        /* A kind that fails takes the others back. */
        EXPECT_ERR(setns(fd, CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWNET), EPERM);
        EXPECT(gethostname(name, sizeof(name)) == 0 && strcmp(name, before) == 0);
        EXPECT(setns(fd, CLONE_NEWUSER | CLONE_NEWUTS) == 0);
        EXPECT(gethostname(name, sizeof(name)) == 0 && strcmp(name, "inside") == 0);
        _exit(0);
    }
    wait_ok(pid);
    child_end(&ch);
}

TEST(unshare_that_fails_changes_nothing)
{
    char before[64] = "", after[64] = "";
    gid_t groups[1] = {7};

    EXPECT(unshare(CLONE_NEWPID) == 0 && setgroups(1, groups) == 0);
    EXPECT(readlink("/proc/self/ns/user", before, 63) > 0);
    EXPECT_ERR(unshare(CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWPID), EINVAL);
    EXPECT(readlink("/proc/self/ns/user", after, 63) > 0 && strcmp(before, after) == 0);
    EXPECT(setgroups(0, NULL) == 0);
}

/* What the task shares with others it shares afterwards. */
TEST(unshare_that_is_refused_leaves_shared_what_was)
{
    char where[64] = "";
    int fd = dup(0);

    EXPECT(fd >= 0 && chdir("/") == 0);
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FS | CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        become_user(USER);
        EXPECT_ERR(unshare(CLONE_FILES | CLONE_NEWNS), EPERM);
        EXPECT(chdir("/tmp") == 0 && close(fd) == 0);
        _exit(0);
    }
    wait_ok(pid);
    EXPECT(getcwd(where, sizeof(where)) && strcmp(where, "/tmp") == 0);
    EXPECT_ERR(fcntl(fd, F_GETFD), EBADF);
}

/* ------------------------------------------------------------- ids */

static void user_ns_of_own(void)
{
    become_user(USER);
    EXPECT(unshare(CLONE_NEWUSER) == 0);
}

static void nested_child(void)
{
    EXPECT(unshare(CLONE_NEWUSER) == 0);
}

/* Level 1: root there is 1000. Level 2's outer numbers are level 1's. */
static void nested_levels(void)
{
    struct stat st;
    unsigned v[3];
    char c;
    int up[2], down[2];

    become_user(USER);
    EXPECT(unshare(CLONE_NEWUSER) == 0);
    EXPECT(put(getpid(), "setgroups", "deny") == 0 && put(getpid(), "uid_map", "0 1000 1") == 0 &&
           put(getpid(), "gid_map", "0 1000 1") == 0 && getuid() == 0);
    EXPECT(pipe(up) == 0 && pipe(down) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        nested_child();
        EXPECT(write(up[1], "r", 1) == 1 && read(down[0], &c, 1) == 1);
        EXPECT(setresuid(0, 0, 0) == 0 && getuid() == 0);
        EXPECT_ERR(setresuid(USER, USER, USER), EINVAL);
        int fd = open("/tmp/nested-file", O_CREAT | O_WRONLY, 0600);
        EXPECT(fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == 0);
        EXPECT_ERR(open("/tmp/nested-root", O_RDONLY), EACCES);
        get_map(getpid(), "uid_map", v);
        EXPECT(v[0] == 0 && v[1] == 0 && v[2] == 1);
        EXPECT(write(up[1], "d", 1) == 1 && read(down[0], &c, 1) == 1);
        _exit(0);
    }
    EXPECT(read(up[0], &c, 1) == 1);
    EXPECT(put(pid, "uid_map", "0 5 1") == EPERM);    /* we have no 5 */
    EXPECT(put(pid, "uid_map", "0 1000 1") == EPERM); /* nor 1000 */
    EXPECT(put(pid, "uid_map", "0 0 2") == EPERM);
    EXPECT(put(pid, "uid_map", "0 0 1\n1 1 1\n") == EPERM);
    EXPECT(put(pid, "uid_map", "0 0 1") == 0);
    EXPECT(put(pid, "uid_map", "0 0 1") == EPERM);
    get_map(pid, "uid_map", v);
    EXPECT(v[0] == 0 && v[1] == 0 && v[2] == 1);
    EXPECT(write(down[1], "g", 1) == 1 && read(up[0], &c, 1) == 1);
    EXPECT(write(down[1], "g", 1) == 1);
    wait_ok(pid);
}

TEST(ids_are_mapped_through_every_level)
{
    struct stat st;

    mkdir("/tmp", 0777);
    EXPECT(chmod("/tmp", 01777) == 0);
    unlink("/tmp/nested-file");
    EXPECT(close(open("/tmp/nested-root", O_CREAT | O_WRONLY, 0600)) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        nested_levels();
        _exit(0);
    }
    wait_ok(pid);
    EXPECT(stat("/tmp/nested-file", &st) == 0 && st.st_uid == USER);
    unlink("/tmp/nested-file");
    unlink("/tmp/nested-root");
}

TEST(outer_ids_are_told_in_the_readers_numbers)
{
    struct child ch = child_start(user_ns_of_own);
    unsigned v[3];

    EXPECT(put(ch.pid, "uid_map", "0 1000 1") == 0);
    get_map(ch.pid, "uid_map", v);
    EXPECT(v[0] == 0 && v[1] == USER && v[2] == 1);
    child_end(&ch);
    get_map(getpid(), "uid_map", v);
    EXPECT(v[0] == 0 && v[1] == 0 && v[2] == 4294967295U);
}

TEST(setgroups_is_denied_before_the_group_map_and_for_good)
{
    struct child ch = child_start(user_ns_of_own);

    EXPECT(put(ch.pid, "setgroups", "denied") == EINVAL);
    EXPECT(put(ch.pid, "setgroups", "allow\n") == 0);
    EXPECT(put(ch.pid, "gid_map", "0 1000 1") == 0); /* by root outside */
    EXPECT(put(ch.pid, "setgroups", "deny") == EPERM);
    child_end(&ch);
    ch = child_start(user_ns_of_own);
    EXPECT(put(ch.pid, "setgroups", "deny\n") == 0);
    EXPECT(put(ch.pid, "setgroups", "allow") == EPERM);
    child_end(&ch);
    EXPECT(put(getpid(), "setgroups", "deny") == EPERM);
}

static void groups_without_a_map(void)
{
    user_ns_of_own();
    EXPECT_ERR(setgroups(0, NULL), EPERM);
}

TEST(groups_are_not_set_before_they_are_mapped)
{
    struct child ch = child_start(groups_without_a_map);

    child_end(&ch);
}

TEST(strangers_change_nothing_in_a_user_namespace)
{
    struct child ch = child_start(user_ns_of_own);
    pid_t pid = fork();

    if (pid == 0) {
        become_user(USER + 1);
        EXPECT(put(ch.pid, "setgroups", "deny") == EACCES);
        EXPECT(put(ch.pid, "uid_map", "0 1001 1") != 0);
        _exit(0);
    }
    wait_ok(pid);
    EXPECT(put(ch.pid, "setgroups", "allow") == 0);
    child_end(&ch);
}

/* Root is given the descriptor of a map that another opened. */
TEST(opener_of_a_map_counts_not_its_writer)
{
    struct child ch = child_start(user_ns_of_own);
    int fd, up[2];
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/uid_map", ch.pid);
    EXPECT(pipe(up) == 0);
    EXPECT(setresuid(USER, USER, 0) == 0);
    fd = open(path, O_WRONLY);
    EXPECT(setresuid(0, 0, 0) == 0 && fd >= 0);
    EXPECT_ERR(write(fd, "0 0 1", 5), EPERM);
    EXPECT_ERR(write(fd, "0 1000 2", 8), EPERM);
    close(fd);
    child_end(&ch);
}

static void without_setfcap(void)
{
    unsigned int h[2] = {0x20080522, 0}, d[6];

    EXPECT(syscall(SYS_capget, h, d) == 0);
    d[0] &= ~(1U << 31);
    EXPECT(syscall(SYS_capset, h, d) == 0);
    EXPECT(unshare(CLONE_NEWUSER) == 0);
    EXPECT(put(getpid(), "uid_map", "0 0 1") == EPERM);
    EXPECT(put(getpid(), "uid_map", "0 0 10") == EPERM);
}

static void with_setfcap(void)
{
    EXPECT(unshare(CLONE_NEWUSER) == 0);
    EXPECT(put(getpid(), "uid_map", "0 0 1") == 0);
}

TEST(parents_root_is_mapped_only_by_who_may_set_file_capabilities)
{
    struct child ch = child_start(without_setfcap);

    child_end(&ch);
    ch = child_start(with_setfcap);
    child_end(&ch);
}

/* ------------------------------------------------------------- senders */

static siginfo_t got;
static void note(int sig, siginfo_t *info, void *ctx)
{
    got = *info;
}

static void await_signal_of(pid_t pid, uid_t uid)
{
    struct sigaction sa = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    sigset_t none;

    sigemptyset(&none);
    sigaction(SIGUSR1, &sa, NULL);
    got.si_signo = 0;
    while (got.si_signo != SIGUSR1)
        sigsuspend(&none);
    EXPECT(got.si_pid == pid && got.si_uid == uid);
}

static int inner_receiver(void *arg)
{
    int *p = arg;

    EXPECT(write(p[1], "r", 1) == 1);
    await_signal_of(0, 65534); /* root outside has neither number here */
    EXPECT(write(p[1], "s", 1) == 1);
    await_signal_of(0, 65534); /* by sigqueue, with ids of the sender's making */
    return 0;
}

TEST(sender_of_a_signal_is_told_in_the_receivers_numbers)
{
    static char stack[65536];
    sigset_t usr1;
    siginfo_t q = {.si_code = SI_QUEUE};
    int p[2];
    char c;

    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    EXPECT(pipe(p) == 0 && sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
    pid_t pid =
        clone(inner_receiver, stack + sizeof(stack), CLONE_NEWPID | CLONE_NEWUSER | SIGCHLD, p);
    EXPECT(pid > 0 && put(pid, "uid_map", "0 1000 1") == 0);
    EXPECT(read(p[0], &c, 1) == 1 && kill(pid, SIGUSR1) == 0);
    EXPECT(read(p[0], &c, 1) == 1);
    q.si_pid = 4242;
    q.si_uid = 0;
    EXPECT(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &q) == 0);
    wait_ok(pid);
}

/* What a descriptor from outside names has no number here. */
TEST(a_pidfd_from_outside_the_pid_namespace_signals_nothing)
{
    int fd = pidfd_open(getpid());
    pid_t pid;

    EXPECT(fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0);
    EXPECT(unshare(CLONE_NEWPID) == 0);
    pid = fork();
    if (pid == 0) {
        EXPECT_ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), EINVAL);
        _exit(0);
    }
    wait_ok(pid);
}
