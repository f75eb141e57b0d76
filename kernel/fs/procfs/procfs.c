/* SPDX-License-Identifier: MIT
 *
 * The proc type: mounts of its pseudo-file tree. What is in it is registered by the
 * layers that own it. A proc mount shows the pid namespace of the process that mounted it.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vfs/pseudo.h"

TABLE_DECLARE(struct fs_type, fs_types);

/* hidepid and subset would hide processes: they are refused, so that no mount seems to hide what it
 * shows. */
static int procfs_options(const char *options)
{
    static const char *const nothing[] = {"hidepid=0", "hidepid=off", "gid=0"};

    for (const char *p = options; *p;) {
        const char *end = strchr(p, ',');
        size_t len = end ? (size_t)(end - p) : strlen(p);
        bool known = len == 0;

        for (unsigned i = 0; i < ARRAY_SIZE(nothing); i++)
            known |= str_is(nothing[i], p, len);
        if (!known)
            return -EINVAL;
        p += len + (end != NULL);
    }
    return 0;
}

static int procfs_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                        unsigned flags, const char *options, struct super **out)
{
    int err = procfs_options(options);
    struct pseudo_node *root = err ? NULL : up_proc_root();

    if (!err)
        err = root ? pseudo_super(type, root, NULL, out) : -ENOMEM;
    if (root)
        pseudo_put(root);
    return err;
}

FS_TYPE(proc)
= {.name = "proc", .mount = procfs_mount, .user_ns_ok = true};

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
