// SPDX-License-Identifier: MIT
// A blocking HTTP client for servers that may be hostile: one connection, kept between requests to
// the same origin, with a bound on how long anything may take to move. For worker processes only:
// names are resolved and sockets waited for.
//
// One request is fetch_open(), with a body fetch_write(), then fetch_answer()
// and fetch_read() until it gives 0, then fetch_done(). Any of these may fail: -errno, with a
// sentence in f->why in the words of Go's client, which are Docker's. After a failure the
// connection is closed; fetch_open() makes another.
//
// The names of this machine (url_host_is_localhost) are asked of no server. Nothing that is nearer
// than `nearest` is connected to, under whatever name.
//
// What comes, or is taken, slower than FETCH_FLOOR, over FETCH_FLOOR_IDLES times idle_ms of
// waiting, has timed out as well: a server cannot hold a worker by a byte now and then.
//
// https:// goes as plain requests with absolute URIs to the proxy's unix socket, which verifies
// certificates; without a proxy it is refused.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/http.h"
#include "lib/url.h"

#define FETCH_IDLE_MS 30000
#define FETCH_FLOOR 1024 /* bytes a second */
#define FETCH_FLOOR_IDLES 2

/* Where an address is. */
enum fetch_place {
    FETCH_ELSEWHERE,
    FETCH_OWN,   /* one that this machine has */
    FETCH_LOCAL, /* of every machine's own, or of this link alone */
};

struct fetch {
    const char *proxy; /* path of its socket, or NULL; borrowed */
    const char *hint;  /* what to say when there is none; borrowed */
    /* Connects to it, if this process cannot: a descriptor that does not block, or -errno. */
    int (*dial)(int timeout_ms);
    const char *agent; /* User-Agent; borrowed */
    int idle_ms;       /* of a connect, and between two pieces of anything */
    enum fetch_place nearest;

    /* The rest is private but for `head`, `url`, `place`, `slow` and `why`. */
    int fd;
    bool connected, kept;   /* kept: it has answered before */
    bool asked;             /* a request is under way, until its answer has been read */
    enum fetch_place place; /* of what it is connected to */
    bool slow;              /* the last failure was one of speed */
    uint64_t waited, came;  /* milliseconds and bytes since speed was looked at */
    struct url url;         /* of the request, and of the connection */
    const char *method;
    struct http_head head; /* of the last answer */
    struct http_body body;
    struct buf in;   /* bytes read and not yet used */
    size_t scanned;  /* of a head, for http_head_parse() */
    struct buf sent; /* the head and what can be sent again */
    bool again;      /* all that was sent is in there */
    char why[512];
};

void fetch_init(struct fetch *f, const char *proxy, const char *hint, const char *agent);
void fetch_close(struct fetch *f); /* it can be opened again */
/* Connects if need be, and sends the head. `headers`: further lines, each ended by CRLF, or NULL.
 * `length` of the body, 0 none. */
int fetch_open(struct fetch *f, const char *method, const struct url *url, const char *headers,
               uint64_t length);
int fetch_write(struct fetch *f, const void *data, size_t len);
int fetch_answer(struct fetch *f); /* the status, 200 or above */
ssize_t fetch_read(struct fetch *f, void *data, size_t len);
/* The whole content, at most `max` bytes: 0, -EFBIG, -errno. */
int fetch_read_all(struct fetch *f, struct buf *out, size_t max);
/* The answer is not wanted any more: the connection is kept when it has been read. */
void fetch_done(struct fetch *f);
