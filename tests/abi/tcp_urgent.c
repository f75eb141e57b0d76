/* SPDX-License-Identifier: MIT
 *
 * What goes beside the bytes of a TCP connection: urgent data, to the wire and on the loopback, and
 * what acknowledgments say of the neighbour. peer.h plays the other end.
 */
#include "peer.h"
#include <linux/neighbour.h>
#include <linux/sockios.h>
#include <signal.h>

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

/* ---- urgent data ---- */

static void urgent_pair(int s[2])
{
    int l;

    own_net();
    l = socket(AF_INET, SOCK_STREAM, 0);
    s[0] = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(!bind_at(l, "127.0.0.1", 4000) && !listen(l, 1) && !connect_at(s[0], "127.0.0.1", 4000));
    s[1] = accept(l, NULL, NULL);
    EXPECT(s[1] >= 0 && close(l) == 0);
}

static bool at_mark(int s)
{
    int v = -1;

    EXPECT(ioctl(s, SIOCATMARK, &v) == 0);
    return v;
}

static int to_read(int s)
{
    int v = -1;

    EXPECT(ioctl(s, FIONREAD, &v) == 0);
    return v;
}

/* Until the urgent byte is there. */
static void urgent_comes(int s)
{
    struct pollfd p = {.fd = s, .events = POLLPRI};

    EXPECT(poll(&p, 1, -1) == 1 && p.revents == POLLPRI);
}

static bool readable_soon(int s)
{
    struct pollfd p = {.fd = s, .events = POLLIN};

    return poll(&p, 1, -1) == 1;
}

static bool reads(int s, const char *text, int flags)
{
    char buf[64];
    size_t n = strlen(text);

    return recv(s, buf, sizeof(buf), flags) == (ssize_t)n && !memcmp(buf, text, n);
}

/* The urgent byte alone is there, which is not read in the stream: so nothing is, and no end. */
TEST(urgent_byte_alone_is_nothing_to_read_and_no_end)
{
    int s[2];

    urgent_pair(s);
    EXPECT(send(s[0], "u", 1, MSG_OOB) == 1);
    urgent_comes(s[1]);
    EXPECT_ERR(recv(s[1], (char[1]){0}, 1, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
    EXPECT(reads(s[1], "u", MSG_OOB | MSG_PEEK));
    EXPECT(send(s[0], "cd", 2, 0) == 2 && readable_soon(s[1]));
    EXPECT(reads(s[1], "cd", MSG_PEEK) && reads(s[1], "cd", MSG_PEEK) && reads(s[1], "cd", 0));
    EXPECT(send(s[0], "v", 1, MSG_OOB) == 1);
    urgent_comes(s[1]);
    EXPECT(shutdown(s[0], SHUT_WR) == 0);
    EXPECT(recv(s[1], (char[1]){0}, 1, MSG_PEEK) == 0); /* waits for the end, if it is not there */
}

static int peek_at;
static volatile pid_t peek_by;

static void *peek_one(void *seen)
{
    peek_by = gettid();
    return (void *)(recv(peek_at, seen, 1, MSG_PEEK));
}

/* One that waits behind the urgent byte, which another reader takes, sees the byte after it. */
TEST(peek_that_waits_behind_an_urgent_byte_sees_the_next_one)
{
    pthread_t t;
    char seen = 0;
    void *got;
    int s[2];

    urgent_pair(s);
    EXPECT(send(s[0], "u", 1, MSG_OOB) == 1);
    urgent_comes(peek_at = s[1]);
    EXPECT(pthread_create(&t, NULL, peek_one, &seen) == 0);
    until_asleep(&peek_by);
    set(s[1], SOL_SOCKET, SO_OOBINLINE, 1);
    EXPECT(reads(s[1], "u", 0));
    set(s[1], SOL_SOCKET, SO_OOBINLINE, 0);
    EXPECT(send(s[0], "a", 1, 0) == 1);
    EXPECT(pthread_join(t, &got) == 0 && got == (void *)1 && seen == 'a');
    EXPECT(reads(s[1], "a", 0));
}

/* "ab" with b urgent, then "cd", have been sent to s. */
static void urgent_is_beside_the_stream(int s)
{
    urgent_comes(s);
    EXPECT(to_read(s) == 1 && !at_mark(s));
    EXPECT(reads(s, "b", MSG_OOB | MSG_PEEK) && reads(s, "b", MSG_OOB));
    EXPECT_ERR(recv(s, (char[1]){0}, 1, MSG_OOB), EINVAL);
    EXPECT(reads(s, "a", MSG_PEEK) && reads(s, "a", 0));
    EXPECT(at_mark(s) && to_read(s) == 0);
    EXPECT(readable_soon(s) && reads(s, "cd", MSG_PEEK));
    EXPECT(at_mark(s) && reads(s, "cd", 0) && !at_mark(s));
    EXPECT_ERR(recv(s, (char[1]){0}, 1, MSG_DONTWAIT), EAGAIN);
    EXPECT_ERR(recv(s, (char[1]){0}, 1, MSG_OOB), EINVAL);
}

TEST(urgent_byte_is_beside_the_stream)
{
    int s[2];

    urgent_pair(s);
    EXPECT_ERR(recv(s[1], (char[1]){0}, 1, MSG_OOB), EINVAL);
    EXPECT(send(s[0], "ab", 2, MSG_OOB) == 2 && send(s[0], "cd", 2, 0) == 2);
    urgent_is_beside_the_stream(s[1]);
}

TEST(urgent_byte_is_in_the_stream_where_that_is_asked_for)
{
    int s[2];

    urgent_pair(s);
    set(s[1], SOL_SOCKET, SO_OOBINLINE, 1);
    EXPECT(send(s[0], "ab", 2, MSG_OOB) == 2 && send(s[0], "cd", 2, 0) == 2);
    urgent_comes(s[1]);
    EXPECT(to_read(s[1]) == 4 && reads(s[1], "a", 0) && at_mark(s[1]));
    EXPECT_ERR(recv(s[1], (char[1]){0}, 1, MSG_OOB), EINVAL);
    EXPECT(reads(s[1], "bcd", 0) && !at_mark(s[1]));
}

TEST(urgent_byte_alone_is_nothing_to_read)
{
    struct pollfd p = {.events = POLLIN};
    int s[2];

    urgent_pair(s);
    EXPECT(send(s[0], "x", 1, MSG_OOB) == 1);
    urgent_comes(s[1]);
    p.fd = s[1];
    EXPECT(poll(&p, 1, 0) == 0 && at_mark(s[1]));
    EXPECT_ERR(recv(s[1], (char[1]){0}, 1, MSG_DONTWAIT), EAGAIN);
    EXPECT(send(s[0], "y", 1, 0) == 1 && readable_soon(s[1]) && reads(s[1], "y", 0));
}

TEST(urgent_data_is_a_signal_to_the_owner)
{
    sigset_t set;
    int s[2], sig;

    urgent_pair(s);
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    EXPECT(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && fcntl(s[1], F_SETOWN, getpid()) == 0);
    EXPECT(send(s[0], "x", 1, MSG_OOB) == 1);
    EXPECT(sigwait(&set, &sig) == 0 && sig == SIGURG);
}

/* RFC 6093 3.1: the pointer names what follows the urgent byte. */
TEST(rfc6093_urgent_data_is_sent_with_a_pointer_behind_it)
{
    struct peer p;
    struct seg g;
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0));

    peer_connected(&p, s);
    EXPECT(send(s, "ab", 2, MSG_OOB) == 2);
    peer_take(&p, &g);
    EXPECT((g.flags & URG) && g.urgent == 2 && g.len == 2 && g.seq == p.rcv);
    p.rcv += 2;
    peer_send(&p, ACK, NULL, 0);
    EXPECT(send(s, "cd", 2, 0) == 2);
    peer_take(&p, &g);
    EXPECT(!(g.flags & URG) && g.len == 2);
}

static void peer_urgent(struct peer *p, const char *text, unsigned short urgent)
{
    struct seg g = {.seq = p->snd,
                    .ack = p->rcv,
                    .from = p->port,
                    .to = p->there,
                    .flags = PSH | ACK | URG,
                    .window = p->window,
                    .urgent = urgent,
                    .len = (int)strlen(text)};

    memcpy(g.data, text, strlen(text));
    peer_put(p, &g);
    p->snd += (unsigned)g.len;
}

TEST(urgent_byte_of_the_wire_is_beside_the_stream)
{
    struct peer p;
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0));

    peer_connected(&p, s);
    peer_urgent(&p, "abcd", 2);
    urgent_is_beside_the_stream(s);
}

TEST(urgent_byte_that_is_on_its_way_is_awaited)
{
    sigset_t set;
    struct peer p;
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0)), sig;

    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    EXPECT(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && fcntl(s, F_SETOWN, getpid()) == 0);
    peer_connected(&p, s);
    peer_urgent(&p, "ab", 4);
    EXPECT(sigwait(&set, &sig) == 0 && sig == SIGURG);
    EXPECT_ERR(recv(s, (char[1]){0}, 1, MSG_OOB), EAGAIN);
    EXPECT(readable_soon(s) && reads(s, "ab", 0));
    peer_urgent(&p, "cdef", 2);
    urgent_comes(s);
    EXPECT(reads(s, "d", MSG_OOB) && reads(s, "c", 0) && at_mark(s) && reads(s, "ef", 0));
}
