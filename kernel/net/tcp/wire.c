/* SPDX-License-Identifier: MIT
 *
 * A connection over packets: its life, what the core wants sent, its timer. wire.h has the rules.
 */
#include "net/tcp/wire.h"
#include "lib/log.h"
#include "lib/random.h"
#include "mm/slab.h"
#include "net/core/urgent.h"
#include "net/core/worker.h"
#include "sched/thread.h"

#define TIMER_SLACK_MOST (4 * NSEC_PER_MSEC)
#define CSUM_OFFSET 16 /* of the checksum in TCP's header */
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define TOS_ECN 3
#define FLUSH_SHARE 128U /* packets that a thread sends before a worker goes on */
#define FREE_SHARE 64U   /* things that are freed between two yields */
#define CONFIRM_GAP NSEC_PER_SEC
#define GATHER_LESS \
    128U /* bytes of a segment that are copied rather than kept in a packet of their own */

COUNTER(net_tcp_no_packet);

static struct slab_cache *tcp_wire_cache, *tcp_record_cache;
struct tcp_secret tcp_secret;

static void tcp_wire_boot(void)
{
    tcp_wire_cache = slab_cache_create("tcp_wire", sizeof(struct tcp_wire), 0);
    tcp_record_cache = slab_cache_create("tcp_record", sizeof(struct tcp_record), 0);
    random_bytes(&tcp_secret, sizeof(tcp_secret));
}
INIT_HOOK(tcp_wire_boot, INIT_CORE);

static void tcp_wire_fire(struct timer *t);
static void tcp_wire_work(struct work *work);
static void tcp_wire_flush_work(struct work *work);

struct tcp_wire *tcp_wire_get(struct tcp_sock *t)
{
    struct tcp_wire *w = load_acquire(&t->wire), *made;

    if (w)
        return w;
    made = tcp_table_ready() ? slab_zalloc(tcp_wire_cache) : NULL;
    if (!made)
        return NULL;
    made->sock = t;
    made->conn.state = TCP_CLOSE;
    tcp_buffer_init(&made->out, 0);
    list_init(&made->packets);
    timer_init_bulk(&made->timer, tcp_wire_fire);
    work_init(&made->work, tcp_wire_work);
    work_init(&made->flush, tcp_wire_flush_work);
    spin_lock(&t->inet.sock.lock);
    w = t->wire;
    if (!w)
        store_release(&t->wire, made);
    spin_unlock(&t->inet.sock.lock);
    if (!w)
        return made;
    slab_free(tcp_wire_cache, made);
    return w;
}

static void tcp_packets_free(struct list_node *packets)
{
    struct packet *p;

    for (u32 n = 1; (p = list_first(packets, struct packet, node)); n++) {
        list_del(&p->node);
        packet_free(p);
        if (n % FREE_SHARE == 0)
            cond_yield();
    }
}

static void tcp_records_free(struct list_node *records)
{
    struct tcp_record *r;

    for (u32 n = 1; (r = list_first(records, struct tcp_record, link)); n++) {
        list_del(&r->link);
        slab_free(tcp_record_cache, r);
        if (n % FREE_SHARE == 0)
            cond_yield();
    }
}

void tcp_wire_free(struct tcp_wire *w)
{
    struct list_node chunks;

    if (!w)
        return;
    ASSERT(!w->open && !w->timed && !w->entry.listed);
    list_init(&chunks);
    tcp_packets_free(&w->packets);
    tcp_buffer_fini(&w->out, &chunks);
    tcp_chunks_free(&chunks);
    ip_path_put(&w->path);
    slab_free(tcp_wire_cache, w);
}

u32 tcp_path_mss(const struct ip_path *path, const struct ip_addr *to)
{
    u32 heads = (ip_is_v4(to) ? IPV4_BYTES : IPV6_BYTES) + TCP_HEADER;
    u32 mss = path->mtu > heads + TCP_MSS_LEAST ? path->mtu - heads : TCP_MSS_LEAST;

    if (path->advmss)
        mss = MIN(mss, path->advmss);
    return MIN(mss, 65535U - heads);
}

void tcp_flow_of(const struct tcp_key *key, struct tcp_flow *out)
{
    *out = (struct tcp_flow){.here_port = key->local_port, .there_port = key->peer_port};
    memcpy(out->here, &key->local, sizeof(out->here));
    memcpy(out->there, &key->peer, sizeof(out->there));
}

void tcp_wire_key(struct tcp_wire *w, const struct ip_end *local, const struct ip_end *peer)
{
    w->entry.kind = TCP_ENTRY_CONN;
    w->entry.key = (struct tcp_key){.local = local->addr,
                                    .peer = peer->addr,
                                    .ns = w->sock->inet.sock.ns,
                                    .device = peer->scope,
                                    .local_port = local->port,
                                    .peer_port = peer->port};
}

void tcp_wire_open_locked(struct tcp_wire *w, struct ip_path *path, u32 seq)
{
    ASSERT_HELD(&w->sock->inet.sock.lock);
    ASSERT(list_empty(&w->packets)); /* of a connection before: tcp_wire_forget has waited */
    ip_path_put(&w->path);
    w->path = *path;
    *path = (struct ip_path){0};
    w->head = (struct ip_info){.from = w->entry.key.local,
                               .to = w->entry.key.peer,
                               .device = w->entry.key.device,
                               .protocol = IPPROTO_TCP,
                               .whole_only = true};
    tcp_buffer_init(&w->out, seq);
    w->full = w->reached = false;
    w->waiting = 0;
    w->confirmed = 0;
    WRITE_ONCE(w->sock->joined, false);
    w->open = true;
}

/* ---- what the core wants sent ---- */

static void tcp_wire_records_locked(struct tcp_wire *w) REQUIRES(w->sock->inet.sock.lock)
{
    u32 n = tcp_conn_records_wanted(&w->conn);
    struct account *former;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (!n)
        return;
    former = account_swap(w->sock->inet.sock.account);
    while (n--) {
        struct tcp_record *r = slab_alloc(tcp_record_cache);

        if (!r)
            break;
        tcp_conn_give(&w->conn, r);
    }
    account_swap(former);
}

bool tcp_packet_finish(struct packet *p, struct tcp_segment *seg, const struct ip_info *h, u32 gso)
{
    struct tcp_sent *sent = (struct tcp_sent *)(void *)p->control;
    u32 payload = p->len, n = tcp_segment_header(seg);
    u8 *at = packet_push(p, n);

    if (!at)
        return false;
    tcp_segment_build(at, seg);
    sent->head = *h;
    sent->head.tos = (u8)((h->tos & ~TOS_ECN) | seg->ecn);
    if (gso && payload > gso) {
        p->gso = ip_is_v4(&h->to) ? PACKET_GSO_TCP4 : PACKET_GSO_TCP6;
        if (seg->flags & TCP_CWR)
            p->gso |= PACKET_GSO_ECN;
        p->gso_size = (u16)gso;
    }
    p->transport = p->start;
    ip_sum_later(p, h, CSUM_OFFSET);
    return true;
}

/* The segment's first n bytes go in a packet of their own: the urgent byte is so much nearer. */
static void tcp_urgent_behind(struct tcp_segment *seg, u32 n)
{
    if (seg->urgent > n) {
        seg->urgent = (u16)(seg->urgent - n);
    } else {
        seg->flags &= (u16)~TCP_URG;
        seg->urgent = 0;
    }
}

/* One packet with the first bytes of o, at most as many as a packet has places for; the rest stays
 * in o. NULL: no memory. */
static struct packet *tcp_wire_packet_locked(struct tcp_wire *w, struct tcp_out *o)
    REQUIRES(w->sock->inet.sock.lock)
{
    struct packet *p = packet_alloc();
    struct tcp_segment seg = o->seg;
    u32 n = o->seg.len;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (!p)
        return NULL;
    if (n && tcp_buffer_put(&w->out, seg.seq, &n, p)) {
        n = o->gso && n > o->gso ? n - n % o->gso : n;
        if (tcp_buffer_put(&w->out, seg.seq, &n, p))
            goto fail;
    }
    seg.len = n;
    if (n < o->seg.len)
        seg.flags &= (u16) ~(TCP_FIN | TCP_PSH);
    o->seg.seq += n;
    o->seg.len -= n;
    if (unlikely(o->seg.flags & TCP_URG) && o->seg.len)
        tcp_urgent_behind(&o->seg, n);
    p->hash = w->entry.hash;
    p->mark = (u32)w->sock->inet.sock.mark;
    p->priority = (u32)w->sock->inet.sock.priority;
    if (tcp_packet_finish(p, &seg, &w->head, o->gso))
        return p;
fail:
    packet_free(p);
    return NULL;
}

static void tcp_wire_count(const struct tcp_wire *w, const struct tcp_out *o)
{
    struct net_ns *ns = w->entry.key.ns;
    u32 n = o->gso && o->seg.len > o->gso ? DIV_ROUND_UP(o->seg.len, o->gso) : 1;

    net_count_by(ns, MIB_TCP_OUT, n);
    if (unlikely(o->again))
        net_count_by(ns, MIB_TCP_AGAIN, n);
    if (unlikely(o->seg.flags & TCP_RST))
        net_count(ns, MIB_TCP_RESETS);
}

static void tcp_wire_collect_locked(struct tcp_wire *w, u64 now) REQUIRES(w->sock->inet.sock.lock)
{
    struct tcp_out o;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    tcp_wire_records_locked(w);
    while (tcp_conn_output(&w->conn, now, &o)) {
        o.seg.from_port = w->entry.key.local_port;
        o.seg.to_port = w->entry.key.peer_port;
        tcp_wire_count(w, &o);
        do {
            struct packet *p = tcp_wire_packet_locked(w, &o);

            if (!p) { /* as if it were lost on the wire */
                COUNT(net_tcp_no_packet);
                break;
            }
            list_add_tail(&w->packets, &p->node);
        } while (o.seg.len);
        tcp_wire_records_locked(w);
    }
}

/* ---- the timer ---- */

static u64 tcp_timer_slack(u64 deadline, u64 now)
{
    return deadline > now ? MIN((deadline - now) / 8, TIMER_SLACK_MOST) : 0;
}

static void tcp_wire_time_locked(struct tcp_wire *w, u64 now) REQUIRES(w->sock->inet.sock.lock)
{
    u64 deadline = w->conn.deadline;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (!deadline || !w->open)
        return;
    if (w->timed && timer_is_armed(&w->timer) && deadline >= timer_deadline(&w->timer))
        return; /* early enough: the core is asked again then */
    if (w->timed && !timer_cancel_nowait(&w->timer))
        return; /* the job is to run, with the reference */
    if (!w->timed)
        socket_get(&w->sock->inet.sock);
    w->timed = true;
    timer_start_within(&w->timer, deadline, tcp_timer_slack(deadline, now));
}

static void tcp_wire_fire(struct timer *t)
{
    struct tcp_wire *w = container_of(t, struct tcp_wire, timer);

    net_worker_queue(&w->work);
}

static void tcp_wire_work(struct work *work)
{
    struct tcp_wire *w = container_of(work, struct tcp_wire, work);
    struct socket *s = &w->sock->inet.sock;
    struct tcp_after a;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    w->timed = false;
    if (w->open) {
        tcp_conn_timer(&w->conn, time_ns(), &a.result);
        tcp_wire_result_locked(w, &a);
    }
    tcp_wire_unlock(w, &a);
    socket_put(s);
}

/* ---- results ---- */

void tcp_after_init(struct tcp_after *a)
{
    tcp_result_init(&a->result);
    list_init(&a->packets);
    list_init(&a->chunks);
    list_init(&a->records);
    a->wake = 0;
    a->urgent = a->ended = a->closed = a->timed = false;
}

void tcp_after_free(struct tcp_after *a)
{
    if (!list_empty(&a->packets))
        tcp_packets_free(&a->packets);
    if (!list_empty(&a->chunks))
        tcp_chunks_free(&a->chunks);
    if (!list_empty(&a->records))
        tcp_records_free(&a->records);
}

static struct packet *tcp_piece_packet(struct tcp_piece *piece)
{
    struct tcp_came *came = container_of(piece, struct tcp_came, piece);

    return sock_msg_packet(&came->msg);
}

/* p, which was a piece, is to be freed. */
static void tcp_wire_discard_locked(struct tcp_wire *w, struct tcp_piece *piece,
                                    struct tcp_after *a) REQUIRES(w->sock->inet.sock.lock)
{
    struct packet *p = tcp_piece_packet(piece);

    ASSERT_HELD(&w->sock->inet.sock.lock);
    list_del(&piece->link);
    w->waiting -= MIN(w->waiting, p->charged);
    list_add_tail(&a->packets, &p->node);
}

static void tcp_wire_drop_locked(struct tcp_wire *w, struct list_node *drop, struct tcp_after *a)
    REQUIRES(w->sock->inet.sock.lock)
{
    struct tcp_piece *piece;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    while ((piece = list_first(drop, struct tcp_piece, link)))
        tcp_wire_discard_locked(w, piece, a);
}

/* A few bytes go into the last message's packet, where that has space and is not the reader's.
 * False: no. */
static bool tcp_wire_gather_locked(struct tcp_wire *w, struct packet *p, u32 skip, u32 len)
    REQUIRES(w->sock->inet.sock.lock)
{
    struct socket *s = &w->sock->inet.sock;
    struct sock_msg *last =
        list_empty(&s->queue) ? NULL : list_entry(s->queue.prev, struct sock_msg, node);
    u8 *to;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (!last || last->node.prev == &s->queue || !last->packet || len >= GATHER_LESS)
        return false;
    to = packet_append(sock_msg_packet(last), len);
    if (!to)
        return false;
    packet_copy(p, skip, len, to);
    WRITE_ONCE(last->len, last->len + len); /* a reader that peeks sees its bytes then */
    s->queued += len;
    s->unread += len;
    packet_free(p);
    return true;
}

/* Pieces in order become messages of the queue. */
static void tcp_wire_deliver_locked(struct tcp_wire *w, struct list_node *ready,
                                    struct tcp_after *a) REQUIRES(w->sock->inet.sock.lock)
{
    struct tcp_piece *piece;
    bool any = !list_empty(ready);

    ASSERT_HELD(&w->sock->inet.sock.lock);
    while ((piece = list_first(ready, struct tcp_piece, link))) {
        struct packet *p = tcp_piece_packet(piece);
        u32 skip = piece->skip, len = piece->len;

        if (!len || w->sock->inet.sock.dead) {
            tcp_wire_discard_locked(w, piece, a);
            continue;
        }
        list_del(&piece->link);
        w->waiting -= MIN(w->waiting, p->charged);
        if (tcp_wire_gather_locked(w, p, skip, len))
            continue;
        packet_trim(p, skip + len);
        sock_packet_settle(&w->sock->inet.sock, p, skip);
        (void)sock_queue_add_locked(&w->sock->inet.sock, sock_packet_msg(p));
    }
    if (any)
        tcp_wire_window_locked(w);
}

/* The connection has ended: what is left of it is taken apart. */
void tcp_wire_end_locked(struct tcp_wire *w, struct tcp_after *a)
{
    struct tcp_result rest;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (!w->open)
        return;
    w->open = false;
    if (w->orphan)
        tcp_orphan_remove_locked(w);
    tcp_result_init(&rest);
    tcp_conn_drain(&w->conn, &a->records, &rest);
    tcp_wire_drop_locked(w, &rest.drop, a);
    tcp_buffer_fini(&w->out, &a->chunks);
    (void)tcp_table_remove(&w->entry); /* TIME_WAIT's record may have taken its place */
    a->closed = true;
    if (w->timed && timer_cancel_nowait(&w->timer)) {
        w->timed = false;
        a->timed = true;
    }
}

/* The core's mark is one of the queue's, where what was in order is by now. */
static void tcp_wire_mark_locked(struct tcp_wire *w, struct tcp_after *a)
    REQUIRES(w->sock->inet.sock.lock)
{
    struct socket *s = &w->sock->inet.sock;
    u32 next = w->conn.rcv_nxt - w->conn.fin_got, before = w->conn.urg_seq - (next - s->unread);

    ASSERT_HELD(&s->lock);
    if (s->dead || before > TCP_WINDOW_MOST)
        return;
    sock_urgent_mark_locked(s, before);
    a->urgent = true;
}

static void tcp_wire_events_locked(struct tcp_wire *w, struct tcp_after *a)
    REQUIRES(w->sock->inet.sock.lock)
{
    struct socket *s = &w->sock->inet.sock;
    u32 events = a->result.events;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (events & TCP_EVENT_CONNECTED)
        a->wake |= POLLOUT | POLLWRNORM;
    if (events & TCP_EVENT_READABLE)
        a->wake |= POLLIN | POLLRDNORM;
    if (unlikely(events & TCP_EVENT_URGENT))
        tcp_wire_mark_locked(w, a);
    if (unlikely(s->urgent.there) && sock_urgent_came_locked(&w->sock->inet.sock))
        a->wake |= POLLPRI;
    if (events & TCP_EVENT_FIN) {
        WRITE_ONCE(s->shut, s->shut | SOCK_SHUT_RD);
        a->wake |= POLLIN | POLLRDNORM | POLLRDHUP | POLLHUP;
    }
    if ((events & TCP_EVENT_ERROR) ||
        ((events & TCP_EVENT_SOFT) && inet_wants_errors(&w->sock->inet, ip_is_v4(&w->head.to)))) {
        WRITE_ONCE(s->error, a->result.error);
        a->wake |= POLLERR;
    }
    if (events & (TCP_EVENT_CLOSED | TCP_EVENT_ERROR)) {
        WRITE_ONCE(s->shut, SOCK_SHUT_BOTH);
        a->wake |= POLLIN | POLLOUT | POLLHUP | POLLRDHUP;
    }
}

void tcp_wire_result_locked(struct tcp_wire *w, struct tcp_after *a)
{
    u32 events = a->result.events;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (a->result.acked)
        tcp_buffer_acked(&w->out, w->out.first + a->result.acked, &a->chunks);
    w->reached |= a->result.acked || !list_empty(&a->result.ready);
    tcp_wire_deliver_locked(w, &a->result.ready, a);
    tcp_wire_drop_locked(w, &a->result.drop, a);
    tcp_wire_events_locked(w, a);
    if (events & TCP_EVENT_TUNE)
        tcp_wire_tune_locked(w);
    if (w->full && (events & TCP_EVENT_WRITABLE) && tcp_wire_writable(w)) {
        w->full = false;
        a->wake |= POLLOUT | POLLWRNORM;
    }
    if (events & TCP_EVENT_TIMEWAIT)
        tcp_rest_begin_locked(w);
    tcp_result_init(&a->result);
    a->ended |= (events & (TCP_EVENT_CLOSED | TCP_EVENT_TIMEWAIT)) != 0;
}

/* ---- the end of each use ---- */

/* A path that does not lead there any more is found anew; the thread that sends alone. False: there
 * is none. */
static bool tcp_wire_path(struct tcp_wire *w)
{
    struct socket *s = &w->sock->inet.sock;
    struct ip_flow flow = {.to = w->head.to,
                           .from = w->head.from,
                           .device = s->bound_device ? s->bound_device : w->head.device,
                           .mark = (u32)s->mark,
                           .from_port = w->entry.key.local_port,
                           .to_port = w->entry.key.peer_port,
                           .protocol = IPPROTO_TCP,
                           .tos = w->head.tos,
                           .uid = s->uid};
    struct ip_path path, old;

    if (likely(ip_path_is_valid(s->ns, &w->path)))
        return true;
    if (ip_path_find(s->ns, &flow, &path))
        return false;
    old = w->path;
    w->path = path;
    ip_path_put(&old);
    spin_lock(&w->sock->inet.sock.lock);
    tcp_conn_mtu(&w->conn, tcp_path_mss(&w->path, &w->head.to));
    spin_unlock(&w->sock->inet.sock.lock);
    return true;
}

/* The peer has acknowledged, or sent, something new: so the neighbour is reached (RFC 4861 7.3.1).
 */
static void tcp_wire_confirm(struct tcp_wire *w)
{
    u64 now = time_ns();

    if (w->confirmed && now - w->confirmed < CONFIRM_GAP)
        return;
    w->confirmed = now;
    ip_path_confirm(w->sock->inet.sock.ns, &w->path);
}

static u32 tcp_wire_transmit(struct tcp_wire *w, struct list_node *batch, bool reached)
{
    struct net_ns *ns = w->sock->inet.sock.ns;
    struct packet *p;
    u32 n = 0;

    if (!tcp_wire_path(w)) {
        tcp_packets_free(batch);
        return 0;
    }
    if (reached)
        tcp_wire_confirm(w);
    for (; (p = list_first(batch, struct packet, node)); n++) {
        struct ip_info h = ((struct tcp_sent *)(void *)p->control)->head;

        list_del(&p->node);
        (void)ip_output(ns, p, &w->path, &h);
    }
    return n;
}

/* Of the thread that has set w->sending: sends what is in the list, and what comes meanwhile;
 * beyond its share a worker goes on, which has a reference. */
static void tcp_wire_sending(struct tcp_wire *w) RELEASES(w->sock->inet.sock.lock)
{
    struct list_node batch;
    u32 n = 0;

    while (!list_empty(&w->packets) && n < FLUSH_SHARE) {
        bool reached = w->reached;

        w->reached = false;
        list_init(&batch);
        list_splice_tail(&batch, &w->packets);
        spin_unlock(&w->sock->inet.sock.lock);
        n += tcp_wire_transmit(w, &batch, reached) + 1;
        spin_lock(&w->sock->inet.sock.lock);
    }
    if (list_empty(&w->packets)) {
        w->sending = false;
    } else {
        socket_get(&w->sock->inet.sock);
        net_worker_queue(&w->flush);
    }
    spin_unlock(&w->sock->inet.sock.lock);
}

static void tcp_wire_flush_work(struct work *work)
{
    struct tcp_wire *w = container_of(work, struct tcp_wire, flush);

    cond_yield();
    spin_lock(&w->sock->inet.sock.lock);
    tcp_wire_sending(w);
    socket_put(&w->sock->inet.sock);
}

/* Sends what is in the list, unless another thread does. */
static void tcp_wire_flush(struct tcp_wire *w) RELEASES(w->sock->inet.sock.lock)
{
    if (w->sending || list_empty(&w->packets)) {
        spin_unlock(&w->sock->inet.sock.lock);
        return;
    }
    w->sending = true;
    tcp_wire_sending(w);
}

void tcp_wire_unlock(struct tcp_wire *w, struct tcp_after *a)
{
    struct socket *s = &w->sock->inet.sock;
    u64 now = time_ns();

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (w->open)
        tcp_wire_collect_locked(w, now);
    if (a->ended)
        tcp_wire_end_locked(w, a);
    tcp_wire_time_locked(w, now);
    tcp_wire_flush(w);
    tcp_after_free(a);
    if (unlikely(a->urgent))
        sock_urgent_tell(s);
    if (a->wake)
        socket_wake(s, a->wake);
    if (a->timed)
        socket_put(s);
    if (a->closed)
        socket_put(s);
}
