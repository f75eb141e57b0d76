// SPDX-License-Identifier: MIT
// netd's system calls once it runs: sockets, its few files, the clock, memory. Others are EPERM.
// It starts no program and makes no process; where a hostile answer had taken it over, it could
// spoil the network, which is its work, and little else.
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netd/netd.h"
#include "runtime/bpf.h"

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

#define FILTER_CALLS (sizeof(filter_calls) / sizeof(filter_calls[0]))

int filter_load(void)
{
    struct sock_filter code[2 * FILTER_CALLS + 8], *c = code;
    struct sock_fprog program = {.filter = code};

    *c++ =
        (struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch)};
    *c++ = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64};
    *c++ = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS};
    *c++ = (struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)};
    for (size_t i = 0; i < FILTER_CALLS; i++) {
        *c++ = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 0, 1, filter_calls[i]};
        *c++ = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    }
    *c++ = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM};
    program.len = (unsigned short)(c - code);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
