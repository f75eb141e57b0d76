// SPDX-License-Identifier: MIT
// The values of templates: fields, literals, variables, functions and pipes.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format_priv.h"
#include "lib/str.h"

#define EVAL_ARGS 8

struct eval {
    struct format *f;
    const char *text; /* the whole action */
    const char *at;
    int depth;
};

static const struct json *eval_pipeline(struct eval *e);

static struct json *value_new(enum json_type type)
{
    struct json *j = mem_alloc(sizeof(*j));

    j->type = type;
    return j;
}

const struct json *format_string(const char *text)
{
    struct json *j = value_new(JSON_STRING);

    j->str = str_dup(text);
    return j;
}

const struct json *format_number(int64_t n)
{
    struct json *j = value_new(JSON_NUMBER);

    j->num = n;
    j->real = (double)n;
    j->whole = true;
    return j;
}

static const struct json *value_bool(bool yes)
{
    struct json *j = value_new(JSON_BOOL);

    j->num = yes;
    return j;
}

bool format_truth(const struct json *j)
{
    switch (j->type) {
    case JSON_NULL:
        return false;
    case JSON_BOOL:
    case JSON_NUMBER:
        return j->num || j->real != 0;
    case JSON_STRING:
        return *j->str;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return j->child;
    }
    return false;
}

void format_set(struct format *f, const char *name, const struct json *value)
{
    if (!name)
        return;
    for (int i = 0; i < f->nvariables; i++) {
        if (strcmp(f->variable[i].name, name))
            continue;
        f->variable[i].value = value;
        return;
    }
    if (f->nvariables == FORMAT_VARIABLES)
        format_bad("%s", "too many variables");
    f->variable[f->nvariables].name = str_dup(name);
    f->variable[f->nvariables++].value = value;
}

/* ---- functions ------------------------------------------------------------------------------- */

static const char *text_of(const struct json *j)
{
    struct buf b = {0};

    format_value(&b, j, false);
    return b.data ? buf_take(&b) : "";
}

static const struct json *fn_json(const struct json **a, int n)
{
    struct buf b = {0};

    json_write(&b, a[0]);
    return format_string(b.data);
}

static const struct json *fn_len(const struct json **a, int n)
{
    return format_number(a[0]->type == JSON_STRING ? (int64_t)strlen(a[0]->str)
                                                   : (int64_t)json_count(a[0]));
}

static const struct json *fn_index(const struct json **a, int n)
{
    const struct json *j = a[0];

    for (int i = 1; i < n; i++) {
        const struct json *c = j->child;

        if (j->type == JSON_OBJECT && a[i]->type == JSON_STRING) {
            c = json_get(j, a[i]->str);
        } else {
            for (int64_t k = a[i]->num; c && k > 0; k--)
                c = c->next;
            if (a[i]->num < 0 || !c)
                format_bad("error calling index: index out of range: %s", text_of(a[i]));
        }
        if (!c)
            return format_string("<no value>");
        j = c;
    }
    return j;
}

static const struct json *fn_join(const struct json **a, int n)
{
    struct buf b = {0};

    for (const struct json *c = a[0]->child; c; c = c->next)
        buf_fmt(&b, "%s%s", text_of(c), c->next ? text_of(a[1]) : "");
    return format_string(b.data ? b.data : "");
}

static const struct json *fn_split(const struct json **a, int n)
{
    struct json *list = value_new(JSON_ARRAY), **tail = &list->child;
    const char *text = text_of(a[0]), *by = text_of(a[1]), *next;

    if (!*by)
        format_bad("%s", "split by nothing");
    for (;; text = next + strlen(by)) {
        char *part;

        next = strstr(text, by);
        part = next ? str_dupn(text, (size_t)(next - text)) : str_dup(text);
        *tail = value_new(JSON_STRING);
        (*tail)->str = part;
        tail = &(*tail)->next;
        if (!next)
            return list;
    }
}

static const struct json *fn_case(const struct json **a, int (*fn)(int), bool title)
{
    char *text = str_dup(text_of(a[0]));

    for (char *p = text; *p; p++)
        if (!title || p == text || p[-1] == ' ')
            *p = (char)fn((unsigned char)*p);
    return format_string(text);
}

static const struct json *fn_upper(const struct json **a, int n)
{
    return fn_case(a, toupper, false);
}

static const struct json *fn_lower(const struct json **a, int n)
{
    return fn_case(a, tolower, false);
}

static const struct json *fn_title(const struct json **a, int n)
{
    return fn_case(a, toupper, true);
}

static bool values_same(const struct json *a, const struct json *b)
{
    return a->type == b->type && !strcmp(text_of(a), text_of(b));
}

static const struct json *fn_eq(const struct json **a, int n)
{
    bool same = false;

    for (int i = 1; i < n; i++)
        same = same || values_same(a[0], a[i]);
    return value_bool(same);
}

static const struct json *fn_ne(const struct json **a, int n)
{
    return value_bool(!values_same(a[0], a[1]));
}

static const struct json *fn_not(const struct json **a, int n)
{
    return value_bool(!format_truth(a[0]));
}

static const struct json *fn_and(const struct json **a, int n)
{
    int i = 0;

    while (i < n - 1 && format_truth(a[i]))
        i++;
    return a[i];
}

static const struct json *fn_or(const struct json **a, int n)
{
    int i = 0;

    while (i < n - 1 && !format_truth(a[i]))
        i++;
    return a[i];
}

static const struct json *fn_print(const struct json **a, int n)
{
    struct buf b = {0};

    for (int i = 0; i < n; i++)
        buf_fmt(&b, "%s%s", i ? " " : "", text_of(a[i]));
    return format_string(b.data ? b.data : "");
}

static const struct json *fn_println(const struct json **a, int n)
{
    const struct json *j = fn_print(a, n);

    return format_string(str_fmt("%s\n", j->str));
}

/* %s, %v, %d and %q, each for the next argument. */
static const struct json *fn_printf(const struct json **a, int n)
{
    struct buf b = {0};
    int next = 1;

    for (const char *p = text_of(a[0]); *p; p++) {
        if (*p != '%' || !p[1]) {
            buf_char(&b, *p);
            continue;
        }
        p++;
        if (*p == '%')
            buf_char(&b, '%');
        else if (next >= n || !strchr("svdq", *p))
            format_bad("printf: bad verb or too few arguments in \"%s\"", text_of(a[0]));
        else
            buf_fmt(&b, *p == 'q' ? "\"%s\"" : "%s", text_of(a[next++]));
    }
    return format_string(b.data ? b.data : "");
}

static const struct function {
    const char *name;
    const struct json *(*fn)(const struct json **a, int n);
    int min;
} functions[] = {{"json", fn_json, 1},    {"len", fn_len, 1},     {"index", fn_index, 1},
                 {"join", fn_join, 2},    {"split", fn_split, 2}, {"upper", fn_upper, 1},
                 {"lower", fn_lower, 1},  {"title", fn_title, 1}, {"eq", fn_eq, 2},
                 {"ne", fn_ne, 2},        {"not", fn_not, 1},     {"and", fn_and, 1},
                 {"or", fn_or, 1},        {"print", fn_print, 0}, {"println", fn_println, 0},
                 {"printf", fn_printf, 1}};

/* ---- operands -------------------------------------------------------------------------------- */

static void eval_blank(struct eval *e)
{
    e->at += strspn(e->at, " \t\n");
}

/* ".A.B" after a value. */
static const struct json *eval_fields(struct eval *e, const struct json *j)
{
    const char *from = e->at;

    while (e->at[0] == '.' && (isalnum((unsigned char)e->at[1]) || e->at[1] == '_')) {
        size_t n = 1;
        const struct json *next;
        char *key;

        while (isalnum((unsigned char)e->at[n]) || e->at[n] == '_')
            n++;
        key = str_dupn(e->at + 1, n - 1);
        e->at += n;
        next = json_get(j, key);
        if (!next)
            format_missing(str_dupn(from, (size_t)(e->at - from)), key);
        free(key);
        j = next;
    }
    return j;
}

static const struct json *eval_variable(struct eval *e)
{
    size_t n = 1;
    char *name;

    while (isalnum((unsigned char)e->at[n]) || e->at[n] == '_')
        n++;
    name = str_dupn(e->at, n);
    e->at += n;
    if (n == 1)
        return eval_fields(e, e->f->root);
    for (int i = 0; i < e->f->nvariables; i++)
        if (!strcmp(e->f->variable[i].name, name))
            return eval_fields(e, e->f->variable[i].value);
    format_bad("undefined variable \"%s\"", name);
}

static const struct json *eval_quoted(struct eval *e)
{
    char quote = *e->at++;
    struct buf b = {0};

    for (; *e->at && *e->at != quote; e->at++) {
        if (*e->at == '\\' && quote == '"' && e->at[1]) {
            e->at++;
            buf_char(&b, *e->at == 'n' ? '\n' : *e->at == 't' ? '\t' : *e->at);
        } else {
            buf_char(&b, *e->at);
        }
    }
    if (!*e->at)
        format_bad("unterminated quoted string in \"%s\"", e->text);
    e->at++;
    return format_string(b.data ? b.data : "");
}

static const struct json *eval_operand(struct eval *e)
{
    const struct json *j;
    char *end;
    int64_t n;

    if (*e->at == '(') {
        e->at++;
        j = eval_pipeline(e);
        eval_blank(e);
        if (*e->at != ')')
            format_bad("unclosed left paren in \"%s\"", e->text);
        e->at++;
        return eval_fields(e, j);
    }
    if (*e->at == '$')
        return eval_variable(e);
    if (*e->at == '"' || *e->at == '`')
        return eval_quoted(e);
    if (*e->at == '.') {
        if (isalnum((unsigned char)e->at[1]) || e->at[1] == '_')
            return eval_fields(e, e->f->dot);
        e->at++;
        return e->f->dot;
    }
    n = strtoll(e->at, &end, 10);
    if (end == e->at)
        format_bad("unexpected text in \"%s\"", e->text);
    e->at = end;
    return format_number(n);
}

/* A word that stands for itself, or a function's. */
static const struct function *eval_word(struct eval *e, const struct json **value)
{
    size_t n = 0;
    char *name;

    *value = NULL;
    while (isalpha((unsigned char)e->at[n]))
        n++;
    if (!n)
        return NULL;
    name = str_dupn(e->at, n);
    e->at += n;
    if (!strcmp(name, "true") || !strcmp(name, "false"))
        *value = value_bool(*name == 't');
    for (size_t i = 0; !*value && i < sizeof(functions) / sizeof(functions[0]); i++)
        if (!strcmp(functions[i].name, name))
            return &functions[i];
    if (!*value)
        format_bad("function \"%s\" not defined", name);
    return NULL;
}

/* One command; `piped` is what the one before it gave, or NULL. */
static const struct json *eval_command(struct eval *e, const struct json *piped)
{
    const struct json *arg[EVAL_ARGS + 1], *value;
    const struct function *fn;
    int n = 0;

    eval_blank(e);
    fn = eval_word(e, &value);
    if (!fn)
        return value ? value : eval_operand(e);
    for (eval_blank(e); *e->at && *e->at != '|' && *e->at != ')'; eval_blank(e)) {
        if (n == EVAL_ARGS)
            format_bad("too many arguments in \"%s\"", e->text);
        if (isalpha((unsigned char)*e->at)) {
            if (eval_word(e, &value))
                format_bad("a function stands for an argument in \"%s\"", e->text);
            arg[n++] = value;
        } else {
            arg[n++] = eval_operand(e);
        }
    }
    if (piped)
        arg[n++] = piped;
    if (n < fn->min)
        format_bad("wrong number of args for %s", fn->name);
    return fn->fn(arg, n);
}

static const struct json *eval_pipeline(struct eval *e)
{
    const struct json *j;

    if (++e->depth > 32)
        format_bad("nested too deeply: \"%s\"", e->text);
    j = eval_command(e, NULL);
    for (eval_blank(e); *e->at == '|'; eval_blank(e)) {
        e->at++;
        j = eval_command(e, j);
    }
    e->depth--;
    return j;
}

const struct json *format_pipeline(struct format *f, const char *text)
{
    struct eval e = {.f = f, .text = text, .at = text};
    const struct json *j = eval_pipeline(&e);

    if (*e.at)
        format_bad("unexpected text in \"%s\"", text);
    return j;
}
