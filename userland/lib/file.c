// SPDX-License-Identifier: MIT
// Whole small files and whole trees; declared in str.h.
//
// A file of an image may be anything: to read a FIFO would wait for ever, to open a device does
// something. Only regular files are read.
#include "lib/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file_open_regular(const char *path)
{
    struct stat st;
    int fd;

    if (stat(path, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    fd = openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd); /* exchanged meanwhile */
    return -EINVAL;
}

int file_read(const char *path, size_t max, struct buf *out)
{
    int fd = file_open_regular(path), err = 0;

    if (fd < 0)
        return fd;
    for (;;) {
        ssize_t n;

        buf_reserve(out, 4096);
        n = read(fd, out->data + out->len, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err = n < 0 ? -errno : 0;
            break;
        }
        out->len += (size_t)n;
        if (out->len > max) {
            err = -EFBIG;
            break;
        }
    }
    close(fd);
    out->data[out->len] = 0;
    return err;
}

int write_all(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

ssize_t read_at(int fd, void *data, size_t len, uint64_t offset)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = pread(fd, (char *)data + got, len - got, (off_t)(offset + got));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

int fd_line(int fd, char *out, size_t size)
{
    size_t n = 0;
    ssize_t got;
    char c;

    while ((got = read(fd, &c, 1)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (c == '\n') {
            out[n] = 0;
            return 1;
        }
        if (n + 1 == size)
            return -E2BIG;
        out[n++] = c;
    }
    return n ? -EPROTO : 0;
}

int file_write(const char *path, const void *data, size_t len, int mode)
{
    int fd = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, mode);
    int err;

    if (fd < 0)
        return -errno;
    err = write_all(fd, data, len);
    close(fd);
    return err;
}

static int dir_sync(const char *path)
{
    char *dir = str_dup(path), *slash = strrchr(dir, '/');
    int fd, err;

    if (slash)
        *slash = 0;
    fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    err = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    free(dir);
    return err;
}

/* `sync`: also after a crash. */
static int file_put_in_place(const char *path, const void *data, size_t len, int mode, bool sync)
{
    char *fresh = str_fmt("%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode), err;

    err = fd < 0 ? -errno : write_all(fd, data, len);
    if (!err && sync && fsync(fd) < 0)
        err = -errno;
    if (fd >= 0 && close(fd) < 0 && !err)
        err = -errno;
    if (!err && rename(fresh, path) < 0)
        err = -errno;
    if (!err && sync)
        err = dir_sync(path);
    if (err && fd >= 0)
        unlink(fresh);
    free(fresh);
    return err;
}

int file_replace(const char *path, const void *data, size_t len, int mode)
{
    return file_put_in_place(path, data, len, mode, true);
}

int file_renew(const char *path, const void *data, size_t len, int mode)
{
    return file_put_in_place(path, data, len, mode, false);
}

int file_put(const char *path, const char *text)
{
    int fd = openat(AT_FDCWD, path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), err = 0;
    size_t len = strlen(text);
    ssize_t n;

    if (fd < 0)
        return -errno;
    n = write(fd, text, len);
    if (n != (ssize_t)len)
        err = n < 0 ? -errno : -EIO;
    close(fd);
    return err;
}

int dir_make(const char *path, int mode)
{
    char *copy, *slash;
    int err = 0;

    if (mkdir(path, (mode_t)mode) == 0 || errno == EEXIST)
        return 0;
    if (errno != ENOENT)
        return -errno;
    copy = str_dup(path);
    slash = strrchr(copy, '/');
    if (!slash || slash == copy) {
        err = -ENOENT;
    } else {
        *slash = 0;
        err = dir_make(copy, mode);
    }
    free(copy);
    if (err)
        return err;
    return mkdir(path, (mode_t)mode) == 0 || errno == EEXIST ? 0 : -errno;
}

struct dirent *dir_next(DIR *d, int *err)
{
    struct dirent *e;

    *err = d ? 0 : -errno;
    if (!d)
        return NULL;
    do {
        errno = 0;
        e = readdir(d);
    } while (e && (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")));
    *err = e ? 0 : -errno;
    return e;
}

/* A tree being removed. Directories below the top one are moved up into it before they are looked
 * into, under names of ours: so no path gets long, and two descriptors do for any depth. */
struct tree {
    int top;
    char prefix[24]; /* of those names: nothing in the tree is called so */
    unsigned long moved;
    int err; /* the first */
};

static void tree_name(const struct tree *t, unsigned long n, char *out, size_t size)
{
    snprintf(out, size, "%s%lu", t->prefix, n);
}

static void tree_error(struct tree *t, int err)
{
    t->err = t->err ? t->err : err;
}

static void tree_entry(struct tree *t, int dir, const char *name)
{
    char up[64];

    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return;
    if (errno != EISDIR && errno != EPERM) {
        tree_error(t, -errno);
        return;
    }
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
        return;
    if (errno != ENOTEMPTY && errno != EEXIST) {
        tree_error(t, -errno);
        return;
    }
    tree_name(t, t->moved, up, sizeof(up));
    if (renameat(dir, name, t->top, up) < 0)
        tree_error(t, -errno);
    else
        t->moved++;
}

/* Removes or moves up what the directory `fd` holds, and closes it. Names of ours stay. */
static void tree_empty(struct tree *t, int fd)
{
    DIR *dir = fdopendir(fd);
    struct dirent *e;
    int err;

    if (!dir) {
        tree_error(t, -errno);
        close(fd);
        return;
    }
    while ((e = dir_next(dir, &err)))
        if (strncmp(e->d_name, t->prefix, strlen(t->prefix)))
            tree_entry(t, dirfd(dir), e->d_name);
    if (err)
        tree_error(t, err);
    closedir(dir);
}

static int tree_open(int dfd, const char *name)
{
    int fd = openat(dfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static void tree_level(struct tree *t, unsigned long n)
{
    char name[64];
    int fd;

    tree_name(t, n, name, sizeof(name));
    fd = tree_open(t->top, name);
    if (fd >= 0)
        tree_empty(t, fd);
    if (fd < 0 || unlinkat(t->top, name, AT_REMOVEDIR) < 0)
        tree_error(t, fd < 0 ? fd : -errno);
}

int tree_remove(int dfd, const char *name)
{
    struct tree t = {.prefix = ".gone-"};
    int fd;

    if (unlinkat(dfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    t.top = tree_open(dfd, name);
    fd = t.top < 0 ? t.top : tree_open(t.top, ".");
    if (fd < 0) {
        if (t.top >= 0)
            close(t.top);
        return fd;
    }
    random_hex(t.prefix + 6, 16);
    tree_empty(&t, fd);
    for (unsigned long n = 0; n < t.moved; n++)
        tree_level(&t, n);
    close(t.top);
    if (unlinkat(dfd, name, AT_REMOVEDIR) < 0)
        tree_error(&t, -errno);
    return t.err;
}
