// SPDX-License-Identifier: MIT
// What a registry says an image is made of: manifests of Docker (schema 2) and OCI, and lists of
// them. Pure: foreign JSON becomes a struct of bounded size, or a sentence.
#include <stdio.h>
#include <string.h>

#include "engine/registry.h"
#include "lib/str.h"

const char *manifest_digest(const char *text)
{
    return text && str_starts(text, "sha256:") && str_is_hex(text + 7, ID_LEN) ? text + 7 : NULL;
}

static bool manifest_blob(struct manifest_blob *b, const struct json *j)
{
    const char *digest = manifest_digest(json_str(j, "digest"));
    const struct json *size = json_get(j, "size");

    if (!digest || !size || size->type != JSON_NUMBER || !size->whole || size->num < 0)
        return false;
    memcpy(b->digest, digest, ID_LEN + 1);
    b->size = (uint64_t)size->num;
    b->type = json_str(j, "mediaType");
    return true;
}

/* What a configuration may be called: images', and names of those who know none. */
static bool manifest_is_image(const char *type)
{
    static const char *const known[] = {"application/vnd.docker.container.image.v1+json",
                                        "application/vnd.oci.image.config.v1+json",
                                        "application/octet-stream", ""};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (!type || !strcmp(type, known[i]))
            return true;
    return false;
}

static const char *manifest_layers(struct manifest *m, const struct json *j)
{
    for (const struct json *l = json_list(j, "layers"); l; l = l->next) {
        const char *type = json_str(l, "mediaType");

        if (m->nlayers == LAYERS_MAX)
            return "it has too many layers";
        if (type && strstr(type, "+encrypted"))
            return "its layers are encrypted";
        if (!manifest_blob(&m->layers[m->nlayers++], l))
            return "a layer has no sha256 digest or no size";
    }
    return NULL;
}

const char *manifest_read(struct manifest *m, const struct json *j)
{
    const char *type = json_str(j, "mediaType");

    *m = (struct manifest){0};
    if (j->type != JSON_OBJECT)
        return "it is no JSON object";
    if (json_int(j, "schemaVersion", 2) != 2)
        return "its schema version 1 is no longer supported";
    m->list = json_get(j, "manifests");
    if (m->list && (json_get(j, "layers") || json_get(j, "config")))
        return "it is both a list and an image";
    if (m->list)
        return NULL;
    if (type && !strstr(type, "manifest.v2+json") && !strstr(type, "image.manifest.v1+json"))
        return "its media type is no image's";
    if (!manifest_blob(&m->config, json_get(j, "config")))
        return "its configuration has no sha256 digest or no size";
    if (!manifest_is_image(m->config.type))
        return "it is no container image: its configuration is of another type";
    return manifest_layers(m, j);
}

/* 1 to 4 of "v1" to "v4", 1 of none; 0 of what is unknown. */
static int manifest_variant(const struct json *platform)
{
    const char *v = json_str(platform, "variant");

    if (!v || !*v)
        return 1;
    return v[0] == 'v' && v[1] >= '1' && v[1] <= '4' && !v[2] ? v[1] - '0' : 0;
}

const struct json *manifest_choose(const struct json *list, int cpu)
{
    const struct json *best = NULL;
    int level = 0;

    for (const struct json *d = json_list(list, "manifests"); d; d = d->next) {
        const struct json *p = json_get(d, "platform");
        const char *os = json_str(p, "os"), *arch = json_str(p, "architecture");
        int variant = manifest_variant(p);

        if ((p && (!os || strcmp(os, "linux") || !arch || strcmp(arch, "amd64"))) || !variant ||
            variant > cpu || !manifest_digest(json_str(d, "digest")))
            continue;
        if (!best || (level > 1 && variant < level)) /* the plainest, of these the first */
            best = d, level = variant;
    }
    return best;
}
