/* SPDX-License-Identifier: MIT
 *
 * Slow start, and NewReno's congestion avoidance: RFC 5681 3.1, RFC 6928.
 */
#include "net/tcp/congestion.h"
#include "lib/compiler.h"
#include "lib/string.h"

static const struct tcp_congestion_ops *const congestion_all[] = {&tcp_cubic, &tcp_reno};

const struct tcp_congestion_ops *tcp_congestion_find(const char *name)
{
    for (u32 i = 0; i < ARRAY_SIZE(congestion_all); i++) {
        if (!strcmp(congestion_all[i]->name, name))
            return congestion_all[i];
    }
    return NULL;
}

void tcp_congestion_init(struct tcp_congestion *g, const struct tcp_congestion_ops *ops, u32 mss)
{
    *g = (struct tcp_congestion){.ops = ops, .mss = mss, .ssthresh = TCP_WINDOW_MOST};
    g->window = MIN(10 * mss, MAX(2 * mss, 14600U));
    ops->init(g);
}

u32 tcp_congestion_slow_start(struct tcp_congestion *g, u32 n)
{
    u32 room = g->ssthresh > g->window ? g->ssthresh - g->window : 0, take = MIN(n, room);

    g->window = MIN(g->window + take, TCP_WINDOW_MOST);
    return n - take;
}

static void reno_init(struct tcp_congestion *g)
{
    g->own[0] = 0; /* bytes acknowledged since the window last grew */
}

static void reno_acked(struct tcp_congestion *g, u32 n, u64 rtt, u64 now)
{
    n = tcp_congestion_slow_start(g, n);
    g->own[0] += n;
    if (g->own[0] < g->window)
        return;
    g->own[0] -= g->window;
    g->window = MIN(g->window + g->mss, TCP_WINDOW_MOST);
}

static u32 reno_reduced(struct tcp_congestion *g, u32 flight, u64 now)
{
    g->own[0] = 0;
    return MAX(MIN(flight, g->window) / 2, 2 * g->mss);
}

static void reno_undone(struct tcp_congestion *g)
{
    g->own[0] = 0;
}

const struct tcp_congestion_ops tcp_reno = {
    .name = "reno",
    .init = reno_init,
    .acked = reno_acked,
    .reduced = reno_reduced,
    .undone = reno_undone,
};
