/* SPDX-License-Identifier: MIT
 *
 * One TCP connection, from its first SYN to its end: all states of RFC 9293 but LISTEN (listen.h).
 * The pure core: no lock, no clock, no allocation, no packet, no byte of payload. It is told the
 * time (ns, never 0, never going back) and what happened, and answers with what is to be done.
 *
 * The shell's rules.
 * - After EVERY call but tcp_conn_info, a tcp_conn_read that answers false, and the inline ones:
 *   call tcp_conn_output until it answers false, then see to it that tcp_conn_timer is called at
 *   `deadline` or a little later. A timer that is armed for an earlier time may stay: called too
 *   early, tcp_conn_timer does nothing but leave the right deadline (timers are lazily re-armed).
 * - Payload stays with the shell. Its send buffer begins at sequence number tcp_conn_buffered(c):
 *   the first byte of the buffer; result.acked bytes of it are to be freed after each call.
 *   A segment that comes with payload or FIN is passed with a tcp_piece, which the shell embeds in
 *   its packet: the core owns it until it appears in one of result's lists.
 * - Records of what is in flight are the shell's memory: it keeps the free list at
 *   tcp_conn_records_wanted(c) more by tcp_conn_give before each call of output. Without any, the
 *   connection goes on with the one record that it embeds: a segment at a time.
 * - result.events and lists are filled by input, timer, unreach and the closing calls; struct
 *   tcp_result is initialised by tcp_result_init before each.
 * - What is sent may be lost: a segment that the shell cannot send, it forgets.
 * - TCP_EVENT_CLOSED: the last one. The shell takes pieces and records back by tcp_conn_drain and
 *   frees its memory, or does so at any other time. TCP_EVENT_TIMEWAIT: it may do so at once, and
 *   keep c->timewait's copy alone; a connection that is kept instead handles TIME_WAIT itself.
 */
#pragma once

#include "lib/list.h"
#include "lib/rbtree.h"
#include "net/tcp/congestion.h"
#include "net/tcp/segment.h"
#include "net/tcp/timewait.h"

struct tcp_request;

/* The numbers that Linux gives programs. */
enum tcp_conn_state {
    TCP_ESTABLISHED = 1,
    TCP_SYN_SENT,
    TCP_SYN_RECV,
    TCP_FIN_WAIT1,
    TCP_FIN_WAIT2,
    TCP_TIME_WAIT,
    TCP_CLOSE,
    TCP_CLOSE_WAIT,
    TCP_LAST_ACK,
    TCP_LISTEN, /* no connection is in it */
    TCP_CLOSING,
    TCP_STATES
};

/* What a namespace's sysctls and a socket's options say. Shared; ns, bytes, counts. */
struct tcp_config {
    u64 rto_first, rto_least, rto_most;
    u64 delayed_ack;
    u64 keep_idle, keep_interval;
    u64 fin_wait2;   /* an orphan's time in FIN_WAIT2 */
    u64 orphan_life; /* what an orphan has at the most, beside ... */
    u64 orphan_byte; /* ... so much for each byte that it has still to bring over ... */
    u64 orphan_more; /* ... which is no more than that */
    u32 keep_count;
    u32 syn_retries, retries, orphan_retries;
    bool scale, times, sack;
    bool ecn_ask, ecn_take; /* offer it; accept an offer */
    bool pacing;            /* where a round trip takes 2 ms or more */
};
extern const struct tcp_config tcp_config_default; /* Linux's values */

#define TCP_LINGER2_NONE (~0ULL)

/* What a socket's options say of one connection. They may change at any time between calls. */
struct tcp_options {
    u64 user_timeout;             /* TCP_USER_TIMEOUT; 0: by retries */
    u64 keep_idle, keep_interval; /* 0: config's */
    u64 linger2; /* TCP_LINGER2; 0: config's fin_wait2; TCP_LINGER2_NONE: no time in FIN_WAIT2 */
    u32 keep_count, syn_count; /* 0: config's */
    u32 maxseg;                /* TCP_MAXSEG; 0: none */
    u32 window_clamp;          /* 0: none */
    u32 notsent_lowat;         /* 0: none */
    u64 pacing_most;           /* SO_MAX_PACING_RATE, bytes a second; 0: none */
    bool keep_alive, no_delay, cork, quick_ack;
};

/* Payload that came: memory and bytes are the shell's. */
struct tcp_piece {
    union {
        struct rb_node node;   /* while it waits for what is before it */
        struct list_node link; /* in result's lists */
    };
    u32 seq;  /* of its first byte of use */
    u32 len;  /* bytes of use */
    u32 skip; /* bytes of payload before them that are of no use */
};

/* A range of sequence numbers in flight. */
struct tcp_record {
    struct rb_node node;   /* by seq */
    struct list_node link; /* free; in flight by time of sending; or lost */
    u32 seq, end;
    u64 sent; /* when it was last sent */
    u8 state; /* enum tcp_record_state */
    u8 flags;
};

enum tcp_event {
    TCP_EVENT_CONNECTED = 1 << 0,
    TCP_EVENT_READABLE = 1 << 1, /* `ready` has pieces */
    TCP_EVENT_WRITABLE = 1 << 2, /* `acked` is not 0, or less than notsent_lowat is unsent */
    TCP_EVENT_FIN = 1 << 3,      /* the peer sends no more; after the pieces in `ready` */
    TCP_EVENT_ERROR = 1 << 4,    /* it has ended with `error`, comes with CLOSED */
    TCP_EVENT_SOFT = 1 << 5,     /* `error` is to be told, the connection goes on */
    TCP_EVENT_URGENT = 1 << 6,   /* urg_seq moved */
    TCP_EVENT_TIMEWAIT = 1 << 7,
    TCP_EVENT_CLOSED = 1 << 8,
    TCP_EVENT_TUNE = 1 << 9, /* rcv_want or snd_want grew */
};

struct tcp_result {
    u32 events;
    int error;              /* errno, positive */
    u32 acked;              /* bytes to free at the send buffer's beginning */
    struct list_node ready; /* tcp_pieces in order: bytes [skip, skip + len) of each payload */
    struct list_node drop;  /* tcp_pieces to free */
};

static inline void tcp_result_init(struct tcp_result *r)
{
    r->events = 0;
    r->error = 0;
    r->acked = 0;
    list_init(&r->ready);
    list_init(&r->drop);
}

/* One thing to send. */
struct tcp_out {
    struct tcp_segment seg; /* header to build (ports are the shell's); len bytes of payload from
                             * sequence number seg.seq on; seg.ecn is for the IP header */
    u32 gso;                /* payload bytes of each segment, when len is more than that: then FIN
                             * and PSH are the last one's, CWR the first one's */
    bool again;             /* a retransmission */
    bool challenge;         /* may be left out to bound such answers (RFC 5961 7); a bound for all
                             * connections wants a random part, as others can count answers */
};

enum tcp_timer {
    TCP_TIMER_PROBE,      /* TLP; first, as it takes the next one's place */
    TCP_TIMER_RETRANSMIT, /* RTO, and the handshake's */
    TCP_TIMER_REORDER,    /* RACK's */
    TCP_TIMER_PERSIST,
    TCP_TIMER_ACK, /* delayed */
    TCP_TIMER_KEEP,
    TCP_TIMER_PACE,
    TCP_TIMER_LIFE, /* an orphan's, FIN_WAIT2, TIME_WAIT */
    TCP_TIMERS
};

/* The first slow start (hystart.c): a round's shortest trip, and the one's before; ns. */
struct tcp_hystart {
    u32 end; /* of this round */
    u64 now, last, baseline;
    u8 samples, rounds;
    bool careful; /* it grows by a quarter: rounds of it so far */
};

/* Records of a connection at most; spare ones that it is to have, and while little is in flight. */
#define TCP_RECORDS_MOST 8192U
#define TCP_RECORDS_STOCK 16U
#define TCP_RECORDS_FEW 2U
#define TCP_MERGED_SACKS 4 /* of ours to the peer */

/* What is not named in the rules above is the core's; others read only. */
struct tcp_conn {
    const struct tcp_config *config;
    struct tcp_options options;
    u8 state; /* enum tcp_conn_state */
    /* What both agreed on in the handshake. */
    bool passive, scale_ok, times_ok, sack_ok, ecn_ok;
    u8 snd_scale, rcv_scale;
    /* What the program did. */
    bool closed;     /* it reads no more */
    bool fin_wanted; /* a FIN follows the last byte */
    bool fin_sent, fin_got;
    u64 deadline; /* 0: none */
    u64 timers[TCP_TIMERS];

    /* Sending. The send buffer is [tcp_conn_buffered, snd_end). */
    u32 iss, snd_una, snd_nxt, snd_end;
    u32 urg_snd; /* the number after the last urgent byte */
    bool urg_sending;
    bool hold;     /* the last write said MORE */
    u32 snd_small; /* the end of the last segment that was not full */
    u32 snd_wnd, snd_wnd_most, snd_wl1, snd_wl2;
    u32 mss_path, mss_peer, mss; /* mss: payload of a segment now */
    u32 snd_want;                /* bytes that the send buffer had better have */
    u8 backoff, probes;          /* RTOs and window probes in a row */
    u8 tries;                    /* in a row without a word of the peer: what gives up */
    u8 keep_probes;
    bool retried;   /* the data has been retransmitted since it last moved */
    u64 stalled;    /* since when nothing was acknowledged; 0: it goes on */
    u64 snd_last;   /* when data was last sent */
    int soft_error; /* the reason to give when it ends by time */
    bool due_syn, due_reset, due_probe, due_tail, due_keep, due_challenge, due_push;
    u32 reset_seq;
    bool reset_plain; /* without ACK: it answers one that came */

    /* Receiving. */
    u32 irs, rcv_nxt;
    u32 rcv_edge; /* right edge of the window as it was told */
    u32 rcv_buf, rcv_buf_most, unread;
    u32 rcv_mss; /* what the peer's segments seem to have */
    u32 urg_seq; /* the urgent byte's, if urg_valid */
    bool urg_valid;
    bool fin_waiting; /* the FIN's number is known, not reached */
    u32 fin_seq;
    struct rb_root pieces; /* out of order */
    u32 nr_pieces;
    struct tcp_sack sacks[TCP_MERGED_SACKS]; /* newest first */
    u8 nr_sacks;
    struct tcp_sack dsack;
    bool dsack_due;
    bool ack_now, ack_due;
    u8 ack_quick;             /* ACKs at once that are left */
    u32 ack_pending;          /* bytes that came since the last ACK */
    u32 ack_last;             /* the last ACK that was sent */
    u64 rcv_last;             /* when the last segment came */
    u64 challenged, answered; /* when the last such ACK was made */
    u32 rcv_want;             /* bytes that the receive buffer had better have */
    u32 tune_seq;
    u64 tune_time, rcv_rtt, rcv_rtt_time;
    u32 rcv_rtt_seq;

    /* Timestamps. */
    u32 time_offset, time_recent;
    u64 time_recent_at;

    /* Time of a round trip. 0: not known. */
    u64 srtt, rttvar, rto, rtt_least, rtt_least_at, rtt_last;

    /* In flight and lost (record.c). */
    struct rb_root records;
    struct list_node in_flight, lost, spare;
    u32 nr_spare, nr_records;
    u32 pipe, lost_bytes, sacked_bytes;
    struct tcp_record own;

    /* RACK and recovery. */
    u64 rack_sent, rack_rtt;
    u32 rack_end, rack_high; /* the highest number that was delivered */
    bool rack_reordered, rack_dsack_seen;
    u8 rack_windows, rack_persist; /* quarters of the least RTT; recoveries that it stays so */
    u32 rack_round;
    u32 tail_end;
    bool tail_sent, tail_again;
    u8 phase; /* enum tcp_phase */
    u8 frto;  /* enum tcp_frto: was the time-out none? */
    u8 dup_acks;
    u32 recover;   /* recovery ends there */
    u32 frto_high; /* what was in flight up to there had been sent once before the time-out */
    u32 prr_delivered, prr_out, prr_flight;
    u32 undo_window, undo_ssthresh, undo_count;
    bool undo_valid, undo_timed;
    u32 undo_time; /* TSval of the first retransmission */
    struct tcp_congestion congestion;
    struct tcp_hystart hystart;
    bool ecn_echo, ecn_cwr; /* to be sent */
    u64 pace_at;

    /* Figures. */
    u64 bytes_acked, bytes_received, bytes_sent, bytes_again;
    u64 segs_out, segs_in, data_segs_out, data_segs_in;
    u32 total_again, dsacks;

    struct tcp_timewait timewait;
};

/* What a new connection begins with. */
struct tcp_open {
    const struct tcp_config *config;
    const struct tcp_congestion_ops *congestion;
    u32 iss, time_offset;      /* tcp_isn, tcp_time_offset */
    u32 mss;                   /* the path's MTU less the IP header and TCP_HEADER */
    u32 rcv_buf, rcv_buf_most; /* bytes of payload; the most that it will be tuned to */
};

/* An active open; its options are zeroed, then the shell's to fill in. Sends SYN. */
void tcp_conn_connect(struct tcp_conn *c, const struct tcp_open *o, u64 now);
/* A passive one, in SYN_RECV: the ACK that ended its request comes next, to tcp_conn_input. */
void tcp_conn_accept(struct tcp_conn *c, const struct tcp_open *o, const struct tcp_request *q,
                     u64 now);

/* A segment of this connection came. piece: NULL if it has neither payload nor FIN, or if there is
 * no space for them: then they are as if they were lost, what else it says counts, and it is
 * answered. */
void tcp_conn_input(struct tcp_conn *c, const struct tcp_segment *seg, struct tcp_piece *piece,
                    u64 now, struct tcp_result *r);
/* The next segment to send; false: none now. */
bool tcp_conn_output(struct tcp_conn *c, u64 now, struct tcp_out *out);
/* c->deadline may have come. */
void tcp_conn_timer(struct tcp_conn *c, u64 now, struct tcp_result *r);

enum tcp_write { TCP_WRITE_MORE = 1, TCP_WRITE_URGENT = 2 };
/* n bytes were appended to the send buffer, which holds at most 1 GiB; only in the states of
 * tcp_conn_may_write. MORE: others follow, which the last short segment may wait for (MSG_MORE). */
void tcp_conn_written(struct tcp_conn *c, u32 n, u32 flags);
/* A cork was taken out, or TCP_NODELAY set: what was held back goes. */
void tcp_conn_push(struct tcp_conn *c);
/* The program took n bytes of what was delivered. False, as nearly always: that changes nothing,
 * and output need not be called for it. */
bool tcp_conn_read(struct tcp_conn *c, u32 n, u64 now, struct tcp_result *r);
/* The receive buffer's bytes of payload: more, or less (the window then shrinks as it is used). */
void tcp_conn_set_rcv_buf(struct tcp_conn *c, u32 bytes);
/* It writes no more: FIN follows what is buffered. */
void tcp_conn_shutdown(struct tcp_conn *c, u64 now, struct tcp_result *r);
/* It reads and writes no more. What it has not read is lost: then the peer gets a reset. Whatever
 * the peer says, the connection ends within a time that is known now (config's orphan_*). */
void tcp_conn_close(struct tcp_conn *c, u64 now, struct tcp_result *r);
/* Ends at once with a reset to the peer. */
void tcp_conn_abort(struct tcp_conn *c, u64 now, struct tcp_result *r);
/* The path now takes segments of mss bytes (as tcp_open.mss). Of ICMP's word the shell first asks
 * tcp_conn_in_flight. */
void tcp_conn_mtu(struct tcp_conn *c, u32 mss);
/* ICMP says that the peer is not reached, for a segment that began at seq. hard: that ends a
 * handshake; otherwise it is a soft error, which counts when time is out (RFC 5461). */
void tcp_conn_unreach(struct tcp_conn *c, u32 seq, int error, bool hard, u64 now,
                      struct tcp_result *r);
/* What else the program sets: keep-alive's timer follows options. */
void tcp_conn_options_changed(struct tcp_conn *c, u64 now);

/* Records: the core takes it. */
void tcp_conn_give(struct tcp_conn *c, struct tcp_record *record);
/* How many more would be of use now: each burst takes one, and each SACK block may split two. While
 * no more than a segment is in flight, few will do. */
static inline u32 tcp_conn_records_wanted(const struct tcp_conn *c)
{
    u32 stock = c->snd_nxt - c->snd_una > c->mss ? TCP_RECORDS_STOCK : TCP_RECORDS_FEW;

    if (c->nr_spare >= stock / 2 || c->nr_records >= TCP_RECORDS_MOST)
        return 0;
    return stock - c->nr_spare;
}
/* One that it needs no more, for the shell to free; NULL: none. */
struct tcp_record *tcp_conn_take_back(struct tcp_conn *c);
/* Memory is short: drops all that waits out of order. */
void tcp_conn_prune(struct tcp_conn *c, struct tcp_result *r);
/* The end: pieces go to r->drop, records to `records` (by link; the embedded one is not among
 * them). Only the memory of c is left, and c is in CLOSE. */
void tcp_conn_drain(struct tcp_conn *c, struct list_node *records, struct tcp_result *r);

/* Joined connections: both ends on this host. True where nothing is in flight, buffered or out of
 * order, so that bytes may go without packets. */
bool tcp_conn_joinable(const struct tcp_conn *c);
/* n bytes went to the peer, which has them (and so acknowledged them), without a segment. */
void tcp_conn_advance_sent(struct tcp_conn *c, u32 n, u64 now);
/* n bytes came so; they count as unread. */
void tcp_conn_advance_received(struct tcp_conn *c, u32 n, u64 now);
/* How many bytes the peer may pass so now. */
u32 tcp_conn_window(const struct tcp_conn *c);
/* Segments go again: the peer is told our window, of which it knows what was left when they were
 * joined less what it has sent. To be called for both ends. */
void tcp_conn_unjoin(struct tcp_conn *c);

struct tcp_info;
void tcp_conn_info(const struct tcp_conn *c, u64 now, struct tcp_info *out);

/* The first number of the send buffer. */
static inline u32 tcp_conn_buffered(const struct tcp_conn *c)
{
    return c->snd_una == c->iss                ? c->iss + 1
           : tcp_after(c->snd_una, c->snd_end) ? c->snd_end
                                               : c->snd_una;
}
/* Is seq of what the peer may have got or not? What ICMP says of any other is not believed. */
static inline bool tcp_conn_in_flight(const struct tcp_conn *c, u32 seq)
{
    return !tcp_before(seq, c->snd_una) && tcp_before(seq, c->snd_nxt);
}
static inline u32 tcp_conn_unsent(const struct tcp_conn *c)
{
    u32 from = tcp_seq_max(c->snd_nxt, c->iss + 1);

    return tcp_after(c->snd_end, from) ? c->snd_end - from : 0;
}
static inline bool tcp_conn_may_write(const struct tcp_conn *c)
{
    return !c->fin_wanted && (c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT ||
                              c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECV);
}
/* Would poll say POLLOUT, as far as TCP_NOTSENT_LOWAT goes? */
static inline bool tcp_conn_low(const struct tcp_conn *c)
{
    return !c->options.notsent_lowat || tcp_conn_unsent(c) < c->options.notsent_lowat;
}
