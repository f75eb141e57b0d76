/* SPDX-License-Identifier: MIT
 *
 * System V semaphores: counts, waiters and their order, and what is undone at the end of processes.
 */
#include "sysv.h"

#include <limits.h>
#include <sys/sem.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
    struct seminfo *info;
};

static int sem_make(int n)
{
    int id = semget(IPC_PRIVATE, n, 0600);

    EXPECT(id >= 0);
    return id;
}

static int sem_value(int id, int i)
{
    return semctl(id, i, GETVAL);
}

static int sem_do(int id, int i, int change, int flags)
{
    struct sembuf op = {(unsigned short)i, (short)change, (short)flags};

    return semop(id, &op, 1);
}

TEST(semaphores_count)
{
    own_ipc();
    int id = sem_make(3);
    EXPECT(sem_do(id, 1, 5, 0) == 0 && sem_value(id, 1) == 5 && sem_value(id, 0) == 0);
    EXPECT(sem_do(id, 1, -3, 0) == 0 && sem_value(id, 1) == 2);
    EXPECT_ERR(sem_do(id, 1, -3, IPC_NOWAIT), EAGAIN);
    EXPECT_ERR(sem_do(id, 1, 0, IPC_NOWAIT), EAGAIN);
    EXPECT_ERR(sem_do(id, 3, 1, 0), EFBIG);
    EXPECT_ERR(sem_do(id, 1, 32767, 0), ERANGE);
    EXPECT(semctl(id, 1, GETPID) == getpid() && semctl(id, 0, GETPID) == 0);
    EXPECT_ERR(semctl(id, 3, GETVAL), EINVAL);
    EXPECT_ERR(semctl(id, -1, GETVAL), EINVAL);
    EXPECT_ERR(semctl(id, 0, SETVAL, (union semun){.val = 32768}), ERANGE);
    EXPECT_ERR(semctl(id, 0, SETVAL, (union semun){.val = -1}), ERANGE);
    EXPECT_ERR(semop(id, NULL, 0), EINVAL);
    struct sembuf many[501] = {{0, 0, 0}};
    EXPECT_ERR(semop(id, many, 501), E2BIG);
    EXPECT(semop(id, many, 500) == 0);
    EXPECT_ERR(semget(IPC_PRIVATE, 0, 0600), EINVAL);
    EXPECT_ERR(semget(IPC_PRIVATE, -1, 0600), EINVAL);
    EXPECT_ERR(semget(IPC_PRIVATE, 32001, 0600), EINVAL);
    EXPECT(semctl(id, 0, IPC_RMID) == 0);
    EXPECT_ERR(sem_do(id, 0, 1, 0), EINVAL);
}

TEST(several_operations_are_one)
{
    own_ipc();
    int id = sem_make(2);
    struct sembuf take[2] = {{0, 2, IPC_NOWAIT}, {1, -1, IPC_NOWAIT}};
    EXPECT_ERR(semop(id, take, 2), EAGAIN);
    EXPECT(sem_value(id, 0) == 0);
    unsigned short all[2] = {4, 1};
    EXPECT(semctl(id, 0, SETALL, (union semun){.array = all}) == 0);
    EXPECT(semop(id, take, 2) == 0);
    EXPECT(semctl(id, 0, GETALL, (union semun){.array = all}) == 0 && all[0] == 6 && all[1] == 0);
    all[0] = 32768;
    EXPECT_ERR(semctl(id, 0, SETALL, (union semun){.array = all}), ERANGE);
}

/* Until n processes wait on the set's semaphore 0. */
static void await_waiters(int id, int what, int n)
{
    while (semctl(id, 0, what) != n)
        sched_yield();
}

TEST(waiters_are_woken_in_their_order)
{
    own_ipc();
    int id = sem_make(2), order[2];
    pid_t pid[3];
    EXPECT(pipe(order) == 0);
    for (int i = 0; i < 3; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            EXPECT(sem_do(id, 0, -1, 0) == 0);
            char c = (char)('a' + i);
            EXPECT(write(order[1], &c, 1) == 1);
            _exit(0);
        }
        await_waiters(id, GETNCNT, i + 1);
    }
    for (int i = 0; i < 3; i++) {
        char c;
        EXPECT(sem_do(id, 0, 1, 0) == 0 && read(order[0], &c, 1) == 1 && c == 'a' + i);
        EXPECT(status_of(pid[i]) == 0 && semctl(id, 0, GETPID) == pid[i]);
    }
    EXPECT(semctl(id, 0, GETNCNT) == 0 && sem_value(id, 0) == 0);
}

TEST(one_waiter_may_free_another)
{
    own_ipc();
    int id = sem_make(3);
    EXPECT(sem_do(id, 1, 1, 0) == 0);
    pid_t zero = fork();
    if (zero == 0) /* waits until 1 is zero, then gives to 2 */
        _exit(semop(id, (struct sembuf[]){{0, 0, 0}, {1, 0, 0}, {2, 1, 0}}, 3) != 0);
    while (semctl(id, 1, GETZCNT) != 1)
        sched_yield();
    pid_t take = fork();
    if (take == 0) /* takes 0, and with it 1 */
        _exit(semop(id, (struct sembuf[]){{0, -1, 0}, {1, -1, 0}}, 2) != 0);
    await_waiters(id, GETNCNT, 1);
    EXPECT(sem_do(id, 0, 1, 0) == 0);
    EXPECT(status_of(take) == 0 && status_of(zero) == 0);
    EXPECT(sem_value(id, 0) == 0 && sem_value(id, 1) == 0 && sem_value(id, 2) == 1);
}

#define CHAIN 200
#define OPERATIONS 500 /* of one call at most */

/* Each of a chain of waiters frees the one who came before it, so that they go on from the end, and
 * the whole list has to be looked at for each. */
TEST(a_long_chain_of_waiters_goes_on_to_its_end)
{
    own_ipc();
    int id = sem_make(CHAIN + 2);
    for (int i = 0; i < CHAIN; i++) {
        if (fork() == 0) {
            struct sembuf ops[OPERATIONS];
            for (int k = 0; k < OPERATIONS - 2; k++)
                ops[k] = (struct sembuf){CHAIN + 1, 0, 0};
            ops[OPERATIONS - 2] = (struct sembuf){i + 1, -1, i % 2 ? SEM_UNDO : 0};
            ops[OPERATIONS - 1] = (struct sembuf){i, 1, 0};
            _exit(semop(id, ops, OPERATIONS) != 0);
        }
        while (semctl(id, i + 1, GETNCNT) != 1)
            sched_yield();
    }
    EXPECT(sem_do(id, CHAIN, 1, 0) == 0);
    for (int i = 0, status; i < CHAIN; i++)
        EXPECT(wait(&status) > 0 && status == 0);
    EXPECT(sem_value(id, 0) == 1 && sem_value(id, 1) == 0 && sem_value(id, 2) == 1);
}

TEST(removal_signals_and_time_end_a_wait)
{
    own_ipc();
    int id = sem_make(1);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT_ERR(sem_do(id, 0, -1, 0), EIDRM);
        _exit(0);
    }
    await_waiters(id, GETNCNT, 1);
    EXPECT(semctl(id, 0, IPC_RMID) == 0 && status_of(pid) == 0);
    id = sem_make(1);
    pid = fork();
    if (pid == 0)
        _exit(sem_do(id, 0, -1, 0));
    await_waiters(id, GETNCNT, 1);
    EXPECT(kill(pid, SIGKILL) == 0 && status_of(pid) == SIGKILL && semctl(id, 0, GETNCNT) == 0);
    struct sembuf op = {0, -1, 0};
    struct timespec t = {0, 1000000}, bad = {0, 1000000000};
    EXPECT_ERR(semtimedop(id, &op, 1, &t), EAGAIN);
    EXPECT_ERR(semtimedop(id, &op, 1, &bad), EINVAL);
}

TEST(what_a_process_did_is_undone)
{
    own_ipc();
    int id = sem_make(2);
    EXPECT(sem_do(id, 0, 5, 0) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(sem_do(id, 0, -3, SEM_UNDO) == 0 && sem_do(id, 1, 2, SEM_UNDO) == 0);
        EXPECT(sem_do(id, 0, 1, 0) == 0); /* this stays */
        _exit(sem_value(id, 0) != 3);
    }
    EXPECT(status_of(pid) == 0 && sem_value(id, 0) == 6 && sem_value(id, 1) == 0);
    EXPECT(semctl(id, 0, GETPID) == pid);
    pid = fork(); /* a value that is set forgets what was to be undone */
    if (pid == 0) {
        EXPECT(sem_do(id, 0, -3, SEM_UNDO) == 0);
        EXPECT(semctl(id, 0, SETVAL, (union semun){.val = 1}) == 0);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0 && sem_value(id, 0) == 1);
    pid = fork(); /* one that waits gets what the end of another gives back */
    if (pid == 0) {
        EXPECT(sem_do(id, 0, -1, SEM_UNDO) == 0);
        pid_t waiter = fork();
        if (waiter == 0)
            _exit(sem_do(id, 0, -1, 0) != 0);
        await_waiters(id, GETNCNT, 1);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0);
    while (sem_value(id, 0) != 0 || semctl(id, 0, GETNCNT) != 0)
        sched_yield();
}

static void *undo_thread(void *arg)
{
    return (void *)(intptr_t)sem_do(*(int *)arg, 0, -1, SEM_UNDO);
}

TEST(threads_undo_together_at_the_last_ones_end)
{
    own_ipc();
    int id = sem_make(1);
    EXPECT(sem_do(id, 0, 1, 0) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        EXPECT(pthread_create(&thread, NULL, undo_thread, &id) == 0);
        pthread_join(thread, NULL);
        _exit(sem_value(id, 0) != 0); /* not undone by the thread's end */
    }
    EXPECT(status_of(pid) == 0 && sem_value(id, 0) == 1);
}

TEST(undoing_survives_the_removal_of_sets)
{
    own_ipc();
    for (int i = 0; i < 200; i++) {
        int id = sem_make(4);
        EXPECT(sem_do(id, 2, 1, SEM_UNDO) == 0 && semctl(id, 0, IPC_RMID) == 0);
    }
    int id = sem_make(1);
    EXPECT(sem_do(id, 0, 1, SEM_UNDO) == 0);
}
