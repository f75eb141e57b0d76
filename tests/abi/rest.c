/* SPDX-License-Identifier: MIT
 *
 * Calls that have no place in the other programs: each made once at least, for what it promises and
 * for what it refuses. tools/abi-report --check asks for it.
 */
#include "abi.h"

#include <linux/bpf.h>
#include <linux/membarrier.h>
#include <netinet/in.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <utime.h>

static int scratch(const char *name)
{
    int fd;

    unlink(name);
    fd = open(name, O_RDWR | O_CREAT, 0644);
    EXPECT(fd >= 0);
    return fd;
}

/* ---- files ---- */

TEST(syncing_is_for_files)
{
    int fd = scratch("/tmp/rest-sync"), p[2];

    EXPECT(write(fd, "x", 1) == 1 && fdatasync(fd) == 0 && syncfs(fd) == 0);
    EXPECT(pipe(p) == 0);
    EXPECT_ERR(fdatasync(p[0]), EINVAL);
    EXPECT_ERR(syncfs(-1), EBADF);
    sync();
}

TEST(times_of_files_by_the_old_calls)
{
    struct utimbuf b = {1000, 2000};
    struct timeval tv[2] = {{3000, 500000}, {4000, 250000}}, bad[2] = {{0, 1000000}, {0, 0}};
    struct stat st;

    scratch("/tmp/rest-times");
    EXPECT(syscall(SYS_utime, "/tmp/rest-times", &b) == 0 && stat("/tmp/rest-times", &st) == 0);
    EXPECT(st.st_atime == 1000 && st.st_mtime == 2000);
    EXPECT(syscall(SYS_utimes, "/tmp/rest-times", tv) == 0 && stat("/tmp/rest-times", &st) == 0);
    EXPECT(st.st_mtim.tv_sec == 4000 && st.st_mtim.tv_nsec == 250000000);
    EXPECT_ERR(syscall(SYS_utimes, "/tmp/rest-times", bad), EINVAL);
    EXPECT_ERR(syscall(SYS_utime, "/tmp/rest-none", &b), ENOENT);
}

TEST(names_relative_to_a_directory)
{
    struct stat st;
    char buf[16];
    int dir;

    mkdir("/tmp/rest-dir", 0755);
    dir = open("/tmp/rest-dir", O_RDONLY | O_DIRECTORY);
    EXPECT(dir >= 0);
    unlinkat(dir, "pipe", 0);
    unlinkat(dir, "moved", 0);
    unlinkat(dir, "link", 0);
    EXPECT(mknodat(dir, "pipe", S_IFIFO | 0600, 0) == 0 && fstatat(dir, "pipe", &st, 0) == 0);
    EXPECT(S_ISFIFO(st.st_mode));
    EXPECT(syscall(SYS_renameat, dir, "pipe", dir, "moved") == 0);
    EXPECT(symlinkat("moved", dir, "link") == 0);
    EXPECT(readlinkat(dir, "link", buf, sizeof(buf)) == 5 && memcmp(buf, "moved", 5) == 0);
    EXPECT_ERR(symlinkat("x", dir, "link"), EEXIST);
    EXPECT(syscall(SYS_faccessat2, dir, "moved", R_OK, AT_EACCESS) == 0);
    EXPECT_ERR(syscall(SYS_faccessat2, dir, "moved", R_OK, 0x80000), EINVAL);
    EXPECT_ERR(syscall(SYS_faccessat2, dir, "none", F_OK, 0), ENOENT);
}

/* struct linux_dirent: the type is its last byte. */
TEST(directories_by_the_old_call)
{
    char buf[1024];
    int dir, names = 0;
    long n;

    mkdir("/tmp/rest-list", 0755);
    close(scratch("/tmp/rest-list/one"));
    dir = open("/tmp/rest-list", O_RDONLY | O_DIRECTORY);
    while ((n = syscall(SYS_getdents, dir, buf, sizeof(buf))) > 0)
        for (long at = 0; at < n;) {
            unsigned short len;
            memcpy(&len, buf + at + 16, 2);
            if (strcmp(buf + at + 18, "one") == 0)
                EXPECT(buf[at + len - 1] == 8);
            names++;
            at += len;
        }
    EXPECT(n == 0 && names == 3);
    lseek(dir, 0, SEEK_SET);
    EXPECT_ERR(syscall(SYS_getdents, dir, buf, 8), EINVAL);
}

TEST(attributes_are_listed_and_removed)
{
    char list[256];
    int fd = scratch("/tmp/rest-xattr");
    ssize_t n;

    EXPECT(fsetxattr(fd, "trusted.a", "1", 1, 0) == 0 &&
           fsetxattr(fd, "trusted.bb", "2", 1, 0) == 0);
    n = listxattr("/tmp/rest-xattr", NULL, 0);
    EXPECT(n >= 21 && llistxattr("/tmp/rest-xattr", list, sizeof(list)) == n);
    EXPECT(memmem(list, (size_t)n, "trusted.bb", 11));
    EXPECT_ERR(listxattr("/tmp/rest-xattr", list, 5), ERANGE);
    EXPECT(removexattr("/tmp/rest-xattr", "trusted.a") == 0 && fremovexattr(fd, "trusted.bb") == 0);
    EXPECT_ERR(removexattr("/tmp/rest-xattr", "trusted.a"), ENODATA);
}

TEST(another_root)
{
    pid_t pid = fork();

    if (pid == 0) {
        EXPECT(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        mkdir("/tmp/rest-root", 0755);
        EXPECT_ERR(syscall(SYS_pivot_root, "/tmp/rest-root", "/tmp/rest-root"), EINVAL);
        EXPECT(mount("t", "/tmp/rest-root", "tmpfs", 0, NULL) == 0);
        EXPECT(mkdir("/tmp/rest-root/old", 0755) == 0);
        if (syscall(SYS_pivot_root, "/tmp/rest-root", "/tmp/rest-root/old") != 0) {
            EXPECT(errno == EINVAL); /* from an initramfs there is no way */
            _exit(0);
        }
        EXPECT(chdir("/") == 0 && access("/old/tmp", F_OK) == 0);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0);
}

/* ---- ids, priorities, names ---- */

TEST(ids_by_threes)
{
    uid_t r, e, s;
    gid_t g, h, i;

    EXPECT(setregid(5, 6) == 0 && getresgid(&g, &h, &i) == 0 && g == 5 && h == 6 && i == 6);
    EXPECT(setfsgid(9) == 6 && setfsgid((gid_t)-1) == 9);
    EXPECT(setreuid(7, 8) == 0 && getresuid(&r, &e, &s) == 0 && r == 7 && e == 8 && s == 8);
    EXPECT_ERR(setregid(1, 1), EPERM);
}

TEST(priorities)
{
    struct timespec slice;

    EXPECT(setpriority(PRIO_PROCESS, 0, 5) == 0 && getpriority(PRIO_PROCESS, 0) == 5);
    EXPECT_ERR(setpriority(99, 0, 0), EINVAL);
    EXPECT(sched_get_priority_min(SCHED_FIFO) == 1 && sched_get_priority_max(SCHED_FIFO) == 99);
    EXPECT(sched_get_priority_min(SCHED_OTHER) == 0);
    EXPECT_ERR(sched_get_priority_min(77), EINVAL);
    EXPECT(sched_rr_get_interval(0, &slice) == 0 && slice.tv_sec == 0);
    EXPECT_ERR(sched_rr_get_interval(-1, &slice), EINVAL);
}

TEST(attributes_of_scheduling)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } a;

    EXPECT(setpriority(PRIO_PROCESS, 0, 3) == 0);
    EXPECT(syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) == 0);
    EXPECT(a.size == sizeof(a) && a.policy == SCHED_OTHER && a.nice == 3 && a.priority == 0);
    EXPECT_ERR(syscall(SYS_sched_getattr, 0, &a, 4, 0), EINVAL);
    EXPECT_ERR(syscall(SYS_sched_getattr, 0, &a, sizeof(a), 1), EINVAL);
}

TEST(a_domain_name)
{
    char name[70];

    EXPECT(unshare(CLONE_NEWUTS) == 0 && setdomainname("rest.test", 9) == 0);
    EXPECT(getdomainname(name, sizeof(name)) == 0 && strcmp(name, "rest.test") == 0);
    EXPECT_ERR(syscall(SYS_setdomainname, "x", 65), EINVAL);
}

TEST(the_machine_in_figures)
{
    struct sysinfo s;
    struct tms t;

    EXPECT(sysinfo(&s) == 0 && s.totalram > 0 && s.freeram < s.totalram && s.procs > 0);
    EXPECT(s.mem_unit >= 1);
    EXPECT(times(&t) != (clock_t)-1 && t.tms_utime >= 0);
    EXPECT_ERR(syscall(SYS_sysinfo, 8), EFAULT);
}

/* ---- clocks ---- */

static void on_alarm(int sig)
{
}

TEST(microseconds_of_a_wait_are_any_number)
{
    struct timeval forever = {0, 1L << 61}; /* in nanoseconds no word holds them */
    struct itimerval soon = {{0, 20000},
                             {0, 20000}}; /* again, if the first comes before the wait */

    signal(SIGALRM, on_alarm);
    EXPECT(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    EXPECT_ERR(syscall(SYS_select, 0, NULL, NULL, NULL, &forever), EINTR);
}

TEST(clocks_are_set_by_the_privileged)
{
    struct timespec t, res;
    struct timeval tv, far = {1L << 62, 0};

    EXPECT(clock_getres(CLOCK_REALTIME, &res) == 0 && res.tv_sec == 0 && res.tv_nsec > 0);
    EXPECT_ERR(clock_getres(99, &res), EINVAL);
    EXPECT(clock_gettime(CLOCK_REALTIME, &t) == 0 && clock_settime(CLOCK_REALTIME, &t) == 0);
    EXPECT_ERR(clock_settime(CLOCK_MONOTONIC, &t), EINVAL);
    EXPECT(gettimeofday(&tv, NULL) == 0 && syscall(SYS_settimeofday, &tv, NULL) == 0);
    EXPECT_ERR(syscall(SYS_settimeofday, &far, NULL), EINVAL);
    EXPECT(setresuid(1000, 1000, 1000) == 0);
    EXPECT_ERR(clock_settime(CLOCK_REALTIME, &t), EPERM);
    EXPECT_ERR(syscall(SYS_settimeofday, &tv, NULL), EPERM);
    EXPECT_ERR(syscall(SYS_settimeofday, &far, NULL), EINVAL);
}

TEST(a_timer_tells_what_is_left)
{
    struct itimerspec set = {{0, 0}, {100, 0}}, left;
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);

    EXPECT(fd >= 0 && timerfd_settime(fd, 0, &set, NULL) == 0);
    EXPECT(timerfd_gettime(fd, &left) == 0 && left.it_value.tv_sec >= 90 &&
           left.it_interval.tv_sec == 0);
    EXPECT_ERR(timerfd_gettime(0, &left), EINVAL);
}

/* ---- signals, waiting ---- */

TEST(signals_to_threads)
{
    sigset_t set;
    siginfo_t info, send = {.si_code = SI_QUEUE, .si_signo = SIGUSR1};
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    EXPECT(syscall(SYS_tkill, gettid(), SIGUSR1) == 0);
    EXPECT(sigwaitinfo(&set, &info) == SIGUSR1 &&
           info.si_code == SI_USER); /* the C library hides SI_TKILL */
    EXPECT_ERR(syscall(SYS_tkill, 0, SIGUSR1), EINVAL);
    EXPECT_ERR(syscall(SYS_tkill, gettid(), 65), EINVAL);
    send.si_value.sival_int = 77;
    EXPECT(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &send) == 0);
    EXPECT(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_value.sival_int == 77);
    fd = signalfd(-1, &set, SFD_NONBLOCK);
    struct signalfd_siginfo got;
    EXPECT(fd >= 0 && syscall(SYS_signalfd4, fd, &set, 8, SFD_NONBLOCK) == fd);
    EXPECT_ERR(syscall(SYS_signalfd4, fd, &set, 7, 0), EINVAL);
    EXPECT(raise(SIGUSR1) == 0 && read(fd, &got, sizeof(got)) == sizeof(got));
    EXPECT(got.ssi_signo == SIGUSR1);
}

static void nothing(int sig)
{
}

TEST(waiting_with_another_mask)
{
    struct timespec zero = {0, 0};
    struct epoll_event e;
    sigset_t usr1, none;
    int ep = epoll_create1(0), p[2];

    signal(SIGUSR1, nothing);
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    raise(SIGUSR1);
    EXPECT_ERR(epoll_pwait(ep, &e, 1, -1, &none), EINTR);
    raise(SIGUSR1);
    EXPECT_ERR(syscall(SYS_epoll_pwait2, ep, &e, 1, NULL, &none, 8), EINTR);
    EXPECT(syscall(SYS_epoll_pwait2, ep, &e, 1, &zero, NULL, 0) == 0);
    EXPECT(pipe(p) == 0);
    fd_set r;
    FD_ZERO(&r);
    FD_SET(p[0], &r);
    raise(SIGUSR1);
    EXPECT_ERR(pselect(p[0] + 1, &r, NULL, NULL, NULL, &none), EINTR);
    EXPECT(pselect(p[0] + 1, &r, NULL, NULL, &zero, NULL) == 0);
}

TEST(robust_lists_are_told)
{
    void *head;
    size_t len;

    EXPECT(syscall(SYS_get_robust_list, 0, &head, &len) == 0 && len == 24);
    EXPECT_ERR(syscall(SYS_get_robust_list, 0x7ffffff0, &head, &len), ESRCH);
}

/* ---- sockets ---- */

TEST(many_messages_at_once)
{
    struct iovec out[2] = {{"one", 3}, {"three", 5}}, in[2];
    struct mmsghdr m[2] = {{{0}, 0}};
    char buf[2][16];
    int s[2];

    EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
    for (int i = 0; i < 2; i++)
        m[i].msg_hdr = (struct msghdr){.msg_iov = &out[i], .msg_iovlen = 1};
    EXPECT(sendmmsg(s[0], m, 2, 0) == 2 && m[0].msg_len == 3 && m[1].msg_len == 5);
    for (int i = 0; i < 2; i++) {
        in[i] = (struct iovec){buf[i], sizeof(buf[i])};
        m[i].msg_hdr = (struct msghdr){.msg_iov = &in[i], .msg_iovlen = 1};
    }
    EXPECT(recvmmsg(s[1], m, 2, 0, NULL) == 2 && m[0].msg_len == 3 && m[1].msg_len == 5);
    EXPECT(memcmp(buf[1], "three", 5) == 0);
    EXPECT_ERR(recvmmsg(s[1], m, 2, MSG_DONTWAIT, NULL), EAGAIN);
}

TEST(the_peer_has_a_name)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}, peer;
    socklen_t len = sizeof(a);
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

    EXPECT(bind(server, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(server, 1) == 0);
    EXPECT(getsockname(server, (struct sockaddr *)&a, &len) == 0);
    EXPECT_ERR(getpeername(client, (struct sockaddr *)&peer, &len), ENOTCONN);
    EXPECT(connect(client, (struct sockaddr *)&a, sizeof(a)) == 0);
    len = sizeof(peer);
    EXPECT(getpeername(client, (struct sockaddr *)&peer, &len) == 0 && len == sizeof(peer));
    EXPECT(peer.sin_port == a.sin_port && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
}

/* ---- other processes ---- */

TEST(another_processs_memory_and_descriptors)
{
    static volatile int value = 1;
    int two = 2, p[2], ready[2], pidfd, fd;
    char c;

    EXPECT(pipe(p) == 0 && pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(write(ready[1], "r", 1) == 1);
        while (value == 1)
            sched_yield();
        _exit(value);
    }
    EXPECT(read(ready[0], &c, 1) == 1);
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    fd = (int)syscall(SYS_pidfd_getfd, pidfd, p[1], 0);
    EXPECT(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    EXPECT(write(fd, "x", 1) == 1 && read(p[0], &c, 1) == 1 && c == 'x');
    EXPECT_ERR(syscall(SYS_pidfd_getfd, pidfd, 999, 0), EBADF);
    EXPECT_ERR(syscall(SYS_pidfd_getfd, pidfd, p[1], 1), EINVAL);
    struct iovec local = {&two, sizeof(two)}, remote = {(void *)&value, sizeof(value)};
    EXPECT(process_vm_writev(pid, &local, 1, &remote, 1, 0) == sizeof(two));
    EXPECT(WEXITSTATUS(status_of(pid)) == 2);
    EXPECT_ERR(process_vm_writev(pid, &local, 1, &remote, 1, 0), ESRCH);
}

TEST(barriers_across_processors)
{
    long can = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

    EXPECT(can > 0 && can & MEMBARRIER_CMD_GLOBAL && can & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    EXPECT(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0);
    EXPECT(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0);
    EXPECT(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0);
    EXPECT_ERR(syscall(SYS_membarrier, 1 << 30, 0, 0), EINVAL);
}

TEST(programs_for_the_kernel_are_judged)
{
    struct bpf_insn code[] = {{0xb7, 0, 0, 0, 1}, {0x95, 0, 0, 0, 0}},
                    endless[] = {{0x05, 0, 0, -1, 0}};
    union bpf_attr a = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
                        .insn_cnt = 2,
                        .insns = (uintptr_t)code,
                        .license = (uintptr_t) "MIT"};

    EXPECT(syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a)) >= 0);
    a.insns = (uintptr_t)endless;
    a.insn_cnt = 1;
    EXPECT(syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a)) < 0 && errno == EINVAL);
    EXPECT_ERR(syscall(SYS_bpf, 999, &a, sizeof(a)), EINVAL);
    EXPECT(setresuid(1000, 1000, 1000) == 0);
    EXPECT_ERR(syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a)), EPERM);
}

/* ------------------------------------------------------------- execveat */

/* What main() becomes in a program that is asked for its name. */
__attribute__((constructor)) static void asked_for_the_name(void)
{
    const char *want = getenv("EXECFN_PROBE"), *comm = getenv("COMM_PROBE");
    char name[16] = "";

    if (!want)
        return;
    prctl(PR_GET_NAME, name);
    _exit(strcmp((const char *)getauxval(AT_EXECFN), want) != 0 ||
          (comm && strcmp(name, comm) != 0));
}

static void started_as(int dir, const char *name, int flags, const char *shown)
{
    static char *const argv[] = {"self", NULL};
    char env[64], comm[64], *const envp[] = {env, dir == AT_FDCWD ? comm : NULL, NULL};
    const char *base = strrchr(shown, '/');
    int status;

    snprintf(env, sizeof(env), "EXECFN_PROBE=%s", shown);
    snprintf(comm, sizeof(comm), "COMM_PROBE=%s", base ? base + 1 : shown);
    if (fork() == 0) {
        syscall(SYS_execveat, dir, name, argv, envp, flags);
        _exit(2);
    }
    EXPECT(wait(&status) > 0 && status == 0);
}

TEST(a_program_learns_its_name_from_execveat)
{
    int self = open("/proc/self/exe", O_PATH), dir = open("/proc/self", O_PATH | O_DIRECTORY);
    char shown[32];

    started_as(AT_FDCWD, "/proc/self/exe", 0, "/proc/self/exe");
    started_as(dir, "/proc/self/exe", 0, "/proc/self/exe");
    EXPECT(chdir("/proc/self") == 0);
    started_as(AT_FDCWD, "exe", 0, "exe");
    snprintf(shown, sizeof(shown), "/dev/fd/%d", self);
    started_as(self, "", AT_EMPTY_PATH, shown);
    dir = open("/proc", O_PATH | O_DIRECTORY);
    snprintf(shown, sizeof(shown), "/dev/fd/%d/self/exe", dir);
    started_as(dir, "self/exe", 0, shown);
    EXPECT_ERR(syscall(SYS_execveat, AT_FDCWD, "exe", NULL, NULL, AT_SYMLINK_NOFOLLOW), ELOOP);
}

TEST(some_clocks_wake_no_sleeper)
{
    static const clockid_t none[] = {CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
                                     CLOCK_MONOTONIC_COARSE};
    struct timespec t = {0, 1};

    for (int i = 0; i < 3; i++)
        EXPECT(clock_nanosleep(none[i], 0, &t, NULL) == EOPNOTSUPP &&
               clock_nanosleep(none[i], TIMER_ABSTIME, &t, NULL) == EOPNOTSUPP);
    EXPECT(clock_nanosleep(CLOCK_TAI, 0, &t, NULL) == 0);
    EXPECT(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL) == EINVAL);
}

TEST(no_group_has_no_priority)
{
    EXPECT_ERR(getpriority(PRIO_PGRP, 4000000), ESRCH);
    EXPECT_ERR(setpriority(PRIO_PGRP, 4000000, 5), ESRCH);
}

static void write_script(const char *path, const char *interpreter)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0700);

    EXPECT(fd >= 0 && dprintf(fd, "#!%s\n", interpreter) > 0 && close(fd) == 0);
}

/* And so do ps(1) and pgrep(1). */
TEST(a_script_is_known_by_its_own_name)
{
    mkdir("/tmp", 0777);
    write_script("/tmp/abi-script", "/proc/self/exe");
    write_script("/tmp/abi-outer", "/tmp/abi-script");
    started_as(AT_FDCWD, "/tmp/abi-script", 0, "/tmp/abi-script");
    started_as(AT_FDCWD, "/tmp/abi-outer", 0, "/tmp/abi-outer");
    unlink("/tmp/abi-script");
    unlink("/tmp/abi-outer");
}
