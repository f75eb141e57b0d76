/* SPDX-License-Identifier: MIT
 *
 * What can be had again, and is kept only while there is memory for it: names, inodes, file pages.
 * Each kind hangs, in the order in which it may go, on a list of the account that pays for it; a
 * set per kind has all accounts with such a list, so that neither an account at its limit nor the
 * machine looks at what cannot help it. The kind's own lock guards its set and its lists.
 */
#pragma once

#include "mm/account.h"

/* k the kind's lock */
struct account_caches {
    enum account_cached kind;  /* I */
    struct list_node accounts; /* k  with something on the list; the front one is next */
    u32 nr_accounts;           /* k  a to read */
    u64 count;                 /* k  of all lists; a to read */
};
#define ACCOUNT_CACHES_INIT(name, kind_)                        \
    {                                                           \
        .kind = (kind_), .accounts = LIST_INIT((name).accounts) \
    }
/* How many accounts a look goes over without a pause. */
#define ACCOUNT_CACHES_LOOK 64

/* All with the kind's lock held. a: the account that pays, not NULL. */
void account_cache_add(struct account_caches *set, struct account *a, struct list_node *item);
void account_cache_del(struct account_caches *set, struct account *a, struct list_node *item);
/* The account, with a list, that is to give something up so that `top` (NULL: the machine) has
 * more. top itself where it can; else one below it. For the machine accounts take turns, and one
 * that has less than the average of all keeps it while some other has more. NULL: none of the next
 * ACCOUNT_CACHES_LOOK is below top; nr_accounts bounds how often it is worth asking again. */
struct account *account_cache_pick(struct account_caches *set, struct account *top);
