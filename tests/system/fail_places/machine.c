/* SPDX-License-Identifier: MIT
 *
 * The machine as the driver sees it: the engine's answers, the kernel's console with its fail
 * points, and what there is of groups, files, mounts, processes, objects and pages.
 */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fail_places.h"

char answer[ANSWER_MAX];

static int engine_connect(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/run/docker.sock"};
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The status; the whole answer in `answer`. */
int ask(const char *method, const char *path, const char *body)
{
    int fd = engine_connect();
    size_t got = 0;
    ssize_t n;

    answer[0] = '\0';
    if (fd < 0)
        return STATUS_NONE;
    dprintf(fd, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s%zu\r\n\r\n%s", method, path,
            body ? "Content-Type: application/json\r\n" : "",
            "Content-Length: ", body ? strlen(body) : 0, body ? body : "");
    while ((n = read(fd, answer + got, sizeof(answer) - 1 - got)) > 0)
        got += (size_t)n;
    answer[got] = '\0';
    n = n < 0 && errno == EAGAIN;
    close(fd);
    return n ? STATUS_LATE : got > 12 ? atoi(answer + 9) : STATUS_NONE;
}

/* ------------------------------------------------------------- fail points */

int console;
char place[1024];
unsigned places, failed;

__attribute__((format(printf, 1, 2))) void tell(const char *fmt, ...)
{
    char text[128];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    write(console, text, (size_t)n);
}

__attribute__((format(printf, 1, 2))) void complain(const char *fmt, ...)
{
    va_list ap;

    failed++;
    printf("FAIL ");
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf(": %s\n", place);
    fflush(stdout);
}

/* The whole answer of a command of the console. */
char *told(const char *command)
{
    static char text[ANSWER_MAX];
    size_t got = 0;
    ssize_t n;

    tell("%s", command);
    while (got < sizeof(text) - 1 && (n = read(console, text + got, sizeof(text) - 1 - got)) > 0)
        got += (size_t)n;
    text[got] = '\0';
    return text;
}

/* Has a place failed since? Which. */
bool look_at_place(void)
{
    char *text = told("fail places"), *line = strchr(text, '\n');

    places = (unsigned)atoi(text);
    snprintf(place, sizeof(place), "%s", line ? line + 1 : "");
    place[strcspn(place, "\n")] = '\0';
    return place[0];
}

/* ------------------------------------------------------------- what there is */

static unsigned count_lines(const char *path)
{
    FILE *f = fopen(path, "re");
    unsigned n = 0;

    for (int c; f && (c = getc(f)) != EOF;)
        n += c == '\n';
    if (f)
        fclose(f);
    return n;
}

static unsigned count_entries(const char *path, bool (*wanted)(const char *path, const char *name))
{
    DIR *d = opendir(path);
    struct dirent *e;
    unsigned n = 0;

    while (d && (e = readdir(d)))
        n += wanted(path, e->d_name);
    if (d)
        closedir(d);
    return n;
}

static bool is_group(const char *path, const char *name)
{
    struct stat st;
    char whole[512];

    snprintf(whole, sizeof(whole), "%s/%s", path, name);
    return name[0] != '.' && stat(whole, &st) == 0 && S_ISDIR(st.st_mode) &&
           strncmp(name, "job-", 4) != 0;
}

static bool is_process(const char *path, const char *name)
{
    return name[0] >= '1' && name[0] <= '9';
}

struct state state_now(void)
{
    struct state s = {
        .groups = count_entries("/sys/fs/cgroup/bothy", is_group),
        .mounts = count_lines("/proc/1/mounts"),
        .processes = count_entries("/proc", is_process),
    };
    FILE *f = fopen("/proc/sys/fs/file-nr", "re");

    fscanf(f, "%u", &s.files);
    fclose(f);
    return s;
}

static bool same(const struct state *a, const struct state *b)
{
    return a->groups == b->groups && a->files == b->files && a->mounts == b->mounts &&
           a->processes == b->processes;
}

void wait_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* What ends in the background gets a while. */
void compare(const struct state *before)
{
    struct state s = state_now();

    for (int i = 0; i < 2500 && !same(&s, before); i++) {
        wait_a_little();
        s = state_now();
    }
    if (same(&s, before))
        return;
    complain("groups %u to %u, files %u to %u, mounts %u to %u, processes %u to %u stay",
             before->groups, s.groups, before->files, s.files, before->mounts, s.mounts,
             before->processes, s.processes);
    puts(told("threads"));
}

/* ------------------------------------------------------------- objects and pages */

#define KINDS 256
bool each;
static struct kind {
    char name[24];
    long count;
} kinds[KINDS];

long free_kib(void)
{
    char *at = strstr(told("mem"), "free ");

    return at ? atol(at + 5) : 0;
}

void count_objects(bool first)
{
    char *text, *line, *rest;

    told("drop-caches");
    wait_a_little();
    told("drop-caches");
    text = told("slab");
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[24];
        char *at = strstr(line, "objects ");
        unsigned i;

        if (!at || sscanf(line, "%23s", name) != 1)
            continue;
        for (i = 0; i < KINDS - 1 && kinds[i].name[0] && strcmp(kinds[i].name, name) != 0; i++)
            ;
        if (first || !kinds[i].name[0]) {
            strcpy(kinds[i].name, name);
            kinds[i].count = first ? atol(at + 8) : 0;
        }
        if (!first && atol(at + 8) > kinds[i].count + (each ? 0 : 8)) {
            printf("objects %s: %ld to %s: after %s\n", name, kinds[i].count, at + 8, place);
            kinds[i].count = atol(at + 8);
        }
    }
}
