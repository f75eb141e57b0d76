/* SPDX-License-Identifier: MIT
 *
 * Orphans: connections over packets whose socket is closed, and which bring over what is left. They
 * cost their owner no descriptor, so a namespace has at most tcp_max_orphans of them (a lifetime
 * has each by itself: conn.h). One more costs the owner that has the most of them its oldest one,
 * which ends with a reset: who leaves thousands takes no place from others.
 *
 * An owner is an account. Owners share TCP_ORPHAN_SLOTS slots by a hash under a secret: one that
 * shares a slot with the heaviest one may lose an orphan for it.
 *
 * Lock: the namespace's orphans.lock (spinlock, RANK_NET 4), below a socket's. An orphan is in its
 * slot no longer than in the table of connections, which has a reference to its socket.
 */
#include "lib/hash.h"
#include "lib/log.h"
#include "net/tcp/wire.h"

#define ORPHANS_MOST 8192 /* unless it is told otherwise */
#define ROOM_TRIES 4      /* others make orphans meanwhile */

COUNTER(net_tcp_orphans_ended);

void tcp_orphans_init(struct tcp_orphans *orphans)
{
    orphans->most = ORPHANS_MOST;
    spinlock_init(&orphans->lock, RANK_NET, 4, "tcp orphans");
    for (u32 i = 0; i < TCP_ORPHAN_SLOTS; i++)
        list_init(&orphans->slots[i].list);
}

static u32 tcp_orphan_slot(const struct account *owner)
{
    u64 mixed = ((u64)(uintptr_t)owner ^ tcp_secret.isn.k0) * 0x9e3779b97f4a7c15ULL;

    return (u32)(mixed >> 32) % TCP_ORPHAN_SLOTS;
}

void tcp_orphan_add_locked(struct tcp_wire *w)
{
    struct socket *s = &w->sock->inet.sock;
    struct tcp_orphans *orphans = &tcp_ns_of(s->ns)->orphans;
    u32 slot = tcp_orphan_slot(s->account);

    ASSERT_HELD(&s->lock);
    ASSERT(!w->orphan && w->open);
    w->orphan = (u8)(slot + 1);
    spin_lock(&orphans->lock);
    list_add_tail(&orphans->slots[slot].list, &w->orphans);
    orphans->slots[slot].nr++;
    WRITE_ONCE(orphans->nr, orphans->nr + 1);
    spin_unlock(&orphans->lock);
}

void tcp_orphan_remove_locked(struct tcp_wire *w)
{
    struct tcp_orphans *orphans = &tcp_ns_of(w->sock->inet.sock.ns)->orphans;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    ASSERT(w->orphan);
    spin_lock(&orphans->lock);
    list_del(&w->orphans);
    orphans->slots[w->orphan - 1].nr--;
    WRITE_ONCE(orphans->nr, orphans->nr - 1);
    spin_unlock(&orphans->lock);
    w->orphan = 0;
}

/* The oldest of the fullest slot, held; NULL: there is room, or none to end. */
static struct tcp_wire *tcp_orphan_excess(struct tcp_orphans *orphans)
{
    struct tcp_wire *w = NULL;
    u32 heaviest = 0;

    spin_lock(&orphans->lock);
    for (u32 i = 1; i < TCP_ORPHAN_SLOTS; i++) {
        if (orphans->slots[i].nr > orphans->slots[heaviest].nr)
            heaviest = i;
    }
    if (orphans->nr >= READ_ONCE(orphans->most))
        w = list_first(&orphans->slots[heaviest].list, struct tcp_wire, orphans);
    if (w)
        socket_get(&w->sock->inet.sock);
    spin_unlock(&orphans->lock);
    return w;
}

bool tcp_orphan_room(struct tcp_ns *tn)
{
    struct tcp_orphans *orphans = &tn->orphans;
    struct tcp_wire *w;

    for (u32 i = 0; i < ROOM_TRIES && READ_ONCE(orphans->nr) >= READ_ONCE(orphans->most); i++) {
        w = tcp_orphan_excess(orphans);
        if (!w)
            break;
        COUNT(net_tcp_orphans_ended);
        tcp_wire_abort(w);
        socket_put(&w->sock->inet.sock);
    }
    return READ_ONCE(orphans->nr) < READ_ONCE(orphans->most);
}
