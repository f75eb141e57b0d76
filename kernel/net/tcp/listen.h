/* SPDX-License-Identifier: MIT
 *
 * What a listener decides: a pure core like conn.h. A SYN becomes a small request in the shell's
 * memory, which is found by its flow; an ACK turns it into a connection. Under pressure a SYN|ACK
 * carries all of it as a cookie (RFC 4987 3.6), and nothing is kept.
 */
#pragma once

#include "lib/hash.h"
#include "net/tcp/segment.h"

struct tcp_config;

/* One connection's key; addresses of 128 bits, this end first. No padding: it is hashed. */
struct tcp_flow {
    u8 here[16], there[16];
    u16 here_port, there_port;
};

/* Random at boot; of a namespace or of all. */
struct tcp_secret {
    struct hash_key isn, time, cookie;
};

/* Initial sequence numbers (RFC 6528) and what the clock of timestamps begins with (RFC 7323 5.4),
 * each unknown to all but who holds the secret. */
u32 tcp_isn(const struct tcp_secret *s, const struct tcp_flow *f, u64 now);
u32 tcp_time_offset(const struct tcp_secret *s, const struct tcp_flow *f);

/* What a listener offers. */
struct tcp_listen {
    const struct tcp_config *config;
    u32 mss;                   /* the path's back to the peer, as tcp_open.mss */
    u32 maxseg;                /* TCP_MAXSEG; 0: none */
    u32 rcv_buf, rcv_buf_most; /* as tcp_open */
    u32 retries;               /* TCP_SYNCNT, tcp_synack_retries */
    u64 defer;                 /* TCP_DEFER_ACCEPT: ns that a bare ACK is not enough; 0: it is */
};

struct tcp_request {
    u64 deadline; /* tcp_request_timer */
    u64 began;
    u64 answered; /* when a segment that is not acceptable was last answered */
    u32 iss, irs;
    u32 time_recent, time_offset;
    u16 mss;    /* the peer's */
    u16 window; /* of the SYN */
    u16 rcv_window;
    u8 snd_scale, rcv_scale;
    bool scale_ok, times_ok, sack_ok, ecn_ok;
    bool acked; /* and waits for data */
    u8 sent;    /* SYN|ACKs */
};

enum tcp_verdict {
    TCP_VERDICT_IGNORE,
    TCP_VERDICT_ANSWER, /* send *out */
    TCP_VERDICT_NEW,    /* tcp_request_init, or a cookie, then tcp_request_answer */
    TCP_VERDICT_COOKIE, /* an ACK to none: tcp_cookie_check; if that says no, tcp_segment_refuse */
    TCP_VERDICT_ACCEPT, /* tcp_conn_accept, free the request, tcp_conn_input with the segment */
    TCP_VERDICT_FREE,   /* the request is to be freed */
    TCP_VERDICT_REFUSE, /* send *out, free the request */
};

/* A segment for which there is no connection, request or TIME_WAIT, only a listener
 * (RFC 9293 3.10.7.2). */
enum tcp_verdict tcp_listen_input(const struct tcp_segment *seg, struct tcp_segment *out);

void tcp_request_init(struct tcp_request *q, const struct tcp_listen *l, const struct tcp_secret *s,
                      const struct tcp_flow *f, const struct tcp_segment *syn, u64 now);
/* The SYN|ACK, ports exchanged (of `f`). Counts it, and sets the deadline. */
void tcp_request_answer(struct tcp_request *q, const struct tcp_listen *l, const struct tcp_flow *f,
                        u64 now, struct tcp_segment *out);
/* A segment of its flow came. ACCEPT leaves q as it is, so that a shell without room ignores it. */
enum tcp_verdict tcp_request_input(struct tcp_request *q, const struct tcp_listen *l,
                                   const struct tcp_flow *f, const struct tcp_segment *seg, u64 now,
                                   struct tcp_segment *out);
enum tcp_verdict tcp_request_timer(struct tcp_request *q, const struct tcp_listen *l,
                                   const struct tcp_flow *f, u64 now, struct tcp_segment *out);

/* Fills q so that tcp_request_answer sends a cookie: iss has the MSS, the timestamp the scale, SACK
 * and ECN. q is to be forgotten then. */
void tcp_cookie_make(struct tcp_request *q, const struct tcp_listen *l, const struct tcp_secret *s,
                     const struct tcp_flow *f, const struct tcp_segment *syn, u64 now);
/* An ACK that may answer a cookie of the last two minutes: then q is what it was, for
 * tcp_conn_accept. */
bool tcp_cookie_check(struct tcp_request *q, const struct tcp_listen *l, const struct tcp_secret *s,
                      const struct tcp_flow *f, const struct tcp_segment *ack, u64 now);
