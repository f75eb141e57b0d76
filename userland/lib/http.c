// SPDX-License-Identifier: MIT
// HTTP/1.1 message parsing (RFC 9112); see http.h.
#include "lib/http.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/str.h"

static char *http_line(char **at)
{
    char *line = *at, *end = strstr(line, "\n");

    if (!end)
        return NULL;
    *at = end + 1;
    if (end > line && end[-1] == '\r')
        end--;
    *end = 0;
    return line;
}

/* The version's last digit; -1: it is no HTTP/1. */
static int http_minor(const char *version)
{
    return str_starts(version, "HTTP/1.") && isdigit((unsigned char)version[7]) && !version[8]
               ? version[7] - '0'
               : -1;
}

/* As clients write it to a proxy (RFC 9112 3.2.2): from its path on. */
static char *http_target(char *target)
{
    if (!strncasecmp(target, "http://", 7))
        target += 7 + strcspn(target + 7, "/?");
    return target;
}

static int http_request_line(struct http_head *h, char *line)
{
    char *target = strchr(line, ' '), *version, *query, *next;

    if (!target)
        return -EINVAL;
    *target++ = 0;
    version = strchr(target, ' ');
    if (!version)
        return -EINVAL;
    *version++ = 0;
    if (http_minor(version) < 0)
        return -EINVAL;
    h->http10 = http_minor(version) == 0;
    h->method = line;
    h->path = target = http_target(target);
    query = strchr(target, '?');
    if (query)
        *query++ = 0;
    for (; query; query = next) {
        struct http_pair *q;

        next = strchr(query, '&');
        if (next)
            *next++ = 0;
        if (!*query)
            continue;
        if (h->nquery == HTTP_QUERY_MAX)
            return -E2BIG; /* one that is not kept might change what is asked for */
        q = &h->query[h->nquery];
        q->name = query;
        q->value = strchr(query, '=');
        if (q->value)
            *q->value++ = 0;
        else
            q->value = query + strlen(query);
        for (char *p = q->value; *p; p++)
            if (*p == '+')
                *p = ' ';
        url_decode(q->name);
        url_decode(q->value);
        h->nquery++;
    }
    return *h->path == '/' ? 0 : -EINVAL;
}

static int http_status_line(struct http_head *h, char *line)
{
    if (!str_starts(line, "HTTP/1.") || strlen(line) < 12)
        return -EINVAL;
    h->http10 = line[7] == '0';
    h->status = atoi(line + 9);
    return h->status >= 100 && h->status < 600 ? 0 : -EINVAL;
}

/* With a space before the colon it is one header to one reader and another to the next (RFC 9112
 * 5.1). */
static bool http_is_token(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("!#$%&'*+-.^_`|~", *p))
            return false;
    return *name;
}

static int http_header_line(struct http_head *h, char *line, bool response)
{
    struct http_pair *p = &h->headers[h->nheaders];
    char *colon = strchr(line, ':'), *end;

    if (!colon || colon == line || h->nheaders == HTTP_HEADERS_MAX)
        return -EINVAL;
    *colon = 0;
    if (!response && !http_is_token(line))
        return -EINVAL;
    p->name = line;
    p->value = colon + 1 + strspn(colon + 1, " \t");
    end = p->value + strlen(p->value);
    while (end > p->value && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = 0;
    h->nheaders++;
    return 0;
}

/* Length of the head including its empty line, or 0; `from` bytes hold no such end. */
static size_t http_head_end(const struct buf *in, size_t from)
{
    const char *p = in->data + (from > 2 ? from - 2 : 0), *end = in->data + in->len;

    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        p++;
        if (p < end && *p == '\n')
            return (size_t)(p + 1 - in->data);
        if (p + 1 < end && p[0] == '\r' && p[1] == '\n')
            return (size_t)(p + 2 - in->data);
    }
    return 0;
}

int http_head_parse(struct http_head *h, const struct buf *in, size_t *scanned, bool response)
{
    size_t len = in->len ? http_head_end(in, *scanned < in->len ? *scanned : 0) : 0;
    char *at, *line;
    int err;

    *scanned = len ? 0 : in->len;
    if (len > HTTP_HEAD_MAX || (!len && in->len > HTTP_HEAD_MAX))
        return -EFBIG;
    if (!len)
        return 0;
    memset(h, 0, sizeof(*h));
    if (memchr(in->data, 0, len))
        return -EINVAL;
    h->text = str_dupn(in->data, len);
    at = h->text;
    line = http_line(&at);
    err = response ? http_status_line(h, line) : http_request_line(h, line);
    while (!err && (line = http_line(&at)) && *line)
        err = http_header_line(h, line, response);
    if (err)
        http_head_free(h);
    return err ? err : (int)len;
}

void http_head_free(struct http_head *h)
{
    free(h->text);
    h->text = NULL;
    h->method = h->path = NULL;
    h->nheaders = h->nquery = 0;
}

const char *http_header(const struct http_head *h, const char *name)
{
    for (int i = 0; i < h->nheaders; i++)
        if (str_case_eq(h->headers[i].name, name))
            return h->headers[i].value;
    return NULL;
}

static bool http_list_has(const char *list, const char *word)
{
    size_t n = strlen(word), len;

    for (;; list += len + 1) {
        list += strspn(list, " \t");
        len = strcspn(list, ",");
        if (!strncasecmp(list, word, n) && strspn(list + n, " \t") + n == len)
            return true;
        if (!list[len])
            return false;
    }
}

bool http_header_has(const struct http_head *h, const char *name, const char *word)
{
    for (int i = 0; i < h->nheaders; i++)
        if (str_case_eq(h->headers[i].name, name) && http_list_has(h->headers[i].value, word))
            return true;
    return false;
}

const char *http_query(const struct http_head *h, const char *name)
{
    for (int i = 0; i < h->nquery; i++)
        if (!strcmp(h->query[i].name, name))
            return h->query[i].value;
    return NULL;
}

bool http_query_bool(const struct http_head *h, const char *name, bool otherwise)
{
    static const char *const no[] = {"", "0", "no", "false", "none"};
    const char *v = http_query(h, name);

    if (!v)
        return otherwise;
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        if (str_case_eq(v, no[i]))
            return false;
    return true;
}

/* Whether all headers of that name say the same: where they do not, two that read the message may
 * see its end at two places (RFC 9112 6.3). */
static bool http_header_agrees(const struct http_head *h, const char *name)
{
    const char *value = http_header(h, name);

    for (int i = 0; value && i < h->nheaders; i++)
        if (str_case_eq(h->headers[i].name, name) && strcmp(h->headers[i].value, value))
            return false;
    return true;
}

int http_body_init(struct http_body *b, const struct http_head *h, bool response)
{
    const char *te = http_header(h, "Transfer-Encoding"), *cl = http_header(h, "Content-Length");

    *b = (struct http_body){0};
    if (!http_header_agrees(h, "Transfer-Encoding") || !http_header_agrees(h, "Content-Length"))
        return -EINVAL;
    if (te) {
        if (!str_case_eq(te, "chunked") || cl || h->http10)
            return -EINVAL;
        b->kind = HTTP_BODY_CHUNKED;
        return 0;
    }
    if (cl) {
        if (!str_u64(cl, &b->left))
            return -EINVAL;
        b->kind = HTTP_BODY_LENGTH;
        b->done = b->left == 0;
        return 0;
    }
    b->kind = response && h->status >= 200 && h->status != 204 && h->status != 304
                  ? HTTP_BODY_TO_END
                  : HTTP_BODY_NONE;
    b->done = b->kind == HTTP_BODY_NONE;
    return 0;
}

/* A line "hex[;extension]", "" or a trailer: how many bytes it uses, 0 when incomplete. */
static ssize_t http_chunk_line(struct http_body *b, const char *in, size_t len)
{
    const char *nl = memchr(in, '\n', len);
    size_t n = nl ? (size_t)(nl - in) : 0, i;

    if (!nl)
        return len > 4096 ? -EINVAL : 0;
    if (n && in[n - 1] == '\r')
        n--;
    if (b->chunk_state == HTTP_CHUNK_TRAILER) {
        b->trailer += (uint32_t)n + 1;
        if (b->trailer > HTTP_TRAILER_MAX)
            return -EINVAL;
        b->done = n == 0;
        return nl + 1 - in;
    }
    if (b->chunk_state == HTTP_CHUNK_DATA_END) {
        b->chunk_state = HTTP_CHUNK_SIZE;
        return n == 0 ? nl + 1 - in : -EINVAL;
    }
    b->left = 0;
    for (i = 0; i < n && in[i] != ';' && in[i] != ' '; i++) {
        char c = in[i] | 32;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

        if (digit < 0 || b->left >> 56)
            return -EINVAL;
        b->left = b->left << 4 | (uint64_t)digit;
    }
    if (i == 0)
        return -EINVAL;
    b->chunk_state = b->left ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER;
    return nl + 1 - in;
}

ssize_t http_body_next(struct http_body *b, const char *in, size_t len, const char **data,
                       size_t *data_len)
{
    *data = in;
    *data_len = 0;
    if (b->done || !len)
        return 0;
    if (b->kind == HTTP_BODY_CHUNKED && b->chunk_state != HTTP_CHUNK_DATA)
        return http_chunk_line(b, in, len);
    if (b->kind != HTTP_BODY_TO_END) {
        if (len > b->left)
            len = (size_t)b->left;
        b->left -= len;
        if (!b->left) {
            b->done = b->kind == HTTP_BODY_LENGTH;
            b->chunk_state = HTTP_CHUNK_DATA_END;
        }
    }
    *data_len = len;
    return (ssize_t)len;
}

static bool http_number(const char **at, uint64_t *out)
{
    size_t n = strspn(*at, "0123456789");
    char *text = str_dupn(*at, n);
    bool ok = str_u64(text, out);

    free(text);
    *at += n;
    return ok;
}

bool http_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *total)
{
    if (!str_starts(text, "bytes "))
        return false;
    text += 6;
    if (!http_number(&text, first) || *text++ != '-' || !http_number(&text, last) ||
        *text++ != '/' || *first > *last)
        return false;
    *total = UINT64_MAX;
    if (!strcmp(text, "*"))
        return true;
    return http_number(&text, total) && !*text && *total > *last;
}
