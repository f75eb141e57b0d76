/* SPDX-License-Identifier: MIT
 *
 * What goes beside the bytes of a TCP connection: urgent data, to the wire and on the loopback, and
 * what acknowledgments say of the neighbour. peer.h plays the other end.
 */
#include "peer.h"
#include <linux/neighbour.h>

#include "netlink.h"

/* THERE's address is known, but not whether it still is right. */
static void neighbour_is_stale(int n)
{
    struct message m;
    struct ndmsg *d = message_body(&m);
    unsigned char ip[4];

    message_begin(&m, RTM_NEWNEIGH, NLM_F_REPLACE, sizeof(*d));
    d->ndm_family = AF_INET;
    d->ndm_ifindex = (int)if_nametoindex("t0");
    d->ndm_state = NUD_STALE;
    EXPECT(inet_pton(AF_INET, THERE, ip) == 1);
    message_put(&m, NDA_DST, ip, sizeof(ip));
    message_put(&m, NDA_LLADDR, "\2\0\0\0\0\11", 6);
    EXPECT(!netlink_ask(n, &m));
}

static int neighbour_state(int n)
{
    struct message m;
    struct ndmsg *d = message_body(&m);
    int state = 0, left;

    message_begin(&m, RTM_GETNEIGH, NLM_F_DUMP, sizeof(*d));
    d->ndm_family = AF_INET;
    netlink_send(n, &m);
    for (;;) {
        struct nlmsghdr *h = &m.h;

        for (left = (int)recv(n, &m, sizeof(m), 0); NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE)
                return state;
            d = NLMSG_DATA(h);
            if (d->ndm_ifindex == (int)if_nametoindex("t0") &&
                attr_u32(h, sizeof(*d), NDA_DST) == inet_addr(THERE))
                state = d->ndm_state;
        }
    }
}

/* Five bytes go to the peer, which acknowledges them; it takes no address's question meanwhile. */
static void bytes_arrive(struct peer *p, int s)
{
    unsigned char f[2048];

    EXPECT(write(s, "hello", 5) == 5);
    do {
        EXPECT(read(p->tap, f, sizeof(f)) > 0);
        EXPECT(get16(f + 12) != 0x0806);
    } while (get16(f + 12) != 0x0800 || f[14 + 9] != 6);
    p->rcv += 5;
    peer_send(p, ACK, NULL, 0);
}

/* RFC 4861 7.3.1: whose bytes arrive is there, and is not asked for. Linux says so when the first
 * question would have been due. */
TEST(acknowledged_bytes_say_that_the_neighbour_is_reached)
{
    struct peer p;
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0)), n = netlink_open(NETLINK_ROUTE), fd;

    fd = open("/proc/sys/net/ipv4/neigh/t0/delay_first_probe_time", O_WRONLY);
    EXPECT(fd < 0 || write(fd, "2", 1) == 1);
    peer_connected(&p, s);
    neighbour_is_stale(n);
    while (neighbour_state(n) != NUD_REACHABLE) {
        bytes_arrive(&p, s);
        usleep(1000);
    }
}
