/* SPDX-License-Identifier: MIT
 *
 * How many neighbours there may be, and which are old. The table's lists are in the order of use,
 * so the old stand first: a look is at the first few of each.
 */
#include "net/core/conf.h"
#include "net/ip/neighbour_priv.h"

#define AGE_LOOKS 32U               /* of each list, in one hold of the lock */
#define AGE_IDLE (5 * NSEC_PER_SEC) /* then one gives way, where there are many */

/* Linux's values. */
struct neighbour_bounds neighbour_bounds[2] = {{128, 512, 1024, 30}, {128, 512, 1024, 30}};

struct neighbour_bounds neighbour_bounds_of(bool v6, bool host)
{
    const struct neighbour_bounds *at = &neighbour_bounds[v6];
    struct neighbour_bounds b = {READ_ONCE(at->few), READ_ONCE(at->many), READ_ONCE(at->most),
                                 READ_ONCE(at->interval)};

    if (!host)
        b.most = MIN(b.most, (s32)NEIGHBOURS_MOST);
    b.many = MIN(b.many, b.most);
    b.few = MIN(b.few, b.most);
    return b;
}

u32 neighbour_most(const struct neighbour_table *t)
{
    return (u32)neighbour_bounds_of(t->v6, t->host).most;
}

static bool neighbour_is_idle(const struct neighbour_entry *e, u64 now, u64 time)
{
    return now > e->used_at && now - e->used_at >= time;
}

bool neighbour_gives_way(const struct neighbour_table *t, const struct neighbour_entry *e, u64 now)
{
    struct neighbour_bounds b = neighbour_bounds_of(t->v6, t->host);

    return t->nr >= (u32)b.most || (t->nr >= (u32)b.many && neighbour_is_idle(e, now, AGE_IDLE));
}

/* It is not known to be there now, and was of no use for long; or it did not answer. */
static bool neighbour_is_old(const struct neighbour_entry *e, u64 now)
{
    u32 stale = ip_is_v4(&e->addr) ? CONF4_NEIGH_STALE : CONF6_NEIGH_STALE;
    u64 time = (u64)net_conf(e->dev, stale) * NSEC_PER_SEC;

    switch (e->n.state) {
    case NEIGHBOUR_FAILED:
        return true;
    case NEIGHBOUR_REACHABLE:
        return e->n.deadline <= now && neighbour_is_idle(e, now, time);
    case NEIGHBOUR_STALE:
    case NEIGHBOUR_NONE:
        return neighbour_is_idle(e, now, time);
    default:
        return false;
    }
}

/* True: it went as far as it may, and some had to go. */
static bool neighbour_age_list(struct neighbour_table *t, struct list_node *list, u64 now,
                               struct list_node *drop)
{
    struct neighbour_bounds b = neighbour_bounds_of(t->v6, t->host);
    struct neighbour_entry *e, *next;
    u32 n = 0, gone = 0;

    list_for_each_safe (e, next, list, used) {
        if (n++ == AGE_LOOKS)
            return gone;
        if (t->nr <= (u32)b.most && (t->nr < (u32)b.few || !neighbour_is_old(e, now)))
            continue;
        neighbour_remove(t, e, drop);
        gone++;
    }
    return false;
}

bool neighbour_age_some(struct neighbour_table *t, u64 now, struct list_node *drop)
{
    struct list_node *lists[] = {&t->failed, &t->heard, &t->used};
    bool more = false;

    ASSERT_HELD(&t->lock);
    for (u32 i = 0; i < ARRAY_SIZE(lists); i++)
        more |= neighbour_age_list(t, lists[i], now, drop);
    return more;
}

void neighbour_age_plan(struct neighbour_table *t, u64 now)
{
    struct neighbour_bounds b = neighbour_bounds_of(t->v6, t->host);
    u64 next = now + (u64)b.interval * NSEC_PER_SEC;

    ASSERT_HELD(&t->lock);
    if (t->nr < (u32)b.few || !t->nr)
        t->age_at = 0;
    else if (!t->age_at || t->age_at > next)
        t->age_at = next;
    neighbour_start_timer(t, t->age_at);
}
