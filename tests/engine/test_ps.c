// SPDX-License-Identifier: MIT
// Which columns ps's options mean, and what stands in them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/ps.h"
#include "harness.h"

static bool ps_same(const char *got, const char *want)
{
    bool same = !strcmp(got, want);

    if (!same)
        printf("\"%s\" is not \"%s\"\n", got, want);
    return same;
}

/* The titles with spaces between them, or what is wrong after "!". */
static const char *ps_titles(const char *args)
{
    static char text[512];
    struct ps_list list;
    char *why = ps_list_parse(&list, args);

    snprintf(text, sizeof(text), "%s%s", why ? "!" : "", why ? why : "");
    for (size_t i = 0; !why && i < list.n; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
                 ps_title(&list.column[i]));
    ps_list_free(&list);
    free(why);
    return text;
}

TEST(ps_options_mean_columns)
{
    EXPECT(ps_same(ps_titles(NULL), "UID PID PPID C STIME TTY TIME CMD"));
    EXPECT(ps_same(ps_titles("  "), "UID PID PPID C STIME TTY TIME CMD"));
    EXPECT(ps_same(ps_titles("-e -f"), "UID PID PPID C STIME TTY TIME CMD"));
    EXPECT(ps_same(ps_titles("aux"), "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"));
    EXPECT(ps_same(ps_titles("auxww"), "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"));
    EXPECT(ps_same(ps_titles("-e"), "PID TTY TIME CMD"));
    EXPECT(ps_same(ps_titles("ax"), "PID TTY STAT TIME COMMAND"));
    EXPECT(ps_same(ps_titles("-o pid,comm"), "PID COMMAND"));
    EXPECT(ps_same(ps_titles("-eo user,pid -o args"), "USER PID COMMAND"));
    EXPECT(ps_same(ps_titles("axo pid,stat,%cpu"), "PID STAT %CPU"));
    EXPECT(ps_same(ps_titles("-opid,cmd=WHAT,IT"), "PID WHAT,IT"));
}

TEST(ps_options_that_are_not_done_are_refused)
{
    static const char *const bad[] = {"--forest", "-",       "-eLf",    "f",
                                      "-o",       "-o pid,", "-o ,pid", "-o pid,nosuch",
                                      "-o pid=",  "-o comm", "-q 1",    "aux -C sh"};
    struct ps_list list;
    char *why, many[PS_ARGS_MAX + 2];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(*ps_titles(bad[i]) == '!');
    memset(many, ' ', sizeof(many) - 1);
    many[sizeof(many) - 1] = 0;
    EXPECT(ps_same(ps_titles(many), "!too many options of ps"));
    strcpy(many, "-o pid");
    for (int i = 0; i < PS_COLUMNS_MAX; i++)
        strcat(many, ",pid");
    why = ps_list_parse(&list, many);
    EXPECT(why && list.n == PS_COLUMNS_MAX);
    ps_list_free(&list);
    free(why);
}

#define STAT                                                                               \
    "77 (a) (b c) S 1 70 77 34817 70 4194560 0 0 0 0 250 50 0 0 20 5 3 0 1000 8192000 25 " \
    "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 2 0 0 0 0 0 0 0\n"

static const char *ps_row(const char *args, const char *stat, const char *words)
{
    static char text[512];
    struct ps_machine m = {
        .now = 1000000100, .boot = 1000000000 - 10, .hertz = 100, .memory = 1000};
    struct ps_process p;
    struct ps_list list;
    struct buf b = {0};

    free(ps_list_parse(&list, args));
    *text = 0;
    if (ps_process_parse(&p, stat, "Name:\tx\nUid:\t0\t33\t0\t0\nGid:\t0\t44\t0\t0\n")) {
        p.args = words;
        for (size_t i = 0; i < list.n; i++) {
            ps_cell(&b, &list.column[i], &p, &m);
            buf_char(&b, '|');
        }
        snprintf(text, sizeof(text), "%.*s", (int)b.len, b.data);
    }
    ps_list_free(&list);
    buf_free(&b);
    return text;
}

TEST(ps_columns_are_what_proc_says)
{
    EXPECT(ps_same(ps_row("aux", STAT, "sh -c x"),
                   "33|77|3.0|10.0|8000|100|pts/1|SNsl+|01:46|0:03|sh -c x|"));
    EXPECT(ps_same(ps_row("-e", STAT, "words"), "77|pts/1|00:00:03|a) (b c|"));
    EXPECT(ps_same(ps_row("-ef", STAT, NULL), "33|77|1|3|01:46|pts/1|00:00:03|[a) (b c]|"));
    EXPECT(ps_same(
        ps_row("-o pid,pgid,sid,uid,gid,comm,s,ni,pri,nlwp,psr,etime,etimes,lstart", STAT, ""),
        "77|70|77|33|44|a) (b c|S|5|19|3|2|01:40|100|Sun Sep  9 01:46:40 2001|"));
    EXPECT(ps_same(ps_row("-o pid,args,tt", "5 (sh) Z 1 5 5 0 -1", ""), "5|[sh] <defunct>|?|"));
}

TEST(ps_text_that_is_no_process_is_none)
{
    static const char *const bad[] = {"",       "5",       "5 (sh",     "5 sh) S",
                                      "5 (sh)", "5 (sh) ", "5 )sh( S 1"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(ps_same(ps_row("-ef", bad[i], "x"), ""));
}
