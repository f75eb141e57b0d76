/* SPDX-License-Identifier: MIT
 *
 * One run: what a seed makes of two ends and a wire, and what must come of it.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "sim.h"

#define RUN_STEPS 2000000
#define RUN_MOST (100000 * SIM_SECOND) /* virtual */

/* Now and then n, mostly less. */
static u32 run_some(struct sim *s, u32 n)
{
    u32 bits = sim_below(s, 18);

    return sim_below(s, (n >> bits) + 1);
}

/* Each fault in half of the runs: what a single one does shows better so. */
static u32 run_fault(struct sim *s)
{
    return sim_chance(s, 500) ? sim_below(s, 101) : 0;
}

static void run_wire(struct sim *s, struct sim_wire *w)
{
    static const u32 mtus[] = {1500, 1500, 1500, 1280, 576, 9000, 296};

    *w = (struct sim_wire){
        .lose = run_fault(s),
        .doubled = run_fault(s),
        .reorder = run_fault(s),
        .damage = run_fault(s),
        .mark = run_fault(s),
        .delay = SIM_MS / 10 + sim_random(s) % (sim_chance(s, 200) ? 400 * SIM_MS : 20 * SIM_MS),
        .jitter = sim_chance(s, 300) ? sim_random(s) % (20 * SIM_MS) : 0,
        .gap = sim_chance(s, 300) ? 10 + sim_below(s, 20000) : 0,
        .queue = 2000 + sim_below(s, 100000),
        .mtu = mtus[sim_below(s, ARRAY_SIZE(mtus))],
        .busy = w->busy,
    };
}

static void run_config(struct sim *s, struct sim_end *e)
{
    e->config = tcp_config_default;
    e->config.orphan_life = 24 * 3600 * 1000 * SIM_MS; /* every byte is to arrive, however slowly */
    e->config.syn_retries = e->config.retries = e->config.orphan_retries = 60;
    e->config.rto_most = 20 * SIM_SECOND; /* else a bad wire takes days */
    e->config.scale = sim_chance(s, 800);
    e->config.times = sim_chance(s, 700);
    e->config.sack = sim_chance(s, 800);
    e->config.ecn_ask = sim_chance(s, 300);
    e->config.pacing = sim_chance(s, 500);
}

static void run_program(struct sim *s, struct sim_end *e)
{
    e->manner = sim_chance(s, 100) ? SIM_RUDE : sim_chance(s, 300) ? SIM_CLOSES : SIM_POLITE;
    e->to_send = run_some(s, 400000);
    e->send_buf = 1 + sim_below(s, sim_chance(s, 200) ? 5000 : 200000);
    e->chunk = 1 + run_some(s, 60000);
    e->read_most = 1 + sim_below(s, sim_chance(s, 200) ? 3000 : 100000);
    e->read_gap = sim_chance(s, 300) ? sim_random(s) % (200 * SIM_MS) : 0;
    e->write_gap = sim_chance(s, 300) ? sim_random(s) % (100 * SIM_MS) : 0;
    e->write_gap = e->to_send / e->chunk > 2000 ? 0 : e->write_gap;
    e->read_gap = 200000 / e->read_most > 2000 ? 0 : e->read_gap;
    e->chunk += e->to_send / 500;
    e->send_buf += e->to_send / 200;
    e->rude_at = s->now + sim_random(s) % (10 * SIM_SECOND);
}

static void run_end(struct sim *s, u32 number)
{
    struct sim_end *e = &s->ends[number];

    e->sim = s;
    e->number = number;
    run_config(s, e);
    run_wire(s, &e->out);
    run_program(s, e);
    e->records_most = sim_chance(s, 100) ? sim_below(s, 10) : 100000;
    e->unread_last = &e->unread;
    for (u32 i = 0; i < sizeof(e->secret) / 8; i++)
        ((u64 *)&e->secret)[i] = sim_random(s);
    e->flow.here_port = (u16)(1000 + number);
    e->flow.there_port = (u16)(1001 - number);
    e->cookies = sim_chance(s, 300);
    e->keeps_conn = sim_chance(s, 500);
    e->listen = (struct tcp_listen){
        .config = &e->config,
        .mss = e->out.mtu - SIM_IP_HEADER - TCP_HEADER,
        .rcv_buf = 1 + sim_below(s, sim_chance(s, 200) ? 3000 : 300000),
        .retries = 60,
    };
    e->listen.rcv_buf_most = e->listen.rcv_buf + sim_below(s, 4000000);
}

static void run_options(struct sim *s, struct sim_end *e)
{
    e->conn.options.no_delay = sim_chance(s, 300);
    e->conn.options.cork = sim_chance(s, 50);
    e->conn.options.quick_ack = sim_chance(s, 100);
    e->conn.options.keep_alive = sim_chance(s, 200);
    e->conn.options.keep_idle = SIM_SECOND;
    e->conn.options.keep_count = 100;
    e->conn.options.maxseg = sim_chance(s, 100) ? 100 + sim_below(s, 1400) : 0;
}

void sim_setup(struct sim *s, u64 seed)
{
    s->seed = seed;
    s->chance = seed * 0xd1342543de82ef95ULL;
    s->now = SIM_SECOND + sim_random(s) % (1000 * SIM_SECOND);
    s->change_at = s->now + sim_random(s) % (2 * SIM_SECOND);
    run_end(s, 0);
    run_end(s, 1);
}

static void run_begin(struct sim *s)
{
    s->ends[0].to_get = s->ends[1].to_send;
    s->ends[1].to_get = s->ends[0].to_send;
    for (u32 i = 0; i < 2; i++) {
        s->ends[i].read_most += s->ends[i].to_get / 500;
        s->ends[i].listen.rcv_buf += s->ends[i].to_get / 200;
    }
    if (sim_chance(s, 100)) {
        sim_end_connect(&s->ends[1]); /* both at once: the SYNs cross, or one is refused */
        run_options(s, &s->ends[1]);
    } else {
        s->ends[1].listening = true;
    }
    sim_end_connect(&s->ends[0]);
    run_options(s, &s->ends[0]);
}

/* The world changes: up to five seconds of it, then it is as it is. */
static void run_change(struct sim *s)
{
    struct sim_end *e = &s->ends[sim_below(s, 2)];
    u32 mtu = e->out.mtu;

    if (s->now < s->change_at || s->calm)
        return;
    s->change_at = s->now + sim_random(s) % (2 * SIM_SECOND);
    s->calm = sim_chance(s, 200);
    if (sim_chance(s, 300))
        run_wire(s, &e->out);
    if (sim_chance(s, 500) || e->out.mtu > mtu)
        e->out.mtu = mtu;
    if (sim_chance(s, 500))
        sim_end_disturb(&s->ends[sim_below(s, 2)]);
    if (sim_chance(s, 300))
        sim_end_set_rcv_buf(e, 1 + sim_below(s, 200000));
}

static u64 run_next(const struct sim *s)
{
    u64 at = s->wire ? s->wire->at : U64_MAX;

    for (u32 i = 0; i < 2; i++) {
        u64 deadline = sim_end_deadline(&s->ends[i]);

        if (deadline)
            at = MIN(at, deadline);
    }
    return at;
}

static void run_step(struct sim *s, u64 at)
{
    struct sim_packet *p;

    s->now = MAX(s->now, at);
    run_change(s);
    p = sim_wire_next(s, s->now);
    if (p) {
        sim_end_packet(&s->ends[p->to], p);
        return;
    }
    for (u32 i = 0; i < 2; i++) {
        u64 deadline = sim_end_deadline(&s->ends[i]);

        if (deadline && deadline <= s->now + 1)
            sim_end_time(&s->ends[i]);
    }
}

static bool run_over(const struct sim *s)
{
    const struct sim_end *a = &s->ends[0], *b = &s->ends[1];

    return a->ended && (b->ended || !b->open) && !a->unread && !b->unread;
}

/* The other end's reset was lost, and this one only listens: no TCP would notice. */
static bool run_waits_in_vain(const struct sim *s)
{
    for (u32 i = 0; i < 2; i++) {
        const struct tcp_conn *c = &s->ends[i].conn;

        if (s->ends[i].open && s->ends[!i].ended && !s->ends[i].unread && !c->deadline)
            return c->snd_una == c->snd_nxt;
    }
    return false;
}

static void run_judge(struct sim *s)
{
    struct sim_end *a = &s->ends[0], *b = &s->ends[1];
    bool rude = a->manner == SIM_RUDE || b->manner == SIM_RUDE;

    if (!run_over(s) && !(rude && run_waits_in_vain(s)))
        sim_fail(s, "it does not end");
    else if (!rude && (a->error || b->error))
        sim_fail(s, "an error");
    else if (!rude && (a->got != a->to_get || b->got != b->to_get))
        sim_fail(s, "bytes are missing");
}

bool sim_step(struct sim *s)
{
    u64 at = run_next(s);

    if (s->steps++ >= RUN_STEPS || at >= RUN_MOST)
        return false;
    run_step(s, at);
    return true;
}

bool sim_run(u64 seed, bool trace)
{
    static struct sim s;

    memset(&s, 0, sizeof(s));
    sim_setup(&s, seed);
    s.trace = trace ? stdout : NULL;
    run_begin(&s);
    while (!s.failed && sim_step(&s))
        ;
    run_judge(&s);
    sim_end_free(&s.ends[0]);
    sim_end_free(&s.ends[1]);
    sim_wire_clear(&s);
    if (s.failed)
        printf("seed %llu: %s after %.3f s, %llu steps; got %u of %u, %u of %u; errors %d %d; "
               "states %u %u\n",
               (unsigned long long)seed, s.failed, (double)s.now / 1e9, (unsigned long long)s.steps,
               s.ends[0].got, s.ends[0].to_get, s.ends[1].got, s.ends[1].to_get, s.ends[0].error,
               s.ends[1].error, s.ends[0].conn.state, s.ends[1].conn.state);
    return !s.failed;
}
