/* SPDX-License-Identifier: MIT
 *
 * Crowds that something happens to at once, threads of one process or processes of one group: what
 * is done for each of them is done some at a time. See hoard.h and hoard_group.h.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/time.h>

#include "hoard_group.h"

#define THREADS 20000 /* or as many as there may be */
#define STACK 4096

static int gate[2], event, word;

static int at_word(void *arg)
{
    syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0);
    syscall(SYS_exit, 0);
    return 0;
}

static int at_pipe(void *arg)
{
    char c;

    syscall(SYS_read, gate[0], &c, 1);
    syscall(SYS_exit, 0);
    return 0;
}

static int at_event(void *arg)
{
    struct pollfd p = {.fd = event, .events = POLLIN};

    syscall(SYS_poll, &p, 1, -1);
    syscall(SYS_exit, 0);
    return 0;
}

static int at_child(void *arg)
{
    syscall(SYS_wait4, -1, NULL, 0, NULL);
    syscall(SYS_exit, 0);
    return 0;
}

/* Joins the group with a crowd of threads that wait. */
static void threads_that(int (*fn)(void *))
{
    char *at = mmap(NULL, (size_t)THREADS * STACK, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int n = 0;

    join_group();
    while (n < THREADS &&
           clone(fn, at + (size_t)(n + 1) * STACK,
                 CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL) > 0)
        n++;
    EXPECT(n > 1000);
    usleep(100000);
}

/* Until this thread is the only one. */
static void wait_for_the_end(void)
{
    char text[4096];

    for (;;) {
        int fd = open("/proc/self/stat", O_RDONLY);
        ssize_t n = read(fd, text, sizeof(text) - 1);
        char *at;

        EXPECT(n > 0);
        text[n] = 0;
        at = strrchr(text, ')');
        close(fd);
        for (int i = 0; i < 18; i++)
            at = strchr(at + 1, ' ');
        if (atoi(at) == 1)
            break;
        usleep(2000);
    }
}

static void threads_at_a_word(void)
{
    threads_that(at_word);
}

static void end_all(void)
{
    syscall(SYS_exit_group, 0);
}
TEST(the_end_of_a_crowd_of_threads_lets_others_run)
{
    let_others_run_after(threads_at_a_word, end_all);
}

static void exec_alone(void)
{
    execl("/proc/self/exe", "exec", "none", NULL);
    EXPECT(!"the program could not be run");
}
TEST(an_exec_that_ends_a_crowd_of_threads_lets_others_run)
{
    let_others_run_after(threads_at_a_word, exec_alone);
}

/* Continues its parent 200 ms after each byte: by then the last thread has stopped as well. */
static void continuer(void)
{
    char c;

    for (int fd = 3; fd < 64; fd++)
        if (fd != gate[0])
            close(fd);
    while (read(gate[0], &c, 1) == 1) {
        usleep(200000);
        kill(getppid(), SIGCONT);
    }
    _exit(0);
}

static void threads_and_continuer(void)
{
    EXPECT(pipe(gate) == 0);
    if (fork() == 0)
        continuer();
    threads_that(at_word);
}

static void stop_and_continue(void)
{
    for (int i = 0; i < 2; i++) {
        EXPECT(write(gate[1], "", 1) == 1);
        EXPECT(raise(SIGSTOP) == 0);
    }
}
TEST(stops_of_a_crowd_of_threads_let_others_run)
{
    let_others_run_after(threads_and_continuer, stop_and_continue);
}

static void readers(void)
{
    EXPECT(pipe(gate) == 0);
    threads_that(at_pipe);
}
static void end_of_the_pipe(void)
{
    close(gate[1]);
    wait_for_the_end();
}
TEST(the_end_of_a_pipe_that_a_crowd_reads_lets_others_run)
{
    let_others_run_after(readers, end_of_the_pipe);
}

static void pollers(void)
{
    event = eventfd(0, 0);
    threads_that(at_event);
}
static void the_event(void)
{
    EXPECT(eventfd_write(event, 1) == 0);
    EXPECT(eventfd_write(event, 1) == 0);
    wait_for_the_end();
}
TEST(an_event_that_a_crowd_waits_for_lets_others_run)
{
    let_others_run_after(pollers, the_event);
}

static void parents(void)
{
    pid_t child = fork();

    EXPECT(pipe(gate) == 0);
    if (child == 0) {
        for (int fd = 3; fd < 64; fd++)
            close(fd); /* the neighbour waits for the end of a pipe */
        for (;;)
            pause();
    }
    word = child;
    threads_that(at_child);
}
static void end_of_the_child(void)
{
    kill(word, SIGKILL);
    wait_for_the_end();
}
TEST(the_end_of_a_child_that_a_crowd_waits_for_lets_others_run)
{
    let_others_run_after(parents, end_of_the_child);
}

/* ------------------------------------------------------------- processes of one group */

#define PROCESSES 12000

static pid_t group; /* 0: their maker's */

static int process_at_pipe(void *arg)
{
    char c;

    if (group)
        syscall(SYS_setpgid, 0, group);
    syscall(SYS_read, gate[0], &c, 1);
    syscall(SYS_exit, 0);
    return 0;
}

/* A crowd without memory and descriptors of its own. */
static void processes(void)
{
    char *at = mmap(NULL, (size_t)PROCESSES * STACK, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int n = 0;

    while (n < PROCESSES && clone(process_at_pipe, at + (size_t)(n + 1) * STACK,
                                  CLONE_VM | CLONE_FS | CLONE_FILES | SIGCHLD, NULL) > 0)
        n++;
    EXPECT(n > 1000);
    usleep(100000);
}

static int terminal(int *slave)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), zero = 0;
    char path[32];
    unsigned nr;

    EXPECT(master >= 0 && ioctl(master, TIOCSPTLCK, &zero) == 0);
    EXPECT(ioctl(master, TIOCGPTN, &nr) == 0);
    snprintf(path, sizeof(path), "/dev/pts/%u", nr);
    *slave = open(path, O_RDWR | O_NOCTTY);
    EXPECT(*slave >= 0);
    return master;
}

static int master;

static void group_at_a_terminal(void)
{
    int slave;

    join_group();
    EXPECT(setsid() > 0 && pipe(gate) == 0);
    master = terminal(&slave);
    EXPECT(ioctl(slave, TIOCSCTTY, 0) == 0);
    processes();
    signal(SIGINT, SIG_IGN);
}

static void all_are_gone(void)
{
    while (wait(NULL) > 0)
        ;
    EXPECT(errno == ECHILD);
}

static void interrupt(void)
{
    EXPECT(write(master, "\003\003", 2) == 2);
    all_are_gone();
}
TEST(the_interrupt_of_a_huge_group_lets_others_run)
{
    let_others_run_after(group_at_a_terminal, interrupt);
}

/* The terminal's session is another's. */
static void session_of_a_child(void)
{
    int ready[2], side;
    char c;

    join_group();
    EXPECT(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    EXPECT(pipe(gate) == 0 && pipe(ready) == 0);
    master = terminal(&side);
    if (fork() == 0) {
        EXPECT(setsid() > 0 && ioctl(side, TIOCSCTTY, 0) == 0);
        for (int fd = 3; fd < 64; fd++)
            if (fd != gate[0] && fd != ready[1] && fd != side)
                close(fd);
        processes();
        write(ready[1], "", 1);
        for (;;)
            pause();
    }
    close(side);
    EXPECT(read(ready[0], &c, 1) == 1);
}

static void hang_up(void)
{
    close(master);
    all_are_gone();
}
TEST(the_hangup_of_a_huge_group_lets_others_run)
{
    let_others_run_after(session_of_a_child, hang_up);
}

static void stopped_group(void)
{
    join_group();
    EXPECT(setsid() > 0 && pipe(gate) == 0);
    group = fork();
    if (group == 0) {
        for (int fd = 3; fd < 64; fd++)
            if (fd != gate[0])
                close(fd);
        process_at_pipe(NULL);
    }
    setpgid(group, group);
    processes();
    EXPECT(kill(group, SIGSTOP) == 0);
    usleep(20000);
}

/* The group's last tie to its session. */
static void leave_it(void)
{
    _exit(0);
}
TEST(the_end_of_a_huge_groups_last_tie_lets_others_run)
{
    let_others_run_after(stopped_group, leave_it);
}
