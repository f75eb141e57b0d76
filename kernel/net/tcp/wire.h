/* SPDX-License-Identifier: MIT
 *
 * A TCP socket's connection over packets: the shell around the pure core (conn.h). It has what the
 * core has not: the socket's lock, memory, the path, the send buffer, packets, a timer.
 *
 * Life. A socket gets its struct tcp_wire with its first connection to another host, and keeps it
 * to its own end; a further connection uses it again. While the connection lives, it has an entry
 * in the table of connections (table.h), which holds a reference to the socket: so a socket whose
 * file is closed lasts until its connection has ended. What is left in TIME_WAIT is a small record
 * (rest.c) in the entry's place.
 *
 * The lock. All of it is under the socket's lock, which is held for one segment's worth of work,
 * never over a copy, a sleep or ip_output. Whatever was done under it, tcp_wire_unlock ends: it
 * collects what the core wants sent into w->packets, sees to the timer, unlocks, and sends. One
 * thread sends at a time (w->sending), so packets keep their order; others leave theirs in the
 * list. Without any lock held a packet over lo may end in the same socket's input, in the same
 * thread.
 *
 * The timer fires into a net worker's job; while it is armed or the job queued (w->timed) it holds
 * a reference.
 */
#pragma once

#include "dev/packet.h"
#include "net/ip/ip.h"
#include "net/ip/option.h"
#include "net/tcp/buffer.h"
#include "net/tcp/conn.h"
#include "net/tcp/listen.h"
#include "net/tcp/table.h"
#include "net/tcp/tcp.h"
#include "sched/timer.h"
#include "sched/work.h"
#include "sync/rcu.h"

/* I set before it is found · l the socket's lock · s the thread that set `sending` */
struct tcp_wire {
    struct tcp_entry entry;   /* first */
    struct tcp_sock *sock;    /* I */
    struct tcp_conn conn;     /* l */
    struct tcp_buffer out;    /* l */
    struct ip_path path;      /* s, or l before the first packet */
    struct ip_info head;      /* l  of all packets, but for their own words */
    u64 confirmed;            /* s  when the neighbour was last told that it is reached */
    bool reached;             /* l  the peer has said something new since */
    bool open;                /* l  the connection lives: entry, timer */
    bool full;                /* l  a writer waits for space */
    bool sending;             /* l */
    bool timed;               /* l  the timer's reference is held */
    u8 orphan;                /* l  1 + the slot that it is in (orphan.c); 0: it is none */
    struct list_node orphans; /* the namespace's orphans.lock */
    u32 waiting;              /* l  bytes of memory that pieces out of order keep */
    struct list_node packets; /* l  to be sent */
    struct timer timer;
    struct work work, flush; /* flush sends on where a thread has done its share; has a reference */
};

/* What a segment's packet has in `control`. Before it goes out: */
struct tcp_sent {
    struct ip_info head;
};
/* When it came, with payload or FIN: first a piece of the core's, then a message of the queue's. */
struct tcp_came {
    struct sock_msg msg; /* first */
    struct tcp_piece piece;
};
static_assert(sizeof(struct tcp_sent) <= PACKET_CONTROL, "a segment to send");
static_assert(sizeof(struct tcp_came) <= PACKET_CONTROL, "a segment that came");

/* What was found under the lock and is done without it. */
struct tcp_after {
    struct tcp_result result;
    struct list_node packets, chunks, records; /* to be freed */
    u32 wake;                                  /* POLL* events that happened */
    bool urgent;                               /* a mark came */
    bool ended;  /* the connection is over: tcp_wire_unlock takes it apart */
    bool closed; /* the entry is out of the table: its reference is to be dropped */
    bool timed;  /* the timer's is */
};

/* wire.c: makes t's, or finds it; NULL: no memory. */
struct tcp_wire *tcp_wire_get(struct tcp_sock *t);
/* For destroy: nothing of it is in use. Yields. */
void tcp_wire_free(struct tcp_wire *w);
/* The entry's key; it is not in the table. */
void tcp_wire_key(struct tcp_wire *w, const struct ip_end *local, const struct ip_end *peer);
void tcp_flow_of(const struct tcp_key *key, struct tcp_flow *out);
/* What the core is to know of a connection of t's with that peer, but for the numbers that it
 * begins with. */
void tcp_open_fill(struct tcp_sock *t, const struct ip_addr *peer, const struct ip_path *path,
                   struct tcp_open *open);
/* The connection is alive; the first byte to send will be `seq`. Takes the path. */
void tcp_wire_open_locked(struct tcp_wire *w, struct ip_path *path, u32 seq)
    REQUIRES(w->sock->inet.sock.lock);
/* The socket's options are the core's. */
void tcp_wire_options_locked(struct tcp_wire *w) REQUIRES(w->sock->inet.sock.lock);
/* wire_tune.c: the window follows what the queue costs; the buffers what the core has seen to be of
 * use. */
void tcp_wire_window_locked(struct tcp_wire *w) REQUIRES(w->sock->inet.sock.lock);
void tcp_wire_tune_locked(struct tcp_wire *w) REQUIRES(w->sock->inet.sock.lock);
/* They have changed. */
void tcp_wire_options(struct tcp_wire *w);
/* TCP_CORK, or else TCP_NODELAY, has changed: programs do that with each answer. */
void tcp_wire_hold(struct tcp_wire *w, bool cork, bool on);
/* Takes a connection apart that has ended. */
void tcp_wire_end_locked(struct tcp_wire *w, struct tcp_after *a) REQUIRES(w->sock->inet.sock.lock);
/* Ends at once, with a reset. */
void tcp_wire_abort(struct tcp_wire *w);
void tcp_after_init(struct tcp_after *a);
/* Frees what was collected; tcp_wire_unlock does. Without the lock; yields. */
void tcp_after_free(struct tcp_after *a);
/* What a->result says is done; then it is empty again. */
void tcp_wire_result_locked(struct tcp_wire *w, struct tcp_after *a)
    REQUIRES(w->sock->inet.sock.lock);
/* The end of each use, see above. */
void tcp_wire_unlock(struct tcp_wire *w, struct tcp_after *a) RELEASES(w->sock->inet.sock.lock);
/* Bytes of memory that the send buffer may still take; at most 0: none. */
static inline s64 tcp_wire_space(const struct tcp_wire *w)
{
    if (unlikely(READ_ONCE(w->out.nr) >= TCP_CHUNKS_MOST))
        return 0;
    return (s64)READ_ONCE(w->sock->inet.sock.sndbuf) - READ_ONCE(w->out.cost);
}
/* poll says that it may be written: a third is free, as on Linux. */
static inline bool tcp_wire_writable(const struct tcp_wire *w)
{
    return tcp_wire_space(w) * 3 >= (s64)READ_ONCE(w->sock->inet.sock.sndbuf) &&
           tcp_conn_low(&w->conn);
}
/* The most payload of a segment on that path. */
u32 tcp_path_mss(const struct ip_path *path, const struct ip_addr *to);
/* The header before p's payload, for its device to finish. gso: as tcp_out's. False: no space. */
bool tcp_packet_finish(struct packet *p, struct tcp_segment *seg, const struct ip_info *h, u32 gso);
/* Sends one segment without a connection: an answer to h. */
void tcp_answer(struct net_ns *ns, const struct ip_info *h, struct tcp_segment *seg);
/* The same for a socket, with its hops and its class of service, by the path to h->from. */
void tcp_answer_by(const struct inet_sock *by, const struct ip_path *path, const struct ip_info *h,
                   struct tcp_segment *seg);

/* wire_in.c */
void tcp_wire_input(struct tcp_wire *w, struct packet *p, struct tcp_segment *seg);
void tcp_packet_consumed(struct socket *s, u32 n);
/* t's filter lets the segment in, and may have cut its payload. p stays the caller's. */
bool tcp_filter_passes(struct tcp_sock *t, struct packet *p, struct tcp_segment *seg);
/* The same of its hops and its filter; for tcp_lets_in. */
bool tcp_chosen(struct tcp_sock *t, struct packet *p, const struct ip_info *h,
                struct tcp_segment *seg);
static inline bool tcp_lets_in(struct tcp_sock *t, struct packet *p, const struct ip_info *h,
                               struct tcp_segment *seg)
{
    return likely(!tcp_is_choosy(t)) || tcp_chosen(t, p, h, seg);
}
extern struct tcp_secret tcp_secret;
/* Bytes of payload that a buffer of so many bytes of memory is good for; the most that it will be
 * tuned to. */
static inline u32 tcp_payload(u32 buffer)
{
    return buffer / 2;
}
u32 tcp_payload_most(const struct socket *s);

/* wire_out.c */
/* Takes the path. */
int tcp_wire_connect(struct tcp_sock *t, struct ip_end *to, struct ip_path *path, bool nonblock);
/* connect(2) of a socket that has a connection. */
int tcp_wire_connect_again(struct tcp_wire *w, bool nonblock);
/* Forgets what is left of a connection over packets that has ended, as another one is to begin. Of
 * the thread that has claimed t. May sleep. */
void tcp_wire_renew(struct tcp_sock *t);
/* Ends what there is with a reset, and forgets what came. Of the thread that has claimed t. */
void tcp_wire_disconnect(struct tcp_wire *w);
ssize_t tcp_wire_send(struct tcp_wire *w, struct socket_message *m, unsigned flags);
/* wire_pages.c: pages as they are (socket_ops.send_pages). */
ssize_t tcp_wire_send_pages(struct tcp_wire *w, const struct page_part *parts, unsigned nr,
                            unsigned flags);
/* wire_out.c: until bytes may be written: 0, or why they may not. */
int tcp_wire_wait_space(struct tcp_wire *w, unsigned flags, u64 deadline);
/* What is staged goes. how: enum tcp_write. 0, -EPIPE. */
int tcp_wire_write(struct tcp_wire *w, struct tcp_stage *g, u32 how);
int tcp_wire_shutdown(struct tcp_wire *w, u32 bits);
/* close(2), SO_LINGER included. */
void tcp_wire_release(struct tcp_wire *w);
u32 tcp_wire_poll(struct tcp_wire *w);

/* wire_listen.c: a segment for which there is only a listener. Takes p. */
void tcp_listen_packet(struct tcp_sock *l, struct packet *p, const struct ip_info *h,
                       struct tcp_segment *seg);
/* In an RCU reader: a reference to a half-open connection; false: it is going. */
bool tcp_half_hold(struct tcp_entry *e);
/* A segment of one. Takes p and the reference. */
void tcp_half_packet(struct tcp_entry *e, struct packet *p, const struct ip_info *h,
                     struct tcp_segment *seg);

/* orphan.c: the connection goes on without its program. A namespace has at most tcp_max_orphans of
 * them: _room makes room for one more, which costs the heaviest owner its oldest one; without any
 * lock; may send. False: there is still none, and the new one is to end at once. */
bool tcp_orphan_room(struct tcp_ns *tn);
void tcp_orphan_add_locked(struct tcp_wire *w) REQUIRES(w->sock->inet.sock.lock);
void tcp_orphan_remove_locked(struct tcp_wire *w) REQUIRES(w->sock->inet.sock.lock);
void tcp_orphans_init(struct tcp_orphans *orphans);

/* rest.c: TIME_WAIT. w's entry gives way to a record; without memory it stays, for tcp_wire_unlock
 * to take out. */
void tcp_rest_begin_locked(struct tcp_wire *w) REQUIRES(w->sock->inet.sock.lock);
/* Context: in an RCU reader. ANSWER: the caller sends *out, once it has left the reader. REUSE: it
 * is a SYN for a listener now, and the record is gone. */
enum tcp_timewait_verdict tcp_rest_packet(struct tcp_entry *e, const struct tcp_segment *seg,
                                          struct tcp_segment *out);
/* A new connection of this host may take the record's place, which is gone then: it begins with
 * *iss. */
bool tcp_rest_may_open(const struct tcp_key *key, u32 *iss);
/* What a record, or a half-open connection, is to those who list them. In an RCU reader. */
struct tcp_diag;
void tcp_rest_diag(const struct tcp_entry *e, struct tcp_diag *out);
void tcp_half_diag(const struct tcp_entry *e, struct tcp_diag *out);
void tcp_rests_init(struct tcp_rests *rests);
void tcp_rests_fini(struct tcp_rests *rests);
