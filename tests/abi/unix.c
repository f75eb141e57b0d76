/* SPDX-License-Identifier: MIT
 *
 * Unix sockets: peers, missing memory, crowds that wait, descriptors in queues.
 */
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "abi.h"
#include "send_descriptor.h"

#define PAGE 4096

static socklen_t name(struct sockaddr_un *a, const char *text)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    strcpy(a->sun_path + 1, text);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(text));
}

static int bound(int type, const char *text)
{
    struct sockaddr_un a;
    socklen_t n = name(&a, text);
    int s = socket(AF_UNIX, type, 0);

    EXPECT(s >= 0 && bind(s, (void *)&a, n) == 0);
    return s;
}

static int connect_to(int s, const char *text)
{
    struct sockaddr_un a;
    socklen_t n = name(&a, text);

    return connect(s, (void *)&a, n);
}

static ssize_t send_to(int s, const char *text, const char *what)
{
    struct sockaddr_un a;
    socklen_t n = name(&a, text);

    return sendto(s, what, strlen(what), MSG_DONTWAIT, (void *)&a, n);
}

TEST(a_connected_datagram_socket_hears_its_peer_alone)
{
    int v = bound(SOCK_DGRAM, "v"), t = bound(SOCK_DGRAM, "t"), x = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    char buf[8];

    EXPECT(connect_to(v, "t") == 0);
    EXPECT_ERR(send_to(x, "v", "evil"), EPERM);
    EXPECT_ERR(connect_to(x, "v"), EPERM);
    EXPECT_ERR(recv(v, buf, 8, MSG_DONTWAIT), EAGAIN);
    EXPECT(send_to(t, "v", "good") == 4 && recv(v, buf, 8, MSG_DONTWAIT) == 4);
    EXPECT(connect_to(t, "v") == 0);
    EXPECT(connect(v, &none, sizeof(none)) == 0); /* hears all again */
    EXPECT(send_to(x, "v", "x") == 1 && recv(v, buf, 8, MSG_DONTWAIT) == 1);
    EXPECT(connect_to(x, "v") == 0 && connect_to(v, "t") == 0);
    EXPECT_ERR(send(x, "x", 1, MSG_DONTWAIT), EPERM); /* connected before it turned away */
}

TEST(what_a_former_peer_sent_is_lost_with_it)
{
    int v = bound(SOCK_DGRAM, "v"), t = bound(SOCK_DGRAM, "t");
    char buf[8];

    bound(SOCK_DGRAM, "other");
    EXPECT(connect_to(v, "t") == 0 && connect_to(t, "v") == 0);
    EXPECT(send(t, "old", 3, 0) == 3 && connect_to(v, "other") == 0);
    EXPECT_ERR(recv(v, buf, 8, MSG_DONTWAIT), EAGAIN);
    EXPECT_ERR(send(t, "x", 1, MSG_DONTWAIT), ECONNRESET);
}

/* ------------------------------------------------------------- missing memory */

static char *fresh_pages(size_t n)
{
    char *p =
        mmap(NULL, (n + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT(p != MAP_FAILED && munmap(p + n * PAGE, PAGE) == 0);
    return p;
}

TEST(one_receive_fills_pages_that_were_not_there)
{
    static char block[16 * PAGE];
    char *fresh = fresh_pages(16), *seen = fresh_pages(16);
    int s[2];

    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 31 + i / PAGE);
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    EXPECT(send(s[1], block, sizeof(block), 0) == sizeof(block));
    EXPECT(recv(s[0], seen, sizeof(block), MSG_PEEK) == sizeof(block));
    EXPECT(recv(s[0], fresh, sizeof(block), 0) == sizeof(block));
    EXPECT(memcmp(fresh, block, sizeof(block)) == 0 && memcmp(seen, block, sizeof(block)) == 0);
    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s) == 0);
    EXPECT(send(s[1], block, sizeof(block), 0) == sizeof(block));
    EXPECT(recv(s[0], fresh_pages(16), sizeof(block), 0) == sizeof(block));
}

TEST(a_stream_keeps_what_cannot_be_received)
{
    char *end = fresh_pages(1) + PAGE, buf[16];
    int s[2];

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && send(s[1], "0123456789", 10, 0) == 10);
    EXPECT_ERR(recv(s[0], end, 10, 0), EFAULT);
    EXPECT_ERR(recv(s[0], end - 4, 10, MSG_PEEK), EFAULT);
    EXPECT_ERR(send(s[1], end - 4, 10, 0), EFAULT);
    EXPECT(recv(s[0], buf, 16, 0) == 10 && !memcmp(buf, "0123456789", 10));
}

/* ------------------------------------------------------------- many */

/* What a message costs beside its bytes counts, too. */
TEST(small_messages_fill_a_queue)
{
    int s[2], n = 0;

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0);
    while (send(s[0], "x", 1, 0) == 1)
        EXPECT(++n < 10000);
    EXPECT(errno == EAGAIN && n > 100);
}

#define THREADS 6
static int the_listener, accepted;

static void *accept_one(void *arg)
{
    EXPECT(accept(the_listener, NULL, NULL) >= 0);
    __atomic_fetch_add(&accepted, 1, __ATOMIC_RELAXED);
    return NULL;
}

TEST(each_connection_ends_the_wait_of_one_who_accepts)
{
    pthread_t t[THREADS];

    the_listener = bound(SOCK_STREAM, "l");
    EXPECT(listen(the_listener, THREADS) == 0);
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&t[i], NULL, accept_one, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        EXPECT(connect_to(socket(AF_UNIX, SOCK_STREAM, 0), "l") == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    EXPECT(accepted == THREADS);
}

static int the_server;
static void *send_some(void *arg)
{
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    char block[2048] = {0};

    EXPECT(connect_to(s, "server") == 0);
    for (int i = 0; i < 300; i++)
        EXPECT(send(s, block, sizeof(block), 0) == sizeof(block));
    return NULL;
}

/* Senders wait for space, each is woken in its turn; none is forgotten. */
TEST(many_send_to_one_full_queue)
{
    pthread_t t[THREADS];
    char buf[2048];

    the_server = bound(SOCK_DGRAM, "server");
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&t[i], NULL, send_some, NULL) == 0);
    for (int i = 0; i < THREADS * 300; i++)
        EXPECT(recv(the_server, buf, sizeof(buf), 0) == sizeof(buf));
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

static void *connect_one(void *arg)
{
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    char c;

    EXPECT(connect_to(s, "full") == 0 && read(s, &c, 1) == 1);
    return NULL;
}

TEST(many_connect_to_one_short_queue)
{
    int l = bound(SOCK_STREAM, "full");
    pthread_t t[THREADS];

    EXPECT(listen(l, 0) == 0);
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&t[i], NULL, connect_one, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        EXPECT(write(accept(l, NULL, NULL), "x", 1) == 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

/* Who waits when the listener goes is told. */
static void *connect_refused(void *arg)
{
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

    EXPECT_ERR(connect_to(s, "gone"), ECONNREFUSED);
    return NULL;
}

TEST(a_listener_that_goes_tells_all_who_wait)
{
    int l = bound(SOCK_STREAM, "gone"), s = socket(AF_UNIX, SOCK_STREAM, 0);
    pthread_t t[THREADS];

    EXPECT(listen(l, 0) == 0 && connect_to(s, "gone") == 0);
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&t[i], NULL, connect_refused, NULL) == 0);
    usleep(20000);
    close(l);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

static unsigned bound_mode(const char *name, mode_t mask, int before)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct stat st;

    EXPECT(before < 0 || fchmod(fd, (mode_t)before) == 0);
    strcpy(a.sun_path, name);
    umask(mask);
    EXPECT(fd >= 0 && bind(fd, (void *)&a, sizeof(a)) == 0 && stat(name, &st) == 0);
    EXPECT(S_ISSOCK(st.st_mode) && unlink(name) == 0);
    close(fd);
    return st.st_mode & 07777;
}

/* Servers for all users clear their umask; others close the socket before it has a name. */
TEST(a_name_has_the_sockets_mode_less_the_umask)
{
    mkdir("/tmp", 01777);
    EXPECT(bound_mode("/tmp/mode.sock", 0, -1) == 0777);
    EXPECT(bound_mode("/tmp/mode.sock", 022, -1) == 0755);
    EXPECT(bound_mode("/tmp/mode.sock", 077, -1) == 0700);
    EXPECT(bound_mode("/tmp/mode.sock", 0, 0600) == 0600);
    EXPECT(bound_mode("/tmp/mode.sock", 026, 0666) == 0640);
}

/* ------------------------------------------------------------- who waits, who is told */

static volatile pid_t waiter;

static void *connect_later(void *arg)
{
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

    waiter = gettid();
    EXPECT(connect_to(s, "l") == 0);
    return NULL;
}

TEST(a_longer_backlog_lets_a_connection_in)
{
    int l = bound(SOCK_STREAM, "l");
    pthread_t t;

    EXPECT(listen(l, 0) == 0 && connect_to(socket(AF_UNIX, SOCK_STREAM, 0), "l") == 0);
    EXPECT(pthread_create(&t, NULL, connect_later, NULL) == 0);
    until_asleep(&waiter);
    EXPECT(listen(l, 5) == 0 && pthread_join(t, NULL) == 0);
}

static volatile sig_atomic_t sigpipes;

static void on_sigpipe(int sig)
{
    sigpipes++;
}

TEST(a_stream_alone_raises_sigpipe)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

    signal(SIGPIPE, on_sigpipe);
    for (int i = 0; i < 3; i++) {
        int s[2];

        sigpipes = 0;
        EXPECT(socketpair(AF_UNIX, types[i], 0, s) == 0 && shutdown(s[0], SHUT_WR) == 0);
        EXPECT_ERR(write(s[0], "x", 1), EPIPE);
        EXPECT(sigpipes == (types[i] == SOCK_STREAM));
    }
}

TEST(an_address_is_nothing_to_a_packet_stream)
{
    int s[2];
    char c;

    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s) == 0);
    EXPECT(send_to(s[0], "elsewhere", "x") == 1 && recv(s[1], &c, 1, 0) == 1);
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    EXPECT_ERR(send_to(s[0], "elsewhere", "x"), EISCONN);
}

TEST(a_connection_waits_for_a_descriptor)
{
    int l = bound(SOCK_STREAM, "l"), c = socket(AF_UNIX, SOCK_STREAM, 0), s;
    struct rlimit r, few;
    char b;

    EXPECT(listen(l, 1) == 0 && connect_to(c, "l") == 0 && write(c, "x", 1) == 1);
    EXPECT(getrlimit(RLIMIT_NOFILE, &r) == 0);
    few = (struct rlimit){(rlim_t)c + 1, r.rlim_max};
    EXPECT(setrlimit(RLIMIT_NOFILE, &few) == 0);
    EXPECT_ERR(accept(l, NULL, NULL), EMFILE);
    EXPECT(setrlimit(RLIMIT_NOFILE, &r) == 0);
    s = accept(l, NULL, NULL);
    EXPECT(s == c + 1 && read(s, &b, 1) == 1);
}

static void send_as(int s, uid_t uid)
{
    char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
    struct ucred who = {getpid(), uid, 0};
    struct iovec v = {"x", 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof(who));
    memcpy(CMSG_DATA(c), &who, sizeof(who));
    EXPECT(sendmsg(s, &m, 0) == 1);
}

static uid_t receive_from(int s, ssize_t bytes)
{
    char control[CMSG_SPACE(sizeof(struct ucred))], buf[16];
    struct iovec v = {buf, sizeof(buf)};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct ucred who;

    EXPECT(recvmsg(s, &m, 0) == bytes && CMSG_FIRSTHDR(&m));
    memcpy(&who, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(who));
    return who.uid;
}

/* Of one process, but with other ids. */
TEST(one_receive_has_the_bytes_of_one_sender)
{
    int s[2], on = 1;

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    EXPECT(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
    send_as(s[0], 0);
    send_as(s[0], 7);
    send_as(s[0], 7);
    EXPECT(receive_from(s[1], 1) == 0 && receive_from(s[1], 2) == 7);
}

/* Whether the program that accepts will ask for it is not known yet. */
TEST(what_is_sent_before_it_is_accepted_has_its_sender)
{
    struct sockaddr_un a;
    socklen_t n = name(&a, "early");
    int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), s, on = 1;

    EXPECT(!bind(l, (void *)&a, n) && !listen(l, 1) && !connect(c, (void *)&a, n));
    send_as(c, 7);
    s = accept(l, NULL, NULL);
    EXPECT(s >= 0 && !setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
    EXPECT(receive_from(s, 1) == 7);
}

/* The bounds of the host are for its own root: not for a user who made a user namespace. */
TEST(no_namespace_gives_buffers_beyond_the_bound)
{
    int n = 1 << 30, s;

    EXPECT(unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0);
    s = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &n, sizeof(n)), EPERM);
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &n, sizeof(n)), EPERM);
    n = 1;
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_DEBUG, &n, sizeof(n)), EACCES);
}

/* ------------------------------------------------------------- descriptors on the way */

/* The end of a pipe, in a queue to which no descriptor leads any more: it is closed by then. */
static void expect_closed(int alive)
{
    struct pollfd p = {.fd = alive, .events = POLLIN};
    char c;

    EXPECT(poll(&p, 1, -1) == 1 && (p.revents & POLLHUP) && read(alive, &c, 1) == 0);
}

/* A socket whose queue holds a socket whose queue holds a socket...: closing the outermost closes
 * all, however many they are. Where there is a limit to it, it is told by an error. */
TEST(nested_sockets_are_closed)
{
    int pair[2], held = -1, depth = 0, alive[2];

    EXPECT(pipe(alive) == 0);
    for (; depth < 3000; depth++) {
        EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
        int sent = send_descriptor(pair[1], depth ? held : alive[1]);
        close(pair[1]);
        if (sent < 0) {
            EXPECT(errno == ETOOMANYREFS || errno == EAGAIN);
            close(pair[0]);
            break;
        }
        EXPECT(sent == 1);
        close(depth ? held : alive[1]);
        held = pair[0];
    }
    EXPECT(depth > 2);
    close(held);
    expect_closed(alive[0]);
}

/* Sent, or refused because the socket would lie in itself. */
static void send_or_not(int sock, int fd)
{
    EXPECT(send_descriptor(sock, fd) == 1 || errno == ETOOMANYREFS);
}

/* Two sockets, each in the other's queue. */
TEST(sockets_in_a_ring_are_closed)
{
    int a[2], b[2], alive[2];

    EXPECT(pipe(alive) == 0);
    EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, a) == 0);
    EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, b) == 0);
    send_or_not(a[1], b[0]); /* b[0] lies in a[0] */
    send_or_not(b[1], a[0]);
    EXPECT(send_descriptor(b[1], alive[1]) == 1);
    close(alive[1]);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
    expect_closed(alive[0]);
}

/* A listener in the queue of a connection that it has not accepted. */
TEST(listeners_in_their_connections_are_closed)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0guard-listener"};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    int alive[2];

    EXPECT(pipe(alive) == 0);
    EXPECT(bind(listener, (struct sockaddr *)&name, sizeof(name)) == 0);
    EXPECT(listen(listener, 5) == 0);
    EXPECT(connect(client, (struct sockaddr *)&name, sizeof(name)) == 0);
    send_or_not(client, listener);
    EXPECT(send_descriptor(client, alive[1]) == 1);
    close(alive[1]);
    close(client);
    close(listener);
    close(socket(AF_UNIX, SOCK_STREAM, 0)); /* Linux looks for rings when a socket closes */
    expect_closed(alive[0]);
}
