// SPDX-License-Identifier: MIT
// The worker that pushes: `push DIR`.
//
// What is pushed: an image that was pulled goes by its own manifest, with its own digest, where the
// registry has its blobs or another repository of it lends them. Otherwise its layers go as plain
// tars, made again from their directories by their skeletons: the digest of what is sent is the
// diff id, so it depends on nothing but the image, is known before a byte is read, and what the
// registry has is never sent again. Nothing is compressed, since what this machine's compressor
// makes of a layer would be one more name for the same bytes in every registry.
//
// The worker itself talks, and so has no rights (registry_forgo): push_read.c reads for it.
//
// The order has "Images": [{"Id","Tag","Layers":[{"DiffId","Dir"}],"Sources":[PATH]}]. The report:
// statuses, and {"pushed":{"Image","Tag","Digest","Size"}} for each.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/job.h"
#include "engine/push.h"
#include "lib/str.h"

#define PUSH_CONFIG_MAX (16u * 1024 * 1024)
#define PUSH_TRIES 5
#define PUSH_PAUSE_MS 300
#define PUSH_TELL_MS 100
#define SHORT_ID 12

#define TYPE_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define TYPE_CONFIG "application/vnd.docker.container.image.v1+json"
#define TYPE_LAYER "application/vnd.docker.image.rootfs.diff.tar"

static struct {
    struct registry r;
} push;

/* One image on its way. */
struct push_image {
    const struct json *order;
    size_t number; /* in the order */
    const char *id;
    struct buf config;
    const struct json *layer[LAYERS_MAX];
    size_t nlayers;
    struct json *kept; /* the manifest it was pulled with, or NULL */
    struct buf kept_text;
    struct manifest m; /* of that */
    uint64_t sizes[LAYERS_MAX];
};

static void push_say(const char *id, const char *status, uint64_t current, uint64_t total)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_object(&w, NULL);
    if (id)
        jw_fmt(&w, "id", "%.*s", SHORT_ID, id);
    jw_str(&w, "status", status);
    if (total) {
        jw_int(&w, "current", (int64_t)current);
        jw_int(&w, "total", (int64_t)total);
    }
    jw_object_end(&w);
    registry_say(&b);
}

_Noreturn static void push_refused(void)
{
    registry_fail(500, "%s", push.r.why);
}

static const char *push_diff(const struct push_image *p, size_t i)
{
    return json_str(p->layer[i], "DiffId");
}

/* ---- blobs ----------------------------------------------------------------------------------- */

/* Whether the repository has it. */
static bool push_there(const char *digest)
{
    char *target = str_fmt("/v2/%s/blobs/sha256:%s", push.r.path, digest);
    int status = registry_request(&push.r, "HEAD", target, NULL);

    free(target);
    if (status < 0 && (!push.r.f.head.text || push.r.f.head.status != 404))
        push_refused();
    fetch_done(&push.r.f);
    return status >= 0;
}

/* Begins an upload, or has another repository lend the blob: 1 it is there, 0 with *where to send
 * it to, -1 with r.why. */
static int push_begin(const char *digest, const char *from, struct url *where)
{
    char *target =
        from ? str_fmt("/v2/%s/blobs/uploads/?mount=sha256:%s&from=%s", push.r.path, digest, from)
             : str_fmt("/v2/%s/blobs/uploads/", push.r.path);
    int status = registry_request(&push.r, "POST", target, NULL);
    const char *location = status < 0 ? NULL : http_header(&push.r.f.head, "Location");

    free(target);
    if (status < 0)
        return -1;
    fetch_done(&push.r.f);
    if (status == 201)
        return 1;
    if (location && !url_resolve(where, &push.r.f.url, location) &&
        (where->https || !push.r.base.https))
        return 0;
    push.r.fatal = true;
    snprintf(push.r.why, sizeof(push.r.why), "the registry gives no place for an upload");
    return -1;
}

/* An upload's URL with the blob's digest, which ends it. */
static int push_end_url(struct url *where, const char *digest)
{
    size_t n = strlen(where->target);

    if (n + sizeof("&digest=sha256:") + ID_LEN >= sizeof(where->target)) {
        snprintf(push.r.why, sizeof(push.r.why), "the registry's place for an upload is too long");
        return -1;
    }
    snprintf(where->target + n, sizeof(where->target) - n, "%cdigest=sha256:%s",
             strchr(where->target, '?') ? '&' : '?', digest);
    return 0;
}

/* The content of an upload: 0, or -1 with r.why. What is not what its digest says is never whole.
 */
static int push_content(const char *digest, uint64_t size)
{
    static char data[65536];
    char hex[SHA256_HEX];
    struct sha256 sum;
    uint64_t sent = 0, told = 0;
    const char *why = "its length is another";
    ssize_t n;

    sha256_init(&sum);
    while ((n = push_read_more(data, sizeof(data), &why)) > 0) {
        if ((uint64_t)n > size - sent) /* what follows the content would be a request of its own */
            break;
        sha256_add(&sum, data, (size_t)n);
        sent += (uint64_t)n;
        if (sent == size) {
            sha256_end(&sum, hex);
            if (strcmp(hex, digest))
                registry_fail(500, "layer %.12s: its archive cannot be made again", digest);
        }
        if (fetch_write(&push.r.f, data, (size_t)n)) {
            snprintf(push.r.why, sizeof(push.r.why), "%s", push.r.f.why);
            return -1;
        }
        if (time_now_ms() >= told + PUSH_TELL_MS) {
            told = time_now_ms();
            push_say(digest, "Pushing", sent, size);
        }
    }
    if (n || sent != size)
        registry_fail(500, "layer %.12s: %s", digest, why);
    return 0;
}

static const char push_octets[] = "Content-Type: application/octet-stream\r\n";

/* The layer's tar, in one request: 0, or -1 with r.why. */
static int push_upload_layer(const struct push_image *p, size_t i, uint64_t size, struct url *where)
{
    const char *digest = push_diff(p, i);
    int err;

    if (push_end_url(where, digest) ||
        registry_send(&push.r, "PUT", where, push_octets, NULL, size) < 0)
        return -1;
    push_read_begin(PUSH_LAYER, p->number, i);
    err = push_content(digest, size);
    push_read_stop();
    if (err || registry_answer(&push.r) < 0)
        return -1;
    fetch_done(&push.r.f);
    return 0;
}

/* Whether it failed in a way that another try may mend; waits a little. */
static bool push_again(int tries)
{
    if (push.r.fatal && strcmp(push.r.code, "UNAUTHORIZED"))
        return false;
    fetch_close(&push.r.f);
    usleep(PUSH_PAUSE_MS * 1000u << tries);
    return tries + 1 < PUSH_TRIES;
}

static void push_layer_whole(const struct push_image *p, size_t i, uint64_t size)
{
    static struct url where;
    const char *digest = push_diff(p, i);

    for (int tries = 0;; tries++) {
        int begun = push_begin(digest, NULL, &where);

        if (begun > 0 || (begun == 0 && !push_upload_layer(p, i, size, &where)))
            return;
        if (!push_again(tries))
            push_refused();
    }
}

/* A text, as configurations are. */
static void push_text(const char *digest, const struct buf *text)
{
    static struct url where;

    for (int tries = 0;; tries++) {
        int begun = push_begin(digest, NULL, &where);

        if (begun == 0 && !push_end_url(&where, digest) &&
            registry_send(&push.r, "PUT", &where, push_octets, text->data, text->len) > 0)
            begun = 1;
        fetch_done(&push.r.f);
        if (begun > 0)
            return;
        if (!push_again(tries))
            push_refused();
    }
}

/* Another repository of the registry lends the blob. */
static bool push_mounted(const struct push_image *p, const char *digest, const char *id)
{
    static struct url where;

    for (const struct json *s = json_list(p->order, "Sources"); s; s = s->next) {
        char *status;

        if (!s->str || !strcmp(s->str, push.r.path) || push_begin(digest, s->str, &where) != 1)
            continue;
        status = str_fmt("Mounted from %s", s->str);
        push_say(id, status, 0, 0);
        free(status);
        return true;
    }
    return false;
}

/* ---- an image -------------------------------------------------------------------------------- */

static bool push_have(const struct push_image *p, const char *digest, const char *id)
{
    if (!push_there(digest))
        return push_mounted(p, digest, id);
    push_say(id, "Layer already exists", 0, 0);
    return true;
}

/* The length of a layer's tar. False: it cannot be made again. */
static bool push_size(const struct push_image *p, size_t i, uint64_t *size)
{
    struct buf b = {0};
    bool there =
        !push_read_all(PUSH_SIZE, p->number, i, &b, sizeof(*size)) && b.len == sizeof(*size);

    if (there)
        memcpy(size, b.data, sizeof(*size));
    buf_free(&b);
    return there;
}

/* All its blobs are there by the digests of the manifest that it was pulled with, or can be sent by
 * them. */
static bool push_as_pulled(const struct push_image *p)
{
    uint64_t size;

    if (!p->kept || p->m.nlayers != p->nlayers)
        return false;
    for (size_t i = 0; i < p->nlayers; i++) {
        const char *digest = p->m.layers[i].digest;

        if (push_have(p, digest, push_diff(p, i)))
            continue;
        if (strcmp(digest, push_diff(p, i)) || !push_size(p, i, &size) ||
            size != p->m.layers[i].size) /* it was here already when the manifest came */
            return false;
        push_layer_whole(p, i, size);
        push_say(digest, "Pushed", 0, 0);
    }
    return true;
}

static void push_sizes(struct push_image *p)
{
    for (size_t i = 0; i < p->nlayers; i++)
        if (!push_size(p, i, &p->sizes[i]))
            registry_fail(500,
                          "layer %.12s cannot be pushed: its archive cannot be made again, since "
                          "it names a file twice or was stored by an older engine",
                          push_diff(p, i));
}

static void push_layers(const struct push_image *p)
{
    for (size_t i = 0; i < p->nlayers; i++) {
        if (push_have(p, push_diff(p, i), push_diff(p, i)))
            continue;
        push_layer_whole(p, i, p->sizes[i]);
        push_say(push_diff(p, i), "Pushed", 0, 0);
    }
}

static void push_manifest_text(const struct push_image *p, struct buf *b)
{
    struct jw w = {.out = b};

    jw_object(&w, NULL);
    jw_int(&w, "schemaVersion", 2);
    jw_str(&w, "mediaType", TYPE_MANIFEST);
    jw_object(&w, "config");
    jw_str(&w, "mediaType", TYPE_CONFIG);
    jw_int(&w, "size", (int64_t)p->config.len);
    jw_fmt(&w, "digest", "sha256:%s", p->id);
    jw_object_end(&w);
    jw_array(&w, "layers");
    for (size_t i = 0; i < p->nlayers; i++) {
        jw_object(&w, NULL);
        jw_str(&w, "mediaType", TYPE_LAYER);
        jw_int(&w, "size", (int64_t)p->sizes[i]);
        jw_fmt(&w, "digest", "sha256:%s", push_diff(p, i));
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
}

static void push_report(const struct push_image *p, const struct buf *manifest)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    struct sha256 sum;
    char hex[SHA256_HEX];

    sha256_init(&sum);
    sha256_add(&sum, manifest->data, manifest->len);
    sha256_end(&sum, hex);
    jw_object(&w, NULL);
    jw_object(&w, "pushed");
    jw_str(&w, "Image", p->id);
    jw_str(&w, "Tag", json_str(p->order, "Tag"));
    jw_fmt(&w, "Digest", "sha256:%s", hex);
    jw_int(&w, "Size", (int64_t)manifest->len);
    jw_object_end(&w);
    jw_object_end(&w);
    registry_say(&b);
}

static void push_put_manifest(const struct push_image *p, const struct buf *text, const char *type)
{
    static struct url u;
    char *headers = str_fmt("Content-Type: %s\r\n", type);

    u = push.r.base;
    if ((size_t)snprintf(u.target, sizeof(u.target), "%s/v2/%s/manifests/%s", push.r.base.target,
                         push.r.path, json_str(p->order, "Tag")) >= sizeof(u.target))
        registry_fail(500, "the name is too long");
    if (registry_send(&push.r, "PUT", &u, headers, text->data, text->len) < 0)
        push_refused();
    fetch_done(&push.r.f);
    free(headers);
    push_report(p, text);
}

/* A media type is a word: what is none would be a header of its own. */
static const char *push_kept_type(const struct push_image *p)
{
    const char *type = json_str(p->kept, "mediaType");

    for (const char *c = type; c && *c; c++)
        if (*c <= ' ' || *c > 126)
            return "application/vnd.oci.image.manifest.v1+json";
    return type ? type : "application/vnd.oci.image.manifest.v1+json";
}

static void push_image_open(struct push_image *p, const struct json *order, size_t number)
{
    *p = (struct push_image){.order = order, .number = number, .id = json_str(order, "Id")};
    for (const struct json *l = json_list(order, "Layers"); l && p->nlayers < LAYERS_MAX;
         l = l->next)
        p->layer[p->nlayers++] = l;
    if (push_read_all(PUSH_CONFIG, number, 0, &p->config, PUSH_CONFIG_MAX))
        registry_fail(500, "cannot read the image's configuration");
    if (!push_read_all(PUSH_MANIFEST, number, 0, &p->kept_text, REGISTRY_MANIFEST_MAX))
        p->kept = json_parse(p->kept_text.data, p->kept_text.len, NULL);
    if (p->kept && (manifest_read(&p->m, p->kept) || p->m.list)) {
        json_free(p->kept);
        p->kept = NULL;
    }
}

static void push_one(const struct json *order, size_t number)
{
    static struct push_image p;
    struct buf text = {0};

    push_image_open(&p, order, number);
    for (size_t i = 0; i < p.nlayers; i++)
        push_say(push_diff(&p, i), "Preparing", 0, 0);
    if (push_as_pulled(&p)) {
        if (!push_there(p.id))
            push_text(p.id, &p.config);
        push_put_manifest(&p, &p.kept_text, push_kept_type(&p));
    } else {
        push_sizes(&p);
        push_layers(&p);
        if (!push_there(p.id))
            push_text(p.id, &p.config);
        push_manifest_text(&p, &text);
        push_put_manifest(&p, &text, TYPE_MANIFEST);
    }
    buf_free(&text);
    buf_free(&p.config);
    buf_free(&p.kept_text);
    json_free(p.kept);
}

/* ---- the worker ------------------------------------------------------------------------------ */

int worker_push(char **argv)
{
    const struct json *e;
    size_t number = 0;
    int keep;

    signal(SIGPIPE, SIG_IGN);
    push_read_open(argv[0]);
    registry_begin(argv[0], REGISTRY_FORGOES);
    keep = push_read_start();
    registry_forgo(&keep, 1);
    e = registry_order_read.endpoints;
    while (e->next) /* the registry itself, no mirror */
        e = e->next;
    registry_open(&push.r, json_str(e, "Url"), "pull,push", true);
    for (const struct json *i = json_list(registry_order_read.text, "Images"); i; i = i->next) {
        const struct json *s = json_list(i, "Sources");

        push.r.from = s && strcmp(s->str, push.r.path) ? s->str : NULL;
        push_one(i, number++);
    }
    return 0;
}
