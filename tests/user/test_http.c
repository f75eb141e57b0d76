// SPDX-License-Identifier: MIT
// What a registry says: heads and bodies of answers, URLs, challenges, base64.
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base64.h"
#include "lib/challenge.h"
#include "lib/http.h"
#include "lib/str.h"
#include "lib/url.h"

static bool url_is(const char *base, const char *text, const char *want)
{
    struct url from, u;
    struct buf b = {0};
    bool same;

    if (url_parse(&from, base))
        return false;
    if (url_resolve(&u, &from, text))
        return !want;
    url_write(&b, &u);
    same = want && !strcmp(b.data, want);
    if (!same)
        printf("%s + %s = %s\n", base, text, b.data);
    buf_free(&b);
    return same;
}

TEST(a_location_is_resolved_against_the_request)
{
    static const char *const cases[][2] = {
        {"http://other/x", "http://other/x"},
        {"//other:8/x?y#z", "http://other:8/x?y"},
        {"/abs?q=a/../b", "http://h:5000/abs?q=a/../b"},
        {"rel", "http://h:5000/v2/a/rel"},
        {"../rel/./x/..", "http://h:5000/v2/rel/"},
        {"../../../../x", "http://h:5000/x"},
        {"?n=2", "http://h:5000/v2/a/b?n=2"},
        {"", "http://h:5000/v2/a/b"},
        {"HTTPS://UP.example:443", "https://up.example/"},
        {"http://[::1]:5000/x", "http://[::1]:5000/x"},
        {"http://h?x", "http://h/?x"},
        {"ftp://h/", NULL},
        {"http://user@h/", NULL},
        {"http://h:0/", NULL},
        {"http://h:65536/", NULL},
        {"http:///x", NULL},
        {"http://[::1/", NULL},
        {"http://h/a b", NULL},
        {"http://h/a\r\nX: y", NULL},
        {"javascript:x", NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        EXPECT(url_is("http://h:5000/v2/a/b?old", cases[i][0], cases[i][1]));
}

TEST(a_url_is_bounded)
{
    struct url u = {.port = 7};
    char *text = str_fmt("http://h/%0*d", URL_TARGET_MAX - 2, 0);

    EXPECT(url_parse(&u, text) == 0 && strlen(u.target) == URL_TARGET_MAX - 1);
    free(text);
    text = str_fmt("http://h/%0*d", URL_TARGET_MAX - 1, 0);
    u.port = 7;
    EXPECT(url_parse(&u, text) == -EINVAL && u.port == 7);
    free(text);
    text = str_fmt("http://%0*d/", URL_HOST_MAX, 0);
    EXPECT(url_parse(&u, text) == -EINVAL);
    free(text);
}

TEST(localhost_is_this_machine_and_nothing_else_is)
{
    static const char *const here[] = {"localhost", "LOCALHOST.", "a.localhost", "a.b.Localhost."};
    static const char *const there[] = {
        "",           ".localhost", "xlocalhost", "localhost.x", "localhost..",
        "local.host", ".",          "localhos"};

    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++)
        EXPECT(url_host_is_localhost(here[i]));
    for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++)
        EXPECT(!url_host_is_localhost(there[i]));
}

TEST(credentials_are_for_one_origin)
{
    struct url a, b;

    EXPECT(!url_parse(&a, "http://h:80/a") && !url_parse(&b, "http://H/b") &&
           url_same_origin(&a, &b));
    EXPECT(!url_parse(&b, "https://h:80/") && !url_same_origin(&a, &b));
    EXPECT(!url_parse(&b, "http://h:81/") && !url_same_origin(&a, &b));
    EXPECT(!url_parse(&b, "http://h.x/") && !url_same_origin(&a, &b));
}

TEST(challenges_of_several_schemes_are_told_apart)
{
    struct challenge c = {0};

    EXPECT(challenge_add(&c, "Negotiate abc==, Basic realm=\"not \\\"this\\\"\"") == -EINVAL ||
           !c.bearer);
    c = (struct challenge){0};
    EXPECT(challenge_add(&c, "Basic realm=\"x, Bearer y\", BEARER realm=\"http://a/t?x=1\" , "
                             "service = reg, scope=\"repository:a/b:pull,push\",,") == 0);
    EXPECT(c.basic && c.bearer && !strcmp(c.realm, "http://a/t?x=1") && !strcmp(c.service, "reg") &&
           !strcmp(c.scope, "repository:a/b:pull,push"));
    EXPECT(challenge_add(&c, "Bearer realm=\"http://evil/\"") == 0 &&
           !strcmp(c.realm, "http://a/t?x=1"));
    c = (struct challenge){0};
    EXPECT(challenge_add(&c, "Bearer realm=\"open") == -EINVAL && !*c.realm);
    EXPECT(challenge_add(&c, "") == 0 && challenge_add(&c, "=") == -EINVAL);
}

TEST(base64_goes_both_ways_in_either_alphabet)
{
    static const char *const pairs[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
    struct buf b = {0};

    for (size_t i = 0; i < 5; i++) {
        buf_clear(&b);
        base64_encode(&b, pairs[i][0], strlen(pairs[i][0]));
        EXPECT(!strcmp(b.data ? b.data : "", pairs[i][1]));
        buf_clear(&b);
        EXPECT(base64_decode(&b, pairs[i][1]) == 0 && b.len == i);
    }
    buf_clear(&b);
    EXPECT(base64_decode(&b, "_-8") == 0 && b.len == 2 && !memcmp(b.data, "\xff\xef", 2));
    EXPECT(base64_decode(&b, "Zm9vY") == -EINVAL && base64_decode(&b, "Zg=x") == -EINVAL &&
           base64_decode(&b, "Z\n") == -EINVAL && base64_decode(&b, "Zg====") == -EINVAL);
    buf_free(&b);
}

/* The content of an answer that comes in pieces of `piece` bytes: its length, or -errno. */
static ssize_t content_of(const char *text, size_t len, size_t piece)
{
    struct buf in = {0};
    struct http_head h;
    struct http_body body;
    size_t scanned = 0;
    ssize_t total = 0, n = 0;

    buf_add(&in, text, len);
    n = http_head_parse(&h, &in, &scanned, true);
    if (n <= 0) {
        buf_free(&in);
        return n ? n : -EAGAIN;
    }
    buf_drop(&in, (size_t)n);
    n = http_body_init(&body, &h, true);
    http_head_free(&h);
    while (!n && in.len && !body.done) {
        size_t give = piece, got;
        const char *data;
        ssize_t used;

        do { /* more, until it makes something of it */
            give = give < in.len ? give : in.len;
            used = http_body_next(&body, in.data, give, &data, &got);
        } while (!used && give < in.len && (give += piece));
        if (used <= 0) {
            n = used ? used : -EAGAIN;
            break;
        }
        total += (ssize_t)got;
        buf_drop(&in, (size_t)used);
    }
    buf_free(&in);
    return n ? n : body.done || body.kind == HTTP_BODY_TO_END ? total : -EAGAIN;
}

static ssize_t content(const char *text, size_t piece)
{
    return content_of(text, strlen(text), piece);
}

TEST(a_head_in_pieces_is_the_same_head)
{
    static const char *const heads[] = {"GET / HTTP/1.1\r\nA: b\r\n\r\nrest", "GET / HTTP/1.1\n\nx",
                                        "GET / HTTP/1.1\nA: b\n\r\nrest"};

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        for (size_t piece = 1; piece < 40; piece++) {
            struct buf in = {0};
            struct http_head h = {0};
            size_t scanned = 0, len = strlen(heads[i]);
            int n = 0, whole;

            buf_add(&in, heads[i], len);
            whole = http_head_parse(&h, &in, &scanned, false);
            EXPECT(whole > 0);
            http_head_free(&h);
            buf_clear(&in);
            for (size_t at = 0; at < len && !n; at += piece) {
                buf_add(&in, heads[i] + at, piece < len - at ? piece : len - at);
                n = http_head_parse(&h, &in, &scanned, false);
                EXPECT(n || scanned == in.len);
            }
            EXPECT(n == whole && scanned == 0);
            http_head_free(&h);
            buf_free(&in);
        }
}

static int framing_of(const char *headers)
{
    char *text = str_fmt("POST / HTTP/1.1\r\n%s\r\n", headers);
    struct buf in = {0};
    struct http_head h = {0};
    struct http_body body;
    size_t scanned = 0;
    int n;

    buf_str(&in, text);
    n = http_head_parse(&h, &in, &scanned, false) > 0 ? http_body_init(&body, &h, false) : -EIO;
    http_head_free(&h);
    buf_free(&in);
    free(text);
    return n;
}

/* The path of a request with that first line and those headers, or "!". */
static const char *path_of(const char *line, const char *headers)
{
    static char path[64];
    char *text = str_fmt("%s\r\n%s\r\n", line, headers);
    struct buf in = {0};
    struct http_head h = {0};
    size_t scanned = 0;

    buf_str(&in, text);
    snprintf(path, sizeof(path), "%s",
             http_head_parse(&h, &in, &scanned, false) > 0 ? h.path : "!");
    http_head_free(&h);
    buf_free(&in);
    free(text);
    return path;
}

TEST(a_request_s_target_may_be_what_a_proxy_is_told)
{
    EXPECT(!strcmp(path_of("GET /a HTTP/1.1", ""), "/a"));
    EXPECT(!strcmp(path_of("GET http://host:1/a/b?c HTTP/1.1", ""), "/a/b"));
    EXPECT(!strcmp(path_of("GET HTTP://host/ HTTP/1.7", ""), "/"));
    EXPECT(!strcmp(path_of("GET http://host HTTP/1.1", ""), "!"));
    EXPECT(!strcmp(path_of("GET http://host?/a HTTP/1.1", ""), "!"));
    EXPECT(!strcmp(path_of("GET https://host/a HTTP/1.1", ""), "!"));
    EXPECT(!strcmp(path_of("GET /a HTTP/2.0", ""), "!"));
    EXPECT(!strcmp(path_of("GET /a HTTP/1.10", ""), "!"));
    EXPECT(!strcmp(path_of("GET /a HTTP/1.", ""), "!"));
}

TEST(a_header_s_name_is_a_token)
{
    EXPECT(!strcmp(path_of("GET /a HTTP/1.1", "Content-Length: 0\r\n_x!: y\r\n"), "/a"));
    EXPECT(!strcmp(path_of("GET /a HTTP/1.1", "Content-Length : 5\r\n"), "!"));
    EXPECT(!strcmp(path_of("GET /a HTTP/1.1", " Content-Length: 5\r\n"), "!"));
    EXPECT(!strcmp(path_of("GET /a HTTP/1.1", "A: b\r\n folded: c\r\n"), "!"));
    EXPECT(!strcmp(path_of("GET /a HTTP/1.1", "A(b): c\r\n"), "!"));
}

TEST(a_list_of_headers_has_its_words)
{
    struct http_head h = {.headers = {{(char *)"Connection", (char *)"TE,close-not"},
                                      {(char *)"connection", (char *)"a ,\tClose , b"}},
                          .nheaders = 2};

    EXPECT(http_header_has(&h, "Connection", "close") && http_header_has(&h, "Connection", "te") &&
           http_header_has(&h, "Connection", "b"));
    EXPECT(!http_header_has(&h, "Connection", "keep-alive") && !http_header_has(&h, "TE", "te"));
    h.nheaders = 1;
    EXPECT(!http_header_has(&h, "Connection", "close"));
}

TEST(framing_that_is_said_twice_is_said_alike)
{
    EXPECT(framing_of("Content-Length: 5\r\ncontent-length: 5\r\n") == 0);
    EXPECT(framing_of("Content-Length: 5\r\ncontent-length: 6\r\n") == -EINVAL);
    EXPECT(framing_of("Content-Length: 5\r\nX: y\r\nContent-Length: 05\r\n") == -EINVAL);
    EXPECT(framing_of("Content-Length: 5, 5\r\n") == -EINVAL);
    EXPECT(framing_of("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n") == -EINVAL);
    EXPECT(framing_of("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") == -EINVAL);
}

TEST(an_answer_has_the_content_that_its_framing_says)
{
    for (size_t piece = 1; piece < 40; piece++) {
        EXPECT(content("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n123456", piece) == 5);
        EXPECT(content("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
                       "3;x=y\r\nabc\r\n00a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
                       piece) == 13);
        EXPECT(content("HTTP/1.0 200\n\nto the end", piece) == 10);
    }
    EXPECT(content("HTTP/1.1 204 None\r\n\r\n", 1) == 0);
    EXPECT(content("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234", 9) == -EAGAIN);
    EXPECT(content("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n1234", 9) == -EINVAL);
    EXPECT(content("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                   9) == -EINVAL);
    EXPECT(content("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", 9) == -EINVAL);
    EXPECT(content("HTTP/1.1 99 OK\r\n\r\n", 9) == -EINVAL);
    EXPECT(content("HTTP/2 200 OK\r\n\r\n", 9) == -EINVAL);
    EXPECT(content("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
                   99) == -EINVAL);
    EXPECT(content("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 99) ==
           -EINVAL);
}

TEST(a_content_range_is_whole_or_none)
{
    uint64_t a, b, c;

    EXPECT(http_content_range("bytes 5-9/10", &a, &b, &c) && a == 5 && b == 9 && c == 10);
    EXPECT(http_content_range("bytes 0-0/*", &a, &b, &c) && b == 0 && c == UINT64_MAX);
    EXPECT(!http_content_range("bytes 5-4/10", &a, &b, &c));
    EXPECT(!http_content_range("bytes 5-10/10", &a, &b, &c));
    EXPECT(!http_content_range("bytes */10", &a, &b, &c));
    EXPECT(!http_content_range("bytes 1-99999999999999999999/*", &a, &b, &c));
    EXPECT(!http_content_range("", &a, &b, &c));
}

static const char *const damage_samples[] = {
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: "
    "x\r\n\r\n",
    "HTTP/1.1 206 Partial\r\nContent-Length: 5\r\nContent-Range: bytes 5-9/10\r\n\r\n12345",
    "Bearer realm=\"http://a/t?x=1\",service=\"reg\",scope=\"repository:a/b:pull,push\", Basic",
    "https://[fe80::1]:8443/v2/a/../b?x=y&z=%20#frag",
    "../v2//a/./..?q#f",
    "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAifQ==",
};

/* One damaged sample through every reader. */
static void damage_read(char *text, size_t len, size_t piece)
{
    static struct challenge c;
    static struct url base, u;
    struct buf b = {0};
    uint64_t x, y, z;

    content_of(text, len, piece);
    text[len] = 0;
    c = (struct challenge){0};
    challenge_add(&c, text);
    url_parse(&u, text);
    if (!url_parse(&base, "http://h/v2/x/y?z") && !url_resolve(&u, &base, text))
        url_write(&b, &u);
    buf_clear(&b);
    base64_decode(&b, text);
    http_content_range(text, &x, &y, &z);
    buf_free(&b);
}

TEST(readers_of_http_survive_damage)
{
    u64 seed = 11;

    for (u64 round = 0; round < 20000 * unit_times(); round++) {
        const char *sample = damage_samples[unit_rand(&seed) % 6];
        size_t len = strlen(sample),
               cut = unit_rand(&seed) % 4 ? len : unit_rand(&seed) % (len + 1);
        char *text = malloc(len + 1); /* its own block, so that the sanitizer sees its end */

        EXPECT(text);
        memcpy(text, sample, len);
        for (u64 n = unit_rand(&seed) % 6; n; n--)
            text[unit_rand(&seed) % len] =
                (char)(unit_rand(&seed) % 3 ? unit_rand(&seed)
                                            : (u64) "\r\n:;,\"\\/?#%0[]@= "[unit_rand(&seed) % 18]);
        damage_read(text, cut, 1 + unit_rand(&seed) % 9);
        free(text);
    }
}
