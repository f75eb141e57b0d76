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

/* 1 or 0, or -errno. */
static int base_below(const struct layer *l)
{
    char *path = str_fmt("%s/layers/%s", engine.root, l->dir);
    int fd = base_open(path), fits = fd < 0 ? fd : base_fits(fd);

    if (fd >= 0)
        close(fd);
    free(path);
    return fits;
}

bool image_has_base(struct image *img)
{
    int below = img->nlayers < LAYERS_MAX;

    if (!img->base.known) {
        for (int i = 0; i < img->nlayers && below == 1; i++)
            below = base_below(img->layers[i]);
        img->base.known = below >= 0; /* else the next start looks again */
        img->base.below = below == 1;
    }
    return img->base.below && base_there();
}
