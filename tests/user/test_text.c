// SPDX-License-Identifier: MIT
// Text from outside: JSON in both directions, sizes, times.
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/str.h"

#define BAD "\xef\xbf\xbd"

static const struct {
    const char *in, *out; /* U+FFFD for each byte that is no part of a character */
} utf8_cases[] = {{"plain", "plain"},
                  {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x8b", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x8b"},
                  {"a\xff z", "a" BAD " z"},
                  {"\xc3", BAD},
                  {"\xc0\xaf", BAD BAD},         /* overlong */
                  {"\xe0\x80\xaf", BAD BAD BAD}, /* likewise */
                  {"\xed\xa0\x80", BAD BAD BAD}, /* a surrogate */
                  {"\xf4\x90\x80\x80", BAD BAD BAD BAD},
                  {"\xe2\x82x", BAD BAD "x"},
                  {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"}};
#define UTF8_CASES (sizeof(utf8_cases) / sizeof(utf8_cases[0]))

TEST(json_that_is_read_holds_characters_alone)
{
    for (size_t i = 0; i < UTF8_CASES; i++) {
        char *text = str_fmt("{\"%s\":[\"%s\"]}", utf8_cases[i].in, utf8_cases[i].in);
        struct json *j = json_parse(text, strlen(text), NULL);

        EXPECT(j && json_get(j, utf8_cases[i].out));
        EXPECT(!strcmp(j->child->child->str, utf8_cases[i].out));
        json_free(j);
        free(text);
    }
}

static size_t plain_len_by_one(const char *text, size_t len)
{
    size_t n = 0;

    while (n < len && json_is_plain(text[n]))
        n++;
    return n;
}

TEST(plain_characters_of_json_are_counted_as_one_by_one)
{
    char text[40];

    for (int c = 0; c < 256; c++)
        for (size_t len = 0; len <= sizeof(text); len += 3)
            for (size_t at = 0; at <= len; at++) {
                memset(text, at % 2 ? '~' : ' ', sizeof(text));
                text[at] = (char)c; /* at len it lies behind the text */
                EXPECT(json_plain_len(text, len) == plain_len_by_one(text, len));
            }
}

TEST(json_that_is_written_can_be_read_by_all)
{
    for (size_t i = 0; i < UTF8_CASES; i++) {
        struct buf b = {0};
        struct jw w = {.out = &b};
        struct json *j;

        jw_object(&w, NULL);
        jw_str(&w, utf8_cases[i].in, utf8_cases[i].in);
        jw_object_end(&w);
        for (size_t at = 0; at < b.len;) {
            size_t n = utf8_char(b.data + at, b.len - at);

            EXPECT(n);
            at += n;
        }
        j = json_parse(b.data, b.len, NULL);
        EXPECT(j && json_str(j, utf8_cases[i].out));
        EXPECT(!strcmp(json_str(j, utf8_cases[i].out), utf8_cases[i].out));
        json_free(j);
        buf_free(&b);
    }
}

TEST(json_for_a_reader_of_our_own_keeps_every_byte)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    char high[128];

    for (int i = 0; i < 128; i++)
        high[i] = (char)(0x80 + i);
    jw_bytes(&w, NULL, high, sizeof(high));
    EXPECT(b.len == sizeof(high) + 2 && !memcmp(b.data + 1, high, sizeof(high)));
    buf_clear(&b);
    w.more = false;
    jw_bytes(&w, NULL, "\0\"\\\n\x01\xe2", 6);
    EXPECT(b.len == 21 && !memcmp(b.data, "\"\\u0000\\\"\\\\\\n\\u0001\xe2\"", 21));
    buf_free(&b);
}

TEST(values_of_json_are_counted_with_all_below)
{
    static const char text[] = "{\"a\":[1,[2,{}],null],\"b\":\"x\"}";
    struct json *j = json_parse(text, strlen(text), NULL);

    EXPECT(json_values(j) == 8);
    EXPECT(json_values(json_get(j, "a")) == 6);
    json_free(j);
}

TEST(sizes_are_decimal)
{
    static const char *const bad[] = {"0x10", "1e3", "1.5.2", "-1", "", "k", "nan", "inf", "1kk"};
    uint64_t v;

    EXPECT(str_size("1.5GiB", &v) && v == 3ull << 29);
    EXPECT(str_size("64", &v) && v == 64);
    EXPECT(str_size("2 kb", &v) && v == 2048);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(!str_size(bad[i], &v));
}

TEST(times_are_those_that_can_be_written)
{
    static const char *const bad[] = {"99999999999999999999", "253402300800", "x",
                                      "2020-01-01T00:00:00x01:00", "9999-12-31T23:59:59-01:00"};
    struct timespec ts;
    char text[40];

    EXPECT(time_parse("9999-12-31T23:59:59.5Z", &ts) && ts.tv_sec == TIME_YEAR_10000 - 1);
    time_rfc3339(text, &ts);
    EXPECT(!strcmp(text, "9999-12-31T23:59:59.5Z"));
    EXPECT(time_parse("12.25", &ts) && ts.tv_sec == 12 && ts.tv_nsec == 250000000);
    EXPECT(time_parse("2020-01-01T01:00:00+01:00", &ts) && ts.tv_sec == 1577836800);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(!time_parse(bad[i], &ts));
    ts = (struct timespec){.tv_sec = INT64_MAX};
    time_rfc3339(text, &ts);
    EXPECT(!strcmp(text, "0001-01-01T00:00:00Z"));
}
