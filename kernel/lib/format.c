/* SPDX-License-Identifier: MIT
 *
 * Text formatting and number parsing: see format.h for the accepted conversions.
 */
#include "lib/format.h"
#include "lib/errno.h"
#include "lib/string.h"

/* A width or precision beyond this is a mistake; it also bounds the time spent on one. */
#define FORMAT_FIELD_MAX 4096

/* Where the text goes: bytes beyond `size` are counted, not stored. */
struct format_out {
    char *buf;
    size_t size;
    size_t len;
};

struct format_spec {
    bool left, zero, plus, space, alt, upper;
    int width;
    int precision; /* -1: not given */
    int length;    /* size of the argument in bytes */
    char conv;
};

static void format_putc(struct format_out *out, char c)
{
    if (out->len < out->size)
        out->buf[out->len] = c;
    out->len++;
}

static void format_pad(struct format_out *out, char c, int n)
{
    while (n-- > 0)
        format_putc(out, c);
}

static void format_write(struct format_out *out, const char *s, size_t n)
{
    if (out->len < out->size) {
        size_t space = out->size - out->len;

        memcpy(out->buf + out->len, s, n < space ? n : space);
    }
    out->len += n;
}

static void format_text(struct format_out *out, const struct format_spec *spec, const char *s)
{
    size_t n;

    if (!s)
        s = "(null)";
    n = spec->precision >= 0 ? strnlen(s, (size_t)spec->precision) : strlen(s);
    int pad = n < (size_t)spec->width ? spec->width - (int)n : 0;

    if (!spec->left)
        format_pad(out, ' ', pad);
    format_write(out, s, n);
    if (spec->left)
        format_pad(out, ' ', pad);
}

/* Digits of `v`, last one first to buf[n - 1]; returns how many. */
static int format_digits(char *end, u64 v, unsigned base, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char *p = end;

    while (v) {
        *--p = digits[v % base];
        v /= base;
    }
    return (int)(end - p);
}

static void format_number(struct format_out *out, const struct format_spec *spec, u64 v,
                          unsigned base, char sign)
{
    char buf[24];
    char *end = buf + sizeof(buf);
    int n = format_digits(end, v, base, spec->upper);
    int zeros = spec->precision >= 0 ? spec->precision - n : (n ? 0 : 1);
    char prefix[3];
    int np = 0;

    if (zeros < 0)
        zeros = 0;
    if (sign)
        prefix[np++] = sign;
    if (spec->alt && base == 16 && v) {
        prefix[np++] = '0';
        prefix[np++] = spec->upper ? 'X' : 'x';
    }
    if (spec->alt && base == 8 && !zeros)
        zeros = 1;

    int pad = spec->width - n - zeros - np;

    if (pad > 0 && spec->zero && !spec->left && spec->precision < 0) {
        zeros += pad;
        pad = 0;
    }
    if (!spec->left)
        format_pad(out, ' ', pad);
    format_write(out, prefix, (size_t)np);
    format_pad(out, '0', zeros);
    format_write(out, end - n, (size_t)n);
    if (spec->left)
        format_pad(out, ' ', pad);
}

static int format_clamp(int n)
{
    return n > FORMAT_FIELD_MAX ? FORMAT_FIELD_MAX : n;
}

static const char *format_parse_int(const char *p, int *out)
{
    int n = 0;

    while (*p >= '0' && *p <= '9')
        n = format_clamp(n * 10 + (*p++ - '0'));
    *out = n;
    return p;
}

static const char *format_parse_flags(const char *p, struct format_spec *spec)
{
    for (;; p++) {
        switch (*p) {
        case '-':
            spec->left = true;
            break;
        case '0':
            spec->zero = true;
            break;
        case '+':
            spec->plus = true;
            break;
        case ' ':
            spec->space = true;
            break;
        case '#':
            spec->alt = true;
            break;
        default:
            return p;
        }
    }
}

static const char *format_parse_length(const char *p, struct format_spec *spec)
{
    spec->length = sizeof(int);
    switch (*p) {
    case 'h':
        spec->length = sizeof(short);
        if (*++p == 'h') {
            spec->length = sizeof(char);
            p++;
        }
        return p;
    case 'l':
        spec->length = sizeof(long);
        if (*++p == 'l')
            p++;
        return p;
    case 'z':
    case 't':
    case 'j':
        spec->length = sizeof(long);
        return p + 1;
    default:
        return p;
    }
}

static s64 format_signed(u64 v, int length)
{
    switch (length) {
    case 1:
        return (s8)v;
    case 2:
        return (s16)v;
    case 4:
        return (s32)v;
    default:
        return (s64)v;
    }
}

static u64 format_unsigned(u64 v, int length)
{
    return length == 8 ? v : v & ((1ull << (length * 8)) - 1);
}

static void format_signed_number(struct format_out *out, const struct format_spec *spec, u64 raw)
{
    s64 v = format_signed(raw, spec->length);
    char sign = v < 0 ? '-' : spec->plus ? '+' : spec->space ? ' ' : 0;

    format_number(out, spec, v < 0 ? -(u64)v : (u64)v, 10, sign);
}

static void format_char(struct format_out *out, const struct format_spec *spec, char c)
{
    if (!spec->left)
        format_pad(out, ' ', spec->width - 1);
    format_putc(out, c);
    if (spec->left)
        format_pad(out, ' ', spec->width - 1);
}

static unsigned format_base(char conv)
{
    switch (conv) {
    case 'x':
    case 'X':
        return 16;
    case 'o':
        return 8;
    default:
        return 10;
    }
}

/* A va_list passed by pointer must be inside a struct to be portable. */
struct format_args {
    va_list ap;
};

static u64 format_arg(struct format_args *args, int length)
{
    return length == 8 ? va_arg(args->ap, u64) : va_arg(args->ap, unsigned);
}

static const char *format_parse_width(const char *p, struct format_spec *spec,
                                      struct format_args *args)
{
    if (*p == '*') {
        int n = va_arg(args->ap, int);

        if (n < 0) {
            spec->left = true;
            n = n < -FORMAT_FIELD_MAX ? FORMAT_FIELD_MAX : -n;
        }
        spec->width = format_clamp(n);
        p++;
    } else {
        p = format_parse_int(p, &spec->width);
    }
    if (*p != '.')
        return p;
    if (*++p == '*') {
        int n = va_arg(args->ap, int);

        /* A string may be longer than any sane field: its precision is not clamped. */
        spec->precision = n < 0 ? -1 : n;
        return p + 1;
    }
    return format_parse_int(p, &spec->precision);
}

/* False if the conversion is not one of ours. */
static bool format_convert(struct format_out *out, struct format_spec *spec,
                           struct format_args *args)
{
    switch (spec->conv) {
    case 'd':
    case 'i':
        spec->precision = format_clamp(spec->precision);
        format_signed_number(out, spec, format_arg(args, spec->length));
        return true;
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        spec->upper = spec->conv == 'X';
        spec->precision = format_clamp(spec->precision);
        format_number(out, spec, format_unsigned(format_arg(args, spec->length), spec->length),
                      format_base(spec->conv), 0);
        return true;
    case 'p': {
        u64 v = (u64)va_arg(args->ap, void *);

        spec->alt = v != 0;
        format_number(out, spec, v, 16, 0);
        return true;
    }
    case 's':
        format_text(out, spec, va_arg(args->ap, const char *));
        return true;
    case 'c':
        format_char(out, spec, (char)va_arg(args->ap, int));
        return true;
    case '%':
        format_putc(out, '%');
        return true;
    default:
        return false;
    }
}

/* `p` is just past the `%`; returns the first byte after the conversion. */
static const char *format_one(struct format_out *out, const char *p, struct format_args *args)
{
    struct format_spec spec = {.precision = -1};
    const char *start = p - 1;

    p = format_parse_flags(p, &spec);
    p = format_parse_width(p, &spec, args);
    p = format_parse_length(p, &spec);
    spec.conv = *p;
    if (*p)
        p++;
    if (!format_convert(out, &spec, args))
        format_write(out, start, (size_t)(p - start));
    return p;
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
    struct format_out out = {.buf = buf, .size = size};
    struct format_args args;

    va_copy(args.ap, ap);
    while (*fmt) {
        const char *p = fmt;

        while (*p && *p != '%')
            p++;
        format_write(&out, fmt, (size_t)(p - fmt));
        fmt = *p ? format_one(&out, p + 1, &args) : p;
    }
    va_end(args.ap);
    if (size)
        buf[out.len < size ? out.len : size - 1] = '\0';
    return out.len > __INT_MAX__ ? __INT_MAX__ : (int)out.len;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(buf, size, fmt, ap);

    va_end(ap);
    return n;
}

int vscnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
    int n = vsnprintf(buf, size, fmt, ap);

    if (!size)
        return 0;
    return (size_t)n < size ? n : (int)(size - 1);
}

int scnprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vscnprintf(buf, size, fmt, ap);

    va_end(ap);
    return n;
}

static unsigned parse_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a' + 10);
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A' + 10);
    return 255;
}

int parse_u64_prefix(const char *s, unsigned base, u64 *out, const char **end)
{
    u64 v = 0;
    bool overflow = false;
    const char *p = s;

    bool hex = p[0] == '0' && (p[1] == 'x' || p[1] == 'X') && parse_digit(p[2]) < 16;

    if (hex && (base == 0 || base == 16)) {
        base = 16;
        p += 2;
    } else if (base == 0) {
        base = p[0] == '0' ? 8 : 10;
    }
    if (parse_digit(*p) >= base)
        return -EINVAL;
    for (; parse_digit(*p) < base; p++) {
        overflow |= __builtin_mul_overflow(v, (u64)base, &v);
        overflow |= __builtin_add_overflow(v, (u64)parse_digit(*p), &v);
    }
    if (overflow)
        return -ERANGE;
    *out = v;
    *end = p;
    return 0;
}

int parse_u64(const char *s, unsigned base, u64 *out)
{
    const char *end;
    u64 v;
    int err = parse_u64_prefix(s, base, &v, &end);

    if (err)
        return err;
    if (*end == '\n')
        end++;
    if (*end)
        return -EINVAL;
    *out = v;
    return 0;
}

int parse_s64(const char *s, unsigned base, s64 *out)
{
    bool negative = *s == '-';
    u64 v;
    int err = parse_u64(*s == '-' || *s == '+' ? s + 1 : s, base, &v);

    if (err)
        return err;
    if (v > (negative ? 1ull << 63 : (1ull << 63) - 1))
        return -ERANGE;
    *out = (s64)(negative ? -v : v);
    return 0;
}
