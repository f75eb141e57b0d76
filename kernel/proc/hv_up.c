/* SPDX-License-Identifier: MIT
 *
 * What kernel/hv asks of processes (hv/up.h): descriptors, and the signal mask of KVM_RUN.
 */
#include "hv/up.h"
#include "proc/fdtable.h"
#include "proc/signal.h"
#include "proc/task.h"

int up_fd_publish(struct file *f)
{
    return fd_publish(f, true);
}

struct file *up_fd_file(int fd)
{
    return fd_file(fd);
}

void up_signal_mask(u64 mask, u64 *old)
{
    *old = current_task()->blocked;
    signal_set_mask(mask);
}
