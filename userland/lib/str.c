// SPDX-License-Identifier: MIT
// Text helpers; see str.h.
#include "lib/str.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

bool str_starts(const char *s, const char *prefix)
{
    while (*prefix)
        if (*s++ != *prefix++)
            return false;
    return true;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);

    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

const char *str_error(int err)
{
    static char text[128];

    snprintf(text, sizeof(text), "%s", strerror(err));
    if (islower((unsigned char)text[1])) /* not of "I/O error" */
        text[0] = (char)tolower((unsigned char)text[0]);
    return text;
}

void str_forget(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

bool str_case_eq(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

/* Unicode, table 3-7: neither overlong forms nor surrogates, nothing above U+10FFFF. */
size_t utf8_char(const char *s, size_t len)
{
    const uint8_t *p = (const uint8_t *)s;
    uint8_t low, high;
    size_t n;

    if (!len || p[0] < 0x80)
        return len ? 1 : 0;
    n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || len < n)
        return 0;
    low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool str_u64(const char *s, uint64_t *out)
{
    uint64_t v = 0;

    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
            return false;
    }
    *out = v;
    return true;
}

bool str_i64(const char *s, int64_t *out)
{
    bool minus = *s == '-';
    uint64_t v;

    if (!str_u64(s + minus, &v) || v > INT64_MAX)
        return false;
    *out = minus ? -(int64_t)v : (int64_t)v;
    return true;
}

bool str_size(const char *s, uint64_t *out)
{
    static const char units[] = "bkmgtp";
    char *end;
    double v, scale = 1;
    const char *unit;

    v = strtod(s, &end);
    if (!isdigit((unsigned char)*s) || end != s + strspn(s, "0123456789."))
        return false; /* no signs, exponents, hexadecimals */
    while (*end == ' ')
        end++;
    if (*end) {
        unit = strchr(units, tolower((unsigned char)*end));
        if (!unit)
            return false;
        for (long i = unit - units; i > 0; i--)
            scale *= 1024;
        end++;
        if (*end && !str_case_eq(end, "b") && !str_case_eq(end, "ib"))
            return false;
    }
    if (v * scale >= 9.2e18)
        return false;
    *out = (uint64_t)(v * scale);
    return true;
}

void hex_encode(char *out, const void *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = data;

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = 0;
}

bool str_is_hex(const char *s, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    return s[i] == 0;
}

void random_hex(char *out, size_t digits)
{
    uint8_t raw[64];
    char text[129];

    if (digits > 128 || getrandom(raw, sizeof(raw), 0) != sizeof(raw))
        abort();
    hex_encode(text, raw, sizeof(raw));
    memcpy(out, text, digits);
    out[digits] = 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void url_decode(char *s)
{
    char *out = s;

    for (; *s; s++) {
        int hi = *s == '%' ? hex_digit(s[1]) : -1;
        int lo = hi >= 0 ? hex_digit(s[2]) : -1;

        if (lo >= 0 && (hi || lo)) {
            *out++ = (char)(hi << 4 | lo);
            s += 2;
        } else {
            *out++ = *s;
        }
    }
    *out = 0;
}

void url_encode(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-_.~", *s))
            buf_char(b, *s);
        else
            buf_fmt(b, "%%%02X", (unsigned char)*s);
    }
}

void time_rfc3339(char *out, const struct timespec *ts)
{
    struct tm tm;
    char frac[16];
    size_t n;

    if (ts->tv_sec < TIME_YEAR_1 || ts->tv_sec >= TIME_YEAR_10000 ||
        !gmtime_r(&ts->tv_sec, &tm)) { /* four digits have no space for it */
        strcpy(out, "0001-01-01T00:00:00Z");
        return;
    }
    n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(frac, sizeof(frac), ".%09ld", ts->tv_nsec);
    for (size_t i = strlen(frac); i > 0 && (frac[i - 1] == '0' || frac[i - 1] == '.'); i--) {
        bool dot = frac[i - 1] == '.';
        frac[i - 1] = 0;
        if (dot)
            break;
    }
    snprintf(out + n, sizeof(frac) + 2, "%sZ", frac);
}

/* "123456789" after the dot, of any length, as nanoseconds; returns where it ends. */
static const char *time_fraction(const char *s, long *nanos)
{
    long scale = 100000000;

    *nanos = 0;
    if (*s != '.')
        return s;
    for (s++; isdigit((unsigned char)*s); s++, scale /= 10)
        *nanos += (*s - '0') * scale;
    return s;
}

/* The offset behind the time, as seconds to be added; false when it is none. */
static bool time_zone(const char *s, int *add)
{
    int hours, minutes;

    *add = 0;
    if (*s == 'Z' || *s == 0)
        return true;
    if ((*s != '+' && *s != '-') || sscanf(s + 1, "%2d:%2d", &hours, &minutes) != 2)
        return false;
    *add = (*s == '-' ? 1 : -1) * (hours * 3600 + minutes * 60);
    return true;
}

bool time_parse(const char *s, struct timespec *out)
{
    struct tm tm = {0};
    const char *end;
    int add = 0;
    char *stop;

    if (!strchr(s, 'T')) {
        if (!isdigit((unsigned char)*s))
            return false;
        out->tv_sec = (time_t)strtoll(s, &stop, 10);
        if (*time_fraction(stop, &out->tv_nsec))
            return false;
    } else {
        end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
        if (!end || !time_zone(time_fraction(end, &out->tv_nsec), &add))
            return false;
        out->tv_sec = timegm(&tm) + add;
    }
    return out->tv_sec >= TIME_YEAR_1 && out->tv_sec < TIME_YEAR_10000;
}

void time_span(char *out, size_t size, int64_t s)
{
    if (s < 1)
        snprintf(out, size, "Less than a second");
    else if (s == 1)
        snprintf(out, size, "1 second");
    else if (s < 60)
        snprintf(out, size, "%d seconds", (int)s);
    else if (s < 120)
        snprintf(out, size, "About a minute");
    else if (s < 3600)
        snprintf(out, size, "%d minutes", (int)(s / 60));
    else if (s < 5400)
        snprintf(out, size, "About an hour");
    else if (s < 48 * 3600)
        snprintf(out, size, "%d hours", (int)((s + 1800) / 3600));
    else if (s < 14 * 86400)
        snprintf(out, size, "%d days", (int)(s / 86400));
    else if (s < 60 * 86400)
        snprintf(out, size, "%d weeks", (int)(s / (7 * 86400)));
    else if (s < 730LL * 86400)
        snprintf(out, size, "%d months", (int)(s / (30 * 86400)));
    else
        snprintf(out, size, "%d years", (int)(s / (365LL * 86400)));
}

uint64_t time_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
