// SPDX-License-Identifier: MIT
// Copies of trees; see tree_copy.h.
//
// Others may change names on both sides meanwhile: a volume that is being filled may be another
// container's as well, and the links that it makes lead out of it, since "/" is still the host's.
// So each directory is opened without following any link, names are used in it alone, and what was
// opened is what is judged and changed.
#include "lib/tree_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/str.h"
#include "lib/tree_walk.h"

struct copy {
    int from, top; /* of what there is, and of what is made */
    struct tree_links links;
};

/* A directory on both sides. */
struct copy_dir {
    int from, to;
    const char *path; /* below the top */
};

static int copy_dir_open(const struct copy *c, const char *path, struct copy_dir *d)
{
    *d = (struct copy_dir){.from = tree_dir_open(c->from, path), .path = path};
    if (d->from < 0)
        return d->from;
    d->to = tree_dir_open(c->top, path);
    if (d->to < 0)
        close(d->from);
    return d->to < 0 ? d->to : 0;
}

static void copy_dir_close(const struct copy_dir *d)
{
    close(d->from);
    close(d->to);
}

static bool copy_is_zeros(const char *data, size_t len)
{
    return !*data && !memcmp(data, data + 1, len - 1);
}

/* Zeros become holes: 0 or -errno. */
static int copy_piece(int to, const char *data, size_t n)
{
    if (copy_is_zeros(data, n))
        return lseek(to, (off_t)n, SEEK_CUR) < 0 ? -errno : 0;
    return write_all(to, data, n);
}

/* Both stand at the next data of a file, or at its end; where the file system cannot tell, where
 * they stood: 0 or -errno. A file may be much larger than what it holds. */
static int copy_skip_hole(int from, int to)
{
    off_t at = lseek(from, 0, SEEK_CUR), data = at < 0 ? -1 : lseek(from, at, SEEK_DATA);

    if (data < 0 && at >= 0)
        data = errno == ENXIO ? lseek(from, 0, SEEK_END) : lseek(from, at, SEEK_SET);
    return data < 0 || lseek(to, data, SEEK_SET) < 0 ? -errno : 0;
}

static int copy_bytes(int from, int to)
{
    static char data[65536];
    int err = copy_skip_hole(from, to);
    ssize_t n;

    while (!err && (n = read(from, data, sizeof(data))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        err = n < 0 ? -errno : copy_piece(to, data, (size_t)n);
        /* of what holds nothing it need not be asked again and again */
        if (!err && copy_is_zeros(data, (size_t)n))
            err = copy_skip_hole(from, to);
    }
    return err ? err : ftruncate(to, lseek(to, 0, SEEK_CUR)) < 0 ? -errno : 0;
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

/* The owner first, which takes set-id bits and file capabilities away; the times last. */
static int copy_attributes(int from, int to, const struct stat *st)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};
    int err;

    if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
        return -errno;
    err = copy_xattrs(from, to);
    return err ? err : futimens(to, times) < 0 ? -errno : 0;
}

/* Of what cannot be opened. */
static int copy_name_attributes(const struct copy_dir *d, const char *name, const struct stat *st)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};

    return fchownat(d->to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
                   utimensat(d->to, name, times, AT_SYMLINK_NOFOLLOW) < 0
               ? -errno
               : 0;
}

static int copy_symlink(const struct copy_dir *d, const char *name, const struct stat *st)
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(d->from, name, text, sizeof(text) - 1);

    if (n < 0)
        return -errno;
    text[n] = 0;
    return symlinkat(text, d->to, name) < 0 ? -errno : copy_name_attributes(d, name, st);
}

/* A device, FIFO or socket, with its mode from the start: to change it later would follow a link.
 */
static int copy_node(const struct copy_dir *d, const char *name, const struct stat *st)
{
    mode_t mask = umask(0);
    int err = mknodat(d->to, name, st->st_mode, st->st_rdev) < 0 ? -errno : 0;

    umask(mask);
    return err ? err : copy_name_attributes(d, name, st);
}

static int copy_file(const struct copy_dir *d, const char *name)
{
    int in = openat(d->from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int out = -1, err = in < 0 ? -errno : 0;
    struct stat st;

    if (!err && fstat(in, &st) < 0)
        err = -errno;
    if (!err && !S_ISREG(st.st_mode))
        err = -ESTALE; /* exchanged meanwhile */
    if (!err)
        out = openat(d->to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (!err)
        err = out < 0 ? -errno : copy_bytes(in, out);
    err = err ? err : copy_attributes(in, out, &st);
    if (out >= 0)
        close(out);
    if (in >= 0)
        close(in);
    return err;
}

/* A further name of the file that is copied as `first`. */
static int copy_hardlink(const struct copy *c, const struct copy_dir *d, const char *first,
                         const char *name)
{
    const char *slash = strrchr(first, '/');
    char *parent = str_dupn(first, slash ? (size_t)(slash - first) : 0);
    int dir = tree_dir_open(c->top, parent), err;

    free(parent);
    if (dir < 0)
        return dir;
    err = linkat(dir, slash ? slash + 1 : first, d->to, name, 0) < 0 ? -errno : 0;
    close(dir);
    return err;
}

static char *copy_below(const char *path, const char *name)
{
    return str_fmt("%s%s%s", path, *path ? "/" : "", name);
}

/* One name of a directory. Directories are made here, noted in `dirs` and copied later. */
static int copy_entry(struct copy *c, const struct copy_dir *d, const char *name, struct buf *dirs)
{
    const char *first = NULL;
    struct stat st;
    int err = 0;

    if (fstatat(d->from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode)) {
        buf_add(dirs, name, strlen(name) + 1);
        return mkdirat(d->to, name, 0700) < 0 ? -errno : 0;
    }
    if (st.st_nlink > 1) {
        char *path = copy_below(d->path, name);

        err = tree_links_find(&c->links, &st, path, &first);
        free(path);
    }
    if (err || first)
        return err ? err : copy_hardlink(c, d, first, name);
    if (S_ISLNK(st.st_mode))
        return copy_symlink(d, name, &st);
    return S_ISREG(st.st_mode) ? copy_file(d, name) : copy_node(d, name, &st);
}

/* What a directory holds, but for what its directories hold: those are in `dirs`. */
static int copy_names(struct copy *c, const char *path, struct buf *dirs, struct stat *st)
{
    struct buf names = {0};
    struct copy_dir d;
    int err = copy_dir_open(c, path, &d);

    if (err)
        return err;
    err = fstat(d.from, st) < 0 ? -errno : tree_names(d.from, &names);
    for (const char *name = names.data; !err && *name; name += strlen(name) + 1)
        err = copy_entry(c, &d, name, dirs);
    buf_char(dirs, 0);
    buf_free(&names);
    copy_dir_close(&d);
    return err;
}

static int copy_tree(struct copy *c, const char *path)
{
    struct buf dirs = {0};
    struct copy_dir d;
    struct stat st;
    int err = copy_names(c, path, &dirs, &st);

    for (const char *name = dirs.data; !err && *name; name += strlen(name) + 1) {
        char *below = copy_below(path, name);

        err = copy_tree(c, below);
        free(below);
    }
    buf_free(&dirs);
    err = err ? err : copy_dir_open(c, path, &d);
    if (err)
        return err;
    err = copy_attributes(d.from, d.to, &st);
    copy_dir_close(&d);
    return err;
}

static bool tree_is_empty(int fd)
{
    struct buf names = {0};
    bool empty = !tree_names(fd, &names) && !*names.data;

    buf_free(&names);
    return empty;
}

int tree_fill(int from, const char *to)
{
    struct copy c = {.from = from,
                     .top = open(to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    int err = c.top < 0 ? -errno : 0;

    if (!err && tree_is_empty(c.top))
        err = copy_tree(&c, "");
    tree_links_free(&c.links);
    if (c.top >= 0)
        close(c.top);
    return err;
}
