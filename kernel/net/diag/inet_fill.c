/* SPDX-License-Identifier: MIT
 *
 * inet_diag: what a socket is, and the message that tells it.
 */
#include "lib/string.h"
#include "net/core/sending.h"
#include "net/diag/inet_priv.h"
#include "net/raw/raw.h"
#include "net/tcp/conn.h"
#include "net/tcp/info.h"
#include "obj/cred.h"

enum {
    INET_DIAG_MEMINFO = 1,
    INET_DIAG_INFO = 2,
    INET_DIAG_CONG = 4,
    INET_DIAG_TOS = 5,
    INET_DIAG_TCLASS = 6,
    INET_DIAG_SKMEMINFO = 7,
    INET_DIAG_SHUTDOWN = 8,
    INET_DIAG_PROTOCOL = 10,
    INET_DIAG_SKV6ONLY = 11,
    INET_DIAG_MARK = 15,
};
enum { IP_TOS = 1, IPV6_TCLASS = 67 };

/* ---- what it is ---- */

void inet_diag_look(struct inet_sock *s, struct inet_seen *out)
{
    struct socket *sock = &s->sock;
    bool connected;

    *out = (struct inet_seen){
        .sock = s, .family = sock->family, .device = READ_ONCE(sock->bound_device)};
    inet_ends(s, &out->local, &out->peer);
    if (sock->protocol == IPPROTO_TCP && sock->type == SOCK_STREAM) {
        tcp_diag_sock(tcp_of(s), &out->about);
        return;
    }
    connected = sock->type == SOCK_RAW ? READ_ONCE(raw_of(sock)->connected) : inet_has_peer(s);
    out->about.state = connected ? TCP_ESTABLISHED : TCP_CLOSE;
    out->about.rx = READ_ONCE(sock->queued);
    out->about.tx = out->about.sent = sock_in_flight(sock);
}

void inet_diag_look_entry(const struct tcp_diag_entry *e, struct inet_seen *out)
{
    *out = (struct inet_seen){.family = ip_is_v4(&e->local.addr) ? AF_INET : AF_INET6,
                              .local = e->local,
                              .peer = e->peer,
                              .device = e->local.scope,
                              .about = e->about};
}

/* ---- the message ---- */

static void inet_diag_addr(u16 family, const struct ip_addr *a, u32 out[4])
{
    if (family == AF_INET)
        out[0] = a->w[3];
    else
        memcpy(out, a->w, sizeof(a->w));
}

static void inet_diag_fill_id(struct inet_diag_id *id, const struct inet_seen *seen)
{
    id->local_port = __builtin_bswap16(seen->local.port);
    id->peer_port = __builtin_bswap16(seen->peer.port);
    inet_diag_addr(seen->family, &seen->local.addr, id->local);
    inet_diag_addr(seen->family, &seen->peer.addr, id->peer);
    id->device = seen->device;
    id->cookie[0] = id->cookie[1] = DIAG_NO_COOKIE;
    if (seen->sock)
        diag_cookie(&seen->sock->sock, id->cookie);
}

static void inet_diag_fill_options(struct nl_builder *b, struct inet_sock *s, u8 state,
                                   const struct inet_diag_asked *asked)
{
    nl_put_u8(b, INET_DIAG_SHUTDOWN, (u8)(READ_ONCE(s->sock.shut) & SOCK_SHUT_BOTH));
    if (asked->extensions & 1U << (INET_DIAG_TOS - 1))
        nl_put_u8(b, INET_DIAG_TOS, (u8)inet_option_get(s, IPPROTO_IP, IP_TOS));
    if (s->sock.family == AF_INET6) {
        if (asked->extensions & 1U << (INET_DIAG_TCLASS - 1))
            nl_put_u8(b, INET_DIAG_TCLASS, (u8)inet_option_get(s, IPPROTO_IPV6, IPV6_TCLASS));
        if (state == TCP_LISTEN || state == TCP_CLOSE)
            nl_put_u8(b, INET_DIAG_SKV6ONLY, READ_ONCE(s->v6only));
    }
    if (asked->admin)
        nl_put_u32(b, INET_DIAG_MARK, (u32)READ_ONCE(s->sock.mark));
    if (s->sock.type == SOCK_RAW)
        nl_put_u8(b, INET_DIAG_PROTOCOL, s->sock.protocol);
}

static void inet_diag_fill_memory(struct nl_builder *b, const struct inet_seen *seen,
                                  const struct inet_diag_asked *asked)
{
    const struct socket *s = &seen->sock->sock;
    u32 few[4] = {READ_ONCE(s->queued), seen->about.sent, 0, seen->about.sent};

    if (asked->extensions & 1U << (INET_DIAG_MEMINFO - 1))
        nl_put(b, INET_DIAG_MEMINFO, few, sizeof(few));
    if (asked->extensions & 1U << (INET_DIAG_SKMEMINFO - 1))
        diag_put_memory(b, INET_DIAG_SKMEMINFO, s, seen->about.sent);
}

static void inet_diag_fill_tcp(struct nl_builder *b, struct inet_sock *s,
                               const struct inet_diag_asked *asked)
{
    struct tcp_info info;
    u32 n = sizeof(info);

    if ((asked->extensions & 1U << (INET_DIAG_INFO - 1)) && !s->proto->get(s, TCP_INFO, &info, &n))
        nl_put(b, INET_DIAG_INFO, &info, sizeof(info));
    if (asked->extensions & 1U << (INET_DIAG_CONG - 1))
        nl_put_text(b, INET_DIAG_CONG, tcp_diag_congestion(tcp_of(s)));
}

bool inet_diag_fill(struct nl_builder *b, struct inet_diag_message *m, const struct inet_seen *seen,
                    const struct inet_diag_asked *asked)
{
    struct inet_sock *s = seen->sock;

    if (m) {
        *m = (struct inet_diag_message){.family = (u8)seen->family,
                                        .state = seen->about.state,
                                        .timer = seen->about.timer,
                                        .retries = seen->about.retries,
                                        .expires = seen->about.expires,
                                        .rx = seen->about.rx,
                                        .tx = seen->about.tx};
        inet_diag_fill_id(&m->id, seen);
        m->uid = s ? user_ns_uid(asked->users, s->sock.uid) : 0;
        m->inode = s ? diag_inode(&s->sock) : 0;
    }
    if (s) {
        inet_diag_fill_options(b, s, seen->about.state, asked);
        inet_diag_fill_memory(b, seen, asked);
        if (s->sock.protocol == IPPROTO_TCP && s->sock.type == SOCK_STREAM)
            inet_diag_fill_tcp(b, s, asked);
    }
    return nl_end(b);
}
