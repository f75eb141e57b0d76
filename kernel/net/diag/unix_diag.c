/* SPDX-License-Identifier: MIT
 *
 * unix_diag: a namespace's unix sockets (linux/unix_diag.h).
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/diag/diag.h"
#include "net/unix/unix_priv.h"

enum {
    UNIX_DIAG_NAME,
    UNIX_DIAG_VFS,
    UNIX_DIAG_PEER,
    UNIX_DIAG_ICONS,
    UNIX_DIAG_RQLEN,
    UNIX_DIAG_MEMINFO,
    UNIX_DIAG_SHUTDOWN,
    UNIX_DIAG_UID,
};
enum {
    UDIAG_SHOW_NAME = 1,
    UDIAG_SHOW_VFS = 2,
    UDIAG_SHOW_PEER = 4,
    UDIAG_SHOW_RQLEN = 0x10,
    UDIAG_SHOW_MEMINFO = 0x20,
    UDIAG_SHOW_UID = 0x40,
};
enum { STATE_ESTABLISHED = 1, STATE_CLOSE = 7, STATE_LISTEN = 10 }; /* TCP's numbers */

struct unix_diag_request {
    u8 family, protocol;
    u16 pad;
    u32 states, ino, show, cookie[2];
};
struct unix_diag_message {
    u8 family, type, state, pad;
    u32 ino, cookie[2];
};

static u8 unix_diag_state(const struct socket *s)
{
    if (READ_ONCE(s->listening))
        return STATE_LISTEN;
    return READ_ONCE(s->peer) ? STATE_ESTABLISHED : STATE_CLOSE;
}

/* The name as it was bound: a path with its NUL, or what begins with one. */
static void unix_diag_put_name(struct nl_builder *b, struct socket *s, u32 show)
{
    const struct unix_addr *a = READ_ONCE(unix_of(s)->addr); /* once set it stays */
    u32 vfs[2];

    if (!a)
        return;
    if (show & UDIAG_SHOW_NAME)
        nl_put(b, UNIX_DIAG_NAME, a->sun.data, a->len - (u32)offsetof(struct sock_addr, data));
    if (!(show & UDIAG_SHOW_VFS) || !a->ino)
        return;
    vfs[0] = (u32)a->ino;
    vfs[1] = (u32)a->dev;
    nl_put(b, UNIX_DIAG_VFS, vfs, sizeof(vfs));
}

static void unix_diag_put_peer(struct nl_builder *b, struct socket *s)
{
    struct socket *peer = socket_peer(s);

    if (!peer)
        return;
    nl_put_u32(b, UNIX_DIAG_PEER, (u32)peer->ino);
    socket_put(peer);
}

/* A listener's: who waits to be accepted, and how many may; else bytes to read, and what the peer
 * has not read. */
static void unix_diag_put_lengths(struct nl_builder *b, struct socket *s)
{
    const struct accept_queue *q = &unix_of(s)->accept;
    struct socket *peer = socket_peer(s);
    u32 n[2] = {sock_unread(s), peer ? READ_ONCE(peer->queued) : 0};

    if (READ_ONCE(s->listening)) {
        n[0] = READ_ONCE(q->nr);
        n[1] = q->max ? READ_ONCE(q->max) - 1 : 0;
    }
    if (peer)
        socket_put(peer);
    nl_put(b, UNIX_DIAG_RQLEN, n, sizeof(n));
}

static bool unix_diag_fill(struct nl_builder *b, struct unix_diag_message *m, struct socket *s,
                           u32 show, const struct user_ns *users)
{
    if (m) {
        *m = (struct unix_diag_message){
            .family = AF_UNIX, .type = s->type, .state = unix_diag_state(s), .ino = (u32)s->ino};
        diag_cookie(s, m->cookie);
    }
    unix_diag_put_name(b, s, show);
    if (show & UDIAG_SHOW_PEER)
        unix_diag_put_peer(b, s);
    if (show & UDIAG_SHOW_RQLEN)
        unix_diag_put_lengths(b, s);
    if (show & UDIAG_SHOW_MEMINFO)
        diag_put_memory(b, UNIX_DIAG_MEMINFO, s, 0);
    if (show & UDIAG_SHOW_UID)
        nl_put_u32(b, UNIX_DIAG_UID, user_ns_uid(users, s->uid));
    nl_put_u8(b, UNIX_DIAG_SHUTDOWN, (u8)(READ_ONCE(s->shut) & SOCK_SHUT_BOTH));
    return nl_end(b);
}

/* ---- dumps ---- */

struct unix_dump {
    struct diag_walk walk;
    u32 states, show;
};

static bool unix_dump_show(struct nl_dump *d, struct nl_builder *b, struct socket *s)
{
    const struct unix_dump *u = (const void *)d->state;
    struct unix_diag_message *m;

    if (!(u->states >> unix_diag_state(s) & 1) || READ_ONCE(s->dead))
        return true;
    m = nl_dumped(d, b, SOCK_DIAG_BY_FAMILY, sizeof(*m));
    return unix_diag_fill(b, m, s, u->show, d->s->cred->user_ns);
}

static bool unix_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    return diag_walk(&((struct unix_dump *)(void *)d->state)->walk, d, b, unix_dump_show);
}

static void unix_dump_end(struct nl_dump *d)
{
    diag_walk_end(&((struct unix_dump *)(void *)d->state)->walk);
}

/* ---- one ---- */

static bool unix_diag_is(struct socket *s, const void *arg)
{
    return (u32)s->ino == *(const u32 *)arg && !READ_ONCE(s->dead);
}

static int unix_diag_one(struct nl_request *r, struct socket_list *list,
                         const struct unix_diag_request *q)
{
    struct nl_builder b;
    struct socket *s;
    int err;

    if (!q->ino)
        return -EINVAL;
    s = diag_find(list, unix_diag_is, &q->ino);
    if (!s)
        return -ENOENT;
    err = diag_cookie_is(s, q->cookie) ? nl_answer_begin(&b) : -ESTALE;
    if (!err) {
        struct unix_diag_message *m = nl_answer(r, &b, SOCK_DIAG_BY_FAMILY, sizeof(*m));

        if (!unix_diag_fill(&b, m, s, q->show, r->s->cred->user_ns))
            err = -EMSGSIZE;
        err = err ? (kfree(b.buf), err) : nl_answer_end(r, &b);
    }
    socket_put(s);
    return err;
}

static int unix_diag_request(struct nl_request *r)
{
    static const struct nl_dump_ops ops = {NL_SOCKETS, unix_dump_step, unix_dump_end};
    struct unix_ns *un = net_part(r->ns, unix_ns_offset);
    struct unix_diag_request q;
    struct unix_dump d = {{&un->list, NULL}, 0, 0};
    int err = diag_body(r, &q, sizeof(q));

    if (err)
        return err;
    if (!(r->h.flags & NLM_F_DUMP))
        return unix_diag_one(r, &un->list, &q);
    d.states = q.states;
    d.show = q.show;
    return nl_dump_start(r, &ops, &d, sizeof(d), false);
}

const struct diag_family diag_unix = {AF_UNIX, unix_diag_request, NULL};
