// SPDX-License-Identifier: MIT
// netd's client of time servers, against servers of this file's: right, wrong and rude.
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "netd/sntp.h"
#include "netd/wire.h"

#define DAY 1800000000000000000ll /* what the clock says at first */
#define MS 1000000ll

static void stamp(uint8_t *p, int64_t day)
{
    uint64_t seconds = (uint64_t)(day / 1000000000) + 2208988800u;

    wire_put32(p, (uint32_t)seconds);
    wire_put32(p + 4, (uint32_t)((((uint64_t)(day % 1000000000)) << 32) / 1000000000));
}

/* The answer of a server whose clock says `day`, to the question in `out`. */
static void ntp_answer(uint8_t p[SNTP_SIZE], const struct sntp_out *out, int64_t day)
{
    memset(p, 0, SNTP_SIZE);
    p[0] = 4 << 3 | 4;
    p[1] = 2;
    memcpy(p + 24, out->message + 40, 8);
    stamp(p + 32, day);
    stamp(p + 40, day);
}

static void ntp_begin(struct sntp *s, unsigned servers, struct sntp_out *out)
{
    struct address list[3] = {address_v4(0x0a000001, 32), address_v4(0x0a000002, 32),
                              address_v4(0x0a000003, 32)};

    sntp_init(s, 5);
    sntp_servers(s, list, servers, 1000);
    sntp_wake(s, s->wake, DAY, out);
}

/* Asks and is answered by a clock that is `off`: the time that is. */
static uint64_t ntp_round(struct sntp *s, int64_t off, struct sntp_out *out)
{
    uint64_t now = s->wake;
    uint8_t p[SNTP_SIZE];

    sntp_wake(s, now, DAY, out);
    ntp_answer(p, out, DAY + off + 10 * MS);
    sntp_message(s, p, sizeof(p), now + 20, DAY + 20 * MS, out);
    return now + 20;
}

static bool near(int64_t a, int64_t b)
{
    return a - b < 1000 && b - a < 1000;
}

TEST(sntp_sets_the_clock_by_the_first_answer_and_slews_it_afterwards)
{
    struct sntp s;
    struct sntp_out out;
    uint8_t p[SNTP_SIZE];
    uint64_t now;

    ntp_begin(&s, 1, &out);
    EXPECT(out.ask && (out.message[0] & 7) == 3);
    ntp_answer(p, &out, DAY + 5000 * MS + 10 * MS);
    sntp_message(&s, p, sizeof(p), 1020, DAY + 20 * MS, &out);
    EXPECT(out.change == SNTP_STEP && near(out.offset, 5000 * MS) && s.synced);
    EXPECT(s.wake >= 1020 + 64000 && s.wake <= 1020 + 72000);
    now = ntp_round(&s, 30 * MS, &out);
    EXPECT(out.change == SNTP_SLEW && near(out.offset, 30 * MS));
    EXPECT(s.wake >= now + 128000);
    for (int i = 0; i < 8; i++)
        now = ntp_round(&s, -3 * MS, &out);
    EXPECT(s.wake >= now + 1024000 && s.wake <= now + 1152000);
}

TEST(sntp_doubts_a_jump_until_it_is_told_again)
{
    struct sntp s;
    struct sntp_out out;
    uint64_t now;

    ntp_begin(&s, 1, &out);
    s.asking = false;
    ntp_round(&s, 0, &out);
    now = ntp_round(&s, 3600000 * MS, &out);
    EXPECT(out.change == SNTP_KEEP && out.told && s.wake >= now + 16000 && s.wake <= now + 18000);
    ntp_round(&s, 0, &out);
    EXPECT(out.change == SNTP_SLEW);
    ntp_round(&s, 900000 * MS, &out);
    ntp_round(&s, -900000 * MS, &out);
    EXPECT(out.change == SNTP_KEEP);
    ntp_round(&s, -900000 * MS + 5 * MS, &out);
    EXPECT(out.change == SNTP_STEP);
}

TEST(sntp_believes_a_day_s_jump_when_three_answers_of_different_servers_say_so)
{
    struct sntp s;
    struct sntp_out out;
    unsigned at;

    ntp_begin(&s, 3, &out);
    s.asking = false;
    for (int first = 1; first >= 0; first--) { /* of a clock that was not set yet, and later */
        ntp_round(&s, 86400000 * MS, &out);
        EXPECT(out.told && out.change == SNTP_KEEP);
        at = s.at;
        ntp_round(&s, 86400000 * MS, &out);
        EXPECT(out.told && out.change == SNTP_KEEP && s.at != at);
        ntp_round(&s, 3600000 * MS, &out); /* one says otherwise: it begins anew */
        EXPECT(out.change == SNTP_KEEP);
        ntp_round(&s, 86400000 * MS, &out);
        ntp_round(&s, 86400000 * MS, &out);
        EXPECT(out.change == SNTP_KEEP);
        ntp_round(&s, 86400000 * MS, &out);
        EXPECT(out.change == SNTP_STEP && near(out.offset, 86400000 * MS));
    }
}

/* What a server says while the clock says `day`: whether it counts. */
static bool ntp_told(int64_t day, int64_t says, uint32_t delay, uint32_t dispersion,
                     struct sntp_out *out)
{
    struct address server = address_v4(0x0a000001, 32);
    struct sntp s;
    uint8_t p[SNTP_SIZE];

    sntp_init(&s, 5);
    sntp_servers(&s, &server, 1, 1000);
    sntp_wake(&s, s.wake, day, out);
    ntp_answer(p, out, says);
    wire_put32(p + 4, delay);
    wire_put32(p + 8, dispersion);
    sntp_message(&s, p, sizeof(p), 1010, day, out);
    return out->told;
}

TEST(sntp_believes_no_time_before_this_program_was_and_no_server_far_from_its_reference)
{
    static const int64_t second = 1000 * MS, start = 1767225600;
    struct sntp_out out;

    EXPECT(!ntp_told(DAY, 0, 0, 0, &out) && !ntp_told(DAY, start * second - 1, 0, 0, &out));
    EXPECT(!ntp_told(DAY, 4102444801 * second, 0, 0, &out));
    EXPECT(ntp_told(0, start * second + second, 0, 0, &out));
    EXPECT(out.change == SNTP_STEP); /* a clock that cannot be right itself is set at once */
    EXPECT(ntp_told(DAY, DAY, 2 << 16, 1 << 16, &out));
    EXPECT(!ntp_told(DAY, DAY, 2 << 16, 2 << 16, &out));
    EXPECT(!ntp_told(DAY, DAY, 0xffffffff, 0x80000000, &out)); /* sums that would wrap */
}

TEST(sntp_takes_no_answer_but_that_to_its_question)
{
    static const struct {
        int at;
        uint8_t value;
    } bad[] = {{0, 4 << 3 | 3}, {0, 2 << 3 | 4}, {0, 0xc0 | 4 << 3 | 4},
               {1, 16},         {24, 0x5a},      {31, 0},
               {4, 0x7f},       {8, 0x7f}};
    struct sntp s;
    struct sntp_out out, asked;
    uint8_t p[SNTP_SIZE];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ntp_begin(&s, 1, &asked);
        ntp_answer(p, &asked, DAY);
        if (p[bad[i].at] == bad[i].value)
            continue;
        p[bad[i].at] = bad[i].value;
        sntp_message(&s, p, sizeof(p), 1010, DAY, &out);
        EXPECT(!out.told && out.change == SNTP_KEEP && !s.synced);
    }
    ntp_begin(&s, 1, &asked);
    ntp_answer(p, &asked, DAY);
    sntp_message(&s, p, SNTP_SIZE - 1, 1010, DAY, &out);
    EXPECT(!out.told);
    sntp_message(&s, p, SNTP_SIZE, 1010, DAY, &out);
    EXPECT(out.told);
    sntp_message(&s, p, SNTP_SIZE, 1011, DAY, &out); /* once more */
    EXPECT(!out.told);
}

TEST(sntp_goes_on_to_the_next_server_and_waits_longer_each_round)
{
    struct sntp s;
    struct sntp_out out;
    uint64_t now = 1000, last = 0;
    unsigned at[3] = {0};

    ntp_begin(&s, 3, &out);
    at[s.at]++;
    for (int i = 0; i < 29; i++) {
        uint64_t gap = s.wake - now;

        EXPECT(gap >= 1);
        last = gap > last ? gap : last;
        now = s.wake;
        sntp_wake(&s, now, DAY, &out);
        at[s.at] += out.ask;
    }
    EXPECT(at[0] >= 4 && at[1] >= 4 && at[2] >= 4);
    EXPECT(last >= 64000 && last <= 1152000);
}

TEST(sntp_obeys_a_kiss_of_death)
{
    struct sntp s;
    struct sntp_out out;
    uint8_t p[SNTP_SIZE];

    ntp_begin(&s, 2, &out);
    ntp_answer(p, &out, DAY);
    p[1] = 0;
    memcpy(p + 12, "DENY", 4);
    sntp_message(&s, p, sizeof(p), 1010, DAY, &out);
    EXPECT(out.ask && s.at == 1); /* the other one, at once */
    ntp_answer(p, &out, DAY);
    p[1] = 0;
    memcpy(p + 12, "RATE", 4);
    sntp_message(&s, p, sizeof(p), 1020, DAY, &out);
    EXPECT(!out.ask && s.wake >= 1020 + 128000);
    sntp_wake(&s, s.wake, DAY, &out);
    EXPECT(out.ask && s.at == 1);
    ntp_answer(p, &out, DAY);
    p[1] = 0;
    memcpy(p + 12, "RSTR", 4);
    sntp_message(&s, p, sizeof(p), 200000, DAY, &out);
    EXPECT(!out.ask && !s.wake); /* there is no one left */
}

TEST(sntp_knows_times_beyond_2036)
{
    struct sntp s;
    struct sntp_out out;
    uint8_t p[SNTP_SIZE];
    int64_t later = 2200000000ll * 1000 * MS; /* 2039 */

    ntp_begin(&s, 1, &out);
    for (int i = 0; i < 3; i++) {
        ntp_answer(p, &out, later);
        sntp_message(&s, p, sizeof(p), s.wake, DAY, &out);
        EXPECT(out.told && near(out.offset, later - DAY));
        if (i < 2)
            sntp_wake(&s, s.wake, DAY, &out);
    }
    EXPECT(out.change == SNTP_STEP);
}

TEST(time_servers_of_any_bytes_survive)
{
    u64 seed = 7;

    for (u64 round = 0; round < 3000 * unit_times(); round++) {
        struct sntp s;
        struct sntp_out out;
        uint64_t now = 1000;

        ntp_begin(&s, 1 + unit_rand(&seed) % 3, &out);
        for (int step = 0; step < 20 && s.wake; step++) {
            uint8_t p[SNTP_SIZE];

            ntp_answer(p, &out, DAY + (int64_t)(unit_rand(&seed) % 1000000000000));
            for (u64 n = unit_rand(&seed) % 4; n; n--)
                p[unit_rand(&seed) % SNTP_SIZE] = (uint8_t)unit_rand(&seed);
            if (unit_rand(&seed) % 2)
                memcpy(p + 24, s.nonce, 8);
            sntp_message(&s, p, unit_rand(&seed) % 8 ? SNTP_SIZE : unit_rand(&seed) % SNTP_SIZE,
                         now, DAY, &out);
            EXPECT(out.change == SNTP_KEEP || out.told);
            EXPECT(!s.wake || s.wake + 2000 > now);
            now = s.wake;
            sntp_wake(&s, now, DAY, &out);
        }
    }
}
