/* SPDX-License-Identifier: MIT
 *
 * Joining segments: what was cut (dev/segment.h) comes together again as it was; what does not
 * belong together does not; no bytes lead out of their bounds.
 */
#include "dev/join.h"

#include <stdlib.h>
#include <string.h>

#include "dev/packet_words.h"
#include "dev/segment.h"
#include "harness.h"
#include "lib/checksum.h"

#define ETHERNET 14
#define SIZE 1000U

struct stream {
    bool v6;
    u32 network, transport, header, payload;
    u8 head[JOIN_HEAD]; /* of the whole */
    struct segment_plan plan;
};

static void put16(u8 *p, u32 v)
{
    p[0] = (u8)(v >> 8);
    p[1] = (u8)v;
}

static void stream_make(struct stream *s, bool v6, u32 options, u32 payload)
{
    u8 *ip, *tcp;
    u16 sum;
    u8 words[4] = {0, 6, (u8)((20 + options + payload) >> 8), (u8)(20 + options + payload)};

    memset(s, 0, sizeof(*s));
    s->v6 = v6;
    s->payload = payload;
    s->network = ETHERNET;
    s->transport = ETHERNET + (v6 ? 40 : 20);
    s->header = s->transport + 20 + options;
    ip = s->head + s->network;
    tcp = s->head + s->transport;
    put16(s->head + 12, v6 ? 0x86dd : 0x0800);
    ip[0] = v6 ? 0x60 : 0x45;
    if (v6) {
        put16(ip + 4, 20 + options + payload);
        ip[6] = 6;
        memset(ip + 8, 0x11, 32);
    } else {
        put16(ip + 2, 40 + options + payload);
        ip[6] = 0x40;
        ip[9] = 6;
        memset(ip + 12, 0x11, 8);
        sum = checksum_of(ip, 20);
        memcpy(ip + 10, &sum, sizeof(sum));
    }
    put16(tcp, 80);
    put16(tcp + 2, 4000);
    memset(tcp + 4, 0xff, 3);
    tcp[12] = (u8)((20 + options) / 4 << 4);
    tcp[13] = 0x18; /* ACK PSH */
    memset(tcp + 20, 1, options);
    sum = checksum_fold(checksum_add(checksum_add(0, words, 4), ip + (v6 ? 8 : 12), v6 ? 32 : 8));
    memcpy(tcp + 16, &sum, sizeof(sum));
    EXPECT(segment_plan(s->head, s->header, s->header + payload,
                        v6 ? PACKET_GSO_TCP6 : PACKET_GSO_TCP4, SIZE, (u16)s->network,
                        (u16)s->transport, &s->plan) == 0);
}

/* Segment i's headers, and what they are. */
static void stream_segment(const struct stream *s, u32 i, u8 *out, struct join_view *v)
{
    u32 len = s->header + segment_bytes(&s->plan, i);

    memset(out, 0, JOIN_HEAD);
    segment_headers(&s->plan, s->head, i, out);
    join_look(out, MIN(len, (u32)JOIN_HEAD), len, ETHERNET, s->v6 ? 0x86dd : 0x0800, v);
}

static void roundtrip(bool v6, u32 options, u32 payload)
{
    struct stream s;
    struct join_view v;
    struct join j;
    u8 first[JOIN_HEAD], next[JOIN_HEAD];

    stream_make(&s, v6, options, payload);
    stream_segment(&s, 0, first, &v);
    EXPECT(v.kind == JOIN_SEGMENT && v.header == s.header);
    join_begin(&j, first, &v);
    for (u32 i = 1; i < s.plan.count; i++) {
        stream_segment(&s, i, next, &v);
        EXPECT(v.kind == JOIN_SEGMENT && v.payload == segment_bytes(&s.plan, i));
        EXPECT(join_same_flow(first, &j.first, next, &v));
        EXPECT(join_continues(&j, first, next, &v));
        join_add(&j, first, next, &v);
        EXPECT(j.ends == (i + 1 == s.plan.count));
    }
    EXPECT(j.payload == payload && j.segments == s.plan.count);
    join_finish(&j, first);
    EXPECT(!memcmp(first, s.head, s.header));
}

TEST(segments_that_were_cut_are_joined_as_they_were)
{
    for (u32 v6 = 0; v6 < 2; v6++) {
        roundtrip(v6, 0, 2 * SIZE);
        roundtrip(v6, 12, 2 * SIZE + 1);
        roundtrip(v6, 12, 17 * SIZE - 1);
        roundtrip(v6, 40, 60000);
    }
}

/* Whether the second segment continues the first after a change of one of its bytes. */
static bool continues(u32 at, u8 mask, bool mend)
{
    struct stream s;
    struct join_view a, b;
    struct join j;
    u8 first[JOIN_HEAD], next[JOIN_HEAD], *ip = next + ETHERNET;
    u16 sum;

    stream_make(&s, false, 12, 3 * SIZE);
    stream_segment(&s, 0, first, &a);
    join_begin(&j, first, &a);
    stream_segment(&s, 1, next, &b);
    next[at] ^= mask;
    if (mend) {
        memset(ip + 10, 0, 2);
        sum = checksum_of(ip, 20);
        memcpy(ip + 10, &sum, sizeof(sum));
    }
    join_look(next, s.header + 8, s.header + SIZE, ETHERNET, 0x0800, &b);
    return b.kind == JOIN_SEGMENT && join_same_flow(first, &a, next, &b) &&
           join_continues(&j, first, next, &b);
}

TEST(a_segment_with_any_other_word_is_not_joined)
{
    u32 tcp = ETHERNET + 20;

    EXPECT(continues(0, 0, false));
    EXPECT(continues(ETHERNET + 4, 0xff, true)); /* the identification may be any */
    EXPECT(continues(tcp + 13, 0x08, false));    /* and PSH */
    EXPECT(!continues(ETHERNET + 4, 0xff, false));
    for (u32 i = 0; i < ETHERNET + 20; i++)
        if (i != ETHERNET + 4 && i != ETHERNET + 5 && i != ETHERNET + 10 && i != ETHERNET + 11)
            EXPECT(!continues(i, 0x01, true));
    for (u32 i = tcp; i < tcp + 32; i++) /* but the checksum, which the caller has looked at */
        if (i != tcp + 16 && i != tcp + 17)
            EXPECT(!continues(i, 0x10, false));
    EXPECT(!continues(tcp + 13, 0x01, false) && !continues(tcp + 13, 0x02, false) &&
           !continues(tcp + 13, 0x04, false) && !continues(tcp + 13, 0x20, false));
}

TEST(any_bytes_are_looked_at_within_their_bounds)
{
    u64 seed = 3;
    u32 joined = 0, alone = 0;

    for (u32 round = 0; round < 300000; round++) {
        struct stream s;
        struct join_view a, b;
        struct join j;
        u32 n = (u32)(unit_rand(&seed) % (JOIN_HEAD + 1));
        u32 len = n == JOIN_HEAD ? n + (u32)(unit_rand(&seed) % 1400) : n;
        u8 *head = malloc(n ? n : 1), first[JOIN_HEAD], second[JOIN_HEAD];

        stream_make(&s, round % 2, 12, 3 * SIZE);
        stream_segment(&s, 0, first, &a);
        join_begin(&j, first, &a);
        stream_segment(&s, 1, second, &b);
        len = n == JOIN_HEAD && round % 5 ? s.header + SIZE : len;
        for (u32 i = 0; i < n; i++)
            head[i] = round % 3 ? (u8)unit_rand(&seed) : second[i];
        if (n && round % 3 != 1)
            head[unit_rand(&seed) % n] = (u8)unit_rand(&seed);
        join_look(head, n, len, ETHERNET, s.v6 ? 0x86dd : 0x0800, &b);
        alone += b.kind == JOIN_ALONE;
        if (b.kind != JOIN_OTHER && join_same_flow(first, &a, head, &b) && b.kind == JOIN_SEGMENT &&
            join_continues(&j, first, head, &b)) {
            join_add(&j, first, head, &b);
            join_finish(&j, first);
            joined++;
        }
        free(head);
    }
    EXPECT(alone > 100 && joined > 100);
}
