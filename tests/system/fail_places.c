/* SPDX-License-Identifier: MIT
 *
 * Bothy's fail points (kernel/debug/fail.c) fail one place after another, while the same work is
 * done again and again:
 *
 *   fail_places WORK DEPTH ROUNDS [verbose [each]]
 *
 * WORK: `container`: create, start, exec, logs, stop, remove; `vm`: the same behind the other wall;
 * `vmm`: the same, where its monitor alone is refused;
 * `restart`: the engine is killed and the next one comes; `calls`: files, sockets, memory and
 * processes of a process of its own; `copies`: the same, where copies from and to it fail; `disk`:
 * /dev/vda. DEPTH: how many callers tell two places apart. ROUNDS: no more than those.
 *
 * After each round the engine answers, and there are as many control groups, open files, mounts and
 * processes as before the first; at the end as many kernel objects and pages. It ends when a round
 * has met no new place. Lines: `FAIL what: where`, and at the end `places N, rounds N`.
 *
 * `fail_places inside` is the container's own program, `fail_places work` what is executed there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------- what a program does */

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
static int do_disk(void)
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

static int do_work(void)
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

/* The container's program: some work, then it waits for its end. */
static void on_term(int sig)
{
    _exit(0);
}

static _Noreturn int do_inside(void)
{
    signal(SIGTERM, on_term);
    write(1, "inside\n", 7);
    for (;;)
        pause();
}

/* ------------------------------------------------------------- the engine's client */

#define ANSWER_MAX 65536
static char answer[ANSWER_MAX];

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

#define STATUS_NONE 0  /* no engine, or it closed the connection */
#define STATUS_LATE -1 /* no answer in time */

/* The status; the whole answer in `answer`. */
static int ask(const char *method, const char *path, const char *body)
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

#define PROVE_EACH 8 /* rounds */
#define COUNT_EACH 32

static int console, kmsg;
static char place[1024];
static unsigned places, rounds, failed;

__attribute__((format(printf, 1, 2))) static void tell(const char *fmt, ...)
{
    char text[128];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    write(console, text, (size_t)n);
}

__attribute__((format(printf, 1, 2))) static void complain(const char *fmt, ...)
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
static char *told(const char *command)
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
static bool look_at_place(void)
{
    char *text = told("fail places"), *line = strchr(text, '\n');

    places = (unsigned)atoi(text);
    snprintf(place, sizeof(place), "%s", line ? line + 1 : "");
    place[strcspn(place, "\n")] = '\0';
    return place[0];
}

/* ------------------------------------------------------------- what there is */

struct state {
    unsigned groups, files, mounts, processes;
};

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

static struct state state_now(void)
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

static void wait_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* What ends in the background gets a while. */
static void compare(const struct state *before)
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
static bool each; /* round, for someone who looks for what is lost where */
static struct kind {
    char name[24];
    long count;
} kinds[KINDS];

static long free_kib(void)
{
    char *at = strstr(told("mem"), "free ");

    return at ? atol(at + 5) : 0;
}

static void count_objects(bool first)
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

/* ------------------------------------------------------------- rounds */

static bool verbose;
static bool strict; /* nothing is refused: all must succeed */

static void judge_status(const char *what, int status)
{
    const char *said = status < 300 ? "" : strstr(answer, "\r\n\r\n") ?: "";

    if (status == STATUS_LATE) {
        complain("no answer to %s", what);
        puts(told("threads"));
    } else if (strict && (status < 200 || status >= 300)) {
        complain("afterwards %s answers %d %s", what, status, said);
    }
    if (verbose)
        printf("  %s %d %.100s\n", what, status, said);
}

/* The engine lives, perhaps another one. */
static void await_engine(void)
{
    for (int i = 0; i < 5000; i++) {
        if (ask("GET", "/_ping", NULL) == 200)
            return;
        wait_a_little();
    }
    complain("no engine");
    puts(told("threads"));
}

static void remove_all(void)
{
    int status = 0;

    for (int i = 0; i < 500 && status != 404; i++) {
        status = ask("DELETE", "/containers/ff?force=1", NULL);
        if (status != 404)
            wait_a_little();
    }
    if (status != 404)
        complain("remove: %d %s", status, strstr(answer, "\r\n\r\n") ?: "");
}

static void run_container(const char *create)
{
    char path[160], *id;

    judge_status("create", ask("POST", "/containers/create?name=ff", create));
    judge_status("start", ask("POST", "/containers/ff/start", NULL));
    judge_status("exec", ask("POST", "/containers/ff/exec",
                             "{\"Cmd\":[\"/fail_places\",\"work\"],\"AttachStdout\":true}"));
    id = strstr(answer, "{\"Id\":\"");
    if (id && strchr(id, '}')) {
        snprintf(path, sizeof(path), "/exec/%.64s/start", id + 7);
        judge_status("exec start", ask("POST", path, "{\"Detach\":true}"));
        for (int i = 0; i < 300; i++) {
            snprintf(path, sizeof(path), "/exec/%.64s/json", id + 7);
            if (ask("GET", path, NULL) != 200 || !strstr(answer, "\"Running\":true"))
                break;
            wait_a_little();
        }
    }
    judge_status("logs", ask("GET", "/containers/ff/logs?stdout=1&stderr=1", NULL));
    judge_status("stop", ask("POST", "/containers/ff/stop?t=1", NULL));
    judge_status("remove", ask("DELETE", "/containers/ff", NULL));
}

static void work_container(void)
{
    run_container("{\"Image\":\"fail_places\",\"Cmd\":[\"/fail_places\",\"inside\"]}");
}

static void work_vm(void)
{
    judge_status(
        "create",
        ask("POST", "/containers/create?name=ff",
            "{\"Image\":\"hello\",\"HostConfig\":{\"Runtime\":\"vm\",\"Memory\":67108864}}"));
    judge_status("start", ask("POST", "/containers/ff/start", NULL));
    judge_status("wait", ask("POST", "/containers/ff/wait", NULL));
    judge_status("logs", ask("GET", "/containers/ff/logs?stdout=1&stderr=1", NULL));
    judge_status("remove", ask("DELETE", "/containers/ff?force=1", NULL));
}

static void in_child(int (*work)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        prctl(PR_SET_NAME, "failing");
        _exit(work());
    }
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        complain("the work hangs");
    if (verbose)
        printf("  status 0x%x\n", status);
}

static void work_calls(void)
{
    in_child(do_work);
}

static void work_disk(void)
{
    in_child(do_disk);
}

/* ------------------------------------------------------------- an engine after another */

static void setup_restart(void)
{
    ask("POST", "/volumes/create", "{\"Name\":\"vv\",\"Labels\":{\"label\":\"kept\"}}");
    ask("POST", "/containers/create?name=kept",
        "{\"Image\":\"fail_places\",\"Cmd\":[\"/fail_places\",\"inside\"],"
        "\"HostConfig\":{\"Binds\":[\"vv:/v\"]}}");
}

/* init's child of that name; 0: there is none now. */
static pid_t engine_pid(void)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    pid_t found = 0;

    while (d && !found && (e = readdir(d))) {
        char path[300], text[256] = "";
        int fd;

        snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || (fd = open(path, O_RDONLY)) < 0)
            continue;
        read(fd, text, sizeof(text) - 1);
        close(fd);
        if (strstr(text, " (engine) ") && strncmp(strchr(text, ')') + 3, " 1 ", 3) == 0)
            found = atoi(e->d_name);
    }
    closedir(d);
    return found;
}

/* One that lived for a second is followed by another at once. */
static void work_restart(void)
{
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100000000}, NULL);
    kill(engine_pid(), SIGKILL);
    await_engine();
}

static void check_restart(void)
{
    if (ask("GET", "/containers/kept/json", NULL) != 200)
        complain("the container is lost");
    if (ask("GET", "/volumes/vv", NULL) != 200 || !strstr(answer, "kept"))
        complain("the volume's label is lost");
    if (ask("GET", "/images/fail_places/json", NULL) != 200)
        complain("the image is lost");
}

static void end_restart(void)
{
    place[0] = '\0';
    if (ask("POST", "/containers/kept/start", NULL) != 204)
        complain("the container does not start");
    ask("DELETE", "/containers/kept?force=1", NULL);
    ask("DELETE", "/volumes/vv", NULL);
}

static void nothing(void)
{
}

static const struct work {
    const char *name, *point, *threads;
    void (*run)(void);
    bool engine;
    void (*setup)(void), (*check)(void), (*end)(void);
} works[] = {
    {"container", "all", "but driver", work_container, true, nothing, remove_all, nothing},
    {"vm", "all", "but driver", work_vm, true, nothing, remove_all, nothing},
    {"vmm", "all", "of vmm", work_vm, true, nothing, remove_all, nothing},
    {"restart", "all", "but driver", work_restart, true, setup_restart, check_restart, end_restart},
    {"calls", "all", "of failing,fail_places", work_calls, false, nothing, nothing, nothing},
    {"disk", "all", "but driver", work_disk, false, nothing, nothing, nothing},
    {"copies", "user_copy", "of failing,fail_places", work_calls, false, nothing, nothing, nothing},
};

static void log_lines(void)
{
    char text[1024];
    ssize_t n;

    while ((n = read(kmsg, text, sizeof(text) - 1)) > 0) {
        text[n] = '\0';
        if (atoi(text) % 8 <= 4)
            printf("log: %s: %s\n", strtok(strchr(text, ';') + 1, "\n"), place);
    }
}

/* All is as it was: the same work succeeds. */
static void prove(const struct work *w)
{
    strict = true;
    w->run();
    w->check();
    strict = false;
}

/* False: no new place was met. */
static bool do_round(const struct work *w, unsigned depth, const struct state *before)
{
    bool hit;

    tell("fail %s next %u %s", w->point, depth, w->threads);
    w->run();
    tell("fail %s every 0", w->point);
    hit = look_at_place();
    if (verbose)
        printf("%u: %s\n", places, place);
    if (w->engine)
        await_engine();
    w->check();
    compare(before);
    log_lines();
    return hit;
}

int main(int argc, char **argv)
{
    const struct work *w = works;
    unsigned depth, most;
    struct state before;
    long pages;

    if (argc == 2)
        return !strcmp(argv[1], "inside") ? do_inside() : !strcmp(argv[1], "work") ? do_work() : 0;
    prctl(PR_SET_NAME, "driver");
    signal(SIGPIPE, SIG_IGN);
    verbose = getenv("VERBOSE") != NULL || argc > 4;
    each = argc > 5;
    console = open("/proc/bothy/console", O_RDWR | O_CLOEXEC);
    kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    lseek(kmsg, 0, SEEK_END);
    while (strcmp(w->name, argv[1]) != 0)
        w++;
    depth = (unsigned)atoi(argv[2]);
    most = (unsigned)atoi(argv[3]);
    tell("fail forget");
    w->setup();
    for (int i = 0; i < 2; i++) {
        w->run();
        w->check();
    }
    count_objects(true);
    before = state_now();
    pages = free_kib();
    while (rounds < most && (do_round(w, depth, &before) || do_round(w, depth, &before))) {
        if (++rounds % PROVE_EACH == 0)
            prove(w);
        if (rounds % COUNT_EACH == 0 || each)
            count_objects(false);
    }
    prove(w);
    count_objects(false);
    printf("free %ld KiB to %ld\n", pages, free_kib());
    w->end();
    printf("places %u, rounds %u, %s\n", places, rounds, rounds < most ? "all" : "not all");
    return failed != 0;
}
