// SPDX-License-Identifier: MIT
// A running child: its output goes to the log and to the attached clients, theirs goes to it.
//
// Output is read only while every attached client keeps up (HTTP_BACKLOG), so a slow client slows
// the program and costs no memory. When the child has been reaped, what it left in its pipes is
// read to the end at once; descendants that keep a pipe open do not delay the exit.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/process.h"
#include "lib/str.h"

#define PROCESS_READ 16384
#define PROCESS_IN_MAX (256 * 1024)
#define PROCESS_LEFT_MAX (1 << 20) /* the most that a pipe holds */
#define PROCESS_SLICE (64 * 1024)

static struct process *process_list;

static void process_out_event(struct ev_source *s, uint32_t events);
static void process_err_event(struct ev_source *s, uint32_t events);
static void process_in_event(struct ev_source *s, uint32_t events);

struct process *process_new(struct container *c, struct exec *x)
{
    struct process *p = mem_alloc(sizeof(*p));

    p->c = container_get(c);
    p->x = x ? exec_get(x) : NULL;
    p->tty = x ? x->spec.tty : c->spec.tty;
    p->out = (struct ev_source){.fd = -1, .fn = process_out_event};
    p->err = (struct ev_source){.fd = -1, .fn = process_err_event};
    p->in = (struct ev_source){.fd = -1, .fn = process_in_event};
    p->next = process_list;
    process_list = p;
    return p;
}

const char *process_id(const struct process *p)
{
    return p->x ? p->x->id : p->c->id;
}

static void source_close(struct ev_source *s)
{
    if (s->fd < 0)
        return;
    ev_del(s);
    close(s->fd);
    s->fd = -1;
}

static void attach_remove(struct attach *a)
{
    for (struct attach **at = &a->p->attaches; *at; at = &(*at)->next) {
        if (*at != a)
            continue;
        *at = a->next;
        break;
    }
    free(a);
}

void process_free(struct process *p)
{
    for (struct process **at = &process_list; *at; at = &(*at)->next) {
        if (*at != p)
            continue;
        *at = p->next;
        break;
    }
    while (p->attaches) {
        struct http_conn *conn = p->attaches->conn;

        attach_remove(p->attaches);
        http_raw_end(conn);
    }
    ev_timer_del(&p->rest);
    keeper_drop(p);
    source_close(&p->in);
    source_close(&p->out);
    source_close(&p->err);
    buf_free(&p->in_pending);
    buf_free(&p->error);
    if (p->x)
        exec_put(p->x);
    container_put(p->c);
    free(p);
}

static bool process_stalled(const struct process *p)
{
    for (const struct attach *a = p->attaches; a; a = a->next)
        if (http_backlog(a->conn) >= HTTP_BACKLOG)
            return true;
    return false;
}

/* Before the program runs, a start that fails wants its words to come first. */
static void process_rewatch(struct process *p)
{
    uint32_t events = p->started && !process_stalled(p) ? EPOLLIN : 0;

    if (p->out.fd >= 0)
        ev_set(&p->out, events);
    if (p->err.fd >= 0)
        ev_set(&p->err, events);
    if (p->in.fd >= 0)
        ev_set(&p->in, p->in_pending.len ? EPOLLOUT : 0);
}

/* One chunk of output, stream 1 or 2, to the clients that want it. */
static void process_output(struct process *p, int stream, const char *data, size_t len)
{
    for (struct attach *a = p->attaches; a; a = a->next) {
        uint8_t head[8] = {
            (uint8_t)stream,     0,           0, 0, (uint8_t)(len >> 24), (uint8_t)(len >> 16),
            (uint8_t)(len >> 8), (uint8_t)len};

        if (stream == 1 ? !a->out : !a->err)
            continue;
        http_raw_frame(a->conn, head, p->tty ? 0 : sizeof(head), data, len);
    }
}

/* Reads one chunk: its size, 0 when the stream has ended (and is closed), -EAGAIN. */
static ssize_t process_pull(struct process *p, struct ev_source *s)
{
    char data[PROCESS_READ];
    int stream = s == &p->out ? 1 : 2;
    ssize_t n =
        p->x ? read(s->fd, data, sizeof(data)) : log_pull(p->c, stream, s->fd, data, sizeof(data));

    if (n > 0) {
        process_output(p, stream, data, (size_t)n);
        return n;
    }
    if (p->x && n < 0)
        n = -errno;
    if (n == -EAGAIN || n == -EINTR)
        return -EAGAIN;
    source_close(s); /* EOF, or EIO from a pty whose last slave is closed */
    return 0;
}

static void process_readable(struct process *p, struct ev_source *s)
{
    if (process_pull(p, s) > 0)
        process_rewatch(p);
}

static void process_out_event(struct ev_source *s, uint32_t events)
{
    process_readable((struct process *)((char *)s - offsetof(struct process, out)), s);
}

static void process_err_event(struct ev_source *s, uint32_t events)
{
    process_readable((struct process *)((char *)s - offsetof(struct process, err)), s);
}

/* Pauses or resumes the clients' input by how much of it still waits for the program. */
static void process_input_flow(struct process *p)
{
    bool hold = p->in_pending.len >= PROCESS_IN_MAX;

    for (struct attach *a = p->attaches; a; a = a->next)
        if (a->in)
            http_hold_input(a->conn, hold);
}

static void process_input_flush(struct process *p)
{
    while (p->in.fd >= 0 && p->in_pending.len) {
        ssize_t n = write(p->in.fd, p->in_pending.data, p->in_pending.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            keeper_close_in(p);
            source_close(&p->in); /* the program reads no more */
            buf_free(&p->in_pending);
            break;
        }
        buf_drop(&p->in_pending, (size_t)n);
    }
    if (!p->in_pending.len && p->in_eof && p->in.fd >= 0) {
        keeper_close_in(p);
        source_close(&p->in);
    }
    process_rewatch(p);
    process_input_flow(p);
}

static void process_in_event(struct ev_source *s, uint32_t events)
{
    process_input_flush((struct process *)((char *)s - offsetof(struct process, in)));
}

/* Our ends never block: also the input that comes before the program runs flows into its pipe. */
void process_watch(struct process *p)
{
    if (p->out.fd >= 0)
        fd_nonblock(p->out.fd);
    if (p->err.fd >= 0)
        fd_nonblock(p->err.fd);
    if (p->in.fd >= 0)
        fd_nonblock(p->in.fd);
    if (p->rows && p->cols)
        process_resize(p, p->rows, p->cols);
    process_input_flush(p);
}

void process_resume(struct process *p)
{
    process_rewatch(p);
}

void process_resize(struct process *p, unsigned rows, unsigned cols)
{
    struct winsize ws = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};

    p->rows = rows;
    p->cols = cols;
    if (p->tty && p->out.fd >= 0)
        ioctl(p->out.fd, TIOCSWINSZ, &ws);
}

static bool process_has_input(const struct process *p)
{
    for (const struct attach *a = p->attaches; a; a = a->next)
        if (a->in)
            return true;
    return false;
}

/* Attached to before any start. A start may be under way long before there is a pid. */
static bool process_waits(const struct process *p)
{
    return !p->x && p->c->state == C_STOPPED;
}

/* What the clients of a program have sent it that has not begun goes with the last of them: the
 * next client's input is another. */
static bool process_input_drop(struct process *p)
{
    bool drop = process_waits(p) && !process_has_input(p);

    if (drop) {
        p->in_eof = false;
        buf_free(&p->in_pending);
    }
    return drop;
}

/* The client leaves; the program stays. */
static void attach_detach(struct attach *a)
{
    struct http_conn *conn = a->conn;
    struct process *p = a->p;

    if (!p->x)
        event_container(p->c, "detach", NULL);
    else
        event_container(p->c, "exec_detach", EVENT_MORE("execID", p->x->id));
    attach_remove(a);
    process_input_drop(p);
    http_raw_end(conn);
    process_rewatch(p);
}

/* The end of a terminal's input is its client's, as with Docker: over TCP that is all that docker's
 * own command sends when it has seen the keys itself. */
static void attach_input_end(struct attach *a)
{
    struct process *p = a->p;

    if (p->tty && p->started) {
        attach_detach(a);
    } else if (!p->tty && (p->x || p->c->spec.stdin_once)) {
        p->in_eof = true; /* StdinOnce or an exec's own client closes a pipe */
        process_input_flush(p);
    }
}

static void attach_raw(struct http_conn *conn, const char *data, size_t len)
{
    struct attach *a = conn->owner;
    struct process *p = a->p;
    bool leaves = false;

    if (!a->in)
        return;
    if (len == 0) {
        attach_input_end(a);
        return;
    }
    if (p->tty)
        leaves = detach_keys_feed(&a->keys, data, len, &p->in_pending);
    else
        buf_add(&p->in_pending, data, len);
    if (p->in.fd < 0 && p->started)
        buf_free(&p->in_pending); /* it reads no more */
    process_input_flush(p);
    if (leaves)
        attach_detach(a);
}

static void attach_drain(struct http_conn *conn)
{
    struct attach *a = conn->owner;

    process_rewatch(a->p);
}

bool process_claims_input(const struct process *p)
{
    return !p->x && !p->tty && p->c->spec.stdin_once && process_has_input(p);
}

static void attach_close(struct http_conn *conn)
{
    struct attach *a = conn->owner;
    struct process *p = a->p;
    bool in = a->in;

    attach_remove(a);
    if (in && !process_input_drop(p) && !p->tty && (p->x || p->c->spec.stdin_once)) {
        p->in_eof = true;
        process_input_flush(p);
    }
    process_rewatch(p);
}

/* A program whose input ends with its first client's is not to wait for one that a dead engine had:
 * from now on there is no writing end but ours. */
static void process_claim_input(struct process *p)
{
    if (process_claims_input(p) && p->pid)
        keeper_close_in(p);
}

void process_hijack(struct http_conn *conn, bool tty)
{
    http_hijack(conn, tty ? "application/vnd.docker.raw-stream"
                          : "application/vnd.docker.multiplexed-stream");
}

void process_attach(struct process *p, struct http_conn *conn, bool in, bool out, bool err,
                    const struct detach_keys *keys)
{
    struct attach *a = mem_alloc(sizeof(*a));

    *a = (struct attach){
        .next = p->attaches, .p = p, .conn = conn, .in = in, .out = out, .err = err};
    p->attaches = a;
    a->keys = *keys;
    if (in)
        process_claim_input(p);
    conn->owner = a;
    conn->on_raw = attach_raw;
    conn->on_drain = attach_drain;
    conn->on_close = attach_close;
}

/* Some of what the program left in a pipe; what others still write there is not waited for. */
static bool process_drain(struct process *p, struct ev_source *s, size_t *left)
{
    ssize_t n = 0, total = 0;

    while (s->fd >= 0 && total < PROCESS_SLICE && *left && (n = process_pull(p, s)) > 0) {
        total += n;
        *left -= (size_t)n < *left ? (size_t)n : *left;
    }
    return n > 0 && *left;
}

/* In parts: a line of output may cost a hundred times its bytes, and there are other clients. */
static void process_rest(struct ev_timer *t)
{
    struct process *p = (struct process *)((char *)t - offsetof(struct process, rest));
    bool more = process_drain(p, &p->out, &p->out_left);

    more = process_drain(p, &p->err, &p->err_left) || more;
    if (more)
        ev_timer_set(t, 0);
    else
        process_exited(p);
}

void process_finish(struct process *p)
{
    p->rest.fn = process_rest;
    p->out_left = p->err_left = PROCESS_LEFT_MAX;
    process_rest(&p->rest);
}

bool processes_run(void)
{
    for (const struct process *p = process_list; p; p = p->next)
        if (p->run && !p->reaped)
            return true;
    return false;
}

/* One that the keeper kept: how it ends will not be told. */
static void process_lost(struct process *p)
{
    struct keep_head h = {.status = 255 << 8};
    struct timespec now;

    engine_now(&now);
    h.died = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (!p->x)
        cgroup_kill(p->c);
    if (!p->started && !p->error.len)
        buf_str(&p->error, "the keeper has ended");
    p->silent = true;
    start_exited(p, &h);
}

void processes_lost(void)
{
    struct process *p = process_list;

    while (p) {
        if (!p->run || p->reaped) {
            p = p->next;
            continue;
        }
        process_lost(p); /* which may free it and others */
        p = process_list;
    }
}
