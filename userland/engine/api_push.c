// SPDX-License-Identifier: MIT
// POST /images/NAME/push: the engine's side of a push.
//
// The worker is told which image goes by which tag, its layers' directories, and from which
// repositories of the same registry the image came: those may lend their blobs. When a tag is
// there, its digest is one of the image's names, as after a pull.
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/registry.h"
#include "engine/transfer.h"
#include "lib/str.h"

#define PUSH_TAGS_MAX 64
#define PUSH_SOURCES_MAX 8

/* Docker's last line about a tag. */
static void push_tell_aux(struct transfer *t, const char *tag, const char *digest, int64_t size)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_object(&w, NULL);
    jw_fmt(&w, "status", "%s: digest: %s size: %lld", tag, digest, (long long)size);
    jw_object_end(&w);
    buf_str(&b, "\r\n");
    w.more = false;
    jw_object(&w, NULL);
    jw_object(&w, "progressDetail");
    jw_object_end(&w);
    jw_object(&w, "aux");
    jw_str(&w, "Tag", tag);
    jw_str(&w, "Digest", digest);
    jw_int(&w, "Size", size);
    jw_object_end(&w);
    jw_object_end(&w);
    buf_str(&b, "\r\n");
    transfer_tell(t, &b, false);
    buf_free(&b);
}

/* {"pushed":{"Image","Tag","Digest","Size"}} */
static char *push_line(struct transfer *t, const struct json *j)
{
    const struct json *p = json_get(j, "pushed");
    const char *id = json_str(p, "Image"), *tag = json_str(p, "Tag");
    const char *digest = json_str(p, "Digest");
    char *ref = str_fmt("%s@%s", t->name, digest ? digest : "");
    char *name = image_ref_normalize(ref);
    struct image *img = id ? image_of_id(id) : NULL;

    char *why = image_store_space(0, 1, 0);

    free(ref);
    if (!why && (!name || !tag))
        why = str_dup("the worker's report is bad");
    if (why) {
        free(name);
        return why;
    }
    push_tell_aux(t, tag, digest, json_int(p, "Size", 0));
    if (img && image_listed(img)) {
        image_tag(img, name);
        image_store_save(t->answer, NULL);
        ref = str_fmt("%s:%s", t->name, tag);
        event_image(img->id, ref, "push");
        free(ref);
    }
    free(name);
    return NULL;
}

static const struct transfer_kind push_kind = {"push", push_line, NULL};

/* ---- the order ------------------------------------------------------------------------------- */

/* Repositories of the same registry that have the image, by its digests' names. */
static void push_sources(struct jw *w, const struct image *img, const char *host)
{
    int n = 0;

    jw_array(w, "Sources");
    for (int i = 0; i < img->ntags && n < PUSH_SOURCES_MAX; i++) {
        struct registry_name from;

        if (!image_ref_is_digest(img->tags[i]->ref))
            continue;
        registry_name_parse(&from, img->tags[i]->ref);
        if (!strcmp(from.host, host)) {
            jw_str(w, NULL, from.path);
            n++;
        }
        registry_name_free(&from);
    }
    jw_array_end(w);
}

static void push_image(struct jw *w, const struct image *img, const char *tag, const char *host)
{
    jw_object(w, NULL);
    jw_str(w, "Id", img->id);
    jw_str(w, "Tag", tag);
    jw_array(w, "Layers");
    for (int i = 0; i < img->nlayers; i++) {
        jw_object(w, NULL);
        jw_str(w, "DiffId", img->layers[i]->diff_id);
        jw_str(w, "Dir", img->layers[i]->dir);
        jw_object_end(w);
    }
    jw_array_end(w);
    push_sources(w, img, host);
    jw_object_end(w);
}

/* With a tag the image of that, otherwise all tags of the repository on this image's list; and
 * their number. */
static int push_images(struct jw *w, const struct registry_name *n, struct image *img)
{
    size_t repo = strlen(n->repo);
    int count = 0;

    jw_array(w, "Images");
    if (n->tag) {
        push_image(w, img, n->tag, n->host);
        count = 1;
    }
    for (struct image *at = n->tag ? NULL : image_first(); at; at = at->next)
        for (int i = 0; i < at->ntags && count < PUSH_TAGS_MAX; i++) {
            const char *ref = at->tags[i]->ref;

            if (strncmp(ref, n->repo, repo) || ref[repo] != ':')
                continue;
            push_image(w, at, ref + repo + 1, n->host);
            count++;
        }
    jw_array_end(w);
    return count;
}

static void push_begin(struct http_conn *conn, const struct registry_name *n, struct image *img,
                       const struct json *auth)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    struct transfer *t;
    char *status;

    registry_order_auth(&b, auth);
    jw_object(&w, NULL);
    registry_order(&w, n);
    if (!push_images(&w, n, img)) {
        api_error(conn, 404, "An image does not exist locally with the tag: %s", n->repo);
        buf_free(&b);
        return;
    }
    jw_object_end(&w);
    t = transfer_new(&push_kind, NULL, str_dup(n->repo));
    held_layers(&t->held, NULL, "");
    t->image = img ? image_get(img) : NULL;
    job_feed(t->job, b.data, b.len);
    job_feed_end(t->job);
    transfer_watch(t, conn);
    status = str_fmt("The push refers to repository [%s/%s]", n->host, n->path);
    transfer_status(t, NULL, status, 0, 0);
    free(status);
    buf_free(&b);
}

/* "NAME" and a tag, or none for all. */
static void push_judge(struct call *call, struct registry_name *n, const char *tag)
{
    char *ref = str_fmt("%s:%s", n->repo, tag && *tag ? tag : "latest");
    struct image *img = tag && *tag ? image_find(ref) : NULL;
    struct json *auth = NULL;

    free(n->tag);
    n->tag = tag && *tag ? str_dup(tag) : NULL;
    if (!registry_auth(call->req, &auth))
        api_error(call->conn, 400, "the X-Registry-Auth header is unreadable");
    else if (n->digest)
        api_error(call->conn, 400, "cannot push a digest reference");
    else if (n->tag && !img)
        api_error(call->conn, 404, "An image does not exist locally with the tag: %s", n->repo);
    else
        push_begin(call->conn, n, img, auth);
    json_free(auth);
    free(ref);
}

API(api_image_push)
{
    const char *tag = http_query(call->req, "tag");
    char *ref = image_ref_normalize(call->name);
    struct registry_name n;

    if (!ref) {
        api_error(call->conn, 400, "invalid reference format: %.300s", call->name);
        return;
    }
    registry_name_parse(&n, ref);
    if ((!tag || !*tag) && strrchr(call->name, ':') &&
        !strchr(strrchr(call->name, ':'), '/')) /* the name has it */
        push_judge(call, &n, strrchr(call->name, ':') + 1);
    else
        push_judge(call, &n, tag);
    registry_name_free(&n);
    free(ref);
}
