/* SPDX-License-Identifier: MIT
 *
 * What happens at the same moment to groups: control groups, and groups of processes; see dwell.h.
 */
#include "dwell.h"

#include <sys/ioctl.h>
#include <sys/mount.h>

/* ------------------------------------------------------------- control groups */

#define GROUPS "/tmp/races-cgroup"
#define GROUP GROUPS "/races"

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    close(fd);
    return done;
}

static void groups_mount(void)
{
    EXPECT(unshare(CLONE_NEWNS) == 0);
    EXPECT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    mkdir(GROUPS, 0755);
    EXPECT(mount("none", GROUPS, "cgroup2", 0, NULL) == 0);
    rmdir(GROUP);
}

#define MIB (1 << 20)

static long memory_event(const char *name)
{
    char text[512] = "";
    int fd = open(GROUP "/memory.events", O_RDONLY);
    const char *at;

    EXPECT(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && close(fd) == 0);
    at = strstr(text, name);
    EXPECT(at && (at == text || at[-1] == '\n'));
    return atol(at + strlen(name));
}

static char *small_pages(size_t bytes)
{
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT(at != MAP_FAILED);
    madvise(at, bytes, MADV_NOHUGEPAGE); /* a Linux may have no others */
    return at;
}

/* Has most of the memory, and wants more as soon as the other one has met the limit. */
static pid_t start_large(int ready, bool dwells)
{
    pid_t pid = fork();

    if (pid == 0) {
        char *at = small_pages(20 * MIB);
        if (dwells)
            become_dweller();
        memset(at, 1, 10 * MIB);
        EXPECT(write(ready, "", 1) == 1);
        while (!memory_event("max "))
            sched_yield();
        usleep(5000); /* a part of what the other dwells */
        memset(at + 10 * MIB, 1, 10 * MIB);
        _exit(1); /* not reached */
    }
    return pid;
}

static pid_t start_small(int ready, bool dwells)
{
    pid_t pid = fork();
    char c;

    if (pid == 0) {
        char *at = small_pages(8 * MIB);
        if (dwells)
            become_dweller();
        EXPECT(read(ready, &c, 1) == 1);
        memset(at, 1, 8 * MIB);
        _exit(0);
    }
    return pid;
}

/* The small one has what it asked for, and one was killed. On a busy host Linux takes a second one:
 * its reaper is done with the first before that has gone. */
static void only_one_was_killed(pid_t small)
{
    int status;

    EXPECT(waitpid(small, &status, 0) == small);
    if (access("/proc/bothy/console", F_OK) == 0)
        EXPECT(status == 0 && memory_event("oom_kill ") == 1);
}

static void fill_a_group_at_once(bool large_dwells)
{
    int ready[2], status;
    pid_t large, small;

    EXPECT(mkdir(GROUP, 0755) == 0 && put(GROUP "/memory.max", "16M") && pipe(ready) == 0);
    EXPECT(put(GROUP "/cgroup.procs", "0"));
    large = start_large(ready[1], large_dwells);
    small = start_small(ready[0], !large_dwells);
    EXPECT(put(GROUPS "/cgroup.procs", "0"));
    EXPECT(waitpid(large, &status, 0) == large);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    only_one_was_killed(small);
    EXPECT(close(ready[0]) == 0 && close(ready[1]) == 0 && rmdir(GROUP) == 0);
}

static void fill_a_group_often(const char *point, bool large_dwells)
{
    groups_mount();
    EXPECT(put(GROUPS "/cgroup.subtree_control", "+memory"));
    dwell(point, true);
    for (int i = 0; i < 4; i++)
        fill_a_group_at_once(large_dwells);
    dwell(point, false);
}

TEST(of_two_that_fill_a_group_at_once_one_dies)
{
    fill_a_group_often("oom_measured", false);
}

/* It has let go of its memory, which has not come back yet. */
TEST(nobody_dies_for_one_that_is_giving_back)
{
    fill_a_group_often("exit_aspace", true);
}

static void *no_thread(void *arg)
{
    return NULL;
}

static volatile bool made_enough;
static volatile unsigned made;

static void *thread_maker(void *arg)
{
    become_dweller();
    while (!made_enough) {
        pthread_t t;
        EXPECT(pthread_create(&t, NULL, no_thread, NULL) == 0 && pthread_join(t, NULL) == 0);
        made++;
    }
    return NULL;
}

/* It comes into the group that its maker is in by then. */
TEST(a_thread_is_made_while_the_group_of_its_maker_goes)
{
    pthread_t maker;

    groups_mount();
    EXPECT(pthread_create(&maker, NULL, thread_maker, NULL) == 0);
    dwell("thread_group", true);
    for (int i = 0; i < ROUNDS; i++) {
        EXPECT(mkdir(GROUP, 0755) == 0);
        EXPECT(put(GROUP "/cgroup.procs", "0"));
        for (unsigned before = made; made == before;)
            sched_yield();
        EXPECT(put(GROUPS "/cgroup.procs", "0"));
        while (rmdir(GROUP))
            EXPECT(errno == EBUSY);
    }
    dwell("thread_group", false);
    made_enough = true;
    EXPECT(pthread_join(maker, NULL) == 0);
}

static pid_t start_looker(pid_t at)
{
    char path[64], text[256];
    pid_t pid = fork();

    if (pid)
        return pid;
    snprintf(path, sizeof(path), "/proc/%d/cwd", at);
    for (;;)
        readlink(path, text, sizeof(text));
}

/* One who looks at the working directory sees the old mount or the copy, each whole. */
TEST(a_working_directory_is_looked_at_while_it_moves_to_a_new_namespace)
{
    pid_t looker;

    groups_mount();
    looker = start_looker(getpid());
    for (int i = 0; i < 10 * ROUNDS; i++) {
        EXPECT(chdir(GROUPS) == 0 && unshare(CLONE_NEWNS) == 0);
        EXPECT(access("cgroup.procs", F_OK) == 0);
    }
    EXPECT(kill(looker, SIGKILL) == 0 && waitpid(looker, NULL, 0) == looker);
}

/* ------------------------------------------------------------- groups of processes */

/* A chain of processes, each of which ends once it has made the next. */
static pid_t start_chain(void)
{
    pid_t first = fork();

    if (first == 0) {
        setpgid(0, 0);
        while (fork() == 0)
            ;
        _exit(0);
    }
    setpgid(first, first);
    return first;
}

TEST(a_group_does_not_fork_ahead_of_its_signal)
{
    EXPECT(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    for (int i = 0; i < 20 * ROUNDS; i++) {
        pid_t group = start_chain();
        EXPECT(group > 0);
        usleep(i % 16 * 50);
        EXPECT(kill(-group, i % 2 ? SIGTERM : SIGKILL) == 0);
        for (int tries = 0; kill(-group, 0) == 0; tries++) {
            EXPECT(tries < 60000); /* who outruns it does so for ever */
            usleep(1000);
        }
    }
}

#define JOB 40 /* processes: too many for a terminal's signal to reach all at once */

static int answers[2];

static void answer(int sig)
{
    write(answers[1], "", 1);
}

static int controlling_terminal(int *slave)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), unlock = 0, index = -1;
    char name[32];

    EXPECT(setsid() > 0 && master >= 0 && ioctl(master, TIOCSPTLCK, &unlock) == 0);
    EXPECT(ioctl(master, TIOCGPTN, &index) == 0);
    snprintf(name, sizeof(name), "/dev/pts/%d", index);
    *slave = open(name, O_RDWR);
    EXPECT(*slave >= 0);
    return master;
}

static pid_t start_job(void)
{
    pid_t first = 0;

    signal(SIGINT, answer);
    for (int i = 0; i < JOB; i++) {
        pid_t pid = fork();
        if (pid == 0)
            sleep_for_ever();
        EXPECT(pid > 0 && setpgid(pid, first) == 0);
        first = first ? first : pid;
    }
    return first;
}

/* The echo shows that the signal is on its way. */
static void press_stop(int master)
{
    char echo;

    EXPECT(write(master, "\032", 1) == 1);
    for (int i = 0; i < 2; i++)
        EXPECT(read(master, &echo, 1) == 1 && echo == "^Z"[i]);
}

/* What continues it comes after what has stopped it, for each of its processes: each hears the
 * interrupt. */
static void continue_a_job_as_it_stops(int times)
{
    int slave, master = controlling_terminal(&slave), status;
    pid_t job;
    char c;

    EXPECT(pipe(answers) == 0);
    job = start_job();
    EXPECT(tcsetpgrp(slave, job) == 0);
    press_stop(master);
    EXPECT(waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status));
    EXPECT(kill(-job, SIGCONT) == 0);
    for (int i = 1; i < times; i++) {
        press_stop(master);
        EXPECT(kill(-job, SIGCONT) == 0);
    }
    EXPECT(write(master, "\003", 1) == 1);
    for (int i = 0; i < JOB; i++)
        EXPECT(read(answers[0], &c, 1) == 1);
    EXPECT(kill(-job, SIGKILL) == 0);
    _exit(0);
}

static void continue_a_large_job(int times)
{
    pid_t pid;
    int status;

    dwell_of("group_signal", true, "");
    pid = fork();
    if (pid == 0) {
        alarm(LIMIT_S);
        continue_a_job_as_it_stops(times);
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    dwell_of("group_signal", false, "");
    EXPECT(status == 0);
}

TEST(a_large_job_that_is_just_stopping_is_continued_as_a_whole)
{
    continue_a_large_job(1);
}

TEST(a_large_job_that_is_stopped_again_at_once_is_continued_as_a_whole)
{
    continue_a_large_job(2);
    continue_a_large_job(3);
}
