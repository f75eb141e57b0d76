// SPDX-License-Identifier: MIT
// An image as one newc cpio archive.
//
// The layers' tree is read through a read-only overlay in a mount namespace of a child of its own,
// so that whiteouts mean what they mean to containers and no mount is left behind. What the format
// has no space for goes into a member of its own, PACK_EXTRA, which the guest's agent applies
// (init/agent_image.c): further names of a file, extended attributes, long links, exact times.
#include "engine/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/engine.h"
#include "lib/pack_extra.h"
#include "lib/str.h"
#include "lib/tree_walk.h"

#define PACK_LINK_MAX 1000 /* what the kernel's reader takes */
#define PACK_AGENT "sbin/init"
#define PACK_AGENT_HEAD ((110 + sizeof(PACK_AGENT) + 3) & ~(size_t)3)
#define PACK_PAGE 4096
#define PACK_PATH_MAX 4000 /* likewise, of a name with its prefix */

struct pack {
    int fd;
    int root; /* of the image */
    uint32_t ino;
    uint64_t at;
    char data[65536];
    size_t held;
    struct tree_links links;
    struct buf names, attributes, times; /* records for PACK_EXTRA, in this order */
};

static int pack_flush(struct pack *p)
{
    int err = write_all(p->fd, p->data, p->held);

    p->held = 0;
    return err;
}

static int pack_bytes(struct pack *p, const void *data, size_t len)
{
    const char *from = data;

    p->at += len;
    while (len) {
        size_t n = sizeof(p->data) - p->held < len ? sizeof(p->data) - p->held : len;

        memcpy(p->data + p->held, from, n);
        p->held += n;
        from += n;
        len -= n;
        if (p->held == sizeof(p->data)) {
            int err = pack_flush(p);

            if (err)
                return err;
        }
    }
    return 0;
}

static int pack_pad(struct pack *p)
{
    return pack_bytes(p, "\0\0\0", -p->at & 3);
}

static int pack_head(struct pack *p, const char *name, const struct stat *st, uint64_t size)
{
    char head[128];
    int err;

    if (size > UINT32_MAX)
        return -EFBIG;
    snprintf(head, sizeof(head), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
             ++p->ino, st->st_mode, st->st_uid, st->st_gid, 1, (uint32_t)st->st_mtime,
             (uint32_t)size, 0, 0, major(st->st_rdev), minor(st->st_rdev),
             (uint32_t)strlen(name) + 1, 0);
    err = pack_bytes(p, head, 110);
    err = err ? err : pack_bytes(p, name, strlen(name) + 1);
    return err ? err : pack_pad(p);
}

/* Ends an archive; what is written `before` bytes later lies at a multiple of `unit`. */
static int pack_end(struct pack *p, size_t before, size_t unit)
{
    static const char zero[PACK_PAGE];
    const struct stat none = {0};
    int err = pack_head(p, "TRAILER!!!", &none, 0);

    return err ? err : pack_bytes(p, zero, -(p->at + before) & (unit - 1));
}

static int pack_read(struct pack *p, int fd, uint64_t size)
{
    static char data[65536];
    int err = 0;

    while (size && !err) {
        ssize_t n = read(fd, data, size < sizeof(data) ? size : sizeof(data));

        if (n <= 0)
            err = n < 0 ? -errno : -EIO;
        else
            err = pack_bytes(p, data, (size_t)n);
        size -= n > 0 ? (uint64_t)n : 0;
    }
    return err;
}

static int pack_content(struct pack *p, const char *path, uint64_t size)
{
    int fd = openat(p->root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), err;

    if (fd < 0)
        return -errno;
    err = pack_read(p, fd, size);
    close(fd);
    return err;
}

/* ---- what the format has no space for -------------------------------------------------------- */

static void record(struct buf *b, char type, const char *path, const char *value)
{
    buf_char(b, type);
    buf_add(b, path, strlen(path) + 1);
    buf_add(b, value, strlen(value) + 1);
}

static void pack_time(struct pack *p, const char *path, const struct stat *st)
{
    char text[64];

    if (!S_ISDIR(st->st_mode) && !st->st_mtim.tv_nsec && st->st_mtime >= 0 &&
        st->st_mtime <= UINT32_MAX)
        return; /* a directory's changes while it is filled */
    snprintf(text, sizeof(text), "%lld %ld", (long long)st->st_mtime, st->st_mtim.tv_nsec);
    record(&p->times, 'T', path, text);
}

/* Of files and directories: their names, and values of any bytes. */
static int pack_xattrs(struct pack *p, const char *path, const struct stat *st)
{
    static char names[65536], value[65536];
    char len[24];
    ssize_t n, total;
    int fd;

    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        return 0;
    fd = openat(p->root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    total = flistxattr(fd, names, sizeof(names));
    for (const char *x = names; total > 0 && x < names + total; x += strlen(x) + 1) {
        if (str_starts(x, "trusted."))
            continue; /* the layers' own */
        n = fgetxattr(fd, x, value, sizeof(value));
        if (n < 0)
            continue;
        record(&p->attributes, 'X', path, x);
        snprintf(len, sizeof(len), "%zd", n);
        buf_add(&p->attributes, len, strlen(len) + 1);
        buf_add(&p->attributes, value, (size_t)n);
    }
    close(fd);
    return 0;
}

/* Whether it is a further name of a file that is packed: 1, 0, or -errno. */
static int pack_hardlink(struct pack *p, const char *path, const struct stat *st)
{
    const char *first;
    int err;

    if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
        return 0;
    err = tree_links_find(&p->links, st, path, &first);
    if (err || !first)
        return err;
    record(&p->names, 'L', path, first);
    return 1;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static int pack_tree(struct pack *p, const char *path);

static int pack_symlink(struct pack *p, const char *path, const char *name, struct stat *st)
{
    static char link[4096];
    ssize_t n = readlinkat(p->root, path, link, sizeof(link) - 1);
    char owner[32];
    int err;

    if (n < 0)
        return -errno;
    link[n] = 0;
    if (n < PACK_LINK_MAX) {
        err = pack_head(p, name, st, (uint64_t)n);
        return err ? err : pack_bytes(p, link, (size_t)n);
    }
    record(&p->names, 'S', path, link);
    snprintf(owner, sizeof(owner), "%u:%u", st->st_uid, st->st_gid);
    buf_add(&p->names, owner, strlen(owner) + 1);
    st->st_mtim.tv_nsec += !st->st_mtim.tv_nsec; /* its time is to be set */
    return 0;
}

static int pack_inode(struct pack *p, const char *path, struct stat *st)
{
    char *name = str_fmt("rootfs/%s", path);
    int err = strlen(name) > PACK_PATH_MAX ? -ENAMETOOLONG : 0;

    if (!err && S_ISLNK(st->st_mode))
        err = pack_symlink(p, path, name, st);
    else if (!err)
        err = pack_head(p, name, st, S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0);
    if (!err && S_ISREG(st->st_mode))
        err = pack_content(p, path, (uint64_t)st->st_size);
    free(name);
    err = err ? err : pack_pad(p);
    err = err ? err : pack_xattrs(p, path, st);
    if (!err)
        pack_time(p, path, st);
    return err;
}

static int pack_entry(struct pack *p, const char *path)
{
    struct stat st;
    int err;

    if (fstatat(p->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISSOCK(st.st_mode))
        return 0; /* nothing listens */
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        st.st_rdev = 0;
    err = pack_hardlink(p, path, &st);
    if (err)
        return err < 0 ? err : 0;
    err = pack_inode(p, path, &st);
    return err || !S_ISDIR(st.st_mode) ? err : pack_tree(p, path);
}

/* Everything below a directory; paths are bounded, and with them the depth. */
static int pack_tree(struct pack *p, const char *path)
{
    struct buf names = {0};
    int dir = tree_dir_open(p->root, path), err = dir < 0 ? dir : tree_names(dir, &names);

    if (dir >= 0)
        close(dir);
    for (const char *name = names.data; !err && *name; name += strlen(name) + 1) {
        char *below = str_fmt("%s%s%s", path, *path ? "/" : "", name);

        err = pack_entry(p, below);
        free(below);
    }
    buf_free(&names);
    return err;
}

static int pack_extra(struct pack *p)
{
    struct stat st = {.st_mode = S_IFREG | 0600};
    uint64_t size = p->names.len + p->attributes.len + p->times.len;
    int err = pack_head(p, &PACK_EXTRA[1], &st, size);

    err = err ? err : pack_bytes(p, p->names.data, p->names.len);
    err = err ? err : pack_bytes(p, p->attributes.data, p->attributes.len);
    err = err ? err : pack_bytes(p, p->times.data, p->times.len);
    return err ? err : pack_pad(p);
}

/* The image's root, its tree, what goes beside it, and the end. */
static int pack_image_tree(struct pack *p, struct image *img, int scratch)
{
    struct stat root = {0};
    int err = image_root_apply(img, scratch);

    if (!err && fstat(scratch, &root) < 0)
        err = -errno;
    root.st_rdev = 0;
    err = err ? err : pack_head(p, "rootfs", &root, 0);
    if (!err)
        pack_time(p, ".", &root);
    err = err ? err : pack_tree(p, "");
    err = err ? err : pack_extra(p);
    err = err ? err : pack_end(p, 0, 1);
    return err ? err : pack_flush(p);
}

/* The guest's own root: folders, and the agent, whose pages the guest's kernel keeps where they
 * are. */
static int pack_agent_folders(struct pack *p)
{
    static const char *const folders[] = {"proc", "sys", "dev",  "run",        "tmp",
                                          "var",  "etc", "boot", "boot/files", "sbin"};
    struct stat st = {.st_mode = S_IFDIR | 0755};
    int err = 0;

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && !err; i++)
        err = pack_head(p, folders[i], &st, 0);
    return err ? err : pack_end(p, PACK_AGENT_HEAD, PACK_PAGE);
}

static int pack_agent(struct pack *p, const char *agent)
{
    int fd = open(agent, O_RDONLY | O_CLOEXEC), err;
    struct stat st, own = {.st_mode = S_IFREG | 0755};

    if (fd < 0)
        return -errno;
    err = fstat(fd, &st) < 0 ? -errno : pack_agent_folders(p);
    err = err ? err : pack_head(p, PACK_AGENT, &own, (uint64_t)st.st_size);
    err = err ? err : pack_read(p, fd, (uint64_t)st.st_size);
    err = err ? err : pack_pad(p);
    close(fd);
    return err ? err : pack_end(p, 0, 512);
}

static int pack_mount(const struct image *img, const char *layers, const char *empty)
{
    struct buf data = {0};
    int err = 0;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        chdir(layers) < 0)
        return -errno;
    /* an overlay without an upper layer wants two lower ones */
    buf_str(&data, "lowerdir=");
    for (int i = img->nlayers; i-- > 0;)
        buf_fmt(&data, "%s:", img->layers[i]->dir);
    buf_str(&data, empty);
    if (mount("overlay", empty, "overlay", MS_RDONLY, data.data) < 0)
        err = -errno;
    buf_free(&data);
    return err;
}

_Noreturn static void pack_child(struct image *img, const char *agent, const char *layers,
                                 const char *empty, const char *out)
{
    static struct pack p;
    /* before the mount covers it: a directory to see the root's attributes on */
    int scratch = open(empty, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

    if (scratch < 0 || pack_mount(img, layers, empty))
        _exit(10);
    p.fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    p.root = open(empty, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p.fd < 0 || p.root < 0)
        _exit(11);
    if (pack_agent(&p, agent))
        _exit(12);
    err = pack_image_tree(&p, img, scratch);
    _exit(err == -ENAMETOOLONG ? 14 : err == -EFBIG ? 15 : err ? 13 : 0);
}

char *pack_image(struct image *img, const char *agent, const char *out)
{
    static const char *const steps[] = {"cannot mount its layers",
                                        "cannot write the archive",
                                        "cannot read the guest's agent",
                                        "cannot pack its tree",
                                        "it has a path of more than 4000 bytes: use the default "
                                        "runtime for it",
                                        "it has a file of 4 GiB or more: use the default runtime "
                                        "for it"};
    char *layers = str_fmt("%s/layers", engine.root), *fresh = str_fmt("%s" PACK_HALF, out);
    char *empty = str_fmt("%s" PACK_SCRATCH, out), *why = NULL; /* its owner and mode are set */
    int status = -1;
    pid_t pid;

    dir_make(empty, 0755);
    pid = fork();
    if (pid == 0)
        pack_child(img, agent, layers, empty, fresh);
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        why = str_fmt("cannot pack the image for a VM: %s", strerror(errno));
    else if (status && WIFEXITED(status) && WEXITSTATUS(status) >= 10)
        why = str_fmt("cannot pack the image for a VM: %s", steps[(WEXITSTATUS(status) - 10) % 6]);
    else if (status)
        why = str_dup("cannot pack the image for a VM: the packer was killed");
    else if (rename(fresh, out) < 0)
        why = str_fmt("cannot pack the image for a VM: %s", strerror(errno));
    if (why)
        unlink(fresh);
    rmdir(empty);
    free(layers);
    free(fresh);
    free(empty);
    return why;
}
