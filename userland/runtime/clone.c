// SPDX-License-Identifier: MIT
// Cloning a process into its control group; see clone.h.
#include "runtime/clone.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLONE_INTO_CGROUP_FLAG 0x200000000ull

/* struct clone_args of Linux's uapi sched.h, version 2 (88 bytes). */
struct clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    uint64_t set_tid, set_tid_size, cgroup;
};

pid_t clone_into(int group, uint64_t flags, bool *placed)
{
    *placed = group >= 0;
    if (group >= 0) {
        struct clone3_args args = {.flags = flags | CLONE_INTO_CGROUP_FLAG,
                                   .exit_signal = SIGCHLD,
                                   .cgroup = (uint64_t)group};
        pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

        if (pid >= 0)
            return pid;
    }
    *placed = false;
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}
