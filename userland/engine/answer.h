// SPDX-License-Identifier: MIT
// Answers that wait for work (answer.c).
#pragma once

#include <stdbool.h>

#include "lib/buf.h"

struct http_conn;

/* An answer to a client that is given when all that it waits for is done. The client may leave
 * meanwhile. */
struct answer {
    struct http_conn *conn; /* NULL when the client has gone */
    int status;
    const char *type; /* of the body, or NULL */
    struct buf body;
    int holds;
    char *error;                                 /* the first: it replaces the answer */
    bool error_in_stream;                        /* as Docker reports a failed load: status 200 */
    void (*given)(void *arg, const char *error); /* instead of a client; or NULL */
    void *arg;
};

struct answer *answer_new(struct http_conn *conn, int status, const char *type); /* held once */
/* One that is given to the caller, with its error or NULL, held once. */
struct answer *answer_for(void (*given)(void *arg, const char *error), void *arg);
void answer_hold(struct answer *a);
/* One thing less to wait for; `error` is a sentence, or NULL. The last one gives the answer. */
void answer_done(struct answer *a, const char *error);
