/* SPDX-License-Identifier: MIT
 *
 * What a network costs. One side serves on the machine that is measured, the other asks from
 * elsewhere:
 *
 *   netbench serve PORT                   one order after the other, until one says `end`
 *   netbench ask HOST PORT ORDER N        an order, N of its units; prints how long it took
 *
 * An order is a line on a connection of its own; the server answers it with a line, does the work
 * between two marks (mark.h: 2i and 2i+1 of the i-th kind), and says `done`. Kinds: `out` and `in`
 * N bytes of a stream from the server and to it; `trips` N bytes there and back one by one; `drip`
 * N writes of 200 bytes to a server that begins to read late; `connects` N connections, each with
 * one byte; `dgrams-in` N datagrams of 1400 bytes to it, in portions that it confirms;
 * `dgram-trips` N datagrams of a byte there and back; `lo` N bytes from one process of the server's
 * to another over its loopback; `out1`, `in1`, `out2` and `in2` N bytes of one or each of two
 * streams, which a process on each of the last processors sends or takes; `meanwhile` what other
 * servers there do while the asker runs the command in NETBENCH_COMMAND.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "mark.h"

#define CHUNK 65536
#define DATAGRAM 1400
#define DRIP 200
#define PORTION 16 /* datagrams between two confirmations: they fit in any socket's buffer */

static char chunk[CHUNK];

struct order {
    const char *name;
    void (*serve)(int control, int port, unsigned long n);
    void (*ask)(int control, const char *host, int port, unsigned long n);
};

/* ---- both sides ---- */

static void send_all(int fd, unsigned long n)
{
    while (n) {
        ssize_t k = write(fd, chunk, n < CHUNK ? n : CHUNK);

        bench_need(k > 0, "write");
        n -= (unsigned long)k;
    }
}

static void receive_all(int fd, unsigned long n)
{
    while (n) {
        ssize_t k = read(fd, chunk, n < CHUNK ? n : CHUNK);

        bench_need(k > 0, "read");
        n -= (unsigned long)k;
    }
}

static void echo(int fd, unsigned long n)
{
    char byte;

    while (n--) {
        bench_need(read(fd, &byte, 1) == 1, "read");
        bench_need(write(fd, &byte, 1) == 1, "write");
    }
}

static void ping(int fd, unsigned long n)
{
    char byte = 0;

    while (n--) {
        bench_need(write(fd, &byte, 1) == 1, "write");
        bench_need(read(fd, &byte, 1) == 1, "read");
    }
}

static int bound(int type, int port)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    int fd = socket(AF_INET6, type, 0), on = 1;

    bench_need(fd >= 0, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bench_need(!bind(fd, (struct sockaddr *)&at, sizeof(at)), "bind");
    if (type == SOCK_STREAM)
        bench_need(!listen(fd, 128), "listen");
    return fd;
}

static int connected(const char *host, int port, int type)
{
    struct addrinfo hint = {.ai_socktype = type, .ai_flags = AI_NUMERICHOST}, *a;
    char service[16];
    int fd, on = 1;

    snprintf(service, sizeof(service), "%d", port);
    bench_need(!getaddrinfo(host, service, &hint, &a), "address");
    fd = socket(a->ai_family, type, 0);
    bench_need(fd >= 0 && !connect(fd, a->ai_addr, a->ai_addrlen), "connect");
    if (type == SOCK_STREAM)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    freeaddrinfo(a);
    return fd;
}

/* ---- streams ---- */

static void serve_out(int control, int port, unsigned long n)
{
    MARK(0);
    send_all(control, n);
    echo(control, 1); /* all of it has arrived */
    MARK(1);
}

static void ask_out(int control, const char *host, int port, unsigned long n)
{
    receive_all(control, n);
    ping(control, 1);
}

static void serve_in(int control, int port, unsigned long n)
{
    MARK(2);
    receive_all(control, n);
    MARK(3);
}

static void ask_in(int control, const char *host, int port, unsigned long n)
{
    send_all(control, n);
}

static void serve_trips(int control, int port, unsigned long n)
{
    MARK(4);
    echo(control, n);
    MARK(5);
}

static void ask_trips(int control, const char *host, int port, unsigned long n)
{
    ping(control, n);
}

static void serve_connects(int control, int port, unsigned long n)
{
    int fd = bound(SOCK_STREAM, port + 1);

    echo(control, 1);
    MARK(6);
    while (n--) {
        int conn = accept(fd, NULL, NULL);

        bench_need(conn >= 0, "accept");
        echo(conn, 1);
        close(conn);
    }
    MARK(7);
    close(fd);
}

static void ask_connects(int control, const char *host, int port, unsigned long n)
{
    ping(control, 1);
    while (n--) {
        int fd = connected(host, port + 1, SOCK_STREAM);

        ping(fd, 1);
        close(fd);
    }
}

/* Small writes to one that does not read for a while. */
static void serve_drip(int control, int port, unsigned long n)
{
    usleep(300000);
    MARK(12);
    receive_all(control, n * DRIP);
    MARK(13);
}

static void ask_drip(int control, const char *host, int port, unsigned long n)
{
    while (n--)
        bench_need(write(control, chunk, DRIP) == DRIP, "write");
}

/* ---- datagrams ---- */

static void serve_dgrams_in(int control, int port, unsigned long n)
{
    int fd = bound(SOCK_DGRAM, port + 1);

    echo(control, 1);
    MARK(8);
    for (unsigned long i = 1; i <= n; i++) {
        bench_need(read(fd, chunk, sizeof(chunk)) == DATAGRAM, "a datagram");
        if (i % PORTION == 0)
            bench_need(write(control, chunk, 1) == 1, "write");
    }
    MARK(9);
    close(fd);
}

static void ask_dgrams_in(int control, const char *host, int port, unsigned long n)
{
    int fd;

    ping(control, 1);
    fd = connected(host, port + 1, SOCK_DGRAM);
    for (unsigned long i = 1; i <= n; i++) {
        bench_need(write(fd, chunk, DATAGRAM) == DATAGRAM, "write");
        if (i % PORTION == 0)
            bench_need(read(control, chunk, 1) == 1, "read");
    }
    close(fd);
}

static void serve_dgram_trips(int control, int port, unsigned long n)
{
    int fd = bound(SOCK_DGRAM, port + 1);
    struct sockaddr_storage from;
    char byte;

    echo(control, 1);
    MARK(10);
    while (n--) {
        socklen_t len = sizeof(from);

        bench_need(recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &len) == 1, "recvfrom");
        bench_need(sendto(fd, &byte, 1, 0, (struct sockaddr *)&from, len) == 1, "sendto");
    }
    MARK(11);
    close(fd);
}

static void ask_dgram_trips(int control, const char *host, int port, unsigned long n)
{
    int fd;

    ping(control, 1);
    fd = connected(host, port + 1, SOCK_DGRAM);
    ping(fd, n);
    close(fd);
}

/* ---- flows, a processor each ---- */

#define FLOWS_MOST 2

/* One of them, once `go` says so; tells `done`, and stays until `go` ends. */
static void flow_run(int fd, unsigned i, unsigned long n, bool out, int go, int done)
{
    cpu_set_t set;
    char byte = 0;

    CPU_ZERO(&set);
    CPU_SET((size_t)sysconf(_SC_NPROCESSORS_ONLN) - 1 - i, &set);
    bench_need(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
    echo(fd, 1); /* from there: both ends know which processor the flow is of */
    bench_need(write(done, &byte, 1) == 1, "write");
    bench_need(read(go, &byte, 1) == 1, "read");
    if (out)
        send_all(fd, n);
    else
        receive_all(fd, n);
    echo(fd, 1); /* all of it has arrived */
    bench_need(write(done, &byte, 1) == 1, "write");
    _exit(read(go, &byte, 1) == 1);
}

static void flows_await(int done, unsigned flows)
{
    char byte;

    while (flows--)
        bench_need(read(done, &byte, 1) == 1, "a flow");
}

static void serve_flows(int control, int port, unsigned long n, unsigned flows, bool out)
{
    int listener = bound(SOCK_STREAM, port + 1), go[2], done[2];
    pid_t pid[FLOWS_MOST];

    bench_need(!pipe(go) && !pipe(done), "pipe");
    echo(control, 1);
    for (unsigned i = 0; i < flows; i++) {
        int fd = accept(listener, NULL, NULL);

        bench_need(fd >= 0, "accept");
        pid[i] = fork();
        bench_need(pid[i] >= 0, "fork");
        if (!pid[i]) {
            close(go[1]);
            close(done[0]);
            flow_run(fd, i, n, out, go[0], done[1]);
        }
        close(fd);
    }
    flows_await(done[0], flows);
    MARK(18);
    bench_need(write(go[1], "gogo", flows) == (ssize_t)flows, "write");
    flows_await(done[0], flows);
    MARK(19);
    close(go[1]);
    for (unsigned i = 0; i < flows; i++)
        bench_reap(pid[i]);
    close(go[0]);
    close(done[0]);
    close(done[1]);
    close(listener);
}

static void ask_flows(int control, const char *host, int port, unsigned long n, unsigned flows,
                      bool out)
{
    pid_t pid[FLOWS_MOST];

    ping(control, 1);
    for (unsigned i = 0; i < flows; i++) {
        pid[i] = fork();
        bench_need(pid[i] >= 0, "fork");
        if (!pid[i]) {
            int fd = connected(host, port + 1, SOCK_STREAM);

            ping(fd, 1);
            if (out)
                receive_all(fd, n);
            else
                send_all(fd, n);
            ping(fd, 1);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < flows; i++)
        bench_reap(pid[i]);
}

static void serve_out1(int control, int port, unsigned long n)
{
    serve_flows(control, port, n, 1, true);
}

static void ask_out1(int control, const char *host, int port, unsigned long n)
{
    ask_flows(control, host, port, n, 1, true);
}

static void serve_in1(int control, int port, unsigned long n)
{
    serve_flows(control, port, n, 1, false);
}

static void ask_in1(int control, const char *host, int port, unsigned long n)
{
    ask_flows(control, host, port, n, 1, false);
}

static void serve_out2(int control, int port, unsigned long n)
{
    serve_flows(control, port, n, 2, true);
}

static void ask_out2(int control, const char *host, int port, unsigned long n)
{
    ask_flows(control, host, port, n, 2, true);
}

static void serve_in2(int control, int port, unsigned long n)
{
    serve_flows(control, port, n, 2, false);
}

static void ask_in2(int control, const char *host, int port, unsigned long n)
{
    ask_flows(control, host, port, n, 2, false);
}

/* ---- without this program's wire ---- */

static void serve_lo(int control, int port, unsigned long n)
{
    int fd = bound(SOCK_STREAM, port + 1), conn;
    pid_t pid = fork();

    if (!pid) {
        int out = connected("127.0.0.1", port + 1, SOCK_STREAM);

        receive_all(out, 1);
        send_all(out, n);
        _exit(0);
    }
    conn = accept(fd, NULL, NULL);
    bench_need(pid > 0 && conn >= 0, "accept");
    MARK(16);
    send_all(conn, 1);
    receive_all(conn, n);
    MARK(17);
    bench_need(waitpid(pid, NULL, 0) == pid, "wait");
    close(conn);
    close(fd);
}

static void ask_lo(int control, const char *host, int port, unsigned long n)
{
}

static void serve_meanwhile(int control, int port, unsigned long n)
{
    MARK(14);
    echo(control, 1);
    MARK(15);
}

static void ask_meanwhile(int control, const char *host, int port, unsigned long n)
{
    const char *command = getenv("NETBENCH_COMMAND");

    bench_need(command && system(command) == 0, "the command");
    ping(control, 1);
}

/* ---- orders ---- */

static const struct order orders[] = {
    {"out", serve_out, ask_out},
    {"in", serve_in, ask_in},
    {"trips", serve_trips, ask_trips},
    {"drip", serve_drip, ask_drip},
    {"connects", serve_connects, ask_connects},
    {"dgrams-in", serve_dgrams_in, ask_dgrams_in},
    {"dgram-trips", serve_dgram_trips, ask_dgram_trips},
    {"lo", serve_lo, ask_lo},
    {"out1", serve_out1, ask_out1},
    {"in1", serve_in1, ask_in1},
    {"out2", serve_out2, ask_out2},
    {"in2", serve_in2, ask_in2},
    {"meanwhile", serve_meanwhile, ask_meanwhile},
};

static const struct order *order_named(const char *name)
{
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        if (!strcmp(orders[i].name, name))
            return &orders[i];
    return NULL;
}

static void read_line(int fd, char *line, size_t size)
{
    size_t n = 0;

    do
        bench_need(n + 1 < size && read(fd, line + n, 1) == 1, "a line");
    while (line[n++] != '\n');
    line[n - 1] = '\0';
}

/* True to go on. */
static bool serve_one(int listener, int port)
{
    int control = accept(listener, NULL, NULL), on = 1;
    const struct order *o;
    char line[64], name[32];
    unsigned long n = 0;

    bench_need(control >= 0, "accept");
    setsockopt(control, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    read_line(control, line, sizeof(line));
    bench_need(sscanf(line, "%31s %lu", name, &n) == 2, line);
    o = order_named(name);
    if (o) {
        bench_need(write(control, "go\n", 3) == 3, "write");
        o->serve(control, port, n);
        bench_need(write(control, "done\n", 5) == 5, "write");
    }
    if (!o) { /* until the other has it: this machine may be gone in a moment */
        bench_need(!shutdown(control, SHUT_WR), "shutdown");
        bench_need(read(control, line, 1) == 0, "the other's end");
    }
    close(control);
    return o;
}

static void ask(const char *host, int port, const char *name, unsigned long n)
{
    const struct order *o = order_named(name);
    int control = connected(host, port, SOCK_STREAM);
    char line[64];
    uint64_t begun;

    snprintf(line, sizeof(line), "%s %lu\n", name, n);
    bench_need(write(control, line, strlen(line)) == (ssize_t)strlen(line), "write");
    if (!o) { /* the server ends: it has heard that once it closes */
        bench_need(read(control, line, 1) == 0, "the end");
        close(control);
        return;
    }
    read_line(control, line, sizeof(line));
    begun = bench_now();
    o->ask(control, host, port, n);
    read_line(control, line, sizeof(line));
    printf("%s %lu %.3f s\n", name, n, (double)(bench_now() - begun) / 1e9);
    close(control);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "serve")) {
        int listener = bound(SOCK_STREAM, atoi(argv[2]));

        puts("ready");
        fflush(stdout);
        while (serve_one(listener, atoi(argv[2])))
            ;
        return 0;
    }
    if (argc == 6 && !strcmp(argv[1], "ask")) {
        ask(argv[2], atoi(argv[3]), argv[4], strtoul(argv[5], NULL, 10));
        return 0;
    }
    fprintf(stderr, "netbench serve PORT | ask HOST PORT ORDER N\n");
    return 2;
}
