// SPDX-License-Identifier: MIT
// The growable buffer; see buf.h.
#include "lib/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STR_SHORT 256

static void *mem_check(void *p)
{
    static const char msg[] = "out of memory\n";

    if (p)
        return p;
    if (write(2, msg, sizeof(msg) - 1) < 0)
        _exit(124);
    _exit(124);
}

void *mem_alloc(size_t size)
{
    return mem_check(calloc(1, size ? size : 1));
}

void *mem_resize(void *old, size_t size)
{
    return mem_check(realloc(old, size ? size : 1));
}

char *str_dupn(const char *s, size_t n)
{
    char *copy = mem_check(malloc(n + 1));

    memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

char *str_dup(const char *s)
{
    return s ? str_dupn(s, strlen(s)) : NULL;
}

void buf_free(struct buf *b)
{
    if (b->data)
        free(b->data - b->head);
    *b = (struct buf){0};
}

/* Moves the content to the front of its block. */
static void buf_rewind(struct buf *b)
{
    if (!b->head)
        return;
    memmove(b->data - b->head, b->data, b->len + 1);
    b->data -= b->head;
    b->cap += b->head;
    b->head = 0;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    buf_rewind(b);
    if (b->data)
        b->data[0] = 0;
}

void buf_reserve(struct buf *b, size_t more)
{
    size_t need = b->len + more + 1, cap;

    if (need < more)
        mem_check(NULL);
    if (need <= b->cap)
        return;
    if (b->head >= b->len) /* moving costs no more than what was dropped */
        buf_rewind(b);
    if (need <= b->cap)
        return;
    buf_rewind(b);
    cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap *= 2;
    if (b->fixed) {
        char *grown = mem_check(malloc(cap));

        memcpy(grown, b->data, b->len + 1);
        b->data = grown;
        b->fixed = false;
    } else {
        b->data = mem_resize(b->data, cap);
    }
    b->cap = cap;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    buf_reserve(b, len);
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
}

void buf_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_char(struct buf *b, char c)
{
    buf_reserve(b, 1);
    b->data[b->len++] = c;
    b->data[b->len] = 0;
}

static void buf_number(struct buf *b, bool negative, unsigned long long n)
{
    char digits[24];
    size_t at = sizeof(digits);

    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    if (negative)
        digits[--at] = '-';
    buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_int(struct buf *b, long long n)
{
    buf_number(b, n < 0, n < 0 ? -(unsigned long long)n : (unsigned long long)n);
}

/* What most formats are made of: %s, %d, %u, %lld, %zu. False at anything else, with *ap and the
 * buffer somewhere in between. */
static bool buf_vfmt_plain(struct buf *b, const char *fmt, va_list *ap)
{
    for (;;) {
        size_t run = 0;

        while (fmt[run] && fmt[run] != '%')
            run++;
        buf_add(b, fmt, run);
        fmt += run;
        if (!*fmt)
            return true;
        if (fmt[1] == 's') {
            const char *s = va_arg(*ap, const char *);

            buf_str(b, s ? s : "(null)");
        } else if (fmt[1] == 'd') {
            buf_int(b, va_arg(*ap, int));
        } else if (fmt[1] == 'u') {
            buf_number(b, false, va_arg(*ap, unsigned));
        } else if (!strncmp(fmt, "%lld", 4)) {
            buf_int(b, va_arg(*ap, long long));
            fmt += 2;
        } else if (!strncmp(fmt, "%zu", 3)) {
            buf_number(b, false, va_arg(*ap, size_t));
            fmt++;
        } else {
            return false;
        }
        fmt += 2;
    }
}

void buf_vfmt(struct buf *b, const char *fmt, va_list ap)
{
    size_t before = b->len;
    va_list again;
    int n;

    va_copy(again, ap);
    if (buf_vfmt_plain(b, fmt, &again)) {
        va_end(again);
        return;
    }
    va_end(again);
    b->len = before;
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0)
        mem_check(NULL);
    buf_reserve(b, (size_t)n);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    b->len += (size_t)n;
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vfmt(b, fmt, ap);
    va_end(ap);
}

/* Most are short, and live long or die at once: one block of their size, and no growing. */
char *str_fmt(const char *fmt, ...)
{
    char text[STR_SHORT] = "";
    struct buf b = {.data = text, .cap = sizeof(text), .fixed = true};
    va_list ap;

    va_start(ap, fmt);
    buf_vfmt(&b, fmt, ap);
    va_end(ap);
    return b.fixed ? str_dupn(b.data, b.len) : buf_take(&b);
}

void buf_drop(struct buf *b, size_t n)
{
    if (n > b->len)
        n = b->len;
    if (!b->data)
        return;
    b->data += n;
    b->head += n;
    b->cap -= n;
    b->len -= n;
    if (!b->len)
        buf_clear(b);
}

char *buf_take(struct buf *b)
{
    char *s;

    buf_reserve(b, 0);
    buf_rewind(b);
    b->data[b->len] = 0;
    s = b->data;
    *b = (struct buf){0};
    return s;
}

size_t strv_count(char *const *v)
{
    size_t n = 0;

    while (v && v[n])
        n++;
    return n;
}

void strv_free(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}
