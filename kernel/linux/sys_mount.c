/* SPDX-License-Identifier: MIT
 *
 * Mounts. Options are copied to a page; vfs decides.
 */
#include "linux/sys.h"

#define MS_MGC_VAL 0xC0ED0000UL
#define MS_MGC_MSK 0xffff0000UL
#define OPTIONS_MAX 4096

/* An optional string of at most a page; *out NULL when uptr is. */
static int mount_string_in(u64 uptr, char **out)
{
    *out = NULL;
    if (!uptr)
        return 0;
    char *s = kmalloc(OPTIONS_MAX);
    if (!s)
        return -ENOMEM;
    ssize_t n = copy_string_in(s, (const char __user *)uptr, OPTIONS_MAX);
    if (n < 0) {
        kfree(s);
        return n == -ENAMETOOLONG ? -EINVAL : (int)n;
    }
    *out = s;
    return 0;
}

static int mount_may(void)
{
    return cred_capable(current_cred(), current_cred()->user_ns, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

s64 sys_mount(u64 usource, u64 utarget, u64 utype, u64 flags, u64 udata)
{
    char *source = NULL, *type = NULL, *data = NULL;
    struct path target;
    struct walk_hold w;

    if ((flags & MS_MGC_MSK) == MS_MGC_VAL)
        flags &= ~MS_MGC_MSK;
    int err = mount_may();
    if (!err)
        err = mount_string_in(usource, &source);
    if (!err)
        err = mount_string_in(utype, &type);
    if (!err)
        err = mount_string_in(udata, &data);
    if (!err)
        err = walk_at_lookup(AT_FDCWD, utarget, 0, &target);
    if (!err) {
        walk_begin(&w);
        err = vfs_mount(&w.ctx, source, &target, type, flags, data);
        walk_end(&w);
        path_put(&target);
    }
    kfree(source);
    kfree(type);
    kfree(data);
    return err;
}

#define UMOUNT_NOFOLLOW 8
s64 sys_umount2(u64 utarget, u32 flags)
{
    struct path target;
    struct walk_hold w;

    if (flags & ~0xfUL)
        return -EINVAL;
    int err = mount_may();
    if (!err)
        err = walk_at_lookup(AT_FDCWD, utarget, flags & UMOUNT_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0,
                             &target);
    if (err)
        return err;
    walk_begin(&w);
    err = vfs_umount(&w.ctx, &target, (int)flags);
    walk_end(&w);
    path_put(&target);
    return err;
}

s64 sys_pivot_root(u64 unew, u64 uold)
{
    struct path new_root, put_old;
    struct walk_hold w;
    int err = mount_may();

    if (!err)
        err = walk_at_lookup(AT_FDCWD, unew, 0, &new_root);
    if (err)
        return err;
    err = walk_at_lookup(AT_FDCWD, uold, 0, &put_old);
    if (!err) {
        walk_begin(&w);
        err = vfs_pivot_root(&w.ctx, &new_root, &put_old);
        walk_end(&w);
        path_put(&put_old);
    }
    path_put(&new_root);
    return err;
}
