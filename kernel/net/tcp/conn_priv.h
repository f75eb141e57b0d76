/* SPDX-License-Identifier: MIT
 *
 * What the files of a connection's core share. Each has its part: conn.c the program's calls,
 * conn_input.c states and acceptability, conn_ack.c acknowledgments and round trips, conn_receive.c
 * payload and our window, conn_output.c what to send, conn_timer.c time, record.c what is in
 * flight, recovery.c losses.
 */
#pragma once

#include "lib/log.h"
#include "net/tcp/conn.h"

#define TCP_MS 1000000ULL
#define TCP_SECOND (1000 * TCP_MS)
#define TCP_SEND_MOST 65535U /* bytes of payload and headers in one answer of output */
#define TCP_PAYLOAD_MOST (TCP_SEND_MOST - TCP_HEADER_MAX - 40) /* 40: the IP header */
#define TCP_CHALLENGE_GAP (500 * TCP_MS)
#define TCP_QUICK_ACKS 16
#define TCP_DUP_THRESHOLD 3U

enum tcp_record_state { RECORD_IN_FLIGHT, RECORD_LOST, RECORD_SACKED };
enum tcp_record_flags { RECORD_AGAIN = 1 }; /* it was sent more than once */

enum tcp_phase { TCP_PHASE_OPEN, TCP_PHASE_CWR, TCP_PHASE_RECOVERY, TCP_PHASE_LOSS };

/* F-RTO (RFC 5682 2 and 3): what is awaited. SECOND: new segments went, nothing that is lost goes.
 */
enum tcp_frto { TCP_FRTO_NONE, TCP_FRTO_FIRST, TCP_FRTO_SECOND };

/* What one ACK said. */
struct tcp_ack {
    u64 now;
    u64 rtt;         /* ns, of a segment that was sent once; 0: no sample */
    u32 echo;        /* TSecr, if timed */
    u32 acked;       /* numbers that were acknowledged */
    u32 delivered;   /* bytes that are known to have arrived by it */
    u32 pipe;        /* in flight before it */
    u32 newly_lost;  /* bytes */
    u32 dsack_bytes; /* arrived twice */
    bool timed, advanced, dsack, window_moved, data, again, /* acknowledges what was resent */
        original;                                           /* tells of bytes below frto_high */
};

/* conn.c */
u32 tcp_clock(const struct tcp_conn *c, u64 now);
void tcp_set_mss(struct tcp_conn *c);
/* Ends it: no segment follows but what is due. error 0: in order. */
void tcp_end(struct tcp_conn *c, int error, struct tcp_result *r);
void tcp_end_reset(struct tcp_conn *c, int error, struct tcp_result *r);
void tcp_enter_time_wait(struct tcp_conn *c, u64 now, struct tcp_result *r);
void tcp_enter_fin_wait2(struct tcp_conn *c, u64 now, struct tcp_result *r);
/* seg: the segment that ends the handshake. */
void tcp_established(struct tcp_conn *c, const struct tcp_segment *seg, u64 now,
                     struct tcp_result *r);
static inline bool tcp_fin_acked(const struct tcp_conn *c)
{
    return c->fin_sent && c->snd_una == c->snd_end + 1;
}

/* conn_timer.c: at 0: stopped. Sooner: never later than it was. */
static inline void tcp_timer_set(struct tcp_conn *c, enum tcp_timer t, u64 at)
{
    c->timers[t] = at;
}
void tcp_timer_sooner(struct tcp_conn *c, enum tcp_timer t, u64 at);
void tcp_timer_bound(struct tcp_conn *c, u64 now); /* by the user's time-out, which has changed */
void tcp_timer_retransmit(struct tcp_conn *c, u64 now);
void tcp_timer_probe(struct tcp_conn *c, u64 now);
void tcp_timer_persist(struct tcp_conn *c, u64 now);
void tcp_timer_keep(struct tcp_conn *c, u64 now);
void tcp_timers_settle(struct tcp_conn *c);

/* conn_ack.c */
void tcp_ack_input(struct tcp_conn *c, const struct tcp_segment *seg, u64 now,
                   struct tcp_result *r);
void tcp_rtt_sample(struct tcp_conn *c, u64 rtt, u64 now);
void tcp_window_learn(struct tcp_conn *c, const struct tcp_segment *seg);

/* conn_receive.c */
bool tcp_receive_acceptable(const struct tcp_conn *c, const struct tcp_segment *seg);
void tcp_receive(struct tcp_conn *c, const struct tcp_segment *seg, struct tcp_piece *piece,
                 u64 now, struct tcp_result *r);
void tcp_receive_duplicate(struct tcp_conn *c, const struct tcp_segment *seg);
void tcp_drop(struct tcp_piece *piece, struct tcp_result *r);
/* The window field of the next segment; the edge is moved to it. */
u16 tcp_window_tell(struct tcp_conn *c, bool syn);
u32 tcp_window_free(const struct tcp_conn *c);
void tcp_receive_read(struct tcp_conn *c, u64 now, struct tcp_result *r);
void tcp_acked_now(struct tcp_conn *c); /* a segment with our ACK goes out */
void tcp_fill_sacks(struct tcp_conn *c, struct tcp_segment *seg);

/* record.c */
void tcp_records_init(struct tcp_conn *c);
struct tcp_record *tcp_records_sent(struct tcp_conn *c, u32 seq, u32 end, u64 now);
void tcp_records_acked(struct tcp_conn *c, u32 una, struct tcp_ack *a);
void tcp_records_sacked(struct tcp_conn *c, struct tcp_sack sack, struct tcp_ack *a);
void tcp_record_lose(struct tcp_conn *c, struct tcp_record *r);
void tcp_records_lose_all(struct tcp_conn *c);
void tcp_records_find_all(struct tcp_conn *c); /* none is lost, after all */
/* Keeps [seq, at) in r and the rest in a new one behind it; false: no record is left. */
bool tcp_record_split(struct tcp_conn *c, struct tcp_record *r, u32 at);
void tcp_record_resent(struct tcp_conn *c, struct tcp_record *r, u64 now);
static inline struct tcp_record *tcp_records_first(const struct tcp_conn *c)
{
    return c->records.first ? rb_entry(c->records.first, struct tcp_record, node) : NULL;
}
struct tcp_record *tcp_records_last(const struct tcp_conn *c);

/* recovery.c */
void tcp_recovery_init(struct tcp_conn *c);
void tcp_recovery_delivered(struct tcp_conn *c, const struct tcp_record *r, u32 end,
                            struct tcp_ack *a);
void tcp_recovery_ack(struct tcp_conn *c, struct tcp_ack *a);
void tcp_recovery_timeout(struct tcp_conn *c, u64 now);
void tcp_recovery_reorder_timer(struct tcp_conn *c, u64 now);
void tcp_recovery_ecn(struct tcp_conn *c, const struct tcp_ack *a);
void tcp_recovery_resent(struct tcp_conn *c, u32 bytes, u64 now);
void tcp_recovery_idle(struct tcp_conn *c, u64 now);
/* hystart.c: an ACK came; how many of n bytes acknowledged count for slow start. */
void tcp_hystart_init(struct tcp_conn *c);
void tcp_hystart_ack(struct tcp_conn *c, const struct tcp_ack *a);
u32 tcp_hystart_growth(const struct tcp_conn *c, u32 n);
/* Bytes that are thought to be on their way. */
u32 tcp_pipe(const struct tcp_conn *c);
