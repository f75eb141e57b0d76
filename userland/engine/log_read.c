// SPDX-License-Identifier: MIT
// Readers of a container's log.
//
// A reader has descriptors of its own of all files that it has not read yet: a rotation gives it
// the new one. It reads on when its client has taken what it was sent, also when the container is
// gone. One that falls more than LOG_FILES behind loses the oldest of them.
//
// A log may be large and little of it wanted: a reader does LOG_SLICE bytes of work, then the other
// clients have their turn. The last N lines are looked for from the end, in the same slices.
#include "engine/log_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/str.h"

#define LOG_FILES 8
#define LOG_SLICE (256 * 1024)
#define LOG_SEND 32768 /* what goes to the client at once */
#define TAIL_BLOCK 65536
#define TAIL_STREAM 96 /* before a line's end: the name of its stream and its time */

struct log_follower {
    struct log_follower *next;
    struct container *c; /* which lists it while more may come; NULL: what it has is all */
    struct http_conn *conn;
    struct ev_timer again; /* it has more to do */
    int files[LOG_FILES];  /* to be read, the oldest first */
    int nfiles;
    uint64_t left; /* bytes of the last file that are wanted */
    bool raw;      /* the connection is hijacked: an attach's */
    log_then_fn then;
    struct buf in;
    struct buf send; /* to the client */
    bool out, err, timestamps, tty;
    struct timespec since, until;
    /* looking for the last lines: in which file, what is left of it, how many are missing */
    bool tailing;
    int tail_file;
    uint64_t tail_at, tail_lines;
};

static void follower_file(struct log_follower *f, const char *name)
{
    char *path = container_path(f->c, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC), lost = !f->tailing;

    free(path);
    if (fd < 0)
        return;
    if (f->nfiles == LOG_FILES) { /* it is in the midst of the first one, or has not come to it */
        close(f->files[lost]);
        memmove(f->files + lost, f->files + lost + 1, sizeof(int) * (size_t)(LOG_FILES - 1 - lost));
        f->nfiles--;
        f->tailing = f->tailing && f->tail_file-- > 0;
    }
    f->files[f->nfiles++] = fd;
}

void log_followers_file(struct container *c)
{
    for (struct log_follower *f = c->followers; f; f = f->next)
        follower_file(f, "log");
}

static void follower_run(struct log_follower *f);

/* A follower that is run may end, no other. One that has more to do already has its turn coming,
 * and so has one for which something comes after the log: these lines are in it. */
void log_wake(struct container *c)
{
    struct log_follower *next;

    for (struct log_follower *f = c->followers; f; f = next) {
        next = f->next;
        if (!f->again.at && !f->then)
            follower_run(f);
    }
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
    ev_timer_del(&f->again);
    while (f->nfiles)
        close(f->files[--f->nfiles]);
    buf_free(&f->in);
    buf_free(&f->send);
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

/* ---- the last lines -------------------------------------------------------------------------- */

/* A line that ends behind text[end] is of a stream that is wanted. */
static bool tail_wanted(const struct log_follower *f, const char *text, size_t end)
{
    static const char name[] = "\"stream\":\"stderr\"";
    size_t from = end > TAIL_STREAM ? end - TAIL_STREAM : 0;

    if (f->out && f->err)
        return true;
    /* no quotation mark of the text itself stands without a backslash */
    return memmem(text + from, end - from, name, sizeof(name) - 1) ? f->err : f->out;
}

/* Found: reading begins at `at` of the file that is looked into. */
static void tail_found(struct log_follower *f, uint64_t at)
{
    while (f->tail_file-- > 0) {
        close(f->files[0]);
        memmove(f->files, f->files + 1, sizeof(int) * (size_t)--f->nfiles);
    }
    if (f->nfiles)
        lseek(f->files[0], (off_t)at, SEEK_SET);
    if (f->nfiles == 1 && f->left != UINT64_MAX)
        f->left -= at < f->left ? at : f->left;
    f->tailing = false;
}

static bool tail_enter(struct log_follower *f, int file)
{
    struct stat st;

    f->tail_file = file;
    if (file < 0)
        return false;
    f->tail_at = fstat(f->files[file], &st) == 0 ? (uint64_t)st.st_size : 0;
    return true;
}

/* Looks through one block, or goes to the file before: how much work that was. */
static size_t tail_step(struct log_follower *f)
{
    static char text[TAIL_STREAM + TAIL_BLOCK];
    uint64_t from = f->tail_at > TAIL_BLOCK ? f->tail_at - TAIL_BLOCK : 0;
    uint64_t base = from > TAIL_STREAM ? from - TAIL_STREAM : 0;
    ssize_t n = 0;

    if (f->tail_at)
        n = read_at(f->files[f->tail_file], text, (size_t)(f->tail_at - base), base);
    if (!f->tail_at && f->tail_file > 0 && tail_enter(f, f->tail_file - 1))
        return 1;
    if (n <= (ssize_t)(from - base)) {
        tail_found(f, 0); /* that is all that there is */
        return 1;
    }
    for (size_t i = (size_t)n; i-- > from - base;) {
        if (text[i] != '\n' || !tail_wanted(f, text, i))
            continue;
        if (!f->tail_lines) { /* this one is not wanted any more */
            tail_found(f, base + i + 1);
            return TAIL_BLOCK;
        }
        f->tail_lines--;
    }
    f->tail_at = from;
    return TAIL_BLOCK;
}

/* ---- what is read ---------------------------------------------------------------------------- */

static void follower_text(struct log_follower *f, bool err, const char *when,
                          const struct buf *text)
{
    size_t n = text->len + (*when ? strlen(when) + 1 : 0);

    if (!f->tty) {
        uint8_t head[8] = {
            err ? 2 : 1,       0,         0, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
            (uint8_t)(n >> 8), (uint8_t)n};

        buf_add(&f->send, head, sizeof(head));
    }
    if (*when)
        buf_fmt(&f->send, "%s ", when);
    buf_add(&f->send, text->data, text->len);
}

/* One line of the file, for the client if it asked for such. */
static void follower_line(struct log_follower *f, const char *line, size_t len)
{
    struct log_entry e = {0};

    if (!log_parse(line, len, &e) || (e.err ? !f->err : !f->out))
        goto done;
    if (time_before(&e.ts, &f->since) || (f->until.tv_sec && time_before(&f->until, &e.ts)))
        goto done;
    follower_text(f, e.err, f->timestamps ? e.when : "", &e.text);
done:
    buf_free(&e.text);
}

static void follower_send(struct log_follower *f)
{
    if (f->send.len && f->raw)
        http_raw_frame(f->conn, NULL, 0, f->send.data, f->send.len);
    else if (f->send.len)
        http_stream_data(f->conn, f->send.data, f->send.len);
    buf_clear(&f->send);
}

/* Reads some more: false when there is none now. */
static bool follower_fill(struct log_follower *f)
{
    while (f->nfiles) {
        bool last = f->nfiles == 1;
        size_t want = last && f->left < 16384 ? (size_t)f->left : 16384;
        ssize_t n;

        buf_reserve(&f->in, 16384);
        n = read(f->files[0], f->in.data + f->in.len, want);
        if (n > 0) {
            f->in.len += (size_t)n;
            f->left -= last ? (uint64_t)n : 0;
            return true;
        }
        if (last && f->c)
            return false; /* the current file, which grows */
        close(f->files[0]);
        memmove(f->files, f->files + 1, sizeof(int) * (size_t)--f->nfiles);
    }
    return false;
}

/* The next line: how long it was, 0 when there is no whole one. */
static size_t follower_next(struct log_follower *f)
{
    char *nl = f->in.len ? memchr(f->in.data, '\n', f->in.len) : NULL;
    size_t n = nl ? (size_t)(nl - f->in.data) : 0;

    if (!nl)
        return 0;
    follower_line(f, f->in.data, n);
    buf_drop(&f->in, n + 1);
    return n + 1;
}

/* It has read all that there is, and the text that is no line yet. */
static void follower_then(struct log_follower *f)
{
    struct container *c = f->c;
    struct http_conn *conn = f->conn;
    log_then_fn then = f->then;

    for (int i = 1; i <= 2; i++)
        if (log_rest(c, i)->len && (i == 1 ? f->out : f->err))
            follower_text(f, i == 2, "", log_rest(c, i));
    follower_send(f);
    follower_free(f);
    then(c, conn);
}

static void follower_end(struct log_follower *f)
{
    struct http_conn *conn = f->conn;
    bool raw = f->raw;

    follower_free(f);
    if (raw)
        http_raw_end(conn);
    else
        http_stream_end(conn);
}

/* Passes on what there is while the client keeps up. May free f. */
static void follower_run(struct log_follower *f)
{
    struct http_conn *conn = f->conn;
    size_t done = 0, n;

    while (http_backlog(conn) < HTTP_BACKLOG && !conn->dead) {
        n = f->tailing ? tail_step(f) : follower_next(f);
        done += n;
        if (n || follower_fill(f)) {
            if (f->send.len >= LOG_SEND)
                follower_send(f);
            if (done < LOG_SLICE)
                continue;
            ev_timer_set(&f->again, 0);
            break;
        }
        follower_send(f);
        buf_free(&f->in);
        if (!f->c)
            follower_end(f);
        else if (f->then)
            follower_then(f);
        return;
    }
    follower_send(f);
}

static void follower_again(struct ev_timer *t)
{
    follower_run((struct log_follower *)((char *)t - offsetof(struct log_follower, again)));
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
        if (!f->again.at)
            follower_run(f);
    }
}

/* False, and an error to the client, when it is no time. */
static bool log_time(struct http_conn *conn, const char *key, struct timespec *ts)
{
    const char *text = http_query(&conn->req, key);

    if (!text || !*text || time_parse(text, ts))
        return true;
    api_error(conn, 400, "invalid value for \"%s\": %s", key, text);
    return false;
}

/* It reads what there is now, and with `follow` what comes. */
static void follower_begin(struct log_follower *f, bool follow, const char *tail)
{
    struct stat st;

    follower_file(f, "log.1");
    follower_file(f, "log");
    f->left = UINT64_MAX;
    if (f->nfiles && !follow && fstat(f->files[f->nfiles - 1], &st) == 0)
        f->left = (uint64_t)st.st_size;
    f->tailing = f->nfiles && tail && str_u64(tail, &f->tail_lines) && tail_enter(f, f->nfiles - 1);
}

static struct log_follower *follower_new(struct container *c, struct http_conn *conn)
{
    struct log_follower *f = mem_alloc(sizeof(*f));

    f->c = c;
    f->conn = conn;
    f->again.fn = follower_again;
    f->out = http_query_bool(&conn->req, "stdout", false);
    f->err = http_query_bool(&conn->req, "stderr", false);
    f->tty = c->spec.tty;
    return f;
}

static void follower_list(struct log_follower *f)
{
    f->next = f->c->followers;
    f->c->followers = f;
    f->conn->owner = f;
    f->conn->on_close = follower_close;
    f->conn->on_drain = follower_drain;
}

void log_replay(struct container *c, struct http_conn *conn, log_then_fn then)
{
    struct log_follower *f = follower_new(c, conn);

    f->raw = true;
    f->then = then;
    follower_begin(f, then != NULL, NULL);
    follower_list(f);
    if (!then)
        follower_leave(f);
    follower_run(f);
}

void log_serve(struct container *c, struct http_conn *conn)
{
    const struct http_head *q = &conn->req;
    struct timespec since = {0}, until = {0};
    struct log_follower *f;
    bool follow = http_query_bool(q, "follow", false) && container_running(c);

    if (!log_time(conn, "since", &since) || !log_time(conn, "until", &until))
        return;
    f = follower_new(c, conn);
    f->timestamps = http_query_bool(q, "timestamps", false);
    f->since = since;
    f->until = until;
    follower_begin(f, follow, http_query(q, "tail"));
    follower_list(f);
    http_stream(conn, 200,
                f->tty ? "application/vnd.docker.raw-stream"
                       : "application/vnd.docker.multiplexed-stream");
    if (!follow)
        follower_leave(f);
    follower_run(f);
}
