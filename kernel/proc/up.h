/* SPDX-License-Identifier: MIT
 *
 * What proc asks of the layers above: kernel/tty, and kernel/linux for the control-group files.
 */
#pragma once

struct cgroup;
struct tty;
struct process;

void up_tty_get(struct tty *tty);
void up_tty_put(struct tty *tty);
/* Its device number; *pgrp: the foreground group in current's namespace, -1 none. proc_lock is
 * held. */
unsigned up_tty_number(struct tty *tty, int *pgrp);
/* A session leader is gone: hang the terminal up for its session. May sleep. */
void up_tty_session_exit(struct tty *tty, struct process *leader);

/* The group whose directory current's fd names: a reference, or ERR_PTR(-EBADF). */
struct cgroup *up_cgroup_of_fd(int fd);
