/* SPDX-License-Identifier: MIT
 *
 * The proc and sysfs types: mounts of the pseudo-file trees. What is in them is registered by the
 * layers that own it. A proc mount shows the pid namespace of whoever mounted it.
 */
#include "lib/log.h"
#include "vfs/pseudo.h"

TABLE_DECLARE(struct fs_type, fs_types);

static int procfs_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                        unsigned flags, const char *options, struct super **out)
{
    struct pseudo_node *root = up_proc_root();
    int err = root ? pseudo_super(type, root, NULL, out) : -ENOMEM;

    if (root)
        pseudo_put(root);
    return err;
}

static int sysfs_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                       unsigned flags, const char *options, struct super **out)
{
    return pseudo_super(type, pseudo_root("sysfs"), NULL, out);
}

FS_TYPE(proc)
= {.name = "proc", .mount = procfs_mount, .user_ns_ok = true};
FS_TYPE(sysfs)
= {.name = "sysfs", .mount = sysfs_mount, .user_ns_ok = true};

static int filesystems_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct fs_type *t;

    TABLE_FOR_EACH(t, fs_types)
    seq_printf(out, "%s\t%s\n", t->needs_device ? "" : "nodev", t->name);
    return 0;
}

static const struct pseudo_ops filesystems_ops = {.show = filesystems_show};
PSEUDO_FILE(filesystems) = {"proc", "filesystems", 0444, &filesystems_ops, NULL};

/* Where others mount: control groups; security and debug file systems have no place here. */
PSEUDO_FILE(sys_fs_cgroup) = {"sysfs", "fs/cgroup", S_IFDIR | 0755, NULL, NULL};
