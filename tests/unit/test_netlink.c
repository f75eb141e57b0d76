/* SPDX-License-Identifier: MIT
 *
 * Netlink's messages: what a program says of lengths is never believed, and what is built is read
 * back.
 */
#include "harness.h"

#include "lib/errno.h"
#include "lib/string.h"
#include "net/netlink/message.h"

#include <stdlib.h>

static const struct nl_rule rules[8] = {
    [1] = {NL_U32, 0, 0},   [2] = {NL_TEXT, 1, 15},   [3] = {NL_NEST, 0, 0},
    [4] = {NL_BYTES, 6, 6}, [5] = {NL_REFUSED, 0, 0}, [6] = {NL_U64, 0, 0},
};

TEST(netlink_what_is_built_is_read_back)
{
    u8 buf[256], *body;
    struct nl_builder b;
    struct nl_header h;
    struct nl_attr a[8], in[8];
    const u8 *p;
    char text[16];
    u32 at = 0, nest;

    nl_builder_init(&b, buf, sizeof(buf));
    body = nl_begin(&b, 20, NLM_F_REQUEST, 7, 9, 5);
    EXPECT(body);
    body[0] = 42;
    nl_put_u32(&b, 1, 0xdeadbeef);
    nest = nl_nest(&b, 3);
    nl_put_text(&b, 2, "eth0");
    nl_nest_end(&b, nest);
    EXPECT(nl_end(&b) && b.len == 16 + 8 + 8 + 4 + 12);
    EXPECT(nl_begin(&b, 21, 0, 8, 9, 0) && nl_end(&b));

    EXPECT(nl_next(buf, b.len, &at, &h, &p) && h.type == 20 && h.seq == 7 && h.port == 9);
    EXPECT(h.len == 48 && p[0] == 42);
    EXPECT(!nl_parse(p + 8, h.len - 24, 24, rules, 8, a, NULL));
    EXPECT(nl_has(&a[1]) && nl_u32(&a[1]) == 0xdeadbeef && a[1].offset == 24 && !nl_has(&a[2]));
    EXPECT(!nl_parse(a[3].data, a[3].len, 0, rules, 8, in, NULL));
    EXPECT(nl_text(&in[2], text, sizeof(text)) == 4 && !memcmp(text, "eth0", 5));
    EXPECT(nl_next(buf, b.len, &at, &h, &p) && h.type == 21 && !nl_next(buf, b.len, &at, &h, &p));
}

TEST(netlink_a_message_that_does_not_fit_is_taken_back)
{
    u8 buf[64], letters[80] = {0};
    struct nl_builder b;

    for (u32 n = 0; n < 80; n++) {
        nl_builder_init(&b, buf, sizeof(buf));
        EXPECT(nl_begin(&b, 1, 0, 0, 0, 0) && nl_end(&b) && b.len == 16);
        (void)nl_begin(&b, 2, 0, 0, 0, 4);
        nl_put(&b, 1, letters, n);
        nl_put_u8(&b, 2, 1);
        EXPECT(nl_end(&b) == (n <= 16));
        EXPECT(b.len == (n <= 16 ? 16 + 20 + 4 + NL_ALIGN(n) + 8 : 16));
    }
}

TEST(netlink_rules_refuse_what_is_too_short_or_long)
{
    static const struct {
        u16 type;
        u32 len;
        int err;
    } cases[] = {{1, 3, -ERANGE}, {1, 4, 0},           {1, 9, 0},       {2, 0, -ERANGE},
                 {2, 15, 0},      {2, 16, -ERANGE},    {4, 5, -ERANGE}, {4, 6, 0},
                 {4, 7, -ERANGE}, {5, 0, -EOPNOTSUPP}, {6, 7, -ERANGE}, {7, 0, 0},
                 {100, 3, 0}};
    u8 buf[64], letters[32];
    struct nl_attr a[8];

    memset(letters, 'x', sizeof(letters));
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nl_builder b;
        struct nl_fault fault = {0};

        nl_builder_init(&b, buf, sizeof(buf));
        nl_put(&b, cases[i].type, letters, cases[i].len);
        EXPECT(nl_parse(buf, 4 + cases[i].len, 100, rules, 8, a, &fault) == cases[i].err);
        EXPECT(!cases[i].err == !fault.text && (!cases[i].err || fault.offset == 100));
    }
}

/* Everything that the parser points to lies in what it was given, which ASan guards. */
static void netlink_walk(const u8 *p, u32 n, unsigned depth, u64 *sum)
{
    struct nl_attr a[8], one;
    u32 at = 0;
    u16 type;

    if (!nl_parse(p, n, 0, rules, 8, a, NULL))
        for (unsigned i = 0; i < 8; i++)
            for (u32 k = 0; k < a[i].len; k++)
                *sum += a[i].data[k];
    while (nl_attr_next(p, n, &at, &type, &one)) {
        for (u32 k = 0; k < one.len; k++)
            *sum += one.data[k];
        if (depth)
            netlink_walk(one.data, one.len, depth - 1, sum);
    }
}

TEST(netlink_random_bytes_are_parsed_within_their_bounds)
{
    u64 seed = 1, sum = 0;

    for (u64 round = 0; round < 20000 * unit_times(); round++) {
        u32 n = (u32)(unit_rand(&seed) % 200), at = 0;
        u8 *bytes = malloc(n ? n : 1);
        struct nl_header h;
        const u8 *body;

        for (u32 i = 0; i < n; i++)
            bytes[i] = (u8)unit_rand(&seed);
        for (u32 i = 0; i + 4 < n; i += 4 + 4 * (unit_rand(&seed) % 4)) { /* lengths that may be */
            bytes[i] = (u8)(unit_rand(&seed) % 64);
            bytes[i + 1] = 0;
            bytes[i + 2] &= 7;
            bytes[i + 3] = 0;
        }
        if (n >= 4 && round % 2)
            memcpy(bytes, &n, 4);
        while (nl_next(bytes, n, &at, &h, &body))
            netlink_walk(body, h.len - NL_HEADER, 3, &sum);
        netlink_walk(bytes, n, 3, &sum);
        free(bytes);
    }
    EXPECT(sum);
}
