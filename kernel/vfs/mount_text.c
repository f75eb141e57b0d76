/* SPDX-License-Identifier: MIT
 *
 * The mount table as text: /proc/<pid>/mounts and mountinfo (proc(5)). Other layers register them.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vfs/pseudo.h"
#include "vfs/mount_priv.h"
#include "vfs/vfs_priv.h"

#define MS_RDONLY 1

struct mounts_text {
    struct seq *out;
    const struct path *root; /* whose view it is */
    char *buf;               /* a page, for paths and options */
    bool info;
};

/* Blanks, backslashes and line ends in octal, as getmntent(3) undoes it. */
static void mounts_escape_all(struct seq *out, const char *s, const char *special)
{
    for (; *s; s++) {
        if (strchr(special, *s))
            seq_printf(out, "\\%03o", (unsigned)(u8)*s);
        else
            seq_write(out, s, 1);
    }
}

static void mounts_escape(struct seq *out, const char *s)
{
    mounts_escape_all(out, s, " \t\n\\#");
}

static void mounts_flags(struct seq *out, u32 flags)
{
    static const struct {
        u32 flag;
        const char *name;
    } names[] = {{2, ",nosuid"},       {4, ",nodev"},         {8, ",noexec"},
                 {1024, ",noatime"},   {2048, ",nodiratime"}, {1 << 21, ",relatime"},
                 {256, ",nosymfollow"}};

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (flags & names[i].flag)
            seq_printf(out, "%s", names[i].name);
}

static void mounts_super_flags(struct seq *out, u32 flags)
{
    seq_printf(out, "%s%s%s", flags & MS_SYNCHRONOUS ? ",sync" : "",
               flags & MS_DIRSYNC ? ",dirsync" : "", flags & MS_LAZYTIME ? ",lazytime" : "");
}

static void mounts_super_options(struct mounts_text *t, struct super *s)
{
    if (!s->ops->show_options)
        return;
    t->buf[0] = '\0';
    (void)s->ops->show_options(s, t->buf, PATH_MAX);
    mounts_escape_all(t->out, t->buf, " \t\n\\"); /* users chose what is in them */
}

static void mounts_line(struct mounts_text *t, const struct mount_info *mi, const char *where)
{
    bool ro = (mi->flags & MS_RDONLY) || (mi->super->flags & MS_RDONLY);

    mounts_escape(t->out, mi->source);
    seq_write(t->out, " ", 1);
    mounts_escape(t->out, where);
    seq_printf(t->out, " %s %s", mi->type, ro ? "ro" : "rw");
    mounts_super_flags(t->out, mi->super->flags);
    mounts_flags(t->out, mi->flags);
    mounts_super_options(t, mi->super);
    seq_printf(t->out, " 0 0\n");
}

static void mounts_info_head(struct mounts_text *t, const struct mount_info *mi)
{
    struct path of_fs = {NULL, mi->root_of.dentry}, fs_root = {NULL, mi->super->root};
    char *root = path_name(&of_fs, &fs_root, t->buf, PATH_MAX);

    seq_printf(t->out, "%lu %lu %lu:%lu ", mi->id, mi->parent_id, (mi->dev >> 8) & 0xfff,
               (mi->dev & 0xff) | (mi->dev >> 12 & 0xfff00));
    mounts_escape(t->out, IS_ERR(root) ? "/" : root);
    seq_write(t->out, " ", 1);
}

static void mounts_info_tail(struct mounts_text *t, const struct mount_info *mi)
{
    seq_printf(t->out, " %s", mi->flags & MS_RDONLY ? "ro" : "rw");
    mounts_flags(t->out, mi->flags);
    seq_printf(t->out, " - %s ", mi->type);
    mounts_escape(t->out, mi->source);
    seq_printf(t->out, " %s", mi->super->flags & MS_RDONLY ? "ro" : "rw");
    mounts_super_flags(t->out, mi->super->flags);
    mounts_super_options(t, mi->super);
    seq_write(t->out, "\n", 1);
}

/* Mounts that cannot be reached from the viewer's root are left out. */
static int mounts_one(const struct mount_info *mi, void *arg)
{
    struct mounts_text *t = arg;
    bool reached;
    char *where = path_name_reached(&mi->root_of, t->root, t->buf, PATH_MAX, &reached), *copy;

    if (IS_ERR(where) || !reached)
        return 0;
    copy = kstrdup(where);
    if (!copy)
        return -ENOMEM;
    if (t->info) {
        mounts_info_head(t, mi);
        mounts_escape(t->out, copy);
        mounts_info_tail(t, mi);
    } else {
        mounts_line(t, mi, copy);
    }
    kfree(copy);
    return 0;
}

int mount_ns_show(struct mount_ns *ns, const struct path *root, struct seq *out, bool info)
{
    struct mounts_text t = {.out = out, .root = root, .buf = kmalloc(PATH_MAX), .info = info};
    int err = t.buf ? mount_ns_for_each(ns, mounts_one, &t) : -ENOMEM;

    kfree(t.buf);
    return err;
}
