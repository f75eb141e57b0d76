// SPDX-License-Identifier: MIT
// One layer of an archive: decoded, hashed, unpacked, verified.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/load.h"
#include "lib/decode.h"
#include "lib/sha256.h"
#include "lib/str.h"

static int load_store = -1; /* the directory of the layers that the engine has */

void load_store_open(void)
{
    load_store = open(LOAD_STORE, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (load_store < 0)
        load_fail("cannot open the store: %s", strerror(errno));
}

/* A source that hashes what passes. */
struct source_sum {
    struct source src;
    struct source *from;
    struct sha256 sum;
    uint64_t total;
    bool unwanted;                /* it only counts */
    void (*told)(uint64_t total); /* now and then; or NULL */
};

#define LAYER_TOLD (512u << 10) /* bytes between two */

void (*load_layer_progress)(uint64_t bytes);

static ssize_t source_sum_read(struct source *s, void *data, size_t len)
{
    struct source_sum *h = (struct source_sum *)s;
    ssize_t n = h->from->read(h->from, data, len);

    if (n > 0) {
        if (!h->unwanted)
            sha256_add(&h->sum, data, (size_t)n);
        h->total += (uint64_t)n;
        if (h->told && h->total / LAYER_TOLD != (h->total - (uint64_t)n) / LAYER_TOLD)
            h->told(h->total);
    }
    s->why = h->from->why;
    return n;
}

static void source_sum_init(struct source_sum *h, struct source *from)
{
    *h = (struct source_sum){.src.read = source_sum_read, .from = from};
    sha256_init(&h->sum);
}

#define LAYER_BEHIND (64u << 20) /* bytes that may stand behind an archive's end */

static void source_drain(struct source *s, const char *name, uint64_t most)
{
    char waste[16384];
    uint64_t all = 0;
    ssize_t n;

    while ((n = s->read(s, waste, sizeof(waste))) > 0) {
        all += (uint64_t)n;
        if (all > most)
            load_fail("layer %s: too much behind its end", name);
    }
    if (n < 0)
        load_fail("layer %s: %s", name, s->why ? s->why : "read error");
}

struct source *load_decoder(const struct member *m, struct source *from)
{
    uint8_t head[DECODE_HEAD];
    size_t want = m->size < sizeof(head) ? m->size : sizeof(head);
    ssize_t n = read_at(m->fd, head, want, m->offset);

    if (n != (ssize_t)want) /* not to be taken for a plain one */
        load_fail("%s: read error: %s", m->name,
                  n < 0 ? strerror((int)-n) : "it has become shorter");
    return decode_new(decode_detect(head, want), from);
}

/* Its directory, wherever it is. */
static int load_layer_dir(const char *dir)
{
    char *path = str_fmt("/layers/%s", dir);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    free(path);
    return fd >= 0 ? fd : openat(load_store, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Below /layers or /tars, by its id. */
static char *load_layer_path(const char *in, const char *id)
{
    char *dir = layer_dir(id), *path = str_fmt("/%s/%s", in, dir);

    free(dir);
    return path;
}

/* Of another name than what it holds alone would have. */
static void load_layer_rename(const struct load_layer *l, const char *in)
{
    char *path = load_layer_path(in, l->diff_id), *chained = load_layer_path(in, l->id);

    if (strcmp(path, chained) && rename(path, chained) < 0 && errno != ENOENT)
        load_fail("layer %s: cannot store it: %s", l->m->name, strerror(errno));
    free(chained);
    free(path);
}

/* A layer without a skeleton is as good as any, but cannot be pushed. */
static void load_skeleton_end(struct load_layer *l, struct skeleton *s)
{
    char *path = load_layer_path("tars", l->diff_id);
    int err = skeleton_end(s);

    if (err && err != -ENODATA)
        load_fail("layer %s: cannot store its skeleton: %s", l->m->name, strerror(-err));
    if (err)
        unlink(path);
    close(s->fd);
    free(path);
}

/* It is the disk's as much as the files are: an archive of names alone is all skeleton. */
static void load_skeleton_take(uint64_t bytes)
{
    load_take(bytes, "layer");
}

static int load_skeleton_create(const struct load_layer *l)
{
    char *path = load_layer_path("tars", l->diff_id);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        load_fail("layer %s: cannot store its skeleton: %s", l->m->name, strerror(errno));
    free(path);
    return fd;
}

static void load_layer_unpack(struct load_layer *l)
{
    const struct member *m = l->m;
    struct source_file file;
    struct source_sum blob, content;
    struct source *decoder;
    struct skeleton skeleton;
    char hex[SHA256_HEX], *path = load_layer_path("layers", l->diff_id);

    source_file_init(&file, m->fd, m->offset, m->size);
    if (m->uses == 1)
        source_file_spend(&file, load_give);
    source_sum_init(&blob, &file.src);
    blob.told = load_layer_progress;
    blob.unwanted = !l->digest;
    decoder = load_decoder(m, &blob.src);
    source_sum_init(&content, decoder ? decoder : &blob.src);
    skeleton_begin(&skeleton, &content.src, load_skeleton_create(l));
    skeleton.take = load_skeleton_take;
    l->id = unpack_layer(&skeleton, path, m->name) ? l->chain : l->diff_id;
    free(path);
    source_drain(&skeleton.src, m->name, LAYER_BEHIND);
    source_drain(&blob.src, m->name, UINT64_MAX); /* a file's bytes, which are there */
    source_free(decoder);
    sha256_end(&content.sum, hex);
    if (strcmp(hex, l->diff_id))
        load_fail("layer %s: digest does not match: want sha256:%s, is sha256:%s", m->name,
                  l->diff_id, hex);
    sha256_end(&blob.sum, hex);
    if (l->digest && strcmp(hex, l->digest))
        load_fail("layer %s: blob digest does not match: is sha256:%s", m->name, hex);
    l->size = content.total;
    load_skeleton_end(l, &skeleton);
    load_layer_rename(l, "layers");
    load_layer_rename(l, "tars");
}

/* Whether a layer of that id is in the store or has been unpacked. */
static bool load_layer_there(struct load_layer *l, const char *id)
{
    const struct layer *known = layer_find(id);
    char *path = load_layer_path("layers", id);
    bool there = known || access(path, F_OK) == 0;

    free(path);
    if (!there)
        return false;
    l->id = id;
    l->size = known ? known->size : l->m->size;
    return true;
}

/* Nothing reads its bytes any more. */
static void load_layer_spent(const struct member *m)
{
    struct source_file file;

    source_file_init(&file, m->fd, m->offset, m->size);
    source_file_spend(&file, load_give);
    file.at = file.end;
    source_file_spent(&file);
}

void load_layer(struct load_layer *l)
{
    char *dir;
    int fd;

    if (!load_layer_there(l, l->diff_id) && !load_layer_there(l, l->chain))
        load_layer_unpack(l);
    else if (l->m->uses == 1)
        load_layer_spent(l->m);
    if (l->m->uses)
        l->m->uses--;
    dir = layer_dir(l->id);
    fd = load_layer_dir(dir);
    if (fd < 0)
        load_fail("layer %s: cannot open it: %s", l->m->name, strerror(errno));
    lower_add(fd);
    free(dir);
}
