// SPDX-License-Identifier: MIT
// URLs (RFC 3986, as far as http has them); see url.h.
#include "lib/url.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/str.h"

static uint16_t url_scheme_port(bool https)
{
    return https ? 443 : 80;
}

/* Letters, digits and what stands in names and addresses; all else would be another request. */
static bool url_host(char *out, const char *host, size_t n)
{
    bool address = n > 2 && host[0] == '[' && host[n - 1] == ']';

    if (address)
        host++, n -= 2;
    if (!n || n >= URL_HOST_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = (char)tolower((unsigned char)host[i]);

        if (address ? !isxdigit((unsigned char)c) && c != ':' && c != '.'
                    : !islower((unsigned char)c) && !isdigit((unsigned char)c) && !strchr("-._", c))
            return false;
        out[i] = c;
    }
    out[n] = 0;
    return true;
}

static bool url_port(uint16_t *out, const char *text, size_t n)
{
    unsigned port = 0;

    if (!n || n > 5)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    *out = (uint16_t)port;
    return port > 0 && port < 65536;
}

/* "host[:port]" of n bytes; u->https is known. */
static bool url_read_authority(struct url *u, const char *text, size_t n)
{
    const char *bracket = memchr(text, ']', n);
    const char *from = bracket ? bracket : text;
    const char *colon = memchr(from, ':', n - (size_t)(from - text));

    if (n && *text == '[' && !bracket)
        return false;
    if (!colon) {
        u->port = url_scheme_port(u->https);
        return url_host(u->host, text, n);
    }
    return url_host(u->host, text, (size_t)(colon - text)) &&
           url_port(&u->port, colon + 1, n - (size_t)(colon + 1 - text));
}

/* Path and query up to a fragment: printable, without a space. A path may be empty. */
static bool url_read_target(struct url *u, const char *text)
{
    size_t n = strcspn(text, "#"), slash = *text == '/' ? 0 : 1;

    if (n + slash >= URL_TARGET_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 127)
            return false;
    u->target[0] = '/';
    memcpy(u->target + slash, text, n);
    u->target[n + slash] = 0;
    return true;
}

/* Behind "scheme:". */
static int url_read_rest(struct url *u, const char *text)
{
    size_t n;

    if (!str_starts(text, "//"))
        return -EINVAL;
    text += 2;
    n = strcspn(text, "/?#");
    return url_read_authority(u, text, n) && url_read_target(u, text + n) ? 0 : -EINVAL;
}

/* The bytes of "http:" or "https:" at the start; 0 when it is neither. */
static size_t url_scheme(const char *text, bool *https)
{
    static const char name[] = "https";
    size_t n = 0;

    while (n < 5 && (text[n] | 32) == name[n])
        n++;
    *https = n == 5;
    return n >= 4 && text[n] == ':' ? n + 1 : 0;
}

int url_parse(struct url *u, const char *text)
{
    static struct url parsed;
    size_t n = url_scheme(text, &parsed.https);

    if (!n || url_read_rest(&parsed, text + n))
        return -EINVAL;
    *u = parsed;
    return 0;
}

/* "." and ".." of a path go, in place; the query stays. */
static void url_remove_dots(char *target)
{
    char *query = strchr(target, '?'), *out = target, *tail = query ? str_dup(query) : str_dup("");
    char *end = query ? query : target + strlen(target);

    for (char *in = target; in < end;) {
        size_t n = 1;

        while (in + n < end && in[n] != '/')
            n++;
        if ((n == 2 && in[1] == '.') || (n == 3 && in[1] == '.' && in[2] == '.')) {
            while (n == 3 && out > target && *--out != '/')
                ;
            if (in + n == end)
                *out++ = '/';
        } else {
            memmove(out, in, n);
            out += n;
        }
        in += n;
    }
    if (out == target)
        *out++ = '/';
    strcpy(out, tail);
    free(tail);
}

/* A path or query relative to base's. */
static int url_relative(struct url *u, const struct url *base, const char *text)
{
    const char *query = strchr(base->target, '?');
    size_t keep = query ? (size_t)(query - base->target) : strlen(base->target);
    char *whole;
    bool fits;

    if (*text == '/')
        keep = 0;
    else if (*text && *text != '?' && *text != '#')
        while (keep && base->target[keep - 1] != '/')
            keep--;
    whole = str_fmt("%.*s%s", (int)keep, base->target, text);
    fits = url_read_target(u, whole);
    free(whole);
    if (!fits)
        return -EINVAL;
    url_remove_dots(u->target);
    return 0;
}

int url_resolve(struct url *u, const struct url *base, const char *text)
{
    static struct url made;
    const char *colon = strpbrk(text, ":/?#");
    int err;

    if (colon && *colon == ':')
        return url_parse(u, text); /* another scheme is refused there */
    made = *base;
    err = str_starts(text, "//") ? url_read_rest(&made, text) : url_relative(&made, base, text);
    if (!err)
        *u = made;
    return err;
}

void url_authority(const struct url *u, char out[URL_AUTHORITY_MAX])
{
    bool address = strchr(u->host, ':');
    int n = snprintf(out, URL_AUTHORITY_MAX, address ? "[%s]" : "%s", u->host);

    if (u->port != url_scheme_port(u->https))
        snprintf(out + n, URL_AUTHORITY_MAX - (size_t)n, ":%u", u->port);
}

void url_write(struct buf *b, const struct url *u)
{
    char authority[URL_AUTHORITY_MAX];

    url_authority(u, authority);
    buf_fmt(b, "%s://%s", u->https ? "https" : "http", authority);
    buf_str(b, u->target);
}

bool url_host_is_localhost(const char *host)
{
    static const char name[] = "localhost";
    size_t n = strlen(host), size = sizeof(name) - 1;

    if (n && host[n - 1] == '.')
        n--;
    if (n < size || strncasecmp(host + n - size, name, size))
        return false;
    return n == size || (n > size + 1 && host[n - size - 1] == '.');
}

bool url_same_origin(const struct url *a, const struct url *b)
{
    return a->https == b->https && a->port == b->port && !strcmp(a->host, b->host);
}
