/* SPDX-License-Identifier: MIT
 *
 * Scripts: one connection or listener, segments that are given to it one by one, and exactly what
 * it answers (scripts/; README.md has the language).
 */
#include "lib/errno.h"

#include "script.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

static struct script s;

void script_fail(const char *what, const char *word)
{
    if (!s.failed)
        printf("%s:%u: %s %s\n", s.file, s.line, what, word ? word : "");
    s.failed = true;
}

/* --- numbers as scripts have them --------------------------------------------------------------
 */

static void script_say(const struct tcp_segment *g, char *out, u32 n)
{
    static const char letters[] = "FSRP.UEW";
    u32 at = 0;

    for (u32 i = 0; i < 8; i++) {
        if (g->flags & 1U << i)
            out[at++] = letters[i];
    }
    snprintf(out + at, n - at, " %u %u len=%u win=%u sacks=%u", g->seq - SCRIPT_ISS,
             g->flags & TCP_ACK ? g->ack - SCRIPT_IRS : 0, g->len, g->window, g->nr_sacks);
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

    for (u32 i = from; i < s.nr_words; i++) {
        if (!strncmp(s.words[i], key, n) && s.words[i][n] == '=') {
            *out = (u32)strtoul(s.words[i] + n + 1, NULL, 0);
            return true;
        }
    }
    return false;
}

static bool script_has(const char *word, u32 from)
{
    for (u32 i = from; i < s.nr_words; i++) {
        if (!strcmp(s.words[i], word))
            return true;
    }
    return false;
}

/* sack=A-B,C-D */
static u32 script_sacks(u32 from, u32 base, struct tcp_sack out[TCP_SACKS])
{
    char *at = NULL;
    u32 n = 0;

    for (u32 i = from; i < s.nr_words; i++) {
        if (!strncmp(s.words[i], "sack=", 5))
            at = s.words[i] + 5;
    }
    while (at && *at && n < TCP_SACKS) {
        out[n].from = base + (u32)strtoul(at, &at, 0);
        out[n++].to = base + (u32)strtoul(at + (*at == '-'), &at, 0);
        at += *at == ',';
    }
    return n;
}

/* --- the connection ----------------------------------------------------------------------------
 */

static void script_free_list(struct list_node *list)
{
    while (!list_empty(list)) {
        struct tcp_piece *p = list_entry(list->next, struct tcp_piece, link);

        list_del(&p->link);
        free(p);
    }
}

static void script_result(struct tcp_result *r)
{
    struct tcp_piece *p;

    s.events |= r->events;
    if (r->error)
        s.error = r->error;
    list_for_each (p, &r->ready, link)
        s.delivered += p->len;
    script_free_list(&r->ready);
    script_free_list(&r->drop);
}

static void script_collect(void)
{
    struct tcp_out out;

    for (u32 i = 0; i < 64 && tcp_conn_records_wanted(&s.c); i++)
        tcp_conn_give(&s.c, calloc(1, sizeof(struct tcp_record)));
    while (tcp_conn_output(&s.c, s.now, &out)) {
        if (s.nr_out == SCRIPT_OUT) {
            script_fail("too much output", NULL);
            return;
        }
        s.out[s.nr_out++] = out;
    }
    if (sim_check(&s.c))
        script_fail(sim_check(&s.c), NULL);
}

static void script_after(struct tcp_result *r)
{
    script_result(r);
    script_collect();
}

static void script_params(struct tcp_open *o)
{
    *o = (struct tcp_open){
        .config = &s.config,
        .congestion = &tcp_reno,
        .iss = SCRIPT_ISS,
        .mss = s.mss,
        .rcv_buf = s.rcv_buf,
        .rcv_buf_most = s.rcv_buf,
    };
}

static void script_connect(void)
{
    struct tcp_open o;

    script_params(&o);
    tcp_conn_connect(&s.c, &o, s.now);
    s.mode = SCRIPT_CONN;
    script_collect();
}

static void script_conn_input(const struct tcp_segment *seg)
{
    struct tcp_piece *p = NULL;
    struct tcp_result r;

    tcp_result_init(&r);
    if (seg->len || (seg->flags & TCP_FIN))
        p = calloc(1, sizeof(*p));
    tcp_conn_input(&s.c, seg, p, s.now, &r);
    script_after(&r);
}

/* --- the listener -------------------------------------------------------------------------------
 */

static void script_put(const struct tcp_segment *seg)
{
    s.out[s.nr_out++] = (struct tcp_out){.seg = *seg};
}

static void script_accept(const struct tcp_segment *seg)
{
    struct tcp_open o;

    script_params(&o);
    tcp_conn_accept(&s.c, &o, &s.request, s.now);
    s.mode = SCRIPT_CONN;
    script_conn_input(seg);
}

/* Numbers of scripts count from SCRIPT_ISS. */
static void script_request(const struct tcp_segment *seg)
{
    struct tcp_segment out;

    if (s.cookies) {
        tcp_cookie_make(&s.request, &s.listen, &s.secret, &s.flow, seg, s.now);
        s.cookie = s.request.iss - SCRIPT_ISS;
    } else {
        tcp_request_init(&s.request, &s.listen, &s.secret, &s.flow, seg, s.now);
        s.request.iss = SCRIPT_ISS;
        s.asked = true;
    }
    tcp_request_answer(&s.request, &s.listen, &s.flow, s.now, &out);
    out.seq -= s.cookie;
    script_put(&out);
}

static void script_listen_input(struct tcp_segment *seg)
{
    struct tcp_segment out;
    enum tcp_verdict v;

    if (s.asked)
        v = tcp_request_input(&s.request, &s.listen, &s.flow, seg, s.now, &out);
    else
        v = tcp_listen_input(seg, &out);
    if (v == TCP_VERDICT_COOKIE) {
        seg->ack += s.cookie;
        if (tcp_cookie_check(&s.request, &s.listen, &s.secret, &s.flow, seg, s.now)) {
            v = TCP_VERDICT_ACCEPT;
        } else {
            v = tcp_segment_refuse(seg, &out) ? TCP_VERDICT_ANSWER : TCP_VERDICT_IGNORE;
            out.seq -= s.cookie;
        }
    }
    if (v == TCP_VERDICT_ANSWER || v == TCP_VERDICT_REFUSE)
        script_put(&out);
    if (v == TCP_VERDICT_NEW)
        script_request(seg);
    if (v == TCP_VERDICT_FREE || v == TCP_VERDICT_REFUSE)
        s.asked = false;
    if (v == TCP_VERDICT_ACCEPT)
        script_accept(seg);
}

static void script_timewait_input(const struct tcp_segment *seg)
{
    struct tcp_segment out;
    enum tcp_timewait_verdict v = tcp_timewait_input(&s.timewait, seg, s.now, &out);

    s.reuse = v == TCP_TIMEWAIT_REUSE;
    if (v == TCP_TIMEWAIT_ANSWER)
        script_put(&out);
}

/* --- lines --------------------------------------------------------------------------------------
 */

/* < FLAGS SEQ ACK [len= win= time= echo= mss= scale= urgent= sack= sackok ce] */
static void line_input(void)
{
    struct tcp_segment seg = {.window = 65535, .header = TCP_HEADER};
    u8 bytes[TCP_HEADER_MAX];
    u32 v, header;

    if (s.nr_words < 4) {
        script_fail("< FLAGS SEQ ACK", NULL);
        return;
    }
    seg.flags = script_flags(s.words[1]);
    seg.seq = SCRIPT_IRS + (u32)strtol(s.words[2], NULL, 0);
    seg.ack = SCRIPT_ISS + (u32)strtol(s.words[3], NULL, 0);
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
    if (s.mode == SCRIPT_LISTEN)
        script_listen_input(&seg);
    else if (s.mode == SCRIPT_TIMEWAIT)
        script_timewait_input(&seg);
    else
        script_conn_input(&seg);
}

static bool line_same(const struct tcp_out *out)
{
    const struct tcp_segment *g = &out->seg;
    u32 seq = (u32)strtol(s.words[2], NULL, 0), ack = (u32)strtol(s.words[3], NULL, 0), len = 0, v;
    struct tcp_sack sacks[TCP_SACKS];
    u32 n = script_sacks(4, SCRIPT_IRS, sacks);

    script_key("len", 4, &len);
    if (g->flags != script_flags(s.words[1]) || g->seq - SCRIPT_ISS != seq || g->len != len)
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

    if (s.nr_words < 4 || s.taken == s.nr_out) {
        script_fail("nothing was sent", NULL);
        return;
    }
    if (!line_same(&s.out[s.taken])) {
        script_say(&s.out[s.taken].seg, said, sizeof(said));
        if (s.out[s.taken].again)
            strcat(said, " again");
        if (s.out[s.taken].challenge)
            strcat(said, " challenge");
        script_fail("sent instead:", said);
    }
    if (++s.taken == s.nr_out)
        s.taken = s.nr_out = 0;
}

static u64 script_deadline(void)
{
    if (s.mode == SCRIPT_CONN)
        return s.c.deadline;
    return s.mode == SCRIPT_LISTEN && s.asked ? s.request.deadline : 0;
}

static void script_timer(void)
{
    struct tcp_segment out;
    struct tcp_result r;
    enum tcp_verdict v;

    if (s.mode == SCRIPT_CONN) {
        tcp_result_init(&r);
        tcp_conn_timer(&s.c, s.now, &r);
        script_after(&r);
        return;
    }
    v = tcp_request_timer(&s.request, &s.listen, &s.flow, s.now, &out);
    if (v == TCP_VERDICT_ANSWER)
        script_put(&out);
    s.asked = v != TCP_VERDICT_FREE;
}

/* +MS */
static void line_time(void)
{
    u64 end = s.now + strtoull(s.words[0] + 1, NULL, 0) * SIM_MS, at;

    while ((at = script_deadline()) && at <= end && !s.failed && s.nr_out < SCRIPT_OUT - 1) {
        s.now = MAX(at, s.now);
        script_timer();
    }
    s.now = end;
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
    u64 wanted = strtoull(s.words[2], NULL, 0);
    char said[64];

    if (is == wanted)
        return;
    snprintf(said, sizeof(said), "%s is %llu", name, (unsigned long long)is);
    script_fail(said, NULL);
}

/* = WHAT VALUE */
static void line_expect(void)
{
    const char *what = s.nr_words > 2 ? s.words[1] : "";
    u32 v = 0;

    if (!strcmp(what, "state") && LOOK_UP(states, s.words[2], &v) && s.c.state != v)
        script_fail("another state than", s.words[2]);
    else if (!strcmp(what, "error") && LOOK_UP(errors, s.words[2], &v) && (u32)s.error != v)
        script_fail("another error than", s.words[2]);
    else if (!strcmp(what, "event") && LOOK_UP(events, s.words[2], &v) && !(s.events & v))
        script_fail("no event", s.words[2]);
    else if (!strcmp(what, "no-event") && LOOK_UP(events, s.words[2], &v) && (s.events & v))
        script_fail("an event", s.words[2]);
    else if (!strcmp(what, "delivered"))
        expect_number(what, s.delivered);
    else if (!strcmp(what, "cwnd"))
        expect_number(what, s.c.congestion.window);
    else if (!strcmp(what, "ssthresh"))
        expect_number(what, s.c.congestion.ssthresh);
    else if (!strcmp(what, "mss"))
        expect_number(what, s.c.mss);
    else if (!strcmp(what, "rto"))
        expect_number(what, s.c.rto / SIM_MS);
    else if (!strcmp(what, "srtt"))
        expect_number(what, s.c.srtt / SIM_MS);
    else if (!strcmp(what, "urgent"))
        expect_number(what, s.c.urg_seq - SCRIPT_IRS);
    else if (!strcmp(what, "asked"))
        expect_number(what, s.asked);
    else if (!strcmp(what, "reuse"))
        expect_number(what, s.reuse);
    if (!strcmp(what, "event"))
        s.events &= ~v;
}

static void line_write(void)
{
    u32 flags = script_has("more", 2) ? TCP_WRITE_MORE : 0;

    flags |= script_has("urgent", 2) ? TCP_WRITE_URGENT : 0;
    tcp_conn_written(&s.c, (u32)strtoul(s.words[1], NULL, 0), flags);
    script_collect();
}

static void line_read(void)
{
    struct tcp_result r;

    tcp_result_init(&r);
    tcp_conn_read(&s.c, (u32)strtoul(s.words[1], NULL, 0), s.now, &r);
    script_after(&r);
}

static void line_call(void (*call)(struct tcp_conn *, u64, struct tcp_result *))
{
    struct tcp_result r;

    tcp_result_init(&r);
    call(&s.c, s.now, &r);
    script_after(&r);
}

static void line_mtu(void)
{
    tcp_conn_mtu(&s.c, (u32)strtoul(s.words[1], NULL, 0));
    script_collect();
}

/* unreach SEQ ERROR hard|soft */
static void line_unreach(void)
{
    struct tcp_result r;
    u32 error = 0;

    tcp_result_init(&r);
    LOOK_UP(errors, s.words[2], &error);
    tcp_conn_unreach(&s.c, SCRIPT_ISS + (u32)strtoul(s.words[1], NULL, 0), (int)error,
                     script_has("hard", 3), s.now, &r);
    script_after(&r);
}

/* option [nodelay cork uncork keepidle= keepintvl= keepcnt= usertimeout= maxseg= clamp= quick] */
static void line_option(void)
{
    struct tcp_options *o = &s.c.options;
    u32 v;

    o->no_delay |= script_has("nodelay", 1);
    o->quick_ack |= script_has("quick", 1);
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
    tcp_conn_options_changed(&s.c, s.now);
    if (script_has("uncork", 1))
        tcp_conn_push(&s.c);
    script_collect();
}

/* config [times scale nosack ecn] [buf= mss=]: before the connection begins */
static void line_config(void)
{
    s.config.times = script_has("times", 1);
    s.config.scale = script_has("scale", 1);
    s.config.sack = !script_has("nosack", 1);
    s.config.ecn_ask = s.config.ecn_take = script_has("ecn", 1);
    script_key("buf", 1, &s.rcv_buf);
    script_key("mss", 1, &s.mss);
}

static void script_listen(void)
{
    u32 defer = 0;

    script_key("defer", 1, &defer);
    s.mode = SCRIPT_LISTEN;
    s.cookies = script_has("cookies", 1);
    s.listen = (struct tcp_listen){.config = &s.config,
                                   .mss = s.mss,
                                   .rcv_buf = s.rcv_buf,
                                   .rcv_buf_most = s.rcv_buf,
                                   .retries = 2,
                                   .defer = defer * SIM_MS};
}

/* established [win=N]: the handshake with 10 ms, the peer's MSS 1000. */
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
    s.now += 10 * SIM_MS;
    if (script_key("win", 1, &v))
        seg.window = (u16)v;
    script_key("mss", 1, &v);
    seg.has |= s.config.sack ? TCP_HAS_SACK_OK : 0;
    seg.has |= s.config.times ? TCP_HAS_TIME : 0;
    seg.has |= s.config.scale ? TCP_HAS_SCALE : 0;
    seg.flags |= s.config.ecn_ask ? TCP_ECE : 0;
    seg.time = 1;
    seg.echo = SCRIPT_CLOCK;
    script_conn_input(&seg);
    s.nr_out = s.taken = s.events = 0;
    s.c.ack_quick = 0; /* scripts show how ACKs are delayed */
    if (s.c.state != TCP_ESTABLISHED)
        script_fail("the handshake failed", NULL);
}

static void line_timewait(void)
{
    s.timewait = s.c.timewait;
    s.mode = SCRIPT_TIMEWAIT;
}

static const struct {
    const char *name;
    u32 words;
    void (*run)(void);
} lines[] = {{"<", 4, line_input},          {">", 4, line_output},
             {"=", 3, line_expect},         {"write", 2, line_write},
             {"read", 2, line_read},        {"mtu", 2, line_mtu},
             {"unreach", 4, line_unreach},  {"option", 2, line_option},
             {"config", 1, line_config},    {"connect", 1, script_connect},
             {"listen", 1, script_listen},  {"established", 1, line_established},
             {"timewait", 1, line_timewait}};

static void script_line(void)
{
    if (s.words[0][0] != '>' && s.taken != s.nr_out) {
        char said[128];

        script_say(&s.out[s.taken].seg, said, sizeof(said));
        script_fail("sent, not expected:", said);
    }
    if (s.words[0][0] == '+') {
        line_time();
        return;
    }
    if (!strcmp(s.words[0], "shutdown"))
        line_call(tcp_conn_shutdown);
    else if (!strcmp(s.words[0], "close"))
        line_call(tcp_conn_close);
    else if (!strcmp(s.words[0], "abort"))
        line_call(tcp_conn_abort);
    else {
        for (u32 i = 0; i < ARRAY_SIZE(lines); i++) {
            if (!strcmp(s.words[0], lines[i].name) && s.nr_words >= lines[i].words) {
                lines[i].run();
                return;
            }
        }
        script_fail("unknown line:", s.words[0]);
    }
}

static void script_split(char *line)
{
    s.nr_words = 0;
    line[strcspn(line, "#\n")] = 0;
    for (char *w = strtok(line, " \t"); w && s.nr_words < SCRIPT_WORDS; w = strtok(NULL, " \t"))
        s.words[s.nr_words++] = w;
}

static void script_begin(const char *file)
{
    memset(&s, 0, sizeof(s));
    s.file = file;
    s.now = SCRIPT_CLOCK * SIM_MS;
    s.mss = 1460;
    s.rcv_buf = 65535;
    s.config = tcp_config_default;
    s.config.times = s.config.scale = s.config.ecn_take = false;
}

/* The end of a test. */
static bool script_end(const char *name, const char *pattern)
{
    LIST_HEAD(records);
    struct tcp_result r;

    if (!name[0])
        return true;
    if (s.taken != s.nr_out)
        script_fail("sent at the end, not expected", NULL);
    if (s.c.config) {
        tcp_result_init(&r);
        tcp_conn_drain(&s.c, &records, &r);
        script_result(&r);
        while (!list_empty(&records)) {
            struct tcp_record *record = list_entry(records.next, struct tcp_record, link);

            list_del(&record->link);
            free(record);
        }
    }
    printf("%s %s\n", s.failed ? "FAIL" : "ok", name);
    return !s.failed;
}

static u32 script_file(const char *file, const char *pattern, u32 *passed)
{
    char line[256], name[200] = "";
    FILE *f = fopen(file, "r");
    u32 failed = 0, at = 0;
    bool good;

    while (f && fgets(line, sizeof(line), f)) {
        at++;
        if (!strncmp(line, "== ", 3)) {
            good = script_end(name, pattern);
            failed += !good;
            *passed += good && name[0];
            script_begin(file);
            snprintf(name, sizeof(name), "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
            if (pattern && !strstr(name, pattern))
                name[0] = 0;
            continue;
        }
        s.line = at;
        script_split(line);
        if (s.nr_words && name[0] && !s.failed)
            script_line();
    }
    good = script_end(name, pattern);
    *passed += good && name[0];
    if (f)
        fclose(f);
    return failed + !good;
}

u32 sim_scripts(const char *folder, const char *pattern, u32 *passed)
{
    char path[256];
    u32 failed = 0;
    glob_t found;

    snprintf(path, sizeof(path), "%s/*.txt", folder);
    if (glob(path, 0, NULL, &found)) {
        printf("FAIL no scripts in %s\n", folder);
        return 1;
    }
    for (size_t i = 0; i < found.gl_pathc; i++)
        failed += script_file(found.gl_pathv[i], pattern, passed);
    globfree(&found);
    return failed;
}
