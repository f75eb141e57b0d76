/* SPDX-License-Identifier: MIT
 *
 * Process descriptors: readable once the process has ended.
 */
#pragma once

struct file;
struct pid;

/* A file with its own reference to pid, or ERR_PTR. */
struct file *pidfd_create(struct pid *pid, unsigned flags);
/* The pid of a pidfd with a reference; NULL: it is none. */
struct pid *pidfd_pid(struct file *f);
struct file *signalfd_create(unsigned long mask, unsigned flags);
/* -EINVAL: f is no signalfd. */
int signalfd_set_mask(struct file *f, unsigned long mask);
