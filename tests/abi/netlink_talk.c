/* SPDX-License-Identifier: MIT
 *
 * Programs that send to each other over netlink: by port, to groups, through filters; what a
 * receiver learns of the sender; receivers that are full. In a net namespace of the test's own.
 */
#include "abi.h"
#include "netlink.h"
#include <linux/filter.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif
#define UEVENT NETLINK_KOBJECT_UEVENT
#define USER NETLINK_USERSOCK

/* What a receiver learns. */
struct heard {
    char bytes[64];
    ssize_t n;
    struct sockaddr_nl from;
    struct ucred cred;
    int creds, group;
};

static int talk_open(int protocol, uint32_t port, uint32_t groups)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_pid = port, .nl_groups = groups};
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), on = 1;

    EXPECT(s >= 0 && !bind(s, (void *)&a, sizeof(a)));
    EXPECT(!setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
    EXPECT(!setsockopt(s, SOL_NETLINK, NETLINK_PKTINFO, &on, sizeof(on)));
    return s;
}

static ssize_t talk_send(int s, uint32_t port, uint32_t groups, const void *bytes, size_t n,
                         int flags)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_pid = port, .nl_groups = groups};

    return sendto(s, bytes, n, flags, (void *)&a, sizeof(a));
}

static struct heard talk_recv(int s, int flags)
{
    struct heard h = {.group = -1};
    struct iovec v = {h.bytes, sizeof(h.bytes)};
    char control[256];
    struct msghdr m = {&h.from, sizeof(h.from),         &v,
                       1,       .msg_control = control, .msg_controllen = sizeof(control)};

    h.n = recvmsg(s, &m, flags | MSG_TRUNC);
    for (struct cmsghdr *c = h.n < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&h.cred, CMSG_DATA(c), sizeof(h.cred));
            h.creds++;
        } else if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_PKTINFO) {
            memcpy(&h.group, CMSG_DATA(c), sizeof(h.group));
        }
    }
    return h;
}

static bool talk_silent(int s)
{
    char c;

    return recv(s, &c, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

/* Of ports 100 and 200, in a namespace of their own. */
static void talk_pair(int *a, int *b)
{
    EXPECT(!unshare(CLONE_NEWNET));
    *a = talk_open(USER, 100, 0);
    *b = talk_open(USER, 200, 0);
}

TEST(netlink_talk_goes_to_a_port_with_its_sender)
{
    struct heard h;
    int a, b;

    talk_pair(&a, &b);
    EXPECT(talk_send(a, 200, 0, "hello", 5, 0) == 5);
    h = talk_recv(b, MSG_PEEK);
    EXPECT(h.n == 5 && h.creds == 1 && h.cred.pid == getpid());
    h = talk_recv(b, 0);
    EXPECT(h.n == 5 && !memcmp(h.bytes, "hello", 5));
    EXPECT(h.from.nl_family == AF_NETLINK && h.from.nl_pid == 100 && !h.from.nl_groups);
    EXPECT(h.creds == 1 && h.cred.pid == getpid() && h.cred.uid == 0 && h.cred.gid == 0);
    EXPECT(h.group == 0 && talk_silent(b));
    EXPECT(talk_send(a, 100, 0, "self", 4, 0) == 4 && talk_recv(a, 0).from.nl_pid == 100);
    EXPECT_ERR(talk_send(a, 300, 0, "hello", 5, 0), ECONNREFUSED);
    EXPECT_ERR(talk_send(a, 0, 0, "hello", 5, 0), ECONNREFUSED); /* the kernel is not there */
    EXPECT_ERR(talk_send(a, 200, 0, "", 0, 0), ENODATA);
    close(b);
    EXPECT_ERR(talk_send(a, 200, 0, "hello", 5, 0), ECONNREFUSED);
}

TEST(netlink_talk_stays_in_its_protocol_and_namespace)
{
    int a, b, c;

    EXPECT(!unshare(CLONE_NEWNET));
    a = talk_open(USER, 100, 0);
    b = talk_open(UEVENT, 200, 0);
    EXPECT_ERR(talk_send(a, 200, 0, "hello", 5, 0), ECONNREFUSED);
    EXPECT(talk_send(b, 200, 0, "hello", 5, 0) == 5 && talk_recv(b, 0).n == 5);
    EXPECT(!unshare(CLONE_NEWNET));
    c = talk_open(USER, 300, 0);
    EXPECT_ERR(talk_send(c, 100, 0, "hello", 5, 0), ECONNREFUSED);
    EXPECT(talk_open(USER, 100, 0) >= 0);
}

TEST(netlink_talk_to_a_group_reaches_its_members_but_the_sender)
{
    struct heard h;
    int a, b, c, d;

    EXPECT(!unshare(CLONE_NEWNET));
    a = talk_open(UEVENT, 100, 2);
    b = talk_open(UEVENT, 200, 2);
    c = talk_open(UEVENT, 300, 1);
    d = talk_open(USER, 400, 2);
    EXPECT(talk_send(a, 0, 2, "libudev", 8, 0) ==
           8); /* the kernel hears it too, and nothing in it */
    h = talk_recv(b, 0);
    EXPECT(h.n == 8 && h.from.nl_pid == 100 && h.from.nl_groups == 2 && h.group == 2);
    EXPECT(h.creds == 1 && h.cred.pid == getpid());
    EXPECT(talk_silent(a) && talk_silent(b) && talk_silent(c) && talk_silent(d));
    EXPECT(talk_send(a, 300, 3, "both", 4, 0) == 4); /* the lowest group, and a port */
    h = talk_recv(c, 0);
    EXPECT(h.n == 4 && h.from.nl_groups == 1 && h.group == 1);
    EXPECT(talk_silent(b) && talk_silent(c));
    EXPECT_ERR(talk_send(d, 0, 1, "none", 4, 0), ECONNREFUSED);
    a = talk_open(USER, 500, 0);
    EXPECT_ERR(talk_send(a, 0, 2, "told", 4, 0), ECONNREFUSED); /* d has it all the same */
    EXPECT(talk_recv(d, 0).n == 4);
}

TEST(netlink_talk_takes_leave)
{
    struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_pid = 100};
    int group = 2, root, user, u;
    struct heard h;

    EXPECT(!unshare(CLONE_NEWNET));
    root = talk_open(UEVENT, 100, 0);
    user = talk_open(USER, 100, 2);
    EXPECT(!setresgid(1001, 1001, 1001) && !setresuid(1000, 1000, 1000));
    u = talk_open(UEVENT, 0, 2); /* listening is anyone's */
    EXPECT_ERR(talk_send(u, 100, 0, "x", 1, 0), EPERM);
    EXPECT_ERR(talk_send(u, 0, 2, "x", 1, 0), EPERM);
    EXPECT_ERR(connect(u, (void *)&to, sizeof(to)), EPERM);
    to.nl_pid = 0;
    EXPECT(!connect(u, (void *)&to, sizeof(to)));
    u = talk_open(USER, 0, 0); /* and so is speaking here, but not listening */
    EXPECT_ERR(setsockopt(u, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)), EPERM);
    to.nl_groups = 2;
    EXPECT_ERR(bind(u, (void *)&to, sizeof(to)), EPERM);
    EXPECT(talk_send(u, 100, 2, "x", 1, 0) == 1);
    h = talk_recv(user, 0);
    EXPECT(h.n == 1 && h.cred.uid == 1000 && h.cred.gid == 1001);
    EXPECT(talk_silent(user) && talk_silent(root));
}

static ssize_t talk_as(int s, struct ucred c, int type)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_pid = 200};
    struct iovec v = {"x", 1};
    union {
        struct cmsghdr h;
        char bytes[CMSG_SPACE(sizeof(c))];
    } u = {.h = {CMSG_LEN(sizeof(c)), SOL_SOCKET, type}};
    struct msghdr m = {&a, sizeof(a), &v, 1, .msg_control = &u, .msg_controllen = sizeof(u)};

    memcpy(CMSG_DATA(&u.h), &c, sizeof(c));
    return sendmsg(s, &m, 0);
}

TEST(netlink_talk_claims_no_other_sender)
{
    struct heard h;
    int a, b;

    talk_pair(&a, &b);
    EXPECT(talk_as(a, (struct ucred){getppid(), 5, 6}, SCM_CREDENTIALS) == 1);
    h = talk_recv(b, 0);
    EXPECT(h.cred.pid == getppid() && h.cred.uid == 5 && h.cred.gid == 6);
    EXPECT_ERR(talk_as(a, (struct ucred){0}, SCM_RIGHTS), EINVAL);
    EXPECT(!setresgid(1001, 1001, 1001) && !setresuid(1000, 1000, 1000));
    EXPECT_ERR(talk_as(a, (struct ucred){getpid(), 0, 1001}, SCM_CREDENTIALS), EPERM);
    EXPECT_ERR(talk_as(a, (struct ucred){getppid(), 1000, 1001}, SCM_CREDENTIALS), EPERM);
    EXPECT(talk_as(a, (struct ucred){getpid(), 1000, 1001}, SCM_CREDENTIALS) == 1);
    EXPECT(talk_recv(b, 0).cred.uid == 1000 && talk_silent(b));
}

TEST(netlink_talk_of_a_connected_socket_is_with_its_peer)
{
    struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_pid = 200, .nl_groups = 6};
    socklen_t len = sizeof(to);
    int a, b, c;

    talk_pair(&a, &b);
    c = talk_open(USER, 300, 0);
    EXPECT(!connect(a, (void *)&to, sizeof(to)) && !getpeername(a, (void *)&to, &len));
    EXPECT(to.nl_pid == 200 && to.nl_groups == 2);
    EXPECT(send(a, "to b", 4, 0) == 4 && talk_recv(b, 0).n == 4);
    EXPECT(talk_send(b, 100, 0, "to a", 4, 0) == 4 && talk_recv(a, 0).n == 4);
    EXPECT_ERR(talk_send(c, 100, 0, "to a", 4, 0), ECONNREFUSED);
    to.nl_family = AF_UNSPEC;
    EXPECT(!connect(a, (void *)&to, sizeof(to)));
    EXPECT(talk_send(c, 100, 0, "to a", 4, 0) == 4 && talk_recv(a, 0).n == 4);
}

/* Takes what begins with 'y', of which it leaves two bytes. */
static void talk_filter(int s)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'y', 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 2),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog prog = {4, code};

    EXPECT(!setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)));
}

TEST(netlink_talk_passes_the_filter)
{
    struct message m, got;
    struct heard h;
    int a, b, r;

    EXPECT(!unshare(CLONE_NEWNET));
    a = talk_open(UEVENT, 100, 0);
    b = talk_open(UEVENT, 200, 2);
    talk_filter(b);
    EXPECT(talk_send(a, 0, 2, "never", 5, 0) == 5 && talk_send(a, 200, 0, "no", 2, 0) == 2);
    EXPECT(talk_silent(b));
    EXPECT(talk_send(a, 0, 2, "yes", 3, 0) == 3 && talk_send(a, 200, 0, "yellow", 6, 0) > 0);
    h = talk_recv(b, 0);
    EXPECT(h.n == 2 && h.from.nl_groups == 2);
    h = talk_recv(b, 0);
    EXPECT(h.n == 2 && !memcmp(h.bytes, "ye", 2) && !h.from.nl_groups);
    r = netlink_open(NETLINK_ROUTE); /* the kernel's answers pass it too */
    talk_filter(r);
    message_begin(&m, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    message_put(&m, IFLA_IFNAME, "lo", 3);
    netlink_send(r, &m);
    EXPECT(recv(r, &got, sizeof(got), MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

/* Fills b's queue from a: how many. */
static int talk_fill(int a, int b)
{
    int small = 4096, n = 0;

    EXPECT(!setsockopt(b, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
    while (talk_send(a, 200, 0, "fill", 4, MSG_DONTWAIT) == 4)
        n++;
    EXPECT(errno == EAGAIN && n > 1);
    return n;
}

TEST(netlink_talk_to_a_full_receiver_waits)
{
    struct timeval short_time = {.tv_usec = 1000};
    int a, b, n, status;
    pid_t pid;

    talk_pair(&a, &b);
    n = talk_fill(a, b);
    EXPECT(!setsockopt(a, SOL_SOCKET, SO_SNDTIMEO, &short_time, sizeof(short_time)));
    EXPECT_ERR(talk_send(a, 200, 0, "late", 4, 0), EAGAIN);
    short_time.tv_usec = 0;
    EXPECT(!setsockopt(a, SOL_SOCKET, SO_SNDTIMEO, &short_time, sizeof(short_time)));
    pid = fork();
    if (!pid)
        _exit(talk_send(a, 200, 0, "wait", 4, 0) != 4);
    until_asleep(&pid);
    while (n--)
        EXPECT(!memcmp(talk_recv(b, 0).bytes, "fill", 4));
    EXPECT(!memcmp(talk_recv(b, 0).bytes, "wait", 4)); /* no error: nothing was lost */
    EXPECT(waitpid(pid, &status, 0) == pid && !status);
    EXPECT(talk_silent(b));
}

TEST(netlink_talk_waits_for_nothing_that_is_closed)
{
    int a, b, status;
    pid_t pid;

    talk_pair(&a, &b);
    talk_fill(a, b);
    pid = fork();
    if (!pid) {
        close(b);
        _exit(talk_send(a, 200, 0, "wait", 4, 0) != -1 || errno != ECONNREFUSED);
    }
    until_asleep(&pid);
    close(b);
    EXPECT(waitpid(pid, &status, 0) == pid && !status);
}

TEST(netlink_talk_to_a_group_stops_at_no_full_member)
{
    int a, b, c;

    EXPECT(!unshare(CLONE_NEWNET));
    a = talk_open(UEVENT, 100, 0);
    b = talk_open(UEVENT, 200, 2);
    c = talk_open(UEVENT, 300, 2);
    talk_fill(a, b);
    EXPECT(talk_send(a, 0, 2, "news", 4, 0) == 4);
    EXPECT(talk_recv(c, 0).n == 4);
    EXPECT_ERR(talk_recv(b, 0).n, ENOBUFS);
    EXPECT(!memcmp(talk_recv(b, 0).bytes, "fill", 4));
}

TEST(netlink_talk_s_namespace_is_open_to_its_administrator)
{
    struct stat of_socket, of_thread;
    int s, fd;

    EXPECT(!unshare(CLONE_NEWNET));
    s = talk_open(UEVENT, 0, 2);
    fd = ioctl(s, SIOCGSKNS);
    EXPECT(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) && !fstat(fd, &of_socket));
    EXPECT(!stat("/proc/thread-self/ns/net", &of_thread));
    EXPECT(of_socket.st_ino == of_thread.st_ino);
    EXPECT(!unshare(CLONE_NEWNET) && !setns(fd, CLONE_NEWNET));
    EXPECT(!setresuid(1000, 1000, 1000));
    EXPECT_ERR(ioctl(s, SIOCGSKNS), EPERM);
}
