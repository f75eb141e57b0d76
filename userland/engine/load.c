// SPDX-License-Identifier: MIT
// Reading an image archive: a docker-archive (manifest.json) or an OCI layout (index.json).
//
// This runs in a worker process of its own, so that hostile bytes meet no engine state; whatever
// happens, the engine sees one JSON report or none. The archive is a seekable spool; one pass
// indexes its members, then they are read in place. Layers unpack below DIR/layers, verified by
// digest, before the report is written.
#include "engine/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"
#include "lib/inflate.h"
#include "lib/json.h"
#include "lib/sha256.h"
#include "lib/str.h"
#include "lib/tar.h"

#define LOAD_MEMBERS_MAX 20000
#define LOAD_JSON_MAX (8u * 1024 * 1024)

struct member {
    char *name;
    char *link; /* of a symbolic or hard link inside the archive */
    uint64_t offset, size;
};

static struct {
    int fd;
    int out;
    const char *dir;
    struct member *members;
    size_t nmembers;
    struct buf report;
    struct jw w;
} load;

void load_fail(const char *fmt, ...)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *p = text; *p; p++) /* one line, whatever names it quotes */
        if ((unsigned char)*p < 32)
            *p = '?';
    jw_object(&w, NULL);
    jw_str(&w, "error", text);
    jw_object_end(&w);
    tree_remove(AT_FDCWD, load.dir);
    _exit(write_all(load.out, b.data, b.len) ? 2 : 1);
}

static void load_index(void)
{
    struct source_file file;
    struct tar tar;
    struct stat st;
    int n;

    if (fstat(load.fd, &st) < 0)
        load_fail("cannot read the archive: %s", strerror(errno));
    source_file_init(&file, load.fd, 0, (uint64_t)st.st_size);
    tar_init(&tar, &file.src);
    while ((n = tar_next(&tar)) > 0) {
        struct tar_entry *e = &tar.entry;
        struct member *m;
        const char *bad;

        bad = tar_name_check(e->name);
        if (bad)
            load_fail("image archive: entry \"%s\": %s", e->name, bad);
        if (e->type == TAR_CHAR || e->type == TAR_BLOCK || e->type == TAR_FIFO)
            load_fail("image archive: entry \"%s\": device entries are not allowed", e->name);
        if (e->type == TAR_DIR)
            continue;
        if (load.nmembers == LOAD_MEMBERS_MAX)
            load_fail("image archive: more than %d entries", LOAD_MEMBERS_MAX);
        if (e->size > (uint64_t)st.st_size - e->offset)
            load_fail("image archive: entry \"%s\": archive is truncated", e->name);
        if (load.nmembers % 64 == 0)
            load.members = mem_resize(load.members, sizeof(*m) * (load.nmembers + 64));
        m = &load.members[load.nmembers++];
        *m = (struct member){.name = str_dup(e->name), .offset = e->offset, .size = e->size};
        if (e->type != TAR_FILE)
            m->link = str_dup(e->link);
        tar.left = 0; /* jump over the content */
        tar.at += e->size + tar.pad;
        file.at = tar.at < file.end ? tar.at : file.end;
        tar.pad = 0;
        if (tar.at > (uint64_t)st.st_size)
            load_fail("image archive: entry \"%s\": archive is truncated", e->name);
    }
    if (n < 0)
        load_fail("image archive: %s (at byte %llu)", tar.why, (unsigned long long)tar.at);
    tar_free(&tar);
}

static struct member *load_lookup(const char *name)
{
    for (size_t i = load.nmembers; i-- > 0;)
        if (!strcmp(load.members[i].name, name))
            return &load.members[i];
    return NULL;
}

/* The name a link in `from` means, inside the archive; the result is not judged here. */
static char *load_link_target(const struct member *from)
{
    const char *link = from->link, *slash = strrchr(from->name, '/');
    size_t keep = slash ? (size_t)(slash - from->name) : 0;

    while (str_starts(link, "../") && keep) {
        link += 3;
        while (keep && from->name[keep - 1] != '/')
            keep--;
        keep = keep ? keep - 1 : 0;
    }
    return keep ? str_fmt("%.*s/%s", (int)keep, from->name, link) : str_dup(link);
}

/* A member by the name a manifest uses; NULL when there is none. Old archives share layers by
 * links: one hop is followed. */
static struct member *load_member(const char *name)
{
    char *copy = str_dup(name), *target;
    struct member *m = tar_name_check(copy) ? NULL : load_lookup(copy);

    free(copy);
    if (!m || !m->link)
        return m;
    target = load_link_target(m);
    m = tar_name_check(target) ? NULL : load_lookup(target);
    free(target);
    return m && !m->link ? m : NULL;
}

static struct json *load_json(const struct member *m, const char *digest, char *out_digest)
{
    struct buf b = {0};
    struct sha256 sum;
    char hex[SHA256_HEX];
    const char *why;
    struct json *j;

    if (m->size > LOAD_JSON_MAX)
        load_fail("%s: larger than %u bytes", m->name, LOAD_JSON_MAX);
    buf_reserve(&b, m->size);
    if (pread(load.fd, b.data, m->size, (off_t)m->offset) != (ssize_t)m->size)
        load_fail("%s: read error", m->name);
    b.len = m->size;
    b.data[b.len] = 0;
    sha256_init(&sum);
    sha256_add(&sum, b.data, b.len);
    sha256_end(&sum, hex);
    if (digest && strcmp(hex, digest))
        load_fail("%s: digest does not match: is sha256:%s", m->name, hex);
    if (out_digest)
        memcpy(out_digest, hex, sizeof(hex));
    j = json_parse(b.data, b.len, &why);
    if (!j)
        load_fail("%s: not JSON: %s", m->name, why);
    buf_free(&b);
    return j;
}

static void load_copy(const struct member *m, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    char data[16384];
    uint64_t at = 0;

    while (fd >= 0 && at < m->size) {
        size_t want = m->size - at < sizeof(data) ? m->size - at : sizeof(data);
        ssize_t n = pread(load.fd, data, want, (off_t)(m->offset + at));

        if (n <= 0 || write_all(fd, data, (size_t)n))
            break;
        at += (uint64_t)n;
    }
    if (fd < 0 || at < m->size)
        load_fail("cannot store %s: %s", path, strerror(errno));
    close(fd);
}

/* A source that hashes what passes. */
struct source_sum {
    struct source src;
    struct source *from;
    struct sha256 sum;
    uint64_t total;
};

static ssize_t source_sum_read(struct source *s, void *data, size_t len)
{
    struct source_sum *h = (struct source_sum *)s;
    ssize_t n = h->from->read(h->from, data, len);

    if (n > 0) {
        sha256_add(&h->sum, data, (size_t)n);
        h->total += (uint64_t)n;
    }
    s->why = h->from->why;
    return n;
}

static void source_sum_init(struct source_sum *h, struct source *from)
{
    *h = (struct source_sum){.src.read = source_sum_read, .from = from};
    sha256_init(&h->sum);
}

static void source_drain(struct source *s, const char *name)
{
    char waste[16384];
    ssize_t n;

    while ((n = s->read(s, waste, sizeof(waste))) > 0)
        ;
    if (n < 0)
        load_fail("layer %s: %s", name, s->why ? s->why : "read error");
}

static bool load_have_layer(const char *diff_id)
{
    char *path = str_fmt("%s/layers/%.32s", load.dir, diff_id);
    bool have = layer_find(diff_id) || access(path, F_OK) == 0;

    free(path);
    return have;
}

/* Unpacks and verifies one layer. `digest` is that of the blob, or NULL. */
static void load_layer(const struct member *m, const char *diff_id, const char *digest)
{
    uint8_t magic[4] = {0};
    struct source_file file;
    struct source_sum blob, content;
    struct source *unzip = NULL;
    char hex[SHA256_HEX], *dir;
    uint64_t size = 0;

    if (load_have_layer(diff_id)) {
        struct layer *l = layer_find(diff_id);

        size = l ? l->size : m->size;
    } else {
        if (m->size >= 4 && pread(load.fd, magic, 4, (off_t)m->offset) != 4)
            load_fail("layer %s: read error", m->name);
        if (magic[0] == 0x28 && magic[1] == 0xb5 && magic[2] == 0x2f && magic[3] == 0xfd)
            load_fail("layer %s: zstd compression is not supported", m->name);
        source_file_init(&file, load.fd, m->offset, m->size);
        source_sum_init(&blob, &file.src);
        if (magic[0] == 0x1f && magic[1] == 0x8b)
            unzip = inflate_new(&blob.src);
        source_sum_init(&content, unzip ? unzip : &blob.src);
        dir = str_fmt("%s/layers/%.32s", load.dir, diff_id);
        unpack_layer(&content.src, dir, m->name);
        source_drain(&content.src, m->name);
        source_drain(&blob.src, m->name);
        sha256_end(&content.sum, hex);
        if (strcmp(hex, diff_id))
            load_fail("layer %s: digest does not match: want sha256:%s, is sha256:%s", m->name,
                      diff_id, hex);
        sha256_end(&blob.sum, hex);
        if (digest && strcmp(hex, digest))
            load_fail("layer %s: blob digest does not match: is sha256:%s", m->name, hex);
        size = content.total;
        inflate_free(unzip);
        free(dir);
    }
    jw_object(&load.w, NULL);
    jw_str(&load.w, "DiffId", diff_id);
    jw_int(&load.w, "Size", (int64_t)size);
    jw_object_end(&load.w);
}

static const char *load_digest(const char *text, const char *what)
{
    if (!text || !str_starts(text, "sha256:") || strlen(text) != 7 + ID_LEN ||
        !str_is_hex(text + 7, ID_LEN))
        load_fail("%s: not a sha256 digest: \"%.80s\"", what, text ? text : "");
    return text + 7;
}

/* One image of either format: its configuration, its layers in order and their names. */
struct load_image {
    const struct member *config;
    const char *config_digest;
    const struct member *layers[LAYERS_MAX];
    const char *digests[LAYERS_MAX];
    size_t nlayers;
};

static void load_image(const struct load_image *in, char **tags, size_t ntags)
{
    char id[SHA256_HEX], *path;
    struct json *config = load_json(in->config, in->config_digest, id), *d;
    const char *os = json_str(config, "os"), *arch = json_str(config, "architecture");
    struct json *ids = json_get(json_get(config, "rootfs"), "diff_ids");

    if ((os && *os && strcmp(os, "linux")) || (arch && *arch && strcmp(arch, "amd64")))
        load_fail("image is for %s/%s, not linux/amd64", os ? os : "?", arch ? arch : "?");
    if (json_count(ids) != in->nlayers)
        load_fail("%s: has %zu diff_ids for %zu layers", in->config->name, json_count(ids),
                  in->nlayers);
    jw_object(&load.w, NULL);
    jw_str(&load.w, "Id", id);
    jw_array(&load.w, "Tags");
    for (size_t i = 0; i < ntags; i++)
        jw_str(&load.w, NULL, tags[i]);
    jw_array_end(&load.w);
    jw_array(&load.w, "Layers");
    d = ids ? ids->child : NULL;
    for (size_t i = 0; i < in->nlayers; i++, d = d->next)
        load_layer(in->layers[i],
                   load_digest(d->type == JSON_STRING ? d->str : NULL, "rootfs.diff_ids"),
                   in->digests[i]);
    jw_array_end(&load.w);
    jw_object_end(&load.w);
    path = str_fmt("%s/images/%s.json", load.dir, id);
    load_copy(in->config, path);
    free(path);
    json_free(config);
}

static struct member *load_need(const char *name, const char *what)
{
    struct member *m = name ? load_member(name) : NULL;

    if (!m)
        load_fail("%s names \"%s\", which is not in the archive", what, name ? name : "");
    return m;
}

static void load_docker(const struct member *manifest)
{
    struct json *list = load_json(manifest, NULL, NULL);

    if (list->type != JSON_ARRAY || !list->child)
        load_fail("manifest.json: no images in it");
    for (struct json *j = list->child; j; j = j->next) {
        struct load_image in = {.config = load_need(json_str(j, "Config"), "manifest.json")};
        char *tags[64];
        size_t ntags = 0;

        for (struct json *l = json_list(j, "Layers"); l; l = l->next) {
            if (in.nlayers == LAYERS_MAX)
                load_fail("manifest.json: more than %d layers", LAYERS_MAX);
            in.layers[in.nlayers++] =
                load_need(l->type == JSON_STRING ? l->str : NULL, "manifest.json");
        }
        for (struct json *t = json_list(j, "RepoTags"); t && ntags < 64; t = t->next) {
            tags[ntags] = t->type == JSON_STRING ? image_ref_normalize(t->str) : NULL;
            if (!tags[ntags++])
                load_fail("manifest.json: bad tag");
        }
        load_image(&in, tags, ntags);
    }
}

static struct json *load_blob_json(const struct json *descriptor, const char *what)
{
    const char *digest = load_digest(json_str(descriptor, "digest"), what);
    char *name = str_fmt("blobs/sha256/%s", digest);
    struct json *j = load_json(load_need(name, what), digest, NULL);

    free(name);
    return j;
}

static const struct member *load_blob(const struct json *descriptor, const char *what)
{
    char *name = str_fmt("blobs/sha256/%s", load_digest(json_str(descriptor, "digest"), what));
    const struct member *m = load_need(name, what);
    int64_t size = json_int(descriptor, "size", -1);

    if (size >= 0 && (uint64_t)size != m->size)
        load_fail("%s: %s has %llu bytes, not %lld", what, name, (unsigned long long)m->size,
                  (long long)size);
    free(name);
    return m;
}

static bool load_platform_ok(const struct json *descriptor)
{
    const struct json *p = json_get(descriptor, "platform");
    const char *os = json_str(p, "os"), *arch = json_str(p, "architecture");

    return (!os || !strcmp(os, "linux")) && (!arch || !strcmp(arch, "amd64"));
}

static void load_oci(const struct json *index, const char *tag, int depth)
{
    size_t taken = 0;

    for (struct json *d = json_list(index, "manifests"); d; d = d->next) {
        const char *name = json_str(json_get(d, "annotations"), "io.containerd.image.name");
        struct load_image in = {0};
        struct json *manifest, *config;
        char *ref;

        if (!name)
            name = json_str(json_get(d, "annotations"), "org.opencontainers.image.ref.name");
        if (!name)
            name = tag;
        if (!load_platform_ok(d))
            continue;
        manifest = load_blob_json(d, "index.json");
        taken++;
        if (json_get(manifest, "manifests")) {
            if (depth == 3)
                load_fail("index.json: indexes nest too deeply");
            load_oci(manifest, name, depth + 1);
            continue;
        }
        config = json_get(manifest, "config");
        in.config = load_blob(config, "manifest");
        in.config_digest = load_digest(json_str(config, "digest"), "manifest");
        for (struct json *l = json_list(manifest, "layers"); l; l = l->next) {
            if (in.nlayers == LAYERS_MAX)
                load_fail("manifest: more than %d layers", LAYERS_MAX);
            in.digests[in.nlayers] = load_digest(json_str(l, "digest"), "manifest");
            in.layers[in.nlayers++] = load_blob(l, "manifest");
        }
        ref = name ? image_ref_normalize(name) : NULL;
        load_image(&in, &ref, ref ? 1 : 0);
    }
    if (!taken)
        load_fail("index.json: no image for linux/amd64 in it");
}

void load_worker(int fd, const char *dir, int out_fd)
{
    struct member *manifest, *index;
    char *path;

    load.fd = fd;
    load.out = out_fd;
    load.dir = dir;
    load.w.out = &load.report;
    for (int i = 0; i < 2; i++) {
        path = str_fmt("%s/%s", dir, i ? "images" : "layers");
        if (dir_make(path, 0755))
            load_fail("cannot create %s: %s", path, strerror(errno));
        free(path);
    }
    load_index();
    manifest = load_member("manifest.json");
    index = load_member("index.json");
    jw_object(&load.w, NULL);
    jw_array(&load.w, "Images");
    if (manifest)
        load_docker(manifest);
    else if (index)
        load_oci(load_json(index, NULL, NULL), NULL, 0);
    else
        load_fail("not an image archive: it has neither manifest.json nor index.json");
    jw_array_end(&load.w);
    jw_object_end(&load.w);
    _exit(write_all(out_fd, load.report.data, load.report.len) ? 2 : 0);
}
