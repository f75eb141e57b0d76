/* SPDX-License-Identifier: MIT
 *
 * Packets: bytes in a head and in fragments of pages.
 */
#include "dev/packet.h"
#include "lib/checksum.h"
#include "lib/log.h"
#include "lib/string.h"

/* 300 bytes, i at place i: `linear` of them in the head, then fragments of 7, 100 and the rest. */
static struct packet *net_packet_make(struct page *pages[3], u32 linear)
{
    struct packet *p = packet_alloc();
    u32 len[3] = {7, 100, 193 - linear}, at = 0;
    u8 *head;

    if (!p)
        return NULL;
    head = packet_append(p, linear);
    while (at < linear) {
        head[at] = (u8)at;
        at++;
    }
    for (unsigned i = 0; i < 3; i++) {
        u8 *to;

        pages[i] = page_alloc(0, 0);
        if (!pages[i]) {
            packet_free(p);
            return NULL;
        }
        page_get(pages[i]); /* the test's own */
        to = (u8 *)page_virt(pages[i]) + 11;
        for (u32 k = 0; k < len[i]; k++)
            to[k] = (u8)at++;
        if (packet_add_page(p, pages[i], 11, len[i]))
            panic("a packet of three fragments");
    }
    return p;
}

static bool net_packet_pages_freed(struct page *pages[3])
{
    bool ok = true;

    for (unsigned i = 0; i < 3; i++) {
        ok = ok && atomic_read(&pages[i]->ref) == 1;
        page_put(pages[i]);
    }
    return ok;
}

SELFTEST(net_packet_gathers_headers_and_frees_what_it_had)
{
    struct page *pages[3];
    struct packet *p = net_packet_make(pages, 20);
    u8 *at;

    CHECK(p && p->len == 300 && p->linear == 20 && p->nr_frags == 3);
    CHECK(!packet_need(p, 301) && !packet_need(p, PACKET_LINEAR + 1));
    at = packet_need(p, 140); /* over two fragments, into the third */
    CHECK(at && p->linear == 140 && p->nr_frags == 1 && p->len == 300);
    for (u32 i = 0; i < 140; i++)
        CHECK(at[i] == (u8)i);
    CHECK(atomic_read(&pages[0]->ref) == 1 && atomic_read(&pages[2]->ref) == 2);
    packet_pull(p, 14);
    CHECK(p->len == 286 && packet_data(p)[0] == 14);
    at = packet_push(p, 14);
    CHECK(at && at[0] == 0 && !packet_push(p, PACKET_HEADROOM + 1));
    packet_free(p);
    CHECK(net_packet_pages_freed(pages));
}

/* One that a socket sent has little space behind its first byte. */
SELFTEST(net_packet_makes_room_for_a_header_in_front)
{
    struct page *pages[3];
    struct packet *p = net_packet_make(pages, 20);
    u8 *at;

    CHECK(p);
    packet_pull(p, 10);
    CHECK(!packet_need_room(p, 291) && !packet_need_room(p, PACKET_HEAD + 1));
    CHECK(!packet_need(p, PACKET_LINEAR) && p->linear == 10);
    at = packet_need_room(p, PACKET_LINEAR);
    CHECK(at == packet_data(p) && p->linear == PACKET_LINEAR && p->len == 290);
    for (u32 i = 0; at && i < PACKET_LINEAR; i++)
        CHECK(at[i] == (u8)(i + 10));
    packet_free(p);
    CHECK(net_packet_pages_freed(pages));
}

SELFTEST(net_packet_is_cut_anywhere_and_summed_over_fragments)
{
    u8 bytes[300];

    for (u32 i = 0; i < sizeof(bytes); i++)
        bytes[i] = (u8)i;
    for (u32 cut = 0; cut <= 300; cut += 3) {
        struct page *pages[3];
        struct packet *p = net_packet_make(pages, 21);
        u32 from = cut / 3;

        CHECK(p);
        packet_trim(p, cut);
        CHECK(p->len == cut);
        CHECK(checksum_fold(packet_sum(p, from, cut - from, 0)) ==
              checksum_fold(checksum_add(0, bytes + from, cut - from)));
        packet_free(p);
        CHECK(net_packet_pages_freed(pages));
    }
}

SELFTEST(net_packet_sum_that_was_put_off_is_made)
{
    struct page *pages[3];
    struct packet *p = net_packet_make(pages, 60);
    u16 seed = 0x1234;

    CHECK(p);
    p->flags = PACKET_CSUM_PARTIAL;
    p->csum_start = 20;
    p->csum_offset = 16;
    memcpy(packet_data(p) + 36, &seed, sizeof(seed)); /* the pseudo header's */
    CHECK(packet_finish_sum(p) && !(p->flags & PACKET_CSUM_PARTIAL));
    memcpy(&seed, packet_data(p) + 36, sizeof(seed));
    CHECK(checksum_fold(packet_sum(p, 20, 280, 0) + 0x1234) == 0xffff);
    p->csum_start = 59; /* its place is in a fragment, or nowhere */
    CHECK(!packet_finish_sum(p));
    p->csum_start = 400;
    CHECK(!packet_finish_sum(p));
    packet_free(p);
    CHECK(net_packet_pages_freed(pages));
}
