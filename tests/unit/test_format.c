/* SPDX-License-Identifier: MIT
 *
 * The kernel's printf against the C library's, and the parsing of numbers.
 */
#include "harness.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"

/* The C library's own, past the renaming. */
extern int libc_snprintf(char *buf, size_t size, const char *fmt, ...) __asm__("snprintf");

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat-overflow"

/* A number by a conversion with these parts, as a long and as an int. */
static bool same_number(const char *flags, const char *width, const char *precision, char conv,
                        s64 value)
{
    char fmt[32], got[80], want[80];
    int a, b;

    libc_snprintf(fmt, sizeof(fmt), "<%%%s%s%sl%c>", flags, width, precision, conv);
    a = snprintf(got, sizeof(got), fmt, (long)value);
    b = libc_snprintf(want, sizeof(want), fmt, (long)value);
    if (a != b || strcmp(got, want))
        return false;
    libc_snprintf(fmt, sizeof(fmt), "<%%%s%s%s%c>", flags, width, precision, conv);
    a = snprintf(got, sizeof(got), fmt, (int)value);
    b = libc_snprintf(want, sizeof(want), fmt, (int)value);
    return a == b && !strcmp(got, want);
}

TEST(format_agrees_with_the_c_library)
{
    static const char *const flags[] = {"", "-", "0", "+", " ", "#", "-#", "0#", "+0", "-+"};
    static const char *const widths[] = {"", "1", "7", "20"};
    static const char *const precisions[] = {"", ".", ".0", ".3", ".12"};
    static const char convs[] = "diuxXo";
    static const s64 values[] = {0, 1, -1, 42, -12345, 0x7fffffff, -0x7fffffff - 1};

    enum {
        FLAGS = ARRAY_SIZE(flags),
        WIDTHS = ARRAY_SIZE(widths),
        PRECISIONS = ARRAY_SIZE(precisions),
        CONVS = sizeof(convs) - 1,
    };

    for (size_t i = 0; i < (size_t)FLAGS * WIDTHS * PRECISIONS * CONVS; i++) {
        const char *width = widths[i / FLAGS % WIDTHS];
        const char *precision = precisions[i / FLAGS / WIDTHS % PRECISIONS];
        char conv = convs[i / FLAGS / WIDTHS / PRECISIONS];

        for (size_t v = 0; v < ARRAY_SIZE(values); v++)
            EXPECT(same_number(flags[i % FLAGS], width, precision, conv, values[v]));
    }
}

#define SAME(...)                                               \
    do {                                                        \
        char got[100], want[100];                               \
        int a = snprintf(got, sizeof(got), __VA_ARGS__);        \
        int b = libc_snprintf(want, sizeof(want), __VA_ARGS__); \
        EXPECT(a == b && !strcmp(got, want));                   \
    } while (0)

TEST(format_handles_strings_chars_lengths_and_stars)
{
    SAME("%s|%5s|%-5s|%.2s|%5.1s|%.*s", "abc", "ab", "ab", "abc", "xyz", 2, "hello");
    SAME("%c%c|%3c|%-3c|%%", 'a', 'b', 'c', 'd');
    SAME("%*d|%-*d|%*d|%.*d", 5, 42, 5, 42, -5, 42, 4, 42);
    SAME("%hhd %hhu %hd %hu", 300, 300, 70000, 70000);
    SAME("%lld %llu %zu %zd %jx %td", -1ll, ~0ull, (size_t)7, (ssize_t)-7, (intmax_t)255,
         (ptrdiff_t)-3);
    SAME("%p", (void *)0x1234);
    SAME("plain");
    SAME("%ld", (long)(-0x7fffffffffffffffl - 1));
}

TEST(format_cuts_at_the_buffer_and_terminates)
{
    char buf[4] = "zzz";

    EXPECT(snprintf(buf, 4, "%d", 123456) == 6 && !strcmp(buf, "123"));
    EXPECT(scnprintf(buf, 4, "%d", 123456) == 3);
    EXPECT(scnprintf(buf, 0, "%d", 1) == 0);
    EXPECT(snprintf(buf, 1, "abc") == 3 && !buf[0]);
    EXPECT(snprintf(NULL, 0, "%s", "hello") == 5);
    EXPECT(snprintf(buf, 4, "%s", (char *)NULL) == 6);
}

TEST(format_survives_random_formats)
{
    static const char alphabet[] = "%%%%dxscup-+0 #*.123456789hlzj@q";
    u64 seed = 7;

    for (int i = 0; i < 20000; i++) {
        char fmt[12], out[64];

        /* Conversions that take a pointer are kept out: they would read the argument. */
        for (size_t k = 0; k < sizeof(fmt) - 1; k++) {
            char c = alphabet[unit_rand(&seed) % (sizeof(alphabet) - 1)];

            fmt[k] = c == 's' ? 'd' : c;
        }
        fmt[sizeof(fmt) - 1] = 0;
        size_t size = unit_rand(&seed) % sizeof(out);
        int n = snprintf(out, size, fmt, 1l, -2l, 3l, -4l, 5l, 6l, 7l, 8l, 9l, 10l, 11l, 12l, 13l);

        EXPECT(n >= 0);
        EXPECT(!size || strnlen(out, size) < size);
    }
}

TEST(parse_reads_numbers_and_refuses_the_rest)
{
    u64 v;
    s64 s;

    EXPECT(!parse_u64("0", 0, &v) && v == 0);
    EXPECT(!parse_u64("0x1F", 0, &v) && v == 31);
    EXPECT(!parse_u64("010", 0, &v) && v == 8);
    EXPECT(!parse_u64("ff\n", 16, &v) && v == 255);
    EXPECT(!parse_u64("18446744073709551615", 10, &v) && v == ~0ull);
    EXPECT(parse_u64("18446744073709551616", 10, &v) == -ERANGE);
    EXPECT(parse_u64("99999999999999999999999", 10, &v) == -ERANGE);
    EXPECT(parse_u64("", 10, &v) == -EINVAL && parse_u64("-1", 10, &v) == -EINVAL);
    EXPECT(parse_u64("1 ", 10, &v) == -EINVAL && parse_u64("0x", 0, &v) == -EINVAL);
    EXPECT(parse_u64("9", 8, &v) == -EINVAL && parse_u64("1\n\n", 10, &v) == -EINVAL);
    EXPECT(!parse_s64("-9223372036854775808", 10, &s) && s == (s64)(1ull << 63));
    EXPECT(parse_s64("9223372036854775808", 10, &s) == -ERANGE);
    EXPECT(!parse_s64("+5", 10, &s) && s == 5);
}
