// SPDX-License-Identifier: MIT
// Control groups that go: killed, waited for and removed with all below them, of any depth.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "lib/str.h"

#define CGROUP_TRIES 1000 /* with CGROUP_TRY_US between them: ten seconds */
#define CGROUP_TRY_US 10000
#define SWEEP_TRIES 100 /* a second, for all groups: clients wait until the engine serves */

/* The first group below `fd`: false when there is none. */
static bool cgroup_child(int fd, char *name, size_t size)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = again < 0 ? NULL : fdopendir(again);
    struct dirent *e;
    bool found = false;
    int err; /* then the caller meets a group in use, and comes again */

    while (d && !found && (e = dir_next(d, &err))) {
        found = e->d_type == DT_DIR;
        if (found)
            snprintf(name, size, "%s", e->d_name);
    }
    if (d)
        closedir(d);
    else if (again >= 0)
        close(again);
    return found;
}

static int cgroup_step(int *fd, const char *name)
{
    int next = openat(*fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (next < 0)
        return -errno;
    close(*fd);
    *fd = next;
    return 0;
}

/* Removes the groups below `dir`, of any depth, deepest first: -EBUSY when one is in use, -errno.
 */
static int cgroup_prune(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
    bool emptied = false; /* the first child here has no children any more */
    unsigned long depth = 0;
    char name[256];

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    while (!err) {
        if (!cgroup_child(fd, name, sizeof(name))) {
            if (!depth)
                break;
            err = cgroup_step(&fd, "..");
            depth--;
            emptied = true;
        } else if (unlinkat(fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
            emptied = false;
        } else if (emptied) {
            err = -errno;
        } else {
            err = cgroup_step(&fd, name);
            depth++;
        }
    }
    close(fd);
    return err;
}

/* Waits for a lease that one of its processes has on the file, as the kernel bounds that: workers
 * come here, and the engine before it serves and after. */
static void cgroup_path_kill(const char *dir)
{
    char *path = str_fmt("%s/cgroup.kill", dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        write_all(fd, "1", 1);
        close(fd);
    }
    free(path);
}

/* With at least one try; the others are taken from *tries. */
static int cgroup_tree_try(const char *dir, int *tries)
{
    int err;

    for (;;) {
        cgroup_path_kill(dir); /* what came in by a back door meanwhile, too */
        err = cgroup_prune(dir);
        if (!err && rmdir(dir) < 0 && errno != ENOENT)
            err = -errno;
        if (err != -EBUSY || *tries <= 0)
            return err;
        --*tries;
        usleep(CGROUP_TRY_US); /* its processes are dying */
    }
}

int cgroup_tree_remove(const char *dir)
{
    int tries = CGROUP_TRIES;

    return cgroup_tree_try(dir, &tries);
}

void cgroup_sweep(bool (*keep)(const char *name), void (*stays)(const char *name, const char *path))
{
    char *dir = str_fmt("%s/bothy", engine.cgroup_root);
    int tries = stays ? SWEEP_TRIES : CGROUP_TRIES, err;
    DIR *d = opendir(dir);
    struct dirent *e;

    while ((e = dir_next(d, &err))) {
        char *path;

        if (e->d_type != DT_DIR || *e->d_name == '.' || (keep && keep(e->d_name)))
            continue;
        path = str_fmt("%s/%s", dir, e->d_name);
        err = cgroup_tree_try(path, &tries);
        if (err)
            engine_log("%s of an earlier engine stays: %s", path, strerror(-err));
        if (err && stays)
            stays(e->d_name, path);
        free(path);
    }
    if (err && err != -ENOENT)
        engine_log("%s: %s: groups of an earlier engine may stay", dir, strerror(-err));
    if (d)
        closedir(d);
    free(dir);
}
