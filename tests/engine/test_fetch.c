// SPDX-License-Identifier: MIT
// The blocking client against a server of this file's.
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "lib/fetch.h"

static const char fetch_text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/* Answers each request, of one connection after the other; heads come whole here. */
_Noreturn static void fetch_serve(int listener)
{
    char in[4096];
    int fd;

    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        while (read(fd, in, sizeof(in)) > 0)
            if (write(fd, fetch_text, sizeof(fetch_text) - 1) < 0)
                break;
        close(fd);
    }
    _exit(0);
}

static pid_t fetch_server(struct url *u)
{
    struct sockaddr_in me = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(me);
    char text[64];
    pid_t pid;

    me.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&me, size) < 0 || listen(fd, 8) < 0 ||
        getsockname(fd, (struct sockaddr *)&me, &size) < 0)
        return -1;
    snprintf(text, sizeof(text), "http://127.0.0.1:%u/", ntohs(me.sin_port));
    if (url_parse(u, text))
        return -1;
    pid = fork();
    if (!pid) { /* it ends with a test that fails as well, whose output it has not */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(1);
        fetch_serve(fd);
    }
    close(fd);
    return pid;
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
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
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
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
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
