/* SPDX-License-Identifier: MIT
 *
 * tmpfs(5): the file system type and its options; files without a name. See tmpfs.h.
 */
#include "fs/tmpfs/tmpfs.h"

#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vfs/vfs_priv.h"

#define TMPFS_MAGIC 0x01021994

static int tmpfs_statfs(struct super *s, struct statfs_k *out)
{
    struct tmpfs_super *ts = container_of(s, struct tmpfs_super, super);
    struct mem_info mem;
    u64 total, used = (u64)atomic_read(&ts->pages.now), max = READ_ONCE(ts->pages.max);

    mem_info_get(&mem);
    total = max == U64_MAX ? mem.total : max;
    *out = (struct statfs_k){
        .type = TMPFS_MAGIC,
        .bsize = PAGE_SIZE,
        .frsize = PAGE_SIZE,
        .namelen = NAME_MAX,
        .blocks = (s64)total,
        .bfree = (s64)(total - MIN(total, used)),
        .bavail = (s64)(total - MIN(total, used)),
        .files = ts->max_inodes == U64_MAX ? (s64)mem.total : (s64)ts->max_inodes,
    };
    out->ffree = out->files - atomic_read(&ts->inodes);
    return 0;
}

static void tmpfs_destroy(struct super *s)
{
    kfree(container_of(s, struct tmpfs_super, super));
}

static void tmpfs_unmount(struct super *s)
{
    tmpfs_empty(dentry_inode(s->root));
}

static int tmpfs_show_options(struct super *s, char *buf, size_t n)
{
    struct tmpfs_super *ts = container_of(s, struct tmpfs_super, super);
    u64 max = READ_ONCE(ts->pages.max);
    size_t at = 0;

    if (max != U64_MAX)
        at += scnprintf(buf + at, n - at, ",size=%luk", max * (PAGE_SIZE / 1024));
    if (ts->max_inodes != U64_MAX)
        at += scnprintf(buf + at, n - at, ",nr_inodes=%lu", ts->max_inodes);
    if (ts->root_mode != 01777)
        at += scnprintf(buf + at, n - at, ",mode=%o", ts->root_mode);
    if (ts->uid)
        at += scnprintf(buf + at, n - at, ",uid=%u", user_ns_uid(current_cred()->user_ns, ts->uid));
    if (ts->gid)
        at += scnprintf(buf + at, n - at, ",gid=%u", user_ns_gid(current_cred()->user_ns, ts->gid));
    return (int)at;
}

/* "64k", "10m", "1g", "50%" (of RAM), or plain bytes. */
static int tmpfs_parse_size(const char *text, size_t len, u64 *bytes)
{
    char digits[24];
    struct mem_info mem;
    unsigned shift = 0;
    char unit = len ? text[len - 1] : '0';

    if (unit == 'k' || unit == 'K')
        shift = 10;
    else if (unit == 'm' || unit == 'M')
        shift = 20;
    else if (unit == 'g' || unit == 'G')
        shift = 30;
    if (shift || unit == '%')
        len--;
    if (len == 0 || len >= sizeof(digits))
        return -EINVAL;
    memcpy(digits, text, len);
    digits[len] = '\0';
    if (parse_u64(digits, 10, bytes))
        return -EINVAL;
    if (unit == '%') {
        mem_info_get(&mem);
        return mul_overflows(mem.total * PAGE_SIZE / 100, *bytes, bytes) ? -EINVAL : 0;
    }
    if (*bytes > U64_MAX >> shift)
        return -EINVAL;
    *bytes <<= shift;
    return 0;
}

static int tmpfs_parse_number(const char *text, size_t len, unsigned base, u64 *out)
{
    char digits[24];

    if (len == 0 || len >= sizeof(digits))
        return -EINVAL;
    memcpy(digits, text, len);
    digits[len] = '\0';
    return parse_u64(digits, base, out);
}

/* A number of the mounter's user namespace. */
static int tmpfs_parse_id(const char *text, size_t len, u64 *out)
{
    int err = tmpfs_parse_number(text, len, 10, out);

    return !err && *out > U32_MAX ? -EINVAL : err;
}

static int tmpfs_parse_option(struct tmpfs_super *ts, const char *opt, size_t len)
{
    const char *eq = memchr(opt, '=', len), *value = eq ? eq + 1 : opt + len;
    size_t key = eq ? (size_t)(eq - opt) : len, n = len - (size_t)(value - opt);
    u64 v = 0;
    int err;

#define OPTION_IS(name) (key == sizeof(name) - 1 && memcmp(opt, name, key) == 0)
    if (OPTION_IS("size")) {
        err = tmpfs_parse_size(value, n, &v);
        ts->pages.max = v ? v / PAGE_SIZE + (v % PAGE_SIZE != 0) : U64_MAX;
    } else if (OPTION_IS("nr_blocks")) {
        err = tmpfs_parse_size(value, n, &v);
        ts->pages.max = v ? v : U64_MAX;
    } else if (OPTION_IS("nr_inodes")) {
        err = tmpfs_parse_size(value, n, &v);
        ts->max_inodes = v ? v : U64_MAX;
    } else if (OPTION_IS("mode")) {
        err = tmpfs_parse_number(value, n, 8, &v);
        ts->root_mode = (u32)v & 07777;
    } else if (OPTION_IS("uid")) {
        err = tmpfs_parse_id(value, n, &v);
        ts->uid = err ? ID_INVALID : user_ns_map_uid(current_cred()->user_ns, (u32)v);
        err = ts->uid == ID_INVALID ? -EINVAL : 0;
    } else if (OPTION_IS("gid")) {
        err = tmpfs_parse_id(value, n, &v);
        ts->gid = err ? ID_INVALID : user_ns_map_gid(current_cred()->user_ns, (u32)v);
        err = ts->gid == ID_INVALID ? -EINVAL : 0;
    } else {
        err = OPTION_IS("huge") || OPTION_IS("inode64") ? 0 : -EINVAL;
    }
#undef OPTION_IS
    return err ? -EINVAL : 0;
}

static int tmpfs_parse(struct tmpfs_super *ts, const char *options)
{
    for (const char *p = options; *p;) {
        const char *end = strchr(p, ',');
        size_t len = end ? (size_t)(end - p) : strlen(p);
        int err = len ? tmpfs_parse_option(ts, p, len) : 0;

        if (err)
            return err;
        p += len + (end != NULL);
    }
    return 0;
}

/* tmpfs(5): a remount may change the limits, but not below what is in use. */
static int tmpfs_remount(struct super *s, unsigned flags, const char *options)
{
    struct tmpfs_super *ts = container_of(s, struct tmpfs_super, super);
    struct tmpfs_super fresh = {.pages.max = READ_ONCE(ts->pages.max),
                                .max_inodes = ts->max_inodes};
    int err = tmpfs_parse(&fresh, options);

    if (!err && ((u64)atomic_read(&ts->pages.now) > fresh.pages.max ||
                 (u64)atomic_read(&ts->inodes) > fresh.max_inodes))
        err = -EINVAL;
    if (err)
        return err;
    WRITE_ONCE(ts->pages.max, fresh.pages.max);
    WRITE_ONCE(ts->max_inodes, fresh.max_inodes);
    return 0;
}

static const struct super_ops tmpfs_super_ops = {
    .evict = tmpfs_evict,
    .statfs = tmpfs_statfs,
    .unmount = tmpfs_unmount,
    .destroy = tmpfs_destroy,
    .show_options = tmpfs_show_options,
    .remount = tmpfs_remount,
};

int tmpfs_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                unsigned flags, const char *options, struct super **out)
{
    struct tmpfs_super *ts = kzalloc(sizeof(*ts));
    struct inode *root;
    int err;

    if (!ts)
        return -ENOMEM;
    ts->super.type = type;
    ts->super.ops = &tmpfs_super_ops;
    ts->super.flags = flags & 1;
    ts->super.user_ns = &user_ns_init;
    ts->super.dev = super_dev_alloc();
    refcount_init(&ts->super.ref, 1);
    ts->pages.max = ts->max_inodes = U64_MAX;
    ts->root_mode = 01777;
    err = tmpfs_parse(ts, options);
    root = err ? NULL : tmpfs_inode(ts, S_IFDIR | ts->root_mode, NULL, NULL);
    if (root) {
        root->uid = ts->uid;
        root->gid = ts->gid;
        ts->super.root = dentry_create_root(root);
    }
    if (ts->super.root) {
        *out = &ts->super;
        return 0;
    }
    if (root)
        inode_put(root);
    kfree(ts);
    return err ? err : -ENOMEM;
}

FS_TYPE(tmpfs)
= {.name = "tmpfs", .mount = tmpfs_mount, .user_ns_ok = true};

/* ------------------------------------------------------------- files without a name */

/* The root that the machine comes up with, which is a tmpfs. What stands at "/" later, a program
 * with the privilege may choose. */
static struct path tmpfs_first;

static void tmpfs_init(void)
{
    mount_ns_root(mount_ns_init, &tmpfs_first);
}
INIT_HOOK(tmpfs_init, INIT_DRIVER);

/* memfd_create(2), shmem. */
struct file *tmpfs_create_unlinked(const char *name, u64 size, unsigned o_flags, bool sealable)
{
    struct dentry *root = tmpfs_first.dentry;
    struct path p = {tmpfs_first.mount, dentry_alloc(root, name, strlen(name))};
    struct file *f;
    struct inode *i;
    int err;

    i = tmpfs_inode(container_of(root->super, struct tmpfs_super, super), S_IFREG | 0777, NULL,
                    current_cred());
    if (!i || !p.dentry) {
        if (i)
            inode_put(i);
        if (p.dentry)
            dentry_put(p.dentry);
        return ERR_PTR(-ENOMEM);
    }
    i->nlink = 0;
    i->object->size = size;
    if (sealable)
        ((struct tmpfs_inode *)i->priv)->seals = 0;
    p.dentry->flags |= DENTRY_UNLINKED;
    dentry_instantiate(p.dentry, i);
    mount_get(p.mount);
    err = open_dentry(&p, o_flags, current_cred(), &f);
    mount_put(p.mount);
    dentry_put(p.dentry);
    return err ? ERR_PTR(err) : f;
}
