/* SPDX-License-Identifier: MIT
 *
 * Sockets on the way in sockets. A descriptor in a queue keeps its socket; one that kept itself so,
 * through any number of others, would never be freed, though no process has it any more. So what
 * would close such a ring is refused, with -ETOOMANYREFS (unix(7)): messages that carry sockets are
 * queued one at a time, each after a look at what can be reached from it. A connection that is
 * offered closes no ring: until then its queue takes no message that carries sockets (`unoffered`).
 *
 * All tenants share the lock, so it is a spinlock: its holder is never without a processor, and
 * what it looks at is bounded.
 *
 * Lock order: unix_flight_lock, then u->sock.lock of one socket after the other.
 */
#include "lib/log.h"
#include "net/unix/unix_priv.h"

/* Sockets and files looked at for one message: where there are more it is refused as well, for all
 * others who send sockets wait meanwhile. Twice what a message full of sockets takes whose queues
 * hold none. */
#define FLIGHT_LOOKS 2048
#define FLIGHT_SOCKET 3 /* more of them, for the queues of another socket */

struct flight {
    struct unix_sock *todo; /* references, by flight_next */
    struct unix_sock *dead; /* without references, the same way */
    const struct unix_sock *to;
    unsigned looks;
    bool found;
};

static struct spinlock unix_flight_lock = SPINLOCK_INIT(RANK_NET, 12, "unix flight");
static u64 flight_round; /* unix_flight_lock */

static struct unix_sock *flight_socket(const struct file *f)
{
    struct socket *s = socket_of_file(f);

    return s && s->family == AF_UNIX ? unix_of(s) : NULL;
}

static void flight_add(struct flight *fl, struct unix_sock *u)
{
    fl->looks++;
    if (u == fl->to)
        fl->found = true;
    if (!u || u->flight_mark == flight_round)
        return;
    u->flight_mark = flight_round;
    unix_get(u);
    u->flight_next = fl->todo;
    fl->todo = u;
}

static void flight_add_files(struct flight *fl, const struct unix_msg *msg)
{
    for (u32 i = 0; i < msg->nr_files; i++)
        flight_add(fl, flight_socket(msg->files[i]));
}

/* The last reference may be its namespace's last as well, whose end may sleep. */
static void flight_let_go(struct flight *fl, struct unix_sock *u)
{
    if (!refcount_put(&u->sock.ref))
        return;
    u->flight_next = fl->dead;
    fl->dead = u;
}

static void flight_destroy_dead(struct flight *fl)
{
    struct unix_sock *u;

    while ((u = fl->dead)) {
        fl->dead = u->flight_next;
        u->sock.ops->destroy(&u->sock);
    }
}

static bool flight_goes_on(const struct flight *fl)
{
    return !fl->found && fl->looks <= FLIGHT_LOOKS;
}

/* A connection that waits for accept: one without sockets in its queue leads nowhere. They come
 * into a queue under unix_flight_lock alone. */
static void flight_add_conn(struct flight *fl, struct unix_sock *conn)
{
    if (!list_empty(&conn->carriers)) {
        flight_add(fl, conn);
        return;
    }
    fl->looks++;
    fl->found |= conn == fl->to;
}

/* What lies in u's queues. */
static void flight_look_into(struct flight *fl, struct unix_sock *u)
{
    struct unix_msg *msg;
    struct socket *conn;

    fl->looks += FLIGHT_SOCKET;
    spin_lock(&u->sock.lock);
    list_for_each (msg, &u->carriers, carrier) {
        if (!flight_goes_on(fl))
            break;
        flight_add_files(fl, msg);
    }
    list_for_each (conn, &u->accept.conns, accept_node) {
        if (!flight_goes_on(fl))
            break;
        flight_add_conn(fl, unix_of(conn));
    }
    spin_unlock(&u->sock.lock);
}

/* True: fl->to is among what it starts with, or in their queues, or it would be too long to tell.
 */
static bool flight_leads_there(struct flight *fl)
{
    struct unix_sock *u;

    while ((u = fl->todo)) {
        fl->todo = u->flight_next;
        if (flight_goes_on(fl))
            flight_look_into(fl, u);
        flight_let_go(fl, u);
    }
    return !flight_goes_on(fl);
}

bool unix_flight_needed(const struct unix_msg *msg)
{
    for (u32 i = 0; i < msg->nr_files; i++)
        if (flight_socket(msg->files[i]))
            return true;
    return false;
}

/* A connection is in its listener's queue before `unoffered` is cleared, which is looked at first:
 * pairs with
 * unix_connect_stream. */
int unix_flight_queue(struct unix_sock *from, struct unix_sock *to, struct unix_msg *msg)
{
    struct flight fl = {.to = to};
    int err = -ENOTCONN;

    spin_lock(&unix_flight_lock);
    if (!load_acquire(&to->unoffered)) {
        flight_round++;
        flight_add_files(&fl, msg);
        err = flight_leads_there(&fl) ? -ETOOMANYREFS : unix_queue(from, to, msg);
    }
    spin_unlock(&unix_flight_lock);
    flight_destroy_dead(&fl);
    return err;
}
