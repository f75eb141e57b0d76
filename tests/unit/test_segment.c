/* SPDX-License-Identifier: MIT
 *
 * Cutting packets into segments: headers that are written here by hand, looked at by sums that are
 * made the long way.
 */
#include "dev/segment.h"

#include <stdlib.h>
#include <string.h>

#include "dev/packet_words.h"
#include "harness.h"
#include "lib/checksum.h"
#include "lib/errno.h"

#define ETHERNET 14

struct whole {
    u8 *bytes; /* exactly len of them */
    u32 len, network, transport, header;
};

static void put16(u8 *p, u32 v)
{
    p[0] = (u8)(v >> 8);
    p[1] = (u8)v;
}

static u32 get16(const u8 *p)
{
    return (u32)p[0] << 8 | p[1];
}

/* Of the pseudo header, in the order of memory. */
static u64 pseudo(const u8 *ip, bool v6, u8 protocol, u32 length)
{
    u8 words[4] = {0, protocol, (u8)(length >> 8), (u8)length};
    u64 sum = v6 ? checksum_add(0, ip + 8, 32) : checksum_add(0, ip + 12, 8);

    return checksum_add(sum, words, sizeof(words));
}

static struct whole whole_make(bool v6, bool udp, u32 options, u32 payload)
{
    struct whole w = {.network = ETHERNET, .transport = ETHERNET + (v6 ? 40 : 20)};
    u32 own = udp ? 8 : 20 + options, length = own + payload;
    u8 protocol = udp ? 17 : 6, *ip, *l4;
    u16 sum;

    w.header = w.transport + own;
    w.len = w.header + payload;
    w.bytes = calloc(1, w.len);
    ip = w.bytes + w.network;
    l4 = w.bytes + w.transport;
    for (u32 i = 0; i < payload; i++)
        w.bytes[w.header + i] = (u8)(i * 7 + i / 256);
    if (v6) {
        ip[0] = 0x60;
        put16(ip + 4, length);
        ip[6] = protocol;
        memset(ip + 8, 0x22, 16);
        memset(ip + 24, 0x33, 16);
    } else {
        ip[0] = 0x45;
        put16(ip + 2, 20 + length);
        put16(ip + 4, 0xfffe);
        ip[9] = protocol;
        memset(ip + 12, 0x0a, 4);
        memset(ip + 16, 0x0b, 4);
    }
    if (udp) {
        put16(l4 + 4, length);
    } else {
        memset(l4 + 4, 0xff, 3); /* a sequence number that wraps */
        l4[12] = (u8)((20 + options) / 4 << 4);
        l4[13] = 0x80 | 0x10 | 0x08 | 0x01; /* CWR ACK PSH FIN */
    }
    sum = checksum_fold(pseudo(ip, v6, protocol, length));
    memcpy(l4 + (udp ? 6 : 16), &sum, sizeof(sum));
    return w;
}

/* Segment i as it goes out, its sum finished; it must be right in all its words. */
static void look(const struct whole *w, const struct segment_plan *s, u32 i)
{
    u32 n = segment_bytes(s, i), own = s->header - s->transport;
    bool udp = s->kind == SEGMENT_UDP;
    u8 *out = malloc(s->header + n), *ip = out + s->network, *l4 = out + s->transport;
    u8 flags = udp ? 0 : w->bytes[w->transport + 13];
    u16 sum;

    segment_headers(s, w->bytes, i, out);
    memcpy(out + s->header, w->bytes + s->header + i * s->size, n);
    sum = (u16)~checksum_fold(checksum_add(0, l4, own + n));
    memcpy(l4 + (udp ? 6 : 16), &sum, sizeof(sum));
    /* As a receiver looks: all with the pseudo header sums to ones. */
    EXPECT(checksum_fold(checksum_add(pseudo(ip, s->v6, udp ? 17 : 6, own + n), l4, own + n)) ==
           0xffff);
    if (s->v6) {
        EXPECT(get16(ip + 4) == own + n);
    } else {
        EXPECT(get16(ip + 2) == 20 + own + n);
        EXPECT(get16(ip + 4) == ((0xfffe + i) & 0xffff));
        EXPECT(checksum_of(ip, 20) == 0);
    }
    if (udp) {
        EXPECT(get16(l4 + 4) == own + n);
    } else {
        u32 sequence = get16(l4 + 4) << 16 | get16(l4 + 6);

        EXPECT(sequence == 0xffffff00U + i * s->size);
        flags &= (u8) ~(i ? 0x80 : 0);
        flags &= (u8) ~(i + 1 < s->count ? 0x09 : 0);
        EXPECT(l4[13] == flags);
    }
    free(out);
}

static int plan(const struct whole *w, u8 gso, u16 size, struct segment_plan *s)
{
    return segment_plan(w->bytes, w->header, w->len, gso, size, (u16)w->network, (u16)w->transport,
                        s);
}

static void cut(bool v6, bool udp, u32 options, u32 payload, u16 size)
{
    struct whole w = whole_make(v6, udp, options, payload);
    u8 gso = udp ? PACKET_GSO_UDP_L4 : v6 ? PACKET_GSO_TCP6 : PACKET_GSO_TCP4;
    struct segment_plan s;
    u32 all = 0;

    EXPECT(plan(&w, gso, size, &s) == 0);
    EXPECT(s.header == w.header && s.payload == payload);
    for (u32 i = 0; i < s.count; i++) {
        look(&w, &s, i);
        all += segment_bytes(&s, i);
    }
    EXPECT(all == payload);
    free(w.bytes);
}

TEST(segments_of_tcp_and_udp_have_right_headers_and_sums)
{
    for (u32 v6 = 0; v6 < 2; v6++)
        for (u32 udp = 0; udp < 2; udp++) {
            cut(v6, udp, 0, 1, 1);
            cut(v6, udp, 12, 1448, 1448);
            cut(v6, udp, 12, 1449, 1448);
            cut(v6, udp, 40, 65000, 1400);
            cut(v6, udp, 0, 2897, 1448);
            cut(v6, udp, 0, 999, 1);
        }
}

TEST(what_is_not_as_it_says_is_not_cut)
{
    struct whole w = whole_make(false, false, 12, 5000);
    struct segment_plan s;

    EXPECT(plan(&w, PACKET_GSO_TCP4, 0, &s) == -EINVAL);
    EXPECT(plan(&w, PACKET_GSO_TCP4, 1, &s) == -EINVAL); /* too many */
    EXPECT(plan(&w, PACKET_GSO_TCP6, 1000, &s) == -EINVAL);
    EXPECT(plan(&w, PACKET_GSO_UDP_L4, 1000, &s) == -EINVAL);
    EXPECT(plan(&w, PACKET_GSO_UDP, 1000, &s) == -EINVAL);
    EXPECT(plan(&w, 7, 1000, &s) == -EINVAL);
    EXPECT(plan(&w, PACKET_GSO_TCP4 | PACKET_GSO_ECN, 1000, &s) == 0);
    w.bytes[w.transport + 12] = 0x40; /* a TCP header of 16 bytes */
    EXPECT(plan(&w, PACKET_GSO_TCP4, 1000, &s) == -EINVAL);
    w.bytes[w.transport + 12] = 0xf0; /* and one that is not all there */
    EXPECT(plan(&w, PACKET_GSO_TCP4, 1000, &s) == -EINVAL);
    w.bytes[w.transport + 12] = 0x80;
    w.len = w.header;
    EXPECT(plan(&w, PACKET_GSO_TCP4, 1000, &s) == -EINVAL);
    free(w.bytes);
}

TEST(any_bytes_are_cut_or_refused_within_their_bounds)
{
    static const u8 kinds[] = {PACKET_GSO_TCP4, PACKET_GSO_TCP6, PACKET_GSO_UDP_L4};
    u64 seed = 12;
    u32 cuts = 0;

    for (u32 round = 0; round < 200000; round++) {
        u32 n = (u32)(unit_rand(&seed) % 200), len = n + (u32)(unit_rand(&seed) % 3000);
        u8 *head = malloc(n ? n : 1), *out;
        struct segment_plan s;

        for (u32 i = 0; i < n; i++)
            head[i] = (u8)unit_rand(&seed);
        if (n > 40 && round % 2) { /* as if it were one */
            head[14] = round % 4 == 1 ? 0x45 : 0x60;
            head[14 + 9] = 6;
        }
        if (!segment_plan(head, n, len, kinds[round % 3], (u16)(unit_rand(&seed) % 2000), 14,
                          round % 4 == 1 ? 34 : (u16)(unit_rand(&seed) % 100), &s)) {
            out = malloc(s.header);
            segment_headers(&s, head, (u32)(unit_rand(&seed) % s.count), out);
            segment_for_device(&s, head);
            free(out);
            cuts++;
        }
        free(head);
    }
    EXPECT(cuts > 100);
}
