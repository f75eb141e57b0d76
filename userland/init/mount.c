// SPDX-License-Identifier: MIT
// The file systems that the host's, or the guest's, programs expect.
#include "init/init.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/str.h"

struct mount_row {
    const char *type, *target, *data;
    unsigned long flags;
};

/* One that the kernel has already mounted, or does not have, is left alone. */
static void mount_rows(const struct mount_row *row, size_t n)
{
    for (; n--; row++) {
        dir_make(row->target, 0755);
        if (mount(row->type, row->target, row->type, row->flags, row->data) < 0 && errno != EBUSY &&
            errno != ENODEV)
            init_log("mount %s on %s: %s", row->type, row->target, strerror(errno));
    }
}

void mount_proc(void)
{
    static const struct mount_row row = {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC};

    umask(0);
    mount_rows(&row, 1);
    umask(022);
}

/* A program is reached through /proc/<pid>/exe by all that may look at its process, with the rights
 * of the mount that it was started from. A container's process may be started as the engine's own
 * file (`exec c /proc/self/exe`), and its root owns that as the host's does: it finds it read-only.
 */
static void mount_programs(void)
{
    if (mount("/bin", "/bin", NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, "/bin", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
        init_log("cannot make /bin read-only: %s", strerror(errno));
}

void mount_host(void)
{
    static const struct mount_row rows[] = {
        {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"devtmpfs", "/dev", "mode=755", MS_NOSUID},
        {"devpts", "/dev/pts", "ptmxmode=0666,mode=0620,gid=5", MS_NOSUID | MS_NOEXEC},
        {"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV},
        {"tmpfs", "/run", "mode=755", MS_NOSUID | MS_NODEV},
        {"tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV},
        {"cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    };
    static const struct {
        const char *to, *name;
    } links[] = {
        {"/proc/self/fd", "/dev/fd"},
        {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"},
        {"/proc/self/fd/2", "/dev/stderr"},
        {"/run/net/resolv.conf", "/etc/resolv.conf"}, /* netd's */
    };

    umask(0);
    mount_rows(rows, sizeof(rows) / sizeof(rows[0]));
    umask(022);
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        if (symlink(links[i].to, links[i].name) < 0 && errno != EEXIST)
            init_log("link %s: %s", links[i].name, strerror(errno));
    mount_programs();
}

/* What the agent itself needs; the application gets its own. */
void mount_guest(void)
{
    static const struct mount_row rows[] = {
        {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"devtmpfs", "/dev", "mode=755", MS_NOSUID},
        {"cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    };

    umask(0022);
    mount_rows(rows, sizeof(rows) / sizeof(rows[0]));
}
