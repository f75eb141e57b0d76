/* SPDX-License-Identifier: MIT
 *
 * A script's state.
 */
#pragma once

#include "sim.h"

#define SCRIPT_ISS 0xffffff00U /* numbers wrap in every longer script */
#define SCRIPT_IRS 0xfffffe00U
#define SCRIPT_CLOCK 1000U /* ms, at a script's beginning */
#define SCRIPT_OUT 64
#define SCRIPT_WORDS 16

enum script_mode { SCRIPT_NONE, SCRIPT_CONN, SCRIPT_LISTEN, SCRIPT_TIMEWAIT };

struct script {
    const char *file;
    u32 line;
    bool failed;
    char *words[SCRIPT_WORDS];
    u32 nr_words;
    u64 now;
    enum script_mode mode;
    struct tcp_config config;
    u32 mss, rcv_buf;
    struct tcp_conn c;
    struct tcp_out out[SCRIPT_OUT]; /* sent; looked at up to `taken` */
    u32 nr_out, taken;
    u32 events, delivered;
    int error;
    struct tcp_listen listen;
    struct tcp_request request;
    struct tcp_secret secret;
    struct tcp_flow flow;
    struct tcp_timewait timewait;
    bool cookies, asked, reuse;
    bool full;  /* there is no space for the payload of the segment that comes */
    u32 cookie; /* what a cookie's number is beyond SCRIPT_ISS */
};

extern struct script script;

/* script.c */
void script_fail(const char *what, const char *word);
void script_connect(void);
void script_collect(void);
void script_after(struct tcp_result *r);
void script_conn_input(const struct tcp_segment *seg);
void script_listen_input(struct tcp_segment *seg);
void script_timewait_input(const struct tcp_segment *seg);
void script_put(const struct tcp_segment *seg);

/* script_lines.c: false: there is no such line. */
bool script_run_line(void);
void script_say(const struct tcp_out *o, char *out, u32 n);
