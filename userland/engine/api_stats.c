// SPDX-License-Identifier: MIT
// The API's look inside a running container: stats.
#include "engine/engine.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

struct sample {
    int64_t cpu_ns;
    int64_t system_ns;
    struct timespec when;
};

/* A client that gets figures every second, until it or the container goes. */
struct stats {
    struct request request;
    struct ev_timer timer;
    struct sample last;
    bool stream;
};

static struct sample sample_take(const struct container *c)
{
    struct sample s;
    int64_t usec = cgroup_number(c, "cpu.stat", "usage_usec");
    struct timespec up;

    clock_gettime(CLOCK_MONOTONIC, &up);
    engine_now(&s.when);
    s.cpu_ns = usec > 0 ? usec * 1000 : 0;
    s.system_ns = (up.tv_sec * 1000000000 + up.tv_nsec) * sysconf(_SC_NPROCESSORS_ONLN);
    return s;
}

static void sample_json(struct jw *w, const char *key, const struct sample *s)
{
    jw_object(w, key);
    jw_object(w, "cpu_usage");
    jw_int(w, "total_usage", s->cpu_ns);
    jw_object_end(w);
    jw_int(w, "system_cpu_usage", s->system_ns);
    jw_int(w, "online_cpus", sysconf(_SC_NPROCESSORS_ONLN));
    jw_object_end(w);
}

static int64_t at_least_zero(int64_t v)
{
    return v > 0 ? v : 0;
}

static void stats_json(struct buf *b, const struct container *c, const struct sample *now,
                       const struct sample *before)
{
    struct jw w = {.out = b};
    char when[48];

    jw_object(&w, NULL);
    jw_fmt(&w, "name", "/%s", c->name);
    jw_str(&w, "id", c->id);
    time_rfc3339(when, &now->when);
    jw_str(&w, "read", when);
    time_rfc3339(when, &before->when);
    jw_str(&w, "preread", when);
    sample_json(&w, "cpu_stats", now);
    sample_json(&w, "precpu_stats", before);
    jw_object(&w, "memory_stats");
    jw_int(&w, "usage", at_least_zero(cgroup_number(c, "memory.current", NULL)));
    jw_int(&w, "limit",
           c->limits.memory ? c->limits.memory : sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
    jw_object(&w, "stats");
    jw_int(&w, "inactive_file", at_least_zero(cgroup_number(c, "memory.stat", "inactive_file")));
    jw_object_end(&w);
    jw_object_end(&w);
    jw_object(&w, "pids_stats");
    jw_int(&w, "current", at_least_zero(cgroup_number(c, "pids.current", NULL)));
    jw_object_end(&w);
    jw_object(&w, "blkio_stats");
    jw_array(&w, "io_service_bytes_recursive");
    jw_array_end(&w);
    jw_object_end(&w);
    jw_object(&w, "networks");
    jw_object_end(&w);
    jw_object_end(&w);
    buf_char(b, '\n');
}

static void stats_gone(struct request *r)
{
    ev_timer_del(&((struct stats *)r)->timer);
}

static void stats_tick(struct ev_timer *t)
{
    struct stats *s = (struct stats *)((char *)t - offsetof(struct stats, timer));
    struct http_conn *conn = s->request.conn;
    struct buf b = {0};
    struct sample now = sample_take(s->request.c);

    if (http_backlog(conn) < HTTP_BACKLOG) { /* a client that does not read misses some */
        stats_json(&b, s->request.c, &now, &s->last);
        http_stream_data(conn, b.data, b.len);
        buf_free(&b);
        s->last = now;
    }
    if (s->stream) {
        ev_timer_set(&s->timer, 1000);
    } else {
        http_stream_end(conn);
        request_free(&s->request);
    }
}

API(api_container_stats)
{
    struct container *c = api_container(call);
    bool one_shot = http_query_bool(call->req, "one-shot", false);
    struct stats *s;

    if (!c)
        return;
    if (one_shot && http_query_bool(call->req, "stream", true)) {
        api_error(call->conn, 400, "cannot have stream=true and one-shot=true");
        return;
    }
    s = mem_alloc(sizeof(*s));
    request_init(&s->request, c, call->conn, REQ_WATCH);
    s->request.gone = stats_gone;
    s->timer.fn = stats_tick;
    s->stream = http_query_bool(call->req, "stream", true);
    s->last = sample_take(c);
    http_stream(call->conn, 200, "application/json");
    /* the first answer compares two samples */
    ev_timer_set(&s->timer, one_shot ? 1 : s->stream ? 100 : 500);
}
