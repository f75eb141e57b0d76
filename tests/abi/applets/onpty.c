/* SPDX-License-Identifier: MIT
 *
 * onpty CMD [ARG]... <SCRIPT: runs a program on a terminal of its own, 24 by 80, and plays a
 * person. A line of the script is "type TEXT" (with \n \e \xHH as in C), "see TEXT" (waits until
 * the program has written it since the last line), "size ROWS COLS" or "show" (prints from here on
 * what it writes). Ends with the program's status; 99 when something awaited does not come within
 * ten seconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static char seen[1 << 20];
static size_t nr_seen;
static bool showing;

static int terminal_open(pid_t *pid, char **argv)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave;

    if (master < 0 || grantpt(master) || unlockpt(master))
        return -1;
    ioctl(master, TIOCSWINSZ, &size);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    *pid = fork();
    if (*pid == 0) {
        setsid();
        ioctl(slave, TIOCSCTTY, 0);
        for (int fd = 0; fd < 3; fd++)
            dup2(slave, fd);
        close(slave);
        close(master);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(slave);
    return *pid < 0 ? -1 : master;
}

/* Takes what the program wrote; false when it has gone or nothing came in time. */
static bool terminal_read(int master)
{
    struct pollfd p = {.fd = master, .events = POLLIN};
    ssize_t n;

    if (nr_seen > sizeof(seen) - 8192)
        nr_seen = 0;
    if (poll(&p, 1, PATIENCE_MS) != 1)
        return false;
    n = read(master, seen + nr_seen, 4096);
    if (n <= 0)
        return false;
    if (showing)
        fwrite(seen + nr_seen, 1, (size_t)n, stdout);
    nr_seen += (size_t)n;
    return true;
}

static bool terminal_see(int master, const char *text)
{
    char *at;

    while (!(at = memmem(seen, nr_seen, text, strlen(text))))
        if (!terminal_read(master))
            return false;
    at += strlen(text);
    nr_seen -= (size_t)(at - seen);
    memmove(seen, at, nr_seen);
    return true;
}

static size_t unescape(char *text)
{
    char *out = text;

    for (char *c = text; *c; c++) {
        if (*c != '\\') {
            *out++ = *c;
            continue;
        }
        switch (*++c) {
        case 'n':
            *out++ = '\r';
            break;
        case 'e':
            *out++ = 27;
            break;
        case 'x':
            *out++ = (char)strtol((char[]){c[1], c[2], 0}, NULL, 16);
            c += 2;
            break;
        default:
            *out++ = *c;
        }
    }
    *out = 0;
    return (size_t)(out - text);
}

static void terminal_size(int master, const char *text)
{
    struct winsize size = {0};

    if (sscanf(text, "%hu %hu", &size.ws_row, &size.ws_col) == 2)
        ioctl(master, TIOCSWINSZ, &size);
}

static bool script_line(int master, char *line)
{
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "type ", 5)) {
        size_t n = unescape(line + 5);
        return write(master, line + 5, n) == (ssize_t)n;
    }
    if (!strncmp(line, "see ", 4)) {
        unescape(line + 4);
        return terminal_see(master, line + 4);
    }
    if (!strncmp(line, "size ", 5))
        terminal_size(master, line + 5);
    else if (!strcmp(line, "show"))
        showing = true;
    return true;
}

int main(int argc, char **argv)
{
    char line[4096];
    int status, master;
    pid_t pid;

    if (argc < 2)
        return 2;
    master = terminal_open(&pid, argv + 1);
    if (master < 0) {
        perror("onpty");
        return 98;
    }
    while (fgets(line, sizeof(line), stdin)) {
        if (script_line(master, line))
            continue;
        printf("onpty: in vain: %s; seen: %.*s\n", line, (int)nr_seen, seen);
        return 99;
    }
    while (terminal_read(master))
        ;
    fflush(stdout);
    if (waitpid(pid, &status, WNOHANG) != pid) {
        usleep(500000);
        if (waitpid(pid, &status, WNOHANG) != pid)
            return 99;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
