// SPDX-License-Identifier: MIT
// netd's system calls once it runs: sockets, its few files, the clock, memory. Others are EPERM.
// It starts no program and makes no process; where a hostile answer had taken it over, it could
// spoil the network, which is its work, and little else.
#include <sys/syscall.h>

#include "netd/netd.h"
#include "runtime/calls.h"

/* What the C library makes of this program's calls, and of the end of it. */
static const uint16_t filter_calls[] = {
    SYS_read,          SYS_write,
    SYS_writev,        SYS_close,
    SYS_open,          SYS_openat,
    SYS_fstat,         SYS_stat,
    SYS_newfstatat,    SYS_lseek,
    SYS_fcntl,         SYS_rename,
    SYS_renameat,      SYS_unlink,
    SYS_unlinkat,      SYS_fchmod,
    SYS_mkdir,         SYS_epoll_ctl,
    SYS_epoll_wait,    SYS_epoll_pwait,
    SYS_socket,        SYS_bind,
    SYS_connect,       SYS_setsockopt,
    SYS_sendto,        SYS_recvfrom,
    SYS_recvmsg,       SYS_sendmsg,
    SYS_getrandom,     SYS_clock_gettime,
    SYS_clock_settime, SYS_clock_adjtime,
    SYS_adjtimex,      SYS_settimeofday,
    SYS_nanosleep,     SYS_clock_nanosleep,
    SYS_brk,           SYS_mmap,
    SYS_munmap,        SYS_mremap,
    SYS_madvise,       SYS_mprotect,
    SYS_rt_sigreturn,  SYS_rt_sigprocmask,
    SYS_rt_sigaction,  SYS_getpid,
    SYS_gettid,        SYS_tkill,
    SYS_futex,         SYS_restart_syscall,
    SYS_sethostname,   SYS_exit,
    SYS_exit_group,
};

int filter_load(void)
{
    return calls_allow(filter_calls, sizeof(filter_calls) / sizeof(filter_calls[0]));
}
