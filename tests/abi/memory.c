/* SPDX-License-Identifier: MIT
 *
 * The mmap family, page faults and fork's memory, as programs see them.
 */
#include "abi.h"
#include <elf.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static sigjmp_buf fault_jump;
static void *volatile fault_addr;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    fault_addr = info->si_addr;
    siglongjmp(fault_jump, sig);
}

static void catch_faults(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
}

/* The signal that the access brings, 0: none. */
static int touch(volatile char *p, bool write)
{
    int sig = sigsetjmp(fault_jump, 1);

    if (sig)
        return sig;
    if (write)
        *p = 1;
    else
        (void)*p;
    return 0;
}

static char *map(size_t pages, int flags, int fd)
{
    char *p = mmap(NULL, pages * PAGE, RW, flags, fd, 0);

    EXPECT(p != MAP_FAILED);
    return p;
}

#define HUGE (2UL << 20)
#define N_HUGE 8
static char *volatile race_base;
static volatile unsigned long race_at;

static void *race_drop(void *arg)
{
    for (;;) {
        char *b = race_base;

        if (b)
            madvise(b + race_at * HUGE + PAGE, HUGE - PAGE, MADV_DONTNEED);
    }
    return NULL;
}

/* A 2 MiB page comes while a part of its place is given up. */
TEST(dontneed_of_parts_beside_faults_of_large_pages)
{
    char *at = (char *)0x100000000UL;
    pthread_t t;

    EXPECT(pthread_create(&t, NULL, race_drop, NULL) == 0);
    for (int round = 0; round < 3; round++) {
        EXPECT(mmap(at, N_HUGE * HUGE, RW, ANON | MAP_FIXED, -1, 0) == at);
        race_base = at;
        for (unsigned long i = 0; i < N_HUGE; i++) {
            race_at = i;
            for (volatile int d = 0; d < 500; d++)
                ;
            at[i * HUGE] = 1;
            EXPECT(at[i * HUGE] == 1);
        }
    }
}

TEST(mprotect_takes_and_gives_rights)
{
    char *p = map(4, ANON, -1);

    catch_faults();
    p[PAGE] = 5;
    EXPECT(!mprotect(p + PAGE, PAGE, PROT_READ));
    EXPECT(touch(p + PAGE, true) == SIGSEGV && fault_addr == p + PAGE);
    EXPECT(touch(p + PAGE, false) == 0);
    EXPECT(!mprotect(p + PAGE, PAGE, PROT_NONE) && touch(p + PAGE, false) == SIGSEGV);
    EXPECT(!mprotect(p, 4 * PAGE, RW) && p[PAGE] == 5);
    EXPECT_ERR(mprotect(p + 1, PAGE, RW), EINVAL);
}

TEST(munmap_leaves_a_hole)
{
    char *p = map(3, ANON, -1);

    catch_faults();
    p[0] = p[2 * PAGE] = 3;
    EXPECT(!munmap(p + PAGE, PAGE) && touch(p + PAGE, false) == SIGSEGV);
    EXPECT(p[0] == 3 && p[2 * PAGE] == 3);
    EXPECT_ERR(mprotect(p, 3 * PAGE, PROT_READ), ENOMEM);
    EXPECT(mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
    EXPECT(mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p + PAGE && p[PAGE] == 0);
}

TEST(shared_file_mapping_is_the_file)
{
    int fd = open("/tmp/abi.map", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char *s, *p, buf[8];

    catch_faults();
    EXPECT(fd >= 0 && !ftruncate(fd, 10000));
    s = map(4, MAP_SHARED, fd);
    p = map(2, MAP_PRIVATE, fd);
    strcpy(s + 5000, "mapped");
    EXPECT(pread(fd, buf, 7, 5000) == 7 && !strcmp(buf, "mapped"));
    EXPECT(pwrite(fd, "hello", 6, 100) == 6 && !strcmp(s + 100, "hello"));
    p[100] = 'J';
    EXPECT(s[100] == 'h');
    EXPECT(touch(s + 11000, false) == 0 && touch(s + 3 * PAGE, false) == SIGBUS);
    EXPECT(!ftruncate(fd, 0) && touch(s, false) == SIGBUS && touch(p, false) == SIGBUS);
    unlink("/tmp/abi.map");
}

TEST(fork_copies_private_and_shares_shared_memory)
{
    char *priv = map(2, ANON, -1), *shared = map(1, MAP_SHARED | MAP_ANONYMOUS, -1);
    pid_t pid;

    priv[0] = 1;
    pid = fork();
    if (!pid) {
        bool ok = priv[0] == 1 && priv[PAGE] == 0;

        priv[0] = priv[PAGE] = 2;
        shared[0] = 9;
        _exit(!ok);
    }
    EXPECT(status_of(pid) == 0);
    EXPECT(priv[0] == 1 && priv[PAGE] == 0 && shared[0] == 9);
}

TEST(large_memory_survives_fork_drop_and_move)
{
    const size_t mib = 1 << 20, size = 64 * mib;
    char *p = map(size / PAGE, ANON, -1);
    pid_t pid;

    for (size_t i = 0; i < 64; i++)
        p[i * mib] = (char)i;
    pid = fork();
    if (!pid) {
        for (size_t i = 0; i < 64; i++) {
            if (p[i * mib] != (char)i)
                _exit(1);
            p[i * mib] = 99;
        }
        _exit(0);
    }
    EXPECT(status_of(pid) == 0 && p[5 * mib] == 5);
    EXPECT(!madvise(p, 4 * mib, MADV_DONTNEED) && p[mib] == 0 && p[5 * mib] == 5);
    p = mremap(p, size, 2 * size, MREMAP_MAYMOVE);
    EXPECT(p != MAP_FAILED && p[5 * mib] == 5 && p[size] == 0);
    EXPECT(mremap(p, 2 * size, mib, 0) == p);
}

TEST(the_stack_grows)
{
    volatile char big[4 << 20];

    for (size_t i = sizeof(big); i >= PAGE; i -= PAGE)
        big[i - 1] = 1;
    EXPECT(big[sizeof(big) - 1] == 1);
}

/* Memory that grows down, the lowest of the process, does not grow to where none may be. */
TEST(a_fault_below_all_memory_is_a_signal)
{
    char *low = mmap((void *)0x10000, PAGE, RW, ANON | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN, -1, 0);

    EXPECT(low == (char *)0x10000);
    catch_faults();
    EXPECT(touch(low, true) == 0);
    EXPECT(touch((char *)0x1000, false) == SIGSEGV && fault_addr == (void *)0x1000);
    EXPECT(touch((char *)0xf000, true) == SIGSEGV && fault_addr == (void *)0xf000);
}

/* It grows to within the gap above its neighbour, page by page if it must. */
TEST(memory_grows_down_to_the_gap)
{
    char *p = map(1024, ANON, -1), *low;

    EXPECT(munmap(p + PAGE, 1023 * PAGE) == 0);
    low = mmap(p + 600 * PAGE, PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    EXPECT(low == p + 600 * PAGE);
    catch_faults();
    for (size_t i = 599; i >= 257; i--)
        EXPECT(touch(p + i * PAGE, true) == 0);
    EXPECT(touch(p + 255 * PAGE, true) == SIGSEGV);
    EXPECT(touch(p, true) == 0);
}

TEST(mincore_tells_what_is_there)
{
    unsigned char vec[3];
    char *p = map(3, ANON, -1);

    p[PAGE] = 1;
    EXPECT(!mincore(p, 3 * PAGE, vec));
    EXPECT(!(vec[0] & 1) && (vec[1] & 1) && !(vec[2] & 1));
}

static long locked_kb(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kb = -1;

    while (f && fgets(line, sizeof(line), f))
        sscanf(line, "VmLck: %ld", &kb);
    if (f)
        fclose(f);
    return kb;
}

TEST(mlock_populates_and_counts)
{
    unsigned char in[8] = {0};
    char *p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT(p != MAP_FAILED && locked_kb() == 0);
    EXPECT(mlock(p + 4096, 3 * 4096) == 0 && locked_kb() == 12);
    EXPECT(mincore(p, 8 * 4096, in) == 0);
    EXPECT(!(in[0] & 1) && in[1] & 1 && in[3] & 1 && !(in[4] & 1));
    EXPECT_ERR(madvise(p + 4096, 4096, MADV_DONTNEED), EINVAL);
    EXPECT(munlock(p, 8 * 4096) == 0 && locked_kb() == 0);
    EXPECT(munmap(p + 4 * 4096, 4096) == 0);
    EXPECT_ERR(mlock(p, 8 * 4096), ENOMEM);
}

TEST(locked_memory_grows_locked)
{
    char *p = map(32, ANON, -1), *q;
    unsigned char there[16];

    EXPECT(munmap(p + 16 * PAGE, 16 * PAGE) == 0 && mlock(p, 16 * PAGE) == 0);
    q = mremap(p, 16 * PAGE, 32 * PAGE, MREMAP_MAYMOVE);
    EXPECT(q != MAP_FAILED && mincore(q + 16 * PAGE, 16 * PAGE, there) == 0);
    for (int i = 0; i < 16; i++)
        EXPECT(there[i] & 1);
}

TEST(msync_looks_behind_holes)
{
    char *p = map(3, MAP_SHARED | MAP_ANONYMOUS, -1);

    EXPECT(munmap(p + PAGE, PAGE) == 0);
    EXPECT_ERR(msync(p, 3 * PAGE, MS_SYNC), ENOMEM);
    EXPECT(msync(p + 2 * PAGE, PAGE, MS_SYNC) == 0);
}

TEST(mlockall_now_and_later)
{
    unsigned char in[4] = {0};
    char *p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;

    EXPECT_ERR(mlockall(0), EINVAL);
    EXPECT(mlockall(MCL_CURRENT) == 0 && locked_kb() >= 16);
    EXPECT(mincore(p, 4 * 4096, in) == 0 && in[0] & 1 && in[3] & 1);
    long before = locked_kb();
    EXPECT(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
    q = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(mincore(q, 4 * 4096, in) == 0 && in[0] & 1 && in[3] & 1);
    EXPECT(locked_kb() >= before + 16);
    EXPECT(munlockall() == 0 && locked_kb() == 0);
    q = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(mincore(q, 4 * 4096, in) == 0 && !(in[0] & 1));
}

TEST(memlock_limit)
{
    struct rlimit r = {8192, 8192};
    int status;
    char *p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();

    if (pid == 0) {
        EXPECT(setrlimit(RLIMIT_MEMLOCK, &r) == 0 && setuid(1000) == 0);
        EXPECT(mlock(p, 8192) == 0);
        EXPECT_ERR(mlock(p + 8192, 4096), ENOMEM);
        EXPECT_ERR(mlockall(MCL_CURRENT), ENOMEM);
        r.rlim_cur = 0;
        EXPECT(setrlimit(RLIMIT_MEMLOCK, &r) == 0);
        EXPECT_ERR(mlock(p, 4096), EPERM);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(what_may_be_written_may_be_read)
{
    int fd = memfd_create("w", 0);
    char *anon, *file;

    EXPECT(fd >= 0 && ftruncate(fd, 8192) == 0 && pwrite(fd, "abc", 3, 0) == 3);
    anon = mmap(NULL, 8192, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    file = mmap(NULL, 8192, PROT_WRITE, MAP_PRIVATE, fd, 0);
    EXPECT(anon != MAP_FAILED && file != MAP_FAILED);
    EXPECT(*(volatile char *)anon == 0 && *(volatile char *)file == 'a');
    *(volatile char *)file = 'x';
    EXPECT(*(volatile char *)file == 'x' && pread(fd, anon, 1, 0) == 1 && anon[0] == 'a');
}

TEST(memfd_seals)
{
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING), plain = memfd_create("plain", 0);
    char *p;

    EXPECT(fd >= 0 && ftruncate(fd, 8192) == 0);
    EXPECT(fcntl(fd, F_GET_SEALS) == 0 && fcntl(plain, F_GET_SEALS) == F_SEAL_SEAL);
    EXPECT_ERR(fcntl(plain, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    EXPECT_ERR(fcntl(fd, F_ADD_SEALS, 0x1000), EINVAL);
    EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    EXPECT_ERR(ftruncate(fd, 4096), EPERM);
    EXPECT_ERR(ftruncate(fd, 16384), EPERM);
    EXPECT_ERR(pwrite(fd, "x", 1, 8192), EPERM);
    p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT(p != MAP_FAILED);
    EXPECT_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    munmap(p, 8192);
    EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    EXPECT_ERR(pwrite(fd, "x", 1, 0), EPERM);
    EXPECT(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    EXPECT(errno == EPERM);
    p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    EXPECT(p != MAP_FAILED);
    p[0] = 1;
    EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL) == 0);
    EXPECT_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), EPERM);
    EXPECT(fcntl(fd, F_GET_SEALS) == (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
}

/* ------------------------------------------------------------- stacks that may be executed */

#define STACK_PROGRAM "/tmp/stack-program"
#define RWX (RW | PROT_EXEC)

/* Puts a function that returns 42 on the stack, `below` pages further down at least, and calls it.
 * The signal that this brings, 0: none. */
static __attribute__((noinline)) int run_on_stack(unsigned below)
{
    static const char code[] = {(char)0xb8, 42, 0, 0, 0, (char)0xc3}; /* mov $42, %eax; ret */
    volatile char space[4 * PAGE];
    int sig;

    space[0] = 0;
    if (below > 4)
        return run_on_stack(below - 4);
    memcpy((void *)space, code, sizeof(code));
    sig = sigsetjmp(fault_jump, 1);
    if (!sig)
        EXPECT(((int (*)(void))(uintptr_t)space)() == 42);
    return sig;
}

/* A copy of this program whose header asks for an executable stack, or has no such header. */
static void make_stack_program(Elf64_Word type, Elf64_Word flags)
{
    int in = open("/proc/self/exe", O_RDONLY);
    int out = open(STACK_PROGRAM, O_CREAT | O_TRUNC | O_RDWR, 0755);
    struct stat st;
    Elf64_Ehdr eh;
    Elf64_Phdr ph;
    off_t at;

    EXPECT(in >= 0 && out >= 0 && fstat(in, &st) == 0);
    while (lseek(out, 0, SEEK_END) < st.st_size)
        EXPECT(sendfile(out, in, NULL, (size_t)st.st_size) > 0);
    EXPECT(pread(out, &eh, sizeof(eh), 0) == sizeof(eh));
    for (at = (off_t)eh.e_phoff;; at += (off_t)sizeof(ph)) {
        EXPECT(pread(out, &ph, sizeof(ph), at) == sizeof(ph));
        if (ph.p_type == PT_GNU_STACK)
            break;
    }
    ph.p_type = type;
    ph.p_flags = flags;
    EXPECT(pwrite(out, &ph, sizeof(ph), at) == sizeof(ph));
    close(in);
    close(out);
}

static int run_stack_program(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        setenv("STACK_RUNS", "1", 1);
        execl(STACK_PROGRAM, "memory", NULL);
        _exit(1);
    }
    return status_of(pid);
}

/* What STACK_PROGRAM does. */
static void __attribute__((constructor)) try_stack_if_asked(void)
{
    if (!getenv("STACK_RUNS"))
        return;
    catch_faults();
    _exit(run_on_stack(0) ? 3 : 2);
}

TEST(a_program_gets_an_executable_stack_when_its_header_asks_for_one)
{
    catch_faults();
    EXPECT(run_on_stack(0) == SIGSEGV);
    make_stack_program(PT_GNU_STACK, PF_R | PF_W | PF_X);
    EXPECT(run_stack_program() == 2 << 8);
    make_stack_program(PT_GNU_STACK, PF_R | PF_W);
    EXPECT(run_stack_program() == 3 << 8);
    make_stack_program(PT_NULL, 0);
    EXPECT(run_stack_program() == 3 << 8);
    unlink(STACK_PROGRAM);
}

/* dlopen(3) of a library that needs it asks so, with one page of the stack in hand. */
TEST(mprotect_with_growsdown_goes_from_the_start_of_the_stack)
{
    char here, *page = (char *)((uintptr_t)&here & ~(PAGE - 1)), *p = map(3, ANON, -1);

    catch_faults();
    EXPECT_ERR(mprotect(page, PAGE, RWX | PROT_GROWSUP | PROT_GROWSDOWN), EINVAL);
    EXPECT_ERR(mprotect(page, PAGE, RWX | PROT_GROWSUP), EINVAL);
    EXPECT_ERR(mprotect(page + 1, PAGE, RWX | PROT_GROWSDOWN), EINVAL);
    EXPECT_ERR(mprotect(p + PAGE, PAGE, RWX | PROT_GROWSDOWN), EINVAL);
    EXPECT(munmap(p + PAGE, PAGE) == 0);
    EXPECT_ERR(mprotect(p + PAGE, PAGE, RWX | PROT_GROWSDOWN), ENOMEM);
    EXPECT(mprotect(page, 0, RWX | PROT_GROWSDOWN) == 0 && run_on_stack(8) == SIGSEGV);
    EXPECT(mprotect(page, PAGE, RWX | PROT_GROWSDOWN) == 0);
    EXPECT(run_on_stack(8) == 0 && run_on_stack(200) == 0);
}

/* ------------------------------------------------------------- memory seen from outside */

/* By /proc/PID/mem and process_vm_readv(2), as debuggers and crash reporters do. A write makes a
 * copy that differs in what was written alone. */
TEST(the_vdso_can_be_read_and_written_by_debuggers)
{
    static char before[PAGE], after[PAGE];
    char *vdso = (char *)getauxval(AT_SYSINFO_EHDR);
    int mem = open("/proc/self/mem", O_RDWR);
    struct iovec to = {after, PAGE}, from = {vdso, PAGE};

    EXPECT(mem >= 0 && vdso);
    EXPECT(pread(mem, before, PAGE, (off_t)(uintptr_t)vdso) == (ssize_t)PAGE);
    EXPECT(memcmp(before, ELFMAG, SELFMAG) == 0 && memcmp(before, vdso, PAGE) == 0);
    EXPECT(process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)PAGE);
    EXPECT(memcmp(before, after, PAGE) == 0);
    before[EI_PAD] = 7;
    EXPECT(pwrite(mem, "\007", 1, (off_t)(uintptr_t)vdso + EI_PAD) == 1);
    EXPECT(memcmp(before, vdso, PAGE) == 0);
}

TEST(process_vm_readv_reads_nothing_that_its_owner_may_not)
{
    char *p = map(2, ANON, -1), buf[2 * PAGE];
    struct iovec to = {buf, sizeof(buf)}, from = {p, sizeof(buf)};

    p[0] = p[PAGE] = 1;
    EXPECT(mprotect(p + PAGE, PAGE, PROT_NONE) == 0);
    EXPECT(process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)PAGE);
    from = (struct iovec){p + PAGE, PAGE};
    EXPECT_ERR(process_vm_readv(getpid(), &to, 1, &from, 1, 0), EFAULT);
}

TEST(msync_does_not_invalidate_what_is_locked)
{
    char *p = map(2, ANON, -1);

    EXPECT(mlock(p + PAGE, PAGE) == 0);
    EXPECT_ERR(msync(p, 2 * PAGE, MS_INVALIDATE), EBUSY);
    EXPECT(msync(p, PAGE, MS_INVALIDATE) == 0 && msync(p, 2 * PAGE, MS_SYNC) == 0);
}
