// SPDX-License-Identifier: MIT
// A container's own mounts; see volumes.h.
//
// From the first volume on, others may change names below us while we look: a target is resolved
// inside the root, held by a descriptor and mounted on through it (CVE-2021-30465), and what has
// been mounted there is recognised before it is changed.
#include "runtime/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/inroot.h"
#include "runtime/rootfs.h"
#include "lib/str.h"
#include "lib/tree_copy.h"

#define VOLUME_LOCKS 16
#define PROC_MAGIC 0x9fa0

/* Whether two targets name one place, and which comes first: by depth. */
static int mount_target_depth(const char *target)
{
    int depth = 0;

    for (const char *p = target; *p; p++)
        depth += p[0] == '/' && p[1] && p[1] != '/';
    return depth;
}

static void target_refuse(struct child *ch, const struct mount_spec *m)
{
    child_fail(ch, "\"%s\" cannot be mounted because it is inside /proc", m->target);
}

/* A target is not to be inside /proc, where a mount would stand in for what programs trust; but for
 * the files that tell of the whole machine. */
static void target_judge(struct child *ch, int fd, const struct mount_spec *m)
{
    static const char *const fine[] = {"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo",
                                       "/proc/stat",    "/proc/swaps",     "/proc/uptime",
                                       "/proc/loadavg", "/proc/slabinfo"};
    char path[32], at[4096];
    struct statfs fs;
    ssize_t n;

    if (fstatfs(fd, &fs) < 0)
        child_fail(ch, "cannot look at mount target %s: %s", m->target, str_error(errno));
    if (fs.f_type != PROC_MAGIC)
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, at, sizeof(at) - 1);
    at[n > 0 ? n : 0] = 0;
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        if (str_ends(at, fine[i]))
            return;
    target_refuse(ch, m);
}

static int target_hold(struct child *ch, const struct mount_spec *m, bool dir, char **path)
{
    int fd = mount_target(ch, m->target, dir, path);
    struct stat st;

    if (fd < 0 && !strncmp(m->target, "/proc/", 6)) /* where nothing can be made */
        target_refuse(ch, m);
    if (fd < 0 || fstat(fd, &st) < 0)
        child_fail(ch, "cannot make mount target %s: %s", m->target,
                   str_error(fd < 0 ? -fd : errno));
    if (S_ISDIR(st.st_mode) != dir)
        child_fail(ch, "mount target %s is %s directory", m->target, dir ? "not a" : "a");
    target_judge(ch, fd, m);
    return fd;
}

/* Read-only with all below it, where the kernel can; else itself alone. */
static void volume_readonly(struct child *ch, const char *path, unsigned long flags)
{
    if (mount_restrict(path, 0x8000 /* AT_RECURSIVE */) < 0)
        child_mount(ch, NULL, path, NULL, MS_REMOUNT | MS_BIND | flags, NULL);
}

/* The flags that the mount of `source` has, which a remount must not take away. */
static unsigned long volume_flags(const char *source)
{
    struct statfs fs;

    return statfs(source, &fs) < 0
               ? 0
               : (unsigned long)fs.f_flags &
                     (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME);
}

/* The bind at the target, which has `source` for its root. */
static void volume_restrict(struct child *ch, const struct mount_spec *m, const struct stat *source)
{
    int fd = inroot_open(AT_FDCWD, m->target, INROOT_FIND, NULL);
    struct stat st;
    char path[32];

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != source->st_dev || st.st_ino != source->st_ino)
        child_fail(ch, "mount target %s has been moved", m->target);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    volume_readonly(ch, path, MS_RDONLY | volume_flags(m->source));
    close(fd);
}

/* Held while a volume is filled: other containers that start meanwhile want all of it. The files
 * lie beside the volumes, where no container can hold them: a few for all names, which may be as
 * long as a file's. Two volumes that share one wait for each other. */
static int volume_lock(struct child *ch, const struct mount_spec *m)
{
    const char *name = strrchr(m->source, '/') + 1;
    unsigned hash = 0;
    char *path;
    int fd;

    for (const char *c = name; *c; c++)
        hash = hash * 31 + (unsigned char)*c;
    path = str_fmt("%.*s.lock%u", (int)(name - m->source), m->source, hash % VOLUME_LOCKS);
    fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        child_fail(ch, "cannot lock the volume %s: %s", m->volume, str_error(errno));
    free(path);
    return fd;
}

/* A new volume begins as what the image has at its place. */
static void volume_fill(struct child *ch, const struct mount_spec *m, int target)
{
    int lock = volume_lock(ch, m), err = tree_fill(target, m->source);

    close(lock);
    if (err)
        child_fail(ch, "cannot fill the volume at %s: %s", m->target, str_error(-err));
}

static void volume_mount(struct child *ch, const struct mount_spec *m)
{
    struct stat source = {.st_mode = m->file ? S_IFREG : S_IFDIR};
    char *path;
    int fd;

    if (m->source && !m->file && stat(m->source, &source) < 0)
        child_fail(ch, "bind source path does not exist: %s", m->source);
    fd = target_hold(ch, m, S_ISDIR(source.st_mode), &path);
    if (m->fill)
        volume_fill(ch, m, fd);
    if (!m->source)
        child_mount(ch, "tmpfs", path, "tmpfs", m->flags,
                    m->options && *m->options ? m->options : NULL);
    else
        child_mount(ch, m->source, path, NULL, MS_BIND | (m->flat ? 0 : MS_REC), NULL);
    if (m->source && m->flags & MS_RDONLY)
        volume_restrict(ch, m, &source);
    free(path);
    close(fd);
}

/* ---- the order ------------------------------------------------------------------------------- */

static bool shared_mounts_at(const struct shared_spec *r, const char *target)
{
    for (int i = 0; i < r->nmounts; i++)
        if (!strcmp(r->mounts[i].target, target))
            return true;
    return false;
}

/* In a first start, before any other process can change names: prepare_new() has seen to it that
 * no link is on the way. */
static void etc_mount(struct child *ch, const char *etc)
{
    static const char *const targets[] = {"etc/hostname", "etc/hosts", "etc/resolv.conf"};

    for (int i = 0; i < 3; i++) {
        char *source = str_fmt("%s%s", etc, targets[i] + 3);

        child_mount(ch, source, targets[i], NULL, MS_BIND, NULL);
        free(source);
    }
}

void volumes_mount(struct child *ch, const char *etc)
{
    static const char *const names[] = {"hostname", "hosts", "resolv.conf"};
    const struct shared_spec *r = ch->shared;
    struct mount_spec *own;
    int n = 0, deepest = 0;

    if (ch->alone && ch->first && !r->nmounts) {
        etc_mount(ch, etc);
        return;
    }
    ch->alone = ch->alone && !r->nmounts;
    own = mem_alloc(sizeof(*own) * (3 + (size_t)r->nmounts));
    for (int i = 0; i < 3; i++) {
        char *target = str_fmt("/etc/%s", names[i]);

        if (!shared_mounts_at(r, target))
            own[n++] = (struct mount_spec){
                .source = str_fmt("%s/%s", etc, names[i]), .target = target, .file = true};
    }
    for (int i = 0; i < r->nmounts; i++)
        own[n++] = r->mounts[i];
    for (int i = 0; i < n; i++) {
        int depth = mount_target_depth(own[i].target);

        deepest = depth > deepest ? depth : deepest;
    }
    for (int depth = 0; depth <= deepest; depth++)
        for (int i = 0; i < n; i++)
            if (mount_target_depth(own[i].target) == depth)
                volume_mount(ch, &own[i]);
    free(own); /* the child ends with an execve: strings stay */
}
