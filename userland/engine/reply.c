// SPDX-License-Identifier: MIT
// Answers of the API that need no more than a connection; apart from the router, which knows all
// that answer.
#include <stdarg.h>
#include <stdio.h>

#include "engine/engine.h"
#include "lib/str.h"

void api_error(struct http_conn *c, int status, const char *fmt, ...)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    char text[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    jw_object(&w, NULL);
    jw_str(&w, "message", text);
    jw_object_end(&w);
    buf_char(&b, '\n');
    api_json(c, status, &b);
}

void api_json(struct http_conn *c, int status, struct buf *b)
{
    http_reply(c, status, "application/json", b->data ? b->data : "", b->len);
    buf_free(b);
}

bool api_terminal_size(struct call *call, unsigned *rows, unsigned *cols)
{
    const char *h = http_query(call->req, "h"), *w = http_query(call->req, "w");
    uint64_t height, width;

    if (!h || !w || !str_u64(h, &height) || !str_u64(w, &width) || height > 65535 ||
        width > 65535) {
        api_error(call->conn, 400, "bad terminal size");
        return false;
    }
    *rows = (unsigned)height;
    *cols = (unsigned)width;
    return true;
}

struct container *api_container(struct call *call)
{
    bool ambiguous;
    struct container *c = container_find(call->name, &ambiguous);

    if (ambiguous)
        api_error(call->conn, 400, "multiple IDs found with provided prefix: %s", call->name);
    else if (!c)
        api_error(call->conn, 404, "No such container: %s", call->name);
    return c;
}
