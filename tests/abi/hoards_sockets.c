/* SPDX-License-Identifier: MIT
 *
 * Hoards of sockets, pipes and events; hoard.h says what they must not cost. Run where time counts
 * instructions (tools/test).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include "hoard.h"

static void many_descriptors(rlim_t n)
{
    struct rlimit r = {n, n};

    EXPECT(setrlimit(RLIMIT_NOFILE, &r) == 0);
}

/* One event that as many as can wait for: the same file, watched and polled by many names. */
static void one_event_for_many(void)
{
    int ep = epoll_create1(0), e = eventfd(0, 0), n = 0;
    struct epoll_event ev = {.events = EPOLLIN};

    many_descriptors(20000);
    while (n < 19000 && epoll_ctl(ep, EPOLL_CTL_ADD, dup(e), &ev) == 0)
        n++;
    EXPECT(n > 1000);
    for (int i = 0; i < 20; i++)
        EXPECT(eventfd_write(e, 1) == 0);
    while (epoll_wait(ep, &ev, 1, 0) == 1 && n-- > 18000)
        ;
    close(ep);
}
TEST(one_event_for_many_watches_lets_others_run)
{
    hoard(one_event_for_many);
}

/* Many files that share a queue, each watched by many. */
static void one_event_for_many_opens(void)
{
    static int file[2000];
    struct epoll_event ev = {.events = EPOLLIN};
    int n = 0;

    many_descriptors(20000);
    EXPECT(mkdir("/tmp", 0777) == 0 || errno == EEXIST);
    EXPECT(mkfifo("/tmp/fifo", 0600) == 0);
    for (int i = 0; i < 2000; i++)
        EXPECT((file[i] = open("/tmp/fifo", O_RDWR)) >= 0);
    EXPECT(unlink("/tmp/fifo") == 0);
    for (int k = 0; k < 40; k++) {
        int ep = epoll_create1(0);

        for (int i = 0; i < 2000; i++)
            n += epoll_ctl(ep, EPOLL_CTL_ADD, file[i], &ev) == 0;
    }
    EXPECT(n > 1000);
    for (int i = 0; i < 20; i++)
        EXPECT(write(file[0], "", 1) == 1);
}
TEST(one_event_for_many_files_of_a_queue_lets_others_run)
{
    hoard(one_event_for_many_opens);
}

static void *poll_all(void *arg)
{
    static struct pollfd p[15000];

    for (int i = 0; i < 15000; i++)
        p[i] = (struct pollfd){.fd = *(int *)arg, .events = POLLIN};
    EXPECT(poll(p, 15000, -1) == 15000);
    return NULL;
}

static void one_event_for_a_long_poll(void)
{
    int e = eventfd(0, 0);
    pthread_t t;

    many_descriptors(20000);
    EXPECT(pthread_create(&t, NULL, poll_all, &e) == 0);
    usleep(50000);
    EXPECT(eventfd_write(e, 1) == 0);
    pthread_join(t, NULL);
}
TEST(one_event_for_a_long_poll_lets_others_run)
{
    hoard(one_event_for_a_long_poll);
}

/* Many epolls of one file, each watched by others. */
static void one_event_through_epolls(void)
{
    int e = eventfd(0, 0), outer[8];
    struct epoll_event ev = {.events = EPOLLIN};

    many_descriptors(20000);
    for (int i = 0; i < 8; i++)
        outer[i] = epoll_create1(0);
    for (int i = 0; i < 3000; i++) {
        int ep = epoll_create1(0);

        if (epoll_ctl(ep, EPOLL_CTL_ADD, e, &ev))
            break;
        for (int k = 0; k < 8; k++)
            epoll_ctl(outer[k], EPOLL_CTL_ADD, ep, &ev);
    }
    for (int i = 0; i < 5; i++)
        EXPECT(eventfd_write(e, 1) == 0);
}
TEST(one_event_through_many_epolls_lets_others_run)
{
    hoard(one_event_through_epolls);
}

static void end_of_many_events(void)
{
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN};

    many_descriptors(20000);
    for (int i = 0; i < 15000; i++)
        EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD,
                         i % 2 ? eventfd(1, 0) : timerfd_create(CLOCK_REALTIME, 0), &ev) == 0);
    ev.events = EPOLLIN | EPOLLET;
    for (int i = 0; i < 5; i++)
        epoll_wait(ep, &ev, 1, 0);
    close(ep);
}
TEST(the_end_of_many_events_lets_others_run)
{
    hoard(end_of_many_events);
}

static void all_ports(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int s;

    many_descriptors(40000);
    while ((s = socket(AF_INET, SOCK_DGRAM, 0)) >= 0 && bind(s, (void *)&a, sizeof(a)) == 0)
        ;
    EXPECT(s >= 0 && errno == EADDRINUSE);
    for (int i = 0; i < 10; i++)
        EXPECT_ERR(bind(s, (void *)&a, sizeof(a)), EADDRINUSE);
    a.sin_addr.s_addr = 0;
    EXPECT_ERR(bind(s, (void *)&a, sizeof(a)), EADDRINUSE);
}
TEST(the_last_port_lets_others_run)
{
    hoard(all_ports);
}

static socklen_t name(struct sockaddr_un *a, const char *what, int i)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) +
           (socklen_t)sprintf(a->sun_path + 1, "%s-%d", what, i);
}

static void many_names(void)
{
    struct sockaddr_un a;
    char line[512];
    FILE *f;
    int n = 0;

    many_descriptors(20000);
    for (int i = 0; i < 15000; i++) {
        int s = socket(AF_UNIX, SOCK_DGRAM, 0);
        socklen_t len = i % 2 ? name(&a, "hoard", i) : (socklen_t)sizeof(sa_family_t);

        a.sun_family = AF_UNIX;
        EXPECT(bind(s, (void *)&a, len) == 0);
    }
    f = fopen("/proc/net/unix", "r");
    while (fgets(line, sizeof(line), f))
        n++;
    EXPECT(n > 15000);
}
TEST(names_of_sockets_let_others_run)
{
    hoard(many_names);
}

static void many_messages(void)
{
    int s[2];

    many_descriptors(20000);
    for (int i = 0; i < 100; i++) {
        EXPECT(socketpair(AF_UNIX, i % 2 ? SOCK_STREAM : SOCK_DGRAM, 0, s) == 0);
        while (send(s[0], "x", 1, MSG_DONTWAIT) == 1)
            ;
        if (i % 4 < 2)
            close(s[1]);
    }
}
TEST(the_end_of_many_messages_lets_others_run)
{
    hoard(many_messages);
}

static void connections_that_wait(void)
{
    struct sockaddr_un a;
    socklen_t n = name(&a, "listener", 0);
    int l = socket(AF_UNIX, SOCK_STREAM, 0), i = 0;

    many_descriptors(20000);
    EXPECT(bind(l, (void *)&a, n) == 0 && listen(l, 100000) == 0);
    while (i++ < 10000) {
        int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

        if (connect(s, (void *)&a, n))
            break;
        EXPECT(write(s, "abc", 3) == 3);
    }
    close(l);
}
TEST(connections_that_wait_let_others_run)
{
    hoard(connections_that_wait);
}

static int send_files(int s, const int *fd, int n, int flags)
{
    char control[CMSG_SPACE(sizeof(int) * 253)];
    struct iovec v = {"F", 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control};
    struct cmsghdr *c = (struct cmsghdr *)control;

    m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(int) * (size_t)n), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), fd, sizeof(int) * (size_t)n);
    return (int)sendmsg(s, &m, flags);
}

/* Sockets in flight in sockets in flight. */
static void descriptors_in_flight(void)
{
    int s[2], fd[253], prev = -1;

    many_descriptors(20000);
    for (int i = 0; i < 600; i++) {
        EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
        for (int k = 0; k < 253; k++)
            fd[k] = prev >= 0 && k % 2 ? prev : s[0];
        fd[0] = prev >= 0 ? prev : 0;
        for (int k = 0; k < 3; k++)
            send_files(s[0], fd, i % 2 ? 253 : 1, MSG_DONTWAIT);
        if (prev >= 0)
            close(prev);
        close(s[0]);
        prev = s[1];
    }
}
TEST(descriptors_in_flight_let_others_run)
{
    hoard(descriptors_in_flight);
}

/* One whose queue holds thousands is sent: whether or not that is refused. */
static void a_socket_full_of_sockets(void)
{
    static int fd[8192];
    int full[2], way[2], size = 1 << 20;

    many_descriptors(20000);
    for (int i = 0; i < 8192; i += 2)
        EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd + i) == 0);
    EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, full) == 0);
    EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, way) == 0);
    EXPECT(setsockopt(full[1], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0);
    for (int i = 0; i < 8000; i += 250)
        EXPECT(send_files(full[0], fd + i, 250, MSG_DONTWAIT) == 1 || errno == EAGAIN);
    for (int i = 0; i < 3; i++)
        EXPECT(send_files(way[0], full + 1, 1, MSG_DONTWAIT) == 1 || errno == ETOOMANYREFS);
}
TEST(a_socket_full_of_sockets_lets_others_run)
{
    hoard(a_socket_full_of_sockets);
}

static void full_pipes(void)
{
    static char block[65536];
    int p[2];

    many_descriptors(20000);
    for (int i = 0; i < 400; i++) {
        EXPECT(pipe2(p, O_NONBLOCK) == 0);
        if (i % 8 == 0)
            fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
        while (write(p[1], block, sizeof(block)) > 0)
            ;
    }
}
TEST(full_pipes_let_others_run)
{
    hoard(full_pipes);
}

/* Datagrams to oneself, many with one call: nothing there waits. */
static void many_with_one_call(void)
{
    static char block[65000];
    static struct mmsghdr m[1024];
    struct iovec v = {block, sizeof(block)};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(a);
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    EXPECT(bind(s, (void *)&a, n) == 0 && getsockname(s, (void *)&a, &n) == 0);
    EXPECT(connect(s, (void *)&a, n) == 0);
    for (int i = 0; i < 1024; i++)
        m[i].msg_hdr = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1};
    for (int i = 0; i < 5; i++)
        EXPECT(sendmmsg(s, m, 1024, 0) == 1024);
    EXPECT(recvmmsg(s, m, 1024, MSG_DONTWAIT, NULL) > 0);
}
TEST(many_messages_of_one_call_let_others_run)
{
    hoard(many_with_one_call);
}

static void *wait_for_ever(void *arg)
{
    pause();
    return NULL;
}

/* The table is shared with a thread, so that it is copied under its lock. */
static void copy_of_many_descriptors(void)
{
    int e = eventfd(0, 0), fd;
    pthread_t t;

    many_descriptors(200000);
    EXPECT(pthread_create(&t, NULL, wait_for_ever, NULL) == 0);
    do
        fd = dup(e);
    while (fd >= 0 && fd < 199000);
    EXPECT(fd == 199000);
    for (int i = 0; i < 2; i++) {
        int status;
        pid_t pid = fork();

        if (pid == 0)
            _exit(fcntl(199000, F_GETFD) < 0);
        EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    }
    EXPECT(close_range(3, ~0U, 0) == 0);
    EXPECT(close_range(3, ~0U, 0) == 0); /* where there is none */
}
TEST(a_copy_of_many_descriptors_lets_others_run)
{
    hoard(copy_of_many_descriptors);
}
