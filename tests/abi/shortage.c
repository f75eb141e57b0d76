/* SPDX-License-Identifier: MIT
 *
 * Descriptors, processes, mounts and mappings while there is no memory for some part of them
 * (starve.h).
 */
#include "starve.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/* ------------------------------------------------------------- descriptors of other kinds */

static int do_pipe(void)
{
    return result(pipe(fd));
}
static int do_pair(void)
{
    return result(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
}
static int do_bind(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};
    int err = opened(0, socket(AF_UNIX, SOCK_STREAM, 0));

    return err ? err : result(bind(fd[0], (struct sockaddr *)&a, sizeof(a)));
}
static void undo_bind(void)
{
    EXPECT(unlink("sock") == 0);
}

static struct sockaddr_un unix_name = {.sun_family = AF_UNIX, .sun_path = "\0starved"};
static struct sockaddr_in inet_name;
static int unix_listener, inet_listener;

static int do_connect(void)
{
    int err = opened(0, socket(AF_UNIX, SOCK_STREAM, 0));

    return err ? err : result(connect(fd[0], (struct sockaddr *)&unix_name, sizeof(unix_name)));
}
static void undo_connect(void)
{
    EXPECT((fd[1] = accept(unix_listener, NULL, NULL)) >= 0);
}
static int do_inet_connect(void)
{
    int err = opened(0, socket(AF_INET, SOCK_STREAM, 0));

    return err ? err : result(connect(fd[0], (struct sockaddr *)&inet_name, sizeof(inet_name)));
}
static void undo_inet_connect(void)
{
    EXPECT((fd[1] = accept(inet_listener, NULL, NULL)) >= 0);
}

/* A connection that was not accepted waits still. */
static int do_accept(void)
{
    int err;

    prctl(PR_SET_NAME, "fed");
    fd[1] = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT(connect(fd[1], (struct sockaddr *)&unix_name, sizeof(unix_name)) == 0);
    prctl(PR_SET_NAME, "starved");
    err = opened(0, accept(unix_listener, NULL, NULL));
    prctl(PR_SET_NAME, "fed");
    EXPECT(!err || (fd[0] = accept(unix_listener, NULL, NULL)) >= 0);
    return err;
}
static int do_udp(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int err = opened(0, socket(AF_INET, SOCK_DGRAM, 0));

    if (!err)
        err = result(bind(fd[0], (struct sockaddr *)&a, sizeof(a)));
    a.sin_port = htons(9);
    return err ? err : result(connect(fd[0], (struct sockaddr *)&a, sizeof(a)));
}
static int do_epoll(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    int err = opened(0, epoll_create1(0));

    return err ? err : result(epoll_ctl(fd[0], EPOLL_CTL_ADD, unix_listener, &e));
}
static int do_eventfd(void)
{
    return opened(0, eventfd(0, 0));
}
static int do_timerfd(void)
{
    return opened(0, timerfd_create(CLOCK_MONOTONIC, 0));
}
static int do_signalfd(void)
{
    sigset_t set;

    sigemptyset(&set);
    return opened(0, signalfd(-1, &set, 0));
}
static int do_memfd(void)
{
    return opened(0, memfd_create("starved", 0));
}
static int do_pidfd(void)
{
    return opened(0, (int)syscall(SYS_pidfd_open, getpid(), 0));
}
static int do_dup_high(void)
{
    return opened(0, fcntl(0, F_DUPFD, 200));
}
static int do_pty(void)
{
    return opened(0, open("/dev/ptmx", O_RDWR | O_NOCTTY));
}
static int do_open_ns(void)
{
    return opened(0, open("/proc/self/ns/mnt", O_RDONLY));
}

/* Two descriptors on their way to oneself: what is received is one of the message, and as many of
 * them as there is memory for. */
static int do_rights(void)
{
    char byte = 'x', control[CMSG_SPACE(2 * sizeof(int))];
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int err = result(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));

    if (err)
        return err;
    *c = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), (int[]){0, 1}, 2 * sizeof(int));
    if (sendmsg(fd[0], &m, 0) < 0)
        return errno;
    byte = 0;
    m.msg_controllen = sizeof(control);
    err = result(recvmsg(fd[1], &m, MSG_DONTWAIT));
    if (err) {
        prctl(PR_SET_NAME, "fed");
        EXPECT(recv(fd[1], &byte, 1, MSG_DONTWAIT) == 1); /* not taken, then */
        return err;
    }
    c = CMSG_FIRSTHDR(&m);
    for (int i = 0; c && CMSG_LEN((size_t)(i + 1) * sizeof(int)) <= c->cmsg_len; i++)
        memcpy(&fd[2 + i], CMSG_DATA(c) + (size_t)i * sizeof(int), sizeof(int));
    EXPECT(byte == 'x' &&
           ((c && c->cmsg_len == CMSG_LEN(2 * sizeof(int))) || m.msg_flags & MSG_CTRUNC));
    return 0;
}

static const struct call on_descriptors[] = {
    {"pipe", do_pipe, NULL},
    {"socketpair", do_pair, NULL},
    {"bind to a path", do_bind, undo_bind},
    {"connect", do_connect, undo_connect},
    {"connect to a port", do_inet_connect, undo_inet_connect},
    {"accept", do_accept, NULL},
    {"datagrams", do_udp, NULL},
    {"SCM_RIGHTS", do_rights, NULL},
    {"epoll_ctl", do_epoll, NULL},
    {"eventfd", do_eventfd, NULL},
    {"timerfd", do_timerfd, NULL},
    {"signalfd", do_signalfd, NULL},
    {"memfd_create", do_memfd, NULL},
    {"pidfd_open", do_pidfd, NULL},
    {"a large descriptor", do_dup_high, NULL},
    {"a terminal", do_pty, NULL},
    {"a namespace's file", do_open_ns, NULL},
    {NULL, NULL, NULL},
};

TEST(descriptors_are_made_whole_or_not_at_all)
{
    socklen_t len = sizeof(inet_name);

    begin_with("mode=755");
    unix_listener = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT(bind(unix_listener, (struct sockaddr *)&unix_name, sizeof(unix_name)) == 0);
    inet_name =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    inet_listener = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(bind(inet_listener, (struct sockaddr *)&inet_name, sizeof(inet_name)) == 0);
    EXPECT(fcntl(unix_listener, F_SETFL, O_NONBLOCK) == 0);
    EXPECT(listen(unix_listener, 8) == 0 && listen(inet_listener, 8) == 0);
    EXPECT(getsockname(inet_listener, (struct sockaddr *)&inet_name, &len) == 0);
    starve_all(on_descriptors);
}

/* ------------------------------------------------------------- processes and namespaces */

static pid_t child;

static int do_fork(void)
{
    child = fork();
    if (child == 0)
        _exit(0);
    return result(child);
}
static void undo_fork(void)
{
    expect_success(child);
}
static int do_vfork(void)
{
    child = (pid_t)syscall(SYS_clone, CLONE_VFORK | CLONE_PIDFD | SIGCHLD, NULL, &fd[0], NULL, 0);
    if (child == 0)
        _exit(0);
    return result(child);
}

static void *idle(void *arg)
{
    return NULL;
}
static pthread_t thread;
static int do_thread(void)
{
    return pthread_create(&thread, NULL, idle, NULL);
}
static void undo_thread(void)
{
    EXPECT(pthread_join(thread, NULL) == 0);
}

/* In a child, which says by its status what it came to. */
static int in_child(int (*act)(void))
{
    int status;
    pid_t pid;

    prctl(PR_SET_NAME, "fed");
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "starved");
        _exit(act());
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) /* past the point of no return */
        return ENOMEM;
    EXPECT(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int exec_self(void)
{
    char *argv[] = {"shortage", "none", NULL}, *envp[] = {NULL};

    execve("/proc/self/exe", argv, envp);
    return errno;
}
static int do_exec(void)
{
    return in_child(exec_self);
}

#define NAMESPACES \
    (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWCGROUP)

static int unshare_all(void)
{
    return result(unshare(NAMESPACES));
}
static int do_unshare(void)
{
    return in_child(unshare_all);
}
static int do_clone_all(void)
{
    child = (pid_t)syscall(SYS_clone, NAMESPACES | SIGCHLD, NULL, NULL, NULL, 0);
    if (child == 0)
        _exit(0);
    return result(child);
}
static int unshare_user(void)
{
    return result(unshare(CLONE_NEWUSER | CLONE_NEWNS));
}
static int do_unshare_user(void)
{
    return in_child(unshare_user);
}
static int do_setns(void)
{
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), err;

    fd[0] = pidfd;
    if (pidfd < 0)
        return errno;
    err = result(setns(pidfd, CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET));
    return err;
}
static int do_groups(void)
{
    gid_t groups[20] = {1, 2, 3};

    return result(setgroups(20, groups));
}
static int do_setuid(void)
{
    return result(setresuid(-1, 0, 0));
}
static timer_t timer;
static int do_timer(void)
{
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};

    return result(timer_create(CLOCK_THREAD_CPUTIME_ID, &e, &timer));
}
static void undo_timer(void)
{
    EXPECT(timer_delete(timer) == 0);
}
static int do_mount(void)
{
    return result(mount("t", "dir", "tmpfs", 0, "mode=755"));
}
static int do_mount_pts(void)
{
    return result(mount("t", "dir", "devpts", 0, "newinstance,ptmxmode=0666"));
}
static void undo_mount_pts(void)
{
    EXPECT(access("dir/ptmx", F_OK) == 0 && umount("dir") == 0);
}
static int do_mount_proc(void)
{
    return result(mount("t", "dir", "proc", 0, NULL));
}
static int do_bind_mount(void)
{
    return result(mount("/", "dir", NULL, MS_BIND | MS_REC, NULL));
}
static void undo_bind_mount(void)
{
    EXPECT(umount2("dir", MNT_DETACH) == 0);
}
static void undo_mount(void)
{
    EXPECT(umount("dir") == 0);
}
static int do_overlay(void)
{
    return result(overlay("dir"));
}
static int do_read_mounts(void)
{
    char buf[4096];
    int err = opened(0, open("/proc/self/mountinfo", O_RDONLY));

    return err ? err : result(read(fd[0], buf, sizeof(buf)));
}

static int do_make_group(void)
{
    return result(mkdir("groups/starved", 0755));
}
static void undo_make_group(void)
{
    EXPECT(rmdir("groups/starved") == 0);
}

static const struct call on_processes[] = {
    {"fork", do_fork, undo_fork},
    {"clone with a pidfd", do_vfork, undo_fork},
    {"pthread_create", do_thread, undo_thread},
    {"execve", do_exec, NULL},
    {"unshare", do_unshare, NULL},
    {"clone into namespaces", do_clone_all, undo_fork},
    {"unshare of users", do_unshare_user, NULL},
    {"setns", do_setns, NULL},
    {"setgroups", do_groups, NULL},
    {"setresuid", do_setuid, NULL},
    {"timer_create", do_timer, undo_timer},
    {"mount of a tmpfs", do_mount, undo_mount},
    {"mount of a devpts", do_mount_pts, undo_mount_pts},
    {"mount of a proc", do_mount_proc, undo_mount},
    {"bind mount", do_bind_mount, undo_bind_mount},
    {"mount of an overlay", do_overlay, undo_mount},
    {"mountinfo", do_read_mounts, NULL},
    {"mkdir of a control group", do_make_group, undo_make_group},
    {NULL, NULL, NULL},
};

TEST(processes_and_mounts_come_to_be_or_do_not)
{
    begin_with("mode=755");
    make_layers();
    EXPECT(mkdir("dir", 0700) == 0 && mkdir("groups", 0700) == 0);
    EXPECT(mount("groups", "groups", "cgroup2", 0, NULL) == 0);
    starve_all(on_processes);
}

/* ------------------------------------------------------------- memory and its like */

static void *mapped;
#define PAGES 16
#define SIZE (PAGES * 4096UL)

static int do_map(void)
{
    mapped =
        mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return mapped == MAP_FAILED ? errno : 0;
}
static void undo_map(void)
{
    EXPECT(munmap(mapped, SIZE) == 0);
}
static int do_map_shared(void)
{
    mapped = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return mapped == MAP_FAILED ? errno : 0;
}

/* In the middle of a mapping, which stays as it is where this fails. */
static char *middle;
static int do_protect(void)
{
    return result(mprotect(middle + 4096, 4096, PROT_READ));
}
static void undo_protect(void)
{
    EXPECT(mprotect(middle, SIZE, PROT_READ | PROT_WRITE) == 0);
}
static int do_unmap(void)
{
    return result(munmap(middle + 4096, 4096));
}
static void undo_unmap(void)
{
    EXPECT(mmap(middle + 4096, 4096, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == middle + 4096);
}
static int do_remap(void)
{
    mapped = mremap(middle + 4096, 2 * 4096, SIZE, MREMAP_MAYMOVE);
    return mapped == MAP_FAILED ? errno : 0;
}
static void undo_remap(void)
{
    EXPECT(munmap(mapped, SIZE) == 0);
    EXPECT(mmap(middle, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0) == middle);
}
static int do_advise(void)
{
    return result(madvise(middle + 4096, 4096, MADV_DONTFORK));
}
static void undo_advise(void)
{
    EXPECT(madvise(middle, SIZE, MADV_DOFORK) == 0);
}

static int ipc;
static int do_shm(void)
{
    ipc = shmget(77, SIZE, IPC_CREAT | IPC_EXCL | 0600);
    return result(ipc);
}
static void undo_shm(void)
{
    EXPECT(shmctl(ipc, IPC_RMID, NULL) == 0);
}
static int do_sem(void)
{
    ipc = semget(77, 3, IPC_CREAT | IPC_EXCL | 0600);
    return result(ipc);
}
static void undo_sem(void)
{
    EXPECT(semctl(ipc, 0, IPC_RMID) == 0);
}
static int do_msg(void)
{
    ipc = msgget(77, IPC_CREAT | IPC_EXCL | 0600);
    return result(ipc);
}
static void undo_msg(void)
{
    EXPECT(msgctl(ipc, IPC_RMID, NULL) == 0);
}
static int standing_sem, standing_msg, standing_shm;
static int do_undo(void)
{
    struct sembuf op = {.sem_op = 1, .sem_flg = SEM_UNDO};

    return result(semop(standing_sem, &op, 1));
}
static void undo_undo(void)
{
    struct sembuf op = {.sem_op = -1, .sem_flg = SEM_UNDO | IPC_NOWAIT};

    EXPECT(semop(standing_sem, &op, 1) == 0 && semctl(standing_sem, 0, GETVAL) == 0);
}
static int do_send(void)
{
    struct {
        long type;
        char text[100];
    } m = {.type = 1};

    return result(msgsnd(standing_msg, &m, sizeof(m.text), IPC_NOWAIT));
}
static void undo_send(void)
{
    struct {
        long type;
        char text[100];
    } m;

    EXPECT(msgrcv(standing_msg, &m, sizeof(m.text), 0, IPC_NOWAIT) == 100);
    EXPECT(msgrcv(standing_msg, &m, sizeof(m.text), 0, IPC_NOWAIT) == -1);
}
static int do_attach(void)
{
    mapped = shmat(standing_shm, NULL, 0);
    return mapped == (void *)-1 ? errno : 0;
}
static void undo_attach(void)
{
    EXPECT(shmdt(mapped) == 0);
}
static int do_poll(void)
{
    static struct pollfd many[600];

    for (int i = 0; i < 600; i++)
        many[i] = (struct pollfd){.fd = 0, .events = POLLIN};
    return result(poll(many, 600, 0));
}
static int do_select(void)
{
    struct timeval none = {0, 0};
    fd_set set;

    FD_ZERO(&set);
    FD_SET(0, &set);
    return result(select(1, &set, NULL, NULL, &none));
}

static const struct call on_memory[] = {
    {"mmap", do_map, undo_map},
    {"mmap of shared memory", do_map_shared, undo_map},
    {"mprotect", do_protect, undo_protect},
    {"munmap", do_unmap, undo_unmap},
    {"mremap", do_remap, undo_remap},
    {"madvise", do_advise, undo_advise},
    {"shmget", do_shm, undo_shm},
    {"shmat", do_attach, undo_attach},
    {"semget", do_sem, undo_sem},
    {"SEM_UNDO", do_undo, undo_undo},
    {"msgget", do_msg, undo_msg},
    {"msgsnd", do_send, undo_send},
    {"poll", do_poll, NULL},
    {"select", do_select, NULL},
    {NULL, NULL, NULL},
};

TEST(memory_is_mapped_or_as_it_was)
{
    EXPECT(unshare(CLONE_NEWIPC) == 0);
    middle =
        mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    standing_sem = semget(IPC_PRIVATE, 1, 0600);
    standing_msg = msgget(IPC_PRIVATE, 0600);
    standing_shm = shmget(IPC_PRIVATE, SIZE, 0600);
    EXPECT(middle != MAP_FAILED && standing_sem >= 0 && standing_msg >= 0 && standing_shm >= 0);
    starve_all(on_memory);
}
