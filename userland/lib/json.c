// SPDX-License-Identifier: MIT
// The JSON parser and its getters; see json.h. The writer is json_write.c.
#include "lib/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

#define JSON_INDEX_MIN 32 /* members that are looked through one by one */

struct json_in {
    const char *at;
    const char *end;
    const char *why;
    size_t nodes;
};

static struct json *json_value(struct json_in *in, int depth);

static struct json *json_fail(struct json_in *in, const char *why)
{
    if (!in->why)
        in->why = why;
    return NULL;
}

static void json_space(struct json_in *in)
{
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\t' || *in->at == '\r' || *in->at == '\n'))
        in->at++;
}

static bool json_skip(struct json_in *in, char c)
{
    if (in->at >= in->end || *in->at != c)
        return false;
    in->at++;
    return true;
}

/* Eight at a time while all are plain. 0x80 comes up in the word for one that is not: above 0x7e,
 * below a space, a quote, a backslash; and perhaps for one behind it. */
size_t json_plain_len(const char *s, size_t len)
{
    const uint64_t ones = 0x0101010101010101, high = ones << 7;
    size_t n = 0;

    for (uint64_t w, quote, slash, odd; len - n >= 8; n += 8) {
        memcpy(&w, s + n, 8);
        quote = w ^ ones * '"';
        slash = w ^ ones * '\\';
        odd = w | (w + ones) | (w - ones * ' ') | (quote - ones) | (slash - ones);
        if (odd & high)
            break;
    }
    while (n < len && json_is_plain(s[n]))
        n++;
    return n;
}

struct json *json_new(enum json_type type)
{
    struct json *j = mem_alloc(sizeof(*j));

    j->type = type;
    return j;
}

/* A string in one block with its node. */
static struct json *json_new_strn(const char *text, size_t len)
{
    struct json *j = mem_resize(NULL, sizeof(*j) + len + 1);

    *j = (struct json){.type = JSON_STRING, .str = (char *)(j + 1), .str_inside = true};
    memcpy(j->str, text, len);
    j->str[len] = 0;
    return j;
}

struct json *json_new_str(const char *text)
{
    return json_new_strn(text ? text : "", text ? strlen(text) : 0);
}

void json_set_str(struct json *j, char *text)
{
    if (!j->str_inside)
        free(j->str);
    j->str = text;
    j->str_inside = false;
}

void json_set_key(struct json *j, char *text)
{
    if (!j->key_constant)
        free(j->key);
    j->key = text;
    j->key_constant = false;
}

struct json *json_new_bool(bool value)
{
    struct json *j = json_new(JSON_BOOL);

    j->num = value;
    return j;
}

void json_append(struct json ***tail, const char *key, struct json *value)
{
    value->key = str_dup(key);
    **tail = value;
    *tail = &value->next;
}

void json_append_constant(struct json ***tail, const char *key, struct json *value)
{
    value->key = (char *)key;
    value->key_constant = true;
    **tail = value;
    *tail = &value->next;
}

struct json *json_copy(const struct json *j)
{
    struct json *copy, **tail;

    if (j && j->type == JSON_STRING)
        return json_new_str(j->str);
    copy = json_new(j ? j->type : JSON_NULL);
    if (!j)
        return copy;
    tail = &copy->child;
    copy->whole = j->whole;
    copy->num = j->num;
    copy->real = j->real;
    for (const struct json *c = j->child; c; c = c->next)
        json_append(&tail, c->key, json_copy(c));
    return copy;
}

static bool json_hex4(struct json_in *in, unsigned *out)
{
    unsigned v = 0;

    if (in->end - in->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = *in->at++;

        if (c >= '0' && c <= '9')
            v = v << 4 | (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v << 4 | (unsigned)((c | 32) - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

static void json_utf8(struct buf *b, unsigned c)
{
    if (c < 0x80) {
        buf_char(b, (char)c);
    } else if (c < 0x800) {
        buf_char(b, (char)(0xc0 | c >> 6));
        buf_char(b, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        buf_char(b, (char)(0xe0 | c >> 12));
        buf_char(b, (char)(0x80 | (c >> 6 & 63)));
        buf_char(b, (char)(0x80 | (c & 63)));
    } else {
        buf_char(b, (char)(0xf0 | c >> 18));
        buf_char(b, (char)(0x80 | (c >> 12 & 63)));
        buf_char(b, (char)(0x80 | (c >> 6 & 63)));
        buf_char(b, (char)(0x80 | (c & 63)));
    }
}

/* After "\u": one code point, from one or two escapes. */
static bool json_unicode(struct json_in *in, struct buf *b)
{
    unsigned c, low;

    if (!json_hex4(in, &c) || c == 0)
        return false;
    if (c >= 0xd800 && c < 0xdc00 && in->end - in->at >= 6 && in->at[0] == '\\' &&
        in->at[1] == 'u') {
        in->at += 2;
        if (!json_hex4(in, &low))
            return false;
        c = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00)
                                          : 0xfffd;
    } else if (c >= 0xd800 && c < 0xe000) {
        c = 0xfffd;
    }
    json_utf8(b, c);
    return true;
}

static bool json_escape(struct json_in *in, struct buf *b)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *hit;
    char c;

    if (in->at >= in->end)
        return false;
    c = *in->at++;
    if (c == 'u')
        return json_unicode(in, b);
    hit = c ? strchr(from, c) : NULL;
    if (!hit)
        return false;
    buf_char(b, to[hit - from]);
    return true;
}

/* Characters that stand for themselves. */
static void json_plain(struct json_in *in, struct buf *b)
{
    const char *from = in->at;

    while (in->at < in->end && *in->at != '"' && *in->at != '\\' &&
           (unsigned char)*in->at >= 0x20) {
        size_t n =
            (unsigned char)*in->at < 0x80 ? 1 : utf8_char(in->at, (size_t)(in->end - in->at));

        if (!n) {
            buf_add(b, from, (size_t)(in->at - from));
            json_utf8(b, 0xfffd);
            from = in->at + 1;
        }
        in->at += n ? n : 1;
    }
    buf_add(b, from, (size_t)(in->at - from));
}

/* The opening quote is behind us. Returns the text, or NULL. */
static char *json_text(struct json_in *in)
{
    const char *end = in->at + json_plain_len(in->at, (size_t)(in->end - in->at));
    struct buf b = {0};

    if (end < in->end && *end == '"') { /* most strings */
        char *text = str_dupn(in->at, (size_t)(end - in->at));

        in->at = end + 1;
        return text;
    }
    while (in->at < in->end) {
        json_plain(in, &b);
        if (json_skip(in, '"'))
            return buf_take(&b);
        if (!json_skip(in, '\\') || !json_escape(in, &b))
            break;
    }
    buf_free(&b);
    json_fail(in, "bad string");
    return NULL;
}

static struct json *json_number(struct json_in *in)
{
    char text[64];
    size_t n = 0;
    struct json *j;
    char *end;
    bool whole = true;

    while (in->at < in->end && n < sizeof(text) - 1 && *in->at &&
           strchr("+-0123456789.eE", *in->at)) {
        whole = whole && !strchr(".eE", *in->at);
        text[n++] = *in->at++;
    }
    text[n] = 0;
    if (!n || strchr("+.eE", text[0]))
        return json_fail(in, "bad value");
    j = json_new(JSON_NUMBER);
    j->real = strtod(text, &end);
    if (*end || !isfinite(j->real)) {
        json_free(j);
        return json_fail(in, "bad number");
    }
    if (fabs(j->real) < 9.2e18) {
        j->num = whole ? strtoll(text, NULL, 10) : (int64_t)j->real;
        j->whole = whole;
    } else {
        j->num = j->real < 0 ? INT64_MIN : INT64_MAX;
    }
    return j;
}

static struct json *json_word(struct json_in *in)
{
    static const struct {
        const char *word;
        enum json_type type;
        int num;
    } words[] = {{"null", JSON_NULL, 0}, {"true", JSON_BOOL, 1}, {"false", JSON_BOOL, 0}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t n = strlen(words[i].word);
        struct json *j;

        if ((size_t)(in->end - in->at) < n || memcmp(in->at, words[i].word, n))
            continue;
        in->at += n;
        j = json_new(words[i].type);
        j->num = words[i].num;
        return j;
    }
    return json_number(in);
}

/* Members of an array (close = ']') or object (close = '}'); the opening bracket is behind us. */
static struct json *json_members(struct json_in *in, enum json_type type, char close, int depth)
{
    struct json *j = json_new(type), **tail = &j->child;

    json_space(in);
    if (json_skip(in, close))
        return j;
    for (;;) {
        char *key = NULL;

        json_space(in);
        if (type == JSON_OBJECT) {
            if (!json_skip(in, '"') || !(key = json_text(in)))
                break;
            json_space(in);
            if (!json_skip(in, ':')) {
                free(key);
                break;
            }
        }
        *tail = json_value(in, depth + 1);
        if (!*tail) {
            free(key);
            break;
        }
        (*tail)->key = key;
        tail = &(*tail)->next;
        json_space(in);
        if (json_skip(in, close))
            return j;
        if (!json_skip(in, ','))
            break;
    }
    json_free(j);
    return json_fail(in, "bad array or object");
}

static struct json *json_value(struct json_in *in, int depth)
{
    struct json *j;
    char *text;
    size_t n;

    if (depth > JSON_DEPTH_MAX)
        return json_fail(in, "nested too deeply");
    if (++in->nodes > JSON_NODES_MAX)
        return json_fail(in, "too many values");
    json_space(in);
    if (json_skip(in, '{'))
        return json_members(in, JSON_OBJECT, '}', depth);
    if (json_skip(in, '['))
        return json_members(in, JSON_ARRAY, ']', depth);
    if (!json_skip(in, '"'))
        return json_word(in);
    n = json_plain_len(in->at, (size_t)(in->end - in->at));
    if (in->at + n < in->end && in->at[n] == '"') { /* most strings */
        j = json_new_strn(in->at, n);
        in->at += n + 1;
        return j;
    }
    text = json_text(in);
    if (!text)
        return NULL;
    j = json_new(JSON_STRING);
    j->str = text;
    return j;
}

struct json *json_parse(const char *text, size_t len, const char **why)
{
    struct json_in in = {text, text + len, NULL, 0};
    struct json *j = json_value(&in, 0);

    if (j) {
        json_space(&in);
        if (in.at < in.end) {
            json_free(j);
            j = json_fail(&in, "text after the value");
        }
    }
    if (!j && why)
        *why = in.why ? in.why : "bad value";
    return j;
}

void json_free(struct json *j)
{
    while (j) {
        struct json *next = j->next;

        json_free(j->child);
        free(j->index);
        if (!j->key_constant)
            free(j->key);
        if (!j->str_inside)
            free(j->str);
        free(j);
        j = next;
    }
}

/* The members of a large object, by key and among equals in their order. */
struct json_index {
    size_t n;
    struct json_place {
        struct json *member;
        size_t order;
    } place[];
};

static int json_place_compare(const void *a, const void *b)
{
    const struct json_place *x = a, *y = b;
    int names = strcmp(x->member->key, y->member->key);

    return names ? names : x->order < y->order ? -1 : 1;
}

static struct json_index *json_index_make(const struct json *obj)
{
    size_t n = json_count(obj), i = 0;
    struct json_index *x = mem_alloc(sizeof(*x) + n * sizeof(x->place[0]));

    x->n = n;
    for (struct json *j = obj->child; j; j = j->next, i++)
        x->place[i] = (struct json_place){j, i};
    qsort(x->place, n, sizeof(x->place[0]), json_place_compare);
    return x;
}

static struct json *json_index_find(const struct json_index *x, const char *key)
{
    size_t low = 0, high = x->n;

    while (low < high) { /* the first that is not less */
        size_t mid = low + (high - low) / 2;

        if (strcmp(x->place[mid].member->key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < x->n && !strcmp(x->place[low].member->key, key) ? x->place[low].member : NULL;
}

struct json *json_get(const struct json *obj, const char *key)
{
    struct json *j = obj && obj->type == JSON_OBJECT ? obj->child : NULL;

    if (j && obj->index)
        return json_index_find(obj->index, key);
    for (int n = 0; j; j = j->next) {
        if (*j->key == *key && !strcmp(j->key, key))
            return j;
        if (++n < JSON_INDEX_MIN)
            continue;
        ((struct json *)obj)->index = json_index_make(obj); /* what it says stays the same */
        return json_index_find(obj->index, key);
    }
    return NULL;
}

const char *json_str(const struct json *obj, const char *key)
{
    struct json *j = json_get(obj, key);

    return j && j->type == JSON_STRING ? j->str : NULL;
}

int64_t json_int(const struct json *obj, const char *key, int64_t otherwise)
{
    struct json *j = json_get(obj, key);

    return j && j->type == JSON_NUMBER ? j->num : otherwise;
}

bool json_bool(const struct json *obj, const char *key)
{
    struct json *j = json_get(obj, key);

    return j && j->type == JSON_BOOL && j->num;
}

struct json *json_list(const struct json *obj, const char *key)
{
    struct json *j = json_get(obj, key);

    return j && (j->type == JSON_ARRAY || j->type == JSON_OBJECT) ? j->child : NULL;
}

bool json_is_empty(const struct json *j)
{
    switch (j->type) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
    case JSON_NUMBER:
        return !j->num && !j->real;
    case JSON_STRING:
        return !*j->str;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return !j->child;
    }
    return false;
}

size_t json_count(const struct json *array)
{
    size_t n = 0;

    for (struct json *j = array ? array->child : NULL; j; j = j->next)
        n++;
    return n;
}

size_t json_values(const struct json *j)
{
    size_t n = 1;

    for (const struct json *c = j->child; c; c = c->next)
        n += json_values(c);
    return n;
}

char **strv_from_json(const struct json *array)
{
    size_t n = json_count(array), i = 0;
    char **v = mem_alloc((n + 1) * sizeof(char *));

    for (struct json *j = n ? array->child : NULL; j; j = j->next)
        if (j->type == JSON_STRING)
            v[i++] = str_dup(j->str);
    return v;
}
