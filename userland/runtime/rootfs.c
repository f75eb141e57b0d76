// SPDX-License-Identifier: MIT
// The container's file system, built in the child's own mount namespace: /proc, /sys, /dev,
// volumes, masks; then it becomes the root.
//
// mounts_finish() takes away what only the set-up needed (writable /proc/sys, a writable root).
// Targets are resolved inside the root (inroot.h) and mounted on by descriptor: an image must not
// steer a mount elsewhere. The container's own mounts are volumes.c's.
#include "runtime/rootfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "runtime/child.h"
#include "lib/inroot.h"
#include "lib/str.h"
#include "runtime/volumes.h"

void child_mount(struct child *ch, const char *source, const char *target, const char *type,
                 unsigned long flags, const char *data)
{
    if (mount(source, target, type, flags, data) < 0)
        child_fail(ch, "error mounting \"%s\" to rootfs at \"%s\": %s",
                   type     ? type
                   : source ? source
                            : "",
                   target, str_error(errno));
}

int mount_target(struct child *ch, const char *target, bool dir, char **path)
{
    int fd = ch->alone ? inroot_straight(AT_FDCWD, target) : -1;

    if (fd >=
        0) { /* the name leads there, and will: a way through /proc costs four times as much */
        *path = str_fmt("./%s", target);
        return fd;
    }
    fd = inroot_open(AT_FDCWD, target, dir ? INROOT_MAKE_DIR : INROOT_MAKE_FILE, NULL);
    *path = fd < 0 ? NULL : str_fmt("/proc/self/fd/%d", fd);
    return fd;
}

void mount_inside(struct child *ch, const char *source, const char *target, bool dir,
                  const char *type, unsigned long flags, const char *data)
{
    char *path;
    int fd = mount_target(ch, target, dir, &path);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        child_fail(ch, "cannot make mount target %s: %s", target, str_error(fd < 0 ? -fd : errno));
    if (S_ISDIR(st.st_mode) != dir)
        child_fail(ch, "mount target %s is %s directory", target, dir ? "not a" : "a");
    if (mount(source, path, type, flags, data) < 0)
        child_fail(ch, "error mounting \"%s\" to rootfs at \"%s\": %s", source ? source : type,
                   target, str_error(errno));
    free(path);
    close(fd);
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

/* One name of the host's /dev beside the descriptor of the folder that it lies in, for a container
 * that may use them all. What is there already is the container's own, and stays. */
static void host_node(struct child *ch, int from, int to, const char *name, const char *path)
{
    struct stat st;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return; /* gone meanwhile */
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
        if (mknodat(to, name, st.st_mode, st.st_rdev) == 0)
            fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW);
        else if (errno != EEXIST)
            child_fail(ch, "cannot make device %s/%s: %s", path, name, str_error(errno));
    }
}

/* The names in a /dev that are a system's own, as Docker leaves them out. */
static bool is_own_name(const char *name)
{
    static const char *const own[] = {".", "..", "pts", "shm", "fd", "mqueue", "console", "ptmx"};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (strcmp(name, own[i]) == 0)
            return true;
    return false;
}

/* The devices of the host's folder `path` ("dev", "dev/net") in the container's of the same name. A
 * folder below /dev may go meanwhile, as a device may. */
static void host_devices(struct child *ch, const char *path)
{
    char *host = str_fmt("/%s", path);
    DIR *dir = opendir(host);
    struct dirent *e;
    int to, err;

    if (!dir && errno == ENOENT && strchr(path, '/')) {
        free(host);
        return;
    }
    to = dir ? openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (to < 0)
        child_fail(ch, "cannot look for devices in %s: %s", host, str_error(errno));
    while ((e = dir_next(dir, &err))) {
        if (is_own_name(e->d_name))
            continue;
        if (e->d_type == DT_DIR) {
            char *inner = str_fmt("%s/%s", path, e->d_name);
            if (mkdirat(to, e->d_name, 0755) < 0 && errno != EEXIST)
                child_fail(ch, "cannot make /%s: %s", inner, str_error(errno));
            host_devices(ch, inner);
            free(inner);
        } else {
            host_node(ch, dirfd(dir), to, e->d_name, host);
        }
    }
    if (err)
        child_fail(ch, "cannot look for devices in %s: %s", host, str_error(-err));
    close(to);
    closedir(dir);
    free(host);
}

static bool mounts_no_mqueue; /* a kernel without POSIX queues: nothing to show */

void mounts_prepare(void)
{
    struct buf types = {0};

    mounts_no_mqueue =
        !file_read("/proc/filesystems", 65536, &types) && !strstr(types.data, "\tmqueue\n");
    buf_free(&types);
}

/* Docker's list, in a tmpfs of the container's own; a privileged one has the host's devices too. */
static void mount_dev(struct child *ch)
{
    static const struct {
        const char *name;
        unsigned major, minor;
    } nodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                 {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
    char data[64];

    child_mount(ch, "tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    if (chdir("dev") < 0) /* nothing but ours is in this /dev: no link can lead elsewhere */
        child_fail(ch, "cannot enter /dev: %s", str_error(errno));
    umask(0);
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
        device_node(ch, nodes[i].name, 0666, makedev(nodes[i].major, nodes[i].minor));
    umask(0022);
    device_link(ch, "pts/ptmx", "ptmx");
    device_link(ch, "/proc/self/fd", "fd");
    device_link(ch, "/proc/self/fd/0", "stdin");
    device_link(ch, "/proc/self/fd/1", "stdout");
    device_link(ch, "/proc/self/fd/2", "stderr");
    device_link(ch, "/proc/kcore", "core");
    if (mkdir("pts", 0755) < 0 || (!ch->shared->no_shm && mkdir("shm", 0755) < 0))
        child_fail(ch, "cannot make /dev/pts: %s", str_error(errno));
    if (mount("devpts", "pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=0620,gid=5") < 0 &&
        errno != ENODEV) /* a kernel without pseudo terminals: a program that wants one is told */
        child_fail(ch, "cannot mount /dev/pts: %s", str_error(errno));
    snprintf(data, sizeof(data), "mode=1777,size=%lld", (long long)ch->shared->shm_size);
    if (!ch->shared->no_shm)
        child_mount(ch, "shm", "shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, data);
    if (!mounts_no_mqueue && mkdir("mqueue", 0755) == 0 &&
        mount("mqueue", "mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        rmdir("mqueue");
    if (chdir("..") < 0)
        child_fail(ch, "cannot leave /dev: %s", str_error(errno));
    if (!ch->spec->privileged)
        return;
    umask(0);
    host_devices(ch, "dev");
    umask(0022);
}

void mount_device(struct child *ch, const char *host, const char *target)
{
    char *last;
    struct stat st;
    int dir;

    /* the old root is still our "/": the host's /dev is in sight */
    if (stat(host, &st) < 0)
        child_fail(ch, "error gathering device information while adding custom device \"%s\": %s",
                   host, strerror(errno)); /* not the program that is missing: no 127 */
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        child_fail(ch,
                   "error gathering device information while adding custom device \"%s\": "
                   "not a device node",
                   host);
    dir = inroot_open(AT_FDCWD, target, INROOT_PARENT, &last);
    if (dir < 0)
        child_fail(ch, "cannot make device %s: %s", target, str_error(-dir));
    unlinkat(dir, last, 0);
    umask(0); /* no chmod: by now the name may be another's link */
    if (mknodat(dir, last, st.st_mode, st.st_rdev) < 0)
        child_fail(ch, "cannot make device %s: %s", target, str_error(errno));
    umask(0022);
    close(dir);
    free(last);
}

/* A directory of the root as Docker's first layer has it: what is in its place and none goes. */
static void prepare_dir(struct child *ch, const char *name)
{
    struct stat st;

    if (mkdir(name, 0755) == 0)
        return;
    if (errno != EEXIST || lstat(name, &st) < 0)
        child_fail(ch, "cannot make /%s: %s", name, str_error(errno));
    if (!S_ISDIR(st.st_mode) && (unlink(name) < 0 || mkdir(name, 0755) < 0))
        child_fail(ch, "cannot replace /%s: %s", name, str_error(errno));
}

/* A file to mount on: a link in its place goes. */
static void prepare_file(struct child *ch, const char *name)
{
    int err = mknod(name, S_IFREG | 0755, 0);
    struct stat st;

    if (err < 0 && errno == EEXIST && lstat(name, &st) == 0) {
        if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
            return; /* a directory is the container's own trouble: the mount says so */
        unlink(name);
        err = mknod(name, S_IFREG | 0755, 0);
    }
    if (err < 0)
        child_fail(ch, "cannot make /%s: %s", name, str_error(errno));
}

/* A directory in its place is the image's own, and stays. */
static void prepare_mtab(struct child *ch)
{
    char now[sizeof(ROOTFS_MTAB)];

    if (symlink(ROOTFS_MTAB, "etc/mtab") == 0 ||
        (readlink("etc/mtab", now, sizeof(now)) == sizeof(now) - 1 &&
         !memcmp(now, ROOTFS_MTAB, sizeof(now) - 1)))
        return;
    unlink("etc/mtab");
    if (symlink(ROOTFS_MTAB, "etc/mtab") < 0 && errno != EEXIST)
        child_fail(ch, "cannot make /etc/mtab: %s", str_error(errno));
}

/* What Docker lays between an image and a new container, as base.c has it. Nothing else is in it
 * yet. */
static void prepare_new(struct child *ch)
{
    static const char *const files[] = {"etc/hostname", "etc/hosts", "etc/resolv.conf",
                                        ".dockerenv"};

    prepare_dir(ch, "etc");
    for (int i = 0; i < 4; i++)
        prepare_file(ch, files[i]);
    prepare_mtab(ch);
}

static void prepare(struct child *ch)
{
    /* These are walked through while "/" is still the host's: a link, which the container may have
     * left in an earlier start, would lead out. */
    prepare_dir(ch, "proc");
    prepare_dir(ch, "dev");
    prepare_dir(ch, "sys");
    if (ch->first)
        prepare_new(ch);
}

void mounts_standard(struct child *ch, const char *etc)
{
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    unsigned long sys = flags | (ch->spec->privileged ? 0 : MS_RDONLY);

    if (!ch->first || !ch->based)
        prepare(ch);
    ch->alone = true;
    child_mount(ch, "proc", "proc", "proc", flags, NULL);
    mount_dev(ch);
    child_mount(ch, "sysfs", "sys", "sysfs", sys, NULL);
    if (mount("cgroup", "sys/fs/cgroup", "cgroup2", sys, NULL) < 0 && errno != ENOENT)
        child_fail(ch, "cannot mount /sys/fs/cgroup: %s", str_error(errno));
    volumes_mount(ch, etc);
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

/* The null device over a name. /dev may be a volume, and what is called null there a link to what
 * is to be masked. */
static void mask_file(struct child *ch, const char *name)
{
    struct stat st;

    child_mount(ch, "/dev/null", name, NULL, MS_BIND, NULL);
    if (stat(name, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
        child_fail(ch, "cannot mask %s: /dev/null is not the null device", name);
}

static void mask_name(struct child *ch, const char *name)
{
    struct stat st;

    if (stat(name, &st) < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            child_fail(ch, "cannot mask %s: %s", name, str_error(errno));
    } else if (S_ISDIR(st.st_mode)) {
        child_mount(ch, "tmpfs", name, "tmpfs", MS_RDONLY, "size=0k");
    } else {
        mask_file(ch, name);
    }
}

int mount_restrict(const char *path, unsigned at)
{
    struct {
        uint64_t set, clear, propagation, userns;
    } attr = {.set = 1}; /* MOUNT_ATTR_RDONLY */

    return (int)syscall(SYS_mount_setattr, AT_FDCWD, path, at, &attr, sizeof(attr));
}

/* `flags`: what its mount has beside, when that is known; 0 asks. */
static void readonly_name(struct child *ch, const char *name, unsigned long flags)
{
    static bool no_setattr; /* an older kernel */
    struct statfs fs;

    if (mount(name, name, NULL, MS_BIND | MS_REC, NULL) < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            child_fail(ch, "cannot make %s read-only: %s", name, str_error(errno));
        return;
    }
    if (!no_setattr && mount_restrict(name, 0) == 0)
        return;
    no_setattr = no_setattr || errno == ENOSYS;
    if (!flags && statfs(name, &fs) == 0)
        flags = fs.f_flags & (MS_NOSUID | MS_NODEV | MS_NOEXEC);
    child_mount(ch, NULL, name, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL);
}

/* Docker's list for /proc, each part of which a request may replace. */
static const char *const masked_proc[] = {"acpi",  "asound",     "bothy",         "interrupts",
                                          "kcore", "keys",       "latency_stats", "sched_debug",
                                          "scsi",  "timer_list", "timer_stats",   NULL};
static const char *const readonly_proc[] = {"bus", "fs", "irq", "sys", "sysrq-trigger", NULL};

/* A bit for each letter that some name of the list begins with. */
static unsigned list_initials(const char *const *list)
{
    unsigned initials = 0;

    for (; *list; list++)
        initials |= 1u << (**list & 31);
    return initials;
}

static void mask_listed(struct child *ch, const char *name)
{
    for (const char *const *at = masked_proc; !ch->shared->masked && *at; at++)
        if (**at == *name && !strcmp(*at, name))
            mask_name(ch, *at);
    for (const char *const *at = readonly_proc; !ch->shared->readonly_paths && *at; at++)
        if (**at == *name && !strcmp(*at, name))
            readonly_name(ch, *at, MS_NOSUID | MS_NODEV | MS_NOEXEC);
}

/* Most kernels lack most of those names, and one list is shorter than a look at each. The call is
 * bare, since the C library's would have pages allocated. */
static void mask_proc(struct child *ch)
{
    unsigned initials = list_initials(masked_proc) | list_initials(readonly_proc);
    _Alignas(struct dirent) char list[4096];
    int fd = openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long n;

    if (fd < 0 || fchdir(fd) < 0)
        child_fail(ch, "cannot look into /proc: %s", str_error(errno));
    while ((n = syscall(SYS_getdents64, fd, list, sizeof(list))) > 0)
        for (long at = 0; at < n; at += ((struct dirent *)(list + at))->d_reclen) {
            const char *name = ((struct dirent *)(list + at))->d_name;

            if (initials >> (*name & 31) & 1)
                mask_listed(ch, name);
        }
    if (n < 0)
        child_fail(ch, "cannot list /proc: %s", str_error(errno));
    close(fd);
}

/* Docker's lists, unless the request has brought its own. */
static void mounts_mask(struct child *ch)
{
    const struct shared_spec *r = ch->shared;

    if (!r->masked) {
        mask_name(ch, "/sys/firmware");
        mask_name(ch, "/sys/devices/virtual/powercap");
    }
    if (!r->masked || !r->readonly_paths)
        mask_proc(ch);
    for (char **name = r->masked; name && *name; name++)
        mask_name(ch, *name);
    for (char **name = r->readonly_paths; name && *name; name++)
        readonly_name(ch, *name, 0);
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
    if (ch->shared->readonly_root)
        child_mount(ch, NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
}
