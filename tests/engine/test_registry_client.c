// SPDX-License-Identifier: MIT
// A registry whose name server is its own, too: where it was met it stays.
//
// `registry.test` is here what the test says, and 192.0.2.7, which no machine has, the way to this
// file's server.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/registry.h"
#include "harness.h"
#include "server.h"

#define ELSEWHERE "192.0.2.7"
#define HERE "127.0.0.1"

static const char *answers[2]; /* of the name server: the first time, and from then on */
static int asked;

/* What a worker has (registry_worker.c, registry_dial.c). */
struct registry_order registry_order_read = {.path = "p", .idle_ms = 5000};
int registry_dialer = -1;

int registry_dial(int timeout_ms)
{
    return -1;
}

void registry_fail(int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    exit(1);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **list)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (__typeof__(real))dlsym(RTLD_NEXT, "getaddrinfo");

    return real(strcmp(name, "registry.test") ? name : answers[asked++ > 0], service, hints, list);
}

int connect(int fd, const struct sockaddr *addr, socklen_t size)
{
    int (*real)(int, const struct sockaddr *, socklen_t) =
        (__typeof__(real))dlsym(RTLD_NEXT, "connect");
    struct sockaddr_in to = {0};

    if (addr->sa_family != AF_INET || size != sizeof(to))
        return real(fd, addr, size);
    memcpy(&to, addr, sizeof(to));
    if (to.sin_addr.s_addr == inet_addr(ELSEWHERE))
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return real(fd, (struct sockaddr *)&to, sizeof(to));
}

/* One answer a connection: who asks for /v2/secret is to have a token of the same origin. */
static void client_serve(int listener, uint16_t port)
{
    char in[4096] = "", out[512];
    int fd;

    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        if (read(fd, in, sizeof(in) - 1) > 0 && strstr(in, "/v2/secret"))
            snprintf(out, sizeof(out),
                     "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n"
                     "WWW-Authenticate: Bearer realm=\"http://registry.test:%d/token\"\r\n\r\n",
                     port);
        else
            snprintf(out, sizeof(out),
                     "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n"
                     "{\"token\":\"t\"}");
        if (write(fd, out, strlen(out)) < 0)
            _exit(1);
        close(fd);
        memset(in, 0, sizeof(in));
    }
}

/* A server, and a registry of that name that is to be asked for it; the name is `first`, and later
 * `then`. */
static pid_t client_begin(struct registry *r, const char *first, const char *then)
{
    uint16_t port = 0;
    pid_t server = server_begin(&port, client_serve);
    char text[64];

    answers[0] = first;
    answers[1] = then;
    asked = 0;
    snprintf(text, sizeof(text), "http://registry.test:%u", port);
    registry_open(r, text, "pull", false);
    return server;
}

static void client_end(struct registry *r, pid_t server)
{
    registry_close(r);
    server_end(server);
}

TEST(a_registry_that_was_met_elsewhere_is_not_followed_here)
{
    struct buf text = {0};
    struct registry r;
    pid_t server = client_begin(&r, ELSEWHERE, HERE);

    EXPECT(server > 0);
    EXPECT(!registry_text(&r, "/v2/", NULL, 100, &text) && r.met && r.place == FETCH_ELSEWHERE);
    EXPECT(registry_text(&r, "/v2/", NULL, 100, &text) == -1 && r.fatal);
    EXPECT(strstr(r.why, "permission denied"));
    EXPECT(registry_send(&r, "PUT", &r.base, NULL, "x", 1) == -1 && r.fatal);
    answers[1] = ELSEWHERE;
    EXPECT(!registry_text(&r, "/v2/", NULL, 100, &text));
    client_end(&r, server);
    buf_free(&text);
}

TEST(a_registry_s_own_realm_is_where_it_was_met)
{
    struct registry r;
    pid_t server = client_begin(&r, ELSEWHERE, HERE);

    EXPECT(server > 0);
    EXPECT(registry_request(&r, "GET", "/v2/secret", NULL) == -1 && !r.token);
    EXPECT(strstr(r.why, "permission denied"));
    client_end(&r, server);
    server = client_begin(&r, HERE, HERE);
    EXPECT(registry_request(&r, "GET", "/v2/secret", NULL) == -1 && r.token);
    client_end(&r, server);
}
