// SPDX-License-Identifier: MIT
// The socket to rtnetlink; see netlink.h. The kernel answers a request at once: calls wait.
#include "lib/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int nl_open(uint32_t groups)
{
    struct sockaddr_nl me = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err;

    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&me, sizeof(me)) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

static int nl_send(int fd, struct nl_msg *m)
{
    static uint32_t seq;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    if (m->full)
        return -EMSGSIZE;
    m->head.nlmsg_seq = ++seq;
    if (sendto(fd, m->data, m->len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return -errno;
    return 0;
}

static long nl_receive(int fd, uint8_t *bytes, int flags)
{
    struct sockaddr_nl from = {0};
    socklen_t size = sizeof(from);
    ssize_t n;

    do
        n = recvfrom(fd, bytes, NL_READ_MAX, flags, (struct sockaddr *)&from, &size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return from.nl_pid ? 0 : n;
}

long nl_read(int fd, uint8_t *bytes)
{
    return nl_receive(fd, bytes, MSG_DONTWAIT);
}

/* Messages that answer `seq` until the last one: its status. */
static int nl_answers(int fd, uint32_t seq, void (*fn)(const struct nl_part *p, void *arg),
                      void *arg)
{
    static _Alignas(8) uint8_t bytes[NL_READ_MAX];

    for (;;) {
        long n = nl_receive(fd, bytes, 0);
        struct nl_part p;
        size_t at = 0;

        if (n < 0)
            return (int)n;
        while (nl_next(bytes, (size_t)n, &at, &p)) {
            if (p.seq != seq)
                continue;
            if (p.type == NLMSG_ERROR || p.type == NLMSG_DONE)
                return (int)nl_u32((struct nl_span){p.data, p.len}, 0);
            if (fn)
                fn(&p, arg);
        }
    }
}

int nl_call(int fd, struct nl_msg *m)
{
    int err;

    m->head.nlmsg_flags |= NLM_F_ACK;
    err = nl_send(fd, m);
    return err ? err : nl_answers(fd, m->head.nlmsg_seq, NULL, NULL);
}

int nl_dump(int fd, struct nl_msg *m, void (*fn)(const struct nl_part *p, void *arg), void *arg)
{
    int err;

    m->head.nlmsg_flags |= NLM_F_DUMP;
    err = nl_send(fd, m);
    return err ? err : nl_answers(fd, m->head.nlmsg_seq, fn, arg);
}
