// SPDX-License-Identifier: MIT
// The JSON writer; see json.h.
#include "lib/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

#define JW_WIDEST 6 /* \uNNNN */

/* Bytes of a character that stands for itself; 0 for one that does not. */
static size_t jw_plain(const char *s, size_t len, bool bytes)
{
    unsigned char c = (unsigned char)*s;

    if (c >= 0x80)
        return bytes ? 1 : utf8_char(s, len);
    return c >= 0x20 && c != '"' && c != '\\';
}

/* Writes a byte that cannot stand for itself: how many bytes that took. */
static size_t jw_escape(char *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef", from[] = "\"\\\n\r\t", to[] = "\"\\nrt";
    const char *hit = c ? strchr(from, c) : NULL;

    *out++ = '\\';
    if (hit) {
        *out = to[hit - from];
        return 2;
    }
    if (c >= 0x80) { /* no part of a character */
        memcpy(out, "ufffd", 5);
        return JW_WIDEST;
    }
    *out++ = 'u';
    *out++ = '0';
    *out++ = '0';
    *out++ = hex[c >> 4];
    *out = hex[c & 15];
    return JW_WIDEST;
}

/* The rest of a string, from its first character that may not stand for itself. */
static void jw_quote_rest(struct buf *b, const char *s, size_t len, bool bytes)
{
    for (size_t i = 0, run, n; i < len; i += run) {
        for (run = 0; i + run < len && (n = jw_plain(s + i + run, len - i - run, bytes)); run += n)
            ;
        buf_add(b, s + i, run);
        if (i + run == len)
            break;
        buf_reserve(b, JW_WIDEST);
        b->len += jw_escape(b->data + b->len, (unsigned char)s[i + run]);
        i++;
    }
}

/* `bytes`: what is no part of a character stands for itself too. */
static void jw_quote(struct buf *b, const char *s, size_t len, bool bytes)
{
    size_t plain = json_plain_len(s, len);
    char *out;

    buf_reserve(b, len + 2);
    out = b->data + b->len;
    *out++ = '"';
    memcpy(out, s, plain);
    b->len += 1 + plain;
    if (plain < len) /* few strings */
        jw_quote_rest(b, s + plain, len - plain, bytes);
    buf_char(b, '"');
}

/* Keys are our own words, or were judged when they were parsed: most are plain and short. */
static void jw_key(struct jw *w, const char *key)
{
    struct buf *b = w->out;
    size_t len = key ? strlen(key) : 0, n = 0;
    char *out;

    buf_reserve(b, len + 4);
    out = b->data + b->len;
    if (w->more)
        *out++ = ',';
    w->more = true;
    if (key) {
        *out = '"';
        while (n < len && json_is_plain(key[n])) {
            out[1 + n] = key[n];
            n++;
        }
        if (n == len) {
            out += len + 1;
            *out++ = '"';
            *out++ = ':';
        }
    }
    b->len = (size_t)(out - b->data);
    *out = 0;
    if (n == len)
        return;
    jw_quote(b, key, len, false);
    buf_char(b, ':');
}

void jw_object(struct jw *w, const char *key)
{
    jw_key(w, key);
    buf_char(w->out, '{');
    w->more = false;
}

void jw_object_end(struct jw *w)
{
    buf_char(w->out, '}');
    w->more = true;
}

void jw_array(struct jw *w, const char *key)
{
    jw_key(w, key);
    buf_char(w->out, '[');
    w->more = false;
}

void jw_array_end(struct jw *w)
{
    buf_char(w->out, ']');
    w->more = true;
}

void jw_strn(struct jw *w, const char *key, const char *value, size_t len)
{
    jw_key(w, key);
    jw_quote(w->out, value, len, false);
}

void jw_bytes(struct jw *w, const char *key, const char *value, size_t len)
{
    jw_key(w, key);
    jw_quote(w->out, value, len, true);
}

void jw_str(struct jw *w, const char *key, const char *value)
{
    jw_strn(w, key, value ? value : "", value ? strlen(value) : 0);
}

void jw_strings(struct jw *w, const char *key, const char *const *list, size_t n)
{
    jw_array(w, key);
    for (size_t i = 0; i < n && list[i]; i++)
        jw_str(w, NULL, list[i]);
    jw_array_end(w);
}

void jw_fmt(struct jw *w, const char *key, const char *fmt, ...)
{
    struct buf text = {0};
    va_list ap;

    va_start(ap, fmt);
    buf_vfmt(&text, fmt, ap);
    va_end(ap);
    jw_strn(w, key, text.data, text.len);
    buf_free(&text);
}

void jw_int(struct jw *w, const char *key, int64_t value)
{
    jw_key(w, key);
    buf_int(w->out, value);
}

void jw_bool(struct jw *w, const char *key, bool value)
{
    jw_key(w, key);
    buf_str(w->out, value ? "true" : "false");
}

void jw_null(struct jw *w, const char *key)
{
    jw_key(w, key);
    buf_str(w->out, "null");
}

void jw_json(struct jw *w, const char *key, const struct json *value)
{
    jw_key(w, key);
    if (value)
        json_write(w->out, value);
    else
        buf_str(w->out, "null");
}

static void json_write_members(struct buf *b, const struct json *j)
{
    struct jw w = {.out = b};

    for (const struct json *c = j->child; c; c = c->next) {
        jw_key(&w, j->type == JSON_OBJECT ? c->key : NULL);
        json_write(b, c);
    }
}

void json_write(struct buf *b, const struct json *j)
{
    switch (j->type) {
    case JSON_NULL:
        buf_str(b, "null");
        return;
    case JSON_BOOL:
        buf_str(b, j->num ? "true" : "false");
        return;
    case JSON_NUMBER:
        if (j->whole)
            buf_int(b, j->num);
        else
            buf_fmt(b, "%.17g", j->real);
        return;
    case JSON_STRING:
        jw_quote(b, j->str, strlen(j->str), false);
        return;
    case JSON_ARRAY:
        buf_char(b, '[');
        json_write_members(b, j);
        buf_char(b, ']');
        return;
    case JSON_OBJECT:
        buf_char(b, '{');
        json_write_members(b, j);
        buf_char(b, '}');
        return;
    }
}
