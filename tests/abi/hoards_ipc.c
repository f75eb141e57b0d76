/* SPDX-License-Identifier: MIT
 *
 * Crowds that wait for System V objects, and sets of semaphores as large as they may be, cost their
 * neighbour no time either: see hoards.c and hoard_group.h.
 */
#include <sys/msg.h>
#include <sys/sem.h>

#include "hoard_group.h"

#define CROWD 6000
#define STACK 8192
#define SEMAPHORES 32000
#define SLEEPERS 200
#define SETS 12000

static int id;

/* Threads that have called fn, which sleeps in the kernel until the object goes. */
static void crowd_of_threads(int (*fn)(void *))
{
    char *stacks = mmap(NULL, (size_t)CROWD * STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    for (int i = 0; i < CROWD; i++)
        EXPECT(clone(fn, stacks + (size_t)(i + 1) * STACK,
                     CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL) > 0);
    usleep(50000);
}

static int thread_at_semaphore(void *arg)
{
    struct sembuf down = {0, -1, 0};

    syscall(SYS_semtimedop, id, &down, 1, NULL);
    syscall(SYS_exit, 0);
    return 0;
}

static void remove_semaphore(void)
{
    id = semget(IPC_PRIVATE, 1, 0600);
    EXPECT(id >= 0);
    crowd_of_threads(thread_at_semaphore);
    EXPECT(semctl(id, 0, GETNCNT) == CROWD && semctl(id, 0, IPC_RMID) == 0);
}
TEST(removing_a_semaphore_that_a_crowd_waits_for_lets_others_run)
{
    let_others_run(remove_semaphore);
}

static int thread_at_queue(void *arg)
{
    struct {
        long type;
        char text[8];
    } m;

    syscall(SYS_msgrcv, id, &m, sizeof(m.text), 0L, 0);
    syscall(SYS_exit, 0);
    return 0;
}

static void remove_queue(void)
{
    id = msgget(IPC_PRIVATE, 0600);
    EXPECT(id >= 0);
    crowd_of_threads(thread_at_queue);
    EXPECT(msgctl(id, IPC_RMID, NULL) == 0);
}
TEST(removing_a_queue_that_a_crowd_receives_from_lets_others_run)
{
    let_others_run(remove_queue);
}

/* What would be undone of sets that are gone is dropped when a list of undos is next searched. */
static void undo_of_removed_sets(void)
{
    static int sets[SETS];
    struct sembuf up = {0, 1, SEM_UNDO};

    for (int i = 0; i < SETS; i++) {
        sets[i] = semget(IPC_PRIVATE, 1, 0600);
        EXPECT(sets[i] >= 0 && semop(sets[i], &up, 1) == 0);
    }
    for (int i = 0; i < SETS; i++)
        EXPECT(semctl(sets[i], 0, IPC_RMID) == 0);
    id = semget(IPC_PRIVATE, 1, 0600);
    EXPECT(id >= 0 && semop(id, &up, 1) == 0 && semctl(id, 0, IPC_RMID) == 0);
}
TEST(dropping_what_would_be_undone_lets_others_run)
{
    let_others_run(undo_of_removed_sets);
}

static void sleepers_in_a_large_set(void)
{
    struct sembuf ops[] = {{0, -1, SEM_UNDO}, {1, -1, SEM_UNDO}};

    id = semget(IPC_PRIVATE, SEMAPHORES, 0600);
    EXPECT(id >= 0);
    for (int i = 0; i < SLEEPERS; i++)
        if (fork() == 0) {
            semop(id, ops, 2);
            _exit(0);
        }
    while (semctl(id, 0, GETNCNT) < SLEEPERS)
        usleep(5000);
}

/* All values are set in a time that the number of those who would undo something hardly adds to. */
static void set_and_remove_large_set(void)
{
    static unsigned short values[SEMAPHORES];
    double late = 1e3 * (getenv("LATE_MS") ? atof(getenv("LATE_MS")) : 20), begin;

    sleepers_in_a_large_set();
    begin = now_us();
    EXPECT(semctl(id, 0, SETALL, values) == 0 && now_us() - begin <= late);
    EXPECT(semctl(id, 0, IPC_RMID) == 0);
    while (wait(NULL) > 0)
        ;
}
TEST(a_large_set_of_semaphores_that_goes_lets_others_run)
{
    let_others_run(set_and_remove_large_set);
}
