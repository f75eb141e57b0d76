/* SPDX-License-Identifier: MIT
 *
 * startbench RUNTIME IMAGE: how long a start takes, from the first byte of the create request at
 * the engine's socket to the program's first instruction. Sends create and start over one
 * connection, as a client does, and reads what the image's program (userland/hello) printed; the
 * image is asked for PASSES times. Prints "first NS" and "start NS", the best of the others.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PASSES 6
#define SOCKET "/run/docker.sock"

static char answer[65536];

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "startbench: %s: %s\n", what, answer);
    exit(1);
}

static int dial(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = SOCKET};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("cannot connect to " SOCKET);
    return fd;
}

/* Reads until `end` has come, or to the end of the stream. */
static void hear(int fd, const char *end)
{
    size_t len = 0;
    ssize_t n;

    do {
        n = read(fd, answer + len, sizeof(answer) - 1 - len);
        for (ssize_t i = 0; i < n; i++, len++) /* frames of a log hold zeros */
            answer[len] = answer[len] ? answer[len] : ' ';
        answer[len] = 0;
    } while (n > 0 && len < sizeof(answer) - 1 && !strstr(answer, end));
}

static void say(int fd, const char *method, const char *path, const char *body)
{
    char text[2048];
    int n = snprintf(text, sizeof(text),
                     "%s %s HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     method, path, strlen(body), body);

    if (write(fd, text, (size_t)n) != n)
        die("cannot write");
}

static uint64_t pass(const char *runtime, const char *image)
{
    char body[512], id[80], path[160];
    struct timespec now;
    int fd = dial();
    const char *at;
    double ms;

    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(body, sizeof(body),
             "{\"Image\":\"%s\",\"Env\":[\"HELLO_T0=%lld\"],\"HostConfig\":{\"Runtime\":\"%s\"}}",
             image, (long long)now.tv_sec * 1000000000 + now.tv_nsec, runtime);
    say(fd, "POST", "/containers/create", body);
    hear(fd, "Warnings");
    at = strstr(answer, "\"Id\":\"");
    if (!at)
        die("create");
    snprintf(id, sizeof(id), "%.64s", at + 6);
    snprintf(path, sizeof(path), "/containers/%s/start", id);
    say(fd, "POST", path, "");
    hear(fd, "\r\n\r\n");
    if (!strstr(answer, " 204 "))
        die("start");
    snprintf(path, sizeof(path), "/containers/%s/wait", id);
    say(fd, "POST", path, "");
    hear(fd, "\r\n0\r\n");
    snprintf(path, sizeof(path), "/containers/%s/logs?stdout=1&stderr=1", id);
    say(fd, "GET", path, "");
    hear(fd, "\r\n0\r\n");
    at = strstr(answer, "start:");
    if (!at || sscanf(at, "start: %lf ms after", &ms) != 1)
        die("no start time in the output");
    snprintf(path, sizeof(path), "/containers/%s?force=1", id);
    say(fd, "DELETE", path, "");
    hear(fd, "\r\n\r\n");
    close(fd);
    return (uint64_t)(ms * 1e6);
}

int main(int argc, char **argv)
{
    uint64_t best = UINT64_MAX;

    if (argc != 3)
        die("usage: startbench RUNTIME IMAGE");
    printf("first %llu\n", (unsigned long long)pass(argv[1], argv[2]));
    for (int i = 1; i < PASSES; i++) {
        uint64_t ns = pass(argv[1], argv[2]);

        best = ns < best ? ns : best;
    }
    printf("start %llu\n", (unsigned long long)best);
    return 0;
}
