// SPDX-License-Identifier: MIT
// Whole small files and whole trees; declared in str.h.
#include "lib/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read(const char *path, size_t max, struct buf *out)
{
    int fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC), err = 0;

    if (fd < 0)
        return -errno;
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

int file_write(const char *path, const void *data, size_t len, int mode)
{
    int fd = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode), err;

    if (fd < 0)
        return -errno;
    err = write_all(fd, data, len);
    close(fd);
    return err;
}

int file_put(const char *path, const char *text)
{
    int fd = openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC), err = 0;
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

/* Empties the directory behind `fd`, which it takes. */
static int tree_empty(int fd)
{
    DIR *dir = fdopendir(fd);
    struct dirent *e;
    int err = 0, one;

    if (!dir) {
        close(fd);
        return -errno;
    }
    while ((e = readdir(dir))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        one = tree_remove(dirfd(dir), e->d_name);
        err = err ? err : one;
    }
    closedir(dir);
    return err;
}

int tree_remove(int dfd, const char *name)
{
    int fd, err;

    if (unlinkat(dfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    fd = openat(dfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    err = tree_empty(fd);
    if (unlinkat(dfd, name, AT_REMOVEDIR) < 0 && !err)
        err = -errno;
    return err;
}
