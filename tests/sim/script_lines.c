/* SPDX-License-Identifier: MIT
 *
 * The lines of a script: what each does and expects (README.md has the language).
 */
#include "lib/errno.h"
#include "script.h"

#include <stdlib.h>
#include <string.h>

/* --- numbers as scripts have them ------------------------------------------------------------- */

void script_say(const struct tcp_out *o, char *out, u32 n)
{
    const struct tcp_segment *g = &o->seg;
    static const char letters[] = "FSRP.UEW";
    u32 at = 0;

    for (u32 i = 0; i < 8; i++) {
        if (g->flags & 1U << i)
            out[at++] = letters[i];
    }
    snprintf(out + at, n - at, " %u %u len=%u win=%u sacks=%u%s%s", g->seq - SCRIPT_ISS,
             g->flags & TCP_ACK ? g->ack - SCRIPT_IRS : 0, g->len, g->window, g->nr_sacks,
             o->again ? " again" : "", o->challenge ? " challenge" : "");
}

static u16 script_flags(const char *word)
{
    static const char letters[] = "FSRP.UEW";
    u16 flags = 0;

    for (; *word; word++) {
        const char *at = strchr(letters, *word);

        if (!at) {
            script_fail("no flag:", word);
            return 0;
        }
        flags |= (u16)(1U << (at - letters));
    }
    return flags;
}

/* The value of key=N among the words from `from` on. */
static bool script_key(const char *key, u32 from, u32 *out)
{
    size_t n = strlen(key);

    for (u32 i = from; i < script.nr_words; i++) {
        if (!strncmp(script.words[i], key, n) && script.words[i][n] == '=') {
            *out = (u32)strtoul(script.words[i] + n + 1, NULL, 0);
            return true;
        }
    }
    return false;
}

static bool script_has(const char *word, u32 from)
{
    for (u32 i = from; i < script.nr_words; i++) {
        if (!strcmp(script.words[i], word))
            return true;
    }
    return false;
}

/* sack=A-B,C-D */
static u32 script_sacks(u32 from, u32 base, struct tcp_sack out[TCP_SACKS])
{
    char *at = NULL;
    u32 n = 0;

    for (u32 i = from; i < script.nr_words; i++) {
        if (!strncmp(script.words[i], "sack=", 5))
            at = script.words[i] + 5;
    }
    while (at && *at && n < TCP_SACKS) {
        out[n].from = base + (u32)strtoul(at, &at, 0);
        out[n++].to = base + (u32)strtoul(at + (*at == '-'), &at, 0);
        at += *at == ',';
    }
    return n;
}

/* --- lines ------------------------------------------------------------------------------------ */

/* < FLAGS SEQ ACK [len= win= time= echo= mss= scale= urgent= sack= sackok ce] */
static void line_input(void)
{
    struct tcp_segment seg = {.window = 65535, .header = TCP_HEADER};
    u8 bytes[TCP_HEADER_MAX];
    u32 v, header;

    if (script.nr_words < 4) {
        script_fail("< FLAGS SEQ ACK", NULL);
        return;
    }
    seg.flags = script_flags(script.words[1]);
    seg.seq = SCRIPT_IRS + (u32)strtol(script.words[2], NULL, 0);
    seg.ack = SCRIPT_ISS + (u32)strtol(script.words[3], NULL, 0);
    script_key("len", 4, &seg.len);
    if (script_key("win", 4, &v))
        seg.window = (u16)v;
    if (script_key("urgent", 4, &v))
        seg.urgent = (u16)v;
    if (script_key("time", 4, &seg.time))
        seg.has |= TCP_HAS_TIME;
    if (script_key("echo", 4, &v))
        seg.echo = SCRIPT_CLOCK + v;
    if (script_key("mss", 4, &v)) {
        seg.has |= TCP_HAS_MSS;
        seg.mss = (u16)v;
    }
    if (script_key("scale", 4, &v)) {
        seg.has |= TCP_HAS_SCALE;
        seg.scale = (u8)v;
    }
    seg.has |= script_has("sackok", 4) ? TCP_HAS_SACK_OK : 0;
    seg.nr_sacks = script_sacks(4, SCRIPT_ISS, seg.sacks);
    header = tcp_segment_build(bytes, &seg); /* as from the wire */
    if (tcp_segment_parse(bytes, header, header + seg.len, &seg))
        script_fail("no segment", NULL);
    seg.ecn = script_has("ce", 4) ? TCP_CE : TCP_NOT_ECT;
    script.full = script_has("full", 4);
    if (script.mode == SCRIPT_LISTEN)
        script_listen_input(&seg);
    else if (script.mode == SCRIPT_TIMEWAIT)
        script_timewait_input(&seg);
    else
        script_conn_input(&seg);
}

static bool line_same(const struct tcp_out *out)
{
    const struct tcp_segment *g = &out->seg;
    u32 seq = (u32)strtol(script.words[2], NULL, 0), ack = (u32)strtol(script.words[3], NULL, 0),
        len = 0, v;
    struct tcp_sack sacks[TCP_SACKS];
    u32 n = script_sacks(4, SCRIPT_IRS, sacks);

    script_key("len", 4, &len);
    if (g->flags != script_flags(script.words[1]) || g->seq - SCRIPT_ISS != seq || g->len != len)
        return false;
    if (((g->flags & TCP_ACK) && g->ack - SCRIPT_IRS != ack) ||
        (script_key("win", 4, &v) && g->window != v) || (script_key("mss", 4, &v) && g->mss != v) ||
        (script_key("scale", 4, &v) && g->scale != v) ||
        (script_key("gso", 4, &v) && out->gso != v))
        return false;
    if ((script_key("echo", 4, &v) && g->echo != v) ||
        (script_key("urgent", 4, &v) && g->urgent != v) ||
        (script_key("ecn", 4, &v) && g->ecn != v))
        return false;
    if (script_has("again", 4) != out->again || script_has("challenge", 4) != out->challenge)
        return false;
    return g->nr_sacks == n && !memcmp(g->sacks, sacks, n * sizeof(sacks[0]));
}

/* > FLAGS SEQ ACK ... */
static void line_output(void)
{
    char said[128];

    if (script.nr_words < 4 || script.taken == script.nr_out) {
        script_fail("nothing was sent", NULL);
        return;
    }
    if (!line_same(&script.out[script.taken])) {
        script_say(&script.out[script.taken], said, sizeof(said));
        script_fail("sent instead:", said);
    }
    if (++script.taken == script.nr_out)
        script.taken = script.nr_out = 0;
}

static u64 script_deadline(void)
{
    if (script.mode == SCRIPT_CONN)
        return script.c.deadline;
    return script.mode == SCRIPT_LISTEN && script.asked ? script.request.deadline : 0;
}

static void script_timer(void)
{
    struct tcp_segment out;
    struct tcp_result r;
    enum tcp_verdict v;

    if (script.mode == SCRIPT_CONN) {
        tcp_result_init(&r);
        tcp_conn_timer(&script.c, script.now, &r);
        script_after(&r);
        return;
    }
    v = tcp_request_timer(&script.request, &script.listen, &script.flow, script.now, &out);
    if (v == TCP_VERDICT_ANSWER)
        script_put(&out);
    script.asked = v != TCP_VERDICT_FREE;
}

/* +MS */
static void line_time(void)
{
    u64 end = script.now + strtoull(script.words[0] + 1, NULL, 0) * SIM_MS, at;

    while ((at = script_deadline()) && at <= end && !script.failed &&
           script.nr_out < SCRIPT_OUT - 1) {
        script.now = MAX(at, script.now);
        script_timer();
    }
    script.now = end;
}

static const struct {
    const char *name;
    u32 value;
} states[] = {{"established", TCP_ESTABLISHED},
              {"syn-sent", TCP_SYN_SENT},
              {"syn-recv", TCP_SYN_RECV},
              {"fin-wait-1", TCP_FIN_WAIT1},
              {"fin-wait-2", TCP_FIN_WAIT2},
              {"time-wait", TCP_TIME_WAIT},
              {"closed", TCP_CLOSE},
              {"close-wait", TCP_CLOSE_WAIT},
              {"last-ack", TCP_LAST_ACK},
              {"closing", TCP_CLOSING}},
  events[] = {{"connected", TCP_EVENT_CONNECTED}, {"readable", TCP_EVENT_READABLE},
              {"writable", TCP_EVENT_WRITABLE},   {"fin", TCP_EVENT_FIN},
              {"error", TCP_EVENT_ERROR},         {"soft", TCP_EVENT_SOFT},
              {"urgent", TCP_EVENT_URGENT},       {"timewait", TCP_EVENT_TIMEWAIT},
              {"closed", TCP_EVENT_CLOSED}},
  errors[] = {{"none", 0},      {"ECONNREFUSED", ECONNREFUSED}, {"ECONNRESET", ECONNRESET},
              {"EPIPE", EPIPE}, {"ETIMEDOUT", ETIMEDOUT},       {"EHOSTUNREACH", EHOSTUNREACH}};

#define LOOK_UP(table, word, out) look_up(table, ARRAY_SIZE(table), word, out)
static bool look_up(const void *table, u32 n, const char *word, u32 *out)
{
    const __typeof__(states[0]) *row = table;

    for (u32 i = 0; i < n; i++) {
        if (!strcmp(row[i].name, word)) {
            *out = row[i].value;
            return true;
        }
    }
    script_fail("unknown:", word);
    return false;
}

static void expect_number(const char *name, u64 is)
{
    u64 wanted = strtoull(script.words[2], NULL, 0);
    char said[64];

    if (is == wanted)
        return;
    snprintf(said, sizeof(said), "%s is %llu", name, (unsigned long long)is);
    script_fail(said, NULL);
}

/* = WHAT VALUE */
static void line_expect(void)
{
    const char *what = script.nr_words > 2 ? script.words[1] : "";
    u32 v = 0;

    if (!strcmp(what, "state") && LOOK_UP(states, script.words[2], &v) && script.c.state != v)
        script_fail("another state than", script.words[2]);
    else if (!strcmp(what, "error") && LOOK_UP(errors, script.words[2], &v) &&
             (u32)script.error != v)
        script_fail("another error than", script.words[2]);
    else if (!strcmp(what, "event") && LOOK_UP(events, script.words[2], &v) && !(script.events & v))
        script_fail("no event", script.words[2]);
    else if (!strcmp(what, "no-event") && LOOK_UP(events, script.words[2], &v) &&
             (script.events & v))
        script_fail("an event", script.words[2]);
    else if (!strcmp(what, "delivered"))
        expect_number(what, script.delivered);
    else if (!strcmp(what, "cwnd"))
        expect_number(what, script.c.congestion.window);
    else if (!strcmp(what, "ssthresh"))
        expect_number(what, script.c.congestion.ssthresh);
    else if (!strcmp(what, "mss"))
        expect_number(what, script.c.mss);
    else if (!strcmp(what, "rto"))
        expect_number(what, script.c.rto / SIM_MS);
    else if (!strcmp(what, "srtt"))
        expect_number(what, script.c.srtt / SIM_MS);
    else if (!strcmp(what, "urgent"))
        expect_number(what, script.c.urg_seq - SCRIPT_IRS);
    else if (!strcmp(what, "joinable"))
        expect_number(what, tcp_conn_joinable(&script.c));
    else if (!strcmp(what, "asked"))
        expect_number(what, script.asked);
    else if (!strcmp(what, "reuse"))
        expect_number(what, script.reuse);
    if (!strcmp(what, "event"))
        script.events &= ~v;
}

static void line_write(void)
{
    u32 flags = script_has("more", 2) ? TCP_WRITE_MORE : 0;

    flags |= script_has("urgent", 2) ? TCP_WRITE_URGENT : 0;
    tcp_conn_written(&script.c, (u32)strtoul(script.words[1], NULL, 0), flags);
    script_collect();
}

static void line_read(void)
{
    struct tcp_result r;

    tcp_result_init(&r);
    (void)tcp_conn_read(&script.c, (u32)strtoul(script.words[1], NULL, 0), script.now, &r);
    script_after(&r);
}

static void line_call(void (*call)(struct tcp_conn *, u64, struct tcp_result *))
{
    struct tcp_result r;

    tcp_result_init(&r);
    call(&script.c, script.now, &r);
    script_after(&r);
}

static void line_shutdown(void)
{
    line_call(tcp_conn_shutdown);
}

static void line_close(void)
{
    line_call(tcp_conn_close);
}

static void line_abort(void)
{
    line_call(tcp_conn_abort);
}

static void line_mtu(void)
{
    tcp_conn_mtu(&script.c, (u32)strtoul(script.words[1], NULL, 0));
    script_collect();
}

/* unreach SEQ ERROR hard|soft */
static void line_unreach(void)
{
    struct tcp_result r;
    u32 error = 0;

    tcp_result_init(&r);
    LOOK_UP(errors, script.words[2], &error);
    tcp_conn_unreach(&script.c, SCRIPT_ISS + (u32)strtoul(script.words[1], NULL, 0), (int)error,
                     script_has("hard", 3), script.now, &r);
    script_after(&r);
}

/* option [nodelay cork uncork keepidle= keepintvl= keepcnt= usertimeout= maxseg= clamp= quick
 * nofinwait2] */
static void line_option(void)
{
    struct tcp_options *o = &script.c.options;
    u32 v;

    o->no_delay |= script_has("nodelay", 1);
    o->quick_ack |= script_has("quick", 1);
    if (script_has("nofinwait2", 1))
        o->linger2 = TCP_LINGER2_NONE;
    o->cork = (o->cork || script_has("cork", 1)) && !script_has("uncork", 1);
    if (script_key("keepidle", 1, &v)) {
        o->keep_alive = true;
        o->keep_idle = v * SIM_MS;
    }
    if (script_key("keepintvl", 1, &v))
        o->keep_interval = v * SIM_MS;
    script_key("keepcnt", 1, &o->keep_count);
    script_key("maxseg", 1, &o->maxseg);
    script_key("clamp", 1, &o->window_clamp);
    script_key("syncnt", 1, &o->syn_count);
    if (script_key("usertimeout", 1, &v))
        o->user_timeout = v * SIM_MS;
    tcp_conn_options_changed(&script.c, script.now);
    if (script_has("uncork", 1))
        tcp_conn_push(&script.c);
    script_collect();
}

/* config [times scale nosack ecn] [buf= mss= orphanlife= orphanmore=]: before the connection begins
 */
static void line_config(void)
{
    u32 v;

    script.config.times = script_has("times", 1);
    script.config.scale = script_has("scale", 1);
    script.config.sack = !script_has("nosack", 1);
    script.config.ecn_ask = script.config.ecn_take = script_has("ecn", 1);
    script_key("buf", 1, &script.rcv_buf);
    script_key("mss", 1, &script.mss);
    if (script_key("orphanlife", 1, &v))
        script.config.orphan_life = v * SIM_MS;
    if (script_key("orphanmore", 1, &v))
        script.config.orphan_more = v * SIM_MS;
}

static void script_listen(void)
{
    u32 defer = 0;

    script_key("defer", 1, &defer);
    script.mode = SCRIPT_LISTEN;
    script.cookies = script_has("cookies", 1);
    script.listen = (struct tcp_listen){.config = &script.config,
                                        .mss = script.mss,
                                        .rcv_buf = script.rcv_buf,
                                        .rcv_buf_most = script.rcv_buf,
                                        .retries = 2,
                                        .defer = defer * SIM_MS};
}

/* established [win=N] [mss=N]: the handshake with 10 ms, the peer's MSS 1000. */
static void line_established(void)
{
    struct tcp_segment seg = {.seq = SCRIPT_IRS,
                              .ack = SCRIPT_ISS + 1,
                              .flags = TCP_SYN | TCP_ACK,
                              .window = 65535,
                              .mss = 1000,
                              .has = TCP_HAS_MSS};
    u32 v;

    script_connect();
    script.now += 10 * SIM_MS;
    if (script_key("win", 1, &v))
        seg.window = (u16)v;
    if (script_key("mss", 1, &v))
        seg.mss = (u16)v;
    seg.has |= script.config.sack ? TCP_HAS_SACK_OK : 0;
    seg.has |= script.config.times ? TCP_HAS_TIME : 0;
    seg.has |= script.config.scale ? TCP_HAS_SCALE : 0;
    seg.flags |= script.config.ecn_ask ? TCP_ECE : 0;
    seg.time = 1;
    seg.echo = SCRIPT_CLOCK;
    script_conn_input(&seg);
    script.nr_out = script.taken = script.events = 0;
    script.c.ack_quick = 0; /* scripts show how ACKs are delayed */
    if (script.c.state != TCP_ESTABLISHED)
        script_fail("the handshake failed", NULL);
}

static void line_unjoin(void)
{
    tcp_conn_unjoin(&script.c);
    script_collect();
}

/* advance sent|received N: joined */
static void line_advance(void)
{
    u32 n = (u32)strtoul(script.words[2], NULL, 0);

    if (script_has("sent", 1))
        tcp_conn_advance_sent(&script.c, n, script.now);
    else
        tcp_conn_advance_received(&script.c, n, script.now);
    script_collect();
}

static void line_timewait(void)
{
    script.timewait = script.c.timewait;
    script.mode = SCRIPT_TIMEWAIT;
}

static const struct {
    const char *name;
    u32 words;
    void (*run)(void);
} lines[] = {{"<", 4, line_input},           {">", 4, line_output},
             {"=", 3, line_expect},          {"write", 2, line_write},
             {"read", 2, line_read},         {"mtu", 2, line_mtu},
             {"unreach", 4, line_unreach},   {"option", 2, line_option},
             {"config", 1, line_config},     {"connect", 1, script_connect},
             {"listen", 1, script_listen},   {"established", 1, line_established},
             {"timewait", 1, line_timewait}, {"advance", 3, line_advance},
             {"unjoin", 1, line_unjoin},     {"shutdown", 1, line_shutdown},
             {"close", 1, line_close},       {"abort", 1, line_abort}};

bool script_run_line(void)
{
    if (script.words[0][0] == '+') {
        line_time();
        return true;
    }
    for (u32 i = 0; i < ARRAY_SIZE(lines); i++) {
        if (!strcmp(script.words[0], lines[i].name) && script.nr_words >= lines[i].words) {
            lines[i].run();
            return true;
        }
    }
    return false;
}
