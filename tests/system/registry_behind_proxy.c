/* SPDX-License-Identifier: MIT
 *
 * registry_behind_proxy SOCKET FOLDER: the engine's HTTPS proxy and the registry behind it, in one:
 * plain requests with absolute URIs over a unix socket. A manifest is the file of its tag's name, a
 * blob that of its digest's; what is uploaded is counted and dropped. It goes to the background
 * when it listens.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD_MAX 16384

static void say(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n <= 0)
            _exit(0);
        p += n;
        len -= (size_t)n;
    }
}

static void answer(int fd, const char *status, const char *headers, size_t len)
{
    char head[512];

    say(fd, head,
        (size_t)snprintf(head, sizeof(head), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status,
                         headers, len));
}

/* A file of the folder, by the last word of the path. */
static void get(int fd, const char *folder, const char *path)
{
    const char *slash = strrchr(path, '/'), *colon = strrchr(path, ':');
    char name[512], data[65536];
    struct stat st;
    ssize_t n;
    int file;

    snprintf(name, sizeof(name), "%s/%s", folder, (colon > slash ? colon : slash) + 1);
    file = open(name, O_RDONLY);
    if (file < 0 || fstat(file, &st) < 0) {
        answer(fd, "404 Not Found", "", 0);
        return;
    }
    answer(fd, "200 OK", "", (size_t)st.st_size);
    while ((n = read(file, data, sizeof(data))) > 0)
        say(fd, data, (size_t)n);
    close(file);
}

/* The head of a request, byte by byte: what follows is its body. */
static int head_of(int fd, char *head)
{
    size_t n = 0;

    while (n < HEAD_MAX - 1 && read(fd, head + n, 1) == 1) {
        head[++n] = 0;
        if (n >= 4 && !memcmp(head + n - 4, "\r\n\r\n", 4))
            return 1;
    }
    return 0;
}

static void serve(int fd, const char *folder)
{
    char head[HEAD_MAX], waste[65536];

    while (head_of(fd, head)) {
        char *length = strstr(head, "Content-Length: "), *path = strchr(head, ' ') + 1;
        size_t left = length ? strtoul(length + 16, NULL, 10) : 0;

        path[strcspn(path, " ?")] = 0;
        while (left) {
            ssize_t n = read(fd, waste, left < sizeof(waste) ? left : sizeof(waste));

            if (n <= 0)
                return;
            left -= (size_t)n;
        }
        if (strncmp(path, "https://reg.example/", 20))
            answer(fd, "502 Bad Gateway", "Content-Type: text/plain\r\n", 0);
        else if (!strncmp(head, "GET ", 4))
            get(fd, folder, path);
        else if (!strncmp(head, "POST ", 5))
            answer(fd, "202 Accepted", "Location: /uploads/1?state=2\r\n", 0);
        else if (!strncmp(head, "PUT ", 4))
            answer(fd, "201 Created", "", 0);
        else
            say(fd, "HTTP/1.1 404 Not Found\r\n\r\n", 26);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (argc != 3)
        return 2;
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", argv[1]);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 16) < 0)
        return 1;
    if (fork())
        return 0;
    setsid();
    for (int i = 0; i < 3; i++)
        dup2(open("/dev/null", O_RDWR), i);
    for (;;) {
        int client = accept(fd, NULL, NULL);

        if (client >= 0 && fork() == 0) {
            serve(client, argv[2]);
            _exit(0);
        }
        close(client);
    }
}
