// SPDX-License-Identifier: MIT
// The blocking HTTP client; see client.h.
#include "lib/client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/str.h"

#define CLIENT_ANSWER_MAX (64u * 1024 * 1024)

int client_connect(struct client *c, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int err;

    *c = (struct client){.fd = -1};
    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    strcpy(addr.sun_path, path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -errno;
    if (connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
        return 0;
    err = -errno;
    client_close(c);
    return err;
}

void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    http_head_free(&c->head);
    buf_free(&c->in);
}

static int client_write(struct client *c, const void *data, size_t len)
{
    const char *p = data;

    while (len) {
        ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int client_send(struct client *c, const char *method, const char *path, const char *json,
                bool upgrade)
{
    struct buf b = {0};
    int err;

    buf_fmt(&b, "%s %s HTTP/1.1\r\nHost: docker\r\nUser-Agent: bothy\r\n", method, path);
    buf_str(&b, c->headers ? c->headers : "");
    if (upgrade)
        buf_str(&b, "Connection: Upgrade\r\nUpgrade: tcp\r\n");
    if (json)
        buf_fmt(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(json));
    buf_fmt(&b, "\r\n%s", json ? json : "");
    err = client_write(c, b.data, b.len);
    buf_free(&b);
    return err;
}

int client_send_chunked(struct client *c, const char *method, const char *path, const char *type)
{
    struct buf b = {0};
    int err;

    buf_fmt(&b,
            "%s %s HTTP/1.1\r\nHost: docker\r\nUser-Agent: bothy\r\n"
            "Content-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n",
            method, path, type);
    err = client_write(c, b.data, b.len);
    buf_free(&b);
    return err;
}

int client_chunk(struct client *c, const void *data, size_t len)
{
    struct buf b = {0};
    int err;

    buf_fmt(&b, "%zx\r\n", len);
    buf_add(&b, data, len);
    buf_str(&b, "\r\n");
    err = client_write(c, b.data, b.len);
    buf_free(&b);
    return err;
}

/* More bytes into c->in: their number, 0 at the end, -errno. */
static ssize_t client_fill(struct client *c)
{
    ssize_t n;

    buf_reserve(&c->in, 65536);
    do
        n = read(c->fd, c->in.data + c->in.len, 65536);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    c->in.len += (size_t)n;
    c->in.data[c->in.len] = 0;
    return n;
}

int client_wait_head(struct client *c)
{
    for (;;) {
        int n = http_head_parse(&c->head, &c->in, &c->scanned, true);
        ssize_t got;

        if (n < 0)
            return n;
        if (n > 0) {
            buf_drop(&c->in, (size_t)n);
            if (c->head.status == 100) {
                http_head_free(&c->head);
                continue;
            }
            n = http_body_init(&c->body, &c->head, true);
            return n ? n : c->head.status;
        }
        got = client_fill(c);
        if (got <= 0)
            return got < 0 ? (int)got : -EPIPE;
    }
}

ssize_t client_read(struct client *c, void *data, size_t len)
{
    for (;;) {
        const char *piece;
        size_t piece_len;
        size_t avail = c->in.len < len ? c->in.len : len;
        /* framing lines may be longer than the caller's buffer: show those in full */
        bool framing = c->body.kind == HTTP_BODY_CHUNKED && c->body.chunk_state != HTTP_CHUNK_DATA;
        ssize_t n =
            http_body_next(&c->body, c->in.data, framing ? c->in.len : avail, &piece, &piece_len);

        if (n < 0)
            return n;
        if (piece_len) {
            memcpy(data, piece, piece_len);
            buf_drop(&c->in, (size_t)n);
            return (ssize_t)piece_len;
        }
        buf_drop(&c->in, (size_t)n);
        if (c->body.done)
            return 0;
        if (n > 0)
            continue;
        n = client_fill(c);
        if (n == 0)
            return c->body.kind == HTTP_BODY_TO_END ? 0 : -EPIPE;
        if (n < 0)
            return n;
    }
}

int client_read_all(struct client *c, struct buf *out, size_t max)
{
    for (;;) {
        ssize_t n;

        buf_reserve(out, 16384);
        n = client_read(c, out->data + out->len, 16384);
        if (n <= 0) {
            out->data[out->len] = 0;
            return (int)n;
        }
        out->len += (size_t)n;
        if (out->len > max)
            return -EFBIG;
    }
}

int client_call(struct client *c, const char *method, const char *path, const char *json,
                struct buf *out)
{
    int status = client_send(c, method, path, json, false), err;

    if (status)
        return status;
    http_head_free(&c->head);
    status = client_wait_head(c);
    if (status < 0)
        return status;
    err = client_read_all(c, out, CLIENT_ANSWER_MAX);
    return err ? err : status;
}
