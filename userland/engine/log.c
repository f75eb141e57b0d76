// SPDX-License-Identifier: MIT
// Container logs: json-file lines, bounded by rotation, and their readers.
//
//   {"log":"text\n","stream":"stdout","time":"2024-01-02T03:04:05.000000006Z"}
//
// Lines longer than LOG_LINE are split. The current file is `log`; at half of the limit it becomes
// `log.1` and a new one begins, so both together stay within the limit.
//
// A reader has descriptors of its own of all files that it has not read yet: a rotation gives it
// the new one. It reads on when its client has taken what it was sent, also when the container is
// gone. One that falls more than LOG_FILES behind loses the oldest of them.
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

#define LOG_LINE 16384
#define LOG_FILES 8
#define LOG_MAX_DEFAULT (4u * 1024 * 1024)
#define LOG_MAX_LIMIT (1024u * 1024 * 1024)

/* Text after the last newline, per stream; of a container, lazily. */
struct log_partial {
    struct buf text[2];
};

struct log_follower {
    struct log_follower *next;
    struct container *c; /* which lists it while more may come; NULL: what it has is all */
    struct http_conn *conn;
    int files[LOG_FILES]; /* to be read, the oldest first */
    int nfiles;
    struct buf in;
    bool out, err, timestamps, tty;
    struct timespec since, until;
    uint64_t skip; /* lines to pass over: the tail option */
};

static struct buf *log_partial(struct container *c, int stream)
{
    if (!c->log.partial)
        c->log.partial = mem_alloc(sizeof(struct log_partial));
    return &c->log.partial->text[stream - 1];
}

void log_open(struct container *c)
{
    const struct json *cfg = json_get(c->host, "LogConfig");
    const char *max = json_str(json_get(cfg, "Config"), "max-size");
    const char *type = json_str(cfg, "Type");
    char *path = container_path(c, "log");
    off_t end;

    if (c->log.fd < 0 && !(type && !strcmp(type, "none"))) {
        if (!max || !str_size(max, &c->log.max) || c->log.max > LOG_MAX_LIMIT)
            c->log.max = LOG_MAX_DEFAULT;
        c->log.fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        end = c->log.fd < 0 ? 0 : lseek(c->log.fd, 0, SEEK_END);
        c->log.size = end > 0 ? (uint64_t)end : 0;
    }
    free(path);
}

void log_close(struct container *c)
{
    if (c->log.fd >= 0)
        close(c->log.fd);
    c->log.fd = -1;
    if (c->log.partial) {
        buf_free(&c->log.partial->text[0]);
        buf_free(&c->log.partial->text[1]);
        free(c->log.partial);
        c->log.partial = NULL;
    }
}

static void follower_file(struct log_follower *f, const char *name)
{
    char *path = container_path(f->c, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    free(path);
    if (fd < 0)
        return;
    if (f->nfiles == LOG_FILES) { /* it is in the midst of the first one */
        close(f->files[1]);
        memmove(f->files + 1, f->files + 2, sizeof(int) * (LOG_FILES - 2));
        f->nfiles--;
    }
    f->files[f->nfiles++] = fd;
}

static void log_rotate(struct container *c)
{
    char *path = container_path(c, "log"), *old = container_path(c, "log.1");

    if (rename(path, old) == 0) {
        close(c->log.fd);
        c->log.fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_TRUNC | O_CLOEXEC, 0600);
        c->log.size = 0;
        for (struct log_follower *f = c->followers; f; f = f->next)
            follower_file(f, "log");
    }
    free(path);
    free(old);
}

static void log_line(struct container *c, int stream, const char *text, size_t len)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    struct timespec now;
    char when[48];

    engine_now(&now);
    time_rfc3339(when, &now);
    jw_object(&w, NULL);
    jw_strn(&w, "log", text, len);
    jw_str(&w, "stream", stream == 1 ? "stdout" : "stderr");
    jw_str(&w, "time", when);
    jw_object_end(&w);
    buf_char(&b, '\n');
    if (c->log.size + b.len > c->log.max / 2 && c->log.size)
        log_rotate(c);
    if (c->log.fd >= 0 && write_all(c->log.fd, b.data, b.len) == 0)
        c->log.size += b.len;
    else if (c->log.fd >= 0 && ftruncate(c->log.fd, (off_t)c->log.size) < 0)
        engine_log("the log of %.12s has a line that is cut", c->id);
    buf_free(&b);
}

static void follower_run(struct log_follower *f);

/* A follower that is run may end, no other. */
static void log_wake(struct container *c)
{
    struct log_follower *next;

    for (struct log_follower *f = c->followers; f; f = next) {
        next = f->next;
        follower_run(f);
    }
}

void log_write(struct container *c, int stream, const char *data, size_t len)
{
    struct buf *p;

    if (c->log.fd < 0)
        return;
    p = log_partial(c, stream);
    while (len) {
        const char *nl = memchr(data, '\n', len);
        size_t n = nl ? (size_t)(nl - data) + 1 : len;

        if (p->len + n > LOG_LINE)
            n = LOG_LINE - p->len;
        buf_add(p, data, n);
        data += n;
        len -= n;
        if (p->len == LOG_LINE || p->data[p->len - 1] == '\n') {
            log_line(c, stream, p->data, p->len);
            buf_clear(p);
        }
    }
    log_wake(c);
}

void log_flush(struct container *c)
{
    for (int i = 1; i <= 2 && c->log.partial; i++) {
        struct buf *p = log_partial(c, i);

        if (p->len)
            log_line(c, i, p->data, p->len);
        buf_free(p);
    }
    log_wake(c);
}

/* No more will come: it reads what it has. */
static void follower_leave(struct log_follower *f)
{
    if (!f->c)
        return;
    for (struct log_follower **at = &f->c->followers; *at; at = &(*at)->next) {
        if (*at != f)
            continue;
        *at = f->next;
        break;
    }
    f->c = NULL;
}

static void follower_free(struct log_follower *f)
{
    follower_leave(f);
    while (f->nfiles)
        close(f->files[--f->nfiles]);
    buf_free(&f->in);
    free(f);
}

static bool time_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* The text of one string as log_line() wrote it, from behind its opening quote: appends it and
 * returns what follows the closing one, or NULL. Unlike JSON in general it may hold NULs. */
static const char *log_unquote(const char *p, const char *end, struct buf *out)
{
    static const char from[] = "nrt", to[] = "\n\r\t";

    while (p < end && *p != '"') {
        const char *plain = p, *hit;

        while (p < end && *p != '"' && *p != '\\')
            p++;
        buf_add(out, plain, (size_t)(p - plain));
        if (p == end || *p == '"')
            break;
        if (end - p < 6)
            return NULL;
        if (p[1] == 'u') {
            char hex[3] = {p[4], p[5], 0};

            buf_char(out, (char)strtoul(hex, NULL, 16));
            p += 6;
            continue;
        }
        hit = strchr(from, p[1]);
        buf_char(out, hit ? to[hit - from] : p[1]);
        p += 2;
    }
    return p < end ? p + 1 : NULL;
}

struct log_entry {
    struct buf text;
    bool err;
    char when[48];
    struct timespec ts;
};

/* Takes a line apart; false when it is not one of ours. */
static bool log_parse(const char *line, size_t len, struct log_entry *e)
{
    static const char head[] = "{\"log\":\"", mid[] = ",\"stream\":\"std";
    const char *end = line + len, *p = line + sizeof(head) - 1, *quote;

    if (len < sizeof(head) || memcmp(line, head, sizeof(head) - 1))
        return false;
    p = log_unquote(p, end, &e->text);
    if (!p || end - p < 30 || memcmp(p, mid, sizeof(mid) - 1))
        return false;
    e->err = p[sizeof(mid) - 1] == 'e';
    p += sizeof(mid) - 1 + strlen("err\",\"time\":\"");
    quote = memchr(p, '"', (size_t)(end - p));
    if (!quote || quote - p >= (ptrdiff_t)sizeof(e->when))
        return false;
    memcpy(e->when, p, (size_t)(quote - p));
    return time_parse(e->when, &e->ts);
}

/* One line of the file, to the client if it asked for such. */
static void follower_line(struct log_follower *f, const char *line, size_t len)
{
    struct log_entry e = {0};
    struct buf out = {0};
    size_t n;

    if (!log_parse(line, len, &e) || (e.err ? !f->err : !f->out))
        goto done;
    if (f->skip) {
        f->skip--;
        goto done;
    }
    if (time_before(&e.ts, &f->since) || (f->until.tv_sec && time_before(&f->until, &e.ts)))
        goto done;
    n = e.text.len + (f->timestamps ? strlen(e.when) + 1 : 0);
    if (!f->tty) {
        uint8_t head[8] = {
            e.err ? 2 : 1,     0,         0, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
            (uint8_t)(n >> 8), (uint8_t)n};

        buf_add(&out, head, sizeof(head));
    }
    if (f->timestamps)
        buf_fmt(&out, "%s ", e.when);
    buf_add(&out, e.text.data, e.text.len);
    http_stream_data(f->conn, out.data, out.len);
done:
    buf_free(&out);
    buf_free(&e.text);
}

/* Reads some more: false when there is none now. */
static bool follower_fill(struct log_follower *f)
{
    while (f->nfiles) {
        ssize_t n;

        buf_reserve(&f->in, 16384);
        n = read(f->files[0], f->in.data + f->in.len, 16384);
        if (n > 0) {
            f->in.len += (size_t)n;
            return true;
        }
        if (f->nfiles == 1 && f->c)
            return false; /* the current file, which grows */
        close(f->files[0]);
        memmove(f->files, f->files + 1, sizeof(int) * (size_t)--f->nfiles);
    }
    return false;
}

/* The next line, to the client: false when there is no whole one. */
static bool follower_next(struct log_follower *f)
{
    char *nl = f->in.len ? memchr(f->in.data, '\n', f->in.len) : NULL;

    if (!nl)
        return false;
    follower_line(f, f->in.data, (size_t)(nl - f->in.data));
    buf_drop(&f->in, (size_t)(nl - f->in.data) + 1);
    return true;
}

/* Passes on what there is while the client keeps up. May free f. */
static void follower_run(struct log_follower *f)
{
    struct http_conn *conn = f->conn;

    while (http_backlog(conn) < HTTP_BACKLOG && !conn->dead)
        if (!follower_next(f) && !follower_fill(f)) {
            buf_free(&f->in);
            if (f->c)
                return;
            follower_free(f);
            http_stream_end(conn);
            return;
        }
}

static void follower_drain(struct http_conn *conn)
{
    follower_run(conn->owner);
}

static void follower_close(struct http_conn *conn)
{
    follower_free(conn->owner);
}

void log_end(struct container *c)
{
    while (c->followers) {
        struct log_follower *f = c->followers;

        follower_leave(f);
        follower_run(f);
    }
}

/* How many lines of the wanted streams there are. */
static uint64_t log_count(const struct log_follower *f)
{
    static const char *const names[] = {"log.1", "log"};
    uint64_t lines = 0;

    for (int i = 0; i < 2; i++) {
        char *path = container_path(f->c, names[i]);
        FILE *file = fopen(path, "re");
        char *line = NULL;
        size_t cap = 0;
        ssize_t n;

        while (file && (n = getline(&line, &cap, file)) > 0) {
            /* the stream's name stands before the time, which ends the line */
            bool err = strstr(n > 80 ? line + n - 80 : line, "\"stream\":\"stderr\"") != NULL;

            lines += err ? f->err : f->out;
        }
        free(line);
        if (file)
            fclose(file);
        free(path);
    }
    return lines;
}

void log_serve(struct container *c, struct http_conn *conn)
{
    const struct http_head *q = &conn->req;
    const char *tail = http_query(q, "tail"), *since = http_query(q, "since");
    const char *until = http_query(q, "until");
    struct log_follower *f = mem_alloc(sizeof(*f));
    uint64_t want, have;

    f->c = c;
    f->conn = conn;
    f->out = http_query_bool(q, "stdout", false);
    f->err = http_query_bool(q, "stderr", false);
    f->timestamps = http_query_bool(q, "timestamps", false);
    f->tty = c->spec.tty;
    if (since && *since)
        time_parse(since, &f->since);
    if (until && *until)
        time_parse(until, &f->until);
    if (tail && str_u64(tail, &want)) {
        have = log_count(f);
        f->skip = have > want ? have - want : 0;
    }
    follower_file(f, "log.1");
    follower_file(f, "log");
    f->next = c->followers;
    c->followers = f;
    conn->owner = f;
    conn->on_close = follower_close;
    conn->on_drain = follower_drain;
    http_stream(conn, 200,
                f->tty ? "application/vnd.docker.raw-stream"
                       : "application/vnd.docker.multiplexed-stream");
    if (!http_query_bool(q, "follow", false) || !container_running(c))
        follower_leave(f);
    follower_run(f);
}
