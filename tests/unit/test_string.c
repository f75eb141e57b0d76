/* SPDX-License-Identifier: MIT
 *
 * memcpy and its kin at every size and overlap.
 */
#include "harness.h"
#include "lib/string.h"

enum { SIZE = 400 };

static void string_fill(u8 *p, size_t n, u64 seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (u8)unit_rand(&seed);
}

TEST(memcpy_copies_every_size_and_nothing_else)
{
    static u8 src[SIZE], dst[SIZE + 16];

    string_fill(src, SIZE, 1);
    for (size_t n = 0; n < SIZE; n++) {
        for (size_t i = 0; i < sizeof(dst); i++)
            dst[i] = 0xee;
        EXPECT(memcpy(dst + 8, src, n) == dst + 8);
        for (size_t i = 0; i < sizeof(dst); i++)
            EXPECT(dst[i] == (i < 8 || i >= 8 + n ? 0xee : src[i - 8]));
    }
}

TEST(memmove_copes_with_any_overlap)
{
    for (size_t n = 0; n < 150; n += n < 70 ? 1 : 13) {
        for (int shift = -80; shift <= 80; shift++) {
            u8 buf[SIZE], want[SIZE];

            string_fill(buf, SIZE, n);
            for (size_t i = 0; i < SIZE; i++)
                want[i] = buf[i];
            for (size_t i = 0; i < n; i++)
                want[(size_t)(100 + shift) + i] = buf[100 + i];
            memmove(buf + 100 + shift, buf + 100, n);
            for (size_t i = 0; i < SIZE; i++)
                EXPECT(buf[i] == want[i]);
        }
    }
}

TEST(memset_fills_every_size_and_nothing_else)
{
    u8 buf[SIZE + 16];

    for (size_t n = 0; n < SIZE; n++) {
        for (size_t i = 0; i < sizeof(buf); i++)
            buf[i] = 1;
        memset(buf + 8, 0x1a5, n);
        for (size_t i = 0; i < sizeof(buf); i++)
            EXPECT(buf[i] == (i < 8 || i >= 8 + n ? 1 : 0xa5));
    }
}

TEST(memcmp_orders_by_first_difference)
{
    u8 a[40], b[40];

    string_fill(a, 40, 3);
    for (size_t i = 0; i < 40; i++) {
        memcpy(b, a, 40);
        EXPECT(memcmp(a, b, 40) == 0);
        b[i] ^= 0x80;
        EXPECT(memcmp(a, b, i) == 0);
        EXPECT((memcmp(a, b, 40) < 0) == (a[i] < b[i]));
    }
}

TEST(the_end_of_a_string_is_found_wherever_it_lies)
{
    char buf[64];

    for (size_t start = 0; start < 16; start++) {
        for (size_t len = 0; len < 32; len++) {
            char *s = buf + start;

            memset(buf, 0, sizeof(buf)); /* zeros before it, which are none of its */
            memset(s, 'x', len);
            EXPECT(strlen(s) == len && strchr(s, 0) == s + len && !strchr(s, 'y'));
            for (size_t max = 0; max < 40; max++)
                EXPECT(strnlen(s, max) == (len < max ? len : max));
            for (size_t i = 0; i < len; i++) {
                s[i] = (char)0xff;
                EXPECT(strchr(s, 0xff) == s + i && strchr(s, -1) == s + i && strlen(s) == len);
                s[i] = 1;
                EXPECT(strchr(s, 1) == s + i && strlen(s) == len);
                s[i] = 'x';
            }
        }
    }
}

TEST(strings_compare_search_and_copy)
{
    char buf[8];
    const char *s = "a/bc/d";

    EXPECT(strlen("") == 0 && strlen("abc") == 3);
    EXPECT(strnlen("abc", 2) == 2 && strnlen("abc", 9) == 3);
    EXPECT(!strcmp("x", "x") && strcmp("x", "xy") < 0 && strcmp("\xff", "a") > 0);
    EXPECT(!strncmp("abc", "abd", 2) && strncmp("abc", "abd", 3) < 0 && !strncmp("a", "a", 99));
    EXPECT(strchr(s, '/') == s + 1 && strrchr(s, '/') == s + 4 && !strchr(s, 'x'));
    EXPECT(strchr(s, 0) == s + 6 && strrchr(s, 0) == s + 6);
    EXPECT(strstr(s, "bc") == s + 2 && strstr(s, "") == s && !strstr(s, "cb") && !strstr("", "a"));
    EXPECT(memchr(s, 'c', 3) == NULL && memchr(s, 'c', 4) == s + 3);
    EXPECT(strlcpy(buf, "1234567", 8) == 7 && !strcmp(buf, "1234567"));
    EXPECT(strlcpy(buf, "123456789", 8) == 9 && !strcmp(buf, "1234567"));
    EXPECT(strlcpy(buf, "abc", 0) == 3 && buf[0] == '1');
    EXPECT(str_starts("abc", "ab") && !str_starts("ab", "abc") && str_starts("x", ""));
}
