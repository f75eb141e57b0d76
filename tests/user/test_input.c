// SPDX-License-Identifier: MIT
// What a worker is fed: lines, then what follows them; and files read at a place.
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/str.h"

static const char input[] = "first line\n\x1f\x8b\x08\n\nthe rest";
static int input_fd;
static size_t input_at;

/* Each byte comes only after the read that waits for it has been interrupted. */
static void input_next(int sig)
{
    if (input_at == sizeof(input) - 1)
        shutdown(input_fd, SHUT_WR);
    else if (write(input_fd, &input[input_at++], 1) != 1)
        _exit(1);
}

static int input_begin(int fd[2])
{
    struct sigaction act = {.sa_handler = input_next}; /* without SA_RESTART */
    struct itimerval often = {{0, 500}, {0, 500}};

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
        return -errno;
    input_fd = fd[1];
    input_at = 0;
    return sigaction(SIGALRM, &act, NULL) < 0 || setitimer(ITIMER_REAL, &often, NULL) < 0 ? -errno
                                                                                          : 0;
}

static void input_end(int fd)
{
    struct itimerval never = {0};

    setitimer(ITIMER_REAL, &never, NULL);
    close(input_fd);
    close(fd);
}

TEST(lines_of_a_stream_are_whole_whatever_interrupts_their_reading)
{
    char line[16];
    int fd[2], n[4] = {0};
    bool same = true;

    EXPECT(input_begin(fd) == 0);
    n[0] = fd_line(fd[0], line, sizeof(line));
    same = same && !strcmp(line, "first line");
    n[1] = fd_line(fd[0], line, sizeof(line));
    same = same && !strcmp(line, "\x1f\x8b\x08");
    n[2] = fd_line(fd[0], line, sizeof(line));
    same = same && !*line;
    n[3] = fd_line(fd[0], line, sizeof(line)); /* no line any more */
    input_end(fd[0]);
    EXPECT(same && n[0] == 1 && n[1] == 1 && n[2] == 1 && n[3] == -EPROTO);
}

TEST(a_line_takes_nothing_of_what_follows_it)
{
    char line[12], rest[32];
    int fd[2];

    EXPECT(pipe(fd) == 0);
    EXPECT(write(fd[1], input, sizeof(input) - 1) == sizeof(input) - 1);
    close(fd[1]);
    EXPECT(fd_line(fd[0], line, sizeof(line)) == 1 && fd_line(fd[0], line, sizeof(line)) == 1 &&
           fd_line(fd[0], line, sizeof(line)) == 1 && !*line);
    EXPECT(read(fd[0], rest, sizeof(rest)) == 8 && !memcmp(rest, "the rest", 8));
    EXPECT(fd_line(fd[0], line, sizeof(line)) == 0);
    close(fd[0]);
    EXPECT(fd_line(fd[0], line, sizeof(line)) == -EBADF);
}

TEST(a_line_that_does_not_fit_is_an_error)
{
    char line[10];
    int fd[2];

    EXPECT(pipe(fd) == 0);
    EXPECT(write(fd[1], input, sizeof(input) - 1) == sizeof(input) - 1);
    EXPECT(fd_line(fd[0], line, sizeof(line)) == -E2BIG);
    close(fd[0]);
    close(fd[1]);
}

TEST(a_file_is_read_at_its_place_up_to_its_end)
{
    char path[] = "/dev/shm/user-input-XXXXXX", data[16];
    int fd = mkstemp(path);

    EXPECT(fd >= 0 && write(fd, "0123456789", 10) == 10);
    unlink(path);
    EXPECT(read_at(fd, data, 4, 3) == 4 && !memcmp(data, "3456", 4));
    EXPECT(read_at(fd, data, 16, 8) == 2 && !memcmp(data, "89", 2));
    EXPECT(read_at(fd, data, 16, 10) == 0 && read_at(fd, data, 0, 0) == 0);
    close(fd);
    EXPECT(read_at(fd, data, 1, 0) == -EBADF);
}
