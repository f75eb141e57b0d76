// SPDX-License-Identifier: MIT
// The columns of `ps`; see ps.h.
#include "engine/ps.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/str.h"

#define PS_DAY 86400

struct ps_field {
    const char *names; /* between spaces */
    const char *title;
    void (*write)(struct buf *out, const struct ps_process *p, const struct ps_machine *m);
};

/* ---- what stands in a column ----------------------------------------------------------------- */

#define PS_NUMBER(name, value)                                                                \
    static void name(struct buf *out, const struct ps_process *p, const struct ps_machine *m) \
    {                                                                                         \
        buf_fmt(out, "%lld", (long long)(value));                                             \
    }

static int64_t ps_cpu_seconds(const struct ps_process *p, const struct ps_machine *m)
{
    return (int64_t)(p->ticks / (uint64_t)m->hertz);
}

static int64_t ps_started(const struct ps_process *p, const struct ps_machine *m)
{
    return m->boot + (int64_t)(p->start / (uint64_t)m->hertz);
}

static int64_t ps_age(const struct ps_process *p, const struct ps_machine *m)
{
    int64_t age = m->now - ps_started(p, m);

    return age > 0 ? age : 0;
}

/* Thousandths of one processor since its start. */
static uint64_t ps_cpu_share(const struct ps_process *p, const struct ps_machine *m)
{
    int64_t age = ps_age(p, m);

    return age ? (uint64_t)ps_cpu_seconds(p, m) * 1000 / (uint64_t)age : 0;
}

static uint64_t ps_kib(const struct ps_process *p)
{
    return p->pages * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
}

PS_NUMBER(ps_pid, p->pid)
PS_NUMBER(ps_parent, p->parent)
PS_NUMBER(ps_group, p->group)
PS_NUMBER(ps_session, p->session)
PS_NUMBER(ps_uid, p->uid)
PS_NUMBER(ps_gid, p->gid)
PS_NUMBER(ps_nice, p->nice)
PS_NUMBER(ps_priority, 39 - p->priority)
PS_NUMBER(ps_threads, p->threads)
PS_NUMBER(ps_cpu, p->cpu)
PS_NUMBER(ps_vsz, p->bytes / 1024)
PS_NUMBER(ps_rss, ps_kib(p))
PS_NUMBER(ps_c, ps_cpu_share(p, m) / 10)
PS_NUMBER(ps_etimes, ps_age(p, m))

/* This machine has names for no other user. */
static void ps_user(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    if (p->uid)
        buf_fmt(out, "%u", p->uid);
    else
        buf_str(out, "root");
}

static void ps_comm(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    buf_fmt(out, "%s%s", p->comm, p->state == 'Z' ? " <defunct>" : "");
}

static void ps_args(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    if (p->args && *p->args)
        buf_str(out, p->args);
    else
        buf_fmt(out, "[%s]%s", p->comm, p->state == 'Z' ? " <defunct>" : "");
}

static void ps_tty(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    unsigned major = (unsigned)(p->terminal >> 8) & 0xfff;
    unsigned minor = (unsigned)(p->terminal & 0xff) | ((unsigned)(p->terminal >> 12) & 0xfff00);

    if (major >= 136 && major <= 143)
        buf_fmt(out, "pts/%u", (major - 136) * 256 + minor);
    else if (major == 4)
        buf_fmt(out, minor < 64 ? "tty%u" : "ttyS%u", minor < 64 ? minor : minor - 64);
    else
        buf_str(out, "?");
}

static void ps_state(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    buf_char(out, p->state);
}

static void ps_stat(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    buf_fmt(out, "%c%s%s%s%s", p->state,
            p->nice < 0   ? "<"
            : p->nice > 0 ? "N"
                          : "",
            p->session == p->pid ? "s" : "", p->threads > 1 ? "l" : "",
            p->foreground == p->group ? "+" : "");
}

static void ps_span(struct buf *out, int64_t s, bool hours)
{
    if (s >= PS_DAY)
        buf_fmt(out, "%lld-", (long long)(s / PS_DAY));
    if (hours || s >= 3600)
        buf_fmt(out, "%02d:", (int)(s % PS_DAY / 3600));
    buf_fmt(out, "%02d:%02d", (int)(s % 3600 / 60), (int)(s % 60));
}

static void ps_time(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    ps_span(out, ps_cpu_seconds(p, m), true);
}

static void ps_bsd_time(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    int64_t s = ps_cpu_seconds(p, m);

    buf_fmt(out, "%lld:%02d", (long long)(s / 60), (int)(s % 60));
}

static void ps_etime(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    ps_span(out, ps_age(p, m), false);
}

static void ps_date(struct buf *out, const struct ps_process *p, const struct ps_machine *m,
                    const char *form)
{
    time_t at = ps_started(p, m);
    char text[64] = "";
    struct tm tm;

    if (gmtime_r(&at, &tm))
        strftime(text, sizeof(text), form, &tm);
    buf_str(out, text);
}

static void ps_start(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    ps_date(out, p, m, ps_age(p, m) < PS_DAY ? "%H:%M" : "%b%d");
}

static void ps_lstart(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    ps_date(out, p, m, "%a %b %e %H:%M:%S %Y");
}

static void ps_tenths(struct buf *out, uint64_t thousandths)
{
    buf_fmt(out, "%llu.%llu", (unsigned long long)(thousandths / 10),
            (unsigned long long)(thousandths % 10));
}

static void ps_pcpu(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    ps_tenths(out, ps_cpu_share(p, m));
}

static void ps_pmem(struct buf *out, const struct ps_process *p, const struct ps_machine *m)
{
    ps_tenths(out, m->memory ? ps_kib(p) * 1000 / m->memory : 0);
}

static const struct ps_field ps_fields[] = {
    {" pid tgid ", "PID", ps_pid},
    {" ppid ", "PPID", ps_parent},
    {" pgid pgrp ", "PGID", ps_group},
    {" sid sess session ", "SID", ps_session},
    {" user uname euser ", "USER", ps_user},
    {" uid euid ", "UID", ps_uid},
    {" gid egid ", "GID", ps_gid},
    {" comm ucmd ucomm ", "COMMAND", ps_comm},
    {" args command ", "COMMAND", ps_args},
    {" cmd ", "CMD", ps_args},
    {" tty tname ", "TTY", ps_tty},
    {" tt ", "TT", ps_tty},
    {" stat ", "STAT", ps_stat},
    {" s state ", "S", ps_state},
    {" time cputime ", "TIME", ps_time},
    {" bsdtime ", "TIME", ps_bsd_time},
    {" etime ", "ELAPSED", ps_etime},
    {" etimes ", "ELAPSED", ps_etimes},
    {" stime ", "STIME", ps_start},
    {" start start_time bsdstart ", "START", ps_start},
    {" lstart ", "STARTED", ps_lstart},
    {" %cpu pcpu ", "%CPU", ps_pcpu},
    {" %mem pmem ", "%MEM", ps_pmem},
    {" vsz vsize ", "VSZ", ps_vsz},
    {" rss rssize rsz ", "RSS", ps_rss},
    {" ni nice ", "NI", ps_nice},
    {" pri ", "PRI", ps_priority},
    {" c ", "C", ps_c},
    {" nlwp thcount ", "NLWP", ps_threads},
    {" psr ", "PSR", ps_cpu},
};

/* What options without a list show. */
#define PS_UNIX "pid,tty,time,comm=CMD"
#define PS_FULL "user=UID,pid,ppid,c,stime,tty,time,cmd"
#define PS_BSD "pid,tty,stat,bsdtime,args"
#define PS_BSD_USER "user,pid,%cpu,%mem,vsz,rss,tty,stat,start,bsdtime,args"

/* ---- options --------------------------------------------------------------------------------- */

static const struct ps_field *ps_field_find(const char *name, size_t len)
{
    char key[24];

    if (!len || snprintf(key, sizeof(key), " %.*s ", (int)len, name) >= (int)sizeof(key))
        return NULL;
    for (size_t i = 0; i < sizeof(ps_fields) / sizeof(ps_fields[0]); i++)
        if (strstr(ps_fields[i].names, key))
            return &ps_fields[i];
    return NULL;
}

/* "pid,user" and "pid=NUMBER", where the title ends with the list; the built-in lists have one
 * within. */
static char *ps_columns(struct ps_list *list, const char *text, bool ours)
{
    for (;; text++) {
        size_t len = strcspn(text, ",="), title = 0;
        struct ps_column c = {ps_field_find(text, len), NULL};

        if (!c.field)
            return str_fmt("unknown column '%.*s' of ps", len < 32 ? (int)len : 32, text);
        if (list->n == PS_COLUMNS_MAX)
            return str_dup("too many columns of ps");
        text += len;
        if (*text == '=') {
            title = ours ? strcspn(++text, ",") : strlen(++text);
            c.title = str_dupn(text, title);
        }
        text += title;
        list->column[list->n++] = c;
        if (!*text)
            return NULL;
    }
}

struct ps_words {
    const char *at;
    bool unix_style, full, user, listed;
};

/* The next word; its length, 0 at the end. */
static size_t ps_word(struct ps_words *w, const char **word)
{
    size_t len;

    w->at += strspn(w->at, " \t\n");
    *word = w->at;
    len = strcspn(w->at, " \t\n");
    w->at += len;
    return len;
}

/* A list that follows its option's letter at once, or as the next word. */
static char *ps_option_list(struct ps_list *list, struct ps_words *w, const char *rest, size_t len)
{
    char *text, *why;

    if (!len)
        len = ps_word(w, &rest);
    if (!len)
        return str_dup("a list of columns must follow ps's option o");
    text = str_dupn(rest, len);
    why = ps_columns(list, text, false);
    free(text);
    w->listed = true;
    return why;
}

/* Letters of one word: "-ef", "aux". Which processes are meant, and how wide, makes no difference.
 */
static char *ps_option(struct ps_list *list, struct ps_words *w, const char *word, size_t len)
{
    bool dash = *word == '-';

    w->unix_style |= dash;
    for (size_t i = dash; i < len; i++) {
        char c = word[i];

        if (c == 'o')
            return ps_option_list(list, w, word + i + 1, len - i - 1);
        if (dash && c == 'f')
            w->full = true;
        else if (!dash && c == 'u')
            w->user = true;
        else if (!strchr(dash ? "eAadw" : "axw", c))
            return str_fmt("option '%.*s' of ps is not supported", len < 32 ? (int)len : 32, word);
    }
    return len == 1 && dash ? str_dup("option '-' of ps is not supported") : NULL;
}

static bool ps_has_pid(const struct ps_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(ps_title(&list->column[i]), "PID"))
            return true;
    return false;
}

char *ps_list_parse(struct ps_list *list, const char *args)
{
    struct ps_words w = {.at = args ? args : ""};
    const char *word;
    char *why = strlen(w.at) > PS_ARGS_MAX ? str_dup("too many options of ps") : NULL;
    size_t len;
    bool any = false;

    *list = (struct ps_list){0};
    for (; !why && (len = ps_word(&w, &word)); any = true)
        why = ps_option(list, &w, word, len);
    if (!why && !w.listed)
        why = ps_columns(list,
                         !any || w.full ? PS_FULL
                         : w.user       ? PS_BSD_USER
                         : w.unix_style ? PS_UNIX
                                        : PS_BSD,
                         true);
    if (!why && !ps_has_pid(list)) /* what clients take a row's process from */
        why = str_dup("Couldn't find PID field in ps output");
    return why;
}

void ps_list_free(struct ps_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->column[i].title);
    list->n = 0;
}

const char *ps_title(const struct ps_column *c)
{
    return c->title ? c->title : c->field->title;
}

void ps_cell(struct buf *out, const struct ps_column *c, const struct ps_process *p,
             const struct ps_machine *m)
{
    c->field->write(out, p, m);
}

/* ---- a process ------------------------------------------------------------------------------- */

/* Numbers separated by spaces; where there are fewer, the rest stays 0. */
static void ps_numbers(const char *text, int64_t *out, size_t n)
{
    char *end;

    for (size_t i = 0; i < n; i++, text = end) {
        out[i] = strtoll(text, &end, 10);
        if (end == text)
            return;
    }
}

static void ps_ids(const char *status, const char *name, uint32_t *out)
{
    const char *at = status ? strstr(status, name) : NULL;
    int64_t ids[2] = {0}; /* real, effective */

    if (at)
        ps_numbers(at + strlen(name), ids, 2);
    *out = (uint32_t)ids[1];
}

bool ps_process_parse(struct ps_process *p, const char *stat, const char *status)
{
    /* by proc(5)'s numbers: 4 is the parent */
    int64_t field[40] = {0};
    const char *open = strchr(stat, '('), *close = strrchr(stat, ')');

    *p = (struct ps_process){0};
    if (!open || !close || close < open || close[1] != ' ' || !isalpha((unsigned char)close[2]))
        return false;
    ps_numbers(stat, &p->pid, 1);
    snprintf(p->comm, sizeof(p->comm), "%.*s", (int)(close - open - 1), open + 1);
    p->state = close[2];
    ps_numbers(close + 3, field + 4, 36);
    p->parent = field[4], p->group = field[5], p->session = field[6], p->terminal = field[7];
    p->foreground = field[8];
    p->ticks = (uint64_t)field[14] + (uint64_t)field[15];
    p->priority = field[18], p->nice = field[19], p->threads = field[20];
    p->start = (uint64_t)field[22];
    p->bytes = (uint64_t)field[23], p->pages = (uint64_t)field[24];
    p->cpu = field[39];
    ps_ids(status, "\nUid:", &p->uid);
    ps_ids(status, "\nGid:", &p->gid);
    return true;
}
