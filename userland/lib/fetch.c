// SPDX-License-Identifier: MIT
// The blocking HTTP client; see fetch.h.
#include "lib/fetch.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/str.h"

#define FETCH_PIECE 65536

void fetch_init(struct fetch *f, const char *proxy, const char *hint, const char *agent)
{
    *f = (struct fetch){.proxy = proxy,
                        .hint = hint,
                        .agent = agent,
                        .idle_ms = FETCH_IDLE_MS,
                        .nearest = FETCH_LOCAL,
                        .fd = -1};
}

static void fetch_disconnect(struct fetch *f)
{
    if (f->connected)
        close(f->fd);
    f->fd = -1;
    f->connected = f->kept = f->asked = false;
    buf_clear(&f->in);
    f->scanned = 0;
}

void fetch_close(struct fetch *f)
{
    fetch_disconnect(f);
    http_head_free(&f->head);
    buf_free(&f->in);
    buf_free(&f->sent);
}

static int fetch_fail(struct fetch *f, int err, const char *what)
{
    const char *text = err == -ETIMEDOUT ? "i/o timeout" : err == -EPIPE ? "EOF" : str_error(-err);

    snprintf(f->why, sizeof(f->why), "%s%s", what, text);
    fetch_disconnect(f);
    return err;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static int fetch_wait(struct fetch *f, short events)
{
    struct pollfd p = {f->fd, events, 0};
    uint64_t began = time_now_ms();
    int n;

    do
        n = poll(&p, 1, f->idle_ms);
    while (n < 0 && errno == EINTR);
    f->waited += time_now_ms() - began;
    return n > 0 ? 0 : n ? -errno : -ETIMEDOUT;
}

/* `n` bytes have come or gone: 0, or -ETIMEDOUT when it takes too long with them. */
static int fetch_pace(struct fetch *f, size_t n)
{
    f->came += n;
    if (f->waited < (uint64_t)f->idle_ms * FETCH_FLOOR_IDLES)
        return 0;
    f->slow = f->came < f->waited * FETCH_FLOOR / 1000;
    f->waited = f->came = 0;
    return f->slow ? -ETIMEDOUT : 0;
}

static bool fetch_v4_is_local(uint32_t a)
{
    return a >> 24 == 127 || a >> 24 == 0 || a >> 16 == 0xa9fe; /* 169.254/16 */
}

/* Of every machine's own or of this link alone: where no other has a business to send us. */
static bool fetch_is_local(const struct sockaddr *addr)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)addr)->sin6_addr;

    if (addr->sa_family == AF_INET)
        return fetch_v4_is_local(ntohl(v4->sin_addr.s_addr));
    if (addr->sa_family != AF_INET6)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(v6) || IN6_IS_ADDR_V4COMPAT(v6))
        return fetch_v4_is_local(ntohl(v6->s6_addr32[3]));
    return IN6_IS_ADDR_UNSPECIFIED(v6) || IN6_IS_ADDR_LOOPBACK(v6) || IN6_IS_ADDR_LINKLOCAL(v6);
}

/* Whether this machine has the address, to which others may not be bound; what cannot be found out
 * is taken for one. Of a family that it does not speak it has none. */
static bool fetch_is_own(const struct sockaddr *addr, socklen_t size)
{
    struct sockaddr_storage any = {0};
    bool own;
    int fd;

    if (addr->sa_family == AF_UNIX)
        return false;
    if (size > sizeof(any))
        return true;
    memcpy(&any, addr, size);
    if (addr->sa_family == AF_INET)
        ((struct sockaddr_in *)&any)->sin_port = 0;
    else
        ((struct sockaddr_in6 *)&any)->sin6_port = 0;
    fd = socket(addr->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno != EAFNOSUPPORT;
    own = bind(fd, (struct sockaddr *)&any, size) == 0 || errno != EADDRNOTAVAIL;
    close(fd);
    return own;
}

static enum fetch_place fetch_place(const struct sockaddr *addr, socklen_t size)
{
    if (fetch_is_local(addr))
        return FETCH_LOCAL;
    return fetch_is_own(addr, size) ? FETCH_OWN : FETCH_ELSEWHERE;
}

static int fetch_connect_to(struct fetch *f, const struct sockaddr *addr, socklen_t size)
{
    int err = 0, one = 1;
    socklen_t len = sizeof(err);

    f->place = fetch_place(addr, size);
    if (f->place > f->nearest)
        return -EACCES;
    f->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (f->fd < 0)
        return -errno;
    f->connected = true;
    if (connect(f->fd, addr, size) == 0)
        err = 0;
    else if (errno != EINPROGRESS)
        err = -errno;
    else
        err = fetch_wait(f, POLLOUT);
    if (!err && getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0)
        err = -err;
    if (err)
        fetch_disconnect(f);
    else if (addr->sa_family != AF_UNIX)
        setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return err;
}

static int fetch_connect_proxy(struct fetch *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int err;

    if (!f->proxy) {
        snprintf(f->why, sizeof(f->why), "%s", f->hint);
        return -EPROTONOSUPPORT;
    }
    if (f->dial) {
        f->fd = f->dial(f->idle_ms);
        f->connected = f->fd >= 0;
        f->place = FETCH_ELSEWHERE;
        return f->connected ? 0 : fetch_fail(f, f->fd, "HTTPS proxy: ");
    }
    if (strlen(f->proxy) >= sizeof(addr.sun_path))
        return fetch_fail(f, -ENAMETOOLONG, "HTTPS proxy: ");
    strcpy(addr.sun_path, f->proxy);
    err = fetch_connect_to(f, (struct sockaddr *)&addr, sizeof(addr));
    return err ? fetch_fail(f, err, "HTTPS proxy: ") : 0;
}

/* "1.2.3.4:80" of an address. */
static void fetch_address(const struct addrinfo *a, char *out, size_t size)
{
    char host[64] = "?", port[8] = "?";

    getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(out, size, a->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* One of a name's addresses, the first that answers: 0 or -errno; *lookup is an error of
 * getaddrinfo(), or 0. `address` becomes the one that is told of: the first, as by Go. */
static int fetch_connect_host(struct fetch *f, const char *host, uint16_t port, char address[80],
                              int *lookup)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list;
    char text[8];
    int err = -EHOSTUNREACH;

    snprintf(text, sizeof(text), "%u", port);
    *lookup = getaddrinfo(host, text, &hints, &list);
    if (*lookup)
        return err;
    for (const struct addrinfo *a = list; a && err; a = a->ai_next) {
        err = fetch_connect_to(f, a->ai_addr, a->ai_addrlen);
        if (!*address || !err)
            fetch_address(a, address, 80);
    }
    freeaddrinfo(list);
    return err;
}

static int fetch_connect_name(struct fetch *f, const struct url *u)
{
    bool here = url_host_is_localhost(u->host);
    char address[80] = "", what[160];
    int lookup, ignored;
    int err = fetch_connect_host(f, here ? "127.0.0.1" : u->host, u->port, address, &lookup);

    if (lookup) {
        snprintf(f->why, sizeof(f->why), "dial tcp: lookup %s: %s", u->host,
                 lookup == EAI_AGAIN ? "Temporary failure in name resolution" : "no such host");
        return -EHOSTUNREACH;
    }
    if (err && here && !fetch_connect_host(f, "::1", u->port, address, &ignored))
        return 0;
    snprintf(what, sizeof(what), "dial tcp %s: %s", address, err == -ETIMEDOUT ? "" : "connect: ");
    return err ? fetch_fail(f, err, what) : 0;
}

static int fetch_connect(struct fetch *f, const struct url *u)
{
    if (f->connected && f->kept && !f->asked && url_same_origin(&f->url, u))
        return 0;
    fetch_disconnect(f);
    return u->https ? fetch_connect_proxy(f) : fetch_connect_name(f, u);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int fetch_push(struct fetch *f, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(f->fd, data, len, MSG_NOSIGNAL);
        int err = n < 0 && errno == EAGAIN ? fetch_wait(f, POLLOUT) : 0;

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            err = -errno;
        if (n > 0) {
            err = fetch_pace(f, (size_t)n);
            data += n;
            len -= (size_t)n;
        }
        if (err)
            return err;
    }
    return 0;
}

/* All that was sent before goes over a new connection: the kept one had ended meanwhile. */
static int fetch_resend(struct fetch *f)
{
    struct url u = f->url;
    int err;

    fetch_disconnect(f);
    err = fetch_connect(f, &u);
    if (err)
        return err;
    err = fetch_push(f, f->sent.data, f->sent.len);
    return err ? fetch_fail(f, err, "write: ") : 0;
}

/* Of an error: the server may have answered before it has read everything, and that is what
 * counts. */
static int fetch_send(struct fetch *f, const char *data, size_t len)
{
    int err;

    if (!f->connected)
        return -ENOTCONN;
    if (f->again && f->sent.len + len <= FETCH_PIECE)
        buf_add(&f->sent, data, len);
    else
        f->again = false;
    err = fetch_push(f, data, len);
    if (err && f->kept && f->again)
        return fetch_resend(f);
    if (err == -EPIPE || err == -ECONNRESET)
        return 0;
    return err ? fetch_fail(f, err, "write: ") : 0;
}

int fetch_open(struct fetch *f, const char *method, const struct url *url, const char *headers,
               uint64_t length)
{
    char authority[URL_AUTHORITY_MAX];
    struct buf b = {0};
    int err = fetch_connect(f, url);

    if (err)
        return err;
    f->url = *url;
    f->method = method;
    f->again = f->asked = true;
    f->waited = f->came = 0;
    buf_clear(&f->sent);
    url_authority(url, authority);
    buf_fmt(&b, "%s ", method);
    if (url->https)
        url_write(&b, url);
    else
        buf_str(&b, url->target);
    buf_fmt(&b, " HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n", authority, f->agent);
    if (length || (strcmp(method, "GET") && strcmp(method, "HEAD")))
        buf_fmt(&b, "Content-Length: %llu\r\n", (unsigned long long)length);
    buf_fmt(&b, "%s\r\n", headers ? headers : "");
    err = fetch_send(f, b.data, b.len);
    buf_free(&b);
    return err;
}

int fetch_write(struct fetch *f, const void *data, size_t len)
{
    return fetch_send(f, data, len);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Bytes, 0 at the end, -errno. */
static ssize_t fetch_pull(struct fetch *f, char *data, size_t len)
{
    for (;;) {
        ssize_t n = read(f->fd, data, len);
        int err;

        if (n == 0)
            return 0;
        if (n > 0) {
            err = fetch_pace(f, (size_t)n);
            return err ? err : n;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        err = fetch_wait(f, POLLIN);
        if (err)
            return err;
    }
}

static ssize_t fetch_fill(struct fetch *f)
{
    ssize_t n;

    buf_reserve(&f->in, FETCH_PIECE);
    n = fetch_pull(f, f->in.data + f->in.len, FETCH_PIECE);
    if (n > 0)
        f->in.len += (size_t)n;
    f->in.data[f->in.len] = 0;
    return n;
}

/* The next head, an interim one or not: its status, or -errno. */
static int fetch_head(struct fetch *f)
{
    for (;;) {
        int n = http_head_parse(&f->head, &f->in, &f->scanned, true);
        ssize_t got;

        if (n > 0) {
            buf_drop(&f->in, (size_t)n);
            return f->head.status;
        }
        if (n < 0)
            return fetch_fail(f, n, "malformed HTTP response: ");
        got = fetch_fill(f);
        if (got > 0)
            continue;
        if (f->kept && f->again && !f->in.len && got != -ETIMEDOUT) {
            n = fetch_resend(f);
            if (n)
                return n;
            continue;
        }
        return fetch_fail(f, got ? (int)got : -EPIPE, "");
    }
}

int fetch_answer(struct fetch *f)
{
    int status, interim = 0, err;

    if (!f->connected)
        return -ENOTCONN;
    f->slow = false;
    f->waited = f->came = 0;
    do {
        http_head_free(&f->head);
        status = fetch_head(f);
    } while (status >= 100 && status < 200 && status != 101 && ++interim < 16);
    if (status < 0)
        return status;
    if (status < 200)
        return fetch_fail(f, -EPROTO, "malformed HTTP response: ");
    f->waited = f->came = 0;
    err = http_body_init(&f->body, &f->head, true);
    if (err)
        return fetch_fail(f, err, "malformed HTTP response: ");
    if (!strcmp(f->method, "HEAD") || status == 204 || status == 304)
        f->body = (struct http_body){.kind = HTTP_BODY_NONE, .done = true};
    return status;
}

/* Content that needs no look at its framing comes straight from the socket. */
static ssize_t fetch_read_plain(struct fetch *f, void *data, size_t len)
{
    ssize_t n;

    if (f->body.kind == HTTP_BODY_LENGTH && len > f->body.left)
        len = (size_t)f->body.left;
    n = fetch_pull(f, data, len);
    if (n > 0 && f->body.kind == HTTP_BODY_LENGTH) {
        f->body.left -= (uint64_t)n;
        f->body.done = !f->body.left;
    }
    if (n == 0 && f->body.kind == HTTP_BODY_TO_END)
        f->body.done = true;
    else if (n <= 0)
        return fetch_fail(f, n ? (int)n : -EPIPE, n ? "" : "unexpected ");
    return n;
}

ssize_t fetch_read(struct fetch *f, void *data, size_t len)
{
    while (!f->body.done) {
        bool framing = f->body.kind == HTTP_BODY_CHUNKED && f->body.chunk_state != HTTP_CHUNK_DATA;
        const char *piece;
        size_t n;
        ssize_t used;

        if (!f->connected)
            return -ENOTCONN;
        if (!f->in.len && !framing && f->body.kind != HTTP_BODY_CHUNKED)
            return fetch_read_plain(f, data, len);
        used = http_body_next(&f->body, f->in.data, framing || f->in.len < len ? f->in.len : len,
                              &piece, &n);
        if (used < 0)
            return fetch_fail(f, (int)used, "malformed HTTP response: ");
        if (n)
            memcpy(data, piece, n);
        buf_drop(&f->in, (size_t)used);
        if (n)
            return (ssize_t)n;
        if (f->body.done || used)
            continue;
        used = fetch_fill(f);
        if (used <= 0)
            return fetch_fail(f, used ? (int)used : -EPIPE, used ? "" : "unexpected ");
    }
    return 0;
}

int fetch_read_all(struct fetch *f, struct buf *out, size_t max)
{
    ssize_t n;

    do {
        buf_reserve(out, 16384);
        n = fetch_read(f, out->data + out->len, 16384);
        if (n > 0)
            out->len += (size_t)n;
        out->data[out->len] = 0;
        if (out->len > max)
            return fetch_fail(f, -EFBIG, "the answer is too long: ");
    } while (n > 0);
    return (int)n;
}

void fetch_done(struct fetch *f)
{
    const char *connection = f->head.text ? http_header(&f->head, "Connection") : NULL;
    bool ends = !f->head.text || f->head.http10 || (connection && str_case_eq(connection, "close"));

    if (!f->connected)
        return;
    if (!f->body.done || f->body.kind == HTTP_BODY_TO_END || ends || f->in.len)
        fetch_disconnect(f);
    else
        f->kept = true;
    f->asked = false;
}
