/* SPDX-License-Identifier: MIT
 *
 * Named pipes: joins vfs's inode to obj's pipe, which lives while anyone has the FIFO open.
 */
#include "lib/errno.h"
#include "obj/pipe.h"
#include "vfs/up.h"
#include "vfs/vfs.h"

int up_open_fifo(struct file *f, struct inode *inode)
{
    rwlock_write_lock(&inode->lock);
    struct pipe *p = inode->pipe;
    if (p) {
        pipe_get(p);
    } else {
        p = pipe_alloc();
        inode->pipe = p; /* the inode's reference, dropped with the inode's last user below */
        if (p)
            pipe_get(p);
    }
    rwlock_write_unlock(&inode->lock);
    if (!p)
        return -ENOMEM;
    int err = pipe_open(p, f);
    pipe_put(p);
    return err;
}
