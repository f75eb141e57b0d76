/* SPDX-License-Identifier: MIT
 *
 * Boot modules are newc cpio archives, one or several behind one another, unpacked into the root
 * tmpfs in order, so that a later one adds to or replaces what an earlier one brought. Directories
 * on the way to a name are made. Archives come from the operator of the machine, but may be
 * broken: lib/cpio checks every length, and names with ".." are refused.
 *
 * A module's memory comes back while it is read, so that one of half the machine's size fits: of
 * what lies before the place that is read nothing is kept but copies, and whole pages of a file
 * that lie on a page boundary: those are not copied, they become the file's.
 */
#include "fs/initramfs/initramfs.h"

#include "arch/x86/bootinfo.h"
#include "dev/chrdev.h"
#include "lib/cpio.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/mm_boot.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "vfs/vfs.h"
#include "vm/object.h"

#define HARDLINKS_MAX 64
#define GIVE_BACK (4UL << 20) /* bytes of a module at a time */

/* Names that share an inode in an archive: the last one carries the data (cpio newc). */
struct initramfs_link {
    u32 ino, dev_major, dev_minor;
    char *name; /* owned */
};

struct initramfs {
    struct walk_ctx ctx;
    struct initramfs_link links[HARDLINKS_MAX];
    unsigned nr_links;
    u64 files;
    u64 given; /* where the memory begins that the module has not given back */
    const char *module;
    char name[PATH_MAX]; /* of the entry that is made */
};

/* What lies before `upto`, an address inside the module, is read. */
static void initramfs_give_back(struct initramfs *fs, u64 upto)
{
    if (upto <= fs->given)
        return;
    if (mm_free_reserved(HPA(fs->given), HPA(upto)))
        log_warn("initramfs: no memory to give module %s back", fs->module);
    fs->given = upto;
}

/* The file's whole pages, but for its last bytes, straight out of the module. How many bytes that
 * was, or -errno. */
static ssize_t initramfs_adopt(struct initramfs *fs, struct file *f, const struct cpio_entry *e)
{
    u64 at = virt_hpa(e->data).v, n = e->size ? (e->size - 1) / PAGE_SIZE : 0;
    struct page *page;
    int err = 0;

    if (!IS_ALIGNED(at, PAGE_SIZE) || !n)
        return 0;
    initramfs_give_back(fs, at);
    page = mm_adopt_reserved(HPA(at), n);
    if (!page)
        return -ENOMEM;
    fs->given = at + n * PAGE_SIZE;
    for (u64 i = 0; i < n; i++) {
        if (err)
            page_put(page + i);
        else
            err = mem_object_adopt(f->inode->object, i, page + i);
        cond_yield();
    }
    return err ? err : (ssize_t)(n * PAGE_SIZE);
}

/* The same in large steps, which begin and end on page boundaries. */
static void initramfs_passed(struct initramfs *fs, const void *at)
{
    u64 upto = ALIGN_DOWN(virt_hpa(at).v, GIVE_BACK);

    if (upto > fs->given)
        initramfs_give_back(fs, upto);
    cond_yield();
}

static bool initramfs_name_ok(const char *name)
{
    if (strlen(name) >= PATH_MAX)
        return false;
    for (const char *p = name; *p;) {
        const char *end = strchr(p, '/');
        size_t len = end ? (size_t)(end - p) : strlen(p);

        if (len == 2 && p[0] == '.' && p[1] == '.')
            return false;
        p += len + (end != NULL);
    }
    return true;
}

static void initramfs_make_parents(struct initramfs *fs, const char *name)
{
    char path[512];

    for (size_t i = 1; name[i] && i < sizeof(path); i++) {
        if (name[i] != '/')
            continue;
        memcpy(path, name, i);
        path[i] = '\0';
        (void)vfs_mkdir(&fs->ctx, NULL, path, 0755); /* mostly there already */
    }
}

static int initramfs_write(struct initramfs *fs, struct file *f, const struct cpio_entry *e)
{
    ssize_t n = initramfs_adopt(fs, f, e);

    if (n < 0)
        return (int)n;
    for (u64 at = (u64)n, size; at < e->size; at += size) {
        size = MIN(e->size - at, GIVE_BACK);
        n = file_write_kernel(f, e->data + at, size, (loff_t)at);
        if (n < 0 || (u64)n != size)
            return n < 0 ? (int)n : -ENOSPC;
        initramfs_passed(fs, e->data + at + size);
    }
    return 0;
}

static int initramfs_file(struct initramfs *fs, const char *name, const struct cpio_entry *e)
{
    struct file *f;
    int err = vfs_open(&fs->ctx, NULL, name, O_WRONLY | O_CREAT | O_TRUNC, e->mode & 07777, 0, &f);

    if (err)
        return err;
    err = initramfs_write(fs, f, e);
    file_put(f);
    return err;
}

/* A further name of an inode seen before in this archive. */
static const char *initramfs_linked(struct initramfs *fs, const struct cpio_entry *e)
{
    struct initramfs_link *l;

    if (e->nlink < 2)
        return NULL;
    for (unsigned i = 0; i < fs->nr_links; i++) {
        l = &fs->links[i];
        if (l->ino == e->ino && l->dev_major == e->dev_major && l->dev_minor == e->dev_minor)
            return l->name;
    }
    if (fs->nr_links < HARDLINKS_MAX) {
        l = &fs->links[fs->nr_links];
        *l = (struct initramfs_link){e->ino, e->dev_major, e->dev_minor, kstrdup(e->name)};
        fs->nr_links += l->name != NULL;
    }
    return NULL;
}

static void initramfs_forget_links(struct initramfs *fs)
{
    while (fs->nr_links)
        kfree(fs->links[--fs->nr_links].name);
}

static int initramfs_regular(struct initramfs *fs, const char *name, const struct cpio_entry *e)
{
    const char *first = initramfs_linked(fs, e);
    struct path old;
    int err;

    if (first) {
        err = vfs_lookup(&fs->ctx, NULL, first, 0, &old);
        if (err)
            return err;
        err = vfs_link(&fs->ctx, &old, NULL, name);
        path_put(&old);
        if (err || e->size == 0)
            return err;
    }
    return initramfs_file(fs, name, e);
}

static int initramfs_symlink(struct initramfs *fs, const char *name, const struct cpio_entry *e)
{
    char target[PATH_MAX / 4];

    if (e->size == 0 || e->size >= sizeof(target))
        return -ENAMETOOLONG;
    memcpy(target, e->data, e->size);
    target[e->size] = '\0';
    return vfs_symlink(&fs->ctx, target, NULL, name);
}

static int initramfs_make(struct initramfs *fs, const char *name, const struct cpio_entry *e)
{
    int err;

    switch (e->mode & S_IFMT) {
    case S_IFREG:
        return initramfs_regular(fs, name, e);
    case S_IFLNK:
        return initramfs_symlink(fs, name, e);
    case S_IFDIR:
        err = vfs_mkdir(&fs->ctx, NULL, name, e->mode & 07777);
        return err == -EEXIST ? 0 : err;
    default:
        return vfs_mknod(&fs->ctx, NULL, name, e->mode, dev_make(e->rdev_major, e->rdev_minor));
    }
}

/* Owner, exact mode and time, whatever the creation rules made of them. */
static void initramfs_set_attr(struct initramfs *fs, const char *name, const struct cpio_entry *e)
{
    struct attr_change ch = {
        .valid = ATTR_UID | ATTR_GID | ATTR_MTIME | (S_ISLNK(e->mode) ? 0 : ATTR_MODE),
        .mode = e->mode & 07777,
        .uid = e->uid,
        .gid = e->gid,
        .mtime = {e->mtime, 0},
    };
    struct path p;

    if (vfs_lookup(&fs->ctx, NULL, name, 0, &p))
        return;
    (void)vfs_setattr(&p, fs->ctx.cred, &ch); /* root on a tmpfs: nothing to refuse */
    path_put(&p);
}

static void initramfs_entry(struct initramfs *fs, struct cpio_entry *e)
{
    const char *name = e->name;
    int err;

    while (*name == '/' || (name[0] == '.' && name[1] == '/'))
        name++;
    if (!*name || strcmp(name, ".") == 0)
        return;
    if (!initramfs_name_ok(name)) {
        log_warn("initramfs: refused name %s", name);
        return;
    }
    strlcpy(fs->name, name, sizeof(fs->name));
    e->name = name = fs->name;
    initramfs_make_parents(fs, name);
    if (!S_ISDIR(e->mode) && !S_ISREG(e->mode))
        (void)vfs_unlink(&fs->ctx, NULL, name); /* replaced, if it was there */
    err = initramfs_make(fs, name, e);
    if (err) {
        log_err("initramfs: %s: error %d: it is left out", name, err);
        if (S_ISREG(e->mode))
            (void)vfs_unlink(&fs->ctx, NULL, name); /* what there is of it is not the file */
    } else {
        initramfs_set_attr(fs, name, e);
    }
    fs->files++;
}

/* A module with a name of its own is no archive: it becomes the file /boot/files/NAME, or the one
 * of that name if it begins with a slash. */
static void initramfs_named(struct initramfs *fs, const struct boot_module *mod)
{
    char path[sizeof("boot/files/") + sizeof(mod->name)];
    struct cpio_entry e = {
        .name = path,
        .data = hpa_virt(HPA(mod->start)),
        .size = (u32)mod->size,
        .mode = S_IFREG | 0644,
        .nlink = 1,
    };
    bool whole = mod->name[0] == '/';

    if (mod->size > U32_MAX || (!whole && strchr(mod->name, '/'))) {
        log_warn("initramfs: refused module %s", mod->name);
        return;
    }
    snprintf(path, sizeof(path), "%s%s", whole ? "" : "boot/files/", mod->name);
    initramfs_entry(fs, &e);
}

static void initramfs_archive(struct initramfs *fs, const struct boot_module *mod)
{
    struct cpio_iter it;
    struct cpio_entry e;
    int more;

    cpio_init(&it, hpa_virt(HPA(mod->start)), mod->size);
    while ((more = cpio_next(&it, &e)) > 0) {
        initramfs_entry(fs, &e);
        initramfs_passed(fs, it.base + it.at);
    }
    initramfs_forget_links(fs);
    if (more < 0)
        log_err("initramfs: module %s is damaged at byte %lu", mod->name, it.at);
}

static void initramfs_module(struct initramfs *fs, const struct boot_module *mod)
{
    fs->given = mod->start;
    fs->module = mod->name;
    if (mod->name[0] && strcmp(mod->name, "initramfs") != 0)
        initramfs_named(fs, mod);
    else
        initramfs_archive(fs, mod);
    initramfs_give_back(fs, mod->start + mod->size);
}

/* What PID 1 stands on before it has mounted anything: its console. */
static void initramfs_console(struct initramfs *fs)
{
    int err = vfs_mkdir(&fs->ctx, NULL, "/dev", 0755);

    if (!err || err == -EEXIST)
        err = vfs_mknod(&fs->ctx, NULL, "/dev/console", S_IFCHR | 0600, dev_make(5, 1));
    if (err && err != -EEXIST)
        log_warn("initramfs: /dev/console: error %d", err);
}

void initramfs_unpack(void)
{
    static struct initramfs fs;

    fs.ctx.cred = &cred_init;
    fs.ctx.ns = mount_ns_init;
    mount_ns_root(mount_ns_init, &fs.ctx.root);
    fs.ctx.cwd = fs.ctx.root;
    for (unsigned i = 0; i < boot_info.nr_modules; i++)
        initramfs_module(&fs, &boot_info.modules[i]);
    initramfs_console(&fs);
    path_put(&fs.ctx.root);
    log_info("initramfs: %lu files from %u modules", fs.files, boot_info.nr_modules);
}
