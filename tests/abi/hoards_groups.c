/* SPDX-License-Identifier: MIT
 *
 * Crowds of processes in one group that something happens to at once: what is done for each of them
 * is done some at a time. See hoard.h and hoard_group.h.
 */
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "hoard_group.h"

#define STACK 4096

static int gate[2];

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
