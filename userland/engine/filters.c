// SPDX-License-Identifier: MIT
#include "engine/filters.h"

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "lib/str.h"

/* Of one request: each is looked at for each object, while other clients wait. */
#define FILTER_VALUES_MAX 64
#define FILTER_PATTERN_MAX 255
#define FILTER_PATTERN_GROUPS 8

/* One value: a list holds strings, an object has them for keys. */
static const char *filter_text(const struct json *list, const struct json *j)
{
    return list->type == JSON_OBJECT ? j->key : j->type == JSON_STRING ? j->str : NULL;
}

static const struct filter *filter_find(const struct filter *known, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(known[i].key, key))
            return &known[i];
    return NULL;
}

static char *filters_judge(const struct json *filters, const struct filter *known, size_t n)
{
    size_t values = 0;

    if (!filters || filters->type != JSON_OBJECT)
        return str_dup("invalid filters: not an object");
    for (const struct json *list = filters->child; list; list = list->next) {
        if (!filter_find(known, n, list->key))
            return str_fmt("invalid filter '%s'", list->key);
        if (list->type != JSON_OBJECT && list->type != JSON_ARRAY)
            return str_fmt("invalid filter '%s': not a list", list->key);
        for (const struct json *j = list->child; j; j = j->next) {
            if (!filter_text(list, j))
                return str_fmt("invalid filter '%s': not a list of strings", list->key);
            if (++values > FILTER_VALUES_MAX)
                return str_fmt("invalid filter '%s': more than %d values in all", list->key,
                               FILTER_VALUES_MAX);
        }
    }
    return NULL;
}

struct json *filters_read(const struct http_head *req, const struct filter *known, size_t n,
                          char **why)
{
    const char *text = http_query(req, "filters");
    struct json *filters;

    *why = NULL;
    if (!text || !*text)
        return NULL;
    filters = json_parse(text, strlen(text), NULL);
    *why = filters_judge(filters, known, n);
    if (!*why)
        return filters;
    json_free(filters);
    return NULL;
}

char *filters_resolve(struct json *filters, const char *key, char *(*meaning)(const char *value))
{
    for (struct json *list = filters ? filters->child : NULL; list; list = list->next) {
        if (strcmp(list->key, key))
            continue;
        for (struct json *j = list->child; j; j = j->next) {
            const char *text = filter_text(list, j);
            char *is = meaning(text);

            if (!is)
                return str_dup(text);
            (list->type == JSON_OBJECT ? json_set_key : json_set_str)(j, is);
        }
    }
    return NULL;
}

static bool filter_match(const struct filter *f, const struct json *list, const void *object)
{
    bool any = !list->child;

    for (const struct json *j = list->child; j; j = j->next) {
        bool one = f->fn(object, filter_text(list, j));

        if (f->all && !one)
            return false;
        any = any || one;
    }
    return any;
}

bool filters_match(const struct filter *known, size_t n, const struct json *filters,
                   const void *object)
{
    for (const struct json *list = filters ? filters->child : NULL; list; list = list->next)
        if (!filter_match(filter_find(known, n, list->key), list, object))
            return false;
    return true;
}

char *filter_label_key(const char *value)
{
    return str_dupn(value, strcspn(value, "="));
}

bool filter_label_is(const char *value, const char *have)
{
    const char *equals = strchr(value, '=');

    return have && (!equals || !strcmp(have, equals + 1));
}

/* The last patterns that were asked for: each is asked for every object. */
struct pattern {
    char *text;
    bool good;
    regex_t re;
};

/* Counted repetitions may take any amount of memory, and with some C libraries nested groups. */
static bool pattern_fair(const char *text)
{
    int groups = 0;

    for (const char *p = text; *p; p++)
        groups += *p == '(';
    return groups <= FILTER_PATTERN_GROUPS && strlen(text) <= FILTER_PATTERN_MAX &&
           !strchr(text, '{');
}

static void pattern_set(struct pattern *p, const char *text)
{
    if (p->good)
        regfree(&p->re);
    free(p->text);
    p->text = str_dup(text);
    p->good = !regcomp(&p->re, text, REG_EXTENDED | REG_NOSUB);
}

static const struct pattern *pattern_find(const char *text)
{
    static struct pattern kept[FILTER_VALUES_MAX];
    static unsigned next;

    for (int i = 0; i < FILTER_VALUES_MAX; i++)
        if (kept[i].text && !strcmp(kept[i].text, text))
            return &kept[i];
    next = (next + 1) % FILTER_VALUES_MAX;
    pattern_set(&kept[next], text);
    return &kept[next];
}

bool filter_pattern(const char *pattern, const char *text)
{
    const struct pattern *p;

    if (!*pattern || !strcmp(pattern, text))
        return true;
    if (!pattern_fair(pattern))
        return false;
    p = pattern_find(pattern);
    return p->good && regexec(&p->re, text, 0, NULL, 0) == 0;
}

/* "1h30m10s" and the like, in seconds. */
static bool span_parse(const char *text, long long *seconds)
{
    *seconds = 0;
    if (!*text)
        return false;
    while (*text) {
        char *end;
        double v = isdigit((unsigned char)*text) ? strtod(text, &end) : -1;

        if (v < 0 || v > 1e9)
            return false;
        if (end[0] == 'm' && end[1] == 's')
            v /= 1000, end++;
        else if (*end == 'h')
            v *= 3600;
        else if (*end == 'm')
            v *= 60;
        else if (*end != 's')
            return false;
        *seconds += (long long)v;
        text = end + 1;
    }
    return true;
}

bool filter_time(const char *text, long long *seconds)
{
    struct timespec ts;

    if (time_parse(text, &ts)) {
        *seconds = ts.tv_sec;
        return true;
    }
    if (!span_parse(text, seconds))
        return false;
    engine_now(&ts);
    *seconds = ts.tv_sec - *seconds;
    return true;
}
