// SPDX-License-Identifier: MIT
// The API's list of containers, its filters, and the removal of those that do not run.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/filters.h"
#include "engine/network.h"
#include "lib/str.h"

/* Of one container in the list: an image may have megabytes of either, and each of its containers
 * would have them once more. inspect shows all. */
#define LIST_COMMAND_MAX 4096
#define LIST_LABELS_MAX 65536
#define LIST_MOUNTS_MAX 65536

static void command_text(const struct container *c, struct buf *b)
{
    for (char **a = c->spec.argv; *a && b->len < LIST_COMMAND_MAX; a++)
        buf_fmt(b, "%s%.*s", a == c->spec.argv ? "" : " ", LIST_COMMAND_MAX, *a);
    if (b->len > LIST_COMMAND_MAX)
        b->len = LIST_COMMAND_MAX;
}

static bool filter_id(const void *o, const char *v)
{
    return str_starts(((const struct container *)o)->id, v);
}

static bool filter_name(const void *o, const char *v)
{
    const struct container *c = o;
    char *full = str_fmt("/%s", c->name);
    bool hit = filter_pattern(v, full) || filter_pattern(v, c->name);

    free(full);
    return hit;
}

static bool filter_status(const void *o, const char *v)
{
    const struct container *c = o;

    return !strcmp(container_state_name(c), v);
}

static char *status_judge(const char *text)
{
    static const char *const known[] = {"created", "restarting", "running", "removing",
                                        "paused",  "exited",     "dead"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (!strcmp(text, known[i]))
            return NULL;
    return str_fmt("invalid filter 'status=%.100s'", text);
}

static char *exited_judge(const char *text)
{
    int64_t code;

    return str_i64(text, &code) ? NULL : str_fmt("invalid filter 'exited=%.100s'", text);
}

/* There are no health checks yet. */
static bool filter_health(const void *o, const char *v)
{
    return !strcmp(v, "none");
}

static char *health_judge(const char *text)
{
    static const char *const known[] = {"none", "starting", "healthy", "unhealthy"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (!strcmp(text, known[i]))
            return NULL;
    return str_fmt("invalid filter 'health=%.100s'", text);
}

static bool filter_label(const void *o, const char *v)
{
    const struct container *c = o;
    char *key = filter_label_key(v);
    bool is = filter_label_is(v, container_label(c, key));

    free(key);
    return is;
}

/* The id of the image that is meant; empty when there is none. */
static char *meant_image(const char *v)
{
    const struct image *img = image_find(v);

    return str_dup(img ? img->id : "");
}

static bool filter_ancestor(const void *o, const char *v)
{
    return !strcmp(((const struct container *)o)->image->id, v);
}

static bool filter_exited(const void *o, const char *v)
{
    const struct container *c = o;
    int64_t code;

    return c->state == C_STOPPED && c->started.tv_sec && str_i64(v, &code) && code == c->exit_code;
}

static bool filter_no_label(const void *o, const char *v)
{
    return !filter_label(o, v);
}

/* The number of the container that is meant; NULL when there is none. */
static char *meant_container(const char *v)
{
    bool ambiguous;
    const struct container *c = container_find(v, &ambiguous);

    return c ? str_fmt("%llu", (unsigned long long)c->number) : NULL;
}

/* Made before or after another one. */
static bool filter_before(const void *o, const char *v)
{
    uint64_t than;

    return str_u64(v, &than) && ((const struct container *)o)->number < than;
}

static bool filter_since(const void *o, const char *v)
{
    uint64_t than;

    return str_u64(v, &than) && ((const struct container *)o)->number > than;
}

/* The name or the place of a mount. */
static bool filter_volume(const void *o, const char *v)
{
    const struct container *c = o;

    for (int i = 0; i < c->shared.nmounts; i++)
        if (!strcmp(c->shared.mounts[i].target, v) ||
            (c->shared.mounts[i].volume && !strcmp(c->shared.mounts[i].volume, v)))
            return true;
    return false;
}

static bool filter_until(const void *o, const char *v)
{
    long long at;

    return filter_time(v, &at) && ((const struct container *)o)->created.tv_sec < at;
}

static bool filter_network(const void *o, const char *v)
{
    return network_find(v) == network_of(o);
}

static const struct filter list_filters[] = {
    {"id", filter_id, false},           {"name", filter_name, false},
    {"status", filter_status, false},   {"label", filter_label, true},
    {"label!", filter_no_label, true},  {"ancestor", filter_ancestor, false},
    {"exited", filter_exited, false},   {"before", filter_before, true},
    {"since", filter_since, true},      {"volume", filter_volume, false},
    {"network", filter_network, false}, {"health", filter_health, false},
};

static const struct filter prune_filters[] = {
    {"label", filter_label, true},
    {"label!", filter_no_label, true},
    {"until", filter_until, true},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Looks up what filters name. Containers must be there: NULL, or the name of one that is not. */
static char *filters_names(struct json *filters)
{
    char *missing = filters_resolve(filters, "before", meant_container);

    missing = missing ? missing : filters_resolve(filters, "since", meant_container);
    return missing ? missing : filters_resolve(filters, "ancestor", meant_image);
}

/* NULL, or what is wrong with the request. */
static char *list_judge(const struct http_head *req, const struct json *filters, int64_t *limit)
{
    const char *text = http_query(req, "limit");
    char *why = filters_check(filters, "name", filter_pattern_judge);

    why = why ? why : filters_check(filters, "status", status_judge);
    why = why ? why : filters_check(filters, "exited", exited_judge);
    why = why ? why : filters_check(filters, "health", health_judge);
    *limit = 0;
    if (!why && text && *text && !str_i64(text, limit))
        why = str_fmt("invalid limit: %.100s", text);
    return why;
}

static void list_entry(struct jw *w, const struct container *c)
{
    struct buf command = {0};
    char status[96];

    command_text(c, &command);
    container_status_text(c, status, sizeof(status));
    jw_object(w, NULL);
    jw_str(w, "Id", c->id);
    jw_array(w, "Names");
    jw_fmt(w, NULL, "/%s", c->name);
    jw_array_end(w);
    jw_str(w, "Image", c->image_name);
    jw_fmt(w, "ImageID", "sha256:%s", c->image->id);
    jw_strn(w, "Command", command.data, command.len);
    jw_int(w, "Created", c->created.tv_sec);
    jw_array(w, "Ports");
    jw_array_end(w);
    jw_object(w, "Labels");
    container_labels(c, w, LIST_LABELS_MAX);
    jw_object_end(w);
    jw_str(w, "State", container_state_name(c));
    jw_str(w, "Status", status);
    jw_object(w, "HostConfig");
    jw_str(w, "NetworkMode", network_of(c)->name);
    jw_object_end(w);
    jw_object(w, "NetworkSettings");
    network_write_endpoint(w, c);
    jw_object_end(w);
    container_mounts(w, c, LIST_MOUNTS_MAX);
    jw_object_end(w);
    buf_free(&command);
}

API(api_container_list)
{
    char *why, *missing;
    struct json *filters = filters_read(call->req, list_filters, COUNT(list_filters), &why);
    bool all = http_query_bool(call->req, "all", false);
    const char *failed;
    int status;
    int64_t left;
    struct buf b = {0};
    struct jw w = {.out = &b};

    why = why ? why : list_judge(call->req, filters, &left);
    missing = why ? NULL : filters_names(filters);
    if (why || missing) {
        api_error(call->conn, why ? 400 : 404, "%s%s",
                  why ? "" : "No such container: ", why ? why : missing);
        json_free(filters);
        free(why);
        free(missing);
        return;
    }
    if (left < 0)
        left = 0;
    all = all || left > 0 || json_get(filters, "status") || json_get(filters, "exited");
    if (!left)
        left = INT64_MAX;
    filters_begin();
    jw_array(&w, NULL);
    for (struct container *c = container_first(); c && left; c = c->next) {
        if (!(all || container_running(c)) ||
            !filters_match(list_filters, COUNT(list_filters), filters, c))
            continue;
        list_entry(&w, c);
        left--;
    }
    jw_array_end(&w);
    json_free(filters);
    failed = filters_end(&status);
    if (!failed) {
        api_json(call->conn, 200, &b);
        return;
    }
    buf_free(&b);
    api_error(call->conn, status, "%s", failed);
}

API(api_container_prune)
{
    char *why;
    struct json *filters = filters_read(call->req, prune_filters, COUNT(prune_filters), &why);
    struct container *next;
    struct answer *a;
    struct jw w = {0};

    for (struct json *j = why ? NULL : json_list(filters, "until"); j && !why; j = j->next) {
        const char *text = j->key ? j->key : j->str;
        long long at;

        if (!filter_time(text, &at))
            why = str_fmt("invalid filter 'until': %s", text);
    }
    if (why) {
        api_error(call->conn, 400, "%s", why);
        json_free(filters);
        free(why);
        return;
    }
    a = answer_new(call->conn, 200, "application/json");
    w.out = &a->body;
    jw_object(&w, NULL);
    jw_array(&w, "ContainersDeleted");
    for (struct container *c = container_first(); c; c = next) {
        next = c->next;
        if (c->state != C_STOPPED ||
            !filters_match(prune_filters, COUNT(prune_filters), filters, c))
            continue;
        jw_str(&w, NULL, c->id);
        container_remove(c, a);
    }
    jw_array_end(&w);
    jw_int(&w, "SpaceReclaimed", 0);
    jw_object_end(&w);
    event_prune("container", 0);
    json_free(filters);
    answer_done(a, NULL);
}
