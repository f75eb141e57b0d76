// SPDX-License-Identifier: MIT
// One layer tar becomes a directory tree in overlay form.
//
// The tar is hostile until proven otherwise. Every parent is opened component by component without
// following links, so nothing can be written outside the tree; names with "..", absolute names and
// device entries are refused. OCI whiteouts: ".wh.NAME" becomes a 0:0 character device NAME, and
// ".wh..wh..opq" the attribute trusted.overlay.opaque on its directory.
#include "engine/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/str.h"
#include "lib/tar.h"

#define UNPACK_ENTRIES_MAX 2000000

struct dir_time {
    struct dir_time *next;
    char *name;
    struct timespec mtime;
};

static struct {
    const char *layer;
    int root;
    struct tar tar;
    struct dir_time *times; /* set at the end, when nothing changes the directories any more */
} unpack;

_Noreturn static void unpack_fail(const char *what)
{
    load_fail("layer %s: entry \"%s\": %s", unpack.layer, unpack.tar.entry.name, what);
}

/* Opens directory `name` below `dir` without following a link; creates it when missing. */
static int unpack_enter(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT) {
        if (mkdirat(dir, name, 0755) < 0)
            unpack_fail(strerror(errno));
        fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        unpack_fail("a parent of it is not a directory");
    if (fd < 0)
        unpack_fail(strerror(errno));
    return fd;
}

/* The directory that holds `path`, and its last component. */
static int unpack_parent(char *path, char **last)
{
    int fd = dup(unpack.root);
    char *slash;

    if (fd < 0)
        unpack_fail(strerror(errno));
    while ((slash = strchr(path, '/'))) {
        int next;

        *slash = 0;
        next = unpack_enter(fd, path);
        close(fd);
        fd = next;
        path = slash + 1;
    }
    *last = path;
    return fd;
}

static void unpack_attributes(int dir, const char *name)
{
    struct tar_entry *e = &unpack.tar.entry;
    struct timespec times[2] = {e->mtime, e->mtime};

    if (fchownat(dir, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
        unpack_fail(strerror(errno));
    if (e->type != TAR_SYMLINK && fchmodat(dir, name, e->mode, 0) < 0)
        unpack_fail(strerror(errno));
    if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOSYS)
        unpack_fail(strerror(errno));
}

/* Attributes that this file system does not keep are dropped; ones that steer the overlay are
 * never taken from a tar. */
static void unpack_xattrs(int fd)
{
    struct tar_entry *e = &unpack.tar.entry;

    for (int i = 0; i < e->xattrs; i++) {
        if (str_starts(e->xattr[i].name, "trusted.overlay.") ||
            str_starts(e->xattr[i].name, "user.overlay."))
            continue;
        if (fsetxattr(fd, e->xattr[i].name, e->xattr[i].value, e->xattr[i].len, 0) < 0 &&
            errno != ENOTSUP && errno != EPERM && errno != ENOSYS)
            unpack_fail(strerror(errno));
    }
}

static void unpack_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    static char data[65536];
    ssize_t n;

    if (fd < 0)
        unpack_fail(strerror(errno));
    while ((n = tar_read(&unpack.tar, data, sizeof(data))) > 0)
        if (write_all(fd, data, (size_t)n))
            unpack_fail(strerror(errno));
    if (n < 0)
        unpack_fail(unpack.tar.why);
    unpack_xattrs(fd);
    close(fd);
}

static void unpack_dir(int dir, const char *name)
{
    struct tar_entry *e = &unpack.tar.entry;
    struct dir_time *t;
    struct stat st;
    int fd;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode) &&
        unlinkat(dir, name, 0) < 0)
        unpack_fail(strerror(errno));
    if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
        unpack_fail(strerror(errno));
    if (e->xattrs) {
        fd = unpack_enter(dir, name);
        unpack_xattrs(fd);
        close(fd);
    }
    t = mem_alloc(sizeof(*t));
    t->name = str_dup(e->name);
    t->mtime = e->mtime;
    t->next = unpack.times;
    unpack.times = t;
}

static void unpack_hardlink(int dir, const char *name)
{
    char *target = str_dup(unpack.tar.entry.link), *last;
    const char *bad = tar_name_check(target);
    struct stat st;
    int from;

    if (bad)
        unpack_fail(bad);
    from = unpack_parent(target, &last);
    if (fstatat(from, last, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
        unpack_fail("hard link to something that is not in the layer");
    if (linkat(from, last, dir, name, 0) < 0)
        unpack_fail(strerror(errno));
    close(from);
    free(target);
}

static void unpack_whiteout(int dir, const char *name)
{
    if (!strcmp(name, ".wh..wh..opq")) {
        if (fsetxattr(dir, "trusted.overlay.opaque", "y", 1, 0) < 0)
            unpack_fail(strerror(errno));
        return;
    }
    if (str_starts(name, ".wh..wh."))
        return; /* aufs bookkeeping */
    name += 4;
    if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
        unpack_fail("bad whiteout");
    /* a whiteout hides the lower layers' name only: one that this layer makes stays */
    if (mknodat(dir, name, S_IFCHR, makedev(0, 0)) < 0 && errno != EEXIST)
        unpack_fail(strerror(errno));
}

/* What an earlier entry of the same layer put there gives way, as in tar itself. */
static void unpack_replace(int dir, const char *name)
{
    if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        unpack_fail(errno == EISDIR || errno == EPERM ? "replaces a directory" : strerror(errno));
}

static void unpack_entry(void)
{
    struct tar_entry *e = &unpack.tar.entry;
    const char *bad = tar_name_check(e->name);
    char *path, *name;
    int dir;

    if (bad)
        unpack_fail(bad);
    if (e->type == TAR_CHAR || e->type == TAR_BLOCK)
        unpack_fail("device entries are not allowed");
    if (!*e->name) { /* "./": the root itself */
        if (e->type != TAR_DIR)
            unpack_fail("bad name");
        unpack_attributes(unpack.root, ".");
        return;
    }
    path = str_dup(e->name);
    dir = unpack_parent(path, &name);
    if (str_starts(name, ".wh.")) {
        unpack_whiteout(dir, name);
        goto out;
    }
    if (e->type != TAR_DIR)
        unpack_replace(dir, name);
    switch (e->type) {
    case TAR_FILE:
        unpack_file(dir, name);
        break;
    case TAR_DIR:
        unpack_dir(dir, name);
        break;
    case TAR_SYMLINK:
        if (!*e->link || symlinkat(e->link, dir, name) < 0)
            unpack_fail(*e->link ? strerror(errno) : "empty symbolic link");
        break;
    case TAR_HARDLINK:
        unpack_hardlink(dir, name);
        goto out; /* attributes are the target's */
    case TAR_FIFO:
        if (mknodat(dir, name, S_IFIFO | 0600, 0) < 0)
            unpack_fail(strerror(errno));
        break;
    default:
        unpack_fail("entry type is not supported");
    }
    unpack_attributes(dir, name);
out:
    close(dir);
    free(path);
}

static void unpack_times(void)
{
    while (unpack.times) {
        struct dir_time *t = unpack.times;
        struct timespec times[2] = {t->mtime, t->mtime};

        utimensat(unpack.root, t->name, times, AT_SYMLINK_NOFOLLOW);
        unpack.times = t->next;
        free(t->name);
        free(t);
    }
}

void unpack_layer(struct source *from, const char *dir, const char *name)
{
    unsigned count = 0;
    int n;

    unpack.layer = name;
    if (mkdir(dir, 0755) < 0)
        load_fail("cannot create %s: %s", dir, strerror(errno));
    unpack.root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (unpack.root < 0)
        load_fail("cannot open %s: %s", dir, strerror(errno));
    tar_init(&unpack.tar, from);
    while ((n = tar_next(&unpack.tar)) > 0) {
        if (++count > UNPACK_ENTRIES_MAX)
            load_fail("layer %s: more than %d entries", name, UNPACK_ENTRIES_MAX);
        unpack_entry();
    }
    if (n < 0)
        load_fail("layer %s: %s (at byte %llu)", name, unpack.tar.why,
                  (unsigned long long)unpack.tar.at);
    tar_free(&unpack.tar);
    unpack_times();
    close(unpack.root);
}
