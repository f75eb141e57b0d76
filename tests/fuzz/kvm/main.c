/* SPDX-License-Identifier: MIT
 *
 * fuzz-kvm [SEED [SECONDS]]: processes, each a machine with guests of random code and threads that
 * run it and spoil it, until the time is over. How a guest or a process ends is of no interest:
 * what counts is that the kernel goes on. Prints what it did; fails when no guest ever ran.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"

#define PROCESSES 2
#define SPOILERS 2
#define LIFE 1 /* s */

static struct {
    volatile uint64_t ioctls, exits, by_reason[64];
} * count; /* shared by all processes */
static struct machine machine;

struct worker {
    struct chance chance;
    unsigned vcpu;
};

static void nothing(int sig)
{
    (void)sig;
}

/* One stay in the guest; false when it goes no further from where it is. */
static bool stay(struct machine *m, struct worker *w)
{
    struct kvm_run *run = m->run[w->vcpu];
    uint32_t why;

    if (ioctl(m->vcpu[w->vcpu], KVM_RUN, 0) != 0)
        return !chance_of(&w->chance, 4); /* a signal, or state that was refused */
    why = run->exit_reason % 64;
    __atomic_fetch_add(&count->exits, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&count->by_reason[why], 1, __ATOMIC_RELAXED);
    return why != KVM_EXIT_SHUTDOWN && why != KVM_EXIT_INTERNAL_ERROR && why != KVM_EXIT_FAIL_ENTRY;
}

static void *run_vcpu(void *arg)
{
    struct worker *w = arg;
    struct machine *m = &machine;

    for (;;) {
        guest_start(m, w->vcpu, &w->chance);
        if (chance_of(&w->chance, 4))
            guest_code(m, &w->chance);
        for (unsigned i = 0; i < 50 && stay(m, w); i++)
            if (chance_of(&w->chance, 16))
                ioctl_any(m, &w->chance);
    }
    return NULL;
}

/* A word of a run area; a page of the guest's, gone or read-only for a moment; a signal. */
static void spoil(struct machine *m, struct chance *c)
{
    unsigned v = (unsigned)chance_below(c, m->vcpus);
    uint64_t at = chance_below(c, 2 * GUEST_SIZE / 4096), left = 2 * GUEST_SIZE / 4096 - at;
    uint8_t *page = m->mem + at * 4096;
    static const int advices[] = {4 /* DONTNEED */, 8 /* FREE */, 9 /* REMOVE */};

    switch (chance_below(c, 8)) {
    case 0:
        ((uint32_t *)m->run[v])[chance_below(c, chance_of(c, 4) ? 1024 : 64)] = value_int(c);
        break;
    case 1:
        madvise(page, 4096 * (1 + chance_below(c, left < 8 ? left : 8)),
                advices[chance_below(c, 3)]);
        break;
    case 2:
        mprotect(page, 4096, PROT_READ);
        mprotect(page, 4096, PROT_READ | PROT_WRITE);
        break;
    case 3:
        mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        break;
    case 4:
        (void)!write(m->event, &(uint64_t){1}, 8);
        break;
    default:
        pthread_kill(m->thread[v], SIGUSR1);
    }
}

static void *run_spoiler(void *arg)
{
    struct worker *w = arg;

    for (;;) {
        ioctl_any(&machine, &w->chance);
        __atomic_fetch_add(&count->ioctls, 1, __ATOMIC_RELAXED);
        if (chance_of(&w->chance, 4))
            spoil(&machine, &w->chance);
    }
    return NULL;
}

static void process(uint64_t seed)
{
    static struct worker workers[MAX_VCPUS + SPOILERS];
    struct chance c = {seed};
    struct sigaction ignore = {.sa_handler = nothing};
    pthread_t t;

    sigaction(SIGUSR1, &ignore, NULL);
    alarm(LIFE);
    values_init();
    if (!machine_make(&machine, &c))
        _exit(2);
    guest_code(&machine, &c);
    for (unsigned i = 0; i < machine.vcpus + SPOILERS; i++)
        workers[i] = (struct worker){{chance_u64(&c)}, i};
    for (unsigned i = 0; i < machine.vcpus; i++)
        if (pthread_create(&machine.thread[i], NULL, run_vcpu, &workers[i]) != 0)
            _exit(2);
    if (pthread_create(&t, NULL, run_spoiler, &workers[machine.vcpus]) != 0)
        _exit(2);
    run_spoiler(&workers[machine.vcpus + 1]);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, number = 0;
    double end = now() + (argc > 2 ? atof(argv[2]) : 10);

    setvbuf(stdout, NULL, _IONBF, 0);
    count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (unsigned live = 0; live || now() < end;) {
        for (; live < PROCESSES && now() < end; live++) {
            pid_t pid = fork();
            if (pid == 0)
                process(seed * 1000003 + number);
            if (pid < 0)
                break;
            number++;
        }
        if (wait(NULL) > 0)
            live--;
    }
    printf("ok %lu ioctls and %lu exits in %lu machines; exits by reason:",
           (unsigned long)count->ioctls, (unsigned long)count->exits, (unsigned long)number);
    for (unsigned i = 0; i < 64; i++)
        if (count->by_reason[i])
            printf(" %u:%lu", i, (unsigned long)count->by_reason[i]);
    printf("\n");
    return count->exits == 0;
}
