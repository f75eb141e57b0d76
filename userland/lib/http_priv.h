// SPDX-License-Identifier: MIT
// Between a server's connections (http_conn.c) and what bounds them together (http_bounds.c).
#pragma once

#include "lib/http.h"

void http_conn_close(struct http_conn *c);

/* Output that waits. `taken`: its client has just read of it. Of many, those connections go whose
 * clients have not read for longest; one answer may be as large as it is. */
void unread_count(struct http_conn *c, bool taken);
void unread_bound(void);
void unread_drop(struct http_conn *c);

/* Input that waits has changed. Of many, those connections go that have sent nothing for longest.
 */
void held_count(struct http_conn *c);
void held_drop(struct http_conn *c);

/* A client of a network: so many bytes have come and lie before c->in. */
void remote_came(struct http_conn *c, size_t bytes);
/* What it owes now, if anything, is owed from now on. */
void remote_begin(struct http_conn *c);
void remote_rest(struct http_conn *c); /* an event is over */
void remote_drop(struct http_conn *c);
