// SPDX-License-Identifier: MIT
#include "server.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t server_begin(uint16_t *port, void (*serve)(int listener, uint16_t port))
{
    struct sockaddr_in me = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(me);
    pid_t pid;

    if (bind(fd, (struct sockaddr *)&me, size) < 0 || listen(fd, 8) < 0 ||
        getsockname(fd, (struct sockaddr *)&me, &size) < 0)
        return -1;
    *port = ntohs(me.sin_port);
    pid = fork();
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(1);
        serve(fd, *port);
        _exit(1);
    }
    close(fd);
    return pid;
}

void server_end(pid_t server)
{
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}
