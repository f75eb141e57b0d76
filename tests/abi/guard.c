/* SPDX-License-Identifier: MIT
 *
 * What a program may not do to the kernel, nor one user to another: odd addresses and counts, files
 * and processes of others.
 */
#include "abi.h"
#include "send_descriptor.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define STRANGER 4711 /* an id that owns nothing */

/* Runs fn in a child; its wait status. */
static int in_child(void (*fn)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        fn();
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    return status;
}

static void become_stranger(void)
{
    EXPECT(setgroups(0, NULL) == 0 && setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
}

static void count_nothing(int sig)
{
}

/* ------------------------------------------------------------- signal frames */

static void handler_outside_the_address_space(void)
{
    struct sigaction sa = {.sa_handler = (void (*)(int))0x8000000000001000UL};

    EXPECT(sigaction(SIGUSR1, &sa, NULL) == 0);
    raise(SIGUSR1);
}

TEST(handler_at_no_address_is_a_fault)
{
    int status = in_child(handler_outside_the_address_space);

    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void fault_without_a_stack(void)
{
    struct sigaction sa = {.sa_handler = count_nothing, .sa_flags = SA_NODEFER};

    EXPECT(sigaction(SIGSEGV, &sa, NULL) == 0);
    __asm__ volatile("mov $64, %%rsp\n\tmovq $0, (%%rsp)" ::: "memory");
}

TEST(handler_without_a_stack_ends_the_process)
{
    int status = in_child(fault_without_a_stack);

    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

/* ------------------------------------------------------------- files of others */

static void times_of_anothers_file(void)
{
    struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, then[2] = {{1, 0}, {1, 0}},
                    omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};

    become_stranger();
    EXPECT_ERR(utimensat(AT_FDCWD, "guard-file", then, 0), EPERM);
    EXPECT_ERR(utimensat(AT_FDCWD, "guard-file", NULL, 0), EACCES);
    EXPECT_ERR(utimensat(AT_FDCWD, "guard-file", now, 0), EACCES);
    EXPECT(utimensat(AT_FDCWD, "guard-file", omit, 0) == 0);
    /* Who may write may say that he has; not when. */
    EXPECT_ERR(utimensat(AT_FDCWD, "guard-shared", then, 0), EPERM);
    EXPECT(utimensat(AT_FDCWD, "guard-shared", NULL, 0) == 0);
    then[1].tv_nsec = UTIME_NOW;
    EXPECT_ERR(utimensat(AT_FDCWD, "guard-shared", then, 0), EPERM);
}

TEST(times_of_a_file_are_its_owners)
{
    EXPECT(chdir("/tmp") == 0);
    EXPECT(close(open("guard-file", O_CREAT | O_RDWR, 0644)) == 0);
    EXPECT(close(open("guard-shared", O_CREAT | O_RDWR, 0644)) == 0);
    EXPECT(chmod("guard-shared", 0666) == 0);
    EXPECT(in_child(times_of_anothers_file) == 0);
    EXPECT(unlink("guard-file") == 0 && unlink("guard-shared") == 0);
}

struct how {
    uint64_t flags, mode, resolve;
};
enum { NO_XDEV = 1, NO_MAGICLINKS = 2, NO_SYMLINKS = 4, BENEATH = 8, IN_ROOT = 16 };

static int open_scoped(int dir, const char *name, uint64_t resolve, uint64_t flags)
{
    struct how how = {flags, flags & O_CREAT ? 0600 : 0, resolve};
    int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));

    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

/* openat2(2): names that lead out of a directory are refused, or mean what they would if it were
 * the root. */
TEST(names_stay_in_their_scope)
{
    char fd_link[32];
    int dir;

    EXPECT(mkdir("/tmp/guard-scope", 0755) == 0 && mkdir("/tmp/guard-scope/in", 0755) == 0);
    EXPECT(close(open("/tmp/guard-out", O_CREAT | O_RDWR, 0600)) == 0);
    EXPECT(close(open("/tmp/guard-scope/tmp", O_CREAT | O_RDWR, 0600)) == 0);
    EXPECT(symlink("/tmp", "/tmp/guard-scope/absolute") == 0);
    EXPECT(symlink("../../guard-out", "/tmp/guard-scope/in/relative") == 0);
    EXPECT(symlink("../new", "/tmp/guard-scope/in/dangling") == 0);
    EXPECT((dir = open("/tmp/guard-scope", O_RDONLY | O_DIRECTORY)) >= 0);

    EXPECT_ERR(open_scoped(dir, "../guard-out", BENEATH, O_RDONLY), EXDEV);
    EXPECT_ERR(open_scoped(dir, "in/../../guard-out", BENEATH, O_RDONLY), EXDEV);
    EXPECT_ERR(open_scoped(dir, "/tmp", BENEATH, O_RDONLY), EXDEV);
    EXPECT_ERR(open_scoped(dir, "absolute", BENEATH, O_RDONLY), EXDEV);
    EXPECT_ERR(open_scoped(dir, "in/relative", BENEATH, O_RDONLY), EXDEV);
    EXPECT(open_scoped(dir, "in/../tmp", BENEATH, O_RDONLY) == 0);

    EXPECT_ERR(open_scoped(dir, "../guard-out", IN_ROOT, O_RDONLY), ENOENT);
    EXPECT_ERR(open_scoped(dir, "in/relative", IN_ROOT, O_RDONLY), ENOENT);
    EXPECT(open_scoped(dir, "/in/../../tmp", IN_ROOT, O_RDONLY) == 0);
    EXPECT(open_scoped(dir, "absolute", IN_ROOT, O_RDONLY) == 0); /* the scope's own "tmp" */
    EXPECT(open_scoped(dir, "in/dangling", IN_ROOT, O_CREAT | O_RDWR) == 0);
    EXPECT(access("/tmp/guard-scope/new", F_OK) == 0);

    snprintf(fd_link, sizeof(fd_link), "self/fd/%d", dir);
    EXPECT((dir = open("/proc", O_RDONLY | O_DIRECTORY)) >= 0);
    EXPECT(open_scoped(dir, fd_link, 0, O_RDONLY) == 0);
    EXPECT_ERR(open_scoped(dir, fd_link, BENEATH, O_RDONLY), EXDEV);
    EXPECT_ERR(open_scoped(dir, fd_link, IN_ROOT, O_RDONLY), EXDEV);
    EXPECT_ERR(open_scoped(dir, fd_link, NO_XDEV, O_RDONLY), EXDEV);
    EXPECT_ERR(open_scoped(dir, fd_link, NO_MAGICLINKS, O_RDONLY), ELOOP);
    EXPECT(unlink("/tmp/guard-scope/tmp") == 0 && unlink("/tmp/guard-scope/new") == 0);
    EXPECT(unlink("/tmp/guard-scope/absolute") == 0 && unlink("/tmp/guard-scope/in/relative") == 0);
    EXPECT(unlink("/tmp/guard-scope/in/dangling") == 0 && rmdir("/tmp/guard-scope/in") == 0);
    EXPECT(rmdir("/tmp/guard-scope") == 0 && unlink("/tmp/guard-out") == 0);
}

/* ------------------------------------------------------------- processes of others */

static unsigned long long stat_field(const char *path, int n)
{
    char text[1024] = {0}, *at;
    int fd = open(path, O_RDONLY);

    EXPECT(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    at = strrchr(text, ')');
    EXPECT(at);
    for (; n > 2; n--)
        EXPECT((at = strchr(at + 1, ' ')) != NULL);
    return strtoull(at, NULL, 10);
}

enum {
    STAT_STARTCODE = 26,
    STAT_ENDCODE,
    STAT_STARTSTACK,
    STAT_START_DATA = 45,
    STAT_ENV_END = 51
};

static void look_at_parents_stat(void)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/stat", getppid());
    EXPECT(stat_field(path, STAT_STARTCODE) > 1 && stat_field(path, STAT_STARTSTACK) > 1);
    become_stranger();
    EXPECT(stat_field(path, STAT_STARTCODE) == 1 && stat_field(path, STAT_ENDCODE) == 1);
    EXPECT(stat_field(path, STAT_STARTSTACK) == 0);
    for (int i = STAT_START_DATA; i <= STAT_ENV_END; i++)
        EXPECT(stat_field(path, i) == 0);
    EXPECT(stat_field("/proc/self/stat", STAT_STARTSTACK) > 1);
}

TEST(stat_hides_addresses_from_others)
{
    EXPECT(in_child(look_at_parents_stat) == 0);
}

static void exec_self(const char *what)
{
    char *argv[] = {"guard", (char *)what, NULL}, *envp[] = {NULL};

    execve("/proc/self/exe", argv, envp);
    EXPECT(!"execve");
}

/* Capabilities that root has laid down do not come back where no new ones may. */
static void exec_after_laying_down(void)
{
    struct {
        unsigned version;
        int pid;
    } head = {0x20080522, 0};
    unsigned data[6] = {0};

    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(syscall(SYS_capset, &head, data) == 0);
    exec_self("has_no_capabilities");
}

TEST(no_new_privileges_for_root)
{
    EXPECT(in_child(exec_after_laying_down) == 0);
}

/* By name only: what the tests above execute. */
static bool asked_for(const char *name)
{
    char text[256] = {0};
    int fd = open("/proc/self/cmdline", O_RDONLY);

    EXPECT(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    return strcmp(text + strlen(text) + 1, name) == 0;
}

TEST(has_no_capabilities)
{
    char text[4096] = {0}, *at;
    int fd;

    if (!asked_for("has_no_capabilities"))
        return;
    fd = open("/proc/self/status", O_RDONLY);
    EXPECT(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    at = strstr(text, "CapPrm:");
    EXPECT(at && strtoull(at + 7, NULL, 16) == 0);
    at = strstr(text, "CapEff:");
    EXPECT(at && strtoull(at + 7, NULL, 16) == 0);
}

/* A set-user-id program whose owner has no number in the namespace: the bit means nothing there. */
static void exec_set_id_in_namespace(void)
{
    become_stranger();
    EXPECT(unshare(CLONE_NEWUSER) == 0);
    char *argv[] = {"guard", "runs_as_a_stranger", NULL}, *envp[] = {NULL};
    execve("/guard-suid", argv, envp);
    EXPECT(!"execve");
}

static void copy_self_to(const char *path, mode_t mode)
{
    static char buf[65536];
    int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_CREAT | O_WRONLY, 0700);
    ssize_t n;

    EXPECT(from >= 0 && to >= 0);
    while ((n = read(from, buf, sizeof(buf))) > 0)
        EXPECT(write(to, buf, (size_t)n) == n);
    EXPECT(n == 0 && fchmod(to, mode) == 0);
    close(from);
    close(to);
}

TEST(set_id_bits_do_not_reach_out_of_a_user_namespace)
{
    EXPECT(close(open("/tmp/guard-private", O_CREAT | O_RDWR, 0600)) == 0);
    copy_self_to("/guard-suid", 04755);
    int status = in_child(exec_set_id_in_namespace);
    EXPECT(unlink("/guard-suid") == 0 && unlink("/tmp/guard-private") == 0);
    EXPECT(status == 0);
}

TEST(runs_as_a_stranger)
{
    char text[4096] = {0}, *at;
    int fd;

    if (!asked_for("runs_as_a_stranger"))
        return;
    EXPECT(getuid() == 65534 && geteuid() == 65534);
    fd = open("/proc/self/status", O_RDONLY);
    EXPECT(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    at = strstr(text, "Uid:");
    EXPECT(at && strncmp(at, "Uid:\t65534\t65534\t65534\t65534\n", 29) == 0);
    EXPECT_ERR(open("/tmp/guard-private", O_RDONLY), EACCES); /* root's */
}

/* What may be run but not read is not read through its process either. */
static void run_unreadable(void)
{
    become_stranger();
    char *argv[] = {"guard", "is_closed", NULL}, *envp[] = {NULL};
    execve("/tmp/guard-run", argv, envp);
    EXPECT(!"execve");
}

TEST(unreadable_programs_are_closed)
{
    copy_self_to("/tmp/guard-run", 0711);
    int status = in_child(run_unreadable);
    EXPECT(unlink("/tmp/guard-run") == 0);
    EXPECT(status == 0);
}

TEST(is_closed)
{
    if (asked_for("is_closed"))
        EXPECT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1);
}

static void send_credentials(int sock, pid_t pid)
{
    union {
        char space[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr head;
    } control = {0};
    struct ucred u = {pid, 0, 0};
    struct iovec iov = {"x", 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};

    u.uid = getuid();
    u.gid = getgid();
    control.head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(u)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
    memcpy(CMSG_DATA(&control.head), &u, sizeof(u));
    if (pid == getpid())
        EXPECT(sendmsg(sock, &m, 0) == 1);
    else
        EXPECT_ERR(sendmsg(sock, &m, 0), EPERM);
}

/* All capabilities in a user namespace, and the processes outside it are still not one's own. */
static void pose_as_parent(void)
{
    int pair[2];
    uid_t id = STRANGER;
    char map[64];
    int fd;

    EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    become_stranger();
    EXPECT(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
    EXPECT(unshare(CLONE_NEWUSER) == 0);
    snprintf(map, sizeof(map), "0 %u 1", id);
    EXPECT((fd = open("/proc/self/setgroups", O_WRONLY)) >= 0 && write(fd, "deny", 4) == 4);
    EXPECT((fd = open("/proc/self/uid_map", O_WRONLY)) >= 0);
    EXPECT(write(fd, map, strlen(map)) == (ssize_t)strlen(map));
    EXPECT((fd = open("/proc/self/gid_map", O_WRONLY)) >= 0);
    EXPECT(write(fd, map, strlen(map)) == (ssize_t)strlen(map));
    EXPECT(getuid() == 0 && getgid() == 0);
    send_credentials(pair[0], getpid());
    send_credentials(pair[0], getppid());
}

TEST(capabilities_of_a_user_namespace_end_at_its_border)
{
    EXPECT(in_child(pose_as_parent) == 0);
}

static void make_namespace_in_chroot(void)
{
    EXPECT(chroot("/tmp") == 0 && chdir("/") == 0);
    EXPECT_ERR(unshare(CLONE_NEWUSER), EPERM);
    EXPECT_ERR(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), EPERM);
}

TEST(no_user_namespace_where_the_root_is_not_ones_own)
{
    EXPECT(in_child(make_namespace_in_chroot) == 0);
}

/* Two processes with one root directory: none of them enters a user namespace alone, where it may
 * change it for the other. */
TEST(user_namespaces_are_not_entered_with_a_shared_root)
{
    char path[64];
    int ready[2], fd;
    char c;

    EXPECT(pipe(ready) == 0);
    pid_t inside = fork();
    if (inside == 0) {
        EXPECT(unshare(CLONE_NEWUSER) == 0 && write(ready[1], "x", 1) == 1);
        pause();
        _exit(0);
    }
    EXPECT(read(ready[0], &c, 1) == 1);
    snprintf(path, sizeof(path), "/proc/%d/ns/user", inside);
    EXPECT((fd = open(path, O_RDONLY)) >= 0);
    pid_t sharer = (pid_t)syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0);
    if (sharer == 0) {
        pause();
        _exit(0);
    }
    EXPECT_ERR(setns(fd, CLONE_NEWUSER), EINVAL);
    kill(sharer, SIGKILL);
    EXPECT(waitpid(sharer, NULL, 0) == sharer);
    EXPECT(setns(fd, CLONE_NEWUSER) == 0);
    kill(inside, SIGKILL);
    EXPECT(waitpid(inside, NULL, 0) == inside);
}

/* A program that closes itself to others and enters a user namespace, as container runtimes do,
 * stays closed to those who rule there. */
TEST(closed_programs_stay_closed_inside)
{
    static char secret[] = "secret";
    char path[64], got[sizeof(secret)];
    int ready[2], come[2], go[2], fd;
    char c;

    EXPECT(pipe(ready) == 0 && pipe(come) == 0 && pipe(go) == 0);
    pid_t inside = fork();
    if (inside == 0) {
        struct iovec to = {got, sizeof(got)}, from = {secret, sizeof(secret)};
        pid_t guest;

        become_stranger();
        EXPECT(unshare(CLONE_NEWUSER) == 0 && write(ready[1], "x", 1) == 1);
        EXPECT(read(come[0], &guest, sizeof(guest)) == sizeof(guest));
        EXPECT_ERR(process_vm_readv(guest, &to, 1, &from, 1, 0), EPERM);
        _exit(0);
    }
    EXPECT(read(ready[0], &c, 1) == 1);
    snprintf(path, sizeof(path), "/proc/%d/ns/user", inside);
    pid_t guest = fork();
    if (guest == 0) {
        EXPECT((fd = open(path, O_RDONLY)) >= 0);
        EXPECT(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && setns(fd, CLONE_NEWUSER) == 0);
        EXPECT(write(ready[1], "x", 1) == 1);
        read(go[0], &c, 1);
        _exit(0);
    }
    EXPECT(read(ready[0], &c, 1) == 1 && write(come[1], &guest, sizeof(guest)) == sizeof(guest));
    int status;
    EXPECT(waitpid(inside, &status, 0) == inside && status == 0);
    EXPECT(write(go[1], "x", 1) == 1 && waitpid(guest, &status, 0) == guest && status == 0);
}

/* ------------------------------------------------------------- id maps */

/* Somebody privileged writes to what an unprivileged program has opened, as the standard output of
 * a set-user-id program may be. */
TEST(id_maps_are_written_by_who_may_open_them)
{
    int ready[2], go[2], pair[2], fd = -1;
    char c;

    EXPECT(pipe(ready) == 0 && pipe(go) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        become_stranger();
        EXPECT(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
        EXPECT(unshare(CLONE_NEWUSER) == 0);
        EXPECT((fd = open("/proc/self/uid_map", O_WRONLY)) >= 0);
        EXPECT(send_descriptor(pair[1], fd) == 1);
        read(go[0], &c, 1);
        _exit(0);
    }
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr head;
    } control;
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    EXPECT(recvmsg(pair[0], &m, 0) == 1 && m.msg_controllen >= CMSG_LEN(sizeof(fd)));
    memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
    EXPECT_ERR(write(fd, "0 0 1", 5), EPERM);
    EXPECT(write(go[1], "x", 1) == 1);
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

/* ------------------------------------------------------------- groups of processes, of ids */

static volatile sig_atomic_t told;
static void note(int sig)
{
    told++;
}

/* A process that says when it is there, and waits. */
static pid_t member(int ready, bool stranger)
{
    pid_t pid = fork();

    EXPECT(pid >= 0);
    if (pid)
        return pid;
    signal(SIGUSR1, SIG_DFL);
    if (stranger)
        become_stranger();
    EXPECT(write(ready, "x", 1) == 1);
    pause();
    _exit(0);
}

/* One without the right to signal root's processes does not reach that at the end of a large group.
 */
TEST(large_groups_are_signalled_one_by_one)
{
    enum { MEMBERS = 80 };
    pid_t pids[MEMBERS + 1];
    int ready[2], status;
    char c;

    EXPECT(pipe(ready) == 0);
    pid_t leader = fork();
    if (leader == 0) {
        EXPECT(setpgid(0, 0) == 0);
        signal(SIGUSR1, note);
        for (int i = 0; i <= MEMBERS; i++)
            pids[i] = member(ready[1], i < MEMBERS); /* the last stays root */
        for (int i = 0; i <= MEMBERS; i++)
            EXPECT(read(ready[0], &c, 1) == 1);
        pid_t sender = fork();
        if (sender == 0) {
            signal(SIGUSR1, SIG_IGN);
            become_stranger();
            EXPECT(kill(0, SIGUSR1) == 0);
            _exit(0);
        }
        EXPECT(waitpid(sender, &status, 0) == sender && status == 0);
        for (int i = 0; i < MEMBERS; i++)
            EXPECT(waitpid(pids[i], &status, 0) == pids[i] && WTERMSIG(status) == SIGUSR1);
        EXPECT(waitpid(pids[MEMBERS], &status, WNOHANG) == 0 && told == 0);
        kill(pids[MEMBERS], SIGKILL);
        _exit(0);
    }
    EXPECT(waitpid(leader, &status, 0) == leader && status == 0);
}

TEST(as_many_groups_as_there_may_be)
{
    enum { GROUPS = 65536 };
    static gid_t groups[GROUPS];
    struct timespec from, to;

    for (int i = 0; i < GROUPS; i++)
        groups[i] = (gid_t)(GROUPS - i);
    clock_gettime(CLOCK_MONOTONIC, &from);
    EXPECT(setgroups(GROUPS, groups) == 0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    EXPECT(to.tv_sec - from.tv_sec < 5);
    EXPECT(getgroups(GROUPS, groups) == GROUPS && groups[0] == 1 && groups[GROUPS - 1] == GROUPS);
    EXPECT_ERR(setgroups(GROUPS + 1, groups), EINVAL);
}

TEST(argument_pointers_count)
{
    enum { STRINGS = 1 << 20 };
    static char *argv[STRINGS + 1];
    char *envp[] = {NULL};

    for (int i = 0; i < STRINGS; i++)
        argv[i] = "";
    EXPECT_ERR(execve("/proc/self/exe", argv, envp), E2BIG);
}
