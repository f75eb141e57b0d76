/* SPDX-License-Identifier: MIT
 *
 * Worker 0 is the caller and leads: it writes a round's figures, wakes those that take part, and
 * waits until they have come; then all begin at once. A worker that is not wanted sleeps, so that
 * its processor is the host's.
 */
#include "rounds.h"

#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUND_NS 500000u /* what a round of one is to take at least */
#define ROUNDS_LEAST 40u /* of each number of workers, however long they take */

/* Workers may be processes: shared memory. l written by the leader · a atomic · w by its worker */
struct seat {
    uint32_t turn; /* l  a round begins: a futex */
    uint64_t end;  /* w  when the worker was done */
} __attribute__((aligned(64)));
struct board {
    uint32_t round, n; /* l  n 0: workers are to end */
    uint32_t go;       /* l  the round that has begun */
    uint32_t come;     /* a  workers that wait for it */
    uint32_t done;     /* a */
    struct seat seats[WORKERS_MAX];
};

static const struct rounds *rounds_what;
static struct board *board;
static unsigned first_cpu;

static uint32_t load(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}

static void store(uint32_t *at, uint32_t value)
{
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}

static void count(uint32_t *at)
{
    __atomic_fetch_add(at, 1, __ATOMIC_SEQ_CST);
}

/* It soon is. */
static void spin_until(const uint32_t *at, uint32_t value)
{
    while (load(at) != value)
        __builtin_ia32_pause();
}

static void worker_begin(unsigned w)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(first_cpu + w, &set);
    bench_need(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
    if (rounds_what->begin)
        rounds_what->begin(w);
}

static void take_part(unsigned w, uint32_t round)
{
    if (rounds_what->reset)
        rounds_what->reset(w);
    count(&board->come);
    spin_until(&board->go, round);
    rounds_what->work(w, board->n);
    board->seats[w].end = bench_now();
    count(&board->done);
}

static void *worker_run(void *arg)
{
    unsigned w = (unsigned)(uintptr_t)arg;
    uint32_t *turn = &board->seats[w].turn, seen = 0;

    worker_begin(w);
    count(&board->done);
    for (;;) {
        while (load(turn) == seen)
            bench_futex(turn, FUTEX_WAIT, seen);
        seen = load(turn);
        if (!board->n)
            return NULL;
        take_part(w, seen);
    }
}

/* Calls the workers for a round of n, or to their end. */
static void call(unsigned workers, unsigned n)
{
    board->n = n;
    board->come = board->done = 0;
    board->round++;
    for (unsigned w = 1; w < workers; w++) {
        store(&board->seats[w].turn, board->round);
        bench_futex(&board->seats[w].turn, FUTEX_WAKE, 1);
    }
}

/* How long a round of so many workers takes. */
static uint64_t round_ns(unsigned workers, unsigned n)
{
    uint64_t start, end = 0;

    call(workers, n);
    if (rounds_what->reset)
        rounds_what->reset(0);
    spin_until(&board->come, workers - 1);
    start = bench_now();
    store(&board->go, board->round);
    rounds_what->work(0, n);
    board->seats[0].end = bench_now();
    spin_until(&board->done, workers - 1);
    for (unsigned w = 0; w < workers; w++)
        end = board->seats[w].end > end ? board->seats[w].end : end;
    return end - start;
}

static unsigned round_size(void)
{
    unsigned n = 1, most = rounds_what->most ? rounds_what->most : 1u << 20;

    while (n < most && round_ns(1, n) < ROUND_NS)
        n = n * 2 < most ? n * 2 : most;
    return n;
}

static void rounds_measure(unsigned workers, unsigned ms)
{
    unsigned n = round_size();
    uint64_t one = UINT64_MAX, all = UINT64_MAX, begun = bench_now();

    for (unsigned i = 0; i < ROUNDS_LEAST || bench_now() - begun < ms * 1000000ul; i++) {
        uint64_t ns = round_ns(1, n);

        one = ns < one ? ns : one;
        ns = round_ns(workers, n);
        all = ns < all ? ns : all;
    }
    printf("%s %.2f %.0f %.0f\n", rounds_what->name, (double)one * workers / (double)all,
           (double)one / n, (double)all / n);
    fflush(stdout);
}

/* The last processors; asked before the caller is bound to one. */
static void choose_cpus(unsigned workers)
{
    static unsigned cpus;

    if (!cpus)
        cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    bench_need(cpus >= workers, "a processor for each worker");
    first_cpu = cpus - workers;
}

static pid_t start_process(unsigned w)
{
    pid_t pid = fork();

    bench_need(pid >= 0, "fork");
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    worker_run((void *)(uintptr_t)w);
    _exit(0);
}

void rounds_run(const struct rounds *r, unsigned workers, unsigned ms)
{
    pthread_t threads[WORKERS_MAX];
    pid_t pids[WORKERS_MAX];

    rounds_what = r;
    choose_cpus(workers);
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bench_need(board != MAP_FAILED, "mmap");
    for (unsigned w = 1; w < workers; w++)
        if (!r->threads)
            pids[w] = start_process(w);
        else
            bench_need(pthread_create(&threads[w], NULL, worker_run, (void *)(uintptr_t)w) == 0,
                       "pthread_create");
    worker_begin(0);
    while (load(&board->done) != workers - 1)
        sched_yield();
    rounds_measure(workers, ms);
    call(workers, 0);
    for (unsigned w = 1; w < workers; w++)
        if (r->threads)
            pthread_join(threads[w], NULL);
        else
            bench_reap(pids[w]);
    munmap(board, sizeof *board);
}
