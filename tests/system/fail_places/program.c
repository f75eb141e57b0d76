/* SPDX-License-Identifier: MIT
 *
 * What the kernel is asked for by one process of its own: files, events, sockets, memory, processes
 * and mounts (program_calls), and a disk (program_disk). Whatever is refused is passed over.
 */
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail_places.h"

static void *thread_main(void *arg)
{
    return arg;
}

static void do_files(void)
{
    char text[8192] = "text";
    int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0600), dir;
    DIR *d;

    write(fd, text, sizeof(text));
    pread(fd, text, sizeof(text), 0);
    ftruncate(fd, 100);
    flock(fd, LOCK_EX);
    fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_len = 10});
    fcntl(fd, F_SETLK, &(struct flock){.l_type = F_UNLCK, .l_start = 3, .l_len = 3});
    link("f", "g");
    rename("g", "h");
    symlink("f", "s");
    mkdir("d", 0700);
    rename("h", "d/h");
    if ((d = opendir("d"))) {
        while (readdir(d))
            ;
        closedir(d);
    }
    dir = open("d", O_PATH | O_DIRECTORY);
    unlinkat(dir, "h", 0);
    close(dir);
    unlink("d/h");
    rmdir("d");
    unlink("s");
    unlink("h");
    unlink("g");
    unlink("f");
    close(fd);
    mknod("p", S_IFIFO | 0600, 0);
    fd = open("p", O_RDWR | O_NONBLOCK);
    write(fd, text, 5000);
    close(fd);
    unlink("p");
}

static void do_events(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    int p[2] = {-1, -1}, ep = epoll_create1(0), t, ino;
    char text[4096];

    pipe(p);
    write(p[1], text, sizeof(text));
    epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e);
    t = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(t, 0, &(struct itimerspec){.it_value.tv_nsec = 1}, NULL);
    epoll_ctl(ep, EPOLL_CTL_ADD, t, &e);
    epoll_wait(ep, &e, 1, 0);
    read(p[0], text, sizeof(text));
    ino = inotify_init1(IN_NONBLOCK);
    inotify_add_watch(ino, ".", IN_ALL_EVENTS);
    close(open("watched", O_CREAT | O_RDWR, 0600));
    unlink("watched");
    read(ino, text, sizeof(text));
    poll((struct pollfd[]){{p[0], POLLIN, 0}, {t, POLLIN, 0}, {ep, POLLIN, 0}}, 3, 0);
    close(ino);
    close(t);
    close(ep);
    close(p[0]);
    close(p[1]);
    close(eventfd(0, 0));
}

/* A connection to itself, with bytes each way and a descriptor where the family has them. */
static void do_stream(int family, void *name, socklen_t len)
{
    int l = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), c, a;
    char text[3000] = {0};

    bind(l, name, len);
    listen(l, 4);
    getsockname(l, name, &len);
    c = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(c, name, len);
    fcntl(l, F_SETFL, O_NONBLOCK);
    a = accept(l, NULL, NULL);
    send(c, text, sizeof(text), MSG_NOSIGNAL);
    recv(a, text, sizeof(text), MSG_DONTWAIT);
    send(a, text, sizeof(text), MSG_NOSIGNAL);
    close(a);
    close(c);
    close(l);
}

static void do_datagrams(int family)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    void *name = family == AF_INET ? (void *)&any4 : &any;
    socklen_t len = family == AF_INET ? sizeof(any4) : sizeof(any);
    int s = socket(family, SOCK_DGRAM, 0);
    char text[500] = {0};

    bind(s, name, len);
    getsockname(s, name, &len);
    sendto(s, text, sizeof(text), 0, name, len);
    recv(s, text, sizeof(text), MSG_DONTWAIT);
    close(s);
}

/* A descriptor goes over a pair. */
static void do_pass(void)
{
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
    struct iovec v = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int s[2] = {-1, -1}, got = -1;

    socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &s[0], sizeof(int));
    sendmsg(s[0], &m, MSG_DONTWAIT);
    m.msg_controllen = sizeof(control);
    if (recvmsg(s[1], &m, MSG_DONTWAIT) == 1 && (c = CMSG_FIRSTHDR(&m))) {
        memcpy(&got, CMSG_DATA(c), sizeof(int));
        close(got);
    }
    close(s[0]);
    close(s[1]);
}

static void do_sockets(void)
{
    struct sockaddr_un un = {AF_UNIX, "sock"};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

    do_stream(AF_UNIX, &un, sizeof(un));
    unlink("sock");
    do_stream(AF_INET, &in, sizeof(in));
    do_stream(AF_INET6, &in6, sizeof(in6));
    do_datagrams(AF_INET);
    do_datagrams(AF_INET6);
    do_pass();
}

static void do_memory(void)
{
    size_t size = 3 << 20;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int shm = shmget(IPC_PRIVATE, 8192, 0600), sem = semget(IPC_PRIVATE, 2, 0600);
    int fd = memfd_create("m", 0);
    char *q, *s = shm >= 0 ? shmat(shm, NULL, 0) : (void *)-1;

    if (p != MAP_FAILED) {
        for (size_t i = 0; i < 64 << 12; i += 4096)
            p[i] = 1;
        mprotect(p + 8192, 4096, PROT_READ);
        mprotect(p + 8192, 4096, PROT_READ | PROT_WRITE);
        munmap(p + 16384, 4096);
        q = mremap(p, 16384, 1 << 20, MREMAP_MAYMOVE);
        if (q != MAP_FAILED)
            munmap(q, 1 << 20);
        munmap(p, size);
    }
    if (s != (void *)-1) {
        s[0] = 1;
        shmdt(s);
    }
    shmctl(shm, IPC_RMID, NULL);
    if (sem >= 0)
        semop(sem, &(struct sembuf){0, 1, SEM_UNDO}, 1);
    semctl(sem, 0, IPC_RMID);
    ftruncate(fd, 65536);
    q = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (q != MAP_FAILED) {
        q[0] = q[40000] = 1;
        munmap(q, 65536);
    }
    close(fd);
}

static void do_mounts(void)
{
    mkdir("m", 0700);
    if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) == 0) {
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
        if (mount("t", "m", "tmpfs", 0, NULL) == 0) {
            close(open("m/x", O_CREAT | O_RDWR, 0600));
            mkdir("m/up", 0700);
            mkdir("m/work", 0700);
            mkdir("m/on", 0700);
            if (mount("o", "m/on", "overlay", 0, "lowerdir=/bin,upperdir=m/up,workdir=m/work") ==
                0) {
                close(open("m/on/y", O_CREAT | O_RDWR, 0600));
                chmod("m/on/hello", 0700);
                umount("m/on");
            }
            umount2("m", MNT_DETACH);
        }
    }
    rmdir("m");
}

static void do_processes(void)
{
    pthread_t t;
    int status;
    pid_t pid;

    if (pthread_create(&t, NULL, thread_main, NULL) == 0)
        pthread_join(t, NULL);
    pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "fail_places", "nothing", NULL);
        _exit(1);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    pid = fork();
    if (pid == 0) {
        unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWCGROUP);
        pid = fork();
        if (pid > 0)
            waitpid(pid, &status, 0);
        _exit(0);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    signal(SIGUSR1, SIG_IGN);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1});
}

/* A disk through its cache, with fsync, and past it. */
int program_disk(void)
{
    char *block = aligned_alloc(4096, 16384);
    int fd = open("/dev/vda", O_RDWR), direct = open("/dev/vda", O_RDWR | O_DIRECT);

    alarm(20);
    pread(fd, block, 16384, 0);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    pread(fd, block, 16384, 65536);
    for (int i = 0; i < 4; i++)
        pwrite(fd, block, 5000, i * 40000);
    fsync(fd);
    pread(direct, block, 16384, 0);
    pwrite(direct, block, 16384, 16384);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(direct);
    close(fd);
    return 0;
}

int program_calls(void)
{
    signal(SIGRTMIN, SIG_IGN);
    alarm(20);
    chdir("/tmp");
    do_files();
    do_events();
    do_sockets();
    do_memory();
    do_processes();
    do_mounts();
    return 0;
}

static void on_term(int sig)
{
    _exit(0);
}

int program_inside(void)
{
    signal(SIGTERM, on_term);
    write(1, "inside\n", 7);
    for (;;)
        pause();
}
