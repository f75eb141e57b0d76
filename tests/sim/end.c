/* SPDX-License-Identifier: MIT
 *
 * One end: a shell around the core, and the program that uses it.
 */
#include "lib/checksum.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "sim.h"

#include <stdlib.h>

#define OUTPUT_MOST 20000

static void end_act(struct sim_end *e);

void sim_fail(struct sim *s, const char *what)
{
    if (!s->failed)
        s->failed = what;
}

/* --- memory ----------------------------------------------------------------------------------- */

static void end_give_records(struct sim_end *e)
{
    for (u32 n = tcp_conn_records_wanted(&e->conn); n && e->records < e->records_most; n--) {
        struct tcp_record *r = malloc(sizeof(*r));

        if (!r)
            abort();
        tcp_conn_give(&e->conn, r);
        e->records++;
    }
}

static struct sim_packet *end_packet_of(struct list_node *n)
{
    return container_of(list_entry(n, struct tcp_piece, link), struct sim_packet, piece);
}

static void end_drop(struct sim_end *e, struct list_node *list)
{
    while (!list_empty(list)) {
        struct sim_packet *p = end_packet_of(list->next);

        list_del(&p->piece.link);
        e->pieces--;
        free(p);
    }
}

static void end_free_conn(struct sim_end *e)
{
    LIST_HEAD(records);
    struct tcp_result r;

    tcp_result_init(&r);
    tcp_conn_drain(&e->conn, &records, &r);
    end_drop(e, &r.drop);
    while (!list_empty(&records)) {
        struct tcp_record *record = list_entry(records.next, struct tcp_record, link);

        list_del(&record->link);
        e->records--;
        free(record);
    }
    e->open = false;
    e->ended = true;
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Cuts what the core gives into segments, as a device would. */
static void end_transmit(struct sim_end *e, const struct tcp_out *out)
{
    struct tcp_segment seg = out->seg;
    u32 left = seg.len, at = seg.seq - (e->conn.iss + 1), gso = out->gso ? out->gso : 1;

    do {
        seg.len = MIN(left, gso);
        left -= seg.len;
        seg.flags = out->seg.flags;
        if (left)
            seg.flags &= (u16) ~(TCP_FIN | TCP_PSH);
        sim_wire_send(e, &seg, sim_stream(e->number, at, 0));
        at += seg.len;
        seg.seq += seg.len;
    } while (left);
}

static bool end_range_ok(const struct sim_end *e, const struct tcp_out *out)
{
    u32 from = out->seg.seq - tcp_conn_buffered(&e->conn);

    return !out->seg.len || (!tcp_before(out->seg.seq, tcp_conn_buffered(&e->conn)) &&
                             from + out->seg.len <= e->written - e->freed);
}

static void end_output(struct sim_end *e)
{
    struct tcp_out out;
    const char *wrong;
    u32 n = 0;

    end_give_records(e);
    while (tcp_conn_output(&e->conn, e->sim->now, &out)) {
        if (!end_range_ok(e, &out))
            sim_fail(e->sim, "output beyond the send buffer");
        if (n++ > OUTPUT_MOST || e->sim->failed) {
            sim_fail(e->sim, "output without an end");
            return;
        }
        end_transmit(e, &out);
        end_give_records(e);
    }
    wrong = sim_check(&e->conn);
    if (wrong)
        sim_fail(e->sim, wrong);
    if (e->conn.deadline && e->conn.deadline <= e->sim->now)
        e->conn.deadline = e->sim->now + 1;
}

/* --- receiving -------------------------------------------------------------------------------- */

static void end_take(struct sim_end *e, struct list_node *ready)
{
    while (!list_empty(ready)) {
        struct sim_packet *p = end_packet_of(ready->next);

        list_del(&p->piece.link);
        p->next = NULL;
        *e->unread_last = p;
        e->unread_last = &p->next;
    }
}

static void end_events(struct sim_end *e, struct tcp_result *r)
{
    u32 events = r->events;

    e->freed += r->acked;
    if (e->open && e->freed > e->written)
        sim_fail(e->sim, "more acknowledged than written");
    end_take(e, &r->ready);
    end_drop(e, &r->drop);
    if (e->open && e->conn.iss + 1 + e->freed != tcp_conn_buffered(&e->conn))
        sim_fail(e->sim, "the send buffer's beginning");
    if (events & TCP_EVENT_CONNECTED)
        e->connected = true;
    if (events & TCP_EVENT_FIN)
        e->fin_got = true;
    if (events & TCP_EVENT_ERROR)
        e->error = r->error;
    if ((events & TCP_EVENT_TUNE) && e->conn.rcv_want > e->conn.rcv_buf)
        tcp_conn_set_rcv_buf(&e->conn, e->conn.rcv_want);
}

/* After each call: send, then see whether it has ended. */
static void end_settle(struct sim_end *e, struct tcp_result *r)
{
    end_events(e, r);
    end_output(e);
    if (r->events & TCP_EVENT_CLOSED) {
        end_free_conn(e);
    } else if ((r->events & TCP_EVENT_TIMEWAIT) && !e->keeps_conn) {
        e->timewait = e->conn.timewait;
        end_free_conn(e);
        e->waiting = true;
        e->ended = false;
    }
}

static void end_timewait_input(struct sim_end *e, const struct tcp_segment *seg)
{
    struct tcp_segment out;

    if (tcp_timewait_input(&e->timewait, seg, e->sim->now, &out) == TCP_TIMEWAIT_ANSWER)
        sim_wire_send(e, &out, NULL);
}

static void end_open_params(struct sim_end *e, struct tcp_open *o, u32 iss)
{
    *o = (struct tcp_open){
        .config = &e->config,
        .congestion = e->sim->seed & 1 ? &tcp_cubic : &tcp_reno,
        .iss = iss,
        .time_offset = tcp_time_offset(&e->secret, &e->flow),
        .mss = e->out.mtu - SIM_IP_HEADER - TCP_HEADER,
        .rcv_buf = e->listen.rcv_buf,
        .rcv_buf_most = e->listen.rcv_buf_most,
    };
}

void sim_end_connect(struct sim_end *e)
{
    struct tcp_open o;

    end_open_params(e, &o, tcp_isn(&e->secret, &e->flow, sim_random(e->sim)));
    tcp_conn_connect(&e->conn, &o, e->sim->now);
    e->open = true;
    end_output(e);
}

static void end_accept(struct sim_end *e)
{
    struct tcp_open o;

    end_open_params(e, &o, 0);
    tcp_conn_accept(&e->conn, &o, &e->request, e->sim->now);
    e->open = true;
    e->asked = e->listening = false;
}

static void end_conn_input(struct sim_end *e, const struct tcp_segment *seg, struct sim_packet *p)
{
    bool payload = seg->len || (seg->flags & TCP_FIN);
    struct tcp_result r;

    tcp_result_init(&r);
    e->pieces += payload;
    p->header = seg->header;
    tcp_conn_input(&e->conn, seg, payload ? &p->piece : NULL, e->sim->now, &r);
    end_settle(e, &r);
    if (!payload)
        free(p);
    end_act(e);
}

static void end_refuse(struct sim_end *e, const struct tcp_segment *seg)
{
    struct tcp_segment out;

    if (tcp_segment_refuse(seg, &out))
        sim_wire_send(e, &out, NULL);
}

static enum tcp_verdict end_listen(struct sim_end *e, const struct tcp_segment *seg,
                                   struct tcp_segment *out)
{
    enum tcp_verdict v = tcp_listen_input(seg, out);
    u64 now = e->sim->now;

    if (v == TCP_VERDICT_COOKIE) {
        if (e->cookies && tcp_cookie_check(&e->request, &e->listen, &e->secret, &e->flow, seg, now))
            return TCP_VERDICT_ACCEPT;
        if (!e->cookies) /* else it may be data that has overtaken the ACK */
            end_refuse(e, seg);
    } else if (v == TCP_VERDICT_NEW) {
        if (e->cookies)
            tcp_cookie_make(&e->request, &e->listen, &e->secret, &e->flow, seg, now);
        else
            tcp_request_init(&e->request, &e->listen, &e->secret, &e->flow, seg, now);
        e->asked = !e->cookies;
        tcp_request_answer(&e->request, &e->listen, &e->flow, now, out);
        v = TCP_VERDICT_ANSWER;
    }
    return v;
}

static void end_listener_input(struct sim_end *e, const struct tcp_segment *seg,
                               struct sim_packet *p)
{
    struct tcp_segment out;
    enum tcp_verdict v;

    if (e->asked)
        v = tcp_request_input(&e->request, &e->listen, &e->flow, seg, e->sim->now, &out);
    else
        v = end_listen(e, seg, &out);
    if (v == TCP_VERDICT_ANSWER || v == TCP_VERDICT_REFUSE)
        sim_wire_send(e, &out, NULL);
    if (v == TCP_VERDICT_FREE || v == TCP_VERDICT_REFUSE)
        e->asked = false;
    if (v == TCP_VERDICT_ACCEPT) {
        end_accept(e);
        end_conn_input(e, seg, p);
        return;
    }
    free(p);
}

static void end_too_big(struct sim_end *e, const struct sim_packet *p)
{
    if (!e->open || !tcp_conn_in_flight(&e->conn, p->seq))
        return;
    tcp_conn_mtu(&e->conn, p->mtu - SIM_IP_HEADER - TCP_HEADER);
    end_output(e);
}

void sim_end_packet(struct sim_end *e, struct sim_packet *p)
{
    struct tcp_segment seg;

    if (p->icmp) {
        end_too_big(e, p);
        free(p);
        return;
    }
    if (tcp_segment_parse(p->bytes, p->len, p->len, &seg) || checksum_of(p->bytes, p->len)) {
        free(p);
        return;
    }
    seg.ecn = p->ecn;
    if (e->open) {
        end_conn_input(e, &seg, p);
    } else if (e->listening) {
        end_listener_input(e, &seg, p);
    } else if (e->waiting) {
        end_timewait_input(e, &seg);
        free(p);
    } else {
        end_refuse(e, &seg);
        free(p);
    }
}

/* --- the program ------------------------------------------------------------------------------ */

static u32 end_compare(struct sim_end *e, struct sim_packet *p, u32 most)
{
    u32 n = MIN(p->piece.len - e->unread_at, most);
    const u8 *bytes = p->bytes + p->header + p->piece.skip + e->unread_at;

    if (p->header + p->piece.skip + p->piece.len > p->len ||
        memcmp(bytes, sim_stream(!e->number, e->got, n), n))
        sim_fail(e->sim, "wrong bytes");
    e->got += n;
    e->unread_at += n;
    return n;
}

/* Up to `most` bytes; returns how many. */
static u32 end_read(struct sim_end *e, u32 most)
{
    u32 n = 0;

    while (e->unread && n < most) {
        struct sim_packet *p = e->unread;

        n += end_compare(e, p, most - n);
        if (e->unread_at < p->piece.len)
            break;
        e->unread = p->next;
        e->unread_at = 0;
        e->pieces--;
        free(p);
    }
    if (!e->unread)
        e->unread_last = &e->unread;
    return n;
}

static void end_do_read(struct sim_end *e)
{
    struct tcp_result r;
    u32 n;

    if (e->sim->now < e->read_at || !e->unread)
        return;
    n = end_read(e, 1 + sim_below(e->sim, e->read_most));
    e->read_at = e->sim->now + (e->read_gap ? sim_random(e->sim) % e->read_gap : 0);
    if (!e->open)
        return;
    tcp_result_init(&r);
    if (tcp_conn_read(&e->conn, n, e->sim->now, &r))
        end_settle(e, &r);
}

static void end_do_write(struct sim_end *e)
{
    u32 space = e->send_buf - (e->written - e->freed), n, flags = 0;

    if (e->sim->now < e->write_at || e->written == e->to_send || e->shut ||
        !tcp_conn_may_write(&e->conn) || e->written - e->freed >= e->send_buf)
        return;
    n = MIN(MIN(1 + sim_below(e->sim, e->chunk), space), e->to_send - e->written);
    if (sim_chance(e->sim, 50))
        flags |= TCP_WRITE_MORE;
    if (sim_chance(e->sim, 10))
        flags |= TCP_WRITE_URGENT;
    tcp_conn_written(&e->conn, n, flags);
    e->written += n;
    e->write_at = e->sim->now + (e->write_gap ? sim_random(e->sim) % e->write_gap : 0);
    end_output(e);
}

static void end_do_close(struct sim_end *e, bool abort_it)
{
    struct tcp_result r;

    e->closed = e->shut = true;
    tcp_result_init(&r);
    if (abort_it)
        tcp_conn_abort(&e->conn, e->sim->now, &r);
    else
        tcp_conn_close(&e->conn, e->sim->now, &r);
    end_settle(e, &r);
}

static void end_do_end(struct sim_end *e)
{
    struct tcp_result r;

    if (e->manner == SIM_RUDE && e->sim->now >= e->rude_at && !e->closed) {
        end_do_close(e, sim_chance(e->sim, 300));
        return;
    }
    if (e->written == e->to_send && !e->shut && e->connected) {
        if (e->manner == SIM_CLOSES && !e->to_get) {
            end_do_close(e, false);
            return;
        }
        e->shut = true;
        tcp_result_init(&r);
        tcp_conn_shutdown(&e->conn, e->sim->now, &r);
        end_settle(e, &r);
    }
    if (e->open && e->shut && e->fin_got && !e->unread && !e->closed)
        end_do_close(e, false);
}

static void end_act(struct sim_end *e)
{
    end_do_read(e);
    if (e->open)
        end_do_write(e);
    if (e->open)
        end_do_end(e);
}

/* When the program does something by itself; 0: never. */
static u64 end_wakes(const struct sim_end *e)
{
    u64 at = 0;

    if (e->unread)
        at = MAX(e->read_at, e->sim->now + 1);
    if (e->open && !e->shut && tcp_conn_may_write(&e->conn) &&
        (e->written < e->to_send || e->connected) && e->written - e->freed < e->send_buf)
        at = at ? MIN(at, MAX(e->write_at, e->sim->now + 1)) : MAX(e->write_at, e->sim->now + 1);
    if (e->open && e->manner == SIM_RUDE && !e->closed && (!at || e->rude_at < at))
        at = MAX(e->rude_at, e->sim->now + 1);
    return at;
}

u64 sim_end_deadline(const struct sim_end *e)
{
    u64 at = end_wakes(e), core = 0;

    if (e->open)
        core = e->conn.deadline;
    else if (e->asked)
        core = MAX(e->request.deadline, e->sim->now + 1);
    else if (e->waiting)
        core = MAX(e->timewait.deadline, e->sim->now + 1);
    if (!at || !core)
        return at + core;
    return MIN(at, core);
}

void sim_end_time(struct sim_end *e)
{
    struct tcp_segment out;
    struct tcp_result r;
    enum tcp_verdict v;

    if (e->open && e->conn.deadline && e->sim->now >= e->conn.deadline) {
        tcp_result_init(&r);
        tcp_conn_timer(&e->conn, e->sim->now, &r);
        end_settle(e, &r);
    } else if (e->asked) {
        v = tcp_request_timer(&e->request, &e->listen, &e->flow, e->sim->now, &out);
        if (v == TCP_VERDICT_ANSWER)
            sim_wire_send(e, &out, NULL);
        e->asked = v != TCP_VERDICT_FREE;
    } else if (e->waiting && e->sim->now >= e->timewait.deadline) {
        e->waiting = false;
        e->ended = true;
    }
    end_act(e);
}

static void end_take_back(struct sim_end *e)
{
    struct tcp_record *r;

    while ((r = tcp_conn_take_back(&e->conn))) {
        free(r);
        e->records--;
    }
}

void sim_end_disturb(struct sim_end *e)
{
    struct sim *s = e->sim;
    struct tcp_result r;

    if (!e->open)
        return;
    tcp_result_init(&r);
    if (sim_chance(s, 300))
        tcp_conn_prune(&e->conn, &r);
    if (sim_chance(s, 300))
        end_take_back(e);
    if (sim_chance(s, 300))
        tcp_conn_unreach(&e->conn, e->conn.snd_una, EHOSTUNREACH, false, s->now, &r);
    e->conn.options.no_delay = sim_chance(s, 300);
    e->conn.options.cork = sim_chance(s, 50);
    e->conn.options.window_clamp = sim_chance(s, 100) ? 1 + sim_below(s, 100000) : 0;
    tcp_conn_options_changed(&e->conn, s->now);
    if (!e->conn.options.cork)
        tcp_conn_push(&e->conn);
    end_settle(e, &r);
}

void sim_end_set_rcv_buf(struct sim_end *e, u32 bytes)
{
    if (!e->open)
        return;
    tcp_conn_set_rcv_buf(&e->conn, bytes);
    end_output(e);
}

void sim_end_free(struct sim_end *e)
{
    if (e->open)
        end_free_conn(e);
    end_read(e, U32_MAX);
    if (e->pieces || e->records)
        sim_fail(e->sim, "memory is left");
}
