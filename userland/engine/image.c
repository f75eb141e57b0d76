// SPDX-License-Identifier: MIT
// The image store: which images and layers there are, by digest and by name.
//
// images.json is the truth about what is listed; a worker replaces it by rename, after all that it
// refers to is on the disk, so that a crash leaves the old or the new. Layers are directories that
// appear complete, by rename, or not at all. They are kept by the images that are made of them, and
// by the loads that found them here: a load beside a removal sees one order of the two.
#include "engine/engine.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/job.h"
#include "lib/str.h"

#define STORE_MAX (16u * 1024 * 1024)

static struct image *image_list;
static struct layer *layer_list;
static bool store_opening; /* what is not used may be used by the next entry */

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

struct layer *layer_first(void)
{
    return layer_list;
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

void layer_note(const char *diff_id)
{
    if (strlen(diff_id) == ID_LEN && str_is_hex(diff_id, ID_LEN))
        layer_add(diff_id, 0);
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
    for (struct layer **at = &layer_list; *at; at = &(*at)->next) {
        if (*at != l)
            continue;
        *at = l->next;
        break;
    }
    path = store_path("layers/", l->dir);
    if (a)
        answer_hold(a);
    tree_discard(path, layer_gone, a);
    free(path);
    free(l);
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

bool image_listed(const struct image *img)
{
    return img->state == I_LISTED;
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
    for (int i = 0; i < img->nlayers; i++)
        layer_put(img->layers[i], img->removal);
    free(img->tags);
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

void image_remove(struct image *img, struct answer *a)
{
    struct jw w = {.out = &a->body};

    jw_array(&w, NULL);
    while (img->ntags) {
        jw_object(&w, NULL);
        jw_str(&w, "Untagged", img->tags[0]);
        jw_object_end(&w);
        event_image(img->id, img->tags[0], "untag");
        image_untag(img, img->tags[0]);
    }
    image_remove_told(img, &w);
    jw_array_end(&w);
    event_image(img->id, img->id, "delete");
    image_unlink("images", img->id, ".json");
    image_unlink("packed", img->id, ".cpio");
    image_get(img);
    img->removal = a;
    image_raise(img, IE_REMOVE);
    if (img->refs > 1)
        img->removal = NULL; /* it goes later, with its last container */
    image_put(img);
}

static void store_write(struct buf *b)
{
    struct jw w = {.out = b};

    jw_object(&w, NULL);
    jw_array(&w, "Images");
    for (struct image *img = image_list; img; img = img->next) {
        if (!image_listed(img))
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
}

static void store_saved(struct job *j, const char *error)
{
    struct answer *a = j->owner;
    char *why =
        error ? str_fmt("cannot write images.json: %s", j->report.len ? j->report.data : error)
              : NULL;

    if (why)
        engine_log("%s", why);
    if (a)
        answer_done(a, why);
    free(why);
}

void image_store_save(struct answer *a)
{
    char *path = store_path("images.json", "");
    struct job *j = job_new(a, store_saved, 0, "store", path, NULL);
    struct buf b = {0};

    if (a)
        answer_hold(a);
    store_write(&b);
    job_feed(j, b.data, b.len);
    job_feed_end(j);
    buf_free(&b);
    free(path);
}

/* Listed, or kept by a container after its removal. */
static struct image *image_known(const char *id)
{
    for (struct image *img = image_list; img; img = img->next)
        if (!strcmp(img->id, id))
            return img;
    return NULL;
}

static bool layer_there(const char *dir)
{
    char *path = store_path("layers/", dir);
    bool there = access(path, F_OK) == 0;

    free(path);
    return there;
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
    img = image_known(id);
    if (img) {
        image_raise(img, IE_LIST);
        return img;
    }
    img = mem_alloc(sizeof(*img));
    img->state = I_LISTED;
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
        img->layers[img->nlayers] = layer_get(layer_add(diff_id, (uint64_t)json_int(l, "Size", 0)));
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

    if (rename(old, new) < 0 && errno != EEXIST && errno != ENOTEMPTY &&
        !(errno == ENOENT && access(new, F_OK) == 0)) /* two images of one archive share it */
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

/* Layers that no image is made of: an engine died between a load and its entry in the store. */
static void store_orphans(void)
{
    char *path = store_path("layers", "");
    DIR *d = opendir(path);
    struct dirent *e;

    for (struct layer *l = layer_list, *next; l; l = next) {
        next = l->next;
        layer_put(layer_get(l), NULL); /* goes if it has no other reference */
    }
    while (d && (e = readdir(d))) {
        struct layer *l = layer_list;
        char *orphan;

        while (l && strcmp(l->dir, e->d_name))
            l = l->next;
        if (l || *e->d_name == '.')
            continue;
        orphan = store_path("layers/", e->d_name);
        tree_discard(orphan, NULL, NULL);
        free(orphan);
    }
    if (d)
        closedir(d);
    free(path);
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
    store_opening = true;
    for (struct json *e = json_list(j, "Images"); e; e = e->next) {
        struct image *img = image_adopt(e, &why);

        if (img)
            image_adopt_tags(img, e, NULL);
        else
            engine_log("an image of the store is left out: %s", why);
    }
    store_opening = false;
    store_orphans();
    json_free(j);
    buf_free(&text);
    free(path);
    return 0;
}
