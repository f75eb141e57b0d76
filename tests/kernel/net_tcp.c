/* SPDX-License-Identifier: MIT
 *
 * The table of connections: it grows with them, and loses none meanwhile. Orphans: whose oldest one
 * gives way.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "mm/account.h"
#include "mm/slab.h"
#include "net/tcp/wire.h"
#include "obj/cred.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sync/rcu.h"

static struct tcp_key table_key_of(struct net_ns *ns, u32 i)
{
    return (struct tcp_key){.local = ip_from_v4(0x7f000001),
                            .peer = ip_from_v4(0x0a000000 + i / 1000),
                            .ns = ns,
                            .local_port = 80,
                            .peer_port = (u16)(1000 + i % 1000)};
}

static bool table_finds(struct net_ns *ns, u32 i, const struct tcp_entry *e)
{
    struct tcp_key key = table_key_of(ns, i);
    bool found;

    rcu_read_lock();
    found = tcp_table_find(&key) == e;
    rcu_read_unlock();
    return found;
}

/* How many a dump sees. */
static u32 table_dumped(struct net_ns *ns)
{
    bool more = true;
    u64 at = 0;
    u32 n = 0;

    while (more) {
        rcu_read_lock();
        n += tcp_table_next(ns, &at, &more) != NULL;
        rcu_read_unlock();
        cond_yield();
    }
    return n;
}

SELFTEST(tcp_table_grows_and_finds_all_meanwhile)
{
    static u8 nowhere; /* a namespace is but a part of the key here */
    struct net_ns *ns = (struct net_ns *)(void *)&nowhere;
    u32 before, most, lost = 0, added = 0;
    struct tcp_entry *e;

    CHECK(tcp_table_ready());
    before = tcp_table_size();
    most = 2 * before + before / 2;
    e = kcalloc(most, sizeof(*e));
    CHECK(e);
    if (!e)
        return;
    for (; added < most; added++) {
        e[added].key = table_key_of(ns, added);
        CHECK(tcp_table_add(&e[added]) == 0);
        lost += !table_finds(ns, added / 2, &e[added / 2]);
        cond_yield();
    }
    while (tcp_table_size() == before)
        cond_yield();
    CHECK(table_dumped(ns) == most);
    for (u32 i = 0; i < most; i++) {
        lost += !table_finds(ns, i, &e[i]);
        CHECK(tcp_table_remove(&e[i]) && !tcp_table_remove(&e[i]));
        lost += !table_finds(ns, i, NULL);
        cond_yield();
    }
    CHECK(!lost && table_dumped(ns) == 0);
    rcu_synchronize();
    kfree(e);
}

/* ---- orphans ---- */

#define OWNERS 2U
#define ORPHANS 8U /* of a namespace */

TABLE_DECLARE(struct socket_proto, socket_protos);
static struct account orphan_owners[OWNERS];

static struct socket *orphan_socket(struct net_ns *ns)
{
    const struct socket_proto *p;

    TABLE_FOR_EACH(p, socket_protos)
    {
        if (p->protocol == IPPROTO_TCP)
            return p->create(ns, AF_INET);
    }
    return NULL;
}

/* One in SYN_SENT, of which nothing is sent; with a reference beside its connection's. NULL: no
 * memory. */
static struct tcp_wire *orphan_make(struct net_ns *ns, struct account *owner)
{
    struct tcp_open open = {.config = &tcp_ns_of(ns)->config,
                            .congestion = &tcp_cubic,
                            .mss = 1000,
                            .rcv_buf = 65535,
                            .rcv_buf_most = 65535};
    struct account *former = account_swap(owner);
    struct socket *s = orphan_socket(ns);
    struct tcp_wire *w = s && !IS_ERR(s) ? tcp_wire_get(tcp_of(inet_of(s))) : NULL;
    struct ip_path path = {0};

    account_swap(former);
    if (!w)
        return NULL;
    socket_get(s);
    spin_lock(&w->sock->inet.sock.lock);
    tcp_wire_open_locked(w, &path, 1);
    tcp_conn_connect(&w->conn, &open, time_ns());
    tcp_orphan_add_locked(w);
    spin_unlock(&w->sock->inet.sock.lock);
    return w;
}

static void orphan_end(struct tcp_wire *w)
{
    if (!w)
        return;
    tcp_wire_abort(w);
    CHECK(!w->open && !w->orphan);
    socket_put(&w->sock->inet.sock);
}

SELFTEST(tcp_orphan_too_many_costs_the_heaviest_owner_its_oldest)
{
    struct net_ns *ns = net_ns_create(&user_ns_init);
    struct tcp_wire *few, *many[ORPHANS];
    struct tcp_orphans *orphans;

    CHECK(ns);
    if (!ns)
        return;
    for (u32 i = 0; i < OWNERS; i++)
        account_init(&orphan_owners[i], &account_root_memory, NULL);
    orphans = &tcp_ns_of(ns)->orphans;
    orphans->most = ORPHANS;
    few = orphan_make(ns, &orphan_owners[0]); /* the oldest of all */
    for (u32 i = 0; i < ORPHANS; i++) {
        CHECK(tcp_orphan_room(tcp_ns_of(ns)));
        many[i] = orphan_make(ns, &orphan_owners[1]);
    }
    CHECK(orphans->nr == ORPHANS && few && few->open);
    CHECK(many[0] && !many[0]->open && many[1] && many[1]->open);
    orphans->most = 0;
    CHECK(tcp_orphan_room(tcp_ns_of(ns)) == false);
    orphan_end(few);
    for (u32 i = 0; i < ORPHANS; i++)
        orphan_end(many[i]);
    CHECK(orphans->nr == 0);
    net_ns_put(ns);
}

/* ---- the end of sockets ---- */

#define DYING 100U
#define END_SLEEP NSEC_PER_MSEC
#define END_TRIES 20000U

/* Of each, which sends nothing, only the socket and its connection's memory are left. */
static bool dying_make(struct net_ns *ns)
{
    bool made = true;

    for (u32 i = 0; i < DYING && made; i++) {
        struct socket *s = orphan_socket(ns);

        made = s && !IS_ERR(s) && tcp_wire_get(tcp_of(inet_of(s)));
        if (s && !IS_ERR(s))
            socket_put(s);
    }
    return made;
}

static struct completion blocker_go;

static void blocker_run(struct work *w)
{
    completion_wait(&blocker_go);
}

/* The system's queue has other work; and those who list a namespace's sockets meet none that is
 * dead. */
SELFTEST(tcp_sock_dies_by_a_worker_of_its_own_and_is_listed_no_more)
{
    struct net_ns *ns = net_ns_create(&user_ns_init);
    struct work blocker;
    bool made, listed;

    CHECK(ns);
    completion_init(&blocker_go);
    work_init(&blocker, blocker_run);
    work_queue(workq_system, &blocker);
    made = dying_make(ns);
    listed = tcp_ns_of(ns)->list.nr || !list_empty(&tcp_ns_of(ns)->list.sockets);
    for (u32 i = 0; i < END_TRIES && refcount_read(&ns->ref) > 1; i++)
        (void)sleep_until(time_ns() + END_SLEEP, SLEEP_UNINTERRUPTIBLE);
    made &= refcount_read(&ns->ref) == 1;
    completion_signal(&blocker_go);
    work_flush(workq_system, &blocker);
    net_ns_put(ns);
    CHECK(made);
    CHECK(!listed);
}

/* ---- a segment for whose payload there is no space ---- */

SELFTEST(tcp_segment_without_space_for_its_payload_still_acknowledges)
{
    struct net_ns *ns = net_ns_create(&user_ns_init);
    struct tcp_wire *w = ns ? orphan_make(ns, account_current()) : NULL;
    struct packet *p = w ? packet_alloc() : NULL;
    struct tcp_segment seg = {.seq = 5, .len = 1, .flags = TCP_SYN | TCP_ACK, .window = 100};

    struct tcp_out out;
    bool taken;

    CHECK(p && packet_append(p, 1));
    w->entry.key.ns = ns;
    w->sending = true;                                 /* there is no path: nothing is to go out */
    while (tcp_conn_output(&w->conn, time_ns(), &out)) /* its SYN */
        ;
    w->sock->inet.sock.rcvbuf = 0;
    seg.ack = w->conn.iss + 1;
    tcp_wire_input(w, p, &seg);
    taken = w->conn.state == TCP_ESTABLISHED && w->conn.rcv_nxt == 6 && !w->waiting;
    orphan_end(w);
    net_ns_put(ns);
    CHECK(taken);
}
