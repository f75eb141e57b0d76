/* SPDX-License-Identifier: MIT
 *
 * Restartable sequences, rseq(2): what is registered, the CPU's number, and pieces of code that go
 * on at their abort handler when they are interrupted.
 */
#include "abi.h"

#include <linux/rseq.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/time.h>
#include <ucontext.h>

enum { SIZE = 32, UNREGISTER = 1 };
enum { MB_RSEQ = 128, MB_REGISTER_RSEQ = 256 };
#define SIGNATURE 0x53053053U

static struct rseq area __attribute__((aligned(SIZE)));

static int rseq_call(void *at, unsigned size, int flags, unsigned signature)
{
    return (int)syscall(SYS_rseq, at, size, flags, signature);
}

/* The C library's own area goes, ours comes. */
static void take_over(void)
{
    char *libc = (char *)__builtin_thread_pointer() + __rseq_offset;

    EXPECT(__rseq_size > 0);
    EXPECT(rseq_call(libc, SIZE, UNREGISTER, RSEQ_SIG) == 0);
    EXPECT(rseq_call(&area, SIZE, 0, SIGNATURE) == 0);
}

/* A section that ends by its abort handler only. It counts in `entered`. */
extern char section_start[], section_end[], section_abort[];
static volatile int entered, aborted;
static struct rseq_cs section;

static struct rseq_cs good_section(void)
{
    return (struct rseq_cs){.start_ip = (uintptr_t)section_start,
                            .post_commit_offset = (uintptr_t)(section_end - section_start),
                            .abort_ip = (uintptr_t)section_abort};
}

static __attribute__((noinline)) void spin_in_section(void)
{
    section = good_section();
    __asm__ volatile("   leaq section(%%rip), %%rax\n"
                     "   movq %%rax, 8+area(%%rip)\n"
                     "section_start:\n"
                     "1: incl entered(%%rip)\n"
                     "   jmp 1b\n"
                     "section_end:\n"
                     "   ud2\n"
                     "   .long 0x53053053\n"
                     "section_abort:\n"
                     "   movl $1, aborted(%%rip)\n" ::
                         : "rax", "memory");
}

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    EXPECT(sched_setaffinity(0, sizeof(set), &set) == 0);
}

static void dies_of(int sig, void (*of)(void))
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        of();
        _exit(9);
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == sig);
}

TEST(an_area_is_registered_once_and_taken_back_as_it_was_given)
{
    char *libc = (char *)__builtin_thread_pointer() + __rseq_offset;

    EXPECT(__rseq_size > 0);
    EXPECT_ERR(rseq_call(libc, SIZE, 0, RSEQ_SIG), EBUSY);
    EXPECT_ERR(rseq_call(libc, SIZE, 0, RSEQ_SIG + 1), EPERM);
    EXPECT_ERR(rseq_call(&area, SIZE, 0, RSEQ_SIG), EINVAL);
    EXPECT_ERR(rseq_call(&area, SIZE, UNREGISTER, RSEQ_SIG), EINVAL);
    EXPECT_ERR(rseq_call(libc, SIZE, UNREGISTER, RSEQ_SIG + 1), EPERM);
    EXPECT_ERR(rseq_call(libc, SIZE / 2, UNREGISTER, RSEQ_SIG), EINVAL);
    EXPECT_ERR(rseq_call(libc, SIZE, UNREGISTER | 2, RSEQ_SIG), EINVAL);
    take_over();
    EXPECT(area.cpu_id < 64 && area.cpu_id_start == area.cpu_id);
    EXPECT(rseq_call(&area, SIZE, UNREGISTER, SIGNATURE) == 0);
    EXPECT(area.cpu_id == (unsigned)RSEQ_CPU_ID_UNINITIALIZED && area.cpu_id_start == 0);
    EXPECT_ERR(rseq_call(&area, SIZE, UNREGISTER, SIGNATURE), EINVAL);
    EXPECT_ERR(rseq_call((char *)&area + 8, SIZE, 0, SIGNATURE), EINVAL);
    EXPECT_ERR(rseq_call(&area, SIZE + 32, 0, SIGNATURE), EINVAL);
    EXPECT_ERR(rseq_call(&area, SIZE, 4, SIGNATURE), EINVAL);
    EXPECT_ERR(rseq_call((void *)0xffff888000000000UL, SIZE, 0, SIGNATURE), EFAULT);
}

/* An exec'd program: its C library could not register if the old area were still known. */
__attribute__((constructor)) static void maybe_program(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "fresh") == 0)
        _exit(__rseq_size > 0 ? 0 : 1);
}

/* Main's area is not the library's any more, so the library registers none here. */
static void *new_thread(void *arg)
{
    static struct rseq other __attribute__((aligned(SIZE)));

    EXPECT(rseq_call(&other, SIZE, 0, SIGNATURE) == 0);
    EXPECT(rseq_call(&other, SIZE, UNREGISTER, SIGNATURE) == 0);
    return NULL;
}

TEST(a_forked_child_keeps_it_a_thread_and_an_exec_begin_without)
{
    pthread_t thread;
    int status = -1;
    pid_t pid;

    take_over();
    pid = fork();
    if (pid == 0) {
        EXPECT_ERR(rseq_call(&area, SIZE, 0, SIGNATURE), EBUSY);
        execl("/proc/self/exe", "rseq", "fresh", NULL);
        _exit(9);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT(pthread_create(&thread, NULL, new_thread, NULL) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
}

TEST(the_cpu_is_told_after_each_move)
{
    unsigned cpu;
    cpu_set_t all;

    take_over();
    EXPECT(sched_getaffinity(0, sizeof(all), &all) == 0);
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < 64; i++)
            if (CPU_ISSET(i, &all)) {
                pin(i);
                EXPECT(syscall(SYS_getcpu, &cpu, NULL, NULL) == 0 && cpu == (unsigned)i);
                EXPECT(area.cpu_id == cpu && area.cpu_id_start == cpu);
            }
}

TEST(another_threads_turn_aborts_a_section)
{
    pid_t rival;
    int cpu = sched_getcpu();

    pin(cpu);
    take_over();
    rival = fork();
    if (rival == 0)
        for (;;)
            ;
    spin_in_section();
    EXPECT(entered && aborted && !area.rseq_cs);
    EXPECT(kill(rival, SIGKILL) == 0 && waitpid(rival, NULL, 0) == rival);
}

static volatile uintptr_t interrupted_at;
static volatile bool interrupted_inside;
static void note_place(int sig, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

    interrupted_inside |= at >= (uintptr_t)section_start && at < (uintptr_t)section_end;
    interrupted_at = at;
}

TEST(a_handler_interrupts_the_abort_handler_never_the_section)
{
    struct sigaction act = {.sa_sigaction = note_place, .sa_flags = SA_SIGINFO};
    /* Again and again: the first may come before the section. */
    struct itimerval soon = {{.tv_usec = 20000}, {.tv_usec = 20000}};

    take_over();
    EXPECT(sigaction(SIGALRM, &act, NULL) == 0);
    EXPECT(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    spin_in_section();
    while (!interrupted_at)
        ;
    EXPECT(aborted && !interrupted_inside);
}

TEST(a_section_that_was_left_is_forgotten)
{
    take_over();
    section = good_section();
    *(volatile uint64_t *)&area.rseq_cs = (uintptr_t)&section;
    usleep(1000); /* a switch away */
    EXPECT(*(volatile uint64_t *)&area.rseq_cs == 0 && !aborted);
}

static void look_at_section(void)
{
    *(volatile uint64_t *)&area.rseq_cs = (uintptr_t)&section;
    usleep(1000);
}

TEST(a_wrong_section_ends_the_program)
{
    take_over();
    section = good_section();
    section.abort_ip -= 2; /* no signature before it */
    dies_of(SIGSEGV, look_at_section);
    section = good_section();
    section.abort_ip = section.start_ip + 1;
    dies_of(SIGSEGV, look_at_section);
    section = good_section();
    section.version = 1;
    dies_of(SIGSEGV, look_at_section);
    section = good_section();
    section.post_commit_offset = ~0ULL - 4096;
    dies_of(SIGSEGV, look_at_section);
    section = good_section();
    section.abort_ip = 0xffff888000001000ULL;
    dies_of(SIGSEGV, look_at_section);
}

static void see_wild_pointer(void)
{
    *(volatile uint64_t *)&area.rseq_cs = 0xffff888000001000ULL;
    usleep(1000);
}

static void lose_area(void)
{
    EXPECT(mprotect((void *)((uintptr_t)&area & ~4095UL), 4096, PROT_NONE) == 0);
    usleep(1000);
}

static void on_segv(int sig)
{
}

/* Whether its handler still runs or not: no endless loop. */
static void see_wild_pointer_with_handler(void)
{
    signal(SIGSEGV, on_segv);
    see_wild_pointer();
}

TEST(an_area_that_cannot_be_read_ends_the_program)
{
    take_over();
    dies_of(SIGSEGV, see_wild_pointer);
    dies_of(SIGSEGV, see_wild_pointer_with_handler);
    dies_of(SIGSEGV, lose_area);
}

static void *spin_as_thread(void *arg)
{
    take_over();
    spin_in_section();
    return NULL;
}

TEST(a_barrier_aborts_the_sections_of_ones_threads)
{
    pthread_t thread;
    int rounds;

    EXPECT((syscall(SYS_membarrier, 0, 0, 0) & (MB_RSEQ | MB_REGISTER_RSEQ)) ==
           (MB_RSEQ | MB_REGISTER_RSEQ));
    EXPECT_ERR((int)syscall(SYS_membarrier, MB_RSEQ, 0, 0), EPERM);
    EXPECT(syscall(SYS_membarrier, MB_REGISTER_RSEQ, 0, 0) == 0);
    EXPECT_ERR((int)syscall(SYS_membarrier, MB_RSEQ, 2, 0), EINVAL);
    EXPECT(pthread_create(&thread, NULL, spin_as_thread, NULL) == 0);
    while (!entered)
        sched_yield();
    EXPECT(syscall(SYS_membarrier, MB_RSEQ, 0, 0) == 0);
    rounds = entered;
    EXPECT(pthread_join(thread, NULL) == 0 && aborted);
    EXPECT(entered == rounds);
}

static volatile pid_t sleeper;
static void *sleep_for_ever(void *arg)
{
    sleeper = (pid_t)syscall(SYS_gettid);
    for (;;)
        pause();
    return NULL;
}

/* Its area's page is to be copied at its next write, which comes when the exec ends it. */
TEST(an_exec_of_a_program_with_threads_ends_them_without_a_word)
{
    pthread_t thread;
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        EXPECT(pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0);
        until_asleep(&sleeper);
        pid = fork();
        if (pid == 0)
            _exit(0);
        EXPECT(waitpid(pid, NULL, 0) == pid);
        execl("/proc/self/exe", "rseq", "fresh", NULL);
        _exit(9);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}
