/* SPDX-License-Identifier: MIT
 *
 * Segments: RFC 791, 8200, 9293, 768. segment.h has the rules.
 */
#include "dev/segment.h"
#include "dev/header_words.h"
#include "dev/packet_words.h"
#include "lib/checksum.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "lib/wire.h"

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

    wire_put_u16(at, checksum_fold((u64)wire_u16(at) + (u16)~was + is));
}

static void segment_ip(const struct segment_plan *s, u8 *head, u32 i, u32 bytes)
{
    u8 *ip = head + s->network;
    u32 length = s->header - s->network + bytes;
    u16 sum;

    if (s->v6) {
        wire_put_u16(ip + IPV6_LENGTH, length - IPV6_HEADER);
        return;
    }
    wire_put_u16(ip + IPV4_LENGTH, length);
    wire_put_u16(ip + IPV4_ID, wire_u16(ip + IPV4_ID) + i);
    memset(ip + IPV4_SUM, 0, 2);
    sum = checksum_of(ip, s->transport - s->network);
    memcpy(ip + IPV4_SUM, &sum, sizeof(sum));
}

static void segment_tcp(const struct segment_plan *s, u8 *head, u32 i)
{
    u8 *tcp = head + s->transport;

    wire_put_u32(tcp + TCP_SEQUENCE, wire_u32(tcp + TCP_SEQUENCE) + i * s->size);
    if (i)
        tcp[TCP_FLAGS] &= (u8)~TCP_BIT_CWR;
    if (i + 1 < s->count)
        tcp[TCP_FLAGS] &= (u8) ~(TCP_BIT_FIN | TCP_BIT_PSH);
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
        wire_put_u16(out + s->transport + UDP_LENGTH, own + bytes);
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
