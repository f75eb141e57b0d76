/* SPDX-License-Identifier: MIT
 *
 * Pseudo-terminals. The slave is a struct tty; the master is the program behind it, with a file of
 * its own kind: what the slave writes is read here, what is written here is typed at the slave.
 */
#pragma once

#include "tty/tty.h"
#include "vfs/vfs.h"

#define PTY_OUTPUT_SIZE 8192

/* l slave.lock */
struct pty {
    struct tty slave;
    struct pts_instance *instance; /* I  valid while `dir` is held */
    struct path dir;               /* I  the devpts directory; references until the master closes */
    u32 index;                     /* I */
    u64 node_ino;                  /*    the instance's lock: its node's number; 0: none yet */
    bool locked;                   /* l  TIOCSPTLCK */
    bool master_closed;            /* l */
    bool slave_seen;               /* l  the slave has been open */
    bool packet;                   /* l  TIOCPKT */
    u8 status;                     /* l  packet mode: events not read yet */
    u32 head, tail;                /* l  out, free-running */
    struct waitq master_wait;
    char out[PTY_OUTPUT_SIZE];
};

/* A new pair: f becomes the master. dir (borrowed) is the devpts directory of `instance`. */
int pty_open_master(struct file *f, struct pts_instance *instance, const struct path *dir);
int pty_open_slave(struct pty *pty, struct file *f, bool noctty);

/* devpts.c: takes the lowest free index and makes the node; remove undoes both. */
int devpts_add(struct pts_instance *instance, struct pty *pty);
void devpts_remove(struct pts_instance *instance, struct pty *pty);
/* Opens the slave's node: TIOCGPTPEER. */
int devpts_open_peer(struct pty *pty, unsigned flags, struct file **out);
