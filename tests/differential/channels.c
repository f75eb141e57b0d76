/* SPDX-License-Identifier: MIT
 *
 * Pipes, unix sockets and eventfds in sixteen slots, poll and one epoll over them. Nothing blocks.
 */
#include "differential.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 16, PASSED_MAX = 10 };

static int slots[SLOTS], epoll;
static char buffer[DATA_MAX + 1];

/* --- choices, each said --- */

static unsigned slot(void)
{
    unsigned n = below(SLOTS);

    say(" %u", n);
    return n;
}

static unsigned slot_but(unsigned other)
{
    unsigned n = (other + 1 + below(SLOTS - 1)) % SLOTS;

    say(" %u", n);
    return n;
}

static size_t length(void)
{
    static const uint32_t ranges[] = {10, 500, 5000, 4000, 4000, 100000};
    size_t n = below(ONE_OF(ranges));

    say(" of %zu", n);
    return n;
}

static void put(unsigned n, int fd)
{
    if (slots[n] >= 0)
        close(slots[n]);
    slots[n] = fd;
}

static void put_pair(unsigned a, unsigned b, int result, const int *pair)
{
    say_result(result);
    if (result)
        return;
    put(a, pair[0]);
    put(b, pair[1]);
}

static bool is_socket(int fd)
{
    struct stat s;

    return fstat(fd, &s) == 0 && S_ISSOCK(s.st_mode);
}

/* --- making and ending --- */

OPERATION(pipe2, 2)
{
    unsigned a = slot(), b = slot_but(a);
    int flags = O_NONBLOCK | (one_in(5) ? O_DIRECT : 0), pair[2];

    say(" flags %x", flags);
    errno = 0;
    put_pair(a, b, pipe2(pair, flags), pair);
}

OPERATION(socketpair, 2)
{
    static const int types[] = {SOCK_STREAM, SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    unsigned a = slot(), b = slot_but(a);
    int type = ONE_OF(types), pair[2];

    say(" type %d", type);
    errno = 0;
    put_pair(a, b, socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, pair), pair);
}

OPERATION(eventfd, 2)
{
    unsigned n = slot(), first = below(5);
    int flags = one_in(2) ? EFD_SEMAPHORE : 0;

    say(" first %u flags %x", first, flags);
    put(n, eventfd(first, flags | EFD_NONBLOCK));
}

OPERATION(close, 1)
{
    unsigned n = slot();

    RESULT(close(slots[n]));
    slots[n] = -1;
}

OPERATION(shutdown, 1)
{
    int fd = slots[slot()], how = (int)below(4);

    say(" how %d", how);
    RESULT(shutdown(fd, how));
}

OPERATION(dup, 1)
{
    unsigned from = slot(), to = slot_but(from);

    if (slots[from] >= 0)
        put(to, dup(slots[from]));
}

/* --- data --- */

/* Not 8 bytes: to an eventfd they are a number, and write_number's. */
OPERATION(write, 4)
{
    int fd = slots[slot()];
    size_t n = length();

    n += n == sizeof(uint64_t);
    RESULT(write(fd, some_data(n), n));
}

OPERATION(read, 4)
{
    int fd = slots[slot()];
    size_t n = length();

    memset(buffer, 0, n);
    RESULT(read(fd, buffer, n));
    say(" %x", hash(buffer, n));
}

OPERATION(write_number, 2)
{
    static const uint64_t numbers[] = {0, 1, 2, 3, 9, UINT64_MAX - 1, UINT64_MAX};
    uint64_t number = ONE_OF(numbers);
    int fd = slots[slot()];

    say(" %lx", number);
    RESULT(write(fd, &number, sizeof(number)));
}

OPERATION(read_number, 1)
{
    uint64_t number = 0;
    int fd = slots[slot()];

    RESULT(read(fd, &number, sizeof(number)));
    say(" %lx", number);
}

OPERATION(send, 1)
{
    int fd = slots[slot()];
    size_t n = length();

    RESULT(send(fd, some_data(n), n, MSG_NOSIGNAL));
}

OPERATION(recv, 1)
{
    static const int choices[] = {0, MSG_PEEK, MSG_TRUNC, MSG_PEEK | MSG_TRUNC};
    int fd = slots[slot()], flags = ONE_OF(choices);
    size_t n = length() + 1;

    say(" flags %x", flags);
    memset(buffer, 0, n);
    RESULT(recv(fd, buffer, n, flags));
    say(" %x", hash(buffer, n));
}

/* One byte and a descriptor, which is no socket: cycles of them are the collector's business. */
OPERATION(send_descriptor, 1)
{
    unsigned passed = slot(), to = slot();
    char byte = 'Q', control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);

    if (slots[passed] < 0 || is_socket(slots[passed]))
        return;
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &slots[passed], sizeof(int));
    RESULT(sendmsg(slots[to], &m, MSG_NOSIGNAL));
}

OPERATION(receive_descriptor, 1)
{
    unsigned from = slot(), to = slot_but(from);
    char control[CMSG_SPACE(PASSED_MAX * sizeof(int))] = {0};
    struct iovec part = {buffer, one_in(2) ? 1 : 50};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    int got;

    memset(buffer, 0, part.iov_len);
    errno = 0;
    ssize_t n = recvmsg(slots[from], &m, 0);
    say_result(n);
    if (n < 0)
        return;
    say(" flags %x %x", m.msg_flags, hash(buffer, part.iov_len));
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (h && h->cmsg_type == SCM_RIGHTS) {
        memcpy(&got, CMSG_DATA(h), sizeof(got));
        say(" a descriptor");
        put(to, got);
    }
}

/* --- states --- */

/* How much space makes a socket writable is the kernel's business. */
OPERATION(poll, 2)
{
    struct pollfd all[SLOTS];

    for (unsigned i = 0; i < SLOTS; i++)
        all[i] = (struct pollfd){slots[i], POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
    poll(all, SLOTS, 0);
    for (unsigned i = 0; i < SLOTS; i++)
        say(" %x", all[i].revents & ~(is_socket(slots[i]) ? POLLOUT : 0));
}

OPERATION(epoll_ctl, 2)
{
    static const int calls[] = {EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD};
    unsigned n = slot();
    int call = ONE_OF(calls);
    struct epoll_event e = {.data.u32 = n};

    e.events |= one_in(2) ? EPOLLIN : 0;
    e.events |= one_in(3) ? EPOLLET : 0;
    e.events |= one_in(4) ? EPOLLONESHOT : 0;
    e.events |= one_in(3) ? EPOLLRDHUP : 0;
    say(" call %d events %x", call, e.events);
    RESULT(epoll_ctl(epoll, call, slots[n], &e));
}

/* In the order of the slots: that of readiness is the kernel's business. */
OPERATION(epoll_wait, 2)
{
    struct epoll_event ready[4 * SLOTS];
    uint32_t events[SLOTS] = {0};

    errno = 0;
    int n = epoll_wait(epoll, ready, COUNT(ready), 0);
    say_result(n);
    for (int i = 0; i < n; i++)
        events[ready[i].data.u32] |= ready[i].events;
    for (unsigned i = 0; i < SLOTS; i++)
        if (events[i])
            say(" %u:%x", i, events[i]);
}

OPERATION(fionread, 1)
{
    int waiting = -1;

    RESULT(ioctl(slots[slot()], FIONREAD, &waiting));
    say(" %d", waiting);
}

OPERATION(getsockopt, 1)
{
    static const int options[] = {SO_ERROR,    SO_TYPE,      SO_ACCEPTCONN, SO_DOMAIN,
                                  SO_PROTOCOL, SO_REUSEADDR, SO_KEEPALIVE,  SO_PASSCRED};
    int fd = slots[slot()], option = ONE_OF(options), value = -1;
    socklen_t size = sizeof(value);

    say(" option %d", option);
    RESULT(getsockopt(fd, SOL_SOCKET, option, &value, &size));
    say(" %d of %u", value, size);
}

OPERATION(getfl, 1)
{
    RESULT(fcntl(slots[slot()], F_GETFL));
}

void program_begin(unsigned seed, const char *kind)
{
    memset(slots, -1, sizeof(slots));
    epoll = epoll_create1(0);
    if (epoll < 0)
        die("epoll");
}

void program_end(void)
{
    op_poll();
}
