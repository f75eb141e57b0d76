// SPDX-License-Identifier: MIT
// Copies of trees; see tree_copy.h. Directories are opened by their path from the top, so that
// depth costs no descriptors.
#include "lib/tree_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/str.h"

#define COPY_LINKS_MAX 65536

/* A file of several names, for those that come later. */
struct copy_link {
    dev_t dev;
    ino_t ino;
    char *path; /* below the top of the copy */
};

struct copy {
    int from, top; /* of what there is, and of what is made */
    struct copy_link *links;
    size_t nlinks;
};

static int copy_tree(struct copy *c, const char *path);

static int copy_bytes(int from, int to)
{
    static char data[65536];
    ssize_t n;

    while ((n = read(from, data, sizeof(data))) != 0) {
        int err = n < 0 ? -errno : write_all(to, data, (size_t)n);

        if (err && err != -EINTR)
            return err;
    }
    return 0;
}

/* Those that the file system there does not keep are dropped. */
static int copy_xattrs(int from, int to)
{
    static char names[65536], value[65536];
    ssize_t len = flistxattr(from, names, sizeof(names));

    for (const char *x = names; len > 0 && x < names + len; x += strlen(x) + 1) {
        ssize_t n = str_starts(x, "trusted.") ? -1 : fgetxattr(from, x, value, sizeof(value));

        if (n >= 0 && fsetxattr(to, x, value, (size_t)n, 0) < 0 && errno != ENOTSUP &&
            errno != EPERM)
            return -errno;
    }
    return 0;
}

/* The owner first: changing it takes set-id bits away. */
static int copy_attributes(int dir, const char *name, const struct stat *st)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};

    if (fchownat(dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        (!S_ISLNK(st->st_mode) && fchmodat(dir, name, st->st_mode & 07777, 0) < 0) ||
        utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int copy_symlink(const struct copy *c, const char *path)
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(c->from, path, text, sizeof(text) - 1);

    if (n < 0)
        return -errno;
    text[n] = 0;
    return symlinkat(text, c->top, path) < 0 ? -errno : 0;
}

/* A file with its bytes, or a directory without what is in it. */
static int copy_open(const struct copy *c, const char *path, const struct stat *st)
{
    int flags = S_ISDIR(st->st_mode) ? O_RDONLY | O_DIRECTORY : O_WRONLY | O_CREAT | O_EXCL;
    int in, out, err;

    if (S_ISDIR(st->st_mode) && mkdirat(c->top, path, 0700) < 0)
        return -errno;
    in = openat(c->from, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (in < 0)
        return -errno;
    out = openat(c->top, path, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    err = out < 0 ? -errno : copy_xattrs(in, out);
    if (!err && S_ISREG(st->st_mode))
        err = copy_bytes(in, out);
    if (out >= 0)
        close(out);
    close(in);
    return err;
}

/* 1 when it is another name of a file that has been copied, 0 when not, or -errno. */
static int copy_hardlink(struct copy *c, const char *path, const struct stat *st)
{
    if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
        return 0;
    for (size_t i = 0; i < c->nlinks; i++)
        if (c->links[i].ino == st->st_ino && c->links[i].dev == st->st_dev)
            return linkat(c->top, c->links[i].path, c->top, path, 0) < 0 ? -errno : 1;
    if (c->nlinks == COPY_LINKS_MAX)
        return -EMLINK;
    if (c->nlinks % 64 == 0)
        c->links = mem_resize(c->links, (c->nlinks + 64) * sizeof(*c->links));
    c->links[c->nlinks++] = (struct copy_link){st->st_dev, st->st_ino, str_dup(path)};
    return 0;
}

static int copy_entry(struct copy *c, const char *path)
{
    struct stat st;
    int err;

    if (fstatat(c->from, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    err = copy_hardlink(c, path, &st);
    if (err)
        return err < 0 ? err : 0;
    if (S_ISLNK(st.st_mode))
        err = copy_symlink(c, path);
    else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        err = copy_open(c, path, &st);
    else if (mknodat(c->top, path, st.st_mode, st.st_rdev) < 0)
        err = -errno;
    if (!err && S_ISDIR(st.st_mode))
        err = copy_tree(c, path);
    return err ? err : copy_attributes(c->top, path, &st);
}

/* The names in a directory, each ended by a zero byte, and an empty one at the end. */
static int copy_names(const struct copy *c, const char *path, struct buf *names)
{
    int fd = openat(c->from, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d)
        return -errno;
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            buf_add(names, e->d_name, strlen(e->d_name) + 1);
    buf_char(names, 0);
    closedir(d);
    return 0;
}

/* Everything below a directory; the length of paths bounds the depth. */
static int copy_tree(struct copy *c, const char *path)
{
    struct buf names = {0};
    int err = copy_names(c, path, &names);

    for (const char *name = names.data; !err && *name; name += strlen(name) + 1) {
        char *below = str_fmt("%s%s%s", path, *path ? "/" : "", name);

        err = copy_entry(c, below);
        free(below);
    }
    buf_free(&names);
    return err;
}

static bool tree_is_empty(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *e;
    bool empty = d;

    while (d && empty && (e = readdir(d)))
        empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    if (d)
        closedir(d);
    return empty;
}

int tree_fill(int from, const char *to)
{
    struct copy c = {.from = from, .top = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    struct stat st;
    int err = c.top < 0 || fstat(from, &st) < 0 ? -errno : 0;

    if (!err && tree_is_empty(c.top)) {
        err = copy_tree(&c, "");
        err = err ? err : copy_attributes(c.top, ".", &st);
    }
    while (c.nlinks)
        free(c.links[--c.nlinks].path);
    free(c.links);
    if (c.top >= 0)
        close(c.top);
    return err;
}
