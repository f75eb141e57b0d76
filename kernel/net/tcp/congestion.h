/* SPDX-License-Identifier: MIT
 *
 * How much may be in flight (RFC 5681): what an algorithm decides, and nothing of when losses are
 * noticed, which is recovery.c's. All sizes are bytes, times ns.
 */
#pragma once

#include "lib/types.h"

#define TCP_CONGESTION_WORDS 9
#define TCP_WINDOW_MOST (1U << 30) /* a congestion window never exceeds it */

struct tcp_congestion {
    const struct tcp_congestion_ops *ops;
    u32 window;   /* cwnd */
    u32 ssthresh; /* at or above it: congestion avoidance */
    u32 mss;
    u64 own[TCP_CONGESTION_WORDS]; /* the algorithm's, zeroed by init */
};

struct tcp_congestion_ops {
    const char *name; /* TCP_CONGESTION's */
    /* The window has been set; own is zero. */
    void (*init)(struct tcp_congestion *g);
    /* n bytes were acknowledged while the window was what held the sender back, outside of
     * recovery. rtt: the last sample; 0: none yet. */
    void (*acked)(struct tcp_congestion *g, u32 n, u64 rtt, u64 now);
    /* Since the last call of this or of acked the program, not the window, has held the sender
     * back. NULL: that is nothing to it. */
    void (*rested)(struct tcp_congestion *g, u64 now);
    /* A loss, or a mark of ECN, with `flight` bytes outstanding: what ssthresh is to be. */
    u32 (*reduced)(struct tcp_congestion *g, u32 flight, u64 now);
    /* The loss was none: window and ssthresh have been restored. */
    void (*undone)(struct tcp_congestion *g);
};

extern const struct tcp_congestion_ops tcp_reno, tcp_cubic;
/* NULL: there is none of that name. */
const struct tcp_congestion_ops *tcp_congestion_find(const char *name);

/* Starts with the initial window of RFC 6928. */
void tcp_congestion_init(struct tcp_congestion *g, const struct tcp_congestion_ops *ops, u32 mss);
/* Slow start with n bytes acknowledged (RFC 5681 3.1, with RFC 3465's whole count): what of n is
 * left for congestion avoidance. */
u32 tcp_congestion_slow_start(struct tcp_congestion *g, u32 n);
