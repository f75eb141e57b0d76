// SPDX-License-Identifier: MIT
// The container's file system, built in the child's own mount namespace: overlay, /proc, /sys,
// /dev, volumes, masks; then it becomes the root.
//
// mounts_setup() ends inside the new root; mounts_finish() takes away what only the set-up needed
// (writable /proc/sys, a writable root). Targets inside the image are resolved component by
// component without following links out of it: an image must not steer a mount elsewhere.
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/mounts.h"
#include "lib/str.h"

void child_mount(struct child *ch, const char *source, const char *target, const char *type,
                 unsigned long flags, const char *data)
{
    if (mount(source, target, type, flags, data) < 0)
        child_fail(ch, "error mounting \"%s\" to rootfs at \"%s\": %s", type ? type : source,
                   target, strerror(errno));
}

void mount_overlay(struct container *c, char *why, size_t why_size)
{
    struct buf data = {0};
    char *dir = str_fmt("%s/layers", engine.root);
    char *merged = container_path(c, "merged");

    *why = 0;
    /* relative names keep a hundred layers within one page of options */
    if (chdir(dir) < 0) {
        snprintf(why, why_size, "cannot enter %s: %s", dir, strerror(errno));
        return;
    }
    buf_str(&data, "lowerdir=");
    for (int i = c->image->nlayers; i-- > 0;)
        buf_fmt(&data, "%s%s", c->image->layers[i]->dir, i ? ":" : "");
    if (!c->image->nlayers)
        buf_fmt(&data, "../containers/%s/merged", c->id);
    buf_fmt(&data, ",upperdir=../containers/%s/upper,workdir=../containers/%s/work", c->id, c->id);
    if (mount("overlay", merged, "overlay", 0, data.data) < 0)
        snprintf(why, why_size, "cannot mount the overlay of %d layers: %s", c->image->nlayers,
                 strerror(errno));
    buf_free(&data);
    free(dir);
    free(merged);
}

/* Enters the directory that holds `target`, from the current directory, component by component and
 * through no link; what is missing is made. Gives the last component, made as a directory or as an
 * empty file, and a descriptor of where we were. */
static int target_enter(struct child *ch, char *target, bool dir, char **last)
{
    int back = openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
    char *part = target + strspn(target, "/"), *next;

    for (;; part = next) {
        next = part + strcspn(part, "/");
        if (*next)
            *next++ = 0;
        next += strspn(next, "/");
        if (!*part || !strcmp(part, "..") || back < 0)
            child_fail(ch, "bad mount target %s", target);
        if (!*next)
            break;
        fd = openat(AT_FDCWD, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT && mkdir(part, 0755) == 0)
            fd = openat(AT_FDCWD, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fchdir(fd) < 0)
            child_fail(ch, "cannot reach mount target component %s: %s", part, strerror(errno));
        close(fd);
    }
    if (dir)
        mkdir(part, 0755);
    else if ((fd = openat(AT_FDCWD, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                          0644)) >= 0)
        close(fd);
    *last = part;
    return back;
}

static void target_leave(struct child *ch, int back)
{
    if (fchdir(back) < 0)
        child_fail(ch, "cannot return to the new root: %s", strerror(errno));
    close(back);
}

/* Mounts at `target` (a container path) below the current directory, which it keeps. */
void mount_inside(struct child *ch, const char *source, const char *target, bool dir,
                  const char *type, unsigned long flags, const char *data)
{
    char *copy = str_dup(target), *last;
    int back = target_enter(ch, copy, dir, &last);
    struct stat st;

    if (lstat(last, &st) < 0)
        child_fail(ch, "cannot make mount target %s: %s", target, strerror(errno));
    if (S_ISDIR(st.st_mode) != dir)
        child_fail(ch, "mount target %s is %s directory", target, dir ? "not a" : "a");
    if (S_ISLNK(st.st_mode) || mount(source, last, type, flags, data) < 0)
        child_fail(ch, "error mounting \"%s\" to rootfs at \"%s\": %s", source ? source : type,
                   target, S_ISLNK(st.st_mode) ? "is a symbolic link" : strerror(errno));
    target_leave(ch, back);
    free(copy);
}

static void mount_bind_flags(struct child *ch, const char *target, unsigned long flags)
{
    char *path = str_fmt(".%s", target);

    if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | flags, NULL) < 0)
        child_fail(ch, "cannot remount %s: %s", target, strerror(errno));
    free(path);
}

static void device_node(struct child *ch, const char *name, mode_t mode, dev_t dev)
{
    if (mknod(name, S_IFCHR | mode, dev) < 0)
        child_fail(ch, "cannot make device %s: %s", name, strerror(errno));
}

static void device_link(struct child *ch, const char *to, const char *name)
{
    if (symlink(to, name) < 0)
        child_fail(ch, "cannot make %s: %s", name, strerror(errno));
}

/* Docker's list, in a tmpfs of the container's own. */
static void mount_dev(struct child *ch)
{
    static const struct {
        const char *name;
        unsigned major, minor;
    } nodes[] = {{"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
                 {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
    char data[64];

    mount_inside(ch, "tmpfs", "/dev", true, "tmpfs", MS_NOSUID | MS_STRICTATIME,
                 "mode=755,size=65536k");
    umask(0);
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
        device_node(ch, nodes[i].name, 0666, makedev(nodes[i].major, nodes[i].minor));
    umask(0022);
    device_link(ch, "pts/ptmx", "dev/ptmx");
    device_link(ch, "/proc/self/fd", "dev/fd");
    device_link(ch, "/proc/self/fd/0", "dev/stdin");
    device_link(ch, "/proc/self/fd/1", "dev/stdout");
    device_link(ch, "/proc/self/fd/2", "dev/stderr");
    device_link(ch, "/proc/kcore", "dev/core");
    /* nothing but ours is in this /dev: no link can lead elsewhere */
    if (mkdir("dev/pts", 0755) < 0 || mkdir("dev/shm", 0755) < 0)
        child_fail(ch, "cannot make /dev/pts: %s", strerror(errno));
    if (mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=0620,gid=5") < 0 &&
        errno != ENODEV) /* a kernel without pseudo terminals: whoever wants one is told */
        child_fail(ch, "cannot mount /dev/pts: %s", strerror(errno));
    snprintf(data, sizeof(data), "mode=1777,size=%lld", (long long)ch->c->shm_size);
    child_mount(ch, "shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, data);
    if (mkdir("dev/mqueue", 0755) == 0 &&
        mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        rmdir("dev/mqueue"); /* a kernel without POSIX queues: nothing to show */
}

static void mount_device(struct child *ch, const char *host, const char *target)
{
    char *copy = str_dup(target), *last;
    struct stat st;
    int back;

    /* the old root is still our "/": the host's /dev is in sight */
    if (stat(host, &st) < 0)
        child_fail(ch, "error gathering device information while adding custom device \"%s\": %s",
                   host, strerror(errno));
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        child_fail(ch,
                   "error gathering device information while adding custom device \"%s\": "
                   "not a device node",
                   host);
    back = target_enter(ch, copy, false, &last);
    unlink(last);
    if (mknod(last, st.st_mode, st.st_rdev) < 0 || chmod(last, st.st_mode & 07777) < 0)
        child_fail(ch, "cannot make device %s: %s", target, strerror(errno));
    target_leave(ch, back);
    free(copy);
}

static void mount_volume(struct child *ch, const struct mount_spec *m)
{
    unsigned long ro = m->readonly ? MS_RDONLY : 0;
    struct stat st;

    if (!m->source) {
        mount_inside(ch, "tmpfs", m->target, true, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | ro,
                     *m->options ? m->options : NULL);
        return;
    }
    if (stat(m->source, &st) < 0)
        child_fail(ch, "bind source path does not exist: %s", m->source);
    mount_inside(ch, m->source, m->target, S_ISDIR(st.st_mode), NULL, MS_BIND | MS_REC, NULL);
    if (ro)
        mount_bind_flags(ch, m->target, MS_RDONLY);
}

static void mount_files(struct child *ch)
{
    static const char *const files[] = {"hostname", "hosts", "resolv.conf"};

    for (int i = 0; i < 3; i++) {
        char *source = container_path(ch->c, files[i]), *target = str_fmt("/etc/%s", files[i]);

        mount_inside(ch, source, target, false, NULL, MS_BIND, NULL);
        free(source);
        free(target);
    }
}

void root_enter(struct child *ch, const char *dir)
{
    int old = openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (old < 0 || chdir(dir) < 0)
        child_fail(ch, "cannot enter %s: %s", dir, strerror(errno));
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        /* the old root now covers the new one: it is left from inside */
        if (fchdir(old) < 0 || umount2(".", MNT_DETACH) < 0)
            child_fail(ch, "cannot leave the old root: %s", strerror(errno));
    } else if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
        /* an initial root file system cannot be pivoted away on Linux: it is covered instead */
        child_fail(ch, "pivot_root: %s", strerror(errno));
    }
    close(old);
    if (chdir("/") < 0)
        child_fail(ch, "cannot enter the new root: %s", strerror(errno));
}

void mounts_setup(struct child *ch)
{
    struct container *c = ch->c;
    unsigned long sys_ro = ch->spec->privileged ? 0 : MS_RDONLY;
    char *merged = container_path(c, "merged"), why[256];

    child_mount(ch, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mount_overlay(c, why, sizeof(why));
    if (*why)
        child_fail(ch, "%s", why);
    if (chdir(merged) < 0)
        child_fail(ch, "cannot enter %s: %s", merged, strerror(errno));
    mount_inside(ch, "proc", "/proc", true, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_dev(ch);
    mount_inside(ch, "sysfs", "/sys", true, "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | sys_ro,
                 NULL);
    if (access("sys/fs/cgroup", F_OK) == 0)
        child_mount(ch, "cgroup", "sys/fs/cgroup", "cgroup2",
                    MS_NOSUID | MS_NODEV | MS_NOEXEC | sys_ro, NULL);
    mount_files(ch);
    for (int i = 0; i < c->nmounts; i++)
        mount_volume(ch, &c->mounts[i]);
    for (int i = 0; i < c->ndevices; i++)
        mount_device(ch, c->devices[i].host, c->devices[i].target);
    root_enter(ch, merged);
    free(merged);
}

static void mask_path(struct child *ch, const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return;
    if (S_ISDIR(st.st_mode))
        child_mount(ch, "tmpfs", path, "tmpfs", MS_RDONLY, "size=0k");
    else
        child_mount(ch, "/dev/null", path, NULL, MS_BIND, NULL);
}

static void readonly_path(struct child *ch, const char *path)
{
    if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0) {
        if (errno == ENOENT)
            return;
        child_fail(ch, "cannot make %s read-only: %s", path, strerror(errno));
    }
    child_mount(ch, NULL, path, NULL,
                MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

void mounts_finish(struct child *ch)
{
    static const char *const masked[] = {
        "/proc/acpi",
        "/proc/asound",
        "/proc/bothy",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    };
    static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                           "/proc/sysrq-trigger"};
    int fd;

    child_sysctls(ch);
    if (ch->spec->tty) { /* /dev/console is the container's own terminal */
        fd = open("/dev/console", O_WRONLY | O_CREAT | O_CLOEXEC, 0620);
        if (fd >= 0) {
            close(fd);
            child_mount(ch, ch->terminal, "/dev/console", NULL, MS_BIND, NULL);
        }
    }
    if (!ch->spec->privileged) {
        for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++)
            mask_path(ch, masked[i]);
        for (size_t i = 0; i < sizeof(readonly) / sizeof(readonly[0]); i++)
            readonly_path(ch, readonly[i]);
    }
    if (ch->c->readonly_root)
        child_mount(ch, NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
}
