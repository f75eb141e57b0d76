/* SPDX-License-Identifier: MIT
 *
 * Looking at TCP's connections, and ending them, from outside. diag.h has the rules.
 */
#include "net/tcp/diag.h"
#include "lib/log.h"
#include "net/tcp/wire.h"
#include "sched/thread.h"

/* Which of its timers a program is told of: the first of these that runs. */
static void tcp_diag_time(const struct tcp_conn *c, struct tcp_diag *out)
{
    static const struct {
        u8 timer, as;
    } order[] = {{TCP_TIMER_RETRANSMIT, TCP_DIAG_RETRANSMIT},
                 {TCP_TIMER_PERSIST, TCP_DIAG_PROBE},
                 {TCP_TIMER_KEEP, TCP_DIAG_KEEP},
                 {TCP_TIMER_LIFE, TCP_DIAG_KEEP}};

    for (u32 i = 0; i < ARRAY_SIZE(order); i++) {
        if (!c->timers[order[i].timer])
            continue;
        out->timer = order[i].as;
        out->expires = tcp_diag_left(c->timers[order[i].timer]);
        break;
    }
    out->retries = out->timer == TCP_DIAG_PROBE  ? c->probes
                   : out->timer == TCP_DIAG_KEEP ? c->keep_probes
                                                 : c->tries;
}

void tcp_diag_sock(struct tcp_sock *t, struct tcp_diag *out)
{
    struct socket *s = &t->inet.sock, *peer;
    struct tcp_wire *w = tcp_wire_of(t);

    *out = (struct tcp_diag){.state = tcp_state(t), .on_wire = w};
    if (out->state == TCP_LISTEN) {
        out->rx = READ_ONCE(t->accept.nr);
        out->tx = t->accept.max ? READ_ONCE(t->accept.max) - 1 : 0;
        return;
    }
    spin_lock(&s->lock);
    out->rx = s->unread;
    if (w && w->open) {
        out->tx = tcp_buffer_bytes(&w->out);
        out->sent = w->out.cost;
        tcp_diag_time(&w->conn, out);
    }
    spin_unlock(&s->lock);
    peer = socket_peer(s);
    if (!peer)
        return;
    out->tx = READ_ONCE(peer->unread);
    out->sent = READ_ONCE(peer->queued);
    socket_put(peer);
}

const char *tcp_diag_congestion(struct tcp_sock *t)
{
    const struct tcp_congestion_ops *ops = READ_ONCE(t->congestion);

    return (ops ? ops : READ_ONCE(tcp_ns_of(t->inet.sock.ns)->congestion))->name;
}

/* ---- what is no socket ---- */

/* In an RCU reader. False: e is a socket's, or goes. */
static bool tcp_diag_look(const struct tcp_entry *e, struct tcp_diag_entry *out)
{
    const struct tcp_key *k = &e->key;

    if (e->kind == TCP_ENTRY_CONN)
        return false;
    *out = (struct tcp_diag_entry){
        .local = {.addr = k->local, .scope = k->device, .port = k->local_port},
        .peer = {.addr = k->peer, .scope = k->device, .port = k->peer_port}};
    if (e->kind == TCP_ENTRY_TIMEWAIT)
        tcp_rest_diag(e, &out->about);
    else
        tcp_half_diag(e, &out->about);
    return true;
}

bool tcp_diag_next(struct net_ns *ns, u64 *at, struct tcp_diag_entry *out)
{
    bool more = true, found = false;

    while (more && !found && !thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE)) {
        struct tcp_entry *e;

        rcu_read_lock();
        e = tcp_table_next(ns, at, &more);
        found = e && tcp_diag_look(e, out);
        rcu_read_unlock();
        cond_yield();
    }
    return found;
}

bool tcp_diag_find(struct net_ns *ns, const struct ip_end *local, const struct ip_end *peer,
                   struct tcp_diag_entry *out)
{
    struct tcp_key key = {.local = local->addr,
                          .peer = peer->addr,
                          .ns = ns,
                          .device = peer->scope,
                          .local_port = local->port,
                          .peer_port = peer->port};
    struct tcp_entry *e;
    bool found;

    rcu_read_lock();
    e = tcp_table_find(&key);
    found = e && tcp_diag_look(e, out);
    rcu_read_unlock();
    return found;
}

/* ---- ending ---- */

static void tcp_kill_listener(struct tcp_sock *t)
{
    struct socket *s = &t->inet.sock, *conn;

    port_end(&t->inet);
    spin_lock(&s->lock);
    WRITE_ONCE(s->listening, false);
    spin_unlock(&s->lock);
    sock_reset(s, ECONNABORTED);
    while ((conn = accept_take(s, &t->accept))) {
        conn->linger.on = true; /* a reset, at once */
        conn->linger.seconds = 0;
        tcp_release(conn);
        cond_yield();
    }
    waitq_wake_all(&s->senders_wait);
}

static int tcp_kill_wire(struct tcp_wire *w)
{
    struct socket *s = &w->sock->inet.sock;
    struct tcp_after a;
    bool was;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    was = w->open && w->conn.state != TCP_CLOSE && w->conn.state != TCP_TIME_WAIT;
    if (was) {
        WRITE_ONCE(s->error, ECONNABORTED);
        tcp_conn_abort(&w->conn, time_ns(), &a.result);
    }
    tcp_wire_result_locked(w, &a);
    tcp_wire_unlock(w, &a);
    return was ? 0 : -ENOENT;
}

int tcp_kill(struct tcp_sock *t)
{
    struct socket *s = &t->inet.sock, *peer;

    if (READ_ONCE(s->listening)) {
        tcp_kill_listener(t);
        return 0;
    }
    peer = socket_peer(s);
    if (peer) {
        sock_reset(peer, ECONNRESET);
        socket_put(peer);
        sock_reset(s, ECONNABORTED);
        return 0;
    }
    return load_acquire(&t->wire) ? tcp_kill_wire(t->wire) : -ENOENT;
}
