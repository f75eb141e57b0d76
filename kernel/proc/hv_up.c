/* SPDX-License-Identifier: MIT
 *
 * What hv asks of processes: descriptors for its files, and the signal mask of KVM_RUN.
 */
#include "hv/up.h"
#include "proc/fdtable.h"
#include "proc/proc.h"

int up_fd_publish(struct file *f)
{
    return fd_publish(f, true);
}

struct file *up_fd_file(int fd)
{
    return fd_file(fd);
}

u32 up_process_id(void)
{
    return pid_nr(current_process()->pid, current_pid_ns());
}

void up_signal_mask(u64 mask, u64 *old)
{
    sigset_t former = current_task()->blocked;

    signal_set_mask(mask);
    *old = former;
}
