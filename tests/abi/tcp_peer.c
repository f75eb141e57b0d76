/* SPDX-License-Identifier: MIT
 *
 * TCP connections whose other end is the test itself, segment by segment (peer.h): what a socket's
 * calls do when the peer resets, stops, lies, or comes at a bad moment, and that nothing is left.
 */
#include "peer.h"

static int inuse(void)
{
    char line[128];
    int n = -1;
    FILE *f = fopen("/proc/self/net/sockstat", "r");

    EXPECT(f);
    while (n < 0 && fgets(line, sizeof(line), f))
        (void)sscanf(line, "TCP: inuse %d", &n);
    EXPECT(fclose(f) == 0 && n >= 0);
    return n;
}

static int waiting(void)
{
    char line[128];
    int n = -1;
    FILE *f = fopen("/proc/self/net/sockstat", "r");

    EXPECT(f);
    while (n < 0 && fgets(line, sizeof(line), f))
        (void)sscanf(line, "TCP: inuse %*d orphan %*d tw %d", &n);
    EXPECT(fclose(f) == 0 && n >= 0);
    return n;
}

static void until_inuse(int n)
{
    while (inuse() != n)
        sched_yield();
}

static int disconnect(int s)
{
    struct sockaddr a = {.sa_family = AF_UNSPEC};

    return connect(s, &a, sizeof(a));
}

static int listener(unsigned short port, int backlog)
{
    int l = socket(AF_INET, SOCK_STREAM, 0);

    EXPECT(bind_at(l, HERE, port) == 0 && listen(l, backlog) == 0);
    return l;
}

static int readable(int s)
{
    struct pollfd fd = {.fd = s, .events = POLLIN};

    return poll(&fd, 1, -1);
}

TEST(connection_with_a_peer_that_is_the_test)
{
    struct peer p;
    struct seg g;
    char buf[16];
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0));

    peer_connected(&p, s);
    EXPECT(write(s, "hello", 5) == 5);
    peer_take(&p, &g);
    EXPECT(g.len == 5 && !memcmp(g.data, "hello", 5) && g.seq == p.rcv);
    p.rcv += 5;
    peer_send(&p, PSH | ACK, "you", 3);
    EXPECT(read(s, buf, sizeof(buf)) == 3 && !memcmp(buf, "you", 3));
    peer_send(&p, FIN | ACK, NULL, 0);
    EXPECT(read(s, buf, sizeof(buf)) == 0 && close(s) == 0);
    peer_await(&p, &g, FIN);
    p.rcv++;
    peer_send(&p, ACK, NULL, 0);
    until_inuse(0);
    EXPECT(waiting() == 0);
}

TEST(socket_that_left_its_connection_connects_again_without_its_bytes)
{
    struct peer p;
    struct seg g;
    char buf[16];
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0));

    for (int i = 0; i < 3; i++) {
        peer_connected(&p, s);
        peer_send(&p, PSH | ACK, "unread", 6);
        EXPECT(readable(s) == 1 && disconnect(s) == 0);
        peer_await(&p, &g, RST);
        EXPECT_ERR(recv(s, buf, sizeof(buf), MSG_DONTWAIT), ECONNRESET);
        EXPECT_ERR(recv(s, buf, sizeof(buf), MSG_DONTWAIT), ENOTCONN);
    }
    peer_connected(&p, s);
    EXPECT_ERR(recv(s, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
    peer_send(&p, PSH | ACK, "new", 3);
    EXPECT(read(s, buf, sizeof(buf)) == 3 && !memcmp(buf, "new", 3));
}

TEST(socket_that_was_reset_with_unread_bytes_connects_again)
{
    struct peer p;
    char buf[16];
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0));

    peer_connected(&p, s);
    peer_send(&p, PSH | ACK, "unread", 6);
    peer_send(&p, RST, NULL, 0);
    while (get(s, SOL_SOCKET, SO_ERROR) != ECONNRESET)
        sched_yield();
    EXPECT(disconnect(s) == 0);
    peer_connected(&p, s);
    peer_send(&p, PSH | ACK, "new", 3);
    EXPECT(read(s, buf, sizeof(buf)) == 3 && !memcmp(buf, "new", 3));
}

TEST(refused_socket_connects_again)
{
    struct peer p;
    struct pollfd fd = {.events = POLLOUT};
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0));

    connect_begin(&p, s);
    p.snd = 0;
    peer_send(&p, RST | ACK, NULL, 0);
    fd.fd = s;
    EXPECT(poll(&fd, 1, -1) == 1 && get(s, SOL_SOCKET, SO_ERROR) == ECONNREFUSED);
    EXPECT(disconnect(s) == 0);
    peer_connected(&p, s);
}

TEST(disconnected_socket_keeps_the_port_that_it_was_bound_to)
{
    struct peer p;
    struct seg g;
    union name a;
    socklen_t n = sizeof(a);
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0));

    EXPECT(bind_at(s, "0.0.0.0", 4000) == 0);
    peer_connected(&p, s);
    EXPECT(p.there == 4000 && disconnect(s) == 0);
    peer_await(&p, &g, RST);
    EXPECT(port_of(s) == 4000 && getsockname(s, &a.sa, &n) == 0 && !a.in.sin_addr.s_addr);
    EXPECT_ERR(getpeername(s, &a.sa, &n), ENOTCONN);
    peer_connected(&p, s);
    EXPECT(p.there == 4000);
}

static int begun(struct peer *p, const char *to, int port)
{
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (connect_at(s, to, port) == 0 || errno == EINPROGRESS)
        return s;
    EXPECT(errno == EADDRNOTAVAIL && close(s) == 0);
    return -1;
}

TEST(connections_to_different_peers_share_ports_and_to_one_they_do_not)
{
    enum { ports = 4, peers = 10 };
    struct peer p;
    int s;

    peer_open(&p);
    put("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003");
    for (int peer = 0; peer < peers; peer++) {
        unsigned had = 0;

        for (int i = 0; i < ports; i++) {
            s = begun(&p, THERE, 80 + peer);
            EXPECT(s >= 0 && port_of(s) >= 40000 && port_of(s) < 40000 + ports);
            had |= 1u << (port_of(s) - 40000);
        }
        EXPECT(had == (1u << ports) - 1 && begun(&p, THERE, 80 + peer) < 0);
    }
    s = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_ERR(bind_at(s, HERE, 40001), EADDRINUSE);
    EXPECT_ERR(bind_at(s, "0.0.0.0", 40002), EADDRINUSE);
    EXPECT(begun(&p, "10.9.0.3", 80) >= 0);
}

TEST(port_that_a_program_has_named_is_not_chosen_for_a_connection)
{
    struct peer p;
    int l = (peer_open(&p), listener(40001, 1));

    put("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001");
    for (int peer = 0; peer < 5; peer++) {
        int s = begun(&p, THERE, 80 + peer);

        EXPECT(s >= 0 && port_of(s) == 40000);
        EXPECT(begun(&p, THERE, 80 + peer) < 0);
    }
    close(l);
}

/* RFC 6056: whoever sees some ports cannot tell the others. */
TEST(rfc6056_ports_towards_other_peers_follow_no_order)
{
    enum { peers = 20 };
    int up = 0, before = 0;
    struct peer p;

    peer_open(&p);
    for (int i = 0; i < peers; i++) {
        int s = begun(&p, THERE, 80 + i), port = port_of(s);

        up += port > before;
        before = port;
    }
    EXPECT(up < peers - 1);
}

TEST(rfc6056_ports_of_datagram_sockets_follow_no_order)
{
    enum { sockets = 20 };
    int up = 0, before = 0;

    own_net();
    for (int i = 0; i < sockets; i++) {
        int s = socket(AF_INET, SOCK_DGRAM, 0), port;

        EXPECT(bind_at(s, "127.0.0.1", 0) == 0);
        port = port_of(s);
        up += port > before;
        before = port;
    }
    EXPECT(up < sockets - 1);
}

/* A child that writes until it may not: 0, or errno after what it wrote. */
static pid_t writer(int s)
{
    static char block[1 << 20];
    pid_t pid = fork();

    if (pid)
        return pid;
    for (;;) {
        if (send(s, block, sizeof(block), MSG_NOSIGNAL) < (ssize_t)sizeof(block))
            _exit(send(s, block, 1, MSG_NOSIGNAL) < 0 ? errno : 0);
    }
}

/* What it sends is acknowledged, but the window closes. */
static void stop_it(struct peer *p, struct seg *last)
{
    struct seg g;

    peer_take(p, last);
    p->rcv = last->seq;
    p->window = 0;
    for (g = *last; g.len; p->rcv += (unsigned)g.len) {
        if (g.seq == p->rcv)
            *last = g;
        if (!peer_take_within(p, &g, 50))
            break;
        if (g.seq != p->rcv)
            break;
    }
}

TEST(soft_error_does_not_end_a_writer_that_waits)
{
    struct peer p;
    struct seg g, again;
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0)), status;
    pid_t pid;

    set(s, SOL_SOCKET, SO_SNDBUF, 16384);
    peer_connected(&p, s);
    pid = writer(s);
    stop_it(&p, &g);
    until_process_asleep(pid);
    peer_unreachable(&p, &g);
    peer_await(&p, &again, 0); /* it is sent again, and the writer waits */
    until_process_asleep(pid);
    EXPECT(waitpid(pid, &status, WNOHANG) == 0);
    peer_send(&p, RST, NULL, 0);
    status = status_of(pid);
    EXPECT(WIFEXITED(status) &&
           (WEXITSTATUS(status) == ECONNRESET || WEXITSTATUS(status) == EPIPE));
}

TEST(soft_error_is_told_to_a_writer_that_waits_and_asked_for_it)
{
    struct peer p;
    struct seg g;
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0)), status;
    pid_t pid;

    set(s, SOL_SOCKET, SO_SNDBUF, 16384);
    set(s, IPPROTO_IP, IP_RECVERR, 1);
    peer_connected(&p, s);
    pid = fork();
    if (!pid) {
        static char block[1 << 20];

        while (send(s, block, sizeof(block), MSG_NOSIGNAL) == (ssize_t)sizeof(block)) {
        }
        _exit(0); /* part of it was sent: then the error comes */
    }
    stop_it(&p, &g);
    until_process_asleep(pid);
    peer_unreachable(&p, &g);
    status = status_of(pid);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(connections_that_end_here_leave_a_record_each_and_no_socket)
{
    enum { times = 300 };
    struct peer p;
    struct seg g;

    peer_open(&p);
    for (int i = 0; i < times; i++) {
        int s = socket(AF_INET, SOCK_STREAM, 0);

        peer_connected(&p, s);
        EXPECT(close(s) == 0);
        peer_await(&p, &g, FIN);
        p.rcv++;
        peer_send(&p, FIN | ACK, NULL, 0);
        peer_take(&p, &g);
        EXPECT(g.flags == ACK && g.ack == p.snd);
    }
    until_inuse(0);
    EXPECT(waiting() == times);
}

TEST(bytes_that_come_after_a_close_are_answered_by_a_reset_and_nothing_is_left)
{
    struct peer p;
    struct seg g;

    peer_open(&p);
    for (int i = 0; i < 50; i++) {
        int s = socket(AF_INET, SOCK_STREAM, 0);

        peer_connected(&p, s);
        if (i % 2) {
            peer_send(&p, PSH | ACK, "unread", 6);
            EXPECT(readable(s) == 1);
        }
        EXPECT(close(s) == 0);
        peer_send(&p, PSH | ACK, "late", 4);
        peer_await(&p, &g, RST);
    }
    until_inuse(0);
    EXPECT(waiting() == 0);
}

static void *read_lists(void *stop)
{
    char buf[4096];

    while (!*(volatile bool *)stop) {
        int fd = open("/proc/thread-self/net/tcp", O_RDONLY);

        EXPECT(fd >= 0);
        while (read(fd, buf, sizeof(buf)) > 0) {
        }
        close(fd);
    }
    return NULL;
}

TEST(lists_are_read_while_connections_come_and_go)
{
    volatile bool stop = false;
    pthread_t t[2];
    struct peer p;
    struct seg g;

    peer_open(&p);
    for (int i = 0; i < 2; i++)
        EXPECT(pthread_create(&t[i], NULL, read_lists, (void *)&stop) == 0);
    for (int i = 0; i < 200; i++) {
        int s = socket(AF_INET, SOCK_STREAM, 0);

        peer_connected(&p, s);
        peer_send(&p, PSH | ACK, "x", 1);
        if (i % 3)
            peer_send(&p, RST, NULL, 0);
        EXPECT(close(s) == 0);
        if (i % 3 == 0)
            peer_await(&p, &g, RST | FIN);
        if (i % 3 == 0)
            peer_send(&p, RST, NULL, 0);
    }
    stop = true;
    for (int i = 0; i < 2; i++)
        EXPECT(pthread_join(t[i], NULL) == 0);
}

/* Connections in every state, whose namespace ends with this process. */
static void leave_all(void)
{
    struct peer p;
    struct seg g;
    int s[8], l;

    peer_open(&p);
    for (int i = 0; i < 8; i++)
        s[i] = socket(AF_INET, SOCK_STREAM, 0);
    connect_begin(&p, s[0]); /* SYN_SENT */
    peer_connected(&p, s[1]);
    EXPECT(write(s[1], "x", 1) == 1); /* ESTABLISHED, with bytes both ways */
    peer_await(&p, &g, ACK);
    peer_send(&p, PSH | ACK, "x", 1);
    peer_connected(&p, s[2]); /* FIN_WAIT1 */
    EXPECT(close(s[2]) == 0);
    peer_await(&p, &g, FIN);
    peer_connected(&p, s[3]); /* FIN_WAIT2 */
    EXPECT(close(s[3]) == 0);
    peer_await(&p, &g, FIN);
    p.rcv++;
    peer_send(&p, ACK, NULL, 0);
    peer_connected(&p, s[4]); /* CLOSE_WAIT */
    peer_send(&p, FIN | ACK, NULL, 0);
    peer_connected(&p, s[5]); /* LAST_ACK */
    peer_send(&p, FIN | ACK, NULL, 0);
    EXPECT(readable(s[5]) == 1 && close(s[5]) == 0);
    peer_connected(&p, s[6]); /* CLOSING */
    EXPECT(close(s[6]) == 0);
    peer_await(&p, &g, FIN);
    peer_send(&p, FIN | ACK, NULL, 0);
    peer_connected(&p, s[7]); /* TIME_WAIT */
    EXPECT(close(s[7]) == 0);
    peer_await(&p, &g, FIN);
    p.rcv++;
    peer_send(&p, FIN | ACK, NULL, 0);
    l = listener(5000, 4);
    p.port = 81;
    peer_asks(&p, 5000); /* half open */
    p.port = 82;
    peer_asks(&p, 5000); /* not accepted */
    peer_send(&p, ACK, NULL, 0);
    EXPECT(readable(l) == 1);
}

TEST(namespace_ends_with_connections_in_every_state)
{
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        int status;

        if (!pid) {
            leave_all();
            _exit(0);
        }
        status = status_of(pid);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

struct connector {
    int s, err;
    pthread_barrier_t *start;
};

static void *connect_too(void *arg)
{
    struct connector *c = arg;

    pthread_barrier_wait(c->start);
    c->err = connect_at(c->s, THERE, PEER_PORT) ? errno : 0;
    return NULL;
}

TEST(of_two_threads_that_connect_a_socket_one_begins)
{
    struct peer p;
    pthread_barrier_t start;

    peer_open(&p);
    pthread_barrier_init(&start, NULL, 2);
    for (int i = 0; i < 50; i++) {
        int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        struct connector c[2] = {{s, 0, &start}, {s, 0, &start}};
        pthread_t t[2];
        struct seg g;

        for (int k = 0; k < 2; k++)
            EXPECT(pthread_create(&t[k], NULL, connect_too, &c[k]) == 0);
        for (int k = 0; k < 2; k++)
            EXPECT(pthread_join(t[k], NULL) == 0);
        EXPECT((c[0].err == EINPROGRESS) + (c[1].err == EINPROGRESS) == 1);
        errno = c[0].err == EINPROGRESS ? c[1].err : c[0].err;
        EXPECT(errno == EALREADY);
        peer_asked(&p);
        connect_end(&p, s);
        EXPECT(close(s) == 0);
        peer_await(&p, &g, FIN);
        peer_send(&p, RST, NULL, 0);
    }
    until_inuse(0);
}

TEST(close_of_a_listener_resets_what_nobody_accepted_and_does_not_linger)
{
    struct linger linger = {1, 3600};
    struct peer p;
    struct seg g;
    int l = (peer_open(&p), listener(5000, 4));

    EXPECT(setsockopt(l, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    for (p.port = 81; p.port < 84; p.port++) {
        peer_asks(&p, 5000);
        peer_send(&p, ACK | PSH, "request", 7);
        EXPECT(readable(l) == 1);
        peer_await(&p, &g, ACK);
    }
    EXPECT(close(l) == 0);
    for (int i = 0; i < 3; i++)
        peer_await(&p, &g, RST);
    until_inuse(0);
}

TEST(orphan_without_time_for_fin_wait_2_resets)
{
    struct peer p;
    struct seg g;
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0));

    set(s, IPPROTO_TCP, TCP_LINGER2, -1);
    peer_connected(&p, s);
    EXPECT(shutdown(s, SHUT_WR) == 0);
    peer_await(&p, &g, FIN);
    p.rcv++;
    peer_send(&p, ACK, NULL, 0);
    while (get(s, SOL_SOCKET, SO_ERROR) == 0) {
        struct tcp_info info;
        socklen_t n = sizeof(info);

        EXPECT(getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &n) == 0);
        if (info.tcpi_state == TCP_FIN_WAIT2)
            break;
        sched_yield();
    }
    EXPECT(close(s) == 0);
    peer_await(&p, &g, RST);
    until_inuse(0);
}

/* A SYN with the peer's address, to a port of the kernel's, by a raw socket: it goes over lo. */
static void forge_syn(struct peer *p, unsigned short port)
{
    struct seg g = {.seq = 1, .from = p->port, .to = port, .flags = SYN, .window = 65535};
    unsigned char f[14 + 20 + 20];
    union name to;
    socklen_t n;
    int s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);

    peer_segment(f, &g);
    to = at(HERE, 0, &n);
    EXPECT(s >= 0 && sendto(s, f + 14, 40, 0, &to.sa, n) == 40 && close(s) == 0);
}

/* Linux lets it in, and answers by the wire. */
TEST(listener_takes_no_other_hosts_connection_over_lo)
{
    bool ours = access("/proc/bothy", F_OK) == 0;
    struct peer p;
    struct seg g;

    peer_open(&p);
    listener(4000, 4);
    listener(4001, 4);
    forge_syn(&p, 4000);
    p.there = 4001;
    peer_send(&p, SYN, NULL, 0);
    peer_await(&p, &g, SYN);
    EXPECT(g.from == (ours ? 4001 : 4000));
}
