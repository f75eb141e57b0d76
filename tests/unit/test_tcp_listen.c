/* SPDX-License-Identifier: MIT
 *
 * What TCP computes: initial numbers, cookies, congestion windows.
 */
#include "harness.h"
#include "net/tcp/congestion.h"
#include "net/tcp/conn.h"
#include "net/tcp/listen.h"

#include <math.h>
#include <string.h>

#define MS 1000000ULL

static const struct tcp_secret tcp_secret = {.isn = {1, 2}, .time = {3, 4}, .cookie = {5, 6}};
static struct tcp_config tcp_config;

static struct tcp_flow tcp_flow_of(u16 port)
{
    struct tcp_flow f = {.here_port = 80, .there_port = port};

    return f;
}

static struct tcp_listen tcp_listener(void)
{
    tcp_config = tcp_config_default;
    return (struct tcp_listen){
        .config = &tcp_config, .mss = 1460, .rcv_buf = 65535, .rcv_buf_most = 4000000};
}

TEST(tcp_initial_numbers_grow_with_time_and_differ_by_flow)
{
    struct tcp_flow a = tcp_flow_of(1), b = tcp_flow_of(2);
    struct tcp_secret other = tcp_secret;

    EXPECT(tcp_isn(&tcp_secret, &a, 4000) - tcp_isn(&tcp_secret, &a, 0) == 4000 / 64);
    EXPECT(tcp_isn(&tcp_secret, &a, 0) != tcp_isn(&tcp_secret, &b, 0));
    EXPECT(tcp_time_offset(&tcp_secret, &a) != tcp_time_offset(&tcp_secret, &b));
    other.isn.k1++;
    EXPECT(tcp_isn(&tcp_secret, &a, 0) != tcp_isn(&other, &a, 0));
}

/* Each MSS, scale and time: what the ACK brings back is what the SYN offered. */
static bool tcp_cookie_round(u64 *state)
{
    struct tcp_flow f = tcp_flow_of((u16)unit_rand(state));
    struct tcp_listen l = tcp_listener();
    struct tcp_segment syn = {.flags = TCP_SYN, .seq = (u32)unit_rand(state)}, answer, ack;
    struct tcp_request q, back;
    u64 now = unit_rand(state) % (1ULL << 60);

    syn.has = (u8)(unit_rand(state) & 15);
    syn.mss = (u16)unit_rand(state);
    syn.scale = (u8)(unit_rand(state) % 15);
    syn.time = 77;
    tcp_cookie_make(&q, &l, &tcp_secret, &f, &syn, now);
    tcp_request_answer(&q, &l, &f, now, &answer);
    ack = (struct tcp_segment){.flags = TCP_ACK, .seq = syn.seq + 1, .ack = answer.seq + 1};
    ack.has = syn.has & TCP_HAS_TIME;
    ack.time = 78;
    ack.echo = answer.time;
    now += unit_rand(state) % (60 * 1000 * MS);
    if (!tcp_cookie_check(&back, &l, &tcp_secret, &f, &ack, now))
        return false;
    return back.iss == q.iss && back.irs == syn.seq && back.scale_ok == q.scale_ok &&
           back.sack_ok == q.sack_ok && back.times_ok == q.times_ok &&
           back.snd_scale == q.snd_scale && back.rcv_scale == q.rcv_scale && back.mss <= q.mss &&
           back.rcv_window == q.rcv_window &&
           (!q.times_ok ||
            !tcp_after(answer.time, (u32)(now / MS) + tcp_time_offset(&tcp_secret, &f)));
}

TEST(tcp_cookie_brings_back_what_the_syn_offered)
{
    u64 state = 3;

    for (u64 i = 0; i < 5000 * unit_times(); i++)
        EXPECT(tcp_cookie_round(&state));
}

TEST(tcp_cookie_is_not_guessed)
{
    struct tcp_listen l = tcp_listener();
    struct tcp_flow f = tcp_flow_of(7);
    struct tcp_request q;
    u64 state = 9;
    u32 hits = 0;

    for (u32 i = 0; i < 200000; i++) {
        struct tcp_segment ack = {.flags = TCP_ACK, .seq = 1, .ack = (u32)unit_rand(&state)};

        hits += tcp_cookie_check(&q, &l, &tcp_secret, &f, &ack, 1000000 * 1000 * MS);
    }
    EXPECT(hits <= 2); /* 16 of 2^32 numbers are good */
}

/* Acknowledges a whole window in each round trip of `rtt`. */
static void tcp_grow(struct tcp_congestion *g, u64 *now, u64 rtt, u64 until)
{
    while (*now < until) {
        u32 window = g->window;

        *now += rtt;
        for (u32 left = window; left; left -= left < g->mss ? left : g->mss)
            g->ops->acked(g, left < g->mss ? left : g->mss, rtt, *now);
    }
}

TEST(tcp_cubic_comes_back_to_its_window_when_rfc9438_says)
{
    struct tcp_congestion g;
    u64 now = 1000 * MS;
    double k = cbrt(1000 * 0.3 / 0.4);

    tcp_congestion_init(&g, &tcp_cubic, 1000);
    g.window = 1000000;
    g.ssthresh = g.ops->reduced(&g, 1000000, now);
    EXPECT(g.ssthresh == 700000);
    g.window = g.ssthresh;
    tcp_grow(&g, &now, 100 * MS, now + (u64)(k * 1e9));
    EXPECT(g.window > 980000 && g.window < 1020000);
    tcp_grow(&g, &now, 100 * MS, now + 5000 * MS); /* 0.4 * 5^3 = 50 segments beyond */
    EXPECT(g.window > 1040000 && g.window < 1075000);
}

TEST(tcp_cubic_counts_no_time_in_which_the_window_was_not_used)
{
    struct tcp_congestion g;
    u64 now = 1000 * MS;
    u32 before;

    tcp_congestion_init(&g, &tcp_cubic, 1000);
    g.window = 1000000;
    g.ssthresh = g.window = g.ops->reduced(&g, 1000000, now);
    tcp_grow(&g, &now, 100 * MS, now + 1000 * MS);
    before = g.window;
    now += 100000 * MS;
    g.ops->rested(&g, now);
    tcp_grow(&g, &now, 100 * MS, now + 100 * MS);
    EXPECT(g.window > before && g.window < before + 20000);
}

TEST(tcp_cubic_is_no_slower_than_reno_on_short_ways)
{
    struct tcp_congestion g;
    u64 now = 1000 * MS;

    tcp_congestion_init(&g, &tcp_cubic, 1000);
    g.window = 20000;
    g.ssthresh = g.window = g.ops->reduced(&g, 20000, now);
    tcp_grow(&g, &now, MS, now + 100 * MS);
    EXPECT(g.window >= 20000 + 80 * 1000);
}

TEST(tcp_reno_grows_by_a_segment_in_a_round_trip)
{
    struct tcp_congestion g;
    u64 now = 1000 * MS;

    tcp_congestion_init(&g, &tcp_reno, 1000);
    EXPECT(g.window == 10000);
    g.ssthresh = g.window;
    tcp_grow(&g, &now, MS, now + 10 * MS);
    EXPECT(g.window >= 19000 && g.window <= 20000);
}

TEST(tcp_congestion_windows_stay_within_bounds)
{
    const char *names[] = {"reno", "cubic"};
    struct tcp_congestion g;
    u64 state = 5;

    EXPECT(!tcp_congestion_find("vegas"));
    for (u32 i = 0; i < 200; i++) {
        u64 now = unit_rand(&state) % (1ULL << 62);

        tcp_congestion_init(&g, tcp_congestion_find(names[i % 2]),
                            36 + (u32)(unit_rand(&state) % 65000));
        for (u32 k = 0; k < 500; k++) {
            now += unit_rand(&state) % (1ULL << unit_rand(&state) % 50);
            g.ops->acked(&g, (u32)(unit_rand(&state) % (1U << 30)),
                         unit_rand(&state) % (1ULL << 40), now);
            EXPECT(g.window >= g.mss && g.window <= TCP_WINDOW_MOST);
            if (unit_rand(&state) % 16)
                continue;
            g.ssthresh = g.ops->reduced(&g, (u32)(unit_rand(&state) % (1U << 30)), now);
            EXPECT(g.ssthresh >= 2 * g.mss);
            g.window = unit_rand(&state) % 2 ? g.ssthresh : g.mss;
            g.window = g.window > TCP_WINDOW_MOST ? TCP_WINDOW_MOST : g.window;
        }
    }
}
