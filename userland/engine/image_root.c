// SPDX-License-Identifier: MIT
// The attributes that an image's root is to have. Layers never change: they are looked at once.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/image_priv.h"

/* Whether this layer says what the root is: 1 or 0, or -errno. */
static int layer_root(const struct layer *l, struct stat *st)
{
    char *path = store_path("layers/", l->dir), mark;
    int fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), found;

    free(path);
    if (fd < 0)
        return -errno;
    found = fgetxattr(fd, LAYER_ROOT_MARK, &mark, 1) == 1;
    if (found && fstat(fd, st) < 0)
        found = -errno;
    close(fd);
    return found;
}

static int image_root_find(struct image *img)
{
    struct stat st = {.st_mode = S_IFDIR | 0755};
    int found = 0;

    for (int i = img->nlayers; i-- > 0 && !found;)
        found = layer_root(img->layers[i], &st);
    if (found < 0)
        return found;
    img->root.uid = st.st_uid;
    img->root.gid = st.st_gid;
    img->root.mode = st.st_mode & 07777;
    img->root.time = st.st_mtim;
    img->root.timed = found;
    img->root.known = true;
    return 0;
}

int image_root_apply(struct image *img, int dir)
{
    int err = img->root.known ? 0 : image_root_find(img);

    if (err)
        return err;
    if (fchown(dir, img->root.uid, img->root.gid) < 0 || fchmod(dir, img->root.mode) < 0)
        return -errno;
    return img->root.timed && futimens(dir, (struct timespec[]){img->root.time, img->root.time}) < 0
               ? -errno
               : 0;
}
