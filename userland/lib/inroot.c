// SPDX-License-Identifier: MIT
// The walk below a root; see inroot.h.
#include "lib/inroot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/buf.h"

#define INROOT_LINKS_MAX 40
#define INROOT_DEPTH_MAX 256 /* descriptors held for ".." */

struct inroot {
    int stack[INROOT_DEPTH_MAX]; /* directories from the root to where we are */
    int depth;                   /* stack[depth - 1] is where we are */
    char *rest;                  /* what is still to be walked */
    char *at;                    /* within rest */
    int links;
    enum inroot_want want;
};

static void inroot_pop(struct inroot *w, int depth)
{
    while (w->depth > depth)
        close(w->stack[--w->depth]);
}

static int inroot_push(struct inroot *w, int fd)
{
    if (w->depth == INROOT_DEPTH_MAX) {
        close(fd);
        return -ENAMETOOLONG;
    }
    w->stack[w->depth++] = fd;
    return 0;
}

/* Where we are, for the caller. */
static int inroot_here(const struct inroot *w)
{
    int fd = fcntl(w->stack[w->depth - 1], F_DUPFD_CLOEXEC, 3);

    return fd < 0 ? -errno : fd;
}

/* The next component, or NULL at the end. *last: nothing but slashes and dots follow. */
static char *inroot_next(struct inroot *w, bool *last)
{
    char *part;

    w->at += strspn(w->at, "/");
    if (!*w->at)
        return NULL;
    part = w->at;
    w->at += strcspn(w->at, "/");
    if (*w->at)
        *w->at++ = 0;
    for (*last = true; *last && *w->at;) { /* "a/./" ends with "a" */
        size_t slashes = strspn(w->at, "/"), n = strcspn(w->at + slashes, "/");

        if (!n || (n == 1 && w->at[slashes] == '.'))
            w->at += slashes + n;
        else
            *last = false;
    }
    return part;
}

/* openat2(2)'s RESOLVE_ bits */
#define INROOT_NO_MAGICLINKS 0x02
#define INROOT_NO_SYMLINKS 0x04
#define INROOT_IN_ROOT 0x10

/* An O_PATH descriptor, or -1 with errno: ENOSYS on an old kernel. */
static int inroot_openat2(int dir, const char *path, uint64_t resolve)
{
    struct {
        uint64_t flags, mode, resolve;
    } how = {.flags = O_PATH | O_CLOEXEC, .resolve = resolve};

    return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* Whether the link `name` is one of those in /proc that are not what they read as. */
static bool inroot_is_magic(int dir, const char *name, int fd)
{
    struct statfs fs;
    int to;

    if (fstatfs(fd, &fs) < 0 || fs.f_type != 0x9fa0) /* PROC_SUPER_MAGIC */
        return false;
    to = inroot_openat2(dir, name, INROOT_NO_MAGICLINKS);
    if (to >= 0)
        close(to);
    return to < 0 && errno == ELOOP;
}

/* Goes on with what the link `name`, which is open as `fd`, says. */
static int inroot_link(struct inroot *w, const char *name, int fd)
{
    char text[PATH_MAX], *rest;
    ssize_t n = readlinkat(fd, "", text, sizeof(text) - 1);

    if (n < 0)
        return -errno;
    if (inroot_is_magic(w->stack[w->depth - 1], name, fd))
        return -ELOOP;
    if (++w->links > INROOT_LINKS_MAX)
        return -ELOOP;
    text[n] = 0;
    if (!n || (size_t)n + strlen(w->at) > PATH_MAX)
        return n ? -ENAMETOOLONG : -ENOENT;
    rest = str_fmt("%s/%s", text, w->at);
    free(w->rest);
    w->rest = w->at = rest;
    if (*text == '/')
        inroot_pop(w, 1);
    return 0;
}

static int inroot_make(struct inroot *w, const char *name, bool last)
{
    int dir = w->stack[w->depth - 1], fd;

    if (w->want == INROOT_FIND)
        return -ENOENT;
    if (!last || w->want != INROOT_MAKE_FILE)
        return mkdirat(dir, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
    fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno != EEXIST ? -errno : 0;
}

/* One component: 0, or -errno; what is no directory and comes last is handed out in *end. */
static int inroot_step(struct inroot *w, const char *name, bool last, int *end)
{
    int dir = w->stack[w->depth - 1], fd, err;
    struct stat st;

    fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        err = inroot_make(w, name, last);
        if (err)
            return err;
        fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0 || fstat(fd, &st) < 0) {
        err = -errno;
        if (fd >= 0)
            close(fd);
        return err;
    }
    if (S_ISDIR(st.st_mode))
        return inroot_push(w, fd);
    if (S_ISLNK(st.st_mode)) {
        err = inroot_link(w, name, fd);
        close(fd);
        return err;
    }
    if (last) {
        *end = fd;
        return 0;
    }
    close(fd);
    return -ENOTDIR;
}

static int inroot_walk(struct inroot *w, char **name)
{
    bool last = false;
    char *part;
    int err, end = -1;

    while ((part = inroot_next(w, &last))) {
        bool up = !strcmp(part, "..");

        if (!strcmp(part, "."))
            continue;
        if (last && w->want == INROOT_PARENT) {
            *name = str_dup(part);
            return up ? -EINVAL : inroot_here(w);
        }
        if (up) {
            inroot_pop(w, w->depth > 1 ? w->depth - 1 : 1);
            continue;
        }
        err = inroot_step(w, part, last, &end);
        if (err)
            return err;
        if (end >= 0)
            return end;
    }
    return w->want == INROOT_PARENT ? -EINVAL : inroot_here(w);
}

int inroot_straight(int root, const char *path)
{
    return inroot_openat2(root, path, INROOT_IN_ROOT | INROOT_NO_SYMLINKS);
}

int inroot_open(int root, const char *path, enum inroot_want want, char **last)
{
    struct inroot w = {.want = want};
    char *name = NULL;
    int fd = want == INROOT_PARENT ? -1 : inroot_straight(root, path);

    if (fd >= 0) /* as nearly always */
        return fd;
    w.rest = str_dup(path);
    fd = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        free(w.rest);
        return -errno;
    }
    w.at = w.rest;
    inroot_push(&w, fd);
    fd = inroot_walk(&w, &name);
    inroot_pop(&w, 0);
    free(w.rest);
    if (fd >= 0 && last)
        *last = name;
    else
        free(name);
    return fd;
}
