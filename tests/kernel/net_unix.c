/* SPDX-License-Identifier: MIT
 *
 * Unix sockets through net's own interface.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/ns.h"
#include "net/socket.h"
#include "obj/file.h"
#include "obj/cred.h"
#include "obj/pipe.h"
#include "sched/thread.h"
#include "sched/timer.h"

static ssize_t sends(struct file *f, const char *s, struct file **files, u32 nr)
{
    struct iov_iter it;
    struct socket_message m = {.data = &it, .files = files, .nr_files = nr};

    iov_init_kernel(&it, (void *)s, strlen(s));
    return socket_send(f, &m, MSG_NOSIGNAL, NULL);
}

static ssize_t receives(struct file *f, char *buf, u64 n, struct socket_message *m)
{
    struct iov_iter it;

    *m = (struct socket_message){.data = &it};
    iov_init_kernel(&it, buf, n);
    return socket_recv(f, m, MSG_DONTWAIT);
}

SELFTEST(net_unix_stream_pair_carries_bytes_and_files)
{
    struct file *s[2], *r, *w;
    struct socket_message m;
    char buf[32];

    CHECK(!socket_pair(net_ns_init, AF_UNIX, SOCK_STREAM, 0, s));
    CHECK(!pipe_create(0, &r, &w));
    CHECK(receives(s[1], buf, 32, &m) == -EAGAIN);
    CHECK(sends(s[0], "one", NULL, 0) == 3 && sends(s[0], "two", NULL, 0) == 3);
    CHECK(receives(s[1], buf, 4, &m) == 4 && !memcmp(buf, "onet", 4));
    CHECK(sends(s[0], "fd", &r, 1) == 2);
    CHECK(sends(s[0], "after", NULL, 0) == 5);
    /* As on Linux, a file comes with the bytes before its own, and ends that read. */
    CHECK(receives(s[1], buf, 32, &m) == 4 && m.nr_files == 1 && m.files[0] == r);
    CHECK(!memcmp(buf, "wofd", 4));
    socket_message_drop(&m);
    CHECK(receives(s[1], buf, 32, &m) == 5 && m.nr_files == 0);
    CHECK(sends(s[0], "last", NULL, 0) == 4);
    file_put(s[0]);
    CHECK(receives(s[1], buf, 32, &m) == 4 && receives(s[1], buf, 32, &m) == 0);
    CHECK(sends(s[1], "x", NULL, 0) == -EPIPE);
    file_put(s[1]);
    file_put(r);
    file_put(w);
}

SELFTEST(net_unix_abstract_name_is_of_its_namespace)
{
    struct sock_addr a = {.family = AF_UNIX, .data = "\0name"}, peer;
    struct net_ns *other = net_ns_create(net_ns_init->user_ns);
    struct file *l = socket_create(net_ns_init, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct file *c = socket_create(net_ns_init, AF_UNIX, SOCK_STREAM, 0), *s, *o;
    struct socket_message m;
    char buf[8];
    u32 len;

    o = socket_create(other, AF_UNIX, SOCK_STREAM, 0);
    CHECK(!socket_bind(l, &a, 7, NULL) && !socket_listen(l, 1));
    CHECK(socket_bind(c, &a, 7, NULL) == -EADDRINUSE);
    CHECK(socket_connect(o, &a, 7, NULL) == -ECONNREFUSED);
    CHECK(PTR_ERR(socket_accept(l, 0, NULL, NULL)) == -EAGAIN);
    CHECK(!socket_connect(c, &a, 7, NULL) && (file_poll(l, NULL) & POLLIN));
    CHECK(sends(c, "hi", NULL, 0) == 2);
    s = socket_accept(l, 0, &peer, &len);
    CHECK(!IS_ERR(s) && receives(s, buf, 8, &m) == 2);
    CHECK(!socket_name(c, true, &peer, &len) && len == 7 && !memcmp(&peer, &a, 7));
    CHECK(!socket_shutdown(c, SHUT_WR) && receives(s, buf, 8, &m) == 0);
    CHECK(sends(s, "back", NULL, 0) == 4 && receives(c, buf, 8, &m) == 4);
    file_put(s);
    file_put(l);
    CHECK(socket_connect(o, &a, 7, NULL) == -ECONNREFUSED);
    file_put(c);
    file_put(o);
    net_ns_put(other);
}

SELFTEST(net_unix_datagrams_keep_their_bounds_and_sender)
{
    struct sock_addr a = {.family = AF_UNIX, .data = "\0dg"};
    struct file *r = socket_create(net_ns_init, AF_UNIX, SOCK_DGRAM, 0);
    struct file *s = socket_create(net_ns_init, AF_UNIX, SOCK_DGRAM, 0);
    struct sock_addr none = {.family = AF_UNIX};
    struct socket_message m;
    char buf[8];

    CHECK(!socket_bind(r, &a, 5, NULL) && !socket_bind(s, &none, 2, NULL));
    CHECK(!socket_connect(s, &a, 5, NULL));
    CHECK(sends(s, "first", NULL, 0) == 5 && sends(s, "2", NULL, 0) == 1);
    CHECK(receives(r, buf, 3, &m) == 3 && (m.flags & MSG_TRUNC) && m.addr_len == 8);
    CHECK(receives(r, buf, 8, &m) == 1 && !(m.flags & MSG_TRUNC));
    file_put(r);
    CHECK(sends(s, "x", NULL, 0) == -ECONNREFUSED);
    file_put(s);
}

/* One that failed to listen knows itself as its peer; connected, it forgets that. */
SELFTEST(net_inet_listener_that_failed_connects_and_leaves_nothing)
{
    const struct cred *me = current_cred();
    s32 before = refcount_read(&me->ref);
    struct sock_addr a = {.family = AF_INET, .data = {0, 0, 127, 0, 0, 1}};
    struct file *l[2];
    s32 on = 1;
    u32 len;

    for (int i = 0; i < 2; i++) {
        l[i] = socket_create(net_ns_init, AF_INET, SOCK_STREAM, 0);
        CHECK(!IS_ERR(l[i]));
        CHECK(!socket_set_option(l[i], SOL_SOCKET, 2 /* SO_REUSEADDR */, &on, sizeof(on)));
        CHECK(!socket_bind(l[i], &a, 16, NULL) && !socket_name(l[i], false, &a, &len));
    }
    CHECK(!socket_listen(l[0], 1) && socket_listen(l[1], 1) == -EADDRINUSE);
    CHECK(!socket_connect(l[1], &a, 16, NULL));
    file_put(l[1]);
    file_put(l[0]);
    CHECK(refcount_read(&me->ref) == before);
}

#define SO_RCVBUF 8
#define NEED(cond)        \
    do {                  \
        if (!(cond))      \
            return false; \
    } while (0)

struct net_sender {
    struct file *from;
    ssize_t sent;
    bool done; /* a */
};

static void net_sender_run(void *arg)
{
    struct net_sender *s = arg;

    s->sent = sends(s->from, "second", NULL, 0);
    WRITE_ONCE(s->done, true);
}

/* A sender waits for space at the other end, which gets larger. */
static bool net_goes_on_with_more_space(int type)
{
    static struct net_sender sender;
    const int little = 1, much = 100000;
    struct file *s[2];
    struct thread *t;
    u64 deadline;
    char block[2304] = {1};
    struct iov_iter it;
    struct socket_message m = {.data = &it};

    NEED(!socket_pair(net_ns_init, AF_UNIX, type, 0, s));
    NEED(!socket_set_option(s[1], SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)));
    iov_init_kernel(&it, block, sizeof(block));
    NEED(socket_send(s[0], &m, 0, NULL) == sizeof(block));
    sender = (struct net_sender){.from = s[0]};
    t = thread_create("sender", net_sender_run, &sender);
    NEED(t);
    thread_start(t);
    while (READ_ONCE(t->state) != THREAD_SLEEPING && !READ_ONCE(sender.done))
        cond_yield();
    NEED(!READ_ONCE(sender.done)); /* it waits */
    NEED(!socket_set_option(s[1], SOL_SOCKET, SO_RCVBUF, &much, sizeof(much)));
    deadline = time_ns() + 60 * NSEC_PER_SEC;
    while (!READ_ONCE(sender.done) && time_ns() < deadline)
        sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    NEED(READ_ONCE(sender.done) && sender.sent == 6);
    thread_put(t);
    file_put(s[0]);
    file_put(s[1]);
    return true;
}

SELFTEST(net_unix_sender_goes_on_when_the_receiver_has_more_space)
{
    CHECK(net_goes_on_with_more_space(SOCK_STREAM));
    CHECK(net_goes_on_with_more_space(SOCK_SEQPACKET));
    CHECK(net_goes_on_with_more_space(SOCK_DGRAM));
}
