// SPDX-License-Identifier: MIT
// Events: a short history in memory, bounded in number and bytes, and the clients that listen.
// A container's labels are part of its events up to a bound: an image may have megabytes of them.
#include "engine/engine.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/filters.h"
#include "lib/str.h"

#define EVENTS_KEPT 256
#define EVENTS_BYTES (1u << 20)
#define EVENT_LABELS_MAX 4096
#define EVENTS_TIME_MAX (1ll << 40)

struct event {
    char *text; /* one JSON line, in a block of its size */
    size_t len;
    struct timespec when;
};

struct listener {
    struct listener *next;
    struct http_conn *conn;
    struct json *filters;
    struct ev_timer until; /* when it is to end */
};

static struct event events_ring[EVENTS_KEPT];
static unsigned events_next, events_first; /* those kept: first <= n < next */
static size_t events_bytes;
static struct listener *events_listeners;

static bool filter_type(const void *e, const char *v)
{
    return !strcmp(json_str(e, "Type"), v);
}

/* Of an exec's events the first word is enough: the rest is its command. */
static bool filter_event(const void *e, const char *v)
{
    const char *action = json_str(e, "Action");
    size_t n = strlen(v);

    return !strcmp(action, v) ||
           (str_starts(v, "exec_") && str_starts(action, v) && action[n] == ':' && !strchr(v, ':'));
}

static const struct json *event_attributes(const struct json *e)
{
    return json_get(json_get(e, "Actor"), "Attributes");
}

/* By name, or by what an id begins with. */
static bool filter_actor(const struct json *e, const char *type, const char *v)
{
    const char *id = json_str(json_get(e, "Actor"), "ID");
    const char *name = json_str(event_attributes(e), "name");

    if (strcmp(json_str(e, "Type"), type))
        return false;
    if (str_starts(id, "sha256:") && !str_starts(v, "sha256:"))
        id += 7;
    return (name && !strcmp(name, v)) || (*v && str_starts(id, v));
}

static bool filter_container(const void *e, const char *v)
{
    return filter_actor(e, "container", v);
}

static bool filter_volume(const void *e, const char *v)
{
    return filter_actor(e, "volume", v);
}

static bool filter_image(const void *e, const char *v)
{
    const char *from = json_str(event_attributes(e), "image");
    size_t n = strlen(v);

    return filter_actor(e, "image", v) ||
           (from && (!strcmp(from, v) || (str_starts(from, v) && from[n] == ':')));
}

static bool filter_label(const void *e, const char *v)
{
    char *key = filter_label_key(v);
    bool is = filter_label_is(v, json_str(event_attributes(e), key));

    free(key);
    return is;
}

static bool filter_scope(const void *e, const char *v)
{
    return !strcmp(v, "local");
}

static bool filter_daemon(const void *e, const char *v)
{
    return str_starts(engine.id, v);
}

/* An object of a kind that this engine has none of. */
static bool filter_none(const void *e, const char *v)
{
    return false;
}

static const struct filter event_filters[] = {
    {"type", filter_type, false},           {"event", filter_event, false},
    {"container", filter_container, false}, {"image", filter_image, false},
    {"label", filter_label, true},          {"scope", filter_scope, false},
    {"daemon", filter_daemon, false},       {"network", filter_none, false},
    {"volume", filter_volume, false},       {"plugin", filter_none, false},
    {"service", filter_none, false},        {"node", filter_none, false},
    {"secret", filter_none, false},         {"config", filter_none, false},
};

#define EVENT_FILTERS (sizeof(event_filters) / sizeof(event_filters[0]))

/* Most events have no listener: they are taken apart when one with filters asks. */
static bool filters_pass(const struct json *filters, const struct event *e)
{
    struct json *j = filters ? json_parse(e->text, e->len, NULL) : NULL;
    bool pass = !filters || (j && filters_match(event_filters, EVENT_FILTERS, filters, j));

    json_free(j);
    return pass;
}

static void event_forget(void)
{
    struct event *e = &events_ring[events_first++ % EVENTS_KEPT];

    events_bytes -= e->len;
    free(e->text);
    *e = (struct event){0};
}

static void event_emit(struct buf *text, const struct timespec *when)
{
    struct event *e = &events_ring[events_next % EVENTS_KEPT];

    buf_char(text, '\n');
    while (events_next - events_first == EVENTS_KEPT ||
           (events_first != events_next && events_bytes + text->len > EVENTS_BYTES))
        event_forget();
    *e = (struct event){str_dupn(text->data, text->len), text->len, *when};
    events_bytes += e->len;
    events_next++;
    for (struct listener *l = events_listeners; l; l = l->next)
        /* a listener that does not read loses events rather than memory */
        if (http_backlog(l->conn) < HTTP_BACKLOG && filters_pass(l->filters, e))
            http_stream_data(l->conn, e->text, e->len);
}

/* Lines are made in one buffer, one after the other. */
static struct buf *event_line(void)
{
    static struct buf line;

    buf_clear(&line);
    return &line;
}

static void event_actor(struct jw *w, const char *id)
{
    jw_object(w, "Actor");
    jw_str(w, "ID", id);
    jw_object(w, "Attributes");
}

/* The attributes end here, and the event. */
static void event_finish(struct jw *w, const char *const *more)
{
    struct timespec now;

    for (; more && *more; more += 2)
        jw_str(w, more[0], more[1]);
    jw_object_end(w);
    jw_object_end(w);
    engine_now(&now);
    jw_str(w, "scope", "local");
    jw_int(w, "time", now.tv_sec);
    jw_int(w, "timeNano", now.tv_sec * 1000000000 + now.tv_nsec);
    jw_object_end(w);
    event_emit(w->out, &now);
}

void event_plain(const char *type, const char *id, const char *action, const char *const *more)
{
    struct jw w = {.out = event_line()};

    if (engine.opening)
        return;
    jw_object(&w, NULL);
    jw_str(&w, "Type", type);
    jw_str(&w, "Action", action);
    event_actor(&w, id);
    event_finish(&w, more);
}

void event_prune(const char *type, int64_t reclaimed)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)reclaimed);
    event_plain(type, "", "prune", EVENT_MORE("reclaimed", text));
}

void event_container(struct container *c, const char *action, const char *const *more)
{
    struct jw w = {.out = event_line()};

    if (engine.opening)
        return;
    jw_object(&w, NULL);
    jw_str(&w, "status", action);
    jw_str(&w, "id", c->id);
    jw_str(&w, "from", c->image_name);
    jw_str(&w, "Type", "container");
    jw_str(&w, "Action", action);
    event_actor(&w, c->id);
    container_labels(c, &w, EVENT_LABELS_MAX);
    jw_str(&w, "image", c->image_name);
    jw_str(&w, "name", c->name);
    event_finish(&w, more);
}

void event_image(const char *id, const char *name, const char *action)
{
    struct jw w = {.out = event_line()};
    char *full = str_fmt("sha256:%s", id);

    jw_object(&w, NULL);
    jw_str(&w, "status", action);
    jw_str(&w, "id", full);
    jw_str(&w, "Type", "image");
    jw_str(&w, "Action", action);
    event_actor(&w, full);
    event_finish(&w, EVENT_MORE("name", name));
    free(full);
}

static void listener_free(struct listener *l)
{
    for (struct listener **at = &events_listeners; *at; at = &(*at)->next) {
        if (*at != l)
            continue;
        *at = l->next;
        break;
    }
    ev_timer_del(&l->until);
    json_free(l->filters);
    free(l);
}

static void listener_close(struct http_conn *conn)
{
    listener_free(conn->owner);
}

static void listener_until(struct ev_timer *t)
{
    struct listener *l = (struct listener *)((char *)t - offsetof(struct listener, until));
    struct http_conn *conn = l->conn;

    listener_free(l);
    http_stream_end(conn);
}

static bool time_reached(const struct timespec *at, const struct timespec *now)
{
    return at->tv_sec < now->tv_sec || (at->tv_sec == now->tv_sec && at->tv_nsec <= now->tv_nsec);
}

static void events_replay(struct listener *l, const struct timespec *from,
                          const struct timespec *to)
{
    for (unsigned i = events_first; i != events_next; i++) {
        struct event *e = &events_ring[i % EVENTS_KEPT];

        if (time_reached(from, &e->when) && (!to->tv_sec || time_reached(&e->when, to)) &&
            filters_pass(l->filters, e))
            http_stream_data(l->conn, e->text, e->len);
    }
}

/* A moment to come, in milliseconds from now. */
static uint64_t time_ahead(const struct timespec *at, const struct timespec *now)
{
    int64_t ms = (at->tv_sec - now->tv_sec) * 1000 + (at->tv_nsec - now->tv_nsec) / 1000000 + 1;

    return ms < 1 ? 1 : (uint64_t)ms;
}

struct events_query {
    struct timespec from, to;
    bool since, until;
    struct json *filters;
};

static bool query_time(const char *text, struct timespec *ts, bool *given)
{
    *given = text && *text;
    return !*given || (time_parse(text, ts) && ts->tv_sec >= 0 && ts->tv_sec < EVENTS_TIME_MAX);
}

/* NULL, or what is wrong with the request. */
static char *query_judge(const struct http_head *req, struct events_query *q)
{
    char *why;

    if (!query_time(http_query(req, "since"), &q->from, &q->since))
        return str_fmt("invalid time: %s", http_query(req, "since"));
    if (!query_time(http_query(req, "until"), &q->to, &q->until))
        return str_fmt("invalid time: %s", http_query(req, "until"));
    if (q->since && q->until && !time_reached(&q->from, &q->to))
        return str_dup("`since` time cannot be after `until` time");
    q->filters = filters_read(req, event_filters, EVENT_FILTERS, &why);
    return why;
}

void events_serve(struct http_conn *conn)
{
    struct events_query q = {0};
    char *why = query_judge(&conn->req, &q);
    struct timespec now;
    struct listener *l;

    if (why) {
        api_error(conn, 400, "%s", why);
        json_free(q.filters);
        free(why);
        return;
    }
    l = mem_alloc(sizeof(*l));
    l->conn = conn;
    l->filters = q.filters;
    conn->owner = l;
    conn->on_close = listener_close;
    l->next = events_listeners;
    events_listeners = l;
    http_stream(conn, 200, "application/json");
    engine_now(&now);
    if (q.since || (q.until && time_reached(&q.to, &now)))
        events_replay(l, &q.from, &q.to);
    if (!q.until)
        return;
    l->until.fn = listener_until;
    ev_timer_set(&l->until, time_reached(&q.to, &now) ? 0 : time_ahead(&q.to, &now));
}
