// SPDX-License-Identifier: MIT
// Whether containers of an image stand on the base (runtime/base.h), which is made once. Layers
// never change: they are looked at once.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/image_priv.h"
#include "lib/str.h"
#include "runtime/base.h"

static int base_open(const char *path)
{
    int fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static bool base_there(void)
{
    static bool made;
    char *path;
    int err, fd;

    if (made)
        return true;
    path = str_fmt("%s/base", engine.root);
    err = dir_make(path, 0755);
    fd = err ? err : base_open(path);
    err = fd < 0 ? fd : base_make(fd);
    if (fd >= 0)
        close(fd);
    free(path);
    made = !err;
    return made;
}

static bool base_below(const struct layer *l)
{
    char *path = str_fmt("%s/layers/%s", engine.root, l->dir);
    int fd = base_open(path), fits = fd < 0 ? 0 : base_fits(fd);

    if (fd >= 0)
        close(fd);
    free(path);
    return fits == 1;
}

bool image_has_base(struct image *img)
{
    if (!img->base.known) {
        img->base.below = img->nlayers < LAYERS_MAX;
        for (int i = 0; i < img->nlayers && img->base.below; i++)
            img->base.below = base_below(img->layers[i]);
        img->base.known = true;
    }
    return img->base.below && base_there();
}
