// SPDX-License-Identifier: MIT
// What the clients of a server may cost together: output that they do not read, input that is not
// a whole request yet, and the connections of those that come over a network.
#include "lib/http_priv.h"

#include "lib/str.h"

/* ---- what clients have not read -------------------------------------------------------------- */

/* The connections with output that waits, by when their clients have read of it last. */
static struct {
    struct http_conn *oldest, *newest;
    size_t bytes;
} unread;

void unread_drop(struct http_conn *c)
{
    if (!c->unread)
        return;
    *(c->older ? &c->older->newer : &unread.oldest) = c->newer;
    *(c->newer ? &c->newer->older : &unread.newest) = c->older;
    unread.bytes -= c->unread;
    c->older = c->newer = NULL;
    c->unread = 0;
}

static void unread_add(struct http_conn *c)
{
    c->unread = c->out.len;
    if (!c->unread)
        return;
    unread.bytes += c->unread;
    c->older = unread.newest;
    *(c->older ? &c->older->newer : &unread.oldest) = c;
    unread.newest = c;
}

void unread_count(struct http_conn *c, bool taken)
{
    if (taken || !c->unread || !c->out.len) {
        unread_drop(c);
        unread_add(c);
    } else {
        unread.bytes += c->out.len - c->unread;
        c->unread = c->out.len;
    }
}

void unread_bound(void)
{
    while (unread.bytes > HTTP_UNREAD_MAX && unread.oldest != unread.newest)
        http_conn_close(unread.oldest);
}

/* ---- what clients have sent ------------------------------------------------------------------ */

/* The connections that hold much input, by when more of it has come last. */
static struct {
    struct http_conn *oldest, *newest;
    size_t bytes;
} held;

void held_drop(struct http_conn *c)
{
    if (!c->held)
        return;
    *(c->held_older ? &c->held_older->held_newer : &held.oldest) = c->held_newer;
    *(c->held_newer ? &c->held_newer->held_older : &held.newest) = c->held_older;
    held.bytes -= c->held;
    c->held_older = c->held_newer = NULL;
    c->held = 0;
}

void held_count(struct http_conn *c)
{
    size_t now = c->in.len + c->body.len;

    if (now == c->held)
        return;
    held_drop(c);
    if (c->dead || now < HTTP_HELD_SMALL)
        return;
    c->held = now;
    held.bytes += now;
    c->held_older = held.newest;
    *(c->held_older ? &c->held_older->held_newer : &held.oldest) = c;
    held.newest = c;
    while (held.bytes > HTTP_HELD_MAX && held.oldest != held.newest)
        http_conn_close(held.oldest);
}

/* ---- clients of a network -------------------------------------------------------------------- */

static struct {
    struct http_conn *first;
    unsigned count;
    struct ev_timer look;
} remotes;

/* It has begun to send something, or has been told all and is asked to leave, and does not go on. A
 * body that its owner takes in pieces may come from a slow source. */
static bool remote_owes(const struct http_conn *c)
{
    switch (c->state) {
    case HTTP_READ_HEAD:
        return c->in.len;
    case HTTP_READ_BODY:
        return !c->hold_input && !c->on_body;
    case HTTP_DRAIN:
        return !c->out.len;
    default:
        return false;
    }
}

/* Between two requests. */
static bool remote_idles(const struct http_conn *c)
{
    return c->state == HTTP_READ_HEAD && !c->out.len;
}

/* It was told all and reads nothing of it: it goes when another comes. */
static bool remote_lags(const struct http_conn *c)
{
    return (c->state == HTTP_READ_HEAD || c->state == HTTP_DRAIN) && c->out.len &&
           time_now_ms() - c->progress >= HTTP_STALL_MS;
}

static void remote_look(struct ev_timer *t)
{
    uint64_t now = time_now_ms();
    struct http_conn *next;
    bool owe = false;

    for (struct http_conn *c = remotes.first; c; c = next) {
        next = c->remote_next;
        if (!remote_owes(c))
            continue;
        if (now - c->progress >= HTTP_STALL_MS)
            http_conn_close(c);
        else
            owe = true;
    }
    if (owe)
        ev_timer_set(t, HTTP_STALL_MS / 4);
}

void remote_begin(struct http_conn *c)
{
    if (c->remote && !c->dead)
        c->progress = time_now_ms();
}

void remote_came(struct http_conn *c, size_t bytes)
{
    uint64_t now = time_now_ms();

    if (!c->remote || c->dead)
        return;
    switch (c->state) {
    case HTTP_READ_HEAD: /* it has its time from its first byte on */
        if (!c->in.len)
            c->progress = now;
        break;
    case HTTP_READ_BODY:
        c->progress += bytes / HTTP_PACE;
        if (c->progress > now || !remote_owes(c))
            c->progress = now;
        break;
    case HTTP_DRAIN: /* what it sends now keeps it no longer */
        break;
    default:
        c->progress = now;
    }
}

void remote_rest(struct http_conn *c)
{
    if (!c->remote || c->dead || !remote_owes(c) || remotes.look.at)
        return;
    remotes.look.fn = remote_look;
    ev_timer_set(&remotes.look, HTTP_STALL_MS / 4);
}

void remote_drop(struct http_conn *c)
{
    if (!c->remote)
        return;
    *c->remote_link = c->remote_next;
    if (c->remote_next)
        c->remote_next->remote_link = c->remote_link;
    remotes.count--;
}

void http_conn_remote(struct http_conn *c)
{
    c->remote = true;
    c->progress = time_now_ms();
    c->remote_next = remotes.first;
    c->remote_link = &remotes.first;
    if (c->remote_next)
        c->remote_next->remote_link = &c->remote_next;
    remotes.first = c;
    remotes.count++;
}

bool http_remote_room(void)
{
    struct http_conn *least = NULL;

    if (remotes.count < HTTP_REMOTE_MAX)
        return true;
    for (struct http_conn *c = remotes.first; c; c = c->remote_next)
        if ((remote_idles(c) || remote_owes(c) || remote_lags(c)) &&
            (!least || c->progress < least->progress))
            least = c;
    if (least)
        http_conn_close(least);
    return least;
}
