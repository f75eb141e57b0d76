/* SPDX-License-Identifier: MIT
 *
 * A server of datagrams on port 7 that tells what it hears, and does what a datagram says: "echo"
 * is sent back, "size N" asks for N bytes, "parts" asks for 2500 bytes in datagrams of 1000,
 * "refused" sends to a port of the sender's host where nothing listens and tells the error that
 * comes back, "end" ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <time.h>

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUP "239.1.2.3"
#define UDP_SEGMENT 103

static char data[65536];

static void need(int ok, const char *what)
{
    if (ok)
        return;
    printf("failed: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void set(int s, int name, int v)
{
    need(setsockopt(s, IPPROTO_IP, name, &v, sizeof(v)) == 0, "setsockopt");
}

/* Of a message: its length, and a line about it. */
static ssize_t hear(int s, struct sockaddr_in *from, int flags)
{
    char control[256], to[32] = "?", text[32];
    struct iovec iov = {data, sizeof(data)};
    struct msghdr h = {.msg_name = from,
                       .msg_namelen = sizeof(*from),
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(s, &h, flags);
    int ttl = -1, tos = -1, device = -1;

    need(n >= 0, "recvmsg");
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
        if (c->cmsg_type == IP_TTL)
            ttl = *(int *)CMSG_DATA(c);
        if (c->cmsg_type == IP_TOS)
            tos = *CMSG_DATA(c);
        if (c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(c);

            device = info->ipi_ifindex;
            inet_ntop(AF_INET, &info->ipi_addr, to, sizeof(to));
        }
        if (c->cmsg_type == IP_RECVERR) {
            struct sock_extended_err *e = (struct sock_extended_err *)CMSG_DATA(c);
            struct sockaddr_in *o = (struct sockaddr_in *)SO_EE_OFFENDER(e);

            printf("error %s origin %d type %d code %d info %u from %s\n",
                   strerror((int)e->ee_errno), e->ee_origin, e->ee_type, e->ee_code, e->ee_info,
                   inet_ntop(AF_INET, &o->sin_addr, text, sizeof(text)));
        }
    }
    printf("%zd bytes, %s:%d, to %s, device %d, ttl %d, tos %d\n", n,
           inet_ntop(AF_INET, &from->sin_addr, text, sizeof(text)), ntohs(from->sin_port), to,
           device, ttl, tos);
    fflush(stdout);
    return n;
}

static void refused(struct sockaddr_in to)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct pollfd p = {.fd = s};

    to.sin_port = htons(9);
    set(s, IP_RECVERR, 1);
    need(sendto(s, "quoted", 6, 0, (void *)&to, sizeof(to)) == 6, "sendto");
    need(poll(&p, 1, -1) == 1 && p.revents == POLLERR, "poll");
    hear(s, &to, MSG_ERRQUEUE);
}

int main(void)
{
    struct sockaddr_in me = {.sin_family = AF_INET, .sin_port = htons(7)}, from;
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct ip_mreq group = {0};
    ssize_t n;

    need(s >= 0 && bind(s, (void *)&me, sizeof(me)) == 0, "bind");
    set(s, IP_PKTINFO, 1);
    set(s, IP_RECVTTL, 1);
    set(s, IP_RECVTOS, 1);
    inet_pton(AF_INET, GROUP, &group.imr_multiaddr);
    inet_pton(AF_INET, "10.0.0.2", &group.imr_interface);
    need(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)) == 0, "join");
    do {
        memset(data, 0, 16);
        n = hear(s, &from, 0);
        if (memcmp(data, "echo", 4) == 0)
            need(sendto(s, data, (size_t)n, 0, (void *)&from, sizeof(from)) == n, "echo");
        if (memcmp(data, "size ", 5) == 0) {
            size_t size = strtoul(data + 5, NULL, 10);

            for (size_t i = 0; i < size; i++)
                data[i] = (char)i;
            if (sendto(s, data, size, 0, (void *)&from, sizeof(from)) < 0)
                printf("size %zu: %s\n", size, strerror(errno));
        }
        if (memcmp(data, "parts", 5) == 0) {
            int out = socket(AF_INET, SOCK_DGRAM, 0), each = 1000;

            need(setsockopt(out, IPPROTO_UDP, UDP_SEGMENT, &each, sizeof(each)) == 0, "segment");
            for (size_t i = 0; i < 2500; i++)
                data[i] = (char)(i / 10);
            need(sendto(out, data, 2500, 0, (void *)&from, sizeof(from)) == 2500, "parts");
            close(out);
        }
        if (memcmp(data, "refused", 7) == 0)
            refused(from);
    } while (memcmp(data, "end", 3) != 0);
    return 0;
}
