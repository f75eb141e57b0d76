// SPDX-License-Identifier: MIT
// What volumes and containers take; see usage.h. The worker's report has a line "KIND NAME BYTES"
// for each.
#include "engine/usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/job.h"
#include "lib/map.h"
#include "lib/str.h"
#include "lib/tree_walk.h"

struct usage {
    struct map sizes; /* of "KIND NAME": its line */
};

struct usage_asked {
    void (*done)(void *arg, const struct usage *u);
    void *arg;
};

int64_t usage_of(const struct usage *u, const char *kind, const char *name)
{
    char *key = str_fmt("%s %s", kind, name);
    const char *size = map_find(&u->sizes, key);

    free(key);
    return size ? strtoll(size, NULL, 10) : -1;
}

static void usage_done(struct job *j, const char *error)
{
    struct usage_asked *asked = j->owner;
    struct usage u = {0};
    char *line, *next = j->report.data;

    while (!error && next && (line = strsep(&next, "\n")) && *line) {
        char *size = strrchr(line, ' ');

        if (size) {
            *size = 0;
            map_put(&u.sizes, line, size + 1);
        }
    }
    asked->done(asked->arg, &u);
    map_free(&u.sizes);
    free(asked);
}

void usage_ask(void (*done)(void *arg, const struct usage *u), void *arg)
{
    struct usage_asked *asked = mem_alloc(sizeof(*asked));

    *asked = (struct usage_asked){done, arg};
    job_new(asked, usage_done, 0, "usage", engine.root, NULL);
}

/* ---- the worker ------------------------------------------------------------------------------ */

#define USAGE_DIRS_MAX (64u << 20) /* bytes of names of directories that wait */

/* Directories that are still to be looked into, by their paths from the top. */
struct walk {
    int top;
    struct buf dirs; /* each ended by a NUL, the last one first to be taken */
    struct tree_links seen;
    int64_t bytes;
};

static void walk_entry(struct walk *w, int dir, const char *path, const char *name)
{
    char *whole = str_fmt("%s%s%s", path, *path ? "/" : "", name);
    const char *first = NULL;
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(st.st_mode) && w->dirs.len + strlen(whole) < USAGE_DIRS_MAX)
            buf_add(&w->dirs, whole, strlen(whole) + 1);
        if (st.st_nlink > 1 && !S_ISDIR(st.st_mode))
            tree_links_find(&w->seen, &st, whole, &first);
        if (!S_ISDIR(st.st_mode) && !first)
            w->bytes += st.st_size;
    }
    free(whole);
}

/* The last path of the list, taken off it. */
static char *walk_take(struct walk *w)
{
    size_t at = w->dirs.len - 1;
    char *path;

    while (at && w->dirs.data[at - 1])
        at--;
    path = str_dup(w->dirs.data + at);
    w->dirs.len = at;
    return path;
}

/* What cannot be looked into is not counted. */
static int64_t usage_tree(const char *path)
{
    struct walk w = {.top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};

    if (w.top < 0)
        return 0;
    buf_char(&w.dirs, 0);
    while (w.dirs.len) {
        char *at = walk_take(&w);
        int dir = tree_dir_open(w.top, at);
        struct buf names = {0};

        if (dir >= 0 && tree_names(dir, &names) == 0)
            for (char *name = names.data; *name; name += strlen(name) + 1)
                walk_entry(&w, dir, at, name);
        if (dir >= 0)
            close(dir);
        buf_free(&names);
        free(at);
    }
    close(w.top);
    buf_free(&w.dirs);
    tree_links_free(&w.seen);
    return w.bytes;
}

static int usage_of_all(const char *root, const char *dir, const char *below, const char *kind)
{
    char *path = str_fmt("%s/%s", root, dir);
    DIR *d = opendir(path);
    struct dirent *e;
    int err = 0, end = 0;

    while (!err && (e = dir_next(d, &end))) {
        char *tree = str_fmt("%s/%s/%s", path, e->d_name, below), *line;

        if (*e->d_name != '.') {
            line = str_fmt("%s %s %lld\n", kind, e->d_name, (long long)usage_tree(tree));
            err = write_all(1, line, strlen(line));
            free(line);
        }
        free(tree);
    }
    if (d)
        closedir(d);
    free(path);
    return err || end == -ENOENT ? err : end;
}

int worker_usage(char **argv)
{
    return usage_of_all(argv[0], "volumes", "_data", "volume") ||
           usage_of_all(argv[0], "containers", "upper", "container");
}
