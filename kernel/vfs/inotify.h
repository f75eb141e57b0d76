/* SPDX-License-Identifier: MIT
 *
 * inotify(7): watches on inodes, events about them and about the names in watched directories. The
 * hooks below stand where things happen; while there is no watch each costs one load.
 */
#pragma once

#include "vfs/vfs.h"

#define IN_ACCESS 0x1
#define IN_MODIFY 0x2
#define IN_ATTRIB 0x4
#define IN_CLOSE_WRITE 0x8
#define IN_CLOSE_NOWRITE 0x10
#define IN_OPEN 0x20
#define IN_MOVED_FROM 0x40
#define IN_MOVED_TO 0x80
#define IN_CREATE 0x100
#define IN_DELETE 0x200
#define IN_DELETE_SELF 0x400
#define IN_MOVE_SELF 0x800
#define IN_ALL_EVENTS 0xfff
#define IN_UNMOUNT 0x2000
#define IN_Q_OVERFLOW 0x4000
#define IN_IGNORED 0x8000
#define IN_ONLYDIR 0x01000000
#define IN_DONT_FOLLOW 0x02000000
#define IN_EXCL_UNLINK 0x04000000
#define IN_MASK_CREATE 0x10000000
#define IN_MASK_ADD 0x20000000
#define IN_ISDIR 0x40000000
#define IN_ONESHOT 0x80000000

#define INOTIFY_INSTANCES_MAX 128 /* of one user in one control group */
#define INOTIFY_WATCHES_MAX 65536 /* likewise */
#define INOTIFY_EVENTS_MAX 16384  /* unread */

/* flags: O_NONBLOCK. ERR_PTR(-ENOMEM); -EMFILE: the user has INOTIFY_INSTANCES_MAX of them. */
struct file *inotify_create(unsigned flags);
/* The watch descriptor, or -EINVAL (f is no inotify file; the mask is empty or at odds), -ENOTDIR,
 * -EACCES, -EEXIST, -ENOSPC, -ENOMEM. May sleep. */
int inotify_add(struct file *f, const struct path *p, u32 mask, const struct cred *cred);
int inotify_remove(struct file *f, int wd);

/* --- hooks; they may yield: to be called with no spinlock held --- */
extern u32 inotify_watches; /* a  how many there are */
void inotify_tell_dentry(struct dentry *d, u32 mask);
void inotify_tell_name(struct dentry *dir, const char *name, size_t len, const struct inode *child,
                       u32 mask, u32 cookie);
void inotify_tell_inode(struct inode *inode, u32 mask);
/* The last name of what d names has gone, d is referenced by the caller. From now on watches do not
 * keep it: IN_DELETE_SELF comes when nothing else does, which may be at once. */
void inotify_tell_unlinked(struct dentry *d);
/* d was that name, and it is not open any more. */
void inotify_tell_gone(struct inode *inode);
u32 inotify_cookie(void);
/* The file system goes away with all its inodes. May sleep. */
void inotify_super_gone(struct super *s);

/* Something was done to an open file: reported to watchers of it and of its directory. */
static inline void notify_file(const struct file *f, u32 mask)
{
    if (unlikely(READ_ONCE(inotify_watches)) && f->dentry)
        inotify_tell_dentry(f->dentry, mask);
}

static inline void notify_dentry(struct dentry *d, u32 mask)
{
    if (unlikely(READ_ONCE(inotify_watches)))
        inotify_tell_dentry(d, mask);
}

/* A name came into or went from a directory; child: what it names. */
static inline void notify_name(struct dentry *dir, const struct dentry *d, u32 mask)
{
    size_t len;
    const char *name;

    if (likely(!READ_ONCE(inotify_watches)))
        return;
    name = dentry_name(d, &len);
    inotify_tell_name(dir, name, len, dentry_inode(d), mask, 0);
}
