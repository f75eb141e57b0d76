/* SPDX-License-Identifier: MIT
 *
 * attach_and_leave CONTAINER TEXT: attaches to the container's input, starts it, writes the text as
 * soon as the start is under way, and leaves.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *container;

/* A connection with that request sent. */
static int request(const char *what, const char *headers)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/run/docker.sock"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        return -1;
    dprintf(fd, "POST /containers/%s/%s HTTP/1.1\r\nHost: x\r\n%s\r\n", container, what, headers);
    return fd;
}

static bool answers(int fd, const char *status)
{
    char text[12];
    size_t got = 0;
    ssize_t n;

    while (got < sizeof(text) && (n = read(fd, text + got, sizeof(text) - got)) > 0)
        got += (size_t)n;
    return got == sizeof(text) && !memcmp(text + 9, status, 3);
}

/* Only what is started, and attached to, has a size. */
static bool starts(void)
{
    int fd = request("resize?h=1&w=1", "Connection: close\r\n");
    bool does = answers(fd, "200");

    close(fd);
    return does;
}

int main(int argc, char **argv)
{
    int stream;

    container = argv[1];
    stream = argc == 3 ? request("attach?stream=1&stdin=1", "Upgrade: tcp\r\n") : -1;
    if (!answers(stream, "101") || request("start", "") < 0)
        return 1;
    while (!starts())
        ;
    return write(stream, argv[2], strlen(argv[2])) < 0;
}
