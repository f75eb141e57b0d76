/* SPDX-License-Identifier: MIT
 *
 * SO_TIMESTAMPING by software: when datagrams came, and when they went.
 */
#include "abi.h"
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#define TRIES 1000 /* Linux begins to stamp a while after it was asked to */

static int stamping(int s, int flags)
{
    return setsockopt(s, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags));
}

/* Sockets of UDP over lo: one end is connected with the other. */
static void pair(int *from, int *to)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    *from = socket(AF_INET, SOCK_DGRAM, 0);
    *to = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT(!bind(*to, (void *)&a, len) && !getsockname(*to, (void *)&a, &len));
    EXPECT(!connect(*from, (void *)&a, len));
}

struct heard {
    ssize_t n;
    int flags;
    bool stamped;
    struct scm_timestamping times;
    struct sock_extended_err error;
};

static struct heard hear(int s, int flags)
{
    char byte, control[512];
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct heard h = {.n = recvmsg(s, &m, flags)};

    h.flags = m.msg_flags;
    for (struct cmsghdr *c = h.n < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
            memcpy(&h.times, CMSG_DATA(c), sizeof(h.times));
            h.stamped = true;
        }
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR)
            memcpy(&h.error, CMSG_DATA(c), sizeof(h.error));
    }
    return h;
}

/* Of the software, between two looks at the clock; hardware says nothing. */
static void expect_between(const struct heard *h, const struct timespec *a,
                           const struct timespec *b)
{
    const struct timespec *t = (const struct timespec *)h->times.ts;

    EXPECT(h->stamped);
    EXPECT(t->tv_sec > a->tv_sec || (t->tv_sec == a->tv_sec && t->tv_nsec >= a->tv_nsec));
    EXPECT(t->tv_sec < b->tv_sec || (t->tv_sec == b->tv_sec && t->tv_nsec <= b->tv_nsec));
    for (int i = 1; i < 3; i++)
        EXPECT(!t[i].tv_sec && !t[i].tv_nsec);
}

TEST(datagrams_that_came_have_their_time)
{
    struct timespec before, after;
    struct heard h = {.n = 0};
    int from, to, flags;
    socklen_t len = sizeof(flags);

    pair(&from, &to);
    EXPECT(!stamping(to, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE));
    EXPECT(!getsockopt(to, SOL_SOCKET, SO_TIMESTAMPING, &flags, &len));
    EXPECT(flags == (SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE));
    for (int i = 0; i < TRIES && !h.stamped; i++) {
        clock_gettime(CLOCK_REALTIME, &before);
        EXPECT(send(from, "x", 1, 0) == 1);
        h = hear(to, 0);
        clock_gettime(CLOCK_REALTIME, &after);
        EXPECT(h.n == 1);
    }
    expect_between(&h, &before, &after);
    EXPECT(!stamping(to, 0));
    EXPECT(send(from, "x", 1, 0) == 1);
    EXPECT(!hear(to, 0).stamped);
}

TEST(datagrams_that_went_are_told_of_in_the_queue_of_errors)
{
    int from, to, error;
    socklen_t len = sizeof(error);
    struct timespec before, after;

    pair(&from, &to);
    EXPECT(!stamping(from, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
                               SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY));
    clock_gettime(CLOCK_REALTIME, &before);
    for (int i = 0; i < 3; i++)
        EXPECT(send(from, "x", 1, 0) == 1);
    clock_gettime(CLOCK_REALTIME, &after);
    for (unsigned i = 0; i < 3; i++) {
        struct pollfd p = {from, 0, 0};
        struct heard h;

        EXPECT(poll(&p, 1, -1) == 1 && (p.revents & POLLERR));
        h = hear(from, MSG_ERRQUEUE);
        EXPECT(h.n == 0 && (h.flags & MSG_ERRQUEUE));
        EXPECT(h.error.ee_errno == ENOMSG && h.error.ee_origin == SO_EE_ORIGIN_TIMESTAMPING &&
               h.error.ee_info == SCM_TSTAMP_SND && h.error.ee_data == i);
        expect_between(&h, &before, &after);
    }
    EXPECT_ERR(hear(from, MSG_ERRQUEUE | MSG_DONTWAIT).n, EAGAIN);
    EXPECT(!getsockopt(from, SOL_SOCKET, SO_ERROR, &error, &len) && !error);
}

TEST(stamps_that_are_unknown_are_refused)
{
    int from, to;

    pair(&from, &to);
    EXPECT_ERR(stamping(from, 1 << 30), EINVAL);
}
