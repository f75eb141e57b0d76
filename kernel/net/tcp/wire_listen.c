/* SPDX-License-Identifier: MIT
 *
 * Listeners and connections from the wire: half-open requests, cookies, and what they become. The
 * decisions are the core's (listen.h).
 *
 * A half-open connection lies in the table of connections and holds a reference to its listener,
 * under whose lock it is; it is charged to the listener's account. A listener has at most as many
 * as its backlog (tcp_max_syn_backlog at the least); what comes beyond gets a cookie, and nothing
 * is kept.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/worker.h"
#include "net/link/loopback.h"
#include "net/tcp/diag.h"
#include "net/tcp/wire.h"

#define SYNCNT_FIRST 6 /* of a socket that was told nothing */
#define COOKIES_FOR \
    (120 * NSEC_PER_SEC) /* that long after the last one was sent their answers are believed */

COUNTER(net_tcp_cookies);
COUNTER(net_tcp_forged); /* over lo, from an address that is not here */
COUNTER(net_tcp_overflow);

/* I immutable · l the listener's lock */
struct tcp_half {
    struct tcp_entry entry;    /* first */
    refcount_t ref;            /* the table's, the timer's, those who found it */
    struct tcp_sock *listener; /* I  a reference */
    struct tcp_request req;    /* l */
    struct ip_info head;       /* I  as the SYN came */
    bool timed, over;          /* l */
    struct timer timer;
    struct work work;
    struct rcu_head rcu;
};

static struct slab_cache *tcp_half_cache;

static void tcp_half_init(void)
{
    tcp_half_cache = slab_cache_create("tcp_half", sizeof(struct tcp_half), 0);
}
INIT_HOOK(tcp_half_init, INIT_CORE);

static void tcp_half_free(struct rcu_head *head)
{
    slab_free(tcp_half_cache, container_of(head, struct tcp_half, rcu));
}

static void tcp_half_put(struct tcp_half *half)
{
    if (!refcount_put(&half->ref))
        return;
    socket_put(&half->listener->inet.sock);
    rcu_call(&half->rcu, tcp_half_free);
}

/* What l offers to one whose path back is `path`. */
static struct tcp_listen tcp_listen_of(struct tcp_sock *l, const struct ip_path *path,
                                       const struct ip_addr *peer)
{
    s32 tries = inet_option_get(&l->inet, IPPROTO_TCP, TCP_SYNCNT);
    s32 defer = inet_option_get(&l->inet, IPPROTO_TCP, TCP_DEFER_ACCEPT);
    const struct tcp_ns *tn = tcp_ns_of(l->inet.sock.ns);

    return (struct tcp_listen){
        .config = &tcp_ns_of(l->inet.sock.ns)->config,
        .mss = tcp_path_mss(path, peer),
        .maxseg = l->maxseg,
        .rcv_buf = tcp_payload(l->inet.sock.rcvbuf),
        .rcv_buf_most = tcp_payload_most(&l->inet.sock),
        .retries = tries != SYNCNT_FIRST ? (u32)tries : (u32)READ_ONCE(tn->synack_retries),
        .defer = defer > 0 ? (u64)defer * NSEC_PER_SEC : 0};
}

/* The way back. What comes over lo is from here: a raw socket can send there what names another
 * host as its sender, which a listener's program may let in by its address. */
static int tcp_listen_path(struct tcp_sock *l, const struct ip_info *h, struct ip_path *path)
{
    struct ip_flow flow = {.to = h->from,
                           .from = h->to,
                           .device = ip_needs_scope(&h->from) ? h->device : 0,
                           .mark = (u32)l->inet.sock.mark,
                           .protocol = IPPROTO_TCP,
                           .uid = l->inet.sock.uid};
    int err = ip_path_find(l->inet.sock.ns, &flow, path);

    if (err || h->device != LOOPBACK_INDEX || path->kind == IP_LOCAL)
        return err;
    ip_path_put(path);
    COUNT(net_tcp_forged);
    return -EINVAL;
}

static void tcp_key_of(const struct tcp_sock *l, const struct ip_info *h,
                       const struct tcp_segment *seg, struct tcp_key *key)
{
    *key = (struct tcp_key){.local = h->to,
                            .peer = h->from,
                            .ns = l->inet.sock.ns,
                            .device = ip_needs_scope(&h->from) ? h->device : 0,
                            .local_port = seg->to_port,
                            .peer_port = seg->from_port};
}

/* ---- a half-open connection's end and time ---- */

/* It is out of the table: what that held is given up. Without the lock. */
static void tcp_half_left(struct tcp_half *half)
{
    struct tcp_sock *l = half->listener;
    bool timed;

    spin_lock(&l->inet.sock.lock);
    half->over = true;
    l->nr_halves--;
    timed = half->timed && timer_cancel_nowait(&half->timer);
    if (timed)
        half->timed = false;
    spin_unlock(&l->inet.sock.lock);
    if (timed)
        tcp_half_put(half);
    tcp_half_put(half); /* the table's */
}

static void tcp_half_end(struct tcp_half *half)
{
    if (tcp_table_remove(&half->entry))
        tcp_half_left(half);
}

static void tcp_half_time_locked(struct tcp_half *half)
{
    ASSERT_HELD(&half->listener->inet.sock.lock);
    if (half->over || !half->req.deadline || half->timed) /* the job that is to come asks again */
        return;
    half->timed = true;
    refcount_get(&half->ref);
    timer_start_within(&half->timer, half->req.deadline, 50 * NSEC_PER_MSEC);
}

static void tcp_half_fire(struct timer *t)
{
    struct tcp_half *half = container_of(t, struct tcp_half, timer);

    net_worker_queue(&half->work);
}

/* Its time has come. ANSWER, REFUSE: *out is to be sent. */
static enum tcp_verdict tcp_half_due(struct tcp_half *half, const struct ip_path *path,
                                     struct tcp_segment *out)
{
    struct tcp_sock *l = half->listener;
    struct tcp_listen listen = tcp_listen_of(l, path, &half->head.from);
    enum tcp_verdict v = TCP_VERDICT_FREE;
    struct tcp_flow flow;

    tcp_flow_of(&half->entry.key, &flow);
    spin_lock(&l->inet.sock.lock);
    half->timed = false;
    if (!l->inet.sock.dead && !half->over)
        v = tcp_request_timer(&half->req, &listen, &flow, time_ns(), out);
    if (v == TCP_VERDICT_ANSWER || v == TCP_VERDICT_IGNORE)
        tcp_half_time_locked(half);
    spin_unlock(&l->inet.sock.lock);
    return v;
}

static void tcp_half_untimed(struct tcp_half *half)
{
    spin_lock(&half->listener->inet.sock.lock);
    half->timed = false;
    spin_unlock(&half->listener->inet.sock.lock);
}

static void tcp_half_work(struct work *work)
{
    struct tcp_half *half = container_of(work, struct tcp_half, work);
    enum tcp_verdict v = TCP_VERDICT_FREE;
    struct tcp_segment out;
    struct ip_path path;

    if (!tcp_listen_path(half->listener, &half->head, &path)) {
        v = tcp_half_due(half, &path, &out);
        if (v == TCP_VERDICT_ANSWER || v == TCP_VERDICT_REFUSE)
            tcp_answer_by(&half->listener->inet, &path, &half->head, &out);
        ip_path_put(&path);
    } else {
        tcp_half_untimed(half);
    }
    if (v == TCP_VERDICT_FREE || v == TCP_VERDICT_REFUSE)
        tcp_half_end(half);
    tcp_half_put(half);
}

/* ---- a SYN ---- */

/* NULL: no memory. */
static struct tcp_half *tcp_half_make(struct tcp_sock *l, const struct ip_info *h,
                                      const struct tcp_segment *seg)
{
    struct account *former = account_swap(l->inet.sock.account);
    struct tcp_half *half = slab_zalloc(tcp_half_cache);

    account_swap(former);
    if (!half)
        return NULL;
    refcount_init(&half->ref, 2); /* the table's, and the caller's */
    half->listener = l;
    socket_get(&l->inet.sock);
    half->head = *h;
    half->entry.kind = TCP_ENTRY_REQUEST;
    tcp_key_of(l, h, seg, &half->entry.key);
    timer_init_bulk(&half->timer, tcp_half_fire);
    work_init(&half->work, tcp_half_work);
    return half;
}

static bool tcp_half_reserve(struct tcp_sock *l)
{
    u32 least = (u32)READ_ONCE(tcp_ns_of(l->inet.sock.ns)->halves_least);
    bool ok;

    spin_lock(&l->inet.sock.lock);
    ok = l->inet.sock.listening && l->nr_halves < MAX(l->accept.max, least);
    if (ok)
        l->nr_halves++;
    spin_unlock(&l->inet.sock.lock);
    return ok;
}

static void tcp_half_unreserve(struct tcp_sock *l)
{
    spin_lock(&l->inet.sock.lock);
    l->nr_halves--;
    spin_unlock(&l->inet.sock.lock);
}

/* Remembered, and answered. False: there was no place. */
static bool tcp_syn_remember(struct tcp_sock *l, const struct tcp_listen *listen,
                             const struct ip_path *path, const struct ip_info *h,
                             const struct tcp_segment *syn)
{
    struct tcp_half *half;
    struct tcp_segment out;
    struct tcp_flow flow;
    u64 now = time_ns();

    if (!tcp_table_ready() || !tcp_half_reserve(l))
        return false;
    half = tcp_half_make(l, h, syn);
    if (!half) {
        tcp_half_unreserve(l);
        return false;
    }
    tcp_flow_of(&half->entry.key, &flow);
    tcp_request_init(&half->req, listen, &tcp_secret, &flow, syn, now);
    tcp_request_answer(&half->req, listen, &flow, now, &out);
    if (tcp_table_add(&half->entry)) { /* another SYN of the flow was faster */
        tcp_half_unreserve(l);
        tcp_half_put(half);
        tcp_half_put(half);
        return true;
    }
    spin_lock(&l->inet.sock.lock);
    tcp_half_time_locked(half);
    spin_unlock(&l->inet.sock.lock);
    tcp_answer_by(&l->inet, path, h, &out);
    tcp_half_put(half);
    return true;
}

static void tcp_syn_cookie(struct tcp_sock *l, const struct tcp_listen *listen,
                           const struct ip_path *path, const struct ip_info *h,
                           const struct tcp_segment *syn)
{
    struct tcp_request req;
    struct tcp_segment out;
    struct tcp_flow flow;
    struct tcp_key key;
    u64 now = time_ns();

    COUNT(net_tcp_cookies);
    net_count(l->inet.sock.ns, MIB_TCP_COOKIES_SENT);
    WRITE_ONCE(l->cookie_sent, now);
    tcp_key_of(l, h, syn, &key);
    tcp_flow_of(&key, &flow);
    tcp_cookie_make(&req, listen, &tcp_secret, &flow, syn, now);
    tcp_request_answer(&req, listen, &flow, now, &out);
    tcp_answer_by(&l->inet, path, h, &out);
}

/* A full queue of connections takes none that is new (they come again). */
static void tcp_listen_syn(struct tcp_sock *l, const struct ip_info *h,
                           const struct tcp_segment *syn)
{
    struct tcp_listen listen;
    struct ip_path path;
    s32 cookies;

    if (!accept_has_space(&l->inet.sock, &l->accept) || l->inet.sock.dead) {
        COUNT(net_tcp_overflow);
        net_count(l->inet.sock.ns, MIB_TCP_FULL);
        return;
    }
    if (tcp_listen_path(l, h, &path))
        return;
    cookies = READ_ONCE(tcp_ns_of(l->inet.sock.ns)->cookies);
    listen = tcp_listen_of(l, &path, &h->from);
    if (cookies > 1 || (!tcp_syn_remember(l, &listen, &path, h, syn) && cookies))
        tcp_syn_cookie(l, &listen, &path, h, syn);
    ip_path_put(&path);
}

/* ---- the handshake's end ---- */

/* The connection's socket; NULL: no memory. Its entry is not in the table yet. Takes the path. */
static struct tcp_wire *tcp_child_make(struct tcp_sock *l, struct ip_path *path,
                                       const struct ip_info *h, const struct tcp_segment *seg,
                                       const struct tcp_request *req)
{
    struct account *former;
    struct tcp_sock *t;
    struct tcp_wire *w;
    struct tcp_open open;
    struct ip_end local = {.addr = h->to, .port = seg->to_port};
    struct ip_end peer = {.addr = h->from, .port = seg->from_port};

    former = account_swap(l->inet.sock.account);
    t = tcp_child(l);
    w = t ? tcp_wire_get(t) : NULL;
    account_swap(former);
    if (!w) {
        if (t)
            socket_put(&t->inet.sock);
        ip_path_put(path);
        return NULL;
    }
    if (ip_needs_scope(&h->from))
        local.scope = peer.scope = h->device;
    tcp_wire_key(w, &local, &peer);
    tcp_open_fill(t, &peer.addr, path, &open); /* the numbers are the request's */
    spin_lock(&w->sock->inet.sock.lock);
    t->inet.local = local;
    t->inet.peer = peer;
    tcp_wire_open_locked(w, path, req->iss + 1);
    tcp_conn_accept(&w->conn, &open, req, time_ns());
    tcp_wire_options_locked(w);
    spin_unlock(&w->sock->inet.sock.lock);
    return w;
}

/* It never came into the table, nor sent anything. Takes both references. */
static void tcp_child_drop(struct tcp_wire *w)
{
    struct socket *s = &w->sock->inet.sock;
    struct tcp_after a;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    WRITE_ONCE(s->dead, true);
    tcp_wire_end_locked(w, &a);
    spin_unlock(&w->sock->inet.sock.lock);
    tcp_after_free(&a);
    socket_put(s);
    socket_put(s);
}

/* A child in the table: the segment that ended its handshake, then accept(2). Takes p. */
static void tcp_child_begin(struct tcp_sock *l, struct tcp_wire *w, struct packet *p,
                            struct tcp_segment *seg)
{
    struct socket *s = &w->sock->inet.sock;

    net_count(l->inet.sock.ns, MIB_TCP_PASSIVE);
    tcp_wire_input(w, p, seg);
    if (accept_add(&l->inet.sock, &l->accept,
                   s)) { /* it listens no more, or the last place was taken meanwhile */
        COUNT(net_tcp_overflow);
        tcp_wire_abort(w);
        socket_put(s);
    }
}

/* An ACK that no request is known of, but a cookie might have been. Takes p. */
static void tcp_listen_cookie(struct tcp_sock *l, struct packet *p, const struct ip_info *h,
                              struct tcp_segment *seg)
{
    u64 now = time_ns(), sent = READ_ONCE(l->cookie_sent);
    struct tcp_request req;
    struct tcp_listen listen;
    struct tcp_segment out;
    struct tcp_wire *w = NULL;
    struct tcp_flow flow;
    struct ip_path path;
    struct tcp_key key;
    bool recent = sent && now - sent < COOKIES_FOR, good;

    if (recent && accept_has_space(&l->inet.sock, &l->accept) && !tcp_listen_path(l, h, &path)) {
        listen = tcp_listen_of(l, &path, &h->from);
        tcp_key_of(l, h, seg, &key);
        tcp_flow_of(&key, &flow);
        good = tcp_cookie_check(&req, &listen, &tcp_secret, &flow, seg, now);
        net_count(l->inet.sock.ns, good ? MIB_TCP_COOKIES_GOOD : MIB_TCP_COOKIES_BAD);
        if (good)
            w = tcp_child_make(l, &path, h, seg, &req);
        else
            ip_path_put(&path);
    }
    if (w) {
        socket_get(&w->sock->inet.sock); /* the table's */
        if (!tcp_table_add(&w->entry)) {
            tcp_child_begin(l, w, p, seg);
            return;
        }
        tcp_child_drop(w);
    } else if (!recent &&
               tcp_segment_refuse(seg, &out)) { /* else data may have overtaken its ACK */
        tcp_answer(l->inet.sock.ns, h, &out);
    }
    packet_free(p);
}

void tcp_listen_packet(struct tcp_sock *l, struct packet *p, const struct ip_info *h,
                       struct tcp_segment *seg)
{
    struct tcp_segment out;

    switch (tcp_listen_input(seg, &out)) {
    case TCP_VERDICT_NEW:
        tcp_listen_syn(l, h, seg);
        break;
    case TCP_VERDICT_COOKIE:
        tcp_listen_cookie(l, p, h, seg);
        return;
    case TCP_VERDICT_ANSWER:
    case TCP_VERDICT_REFUSE:
        tcp_answer(l->inet.sock.ns, h, &out);
        break;
    default:
        break;
    }
    packet_free(p);
}

/* The handshake is complete: the half becomes a socket in one step. req: as it was then. Takes p
 * and the path. */
static void tcp_half_accept(struct tcp_half *half, const struct tcp_request *req,
                            struct ip_path *path, struct packet *p, const struct ip_info *h,
                            struct tcp_segment *seg)
{
    struct tcp_sock *l = half->listener;
    struct tcp_wire *w = NULL;

    if (accept_has_space(&l->inet.sock, &l->accept))
        w = tcp_child_make(l, path, h, seg, req);
    else
        COUNT(net_tcp_overflow); /* the half stays, and its SYN|ACK is sent again */
    if (!w) {
        ip_path_put(path);
        packet_free(p);
        return;
    }
    socket_get(&w->sock->inet.sock);                   /* the table's */
    if (!tcp_table_replace(&half->entry, &w->entry)) { /* the same ACK on another CPU */
        tcp_child_drop(w);
        packet_free(p);
        return;
    }
    tcp_half_left(half);
    tcp_child_begin(l, w, p, seg);
}

bool tcp_half_hold(struct tcp_entry *e)
{
    return refcount_get_unless_zero(&container_of(e, struct tcp_half, entry)->ref);
}

void tcp_half_packet(struct tcp_entry *e, struct packet *p, const struct ip_info *h,
                     struct tcp_segment *seg)
{
    struct tcp_half *half = container_of(e, struct tcp_half, entry);
    struct tcp_sock *l = half->listener;
    enum tcp_verdict v = TCP_VERDICT_FREE;
    struct tcp_listen listen;
    struct tcp_request req;
    struct tcp_segment out;
    struct tcp_flow flow;
    struct ip_path path = {0};

    /* As Linux: the hops of such a segment are not looked at, those of the SYN were. */
    if (!tcp_filter_passes(l, p, seg) || tcp_listen_path(l, h, &path)) {
        v = TCP_VERDICT_IGNORE;
    } else {
        listen = tcp_listen_of(l, &path, &h->from);
        tcp_flow_of(&e->key, &flow);
        spin_lock(&l->inet.sock.lock);
        if (!l->inet.sock.dead && !half->over)
            v = tcp_request_input(&half->req, &listen, &flow, seg, time_ns(), &out);
        req = half->req; /* another segment may change it */
        spin_unlock(&l->inet.sock.lock);
    }
    if (v == TCP_VERDICT_ANSWER || v == TCP_VERDICT_REFUSE)
        tcp_answer_by(&l->inet, &path, h, &out);
    if (v == TCP_VERDICT_FREE || v == TCP_VERDICT_REFUSE)
        tcp_half_end(half);
    if (v == TCP_VERDICT_ACCEPT)
        tcp_half_accept(half, &req, &path, p, h, seg);
    else
        packet_free(p);
    ip_path_put(&path);
    tcp_half_put(half);
}

void tcp_half_diag(const struct tcp_entry *e, struct tcp_diag *out)
{
    const struct tcp_half *half = container_of(e, const struct tcp_half, entry);

    out->state = TCP_SYN_RECV;
    out->timer = TCP_DIAG_RETRANSMIT;
    out->retries = READ_ONCE(half->req.sent);
    out->expires = tcp_diag_left(READ_ONCE(half->req.deadline));
}
