/* SPDX-License-Identifier: MIT
 *
 * What obj asks of the layers above.
 */
#pragma once

struct cred;
struct file;
struct inode;

/* kernel/vfs: the last put of a file, after ops->release: drops what the file holds of its name
 * (dentry, mount, write count, locks). Context: may sleep. */
void up_file_release_path(struct file *f);
/* kernel/vfs: the pipe that inode knows goes; takes the pipe's reference of it. May sleep. */
void up_pipe_gone(struct inode *i);
/* kernel/proc: SIGPIPE for the current thread: it wrote to a pipe or socket without a reader. */
void up_sigpipe(void);
/* kernel/proc: the current thread's credentials; cred_init for a kernel thread. Borrowed. */
const struct cred *up_current_cred(void);
