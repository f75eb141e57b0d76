/* SPDX-License-Identifier: MIT
 *
 * What happens at the same moment to groups: control groups, and groups of processes; see dwell.h.
 */
#include "dwell.h"

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
            EXPECT(tries < 1000); /* who outruns it does so for ever */
            usleep(1000);
        }
    }
}
