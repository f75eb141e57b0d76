// SPDX-License-Identifier: MIT
// A blocking HTTP client for the engine's unix socket.
#pragma once

#include "lib/buf.h"
#include "lib/http.h"

struct client {
    int fd;
    struct http_head head; /* of the last answer */
    struct http_body body;
    struct buf in;       /* bytes read and not yet used */
    size_t scanned;      /* of a head, for http_head_parse() */
    const char *headers; /* further lines of a request, each ended by CRLF; or NULL */
};

/* 0 or -errno of socket/connect. */
int client_connect(struct client *c, const char *path);
void client_close(struct client *c);
/* Sends one request; `json` may be NULL. With `upgrade`, asks for a raw stream. */
int client_send(struct client *c, const char *method, const char *path, const char *json,
                bool upgrade);
/* Sends the head of a request with a chunked body; then chunks; then an empty one. */
int client_send_chunked(struct client *c, const char *method, const char *path, const char *type);
int client_chunk(struct client *c, const void *data, size_t len);
int client_wait_head(struct client *c); /* the answer's head: status, or -errno */
/* Some of the answer's content: bytes, 0 at the end, -errno. */
ssize_t client_read(struct client *c, void *data, size_t len);
int client_read_all(struct client *c, struct buf *out, size_t max);
/* Request and whole answer in one: status or -errno. */
int client_call(struct client *c, const char *method, const char *path, const char *json,
                struct buf *out);
