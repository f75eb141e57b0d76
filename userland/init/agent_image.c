// SPDX-License-Identifier: MIT
// The image's tree in a guest: what its archive had no space for (lib/pack_extra.h), and an overlay
// on top of it, so that the application's root is what a container's is.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "init/agent.h"
#include "lib/pack_extra.h"
#include "runtime/rootfs.h"
#include "lib/str.h"

#define IMAGE_EXTRA_MAX (256u << 20)
#define IMAGE_ROOT "/rootfs"
#define IMAGE_UPPER "/upper"
#define IMAGE_MERGED "/merged"

/* The next string of the records, or NULL. */
static const char *extra_string(const char **at, const char *end)
{
    const char *from = *at;
    size_t n = strnlen(from, (size_t)(end - from));

    if (from + n == end)
        return NULL;
    *at = from + n + 1;
    return from;
}

static int extra_symlink(int root, const char *path, const char *text, const char *owner)
{
    unsigned uid, gid;

    if (sscanf(owner, "%u:%u", &uid, &gid) != 2)
        return -EINVAL;
    if (symlinkat(text, root, path) < 0 || fchownat(root, path, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int extra_xattr(int root, const char *path, const char *name, const char *value, size_t len)
{
    int fd = openat(root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), err;

    if (fd < 0)
        return -errno;
    err = fsetxattr(fd, name, value, len, 0) < 0 && errno != ENOTSUP ? -errno : 0;
    close(fd);
    return err;
}

static int extra_time(int root, const char *path, const char *text)
{
    struct timespec times[2];
    long long sec;
    long nsec;

    if (sscanf(text, "%lld %ld", &sec, &nsec) != 2)
        return -EINVAL;
    times[0] = times[1] = (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = nsec};
    return utimensat(root, path, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* One record: 0, or -errno. */
static int extra_record(int root, const char **at, const char *end)
{
    char type = *(*at)++;
    const char *path = extra_string(at, end), *value = path ? extra_string(at, end) : NULL, *third;
    uint64_t len;

    if (!value)
        return -EINVAL;
    if (type == 'L')
        return linkat(root, value, root, path, 0) < 0 ? -errno : 0;
    if (type == 'T')
        return extra_time(root, path, value);
    third = extra_string(at, end);
    if (!third)
        return -EINVAL;
    if (type == 'S')
        return extra_symlink(root, path, value, third);
    if (type != 'X' || !str_u64(third, &len) || len > (uint64_t)(end - *at))
        return -EINVAL;
    *at += len;
    return extra_xattr(root, path, value, *at - len, len);
}

void agent_image(void)
{
    struct buf text = {0};
    int root = open(IMAGE_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = root < 0 ? -errno : file_read(PACK_EXTRA, IMAGE_EXTRA_MAX, &text);
    const char *at = text.data, *end = at + text.len;

    while (!err && at < end)
        err = extra_record(root, &at, end);
    if (err)
        agent_fail("cannot complete the image's tree: %s", strerror(-err));
    unlink(PACK_EXTRA);
    buf_free(&text);
    close(root);
}

void agent_root(struct child *ch)
{
    struct stat st;

    if (mkdir(IMAGE_UPPER, 0755) < 0 || mkdir(IMAGE_MERGED, 0755) < 0 || stat(IMAGE_ROOT, &st) < 0)
        child_fail(ch, "cannot make the root: %s", str_error(errno));
    child_mount(ch, "tmpfs", IMAGE_UPPER, "tmpfs", 0, "size=100%,mode=755");
    if (mkdir(IMAGE_UPPER "/upper", 0755) < 0 || mkdir(IMAGE_UPPER "/work", 0755) < 0 ||
        chown(IMAGE_UPPER "/upper", st.st_uid, st.st_gid) < 0 ||
        chmod(IMAGE_UPPER "/upper", st.st_mode & 07777) < 0 ||
        utimensat(AT_FDCWD, IMAGE_UPPER "/upper", (struct timespec[]){st.st_mtim, st.st_mtim}, 0) <
            0)
        child_fail(ch, "cannot make the root: %s", str_error(errno));
    child_mount(ch, "overlay", IMAGE_MERGED, "overlay", 0,
                "lowerdir=" IMAGE_ROOT ",upperdir=" IMAGE_UPPER "/upper,workdir=" IMAGE_UPPER
                "/work");
    if (chdir(IMAGE_MERGED) < 0)
        child_fail(ch, "cannot enter %s: %s", IMAGE_MERGED, str_error(errno));
}
