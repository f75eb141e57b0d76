/* SPDX-License-Identifier: MIT
 *
 * Two TCPs joined by a wire in virtual time. Everything that is random comes from one seed: a run
 * can be had again. Each end (end.c) is a small shell around the kernel's pure core, with the rules
 * of net/tcp/conn.h; the wire (wire.c) loses, doubles, delays, reorders and damages bytes;
 * check.c looks at the core's own books after every call.
 */
#pragma once

#include "net/tcp/conn.h"
#include "net/tcp/listen.h"

#include <stdio.h>

#define SIM_MS 1000000ULL
#define SIM_SECOND (1000 * SIM_MS)
#define SIM_IP_HEADER 20

struct sim;

/* A packet on the wire, with header and payload as bytes; received, it is a piece's memory. */
struct sim_packet {
    struct sim_packet *next; /* of free ones, or of the wire */
    u64 at;                  /* when it arrives */
    u64 order;               /* of those that arrive at the same time */
    u32 to;                  /* end */
    u32 len;                 /* of header and payload */
    u8 ecn;
    bool icmp; /* "too big": mtu and seq */
    u32 mtu, seq;
    struct tcp_piece piece;
    u32 header;
    u8 bytes[];
};

/* Chances are in 1/1000. */
struct sim_wire {
    u32 lose, doubled, reorder, damage, mark;
    u64 delay, jitter, gap; /* gap: ns for each byte; 0: no limit */
    u32 queue;              /* bytes that wait for the gap at the most */
    u32 mtu;
    u64 busy; /* until then it sends */
};

enum sim_manner {
    SIM_POLITE, /* shuts down, reads to the end, closes */
    SIM_CLOSES, /* closes at once after its last byte, if the peer sends none */
    SIM_RUDE,   /* closes or aborts at some time */
};

struct sim_end {
    struct sim *sim;
    u32 number; /* 0, 1 */
    struct tcp_config config;
    struct tcp_conn conn;
    bool open;      /* conn is in use */
    bool listening; /* with `request`, when asked */
    bool cookies, asked, gone;
    struct tcp_listen listen;
    struct tcp_secret secret;
    struct tcp_flow flow;
    struct tcp_request request;
    bool keeps_conn, waiting; /* in TIME_WAIT: the connection, or its record alone */
    struct tcp_timewait timewait;
    struct sim_wire out;
    /* The program. */
    enum sim_manner manner;
    u32 to_send, written, freed; /* bytes of the stream */
    u32 to_get, got;
    u32 send_buf, chunk, read_most;
    u64 read_gap, write_gap, read_at, write_at, rude_at;
    bool fin_got, shut, closed, connected, ended;
    int error;
    struct sim_packet *unread, **unread_last; /* in order */
    u32 unread_at;
    /* Memory. */
    u32 records, records_most, pieces;
    u64 sent;
};

struct sim {
    u64 seed, now, order;
    u64 chance; /* state of the random stream */
    struct sim_end ends[2];
    struct sim_packet *wire; /* by time */
    u64 change_at;           /* of MTU, buffer and wire */
    bool calm;               /* no more changes */
    u64 steps;
    const char *failed;
    FILE *trace;
};

/* wire.c */
u64 sim_random(struct sim *s);
u32 sim_below(struct sim *s, u32 n); /* 0 .. n - 1 */
bool sim_chance(struct sim *s, u32 thousandths);
void sim_wire_send(struct sim_end *from, const struct tcp_segment *seg, const u8 *payload);
struct sim_packet *sim_wire_next(struct sim *s, u64 until);
void sim_wire_clear(struct sim *s);
void sim_trace(struct sim *s, const struct tcp_segment *seg, u32 from, const char *what);
const u8 *sim_stream(u32 from, u32 at, u32 n); /* bytes of an end's stream */

/* end.c */
void sim_end_connect(struct sim_end *e);
void sim_end_packet(struct sim_end *e, struct sim_packet *p);
u64 sim_end_deadline(const struct sim_end *e);
void sim_end_time(struct sim_end *e);
void sim_end_free(struct sim_end *e);
/* Memory is short, a path errs, an option changes. */
void sim_end_disturb(struct sim_end *e);
void sim_end_set_rcv_buf(struct sim_end *e, u32 bytes);
void sim_fail(struct sim *s, const char *what);

/* check.c: NULL, or what is wrong. */
const char *sim_check(const struct tcp_conn *c);

/* run.c: two ends and two wires as the seed has them. */
void sim_setup(struct sim *s, u64 seed);
/* False: it failed, and said why. */
bool sim_run(u64 seed, bool trace);
/* soak.c: n runs and n lies from that seed on, by so many processes (0: as many as there are CPUs);
 * it says how far it is. 0: all were right. */
int sim_soak(u64 from, u64 n, u32 jobs);

/* The next thing that happens; false: nothing does. */
bool sim_step(struct sim *s);

/* bulk.c: failures. */
/* hoard.c */
bool sim_hoard(void);
u32 sim_bulk(const char *pattern, u32 *passed, bool trace);

/* lie.c */
bool sim_lie(u64 seed);

/* script.c: failures. */
u32 sim_scripts(const char *folder, const char *pattern, u32 *passed);
