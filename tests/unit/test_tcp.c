/* SPDX-License-Identifier: MIT
 *
 * TCP's headers and options, from and to bytes.
 */
#include "harness.h"
#include "net/tcp/segment.h"

#include <stdlib.h>
#include <string.h>

/* A header with those options behind it, padded to words. */
static u32 tcp_bytes(u8 *out, const struct tcp_segment *s, const void *options, u32 n)
{
    u32 header = (TCP_HEADER + n + 3) / 4 * 4;

    memset(out, 0, TCP_HEADER_MAX);
    tcp_segment_build(out, s);
    memcpy(out + TCP_HEADER, options, n);
    out[12] = (u8)(header / 4 << 4);
    return header;
}

static struct tcp_segment tcp_parsed(const char *options, u32 n, u16 flags)
{
    struct tcp_segment s = {.flags = flags}, out = {0};
    u8 bytes[TCP_HEADER_MAX];
    u32 header = tcp_bytes(bytes, &s, options, n);

    if (tcp_segment_parse(bytes, header, header, &out))
        out.header = 0;
    return out;
}

TEST(tcp_segment_is_read_as_it_was_built)
{
    struct tcp_segment s = {.from_port = 80,
                            .to_port = 50000,
                            .seq = 0xfedcba98,
                            .ack = 0x12345678,
                            .len = 3,
                            .flags = TCP_SYN | TCP_ACK | TCP_ECE,
                            .window = 0xabcd,
                            .urgent = 7,
                            .has = TCP_HAS_MSS | TCP_HAS_SCALE | TCP_HAS_SACK_OK | TCP_HAS_TIME,
                            .scale = 9,
                            .mss = 1460,
                            .time = 0x11223344,
                            .echo = 0x55667788};
    struct tcp_segment out;
    u8 bytes[TCP_HEADER_MAX] = {0};
    u32 n = tcp_segment_build(bytes, &s);

    EXPECT(n == tcp_segment_header(&s) && n == 44);
    EXPECT(!tcp_segment_parse(bytes, n, n + 3, &out));
    s.header = (u8)n;
    EXPECT(!memcmp(&s, &out, sizeof(s)));
}

TEST(tcp_segment_has_as_many_sacks_as_fit)
{
    struct tcp_segment s = {.flags = TCP_ACK, .nr_sacks = 4, .has = TCP_HAS_TIME}, out;
    u8 bytes[TCP_HEADER_MAX] = {0};
    u32 n;

    for (u32 i = 0; i < 4; i++)
        s.sacks[i] = (struct tcp_sack){i * 10, i * 10 + 5};
    n = tcp_segment_build(bytes, &s);
    EXPECT(n == TCP_HEADER + 12 + 28 && !tcp_segment_parse(bytes, n, n, &out));
    EXPECT(out.nr_sacks == 3 && out.sacks[2].to == 25);
    s.has = 0;
    n = tcp_segment_build(bytes, &s);
    EXPECT(n == TCP_HEADER + 36 && !tcp_segment_parse(bytes, n, n, &out) && out.nr_sacks == 4);
}

TEST(tcp_segment_too_short_is_none)
{
    struct tcp_segment s = {0}, out;
    u8 bytes[TCP_HEADER_MAX] = {0};

    tcp_segment_build(bytes, &s);
    EXPECT(tcp_segment_parse(bytes, 19, 19, &out));
    bytes[12] = 4 << 4; /* less than a header */
    EXPECT(tcp_segment_parse(bytes, 60, 60, &out));
    bytes[12] = 15 << 4; /* more than there is */
    EXPECT(tcp_segment_parse(bytes, 59, 59, &out));
    EXPECT(!tcp_segment_parse(bytes, 60, 60, &out));
}

TEST(tcp_unknown_options_are_skipped)
{
    struct tcp_segment s = tcp_parsed("\x22\x06"
                                      "abcd"
                                      "\x01\x02\x04\x05\xb4",
                                      11, TCP_SYN);

    EXPECT(s.header && (s.has & TCP_HAS_MSS) && s.mss == 1460);
}

TEST(tcp_malformed_options_end_the_list)
{
    struct tcp_segment s = tcp_parsed("\x22\x00\x02\x04\x05\xb4", 6, TCP_SYN);

    EXPECT(s.header && !s.has);
    s = tcp_parsed("\x22\x01\x02\x04\x05\xb4", 6, TCP_SYN);
    EXPECT(s.header && !s.has);
    s = tcp_parsed("\x02\x09\x05\xb4", 4, TCP_SYN); /* longer than the header */
    EXPECT(s.header && !s.has);
    s = tcp_parsed("\x01\x01\x01\x02", 4, TCP_SYN); /* a kind without a length */
    EXPECT(s.header && !s.has);
}

TEST(tcp_options_of_wrong_length_are_skipped)
{
    struct tcp_segment s = tcp_parsed("\x02\x03\x05\x03\x03\x07", 6, TCP_SYN);

    EXPECT(s.header && s.has == TCP_HAS_SCALE && s.scale == 7);
    s = tcp_parsed("\x05\x08"
                   "aaaaaa",
                   8, TCP_ACK); /* SACK of less than a block */
    EXPECT(s.header && !s.nr_sacks);
}

TEST(tcp_options_of_a_syn_count_in_a_syn_alone)
{
    struct tcp_segment s = tcp_parsed("\x02\x04\x05\xb4\x03\x03\x07\x04\x02", 9, TCP_ACK);

    EXPECT(s.header && !s.has);
    s = tcp_parsed("\x05\x0a\0\0\0\1\0\0\0\2", 10, TCP_SYN);
    EXPECT(s.header && !s.nr_sacks);
}

TEST(tcp_timestamps_are_read_wherever_they_lie)
{
    static const char *const layouts[] = {"\x01\x01\x08\x0a\0\0\0\3\0\0\0\4",
                                          "\x08\x0a\0\0\0\3\0\0\0\4\x01\x01",
                                          "\x01\x08\x0a\0\0\0\3\0\0\0\4\x01"};

    for (unsigned i = 0; i < 3; i++) {
        struct tcp_segment s = tcp_parsed(layouts[i], 12, TCP_ACK);

        EXPECT(s.header && s.has == TCP_HAS_TIME && s.time == 3 && s.echo == 4);
    }
}

TEST(tcp_scale_beyond_14_is_14)
{
    struct tcp_segment s = tcp_parsed("\x03\x03\xff", 3, TCP_SYN);

    EXPECT(s.scale == 14);
}

TEST(tcp_sacks_that_run_backwards_are_left_out)
{
    struct tcp_segment s = tcp_parsed("\x05\x12\0\0\0\5\0\0\0\5\0\0\0\1\0\0\0\2", 18, TCP_ACK);

    EXPECT(s.nr_sacks == 1 && s.sacks[0].from == 1 && s.sacks[0].to == 2);
}

TEST(tcp_refusal_of_an_ack_takes_its_number)
{
    struct tcp_segment in = {.from_port = 1, .to_port = 2, .seq = 5, .ack = 9, .flags = TCP_ACK};
    struct tcp_segment out;

    EXPECT(tcp_segment_refuse(&in, &out) && out.flags == TCP_RST && out.seq == 9);
    EXPECT(out.from_port == 2 && out.to_port == 1);
    in.flags = TCP_SYN | TCP_FIN;
    in.len = 3;
    EXPECT(tcp_segment_refuse(&in, &out) && out.flags == (TCP_RST | TCP_ACK));
    EXPECT(out.seq == 0 && out.ack == 10);
    in.flags = TCP_RST;
    EXPECT(!tcp_segment_refuse(&in, &out));
}

/* The bytes lie at the end of their memory: what reads past it is caught. */
TEST(tcp_segment_parse_survives_any_damage)
{
    u64 state = 7;

    for (u64 i = 0; i < 20000 * unit_times(); i++) {
        u32 n = (u32)(unit_rand(&state) % 70);
        u8 *bytes = malloc(n ? n : 1);
        struct tcp_segment out;

        for (u32 k = 0; k < n; k++)
            bytes[k] = (u8)(unit_rand(&state) >> (unit_rand(&state) % 3 * 8));
        if (n > 12 && unit_rand(&state) % 4)
            bytes[12] = (u8)(n / 4 << 4);
        if (!tcp_segment_parse(bytes, n, n, &out))
            EXPECT(out.header <= n && out.len == n - out.header && out.nr_sacks <= TCP_SACKS);
        free(bytes);
    }
}
