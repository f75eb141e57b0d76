// SPDX-License-Identifier: MIT
// What a load or a pull has made becomes part of the store: judged, moved into place by rename, and
// listed.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/image_priv.h"
#include "lib/str.h"

/* Moves what a worker has made into the store. The worker has read hostile bytes, and may still
 * run: what it made is reached through no link, and what has come is judged where it cannot change
 * it any more. 0 or -errno; -ENOENT: it has made none. */
static int publish_move(const char *dir, const char *what, const char *name, const char *new,
                        bool is_dir)
{
    char *from = str_fmt("%s/%s", dir, what);
    int fd = open(from, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err = 0;
    struct stat st;

    free(from);
    if (fd < 0)
        return -errno;
    if (renameat(fd, name, AT_FDCWD, new) < 0)
        err = -errno;
    close(fd);
    if (err)
        return err;
    if (lstat(new, &st) < 0)
        return -errno;
    if (is_dir ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode) && st.st_nlink == 1)
        return 0;
    if (S_ISDIR(st.st_mode))
        tree_discard(new, NULL, NULL);
    else
        unlink(new);
    return -EBADMSG;
}

static char *publish_file(const char *dir, const char *what, const char *name, bool is_dir)
{
    char *new = str_fmt("%s/%s/%s", engine.root, what, name), *why = NULL;
    int err = publish_move(dir, what, name, new, is_dir);

    if (err && !(err == -ENOENT && access(new, F_OK) == 0)) /* two images of one archive share it */
        why = str_fmt("cannot store %s: %s", new, str_error(-err));
    free(new);
    return why;
}

/* What the store can do without: in place of an older one, which would be another's. */
static void publish_part(const char *dir, const char *what, const char *name)
{
    char *new = str_fmt("%s/%s/%s", engine.root, what, name);
    int err = publish_move(dir, what, name, new, false);

    if (err && (err != -ENOENT || (unlink(new) < 0 && errno != ENOENT)))
        engine_log("cannot store %s: %s", new, str_error(-err));
    free(new);
}

/* No image is made of it, so a directory of its name is what a dead engine left, maybe in part, or
 * one that was removed and could not be moved away. */
static char *publish_layer(const char *dir, const char *id)
{
    char *name = layer_dir(id), *made = str_fmt("%s/layers/%s", dir, name);
    char *orphan = store_path("layers/", name), *why = NULL;
    int err = tree_leave(orphan);

    if (err)
        why = str_fmt("cannot store %s: what was removed is still there: %s", orphan,
                      str_error(-err));
    else if (access(made, F_OK) == 0 && layer_there(name))
        tree_discard(orphan, NULL, NULL);
    if (!why)
        publish_part(dir, "tars", name);
    why = why ? why : publish_file(dir, "layers", name, true);
    free(orphan);
    free(made);
    free(name);
    return why;
}

bool image_tags_ok(const struct json *image)
{
    for (const struct json *t = json_list(image, "Tags"); t; t = t->next) {
        char *ref = t->type == JSON_STRING ? image_ref_normalize(t->str) : NULL;
        bool same = ref && !strcmp(ref, t->str);

        free(ref);
        if (!same)
            return false;
    }
    return true;
}

/* A worker that read hostile bytes wrote it: what it names are digests and tags, and there is space
 * for them. NULL or a sentence. */
static char *publish_judge(const struct json *result)
{
    size_t images = 0, tags = 0, layers = 0;

    for (struct json *j = json_list(result, "Images"); j; j = j->next) {
        images++;
        if (!image_id_ok(json_str(j, "Id")) || !image_tags_ok(j))
            return str_dup("the worker's report is bad");
        for (struct json *l = json_list(j, "Layers"); l; l = l->next, layers++)
            if (!image_id_ok(json_str(l, "DiffId")) || !image_id_ok(layer_entry_id(l)))
                return str_dup("the worker's report is bad");
        tags += json_count(json_get(j, "Tags"));
    }
    return image_store_space(images, tags, layers);
}

char *image_publish(const char *dir, const struct json *result, struct buf *out)
{
    char *why = publish_judge(result);
    const char *bad;

    for (struct json *j = why ? NULL : json_list(result, "Images"); j && !why; j = j->next) {
        char *file = str_fmt("%s.json", json_str(j, "Id"));
        struct image *img;

        for (struct json *l = json_list(j, "Layers"); l && !why; l = l->next) {
            if (!layer_find(layer_entry_id(l)))
                why = publish_layer(dir, layer_entry_id(l));
        }
        why = why ? why : publish_file(dir, "images", file, false);
        free(file);
        file = str_fmt("%s.manifest", json_str(j, "Id"));
        if (!why)
            publish_part(dir, "images", file);
        free(file);
        if (why)
            break;
        img = image_adopt(j, &bad);
        if (!img)
            why = str_fmt("image configuration: %s", bad);
        else
            image_adopt_tags(img, j, out);
    }
    return why;
}
