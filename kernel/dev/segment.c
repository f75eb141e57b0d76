/* SPDX-License-Identifier: MIT
 *
 * Segments: RFC 791, 8200, 9293, 768. segment.h has the rules.
 */
#include "dev/segment.h"
#include "dev/packet_words.h"
#include "lib/checksum.h"
#include "lib/errno.h"
#include "lib/string.h"

#define IPV4_HEADER 20
#define IPV4_LENGTH 2
#define IPV4_ID 4
#define IPV4_PROTOCOL 9
#define IPV4_SUM 10
#define IPV6_HEADER 40
#define IPV6_LENGTH 4
#define TCP_HEADER 20
#define TCP_SEQUENCE 4
#define TCP_OFFSET 12
#define TCP_FLAGS 13
#define TCP_SUM 16
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80
#define UDP_HEADER 8
#define UDP_LENGTH 4
#define UDP_SUM 6
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17

static u16 segment_u16(const u8 *p)
{
    return (u16)(p[0] << 8 | p[1]);
}

static void segment_put16(u8 *p, u32 v)
{
    p[0] = (u8)(v >> 8);
    p[1] = (u8)v;
}

static u32 segment_u32(const u8 *p)
{
    return (u32)segment_u16(p) << 16 | segment_u16(p + 2);
}

static void segment_put32(u8 *p, u32 v)
{
    segment_put16(p, v >> 16);
    segment_put16(p + 2, v);
}

/* Whether the network header is of that family and reaches to the transport's. Between an IPv6
 * header and the transport's there may be others, which are every segment's. */
static bool segment_network(const u8 *head, const struct segment_plan *s, u8 protocol)
{
    const u8 *ip = head + s->network;

    if (s->v6)
        return s->transport >= s->network + IPV6_HEADER && ip[0] >> 4 == 6;
    return s->transport == s->network + (ip[0] & 15) * 4 && ip[0] >> 4 == 4 &&
           s->transport >= s->network + IPV4_HEADER && ip[IPV4_PROTOCOL] == protocol;
}

static int segment_transport(const u8 *head, u32 n, struct segment_plan *s)
{
    u32 header = UDP_HEADER;

    if (s->kind == SEGMENT_TCP)
        header = (u32)(head[s->transport + TCP_OFFSET] >> 4) * 4;
    if (s->kind == SEGMENT_TCP && header < TCP_HEADER)
        return -EINVAL;
    if (s->transport + header > n || s->transport + header > SEGMENT_HEADER_MAX)
        return -EINVAL;
    s->header = (u16)(s->transport + header);
    return 0;
}

int segment_plan(const u8 *head, u32 n, u32 len, u8 gso, u16 size, u16 network, u16 transport,
                 struct segment_plan *out)
{
    struct segment_plan s = {.network = network, .transport = transport, .size = size};
    u8 what = gso & (u8)~PACKET_GSO_ECN;
    u32 least = what == PACKET_GSO_UDP_L4 ? UDP_HEADER : TCP_HEADER;

    if (what != PACKET_GSO_TCP4 && what != PACKET_GSO_TCP6 && what != PACKET_GSO_UDP_L4)
        return -EINVAL;
    if (!size || network >= transport || (u32)transport + least > n || n > len)
        return -EINVAL;
    s.kind = what == PACKET_GSO_UDP_L4 ? SEGMENT_UDP : SEGMENT_TCP;
    s.v6 = what == PACKET_GSO_TCP6 || (s.kind == SEGMENT_UDP && head[network] >> 4 == 6);
    if (!segment_network(head, &s, s.kind == SEGMENT_UDP ? PROTOCOL_UDP : PROTOCOL_TCP) ||
        segment_transport(head, n, &s))
        return -EINVAL;
    s.payload = len - s.header;
    if (!s.payload)
        return -EINVAL;
    s.count = (s.payload + size - 1) / size;
    if (s.count > SEGMENT_COUNT_MAX)
        return -EINVAL;
    *out = s;
    return 0;
}

static u32 segment_sum_at(const struct segment_plan *s)
{
    return s->transport + (s->kind == SEGMENT_TCP ? TCP_SUM : UDP_SUM);
}

/* The pseudo header's sum with another length. */
static void segment_seed(const struct segment_plan *s, u8 *head, u32 was, u32 is)
{
    u8 *at = head + segment_sum_at(s);

    segment_put16(at, checksum_fold((u64)segment_u16(at) + (u16)~was + is));
}

static void segment_ip(const struct segment_plan *s, u8 *head, u32 i, u32 bytes)
{
    u8 *ip = head + s->network;
    u32 length = s->header - s->network + bytes;
    u16 sum;

    if (s->v6) {
        segment_put16(ip + IPV6_LENGTH, length - IPV6_HEADER);
        return;
    }
    segment_put16(ip + IPV4_LENGTH, length);
    segment_put16(ip + IPV4_ID, segment_u16(ip + IPV4_ID) + i);
    memset(ip + IPV4_SUM, 0, 2);
    sum = checksum_of(ip, s->transport - s->network);
    memcpy(ip + IPV4_SUM, &sum, sizeof(sum));
}

static void segment_tcp(const struct segment_plan *s, u8 *head, u32 i)
{
    u8 *tcp = head + s->transport;

    segment_put32(tcp + TCP_SEQUENCE, segment_u32(tcp + TCP_SEQUENCE) + i * s->size);
    if (i)
        tcp[TCP_FLAGS] &= (u8)~TCP_CWR;
    if (i + 1 < s->count)
        tcp[TCP_FLAGS] &= (u8) ~(TCP_FIN | TCP_PSH);
}

void segment_headers(const struct segment_plan *s, const u8 *head, u32 i, u8 *out)
{
    u32 bytes = segment_bytes(s, i), own = s->header - s->transport;

    memcpy(out, head, s->header);
    segment_ip(s, out, i, bytes);
    segment_seed(s, out, own + s->payload, own + bytes);
    if (s->kind == SEGMENT_TCP)
        segment_tcp(s, out, i);
    else
        segment_put16(out + s->transport + UDP_LENGTH, own + bytes);
}

void segment_for_device(const struct segment_plan *s, u8 *head)
{
    u8 *ip = head + s->network;

    segment_seed(s, head, s->header - s->transport + s->payload, 0);
    if (s->v6) {
        memset(ip + IPV6_LENGTH, 0, 2);
        return;
    }
    memset(ip + IPV4_LENGTH, 0, 2);
    memset(ip + IPV4_SUM, 0, 2);
}
