// SPDX-License-Identifier: MIT
// Events: a short history in memory and the clients that listen.
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

#define EVENTS_KEPT 256

struct event {
    char *text; /* one JSON line, in a block of its size */
    size_t len;
    struct timespec when;
};

struct listener {
    struct listener *next;
    struct http_conn *conn;
    struct json *filters;
};

static struct event events_ring[EVENTS_KEPT];
static unsigned events_next;
static struct listener *events_listeners;

static bool filter_value(const struct json *want, const char *value)
{
    if (!want || !want->child)
        return true;
    for (struct json *j = want->child; j; j = j->next) {
        const char *text = want->type == JSON_OBJECT ? j->key : j->str;

        if (text && !strcmp(text, value))
            return true;
    }
    return false;
}

static bool filters_match(const struct json *filters, const struct json *e)
{
    const struct json *actor = json_get(e, "Actor");
    const char *id = json_str(actor, "ID");
    const char *name = json_str(json_get(actor, "Attributes"), "name");
    const struct json *container = json_get(filters, "container");
    bool one = filter_value(container, id ? id : "") || filter_value(container, name ? name : "");

    for (struct json *j = container ? container->child : NULL; j && !one; j = j->next) {
        const char *text = container->type == JSON_OBJECT ? j->key : j->str;

        one = text && id && strlen(text) >= 12 && str_starts(id, text);
    }
    return one && filter_value(json_get(filters, "type"), json_str(e, "Type")) &&
           filter_value(json_get(filters, "event"), json_str(e, "Action"));
}

/* Most events have no listener: they are taken apart when one with filters asks. */
static bool filters_pass(const struct json *filters, const struct event *e)
{
    struct json *j = filters ? json_parse(e->text, e->len, NULL) : NULL;
    bool pass = !filters || filters_match(filters, j);

    json_free(j);
    return pass;
}

static void event_emit(struct buf *text, const struct timespec *when)
{
    struct event *e = &events_ring[events_next++ % EVENTS_KEPT];
    struct listener *next;

    buf_char(text, '\n');
    free(e->text);
    *e = (struct event){str_dupn(text->data, text->len), text->len, *when};
    for (struct listener *l = events_listeners; l; l = next) {
        next = l->next;
        /* a listener that does not read loses events rather than memory */
        if (http_backlog(l->conn) < HTTP_BACKLOG && filters_pass(l->filters, e))
            http_stream_data(l->conn, e->text, e->len);
    }
}

/* Lines are made in one buffer, one after the other. */
static struct buf *event_line(void)
{
    static struct buf line;

    buf_clear(&line);
    return &line;
}

static void event_times(struct jw *w, const struct timespec *now)
{
    jw_str(w, "scope", "local");
    jw_int(w, "time", now->tv_sec);
    jw_int(w, "timeNano", now->tv_sec * 1000000000 + now->tv_nsec);
}

void event_container(struct container *c, const char *action, const char *key, const char *value)
{
    struct jw w = {.out = event_line()};
    struct timespec now;

    engine_now(&now);
    jw_object(&w, NULL);
    jw_str(&w, "status", action);
    jw_str(&w, "id", c->id);
    jw_str(&w, "from", c->image_name);
    jw_str(&w, "Type", "container");
    jw_str(&w, "Action", action);
    jw_object(&w, "Actor");
    jw_str(&w, "ID", c->id);
    jw_object(&w, "Attributes");
    for (struct json *j = json_list(c->config, "Labels"); j; j = j->next)
        jw_json(&w, j->key, j);
    jw_str(&w, "image", c->image_name);
    jw_str(&w, "name", c->name);
    if (key)
        jw_str(&w, key, value);
    jw_object_end(&w);
    jw_object_end(&w);
    event_times(&w, &now);
    jw_object_end(&w);
    event_emit(w.out, &now);
}

void event_image(const char *id, const char *name, const char *action)
{
    struct jw w = {.out = event_line()};
    struct timespec now;

    engine_now(&now);
    jw_object(&w, NULL);
    jw_str(&w, "status", action);
    jw_fmt(&w, "id", "sha256:%s", id);
    jw_str(&w, "Type", "image");
    jw_str(&w, "Action", action);
    jw_object(&w, "Actor");
    jw_fmt(&w, "ID", "sha256:%s", id);
    jw_object(&w, "Attributes");
    jw_str(&w, "name", name);
    jw_object_end(&w);
    jw_object_end(&w);
    event_times(&w, &now);
    jw_object_end(&w);
    event_emit(w.out, &now);
}

static void listener_close(struct http_conn *conn)
{
    struct listener *l = conn->owner;

    for (struct listener **at = &events_listeners; *at; at = &(*at)->next) {
        if (*at != l)
            continue;
        *at = l->next;
        break;
    }
    json_free(l->filters);
    free(l);
}

void events_serve(struct http_conn *conn)
{
    const char *since = http_query(&conn->req, "since"), *until = http_query(&conn->req, "until");
    const char *text = http_query(&conn->req, "filters");
    struct listener *l = mem_alloc(sizeof(*l));
    struct timespec from = {0}, to = {0}, now;

    l->conn = conn;
    l->filters = text ? json_parse(text, strlen(text), NULL) : NULL;
    conn->owner = l;
    conn->on_close = listener_close;
    l->next = events_listeners;
    events_listeners = l;
    http_stream(conn, 200, "application/json");
    if (since && time_parse(since, &from))
        for (unsigned i = events_next > EVENTS_KEPT ? events_next - EVENTS_KEPT : 0;
             i < events_next && !conn->dead; i++) {
            struct event *e = &events_ring[i % EVENTS_KEPT];

            if (e->when.tv_sec >= from.tv_sec && filters_pass(l->filters, e))
                http_stream_data(conn, e->text, e->len);
        }
    engine_now(&now);
    if (!conn->dead && until && time_parse(until, &to) && to.tv_sec <= now.tv_sec) {
        conn->on_close = NULL;
        listener_close(conn);
        http_stream_end(conn);
    }
}
