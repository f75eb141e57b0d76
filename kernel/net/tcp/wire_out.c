/* SPDX-License-Identifier: MIT
 *
 * A connection's calls: connecting, sending, closing, poll. wire.h has the rules.
 */
#include "lib/log.h"
#include "lib/random.h"
#include "net/core/urgent.h"
#include "net/tcp/wire.h"
#include "vm/iov.h"

#define SEND_CHUNK 65536U /* bytes of a program that are staged at once */
#define LINGER_MOST 65535

/* ---- connecting ---- */

void tcp_open_fill(struct tcp_sock *t, const struct ip_addr *peer, const struct ip_path *path,
                   struct tcp_open *open)
{
    *open = (struct tcp_open){.config = &tcp_ns_of(t->inet.sock.ns)->config,
                              .congestion = t->congestion
                                                ? t->congestion
                                                : READ_ONCE(tcp_ns_of(t->inet.sock.ns)->congestion),
                              .mss = tcp_path_mss(path, peer),
                              .rcv_buf = tcp_payload(t->inet.sock.rcvbuf),
                              .rcv_buf_most = tcp_payload_most(&t->inet.sock)};
}

/* The entry's place in the table; a record in TIME_WAIT gives way where that may be. */
static int tcp_wire_enter_locked(struct tcp_wire *w, struct tcp_open *open)
    REQUIRES(w->sock->inet.sock.lock)
{
    int err = tcp_table_add(&w->entry);

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (err == -EADDRNOTAVAIL && tcp_rest_may_open(&w->entry.key, &open->iss))
        err = tcp_table_add(&w->entry);
    return err;
}

/* The connection begins: its SYN goes out. -EADDRNOTAVAIL: those ends have one. Takes the path on
 * 0. */
static int tcp_wire_begin(struct tcp_wire *w, const struct ip_end *local, const struct ip_end *to,
                          struct ip_path *path)
{
    struct tcp_sock *t = w->sock;
    struct socket *s = &t->inet.sock;
    struct tcp_open open;
    struct tcp_flow flow;
    struct tcp_after a;
    int err;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    err = s->listening || s->dead ? -EINVAL : s->peer || w->open ? -EISCONN : 0;
    if (!err) {
        tcp_wire_key(w, local, to);
        tcp_open_fill(t, &to->addr, path, &open);
        tcp_flow_of(&w->entry.key, &flow);
        open.iss = tcp_isn(&tcp_secret, &flow, time_ns());
        open.time_offset = tcp_time_offset(&tcp_secret, &flow);
        err = tcp_wire_enter_locked(w, &open);
    }
    if (err) {
        spin_unlock(&w->sock->inet.sock.lock);
        return err;
    }
    net_count(s->ns, MIB_TCP_ACTIVE);
    socket_get(s); /* the table's */
    t->inet.local = *local;
    t->inet.peer = *to;
    WRITE_ONCE(s->shut, 0);
    WRITE_ONCE(s->error, 0);
    tcp_wire_open_locked(w, path, open.iss + 1);
    tcp_conn_connect(&w->conn, &open, time_ns());
    tcp_wire_options_locked(w);
    tcp_wire_unlock(w, &a);
    return 0;
}

static bool tcp_wire_connecting(const struct tcp_wire *w)
{
    return READ_ONCE(w->conn.state) == TCP_SYN_SENT;
}

/* What became of a connection that was begun: 0, or why there is none. */
static int tcp_wire_outcome(struct tcp_wire *w)
{
    int err;

    if (READ_ONCE(w->open) && READ_ONCE(w->conn.state) != TCP_CLOSE)
        return 0;
    err = socket_take_error(&w->sock->inet.sock);
    return err ? err : -ECONNABORTED;
}

static int tcp_wire_await(struct tcp_wire *w, bool nonblock)
{
    struct socket *s = &w->sock->inet.sock;
    u64 deadline = socket_deadline(s->send_timeout, s->send_timeout ? time_ns() : 0);
    int err;

    if (nonblock)
        return -EINPROGRESS;
    err = wait_event_deadline(&s->wait, !tcp_wire_connecting(w), SLEEP_INTERRUPTIBLE, deadline);
    if (err)
        return err == -ETIMEDOUT ? -EINPROGRESS : err;
    return tcp_wire_outcome(w);
}

/* port_search.may: no connection has both ends, but for one in TIME_WAIT, which may give way. */
static bool tcp_port_may(const struct port_search *search, u16 port)
{
    const struct tcp_key *towards = search->context;
    struct tcp_key key = *towards;
    const struct tcp_entry *e;
    bool may;

    key.local_port = port;
    rcu_read_lock();
    e = tcp_table_find(&key);
    may = !e || e->kind == TCP_ENTRY_TIMEWAIT;
    rcu_read_unlock();
    return may;
}

static int tcp_wire_begin_at(struct tcp_wire *w, struct ip_end *to, struct ip_path *path)
{
    struct ip_end local = inet_local(&w->sock->inet);

    local.addr = path->source;
    local.scope = to->scope;
    return tcp_wire_begin(w, &local, to, path);
}

/* From the port that a program has named, or one that is chosen for this peer. */
static int tcp_wire_begin_somewhere(struct tcp_wire *w, struct ip_end *to, struct ip_path *path)
{
    struct inet_sock *inet = &w->sock->inet;
    struct tcp_key key = {.local = path->source,
                          .peer = to->addr,
                          .ns = inet->sock.ns,
                          .device = to->scope,
                          .peer_port = to->port};
    struct port_search search = {.peer = *to, .may = tcp_port_may, .context = &key};
    int err;

    if (READ_ONCE(inet->local.port))
        return tcp_wire_begin_at(w, to, path);
    for (;;) {
        err = port_bind_towards(inet, &path->source, &search);
        if (err && err != -EINVAL) /* -EINVAL: another thread has named it */
            return err == -EADDRINUSE ? -EADDRNOTAVAIL : err;
        err = tcp_wire_begin_at(w, to, path);
        if (err != -EADDRNOTAVAIL || !inet->auto_port)
            return err;
        port_end(inet);
    }
}

/* Bytes that were not read, packets that another thread still sends, readers of the table that
 * stand on its entry. */
static void tcp_wire_forget(struct tcp_wire *w)
{
    struct socket *s = &w->sock->inet.sock;
    struct list_node lost;

    list_init(&lost);
    mutex_lock(&s->reading);
    spin_lock(&s->lock);
    sock_queue_take_all_locked(s, &lost);
    spin_unlock(&s->lock);
    mutex_unlock(&s->reading);
    sock_queue_free(s, &lost);
    while (READ_ONCE(w->sending))
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    rcu_synchronize();
}

/* head is set when it is opened first, and stays. */
static bool tcp_wire_was_open(struct tcp_wire *w)
{
    bool was;

    spin_lock(&w->sock->inet.sock.lock);
    was = w->sending || w->head.protocol;
    spin_unlock(&w->sock->inet.sock.lock);
    return was;
}

void tcp_wire_renew(struct tcp_sock *t)
{
    struct tcp_wire *w = load_acquire(&t->wire);

    if (w && tcp_wire_was_open(w))
        tcp_wire_forget(w);
}

void tcp_wire_disconnect(struct tcp_wire *w)
{
    tcp_wire_abort(w);
    tcp_wire_forget(w);
}

int tcp_wire_connect_again(struct tcp_wire *w, bool nonblock)
{
    bool connecting;

    spin_lock(&w->sock->inet.sock.lock); /* one that just begins has begun then */
    connecting = tcp_wire_connecting(w);
    spin_unlock(&w->sock->inet.sock.lock);
    if (!connecting)
        return -EISCONN;
    return nonblock ? -EALREADY : tcp_wire_await(w, false);
}

int tcp_wire_connect(struct tcp_sock *t, struct ip_end *to, struct ip_path *path, bool nonblock)
{
    struct tcp_wire *w = tcp_wire_get(t);
    int err = w ? tcp_claim(t) : -ENOMEM;

    if (!err) {
        tcp_wire_renew(t);
        err = tcp_wire_begin_somewhere(w, to, path);
        tcp_unclaim(t);
    }
    ip_path_put(path);
    if (err == -EALREADY && !nonblock && tcp_wire_connecting(w))
        return tcp_wire_await(w, false);
    return err ? err : tcp_wire_await(w, nonblock);
}

/* ---- sending ---- */

/* There is space, or a reason to look. */
static bool tcp_wire_ready(const struct tcp_wire *w)
{
    const struct socket *s = &w->sock->inet.sock;

    return tcp_wire_writable(w) || s->error || (READ_ONCE(s->shut) & SOCK_SHUT_WR) ||
           READ_ONCE(s->dead);
}

/* No space: says so, that who frees some wakes pollers, edge-triggered ones too. True: there is
 * some now. */
static bool tcp_wire_want_space(struct tcp_wire *w)
{
    bool space;

    spin_lock(&w->sock->inet.sock.lock);
    space = tcp_wire_space(w) > 0;
    if (!space)
        w->full = true;
    spin_unlock(&w->sock->inet.sock.lock);
    return space;
}

int tcp_wire_wait_space(struct tcp_wire *w, unsigned flags, u64 deadline)
{
    struct socket *s = &w->sock->inet.sock;
    int err = 0;

    for (;;) {
        err = socket_take_error(s);
        if (err)
            return err;
        if (READ_ONCE(s->shut) & SOCK_SHUT_WR)
            return -EPIPE;
        if (!tcp_wire_connecting(w) && (tcp_wire_space(w) > 0 || tcp_wire_want_space(w)))
            return 0;
        if (flags & MSG_DONTWAIT)
            return -EAGAIN;
        err = wait_event_deadline(&s->wait, tcp_wire_ready(w) && !tcp_wire_connecting(w),
                                  SLEEP_INTERRUPTIBLE, deadline);
        if (err)
            return err == -ETIMEDOUT ? -EAGAIN : err;
    }
}

int tcp_wire_write(struct tcp_wire *w, struct tcp_stage *g, u32 how)
{
    struct tcp_after a;
    u32 n = g->bytes;
    int err = 0;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    if (w->open && n > TCP_WINDOW_MOST - tcp_buffer_bytes(&w->out)) {
        err = -ENOBUFS; /* others have written since there was space */
    } else if (w->open && tcp_conn_may_write(&w->conn)) {
        tcp_buffer_append(&w->out, g);
        if (n)
            tcp_conn_written(&w->conn, n, how);
    } else {
        err = -EPIPE;
    }
    tcp_wire_unlock(w, &a);
    return err;
}

/* At most n bytes of m; how many, or -errno. */
static ssize_t tcp_wire_send_some(struct tcp_wire *w, struct socket_message *m, u32 n, u32 how)
{
    struct tcp_stage g;
    int err, failed;
    u32 got;

    spin_lock(&w->sock->inet.sock.lock);
    tcp_stage_init(&g, &w->out);
    spin_unlock(&w->sock->inet.sock.lock);
    got = tcp_stage_copy(&g, m->data, n, &err);
    failed = tcp_wire_write(w, &g, got < n ? 0 : how);
    tcp_stage_fini(&g);
    if (failed)
        return failed;
    return got ? (ssize_t)got : err;
}

ssize_t tcp_wire_send(struct tcp_wire *w, struct socket_message *m, unsigned flags)
{
    struct socket *s = &w->sock->inet.sock;
    u64 deadline = socket_deadline(s->send_timeout, s->send_timeout ? time_ns() : 0);
    u64 left = m->data->count, done = 0;
    ssize_t n;
    int err = 0;

    if (READ_ONCE(w->conn.state) == TCP_CLOSE && !READ_ONCE(s->shut))
        return -EPIPE;
    while (left || !done) {
        u32 most;

        err = tcp_wire_wait_space(w, flags, deadline);
        if (err || !left)
            break;
        most = (u32)MIN(left, MIN((u64)tcp_wire_space(w), (u64)SEND_CHUNK));
        n = tcp_wire_send_some(w, m, most,
                               most < left        ? TCP_WRITE_MORE
                               : flags & MSG_OOB  ? TCP_WRITE_URGENT
                               : flags & MSG_MORE ? TCP_WRITE_MORE
                                                  : 0);
        if (n < 0) {
            err = (int)n;
            break;
        }
        done += (u64)n;
        left -= (u64)n;
        if (n < (ssize_t)most)
            break;
        cond_yield();
        if (left && thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            break;
    }
    if (err == -EPIPE && !done) {
        int error = socket_take_error(s);

        err = error ? error : err;
    }
    return done ? (ssize_t)done : err;
}

/* ---- ending ---- */

void tcp_wire_abort(struct tcp_wire *w)
{
    struct tcp_after a;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    if (w->open)
        tcp_conn_abort(&w->conn, time_ns(), &a.result);
    tcp_wire_result_locked(w, &a);
    tcp_wire_unlock(w, &a);
}

int tcp_wire_shutdown(struct tcp_wire *w, u32 bits)
{
    struct socket *s = &w->sock->inet.sock;
    struct tcp_after a;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    if (!w->open) {
        spin_unlock(&w->sock->inet.sock.lock);
        return -ENOTCONN;
    }
    WRITE_ONCE(s->shut, s->shut | bits);
    if (bits & SOCK_SHUT_WR)
        tcp_conn_shutdown(&w->conn, time_ns(), &a.result);
    a.wake = POLLIN | POLLOUT | POLLHUP | POLLRDHUP;
    tcp_wire_result_locked(w, &a);
    tcp_wire_unlock(w, &a);
    return 0;
}

static bool tcp_wire_gone(const struct tcp_wire *w)
{
    u8 state = READ_ONCE(w->conn.state);

    return !READ_ONCE(w->open) || state == TCP_FIN_WAIT2 || state == TCP_TIME_WAIT;
}

/* Linux takes a negative number as the most. */
static u64 tcp_linger(const struct socket *s)
{
    s32 v = s->linger.seconds;

    return (v < 0 || v > LINGER_MOST ? LINGER_MOST : (u64)v) * NSEC_PER_SEC;
}

void tcp_wire_release(struct tcp_wire *w)
{
    struct socket *s = &w->sock->inet.sock;
    bool linger = s->linger.on, abort = linger && !s->linger.seconds;
    struct tcp_after a;

    if (READ_ONCE(w->open) && !abort && !tcp_orphan_room(tcp_ns_of(s->ns)))
        abort = true;
    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    if (w->open && abort)
        tcp_conn_abort(&w->conn, time_ns(), &a.result);
    else if (w->open)
        tcp_conn_close(&w->conn, time_ns(), &a.result);
    tcp_wire_result_locked(w, &a);
    if (w->open && !a.ended)
        tcp_orphan_add_locked(w);
    tcp_wire_unlock(w, &a);
    if (linger && !abort)
        (void)wait_event_deadline(&s->wait, tcp_wire_gone(w), SLEEP_INTERRUPTIBLE,
                                  time_ns() + tcp_linger(s));
}

u32 tcp_wire_poll(struct tcp_wire *w)
{
    struct socket *s = &w->sock->inet.sock;
    u32 mask = 0, shut;
    u8 state;

    spin_lock(&w->sock->inet.sock.lock);
    shut = s->shut;
    state = w->conn.state;
    if (state != TCP_SYN_SENT && state != TCP_SYN_RECV) {
        if ((sock_urgent_more_locked(&w->sock->inet.sock) &&
             !tcp_below_low_water_locked(&w->sock->inet.sock)) ||
            (shut & SOCK_SHUT_RD))
            mask |= POLLIN | POLLRDNORM;
        if (tcp_wire_writable(w))
            mask |= POLLOUT | POLLWRNORM;
        else
            w->full = true;
        if (sock_urgent_is_held(s))
            mask |= POLLPRI;
    }
    spin_unlock(&w->sock->inet.sock.lock);
    if (shut & SOCK_SHUT_WR)
        mask |= POLLOUT | POLLWRNORM;
    if (shut & SOCK_SHUT_RD)
        mask |= POLLRDHUP;
    if ((shut & SOCK_SHUT_BOTH) == SOCK_SHUT_BOTH || state == TCP_CLOSE)
        mask |= POLLHUP;
    if (s->error)
        mask |= POLLERR | POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
    return mask;
}
