/* SPDX-License-Identifier: MIT
 *
 * fuzz-netlink [SEED [SECONDS [THREADS]]]: processes, each with a user namespace and net namespaces
 * of its own, whose threads configure the network and use it, well and badly, until the time is
 * over. A process lives two seconds; how it ends is of no interest. Prints what it did.
 * fuzz-netlink wait: a second passes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "net.h"

#define PROCESSES 3
#define THREADS_MOST 8

volatile struct done *done;
static unsigned threads = 3;
static uint64_t seed;

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    close(fd);
    return ok;
}

/* Its own root, with net namespaces of its own. */
static bool isolate(void)
{
    char map[64];
    unsigned uid = getuid(), gid = getgid();

    if (unshare(CLONE_NEWUSER))
        return false;
    snprintf(map, sizeof(map), "0 %u 1", uid);
    if (!write_file("/proc/self/uid_map", map))
        return false;
    snprintf(map, sizeof(map), "0 %u 1", gid);
    if (!write_file("/proc/self/setgroups", "deny") || !write_file("/proc/self/gid_map", map))
        return false;
    for (unsigned i = 0; i < NAMESPACES; i++) {
        if (unshare(CLONE_NEWNET))
            return false;
        shared.ns[i] = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    }
    return true;
}

static void *work(void *arg)
{
    struct chance *c = arg;

    for (;;) {
        if (chance_of(c, 4))
            socket_deed(c);
        else
            netlink_deed(c);
        __atomic_fetch_add(&done->deeds, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void nothing(int sig)
{
    (void)sig;
}

static void process(uint64_t number)
{
    static struct chance chances[THREADS_MOST];
    struct chance c = {seed * 1000003 + number};
    struct sigaction wake = {.sa_handler = nothing};
    pthread_t thread[THREADS_MOST];
    unsigned n = 0;

    values_init();
    if (!isolate())
        _exit(3);
    netlink_begin();
    netlink_open_all(&c);
    sigaction(SIGUSR2, &wake, NULL);
    alarm(2);
    for (unsigned i = 0; i < threads; i++) {
        chances[i].state = chance_u64(&c);
        n += pthread_create(&thread[n], NULL, work, &chances[i]) == 0;
    }
    for (unsigned i = 0; n; i = (i + 1) % n) { /* a call that waits is interrupted */
        usleep(5000);
        pthread_kill(thread[i], SIGUSR2);
    }
    _exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    double end = now() + (argc > 2 ? atof(argv[2]) : 10);
    uint64_t number = 0, refused = 0;
    unsigned running = 0;
    int status;

    if (argc > 1 && !strcmp(argv[1], "wait"))
        return (int)sleep(1);
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    threads = argc > 3 ? (unsigned)atoi(argv[3]) % THREADS_MOST : 3;
    done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    while (now() < end || running) {
        while (running < PROCESSES && now() < end) {
            pid_t pid = fork();

            if (pid == 0)
                process(number);
            if (pid < 0)
                break;
            number++;
            running++;
        }
        if (waitpid(-1, &status, 0) < 0)
            break;
        running--;
        refused += WIFEXITED(status) && WEXITSTATUS(status) == 3;
    }
    printf("ok %lu deeds in %lu processes, %lu without namespaces of their own; requests: %lu "
           "done, %lu "
           "refused; %lu messages told\n",
           (unsigned long)done->deeds, (unsigned long)number, (unsigned long)refused,
           (unsigned long)done->accepted, (unsigned long)done->refused, (unsigned long)done->told);
    return !done->accepted || !done->told;
}
