// SPDX-License-Identifier: MIT
// HTTP/1.1 over stream sockets: message parsing, a server's connection, and a small client.
//
// Server. One `struct http_conn` per accepted socket, driven by the event loop:
//
//   request head complete -> ops->request(c): looks at c->req and either answers, or sets
//   c->on_body to take the body in pieces; otherwise the body (at most HTTP_BODY_MAX) gathers in
//   c->body. Body complete -> ops->complete(c), which must lead to exactly one answer, now or
//   later: http_reply(), or http_stream() ... http_stream_end(), or http_hijack().
//   After the answer the next request is read (keep-alive); pipelined bytes wait in c->in.
//
// c->on_close is called once when the peer is gone or the connection ends while the owner holds
// it (an answer is pending or streaming); after it the owner must not touch c again. It is called
// from http_turn() only, between the batches of the event loop, and c->on_drain from the loop's own
// events only: nothing that an owner calls here calls the owner back. An owner that ends before its
// connection does says so by an answer's end or by http_disown().
// Output queues in c->out: producers ask http_backlog() and pause. A whole answer has no bound, but
// all that waits has: beyond HTTP_UNREAD_MAX the connection is closed whose client has read nothing
// for longest. Input that is not a whole request yet is bounded in the same way, by HTTP_HELD_MAX.
//
// A connection that comes over a network is marked by http_conn_remote(): there are at most
// HTTP_REMOTE_MAX of them, and one that owes a head for HTTP_STALL_MS, or falls so far behind with
// a body that gathers here (HTTP_PACE bytes are a millisecond's), is closed; so is one that has not
// gone so long after it was told all.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/ev.h"

#define HTTP_HEAD_MAX (256 * 1024)
#define HTTP_TRAILER_MAX (64 * 1024)
#define HTTP_BODY_MAX (4 * 1024 * 1024)
#define HTTP_HEADERS_MAX 128
#define HTTP_QUERY_MAX 256
#define HTTP_LINGER_MAX (64u * 1024 * 1024)
#define HTTP_BACKLOG (256 * 1024)
#define HTTP_UNREAD_MAX (32u * 1024 * 1024) /* of all connections; one alone may be more */
#define HTTP_HELD_MAX (32u * 1024 * 1024)   /* of all connections that hold more than: */
#define HTTP_HELD_SMALL (66u * 1024)
#define HTTP_REMOTE_MAX 1000
#define HTTP_STALL_MS 20000
#define HTTP_PACE 1 /* bytes a millisecond that a body has to come at */

struct http_pair {
    char *name;
    char *value;
};

struct http_head {
    char *text;   /* owns what the others point into */
    char *method; /* of a request */
    char *path;   /* still URL-encoded, without the query */
    int status;   /* of a response */
    bool http10;
    struct http_pair headers[HTTP_HEADERS_MAX];
    int nheaders;
    struct http_pair query[HTTP_QUERY_MAX];
    int nquery;
};

/* Looks for a whole head at the start of `in`: its length, 0 when more is needed, -EINVAL when it
 * is no HTTP, -EFBIG when over HTTP_HEAD_MAX, -E2BIG when of more than HTTP_QUERY_MAX
 * parameters. *scanned, 0 at first, is how much of `in` has been looked at in vain: a head that
 * comes in many pieces is scanned once. */
int http_head_parse(struct http_head *h, const struct buf *in, size_t *scanned, bool response);
void http_head_free(struct http_head *h);
const char *http_header(const struct http_head *h, const char *name);
/* Is `word` in the list, "a, b", that the headers of that name make together? */
bool http_header_has(const struct http_head *h, const char *name, const char *word);
const char *http_query(const struct http_head *h, const char *name);
/* Docker's notion: absent, "", 0, no, false and none are false. */
bool http_query_bool(const struct http_head *h, const char *name, bool otherwise);

/* A message body on the wire: by length, chunked, or until the end of the stream. */
struct http_body {
    enum { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_TO_END } kind;
    uint64_t left; /* of the length or of the current chunk */
    enum { HTTP_CHUNK_SIZE, HTTP_CHUNK_DATA, HTTP_CHUNK_DATA_END, HTTP_CHUNK_TRAILER } chunk_state;
    uint32_t trailer; /* bytes of it so far */
    bool done;
};

/* -EINVAL when the head's framing headers make no sense. */
int http_body_init(struct http_body *b, const struct http_head *h, bool response);
/* Consumes wire bytes: sets *data and *len to a piece of content within `in` (maybe none) and
 * returns how many wire bytes that used up, or -EINVAL. Call until it returns 0. */
ssize_t http_body_next(struct http_body *b, const char *in, size_t len, const char **data,
                       size_t *data_len);

/* "bytes FIRST-LAST/TOTAL" of a Content-Range; a total of "*" is UINT64_MAX. */
bool http_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *total);

struct http_conn;

struct http_ops {
    void (*request)(struct http_conn *c);
    void (*complete)(struct http_conn *c);
};

enum http_state { HTTP_READ_HEAD, HTTP_READ_BODY, HTTP_ANSWER, HTTP_STREAM, HTTP_RAW, HTTP_DRAIN };

struct http_conn {
    struct ev_source ev;
    struct ev_timer resume; /* input that was held back is to be looked at */
    const struct http_ops *ops;
    enum http_state state;
    struct buf in;
    size_t scanned; /* of a head, for http_head_parse() */
    struct buf out;
    struct http_head req;
    struct http_body framing;
    struct buf body;
    bool eof;    /* the peer will send no more */
    bool close;  /* after this answer */
    bool linger; /* discard input before closing */
    uint64_t discarded;
    bool hold_input; /* do not read a body's or a raw stream's bytes for now */
    bool dead;       /* closed; its owner is notified of it, and it is freed, in http_turn() */
    struct http_conn *grave;
    size_t unread;                   /* output that waits, as it is counted in all connections' */
    struct http_conn *older, *newer; /* others with such, by when their clients have read of it */
    size_t held;                     /* input that waits, as it is counted in all connections' */
    struct http_conn *held_older, *held_newer;
    bool remote;       /* its client is at the other end of a network */
    uint64_t progress; /* milliseconds: what its client owes is owed since then */
    struct http_conn *remote_next, **remote_link;
    void *owner; /* for the callbacks below; cleared after each answer */
    void (*on_body)(struct http_conn *c, const char *data, size_t len);
    void (*on_raw)(struct http_conn *c, const char *data, size_t len); /* len 0: half-closed */
    void (*on_drain)(struct http_conn *c);                             /* backlog is low again */
    void (*on_close)(struct http_conn *c);
};

struct http_conn *http_conn_new(int fd, const struct http_ops *ops); /* takes fd */
void http_conn_remote(struct http_conn *c);
/* Whether one more may come; one that is between requests, or slow to make one, goes for it. */
bool http_remote_room(void);

void http_reply(struct http_conn *c, int status, const char *type, const void *data, size_t len);
void http_reply_head(struct http_conn *c, const char *extra); /* a bodiless 200 to HEAD */
void http_stream(struct http_conn *c, int status, const char *type);
void http_stream_data(struct http_conn *c, const void *data, size_t len);
void http_stream_end(struct http_conn *c);
/* Both directions become raw bytes: 101 when the client asked for an upgrade, else 200. */
void http_hijack(struct http_conn *c, const char *type);
/* Both pieces in one go; either may be empty. */
void http_raw_frame(struct http_conn *c, const void *head, size_t head_len, const void *data,
                    size_t len);
void http_raw_end(struct http_conn *c); /* flush, then close */
/* A body or a raw stream: stops reading it, or goes on with it, from the next event on. */
void http_hold_input(struct http_conn *c, bool hold);
/* The owner goes: no callback any more, but the connection is not ended by this. */
void http_disown(struct http_conn *c);
/* Tells the owners of closed connections, and frees these. Call between rounds of the loop. */
void http_turn(void);
size_t http_backlog(const struct http_conn *c);

/* Lines added to every answer: "Name: value\r\n...". Static. */
extern const char *http_server_headers;
