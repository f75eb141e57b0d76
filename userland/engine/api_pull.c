// SPDX-License-Identifier: MIT
// POST /images/create: the engine's side of a pull.
//
// A pull is a job and the clients that watch it: who asks for the same with the same credentials
// joins. It ends when the last of them leaves. What its worker reports is judged here and told to
// all; each image becomes one of the store as soon as it is whole, and "Status" is said when the
// store has been written. A failure before anything was told is the request's status, afterwards a
// line of the stream, as with Docker.
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/held.h"
#include "engine/image_priv.h"
#include "engine/job.h"
#include "engine/registry.h"
#include "lib/str.h"

#define PULL_LINES_MAX 512 /* what one who joins is told first */
#define PULL_ID_MAX 160

struct watcher {
    struct watcher *next;
    struct pull *pull;
    struct http_conn *conn;
    bool told; /* the answer's head has gone */
};

/* The last that was said of a layer or a tag. */
struct pull_line {
    char *id;
    struct buf text;
};

struct pull {
    struct pull *next;
    char *key;  /* the reference and who asks */
    char *name; /* as Docker says it: with the tag */
    struct job *job;
    struct held held;
    struct answer *answer; /* given at the end: then it is told and freed */
    struct watcher *watchers;
    struct pull_line *lines;
    size_t nlines;
    bool newer, ended;
    int code; /* of its failure */
    char *error;
};

static struct pull *pull_list;

/* ---- what clients are told ------------------------------------------------------------------- */

static void watcher_send(struct watcher *w, const struct buf *text)
{
    if (!w->told)
        http_stream(w->conn, 200, "application/json");
    w->told = true;
    http_stream_data(w->conn, text->data, text->len);
}

static void pull_tell(struct pull *p, const struct buf *text, bool progress)
{
    for (struct watcher *w = p->watchers; w; w = w->next)
        if (!progress || http_backlog(w->conn) < HTTP_BACKLOG) /* who reads slowly misses some */
            watcher_send(w, text);
}

static void pull_write(struct buf *b, const char *id, const char *status, int64_t current,
                       int64_t total)
{
    struct jw w = {.out = b};

    jw_object(&w, NULL);
    jw_str(&w, "status", status);
    if (id) {
        jw_object(&w, "progressDetail");
        if (total > 0) {
            jw_int(&w, "current", current);
            jw_int(&w, "total", total);
        }
        jw_object_end(&w);
        jw_str(&w, "id", id);
    }
    jw_object_end(&w);
    buf_str(b, "\r\n");
}

static void pull_keep(struct pull *p, const char *id, const struct buf *text)
{
    size_t i = 0;

    while (i < p->nlines && strcmp(p->lines[i].id, id))
        i++;
    if (i == PULL_LINES_MAX)
        return;
    if (i == p->nlines) {
        p->lines = mem_resize(p->lines, ++p->nlines * sizeof(*p->lines));
        p->lines[i] = (struct pull_line){.id = str_dup(id)};
    }
    buf_clear(&p->lines[i].text);
    buf_add(&p->lines[i].text, text->data, text->len);
}

static void pull_status(struct pull *p, const char *id, const char *status, int64_t current,
                        int64_t total)
{
    struct buf b = {0};

    pull_write(&b, id, status, current, total);
    if (id && strlen(id) <= PULL_ID_MAX)
        pull_keep(p, id, &b);
    pull_tell(p, &b, total > 0);
    buf_free(&b);
}

static void watcher_error(struct watcher *w, int code, const char *error)
{
    struct buf b = {0};
    struct jw j = {.out = &b};

    if (!w->told) {
        api_error(w->conn, code, "%s", error);
        return;
    }
    jw_object(&j, NULL);
    jw_object(&j, "errorDetail");
    jw_str(&j, "message", error);
    jw_object_end(&j);
    jw_str(&j, "error", error);
    jw_object_end(&j);
    buf_str(&b, "\r\n");
    watcher_send(w, &b);
    http_stream_end(w->conn);
    buf_free(&b);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void pull_unlist(struct pull *p)
{
    for (struct pull **at = &pull_list; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            return;
        }
}

static void pull_free(struct pull *p)
{
    for (size_t i = 0; i < p->nlines; i++) {
        buf_free(&p->lines[i].text);
        free(p->lines[i].id);
    }
    free(p->lines);
    free(p->key);
    free(p->name);
    free(p->error);
    free(p);
}

/* All is written and removed. */
static void pull_answered(void *arg, const char *error)
{
    struct pull *p = arg;
    char *status = str_fmt("Status: %s for %s",
                           p->newer ? "Downloaded newer image" : "Image is up to date", p->name);

    if (!error)
        pull_status(p, NULL, status, 0, 0);
    while (p->watchers) {
        struct watcher *w = p->watchers;

        p->watchers = w->next;
        http_disown(w->conn);
        if (error)
            watcher_error(w, p->code ? p->code : 500, error);
        else
            http_stream_end(w->conn);
        free(w);
    }
    free(status);
    pull_free(p);
}

static void pull_end(struct pull *p, const char *error)
{
    pull_unlist(p);
    p->ended = true;
    p->job = NULL;
    held_end(&p->held, p->answer);
    answer_done(p->answer, error);
}

static void pull_cancelled(void *owner)
{
    pull_end(owner, "cancelled");
}

static void pull_client_gone(struct http_conn *conn)
{
    struct watcher *gone = conn->owner;
    struct pull *p = gone->pull;

    for (struct watcher **at = &p->watchers; *at; at = &(*at)->next)
        if (*at == gone) {
            *at = gone->next;
            break;
        }
    free(gone);
    if (p->watchers || p->ended)
        return;
    p->ended = true;
    pull_unlist(p); /* who asks for the same now begins anew */
    job_cancel(p->job, pull_cancelled);
}

/* ---- the worker's report --------------------------------------------------------------------- */

/* It names an image that was here when the pull began. */
static char *pull_there(const struct json *j, struct image **out)
{
    const char *id = json_str(j, "Id");
    struct image *img = id ? image_of_id(id) : NULL;

    if (!img || !image_listed(img))
        return str_dup("the image was removed meanwhile");
    *out = img;
    image_adopt_tags(img, j, NULL);
    return NULL;
}

static char *pull_adopt(struct pull *p, struct json *image)
{
    struct json *all = json_new(JSON_OBJECT), *list = json_new(JSON_ARRAY), **at = &all->child;
    char *why;

    json_append(&at, "Images", list);
    at = &list->child;
    json_append(&at, NULL, json_copy(image));
    why = image_publish(p->held.dir, all, NULL);
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

static void pull_image(struct pull *p, struct json *image)
{
    bool same = pull_is_same(image);
    struct image *img = NULL;
    char *why = json_bool(image, "There") ? pull_there(image, &img) : pull_adopt(p, image);

    if (why && !p->error)
        p->error = why;
    else
        free(why);
    if (p->error)
        return;
    p->newer = p->newer || !same;
    img = img ? img : image_of_id(json_str(image, "Id"));
    event_image(img->id, json_list(image, "Tags")->str, "pull");
    image_store_save(p->answer, NULL);
}

static void pull_line(struct pull *p, const struct json *j)
{
    const char *error = json_str(j, "error"), *status = json_str(j, "status");
    int64_t code = json_int(j, "code", 500);

    if (p->error)
        return;
    if (error) {
        p->error = str_dup(error);
        p->code = code >= 400 && code < 600 ? (int)code : 500;
    } else if (json_get(j, "image")) {
        pull_image(p, json_get(j, "image"));
    } else if (status) {
        pull_status(p, json_str(j, "id"), status, json_int(j, "current", 0),
                    json_int(j, "total", 0));
    }
}

static void pull_heard(struct job *job)
{
    struct pull *p = job->owner;
    char *end;

    if (p->ended)
        return;
    while (job->report.len && (end = memchr(job->report.data, '\n', job->report.len))) {
        size_t n = (size_t)(end - job->report.data);
        struct json *j = json_parse(job->report.data, n, NULL);

        if (j)
            pull_line(p, j);
        else if (!p->error)
            p->error = str_dup("the worker's report is bad");
        json_free(j);
        buf_drop(&job->report, n + 1);
    }
}

static void pull_done(struct job *job, const char *error)
{
    struct pull *p = job->owner;

    pull_heard(job);
    pull_end(p, p->error ? p->error : error);
}

/* ---- the request ----------------------------------------------------------------------------- */

static void pull_watch(struct pull *p, struct http_conn *conn)
{
    struct watcher *w = mem_alloc(sizeof(*w)), **at = &p->watchers;

    *w = (struct watcher){.pull = p, .conn = conn};
    while (*at)
        at = &(*at)->next;
    *at = w;
    conn->owner = w;
    conn->on_close = pull_client_gone;
    for (size_t i = 0; i < p->nlines; i++)
        watcher_send(w, &p->lines[i].text);
}

static void pull_order(struct pull *p, const struct registry_name *n, const struct json *auth)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    held_layers(&p->held, p->job, "L");
    for (const struct image *img = image_first(); img; img = img->next)
        if (image_listed(img))
            buf_fmt(&b, "I%s\n", img->id);
    buf_str(&b, "\n");
    jw_object(&w, NULL);
    registry_order(&w, n, auth);
    jw_object_end(&w);
    job_feed(p->job, b.data, b.len);
    job_feed_end(p->job);
    buf_free(&b);
}

static struct pull *pull_find(const char *key)
{
    for (struct pull *p = pull_list; p; p = p->next)
        if (!strcmp(p->key, key))
            return p;
    return NULL;
}

static void pull_begin(struct http_conn *conn, const struct registry_name *n,
                       const struct json *auth)
{
    struct buf key = {0};
    struct pull *p;

    buf_fmt(&key, "%s %s ", n->repo, n->digest ? n->digest : n->tag ? n->tag : "");
    if (auth)
        json_write(&key, auth);
    p = pull_find(key.data);
    if (p) {
        buf_free(&key);
        pull_watch(p, conn);
        return;
    }
    p = mem_alloc(sizeof(*p));
    p->key = buf_take(&key);
    p->name = n->digest ? str_fmt("%s@%s", n->repo, n->digest)
              : n->tag  ? str_fmt("%s:%s", n->repo, n->tag)
                        : str_dup(n->repo);
    p->answer = answer_for(pull_answered, p);
    p->next = pull_list;
    pull_list = p;
    held_begin(&p->held, "pull");
    p->job = job_new(p, pull_done, job_memory_bound(), "pull", p->held.dir, NULL);
    p->job->heard = pull_heard;
    pull_order(p, n, auth);
    pull_watch(p, conn);
}

/* The whole reference, normalized, and whether it names neither tag nor digest; NULL when it is
 * none. */
static char *pull_reference(const struct http_head *req, bool *all)
{
    const char *from = http_query(req, "fromImage"), *tag = http_query(req, "tag");
    const char *slash = strrchr(from, '/'), *colon = strrchr(from, ':');
    bool has = strchr(from, '@') || (colon && (!slash || colon > slash));
    char *text, *ref;

    *all = !has && (!tag || !*tag);
    text = str_fmt("%s%s%s", from,
                   has || *all        ? ""
                   : strchr(tag, ':') ? "@"
                                      : ":",
                   has || *all ? "" : tag);
    ref = image_ref_normalize(text);
    free(text);
    return ref;
}

static bool pull_platform_ok(const char *platform)
{
    return !platform || !*platform || !strcmp(platform, "linux") ||
           str_starts(platform, "linux/amd64") || str_starts(platform, "linux/x86_64");
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
        api_error(call->conn, 501, "import of a root file system is not supported");
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
