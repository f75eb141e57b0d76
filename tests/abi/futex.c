/* SPDX-License-Identifier: MIT
 *
 * Futexes: requeueing, and words that are not mapped.
 */
#include <linux/futex.h>

#include "abi.h"

static uint32_t words[1024];

static long futex(void *word, int op, unsigned long val, unsigned long val2, void *word2,
                  unsigned val3)
{
    return syscall(SYS_futex, word, op, val, val2, word2, val3);
}

/* Between words that fall into all kinds of places of a table. */
TEST(requeueing_between_any_two_words)
{
    for (int i = 1; i < 300; i++) {
        EXPECT(futex(&words[0], FUTEX_REQUEUE, 1, 1, &words[i], 0) == 0);
        EXPECT(futex(&words[i], FUTEX_REQUEUE_PRIVATE, 1, 1, &words[0], 0) == 0);
        EXPECT(futex(&words[i], FUTEX_CMP_REQUEUE_PRIVATE, 1, 1, &words[0], 0) == 0);
    }
    EXPECT(futex(&words[0], FUTEX_REQUEUE, 1, 1, &words[0], 0) == 0);
    EXPECT_ERR(futex(&words[0], FUTEX_CMP_REQUEUE, 1, 1, &words[1], 5), EAGAIN);
}

static void *wait_on_first(void *arg)
{
    return (void *)futex(&words[0], FUTEX_WAIT_PRIVATE, 0, 0, NULL, 0);
}

TEST(requeued_waiters_are_woken_by_the_second_word)
{
    pthread_t t[3];
    long moved = 0;

    for (int i = 0; i < 3; i++)
        EXPECT(pthread_create(&t[i], NULL, wait_on_first, NULL) == 0);
    while (moved < 3) {
        long n = futex(&words[0], FUTEX_CMP_REQUEUE_PRIVATE, 0, 8, &words[77], 0);

        EXPECT(n >= 0);
        moved += n;
        sched_yield();
    }
    EXPECT(futex(&words[0], FUTEX_WAKE_PRIVATE, 8, 0, NULL, 0) == 0);
    EXPECT(futex(&words[77], FUTEX_WAKE_PRIVATE, 0, 0, NULL, 0) == 1); /* at least one */
    EXPECT(futex(&words[77], FUTEX_WAKE_PRIVATE, 8, 0, NULL, 0) == 2);
    for (int i = 0; i < 3; i++) {
        void *result;

        pthread_join(t[i], &result);
        EXPECT(result == NULL);
    }
}

/* A thread that waits on words[0] until it has been moved to words[77]. */
static pthread_t waiter_on_77(void)
{
    pthread_t t;

    EXPECT(pthread_create(&t, NULL, wait_on_first, NULL) == 0);
    while (futex(&words[0], FUTEX_CMP_REQUEUE_PRIVATE, 0, 1, &words[77], 0) != 1)
        sched_yield();
    return t;
}

static long wake_op(unsigned code)
{
    return futex(&words[5], FUTEX_WAKE_OP_PRIVATE, 1, 1, &words[77], code);
}

TEST(wake_op_changes_the_second_word)
{
    static const struct {
        unsigned code;
        uint32_t before, after;
    } cases[] = {
        {FUTEX_OP(FUTEX_OP_SET, 7, FUTEX_OP_CMP_EQ, 0), 5, 7},
        {FUTEX_OP(FUTEX_OP_ADD, 7, FUTEX_OP_CMP_EQ, 0), 5, 12},
        {FUTEX_OP(FUTEX_OP_ADD, 0xfff, FUTEX_OP_CMP_EQ, 0), 5, 4}, /* -1 */
        {FUTEX_OP(FUTEX_OP_OR, 6, FUTEX_OP_CMP_EQ, 0), 5, 7},
        {FUTEX_OP(FUTEX_OP_ANDN, 4, FUTEX_OP_CMP_EQ, 0), 5, 1},
        {FUTEX_OP(FUTEX_OP_XOR, 6, FUTEX_OP_CMP_EQ, 0), 5, 3},
        {FUTEX_OP((FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT), 9, FUTEX_OP_CMP_EQ, 0), 5, 517},
        {FUTEX_OP((FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT), 31, FUTEX_OP_CMP_EQ, 0), 5, 1U << 31},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        words[77] = cases[i].before;
        EXPECT(wake_op(cases[i].code) == 0);
        EXPECT(words[77] == cases[i].after);
    }
    words[77] = 5;
    EXPECT_ERR(wake_op(FUTEX_OP(5, 7, FUTEX_OP_CMP_EQ, 0)), ENOSYS);
    EXPECT(words[77] == 5);
    EXPECT_ERR(wake_op(FUTEX_OP(FUTEX_OP_SET, 7, 6, 0)), ENOSYS);
    words[77] = 0;
}

TEST(wake_op_wakes_the_second_word_if_it_compared)
{
    static const struct {
        int cmp, yes,
            no; /* yes, no: what the word, which is -3, is and is not in that relation to */
    } cases[] = {{FUTEX_OP_CMP_EQ, -3, 3},  {FUTEX_OP_CMP_NE, 3, -3},  {FUTEX_OP_CMP_LT, -2, -3},
                 {FUTEX_OP_CMP_LE, -3, -4}, {FUTEX_OP_CMP_GT, -4, -3}, {FUTEX_OP_CMP_GE, -3, -2}};

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pthread_t t = waiter_on_77();

        words[77] = (uint32_t)-3;
        EXPECT(wake_op(FUTEX_OP(FUTEX_OP_ADD, 0, cases[i].cmp, (cases[i].no & 0xfff))) == 0);
        EXPECT(wake_op(FUTEX_OP(FUTEX_OP_ADD, 0, cases[i].cmp, (cases[i].yes & 0xfff))) == 1);
        EXPECT(pthread_join(t, NULL) == 0);
    }
    words[77] = 0;
}

TEST(a_shared_word_must_be_mapped)
{
    char *hole = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (int i = 0; i < 2; i++) {
        EXPECT_ERR(futex(hole, FUTEX_WAKE, 1, 0, NULL, 0), EFAULT);
        EXPECT_ERR(futex(hole, FUTEX_WAKE_BITSET, 1, 0, NULL, 1), EFAULT);
        EXPECT_ERR(futex(hole, FUTEX_REQUEUE, 1, 1, words, 0), EFAULT);
        EXPECT_ERR(futex(words, FUTEX_REQUEUE, 1, 1, hole, 0), EFAULT);
        EXPECT_ERR(futex(hole, FUTEX_WAIT, 0, 0, NULL, 0), EFAULT);
        EXPECT_ERR(futex(hole, FUTEX_WAIT_PRIVATE, 0, 0, NULL, 0), EFAULT);
        EXPECT_ERR(futex(hole, FUTEX_CMP_REQUEUE_PRIVATE, 1, 1, words, 0), EFAULT);
        EXPECT(futex(hole, FUTEX_WAKE_PRIVATE, 1, 0, NULL, 0) == 0);
        EXPECT(futex(hole, FUTEX_REQUEUE_PRIVATE, 1, 1, words, 0) == 0);
        munmap(hole, 8192);
    }
    EXPECT_ERR(futex((char *)words + 1, FUTEX_WAKE, 1, 0, NULL, 0), EINVAL);
    EXPECT_ERR(futex((void *)-4096UL, FUTEX_WAKE_PRIVATE, 1, 0, NULL, 0), EFAULT);
    EXPECT_ERR(futex(words, FUTEX_WAKE_BITSET, 1, 0, NULL, 0), EINVAL);
}

#define GONE 32

struct waiter {
    void *word;
    volatile pid_t tid;
};

static void *wait_on_shared(void *arg)
{
    struct waiter *w = arg;

    w->tid = (pid_t)syscall(SYS_gettid);
    futex(w->word, FUTEX_WAIT, 0, 0, NULL, 0);
    return NULL;
}

static void *map_shared(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    EXPECT(p != MAP_FAILED);
    return p;
}

/* Threads sleep on words of shared memory that is unmapped then, and its last user gone. A thread
 * that waits on new memory, perhaps in the same place of the kernel's, is not to miss a wake-up for
 * it.
 */
TEST(waiters_on_memory_that_is_gone_take_no_wakeup_of_other_memory)
{
    static struct waiter waiters[GONE];
    pthread_t t;

    for (int i = 0; i < GONE; i++) {
        waiters[i].word = map_shared();
        EXPECT(pthread_create(&t, NULL, wait_on_shared, &waiters[i]) == 0);
    }
    for (int i = 0; i < GONE; i++)
        until_asleep(&waiters[i].tid);
    EXPECT(futex(waiters[0].word, FUTEX_WAKE, 8, 0, NULL, 0) == 1);
    for (int i = 0; i < GONE; i++)
        EXPECT(munmap(waiters[i].word, 4096) == 0);
    for (int i = 0; i < 2 * GONE; i++)
        EXPECT(futex(map_shared(), FUTEX_WAKE, 8, 0, NULL, 0) == 0);
}

/* It has freed its lock and ends before it wakes anyone. */
static void *end_while_unlocking(void *word)
{
    struct robust_list_head head = {.list = {&head.list}, .list_op_pending = word};

    EXPECT(syscall(SYS_set_robust_list, &head, sizeof(head)) == 0);
    syscall(SYS_exit, 0);
    return NULL;
}

TEST(a_lock_that_was_just_freed_has_an_heir)
{
    struct waiter w = {.word = map_shared()};
    pthread_t waiting, ending;

    EXPECT(pthread_create(&waiting, NULL, wait_on_shared, &w) == 0);
    until_asleep(&w.tid);
    EXPECT(pthread_create(&ending, NULL, end_while_unlocking, w.word) == 0);
    EXPECT(pthread_join(waiting, NULL) == 0);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long counter;
static void *adder(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
    }
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&lock);
    return arg;
}

TEST(threads_lock_and_join)
{
    pthread_t t[8];
    void *r;

    for (long i = 0; i < 8; i++)
        EXPECT(pthread_create(&t[i], NULL, adder, (void *)i) == 0);
    pthread_mutex_lock(&lock);
    while (counter < 160000)
        pthread_cond_wait(&cond, &lock);
    pthread_mutex_unlock(&lock);
    for (long i = 0; i < 8; i++)
        EXPECT(pthread_join(t[i], &r) == 0 && r == (void *)i);
    EXPECT(counter == 160000);
}

TEST(futex_times_out_and_compares)
{
    static uint32_t word = 1;
    struct timespec ts = {0, 10000000};

    EXPECT_ERR(syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0), EAGAIN);
    EXPECT_ERR(syscall(SYS_futex, &word, FUTEX_WAIT, 1, &ts, NULL, 0), ETIMEDOUT);
    EXPECT(syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
    EXPECT_ERR(syscall(SYS_futex, (char *)&word + 1, FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
}

TEST(robust_mutex_tells_of_its_owner)
{
    pthread_mutexattr_t attr;
    pthread_mutex_t *m =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(m, &attr);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(m);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    EXPECT(pthread_mutex_lock(m) == EOWNERDEAD);
}
