/* SPDX-License-Identifier: MIT
 *
 * The vDSO: what it offers, that it tells what the system calls tell, and what becomes of it in a
 * time namespace and in a program that takes it away.
 */
#include "abi.h"

#include <elf.h>
#include <sys/auxv.h>
#include <sys/time.h>

/* ---- the shared object that AT_SYSINFO_EHDR names ---- */

struct image {
    uintptr_t base;
    const Elf64_Sym *symbols;
    const char *strings;
    const uint32_t *hash;
    const uint16_t *versions;
    const Elf64_Verdef *definitions;
};

static struct image image_open(void)
{
    struct image im = {.base = getauxval(AT_SYSINFO_EHDR)};
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)im.base;

    EXPECT(head && memcmp(head->e_ident, ELFMAG, SELFMAG) == 0);
    const Elf64_Phdr *ph = (const Elf64_Phdr *)(im.base + head->e_phoff);
    const Elf64_Dyn *dyn = NULL;
    for (int i = 0; i < head->e_phnum; i++)
        if (ph[i].p_type == PT_DYNAMIC)
            dyn = (const Elf64_Dyn *)(im.base + ph[i].p_vaddr);
    EXPECT(dyn);
    for (; dyn->d_tag != DT_NULL; dyn++) {
        const void *at = (const void *)(im.base + dyn->d_un.d_ptr);
        im.symbols = dyn->d_tag == DT_SYMTAB ? at : im.symbols;
        im.strings = dyn->d_tag == DT_STRTAB ? at : im.strings;
        im.hash = dyn->d_tag == DT_HASH ? at : im.hash;
        im.versions = dyn->d_tag == DT_VERSYM ? at : im.versions;
        im.definitions = dyn->d_tag == DT_VERDEF ? at : im.definitions;
    }
    EXPECT(im.symbols && im.strings && im.hash && im.versions && im.definitions);
    return im;
}

static const char *image_version(const struct image *im, unsigned symbol)
{
    const Elf64_Verdef *d = im->definitions;

    for (;;) {
        if ((d->vd_ndx & 0x7fff) == (im->versions[symbol] & 0x7fff))
            return im->strings + ((const Elf64_Verdaux *)((const char *)d + d->vd_aux))->vda_name;
        if (!d->vd_next)
            return "";
        d = (const Elf64_Verdef *)((const char *)d + d->vd_next);
    }
}

static void *image_function(const char *name)
{
    struct image im = image_open();

    for (unsigned i = 0; i < im.hash[1]; i++)
        if (im.symbols[i].st_shndx && strcmp(im.strings + im.symbols[i].st_name, name) == 0) {
            EXPECT(strcmp(image_version(&im, i), "LINUX_2.6") == 0);
            return (void *)(im.base + im.symbols[i].st_value);
        }
    return NULL;
}

typedef int clock_fn(clockid_t, struct timespec *);

static int64_t as_ns(struct timespec t)
{
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int64_t kernel_ns(clockid_t clock)
{
    struct timespec t;

    EXPECT(syscall(SYS_clock_gettime, clock, &t) == 0);
    return as_ns(t);
}

TEST(vdso_clocks_lie_between_two_system_calls)
{
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
                                       CLOCK_BOOTTIME, CLOCK_TAI};
    clock_fn *gettime = image_function("__vdso_clock_gettime");
    struct timespec t;

    EXPECT(gettime);
    for (unsigned i = 0; i < sizeof(clocks) / sizeof(*clocks); i++)
        for (int n = 0; n < 2000; n++) {
            int64_t before = kernel_ns(clocks[i]);
            EXPECT(gettime(clocks[i], &t) == 0);
            EXPECT(before <= as_ns(t) && as_ns(t) <= kernel_ns(clocks[i]));
            EXPECT(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
        }
}

TEST(vdso_passes_other_clocks_on)
{
    clock_fn *gettime = image_function("__vdso_clock_gettime");
    clock_fn *getres = image_function("__vdso_clock_getres");
    struct timespec t = {-1, -1};

    EXPECT(gettime && getres);
    EXPECT(gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0 && t.tv_sec == 0 && t.tv_nsec > 0);
    EXPECT(gettime(99, &t) == -EINVAL && gettime(32, &t) == -EINVAL && gettime(10, &t) == -EINVAL);
    EXPECT(gettime(-1, &t) == -EINVAL || t.tv_sec >= 0);
    EXPECT(getres(CLOCK_MONOTONIC, &t) == 0 && t.tv_sec == 0 && t.tv_nsec == 1);
    EXPECT(getres(CLOCK_REALTIME, NULL) == 0);
    EXPECT(getres(99, &t) == -EINVAL);
}

TEST(vdso_gettimeofday_and_time)
{
    int (*tod)(struct timeval *, struct timezone *) = image_function("__vdso_gettimeofday");
    time_t (*seconds)(time_t *) = image_function("__vdso_time");
    struct timeval tv, after;
    struct timezone tz = {7, 7};
    time_t t = 0;

    EXPECT(tod && seconds);
    int64_t before = kernel_ns(CLOCK_REALTIME) / 1000;
    EXPECT(tod(&tv, &tz) == 0 && tz.tz_minuteswest == 0 && tz.tz_dsttime == 0);
    EXPECT(syscall(SYS_gettimeofday, &after, NULL) == 0);
    int64_t us = tv.tv_sec * 1000000LL + tv.tv_usec;
    EXPECT(before <= us && us <= after.tv_sec * 1000000LL + after.tv_usec);
    EXPECT(tod(NULL, NULL) == 0);
    /* Linux's is that of the last tick. */
    int64_t coarse = kernel_ns(CLOCK_REALTIME_COARSE) / 1000000000;
    EXPECT(seconds(&t) == t && t >= coarse && seconds(NULL) >= t);
    EXPECT(t <= kernel_ns(CLOCK_REALTIME) / 1000000000);
}

TEST(vdso_tells_the_processor)
{
    long (*getcpu)(unsigned *, unsigned *, void *) = image_function("__vdso_getcpu");
    cpu_set_t all, one;
    unsigned cpu, node;

    EXPECT(getcpu && sched_getaffinity(0, sizeof(all), &all) == 0);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        EXPECT(sched_setaffinity(0, sizeof(one), &one) == 0);
        cpu = node = 999;
        EXPECT(getcpu(&cpu, &node, NULL) == 0 && cpu == (unsigned)i && node == 0);
        EXPECT(sched_getcpu() == i);
    }
    EXPECT(getcpu(NULL, NULL, NULL) == 0);
}

TEST(clocks_never_go_back_between_processors)
{
    clock_fn *gettime = image_function("__vdso_clock_gettime");
    cpu_set_t all, one;
    struct timespec t;
    int64_t last = 0;

    EXPECT(gettime && sched_getaffinity(0, sizeof(all), &all) == 0);
    for (int n = 0; n < 200; n++)
        for (int i = 0; i < CPU_SETSIZE; i++) {
            if (!CPU_ISSET(i, &all))
                continue;
            CPU_ZERO(&one);
            CPU_SET(i, &one);
            EXPECT(sched_setaffinity(0, sizeof(one), &one) == 0);
            EXPECT(gettime(CLOCK_MONOTONIC, &t) == 0 && as_ns(t) >= last);
            last = as_ns(t);
        }
}

/* The line of /proc/self/maps that ends with name: its range, and its rights. */
static bool maps_find(const char *name, uintptr_t *start, uintptr_t *end, char rights[5])
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512];
    bool found = false;

    EXPECT(f);
    while (!found && fgets(line, sizeof(line), f))
        found = strstr(line, name) && sscanf(line, "%lx-%lx %4s", start, end, rights) == 3;
    fclose(f);
    return found;
}

TEST(vdso_and_its_data_cannot_be_written)
{
    uintptr_t start, end;
    char rights[5];

    EXPECT(maps_find("[vdso]", &start, &end, rights) && strcmp(rights, "r-xp") == 0);
    EXPECT(start == getauxval(AT_SYSINFO_EHDR));
    EXPECT(maps_find("[vvar]", &start, &end, rights) && strcmp(rights, "r--p") == 0);
    EXPECT_ERR(mprotect((void *)start, end - start, PROT_READ | PROT_WRITE), EACCES);
}

/* In a child that is another program: its libc looks for the vDSO anew. */
TEST(fork_and_exec_have_a_vdso)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        clock_fn *gettime = image_function("__vdso_clock_gettime");
        struct timespec t;
        _exit(gettime(CLOCK_MONOTONIC, &t) != 0 || t.tv_sec < 0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "clock", "vdso_clocks_lie_between_two_system_calls", NULL);
        _exit(9);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(a_program_may_unmap_it)
{
    uintptr_t start, end;
    char rights[5];

    EXPECT(maps_find("[vdso]", &start, &end, rights));
    EXPECT(munmap((void *)start, end - start) == 0);
    EXPECT(!maps_find("[vdso]", &start, &end, rights));
    EXPECT(kernel_ns(CLOCK_MONOTONIC) > 0);
}

/* ---- time namespaces ---- */

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);

    EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static int write_errno(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY), err;

    EXPECT(fd >= 0);
    err = write(fd, text, strlen(text)) < 0 ? errno : 0;
    close(fd);
    return err;
}

#define HOUR 3600LL

TEST(shifted_clocks_are_shifted_in_the_vdso_too)
{
    struct timespec t;
    int status;

    EXPECT(unshare(CLONE_NEWTIME) == 0);
    write_file("/proc/self/timens_offsets", "monotonic 3600 5\nboottime 7200 0\n");
    int64_t outside = kernel_ns(CLOCK_MONOTONIC);
    pid_t pid = fork();
    if (pid == 0) {
        clock_fn *gettime = image_function("__vdso_clock_gettime");
        EXPECT(gettime(CLOCK_MONOTONIC, &t) == 0);
        EXPECT(as_ns(t) >= outside + HOUR * 1000000000 &&
               t.tv_sec < outside / 1000000000 + 2 * HOUR);
        EXPECT(as_ns(t) <= kernel_ns(CLOCK_MONOTONIC));
        EXPECT(gettime(CLOCK_BOOTTIME, &t) == 0 && t.tv_sec >= outside / 1000000000 + 2 * HOUR);
        EXPECT(clock_gettime(CLOCK_REALTIME, &t) == 0 && as_ns(t) <= kernel_ns(CLOCK_REALTIME));
        struct timespec until = {outside / 1000000000 + HOUR, 0}; /* long ago, in here */
        EXPECT(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0);
        execl("/proc/self/exe", "clock", "vdso_clocks_lie_between_two_system_calls", NULL);
        _exit(9);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT(kernel_ns(CLOCK_MONOTONIC) < outside + HOUR * 1000000000); /* we stayed outside */
    EXPECT(write_errno("/proc/self/timens_offsets", "monotonic 1 0") == EACCES);
}

TEST(entering_a_time_namespace_shifts_the_vdso)
{
    clock_fn *gettime = image_function("__vdso_clock_gettime");
    struct timespec t;
    int ns;

    EXPECT(unshare(CLONE_NEWTIME) == 0);
    write_file("/proc/self/timens_offsets", "1 7200 0");
    ns = open("/proc/self/ns/time_for_children", O_RDONLY);
    int64_t outside = kernel_ns(CLOCK_MONOTONIC);
    EXPECT(ns >= 0 && setns(ns, CLONE_NEWTIME) == 0);
    EXPECT(gettime(CLOCK_MONOTONIC, &t) == 0 && as_ns(t) >= outside + 2 * HOUR * 1000000000);
    EXPECT(clock_gettime(CLOCK_MONOTONIC, &t) == 0 && as_ns(t) >= outside + 2 * HOUR * 1000000000);
}

TEST(shifts_are_judged)
{
    char text[200] = "";
    int fd;

    EXPECT(write_errno("/proc/self/timens_offsets", "monotonic 1 0") == EACCES); /* we are in it */
    EXPECT(unshare(CLONE_NEWTIME) == 0);
    EXPECT(write_errno("/proc/self/timens_offsets", "realtime 1 0") == EINVAL);
    EXPECT(write_errno("/proc/self/timens_offsets", "monotonic 1 1000000000") == EINVAL);
    EXPECT(write_errno("/proc/self/timens_offsets", "monotonic 1") == EINVAL);
    EXPECT(write_errno("/proc/self/timens_offsets", "monotonic -1000000000 0") == ERANGE);
    EXPECT(write_errno("/proc/self/timens_offsets", "monotonic 9000000000 0") == ERANGE);
    write_file("/proc/self/timens_offsets", "boottime 100 7\n");
    fd = open("/proc/self/timens_offsets", O_RDONLY);
    EXPECT(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    EXPECT(strcmp(text, "monotonic           0         0\nboottime          100         7\n") == 0);
}

static void *sleep_a_while(void *arg)
{
    pause();
    return NULL;
}

TEST(one_address_space_has_one_time)
{
    pthread_t thread;

    EXPECT(pthread_create(&thread, NULL, sleep_a_while, NULL) == 0);
    int ns = open("/proc/self/ns/time", O_RDONLY);
    EXPECT(ns >= 0);
    EXPECT_ERR(setns(ns, CLONE_NEWTIME), EUSERS);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    EXPECT(unshare(CLONE_NEWTIME) == 0);
    EXPECT_ERR(syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0), EINVAL);
}
