// SPDX-License-Identifier: MIT
// The image store: which images and layers there are, by digest and by name.
//
// images.json is the truth about what is listed; it is replaced by rename, so that a crash leaves
// the old or the new. Layers are directories that appear complete, by rename, or not at all.
#include "engine/engine.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/str.h"

#define STORE_MAX (16u * 1024 * 1024)

static struct image *image_list;
static struct layer *layer_list;

static char *store_path(const char *fmt, const char *arg)
{
    char *tail = str_fmt("%s%s", fmt, arg);
    char *path = str_fmt("%s/%s", engine.root, tail);

    free(tail);
    return path;
}

struct image *image_first(void)
{
    return image_list;
}

struct layer *layer_find(const char *diff_id)
{
    for (struct layer *l = layer_list; l; l = l->next)
        if (!strcmp(l->diff_id, diff_id))
            return l;
    return NULL;
}

/* 128 bits of the digest, six to a character. */
char *layer_dir(const char *diff_id)
{
    static const char digit[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    char name[LAYER_DIR_LEN + 1] = "";
    unsigned held = 0, bits = 0;

    for (int i = 0, n = 0; n < LAYER_DIR_LEN; n++) {
        while (bits < 6 && i < 32) {
            char c = diff_id[i++];

            held = held << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
            bits += 4;
        }
        bits -= bits < 6 ? bits : 6;
        name[n] = digit[held >> bits & 63];
    }
    return str_dup(name);
}

static struct layer *layer_add(const char *diff_id, uint64_t size)
{
    struct layer *l = layer_find(diff_id);
    char *dir;

    if (l)
        return l;
    l = mem_alloc(sizeof(*l));
    dir = layer_dir(diff_id);
    snprintf(l->diff_id, sizeof(l->diff_id), "%s", diff_id);
    snprintf(l->dir, sizeof(l->dir), "%s", dir);
    free(dir);
    l->size = size;
    l->next = layer_list;
    layer_list = l;
    return l;
}

int image_root_apply(const struct image *img, int dir)
{
    struct stat st = {.st_mode = S_IFDIR | 0755};
    struct timespec times[2];
    bool found = false;
    char mark;

    for (int i = img->nlayers; i-- > 0 && !found;) {
        char *path = store_path("layers/", img->layers[i]->dir);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        found = fd >= 0 && fgetxattr(fd, LAYER_ROOT_MARK, &mark, 1) == 1 && fstat(fd, &st) == 0;
        if (fd >= 0)
            close(fd);
        free(path);
    }
    if (fchown(dir, st.st_uid, st.st_gid) < 0 || fchmod(dir, st.st_mode & 07777) < 0)
        return -errno;
    times[0] = times[1] = st.st_mtim;
    return found && futimens(dir, times) < 0 ? -errno : 0;
}

static bool image_ref_char(char c)
{
    return islower((unsigned char)c) || isdigit((unsigned char)c) || strchr("._-/:", c);
}

char *image_ref_normalize(const char *ref)
{
    static const char *const defaults[] = {"docker.io/library/", "index.docker.io/library/",
                                           "docker.io/"};
    const char *tag, *p;

    for (size_t i = 0; i < 3; i++) {
        if (str_starts(ref, defaults[i])) {
            ref += strlen(defaults[i]);
            break;
        }
    }
    if (!isalnum((unsigned char)*ref) || strlen(ref) > 384)
        return NULL;
    tag = strrchr(ref, ':');
    if (tag && strchr(tag, '/'))
        tag = NULL; /* a registry's port */
    for (p = ref; *p && p != tag; p++)
        if (!image_ref_char(*p) || (p[0] == '/' && (p[1] == '/' || !p[1])))
            return NULL;
    if (!tag)
        return str_fmt("%s:latest", ref);
    if (!isalnum((unsigned char)tag[1]) && tag[1] != '_')
        return NULL;
    for (p = tag + 1; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            return NULL;
    return strlen(tag + 1) > 128 ? NULL : str_dup(ref);
}

static struct image *image_by_tag(const char *ref)
{
    for (struct image *img = image_list; img; img = img->next)
        for (int i = 0; i < img->ntags; i++)
            if (!strcmp(img->tags[i], ref))
                return img;
    return NULL;
}

static struct image *image_by_id(const char *id)
{
    struct image *found = NULL;
    size_t n = strlen(id);

    if (n < 1 || n > ID_LEN || !str_is_hex(id, n))
        return NULL;
    for (struct image *img = image_list; img; img = img->next) {
        if (!img->listed || strncmp(img->id, id, n))
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

struct image *image_get(struct image *img)
{
    img->refs++;
    return img;
}

static void image_free(struct image *img)
{
    for (struct image **at = &image_list; *at; at = &(*at)->next) {
        if (*at != img)
            continue;
        *at = img->next;
        break;
    }
    for (int i = 0; i < img->ntags; i++)
        free(img->tags[i]);
    free(img->tags);
    json_free(img->config);
    free(img);
}

static bool layer_used(const struct layer *l)
{
    for (struct image *img = image_list; img; img = img->next)
        for (int i = 0; i < img->nlayers; i++)
            if (img->layers[i] == l)
                return true;
    return false;
}

/* Deletes the layers that no image uses any more; their diff ids go to `removed`. */
static void layer_sweep(struct jw *removed)
{
    struct layer **at = &layer_list;

    while (*at) {
        struct layer *l = *at;
        char *path;

        if (layer_used(l)) {
            at = &l->next;
            continue;
        }
        path = store_path("layers/", l->dir);
        if (tree_remove(AT_FDCWD, path))
            engine_log("cannot remove layer %s", path);
        free(path);
        if (removed) {
            jw_object(removed, NULL);
            jw_fmt(removed, "Deleted", "sha256:%s", l->diff_id);
            jw_object_end(removed);
        }
        *at = l->next;
        free(l);
    }
}

void image_put(struct image *img)
{
    if (--img->refs > 0 || img->listed)
        return;
    image_free(img);
    layer_sweep(NULL);
}

void image_tag(struct image *img, const char *ref)
{
    struct image *old = image_by_tag(ref);

    if (old == img)
        return;
    if (old)
        image_untag(old, ref);
    img->tags = mem_resize(img->tags, sizeof(char *) * (size_t)(img->ntags + 1));
    img->tags[img->ntags++] = str_dup(ref);
}

bool image_untag(struct image *img, const char *ref)
{
    for (int i = 0; i < img->ntags; i++) {
        if (strcmp(img->tags[i], ref))
            continue;
        free(img->tags[i]);
        memmove(img->tags + i, img->tags + i + 1, sizeof(char *) * (size_t)(img->ntags - i - 1));
        img->ntags--;
        return true;
    }
    return false;
}

int image_remove(struct image *img, struct buf *removed)
{
    struct jw w = {.out = removed};
    char *path;

    jw_array(&w, NULL);
    while (img->ntags) {
        jw_object(&w, NULL);
        jw_str(&w, "Untagged", img->tags[0]);
        jw_object_end(&w);
        event_image(img->id, img->tags[0], "untag");
        image_untag(img, img->tags[0]);
    }
    jw_object(&w, NULL);
    jw_fmt(&w, "Deleted", "sha256:%s", img->id);
    jw_object_end(&w);
    event_image(img->id, img->id, "delete");
    path = str_fmt("%s/images/%s.json", engine.root, img->id);
    unlink(path);
    free(path);
    path = str_fmt("%s/packed/%s.cpio", engine.root, img->id);
    unlink(path);
    free(path);
    img->listed = false;
    if (img->refs == 0) {
        image_free(img);
        layer_sweep(&w);
    }
    jw_array_end(&w);
    image_store_save();
    return 0;
}

void image_store_save(void)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    char *path = store_path("images.json", ""), *fresh = store_path("images.json.new", "");

    jw_object(&w, NULL);
    jw_array(&w, "Images");
    for (struct image *img = image_list; img; img = img->next) {
        if (!img->listed)
            continue;
        jw_object(&w, NULL);
        jw_str(&w, "Id", img->id);
        jw_array(&w, "Tags");
        for (int i = 0; i < img->ntags; i++)
            jw_str(&w, NULL, img->tags[i]);
        jw_array_end(&w);
        jw_array(&w, "Layers");
        for (int i = 0; i < img->nlayers; i++) {
            jw_object(&w, NULL);
            jw_str(&w, "DiffId", img->layers[i]->diff_id);
            jw_int(&w, "Size", (int64_t)img->layers[i]->size);
            jw_object_end(&w);
        }
        jw_array_end(&w);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    if (file_write(fresh, b.data, b.len, 0644) || rename(fresh, path))
        engine_log("cannot write %s: %s", path, strerror(errno));
    buf_free(&b);
    free(path);
    free(fresh);
}

/* An image whose parts are in place, from its entry in a report or in images.json. */
static struct image *image_adopt(const struct json *j, const char **why)
{
    const char *id = json_str(j, "Id");
    struct image *img, **tail;
    struct buf text = {0};
    char *path;

    *why = "bad record";
    if (!id || strlen(id) != ID_LEN || !str_is_hex(id, ID_LEN))
        return NULL;
    img = image_by_id(id);
    if (img)
        return img;
    img = mem_alloc(sizeof(*img));
    snprintf(img->id, sizeof(img->id), "%s", id);
    path = str_fmt("%s/images/%s.json", engine.root, id);
    if (file_read(path, STORE_MAX, &text) == 0)
        img->config = json_parse(text.data, text.len, why);
    buf_free(&text);
    free(path);
    for (struct json *l = json_list(j, "Layers"); l && img->nlayers < LAYERS_MAX; l = l->next) {
        const char *diff_id = json_str(l, "DiffId");

        if (!diff_id || !str_is_hex(diff_id, ID_LEN)) {
            json_free(img->config);
            img->config = NULL;
            break;
        }
        img->layers[img->nlayers] = layer_add(diff_id, (uint64_t)json_int(l, "Size", 0));
        img->size += img->layers[img->nlayers++]->size;
    }
    if (!img->config) {
        free(img);
        return NULL;
    }
    img->listed = true;
    for (tail = &image_list; *tail; tail = &(*tail)->next)
        ;
    *tail = img;
    return img;
}

static void image_adopt_tags(struct image *img, const struct json *j, struct buf *out)
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
        if (t->type != JSON_STRING)
            continue;
        image_tag(img, t->str);
        if (!out)
            continue;
        w.more = false;
        jw_object(&w, NULL);
        jw_fmt(&w, "stream", "Loaded image: %s\n", t->str);
        jw_object_end(&w);
        buf_str(out, "\r\n");
        event_image(img->id, t->str, "load");
    }
}

static char *publish_file(const char *dir, const char *from, const char *to, const char *name)
{
    char *old = str_fmt("%s/%s/%s", dir, from, name);
    char *new = str_fmt("%s/%s/%s", engine.root, to, name), *why = NULL;

    if (rename(old, new) < 0 && errno != EEXIST && errno != ENOTEMPTY && errno != ENOENT)
        why = str_fmt("cannot store %s: %s", new, strerror(errno));
    free(old);
    free(new);
    return why;
}

char *image_publish(const char *dir, const struct json *result, struct buf *out)
{
    char *why = NULL;
    const char *bad;

    for (struct json *j = json_list(result, "Images"); j && !why; j = j->next) {
        const char *id = json_str(j, "Id");
        char *file = str_fmt("%s.json", id ? id : "");
        struct image *img;

        for (struct json *l = json_list(j, "Layers"); l && !why; l = l->next) {
            const char *diff_id = json_str(l, "DiffId");

            if (diff_id && !layer_find(diff_id)) {
                char *name = layer_dir(diff_id);

                why = publish_file(dir, "layers", "layers", name);
                free(name);
            }
        }
        why = why ? why : publish_file(dir, "images", "images", file);
        free(file);
        if (why)
            break;
        img = image_adopt(j, &bad);
        if (!img)
            why = str_fmt("image configuration: %s", bad);
        else
            image_adopt_tags(img, j, out);
    }
    image_store_save();
    return why;
}

static int store_dirs(void)
{
    static const char *const dirs[] = {"layers", "images", "containers", "tmp", "packed"};
    int err = 0;

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !err; i++) {
        char *path = store_path(dirs[i], "");

        /* containers end with the engine; what they leave is of no use to the next one */
        if (i == 2 || i == 3)
            tree_remove(AT_FDCWD, path);
        err = dir_make(path, 0711);
        free(path);
    }
    return err;
}

int image_store_open(void)
{
    struct buf text = {0};
    struct json *j = NULL;
    const char *why = "";
    char *path;
    int err = dir_make(engine.root, 0711);

    if (!err)
        err = store_dirs();
    if (err)
        return err;
    path = store_path("images.json", "");
    if (file_read(path, STORE_MAX, &text) == 0) {
        j = json_parse(text.data, text.len, &why);
        if (!j)
            engine_log("%s: %s; starting with no images", path, why);
    }
    for (struct json *e = json_list(j, "Images"); e; e = e->next) {
        struct image *img = image_adopt(e, &why);

        if (img)
            image_adopt_tags(img, e, NULL);
    }
    json_free(j);
    buf_free(&text);
    free(path);
    return 0;
}
