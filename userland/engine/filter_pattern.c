// SPDX-License-Identifier: MIT
// Patterns of names. Clients write them for Go's regexp; they are put as POSIX extended regular
// expressions. A pattern is compiled and matched within the event loop, so it is short and has no
// repetition of a repetition: each of those costs the square of what is repeated.
#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/filters.h"
#include "lib/str.h"

#define PATTERN_MAX 64
#define PATTERN_NAME_MAX 260 /* of one that is a name and anchors: no more than a name may have */
#define PATTERN_GROUPS 8
#define PATTERN_NAME_CHARS "^/$.-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

struct ere {
    struct buf out;
    const char *why; /* what Go knows and this does not */
    int groups, open;
    enum { ERE_START, ERE_ANCHOR, ERE_OPERAND, ERE_REPEATED } last;
};

/* ---- reading ---- */
/* Each takes what is at `p` and returns what follows, NULL when it is no pattern. */

static const char *ere_lacks(struct ere *e, const char *what)
{
    e->why = what;
    return NULL;
}

/* Of \d and the like: what stands between brackets. */
static const char *ere_class(char c)
{
    switch (tolower((unsigned char)c)) {
    case 'd':
        return "0-9";
    case 'w':
        return "0-9A-Za-z_";
    case 's':
        return "\t\n\f\r ";
    default:
        return NULL;
    }
}

static const char *ere_escape(struct ere *e, const char *p)
{
    const char *set = ere_class(*p);

    if (!*p || (*p >= '1' && *p <= '9'))
        return NULL;
    e->last = ERE_OPERAND;
    if (set) {
        buf_fmt(&e->out, "[%s%s]", isupper((unsigned char)*p) ? "^" : "", set);
    } else if (*p == 'A' || *p == 'z') {
        buf_char(&e->out, *p == 'A' ? '^' : '$');
        e->last = ERE_ANCHOR;
    } else if (isalnum((unsigned char)*p)) {
        return ere_lacks(e, "a backslash before this letter");
    } else {
        if (strchr(".[(){*+?|^$\\", *p))
            buf_char(&e->out, '\\');
        buf_char(&e->out, *p);
    }
    return p + 1;
}

/* [:alpha:] and the like, within brackets. */
static const char *ere_named_class(struct ere *e, const char *p)
{
    const char *end = p[1] == ':' ? strstr(p, ":]") : NULL;

    if (!end)
        return ere_lacks(e, "a bracket with '.', '=' or ':' within brackets");
    buf_add(&e->out, p, (size_t)(end + 2 - p));
    return end + 2;
}

/* There a backslash stands for itself in an ERE, and a '-' that is one comes last. */
static const char *ere_bracket_escape(struct ere *e, const char *p, bool *dash)
{
    const char *set = islower((unsigned char)*p) ? ere_class(*p) : NULL;

    if (!*p)
        return NULL;
    if (set)
        buf_str(&e->out, set);
    else if (*p == '-')
        *dash = true;
    else if (isalnum((unsigned char)*p) || strchr("[]^\\", *p))
        return ere_lacks(e, "this backslash within brackets");
    else
        buf_char(&e->out, *p);
    return p + 1;
}

static const char *ere_bracket(struct ere *e, const char *p)
{
    bool dash = false;
    const char *first;

    buf_char(&e->out, '[');
    if (*p == '^')
        buf_char(&e->out, *p++);
    for (first = p; p && *p && (*p != ']' || p == first);) {
        if (*p == '[' && p[1] && strchr(".=:", p[1]))
            p = ere_named_class(e, p);
        else if (*p == '\\')
            p = ere_bracket_escape(e, p + 1, &dash);
        else
            buf_char(&e->out, *p++);
    }
    if (!p || !*p)
        return NULL;
    buf_str(&e->out, dash ? "-]" : "]");
    e->last = ERE_OPERAND;
    return p + 1;
}

static const char *ere_group(struct ere *e, const char *p)
{
    if (p[1] == '?')
        return ere_lacks(e, "(?");
    if (++e->groups > PATTERN_GROUPS)
        return ere_lacks(e, "so many groups");
    e->open++;
    e->last = ERE_START;
    buf_char(&e->out, *p);
    return p + 1;
}

/* Whether one is lazy makes no difference to what matches. */
static const char *ere_repetition(struct ere *e, const char *p)
{
    if (e->last == ERE_START || e->last == ERE_REPEATED)
        return NULL;
    if (e->last == ERE_ANCHOR)
        return ere_lacks(e, "a repetition of an anchor");
    e->last = ERE_REPEATED;
    buf_char(&e->out, *p);
    return p + 1 + (p[1] == '?');
}

static const char *ere_next(struct ere *e, const char *p)
{
    switch (*p) {
    case '\\':
        return ere_escape(e, p + 1);
    case '[':
        return ere_bracket(e, p + 1);
    case '(':
        return ere_group(e, p);
    case '{':
        return ere_lacks(e, "{");
    case '*':
    case '+':
    case '?':
        return ere_repetition(e, p);
    case ')':
        if (!e->open--)
            return NULL;
        e->last = ERE_OPERAND;
        break;
    case '|':
        e->last = ERE_START;
        break;
    case '^':
    case '$':
        e->last = ERE_ANCHOR;
        break;
    default:
        e->last = ERE_OPERAND;
    }
    buf_char(&e->out, *p);
    return p + 1;
}

/* Whether it is a pattern; its ERE is in e->out, which the caller frees. */
static bool ere_read(struct ere *e, const char *text)
{
    size_t len = strlen(text);

    if (len > (text[strspn(text, PATTERN_NAME_CHARS)] ? PATTERN_MAX : PATTERN_NAME_MAX))
        return ere_lacks(e, "so long a pattern");
    while (text && *text)
        text = ere_next(e, text);
    return text && !e->open;
}

char *filter_pattern_judge(const char *text)
{
    struct ere e = {0};

    ere_read(&e, text);
    buf_free(&e.out);
    return e.why ? str_fmt("not supported in a name filter: %s: %.80s", e.why, text) : NULL;
}

/* ---- matching -------------------------------------------------------------------------------- */

/* The last patterns that were asked for: each is asked for every object. */
struct pattern {
    char *text;
    bool good;
    regex_t re;
};

/* False when there was no memory for it: then it is not kept. */
static bool pattern_set(struct pattern *p, const char *text)
{
    struct ere e = {0};
    int err = 0;

    if (p->good)
        regfree(&p->re);
    free(p->text);
    *p = (struct pattern){0};
    if (ere_read(&e, text)) {
        err = regcomp(&p->re, e.out.data, REG_EXTENDED | REG_NOSUB);
        p->good = !err;
    }
    buf_free(&e.out);
    if (err != REG_ESPACE)
        p->text = str_dup(text);
    return p->text;
}

static const struct pattern *pattern_find(const char *text)
{
    static struct pattern kept[FILTER_VALUES_MAX];
    static unsigned next;

    for (int i = 0; i < FILTER_VALUES_MAX; i++)
        if (kept[i].text && !strcmp(kept[i].text, text))
            return &kept[i];
    next = (next + 1) % FILTER_VALUES_MAX;
    return pattern_set(&kept[next], text) ? &kept[next] : NULL;
}

bool filter_pattern(const char *pattern, const char *text)
{
    const struct pattern *p;
    int err;

    if (!*pattern || !strcmp(pattern, text))
        return true;
    p = pattern_find(pattern);
    if (!p)
        filters_no_memory();
    if (!p || !p->good)
        return false;
    err = regexec(&p->re, text, 0, NULL, 0);
    if (err == REG_ESPACE)
        filters_no_memory();
    return !err;
}
