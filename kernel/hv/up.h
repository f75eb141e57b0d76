/* SPDX-License-Identifier: MIT
 *
 * What hv asks of the layers above: descriptors and signals belong to kernel/proc.
 */
#pragma once

#include "lib/types.h"

struct file;

/* A close-on-exec descriptor of the current process for f, whose reference it takes; -EMFILE drops
 * it. */
int up_fd_publish(struct file *f);
/* The file behind the current process's descriptor, with a reference; NULL: none. */
struct file *up_fd_file(int fd);
/* The current process's number, as itself sees it. */
u32 up_process_id(void);
/* KVM_SET_SIGNAL_MASK: replaces the current task's blocked signals; the former go to *old. */
void up_signal_mask(u64 mask, u64 *old);
