// SPDX-License-Identifier: MIT
#include "engine/filters.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "lib/str.h"

/* Of the processor, for the filters of one list: other clients wait meanwhile. */
#define FILTERS_NS 200000000

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

char *filters_check(const struct json *filters, const char *key, char *(*judge)(const char *value))
{
    const struct json *list = json_get(filters, key);
    char *why = NULL;

    for (const struct json *j = list ? list->child : NULL; j && !why; j = j->next)
        why = judge(filter_text(list, j));
    return why;
}

bool filter_true(const char *value)
{
    return str_case_eq(value, "true") || !strcmp(value, "1");
}

char *filters_check_bool(const struct json *filters, const char *key)
{
    const struct json *list = json_get(filters, key);

    for (const struct json *j = list ? list->child : NULL; j; j = j->next) {
        const char *text = filter_text(list, j);

        if (!filter_true(text) && !str_case_eq(text, "false") && strcmp(text, "0"))
            return str_fmt("invalid filter '%s=[%.100s]'", key, text);
    }
    return NULL;
}

/* The list that is being made. Its time is the engine's own, for matching: what others take does
 * not count, nor what the list's writing takes. */
static struct {
    bool on, late, no_memory;
    unsigned matching; /* filters_enter()s */
    uint64_t since, left;
} filters_work;

static uint64_t filters_now(void)
{
    struct timespec ts = {0};

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void filters_begin(void)
{
    filters_work.on = true;
    filters_work.late = filters_work.no_memory = false;
    filters_work.matching = 0;
    filters_work.left = FILTERS_NS;
}

void filters_enter(void)
{
    if (filters_work.matching++ == 0)
        filters_work.since = filters_now();
}

void filters_leave(void)
{
    uint64_t used;

    if (--filters_work.matching > 0)
        return;
    used = filters_now() - filters_work.since;
    filters_work.left -= used < filters_work.left ? used : filters_work.left;
}

bool filters_late(void)
{
    if (filters_work.on && filters_work.matching && !filters_work.late)
        filters_work.late = filters_now() - filters_work.since > filters_work.left;
    return filters_work.late;
}

void filters_no_memory(void)
{
    filters_work.no_memory = true;
}

const char *filters_end(int *status)
{
    bool late = filters_work.late;

    filters_work.on = filters_work.late = false;
    *status = late ? 400 : 500;
    return late                     ? "the filters take too long"
           : filters_work.no_memory ? "no memory for the filters"
                                    : NULL;
}

static bool filter_match(const struct filter *f, const struct json *list, const void *object)
{
    bool any = !list->child;

    for (const struct json *j = list->child; j; j = j->next) {
        bool one = !filters_late() && f->fn(object, filter_text(list, j));

        if (f->all && !one)
            return false;
        any = any || one;
    }
    return any;
}

bool filters_match(const struct filter *known, size_t n, const struct json *filters,
                   const void *object)
{
    bool match = true;

    if (!filters || !filters->child)
        return true;
    filters_enter();
    for (const struct json *list = filters->child; list && match; list = list->next)
        match = filter_match(filter_find(known, n, list->key), list, object);
    filters_leave();
    return match;
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
