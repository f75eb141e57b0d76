// SPDX-License-Identifier: MIT
// The manifests of image archives: docker-archive and OCI layout. Both may name one blob many times
// over, so what is counted is what is visited, not what there is.
#include <stdlib.h>
#include <string.h>

#include "engine/load.h"
#include "lib/str.h"

#define LOAD_IMAGES_MAX 1000 /* images, and entries of OCI indexes */
#define LOAD_TAGS_MAX 64
#define OCI_DEPTH_MAX 3

static void load_add_layer(struct load_image *in, struct member *m, const char *digest)
{
    if (in->nlayers == LAYERS_MAX)
        load_fail("manifest: more than %d layers", LAYERS_MAX);
    in->digests[in->nlayers] = digest;
    in->layers[in->nlayers++] = m;
}

static void load_docker_image(const struct json *j, load_image_fn *image)
{
    struct load_image in = {.config = load_need(json_str(j, "Config"), "manifest.json")};
    char *tags[LOAD_TAGS_MAX];
    size_t ntags = 0;

    for (struct json *l = json_list(j, "Layers"); l; l = l->next)
        load_add_layer(&in, load_need(l->type == JSON_STRING ? l->str : NULL, "manifest.json"),
                       NULL);
    for (struct json *t = json_list(j, "RepoTags"); t; t = t->next) {
        if (ntags == LOAD_TAGS_MAX)
            load_fail("manifest.json: more than %d tags of one image", LOAD_TAGS_MAX);
        tags[ntags] = t->type == JSON_STRING && !image_ref_is_digest(t->str)
                          ? image_ref_normalize(t->str)
                          : NULL;
        if (!tags[ntags++])
            load_fail("manifest.json: bad tag");
    }
    image(&in, tags, ntags);
    while (ntags)
        free(tags[--ntags]);
}

void load_docker(const struct member *manifest, load_image_fn *image)
{
    struct json *list = load_json(manifest, NULL, NULL);
    int count = 0;

    if (list->type != JSON_ARRAY || !list->child)
        load_fail("manifest.json: no images in it");
    for (struct json *j = list->child; j; j = j->next) {
        if (++count > LOAD_IMAGES_MAX)
            load_fail("manifest.json: more than %d images", LOAD_IMAGES_MAX);
        load_docker_image(j, image);
    }
    json_free(list);
}

static struct member *oci_blob(const struct json *descriptor, const char *what)
{
    char *name = str_fmt("blobs/sha256/%s", load_digest(json_str(descriptor, "digest"), what));
    struct member *m = load_need(name, what);
    int64_t size = json_int(descriptor, "size", -1);

    if (size >= 0 && (uint64_t)size != m->size)
        load_fail("%s: %s has %llu bytes, not %lld", what, name, (unsigned long long)m->size,
                  (long long)size);
    free(name);
    return m;
}

static struct json *oci_blob_json(const struct json *descriptor, const char *what)
{
    const struct member *m = oci_blob(descriptor, what);

    return load_json(m, load_digest(json_str(descriptor, "digest"), what), NULL);
}

static bool oci_platform_ok(const struct json *descriptor)
{
    const struct json *p = json_get(descriptor, "platform");
    const char *os = json_str(p, "os"), *arch = json_str(p, "architecture");

    return (!os || !strcmp(os, "linux")) && (!arch || !strcmp(arch, "amd64"));
}

/* NULL where it has none, or a digest that is not what the descriptor leads to. */
static const char *oci_name(const struct json *descriptor)
{
    const struct json *a = json_get(descriptor, "annotations");
    const char *name = json_str(a, "io.containerd.image.name");
    const char *digest = json_str(descriptor, "digest"), *at;

    name = name ? name : json_str(a, "org.opencontainers.image.ref.name");
    at = name ? strchr(name, '@') : NULL;
    return at && (!digest || strcmp(at + 1, digest)) ? NULL : name;
}

static void oci_manifest(const struct json *manifest, const char *name, load_image_fn *image)
{
    const struct json *config = json_get(manifest, "config");
    struct load_image in = {.config = oci_blob(config, "manifest"),
                            .config_digest = load_digest(json_str(config, "digest"), "manifest")};
    char *ref = name ? image_ref_normalize(name) : NULL;

    for (struct json *l = json_list(manifest, "layers"); l; l = l->next)
        load_add_layer(&in, oci_blob(l, "manifest"),
                       load_digest(json_str(l, "digest"), "manifest"));
    image(&in, &ref, ref ? 1 : 0);
    free(ref);
}

/* An index, of which some entries may be indexes again. `*count` is of all of them. */
static void oci_index(const struct json *index, const char *tag, int depth, int *count,
                      load_image_fn *image)
{
    size_t taken = 0;

    for (struct json *d = json_list(index, "manifests"); d; d = d->next) {
        const char *name = oci_name(d) ? oci_name(d) : tag;
        struct json *manifest;

        if (++*count > LOAD_IMAGES_MAX)
            load_fail("index.json: more than %d entries in all", LOAD_IMAGES_MAX);
        if (!oci_platform_ok(d))
            continue;
        manifest = oci_blob_json(d, "index.json");
        taken++;
        if (!json_get(manifest, "manifests"))
            oci_manifest(manifest, name, image);
        else if (depth == OCI_DEPTH_MAX)
            load_fail("index.json: indexes nest too deeply");
        else
            oci_index(manifest, name, depth + 1, count, image);
        json_free(manifest);
    }
    if (!taken)
        load_fail("index.json: no image for linux/amd64 in it");
}

void load_oci(const struct member *index, load_image_fn *image)
{
    struct json *list = load_json(index, NULL, NULL);
    int count = 0;

    oci_index(list, NULL, 0, &count, image);
    json_free(list);
}
