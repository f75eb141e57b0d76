/* SPDX-License-Identifier: MIT
 *
 * CUBIC (RFC 9438), in whole numbers: windows in bytes, times in 1/1024 s. C = 0.4, beta = 0.7.
 * W(t) = C (t - K)^3 + W_max, in segments, with t from the last reduction on.
 */
#include "lib/compiler.h"
#include "net/tcp/congestion.h"

#define TICK_NS 976562ULL /* 1/1024 s */
#define TICKS_MOST (1U << 17)

enum cubic_own {
    CUBIC_MAX,       /* W_max */
    CUBIC_BEGAN,     /* when this epoch began, ns; 0: with the next ACK */
    CUBIC_K,         /* ticks until W_max is reached again */
    CUBIC_ORIGIN,    /* the plateau's window */
    CUBIC_FRIENDLY,  /* W_est, bytes */
    CUBIC_COUNT,     /* bytes acknowledged that have not yet become growth */
    CUBIC_BEFORE,    /* W_max before the last reduction: undone restores it */
    CUBIC_FRIEND_AT, /* bytes acknowledged that have not yet become W_est's growth */
    CUBIC_SEEN,      /* when the window last grew, or was not used */
};

/* The whole cube root. */
static u64 cubic_root(u64 x)
{
    u64 low = 0, high = 1U << 21;

    while (low < high) {
        u64 middle = (low + high + 1) / 2;

        if (middle * middle * middle <= x)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static void cubic_init(struct tcp_congestion *g)
{
    g->own[CUBIC_BEGAN] = 0;
}

/* RFC 9438 4.2: K = cbrt((W_max - cwnd) / C), with windows in segments. */
static void cubic_begin(struct tcp_congestion *g, u64 now)
{
    u64 max = g->own[CUBIC_MAX], missing = 0;

    if (g->window < max)
        missing = max - g->window;
    g->own[CUBIC_ORIGIN] = MAX(max, (u64)g->window);
    /* (missing / mss) / 0.4 s^3, in ticks^3: 2^30 of them are a second's. */
    g->own[CUBIC_K] = cubic_root(MIN(missing * 5 / 2 / g->mss, 1ULL << 32) << 30);
    g->own[CUBIC_BEGAN] = now;
    g->own[CUBIC_FRIENDLY] = g->window;
    g->own[CUBIC_COUNT] = g->own[CUBIC_FRIEND_AT] = 0;
}

/* W(t), bytes. */
static u64 cubic_window(const struct tcp_congestion *g, u64 ticks)
{
    u64 k = g->own[CUBIC_K], away = ticks > k ? ticks - k : k - ticks, grown;

    away = MIN(away, (u64)TICKS_MOST); /* its cube fits: 51 bits */
    grown = (away * away * away >> 20) * 2 / 5 * g->mss >> 10;
    if (ticks > k)
        return MIN(g->own[CUBIC_ORIGIN] + grown, (u64)TCP_WINDOW_MOST);
    return g->own[CUBIC_ORIGIN] > grown ? g->own[CUBIC_ORIGIN] - grown : 0;
}

/* RFC 9438 4.3: what Reno would have, with alpha = 3 (1 - beta) / (1 + beta) = 9 / 17 until W_max.
 */
static u64 cubic_friendly(struct tcp_congestion *g, u32 n)
{
    u64 window = MAX((u64)g->window, 1ULL), step;

    g->own[CUBIC_FRIEND_AT] += n;
    if (g->own[CUBIC_FRIEND_AT] >= window) {
        g->own[CUBIC_FRIEND_AT] -= window;
        step = g->own[CUBIC_FRIENDLY] < g->own[CUBIC_MAX] ? g->mss * 9ULL / 17 : g->mss;
        g->own[CUBIC_FRIENDLY] = MIN(g->own[CUBIC_FRIENDLY] + step, (u64)TCP_WINDOW_MOST);
    }
    return g->own[CUBIC_FRIENDLY];
}

/* Towards `target` within a round trip: (target - cwnd) / cwnd of each byte acknowledged. */
static void cubic_grow(struct tcp_congestion *g, u64 target, u32 n)
{
    u64 window = g->window, step;

    target = MIN(target, window + window / 2);
    if (target <= window)
        return;
    g->own[CUBIC_COUNT] += (target - window) * MIN((u64)n, window);
    step = g->own[CUBIC_COUNT] / window;
    g->own[CUBIC_COUNT] -= step * window;
    g->window = (u32)MIN(window + step, (u64)TCP_WINDOW_MOST);
}

static void cubic_acked(struct tcp_congestion *g, u32 n, u64 rtt, u64 now)
{
    u64 friendly;

    n = tcp_congestion_slow_start(g, n);
    if (!n)
        return;
    if (!g->own[CUBIC_BEGAN])
        cubic_begin(g, now);
    g->own[CUBIC_SEEN] = now;
    friendly = cubic_friendly(g, n);
    cubic_grow(g, cubic_window(g, (now - g->own[CUBIC_BEGAN] + rtt) / TICK_NS), n);
    if (friendly > g->window)
        g->window = (u32)friendly;
}

/* RFC 9438 4.2 and 5.8: such time is none of the epoch. */
static void cubic_rested(struct tcp_congestion *g, u64 now)
{
    if (!g->own[CUBIC_BEGAN])
        return;
    g->own[CUBIC_BEGAN] += now - g->own[CUBIC_SEEN];
    g->own[CUBIC_SEEN] = now;
}

/* RFC 9438 4.6 and 4.7: fast convergence. */
static u32 cubic_reduced(struct tcp_congestion *g, u32 flight, u64 now)
{
    u64 window = MIN(g->window, MAX(flight, 2 * g->mss));

    g->own[CUBIC_BEFORE] = g->own[CUBIC_MAX];
    g->own[CUBIC_MAX] = window < g->own[CUBIC_MAX] ? window * 17 / 20 : window;
    g->own[CUBIC_BEGAN] = 0;
    return MAX((u32)(window * 7 / 10), 2 * g->mss);
}

static void cubic_undone(struct tcp_congestion *g)
{
    g->own[CUBIC_MAX] = g->own[CUBIC_BEFORE];
    g->own[CUBIC_BEGAN] = 0;
}

const struct tcp_congestion_ops tcp_cubic = {
    .name = "cubic",
    .init = cubic_init,
    .acked = cubic_acked,
    .rested = cubic_rested,
    .reduced = cubic_reduced,
    .undone = cubic_undone,
};
