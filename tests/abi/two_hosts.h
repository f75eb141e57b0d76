/* SPDX-License-Identifier: MIT
 *
 * Two net namespaces on a wire, so that connections are packets: a tap in each, and a child that
 * carries frames between.
 */
#pragma once

#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define HOST_A "10.9.0.1"
#define HOST_B "10.9.0.2"

static inline void host_address(const char *address)
{
    struct ifreq r = {.ifr_name = "wire0"};
    struct sockaddr_in *in = (void *)&r.ifr_addr;
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    in->sin_family = AF_INET;
    in->sin_addr.s_addr = inet_addr(address);
    EXPECT(s >= 0 && !ioctl(s, SIOCSIFADDR, &r));
    in->sin_addr.s_addr = inet_addr("255.255.255.0");
    EXPECT(!ioctl(s, SIOCSIFNETMASK, &r));
    r.ifr_flags = IFF_UP;
    EXPECT(!ioctl(s, SIOCSIFFLAGS, &r));
    close(s);
}

/* A namespace, which the caller is in then, and its end of the wire. */
static inline int host_new(const char *address)
{
    struct ifreq r = {.ifr_name = "wire0", .ifr_flags = IFF_TAP | IFF_NO_PI};
    int t;

    EXPECT(!unshare(CLONE_NEWNET));
    t = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    EXPECT(t >= 0 && !ioctl(t, TUNSETIFF, &r));
    host_address(address);
    return t;
}

static inline int host_namespace(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    EXPECT(fd >= 0);
    return fd;
}

static inline void wire_carry(int from, int to)
{
    static char frame[65536];
    ssize_t n = read(from, frame, sizeof(frame));

    if (n > 0)
        (void)write(to, frame, (size_t)n);
}

/* The caller is in the namespace of HOST_B at the end; *a, *b: both. */
static inline void two_hosts(int *a, int *b)
{
    struct pollfd ends[2] = {{.events = POLLIN}, {.events = POLLIN}};
    pid_t carrier;

    ends[0].fd = host_new(HOST_A);
    *a = host_namespace();
    ends[1].fd = host_new(HOST_B);
    *b = host_namespace();
    carrier = fork();
    EXPECT(carrier >= 0);
    if (carrier) {
        close(ends[0].fd);
        close(ends[1].fd);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (poll(ends, 2, -1) > 0)
        for (int i = 0; i < 2; i++)
            if (ends[i].revents)
                wire_carry(ends[i].fd, ends[!i].fd);
    _exit(0);
}

/* A connection from HOST_B to HOST_A. */
static inline void two_hosts_connect(int a, int b, int *server, int *client)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(7000), .sin_addr.s_addr = inet_addr(HOST_A)};
    int l;

    EXPECT(!setns(a, CLONE_NEWNET));
    l = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(l >= 0 && !bind(l, (void *)&at, sizeof(at)) && !listen(l, 8));
    EXPECT(!setns(b, CLONE_NEWNET));
    *client = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(*client >= 0 && !connect(*client, (void *)&at, sizeof(at)));
    *server = accept(l, NULL, NULL);
    EXPECT(*server >= 0);
    close(l);
}
