/* SPDX-License-Identifier: MIT
 *
 * A listener's queue of connections.
 */
#include "net/core/accept.h"
#include "lib/log.h"
#include "net/core/sysctl.h"
#include "sched/timer.h"

/* A namespace's part. */
struct accept_ns {
    s32 most; /* a  net.core.somaxconn */
};
static u32 accept_ns_offset;

static struct accept_ns *accept_ns_of(struct net_ns *ns)
{
    return net_part(ns, accept_ns_offset);
}

static int accept_ns_setup(struct net_ns *ns, void *part)
{
    ((struct accept_ns *)part)->most = ACCEPT_BACKLOG_MAX;
    return 0;
}
NET_PART("06", accept) = {sizeof(struct accept_ns), &accept_ns_offset, accept_ns_setup, NULL};

static const struct net_sysctl accept_rows[] = {
    {.path = "core/somaxconn", SYSCTL_IN(accept_ns_offset, struct accept_ns, most), .max = 65535},
};
NET_SYSCTLS(accept) = {accept_rows, ARRAY_SIZE(accept_rows)};

void accept_queue_init(struct accept_queue *q)
{
    list_init(&q->conns);
}

void accept_listen_locked(struct socket *l, struct accept_queue *q, int backlog)
{
    s32 most = READ_ONCE(accept_ns_of(l->ns)->most);

    ASSERT_HELD(&l->lock);
    q->max = (u32)(backlog < 0 || backlog > most ? most : backlog) + 1;
    WRITE_ONCE(l->listening, true);
}

bool accept_has_space(const struct socket *l, const struct accept_queue *q)
{
    return READ_ONCE(q->nr) < READ_ONCE(q->max) || READ_ONCE(l->dead) ||
           (READ_ONCE(l->shut) & SOCK_SHUT_RD);
}

int accept_add(struct socket *l, struct accept_queue *q, struct socket *conn)
{
    int err = 0;

    spin_lock(&l->lock);
    if (l->dead || !l->listening || (l->shut & SOCK_SHUT_RD)) {
        err = -ECONNREFUSED;
    } else if (q->nr >= q->max) {
        err = -EAGAIN;
    } else {
        list_add_tail(&q->conns, &conn->accept_node);
        q->nr++;
    }
    spin_unlock(&l->lock);
    if (!err)
        socket_wake(l, POLLIN | POLLRDNORM);
    return err;
}

int accept_offer(struct socket *l, struct accept_queue *q, struct socket *conn, bool nonblock,
                 u64 deadline)
{
    int err;

    while ((err = accept_add(l, q, conn)) == -EAGAIN && !nonblock) {
        err = wait_event_exclusive(&l->senders_wait, accept_has_space(l, q), deadline);
        if (err)
            break;
    }
    if (accept_has_space(l, q)) /* each that waits is woken by the one before */
        waitq_wake_one(&l->senders_wait);
    return err == -ETIMEDOUT ? -EAGAIN : err;
}

struct socket *accept_take(struct socket *l, struct accept_queue *q)
{
    struct socket *conn;

    spin_lock(&l->lock);
    conn = list_first(&q->conns, struct socket, accept_node);
    if (conn) {
        list_del(&conn->accept_node);
        q->nr--;
    }
    spin_unlock(&l->lock);
    return conn;
}

int accept_wait(struct socket *l, struct accept_queue *q, bool nonblock, struct socket **out)
{
    u64 deadline = socket_deadline(l->recv_timeout, l->recv_timeout ? time_ns() : 0);
    bool slept = false;
    int err;

    while (!(*out = accept_take(l, q))) {
        if (READ_ONCE(l->shut) & SOCK_SHUT_RD)
            return -EINVAL;
        if (nonblock)
            return -EAGAIN;
        err = wait_event_exclusive(
            &l->wait, READ_ONCE(q->nr) || (READ_ONCE(l->shut) & SOCK_SHUT_RD), deadline);
        if (err && READ_ONCE(q->nr)) /* for another */
            socket_wake(l, POLLIN | POLLRDNORM);
        if (err)
            return err == -ETIMEDOUT ? -EAGAIN : err;
        slept = true;
    }
    if (slept && READ_ONCE(q->nr))
        socket_wake(l, POLLIN | POLLRDNORM);
    waitq_wake_one(&l->senders_wait);
    return 0;
}
