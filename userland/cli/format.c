// SPDX-License-Identifier: MIT
// --format: Go's templates as people use them with Docker's clients. Fields, {{json}}, {{index}},
// {{len}}, {{join}} and the like, pipes, variables, if, with, range; \t and \n; and for listings
// "json" and "table TEMPLATE".
//
// A template is run as it is read: a block that is not to be run is read all the same, so that its
// end is found. Values are JSON; those made on the way are never freed: the program is short.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/format_priv.h"
#include "lib/str.h"

#define FORMAT_DEPTH_MAX 64

void format_bad(const char *fmt, const char *what)
{
    fprintf(stderr, "template parsing error: template: ");
    fprintf(stderr, fmt, what);
    fputc('\n', stderr);
    exit(64);
}

void format_missing(const char *at, const char *key)
{
    fflush(stdout);
    fprintf(
        stderr,
        "failed to execute template: template: executing \"\" at <%s>: can't evaluate field %s\n",
        at, key);
    exit(1);
}

/* ---- values as text -------------------------------------------------------------------------- */

static int key_order(const void *a, const void *b)
{
    return strcmp((*(const struct json *const *)a)->key, (*(const struct json *const *)b)->key);
}

static const struct json **format_sorted(const struct json *j, size_t *n)
{
    const struct json **list = mem_alloc((json_count(j) + 1) * sizeof(*list));

    *n = 0;
    for (const struct json *c = j->child; c; c = c->next)
        list[(*n)++] = c;
    if (j->type == JSON_OBJECT)
        qsort(list, *n, sizeof(*list), key_order);
    return list;
}

/* A value that is not there: how Go prints it depends on what it would have been. */
static const char *null_text(const struct json *j)
{
    static const char *const maps[] = {"Volumes", "ExposedPorts", "Labels", "Ports", "Networks"};
    static const char *const lists[] = {"Entrypoint", "Cmd", "OnBuild", "Env", "Mounts", "Args"};

    for (size_t i = 0; j->key && i < sizeof(maps) / sizeof(maps[0]); i++)
        if (!strcmp(maps[i], j->key))
            return "map[]";
    for (size_t i = 0; j->key && i < sizeof(lists) / sizeof(lists[0]); i++)
        if (!strcmp(lists[i], j->key))
            return "[]";
    return "<nil>";
}

void format_value(struct buf *out, const struct json *j, bool as_json)
{
    const struct json **list;
    size_t n;

    if (as_json) {
        json_write(out, j);
    } else if (j->type == JSON_STRING) {
        buf_str(out, j->str);
    } else if (j->type == JSON_NULL) {
        buf_str(out, null_text(j));
    } else if (j->type == JSON_ARRAY || j->type == JSON_OBJECT) {
        list = format_sorted(j, &n);
        buf_str(out, j->type == JSON_ARRAY ? "[" : "map[");
        for (size_t i = 0; i < n; i++) {
            buf_str(out, i ? " " : "");
            if (j->type == JSON_OBJECT)
                buf_fmt(out, "%s:", list[i]->key);
            format_value(out, list[i], false);
        }
        buf_char(out, ']');
        free(list);
    } else {
        json_write(out, j);
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

enum block_end { END_TEXT, END_END, END_ELSE };

static enum block_end format_block(struct format *f, bool run, int depth);

/* The text up to the next action, whose inside is given; NULL at the end. */
static char *format_action(struct format *f, bool run)
{
    const char *open = strstr(f->at, "{{"), *close, *text = f->at;
    size_t n = open ? (size_t)(open - text) : strlen(text);
    bool trim = open && open[2] == '-' && open[3] == ' ';
    char *inside;

    if (f->trim)
        for (; n && strchr(" \t\n\r", *text); n--)
            text++;
    for (; trim && n && strchr(" \t\n\r", text[n - 1]); n--)
        ;
    if (run)
        buf_add(f->out, text, n);
    f->trim = false;
    if (!open) {
        f->at += strlen(f->at);
        return NULL;
    }
    close = strstr(open, "}}");
    if (!close)
        format_bad("unclosed action in \"%s\"", f->at);
    f->at = close + 2;
    open += trim ? 4 : 2;
    if (close - open >= 2 && close[-1] == '-' && close[-2] == ' ') {
        f->trim = true;
        close -= 2;
    }
    inside = str_dupn(open, (size_t)(close > open ? close - open : 0));
    return inside;
}

/* The rest of if and with, whose condition is known. */
static void format_branch(struct format *f, bool run, bool yes, const struct json *dot, int depth)
{
    const struct json *before = f->dot;
    enum block_end end;

    f->dot = yes && dot ? dot : before;
    end = format_block(f, run && yes, depth + 1);
    f->dot = before;
    if (end == END_ELSE && f->else_if) { /* {{else if X}}: the end is its own */
        char *rest = f->else_if;
        bool next;

        f->else_if = NULL;
        next = run && !yes && format_truth(format_pipeline(f, rest));
        free(rest);
        format_branch(f, run && !yes, next, NULL, depth);
        return;
    }
    if (end == END_ELSE)
        end = format_block(f, run && !yes, depth + 1);
    if (end != END_END)
        format_bad("%s", "unexpected EOF");
}

/* "$k, $v := X", "$v := X" or X: the names, and where X begins. */
static char *range_names(char *text, char *names[2])
{
    char *assign = strstr(text, ":="), *comma;

    names[0] = names[1] = NULL;
    if (!assign || *text != '$')
        return text;
    *assign = 0;
    comma = strchr(text, ',');
    if (comma)
        *comma++ = 0;
    names[1] = str_dupn(comma ? comma + strspn(comma, " ") : text,
                        strcspn(comma ? comma + strspn(comma, " ") : text, " "));
    if (comma)
        names[0] = str_dupn(text, strcspn(text, " "));
    return assign + 2;
}

static void format_range(struct format *f, char *text, bool run, int depth)
{
    char *names[2], *source = range_names(text, names);
    const struct json *list = run ? format_pipeline(f, source) : NULL, **item = NULL;
    const struct json *before = f->dot;
    const char *start = f->at;
    enum block_end end = END_TEXT;
    size_t n = 0;
    bool trim = f->trim;

    if (list && (list->type == JSON_ARRAY || list->type == JSON_OBJECT))
        item = format_sorted(list, &n);
    for (size_t i = 0; i < (n ? n : 1); i++) {
        f->at = start;
        f->trim = trim;
        if (n) {
            f->dot = item[i];
            format_set(f, names[0],
                       list->type == JSON_OBJECT ? format_string(item[i]->key)
                                                 : format_number((int64_t)i));
            format_set(f, names[1], item[i]);
        }
        end = format_block(f, n, depth + 1);
    }
    f->dot = before;
    free(item);
    free(names[0]);
    free(names[1]);
    if (end == END_ELSE)
        end = format_block(f, run && !n, depth + 1);
    if (end != END_END)
        format_bad("%s", "unexpected EOF");
}

/* An action that is no keyword: its value, or a variable set. */
static void format_simple(struct format *f, char *text)
{
    char *assign = *text == '$' ? strchr(text, '=') : NULL;

    if (assign && assign > text && (assign[-1] == ':' || assign[-1] == ' ')) {
        char *name = str_dupn(text, strcspn(text, " :="));

        format_set(f, name, format_pipeline(f, assign + 1));
        free(name);
        return;
    }
    format_value(f->out, format_pipeline(f, text), false);
}

static bool keyword(char **text, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(*text, word, n) || ((*text)[n] && (*text)[n] != ' '))
        return false;
    *text += n + strspn(*text + n, " ");
    return true;
}

static enum block_end format_block(struct format *f, bool run, int depth)
{
    char *action;

    if (depth > FORMAT_DEPTH_MAX)
        format_bad("%s", "nested too deeply");
    while ((action = format_action(f, run))) {
        char *text = action + strspn(action, " ");

        if (keyword(&text, "end"))
            return END_END;
        if (keyword(&text, "else")) {
            f->else_if = keyword(&text, "if") ? str_dup(text) : NULL;
            return END_ELSE;
        }
        if (keyword(&text, "if")) {
            format_branch(f, run, run && format_truth(format_pipeline(f, text)), NULL, depth);
        } else if (keyword(&text, "with")) {
            const struct json *dot = run ? format_pipeline(f, text) : NULL;

            format_branch(f, run, run && format_truth(dot), dot, depth);
        } else if (keyword(&text, "range")) {
            format_range(f, text, run, depth);
        } else if (run && !str_starts(text, "/*")) {
            format_simple(f, text);
        }
        free(action);
    }
    return END_TEXT;
}

void format_text(struct buf *out, const struct json *j, const char *format)
{
    struct format f = {.out = out, .at = format, .dot = j, .root = j};

    if (format_block(&f, true, 0) != END_TEXT)
        format_bad("%s", "unexpected {{end}} or {{else}}");
}

/* ---- listings -------------------------------------------------------------------------------- */

/* \t and \n as Docker's listings take them. */
static char *format_unescape(const char *format)
{
    struct buf b = {0};

    for (; *format; format++) {
        bool escape = format[0] == '\\' && (format[1] == 't' || format[1] == 'n');

        buf_char(&b, !escape ? *format : *++format == 't' ? '\t' : '\n');
    }
    return b.data ? buf_take(&b) : str_dup("");
}

/* A cell of each row for every part of the template, which tabs separate. */
static void format_table(const struct json *rows, const struct json *titles, const char *format)
{
    const struct json *row = titles;
    struct table t = {.columns = 1};

    for (const char *p = format; *p; p++)
        t.columns += *p == '\t';
    if (t.columns > TABLE_COLUMNS)
        cli_usage("a table of more than %d columns", TABLE_COLUMNS);
    while (row) {
        char *parts = str_dup(format), *next = parts;

        for (size_t i = 0; i < t.columns; i++) {
            struct buf cell = {0};

            format_text(&cell, row, strsep(&next, "\t"));
            table_cell(&t, cell.data ? buf_take(&cell) : str_dup(""));
        }
        free(parts);
        row = row == titles ? rows->child : row->next;
    }
    table_print(&t);
}

void format_rows(const struct json *rows, const struct json *titles, const char *format)
{
    char *text = format_unescape(strcmp(format, "json") ? format : "{{json .}}");
    struct buf line = {0};

    if (str_starts(text, "table")) {
        format_table(rows, titles, text + 5 + strspn(text + 5, " "));
        free(text);
        return;
    }
    format_text(&line, titles, text); /* a bad template is one without rows as well */
    for (const struct json *row = rows->child; row; row = row->next) {
        buf_clear(&line);
        format_text(&line, row, text);
        puts(line.data ? line.data : "");
    }
    buf_free(&line);
    free(text);
}
