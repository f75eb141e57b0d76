/* SPDX-License-Identifier: MIT
 *
 * Which queue a flow goes to. flow.h has the rules.
 */
#include "net/link/flow.h"
#include "dev/header_words.h"
#include "lib/string.h"
#include "lib/wire.h"

#define LINK_HEADER 14U
#define LINK_TYPE 12
#define LINK_TAG 4U
#define TYPE_TAG 0x8100
#define IPV6_CHAIN 8 /* extension headers that are passed */
#define IPV4_PART 0x3fff

enum { HOP_BY_HOP = 0, ROUTING = 43, DESTINATION = 60, DCCP = 33, SCTP = 132, UDP_LITE = 136 };

/* No padding: it is hashed. The smaller end is first. */
struct flow_key {
    u8 ends[2][20]; /* address, port */
    u16 type, protocol;
};
static_assert(sizeof(struct flow_key) == 44, "no padding");

static bool flow_has_ports(u8 protocol)
{
    return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == SCTP ||
           protocol == DCCP || protocol == UDP_LITE;
}

/* n bytes at p are the transport's. */
static void flow_ports(struct flow_key *k, const u8 *p, u32 n)
{
    if (!flow_has_ports((u8)k->protocol) || n < 4)
        return;
    memcpy(k->ends[0] + 16, p, 2);
    memcpy(k->ends[1] + 16, p + 2, 2);
}

static void flow_of_ipv4(struct flow_key *k, const u8 *ip, u32 n)
{
    u32 header;

    if (n < IPV4_HEADER || ip[0] >> 4 != 4)
        return;
    memcpy(k->ends[0], ip + IPV4_FROM, 4);
    memcpy(k->ends[1], ip + IPV4_FROM + 4, 4);
    k->protocol = ip[IPV4_PROTOCOL];
    header = (ip[0] & 15) * 4U;
    if (header >= IPV4_HEADER && header <= n && !(wire_u16(ip + IPV4_FRAGMENT) & IPV4_PART))
        flow_ports(k, ip + header, n - header);
}

static void flow_of_ipv6(struct flow_key *k, const u8 *ip, u32 n)
{
    u32 at = IPV6_HEADER;
    u8 next;

    if (n < IPV6_HEADER || ip[0] >> 4 != 6)
        return;
    memcpy(k->ends[0], ip + IPV6_FROM, 16);
    memcpy(k->ends[1], ip + IPV6_FROM + 16, 16);
    next = ip[IPV6_NEXT];
    for (u32 i = 0; i < IPV6_CHAIN && at + 8 <= n; i++) {
        if (next != HOP_BY_HOP && next != ROUTING && next != DESTINATION)
            break;
        next = ip[at];
        at += (ip[at + 1] + 1U) * 8;
    }
    k->protocol = next;
    if (at <= n)
        flow_ports(k, ip + at, n - at);
}

static void flow_of_link(struct flow_key *k, const u8 *frame, u32 n)
{
    u32 header = LINK_HEADER;

    if (n < header)
        return;
    k->type = wire_u16(frame + LINK_TYPE);
    if (k->type == TYPE_TAG && n >= header + LINK_TAG) {
        k->type = wire_u16(frame + LINK_TYPE + LINK_TAG);
        header += LINK_TAG;
    }
    if (k->type == ETHERTYPE_IPV4)
        flow_of_ipv4(k, frame + header, n - header);
    else if (k->type == ETHERTYPE_IPV6)
        flow_of_ipv6(k, frame + header, n - header);
}

static void flow_of_ip(struct flow_key *k, const u8 *ip, u32 n)
{
    if (!n)
        return;
    k->type = ip[0] >> 4 == 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
    if (k->type == ETHERTYPE_IPV6)
        flow_of_ipv6(k, ip, n);
    else
        flow_of_ipv4(k, ip, n);
}

u32 flow_hash(const struct hash_key *key, const u8 *head, u32 n, bool ethernet)
{
    struct flow_key k = {.type = 0};
    u8 end[sizeof(k.ends[0])];

    if (ethernet)
        flow_of_link(&k, head, n);
    else
        flow_of_ip(&k, head, n);
    if (memcmp(k.ends[0], k.ends[1], sizeof(end)) > 0) {
        memcpy(end, k.ends[0], sizeof(end));
        memcpy(k.ends[0], k.ends[1], sizeof(end));
        memcpy(k.ends[1], end, sizeof(end));
    }
    return (u32)hash_sip(key, &k, sizeof(k));
}

/* A slot's number is the hash's lower bits; of the upper ones there is space for 23. */
static u32 flow_mark(u32 hash)
{
    return hash & ~(2 * FLOW_QUEUES - 1);
}

static u32 flow_place(u32 hash)
{
    return hash % (FLOW_SLOTS / FLOW_WAYS) * FLOW_WAYS;
}

void flow_learn(struct flow_table *t, u32 hash, u32 queue)
{
    u32 *slots = &t->slots[flow_place(hash)], word = flow_mark(hash) | (queue + 1);
    u32 *at = &slots[(hash >> 30) % FLOW_WAYS]; /* when all are others' */
    bool empty = false;

    for (u32 i = 0; i < FLOW_WAYS; i++) {
        u32 have = READ_ONCE(slots[i]);

        if (have == word)
            return;
        if (have && flow_mark(have) == flow_mark(hash)) {
            at = &slots[i];
            break;
        }
        if (!have && !empty) {
            empty = true;
            at = &slots[i];
        }
    }
    WRITE_ONCE(*at, word);
}

u32 flow_queue(const struct flow_table *t, u32 hash, u32 n)
{
    const u32 *slots = &t->slots[flow_place(hash)];

    for (u32 i = 0; i < FLOW_WAYS; i++) {
        u32 queue = READ_ONCE(slots[i]) - flow_mark(hash);

        if (queue - 1 < n)
            return queue - 1;
    }
    return (u32)((u64)hash * n >> 32);
}

void flow_move(struct flow_table *t, u32 from, u32 to)
{
    for (u32 i = 0; i < FLOW_SLOTS; i++) {
        u32 word = READ_ONCE(t->slots[i]), queue = (word & (2 * FLOW_QUEUES - 1)) - 1;

        if (queue == to)
            WRITE_ONCE(t->slots[i], 0);
        else if (queue == from)
            WRITE_ONCE(t->slots[i], flow_mark(word) | (to + 1));
    }
}
