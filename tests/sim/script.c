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

struct script script;

void script_fail(const char *what, const char *word)
{
    if (!script.failed)
        printf("%s:%u: %s %s\n", script.file, script.line, what, word ? word : "");
    script.failed = true;
}

/* --- the connection --------------------------------------------------------------------------- */

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

    script.events |= r->events;
    if (r->error)
        script.error = r->error;
    list_for_each (p, &r->ready, link)
        script.delivered += p->len;
    script_free_list(&r->ready);
    script_free_list(&r->drop);
}

/* As the shell does before each call of output. */
static void script_give_records(void)
{
    for (u32 i = 0; i < 64 && tcp_conn_records_wanted(&script.c); i++)
        tcp_conn_give(&script.c, calloc(1, sizeof(struct tcp_record)));
}

void script_collect(void)
{
    struct tcp_out out;

    script_give_records();
    while (tcp_conn_output(&script.c, script.now, &out)) {
        if (script.nr_out == SCRIPT_OUT) {
            script_fail("too much output", NULL);
            return;
        }
        script.out[script.nr_out++] = out;
        script_give_records();
    }
    if (sim_check(&script.c))
        script_fail(sim_check(&script.c), NULL);
}

void script_after(struct tcp_result *r)
{
    script_result(r);
    script_collect();
}

static void script_params(struct tcp_open *o)
{
    *o = (struct tcp_open){
        .config = &script.config,
        .congestion = &tcp_reno,
        .iss = SCRIPT_ISS,
        .mss = script.mss,
        .rcv_buf = script.rcv_buf,
        .rcv_buf_most = script.rcv_buf,
    };
}

void script_connect(void)
{
    struct tcp_open o;

    script_params(&o);
    tcp_conn_connect(&script.c, &o, script.now);
    script.mode = SCRIPT_CONN;
    script_collect();
}

void script_conn_input(const struct tcp_segment *seg)
{
    struct tcp_piece *p = NULL;
    struct tcp_result r;

    tcp_result_init(&r);
    if (!script.full && (seg->len || (seg->flags & TCP_FIN)))
        p = calloc(1, sizeof(*p));
    tcp_conn_input(&script.c, seg, p, script.now, &r);
    script_after(&r);
}

/* --- the listener ----------------------------------------------------------------------------- */

void script_put(const struct tcp_segment *seg)
{
    script.out[script.nr_out++] = (struct tcp_out){.seg = *seg};
}

static void script_accept(const struct tcp_segment *seg)
{
    struct tcp_open o;

    script_params(&o);
    tcp_conn_accept(&script.c, &o, &script.request, script.now);
    script.mode = SCRIPT_CONN;
    script_conn_input(seg);
}

/* Numbers of scripts count from SCRIPT_ISS. */
static void script_request(const struct tcp_segment *seg)
{
    struct tcp_segment out;

    if (script.cookies) {
        tcp_cookie_make(&script.request, &script.listen, &script.secret, &script.flow, seg,
                        script.now);
        script.cookie = script.request.iss - SCRIPT_ISS;
    } else {
        tcp_request_init(&script.request, &script.listen, &script.secret, &script.flow, seg,
                         script.now);
        script.request.iss = SCRIPT_ISS;
        script.asked = true;
    }
    tcp_request_answer(&script.request, &script.listen, &script.flow, script.now, &out);
    out.seq -= script.cookie;
    script_put(&out);
}

void script_listen_input(struct tcp_segment *seg)
{
    struct tcp_segment out;
    enum tcp_verdict v;

    if (script.asked)
        v = tcp_request_input(&script.request, &script.listen, &script.flow, seg, script.now, &out);
    else
        v = tcp_listen_input(seg, &out);
    if (v == TCP_VERDICT_COOKIE) {
        seg->ack += script.cookie;
        if (tcp_cookie_check(&script.request, &script.listen, &script.secret, &script.flow, seg,
                             script.now)) {
            v = TCP_VERDICT_ACCEPT;
        } else {
            v = tcp_segment_refuse(seg, &out) ? TCP_VERDICT_ANSWER : TCP_VERDICT_IGNORE;
            out.seq -= script.cookie;
        }
    }
    if (v == TCP_VERDICT_ANSWER || v == TCP_VERDICT_REFUSE)
        script_put(&out);
    if (v == TCP_VERDICT_NEW)
        script_request(seg);
    if (v == TCP_VERDICT_FREE || v == TCP_VERDICT_REFUSE)
        script.asked = false;
    if (v == TCP_VERDICT_ACCEPT)
        script_accept(seg);
}

void script_timewait_input(const struct tcp_segment *seg)
{
    struct tcp_segment out;
    enum tcp_timewait_verdict v = tcp_timewait_input(&script.timewait, seg, script.now, &out);

    script.reuse = v == TCP_TIMEWAIT_REUSE;
    if (v == TCP_TIMEWAIT_ANSWER)
        script_put(&out);
}

static void script_line(void)
{
    char said[128];

    if (script.words[0][0] != '>' && script.taken != script.nr_out) {
        script_say(&script.out[script.taken], said, sizeof(said));
        script_fail("sent, not expected:", said);
    } else if (!script_run_line()) {
        script_fail("unknown line:", script.words[0]);
    }
}

static void script_split(char *line)
{
    script.nr_words = 0;
    line[strcspn(line, "#\n")] = 0;
    for (char *w = strtok(line, " \t"); w && script.nr_words < SCRIPT_WORDS;
         w = strtok(NULL, " \t"))
        script.words[script.nr_words++] = w;
}

static void script_begin(const char *file)
{
    memset(&script, 0, sizeof(script));
    script.file = file;
    script.now = SCRIPT_CLOCK * SIM_MS;
    script.mss = 1460;
    script.rcv_buf = 65535;
    script.config = tcp_config_default;
    script.config.pacing = script.config.times = script.config.scale = script.config.ecn_take =
        false;
}

/* The end of a test. */
static bool script_end(const char *name, const char *pattern)
{
    LIST_HEAD(records);
    struct tcp_result r;
    char said[128];

    if (!name[0])
        return true;
    if (script.taken != script.nr_out) {
        script_say(&script.out[script.taken], said, sizeof(said));
        script_fail("sent at the end, not expected:", said);
    }
    if (script.c.config) {
        tcp_result_init(&r);
        tcp_conn_drain(&script.c, &records, &r);
        script_result(&r);
        while (!list_empty(&records)) {
            struct tcp_record *record = list_entry(records.next, struct tcp_record, link);

            list_del(&record->link);
            free(record);
        }
    }
    printf("%s %s\n", script.failed ? "FAIL" : "ok", name);
    return !script.failed;
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
        script.line = at;
        script_split(line);
        if (script.nr_words && name[0] && !script.failed)
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
