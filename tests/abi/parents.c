/* SPDX-License-Identifier: MIT
 *
 * Groups that outlive their leader, zombies, and the signal of a parent's death.
 */
#include "abi.h"

#include <sys/fsuid.h>
#include <sys/prctl.h>

static pid_t child_that_pauses(void)
{
    pid_t pid = fork();

    while (pid == 0)
        pause();
    return pid;
}

TEST(a_stopped_process_dies_of_sigterm_when_it_is_continued)
{
    pid_t pid = child_that_pauses();
    int status;

    EXPECT(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid);
    EXPECT(kill(pid, SIGTERM) == 0);
    usleep(20000);
    EXPECT(waitpid(pid, &status, WNOHANG) == 0);
    EXPECT(kill(pid, SIGCONT) == 0 && waitpid(pid, &status, 0) == pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    pid = child_that_pauses();
    EXPECT(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid);
    EXPECT(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
}

TEST(a_group_is_found_after_its_leader_has_gone)
{
    pid_t leader = child_that_pauses(), member = child_that_pauses();
    int status;

    EXPECT(setpgid(leader, leader) == 0 && setpgid(member, leader) == 0);
    EXPECT(kill(leader, SIGKILL) == 0 && waitpid(leader, &status, 0) == leader);
    EXPECT_ERR(kill(leader, 0), ESRCH);
    EXPECT(kill(-leader, 0) == 0 && waitpid(-leader, &status, WNOHANG) == 0);
    EXPECT(setpgid(0, leader) == 0 && getpgrp() == leader && setpgid(0, 0) == 0);
    EXPECT(kill(-leader, SIGTERM) == 0 && waitpid(-leader, &status, 0) == member);
    EXPECT_ERR(kill(-leader, 0), ESRCH);
    EXPECT_ERR(setpgid(0, leader), EPERM);
}

TEST(a_zombie_is_still_somebody)
{
    pid_t pid = fork();
    siginfo_t info;

    if (pid == 0)
        _exit(0);
    EXPECT(waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0 && kill(pid, 0) == 0);
    EXPECT_ERR(kill(pid, 65), EINVAL);
    EXPECT_ERR(waitid(P_PID, pid, &info, WSTOPPED | WCONTINUED), ECHILD);
    EXPECT(seteuid(1000) == 0 && setreuid(1000, -1) == 0);
    EXPECT_ERR(kill(pid, 0), EPERM);
    EXPECT(waitpid(pid, NULL, 0) == pid);
    EXPECT_ERR(kill(pid, 65), ESRCH);
    EXPECT_ERR(setpgid(getppid(), pid), ESRCH);
}

/* Whether the child's parent, of another user, could send it SIGTERM: it ends of that, or by
 * itself. */
TEST(a_parents_death_is_told_only_where_it_could_have_been)
{
    int p[2];
    char byte;

    EXPECT(pipe(p) == 0);
    pid_t parent = fork();
    if (parent == 0) {
        pid_t own = getpid();
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            write(p[1], "r", 1);
            while (getppid() == own)
                usleep(1000);
            usleep(20000);
            write(p[1], "x", 1);
            _exit(0);
        }
        read(p[0], &byte, 1);
        setresuid(1000, 1000, 1000);
        _exit(0);
    }
    close(p[1]);
    EXPECT(waitpid(parent, NULL, 0) == parent);
    EXPECT(read(p[0], &byte, 1) == 1 && byte == 'x');
}

TEST(who_changes_its_ids_hears_no_more_of_its_parents_death)
{
    int sig = -1;

    EXPECT(prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && setresuid(-1, 0, 1000) == 0);
    EXPECT(prctl(PR_GET_PDEATHSIG, &sig) == 0 && sig == SIGTERM && prctl(PR_GET_DUMPABLE) == 1);
    setfsuid(1000);
    EXPECT(prctl(PR_GET_PDEATHSIG, &sig) == 0 && sig == 0 && prctl(PR_GET_DUMPABLE) == 0);
    EXPECT(prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && setresgid(-1, 1000, -1) == 0);
    EXPECT(prctl(PR_GET_PDEATHSIG, &sig) == 0 && sig == 0);
}

static int heard[2], gone[2];

static void hear(int sig)
{
    char c = (char)sig;

    EXPECT(write(heard[1], &c, 1) == 1);
}

/* Asks for a signal, says so, stays till it is told to go, and says so. */
static void *asks(void *sig)
{
    char c;

    EXPECT(prctl(PR_SET_PDEATHSIG, (int)(long)sig) == 0);
    EXPECT(write(heard[1], "", 1) == 1 && read(gone[0], &c, 1) == 1);
    EXPECT(write(heard[1], "", 1) == 1);
    return NULL;
}

static void ask_in_thread(pthread_t *thread, long sig)
{
    char c;

    EXPECT(pthread_create(thread, NULL, asks, (void *)sig) == 0 && read(heard[0], &c, 1) == 1);
}

static void let_one_go(void)
{
    char c;

    EXPECT(write(gone[1], "", 1) == 1 && read(heard[0], &c, 1) == 1);
}

/* Of those who asked for the same the first has gone, and another has changed its mind. */
static void orphan_of_askers(void)
{
    pthread_t thread[4];

    signal(SIGUSR1, hear);
    signal(SIGUSR2, hear);
    signal(SIGHUP, hear);
    ask_in_thread(&thread[0], SIGUSR1);
    let_one_go();
    EXPECT(pthread_join(thread[0], NULL) == 0);
    ask_in_thread(&thread[1], SIGUSR1);
    EXPECT(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
    ask_in_thread(&thread[2], SIGUSR1);
    let_one_go(); /* of the two */
    ask_in_thread(&thread[3], SIGUSR2);
    EXPECT(prctl(PR_SET_PDEATHSIG, SIGHUP) == 0 && prctl(PR_SET_PDEATHSIG, 0) == 0);
}

TEST(each_signal_that_threads_ask_for_comes_once_at_the_parents_death)
{
    char c[2];
    int left[2];

    EXPECT(pipe(heard) == 0 && pipe(gone) == 0 && pipe(left) == 0);
    pid_t parent = fork();
    if (parent == 0) {
        pid_t own = getpid();

        if (fork() == 0) {
            orphan_of_askers();
            EXPECT(write(left[1], "", 1) == 1);
            while (getppid() == own)
                usleep(1000);
            EXPECT(read(heard[0], c, 1) == 1 && read(heard[0], c + 1, 1) == 1);
            EXPECT(c[0] + c[1] == SIGUSR1 + SIGUSR2 && c[0] != c[1]);
            EXPECT(fcntl(heard[0], F_SETFL, O_NONBLOCK) == 0);
            EXPECT_ERR((int)read(heard[0], c, 1), EAGAIN);
            EXPECT(write(left[1], "1", 1) == 1);
            _exit(0);
        }
        EXPECT(read(left[0], c, 1) == 1);
        _exit(0);
    }
    EXPECT(status_of(parent) == 0);
    close(left[1]);
    EXPECT(read(left[0], c, 1) == 1 && c[0] == '1');
}
