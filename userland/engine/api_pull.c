// SPDX-License-Identifier: MIT
// POST /images/create: the engine's side of a pull.
//
// Who asks for the same with the same credentials as one that is under way joins it. Each image
// becomes one of the store as soon as it is whole, and "Status" is said when the store has been
// written.
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/image_priv.h"
#include "engine/registry.h"
#include "engine/transfer.h"
#include "lib/str.h"

/* It names an image that was here when the pull began. */
static char *pull_there(const struct json *j, struct image **out)
{
    const char *id = json_str(j, "Id");
    struct image *img = id ? image_of_id(id) : NULL;

    char *why;

    if (!img || !image_listed(img))
        return str_dup("the image was removed meanwhile");
    if (!image_tags_ok(j))
        return str_dup("the worker's report is bad");
    why = image_store_space(0, json_count(json_get(j, "Tags")), 0);
    if (why)
        return why;
    *out = img;
    image_adopt_tags(img, j, NULL);
    return NULL;
}

static char *pull_adopt(struct transfer *t, const struct json *image)
{
    struct json *all = json_new(JSON_OBJECT), *list = json_new(JSON_ARRAY), **at = &all->child;
    char *why;

    json_append(&at, "Images", list);
    at = &list->child;
    json_append(&at, NULL, json_copy(image));
    why = image_publish(t->held.dir, all, NULL);
    json_free(all);
    return why;
}

/* The tag that it is pulled by is its already. */
static bool pull_is_same(const struct json *image)
{
    const struct json *tag = json_list(image, "Tags");
    struct image *img = json_str(image, "Id") ? image_of_id(json_str(image, "Id")) : NULL;

    return img && tag && tag->type == JSON_STRING && image_has_tag(img, tag->str);
}

static void pull_status_line(struct transfer *t)
{
    char *status = str_fmt("Status: %s for %s",
                           t->newer ? "Downloaded newer image" : "Image is up to date", t->name);

    transfer_status(t, NULL, status, 0, 0);
    free(status);
}

/* An image is whole. */
static char *pull_line(struct transfer *t, const struct json *j)
{
    const struct json *image = json_get(j, "image"), *tag = json_list(image, "Tags");
    const char *id = json_str(image, "Id");
    bool same = pull_is_same(image);
    struct image *img = NULL;
    char *why;

    if (!id || !tag || tag->type != JSON_STRING)
        return str_dup("the worker's report is bad");
    why = json_bool(image, "There") ? pull_there(image, &img) : pull_adopt(t, image);
    if (why)
        return why;
    t->newer = t->newer || !same;
    img = img ? img : image_of_id(id);
    if (!img)
        return str_dup("the worker's report is bad");
    event_image(img->id, tag->str, "pull");
    image_store_save(t->answer, NULL);
    return NULL;
}

static const struct transfer_kind pull_kind = {"pull", pull_line, pull_status_line};

/* ---- the request ----------------------------------------------------------------------------- */

static void pull_order(struct transfer *t, const struct registry_name *n, const struct json *auth)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    held_layers(&t->held, t->job, "L");
    for (const struct image *img = image_first(); img; img = img->next)
        if (image_listed(img))
            buf_fmt(&b, "I%s\n", img->id);
    buf_str(&b, "\n");
    registry_order_auth(&b, auth);
    jw_object(&w, NULL);
    registry_order(&w, n);
    jw_object_end(&w);
    job_feed(t->job, b.data, b.len);
    job_feed_end(t->job);
    buf_free(&b);
}

static void pull_begin(struct http_conn *conn, const struct registry_name *n,
                       const struct json *auth)
{
    struct buf key = {0};
    struct transfer *t;

    buf_fmt(&key, "%s %s ", n->repo, n->digest ? n->digest : n->tag ? n->tag : "");
    if (auth)
        json_write(&key, auth);
    t = transfer_find(key.data);
    if (t) {
        buf_free(&key);
    } else {
        t = transfer_new(&pull_kind, buf_take(&key),
                         n->digest ? str_fmt("%s@%s", n->repo, n->digest)
                         : n->tag  ? str_fmt("%s:%s", n->repo, n->tag)
                                   : str_dup(n->repo));
        pull_order(t, n, auth);
    }
    transfer_watch(t, conn);
}

/* The whole reference, normalized, and whether it names neither tag nor digest; NULL when it is
 * none. `tag` counts before what the name has. */
static char *pull_reference(const struct http_head *req, bool *all)
{
    const char *from = http_query(req, "fromImage"), *tag = http_query(req, "tag");
    const char *slash = strrchr(from, '/'), *colon = strrchr(from, ':'), *at = strchr(from, '@');
    const char *end = at ? at : colon && (!slash || colon > slash) ? colon : NULL;
    bool given = tag && *tag;
    char *text, *ref;

    *all = !end && !given;
    text = str_fmt("%.*s%s%s", given && end ? (int)(end - from) : (int)strlen(from), from,
                   !given             ? ""
                   : strchr(tag, ':') ? "@"
                                      : ":",
                   given ? tag : "");
    ref = image_ref_normalize(text);
    free(text);
    return ref;
}

static bool pull_platform_ok(const char *platform)
{
    return !platform || !*platform || !strcmp(platform, "linux") || !strcmp(platform, "amd64") ||
           !strcmp(platform, "x86_64") || str_starts(platform, "linux/amd64") ||
           str_starts(platform, "linux/x86_64");
}

static void pull_judge(struct call *call, const char *ref, bool all)
{
    struct registry_name n;
    struct json *auth;

    if (!registry_auth(call->req, &auth)) {
        api_error(call->conn, 400, "the X-Registry-Auth header is unreadable");
        return;
    }
    registry_name_parse(&n, ref);
    if (all) {
        free(n.tag);
        n.tag = NULL;
    }
    pull_begin(call->conn, &n, auth);
    registry_name_free(&n);
    json_free(auth);
}

API(api_image_pull)
{
    const char *from = http_query(call->req, "fromImage");
    const char *platform = http_query(call->req, "platform");
    char *ref = NULL;
    bool all;

    if (!from || !*from) {
        api_error(call->conn, 501, "import is not supported yet");
        return;
    }
    ref = pull_reference(call->req, &all);
    if (!ref)
        api_error(call->conn, 400, "invalid reference format: %.300s", from);
    else if (!pull_platform_ok(platform))
        api_error(call->conn, 404, "this machine runs linux/amd64 alone, not %.60s", platform);
    else
        pull_judge(call, ref, all);
    free(ref);
}
