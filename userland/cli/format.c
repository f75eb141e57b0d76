// SPDX-License-Identifier: MIT
// --format. Of Go's templates, the part that people use with Docker's clients: {{.A.B}},
// {{json .A}} and {{json .}}; \t and \n; and for listings "json" and "table TEMPLATE".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/str.h"

void format_value(struct buf *out, const struct json *j, bool as_json)
{
    if (!j)
        buf_str(out, "<no value>");
    else if (j->type == JSON_STRING && !as_json)
        buf_str(out, j->str);
    else
        json_write(out, j);
}

/* What stands between the braces. */
static void format_action(struct buf *out, const struct json *j, const char *text, size_t len)
{
    char *action = str_dupn(text, len), *path = action + strspn(action, " "), *save;
    bool as_json = str_starts(path, "json ");

    path += as_json ? strspn(path + 5, " ") + 5 : 0;
    if (*path != '.')
        cli_usage("template parsing error: {{%s}}: only {{.A.B}} and {{json .A}} are known",
                  action);
    for (char *part = strtok_r(path, " .", &save); part; part = strtok_r(NULL, " .", &save))
        j = json_get(j, part);
    format_value(out, j, as_json);
    free(action);
}

void format_text(struct buf *out, const struct json *j, const char *format)
{
    const char *open, *close;

    for (; (open = strstr(format, "{{")); format = close + 2) {
        close = strstr(open, "}}");
        if (!close)
            cli_usage("template parsing error: unclosed action in \"%s\"", format);
        buf_add(out, format, (size_t)(open - format));
        format_action(out, j, open + 2, (size_t)(close - open - 2));
    }
    buf_str(out, format);
}

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
