// SPDX-License-Identifier: MIT
// What the two halves of --format share: format.c (text and blocks), format_eval.c (values).
#pragma once

#include "cli/cli.h"

#define FORMAT_VARIABLES 16

struct format {
    struct buf *out;
    const char *at;
    const struct json *dot, *root;
    bool trim;     /* blanks that follow are dropped */
    char *else_if; /* the condition of the {{else if}} just read */
    struct {
        char *name;
        const struct json *value;
    } variable[FORMAT_VARIABLES];
    int nvariables;
};

_Noreturn void format_bad(const char *fmt, const char *what); /* one %s */
_Noreturn void format_missing(const char *at, const char *key);

const struct json *format_pipeline(struct format *f, const char *text);
bool format_truth(const struct json *j);
void format_set(struct format *f, const char *name,
                const struct json *value); /* NULL: no variable */
const struct json *format_string(const char *text);
const struct json *format_number(int64_t n);
