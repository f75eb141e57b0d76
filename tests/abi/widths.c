/* SPDX-License-Identifier: MIT
 *
 * How much of a register a call looks at: of an int its lower half only, of a long or a size all.
 */
#include "abi.h"

#include <grp.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#define HIGH (1UL << 32)
#define GARBAGE 0xdead0000UL << 32

static char buf[4096];
static int words[4];
static struct iovec vec[1] = {{buf, 1}};
static struct rlimit limit;
static struct epoll_event event;

/* A call, with a letter per argument: i an int, - any other. */
struct width_case {
    const char *what, *ints;
    long nr;
    unsigned long arg[6];
};
#define CWD ((unsigned long)AT_FDCWD)
#define PTR(p) ((unsigned long)(p))

static const struct width_case cases[] = {
    {"read", "i--", SYS_read, {9, PTR(buf), 1}},
    {"lseek", "i-i", SYS_lseek, {9, 0, SEEK_SET}},
    {"fstat", "i-", SYS_fstat, {9, PTR(buf)}},
    {"openat", "i-ii", SYS_openat, {CWD, PTR("/nosuch"), O_RDONLY, 0}},
    {"newfstatat", "i--i", SYS_newfstatat, {CWD, PTR("/"), PTR(buf), AT_SYMLINK_NOFOLLOW}},
    {"mkdirat", "i-i", SYS_mkdirat, {CWD, PTR("/"), 0700}},
    {"unlinkat", "i-i", SYS_unlinkat, {CWD, PTR("/nosuch"), AT_REMOVEDIR}},
    {"linkat", "i-i-i", SYS_linkat, {CWD, PTR("/nosuch"), CWD, PTR("/nosuch2"), 0}},
    {"renameat2", "i-i-i", SYS_renameat2, {CWD, PTR("/nosuch"), CWD, PTR("/nosuch2"), 1}},
    {"readlinkat", "i--i", SYS_readlinkat, {CWD, PTR("/proc/self/exe"), PTR(buf), 1}},
    {"readlink of no bytes", "--i", SYS_readlink, {PTR("/proc/self/exe"), PTR(buf), 0}},
    {"fchmodat", "i-i", SYS_fchmodat, {CWD, PTR("/nosuch"), 0644}},
    {"fchownat",
     "i-iii",
     SYS_fchownat,
     {CWD, PTR("/"), 0xffffffff, 0xffffffff, AT_SYMLINK_NOFOLLOW}},
    {"chown", "-ii", SYS_chown, {PTR("/"), 0xffffffff, 0xffffffff}},
    {"faccessat", "i-i", SYS_faccessat, {CWD, PTR("/"), R_OK}},
    {"statx", "i-ii-", SYS_statx, {CWD, PTR("/"), 0, 0x7ff, PTR(buf)}},
    {"close of nothing", "i", SYS_close, {77}},
    {"close_range", "iii", SYS_close_range, {70, 80, 0}},
    {"dup2", "ii", SYS_dup2, {9, 10}},
    {"dup3", "iii", SYS_dup3, {9, 11, O_CLOEXEC}},
    {"fcntl", "ii-", SYS_fcntl, {9, F_GETFD, 0}},
    {"flock", "ii", SYS_flock, {9, LOCK_UN}},
    {"fsync", "i", SYS_fsync, {77}},
    {"ftruncate", "i-", SYS_ftruncate, {77, 0}},
    {"fallocate", "ii--", SYS_fallocate, {77, 0, 0, 1}},
    {"fadvise64", "i--i", SYS_fadvise64, {9, 0, 0, 0}},
    {"readv", "i--", SYS_readv, {9, PTR(vec), 1}},
    {"preadv2", "i----i", SYS_preadv2, {9, PTR(vec), 1, 0, 0, 0}},
    {"getdents64 of a file", "i-i", SYS_getdents64, {9, PTR(buf), 100}},
    {"fgetxattr", "i---", SYS_fgetxattr, {77, PTR("user.x"), 0, 0}},
    {"setxattr flags", "----i", SYS_setxattr, {PTR("/nosuch"), PTR("user.x"), PTR(buf), 1, 1}},
    {"memfd_create flags", "-i", SYS_memfd_create, {PTR("x"), 0x8000}},
    {"pipe2 flags", "-i", SYS_pipe2, {PTR(words), 0x20}},
    {"eventfd2 flags", "ii", SYS_eventfd2, {0, 0x20}},
    {"socket", "iii", SYS_socket, {AF_UNIX, 77, 0}},
    {"socketpair", "iii-", SYS_socketpair, {AF_UNIX, 77, 0, PTR(words)}},
    {"bind", "i-i", SYS_bind, {77, PTR(buf), 2}},
    {"connect", "i-i", SYS_connect, {8, PTR("\1\0/nosuch"), 10}},
    {"connect with an address too long", "i-i", SYS_connect, {8, PTR(buf), 4096}},
    {"listen", "ii", SYS_listen, {77, 1}},
    {"shutdown", "ii", SYS_shutdown, {8, 77}},
    {"setsockopt", "iii-i", SYS_setsockopt, {8, SOL_SOCKET, SO_RCVBUF, PTR(words), 4}},
    {"setsockopt of too little",
     "iii-i",
     SYS_setsockopt,
     {8, SOL_SOCKET, SO_RCVBUF, PTR(words), 1}},
    {"getsockopt", "iii--", SYS_getsockopt, {8, SOL_SOCKET, 7777, PTR(words), PTR(words)}},
    {"recvfrom", "i--i--", SYS_recvfrom, {8, PTR(buf), 1, MSG_DONTWAIT, 0, 0}},
    {"poll", "-ii", SYS_poll, {PTR(buf), 0, 0}},
    {"ppoll of too many", "-i---", SYS_ppoll, {PTR(buf), 0x7fffffff, 0, 0, 8}},
    {"select", "i----", SYS_select, {0x80000000, 0, 0, 0, PTR(words)}},
    {"epoll_create", "i", SYS_epoll_create, {0}},
    {"epoll_create1 flags", "i", SYS_epoll_create1, {2}},
    {"epoll_ctl", "iii-", SYS_epoll_ctl, {77, EPOLL_CTL_DEL, 9, PTR(&event)}},
    {"epoll_wait", "i-ii", SYS_epoll_wait, {77, PTR(&event), 0, 0}},
    {"kill", "ii", SYS_kill, {0, 0}},
    {"kill with no such signal", "ii", SYS_kill, {0, 65}},
    {"tgkill", "iii", SYS_tgkill, {0x7fffffff, 1, 0}},
    {"wait4", "i-i-", SYS_wait4, {0x7fffffff, 0, WNOHANG, 0}},
    {"waitid", "ii-i-", SYS_waitid, {P_ALL, 0, 0, WNOHANG | WEXITED, 0}},
    {"rt_sigaction", "i---", SYS_rt_sigaction, {SIGUSR1, 0, 0, 8}},
    {"rt_sigprocmask", "i---", SYS_rt_sigprocmask, {77, PTR(buf), 0, 8}},
    {"getpgid", "i", SYS_getpgid, {0x7fffffff}},
    {"getpriority", "ii", SYS_getpriority, {PRIO_PROCESS, 0}},
    {"sched_getscheduler", "i", SYS_sched_getscheduler, {0}},
    {"sched_get_priority_max", "i", SYS_sched_get_priority_max, {SCHED_FIFO}},
    {"getrlimit", "i-", SYS_getrlimit, {RLIMIT_NOFILE, PTR(&limit)}},
    {"prlimit64", "ii--", SYS_prlimit64, {0, RLIMIT_NOFILE, 0, PTR(&limit)}},
    {"getrusage", "i-", SYS_getrusage, {RUSAGE_SELF, PTR(buf)}},
    {"getgroups", "i-", SYS_getgroups, {0, PTR(buf)}},
    {"setgroups", "i-", SYS_setgroups, {0, PTR(buf)}},
    {"setgroups of too many", "i-", SYS_setgroups, {65537, PTR(buf)}},
    {"setuid", "i", SYS_setuid, {0}},
    {"setuid to none", "i", SYS_setuid, {0xffffffff}},
    {"setresgid", "iii", SYS_setresgid, {0xffffffff, 0xffffffff, 0}},
    {"setreuid", "ii", SYS_setreuid, {0xffffffff, 0}},
    {"setfsuid", "i", SYS_setfsuid, {0}},
    {"umask", "i", SYS_umask, {022}},
    {"personality", "i", SYS_personality, {0xffffffff}},
    {"prctl", "i----", SYS_prctl, {PR_GET_DUMPABLE, 0, 0, 0, 0}},
    {"prctl with a name", "i----", SYS_prctl, {PR_SET_NAME, PTR("widths"), 0, 0, 0}},
    {"sethostname, negative", "-i", SYS_sethostname, {PTR(buf), 0xffffffff}},
    {"madvise", "--i", SYS_madvise, {PTR(buf), 0, 7777}},
    {"msync flags", "--i", SYS_msync, {0, 0, 7}},
    {"mlockall flags", "i", SYS_mlockall, {0x80}},
    {"clock_gettime", "i-", SYS_clock_gettime, {77, PTR(buf)}},
    {"clock_nanosleep", "ii--", SYS_clock_nanosleep, {77, 0, PTR(buf), 0}},
    {"timer_delete", "i", SYS_timer_delete, {77}},
    {"timerfd_create flags", "ii", SYS_timerfd_create, {CLOCK_MONOTONIC, 1}},
    {"getitimer", "i-", SYS_getitimer, {ITIMER_REAL, PTR(buf)}},
    {"futex", "-ii--i", SYS_futex, {PTR(words), FUTEX_WAKE_PRIVATE, 1, 0, 0, 0}},
    {"futex of another value", "-ii--i", SYS_futex, {PTR(words), FUTEX_WAIT, 5, 0, 0, 0}},
    {"inotify_rm_watch", "ii", SYS_inotify_rm_watch, {77, 1}},
    {"getrandom flags", "--i", SYS_getrandom, {PTR(buf), 1, 8}},
    {"copy_file_range flags", "i-i--i", SYS_copy_file_range, {9, 0, 9, 0, 1, 1}},
    {"pidfd_open", "ii", SYS_pidfd_open, {0x7fffffff, 0}},
    {"seccomp", "ii-", SYS_seccomp, {77, 0, 0}},
    {"setns", "ii", SYS_setns, {9, 0}},
    {"mmap of a bad descriptor", "----i-", SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE, 77, 0}},
    {"utimensat flags", "i--i", SYS_utimensat, {CWD, PTR("/"), 0, 1}},
    {"umount2 flags", "-i", SYS_umount2, {PTR("/"), 0x1000}},
    {"reboot", "iii-", SYS_reboot, {0xfee1dead, 1, 0, 0}},
    {"syslog", "i-i", SYS_syslog, {3, PTR(buf), 0xffffffff}},
};

static long raw(const struct width_case *c, unsigned long add)
{
    unsigned long a[6];

    for (int i = 0; i < 6; i++) {
        a[i] = c->arg[i];
        if (i < (int)strlen(c->ints) && c->ints[i] == 'i')
            a[i] = (a[i] & 0xffffffff) | add;
    }
    errno = 0;
    long r = syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    return r < 0 ? -errno : r;
}

static void width_objects(void)
{
    int null = open("/dev/null", O_RDONLY), s = socket(AF_UNIX, SOCK_STREAM, 0);

    EXPECT(dup2(s, 108) == 108 && dup2(null, 9) == 9 && dup2(108, 8) == 8);
}

TEST(upper_half_of_an_int_is_not_looked_at)
{
    static const unsigned long add[] = {HIGH, 0xffffffffUL << 32, GARBAGE};
    int wrong = 0;

    width_objects();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        long plain = raw(&cases[i], 0);
        for (unsigned k = 0; k < sizeof(add) / sizeof(add[0]); k++) {
            long r = raw(&cases[i], add[k]);
            if (r != plain) {
                printf("%s: %ld, with %lx above %ld\n", cases[i].what, plain, add[k] >> 32, r);
                wrong++;
            }
        }
    }
    EXPECT(wrong == 0);
}

TEST(upper_half_of_a_long_counts)
{
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT(page != MAP_FAILED);
    EXPECT_ERR(syscall(SYS_unshare, HIGH), EINVAL);
    EXPECT_ERR(syscall(SYS_mprotect, page, 4096, HIGH | PROT_READ), EINVAL);
    EXPECT_ERR(syscall(SYS_mremap, page, 4096, 4096, HIGH, 0), EINVAL);
    EXPECT_ERR(syscall(SYS_process_vm_readv, getpid(), vec, 1, vec, 1, HIGH), EINVAL);
    EXPECT_ERR(syscall(SYS_prctl, PR_SET_PDEATHSIG, HIGH | SIGTERM, 0, 0, 0), EINVAL);
    EXPECT_ERR(syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, HIGH | 1, 0, 0, 0), EINVAL);
    EXPECT_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, buf, 0, HIGH | 8), EINVAL);
    EXPECT_ERR(syscall(SYS_set_robust_list, buf, HIGH | 24), EINVAL);
    EXPECT_ERR(syscall(SYS_clone3, buf, HIGH | 64), E2BIG);
}

/* clone(2) is the exception: its flags are a long of which it takes 32 bits. */
TEST(clone_takes_32_bits_of_its_flags)
{
    int status = -1;
    pid_t pid = (pid_t)syscall(SYS_clone, HIGH | SIGCHLD, 0, 0, 0, 0);

    if (pid == 0)
        _exit(7);
    EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

TEST(setgroups_of_none_in_32_bits_drops_all)
{
    gid_t groups[] = {1, 2, 3};

    EXPECT(setgroups(3, groups) == 0 && getgroups(0, NULL) == 3);
    EXPECT(syscall(SYS_setgroups, HIGH, groups) == 0);
    EXPECT(getgroups(0, NULL) == 0);
    EXPECT(syscall(SYS_setgroups, HIGH | 2, groups) == 0 && getgroups(0, NULL) == 2);
}
