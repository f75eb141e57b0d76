/* SPDX-License-Identifier: MIT
 *
 * Joining segments: RFC 791, 8200, 9293. join.h has the rules.
 */
#include "dev/join.h"
#include "dev/header_words.h"
#include "lib/checksum.h"
#include "lib/string.h"
#include "lib/wire.h"

/* Both addresses, which lie behind each other. */
static const u8 *join_addresses(const u8 *head, const struct join_view *v, u32 *n)
{
    *n = v->v6 ? 32 : 8;
    return head + v->network + (v->v6 ? IPV6_FROM : IPV4_FROM);
}

static u32 join_hash(const u8 *head, const struct join_view *v)
{
    u32 n, hash = wire_u32(head + v->transport);
    const u8 *at = join_addresses(head, v, &n);

    for (u32 i = 0; i < n; i += 4)
        hash = (hash ^ wire_u32(at + i)) * 0x9e3779b1U;
    return hash;
}

/* The network header: of TCP, and its own length; *joins: the segment may be joined. False: it is
 * none of TCP's, or a part of one. */
static bool join_network4(const u8 *ip, u32 n, u32 len, u32 *header, bool *joins)
{
    u16 fragment;

    if (n < IPV4_HEADER || ip[0] >> 4 != 4 || ip[IPV4_PROTOCOL] != PROTOCOL_TCP)
        return false;
    *header = (ip[0] & 15) * 4U;
    fragment = wire_u16(ip + IPV4_FRAGMENT);
    if (*header < IPV4_HEADER || (fragment & (u16)~IPV4_DONT))
        return false;
    *joins = *header == IPV4_HEADER && fragment == IPV4_DONT && wire_u16(ip + IPV4_LENGTH) == len &&
             checksum_of(ip, IPV4_HEADER) == 0;
    return true;
}

static bool join_network6(const u8 *ip, u32 n, u32 len, u32 *header, bool *joins)
{
    if (n < IPV6_HEADER || ip[0] >> 4 != 6 || ip[IPV6_NEXT] != PROTOCOL_TCP)
        return false;
    *header = IPV6_HEADER;
    *joins = wire_u16(ip + IPV6_LENGTH) + (u32)IPV6_HEADER == len;
    return true;
}

static bool join_transport(const u8 *tcp, u32 n, u32 len, u32 *header)
{
    *header = (tcp[TCP_OFFSET] >> 4) * 4U;
    return *header >= TCP_HEADER && *header <= n && *header < len && !(tcp[TCP_OFFSET] & 15) &&
           (tcp[TCP_FLAGS] & (u8)~TCP_BIT_PSH) == TCP_BIT_ACK && !wire_u16(tcp + TCP_URGENT);
}

void join_look(const u8 *head, u32 n, u32 len, u16 network, u16 type, struct join_view *out)
{
    struct join_view v = {.v6 = type == ETHERTYPE_IPV6, .network = network};
    u32 ip = 0, tcp = 0;
    bool joins = false, is;

    *out = (struct join_view){.kind = JOIN_OTHER};
    if ((type != ETHERTYPE_IPV4 && type != ETHERTYPE_IPV6) || n < network)
        return;
    is = v.v6 ? join_network6(head + network, n - network, len - network, &ip, &joins)
              : join_network4(head + network, n - network, len - network, &ip, &joins);
    if (!is || network + ip + TCP_HEADER > n)
        return;
    v.transport = (u16)(network + ip);
    if (!join_transport(head + v.transport, n - v.transport, len - v.transport, &tcp))
        joins = false;
    v.kind = joins ? JOIN_SEGMENT : JOIN_ALONE;
    v.header = (u16)(v.transport + tcp);
    v.payload = joins ? len - v.header : 0;
    v.flow = join_hash(head, &v);
    *out = v;
}

bool join_same_flow(const u8 *a, const struct join_view *va, const u8 *b,
                    const struct join_view *vb)
{
    u32 n, m;
    const u8 *from_a = join_addresses(a, va, &n), *from_b = join_addresses(b, vb, &m);

    return va->flow == vb->flow && n == m && !memcmp(from_a, from_b, n) &&
           !memcmp(a + va->transport, b + vb->transport, 4);
}

void join_begin(struct join *j, const u8 *head, const struct join_view *v)
{
    *j = (struct join){.first = *v, .payload = v->payload, .segments = 1};
    j->ends = head[v->transport + TCP_FLAGS] & TCP_BIT_PSH;
}

/* Whether the words that segments of one packet share are the same. */
static bool join_same_words(const struct join_view *v, const u8 *a, const u8 *b)
{
    const u8 *ip_a = a + v->network, *ip_b = b + v->network;
    const u8 *tcp_a = a + v->transport, *tcp_b = b + v->transport;
    u32 options = v->header - v->transport - TCP_HEADER;

    if (memcmp(a, b, v->network)) /* the link's header */
        return false;
    if (v->v6 ? memcmp(ip_a, ip_b, IPV6_LENGTH) || ip_a[7] != ip_b[7]
              : ip_a[1] != ip_b[1] || ip_a[8] != ip_b[8])
        return false;
    return !memcmp(tcp_a + TCP_ACK, tcp_b + TCP_ACK, 5) &&
           !memcmp(tcp_a + TCP_WINDOW, tcp_b + TCP_WINDOW, 2) &&
           !memcmp(tcp_a + TCP_HEADER, tcp_b + TCP_HEADER, options);
}

bool join_continues(const struct join *j, const u8 *head, const u8 *b, const struct join_view *vb)
{
    const struct join_view *v = &j->first;

    if (j->ends || vb->v6 != v->v6 || vb->header != v->header || vb->network != v->network ||
        vb->transport != v->transport || vb->payload > v->payload)
        return false;
    if (v->header - v->network + j->payload + vb->payload > JOIN_LENGTH_MAX)
        return false;
    return wire_u32(b + vb->transport + TCP_SEQUENCE) ==
               wire_u32(head + v->transport + TCP_SEQUENCE) + j->payload &&
           join_same_words(v, head, b);
}

void join_add(struct join *j, u8 *head, const u8 *b, const struct join_view *vb)
{
    u8 psh = b[vb->transport + TCP_FLAGS] & TCP_BIT_PSH;

    head[j->first.transport + TCP_FLAGS] |= psh;
    j->payload += vb->payload;
    j->segments++;
    j->ends = psh || vb->payload < j->first.payload;
}

void join_finish(const struct join *j, u8 *head)
{
    const struct join_view *v = &j->first;
    u8 *ip = head + v->network, *tcp = head + v->transport;
    u32 length = v->header - v->transport + j->payload, n;
    u8 words[4] = {0, PROTOCOL_TCP, (u8)(length >> 8), (u8)length};
    const u8 *addresses = join_addresses(head, v, &n);
    u16 sum = checksum_fold(checksum_add(checksum_add(0, words, sizeof(words)), addresses, n));

    memcpy(tcp + TCP_SUM, &sum, sizeof(sum));
    if (v->v6) {
        wire_put_u16(ip + IPV6_LENGTH, length);
        return;
    }
    wire_put_u16(ip + IPV4_LENGTH, IPV4_HEADER + length);
    memset(ip + IPV4_SUM, 0, sizeof(sum));
    sum = checksum_of(ip, IPV4_HEADER);
    memcpy(ip + IPV4_SUM, &sum, sizeof(sum));
}
