// SPDX-License-Identifier: MIT
// A server's HTTP connection; see http.h.
//
// Every entry from the event loop or from the owner may end the connection; the struct lives on
// until http_turn(), so that callers up the stack can test `dead`.
#include "lib/http_priv.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/str.h"

const char *http_server_headers = "";

static struct http_conn *conn_dead; /* the oldest last */

void http_disown(struct http_conn *c)
{
    c->owner = NULL;
    c->on_body = NULL;
    c->on_raw = NULL;
    c->on_drain = NULL;
    c->on_close = NULL;
}

/* The last one freed: for a client with a connection for each request its pages would come and go.
 */
static struct http_conn *conn_spare;

static void conn_free(struct http_conn *c)
{
    http_head_free(&c->req);
    buf_free(&c->in);
    buf_free(&c->out);
    buf_free(&c->body);
    free(conn_spare);
    conn_spare = c;
}

void http_turn(void)
{
    while (conn_dead) {
        struct http_conn *c = conn_dead;

        conn_dead = c->grave;
        if (c->on_close)
            c->on_close(c); /* may close further ones */
        conn_free(c);
    }
}

void http_conn_close(struct http_conn *c)
{
    if (c->dead)
        return;
    unread_drop(c);
    held_drop(c);
    remote_drop(c);
    c->dead = true;
    c->grave = conn_dead;
    conn_dead = c;
    ev_timer_del(&c->resume);
    ev_del(&c->ev);
    close(c->ev.fd);
}

/* A client that does not read its answers gets no more of them. */
static bool conn_choked(const struct http_conn *c)
{
    return c->state == HTTP_READ_HEAD && c->out.len >= HTTP_BACKLOG;
}

static void conn_resume(struct ev_timer *t);

/* A request is answered: the next one, which has come already, has its turn in the loop's next
 * round, after those of other clients. Until then no more is read. */
static bool conn_waits_its_turn(const struct http_conn *c)
{
    return c->resume.at;
}

static void conn_watch(struct http_conn *c)
{
    bool reads = (c->state != HTTP_DRAIN || c->linger) && !c->eof && !c->hold_input &&
                 !conn_choked(c) && !conn_waits_its_turn(c) &&
                 !((c->state == HTTP_ANSWER || c->state == HTTP_STREAM) &&
                   c->in.len > HTTP_HEAD_MAX); /* requests to come wait with the client */

    if (!c->dead)
        ev_set(&c->ev, (reads ? EPOLLIN : 0) | (c->out.len ? EPOLLOUT : 0) | EPOLLHUP | EPOLLERR);
}

/* Writes what the socket takes. */
static void conn_flush(struct http_conn *c)
{
    size_t sent = 0;

    while (!c->dead && sent < c->out.len) {
        ssize_t n =
            send(c->ev.fd, c->out.data + sent, c->out.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            http_conn_close(c);
            return;
        }
        if (n < 0)
            break;
        sent += (size_t)n;
    }
    if (c->dead)
        return;
    buf_drop(&c->out, sent);
    unread_count(c, sent);
    unread_bound();
    if (c->dead)
        return;
    if (!c->out.len && c->out.cap > HTTP_BACKLOG)
        buf_free(&c->out);
    if (c->state == HTTP_DRAIN && !c->out.len && !(c->linger && !c->eof)) {
        http_conn_close(c);
        return;
    }
    if (sent && (c->state == HTTP_DRAIN || !c->in.len))
        remote_begin(c);
    if (c->state == HTTP_DRAIN && !c->out.len) { /* from here on it is asked to leave */
        shutdown(c->ev.fd, SHUT_WR);
        remote_rest(c);
    }
    conn_watch(c);
}

static void conn_send(struct http_conn *c, const void *data, size_t len)
{
    if (!c->dead)
        buf_add(&c->out, data, len);
}

/* The answer is complete: forget the request and read the next, or close. */
static void conn_next(struct http_conn *c)
{
    bool last = c->close || c->req.http10 || (c->eof && !c->in.len);

    http_disown(c);
    if (c->dead)
        return;
    c->hold_input = false;
    http_head_free(&c->req);
    buf_free(&c->body);
    c->linger |= last && c->remote; /* see http_raw_end() */
    c->state = last ? HTTP_DRAIN : HTTP_READ_HEAD;
    if (!last && c->in.len) {
        c->resume.fn = conn_resume;
        ev_timer_set(&c->resume, 0);
    }
    conn_flush(c);
}

static const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {101, "UPGRADED"},
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Status";
}

static void conn_head(struct http_conn *c, int status, const char *type)
{
    buf_fmt(&c->out, "HTTP/1.1 %d %s\r\n%s", status, http_reason(status), http_server_headers);
    if (c->close && status != 101)
        buf_str(&c->out, "Connection: close\r\n");
    if (type)
        buf_fmt(&c->out, "Content-Type: %s\r\n", type);
}

static bool conn_is_head(const struct http_conn *c)
{
    return c->req.method && !strcmp(c->req.method, "HEAD");
}

void http_reply(struct http_conn *c, int status, const char *type, const void *data, size_t len)
{
    if (c->dead) {
        http_disown(c);
        return;
    }
    if (c->state == HTTP_READ_BODY && !c->framing.done)
        c->close = c->linger = true; /* answered before the body was read: see conn_discard() */
    conn_head(c, status, type);
    if (status != 204 && status != 304)
        buf_fmt(&c->out, "Content-Length: %zu\r\n", len);
    conn_send(c, "\r\n", 2);
    if (!conn_is_head(c) && status != 204 && status != 304)
        conn_send(c, data, len);
    conn_next(c);
}

void http_reply_head(struct http_conn *c, const char *extra)
{
    if (c->dead)
        return;
    conn_head(c, 200, "text/plain; charset=utf-8");
    buf_fmt(&c->out, "%sContent-Length: 0\r\n\r\n", extra);
    conn_next(c);
}

void http_stream(struct http_conn *c, int status, const char *type)
{
    if (c->dead)
        return;
    conn_head(c, status, type);
    if (c->req.http10)
        conn_send(c, "\r\n", 2);
    else
        buf_str(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
    c->state = HTTP_STREAM;
    conn_flush(c);
}

void http_stream_data(struct http_conn *c, const void *data, size_t len)
{
    if (c->dead || !len)
        return;
    if (!c->req.http10)
        buf_fmt(&c->out, "%zx\r\n", len);
    conn_send(c, data, len);
    if (!c->req.http10)
        conn_send(c, "\r\n", 2);
    conn_flush(c);
}

void http_stream_end(struct http_conn *c)
{
    if (!c->dead && !c->req.http10)
        conn_send(c, "0\r\n\r\n", 5);
    conn_next(c);
}

void http_hijack(struct http_conn *c, const char *type)
{
    const char *upgrade = http_header(&c->req, "Upgrade");

    if (c->dead)
        return;
    conn_head(c, upgrade ? 101 : 200, type);
    buf_str(&c->out, upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n" : "\r\n");
    c->state = HTTP_RAW;
    conn_flush(c);
}

void http_raw_frame(struct http_conn *c, const void *head, size_t head_len, const void *data,
                    size_t len)
{
    if (c->dead)
        return;
    conn_send(c, head, head_len);
    conn_send(c, data, len);
    conn_flush(c);
}

void http_raw_end(struct http_conn *c)
{
    http_disown(c);
    if (c->dead)
        return;
    /* closed over unread input, a network's connection would be reset, and output lost that is on
     * its way */
    c->linger = c->remote;
    c->hold_input = false;
    remote_begin(c);
    c->state = HTTP_DRAIN;
    conn_flush(c);
}

size_t http_backlog(const struct http_conn *c)
{
    return c->dead ? 0 : c->out.len;
}

/* The request is no HTTP: for its owner it ends here, as if the client had gone. */
static void conn_bad(struct http_conn *c, int status, const char *text)
{
    void (*on_close)(struct http_conn *) = c->on_close;
    struct buf b = {0};

    c->on_close = NULL;
    if (on_close)
        on_close(c);
    c->close = c->linger = true;
    buf_fmt(&b, "{\"message\":\"%s\"}\n", text);
    http_reply(c, status, "application/json", b.data, b.len);
    buf_free(&b);
}

/* A client that waits for it is told to send its body. */
static void conn_continue(struct http_conn *c)
{
    const char *expect = http_header(&c->req, "Expect");

    if (!expect || !str_case_eq(expect, "100-continue") || c->framing.done)
        return;
    buf_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    conn_flush(c);
}

/* A head, if one is there. */
static bool conn_read_head(struct http_conn *c)
{
    int n = http_head_parse(&c->req, &c->in, &c->scanned, false);

    if (n == 0)
        return false;
    if (n < 0) {
        conn_bad(c, 400,
                 n == -EFBIG   ? "request head is too large"
                 : n == -E2BIG ? "request has too many query parameters"
                               : "not an HTTP/1.1 request");
        return false;
    }
    buf_drop(&c->in, (size_t)n);
    if (http_body_init(&c->framing, &c->req, false)) {
        conn_bad(c, 400, "bad Content-Length or Transfer-Encoding");
        return false;
    }
    c->close = http_header_has(&c->req, "Connection", "close");
    c->state = HTTP_READ_BODY;
    remote_begin(c);
    c->ops->request(c);
    if (!c->dead &&
        c->state == HTTP_READ_BODY) /* the body is wanted: no answer has come before it */
        conn_continue(c);
    return !c->dead;
}

/* Body bytes, if some are there and are wanted. */
static bool conn_read_body(struct http_conn *c)
{
    const char *data;
    size_t len;
    ssize_t n;

    if (c->hold_input)
        return false;
    n = http_body_next(&c->framing, c->in.data, c->in.len, &data, &len);
    if (n < 0) {
        conn_bad(c, 400, "bad chunk in the request body");
        return false;
    }
    if (len && c->on_body)
        c->on_body(c, data, len);
    else if (len && c->body.len + len <= HTTP_BODY_MAX)
        buf_add(&c->body, data, len); /* held_count() follows the event */
    else if (len)
        conn_bad(c, 413, "request body is too large");
    if (c->dead)
        return false;
    buf_drop(&c->in, (size_t)n); /* also where it has been answered: it is no next request */
    if (c->state != HTTP_READ_BODY)
        return false;
    if (c->framing.done) {
        c->state = HTTP_ANSWER;
        c->ops->complete(c);
        buf_free(&c->body); /* its owner has taken from it what it needs */
        return !c->dead;
    }
    return n > 0;
}

/* Raw bytes read ahead of the hijack, or just come. */
static void conn_raw_input(struct http_conn *c)
{
    struct buf in = c->in;

    c->in = (struct buf){0};
    if (in.len && c->on_raw)
        c->on_raw(c, in.data, in.len);
    buf_free(&in);
    if (!c->dead && c->eof && c->on_raw) {
        void (*on_raw)(struct http_conn *, const char *, size_t) = c->on_raw;

        c->on_raw = NULL;
        on_raw(c, NULL, 0);
    }
}

/* A client that is still sending its body would lose our answer to a reset if we closed now: what
 * it sends is thrown away, within bounds, until it has read the answer and closes. */
static void conn_discard(struct http_conn *c)
{
    c->discarded += c->in.len;
    buf_clear(&c->in);
    if ((c->eof && !c->out.len) || c->discarded > HTTP_LINGER_MAX)
        http_conn_close(c);
}

/* The peer sends no more: on a raw stream that is a half-close only, and answers are still given.
 */
static void conn_ended(struct http_conn *c)
{
    if (c->state == HTTP_RAW || c->state == HTTP_DRAIN || (conn_choked(c) && c->in.len) ||
        conn_waits_its_turn(c))
        return;
    if (c->state != HTTP_READ_HEAD || !c->out.len) {
        http_conn_close(c);
        return;
    }
    c->state = HTTP_DRAIN;
    conn_flush(c);
}

static void conn_advance(struct http_conn *c)
{
    bool more = true;

    while (more && !c->dead && !conn_waits_its_turn(c)) {
        switch (c->state) {
        case HTTP_READ_HEAD:
            more = !conn_choked(c) && conn_read_head(c);
            break;
        case HTTP_READ_BODY:
            more = conn_read_body(c);
            break;
        case HTTP_RAW:
            if (!c->hold_input)
                conn_raw_input(c);
            more = false;
            break;
        default:
            more = false;
        }
    }
    if (!c->dead && c->state == HTTP_DRAIN && c->linger)
        conn_discard(c);
    if (!c->dead && c->eof)
        conn_ended(c);
}

static void conn_input(struct http_conn *c)
{
    static char data[65536]; /* most requests need a page of it, and no allocation */
    ssize_t n = recv(c->ev.fd, data, sizeof(data), MSG_DONTWAIT);

    if (n > 0) {
        remote_came(c, (size_t)n);
        buf_add(&c->in, data, (size_t)n);
    } else if (n == 0) {
        c->eof = true;
    } else if (errno != EAGAIN && errno != EINTR) {
        http_conn_close(c);
    }
}

/* An event is over: what is left of its input is counted. */
static void conn_rest(struct http_conn *c)
{
    if (c->dead)
        return;
    if (!c->in.len)
        buf_free(&c->in);
    held_count(c);
    remote_rest(c);
    conn_watch(c);
}

static void conn_output(struct http_conn *c)
{
    size_t before = c->out.len;

    conn_flush(c);
    if (c->dead || before < HTTP_BACKLOG || c->out.len >= HTTP_BACKLOG)
        return;
    if (c->on_drain)
        c->on_drain(c);
    else if (c->state == HTTP_READ_HEAD)
        conn_advance(c); /* requests that have come meanwhile */
}

static void conn_event(struct ev_source *s, uint32_t events)
{
    struct http_conn *c = (struct http_conn *)s;

    if (events & EPOLLOUT)
        conn_output(c);
    if (!c->dead && events & EPOLLIN)
        conn_input(c);
    else if (!c->dead && events & (EPOLLHUP | EPOLLERR))
        http_conn_close(c);
    if (!c->dead && events & EPOLLIN)
        conn_advance(c);
    conn_rest(c);
}

static void conn_resume(struct ev_timer *t)
{
    struct http_conn *c = (struct http_conn *)((char *)t - offsetof(struct http_conn, resume));

    conn_advance(c);
    conn_rest(c);
}

void http_hold_input(struct http_conn *c, bool hold)
{
    if (c->dead || c->hold_input == hold)
        return;
    c->hold_input = hold;
    if (!hold && (c->in.len || (c->eof && c->state == HTTP_RAW))) { /* read already */
        c->resume.fn = conn_resume;
        ev_timer_set(&c->resume, 0);
    }
    conn_watch(c);
}

struct http_conn *http_conn_new(int fd, const struct http_ops *ops)
{
    struct http_conn *c = conn_spare ? conn_spare : mem_resize(NULL, sizeof(*c));

    conn_spare = NULL;
    *c = (struct http_conn){0};
    fd_nonblock(fd);
    c->ev = (struct ev_source){.fd = fd, .fn = conn_event};
    c->ops = ops;
    conn_watch(c);
    return c;
}
