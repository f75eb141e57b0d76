/* SPDX-License-Identifier: MIT
 *
 * The states of a neighbour: RFC 4861 7.3.
 */
#include "net/ip/neighbour.h"
#include "lib/compiler.h"
#include "lib/string.h"

#define SECOND 1000000000ULL
#define LOCK_TIME SECOND /* an address that was learnt stays so long */
#define FAILED_TIME SECOND

static void neighbour_enter(struct neighbour *n, enum neighbour_state state, u64 deadline)
{
    n->state = (u8)state;
    n->deadline = deadline;
}

static u32 neighbour_ask(struct neighbour *n, const struct neighbour_times *t,
                         enum neighbour_state state, u64 now)
{
    n->asked = 1;
    neighbour_enter(n, state, now + t->retrans);
    return state == NEIGHBOUR_PROBE ? NEIGHBOUR_ASK_ONE : NEIGHBOUR_ASK_ALL;
}

u32 neighbour_use(struct neighbour *n, const struct neighbour_times *t, u64 now)
{
    switch (n->state) {
    case NEIGHBOUR_NONE:
        return neighbour_ask(n, t, NEIGHBOUR_INCOMPLETE, now);
    case NEIGHBOUR_FAILED: /* not more often than once in a while */
        return now < n->deadline ? NEIGHBOUR_DROP : neighbour_ask(n, t, NEIGHBOUR_INCOMPLETE, now);
    case NEIGHBOUR_INCOMPLETE:
        return 0;
    case NEIGHBOUR_STALE:
        neighbour_enter(n, NEIGHBOUR_DELAY, now + t->delay);
        return NEIGHBOUR_SEND;
    default:
        return NEIGHBOUR_SEND;
    }
}

u32 neighbour_heard(struct neighbour *n, const struct neighbour_times *t, const u8 *link,
                    enum neighbour_word word, u64 now)
{
    bool known = neighbour_known(n), same = known && !memcmp(n->link, link, NEIGHBOUR_LINK);

    if (word == NEIGHBOUR_DOUBTS && known && !same) { /* RFC 4861 7.2.5 I */
        if (n->state == NEIGHBOUR_REACHABLE && !n->fixed)
            neighbour_enter(n, NEIGHBOUR_STALE, 0);
        return 0;
    }
    if (n->fixed || (known && !same && now - n->updated < LOCK_TIME))
        return 0;
    if (!same) {
        memcpy(n->link, link, NEIGHBOUR_LINK);
        n->updated = now;
    }
    if (word != NEIGHBOUR_ASKS)
        neighbour_enter(n, NEIGHBOUR_REACHABLE, now + t->reachable);
    else if (!same)
        neighbour_enter(n, NEIGHBOUR_STALE, 0);
    return known ? 0 : NEIGHBOUR_SEND;
}

/* Once in a while is enough while it is reachable. */
bool neighbour_confirmed(struct neighbour *n, const struct neighbour_times *t, u64 now)
{
    if (!neighbour_known(n) || n->fixed)
        return false;
    if (n->state == NEIGHBOUR_REACHABLE &&
        n->deadline > now + t->reachable - MIN(SECOND, t->reachable / 2))
        return false;
    neighbour_enter(n, NEIGHBOUR_REACHABLE, now + t->reachable);
    return true;
}

u32 neighbour_fix(struct neighbour *n, const u8 *link, bool fixed, u64 now)
{
    bool known = neighbour_known(n);

    memcpy(n->link, link, NEIGHBOUR_LINK);
    n->updated = now;
    n->fixed = fixed;
    neighbour_enter(n, fixed ? NEIGHBOUR_REACHABLE : NEIGHBOUR_STALE, 0);
    return known ? 0 : NEIGHBOUR_SEND;
}

u32 neighbour_time(struct neighbour *n, const struct neighbour_times *t, u64 now)
{
    u32 most = n->state == NEIGHBOUR_PROBE ? t->ask_one : t->ask_all;

    if (!n->deadline || now < n->deadline)
        return 0;
    switch (n->state) {
    case NEIGHBOUR_REACHABLE:
        neighbour_enter(n, NEIGHBOUR_STALE, 0);
        return 0;
    case NEIGHBOUR_DELAY:
        return neighbour_ask(n, t, NEIGHBOUR_PROBE, now);
    case NEIGHBOUR_INCOMPLETE:
    case NEIGHBOUR_PROBE:
        if (n->asked < most) {
            n->asked++;
            n->deadline = now + t->retrans;
            return n->state == NEIGHBOUR_PROBE ? NEIGHBOUR_ASK_ONE : NEIGHBOUR_ASK_ALL;
        }
        neighbour_enter(n, NEIGHBOUR_FAILED, now + FAILED_TIME);
        return NEIGHBOUR_DROP;
    default: /* FAILED: it may be asked for again */
        n->deadline = 0;
        return 0;
    }
}
