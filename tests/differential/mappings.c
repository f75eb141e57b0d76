/* SPDX-License-Identifier: MIT
 *
 * Mappings of memory and of three files at fixed addresses: what each call answers, what reading
 * and writing finds or which signal it gets, what a forked child sees, what /proc/self/maps lists.
 */
#include "differential.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define BASE ((char *)0x10000000)
enum { PAGES = 96, FILES = 3, FILE_PAGES = 6 };

static int files[FILES];
static sigjmp_buf fault_return;
static volatile sig_atomic_t fault_signal, fault_code;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    fault_signal = sig;
    fault_code = info->si_code;
    siglongjmp(fault_return, 1);
}

/* --- choices, each said --- */

static char *place(void)
{
    uint32_t page = below(PAGES);

    say(" %x", page);
    return BASE + page * PAGE;
}

/* Whole pages mostly; few mostly. */
static size_t length(void)
{
    size_t n = (1 + below(one_in(3) ? 40 : 6)) * PAGE;

    n -= one_in(8) ? below(PAGE) : 0;
    say(" of %zx", n);
    return n;
}

static int protection(void)
{
    static const int choices[] = {PROT_NONE,
                                  PROT_READ,
                                  PROT_READ | PROT_WRITE,
                                  PROT_READ | PROT_WRITE,
                                  PROT_READ | PROT_EXEC,
                                  PROT_WRITE,
                                  PROT_READ | PROT_WRITE | PROT_EXEC};
    int prot = ONE_OF(choices);

    say(" prot %d", prot);
    return prot;
}

static int file(void)
{
    uint32_t n = below(FILES);

    say(" file%u", n);
    return files[n];
}

/* An address near BASE as an offset from there; another one is the kernel's choice. */
static void say_address(void *address)
{
    size_t from_base = (size_t)((char *)address - BASE);

    if (address == MAP_FAILED)
        say_result(-1);
    else if (from_base < 4 * PAGES * PAGE)
        say(" = +%zx", from_base);
    else
        say(" = elsewhere");
}

/* --- operations --- */

OPERATION(mmap_anonymous, 3)
{
    char *p = place();
    size_t n = length();
    int prot = protection(), share = one_in(3) ? MAP_SHARED : MAP_PRIVATE;
    int fixed = one_in(5) ? MAP_FIXED_NOREPLACE : MAP_FIXED;

    say(" share %d fixed %x", share, fixed);
    errno = 0;
    say_address(mmap(p, n, prot, share | MAP_ANONYMOUS | fixed, -1, 0));
}

OPERATION(mmap_file, 2)
{
    char *p = place();
    size_t n = length();
    int prot = protection(), share = one_in(2) ? MAP_SHARED : MAP_PRIVATE, fd = file();
    off_t at = below(FILE_PAGES) * PAGE;

    say(" share %d at %ld", share, (long)at);
    errno = 0;
    say_address(mmap(p, n, prot, share | MAP_FIXED, fd, at));
}

OPERATION(munmap, 2)
{
    char *p = place();
    size_t n = length();

    RESULT(munmap(p + one_in(20), n));
}

/* One page: how much of a range with a hole in it was changed is the kernel's business. */
OPERATION(mprotect, 2)
{
    char *p = place();

    RESULT(mprotect(p, 1, protection()));
}

/* Never MREMAP_FIXED: what has gone from the destination when the source is bad differs. */
OPERATION(mremap, 1)
{
    char *p = place();
    size_t from = length(), to = length();
    int flags = one_in(2) ? MREMAP_MAYMOVE : 0;

    say(" flags %x", flags);
    errno = 0;
    say_address(mremap(p, from, to, flags));
}

OPERATION(madvise, 1)
{
    static const int advices[] = {MADV_DONTNEED, MADV_DONTNEED, MADV_DONTNEED, MADV_WILLNEED,
                                  MADV_NORMAL,   MADV_DONTFORK, MADV_DOFORK};
    char *p = place();
    size_t n = length();
    int advice = ONE_OF(advices);

    say(" advice %d", advice);
    RESULT(madvise(p, n, advice));
}

OPERATION(msync, 1)
{
    static const int ways[] = {MS_SYNC, MS_SYNC, MS_ASYNC, 8};
    char *p = place();
    size_t n = length();

    RESULT(msync(p, n, ONE_OF(ways)));
}

static void say_fault(void)
{
    if (fault_signal)
        say(" signal %d code %d", (int)fault_signal, (int)fault_code);
}

OPERATION(read, 3)
{
    char *p = place();
    size_t n = length();

    fault_signal = 0;
    if (!sigsetjmp(fault_return, 1))
        say(" %x", hash(p, n));
    say_fault();
}

OPERATION(write, 3)
{
    char *p = place();
    size_t n = length();
    uint32_t first = below(100);

    fault_signal = 0;
    if (!sigsetjmp(fault_return, 1))
        for (size_t i = 0; i < n; i += 512)
            ((volatile char *)p)[i] = (char)(i / 512 + first);
    say_fault();
}

OPERATION(fork, 1)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        op_write();
        op_read();
        _exit(0);
    }
    waitpid(pid, &status, 0);
    say(" status %x", status);
}

OPERATION(ftruncate, 1)
{
    int fd = file();
    off_t size = below(10) * 2048;

    say(" %ld", (long)size);
    RESULT(ftruncate(fd, size));
}

OPERATION(pwrite, 1)
{
    int fd = file();
    size_t n = below(3000);
    off_t at = below(20000);

    say(" of %zu at %ld", n, (long)at);
    RESULT(pwrite(fd, some_data(n), n, at));
}

OPERATION(pread, 1)
{
    int fd = file();
    char *p = place();
    size_t n = length();
    off_t at = below(3) * PAGE;

    say(" at %ld", (long)at);
    RESULT(pread(fd, p, n, at));
}

/* What is mapped there, by rights: how neighbours are joined is the kernel's business. */
OPERATION(maps, 3)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512], rights[8], last_rights[8] = "";
    unsigned long from, to, last = 0, base = (unsigned long)BASE;

    if (!f)
        die("/proc/self/maps");
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || from < base ||
            from >= base + 2 * PAGES * PAGE)
            continue;
        if (from != last)
            say(" -%lx", last ? (last - base) / PAGE : 0);
        if (from != last || strcmp(rights, last_rights) != 0)
            say(" %lx:%s", (from - base) / PAGE, rights);
        last = to;
        strcpy(last_rights, rights);
    }
    say(" -%lx", last ? (last - base) / PAGE : 0);
    fclose(f);
}

/* --- the seed --- */

static void file_make(unsigned number)
{
    char name[] = "/tmp/mappings-XXXXXX";
    int fd = mkstemp(name);

    if (fd < 0 || unlink(name) || write(fd, some_data(5000), 5000) != 5000 ||
        ftruncate(fd, 5000 * (number + 1)))
        die(name);
    files[number] = fd;
}

void program_begin(unsigned seed, const char *kind)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    for (unsigned i = 0; i < FILES; i++)
        file_make(i);
}

void program_end(void)
{
    op_maps();
}
