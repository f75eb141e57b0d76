/* SPDX-License-Identifier: MIT
 *
 * Who a descriptor's signals are for: F_SETOWN and its like. The owner is kept as what it is, not
 * as a number: each caller is told the number of its own pid namespace.
 */
#include "linux/sys.h"

/* struct f_owner_ex */
struct owner_user {
    s32 type, pid;
};

static int file_own(struct file *f, u32 type, s32 nr)
{
    struct pid *fresh = nr ? pid_find(current_pid_ns(), (u32)nr) : NULL, *old;

    if (nr && !fresh)
        return -ESRCH;
    spin_lock(&f->watch_lock);
    old = f->owner;
    f->owner = fresh;
    f->owner_type = type;
    spin_unlock(&f->watch_lock);
    if (old)
        pid_put(old);
    return 0;
}

static struct owner_user file_owner(struct file *f)
{
    struct owner_user u;

    spin_lock(&f->watch_lock);
    u.type = (s32)f->owner_type;
    u.pid = f->owner ? (s32)pid_nr(f->owner, current_pid_ns()) : 0;
    spin_unlock(&f->watch_lock);
    return u;
}

s64 file_set_owner(struct file *f, s32 nr)
{
    if (nr == INT32_MIN)
        return -EINVAL;
    return nr < 0 ? file_own(f, FILE_OWNER_GROUP, -nr) : file_own(f, FILE_OWNER_PROCESS, nr);
}

s64 file_get_owner(struct file *f)
{
    struct owner_user u = file_owner(f);

    return u.type == FILE_OWNER_GROUP ? -u.pid : u.pid;
}

s64 file_set_owner_ex(struct file *f, u64 uptr)
{
    struct owner_user u;

    if (IN(u, uptr))
        return -EFAULT;
    if ((u32)u.type > FILE_OWNER_GROUP)
        return -EINVAL;
    return u.pid < 0 ? -ESRCH : file_own(f, (u32)u.type, u.pid);
}

s64 file_get_owner_ex(struct file *f, u64 uptr)
{
    struct owner_user u = file_owner(f);

    return OUT(uptr, u);
}
