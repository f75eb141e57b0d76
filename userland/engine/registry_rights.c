// SPDX-License-Identifier: MIT
// What a process may do that talks to a registry: talk. It has a user of its own, no capability, no
// file of others that it was not given, and the system calls that a client of HTTP makes.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/registry.h"
#include "lib/str.h"
#include "runtime/calls.h"
#include "runtime/child.h"

#define REGISTRY_UID 102
#define DESCRIPTORS 1024 /* a worker's limit */

#ifndef __SANITIZE_ADDRESS__ /* whose runtime makes calls of its own */
static const uint16_t registry_calls[] = {
    SYS_read,
    SYS_readv,
    SYS_write,
    SYS_writev,
    SYS_close,
    SYS_open,
    SYS_openat,
    SYS_fstat,
    SYS_stat,
    SYS_newfstatat,
    SYS_lseek,
    SYS_fcntl,
    SYS_ftruncate,
    SYS_fstatfs,
    SYS_pread64,
    SYS_socket,
    SYS_bind,
    SYS_connect,
    SYS_setsockopt,
    SYS_getsockopt,
    SYS_getsockname,
    SYS_getpeername,
    SYS_sendto,
    SYS_recvfrom,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_poll,
    SYS_ppoll,
    SYS_socketpair,
    SYS_getrandom,
    SYS_clock_gettime,
    SYS_gettimeofday,
    SYS_nanosleep,
    SYS_brk,
    SYS_clock_nanosleep,
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_mprotect,
    SYS_rt_sigreturn,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_restart_syscall,
    SYS_getpid,
    SYS_gettid,
    SYS_tkill,
    SYS_futex,
    SYS_exit,
    SYS_exit_group,
    SYS_readlinkat,
    SYS_readlink,
};
#endif

int registry_filter(void)
{
#ifndef __SANITIZE_ADDRESS__
    return calls_allow(registry_calls, sizeof(registry_calls) / sizeof(registry_calls[0]));
#else
    return 0;
#endif
}

static bool registry_is_among(const int *keep, size_t n, int fd)
{
    for (size_t i = 0; i < n; i++)
        if (keep[i] == fd)
            return true;
    return false;
}

void registry_forgo(const int *keep, size_t n)
{
    pid_t parent = getppid();

    for (int fd = 3; fd < DESCRIPTORS; fd++)
        if (fd != registry_dialer && !registry_is_among(keep, n, fd))
            close(fd);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
        setresgid(REGISTRY_UID, REGISTRY_UID, REGISTRY_UID) < 0 ||
        setresuid(REGISTRY_UID, REGISTRY_UID, REGISTRY_UID) < 0 || child_forgo())
        _exit(1);
    /* another user's process lives on when its parent has ended, unless it says so again */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
        _exit(1);
    if (registry_filter())
        _exit(1);
}
