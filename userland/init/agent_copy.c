// SPDX-License-Identifier: MIT
// The application's standard streams: pipes, or its terminal, on its side; ports of the VMM's
// console on ours. Pipes, so that it sees what a container sees (/dev/stdout opens again, say).
// Every descriptor here is non-blocking: a reader that stalls stalls the application's writes and
// never the agent.
#include "init/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

enum { STREAM_IN, STREAM_OUT, STREAM_ERR };

struct stream {
    int from, to; /* -1 when the stream has ended */
    char data[16384];
    size_t at, len; /* what is read and not yet written */
};

static struct stream streams[AGENT_STREAMS] = {
    {.from = -1, .to = -1}, {.from = -1, .to = -1}, {.from = -1, .to = -1}};

static void stream_pipe(int *ours, int *theirs, bool we_write)
{
    int fd[2];

    if (pipe2(fd, O_CLOEXEC) < 0)
        agent_fail("cannot make a pipe: %s", strerror(errno));
    *ours = fd[we_write];
    *theirs = fd[!we_write];
    fcntl(*ours, F_SETFL, O_NONBLOCK);
}

void agent_pipes(struct child *ch)
{
    if (agent.spec.tty)
        return;
    stream_pipe(&streams[STREAM_OUT].from, &ch->out, false);
    stream_pipe(&streams[STREAM_ERR].from, &ch->err, false);
    if (agent.spec.open_stdin)
        stream_pipe(&streams[STREAM_IN].to, &ch->in, true);
}

static int stream_port(int number, int flags)
{
    int fd = agent_port(number, flags | O_NONBLOCK);

    if (fd < 0)
        agent_fail("the guest has no console port %d: %s", number, strerror(errno));
    return fd;
}

void agent_streams(void)
{
    if (agent.master >= 0) {
        fcntl(agent.master, F_SETFL, O_RDWR | O_NONBLOCK);
        streams[STREAM_OUT].from = agent.master;
        streams[STREAM_IN].to = dup(agent.master);
    } else {
        streams[STREAM_ERR].to = stream_port(3, O_WRONLY);
    }
    streams[STREAM_OUT].to = stream_port(2, O_WRONLY);
    if (agent.spec.open_stdin)
        streams[STREAM_IN].from = stream_port(1, O_RDONLY);
}

static void stream_end(struct stream *s)
{
    if (s->from >= 0 && s->from != agent.master)
        close(s->from);
    if (s->to >= 0)
        close(s->to); /* the end of the application's input, or the host's knowledge of ours */
    s->from = s->to = -1;
}

/* Reads what can be read; false when there is nothing now or any more. */
static bool stream_fill(struct stream *s)
{
    ssize_t n = read(s->from, s->data, sizeof(s->data));

    if (n > 0) {
        s->at = 0;
        s->len = (size_t)n;
        return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        stream_end(s);
    return false;
}

/* Writes what can be written; true when all is. */
static bool stream_drain(struct stream *s)
{
    while (s->len) {
        ssize_t n = write(s->to, s->data + s->at, s->len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0) { /* it has no reader any more */
            s->len = 0;
            stream_end(s);
            return false;
        }
        s->at += (size_t)n;
        s->len -= (size_t)n;
    }
    return true;
}

void agent_copy_poll(struct pollfd p[AGENT_STREAMS])
{
    for (int i = 0; i < AGENT_STREAMS; i++) {
        const struct stream *s = &streams[i];

        p[i] = s->len ? (struct pollfd){s->to, POLLOUT, 0} : (struct pollfd){s->from, POLLIN, 0};
    }
}

void agent_copy(const struct pollfd p[AGENT_STREAMS])
{
    for (int i = 0; i < AGENT_STREAMS; i++)
        if (p[i].revents && (streams[i].len || stream_fill(&streams[i])))
            stream_drain(&streams[i]);
}

void agent_copy_rest(void)
{
    for (int i = STREAM_OUT; i < AGENT_STREAMS; i++) {
        struct stream *s = &streams[i];

        do {
            while (!stream_drain(s) && s->to >= 0)
                poll(&(struct pollfd){s->to, POLLOUT, 0}, 1, -1);
        } while (s->from >= 0 && stream_fill(s));
    }
}
