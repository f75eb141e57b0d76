/* SPDX-License-Identifier: MIT
 *
 * Whatever a program can make the kernel keep for it is on its control group's bill: each hog runs
 * in a group of 16 MiB, and ends there, killed or refused, while the machine goes on. What the
 * kernel can forget again kills nobody.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/utsname.h>

#include "abi.h"

#define LIMIT_MB 16
#define REFUSED 42 /* a hog's status: it was told no */
#define ENDED 43   /* it did all that it wanted */
#define DIR "/tmp/hogs"

static const char *cgroup_top = "/sys/fs/cgroup";

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);

    if (fd < 0 || write(fd, text, strlen(text)) < 0) {
        printf("# %s: %s\n", path, strerror(errno));
        fflush(stdout);
    }
    close(fd);
}

static long number(const char *path, const char *key)
{
    char text[4096];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    char *at = text;

    close(fd);
    if (n < 0)
        return -1;
    text[n] = 0;
    if (key) {
        at = strstr(text, key);
        if (!at)
            return -1;
        at += strlen(key);
    }
    return strtol(at + strspn(at, " :"), NULL, 10);
}

/* ------------------------------------------------------------- hogs */

/* Twice the limit in 2 MiB steps of address space, one page read in each: page tables only. */
static int hog_tables(void)
{
    size_t step = 2UL << 20, n = 2UL * LIMIT_MB << 20 >> 12;
    char *p = mmap(NULL, n * step, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    volatile char sum = 0;

    if (p == MAP_FAILED)
        return REFUSED;
    madvise(p, n * step, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < n; i++)
        sum += p[i * step];
    return ENDED;
}

/* As many tables, in one call. */
static int hog_populate(void)
{
    void *p = mmap(NULL, 16UL << 40, PROT_READ,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE, -1, 0);

    return p == MAP_FAILED ? REFUSED : ENDED;
}

static int hog_memory(void)
{
    for (int i = 0; i < 4 * LIMIT_MB; i++) {
        char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            return REFUSED;
        memset(p, 1, 1 << 20);
    }
    return ENDED;
}

static int hog_files(void)
{
    char name[64];

    for (int i = 0; i < 400000; i++) {
        int fd;

        snprintf(name, sizeof(name), DIR "/f%d", i);
        fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0)
            return REFUSED;
        close(fd);
    }
    return ENDED;
}

static int hog_data(void)
{
    static char block[1 << 20];
    int fd = open(DIR "/data", O_CREAT | O_WRONLY, 0600);

    for (int i = 0; i < 4 * LIMIT_MB; i++)
        if (write(fd, block, sizeof(block)) != sizeof(block))
            return REFUSED;
    return ENDED;
}

static int hog_pipes(void)
{
    static char block[65536];
    int fd[2];

    for (int i = 0; i < 1500; i++) {
        if (pipe2(fd, O_NONBLOCK) || write(fd[1], block, sizeof(block)) < 0)
            return REFUSED;
        close(fd[1]); /* what was written stays */
    }
    return ENDED;
}

static int hog_sockets(void)
{
    static char block[16384];
    int fd[2];

    for (int i = 0; i < 3000; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd))
            return REFUSED;
        while (write(fd[1], block, sizeof(block)) > 0)
            ;
        if (errno != EAGAIN)
            return REFUSED;
    }
    return ENDED;
}

static int hog_eventfds(void)
{
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN};

    for (int i = 0; i < 200000; i++) {
        int fd = i & 1 ? eventfd(0, 0) : timerfd_create(CLOCK_MONOTONIC, 0);

        if (fd < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev))
            return REFUSED;
    }
    return ENDED;
}

/* Sockets with names, of both families. */
static int hog_names(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    for (int i = 0; i < 40000; i++) {
        int s = socket(i & 1 ? AF_INET : AF_UNIX, SOCK_DGRAM, 0);

        in.sin_port = htons((uint16_t)(1024 + i % 20000));
        in.sin_addr.s_addr = htonl(0x7f000001U + (unsigned)i / 20000);
        snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "hog-%d", i);
        if (s < 0 || (i & 1 ? bind(s, (void *)&in, sizeof(in)) : bind(s, (void *)&un, sizeof(un))))
            return REFUSED;
    }
    return ENDED;
}

/* Datagrams that nobody reads, and such as are never complete. */
static int hog_datagrams(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    static char block[8192];

    for (int i = 0; i < 3000; i++) {
        int r = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
        socklen_t n = sizeof(a);

        a.sin_port = 0;
        if (r < 0 || s < 0 || bind(r, (void *)&a, n) || getsockname(r, (void *)&a, &n) ||
            connect(s, (void *)&a, n))
            return REFUSED;
        for (int k = 0; k < 10; k++)
            if (send(s, block, sizeof(block), k == 9 ? MSG_MORE : 0) < 0)
                return REFUSED;
    }
    return ENDED;
}

/* Descriptors that are in queues only, with what is in their own. */
static int hog_flight(void)
{
    static char block[4096], control[CMSG_SPACE(sizeof(int))];
    struct iovec v = {block, sizeof(block)};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control};
    struct cmsghdr *c = (struct cmsghdr *)control;
    int s[2], p[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s))
        return REFUSED;
    for (int i = 0; i < 100000; i++) {
        if (pipe2(p, O_NONBLOCK) || write(p[1], block, sizeof(block)) < 0)
            return REFUSED;
        m.msg_controllen = sizeof(control);
        *c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(c), &p[0], sizeof(int));
        if (sendmsg(s[0], &m, 0) < 0) { /* full: another queue */
            if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s))
                return REFUSED;
        }
        close(p[0]);
        close(p[1]);
    }
    return ENDED;
}

/* Watches of few files by many epolls. */
static int hog_watches(void)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int fd[64];

    for (int i = 0; i < 64; i++)
        fd[i] = eventfd(0, 0);
    for (int i = 0; i < 2000; i++) {
        int ep = epoll_create1(0);

        for (int k = 0; k < 64; k++)
            if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd[k], &ev))
                return REFUSED;
    }
    return ENDED;
}

static void *thread_wait(void *arg)
{
    pause();
    return NULL;
}

static int hog_threads(void)
{
    pthread_attr_t attr;
    pthread_t t;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 16384);
    for (int i = 0; i < 4000; i++)
        if (pthread_create(&t, &attr, thread_wait, NULL))
            return REFUSED;
    return ENDED;
}

static int hog_areas(void)
{
    for (int i = 0; i < 60000; i++)
        if (mmap(NULL, 4096, i & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
            MAP_FAILED)
            return REFUSED;
    for (int i = 0; i < 4 * LIMIT_MB * 16; i++) { /* few have so many areas: add to them */
        char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            return REFUSED;
        memset(p, 1, 65536);
    }
    return ENDED;
}

static int hog_fork(void)
{
    for (int i = 0; i < 3000; i++) {
        pid_t pid = fork();

        if (pid < 0)
            return REFUSED;
        if (pid == 0)
            for (;;)
                pause();
    }
    return ENDED;
}

/* Names that are not there: the kernel may remember, and must forget. */
static int hog_absent(void)
{
    struct stat st;
    char name[64];

    for (int i = 0; i < 110000; i++) {
        snprintf(name, sizeof(name), DIR "/not-there-%d", i);
        if (stat(name, &st) == 0 || errno != ENOENT)
            return REFUSED;
    }
    return ENDED;
}

/* Others are told, who do not listen: what waits for them is theirs. */
static int hog_told(void)
{
    char name[64];

    for (int i = 0; i < 2000; i++) {
        int fd;

        snprintf(name, sizeof(name), DIR "/%d", i);
        fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0 || close(fd) || unlink(name))
            return REFUSED;
    }
    return ENDED;
}

/* The program starts anew as a hog. */
static const struct hog {
    const char *name;
    int (*run)(void);
} hogs[] = {
    {"memory", hog_memory},       {"tables", hog_tables},   {"files", hog_files},
    {"data", hog_data},           {"pipes", hog_pipes},     {"sockets", hog_sockets},
    {"eventfds", hog_eventfds},   {"threads", hog_threads}, {"areas", hog_areas},
    {"fork", hog_fork},           {"absent", hog_absent},   {"populate", hog_populate},
    {"names", hog_names},         {"flight", hog_flight},   {"watches", hog_watches},
    {"datagrams", hog_datagrams}, {"told", hog_told},
};

__attribute__((constructor)) static void hog_begin(void)
{
    const char *name = getenv("HOG");

    for (unsigned i = 0; name && i < sizeof(hogs) / sizeof(hogs[0]); i++)
        if (strcmp(name, hogs[i].name) == 0)
            _exit(hogs[i].run());
}

/* ------------------------------------------------------------- the keeper */

/* The process joins first and then becomes the hog: memory is on the bill of the group that a
 * program was started in. */
static pid_t hog_start(const char *name, const char *group)
{
    char path[128], me[16];
    pid_t pid = fork();

    if (pid)
        return pid;
    snprintf(path, sizeof(path), "%s/cgroup.procs", group);
    snprintf(me, sizeof(me), "%d", (int)getpid());
    put(path, me);
    setenv("HOG", name, 1);
    execl("/proc/self/exe", "hog", NULL);
    _exit(99);
}

static void hog_prepare(void)
{
    struct rlimit r = {1 << 20, 1 << 20};
    char path[64];

    setrlimit(RLIMIT_NOFILE, &r);
    mkdir("/tmp", 0777);
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK)) {
        mkdir("/tmp/cgroup", 0755);
        cgroup_top = "/tmp/cgroup";
        mount("none", cgroup_top, "cgroup2", 0, NULL);
    }
    snprintf(path, sizeof(path), "%s/cgroup.subtree_control", cgroup_top);
    put(path, "+memory +pids");
    mkdir(DIR, 0700);
    EXPECT(mount("none", DIR, "tmpfs", 0, NULL) == 0);
}

/* In the keeper's own group: files that are told of all in the hog's directory, or closes them. */
#define LISTENERS 60
static int listeners[LISTENERS];

static void hog_listen(bool on)
{
    for (int i = 0; i < LISTENERS; i++) {
        if (!on) {
            close(listeners[i]);
            continue;
        }
        listeners[i] = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        EXPECT(inotify_add_watch(listeners[i], DIR, IN_ALL_EVENTS) == 1);
    }
}

/* All that the hog left is gone, and the group with it. */
static void hog_end(const char *group)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/cgroup.kill", group);
    put(path, "1");
    for (int i = 0; rmdir(group) && i < 500; i++)
        usleep(10000);
    EXPECT(access(group, F_OK));
    EXPECT(umount2(DIR, MNT_DETACH) == 0);
}

static bool is_bothy(void)
{
    struct utsname u;

    return uname(&u) == 0 && strstr(u.release, "bothy");
}

/* Runs a hog; a harmless one ends as it likes and nobody is killed. */
static void hog_test_heard(const char *name, bool harmless, bool heard)
{
    long peak, killed, before, kept = is_bothy() ? 4096 : 32768; /* Linux keeps slabs */
    char group[64], path[128];
    int status = 0;
    pid_t pid;

    hog_prepare();
    before = number("/proc/meminfo", "MemFree");
    snprintf(group, sizeof(group), "%s/hog-%s", cgroup_top, name);
    EXPECT(mkdir(group, 0755) == 0);
    snprintf(path, sizeof(path), "%s/memory.max", group);
    put(path, "16m");
    if (heard)
        hog_listen(true);
    pid = hog_start(name, group);
    EXPECT(waitpid(pid, &status, 0) == pid);
    if (heard)
        hog_listen(false);
    snprintf(path, sizeof(path), "%s/memory.events", group);
    killed = number(path, "oom_kill ");
    snprintf(path, sizeof(path), "%s/memory.peak", group);
    peak = number(path, NULL) >> 10;
    if (getenv("VERBOSE"))
        printf("# %s: status %#x, %ld killed, peak %ld KiB\n", name, status, killed, peak);
    if (harmless)
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == ENDED && killed == 0);
    else
        EXPECT((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && killed > 0) ||
               (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED));
    EXPECT(peak <= (LIMIT_MB + 1) << 10);
    hog_end(group);
    for (int i = 0; before - number("/proc/meminfo", "MemFree") > kept; i++) {
        EXPECT(i < 100);
        usleep(20000);
    }
}

static void hog_test(const char *name, bool harmless)
{
    hog_test_heard(name, harmless, false);
}

TEST(memory_stays_in_its_group)
{
    hog_test("memory", false);
}
TEST(page_tables_stay_in_their_group)
{
    hog_test("tables", false);
}
/* Far larger than the hog, and in no group with a limit: chosen when RAM is out, only then. */
static pid_t bystander_start(void)
{
    size_t n = 64UL << 20;
    int ready[2];
    pid_t pid;
    char c;

    EXPECT(pipe(ready) == 0);
    pid = fork();
    if (pid) {
        EXPECT(read(ready[0], &c, 1) == 1);
        return pid;
    }
    memset(mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, n);
    write(ready[1], "", 1);
    for (;;)
        pause();
}

TEST(page_tables_of_one_call_stay_in_their_group)
{
    pid_t bystander = bystander_start();
    int status;

    hog_test("populate", false);
    EXPECT(waitpid(bystander, &status, WNOHANG) == 0);
    kill(bystander, SIGKILL);
    EXPECT(waitpid(bystander, &status, 0) == bystander);
}
TEST(files_stay_in_their_group)
{
    hog_test("files", false);
}
TEST(file_data_stays_in_its_group)
{
    hog_test("data", false);
}
TEST(pipes_stay_in_their_group)
{
    hog_test("pipes", false);
}
TEST(sockets_stay_in_their_group)
{
    hog_test("sockets", false);
}
TEST(events_and_timers_stay_in_their_group)
{
    hog_test("eventfds", false);
}
TEST(names_of_sockets_stay_in_their_group)
{
    hog_test("names", false);
}
TEST(datagrams_stay_in_their_group)
{
    hog_test("datagrams", false);
}
TEST(descriptors_in_flight_stay_in_their_group)
{
    hog_test("flight", false);
}
TEST(watches_stay_in_their_group)
{
    hog_test("watches", false);
}
TEST(threads_stay_in_their_group)
{
    hog_test("threads", false);
}
TEST(areas_stay_in_their_group)
{
    hog_test("areas", false);
}
TEST(processes_stay_in_their_group)
{
    hog_test("fork", false);
}
TEST(absent_names_are_forgotten)
{
    hog_test("absent", true);
}
TEST(what_others_are_told_of_is_not_the_groups)
{
    hog_test_heard("told", true, true);
}

#define CROWD 100 /* groups that have looked for a name that is not there */

static void crowd_look(const char *group)
{
    char path[128], me[16];
    struct stat st;
    pid_t pid = fork();

    if (pid == 0) {
        snprintf(path, sizeof(path), "%s/cgroup.procs", group);
        snprintf(me, sizeof(me), "%d", (int)getpid());
        put(path, me);
        snprintf(path, sizeof(path), DIR "/%s", group + strlen(cgroup_top));
        _exit(stat(path, &st) == 0);
    }
    EXPECT(waitpid(pid, NULL, 0) == pid);
}

static void crowd_make(bool on)
{
    char group[64];

    for (int i = 0; i < CROWD; i++) {
        snprintf(group, sizeof(group), "%s/crowd-%d", cgroup_top, i);
        if (on) {
            EXPECT(mkdir(group, 0755) == 0);
            crowd_look(group);
        } else {
            EXPECT(rmdir(group) == 0);
        }
    }
}

/* However many other groups have names that could be forgotten. */
TEST(absent_names_of_groups_below_are_forgotten)
{
    char group[64], inner[96], path[128];
    int status;
    pid_t pid;

    hog_prepare();
    crowd_make(true);
    snprintf(group, sizeof(group), "%s/hog-outer", cgroup_top);
    snprintf(inner, sizeof(inner), "%s/in", group);
    EXPECT(mkdir(group, 0755) == 0);
    snprintf(path, sizeof(path), "%s/memory.max", group);
    put(path, "16m");
    snprintf(path, sizeof(path), "%s/cgroup.subtree_control", group);
    put(path, "+memory");
    EXPECT(mkdir(inner, 0755) == 0);
    pid = hog_start("absent", inner);
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == ENDED);
    EXPECT(rmdir(inner) == 0);
    hog_end(group);
    crowd_make(false);
}
