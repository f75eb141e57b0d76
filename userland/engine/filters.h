// SPDX-License-Identifier: MIT
// The filters of a request: {"key":["value", ...]} or {"key":{"value":true, ...}}. One that is not
// known is refused, and so is what is no filter at all: nothing is listed, or removed, in its
// place, and so are more values than can be looked at for each object in one go.
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Of one request: each is looked at for each object. */
#define FILTER_VALUES_MAX 64

struct http_head;
struct json;

struct filter {
    const char *key;
    bool (*fn)(const void *object, const char *value);
    bool all; /* of its values must hold; else one */
};

/* The request's, to be freed; NULL for none. *why: NULL, or what is wrong with them. */
struct json *filters_read(const struct http_head *req, const struct filter *known, size_t n,
                          char **why);
/* Puts what each value of `key` stands for in its place, once for all objects. `meaning` returns
 * that, to be freed, or NULL: then the value, to be freed, is returned. */
char *filters_resolve(struct json *filters, const char *key, char *(*meaning)(const char *value));
/* What `judge` has against a value of `key`, to be freed, or NULL. */
char *filters_check(const struct json *filters, const char *key, char *(*judge)(const char *value));
/* The same for a key whose values are "true", "1", "false" or "0". */
char *filters_check_bool(const struct json *filters, const char *key);
bool filter_true(const char *value); /* of such a one */
/* Around the making of a list: between them nothing matches any more once its filters have taken
 * too long, by the time between filters_enter() and filters_leave() (filters_match() has its own),
 * which filters_end() tells: NULL, or what goes to the client in the list's place, with *status. */
void filters_begin(void);
void filters_enter(void);
void filters_leave(void);
bool filters_late(void);
void filters_no_memory(void);
const char *filters_end(int *status);
bool filters_match(const struct filter *known, size_t n, const struct json *filters,
                   const void *object);
/* "key" or "key=value" of a label that an object has: `have` is its value of that key, or NULL. */
char *filter_label_key(const char *value);
bool filter_label_is(const char *value, const char *have);
/* Whether `text` is, or holds, what the regular expression says; one that is none, which Go's
 * regexp refuses as well, says only itself. What Go knows and this does not is judged before:
 * NULL, or a sentence to be freed. */
bool filter_pattern(const char *pattern, const char *text);
char *filter_pattern_judge(const char *pattern);
/* A moment: a time, or a span before now as "1h30m". */
bool filter_time(const char *text, long long *seconds);
