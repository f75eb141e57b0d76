// SPDX-License-Identifier: MIT
// What an image has at a path, by its layers' directories in overlay form: for hard links to files
// of lower layers. Whiteouts and opaque directories mean what they mean to the overlay.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/load.h"
#include "lib/str.h"
#include "lib/tar.h"

#define LOWER_LINKS_MAX 40

/* One directory of the merged tree: its parts, the top one first. */
struct lower_dir {
    int part[LAYERS_MAX];
    int n;
};

static struct lower_dir lower_root; /* the bottom one first */

void lower_clear(void)
{
    while (lower_root.n)
        close(lower_root.part[--lower_root.n]);
}

void lower_add(int dir)
{
    lower_root.part[lower_root.n++] = dir; /* an image has LAYERS_MAX at most */
}

static void lower_close(struct lower_dir *d)
{
    while (d->n)
        close(d->part[--d->n]);
}

static void lower_top(struct lower_dir *d)
{
    lower_close(d);
    for (int i = lower_root.n; i-- > 0;) {
        d->part[d->n] = fcntl(lower_root.part[i], F_DUPFD_CLOEXEC, 3);
        d->n += d->part[d->n] >= 0;
    }
}

static bool lower_opaque(int fd)
{
    char value;

    return fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

/* Goes from *d to its directory `name`; what is none is handed out in *other instead. */
static int lower_step(struct lower_dir *d, const char *name, int *other)
{
    struct lower_dir next = {0};
    bool stop = false;

    *other = -1;
    for (int i = 0; i < d->n && !stop; i++) {
        int fd = openat(d->part[i], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0)
            continue;
        stop = fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode);
        if (stop && !next.n && !(S_ISCHR(st.st_mode) && !st.st_rdev)) {
            *other = fd; /* not hidden, and no whiteout */
            if (S_ISREG(st.st_mode)) {
                *other = openat(d->part[i], name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
                close(fd);
            }
            break;
        }
        if (!stop)
            next.part[next.n] = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        if (!stop && next.part[next.n] >= 0)
            stop = lower_opaque(next.part[next.n++]);
    }
    lower_close(d);
    *d = next;
    return next.n || *other >= 0 ? 0 : -ENOENT;
}

/* The path that the link behind `fd` gives for `path`'s first part up to `rest`. */
static char *lower_through(int fd, const char *path, size_t before, const char *rest)
{
    char text[PATH_MAX], *made;
    ssize_t n = readlinkat(fd, "", text, sizeof(text) - 1);

    if (n <= 0 || (size_t)n + strlen(path) > PATH_MAX)
        return NULL;
    text[n] = 0;
    made = *text == '/' ? str_fmt("%s/%s", text, rest)
                        : str_fmt("%.*s/%s/%s", (int)before, path, text, rest);
    return made;
}

/* Walks to the end of `path`, or to a link on the way: then *again is where to go instead. */
static int lower_walk(const char *path, char **again)
{
    struct lower_dir d = {0};
    int other = -1, err = 0;

    *again = NULL;
    lower_top(&d);
    for (const char *p = path; *p && !err && other < 0;) {
        size_t n = strcspn(p, "/");
        char *name = str_dupn(p, n);
        const char *rest = p + n + (p[n] == '/');
        struct stat st;

        err = n ? lower_step(&d, name, &other) : 0;
        free(name);
        if (other >= 0 && *rest) {
            err = -ENOTDIR;
            if (fstat(other, &st) == 0 && S_ISLNK(st.st_mode))
                *again = lower_through(other, path, (size_t)(p - path), rest);
            close(other);
            other = -1;
        }
        p = rest;
    }
    lower_close(&d);
    return err ? err : other >= 0 ? other : -EISDIR;
}

int lower_open(const char *path, char **where)
{
    char *at = str_dup(path), *again;
    int fd = -ELOOP;

    for (int links = 0; links < LOWER_LINKS_MAX; links++) {
        tar_name_clean(at);
        fd = lower_walk(at, &again);
        if (!again)
            break;
        free(at);
        at = again;
        fd = -ELOOP;
    }
    if (fd >= 0)
        *where = at;
    else
        free(at);
    return fd;
}
