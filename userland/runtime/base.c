// SPDX-License-Identifier: MIT
// The layer below an image's; see base.h. rootfs.c makes the same in a container for which it does
// not do.
#include "runtime/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "runtime/rootfs.h"

static const struct {
    const char *name; /* a folder stands before what is in it */
    mode_t type;
} base_names[] = {
    {"proc", S_IFDIR},       {"dev", S_IFDIR},
    {"sys", S_IFDIR},        {"etc", S_IFDIR},
    {".dockerenv", S_IFREG}, {"etc/hostname", S_IFREG},
    {"etc/hosts", S_IFREG},  {"etc/resolv.conf", S_IFREG},
    {"etc/mtab", S_IFLNK},
};
#define BASE_NAMES (sizeof(base_names) / sizeof(base_names[0]))

int base_make(int dir)
{
    for (size_t i = 0; i < BASE_NAMES; i++) {
        const char *name = base_names[i].name;
        int err = base_names[i].type == S_IFDIR   ? mkdirat(dir, name, 0755)
                  : base_names[i].type == S_IFREG ? mknodat(dir, name, S_IFREG | 0755, 0)
                                                  : symlinkat(ROOTFS_MTAB, dir, name);

        if (err < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

/* An opaque directory, as /etc may be, hides the base's. */
static int base_hidden(int layer, const char *name)
{
    int fd = openat(layer, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), hidden;
    char value;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    hidden = fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
    close(fd);
    return hidden;
}

static bool base_is_mtab(int layer, const char *name)
{
    char to[sizeof(ROOTFS_MTAB)];

    return readlinkat(layer, name, to, sizeof(to)) == sizeof(to) - 1 &&
           !memcmp(to, ROOTFS_MTAB, sizeof(to) - 1);
}

int base_fits(int layer)
{
    int hidden = base_hidden(layer, ".");

    for (size_t i = 0; i < BASE_NAMES && !hidden; i++) {
        const char *name = base_names[i].name;
        mode_t type = base_names[i].type;
        struct stat st;

        if (fstatat(layer, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno != ENOENT)
                return -errno;
            continue;
        }
        if ((st.st_mode & S_IFMT) != type || (type == S_IFLNK && !base_is_mtab(layer, name)))
            return 0;
        if (!strcmp(name, "etc"))
            hidden = base_hidden(layer, name);
    }
    return hidden < 0 ? hidden : !hidden;
}
