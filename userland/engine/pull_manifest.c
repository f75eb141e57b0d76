// SPDX-License-Identifier: MIT
// Which image a reference means: manifests and lists of them from the first endpoint that has it,
// verified by their digests.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/pull.h"
#include "lib/str.h"

#define PULL_NESTED_MAX 3
#define PULL_TAGS_MAX 10000
#define PULL_PAGES_MAX 200
#define PULL_NO_PLATFORM "NO_PLATFORM"

void pull_open(struct pull_from *from)
{
    registry_open(&from->r, json_str(from->endpoint, "Url"), "pull",
                  !json_bool(from->endpoint, "Mirror"));
}

bool pull_next(struct pull_from *from)
{
    if (!from->endpoint->next)
        return false;
    registry_close(&from->r);
    from->endpoint = from->endpoint->next;
    pull_open(from);
    return true;
}

void pull_refused(const struct pull_from *from, const char *what)
{
    const char *code = from->r.code, *why = from->r.why, *repo = registry_order_read.repo;

    if (!strcmp(code, "MANIFEST_UNKNOWN"))
        registry_fail(404, "manifest for %s not found: %s", what, why);
    if (!strcmp(code, "NAME_UNKNOWN"))
        registry_fail(404, "repository %s not found: %s", repo, why);
    if (!strcmp(code, "DENIED"))
        registry_fail(404,
                      "pull access denied for %s, repository does not exist or may require "
                      "'docker login': %s",
                      repo, why);
    registry_fail(!strcmp(why, "not found") || !strcmp(code, PULL_NO_PLATFORM) ? 404 : 500, "%s",
                  why);
}

static void pull_digest(const struct buf *text, char hex[SHA256_HEX])
{
    struct sha256 sum;

    sha256_init(&sum);
    sha256_add(&sum, text->data ? text->data : "", text->len);
    sha256_end(&sum, hex);
}

int pull_unfit(struct pull_from *from, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(from->r.why, sizeof(from->r.why), fmt, ap);
    va_end(ap);
    from->r.code[0] = 0;
    return -1;
}

/* One manifest or list: 0, or -1 with from->r.why. `digest` is what its own must be, or NULL. */
static int pull_manifest_text(struct pull_from *from, const char *reference, const char *digest,
                              struct pull_manifest *out, char hex[SHA256_HEX])
{
    char *target = str_fmt("/v2/%s/manifests/%s", registry_order_read.path, reference);
    struct buf text = {0};
    const char *why = NULL;
    int err = pull_get(from, target, true, REGISTRY_MANIFEST_MAX, &text);

    free(target);
    if (err)
        return -1;
    pull_digest(&text, hex);
    if (digest && strcmp(digest, hex)) {
        buf_free(&text);
        return pull_unfit(from, "manifest verification failed for digest sha256:%s", digest);
    }
    out->json = json_parse(text.data, text.len, &why);
    buf_clear(&out->text);
    buf_add(&out->text, text.data ? text.data : "", text.len);
    buf_free(&text);
    why = why ? why : manifest_read(&out->m, out->json);
    if (!why)
        return 0;
    json_free(out->json);
    out->json = NULL;
    return pull_unfit(from, "the manifest of %.200s is of no use: %s", reference, why);
}

static int pull_cpu_level(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt"))
        return 1;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2"))
        return 2;
    return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") ? 4 : 3;
}

static int pull_no_platform(struct pull_from *from)
{
    pull_unfit(from, "no matching manifest for linux/amd64 in the manifest list entries");
    strcpy(from->r.code, PULL_NO_PLATFORM);
    return -1;
}

/* From a list down to an image: 0, or -1 with from->r.why and no JSON. */
static int pull_descend(struct pull_from *from, struct pull_manifest *out)
{
    for (int depth = 0; out->m.list; depth++) {
        const struct json *d = manifest_choose(out->json, pull_cpu_level());
        const char *digest = d ? json_str(d, "digest") : NULL;
        struct json *list = out->json;
        char hex[SHA256_HEX];
        int err;

        out->json = NULL;
        if (!d)
            err = pull_no_platform(from);
        else if (depth == PULL_NESTED_MAX)
            err = pull_unfit(from, "the manifest lists nest too deeply");
        else
            err = pull_manifest_text(from, digest, manifest_digest(digest), out, hex);
        json_free(list);
        if (err)
            return -1;
    }
    return 0;
}

void pull_find_manifest(struct pull_from *from, const char *reference, struct pull_manifest *out)
{
    const char *digest = manifest_digest(reference);
    char *what = str_fmt("%s%c%s", registry_order_read.repo, digest ? '@' : ':', reference);

    while (pull_manifest_text(from, reference, digest, out, out->digest) ||
           pull_descend(from, out)) {
        if (!pull_next(from))
            pull_refused(from, what);
    }
    free(what);
}

static int pull_top_text(struct pull_from *from, const char *reference, const char *target,
                         struct buf *text, char hex[SHA256_HEX])
{
    const char *digest = manifest_digest(reference);

    if (pull_get(from, target, true, REGISTRY_MANIFEST_MAX, text))
        return -1;
    pull_digest(text, hex);
    return digest && strcmp(digest, hex)
               ? pull_unfit(from, "manifest verification failed for digest %s", reference)
               : 0;
}

void pull_find_top(struct pull_from *from, const char *reference, struct pull_top *out)
{
    char *target = str_fmt("/v2/%s/manifests/%s", registry_order_read.path, reference);
    const char *type;
    struct buf text = {0};

    while (pull_top_text(from, reference, target, &text, out->digest))
        if (!pull_next(from))
            pull_refused(from, reference);
    free(target);
    out->size = text.len;
    out->json = json_parse(text.data, text.len, NULL);
    type = json_str(out->json, "mediaType");
    type = type ? type : http_header(&from->r.f.head, "Content-Type");
    out->type = str_dup(type ? type : "");
    buf_free(&text);
}

int pull_text_of(struct pull_from *from, const struct manifest_blob *b, size_t max, struct buf *out)
{
    char *target = str_fmt("/v2/%s/blobs/sha256:%s", registry_order_read.path, b->digest);
    int err = pull_get(from, target, false, max, out);
    char hex[SHA256_HEX];

    free(target);
    if (err)
        return -1;
    pull_digest(out, hex);
    return strcmp(hex, b->digest)
               ? pull_unfit(from, "verification failed for digest sha256:%s", b->digest)
               : 0;
}

/* ---- tags ------------------------------------------------------------------------------------ */

/* From "<URL>; rel="next"". */
char *pull_next_page(struct pull_from *from)
{
    const char *link, *end;
    static struct url u;
    char *text;
    int err;

    if (from->asker >= 0)
        return from->next_page && *from->next_page ? str_dup(from->next_page) : NULL;
    link = http_header(&from->r.f.head, "Link");
    if (!link || *link != '<' || !(end = strchr(link, '>')) || !strstr(end, "next"))
        return NULL;
    text = str_dupn(link + 1, (size_t)(end - link - 1));
    err = url_resolve(&u, &from->r.f.url, text);
    free(text);
    if (err || !url_same_origin(&u, &from->r.base) || !str_starts(u.target, from->r.base.target))
        return NULL;
    return str_dup(u.target + strlen(from->r.base.target));
}

static void pull_add_tags(const struct json *list, char ***tags, size_t *n)
{
    for (const struct json *t = list; t; t = t->next) {
        if (t->type != JSON_STRING || !image_ref_tag(t->str))
            continue; /* no tag that a client could name */
        if (*n == PULL_TAGS_MAX)
            registry_fail(500, "the repository has more than %d tags", PULL_TAGS_MAX);
        *tags = mem_resize(*tags, (*n + 2) * sizeof(char *));
        (*tags)[(*n)++] = str_dup(t->str);
        (*tags)[*n] = NULL;
    }
}

char **pull_find_tags(struct pull_from *from)
{
    char *target = str_fmt("/v2/%s/tags/list", registry_order_read.path), **tags = NULL;
    struct buf text = {0};
    size_t n = 0;

    for (int pages = 0; target && pages < PULL_PAGES_MAX; pages++) {
        struct json *j;

        while (pull_get(from, target, false, REGISTRY_MANIFEST_MAX, &text))
            if (n || !pull_next(from))
                pull_refused(from, registry_order_read.repo);
        free(target);
        target = pull_next_page(from);
        j = json_parse(text.data, text.len, NULL);
        pull_add_tags(json_list(j, "tags"), &tags, &n);
        json_free(j);
    }
    free(target);
    buf_free(&text);
    if (!n)
        registry_fail(404, "repository %s has no tags", registry_order_read.repo);
    return tags;
}
