/* SPDX-License-Identifier: MIT
 *
 * Segments from the wire: whose they are, and into the core. wire.h has the rules.
 *
 * A packet with payload is charged to the receiver before the core sees it. What a socket may keep
 * of such packets, in order or not, is bounded by its receive buffer, overhead included; small
 * segments behind the first message are gathered in one packet's space, so that they do not fill it
 * with overhead.
 */
#include "dev/netdev.h"
#include "lib/log.h"
#include "lib/wire.h"
#include "net/core/filter.h"
#include "net/tcp/wire.h"

COUNTER(net_tcp_bad);
COUNTER(net_tcp_refused);
COUNTER(net_tcp_full);
COUNTER(net_tcp_filtered);

/* NULL: no memory. */
static struct packet *tcp_answer_packet(const struct inet_sock *by, const struct ip_info *h,
                                        struct tcp_segment *seg, struct ip_info *out)
{
    static const struct socket_header none = {-1, -1, -1, 0};
    struct packet *p = packet_alloc();

    *out = (struct ip_info){
        .from = h->to, .to = h->from, .protocol = IPPROTO_TCP, .tos = seg->ecn, .whole_only = true};
    if (by && READ_ONCE(by->opt)) {
        inet_header(by, &out->to, &none, &out->hops, &out->tos);
        out->tos = (u8)((out->tos & ~3U) | seg->ecn);
    }
    if (p && tcp_packet_finish(p, seg, out, 0))
        return p;
    packet_free(p);
    return NULL;
}

static void tcp_answer_count(struct net_ns *ns, const struct tcp_segment *seg)
{
    net_count(ns, MIB_TCP_OUT);
    if (seg->flags & TCP_RST)
        net_count(ns, MIB_TCP_RESETS);
}

void tcp_answer(struct net_ns *ns, const struct ip_info *h, struct tcp_segment *seg)
{
    struct ip_info out;
    struct packet *p = tcp_answer_packet(NULL, h, seg, &out);

    if (!p)
        return;
    tcp_answer_count(ns, seg);
    (void)ip_answer(ns, p, &out, ip_needs_scope(&h->from) ? h->device : 0);
}

void tcp_answer_by(const struct inet_sock *by, const struct ip_path *path, const struct ip_info *h,
                   struct tcp_segment *seg)
{
    struct ip_info out;
    struct packet *p = tcp_answer_packet(by, h, seg, &out);

    if (!p)
        return;
    tcp_answer_count(by->sock.ns, seg);
    (void)ip_output(by->sock.ns, p, path, &out);
}

/* No connection, no listener (RFC 9293 3.10.7.1). Takes p. */
static void tcp_refuse(struct packet *p, const struct ip_info *h, const struct tcp_segment *seg)
{
    struct tcp_segment out;

    COUNT(net_tcp_refused);
    if (tcp_segment_refuse(seg, &out))
        tcp_answer(p->dev->ns, h, &out);
    packet_free(p);
}

/* ---- into a connection ---- */

/* There is space for a packet that costs so much: always for the next bytes where nothing else is,
 * so that the stream moves. */
static bool tcp_wire_fits_locked(struct tcp_wire *w, u32 cost, u32 seq)
    REQUIRES(w->sock->inet.sock.lock)
{
    struct socket *s = &w->sock->inet.sock;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    return (!s->queued && seq == w->conn.rcv_nxt) ||
           (u64)s->queued + w->waiting + cost <= 2ULL * s->rcvbuf;
}

/* Space for the next bytes of the stream is made of what waits behind them. */
static void tcp_wire_prune_locked(struct tcp_wire *w, struct tcp_after *a)
    REQUIRES(w->sock->inet.sock.lock)
{
    ASSERT_HELD(&w->sock->inet.sock.lock);
    tcp_conn_prune(&w->conn, &a->result);
    tcp_wire_result_locked(w, a);
}

/* p's payload as a piece of the core's, charged; NULL: there is no space, p stays. */
static struct tcp_piece *tcp_wire_piece_locked(struct tcp_wire *w, struct packet *p,
                                               const struct tcp_segment *seg, struct tcp_after *a)
    REQUIRES(w->sock->inet.sock.lock)
{
    struct tcp_came *came = (struct tcp_came *)(void *)p->control;
    u32 cost = packet_cost(p);

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (!tcp_wire_fits_locked(w, cost, seg->seq) && w->waiting && seg->seq == w->conn.rcv_nxt)
        tcp_wire_prune_locked(w, a);
    if (!tcp_wire_fits_locked(w, cost, seg->seq) || packet_charge(p, w->sock->inet.sock.account)) {
        COUNT(net_tcp_full);
        return NULL;
    }
    w->waiting += p->charged;
    came->piece = (struct tcp_piece){.seq = seg->seq, .len = seg->len};
    return &came->piece;
}

void tcp_wire_input(struct tcp_wire *w, struct packet *p, struct tcp_segment *seg)
{
    struct tcp_piece *piece = NULL;
    struct tcp_after a;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    if (!w->open) {
        spin_unlock(&w->sock->inet.sock.lock);
        packet_free(p);
        return;
    }
    if (seg->len || (seg->flags & TCP_FIN))
        piece = tcp_wire_piece_locked(w, p, seg, &a);
    tcp_conn_input(&w->conn, seg, piece, time_ns(), &a.result);
    tcp_wire_result_locked(w, &a);
    tcp_wire_unlock(w, &a);
    if (!piece)
        packet_free(p);
}

void tcp_packet_consumed(struct socket *s, u32 n)
{
    struct tcp_wire *w = tcp_of(inet_of(s))->wire;
    struct tcp_after a;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    if (w->open)
        tcp_wire_window_locked(w);
    if (!w->open || !tcp_conn_read(&w->conn, n, time_ns(), &a.result)) {
        spin_unlock(&w->sock->inet.sock.lock);
        return;
    }
    tcp_wire_result_locked(w, &a);
    tcp_wire_unlock(w, &a);
}

/* ---- whether it is let in ---- */

/* The filter sees the segment from its header on (socket(7)), which it cannot cut. */
bool tcp_filter_passes(struct tcp_sock *t, struct packet *p, struct tcp_segment *seg)
{
    u32 keep = U32_MAX, budget = FILTER_BUDGET;

    if (likely(!READ_ONCE(t->inet.sock.filter)))
        return true;
    if (!packet_push(p, seg->header) || /* whence it was pulled */
        !socket_filter_pay(&t->inet.sock, p, 0, 0, &budget, &keep) || !keep) {
        COUNT(net_tcp_filtered);
        return false;
    }
    packet_trim(p, MAX(keep, (u32)seg->header));
    packet_pull(p, seg->header);
    seg->len = p->len;
    return true;
}

bool tcp_chosen(struct tcp_sock *t, struct packet *p, const struct ip_info *h,
                struct tcp_segment *seg)
{
    u8 least = READ_ONCE(*(ip_is_v4(&h->from) ? &t->inet.least_ttl : &t->inet.least_hops));

    if (h->hops < least) { /* RFC 5082: it was not sent by a neighbour */
        net_count(t->inet.sock.ns, MIB_TCP_FEW_HOPS);
        return false;
    }
    return tcp_filter_passes(t, p, seg);
}

/* ---- whose it is ---- */

/* The socket of an entry that was found, with a reference; NULL: it is going. In an RCU reader. */
static struct tcp_wire *tcp_entry_hold(struct tcp_entry *e)
{
    struct tcp_wire *w = container_of(e, struct tcp_wire, entry);

    return refcount_get_unless_zero(&w->sock->inet.sock.ref) ? w : NULL;
}

static void tcp_no_connection(struct packet *p, const struct ip_info *h, struct tcp_segment *seg)
{
    struct ip_end to = {.addr = h->to, .port = seg->to_port},
                  from = {.addr = h->from, .port = seg->from_port};
    struct inet_sock *l;

    if (ip_needs_scope(&h->to))
        to.scope = h->device;
    l = port_find(&tcp_ns_of(p->dev->ns)->ports, &to, &from, h->device);
    if (!l) {
        tcp_refuse(p, h, seg);
        return;
    }
    if (tcp_lets_in(tcp_of(l), p, h, seg))
        tcp_listen_packet(tcp_of(l), p, h, seg);
    else
        packet_free(p);
    socket_put(&l->sock);
}

/* Takes p. */
static void tcp_dispatch(struct packet *p, const struct ip_info *h, struct tcp_segment *seg)
{
    struct tcp_key key = {.local = h->to,
                          .peer = h->from,
                          .ns = p->dev->ns,
                          .device = ip_needs_scope(&h->from) ? h->device : 0,
                          .local_port = seg->to_port,
                          .peer_port = seg->from_port};
    struct tcp_entry *half = NULL, *e;
    enum tcp_timewait_verdict rest = TCP_TIMEWAIT_REUSE;
    struct tcp_wire *w = NULL;
    struct tcp_segment out;

    rcu_read_lock();
    e = tcp_table_find(&key);
    if (e && e->kind == TCP_ENTRY_CONN)
        w = tcp_entry_hold(e);
    else if (e && e->kind == TCP_ENTRY_REQUEST)
        half = tcp_half_hold(e) ? e : NULL;
    else if (e)
        rest = tcp_rest_packet(e, seg, &out);
    rcu_read_unlock();
    if (w) {
        if (tcp_lets_in(w->sock, p, h, seg))
            tcp_wire_input(w, p, seg);
        else
            packet_free(p);
        socket_put(&w->sock->inet.sock);
    } else if (half) {
        tcp_half_packet(half, p, h, seg);
    } else if (rest != TCP_TIMEWAIT_REUSE) {
        if (rest == TCP_TIMEWAIT_ANSWER)
            tcp_answer(key.ns, h, &out);
        packet_free(p);
    } else {
        tcp_no_connection(p, h, seg);
    }
}

static void tcp_receive(struct packet *p, const struct ip_info *h)
{
    struct tcp_segment seg;
    u32 n = MIN(p->len, (u32)TCP_HEADER);
    const u8 *at = packet_need_room(p, n); /* a socket may have sent it, with little space */

    if (at && n == TCP_HEADER) {
        n = MIN(p->len, MAX(tcp_segment_header_of(at), n));
        at = packet_need_room(p, n);
    }
    net_count(p->dev->ns, MIB_TCP_IN);
    if (!at || p->kind != PACKET_HOST || ip_is_multicast(&h->to) || !ip_sum_is_ok(p, h) ||
        tcp_segment_parse(at, n, p->len, &seg)) {
        COUNT(net_tcp_bad);
        net_count(p->dev->ns, MIB_TCP_ERRORS);
        packet_free(p);
        return;
    }
    seg.ecn = h->tos & 3;
    packet_pull(p, seg.header);
    tcp_dispatch(p, h, &seg);
}

/* The connection that a segment may be of, which is held, or NULL; at: the segment's first bytes.
 */
static struct tcp_wire *tcp_sender(struct net_ns *ns, const struct ip_info *h, const u8 *at)
{
    struct tcp_key key = {.local = h->from,
                          .peer = h->to,
                          .ns = ns,
                          .device = ip_needs_scope(&h->to) ? h->device : 0,
                          .local_port = wire_u16(at),
                          .peer_port = wire_u16(at + 2)};
    struct tcp_entry *e;
    struct tcp_wire *w = NULL;

    rcu_read_lock();
    e = tcp_table_find(&key);
    if (e && e->kind == TCP_ENTRY_CONN)
        w = tcp_entry_hold(e);
    rcu_read_unlock();
    return w;
}

/* Of what is in flight. */
static bool tcp_sent(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n)
{
    struct tcp_wire *w = tcp_sender(ns, h, at);
    struct socket *s;
    bool sent;

    if (!w)
        return false;
    s = &w->sock->inet.sock;
    spin_lock(&s->lock);
    sent = w->open && tcp_conn_in_flight(&w->conn, wire_u32(at + 4));
    spin_unlock(&s->lock);
    socket_put(s);
    return sent;
}

/* ICMP says something of a segment that was sent: believed as far as it names one in flight. */
static void tcp_error(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n,
                      const struct ip_error *error)
{
    struct tcp_wire *w = tcp_sender(ns, h, at);
    u32 seq = wire_u32(at + 4);
    struct tcp_after a;

    if (!w)
        return;
    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    if (w->open && !error->mtu) { /* a path's new MTU is seen with the next packet: the path is not
                                     valid then */
        tcp_conn_unreach(&w->conn, seq, error->err, error->hard, time_ns(), &a.result);
        tcp_wire_result_locked(w, &a);
    }
    tcp_wire_unlock(w, &a);
    socket_put(&w->sock->inet.sock);
}

IP_PROTOCOL(tcp) = {IPPROTO_TCP, tcp_receive, tcp_error, tcp_sent};
