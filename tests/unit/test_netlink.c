/* SPDX-License-Identifier: MIT
 *
 * Netlink's messages: what a program says of lengths is never believed, and what is built is read
 * back.
 */
#include "harness.h"

#include "lib/errno.h"
#include "lib/string.h"
#include "net/netlink/ethtool_ask.h"
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

/* ---- ethtool's family ---- */

static struct nl_builder asked;
static u8 asked_bytes[512];

static void ask_begin(void)
{
    nl_builder_init(&asked, asked_bytes, sizeof(asked_bytes));
    (void)nl_begin(&asked, 20, 0, 0, 0, 4);
}

/* The error, and what is wrong by its place behind the body. */
static int ask_parse(bool sets, struct ethtool_ask *out, struct nl_fault *fault)
{
    *fault = (struct nl_fault){0};
    if (!nl_end(&asked))
        return 1;
    return ethtool_ask_parse(asked_bytes + 20, asked.len - 20, 20, sets, out, fault);
}

static void ask_header(u16 type, const void *data, u32 n)
{
    u32 at = nl_nest(&asked, 1);

    nl_put(&asked, type, data, n);
    nl_nest_end(&asked, at);
}

TEST(ethtool_asks_of_a_device_by_name_or_index)
{
    struct ethtool_ask ask;
    struct nl_fault fault;
    u32 index = 7, flags = ETHTOOL_ASK_COMPACT, at;

    ask_begin();
    EXPECT(!ask_parse(false, &ask, &fault) && !ask.header);
    ask_begin();
    at = nl_nest(&asked, 1);
    nl_put(&asked, 1, &index, 4);
    nl_put_text(&asked, 2, "eth0");
    nl_put(&asked, 3, &flags, 4);
    nl_nest_end(&asked, at);
    EXPECT(!ask_parse(false, &ask, &fault) && ask.header && ask.index == 7 && ask.flags == 1);
    EXPECT(!strcmp(ask.name, "eth0") && ask.index_at == 24 && ask.name_at == 32);
}

TEST(ethtool_refuses_lengths_and_flags_that_are_not_there)
{
    u8 name[ETHTOOL_ASK_NAME + 1];
    struct ethtool_ask ask;
    struct nl_fault fault;
    u32 flags = 8;

    memset(name, 'x', sizeof(name));
    ask_begin();
    ask_header(2, name, ETHTOOL_ASK_NAME - 1);
    EXPECT(!ask_parse(false, &ask, &fault) && strlen(ask.name) == ETHTOOL_ASK_NAME - 1);
    ask_begin();
    ask_header(2, name, ETHTOOL_ASK_NAME);
    EXPECT(ask_parse(false, &ask, &fault) == -ERANGE && fault.offset == 24);
    ask_begin();
    ask_header(1, name, 3);
    EXPECT(ask_parse(false, &ask, &fault) == -ERANGE && fault.offset == 24);
    ask_begin();
    ask_header(3, &flags, 4);
    EXPECT(ask_parse(false, &ask, &fault) == -EINVAL && fault.offset == 24);
}

TEST(ethtool_asks_for_sets_by_their_numbers)
{
    static const u32 numbers[] = {4, 20, 21};
    struct ethtool_ask ask;
    struct nl_fault fault;

    for (u32 n = 0; n <= 3; n++) {
        u32 list;

        ask_begin();
        list = nl_nest(&asked, 2);
        for (u32 i = 0; i < n; i++) {
            u32 one = nl_nest(&asked, 1);

            nl_put_u32(&asked, 1, numbers[i]);
            nl_nest_end(&asked, one);
        }
        nl_nest_end(&asked, list);
        EXPECT(ask_parse(true, &ask, &fault) == (n == 3 ? -EOPNOTSUPP : 0));
        EXPECT(n == 3 ? fault.offset == 52 : ask.sets == (n > 0) * 16U + (n > 1) * (1U << 20));
        EXPECT(ask_parse(false, &ask, &fault) == 0 && !ask.sets);
    }
    ask_begin();
    nl_nest_end(&asked, nl_nest(&asked, 3));
    EXPECT(!ask_parse(true, &ask, &fault) && ask.counts_only && !ask.sets);
}
