// SPDX-License-Identifier: MIT
// The image store: which images and layers there are, by digest and by name.
//
// Layers are directories that appear complete, by rename, or not at all. They are kept by the
// images that are made of them, and by the loads that found them here: a load beside a removal sees
// one order of the two. What is written of it: image_store.c.
#include "engine/image_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/map.h"
#include "lib/str.h"

#define IMAGE_CONFIG_MAX (16u * 1024 * 1024)
/* Of all images. A load begins below that and adds no more than load.c lets through. */
#define CONFIGS_BYTES (48u * 1024 * 1024)
#define CONFIGS_VALUES (3u * JSON_NODES_MAX)

static struct image *image_list, **image_tail = &image_list;
static struct layer *layer_list;
/* A single archive may have tens of thousands of layers or tags. */
static struct map images_by_id, tags_by_ref, layers_by_id, layers_by_dir;
static uint64_t config_bytes, config_values; /* of all images' configurations */

char *store_path(const char *dir, const char *name)
{
    return str_fmt("%s/%s%s", engine.root, dir, name);
}

struct image *image_first(void)
{
    return image_list;
}

struct layer *layer_first(void)
{
    return layer_list;
}

struct layer *layer_find(const char *id)
{
    return map_find(&layers_by_id, id);
}

bool layer_is_used(const char *dir)
{
    const struct layer *l = map_find(&layers_by_dir, dir);

    return l && l->refs;
}

static void layer_forget(struct layer *l)
{
    *l->link = l->next;
    if (l->next)
        l->next->link = l->link;
    map_remove(&layers_by_id, l->id);
    map_remove(&layers_by_dir, l->dir);
    free(l);
}

/* 128 bits of the digest, six to a character. */
char *layer_dir(const char *id)
{
    static const char digit[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    char name[LAYER_DIR_LEN + 1] = "";
    unsigned held = 0, bits = 0;

    for (int i = 0, n = 0; n < LAYER_DIR_LEN; n++) {
        while (bits < 6 && i < 32) {
            char c = id[i++];

            held = held << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
            bits += 4;
        }
        bits -= bits < 6 ? bits : 6;
        name[n] = digit[held >> bits & 63];
    }
    return str_dup(name);
}

static struct layer *layer_add(const char *id, const char *diff_id, uint64_t size)
{
    struct layer *l = layer_find(id);
    char *dir;

    if (l)
        return l;
    l = mem_alloc(sizeof(*l));
    dir = layer_dir(id);
    snprintf(l->id, sizeof(l->id), "%s", id);
    snprintf(l->diff_id, sizeof(l->diff_id), "%s", diff_id);
    snprintf(l->dir, sizeof(l->dir), "%s", dir);
    free(dir);
    l->size = size;
    l->next = layer_list;
    l->link = &layer_list;
    if (l->next)
        l->next->link = &l->next;
    layer_list = l;
    map_put(&layers_by_id, l->id, l);
    map_put(&layers_by_dir, l->dir, l);
    return l;
}

void layer_note(const char *id)
{
    if (str_is_hex(id, ID_LEN))
        layer_add(id, id, 0);
}

struct layer *layer_get(struct layer *l)
{
    l->refs++;
    return l;
}

static void layer_gone(void *answer)
{
    if (answer)
        answer_done(answer, NULL);
}

void layer_put(struct layer *l, struct answer *a)
{
    char *path;

    if (--l->refs || store_opening)
        return;
    path = store_path("tars/", l->dir);
    unlink(path);
    free(path);
    path = store_path("layers/", l->dir);
    if (a)
        answer_hold(a);
    tree_discard(path, layer_gone, a);
    free(path);
    layer_forget(l);
}

void layers_forget(void)
{
    for (struct layer *l = layer_list, *next; l; l = next) {
        next = l->next;
        if (!l->refs)
            layer_forget(l);
    }
}

bool image_configs_full(void)
{
    return config_bytes > CONFIGS_BYTES || config_values > CONFIGS_VALUES;
}

static struct image *image_by_tag(const char *ref)
{
    const struct image_tag *t = map_find(&tags_by_ref, ref);

    return t ? t->img : NULL;
}

bool image_has_tag(const struct image *img, const char *ref)
{
    return image_by_tag(ref) == img;
}

static struct image *image_by_id(const char *id)
{
    struct image *found = NULL;
    size_t n = strlen(id);

    if (n < 1 || n > ID_LEN || !str_is_hex(id, n))
        return NULL;
    for (struct image *img = image_list; img; img = img->next) {
        if (img->state != I_LISTED || strncmp(img->id, id, n))
            continue;
        if (found)
            return NULL;
        found = img;
    }
    return found;
}

struct image *image_find(const char *name)
{
    bool digest = str_starts(name, "sha256:");
    char *ref = digest ? NULL : image_ref_normalize(name);
    struct image *img = ref ? image_by_tag(ref) : NULL;

    free(ref);
    return img ? img : image_by_id(digest ? name + 7 : name);
}

bool image_layer_again(const struct image *img, int i)
{
    for (int above = i + 1; above < img->nlayers; above++)
        if (img->layers[above] == img->layers[i])
            return true;
    return false;
}

bool image_listed(const struct image *img)
{
    return img->state == I_LISTED;
}

struct image *image_get(struct image *img)
{
    img->refs++;
    return img;
}

static void image_untag_all(struct image *img)
{
    for (int i = 0; i < img->ntags; i++) {
        map_remove(&tags_by_ref, img->tags[i]->ref);
        free(img->tags[i]);
    }
    img->ntags = 0;
}

static void image_free(struct image *img)
{
    for (struct image **at = &image_list; *at; at = &(*at)->next) {
        if (*at != img)
            continue;
        *at = img->next;
        image_tail = img->next ? image_tail : at;
        map_remove(&images_by_id, img->id);
        break;
    }
    image_untag_all(img);
    for (int i = 0; i < img->nlayers; i++)
        layer_put(img->layers[i], img->removal);
    free(img->tags);
    config_bytes -= img->config_bytes;
    config_values -= img->config_values;
    json_free(img->config);
    free(img);
}

static void image_unlink(const char *dir, const char *id, const char *suffix)
{
    char *path = str_fmt("%s/%s/%s%s", engine.root, dir, id, suffix);

    unlink(path);
    free(path);
}

static void image_raise(struct image *img, enum image_event e)
{
    int next = image_next(img->state, e);

    if (next == LIFE_NO) {
        engine_bug("image %s: event %d in state %d", img->id, e, img->state);
        return;
    }
    img->state = (enum image_state)next;
    if (img->state != I_GONE)
        return;
    image_unlink("images", img->id, ".json");
    image_unlink("images", img->id, ".manifest");
    image_unlink("packed", img->id, ".cpio"); /* it may have been made after the removal */
    image_free(img);
}

void image_put(struct image *img)
{
    if (--img->refs == 0)
        image_raise(img, IE_UNUSED);
}

void image_tag(struct image *img, const char *ref)
{
    struct image *old = image_by_tag(ref);
    size_t size = strlen(ref) + 1;
    struct image_tag *t;

    if (old == img)
        return;
    if (old)
        image_untag(old, ref);
    t = mem_alloc(sizeof(*t) + size);
    *t = (struct image_tag){.img = img, .at = img->ntags};
    memcpy(t->ref, ref, size);
    img->tags = mem_resize(img->tags, sizeof(t) * (size_t)(img->ntags + 1));
    img->tags[img->ntags++] = t;
    img->tags_sorted = false;
    map_put(&tags_by_ref, t->ref, t);
}

void image_untag(struct image *img, const char *ref)
{
    struct image_tag *t = map_find(&tags_by_ref, ref), *last = img->tags[--img->ntags];

    last->at = t->at;
    img->tags[t->at] = last;
    img->tags_sorted = false;
    map_remove(&tags_by_ref, ref);
    free(t);
}

int image_tag_count(const struct image *img)
{
    int n = 0;

    for (int i = 0; i < img->ntags; i++)
        n += !image_ref_is_digest(img->tags[i]->ref);
    return n;
}

static int tag_compare(const void *a, const void *b)
{
    return strcmp((*(struct image_tag *const *)a)->ref, (*(struct image_tag *const *)b)->ref);
}

void image_tags_sort(struct image *img)
{
    if (img->tags_sorted || !img->ntags)
        return;
    qsort(img->tags, (size_t)img->ntags, sizeof(struct image_tag *), tag_compare);
    for (int i = 0; i < img->ntags; i++)
        img->tags[i]->at = i;
    img->tags_sorted = true;
}

/* What is deleted with an image, as Docker tells it: itself, and layers that are only its. */
static void image_remove_told(const struct image *img, struct jw *w)
{
    jw_object(w, NULL);
    jw_fmt(w, "Deleted", "sha256:%s", img->id);
    jw_object_end(w);
    for (int i = img->nlayers; i-- > 0 && img->refs == 0;) {
        if (img->layers[i]->refs > 1)
            continue;
        jw_object(w, NULL);
        jw_fmt(w, "Deleted", "sha256:%s", img->layers[i]->diff_id);
        jw_object_end(w);
    }
}

void image_remove(struct image *img, struct jw *w, struct answer *a)
{
    image_tags_sort(img);
    for (int i = 0; i < img->ntags; i++) {
        jw_object(w, NULL);
        jw_str(w, "Untagged", img->tags[i]->ref);
        jw_object_end(w);
        event_image(img->id, img->tags[i]->ref, "untag");
    }
    image_untag_all(img);
    image_remove_told(img, w);
    event_image(img->id, img->id, "delete");
    image_get(img);
    img->leaving = 1;
    image_raise(img, IE_REMOVE);
    image_store_save(a, img);
}

void image_unlist(struct image *img)
{
    image_raise(img, IE_REMOVE);
}

void image_drop(struct image *img, struct answer *a)
{
    img->leaving = 0;
    if (img->refs == 1 && !image_listed(img))
        img->removal = a; /* else it goes later, with its last container */
    image_put(img);
}

/* Listed, or kept by a container after its removal. */
struct image *image_of_id(const char *id)
{
    return map_find(&images_by_id, id);
}

bool layer_there(const char *dir)
{
    char *path = store_path("layers/", dir);
    bool there = access(path, F_OK) == 0;

    if (!there && store_opening)
        engine_check_read(path, -errno);
    free(path);
    return there;
}

bool image_id_ok(const char *text)
{
    return text && str_is_hex(text, ID_LEN);
}

/* The id of a layer of an entry in a report or in images.json. */
const char *layer_entry_id(const struct json *l)
{
    return json_str(l, "Id") ? json_str(l, "Id") : json_str(l, "DiffId");
}

struct image *image_adopt(const struct json *j, const char **why)
{
    const char *id = json_str(j, "Id");
    struct image *img;
    struct buf text = {0};
    size_t bytes;
    char *path;
    int err;

    *why = "bad record";
    if (!image_id_ok(id))
        return NULL;
    img = image_of_id(id);
    if (img) {
        image_raise(img, IE_LIST);
        return img;
    }
    img = mem_alloc(sizeof(*img));
    img->state = I_LISTED;
    snprintf(img->id, sizeof(img->id), "%s", id);
    path = str_fmt("%s/images/%s.json", engine.root, id);
    err = file_read(path, IMAGE_CONFIG_MAX, &text);
    if (store_opening)
        engine_check_file(path, err);
    if (err)
        *why = strerror(-err);
    else
        img->config = json_parse(text.data, text.len, why);
    bytes = text.len;
    buf_free(&text);
    free(path);
    for (struct json *l = json_list(j, "Layers"); l && img->nlayers < LAYERS_MAX; l = l->next) {
        if (!image_id_ok(json_str(l, "DiffId")) || !image_id_ok(layer_entry_id(l))) {
            json_free(img->config);
            img->config = NULL;
            break;
        }
        img->layers[img->nlayers] = layer_get(
            layer_add(layer_entry_id(l), json_str(l, "DiffId"), (uint64_t)json_int(l, "Size", 0)));
        img->size += img->layers[img->nlayers++]->size;
        if (!layer_there(img->layers[img->nlayers - 1]->dir)) {
            *why = "a layer of it is missing";
            json_free(img->config);
            img->config = NULL;
            break;
        }
    }
    if (!img->config) {
        image_free(img); /* puts the layers */
        return NULL;
    }
    img->config_bytes = bytes;
    img->config_values = json_values(img->config);
    config_bytes += img->config_bytes;
    config_values += img->config_values;
    *image_tail = img;
    image_tail = &img->next;
    map_put(&images_by_id, img->id, img);
    return img;
}

void image_adopt_tags(struct image *img, const struct json *j, struct buf *out)
{
    struct jw w = {.out = out};
    struct json *t = json_list(j, "Tags");

    if (!t && out) {
        jw_object(&w, NULL);
        jw_fmt(&w, "stream", "Loaded image ID: sha256:%s\n", img->id);
        jw_object_end(&w);
        buf_str(out, "\r\n");
    }
    for (; t; t = t->next) {
        char *ref = t->type == JSON_STRING ? image_ref_normalize(t->str) : NULL;

        if (ref) /* which an earlier engine may have kept in another form */
            image_tag(img, ref);
        else
            engine_log("a name of image %.12s is left out: %.400s", img->id,
                       t->type == JSON_STRING ? t->str : "no string");
        free(ref);
        if (!ref || !out)
            continue;
        w.more = false;
        jw_object(&w, NULL);
        jw_fmt(&w, "stream", "Loaded image: %s\n", t->str);
        jw_object_end(&w);
        buf_str(out, "\r\n");
        event_image(img->id, t->str, "load");
    }
}
