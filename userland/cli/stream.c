// SPDX-License-Identifier: MIT
// The attached stream: standard input to the engine, its frames to standard output and error,
// signals and window sizes as calls on the side.
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "lib/str.h"

static struct termios stream_saved;
static bool stream_raw;
static int stream_signals = -1;

static void stream_restore(void)
{
    if (stream_raw)
        tcsetattr(0, TCSADRAIN, &stream_saved);
    stream_raw = false;
}

static void stream_make_raw(void)
{
    struct termios raw;

    if (tcgetattr(0, &stream_saved) < 0)
        return;
    raw = stream_saved;
    cfmakeraw(&raw);
    if (tcsetattr(0, TCSADRAIN, &raw) == 0) {
        stream_raw = true;
        atexit(stream_restore);
    }
}

void stream_prepare(bool proxy)
{
    static const int proxied[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    for (size_t i = 0; proxy && i < sizeof(proxied) / sizeof(proxied[0]); i++)
        sigaddset(&set, proxied[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    stream_signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void stream_resize(const struct stream *s)
{
    struct winsize ws;

    if (!s->tty || ioctl(1, TIOCGWINSZ, &ws) < 0 || !ws.ws_row)
        return;
    cli_call("POST", cli_path("/%s/resize?h=%d&w=%d", s->target, ws.ws_row, ws.ws_col), NULL, NULL);
}

/* A container may ignore the signal: the third one detaches from it, as with docker. */
static void stream_asked_to_end(void)
{
    static int asked;

    if (++asked < 3)
        return;
    fputs("\ngot 3 SIGTERM/SIGINTs, forcefully exiting\n", stderr);
    exit(1);
}

static void stream_signal(struct stream *s)
{
    struct signalfd_siginfo si;

    while (read(stream_signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        if (si.ssi_signo == SIGWINCH)
            stream_resize(s);
        else if (s->kill)
            cli_call("POST", cli_path("/containers/%s/kill?signal=%u", s->kill, si.ssi_signo), NULL,
                     NULL);
        if (si.ssi_signo == SIGINT || si.ssi_signo == SIGTERM)
            stream_asked_to_end();
    }
}

/* Frames cut anywhere: `held` keeps what is not complete. What they hold waits for its stream. */
struct demux {
    uint8_t head[8];
    size_t held;
    uint32_t left;
    bool tty;
    struct buf out[2]; /* for standard output and error */
};

static void demux_feed(struct demux *d, const char *data, size_t len)
{
    if (d->tty) {
        buf_add(&d->out[0], data, len);
        return;
    }
    while (len) {
        size_t n;

        if (!d->left) {
            d->head[d->held++] = (uint8_t)*data++;
            len--;
            if (d->held == 8) {
                d->held = 0;
                d->left = (uint32_t)d->head[4] << 24 | (uint32_t)d->head[5] << 16 |
                          (uint32_t)d->head[6] << 8 | d->head[7];
            }
            continue;
        }
        n = len < d->left ? len : d->left;
        buf_add(&d->out[d->head[0] == 2], data, n);
        data += n;
        len -= n;
        d->left -= (uint32_t)n;
    }
}

/* Whether the stream ended behind a frame; it says so where not. */
static bool demux_ended(const struct demux *d)
{
    if (!d->held && !d->left)
        return true;
    fprintf(stderr, "bothy: lost the engine in the midst of a frame\n");
    return false;
}

static bool demux_waits(const struct demux *d)
{
    return d->out[0].len || d->out[1].len;
}

/* Our reader has gone: we end, as any program does, though the container may go on. */
_Noreturn static void stream_broken(void)
{
    stream_restore();
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
    exit(128 + SIGPIPE);
}

/* One piece to standard output or error; after poll a pipe takes as much without waiting. */
static void demux_write(struct demux *d, int which)
{
    struct buf *b = &d->out[which];
    size_t len = b->len < PIPE_BUF ? b->len : PIPE_BUF;
    ssize_t n = len ? write(which + 1, b->data, len) : 0;

    if (n < 0 && (errno == EPIPE || errno == EBADF))
        stream_broken();
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        buf_clear(b); /* as on a full disk: the rest may be taken again */
    else if (n > 0)
        buf_drop(b, (size_t)n);
}

/* All of it, waiting for the reader. */
static void demux_flush(struct demux *d)
{
    while (demux_waits(d)) {
        demux_write(d, 0);
        demux_write(d, 1);
    }
    buf_free(&d->out[0]);
    buf_free(&d->out[1]);
}

/* What is on its way from our input to the engine. */
struct upstream {
    struct buf data;
    bool open;   /* there may be more */
    bool escape; /* ctrl-p has been typed */
};

static void upstream_read(struct stream *s, struct upstream *u)
{
    char data[16384];
    ssize_t n = read(0, data, sizeof(data));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        u->open = false;
        return;
    }
    if (s->tty && n == 1) { /* typed keys come one by one */
        if (u->escape && data[0] == 'q' - 96) {
            s->detached = true;
            return;
        }
        u->escape = data[0] == 'p' - 96;
        if (u->escape)
            return;
    }
    buf_add(&u->data, data, (size_t)n);
}

/* Sends what the engine takes; after the last byte, the end of input. */
static void upstream_send(struct stream *s, struct upstream *u)
{
    ssize_t n =
        u->data.len ? send(s->c->fd, u->data.data, u->data.len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

    if (n > 0)
        buf_drop(&u->data, (size_t)n);
    if (n < 0 && errno != EAGAIN && errno != EINTR) { /* it reads no more */
        buf_clear(&u->data);
        u->open = false;
    }
    if (!u->open && !u->data.len)
        shutdown(s->c->fd, SHUT_WR);
}

/* Some of the engine's output; false at its end. */
static bool stream_output(struct stream *s, struct demux *d)
{
    char data[32768];
    ssize_t n = recv(s->c->fd, data, sizeof(data), MSG_DONTWAIT);

    if (n > 0)
        demux_feed(d, data, (size_t)n);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Each direction waits for its own reader, none for another: the program that feeds us may be the
 * one that does not read us. */
bool stream_run(struct stream *s)
{
    struct demux d = {.tty = s->tty};
    struct upstream u = {.open = s->in};
    bool more = true;

    if (s->tty && u.open)
        stream_make_raw();
    if (!u.open)
        shutdown(s->c->fd, SHUT_WR);
    demux_feed(&d, s->c->in.data, s->c->in.len);
    buf_clear(&s->c->in);
    while (more && !s->detached) {
        bool waits = demux_waits(&d), feeds = u.data.len > 0;
        struct pollfd p[5] = {{s->c->fd, (short)((waits ? 0 : POLLIN) | (feeds ? POLLOUT : 0)), 0},
                              {stream_signals, POLLIN, 0},
                              {u.open && !feeds ? 0 : -1, POLLIN, 0},
                              {d.out[0].len ? 1 : -1, POLLOUT, 0},
                              {d.out[1].len ? 2 : -1, POLLOUT, 0}};

        if (waits && !feeds)
            p[0].fd = -1; /* its end would wake us again and again */
        if (poll(p, 5, -1) < 0 && errno != EINTR)
            break;
        if (p[1].revents)
            stream_signal(s);
        if (p[2].revents)
            upstream_read(s, &u);
        if (feeds ? p[0].revents & ~POLLIN : p[2].revents)
            upstream_send(s, &u);
        if (p[3].revents)
            demux_write(&d, 0);
        if (p[4].revents)
            demux_write(&d, 1);
        if (!waits && p[0].revents & (POLLIN | POLLHUP | POLLERR))
            more = stream_output(s, &d);
    }
    demux_flush(&d);
    buf_free(&u.data);
    stream_restore();
    return s->detached || demux_ended(&d);
}

bool stream_copy(struct client *c, bool tty)
{
    struct demux d = {.tty = tty};
    char data[32768];
    ssize_t n;

    signal(SIGPIPE, SIG_DFL); /* as any program: its reader's end is its own */
    while ((n = client_read(c, data, sizeof(data))) > 0) {
        demux_feed(&d, data, (size_t)n);
        demux_flush(&d);
    }
    return cli_ended(n) && demux_ended(&d);
}
