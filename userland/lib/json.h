// SPDX-License-Identifier: MIT
// JSON: a bounded parser into a tree, and a writer straight into a buffer.
//
// The parser takes any bytes: depth is bounded by JSON_DEPTH_MAX, values by JSON_NODES_MAX (each
// costs many times its text), and the rest by the caller's text.
// Strings are UTF-8 on both ways: a byte that is no part of a character becomes U+FFFD, as Go's
// encoding/json has it, or clients could not read the whole answer. \u0000 is refused: no string
// here may hold a NUL.
// Getters accept a NULL node and a node of another type, and then give the default.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

#define JSON_DEPTH_MAX 64
#define JSON_NODES_MAX 262144

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_type type;
    bool whole;               /* a number that fits `num` exactly */
    bool str_inside;          /* `str` lies in the node's own block; private */
    bool key_constant;        /* `key` is none of the tree's; private */
    int64_t num;              /* of a number (rounded towards zero), or of a boolean */
    double real;              /* of a number */
    char *str;                /* of a string */
    char *key;                /* when inside an object */
    struct json *child;       /* first element of an array or object */
    struct json *next;        /* in the same array or object */
    struct json_index *index; /* of a large object that has been looked into; private */
};

/* Parses one value that fills the whole text. NULL on error, with *why a static sentence. */
struct json *json_parse(const char *text, size_t len, const char **why);
void json_free(struct json *j);

/* A character that stands for itself in a string, next to any other. */
static inline bool json_is_plain(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* How many such characters s begins with, of len. */
size_t json_plain_len(const char *s, size_t len);

/* Trees made by hand. A string that is NULL is "", a copy of NULL is null; json_append takes the
 * value over, a tail begins as the address of its parent's `child`. */
struct json *json_new(enum json_type type);
struct json *json_new_str(const char *text);
struct json *json_new_bool(bool value);
/* A string's text, or what the member is called, becomes `text`, which the tree owns then. */
void json_set_str(struct json *j, char *text);
void json_set_key(struct json *j, char *text);
struct json *json_copy(const struct json *j);
void json_append(struct json ***tail, const char *key, struct json *value);
/* The same for a key that outlives the tree, and is not copied. */
void json_append_constant(struct json ***tail, const char *key, struct json *value);

/* The first member of that name. A large object is sorted at the first look: the tree must not be
 * changed any more. */
struct json *json_get(const struct json *obj, const char *key);
const char *json_str(const struct json *obj, const char *key); /* NULL when absent */
int64_t json_int(const struct json *obj, const char *key, int64_t otherwise);
bool json_bool(const struct json *obj, const char *key);
struct json *json_list(const struct json *obj, const char *key); /* first child, or NULL */
/* null, false, 0, "", [] or {}: what says no more than that it is not there. */
bool json_is_empty(const struct json *j);
size_t json_count(const struct json *array);
/* Its strings as a list that ends with a NULL, the caller's; an empty one when it is no array. */
char **strv_from_json(const struct json *array);
/* How many values it is, itself and all below; those that follow it do not count. */
size_t json_values(const struct json *j);
void json_write(struct buf *b, const struct json *j);

/* The writer: containers nest by calls, commas and keys take care of themselves. `key` is NULL
 * inside an array and at the top. */
struct jw {
    struct buf *out;
    bool more;
};

void jw_object(struct jw *w, const char *key);
void jw_object_end(struct jw *w);
void jw_array(struct jw *w, const char *key);
void jw_array_end(struct jw *w);
void jw_str(struct jw *w, const char *key, const char *value); /* NULL writes "" */
void jw_strn(struct jw *w, const char *key, const char *value, size_t len);
/* Any bytes, which are kept. Only for a reader of our own: it may be no JSON. */
void jw_bytes(struct jw *w, const char *key, const char *value, size_t len);
/* A whole array of strings; n of them, or up to a NULL. */
void jw_strings(struct jw *w, const char *key, const char *const *list, size_t n);
void jw_fmt(struct jw *w, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void jw_int(struct jw *w, const char *key, int64_t value);
void jw_bool(struct jw *w, const char *key, bool value);
void jw_null(struct jw *w, const char *key);
void jw_json(struct jw *w, const char *key, const struct json *value); /* NULL writes null */
