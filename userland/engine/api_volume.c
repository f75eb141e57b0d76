// SPDX-License-Identifier: MIT
// The API's volumes: create, list, inspect, remove, prune.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/filters.h"
#include "engine/usage.h"
#include "engine/volume.h"
#include "lib/str.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool filter_name(const void *o, const char *v)
{
    return filter_pattern(v, ((const struct volume *)o)->name);
}

static bool filter_label(const void *o, const char *v)
{
    char *key = filter_label_key(v);
    bool is = filter_label_is(v, volume_label(o, key));

    free(key);
    return is;
}

static bool filter_no_label(const void *o, const char *v)
{
    return !filter_label(o, v);
}

static bool is_yes(const char *v)
{
    return !strcmp(v, "1") || str_case_eq(v, "true");
}

static bool filter_dangling(const void *o, const char *v)
{
    return !((const struct volume *)o)->refs == filter_true(v);
}

static bool filter_driver(const void *o, const char *v)
{
    return !strcmp(v, "local");
}

/* Looked at before, by prune itself. */
static bool filter_all(const void *o, const char *v)
{
    return true;
}

static const struct filter list_filters[] = {{"name", filter_name, false},
                                             {"label", filter_label, true},
                                             {"dangling", filter_dangling, false},
                                             {"driver", filter_driver, false}};
static const struct filter prune_filters[] = {
    {"label", filter_label, true}, {"label!", filter_no_label, true}, {"all", filter_all, false}};

/* The volume that is named, or NULL after an answer. */
static struct volume *api_volume(struct call *call)
{
    struct volume *v = volume_find(call->name);

    if (!v)
        api_error(call->conn, 404, "get %s: no such volume", call->name);
    return v;
}

API(api_volume_list)
{
    char *why;
    struct json *filters = filters_read(call->req, list_filters, COUNT(list_filters), &why);
    struct buf b = {0};
    struct jw w = {.out = &b};
    const char *late;
    int status;

    why = why ? why : filters_check(filters, "name", filter_pattern_judge);
    why = why ? why : filters_check_bool(filters, "dangling");
    if (why) {
        api_error(call->conn, 400, "%s", why);
        json_free(filters);
        free(why);
        return;
    }
    jw_object(&w, NULL);
    jw_array(&w, "Volumes");
    filters_begin();
    for (const struct volume *v = volume_first(); v; v = v->next)
        if (filters_match(list_filters, COUNT(list_filters), filters, v))
            volume_write(&w, v, -1);
    late = filters_end(&status);
    jw_array_end(&w);
    jw_null(&w, "Warnings");
    jw_object_end(&w);
    json_free(filters);
    if (!late) {
        api_json(call->conn, 200, &b);
        return;
    }
    buf_free(&b);
    api_error(call->conn, status, "%s", late);
}

API(api_volume_inspect)
{
    const struct volume *v = api_volume(call);
    struct buf b = {0};
    struct jw w = {.out = &b};

    if (!v)
        return;
    volume_write(&w, v, -1);
    api_json(call->conn, 200, &b);
}

/* NULL, or what cannot be had. */
static char *create_judge(const struct json *body)
{
    const char *driver = json_str(body, "Driver");
    const struct json *labels = json_get(body, "Labels"), *o = json_get(body, "DriverOpts");

    if (driver && *driver && strcmp(driver, "local"))
        return str_fmt("error looking up volume plugin %s: plugin \"%s\" not found", driver,
                       driver);
    if (o && o->type == JSON_OBJECT && o->child)
        return str_fmt("volume option \"%s\" is not supported", o->child->key);
    if (json_get(body, "ClusterVolumeSpec") && json_get(body, "ClusterVolumeSpec")->child)
        return str_dup("cluster volumes are not supported");
    for (struct json *j = labels && labels->type == JSON_OBJECT ? labels->child : NULL; j;
         j = j->next)
        if (j->type != JSON_STRING)
            return str_dup("Labels must be an object of strings");
    return NULL;
}

static void create_saved(void *answer, const char *why)
{
    answer_done(answer, why);
}

/* One that there is already is answered as it is, as Docker does. */
API(api_volume_create)
{
    const char *name = json_str(call->body, "Name");
    char *why = create_judge(call->body), random[ID_LEN + 1];
    struct volume *v;
    struct answer *a;
    struct jw w = {0};

    random_hex(random, ID_LEN);
    name = name && *name ? name : random;
    v = why ? NULL : volume_find(name);
    if (!why && !v) {
        v = volume_create(name, json_get(call->body, "Labels"), &why);
        if (v)
            event_plain("volume", v->name, "create", EVENT_MORE("driver", "local"));
    }
    if (why) {
        api_error(call->conn, 400, "%s", why);
        free(why);
        return;
    }
    a = answer_new(call->conn, 201, "application/json");
    w.out = &a->body;
    volume_write(&w, v, -1);
    volume_save(v, create_saved, a);
}

/* A container that uses it, for the words of the refusal. */
static const struct container *volume_user(const struct volume *v)
{
    for (const struct container *c = container_first(); c; c = c->next)
        for (int i = 0; i < c->shared.nmounts; i++)
            if (c->shared.mounts[i].volume && !strcmp(c->shared.mounts[i].volume, v->name))
                return c;
    return NULL;
}

API(api_volume_remove)
{
    struct volume *v = volume_find(call->name);
    const struct container *c;
    struct answer *a;

    if (!v && http_query_bool(call->req, "force", false)) {
        http_reply(call->conn, 204, NULL, "", 0);
        return;
    }
    if (!v) {
        api_volume(call);
        return;
    }
    if (v->refs) {
        c = volume_user(v);
        api_error(call->conn, 409, "remove %s: volume is in use - [%s]", v->name,
                  c ? c->id : "a container that is being removed");
        return;
    }
    a = answer_new(call->conn, 204, NULL);
    volume_remove(v, a);
    answer_done(a, NULL);
}

/* ---- prune ----------------------------------------------------------------------------------- */

struct prune {
    struct answer *answer;
    struct json *filters;
    bool all; /* those with names too */
};

/* Their sizes are known: those that are still unused go. */
static void prune_sized(void *arg, const struct usage *u)
{
    struct prune *p = arg;
    struct jw w = {.out = &p->answer->body};
    int64_t space = 0, size;
    struct volume *next;

    jw_object(&w, NULL);
    jw_array(&w, "VolumesDeleted");
    for (struct volume *v = volume_first(); v; v = next) {
        next = v->next;
        if (v->refs || (!p->all && !volume_is_anonymous(v)) ||
            !filters_match(prune_filters, COUNT(prune_filters), p->filters, v))
            continue;
        size = usage_of(u, "volume", v->name);
        space += size > 0 ? size : 0;
        jw_str(&w, NULL, v->name);
        volume_remove(v, p->answer);
    }
    jw_array_end(&w);
    jw_int(&w, "SpaceReclaimed", space);
    jw_object_end(&w);
    event_prune("volume", space);
    answer_done(p->answer, NULL);
    json_free(p->filters);
    free(p);
}

/* Clients before API 1.42 mean all that are unused. */
static bool prune_all(const struct http_head *req, const struct json *filters)
{
    const struct json *j = json_list(filters, "all");
    const char *version = str_starts(req->path, "/v1.") ? req->path + 4 : NULL;

    if (j)
        return is_yes(j->key ? j->key : j->str);
    return version && atoi(version) < 42;
}

API(api_volume_prune)
{
    char *why;
    struct json *filters = filters_read(call->req, prune_filters, COUNT(prune_filters), &why);
    struct prune *p;

    if (why) {
        api_error(call->conn, 400, "%s", why);
        json_free(filters);
        free(why);
        return;
    }
    if (!volumes_may_go()) {
        api_error(call->conn, 409,
                  "containers of this engine were set aside or could not be read: nothing is known "
                  "of what they mount, and no volume is pruned");
        json_free(filters);
        return;
    }
    p = mem_alloc(sizeof(*p));
    *p = (struct prune){answer_new(call->conn, 200, "application/json"), filters,
                        prune_all(call->req, filters)};
    usage_ask(prune_sized, p);
}
