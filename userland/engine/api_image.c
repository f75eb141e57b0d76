// SPDX-License-Identifier: MIT
// The API's image half, and the engine's side of a load: body to spool, spool to worker, the
// worker's report to the store.
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/str.h"

#define LOAD_REPORT_MAX (4u * 1024 * 1024)

static struct image *api_image(struct call *call)
{
    struct image *img = image_find(call->name);

    if (!img)
        api_error(call->conn, 404, "No such image: %s%s", call->name,
                  strchr(call->name, ':') ? "" : ":latest");
    return img;
}

static int64_t image_created(const struct image *img)
{
    const char *text = json_str(img->config, "created");
    struct timespec ts = {0};

    return text && time_parse(text, &ts) ? ts.tv_sec : 0;
}

/* "repo", "repo:tag", either with shell patterns of one '*'. */
static bool reference_match(const char *pattern, const char *ref)
{
    const char *star = strchr(pattern, '*'), *tag = strrchr(ref, ':');
    size_t n = strlen(pattern);

    if (star) {
        size_t before = (size_t)(star - pattern);

        return !strncmp(pattern, ref, before) && str_ends(ref, star + 1);
    }
    return !strcmp(pattern, ref) || (tag && n == (size_t)(tag - ref) && !strncmp(pattern, ref, n));
}

static bool reference_wanted(const struct json *filters, const char *ref)
{
    const struct json *refs = json_get(filters, "reference");

    if (!refs || !refs->child)
        return true;
    for (const struct json *r = refs->child; r; r = r->next) {
        const char *text = refs->type == JSON_OBJECT ? r->key : r->str;

        if (text && reference_match(text, ref))
            return true;
    }
    return false;
}

static void image_names(struct jw *w, const struct image *img, const struct json *filters)
{
    jw_array(w, "RepoTags");
    for (int i = 0; i < img->ntags; i++)
        if (reference_wanted(filters, img->tags[i]))
            jw_str(w, NULL, img->tags[i]);
    jw_array_end(w);
    jw_array(w, "RepoDigests");
    jw_array_end(w);
}

static bool image_wanted(const struct image *img, const struct json *filters)
{
    const struct json *refs = json_get(filters, "reference");
    const struct json *dangling = json_get(filters, "dangling");

    if (dangling && dangling->child) {
        const struct json *v = dangling->child;
        const char *text = dangling->type == JSON_OBJECT ? v->key : v->str;
        bool want = text && (!strcmp(text, "true") || !strcmp(text, "1"));

        if (want != (img->ntags == 0))
            return false;
    }
    for (int i = 0; i < img->ntags; i++)
        if (reference_wanted(filters, img->tags[i]))
            return true;
    return !refs || !refs->child;
}

API(api_image_list)
{
    const char *text = http_query(call->req, "filters");
    struct json *filters = text ? json_parse(text, strlen(text), NULL) : NULL;
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_array(&w, NULL);
    for (struct image *img = image_first(); img; img = img->next) {
        if (!img->listed || !image_wanted(img, filters))
            continue;
        jw_object(&w, NULL);
        jw_fmt(&w, "Id", "sha256:%s", img->id);
        jw_str(&w, "ParentId", "");
        image_names(&w, img, filters);
        jw_int(&w, "Created", image_created(img));
        jw_int(&w, "Size", (int64_t)img->size);
        jw_int(&w, "SharedSize", -1);
        jw_int(&w, "VirtualSize", (int64_t)img->size);
        jw_json(&w, "Labels", json_get(json_get(img->config, "config"), "Labels"));
        jw_int(&w, "Containers", -1);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    json_free(filters);
    api_json(call->conn, 200, &b);
}

API(api_image_inspect)
{
    struct image *img = api_image(call);
    struct buf b = {0};
    struct jw w = {.out = &b};
    const char *created;

    if (!img)
        return;
    created = json_str(img->config, "created");
    jw_object(&w, NULL);
    jw_fmt(&w, "Id", "sha256:%s", img->id);
    image_names(&w, img, NULL);
    jw_str(&w, "Parent", "");
    jw_str(&w, "Comment", "");
    jw_str(&w, "Created", created ? created : "1970-01-01T00:00:00Z");
    jw_str(&w, "DockerVersion", "");
    jw_str(&w, "Author", json_str(img->config, "author"));
    jw_json(&w, "Config", json_get(img->config, "config"));
    jw_str(&w, "Architecture", "amd64");
    jw_str(&w, "Os", "linux");
    jw_int(&w, "Size", (int64_t)img->size);
    jw_int(&w, "VirtualSize", (int64_t)img->size);
    jw_object(&w, "GraphDriver");
    jw_str(&w, "Name", "overlay");
    jw_null(&w, "Data");
    jw_object_end(&w);
    jw_object(&w, "RootFS");
    jw_str(&w, "Type", "layers");
    jw_array(&w, "Layers");
    for (int i = 0; i < img->nlayers; i++)
        jw_fmt(&w, NULL, "sha256:%s", img->layers[i]->diff_id);
    jw_array_end(&w);
    jw_object_end(&w);
    jw_object(&w, "Metadata");
    jw_str(&w, "LastTagTime", "0001-01-01T00:00:00Z");
    jw_object_end(&w);
    jw_object_end(&w);
    api_json(call->conn, 200, &b);
}

static void history_entry(struct jw *w, const struct image *img, const struct json *h, bool top,
                          uint64_t size)
{
    const char *created = json_str(h, "created");
    struct timespec ts = {0};

    if (created)
        time_parse(created, &ts);
    jw_object(w, NULL);
    if (top)
        jw_fmt(w, "Id", "sha256:%s", img->id);
    else
        jw_str(w, "Id", "<missing>");
    jw_int(w, "Created", ts.tv_sec);
    jw_str(w, "CreatedBy", json_str(h, "created_by"));
    jw_array(w, "Tags");
    for (int i = 0; top && i < img->ntags; i++)
        jw_str(w, NULL, img->tags[i]);
    jw_array_end(w);
    jw_int(w, "Size", (int64_t)size);
    jw_str(w, "Comment", json_str(h, "comment"));
    jw_object_end(w);
}

API(api_image_history)
{
    struct image *img = api_image(call);
    struct json *list[256], *h;
    struct buf b = {0};
    struct jw w = {.out = &b};
    int n = 0, layer;

    if (!img)
        return;
    for (h = json_list(img->config, "history"); h && n < 256; h = h->next)
        list[n++] = h;
    layer = img->nlayers;
    jw_array(&w, NULL);
    for (int i = n; i-- > 0;) {
        bool empty = json_bool(list[i], "empty_layer");

        history_entry(&w, img, list[i], i == n - 1,
                      empty || layer == 0 ? 0 : img->layers[--layer]->size);
    }
    jw_array_end(&w);
    api_json(call->conn, 200, &b);
}

static struct container *image_user(const struct image *img, bool running_only)
{
    for (struct container *c = container_first(); c; c = c->next)
        if (c->image == img && (!running_only || container_running(c)))
            return c;
    return NULL;
}

API(api_image_remove)
{
    struct image *img = api_image(call);
    bool force = http_query_bool(call->req, "force", false);
    char *ref = image_ref_normalize(call->name);
    struct container *user;
    struct buf b = {0};

    if (!img) {
        free(ref);
        return;
    }
    user = image_user(img, force);
    if (ref && img->ntags > 1 && image_untag(img, ref)) {
        buf_fmt(&b, "[{\"Untagged\":\"%s\"}]", ref);
        event_image(img->id, ref, "untag");
        image_store_save();
        api_json(call->conn, 200, &b);
    } else if (user) {
        api_error(
            call->conn, 409, "conflict: unable to %s %s (%s) - %s container %.12s",
            force ? "delete" : "remove repository reference", call->name,
            force ? "cannot be forced" : "must force",
            force ? "image is being used by running" : "container is using its image:", user->id);
    } else {
        image_remove(img, &b);
        api_json(call->conn, 200, &b);
    }
    free(ref);
}

API(api_image_tag)
{
    struct image *img = api_image(call);
    const char *repo = http_query(call->req, "repo"), *tag = http_query(call->req, "tag");
    char *full, *ref;

    if (!img)
        return;
    full = str_fmt("%s%s%s", repo ? repo : "", tag && *tag ? ":" : "", tag ? tag : "");
    ref = image_ref_normalize(full);
    if (ref) {
        image_tag(img, ref);
        image_store_save();
        event_image(img->id, ref, "tag");
        http_reply(call->conn, 201, NULL, "", 0);
    } else {
        api_error(call->conn, 400, "invalid reference format: %s", full);
    }
    free(full);
    free(ref);
}

API(api_image_pull)
{
    const char *from = http_query(call->req, "fromImage");

    if (from)
        api_error(call->conn, 404,
                  "pull access denied for %s: Bothy does not pull from registries; load an image "
                  "archive instead",
                  from);
    else
        api_error(call->conn, 501, "import of a root file system is not supported");
}

/* ---- load ------------------------------------------------------------------------------------ */

struct load_job {
    struct load_job *next;
    struct http_conn *conn; /* NULL when the client has gone */
    char *dir;
    int spool;
    pid_t pid;
    struct ev_source report;
    struct buf text;
    char *error;
};

static struct load_job *load_jobs;
static unsigned load_count;

static void load_job_free(struct load_job *job)
{
    for (struct load_job **at = &load_jobs; *at; at = &(*at)->next) {
        if (*at != job)
            continue;
        *at = job->next;
        break;
    }
    if (job->report.fd >= 0) {
        ev_del(&job->report);
        close(job->report.fd);
    }
    if (job->spool >= 0)
        close(job->spool);
    tree_remove(AT_FDCWD, job->dir);
    buf_free(&job->text);
    free(job->error);
    free(job->dir);
    free(job);
}

static void load_client_gone(struct http_conn *conn)
{
    struct load_job *job = conn->owner;

    job->conn = NULL;
    if (job->pid)
        kill(job->pid, SIGKILL); /* the job goes when it has been reaped */
    else
        load_job_free(job);
}

/* Docker answers 200 and puts failures in the stream. */
static void load_answer(struct load_job *job, const char *error, struct buf *lines)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    tree_remove(AT_FDCWD, job->dir); /* nothing stays when the client has its answer */
    if (job->conn) {
        struct http_conn *conn = job->conn;

        if (error) {
            jw_object(&w, NULL);
            jw_object(&w, "errorDetail");
            jw_str(&w, "message", error);
            jw_object_end(&w);
            jw_str(&w, "error", error);
            jw_object_end(&w);
            buf_str(&b, "\r\n");
        }
        conn->on_close = NULL;
        conn->on_body = NULL;
        job->conn = NULL;
        http_reply(conn, 200, "application/json", error ? b.data : lines->data,
                   error ? b.len : lines->len);
    }
    buf_free(&b);
    load_job_free(job);
}

static void load_spool(struct http_conn *conn, const char *data, size_t len)
{
    struct load_job *job = conn->owner;
    int err = job->error ? 0 : write_all(job->spool, data, len);

    if (err)
        job->error = str_fmt("cannot store the archive: %s", strerror(-err));
}

static void load_report(struct ev_source *s, uint32_t events)
{
    struct load_job *job = (struct load_job *)((char *)s - offsetof(struct load_job, report));
    ssize_t n;

    buf_reserve(&job->text, 4096);
    n = read(s->fd, job->text.data + job->text.len, 4096);
    if (n > 0 && job->text.len < LOAD_REPORT_MAX)
        job->text.len += (size_t)n;
    else if (n == 0 || errno != EAGAIN)
        ev_set(s, 0); /* the rest is done when the worker has been reaped */
}

static void load_drain(struct load_job *job)
{
    while (job->report.events)
        load_report(&job->report, EPOLLIN);
}

static void load_finish(struct load_job *job)
{
    struct json *report;
    struct buf lines = {0};
    char *error = NULL;

    load_drain(job);
    report = json_parse(job->text.data ? job->text.data : "", job->text.len, NULL);
    if (!report)
        error = str_dup("the archive's reader failed");
    else if (json_str(report, "error"))
        error = str_dup(json_str(report, "error"));
    else
        error = image_publish(job->dir, report, &lines);
    json_free(report);
    load_answer(job, error, &lines);
    buf_free(&lines);
    free(error);
}

bool load_reaped(pid_t pid, int status)
{
    for (struct load_job *job = load_jobs; job; job = job->next) {
        if (job->pid != pid)
            continue;
        load_finish(job);
        return true;
    }
    return false;
}

void load_complete(struct http_conn *conn)
{
    struct load_job *job = conn->owner;
    int pipefd[2];

    conn->on_body = NULL;
    if (!job->error && pipe2(pipefd, O_CLOEXEC) < 0)
        job->error = str_fmt("cannot start a reader: %s", strerror(errno));
    if (job->error) {
        load_answer(job, job->error, NULL);
        return;
    }
    job->pid = fork();
    if (job->pid == 0)
        load_worker(job->spool, job->dir, pipefd[1]);
    close(pipefd[1]);
    job->report = (struct ev_source){.fd = pipefd[0], .fn = load_report};
    if (job->pid < 0) {
        job->pid = 0;
        load_answer(job, "cannot start a reader: out of processes", NULL);
        return;
    }
    ev_set(&job->report, EPOLLIN);
}

void api_image_load(struct http_conn *conn)
{
    struct load_job *job = mem_alloc(sizeof(*job));
    char *path;

    job->dir = str_fmt("%s/tmp/load-%u", engine.root, load_count++);
    job->report.fd = -1;
    job->conn = conn;
    dir_make(job->dir, 0700);
    path = str_fmt("%s/spool", job->dir);
    job->spool = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (job->spool < 0)
        job->error = str_fmt("cannot store the archive in %s: %s", path, strerror(errno));
    free(path);
    job->next = load_jobs;
    load_jobs = job;
    conn->owner = job;
    conn->on_body = load_spool;
    conn->on_close = load_client_gone;
}
