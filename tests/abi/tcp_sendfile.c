/* SPDX-License-Identifier: MIT
 *
 * sendfile(2) into a TCP connection whose other end is the test itself (peer.h).
 */
#include <sys/sendfile.h>

#include "peer.h"

static unsigned char byte_at(int i)
{
    return (unsigned char)(i * 31 + i / 4096);
}

static int file_of(int bytes)
{
    int fd = memfd_create("file", 0);
    unsigned char block[4096];

    EXPECT(fd >= 0);
    for (int at = 0; at < bytes; at += (int)sizeof(block)) {
        for (int i = 0; i < (int)sizeof(block); i++)
            block[i] = byte_at(at + i);
        EXPECT(write(fd, block, sizeof(block)) == sizeof(block));
    }
    EXPECT(ftruncate(fd, bytes) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

/* Takes n bytes in order, and acknowledges them; those of [from, to) are 'x' or, in a hole, 0. */
static void take_file(struct peer *p, int at, int n, int from, int to, unsigned char other)
{
    struct seg g;

    for (int end = at + n; at < end;) {
        peer_take(p, &g);
        if (g.seq != p->rcv || !g.len)
            continue;
        for (int i = 0; i < g.len; i++, at++)
            EXPECT(g.data[i] == (at >= from && at < to ? other : byte_at(at)));
        p->rcv += (unsigned)g.len;
        peer_send(p, ACK, NULL, 0);
    }
}

TEST(sendfile_brings_a_file_with_a_hole)
{
    enum { bytes = 300001, from = 100 * 1024, to = 200 * 1024 };
    int s, fd = file_of(bytes);
    off_t pos = 1000;
    struct peer p;
    pid_t pid;

    peer_open(&p);
    s = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to - from) == 0);
    peer_connected(&p, s);
    pid = fork();
    if (!pid) {
        EXPECT(sendfile(s, fd, &pos, 1 << 20) == bytes - 1000 && pos == bytes);
        EXPECT(sendfile(s, fd, &pos, 1 << 20) == 0);
        _exit(0);
    }
    take_file(&p, 1000, bytes - 1000, from, to, 0);
    EXPECT(status_of(pid) == 0);
}

TEST(sendfile_that_does_not_wait_says_how_far_it_came)
{
    int s, fd = file_of(4 << 20);
    struct peer p;
    off_t pos = 0;
    ssize_t n;

    peer_open(&p);
    s = socket(AF_INET, SOCK_STREAM, 0);
    set(s, SOL_SOCKET, SO_SNDBUF, 65536);
    peer_connected(&p, s);
    EXPECT(nonblocking(s, true) == 0);
    n = sendfile(s, fd, &pos, 4 << 20);
    EXPECT(n > 0 && n < 4 << 20 && pos == n);
    take_file(&p, 0, (int)n, 0, 0, 0);
    EXPECT(sendfile(s, fd, &pos, 10) == 10);
    take_file(&p, (int)n, 10, 0, 0, 0);
}

/* What waits to be sent again are the file's pages, as they are then. */
TEST(sendfile_of_a_file_that_is_written_and_cut_meanwhile)
{
    int s, fd = file_of(4096);
    struct peer p;
    struct seg g;

    peer_open(&p);
    s = socket(AF_INET, SOCK_STREAM, 0);
    peer_connected(&p, s);
    EXPECT(sendfile(s, fd, NULL, 4096) == 4096);
    peer_take(&p, &g); /* and tells nothing of it */
    EXPECT(g.seq == p.rcv && g.len > 100 && g.data[0] == byte_at(0));
    EXPECT(pwrite(fd, "xxxx", 4, 0) == 4 && ftruncate(fd, 100) == 0 && close(fd) == 0);
    do
        peer_take(&p, &g);
    while (g.seq != p.rcv);
    EXPECT(!memcmp(g.data, "xxxx", 4) && g.data[99] == byte_at(99) && g.data[100] == 0);
}

TEST(sendfile_to_a_peer_that_is_gone)
{
    int s, fd = file_of(65536);
    struct peer p;

    signal(SIGPIPE, SIG_IGN);
    peer_open(&p);
    s = socket(AF_INET, SOCK_STREAM, 0);
    peer_connected(&p, s);
    peer_send(&p, RST, NULL, 0);
    while (get(s, SOL_SOCKET, SO_ERROR) != ECONNRESET)
        sched_yield();
    EXPECT_ERR(sendfile(s, fd, NULL, 65536), EPIPE);
    EXPECT(lseek(fd, 0, SEEK_CUR) == 0);
}
