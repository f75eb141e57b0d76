/* SPDX-License-Identifier: MIT
 *
 * Which of a device's queues a flow goes to: the pure core. A flow's packets have one hash, both
 * ways: of addresses, protocol and ports; fragments and what has no ports are a flow of their
 * addresses, what is not of IP one of its ethertype. The hash is keyed by a secret, so that no
 * sender can choose it.
 *
 * The table says by which queue a flow came last. Its hash has FLOW_WAYS slots, which it shares
 * with others; a flow whose slot another has taken since is spread by its hash, as one that never
 * came. Slots are read and written by several at once, and each is one word: who learns a flow
 * twice in one moment may leave it two slots, of which the first counts.
 */
#pragma once

#include "lib/hash.h"
#include "lib/types.h"

#define FLOW_HEAD 128U /* bytes of a packet that are looked at */
#define FLOW_SLOTS 4096U
#define FLOW_WAYS 4U
#define FLOW_QUEUES 256U

struct flow_table {
    struct hash_key key;
    u32 slots[FLOW_SLOTS]; /* the hash's upper bits, and the queue and one more; 0: none */
};

/* Of a packet of which the first n bytes, FLOW_HEAD or all, are at head; ethernet: it begins with
 * that header, a tag perhaps behind it; else with one of IP. */
u32 flow_hash(const struct hash_key *key, const u8 *head, u32 n, bool ethernet);
/* The flow came by that queue, below FLOW_QUEUES. */
void flow_learn(struct flow_table *t, u32 hash, u32 queue);
/* Below n, the queues there are: 1 to FLOW_QUEUES. */
u32 flow_queue(const struct flow_table *t, u32 hash, u32 n);
/* What came by `from` is `to`'s; what came by `to` before is forgotten. from == to: all is. */
void flow_move(struct flow_table *t, u32 from, u32 to);
