// SPDX-License-Identifier: MIT
// Filters of system calls by their numbers; see calls.h.
#include "runtime/calls.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/bpf.h"

int calls_allow(const uint16_t *numbers, size_t n)
{
    struct sock_filter code[2 * CALLS_MAX + 8], *c = code;
    struct sock_fprog program = {.filter = code};

    if (n > CALLS_MAX)
        return -E2BIG;
    *c++ =
        (struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch)};
    *c++ = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64};
    *c++ = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS};
    *c++ = (struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)};
    for (size_t i = 0; i < n; i++) {
        *c++ = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 0, 1, numbers[i]};
        *c++ = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    }
    *c++ = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM};
    program.len = (unsigned short)(c - code);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
