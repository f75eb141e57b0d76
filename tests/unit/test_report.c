/* SPDX-License-Identifier: MIT
 *
 * What a host says of its groups: queries of all versions, when answers are due, messages.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "lib/checksum.h"
#include "lib/errno.h"
#include "net/ip/report.h"

#define MS 1000000ULL
#define SEC (1000 * MS)

static struct report_query igmp(const char *bytes, u32 n)
{
    struct report_query q = {.version = 0};

    return report_parse_igmp((const u8 *)bytes, n, &q) ? (struct report_query){.version = 0} : q;
}

TEST(report_queries_of_igmp_have_the_version_of_their_length)
{
    struct report_query q = igmp("\x11\0\0\0\0\0\0\0", 8);
    u8 long_query[28] = {0x11, 0x8f, 0, 0, 224, 1, 2, 3, 0, 0, 0, 4};

    EXPECT(q.version == 1 && q.wait == 10 * SEC && ip_is_any(&q.group));
    q = igmp("\x11\x32\0\0\xe0\1\2\3", 8);
    EXPECT(q.version == 2 && q.wait == 5 * SEC && ip_v4(&q.group) == 0xe0010203);
    q = igmp("\x11\x7f\0\0\0\0\0\0\0\0\0\0", 12);
    EXPECT(q.version == 3 && q.wait == 12700 * MS);
    EXPECT(!report_parse_igmp(long_query, 28, &q) && q.wait == ((15 | 16) << 3) * 100 * MS);
    EXPECT(report_parse_igmp(long_query, 27, &q) == -EINVAL); /* four sources need more */
    EXPECT(report_parse_igmp(long_query, 11, &q) == -EINVAL);
    EXPECT(report_parse_igmp(long_query, 7, &q) == -EINVAL);
    long_query[0] = 0x16;
    EXPECT(report_parse_igmp(long_query, 28, &q) == -EINVAL);
}

TEST(report_queries_of_mld_have_the_version_of_their_length)
{
    u8 bytes[44] = {130, 0, 0, 0, 0x27, 0x10, 0, 0, 0xff, 2, [23] = 7};
    struct report_query q;

    EXPECT(!report_parse_mld(bytes, 24, &q) && q.version == 1 && q.wait == 10 * SEC);
    EXPECT(q.group.b[0] == 0xff && q.group.b[15] == 7);
    EXPECT(!report_parse_mld(bytes, 28, &q) && q.version == 2 && q.wait == 10 * SEC);
    bytes[27] = 1;
    EXPECT(report_parse_mld(bytes, 43, &q) == -EINVAL && !report_parse_mld(bytes, 44, &q));
    bytes[4] = 0x8f;
    bytes[5] = 0xff;
    EXPECT(!report_parse_mld(bytes, 44, &q) && q.wait == (0x1fffULL << 3) * MS);
    EXPECT(report_parse_mld(bytes, 25, &q) == -EINVAL && report_parse_mld(bytes, 8, &q) == -EINVAL);
}

TEST(report_joins_and_leaves_are_said_twice)
{
    struct report r = {0};
    bool over;

    report_join(&r, 5 * SEC);
    EXPECT(r.due == 5 * SEC);
    EXPECT(report_take(&r, true, 5 * SEC, 12345678901, &over) == REPORT_JOIN && !over);
    EXPECT(r.due > 5 * SEC && r.due <= 6 * SEC + 1);
    EXPECT(report_take(&r, true, r.due, 1, &over) == REPORT_JOIN && !over && !r.due);
    report_leave(&r, true, 9 * SEC);
    EXPECT(report_take(&r, true, 9 * SEC, 1, &over) == REPORT_LEAVE && !over && r.due);
    EXPECT(report_take(&r, true, r.due, 1, &over) == REPORT_LEAVE && over && !r.due);
}

TEST(report_answers_wait_as_long_as_the_querier_allows_and_no_less_than_the_gap)
{
    struct report_query q = {.version = 3, .wait = 2 * SEC};
    struct report r = {0};
    bool over;

    for (u64 i = 0; i < 1000; i++) {
        r = (struct report){0};
        report_ask(&r, &q, true, 100 * SEC, i * 7919 * MS);
        EXPECT(r.due >= 100 * SEC && r.due <= 102 * SEC);
    }
    r.due = 100 * SEC + 1;
    report_ask(&r, &q, true, 100 * SEC, SEC);
    EXPECT(r.due == 100 * SEC + 1); /* the earlier one stays */
    EXPECT(report_take(&r, true, 100 * SEC + 1, 0, &over) == REPORT_CURRENT && !r.due);
    q.wait = 0;
    report_ask(&r, &q, true, 100 * SEC + 2, 0);
    EXPECT(r.due == 100 * SEC + 1 + REPORT_GAP);
}

TEST(report_older_queriers_are_answered_in_their_version)
{
    struct report_query q = {.version = 2, .wait = SEC};
    struct report r = {0};
    bool over;

    report_join(&r, 1);
    report_ask(&r, &q, true, SEC, 0);
    EXPECT(report_version(&r, true, SEC) == 2 && r.due == 1);
    q.version = 1;
    report_ask(&r, &q, true, 2 * SEC, 0);
    q.version = 2;
    report_ask(&r, &q, true, 3 * SEC, 0);
    EXPECT(report_version(&r, true, 3 * SEC) == 1); /* the oldest counts */
    report_leave(&r, true, 4 * SEC);
    EXPECT(report_take(&r, true, 4 * SEC, 0, &over) == REPORT_LEAVE && over);
    EXPECT(report_version(&r, true, 300 * SEC) == 3); /* it has gone */
    r = (struct report){.version = 1, .older_until = 300 * SEC, .due = 7 * SEC, .left = 1};
    report_heard(&r, false, 5 * SEC);
    EXPECT(!r.due); /* another has said it */
    r = (struct report){.due = 7 * SEC};
    report_heard(&r, false, 5 * SEC);
    EXPECT(r.due == 7 * SEC); /* MLDv2 hosts all speak */
}

TEST(report_messages_are_as_the_standards_have_them)
{
    struct ip_addr groups[2] = {ip_from_v4(0xe0010203), ip_from_v4(0xe0010204)}, to;
    struct ip_addr six = {.b = {0xff, 2, [15] = 9}};
    u8 kinds[2] = {REPORT_JOIN, REPORT_LEAVE}, out[REPORT_BYTES];

    EXPECT(report_build(out, true, 3, groups, kinds, 2, &to) == 24 && ip_v4(&to) == 0xe0000016);
    EXPECT(!checksum_of(out, 24) && out[0] == 0x22 && out[7] == 2);
    EXPECT(!memcmp(out + 8, "\4\0\0\0\xe0\1\2\3\3\0\0\0\xe0\1\2\4", 16));
    EXPECT(report_build(out, true, 2, groups, kinds, 1, &to) == 8 && ip_v4(&to) == 0xe0010203);
    EXPECT(out[0] == IGMP_REPORT2 && !checksum_of(out, 8));
    EXPECT(report_build(out, true, 2, groups, kinds + 1, 1, &to) == 8 && ip_v4(&to) == 0xe0000002);
    EXPECT(out[0] == IGMP_LEAVE && out[7] == 3);
    EXPECT(report_build(out, true, 1, groups, kinds, 1, &to) == 8 && out[0] == IGMP_REPORT1);
    EXPECT(report_build(out, true, 1, groups, kinds + 1, 1, &to) == 0);
    EXPECT(report_build(out, false, 2, &six, kinds, 1, &to) == 28 && to.b[15] == 0x16);
    EXPECT(out[0] == 143 && out[7] == 1 && out[8] == 4 && !memcmp(out + 12, six.b, 16));
    EXPECT(report_build(out, false, 1, &six, kinds, 1, &to) == 24 && to.b[15] == 9);
    EXPECT(out[0] == 131 && !memcmp(out + 8, six.b, 16));
    EXPECT(report_build(out, false, 1, &six, kinds + 1, 1, &to) == 24 && to.b[15] == 2);
    EXPECT(out[0] == 132);
}

TEST(report_random_bytes_and_orders_do_no_harm)
{
    struct report_query q;
    struct report r = {0};
    u64 now = 0;
    bool over;
    u8 p[64];

    for (u32 i = 0; i < 200000; i++) {
        for (u32 j = 0; j < sizeof(p); j++)
            p[j] = (u8)rand();
        p[0] = i % 2 ? IGMP_QUERY : MLD_QUERY;
        now += (u64)rand() % SEC;
        if (!(i % 2 ? report_parse_igmp : report_parse_mld)(p, 28 + rand() % 37, &q)) {
            EXPECT(q.wait <= 70000 * SEC);
            report_ask(&r, &q, i % 2, now, (u64)rand());
        }
        if (i % 5 == 0)
            report_join(&r, now);
        if (r.due && r.due <= now)
            (void)report_take(&r, i % 2, now, (u64)rand(), &over);
        EXPECT(!r.due || r.due + 100 * SEC > now - REPORT_GAP);
    }
}
