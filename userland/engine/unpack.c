// SPDX-License-Identifier: MIT
// One layer tar becomes a directory tree in overlay form.
//
// The tar is hostile until proven otherwise. Names are cleaned as Docker cleans them and resolved
// below the layer's own directory, links included, so nothing can be written outside of it. Devices
// are made: what a container may do with one, its control group's device filter decides. OCI
// whiteouts: ".wh.NAME" becomes a 0:0 character device NAME, and ".wh..wh..opq" the attribute
// trusted.overlay.opaque on its directory. A hard link to a file of a lower layer brings that file
// up first, as the overlay would.
#include "engine/load.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/inroot.h"
#include "lib/str.h"
#include "lib/tar.h"

#define UNPACK_ENTRIES_MAX 2000000
#define UNPACK_BARE_MAX (4ull << 30) /* bytes of a tar beside the content of its files */
#define UNPACK_ENTRY 1024            /* what a name and an inode may cost, where they are memory */
#define UNPACK_PAGE 4096

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
    bool raised;            /* something of the layers below */
    struct skeleton *skeleton;
    uint64_t content, bare; /* where the last one's content ends; bytes so far that are none's */
} unpack;

_Noreturn static void unpack_fail(const char *what)
{
    load_fail("layer %s: entry \"%s\": %s", unpack.layer, unpack.tar.entry.name, what);
}

/* The directory that holds `path`, and its last component, to be freed. */
static int unpack_parent(const char *path, char **last)
{
    int fd = inroot_open(unpack.root, path, INROOT_PARENT, last);

    if (fd == -ENOTDIR || fd == -ELOOP)
        unpack_fail("a parent of it is not a directory");
    if (fd < 0)
        unpack_fail(strerror(-fd));
    return fd;
}

/* Attributes that this file system does not keep are dropped; ones that steer the overlay are
 * never taken from a tar. */
static void unpack_xattr(int fd, const char *name, const char *value, size_t len)
{
    if (str_starts(name, "trusted.overlay.") || str_starts(name, "user.overlay."))
        return;
    load_take(len, unpack.layer);
    if (fsetxattr(fd, name, value, len, 0) < 0 && errno != ENOTSUP && errno != EPERM &&
        errno != ENOSYS)
        unpack_fail(strerror(errno));
}

static void unpack_xattrs(int dir, const char *name)
{
    struct tar_entry *e = &unpack.tar.entry;
    int fd;

    if (!e->xattrs || (e->type != TAR_FILE && e->type != TAR_DIR))
        return;
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        unpack_fail(strerror(errno));
    for (int i = 0; i < e->xattrs; i++)
        unpack_xattr(fd, e->xattr[i].name, e->xattr[i].value, e->xattr[i].len);
    close(fd);
}

static void unpack_owner(int dir, const char *name, uint32_t uid, uint32_t gid)
{
    if (fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        unpack_fail(strerror(errno));
}

static void unpack_time(int dir, const char *name, struct timespec mtime)
{
    struct timespec times[2] = {mtime, mtime};

    if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOSYS)
        unpack_fail(strerror(errno));
}

/* The owner first: changing it takes file capabilities and set-id bits away. */
static void unpack_attributes(int dir, const char *name)
{
    struct tar_entry *e = &unpack.tar.entry;

    unpack_owner(dir, name, e->uid, e->gid);
    unpack_xattrs(dir, name);
    if (e->type != TAR_SYMLINK && fchmodat(dir, name, e->mode, 0) < 0)
        unpack_fail(strerror(errno));
    unpack_time(dir, name, e->mtime);
}

/* Bytes at their place: what lies between stays a hole. */
static void unpack_write(int fd, const char *data, size_t len, uint64_t offset)
{
    load_take(len, unpack.layer);
    while (len) {
        ssize_t n = pwrite(fd, data, len, (off_t)offset);

        if (n < 0)
            unpack_fail(strerror(errno));
        data += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
}

static int unpack_create(int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        unpack_fail(strerror(errno));
    load_take(UNPACK_PAGE, unpack.layer); /* the last page is whole */
    return fd;
}

static void unpack_file(int dir, const char *name)
{
    int fd = unpack_create(dir, name);
    static char data[65536];
    uint64_t offset;
    ssize_t n;

    if (!unpack.tar.entry.sparse)
        skeleton_file(unpack.skeleton, unpack.tar.entry.name, unpack.tar.entry.size);
    while ((n = tar_read(&unpack.tar, data, sizeof(data), &offset)) > 0)
        unpack_write(fd, data, (size_t)n, offset);
    if (n < 0)
        unpack_fail(unpack.tar.why);
    if (unpack.tar.entry.sparse && ftruncate(fd, (off_t)unpack.tar.entry.size) < 0)
        unpack_fail(strerror(errno));
    close(fd);
}

static void unpack_dir(int dir, const char *name)
{
    struct tar_entry *e = &unpack.tar.entry;
    struct dir_time *t;
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)) {
        unpack.skeleton->spoiled = true;
        if (unlinkat(dir, name, 0) < 0)
            unpack_fail(strerror(errno));
    }
    if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
        unpack_fail(strerror(errno));
    t = mem_alloc(sizeof(*t));
    t->name = str_dup(e->name);
    t->mtime = e->mtime;
    t->next = unpack.times;
    unpack.times = t;
}

static void unpack_device(int dir, const char *name)
{
    struct tar_entry *e = &unpack.tar.entry;
    mode_t type = e->type == TAR_CHAR ? S_IFCHR : e->type == TAR_BLOCK ? S_IFBLK : S_IFIFO;

    if (mknodat(dir, name, type | 0600, makedev(e->major, e->minor)) < 0)
        unpack_fail(strerror(errno));
}

/* The content and attributes of the lower layers' file `from`. */
static void unpack_copy(int dir, const char *name, int from)
{
    int fd = unpack_create(dir, name);
    static char data[65536], names[65536];
    uint64_t at = 0;
    ssize_t n, len;

    while ((n = read_at(from, data, sizeof(data), at)) > 0) {
        unpack_write(fd, data, (size_t)n, at);
        at += (uint64_t)n;
    }
    if (n < 0)
        unpack_fail(strerror((int)-n));
    len = flistxattr(from, names, sizeof(names));
    for (const char *x = names; len > 0 && x < names + len; x += strlen(x) + 1) {
        n = fgetxattr(from, x, data, sizeof(data));
        if (n >= 0)
            unpack_xattr(fd, x, data, (size_t)n);
    }
    close(fd);
}

static void unpack_copy_link(int dir, const char *name, int from)
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(from, "", text, sizeof(text) - 1);

    if (n < 0)
        unpack_fail(strerror(errno));
    text[n] = 0;
    if (symlinkat(text, dir, name) < 0)
        unpack_fail(strerror(errno));
}

/* Whether this layer has something at `path`. */
static bool unpack_has(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = slash ? str_dupn(path, (size_t)(slash - path)) : str_dup(".");
    int fd = inroot_open(unpack.root, parent, INROOT_FIND, NULL);
    struct stat st;
    bool has = fd >= 0 && fstatat(fd, slash ? slash + 1 : path, &st, AT_SYMLINK_NOFOLLOW) == 0;

    if (fd >= 0)
        close(fd);
    free(parent);
    return has;
}

/* Brings what the lower layers have at `path` up; *where is its path without links. */
static void unpack_raise(const char *path, char **where)
{
    int fd = lower_open(path, where), dir;
    struct stat st;
    char *name;

    unpack.raised = true; /* also what it would not have raised on top of others */
    if (fd < 0 || fstat(fd, &st) < 0)
        unpack_fail("hard link to something that is not in the image");
    if (unpack_has(*where)) { /* by another way, or raised before */
        close(fd);
        return;
    }
    dir = unpack_parent(*where, &name);
    if (S_ISREG(st.st_mode)) {
        unpack_copy(dir, name, fd);
    } else if (S_ISLNK(st.st_mode)) {
        unpack_copy_link(dir, name, fd);
    } else if (mknodat(dir, name, st.st_mode, st.st_rdev) < 0) {
        unpack_fail(strerror(errno));
    }
    unpack_owner(dir, name, st.st_uid, st.st_gid);
    if (!S_ISLNK(st.st_mode) && fchmodat(dir, name, st.st_mode & 07777, 0) < 0)
        unpack_fail(strerror(errno));
    unpack_time(dir, name, st.st_mtim);
    close(fd);
    close(dir);
    free(name);
}

static void unpack_hardlink(int dir, const char *name)
{
    char *target = str_dup(unpack.tar.entry.link), *where = NULL, *last;
    struct stat st;
    int from;

    tar_name_clean(target);
    if (!*target)
        unpack_fail("hard link to a directory");
    if (!unpack_has(target))
        unpack_raise(target, &where);
    from = unpack_parent(where ? where : target, &last);
    if (fstatat(from, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
        unpack_fail(strerror(errno));
    if (S_ISDIR(st.st_mode))
        unpack_fail("hard link to a directory");
    if (S_ISCHR(st.st_mode) && !st.st_rdev)
        unpack_fail("hard link to something that is not in the image");
    if (linkat(from, last, dir, name, 0) < 0)
        unpack_fail(strerror(errno));
    close(from);
    free(last);
    free(where);
    free(target);
}

static void unpack_whiteout(int dir, const char *name)
{
    if (!strcmp(name, ".wh..wh..opq")) {
        int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
            unpack_fail(strerror(errno));
        close(fd);
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

/* What an earlier entry of the same layer put there gives way, as in Docker: a whole tree too. */
static void unpack_replace(int dir, const char *name)
{
    struct stat st;
    int err;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return;
    unpack.skeleton->spoiled = true;
    err = tree_remove(dir, name);
    if (err)
        unpack_fail(strerror(-err));
}

static void unpack_content(int dir, const char *name)
{
    struct tar_entry *e = &unpack.tar.entry;

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
        return; /* attributes are the target's */
    case TAR_CHAR:
    case TAR_BLOCK:
    case TAR_FIFO:
        unpack_device(dir, name);
        break;
    }
    unpack_attributes(dir, name);
}

static void unpack_entry(void)
{
    struct tar_entry *e = &unpack.tar.entry;
    char *name;
    int dir;

    load_take(UNPACK_ENTRY + strlen(e->name), unpack.layer);
    tar_name_clean(e->name);
    if (!*e->name) { /* "./": the root itself */
        if (e->type != TAR_DIR)
            unpack_fail("bad name");
        unpack_attributes(unpack.root, ".");
        if (fsetxattr(unpack.root, LAYER_ROOT_MARK, "y", 1, 0) < 0)
            unpack_fail(strerror(errno));
        return;
    }
    dir = unpack_parent(e->name, &name);
    if (str_starts(name, ".wh.")) {
        unpack_whiteout(dir, name);
    } else {
        if (e->type != TAR_DIR)
            unpack_replace(dir, name);
        unpack_content(dir, name);
    }
    close(dir);
    free(name);
}

static void unpack_times(void)
{
    while (unpack.times) {
        struct dir_time *t = unpack.times;
        struct timespec times[2] = {t->mtime, t->mtime};
        char *name;
        int dir = inroot_open(unpack.root, t->name, INROOT_PARENT, &name);

        if (dir >= 0) {
            utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
            close(dir);
            free(name);
        }
        unpack.times = t->next;
        free(t->name);
        free(t);
    }
}

/* Headers and paddings are decoded, and cost processor time, whatever they are packed to. */
static void unpack_count(void)
{
    const struct tar_entry *e = &unpack.tar.entry;

    unpack.bare += e->offset - unpack.content;
    unpack.content = e->offset + e->packed;
    if (unpack.bare > UNPACK_BARE_MAX)
        load_fail("layer %s: too many bytes that are no file's content", unpack.layer);
}

bool unpack_layer(struct skeleton *from, const char *dir, const char *name)
{
    unsigned count = 0;
    int n;

    unpack.layer = name;
    unpack.raised = false;
    unpack.skeleton = from;
    unpack.content = unpack.bare = 0;
    if (mkdir(dir, 0755) < 0)
        load_fail("cannot create %s: %s", dir, strerror(errno));
    unpack.root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (unpack.root < 0)
        load_fail("cannot open %s: %s", dir, strerror(errno));
    tar_init(&unpack.tar, &from->src);
    while ((n = tar_next(&unpack.tar)) > 0) {
        if (++count > UNPACK_ENTRIES_MAX)
            load_fail("layer %s: more than %d entries", name, UNPACK_ENTRIES_MAX);
        unpack_count();
        unpack_entry();
    }
    if (n < 0)
        load_fail("layer %s: %s (at byte %llu)", name, unpack.tar.why,
                  (unsigned long long)unpack.tar.at);
    tar_free(&unpack.tar);
    unpack_times();
    close(unpack.root);
    return unpack.raised;
}
