/* SPDX-License-Identifier: MIT
 *
 * sock_diag: the protocol, and what its families share. diag.h has the rules.
 */
#include "net/diag/diag.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/thread.h"

#define WALK_FEW 16U /* sockets that are taken under one hold of their list's lock */

static const struct diag_family *const diag_families[] = {&diag_inet, &diag_inet6, &diag_unix,
                                                          &diag_packet, &diag_netlink};

static const struct diag_family *diag_family_find(u8 family)
{
    for (u32 i = 0; i < ARRAY_SIZE(diag_families); i++)
        if (diag_families[i]->family == family)
            return diag_families[i];
    return NULL;
}

static int diag_request(struct nl_request *r)
{
    const struct diag_family *f;

    if (r->h.type != SOCK_DIAG_BY_FAMILY && r->h.type != SOCK_DESTROY)
        return -EINVAL;
    if (r->len < 2)
        return -EINVAL;
    f = diag_family_find(r->body[0]);
    if (!f)
        return -ENOENT;
    if (r->h.type == SOCK_DIAG_BY_FAMILY)
        return f->request(r);
    if (!f->destroy)
        return -EOPNOTSUPP;
    return nl_capable(r, CAP_NET_ADMIN) ? f->destroy(r) : -EPERM;
}

NETLINK_PROTOCOL(sock_diag) = {.protocol = NETLINK_SOCK_DIAG, .request = diag_request};

int diag_body(const struct nl_request *r, void *out, u32 n)
{
    if (r->len < n)
        return -EINVAL;
    memcpy(out, r->body, n);
    return 0;
}

/* The next few are out[0..n): shown up to the first that does not fit, or all. How many were. */
static u32 diag_walk_few(struct nl_dump *d, struct nl_builder *b, struct socket **few, u32 n,
                         bool (*show)(struct nl_dump *d, struct nl_builder *b, struct socket *s))
{
    u32 shown = 0;

    while (shown < n && show(d, b, few[shown])) {
        shown++;
        cond_yield();
    }
    return shown;
}

bool diag_walk(struct diag_walk *w, struct nl_dump *d, struct nl_builder *b,
               bool (*show)(struct nl_dump *d, struct nl_builder *b, struct socket *s))
{
    struct socket *few[WALK_FEW], *former;
    u32 n, shown;

    while ((n = socket_list_take(w->list, w->at, few, WALK_FEW))) {
        shown = diag_walk_few(d, b, few, n, show);
        former = w->at;
        if (shown)
            w->at = few[shown - 1];
        for (u32 i = 0; i < n; i++)
            if (few[i] != w->at)
                socket_put(few[i]);
        if (shown && former)
            socket_put(former);
        if (shown < n)
            return false;
        if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            break;
    }
    return true;
}

void diag_walk_end(struct diag_walk *w)
{
    if (w->at)
        socket_put(w->at);
    w->at = NULL;
}

struct socket *diag_find(struct socket_list *list, bool (*is)(struct socket *s, const void *arg),
                         const void *arg)
{
    struct socket *few[WALK_FEW], *at = NULL, *found = NULL;
    u32 n;

    while (!found && (n = socket_list_take(list, at, few, WALK_FEW))) {
        for (u32 i = 0; i < n && !found; i++)
            if (is(few[i], arg))
                found = few[i];
        if (at)
            socket_put(at);
        at = few[n - 1];
        for (u32 i = 0; i < n; i++)
            if (few[i] != found && few[i] != at)
                socket_put(few[i]);
        cond_yield();
    }
    if (at && at != found)
        socket_put(at);
    return found;
}

void diag_cookie(const struct socket *s, u32 out[2])
{
    out[0] = (u32)s->ino;
    out[1] = (u32)(s->ino >> 32);
}

bool diag_cookie_is(const struct socket *s, const u32 cookie[2])
{
    u32 is[2];

    if (cookie[0] == DIAG_NO_COOKIE && cookie[1] == DIAG_NO_COOKIE)
        return true;
    diag_cookie(s, is);
    return is[0] == cookie[0] && is[1] == cookie[1];
}

u32 diag_inode(const struct socket *s)
{
    return READ_ONCE(s->dead) ? 0 : (u32)s->ino;
}

void diag_put_memory(struct nl_builder *b, u16 type, const struct socket *s, u32 sent)
{
    enum { RMEM, RCVBUF, WMEM, SNDBUF, FORWARD, QUEUED, OPTMEM, BACKLOG, DROPS, WORDS };
    u32 words[WORDS] = {
        [RMEM] = READ_ONCE(s->queued),   [RCVBUF] = READ_ONCE(s->rcvbuf), [WMEM] = sent,
        [SNDBUF] = READ_ONCE(s->sndbuf), [DROPS] = READ_ONCE(s->lost),
    };

    nl_put(b, type, words, sizeof(words));
}
