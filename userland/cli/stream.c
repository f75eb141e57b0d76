// SPDX-License-Identifier: MIT
// The attached stream: standard input to the engine, its frames to standard output and error,
// signals and window sizes as calls on the side.
#include "cli/cli.h"

#include <errno.h>
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

/* A container may be deaf: who asks for the third time gets away from it, as with docker. */
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

/* Frames cut anywhere: `held` keeps what is not complete. */
struct demux {
    uint8_t head[8];
    size_t held;
    uint32_t left;
};

static void demux_feed(struct demux *d, const char *data, size_t len, bool tty)
{
    if (tty) {
        write_all(1, data, len);
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
        write_all(d->head[0] == 2 ? 2 : 1, data, n);
        data += n;
        len -= n;
        d->left -= (uint32_t)n;
    }
}

/* Our input to the engine; false when it has ended. */
static bool stream_input(struct stream *s, bool *escape)
{
    char data[16384];
    ssize_t n = read(0, data, sizeof(data)), sent = 0;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n <= 0) {
        shutdown(s->c->fd, SHUT_WR);
        return false;
    }
    if (s->tty && n == 1) { /* typed keys come one by one */
        if (*escape && data[0] == 'q' - 96) {
            s->detached = true;
            return false;
        }
        *escape = data[0] == 'p' - 96;
        if (*escape)
            return true;
    }
    while (sent < n) {
        ssize_t m = send(s->c->fd, data + sent, (size_t)(n - sent), MSG_NOSIGNAL);

        if (m < 0 && errno != EINTR)
            return false;
        sent += m > 0 ? m : 0;
    }
    return true;
}

void stream_run(struct stream *s)
{
    struct demux d = {0};
    char data[32768];
    bool in = s->in, escape = false;

    if (s->tty && in)
        stream_make_raw();
    if (!in)
        shutdown(s->c->fd, SHUT_WR);
    demux_feed(&d, s->c->in.data, s->c->in.len, s->tty);
    buf_clear(&s->c->in);
    while (!s->detached) {
        struct pollfd p[3] = {
            {s->c->fd, POLLIN, 0}, {stream_signals, POLLIN, 0}, {in ? 0 : -1, POLLIN, 0}};

        if (poll(p, 3, -1) < 0 && errno != EINTR)
            break;
        if (p[1].revents)
            stream_signal(s);
        if (p[2].revents)
            in = stream_input(s, &escape);
        if (p[0].revents) {
            ssize_t n = recv(s->c->fd, data, sizeof(data), 0);

            if (n <= 0)
                break;
            demux_feed(&d, data, (size_t)n, s->tty);
        }
    }
    stream_restore();
}

void stream_copy(struct client *c, bool tty)
{
    struct demux d = {0};
    char data[32768];
    ssize_t n;

    while ((n = client_read(c, data, sizeof(data))) > 0)
        demux_feed(&d, data, (size_t)n, tty);
}
