// SPDX-License-Identifier: MIT
// userland/lib where a hostile input would cost too much: buffers, trees, files that are none.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/child.h"
#include "lib/http.h"
#include "runtime/rootfs.h"
#include "lib/str.h"
#include "harness.h"

#define DEEP 80000

static char *scratch(void)
{
    char *dir = str_dup("/dev/shm/engine-unit-XXXXXX");

    return mkdtemp(dir) ? dir : NULL;
}

/* A chain of directories, each with a file. */
static int deep_tree(const char *top, int depth)
{
    int fd = open(top, O_RDONLY | O_DIRECTORY), next;

    for (int i = 0; i < depth && fd >= 0; i++) {
        int file = openat(fd, "file", O_CREAT | O_WRONLY, 0600);

        if (file < 0 || mkdirat(fd, "d", 0700) < 0)
            return -errno;
        close(file);
        next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = next;
    }
    close(fd);
    return fd < 0 ? -EIO : 0;
}

TEST(tree_remove_needs_few_descriptors_at_any_depth)
{
    struct rlimit old, few;
    char *dir = scratch();
    int err;

    EXPECT(dir && deep_tree(dir, DEEP) == 0);
    getrlimit(RLIMIT_NOFILE, &old);
    few = (struct rlimit){16, old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    err = tree_remove(AT_FDCWD, dir);
    setrlimit(RLIMIT_NOFILE, &old);
    EXPECT(err == 0 && access(dir, F_OK) < 0);
    free(dir);
}

TEST(tree_remove_follows_no_link_and_takes_every_kind)
{
    char *dir = scratch(), *keep = scratch(), *a, *b, *c, *d;

    EXPECT(dir && keep);
    a = str_fmt("%s/link", dir);
    b = str_fmt("%s/fifo", dir);
    c = str_fmt("%s/sub", dir);
    d = str_fmt("%s/kept", keep);
    EXPECT(symlink(keep, a) == 0 && mkfifo(b, 0600) == 0 && mkdir(c, 0) == 0);
    EXPECT(file_write(d, "x", 1, 0600) == 0);
    EXPECT(tree_remove(AT_FDCWD, dir) == 0 && access(dir, F_OK) < 0);
    EXPECT(access(d, F_OK) == 0);
    EXPECT(tree_remove(AT_FDCWD, keep) == 0);
    EXPECT(tree_remove(AT_FDCWD, keep) == 0); /* nothing there is fine */
    free(a), free(b), free(c), free(d), free(dir), free(keep);
}

TEST(file_read_reads_regular_files_only)
{
    char *dir = scratch(), *fifo = str_fmt("%s/fifo", dir), *file = str_fmt("%s/file", dir);
    struct buf b = {0};

    EXPECT(mkfifo(fifo, 0600) == 0);
    EXPECT(file_read(fifo, 100, &b) == -EINVAL); /* and does not wait for a writer */
    EXPECT(file_read("/dev/zero", 100, &b) == -EINVAL);
    EXPECT(file_read(dir, 100, &b) == -EISDIR);
    EXPECT(file_replace(file, "hello", 5, 0600) == 0);
    EXPECT(file_replace(file, "other", 5, 0600) == 0);
    EXPECT(file_read(file, 100, &b) == 0 && b.len == 5 && !memcmp(b.data, "other", 5));
    EXPECT(file_read(file, 4, &b) == -EFBIG);
    EXPECT(tree_remove(AT_FDCWD, dir) == 0);
    buf_free(&b);
    free(dir), free(fifo), free(file);
}

/* Or the engine would wait at its next start for whatever lease the container has on them. */
TEST(files_of_etc_are_made_anew)
{
    struct shared_spec shared = {.hostname = "box"};
    char *dir = scratch(), *hosts = str_fmt("%s/hosts", dir);
    int at = open(dir, O_RDONLY | O_DIRECTORY), old;
    struct buf b = {0};
    struct stat st;

    EXPECT(at >= 0 && etc_files_write(at, &shared, false) == 0);
    old = open(hosts, O_RDONLY);
    EXPECT(old >= 0 && fcntl(old, F_SETLEASE, F_RDLCK) == 0);
    signal(SIGIO, SIG_IGN);
    shared.hostname = "other";
    EXPECT(etc_files_write(at, &shared, false) == 0);
    EXPECT(fcntl(old, F_GETLEASE) == F_RDLCK && fstat(old, &st) == 0 && st.st_nlink == 0);
    EXPECT(file_read(hosts, 1000, &b) == 0 && strstr(b.data, "127.0.1.1\tother\n"));
    EXPECT(close(old) == 0 && close(at) == 0 && tree_remove(AT_FDCWD, dir) == 0);
    buf_free(&b);
    free(dir), free(hosts);
}

TEST(buf_drop_costs_what_it_drops)
{
    struct buf b = {0};
    size_t n = 32 << 20, moved = 0;

    buf_reserve(&b, n);
    memset(b.data, 'x', n);
    b.len = n;
    while (b.len) { /* four million pieces: with a move each it would take an hour */
        buf_drop(&b, 8);
        moved++;
    }
    EXPECT(moved == n / 8);
    buf_free(&b);
}

TEST(buf_keeps_its_bytes_while_it_is_fed_and_emptied)
{
    struct buf b = {0};
    unsigned char in = 0, out = 0;
    u64 seed = 7;
    char *all;

    for (int i = 0; i < 20000; i++) {
        for (u64 n = unit_rand(&seed) % 40; n; n--)
            buf_char(&b, (char)in++);
        for (u64 n = unit_rand(&seed) % 40; n && b.len; n--) {
            EXPECT((unsigned char)b.data[0] == out);
            out++;
            buf_drop(&b, 1);
        }
    }
    buf_char(&b, (char)in);
    all = buf_take(&b);
    EXPECT((unsigned char)*all == out);
    free(all);
}

/* A request of so many parameters: what http_head_parse() says, and how many it kept. */
static int http_parameters(int n, int *kept)
{
    struct http_head h = {0};
    struct buf in = {0};
    size_t scanned = 0;
    int len;

    buf_str(&in, "GET /x?");
    for (int i = 0; i < n; i++)
        buf_fmt(&in, "&&p%d=%d", i, i);
    buf_str(&in, " HTTP/1.1\r\n\r\n");
    len = http_head_parse(&h, &in, &scanned, false);
    *kept = h.nquery;
    len = len == (int)in.len ? 0 : len;
    http_head_free(&h);
    buf_free(&in);
    return len;
}

TEST(http_parameters_are_all_kept_or_the_request_is_refused)
{
    int kept;

    EXPECT(http_parameters(HTTP_QUERY_MAX, &kept) == 0 && kept == HTTP_QUERY_MAX);
    EXPECT(http_parameters(HTTP_QUERY_MAX + 1, &kept) == -E2BIG);
}

TEST(http_trailers_are_bounded)
{
    struct http_body body = {.kind = HTTP_BODY_CHUNKED};
    const char *data, *line = "A: b\r\n";
    size_t len;
    ssize_t n = http_body_next(&body, "0\r\n", 3, &data, &len);

    for (int i = 0; i < 100000 && n > 0; i++)
        n = http_body_next(&body, line, strlen(line), &data, &len);
    EXPECT(n == -EINVAL && !body.done);
}

/* ---- connections ----------------------------------------------------------------------------- */

static int conn_answered;

static void conn_request(struct http_conn *c)
{
}

static void conn_complete(struct http_conn *c)
{
    conn_answered++;
    http_reply(c, 200, NULL, "x", 1);
}

/* Requests that have come together are answered one in each round of the loop, all of them, also
 * to a client that sends no more. */
TEST(http_request_of_a_client_waits_for_other_clients)
{
    static const struct http_ops ops = {conn_request, conn_complete};
    static const char request[] = "GET / HTTP/1.1\r\n\r\n";
    int pair[2], answers = 0;
    char in[4096];
    ssize_t n;

    EXPECT(ev_init() == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    http_conn_new(pair[0], &ops);
    for (int i = 0; i < 5; i++)
        EXPECT(write(pair[1], request, sizeof(request) - 1) == sizeof(request) - 1);
    EXPECT(shutdown(pair[1], SHUT_WR) == 0);
    for (int round = 0, before = 0; conn_answered < 5; round++, before = conn_answered) {
        ev_run_once();
        http_turn();
        EXPECT(conn_answered <= before + 1 && round < 20);
    }
    while ((n = recv(pair[1], in, sizeof(in) - 1, MSG_DONTWAIT)) > 0) {
        in[n] = 0;
        for (char *at = in; (at = strstr(at, "200 OK")); at++)
            answers++;
    }
    EXPECT(answers == 5);
    ev_run_once();
    http_turn();
    close(pair[1]);
}

static void refusing_request(struct http_conn *c)
{
    if (!strcmp(c->req.path, "/no"))
        http_reply(c, 501, NULL, "no", 2);
}

/* Whoever asks first whether to send a body is not told to when it is not wanted. */
TEST(http_body_is_asked_for_only_where_it_is_wanted)
{
    static const struct http_ops ops = {refusing_request, conn_complete};
    static const char head[] = "POST /%s HTTP/1.1\r\nExpect: 100-continue\r\n"
                               "Content-Length: 1\r\n\r\n";

    for (int wanted = 0; wanted < 2; wanted++) {
        char text[256] = "";
        int pair[2], n = snprintf(text, sizeof(text), head, wanted ? "yes" : "no");

        EXPECT(ev_init() == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        http_conn_new(pair[0], &ops);
        EXPECT(write(pair[1], text, (size_t)n) == n);
        ev_run_once();
        http_turn();
        n = (int)recv(pair[1], text, sizeof(text) - 1, MSG_DONTWAIT);
        text[n > 0 ? n : 0] = 0;
        EXPECT(!strncmp(text, wanted ? "HTTP/1.1 100 " : "HTTP/1.1 501 ", 13));
        EXPECT(wanted == !strstr(text, "501"));
        close(pair[1]);
        ev_run_once();
        http_turn();
    }
}

static int early_answers;

static void early_body(struct http_conn *c, const char *data, size_t len)
{
    early_answers++;
    http_reply(c, 200, NULL, "no", 2);
}

static void early_request(struct http_conn *c)
{
    c->on_body = early_body;
}

/* The owner of a body answers within its last piece: the piece is not taken for a request. */
TEST(http_body_that_is_answered_before_its_end_is_no_request)
{
    static const struct http_ops ops = {early_request, conn_complete};
    static const char request[] = "POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\n"
                                  "GET / HTTP/1.1\r\n\r\n";
    int pair[2];

    EXPECT(ev_init() == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    http_conn_new(pair[0], &ops);
    EXPECT(write(pair[1], request, sizeof(request) - 1) == sizeof(request) - 1);
    EXPECT(shutdown(pair[1], SHUT_WR) == 0);
    early_answers = conn_answered = 0;
    for (int round = 0; round < 5; round++) {
        struct pollfd p = {pair[1], POLLIN, 0};

        if (round && poll(&p, 1, 0) > 0 && p.revents & POLLHUP)
            break;
        ev_run_once();
        http_turn();
    }
    EXPECT(early_answers == 1 && conn_answered == 0);
    close(pair[1]);
}
