/* SPDX-License-Identifier: MIT
 *
 * One neighbour, as RFC 4861 7.3.2 has its states; ARP's are the same. The pure core: it is given
 * the time and what happened, and answers with what is to be done. It knows no lock, timer or
 * packet, and builds on the host.
 */
#pragma once

#include "lib/types.h"

#define NEIGHBOUR_LINK 6 /* bytes of a link address */

enum neighbour_state {
    NEIGHBOUR_NONE,       /* nothing is known, nothing asked */
    NEIGHBOUR_INCOMPLETE, /* asked for */
    NEIGHBOUR_REACHABLE,  /* known, and confirmed a little while ago */
    NEIGHBOUR_STALE,      /* known, not confirmed; used, it becomes DELAY */
    NEIGHBOUR_DELAY,      /* used; asked for soon, unless it is confirmed */
    NEIGHBOUR_PROBE,      /* known, and asked for */
    NEIGHBOUR_FAILED,     /* did not answer; used, it is asked for again */
};
enum neighbour_action {
    NEIGHBOUR_SEND = 1 << 0,    /* the link address is known: packets may go */
    NEIGHBOUR_ASK_ALL = 1 << 1, /* ask by broadcast */
    NEIGHBOUR_ASK_ONE = 1 << 2, /* ask the known link address */
    NEIGHBOUR_DROP = 1 << 3,    /* what waits for it is unreachable */
};
enum neighbour_word {                    /* the source of what is known of a neighbour */
                      NEIGHBOUR_ASKS,    /* it asks for us, or for itself */
                      NEIGHBOUR_ANSWERS, /* it answers a question of ours */
                      NEIGHBOUR_DOUBTS,  /* it answers, but what is known is not overridden */
};

/* Times in ns of any clock that does not go back. */
struct neighbour {
    u8 state;   /* enum neighbour_state */
    u8 asked;   /* times, since it was last known */
    bool fixed; /* it was told what it is: it is not asked, nor is what it says heard */
    u8 link[NEIGHBOUR_LINK];
    u64 deadline; /* neighbour_time is to be called; 0: no time */
    u64 updated;  /* link was set */
};

/* What an administrator may set; ns, and questions of 1 to 255. */
struct neighbour_times {
    u64 reachable, delay, retrans;
    u8 ask_all, ask_one; /* questions by broadcast, to the known link address */
};

static inline bool neighbour_known(const struct neighbour *n)
{
    return n->state >= NEIGHBOUR_REACHABLE && n->state <= NEIGHBOUR_PROBE;
}
/* A packet is to go there. Each answers enum neighbour_action bits. */
u32 neighbour_use(struct neighbour *n, const struct neighbour_times *t, u64 now);
/* It said what its link address is. A word that contradicts what was said less than a second ago is
 * not believed. */
u32 neighbour_heard(struct neighbour *n, const struct neighbour_times *t, const u8 *link,
                    enum neighbour_word word, u64 now);
/* It is what an administrator says, from here on (fixed) or until it says otherwise. */
u32 neighbour_fix(struct neighbour *n, const u8 *link, bool fixed, u64 now);
/* What is known of it still holds, as the protocol above has seen. False: nothing has changed. */
bool neighbour_confirmed(struct neighbour *n, const struct neighbour_times *t, u64 now);
/* Its deadline has come. */
u32 neighbour_time(struct neighbour *n, const struct neighbour_times *t, u64 now);
