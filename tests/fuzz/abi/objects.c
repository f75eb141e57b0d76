/* SPDX-License-Identifier: MIT
 *
 * The descriptors that calls are tried on. They stay at low numbers, where dup2 and close reach
 * them.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "fuzz.h"

#define OBJECTS 56

void objects_open(struct chance *c)
{
    int pair[2];
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (pipe2(pair, O_NONBLOCK) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) ||
        socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair))
        return; /* fewer kinds, where memory is short */
    open("a", O_RDWR | O_CREAT | O_NONBLOCK, 0644);
    open("a", O_RDONLY);
    open(".", O_RDONLY | O_DIRECTORY);
    open("d", O_PATH);
    open("fifo", O_RDWR | O_NONBLOCK);
    memfd_create("m", MFD_ALLOW_SEALING);
    eventfd((unsigned)chance_below(c, 3), EFD_NONBLOCK);
    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    signalfd(-1, &set, SFD_NONBLOCK);
    inotify_init1(IN_NONBLOCK);
    epoll_create1(0);
    epoll_create1(0);
    socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
    open("/dev/kvm", O_RDWR);
    open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK);
    open("/sys/fs/cgroup/cgroup.procs", O_RDWR);
    open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY);
    open("/proc/self/task", O_RDONLY | O_DIRECTORY);
    open("/proc/self/mountinfo", O_RDONLY);
    open("/proc/self/pagemap", O_RDONLY);
    open("/proc/self/uid_map", O_RDWR);
    open("/dev/null", O_RDWR);
    open("/dev/zero", O_RDWR);
    open("/proc/self/maps", O_RDONLY);
    open("/proc/self/mem", O_RDWR);
    open("/proc/self/ns/uts", O_RDONLY);
    syscall(SYS_pidfd_open, getpid(), 0);
}

int object_any(struct chance *c)
{
    static const int odd[] = {-1, -2, -100, 1023, 1024, 65536, 0x7fffffff, -0x7fffffff - 1};

    if (chance_of(c, 16))
        return odd[chance_below(c, sizeof(odd) / sizeof(*odd))];
    return 3 + (int)chance_below(c, OBJECTS);
}
