/* SPDX-License-Identifier: MIT
 *
 * TIME_WAIT: what is kept of a connection that has ended, until no old segment of it can come any
 * more. A new connection may take its place under RFC 6191's and RFC 9293 3.6.1's rules; a reset
 * ends it in no case (RFC 1337).
 */
#pragma once

#include "net/tcp/segment.h"

#define TCP_TIME_WAIT_NS (60ULL * 1000000000) /* as Linux has it; RFC 9293's is 2 MSL */

struct tcp_timewait {
    u32 snd_nxt, rcv_nxt;
    u32 window; /* as it is to stand in a header */
    u32 recent; /* the peer's last TSval, if `times` */
    u32 time_offset;
    bool times; /* timestamps are in use */
    u64 deadline;
    u64 answered; /* when a segment out of order was last answered */
};

enum tcp_timewait_verdict {
    TCP_TIMEWAIT_IGNORE,
    TCP_TIMEWAIT_ANSWER, /* *out is to be sent */
    TCP_TIMEWAIT_REUSE,  /* a SYN that a listener may take: the record is to be freed first */
};

/* seg is of its connection. `out`: ports exchanged. */
enum tcp_timewait_verdict tcp_timewait_input(struct tcp_timewait *t, const struct tcp_segment *seg,
                                             u64 now, struct tcp_segment *out);
/* May this host open the same connection anew (RFC 6191 2)? Then the new one begins with *iss. */
bool tcp_timewait_may_open(const struct tcp_timewait *t, u64 now, u32 *iss);
