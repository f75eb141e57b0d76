/* SPDX-License-Identifier: MIT
 *
 * Who is told of changes.
 */
#include "net/core/event.h"
#include "lib/log.h"

TABLE_DECLARE(struct net_event_listener, net_event_listeners);

void net_event(struct net_ns *ns, enum net_event_kind kind, const void *what, u32 change)
{
    const struct net_event_listener *l;

    TABLE_FOR_EACH(l, net_event_listeners)
    l->event(ns, kind, what, change);
}
