/* SPDX-License-Identifier: MIT
 *
 * Classic BPF over packets: what a program may be, what it means, and that none of it reads beyond
 * the packet.
 */
#include "harness.h"

#include "lib/bpf.h"
#include "lib/errno.h"
#include "lib/string.h"

#include <stdlib.h>

static u32 bpf_drawn;

static u32 bpf_random(void)
{
    bpf_drawn++;
    return 77;
}

static void bpf_fetch(const struct bpf_packet *p, u32 offset, u8 *out, u32 n)
{
    memcpy(out, (const u8 *)p->packet + offset, n);
}

/* The first nr_head bytes in one place, the rest elsewhere. */
static u32 bpf_over(const struct bpf_insn *insns, const u8 *bytes, u32 n, u32 nr_head)
{
    struct bpf_packet p = {.head = bytes,
                           .nr_head = nr_head,
                           .len = n,
                           .network = 14,
                           .fetch = bpf_fetch,
                           .packet = bytes,
                           .random = bpf_random};

    for (u32 i = 0; i < BPF_KNOWN_MOST; i++)
        p.known[i] = 1000 + i;
    return bpf_run(insns, &p);
}

static bool bpf_ok(const struct bpf_insn *insns, u32 n)
{
    u16 written[64];

    return !bpf_check(insns, n, BPF_PACKET, 0, written);
}

/* tcpdump -dd 'udp dst port 53' for IPv4. */
static const struct bpf_insn dns[] = {
    {0x28, 0, 0, 12}, {0x15, 0, 8, 0x800},  {0x30, 0, 0, 23}, {0x15, 0, 6, 17},
    {0x28, 0, 0, 20}, {0x45, 4, 0, 0x1fff}, {0xb1, 0, 0, 14}, {0x48, 0, 0, 16},
    {0x15, 0, 1, 53}, {0x06, 0, 0, 262144}, {0x06, 0, 0, 0},
};

/* A number that begins before the packet, in a header that was passed, and ends in it, wherever its
 * bytes lie. */
TEST(bpf_load_reaches_over_the_packets_beginning)
{
    static const u8 frame[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const struct bpf_insn load[] = {{0x20, 0, 0, BPF_FROM_NETWORK + 2}, {0x16, 0, 0, 0}};

    for (u32 head = 0; head <= 4; head++) {
        struct bpf_packet p = {.head = frame + 4,
                               .nr_head = head,
                               .len = 4,
                               .before = 4,
                               .network = -4,
                               .fetch = bpf_fetch,
                               .packet = frame + 4};

        EXPECT(bpf_run(load, &p) == 0x03040506);
        p.before = 1;
        EXPECT(bpf_run(load, &p) == 0);
    }
}

TEST(bpf_filter_of_tcpdump_takes_what_it_says)
{
    u8 frame[60] = {[12] = 8, [14] = 0x46, [23] = 17, [14 + 24 + 3] = 53};

    EXPECT(bpf_ok(dns, 11));
    for (u32 head = 0; head <= 60; head++)
        EXPECT(bpf_over(dns, frame, 60, head) == 262144);
    EXPECT(bpf_over(dns, frame, 41, 41) == 0); /* cut before the port */
    frame[41] = 54;
    EXPECT(bpf_over(dns, frame, 60, 60) == 0);
    frame[41] = 53;
    frame[20] = 1; /* a later fragment */
    EXPECT(bpf_over(dns, frame, 60, 60) == 0);
}

TEST(bpf_loads_from_headers_and_of_what_is_known)
{
    static const struct {
        u16 code;
        u32 k, is;
    } loads[] = {{0x30, 0xfff00000, 14},
                 {0x28, 0xfff00001, 0x0f10},
                 {0x20, 0xffe00002, 0x02030405},
                 {0x30, 0xfff00000 - 1, 0},
                 {0x30, 0xfff00000 + 46, 0},
                 {0x20, 0xfffff000, 1000},
                 {0x20, 0xfffff000 + 8, 1002},
                 {0x20, 0xfffff000 + 44, 1011},
                 {0x20, 0xfffff000 + 56, 77}, /* a random number */
                 {0x20, 58, 0},
                 {0x28, 58, 0x3a3b},
                 {0x80, 0, 60}};
    u8 bytes[60];

    for (u32 i = 0; i < 60; i++)
        bytes[i] = (u8)i;
    for (u32 i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
        struct bpf_insn p[] = {{loads[i].code, 0, 0, loads[i].k}, {0x16, 0, 0, 0}};

        EXPECT(bpf_ok(p, 2) && bpf_over(p, bytes, 60, 20) == loads[i].is);
    }
}

/* However often a program asks, one is drawn; what it gets then is another one each time. */
TEST(bpf_random_number_is_drawn_once_in_a_run)
{
    static const struct bpf_insn three[] = {{0x20, 0, 0, 0xfffff000 + 56},
                                            {0x02, 0, 0, 0},
                                            {0x20, 0, 0, 0xfffff000 + 56},
                                            {0x07, 0, 0, 0},
                                            {0x60, 0, 0, 0},
                                            {0xac, 0, 0, 0},
                                            {0x07, 0, 0, 0},
                                            {0x20, 0, 0, 0xfffff000 + 56},
                                            {0xac, 0, 0, 0},
                                            {0x16, 0, 0, 0}};
    u8 byte = 0;
    u32 got;

    bpf_drawn = 0;
    EXPECT(bpf_ok(three, 10));
    got = bpf_over(three, &byte, 1, 1);
    EXPECT(bpf_drawn == 1 && got && got != 77);
    EXPECT(bpf_over(three, &byte, 1, 1) == got && bpf_drawn == 2); /* nothing stays of a run */
}

TEST(bpf_programs_that_are_not_sound_are_refused)
{
    static const struct bpf_insn bad[][2] = {
        {{0x60, 0, 0, 3}, {0x06, 0, 0, 0}}, /* a word that was not written */
        {{0x06, 0, 0, 0}, {0x00, 0, 0, 0}}, /* no end */
        {{0x15, 1, 0, 0}, {0x06, 0, 0, 0}}, /* beyond the end */
        {{0x05, 0, 0, 1}, {0x06, 0, 0, 0}},
        {{0x05, 0, 0, 0xffffffff}, {0x06, 0, 0, 0}}, /* backwards */
        {{0x34, 0, 0, 0}, {0x06, 0, 0, 0}},          /* division by zero */
        {{0x94, 0, 0, 0}, {0x06, 0, 0, 0}},
        {{0x64, 0, 0, 32}, {0x06, 0, 0, 0}},
        {{0x02, 0, 0, 16}, {0x06, 0, 0, 0}},
        {{0x20, 0, 0, 0xfffff00c}, {0x06, 0, 0, 0}}, /* nothing known has that place */
        {{0x20, 0, 0, 0xfffff002}, {0x06, 0, 0, 0}},
        {{0x20, 0, 0, 0xfffffffc}, {0x06, 0, 0, 0}},
        {{0x120, 0, 0, 0}, {0x06, 0, 0, 0}},
    };

    for (u32 i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(!bpf_ok(bad[i], 2));
    EXPECT(!bpf_ok(dns, 0) && !bpf_ok(dns, 9));
}

TEST(bpf_random_programs_read_nothing_beyond_the_packet)
{
    static const u16 codes[] = {0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x60, 0x80, 0x01, 0x61,
                                0x81, 0xb1, 0x02, 0x03, 0x07, 0x87, 0x04, 0x0c, 0x1c, 0x2c, 0x3c,
                                0x9c, 0x6c, 0x84, 0x05, 0x15, 0x1d, 0x25, 0x45, 0x06, 0x16};
    static const u32 numbers[] = {0,          1,          14,         0x7fffffff, 0xffffffff,
                                  0xfffff000, 0xfff00000, 0xffe00000, 0xffdfffff, 0xfffff028};
    u64 seed = 7, ran = 0;

    for (u64 round = 0; round < 100000 * unit_times(); round++) {
        struct bpf_insn p[16];
        u32 n = (u32)(unit_rand(&seed) % 64);
        u8 *bytes = malloc(n ? n : 1); /* of its very length: ASan sees */

        memset(bytes, (int)unit_rand(&seed), n);
        for (u32 i = 0; i < 16; i++) {
            p[i].code = codes[unit_rand(&seed) % (sizeof(codes) / sizeof(codes[0]))];
            p[i].jt = (u8)(unit_rand(&seed) % 4);
            p[i].jf = (u8)(unit_rand(&seed) % 4);
            p[i].k = unit_rand(&seed) % 2 ? (u32)(unit_rand(&seed) % 70)
                                          : numbers[unit_rand(&seed) % 10];
        }
        p[14] = p[15] = (struct bpf_insn){0x16, 0, 0, 0};
        if (bpf_ok(p, 16)) {
            u32 whole = bpf_over(p, bytes, n, n);

            EXPECT(bpf_over(p, bytes, n, n / 2) == whole && bpf_over(p, bytes, n, 0) == whole);
            ran++;
        }
        free(bytes);
    }
    EXPECT(ran > 1000);
}
