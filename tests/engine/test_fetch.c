// SPDX-License-Identifier: MIT
// The blocking client against a server of this file's.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "lib/fetch.h"
#include "server.h"

static const char fetch_text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/* Answers each request, of one connection after the other; heads come whole here. */
static void fetch_serve(int listener, uint16_t port)
{
    char in[4096];
    int fd;

    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        while (read(fd, in, sizeof(in)) > 0)
            if (write(fd, fetch_text, sizeof(fetch_text) - 1) < 0)
                break;
        close(fd);
    }
}

static pid_t fetch_server(struct url *u)
{
    uint16_t port = 0;
    pid_t server = server_begin(&port, fetch_serve);
    char text[64];

    snprintf(text, sizeof(text), "http://127.0.0.1:%u/", port);
    return url_parse(u, text) ? -1 : server;
}

TEST(fetch_takes_no_answer_for_that_of_a_later_request)
{
    struct buf text = {0};
    struct fetch f;
    struct url u;
    pid_t server = fetch_server(&u);

    EXPECT(server > 0);
    fetch_init(&f, NULL, "", "unit");
    EXPECT(!fetch_open(&f, "GET", &u, NULL, 0) && fetch_answer(&f) == 200);
    EXPECT(!fetch_read_all(&f, &text, 100) && text.len == 5);
    fetch_done(&f);
    EXPECT(f.connected && f.kept);
    EXPECT(!fetch_open(&f, "GET", &u, NULL, 0) && fetch_answer(&f) == 200); /* and no more of it */
    EXPECT(!fetch_open(&f, "GET", &u, NULL, 0) && fetch_answer(&f) == 200);
    buf_clear(&text);
    EXPECT(!fetch_read_all(&f, &text, 100) && text.len == 5);
    fetch_close(&f);
    buf_free(&text);
    server_end(server);
}

TEST(fetch_goes_no_nearer_than_it_may)
{
    struct fetch f;
    struct url u;
    pid_t server = fetch_server(&u);

    EXPECT(server > 0);
    fetch_init(&f, NULL, "", "unit");
    f.nearest = FETCH_OWN;
    EXPECT(fetch_open(&f, "GET", &u, NULL, 0) == -EACCES);
    f.nearest = FETCH_LOCAL;
    EXPECT(!fetch_open(&f, "GET", &u, NULL, 0) && f.place == FETCH_LOCAL);
    fetch_close(&f);
    server_end(server);
}

/* An address that cannot be looked at may be ours; one of a family that we do not speak is not. */
TEST(fetch_takes_what_it_cannot_judge_for_near)
{
    struct rlimit all, none;
    struct fetch f;
    struct url u;
    int err;

    EXPECT(!url_parse(&u, "http://192.0.2.1:9/") && !getrlimit(RLIMIT_NOFILE, &all));
    fetch_init(&f, NULL, "", "unit");
    f.nearest = FETCH_ELSEWHERE;
    f.idle_ms = 1;
    none = (struct rlimit){0, all.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    err = fetch_open(&f, "GET", &u, NULL, 0);
    setrlimit(RLIMIT_NOFILE, &all);
    EXPECT(err == -EACCES && f.place == FETCH_OWN);
    EXPECT(fetch_open(&f, "GET", &u, NULL, 0) != -EACCES && f.place == FETCH_ELSEWHERE);
    EXPECT(!url_parse(&u, "http://[2001:db8::1]:9/"));
    EXPECT(fetch_open(&f, "GET", &u, NULL, 0) != -EACCES && f.place == FETCH_ELSEWHERE);
    fetch_close(&f);
}
