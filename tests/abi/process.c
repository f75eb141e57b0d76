/* SPDX-License-Identifier: MIT
 *
 * Processes: fork, exec, wait, groups, sessions, namespaces, limits, credentials.
 */
#include "abi.h"
#include <linux/sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/mount.h>
#include <grp.h>

TEST(fork_copies_memory)
{
    static volatile int shared_not = 1;
    pid_t pid = fork();

    if (pid == 0) {
        shared_not = 2;
        _exit(shared_not);
    }
    EXPECT(status_of(pid) == 2 << 8);
    EXPECT(shared_not == 1);
}

TEST(vfork_shares_memory_until_exit)
{
    static volatile int seen;
    pid_t pid = vfork();

    if (pid == 0) {
        seen = 7;
        _exit(0);
    }
    EXPECT(seen == 7);
    EXPECT(status_of(pid) == 0);
}

TEST(exit_status_by_signal)
{
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGTERM, SIG_DFL);
        kill(getpid(), SIGTERM);
        pause();
    }
    EXPECT(status_of(pid) == SIGTERM);
}

TEST(segfault_is_sigsegv_with_address)
{
    pid_t pid = fork();

    if (pid == 0) {
        *(volatile int *)16 = 1;
        _exit(0);
    }
    EXPECT((status_of(pid) & 0x7f) == SIGSEGV);
}

TEST(divide_error_is_sigfpe)
{
    pid_t pid = fork();

    if (pid == 0) {
        volatile int zero = 0, n = 100;
        volatile int r = n / zero;
        _exit(r);
    }
    EXPECT((status_of(pid) & 0x7f) == SIGFPE);
}

TEST(wait_without_children_is_echild)
{
    EXPECT_ERR(waitpid(-1, NULL, 0), ECHILD);
}

TEST(wait_nohang_returns_zero)
{
    pid_t pid = fork();
    int st;

    if (pid == 0) {
        pause();
        _exit(0);
    }
    EXPECT(waitpid(pid, &st, WNOHANG) == 0);
    EXPECT(pid > 0); /* -1 would be all processes */
    kill(pid, SIGKILL);
    EXPECT(status_of(pid) == SIGKILL);
}

TEST(waitid_fills_siginfo)
{
    siginfo_t si = {0};
    pid_t pid = fork();

    if (pid == 0)
        _exit(5);
    EXPECT(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT) == 0);
    EXPECT(si.si_pid == pid && si.si_code == CLD_EXITED && si.si_status == 5);
    EXPECT(status_of(pid) == 5 << 8);
}

TEST(stop_and_continue_are_reported)
{
    int st;
    pid_t pid = fork();

    if (pid == 0) {
        for (;;)
            pause();
    }
    EXPECT(pid > 0); /* -1 would be all processes */
    kill(pid, SIGSTOP);
    EXPECT(waitpid(pid, &st, WUNTRACED) == pid && WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
    kill(pid, SIGCONT);
    EXPECT(waitpid(pid, &st, WCONTINUED) == pid && WIFCONTINUED(st));
    kill(pid, SIGKILL);
    EXPECT(status_of(pid) == SIGKILL);
}

TEST(jobs_of_a_namespaces_init_stop)
{
    int st;

    EXPECT(unshare(CLONE_NEWPID) == 0);
    pid_t init = fork();
    if (init == 0) {
        EXPECT(getpid() == 1);
        EXPECT(setsid() == 1);
        pid_t job = fork();
        if (job == 0) {
            setpgid(0, 0);
            raise(SIGTSTP);
            _exit(3);
        }
        EXPECT(waitpid(job, &st, WUNTRACED) == job);
        EXPECT(WIFSTOPPED(st) && WSTOPSIG(st) == SIGTSTP);
        kill(job, SIGCONT);
        EXPECT(waitpid(job, &st, 0) == job && WEXITSTATUS(st) == 3);
        _exit(0);
    }
    EXPECT(status_of(init) == 0);
}

TEST(ignored_sigchld_reaps)
{
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    EXPECT_ERR(waitpid(pid, NULL, 0), ECHILD);
}

TEST(orphan_goes_to_subreaper)
{
    int p[2], st;

    EXPECT(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    EXPECT(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        pid_t grand = fork();
        if (grand == 0) {
            char c;
            close(p[1]);
            read(p[0], &c, 1);
            _exit(9);
        }
        _exit(0);
    }
    close(p[0]);
    EXPECT(status_of(pid) == 0);
    close(p[1]);
    EXPECT(wait(&st) > 0 && WEXITSTATUS(st) == 9);
}

TEST(parent_death_signal)
{
    int p[2];
    char c;

    EXPECT(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        int q[2];
        pipe(q);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            write(q[1], "x", 1);
            for (;;)
                pause();
        }
        read(q[0], &c, 1);
        _exit(0);
    }
    close(p[1]);
    EXPECT(status_of(pid) == 0);
    EXPECT(read(p[0], &c, 1) == 0); /* the grandchild's end closes when it is killed */
}

TEST(exec_script_passes_arguments)
{
    int p[2];
    char buf[256] = {0};
    int fd = open("/tmp/abi-script", O_CREAT | O_WRONLY | O_TRUNC, 0755);
    EXPECT(fd >= 0);
    char self[256];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    EXPECT(n > 0);
    self[n] = 0;
    dprintf(fd, "#!%s none\n", self);
    close(fd);
    EXPECT(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(p[1], 1);
        execl("/tmp/abi-script", "x", "y", NULL);
        _exit(99);
    }
    close(p[1]);
    EXPECT(status_of(pid) == 0);
    EXPECT(read(p[0], buf, sizeof(buf)) == 0);
    unlink("/tmp/abi-script");
}

TEST(exec_errors)
{
    char *argv[] = {"x", NULL};

    EXPECT_ERR(execv("/no/such/file", argv), ENOENT);
    EXPECT_ERR(execv("/tmp", argv), EACCES);
    int fd = open("/tmp/abi-empty", O_CREAT | O_WRONLY | O_TRUNC, 0755);
    close(fd);
    EXPECT_ERR(execv("/tmp/abi-empty", argv), ENOEXEC);
    unlink("/tmp/abi-empty");
}

TEST(close_on_exec_flag)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    EXPECT(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    EXPECT(fcntl(fd, F_SETFD, 0) == 0 && fcntl(fd, F_GETFD) == 0);
}

TEST(process_groups)
{
    pid_t pid = fork();

    if (pid == 0) {
        EXPECT(setpgid(0, 0) == 0);
        EXPECT(getpgrp() == getpid());
        EXPECT_ERR(setsid(), EPERM);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0);
    EXPECT_ERR(setpgid(999999, 0), ESRCH);
    EXPECT(setsid() == getpid() || errno == EPERM);
}

TEST(setsid_leads)
{
    pid_t pid = fork();

    if (pid == 0) {
        EXPECT(setsid() == getpid());
        EXPECT(getsid(0) == getpid() && getpgrp() == getpid());
        EXPECT_ERR(setpgid(0, 0), EPERM);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0);
}

TEST(clone3_with_pidfd)
{
    int pidfd = -1;
    struct clone_args a = {
        .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &a, sizeof(a));

    EXPECT(pid >= 0);
    if (pid == 0)
        _exit(3);
    struct pollfd pf = {pidfd, POLLIN, 0};
    EXPECT(poll(&pf, 1, -1) == 1 && pf.revents & POLLIN);
    siginfo_t si = {0};
    EXPECT(waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) == 0 && si.si_status == 3);
}

TEST(clone3_refuses_bad_flags)
{
    struct clone_args a = {.flags = CLONE_THREAD, .exit_signal = 0};

    EXPECT_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    EXPECT_ERR(syscall(SYS_clone3, &a, 8), EINVAL);
}

static long clone_into(int group)
{
    struct clone_args a = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (unsigned)group};
    long pid = syscall(SYS_clone3, &a, sizeof(a));

    if (pid == 0)
        _exit(7);
    return pid;
}

static bool group_put(int group, const char *file, const char *text)
{
    int fd = openat(group, file, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) > 0;

    close(fd);
    return done;
}

TEST(clone3_into_a_control_group_asks_as_a_move_does)
{
    mkdir("/tmp", 0777);
    mkdir("/tmp/groups", 0755);
    EXPECT(mount("none", "/tmp/groups", "cgroup2", 0, NULL) == 0);
    int top = open("/tmp/groups", O_RDONLY | O_DIRECTORY);
    EXPECT(mkdir("/tmp/groups/clone", 0755) == 0);
    int group = open("/tmp/groups/clone", O_RDONLY | O_DIRECTORY);
    EXPECT(top >= 0 && group >= 0);
    EXPECT(WEXITSTATUS(status_of((pid_t)clone_into(group))) == 7);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        EXPECT(setresuid(1000, 1000, 1000) == 0);
        EXPECT_ERR(clone_into(group), EACCES);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0);
    /* one that hands memory on to its children has no processes of its own */
    EXPECT(group_put(top, "cgroup.subtree_control", "+memory"));
    EXPECT(group_put(group, "cgroup.subtree_control", "+memory"));
    EXPECT_ERR(clone_into(group), EBUSY);
    EXPECT(!group_put(group, "cgroup.procs", "0") && errno == EBUSY);
    EXPECT(rmdir("/tmp/groups/clone") == 0);
    EXPECT_ERR(clone_into(group), ENOENT);
    EXPECT(umount2("/tmp/groups", MNT_DETACH) == 0);
}

TEST(pid_namespace_has_its_own_init)
{
    struct clone_args a = {.flags = CLONE_NEWPID, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &a, sizeof(a));

    EXPECT(pid >= 0);
    if (pid == 0) {
        EXPECT(getpid() == 1 && getppid() == 0);
        kill(1, SIGTERM); /* no handler: init is spared */
        pid_t c = fork();
        if (c == 0)
            _exit(getpid() == 2 ? 0 : 1);
        EXPECT(status_of(c) == 0);
        if (fork() == 0) /* killed with the namespace */
            for (;;)
                pause();
        _exit(4);
    }
    EXPECT(status_of((pid_t)pid) == 4 << 8);
}

TEST(uts_namespace_hides_the_name)
{
    struct utsname before, after;
    uname(&before);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(unshare(CLONE_NEWUTS) == 0);
        EXPECT(sethostname("inside", 6) == 0);
        struct utsname u;
        uname(&u);
        EXPECT(strcmp(u.nodename, "inside") == 0);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0);
    uname(&after);
    EXPECT(strcmp(before.nodename, after.nodename) == 0);
}

TEST(setns_enters_uts)
{
    int p[2], q[2];
    char c;

    pipe(p), pipe(q);
    pid_t pid = fork();
    if (pid == 0) {
        unshare(CLONE_NEWUTS);
        sethostname("other", 5);
        write(p[1], "x", 1);
        read(q[0], &c, 1);
        _exit(0);
    }
    read(p[0], &c, 1);
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/uts", pid);
    int fd = open(path, O_RDONLY);
    EXPECT(fd >= 0);
    EXPECT_ERR(setns(fd, CLONE_NEWIPC), EINVAL);
    EXPECT(setns(fd, CLONE_NEWUTS) == 0);
    struct utsname u;
    uname(&u);
    EXPECT(strcmp(u.nodename, "other") == 0);
    write(q[1], "x", 1);
    EXPECT(status_of(pid) == 0);
}

TEST(mount_namespace_is_private)
{
    mkdir("/tmp/abi-mnt", 0755);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(unshare(CLONE_NEWNS) == 0);
        EXPECT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        EXPECT(mount("t", "/tmp/abi-mnt", "tmpfs", MS_NOSUID, "size=64k,mode=700") == 0);
        int fd = open("/tmp/abi-mnt/file", O_CREAT | O_RDWR, 0600);
        EXPECT(fd >= 0);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0);
    EXPECT_ERR(open("/tmp/abi-mnt/file", O_RDONLY), ENOENT);
    EXPECT(rmdir("/tmp/abi-mnt") == 0);
}

TEST(user_namespace_maps_root)
{
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
        EXPECT(prctl(PR_SET_DUMPABLE, 1) == 0);
        EXPECT(unshare(CLONE_NEWUSER) == 0);
        EXPECT(getuid() == 65534);
        int fd = open("/proc/self/uid_map", O_WRONLY);
        EXPECT(fd >= 0 && write(fd, "0 1000 1", 8) == 8);
        EXPECT(getuid() == 0);
        EXPECT(sethostname("no", 2) == -1 && errno == EPERM);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0);
}

TEST(rlimit_nofile_binds)
{
    struct rlimit r = {8, 16}, old;

    EXPECT(setrlimit(RLIMIT_NOFILE, &r) == 0);
    int fd = -1, n = 0;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0)
        n++;
    EXPECT(errno == EMFILE && n <= 8);
    EXPECT(getrlimit(RLIMIT_NOFILE, &old) == 0 && old.rlim_cur == 8 && old.rlim_max == 16);
    r.rlim_cur = 32;
    EXPECT_ERR(setrlimit(RLIMIT_NOFILE, &r), EINVAL);
}

TEST(dropping_root_drops_capabilities)
{
    pid_t pid = fork();
    if (pid == 0) {
        gid_t groups[2] = {7, 5};
        EXPECT(setgroups(2, groups) == 0);
        EXPECT(getgroups(0, NULL) == 2);
        EXPECT(setgid(1000) == 0 && setuid(1000) == 0);
        EXPECT(getuid() == 1000 && geteuid() == 1000);
        EXPECT_ERR(setuid(0), EPERM);
        EXPECT_ERR(sethostname("x", 1), EPERM);
        EXPECT_ERR(kill(1, SIGTERM), EPERM);
        EXPECT_ERR(chroot("/"), EPERM);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0);
}

TEST(no_new_privs_sticks)
{
    EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    EXPECT_ERR(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
}

TEST(bounding_set_shrinks)
{
    EXPECT(prctl(PR_CAPBSET_READ, 21) == 1);
    EXPECT(prctl(PR_CAPBSET_DROP, 21) == 0);
    EXPECT(prctl(PR_CAPBSET_READ, 21) == 0);
    EXPECT_ERR(prctl(PR_CAPBSET_READ, 63), EINVAL);
}

TEST(thread_name)
{
    char name[16];

    EXPECT(prctl(PR_SET_NAME, "a-rather-long-name") == 0);
    EXPECT(prctl(PR_GET_NAME, name) == 0);
    EXPECT(strcmp(name, "a-rather-long-n") == 0);
}

static void *exec_thread(void *arg)
{
    char *argv[] = {arg, "none", NULL};

    execv(arg, argv);
    _exit(98);
}

TEST(exec_from_a_thread_takes_the_process_over)
{
    static char self[256];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    EXPECT(n > 0);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        pthread_create(&t, NULL, exec_thread, self);
        for (;;)
            pause();
    }
    EXPECT(status_of(pid) == 0);
}

/* A mount of proc shows the processes of its mounter's namespace, whoever reads. */
TEST(proc_shows_the_namespace_of_its_mount)
{
    char text[64];
    int status;

    EXPECT(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0);
    EXPECT(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    pid_t pid = fork(); /* 1 there */
    if (pid == 0) {
        snprintf(text, sizeof(text), "/proc/%d", getppid());
        EXPECT(getpid() == 1 && getppid() == 0);
        EXPECT(readlink("/proc/self", text, sizeof(text)) > 0);
        EXPECT(atoi(text) > 1); /* the outer mount knows us by another number */
        EXPECT(mount("proc", "/tmp", "proc", 0, NULL) == 0);
        EXPECT(readlink("/tmp/self", text, sizeof(text)) == 1 && text[0] == '1');
        EXPECT(access("/tmp/1/status", R_OK) == 0);
        EXPECT(access("/tmp/2", F_OK) == -1 && errno == ENOENT);
        pid_t child = fork();
        if (child == 0)
            _exit(readlink("/tmp/self", text, sizeof(text)) == 1 && text[0] == '2' ? 0 : 1);
        EXPECT(waitpid(child, &status, 0) == child && status == 0);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    /* We are not in that namespace ourselves. */
    if (access("/tmp/self", F_OK) == 0)
        EXPECT(readlink("/tmp/self", text, sizeof(text)) == -1 && errno == ENOENT);
    umount2("/tmp", MNT_DETACH);
}

TEST(pidfd_send_signal_takes_a_proc_directory)
{
    char path[32];
    int status, fd;
    pid_t pid = fork();

    if (pid == 0) {
        pause();
        _exit(0);
    }
    snprintf(path, sizeof(path), "/proc/%d", pid);
    fd = open(path, O_RDONLY | O_DIRECTORY);
    EXPECT(fd >= 0 && syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) == 0);
    EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    EXPECT_ERR(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0), ESRCH);
    EXPECT_ERR(syscall(SYS_pidfd_send_signal, open("/tmp", O_RDONLY), SIGTERM, NULL, 0), EBADF);
}
