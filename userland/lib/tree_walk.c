// SPDX-License-Identifier: MIT
// Whole trees; see tree_walk.h.
#include "lib/tree_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/str.h"

#define TREE_LINKS_MAX 1000000
#define TREE_NO_SYMLINKS 4 /* RESOLVE_NO_SYMLINKS of openat2(2) */

/* Where it is, or would be. */
static struct tree_link *tree_links_place(const struct tree_links *t, dev_t dev, ino_t ino)
{
    size_t i = (size_t)((ino * 0x9e3779b97f4a7c15ull) >> 32) & (t->places - 1);

    while (t->place[i].path && (t->place[i].ino != ino || t->place[i].dev != dev))
        i = (i + 1) & (t->places - 1);
    return &t->place[i];
}

static void tree_links_grow(struct tree_links *t)
{
    struct tree_link *old = t->place;
    size_t n = t->places;

    t->places = n ? 2 * n : 256;
    t->place = mem_alloc(t->places * sizeof(*old));
    for (size_t i = 0; i < n; i++)
        if (old[i].path)
            *tree_links_place(t, old[i].dev, old[i].ino) = old[i];
    free(old);
}

int tree_links_find(struct tree_links *t, const struct stat *st, const char *path,
                    const char **first)
{
    struct tree_link *l;

    if (t->count * 2 >= t->places)
        tree_links_grow(t);
    l = tree_links_place(t, st->st_dev, st->st_ino);
    *first = l->path;
    if (l->path)
        return 0;
    if (t->count == TREE_LINKS_MAX)
        return -EMLINK;
    *l = (struct tree_link){st->st_dev, st->st_ino, str_dup(path)};
    t->count++;
    return 0;
}

void tree_links_free(struct tree_links *t)
{
    for (size_t i = 0; i < t->places; i++)
        free(t->place[i].path);
    free(t->place);
    *t = (struct tree_links){0};
}

int tree_dir_open(int top, const char *path)
{
    struct {
        uint64_t flags, mode, resolve;
    } how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = TREE_NO_SYMLINKS};
    int fd = (int)syscall(SYS_openat2, top, *path ? path : ".", &how, sizeof(how));

    return fd < 0 ? -errno : fd;
}

int tree_names(int dir, struct buf *names)
{
    int fd = tree_dir_open(dir, ""), err;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d) {
        err = fd < 0 ? fd : -errno;
        if (fd >= 0)
            close(fd);
        return err;
    }
    while ((e = dir_next(d, &err)))
        buf_add(names, e->d_name, strlen(e->d_name) + 1);
    buf_char(names, 0);
    closedir(d);
    return err;
}
