// SPDX-License-Identifier: MIT
// images.json: the truth about which images are listed, their tags and layers.
//
// A worker replaces it by rename, after all that it refers to is on the disk, so that a crash
// leaves the old or the new; what is removed goes after that, so that the old one is whole as well.
// There is one such worker at a time; what changes meanwhile is written once by the next. What
// could not be read again is never written: the store has space for so many images, tags and layers
// and no more.
//
// A file that cannot be read, or names an image that had to be left out, is kept as
// images.json.bad, and what no listed image is made of stays on the disk while that is there. The
// first such file is the one that is kept: it names the most.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/image_priv.h"
#include "engine/store.h"
#include "lib/str.h"

/* More than an entry takes in images.json, in bytes and in JSON's values. */
#define STORE_IMAGE_BYTES 192
#define STORE_TAG_BYTES 520
#define STORE_LAYER_BYTES 224
#define STORE_IMAGE_VALUES 5
#define STORE_LAYER_VALUES 4

bool store_opening;
static bool store_whole; /* no image had to be left out, by this engine or one before it */

/* Answers that wait for a text to be written, and images that it does not list any more. */
struct waiters {
    struct waiter {
        struct answer *answer;
        struct image *image;
    } * list;
    size_t n;
};

static bool store_writing;
static bool store_again; /* there is something that the write under way does not hold */
static struct waiters store_now, store_next;

/* ---- writing --------------------------------------------------------------------------------- */

/* A removed one stays while containers are made of it. */
static bool image_kept(const struct image *img)
{
    return image_listed(img) || img->refs > img->leaving;
}

static void store_layer(struct jw *w, const struct layer *l)
{
    jw_object(w, NULL);
    jw_str(w, "DiffId", l->diff_id);
    if (strcmp(l->id, l->diff_id))
        jw_str(w, "Id", l->id);
    jw_int(w, "Size", (int64_t)l->size);
    jw_object_end(w);
}

static void store_write(struct buf *b)
{
    struct jw w = {.out = b};

    jw_object(&w, NULL);
    jw_array(&w, "Images");
    for (struct image *img = image_first(); img; img = img->next) {
        if (!image_kept(img))
            continue;
        jw_object(&w, NULL);
        jw_str(&w, "Id", img->id);
        if (!image_listed(img))
            jw_bool(&w, "Removed", true);
        jw_array(&w, "Tags");
        for (int i = 0; i < img->ntags; i++)
            jw_str(&w, NULL, img->tags[i]->ref);
        jw_array_end(&w);
        jw_array(&w, "Layers");
        for (int i = 0; i < img->nlayers; i++)
            store_layer(&w, img->layers[i]);
        jw_array_end(&w);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
}

static void store_saved(void *arg, const char *why);

static void store_start(void)
{
    char *path = store_path("images.json", "");
    struct buf b = {0};

    store_now = store_next;
    store_next = (struct waiters){0};
    store_again = false;
    store_writing = true;
    store_write(&b);
    store_put(path, &b, true, store_saved, NULL);
    buf_free(&b);
    free(path);
}

static void store_saved(void *arg, const char *why)
{
    struct waiters told = store_now;

    store_now = (struct waiters){0};
    store_writing = false;
    if (store_again)
        store_start();
    for (size_t i = 0; i < told.n; i++) {
        /* also on a full disk, where there would be no space for a list without it otherwise */
        if (told.list[i].image)
            image_drop(told.list[i].image, told.list[i].answer);
        answer_done(told.list[i].answer, why);
    }
    free(told.list);
}

void image_store_save(struct answer *a, struct image *img)
{
    struct waiters *w = &store_next;

    answer_hold(a);
    w->list = mem_resize(w->list, (w->n + 1) * sizeof(*w->list));
    w->list[w->n++] = (struct waiter){a, img};
    store_again = true;
    if (!store_writing)
        store_start();
}

char *image_store_space(size_t images, size_t tags, size_t layers)
{
    if (images && image_configs_full())
        return str_dup("the image store is full: the configurations of its images are too large");
    for (struct image *img = image_first(); img; img = img->next) {
        if (!image_kept(img))
            continue;
        images++;
        tags += (size_t)img->ntags;
        layers += (size_t)img->nlayers;
    }
    if (images * STORE_IMAGE_VALUES + tags + layers * STORE_LAYER_VALUES < JSON_NODES_MAX &&
        images * STORE_IMAGE_BYTES + tags * STORE_TAG_BYTES + layers * STORE_LAYER_BYTES <
            STORE_TEXT_MAX)
        return NULL;
    return str_fmt("the image store is full: %zu images, %zu tags and %zu layers of them would be "
                   "more than it keeps",
                   images, tags, layers);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* What a dead engine was about to make or to remove, of any size, goes while this one serves. */
static void store_tmp_away(const char *path)
{
    char hex[17], *away;

    random_hex(hex, 16);
    away = str_fmt("%s-%s", path, hex);
    if (rename(path, away) < 0 && errno != ENOENT)
        engine_log("%s: %s", path, strerror(errno));
    free(away);
}

static int store_dirs(void)
{
    static const char *const dirs[] = {"layers", "images",  "containers", "tmp",
                                       "packed", "volumes", "networks",   "tars"};
    int err = 0;

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !err; i++) {
        char *path = store_path(dirs[i], "");

        if (!strcmp(dirs[i], "tmp"))
            store_tmp_away(path);
        err = dir_make(path, 0711);
        free(path);
    }
    return err;
}

/* ID.json or ID.cpio of an image that is listed. */
static bool image_is_used(const char *file)
{
    char *id = str_dupn(file, strcspn(file, "."));
    bool used = image_of_id(id);

    free(id);
    return used;
}

static void orphans_of(const char *dir, bool (*used)(const char *name))
{
    char *path = store_path(dir, "");
    DIR *d = opendir(path);
    struct dirent *e;
    int err;

    while ((e = dir_next(d, &err))) {
        char *orphan;

        if (*e->d_name == '.' || used(e->d_name))
            continue;
        orphan = str_fmt("%s/%s", path, e->d_name);
        tree_discard(orphan, NULL, NULL);
        free(orphan);
    }
    if (err && err != -ENOENT)
        engine_log("%s: %s: what no image is made of stays there", path, strerror(-err));
    if (d)
        closedir(d);
    free(path);
}

/* What no image is made of: an engine died between a load and its entry in the store. */
static void store_orphans(void)
{
    orphans_of("layers", layer_is_used);
    orphans_of("tars", layer_is_used);
    orphans_of("images", image_is_used);
    orphans_of("packed", image_is_used);
}

/* What the file lists may still be saved by hand: the next one does not take its place. */
static void store_keep(const char *path, const char *bad)
{
    if (link(path, bad) == 0)
        engine_log("%s is kept as %s", path, bad);
    else
        engine_log("cannot keep %s as %s: %s", path, bad, strerror(errno));
}

/* Its list of images, or NULL; not *whole when there is a file that is bad. */
static struct json *store_read(const char *path, bool *whole)
{
    struct buf text = {0};
    const char *why = "it is no list of images";
    struct json *j = NULL;
    int err = file_read(path, STORE_TEXT_MAX, &text);

    engine_check_file(path, err);
    if (!err)
        j = json_parse(text.data, text.len, &why);
    if (j && (!json_get(j, "Images") || json_get(j, "Images")->type != JSON_ARRAY)) {
        json_free(j);
        j = NULL;
    }
    *whole = j || err == -ENOENT;
    if (!*whole)
        engine_log("%s: %s; starting with no images", path, err ? strerror(-err) : why);
    buf_free(&text);
    return j;
}

/* False when an image had to be left out. */
static bool store_adopt(const struct json *j)
{
    const char *why = "";
    bool whole = true;

    store_opening = true;
    for (struct json *e = json_list(j, "Images"); e; e = e->next) {
        struct image *img = image_adopt(e, &why);
        bool removed = json_bool(e, "Removed"); /* it may have gone whole since that was written */

        if (img && removed)
            image_unlist(img);
        else if (img)
            image_adopt_tags(img, e, NULL);
        else if (!removed)
            engine_log("an image of the store is left out: %s", why);
        whole = whole && (img || removed);
    }
    store_opening = false;
    return whole;
}

/* Those that were removed and that no container has any more. */
static void store_drop_unused(void)
{
    for (struct image *img = image_first(), *next; img; img = next) {
        next = img->next;
        if (!image_listed(img) && !img->refs)
            image_put(image_get(img));
    }
}

/* A directory of the root's that is no part of it: tmp-*, of engines that died one after another.
 */
static bool store_is_part(const char *name)
{
    return strncmp(name, "tmp-", 4);
}

void image_store_opened(void)
{
    store_drop_unused();
    orphans_of("", store_is_part);
}

bool image_store_whole(void)
{
    return store_whole;
}

int image_store_open(void)
{
    char *path = store_path("images.json", ""), *bad = store_path("images.json.bad", "");
    int err = dir_make(engine.root, 0711);
    struct json *j = NULL;
    bool whole;

    err = err ? err : store_dirs();
    if (!err) {
        j = store_read(path, &whole);
        whole = store_adopt(j) && whole;
        if (!whole)
            store_keep(path, bad);
        store_whole = whole && access(bad, F_OK) < 0;
        if (store_whole)
            store_orphans();
        else
            engine_log("nothing of the store is removed for want of a use");
        layers_forget();
    }
    json_free(j);
    free(path);
    free(bad);
    return err;
}
