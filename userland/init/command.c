// SPDX-License-Identifier: MIT
// The console's language: words, quotes, one command a line. No shell.
//
// A command is a built-in (help, poweroff, reboot, debug ...), a program when its first word holds
// a slash, or else a verb of the client `bothy` (whose name may stand in front).
#include "init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/str.h"

#define COMMAND_WORDS_MAX 1024
#define COMMAND_FILE_MAX (1024 * 1024)

/* Splits in place of a shell: blanks separate; '...' is literal; "..." and \ keep the next
 * character. NULL words end the list. False with *why when a quote is open. */
static bool split(const char *line, char **words, int max, int *count, const char **why)
{
    struct buf word = {0};
    char quote = 0;
    bool any = false;

    *count = 0;
    *why = "quote is not closed";
    for (;; line++) {
        char c = *line;

        if (c == 0 || (!quote && (c == ' ' || c == '\t' || c == '\r' || c == '\n'))) {
            if (quote)
                break;
            if (any && *count == max - 1) {
                *why = "too many words";
                break;
            }
            if (any)
                words[(*count)++] = buf_take(&word);
            any = false;
            if (c == 0) {
                words[*count] = NULL;
                return true;
            }
            continue;
        }
        any = true;
        if (quote && c == quote) {
            quote = 0;
        } else if (!quote && (c == '\'' || c == '"')) {
            quote = c;
        } else {
            if (c == '\\' && quote != '\'' && line[1])
                c = *++line;
            buf_char(&word, c);
        }
    }
    while (*count)
        free(words[--*count]);
    buf_free(&word);
    return false;
}

static int command_help(void)
{
    printf("The verbs of `bothy` (try: bothy help), a program by its path, and\n"
           "  debug WORDS   the kernel's own console: try debug help\n"
           "  poweroff      stop everything and switch off\n"
           "  reboot        stop everything and start again\n");
    return 0;
}

/* Writes the words to the kernel's console file and shows its answer. */
static int command_debug(char **words)
{
    int fd = open("/proc/bothy/console", O_RDWR | O_CLOEXEC), rc = 0;
    struct buf line = {0};
    char answer[4096];
    ssize_t n;

    if (fd < 0) {
        printf("debug: /proc/bothy/console: %s\n", strerror(errno));
        return 1;
    }
    for (; *words; words++)
        buf_fmt(&line, "%s%s", line.len ? " " : "", *words);
    if (write(fd, line.data ? line.data : "", line.len) < 0) {
        printf("debug: %s\n", strerror(errno));
        rc = 1;
    } else {
        while ((n = read(fd, answer, sizeof(answer))) > 0)
            fwrite(answer, 1, (size_t)n, stdout);
        rc = n < 0; /* EIO behind the answer: the command failed */
    }
    fflush(stdout);
    buf_free(&line);
    close(fd);
    return rc;
}

static int command_program(char **words, int in, bool foreground)
{
    pid_t pid = spawn(words, in, foreground);
    int status;

    if (pid < 0) {
        printf("%s: %s\n", words[0], strerror(-pid));
        fflush(stdout);
        return pid == -ENOENT ? 127 : 126;
    }
    status = spawn_wait(pid);
    if (foreground)
        tcsetpgrp(0, getpgrp());
    return status;
}

static int command_words(char **words, int count, int in, bool foreground)
{
    if (!strcmp(words[0], "help"))
        return command_help();
    if (!strcmp(words[0], "debug"))
        return command_debug(words + 1);
    if (!strcmp(words[0], "poweroff"))
        init_power(RB_POWER_OFF);
    if (!strcmp(words[0], "reboot"))
        init_power(RB_AUTOBOOT);
    if (strchr(words[0], '/'))
        return command_program(words, in, foreground);
    if (strcmp(words[0], "bothy")) {
        memmove(words + 1, words, sizeof(words[0]) * (size_t)(count + 1));
        words[0] = str_dup("bothy");
    }
    return command_program(words, in, foreground);
}

/* Runs one console command: its status. */
static int command_run(const char *line, int in, bool foreground)
{
    static char *words[COMMAND_WORDS_MAX + 2];
    const char *why;
    int count, status = 0;

    if (!split(line, words, COMMAND_WORDS_MAX, &count, &why)) {
        printf("bothy: %s\n", why);
        fflush(stdout);
        return 2;
    }
    if (count)
        status = command_words(words, count, in, foreground);
    for (int i = 0; words[i]; i++)
        free(words[i]);
    fflush(stdout);
    return status;
}

void frame_begin(int n)
{
    printf("\x01"
           "BOTHY-BEGIN %d\x02\n",
           n);
    fflush(stdout);
}

void frame_end(int n, int status)
{
    printf("\x01"
           "BOTHY-END %d %d\x02\n",
           n, status);
    fflush(stdout);
}

void commands_file(void)
{
    struct buf text = {0};
    int in, n = 0;
    char *line, *next;

    if (file_read("/boot/commands", COMMAND_FILE_MAX, &text)) {
        init_log("/boot/commands cannot be read, or is too long");
        return;
    }
    in = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (line = text.data; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        frame_begin(++n);
        frame_end(n, command_run(line, in, false));
    }
    buf_free(&text);
    close(in);
}

/* One line from the terminal, reaping while it is awaited. False at the end of input. */
static bool console_line(struct buf *line, int signals)
{
    buf_clear(line);
    for (;;) {
        struct pollfd p[2] = {{0, POLLIN, 0}, {signals, POLLIN, 0}};
        struct signalfd_siginfo si;
        char data[4096];
        ssize_t n;

        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return false;
        if (p[1].revents) {
            if (read(signals, &si, sizeof(si)) > 0)
                spawn_reap();
            continue;
        }
        if (!p[0].revents)
            continue;
        n = read(0, data, sizeof(data));
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return false;
        buf_add(line, data, (size_t)n);
        if (line->data[line->len - 1] == '\n')
            return true;
        if (line->len > 65536)
            buf_clear(line);
    }
}

void console_loop(void)
{
    struct buf line = {0};
    sigset_t set;
    int signals;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    for (;;) {
        int status;

        api_announce();
        printf("bothy# ");
        fflush(stdout);
        /* blocked only while the console is awaited: programs start with a clean mask */
        sigprocmask(SIG_BLOCK, &set, NULL);
        spawn_reap();
        if (!console_line(&line, signals)) {
            if (!isatty(0))
                return;
            printf("\n");
            clearerr(stdin);
            continue;
        }
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        status = command_run(line.data, 0, true);
        if (status)
            printf("(status %d)\n", status);
    }
}
