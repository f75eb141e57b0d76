// SPDX-License-Identifier: MIT
// The container's file system, built in the child's own mount namespace: /proc, /sys, /dev,
// volumes, masks; then it becomes the root.
//
// mounts_finish() takes away what only the set-up needed (writable /proc/sys, a writable root).
// Targets inside the image are resolved component by component without following links out of it:
// an image must not steer a mount elsewhere. From the first volume on, others may change names
// below us while we look: the target of a volume is held by a descriptor, and mounted on through it
// (CVE-2021-30465).
#include "lib/rootfs.h"

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

#include "lib/child.h"
#include "lib/str.h"

void child_mount(struct child *ch, const char *source, const char *target, const char *type,
                 unsigned long flags, const char *data)
{
    if (mount(source, target, type, flags, data) < 0)
        child_fail(ch, "error mounting \"%s\" to rootfs at \"%s\": %s", type ? type : source,
                   target, str_error(errno));
}

/* Enters the directory that holds `target`, from the current directory, component by component and
 * through no link; what is missing is made. Gives the last component, made as a directory or as an
 * empty file, and a descriptor of where we were; -1 when we still are there. */
static int target_enter(struct child *ch, char *target, bool dir, char **last)
{
    char *part = target + strspn(target, "/"), *next;
    int back = -1, fd;

    for (;; part = next) {
        next = part + strcspn(part, "/");
        if (*next)
            *next++ = 0;
        next += strspn(next, "/");
        if (!*part || !strcmp(part, ".."))
            child_fail(ch, "bad mount target %s", target);
        if (!*next)
            break;
        if (back < 0)
            back = openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fd = openat(AT_FDCWD, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT && mkdir(part, 0755) == 0)
            fd = openat(AT_FDCWD, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (back < 0 || fd < 0 || fchdir(fd) < 0)
            child_fail(ch, "cannot reach mount target component %s: %s", part, str_error(errno));
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
    if (back < 0)
        return;
    if (fchdir(back) < 0)
        child_fail(ch, "cannot return to the new root: %s", str_error(errno));
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
        child_fail(ch, "cannot make mount target %s: %s", target, str_error(errno));
    if (S_ISDIR(st.st_mode) != dir)
        child_fail(ch, "mount target %s is %s directory", target, dir ? "not a" : "a");
    if (S_ISLNK(st.st_mode) || mount(source, last, type, flags, data) < 0)
        child_fail(ch, "error mounting \"%s\" to rootfs at \"%s\": %s", source ? source : type,
                   target, S_ISLNK(st.st_mode) ? "is a symbolic link" : str_error(errno));
    target_leave(ch, back);
    free(copy);
}

void mount_readonly(struct child *ch, const char *target)
{
    char *path = str_fmt(".%s", target);

    if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
        child_fail(ch, "cannot remount %s: %s", target, str_error(errno));
    free(path);
}

static void device_node(struct child *ch, const char *name, mode_t mode, dev_t dev)
{
    if (mknod(name, S_IFCHR | mode, dev) < 0)
        child_fail(ch, "cannot make device %s: %s", name, str_error(errno));
}

static void device_link(struct child *ch, const char *to, const char *name)
{
    if (symlink(to, name) < 0)
        child_fail(ch, "cannot make %s: %s", name, str_error(errno));
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
        child_fail(ch, "cannot make /dev/pts: %s", str_error(errno));
    if (mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=0620,gid=5") < 0 &&
        errno != ENODEV) /* a kernel without pseudo terminals: whoever wants one is told */
        child_fail(ch, "cannot mount /dev/pts: %s", str_error(errno));
    snprintf(data, sizeof(data), "mode=1777,size=%lld", (long long)ch->room->shm_size);
    child_mount(ch, "shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, data);
    if (mkdir("dev/mqueue", 0755) == 0 &&
        mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        rmdir("dev/mqueue"); /* a kernel without POSIX queues: nothing to show */
}

void mount_device(struct child *ch, const char *host, const char *target)
{
    char *copy = str_dup(target), *last;
    struct stat st;
    int back;

    /* the old root is still our "/": the host's /dev is in sight */
    if (stat(host, &st) < 0)
        child_fail(ch, "error gathering device information while adding custom device \"%s\": %s",
                   host, strerror(errno)); /* not the program that is missing: no 127 */
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        child_fail(ch,
                   "error gathering device information while adding custom device \"%s\": "
                   "not a device node",
                   host);
    back = target_enter(ch, copy, false, &last);
    unlink(last);
    umask(0); /* no chmod: by now the name may be another's link */
    if (mknod(last, st.st_mode, st.st_rdev) < 0)
        child_fail(ch, "cannot make device %s: %s", target, str_error(errno));
    umask(0022);
    target_leave(ch, back);
    free(copy);
}

/* Holds what is at `last` in the current directory, and names it so that no link is followed. */
static int target_hold(struct child *ch, const char *last, const char *target, char path[32],
                       struct stat *st)
{
    int fd = openat(AT_FDCWD, last, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fstat(fd, st) < 0)
        child_fail(ch, "cannot make mount target %s: %s", target, str_error(errno));
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static void volume_tmpfs(struct child *ch, const struct mount_spec *m, const char *path)
{
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (m->readonly ? MS_RDONLY : 0);

    child_mount(ch, "tmpfs", path, "tmpfs", flags, *m->options ? m->options : NULL);
}

/* The bind at `last`, which has `source` for its root, becomes read-only. */
static void volume_readonly(struct child *ch, const struct mount_spec *m, const char *last,
                            const struct stat *source)
{
    struct stat st;
    char path[32];
    int fd = target_hold(ch, last, m->target, path, &st);

    if (st.st_dev != source->st_dev || st.st_ino != source->st_ino)
        child_fail(ch, "mount target %s has been moved", m->target);
    child_mount(ch, NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
    close(fd);
}

static void mount_volume(struct child *ch, const struct mount_spec *m)
{
    char *copy = str_dup(m->target), *last, path[32];
    struct stat source = {.st_mode = S_IFDIR}, st;
    int back, fd;

    if (m->source && stat(m->source, &source) < 0)
        child_fail(ch, "bind source path does not exist: %s", m->source);
    back = target_enter(ch, copy, S_ISDIR(source.st_mode), &last);
    fd = target_hold(ch, last, m->target, path, &st);
    if (S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode) != S_ISDIR(source.st_mode))
        child_fail(ch, "mount target %s is %s", m->target,
                   S_ISLNK(st.st_mode)   ? "a symbolic link"
                   : S_ISDIR(st.st_mode) ? "a directory"
                                         : "not a directory");
    if (m->source)
        child_mount(ch, m->source, path, NULL, MS_BIND | MS_REC, NULL);
    else
        volume_tmpfs(ch, m, path);
    if (m->source && m->readonly)
        volume_readonly(ch, m, last, &source);
    close(fd);
    target_leave(ch, back);
    free(copy);
}

static const char *const etc_names[] = {"hostname", "hosts", "resolv.conf"};

/* A file to mount on, made unless it is there; through no link. */
static void etc_target(struct child *ch, int etc, const char *name)
{
    int fd = openat(etc, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    struct stat st;

    if (fd >= 0)
        close(fd);
    else if (fstatat(etc, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        child_fail(ch, "mount target /etc/%s is not a file", name);
}

/* Nobody else is in this container yet: what was looked at stays. `dir` may be relative. */
static void mount_etc(struct child *ch, const char *dir)
{
    int etc = openat(AT_FDCWD, "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (etc < 0 && errno == ENOENT && mkdir("etc", 0755) == 0)
        etc = openat(AT_FDCWD, "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (etc < 0)
        child_fail(ch, "cannot reach mount target /etc: %s", str_error(errno));
    for (int i = 0; i < 3; i++) {
        char *source = str_fmt("%s/%s", dir, etc_names[i]);
        char *target = str_fmt("etc/%s", etc_names[i]);

        etc_target(ch, etc, etc_names[i]);
        child_mount(ch, source, target, NULL, MS_BIND, NULL);
        free(source);
        free(target);
    }
    close(etc);
}

static int etc_file_write(int dir, const char *name, const struct buf *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), err;

    if (fd < 0)
        return -errno;
    err = write_all(fd, text->data, text->len);
    close(fd);
    return err;
}

int etc_files_write(const char *dir, const char *hostname)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = fd < 0 ? -errno : 0;

    for (int i = 0; i < 3 && !err; i++) {
        struct buf b = {0};

        if (i == 0)
            buf_fmt(&b, "%s\n", hostname);
        else if (i == 1)
            buf_fmt(&b,
                    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
                    "127.0.1.1\t%s\n",
                    hostname);
        err = etc_file_write(fd, etc_names[i], &b);
        buf_free(&b);
    }
    if (fd >= 0)
        close(fd);
    return err;
}

void mounts_standard(struct child *ch, const char *etc)
{
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    unsigned long sys = flags | (ch->spec->privileged ? 0 : MS_RDONLY);

    mount_inside(ch, "proc", "/proc", true, "proc", flags, NULL);
    mount_dev(ch);
    mount_inside(ch, "sysfs", "/sys", true, "sysfs", sys, NULL);
    if (access("sys/fs/cgroup", F_OK) == 0)
        child_mount(ch, "cgroup", "sys/fs/cgroup", "cgroup2", sys, NULL);
    mount_etc(ch, etc);
    for (int i = 0; i < ch->room->nmounts; i++)
        mount_volume(ch, &ch->room->mounts[i]);
}

void root_enter(struct child *ch, const char *dir)
{
    int old = openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (old < 0 || chdir(dir) < 0)
        child_fail(ch, "cannot enter %s: %s", dir, str_error(errno));
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        /* the old root now covers the new one: it is left from inside */
        if (fchdir(old) < 0 || umount2(".", MNT_DETACH) < 0)
            child_fail(ch, "cannot leave the old root: %s", str_error(errno));
    } else if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
        /* an initial root file system cannot be pivoted away on Linux: it is covered instead */
        child_fail(ch, "pivot_root: %s", str_error(errno));
    }
    close(old);
    if (chdir("/") < 0)
        child_fail(ch, "cannot enter the new root: %s", str_error(errno));
}

/* Names below the directory that is current: most kernels lack most of them, and a look there is
 * short. */
static void mask_names(struct child *ch, const char *const *name)
{
    struct stat st;

    for (; *name; name++) {
        if (stat(*name, &st) < 0) {
            if (errno == ENOENT)
                continue;
            child_fail(ch, "cannot mask %s: %s", *name, str_error(errno));
        }
        if (S_ISDIR(st.st_mode))
            child_mount(ch, "tmpfs", *name, "tmpfs", MS_RDONLY, "size=0k");
        else
            child_mount(ch, "/dev/null", *name, NULL, MS_BIND, NULL);
    }
}

static void readonly_names(struct child *ch, const char *const *name)
{
    const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

    for (; *name; name++) {
        if (mount(*name, *name, NULL, MS_BIND | MS_REC, NULL) == 0)
            child_mount(ch, NULL, *name, NULL, flags, NULL);
        else if (errno != ENOENT)
            child_fail(ch, "cannot make %s read-only: %s", *name, str_error(errno));
    }
}

static void mounts_mask(struct child *ch)
{
    static const char *const proc[] = {"acpi",  "asound",     "bothy",         "interrupts",
                                       "kcore", "keys",       "latency_stats", "sched_debug",
                                       "scsi",  "timer_list", "timer_stats",   NULL};
    static const char *const readonly[] = {"bus", "fs", "irq", "sys", "sysrq-trigger", NULL};
    static const char *const sys[] = {"firmware", "devices/virtual/powercap", NULL};

    if (chdir("/proc") < 0)
        child_fail(ch, "cannot enter /proc: %s", str_error(errno));
    mask_names(ch, proc);
    readonly_names(ch, readonly);
    if (chdir("/sys") < 0)
        child_fail(ch, "cannot enter /sys: %s", str_error(errno));
    mask_names(ch, sys);
    if (chdir("/") < 0)
        child_fail(ch, "cannot enter the root: %s", str_error(errno));
}

void mounts_finish(struct child *ch)
{
    int fd;

    child_sysctls(ch);
    if (ch->spec->tty) { /* /dev/console is the container's own terminal */
        fd = open("/dev/console", O_WRONLY | O_CREAT | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC, 0620);
        if (fd < 0)
            child_fail(ch, "cannot make /dev/console: %s", str_error(errno));
        close(fd);
        child_mount(ch, ch->terminal, "/dev/console", NULL, MS_BIND, NULL);
    }
    if (!ch->spec->privileged)
        mounts_mask(ch);
    if (ch->room->readonly_root)
        child_mount(ch, NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
}
