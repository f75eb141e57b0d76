// SPDX-License-Identifier: MIT
// Listening sockets, and the clients that they take in; see listen.h.
//
// A client is taken while descriptors are left (engine.files_max) and, over TCP, while
// HTTP_REMOTE_MAX are not reached; until then it waits in the kernel's queue.
#include "engine/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/engine.h"
#include "lib/str.h"

#define ACCEPT_AGAIN_MS 100
#define ACCEPT_SPARE 64 /* descriptors, or an eighth of all: no client gets those */
#define LISTENERS_MAX 16
#define LISTEN_QUEUE 1024
#define LISTEN_AGAIN_MS 200 /* an address is not there yet: doubled from try to try, up to: */
#define LISTEN_AGAIN_MAX_MS 5000
/* A client that has vanished without a word is noticed after a minute and a half; one that takes
 * nothing of what was sent, after two. */
#define KEEP_IDLE_S 30
#define KEEP_INTERVAL_S 10
#define KEEP_PROBES 6
#define UNACKED_MS 120000

struct listener {
    struct ev_source ev; /* its fd is -1 while it is not open */
    struct ev_timer again;
    const char *name;
    struct listen_place place;
    unsigned pause; /* before the next try to open it */
    bool tcp, full;
};

static struct listener listeners[1 + LISTENERS_MAX] = {[0] = {.ev.fd = -1}}; /* [0]: unix */
static int listeners_more;

/* ---- taking clients in ----------------------------------------------------------------------- */

static uint64_t listen_spare(void)
{
    return engine.files_max / 8 < ACCEPT_SPARE ? engine.files_max / 8 : ACCEPT_SPARE;
}

static void listen_resume(struct ev_timer *t)
{
    struct listener *l = (struct listener *)((char *)t - offsetof(struct listener, again));

    if (files_short(listen_spare()) || (l->tcp && !http_remote_room()))
        ev_timer_set(t, ACCEPT_AGAIN_MS);
    else
        ev_set(&l->ev, EPOLLIN);
}

/* Said once; clients wait until there is space again. */
static void listen_later(struct listener *l, const char *why)
{
    if (!l->full)
        engine_log("cannot take a client: %s", why);
    l->full = true;
    ev_set(&l->ev, 0);
    l->again.fn = listen_resume;
    ev_timer_set(&l->again, ACCEPT_AGAIN_MS);
}

static void listen_option(int fd, int level, int name, int value, const char *text)
{
    static bool said;

    if (setsockopt(fd, level, name, &value, sizeof(value)) == 0 || said)
        return;
    engine_log("cannot set %s of a client's connection: %s", text, strerror(errno));
    said = true;
}

static void listen_client_options(int fd)
{
    listen_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    listen_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
    listen_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S, "TCP_KEEPIDLE");
    listen_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S, "TCP_KEEPINTVL");
    listen_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_PROBES, "TCP_KEEPCNT");
    listen_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKED_MS, "TCP_USER_TIMEOUT");
}

static void listen_take(struct listener *l, int fd)
{
    struct http_conn *conn;

    if (l->tcp)
        listen_client_options(fd);
    conn = http_conn_new(fd, &api_ops);
    if (l->tcp)
        http_conn_remote(conn);
    l->full = (uint64_t)fd + listen_spare() >= engine.files_max;
    if (l->full)
        listen_later(l, strerror(EMFILE));
}

static void listen_event(struct ev_source *s, uint32_t events)
{
    struct listener *l = (struct listener *)((char *)s - offsetof(struct listener, ev));
    struct sockaddr_storage client = {0};
    socklen_t size = sizeof(client);
    int fd;

    if (l->tcp && !http_remote_room()) {
        listen_later(l, "there are too many over TCP");
        return;
    }
    fd = accept4(s->fd, (struct sockaddr *)&client, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0 && l->tcp && !listen_admits(&l->place, (struct sockaddr *)&client))
        close(fd);
    else if (fd >= 0)
        listen_take(l, fd);
    else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        listen_later(l, strerror(errno));
}

/* ---- opening --------------------------------------------------------------------------------- */

static int listen_begin(struct listener *l, int fd)
{
    l->ev = (struct ev_source){.fd = fd, .fn = listen_event};
    ev_set(&l->ev, EPOLLIN);
    return 0;
}

int listen_unix(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd, err = 0;

    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    strcpy(addr.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    unlink(path);
    umask(0117); /* the socket is for root and its group */
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, LISTEN_QUEUE) < 0)
        err = -errno;
    umask(0022);
    if (!err)
        return listen_begin(&listeners[0], fd);
    close(fd);
    return err;
}

/* A socket that listens there, or -errno. */
static int listen_tcp(const struct listen_place *p)
{
    int fd = socket(p->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, err;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (p->addr.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&p->addr, p->len) == 0 && listen(fd, LISTEN_QUEUE) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

static void listen_say(const struct listener *l)
{
    if (l->place.from.ss_family)
        engine_log("the API is open on %s alone: who comes from there is root on this machine",
                   l->name);
    else if (l->place.local)
        engine_log("the API is open on %s to all programs of this machine: each is root on it",
                   l->name);
    else
        engine_log("WARNING: the API is open on %s%s without authentication: who reaches it is "
                   "root on this machine",
                   l->name, l->place.any ? ", to every network," : "");
}

static void listen_try(struct ev_timer *t)
{
    struct listener *l = (struct listener *)((char *)t - offsetof(struct listener, again));
    int fd = listen_tcp(&l->place);

    if (fd >= 0) {
        listen_begin(l, fd);
        listen_say(l);
        return;
    }
    if (fd != -EADDRNOTAVAIL && fd != -EADDRINUSE) {
        engine_log("%s: %s: the API is not open there", l->name, strerror(-fd));
        return;
    }
    if (!l->pause)
        engine_log("%s: %s: it is tried again", l->name, strerror(-fd));
    l->pause = l->pause ? l->pause * 2 : LISTEN_AGAIN_MS;
    if (l->pause > LISTEN_AGAIN_MAX_MS)
        l->pause = LISTEN_AGAIN_MAX_MS;
    ev_timer_set(&l->again, l->pause);
}

void listen_add(const char *name)
{
    struct listener l = {.ev.fd = -1, .again.fn = listen_try, .name = name, .tcp = true};

    if (listen_parse(name, &l.place))
        engine_log("-H %s: it is tcp://ADDRESS:PORT: left out", name);
    else if (listeners_more == LISTENERS_MAX)
        engine_log("-H %s: there are %d already: left out", name, LISTENERS_MAX);
    else
        listeners[1 + listeners_more++] = l;
}

void listen_open(void)
{
    for (int i = 1; i <= listeners_more; i++)
        listen_try(&listeners[i].again);
}

void listen_close(void)
{
    for (int i = 0; i <= listeners_more; i++) {
        struct listener *l = &listeners[i];

        ev_timer_del(&l->again);
        if (l->ev.fd < 0)
            continue;
        ev_del(&l->ev);
        close(l->ev.fd);
        l->ev.fd = -1;
    }
}

const char *listen_exposed(void)
{
    for (int i = 1; i <= listeners_more; i++)
        if (listeners[i].ev.fd >= 0 && !listeners[i].place.local &&
            !listeners[i].place.from.ss_family)
            return listeners[i].name;
    return NULL;
}
