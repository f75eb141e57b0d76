/* SPDX-License-Identifier: MIT
 *
 * Mounts. Options are copied to a page; vfs decides.
 */
#include "linux/sys.h"

#define MS_MGC_VAL 0xC0ED0000UL
#define MS_MGC_MSK 0xffff0000UL
#define OPTIONS_MAX 4096

/* An optional string of at most a page. Most are short, and lie on the caller's stack. */
struct mount_string {
    char *text; /* NULL: none; brief; or allocated */
    char brief[128];
};

/* On error nothing is allocated. */
static int mount_string_in(u64 uptr, struct mount_string *s)
{
    const char __user *from = (const char __user *)uptr;
    ssize_t n;

    s->text = NULL;
    if (!uptr)
        return 0;
    n = copy_string_in(s->brief, from, sizeof(s->brief));
    if (n >= 0) {
        s->text = s->brief;
        return 0;
    }
    if (n != -ENAMETOOLONG)
        return (int)n;
    s->text = kmalloc(OPTIONS_MAX);
    if (!s->text)
        return -ENOMEM;
    n = copy_string_in(s->text, from, OPTIONS_MAX);
    if (n >= 0)
        return 0;
    kfree(s->text);
    s->text = NULL;
    return n == -ENAMETOOLONG ? -EINVAL : (int)n;
}

static void mount_string_free(struct mount_string *s)
{
    if (s->text != s->brief)
        kfree(s->text);
}

static int mount_may(void)
{
    return cred_capable(current_cred(), current_cred()->user_ns, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

s64 sys_mount(u64 usource, u64 utarget, u64 utype, u64 flags, u64 udata)
{
    struct mount_string source, type, data;
    struct path target;
    struct walk_hold w;

    if ((flags & MS_MGC_MSK) == MS_MGC_VAL)
        flags &= ~MS_MGC_MSK;
    source.text = type.text = data.text = NULL;
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
        err = vfs_mount(&w.ctx, source.text, &target, type.text, flags, data.text);
        walk_end(&w);
        path_put(&target);
    }
    mount_string_free(&source);
    mount_string_free(&type);
    mount_string_free(&data);
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
