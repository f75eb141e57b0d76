/* SPDX-License-Identifier: MIT
 *
 * What vfs asks of the layers above.
 */
#pragma once

#include "lib/types.h"

struct file;
struct path;
struct pseudo_node;

/* kernel/proc: pivot_root(2) moves every root and working directory that is `from` to `to`. */
void up_move_roots(const struct path *from, const struct path *to);
/* May current use that device? access: DEVICE_* bits of uapi/bpf.h. */
bool up_device_allowed(bool block, u32 major, u32 minor, unsigned access);
/* The root of a new proc mount, which shows the mounter's pid namespace: a reference, or NULL. */
struct pseudo_node *up_proc_root(void);
/* kernel/proc: the net namespace that a new sysfs mount shows the devices of, the mounter's: a
 * reference, and its end. */
void *up_sysfs_net(void);
void up_sysfs_net_put(void *net);
/* Tells f's owner (F_SETOWN), if it has one and the process that named it may, by SIGIO or as
 * F_SETSIG says. code: POLL_* of siginfo; band: POLL* bits. Context: may sleep. */
void up_file_signal(struct file *f, s32 fd, s32 code, s64 band);
