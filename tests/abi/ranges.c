/* SPDX-License-Identifier: MIT
 *
 * Ranges that wrap, end beyond the user half or begin in the kernel's, and limits on what is
 * mapped: refused with the errno of the manual pages, whoever asks.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <setjmp.h>

#include "abi.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define TOP 0x00fffffffffff000UL /* with five levels of tables; with four it is far out */
#define MADV_POPULATE_READ_ 22
#define MADV_POPULATE_WRITE_ 23

static sigjmp_buf jump;

static void on_fault(int sig)
{
    siglongjmp(jump, sig);
}

/* The signal that a read brings, 0: none. */
static int peek(volatile char *p)
{
    int sig;

    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    sig = sigsetjmp(jump, 1);
    if (!sig)
        (void)*p;
    return sig;
}

static void become_user(void)
{
    EXPECT(setgid(1000) == 0 && setuid(1000) == 0);
}

static void limit(int which, rlim_t n)
{
    struct rlimit r = {n, n};

    EXPECT(setrlimit(which, &r) == 0);
}

/* Addresses and lengths whose sums lie in the kernel's half, or wrap. */
static const unsigned long far[] = {0xffff888010001000UL, 0xffffffff80201000UL,
                                    0x8000000000000000UL, 0xfffffffffffff000UL,
                                    0xffff800000000000UL, 0x0100000000000000UL};
static const unsigned long long_[] = {PAGE,      0x200000,   TOP,
                                      TOP - 1,   TOP - PAGE, 1UL << 56,
                                      1UL << 57, 1UL << 63,  0xffff888010001000UL,
                                      -PAGE,     -2 * PAGE};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void refused(unsigned long addr, unsigned long len)
{
    char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);
    bool wraps = addr + len < addr;

    EXPECT_ERR(syscall(SYS_munmap, addr, len), EINVAL);
    EXPECT_ERR(syscall(SYS_mprotect, addr, len, PROT_READ), ENOMEM);
    EXPECT_ERR(syscall(SYS_msync, addr, len, MS_SYNC), ENOMEM);
    EXPECT(syscall(SYS_mlock, addr, len) == -1 && (errno == ENOMEM || (wraps && errno == EINVAL)));
    EXPECT_ERR(syscall(SYS_munlock, addr, len), wraps ? EINVAL : ENOMEM);
    for (int advice = 0; advice < 24; advice++) {
        if (advice >= 5 && advice <= 7)
            continue;
        if (advice == 12 || advice == 13)
            continue;
        EXPECT(syscall(SYS_madvise, addr, len, advice) == -1);
        EXPECT(errno == (wraps ? EINVAL : ENOMEM));
    }
    EXPECT(syscall(SYS_mincore, addr, len, p) == -1 && errno == ENOMEM);
    EXPECT(syscall(SYS_mremap, addr, len, PAGE, 0, 0) == -1);
    EXPECT(errno == EFAULT || errno == EINVAL);
    EXPECT(syscall(SYS_mmap, addr, len, RW, ANON | MAP_FIXED, -1, 0) == -1);
    EXPECT(munmap(p, PAGE) == 0);
}

TEST(ranges_outside_the_user_half_are_refused)
{
    for (size_t i = 0; i < COUNT(far); i++)
        for (size_t k = 0; k < COUNT(long_); k++)
            refused(far[i], long_[k]);
}

/* The start is there, the end is not. */
TEST(ranges_that_leave_the_user_half_are_refused)
{
    for (size_t k = 2; k < COUNT(long_); k++) {
        char *p = mmap(NULL, 16 * PAGE, RW, ANON, -1, 0);
        unsigned long addr = (unsigned long)p;

        p[0] = p[5 * PAGE] = 1;
        EXPECT_ERR(syscall(SYS_munmap, addr, long_[k]), EINVAL);
        EXPECT_ERR(syscall(SYS_mprotect, addr, long_[k], PROT_READ), ENOMEM);
        EXPECT(syscall(SYS_munlock, addr, long_[k]) == -1);
        EXPECT_ERR(syscall(SYS_mremap, addr, long_[k], PAGE, 0, 0), EINVAL);
        EXPECT_ERR(syscall(SYS_mremap, addr, long_[k], PAGE, MREMAP_MAYMOVE, 0), EINVAL);
        EXPECT_ERR(
            syscall(SYS_mremap, addr, long_[k], PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, 0x300000000UL),
            EINVAL);
        EXPECT(syscall(SYS_mremap, addr, PAGE, long_[k], MREMAP_MAYMOVE, 0) == -1);
        EXPECT(p[0] == 1 && p[5 * PAGE] == 1);
        EXPECT(munmap(p, 16 * PAGE) == 0);
    }
}

/* Of 2^64 - 1 bytes no page is left after rounding: each call has its own answer. */
TEST(lengths_that_round_to_nothing)
{
    char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);

    EXPECT_ERR(syscall(SYS_munmap, p, -1UL), EINVAL);
    EXPECT_ERR(syscall(SYS_mprotect, p, -1UL, PROT_READ), ENOMEM);
    EXPECT_ERR(syscall(SYS_madvise, p, -1UL, MADV_DONTNEED), EINVAL);
    EXPECT(syscall(SYS_mmap, 0UL, -1UL, RW, ANON, -1, 0) == -1 && errno == ENOMEM);
    *p = 1;
}

TEST(offsets_do_not_wrap)
{
    int fd = memfd_create("x", 0);
    char *p;

    EXPECT(ftruncate(fd, 2 * PAGE) == 0);
    EXPECT(syscall(SYS_mmap, 0, 4 * PAGE, RW, MAP_SHARED, fd, 0xffffffffffffe000UL) == -1);
    EXPECT(errno == EOVERFLOW);
    p = (char *)syscall(SYS_mmap, 0, PAGE, RW, MAP_SHARED, fd, 0x7fffffffffffe000UL);
    EXPECT(p == MAP_FAILED || peek(p) == SIGBUS);
    if (p != MAP_FAILED) {
        p = mremap(p, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
        EXPECT(p == MAP_FAILED || (peek(p) == SIGBUS && peek(p + 3 * PAGE) == SIGBUS));
    }
}

TEST(only_private_anonymous_memory_grows_down)
{
    int fd = memfd_create("x", 0);

    EXPECT(ftruncate(fd, PAGE) == 0);
    EXPECT(mmap(NULL, PAGE, RW, MAP_SHARED | MAP_GROWSDOWN, fd, 0) == MAP_FAILED);
    EXPECT(errno == EINVAL);
    EXPECT(mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN, fd, 0) == MAP_FAILED);
    EXPECT(errno == EINVAL);
    EXPECT(mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0) == MAP_FAILED);
    EXPECT(errno == EINVAL);
    EXPECT(mmap(NULL, PAGE, RW, ANON | MAP_GROWSDOWN, -1, 0) != MAP_FAILED);
}

TEST(shared_validate_knows_its_flags)
{
    int fd = memfd_create("x", 0);
    int flags = MAP_SHARED_VALIDATE;

    EXPECT(ftruncate(fd, PAGE) == 0);
    EXPECT(mmap(NULL, PAGE, RW, flags, fd, 0) != MAP_FAILED);
    EXPECT(mmap(NULL, PAGE, RW, flags | MAP_POPULATE | MAP_NORESERVE, fd, 0) != MAP_FAILED);
    EXPECT(mmap(NULL, PAGE, RW, flags | MAP_SYNC, fd, 0) == MAP_FAILED && errno == EOPNOTSUPP);
    EXPECT(mmap(NULL, PAGE, RW, flags | 0x200000, fd, 0) == MAP_FAILED && errno == EOPNOTSUPP);
    EXPECT(mmap(NULL, PAGE, RW, MAP_SHARED | 0x200000, fd, 0) != MAP_FAILED);
    EXPECT(mmap(NULL, PAGE, RW, flags | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
}

TEST(locked_memory_has_its_limit)
{
    char *p = mmap(NULL, 64 * PAGE, RW, ANON, -1, 0);

    limit(RLIMIT_MEMLOCK, 16 * PAGE);
    become_user();
    EXPECT(mmap(NULL, 64 * PAGE, RW, ANON | MAP_LOCKED, -1, 0) == MAP_FAILED && errno == EAGAIN);
    EXPECT_ERR(mlock(p, 17 * PAGE), ENOMEM);
    EXPECT(mlock(p, 16 * PAGE) == 0 && mlock(p, 16 * PAGE) == 0);
    EXPECT_ERR(mlock(p + 16 * PAGE, 1), ENOMEM);
    EXPECT(mmap(NULL, PAGE, RW, ANON | MAP_LOCKED, -1, 0) == MAP_FAILED && errno == EAGAIN);
    EXPECT(mremap(p, 16 * PAGE, 16 * PAGE, 0) == p);
    EXPECT(munlock(p, 8 * PAGE) == 0 && mlock(p + 32 * PAGE, 8 * PAGE) == 0);
    EXPECT_ERR(mlockall(MCL_CURRENT), ENOMEM);
    EXPECT(munlockall() == 0);
    EXPECT(mprotect(p + PAGE, PAGE, PROT_NONE) == 0 && mlock(p, PAGE) == 0);
    EXPECT_ERR(mlock(p, 3 * PAGE), ENOMEM);
    EXPECT(munlockall() == 0);
    EXPECT(mmap(NULL, 8 * PAGE, RW, ANON | MAP_LOCKED, -1, 0) != MAP_FAILED);
    EXPECT(mlockall(MCL_FUTURE) == 0);
    EXPECT(mmap(NULL, 9 * PAGE, RW, ANON, -1, 0) == MAP_FAILED && errno == EAGAIN);
    limit(RLIMIT_MEMLOCK, 0);
    EXPECT_ERR(mlock(p, PAGE), EPERM);
    EXPECT_ERR(mlockall(MCL_FUTURE), EPERM);
    EXPECT(munlockall() == 0);
}

TEST(address_space_has_its_limit)
{
    char *p = mmap(NULL, 64 * PAGE, PROT_NONE, ANON, -1, 0);
    struct rlimit r = {512UL << 20, 512UL << 20};

    EXPECT(setrlimit(RLIMIT_AS, &r) == 0);
    EXPECT(mmap(NULL, 600UL << 20, PROT_NONE, ANON | MAP_NORESERVE, -1, 0) == MAP_FAILED);
    EXPECT(errno == ENOMEM);
    EXPECT(mremap(p, 64 * PAGE, 600UL << 20, MREMAP_MAYMOVE) == MAP_FAILED && errno == ENOMEM);
    r.rlim_cur = 1 << 20;
    EXPECT(setrlimit(RLIMIT_AS, &r) == 0);
    EXPECT(mmap(NULL, 600 * PAGE, PROT_NONE, ANON, -1, 0) == MAP_FAILED && errno == ENOMEM);
}

TEST(areas_have_their_limit)
{
    size_t n = 70000;
    char *p = mmap(NULL, 2 * n * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    size_t made = 0;

    EXPECT(p != MAP_FAILED);
    for (; made < n; made++)
        if (mprotect(p + 2 * made * PAGE, PAGE, PROT_READ))
            break;
    EXPECT(errno == ENOMEM && made > 32000 && made < 32800);
    EXPECT_ERR(munmap(p + n * PAGE, PAGE), ENOMEM);
    EXPECT(munmap(p, 2 * n * PAGE) == 0);
}

TEST(remove_asks_the_file)
{
    int fd = memfd_create("x", MFD_ALLOW_SEALING);
    char *p, *q;

    EXPECT(ftruncate(fd, 4 * PAGE) == 0);
    p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    p[0] = p[PAGE] = 7;
    EXPECT(madvise(p, PAGE, MADV_REMOVE) == 0 && p[0] == 0 && p[PAGE] == 7);
    EXPECT(fcntl(fd, F_ADD_SEALS, 16) == 0); /* F_SEAL_FUTURE_WRITE */
    EXPECT_ERR(madvise(p, 2 * PAGE, MADV_REMOVE), EPERM);
    EXPECT(p[PAGE] == 7);
    q = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    EXPECT_ERR(madvise(q, PAGE, MADV_REMOVE), EACCES);
    q = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    EXPECT_ERR(madvise(q, PAGE, MADV_REMOVE), EACCES);
    q = mmap(NULL, PAGE, RW, ANON, -1, 0);
    EXPECT_ERR(madvise(q, PAGE, MADV_REMOVE), EINVAL);
    q = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *q = 1;
    EXPECT(madvise(q, PAGE, MADV_REMOVE) == 0 && *q == 0);
}

TEST(madvise_judges_advice_and_ranges)
{
    char *p = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0);
    char *ro = mmap(NULL, PAGE, PROT_READ, ANON, -1, 0);
    int fd = memfd_create("x", 0);
    char *f;

    EXPECT(ftruncate(fd, PAGE) == 0);
    f = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    p[0] = p[2 * PAGE] = 1;
    EXPECT(munmap(p + PAGE, PAGE) == 0);
    EXPECT_ERR(madvise(p, PAGE, 99), EINVAL);
    EXPECT_ERR(madvise(p, 0, 99), EINVAL);
    EXPECT(madvise(p, 0, MADV_DONTNEED) == 0);
    EXPECT_ERR(madvise(p + 1, PAGE, MADV_DONTNEED), EINVAL);
    EXPECT_ERR(madvise(p, 3 * PAGE, MADV_DONTNEED), ENOMEM);
    EXPECT(p[0] == 0 && p[2 * PAGE] == 0); /* the rest was done */
    EXPECT_ERR(madvise(p, 3 * PAGE, MADV_WILLNEED), ENOMEM);
    EXPECT_ERR(madvise(p, 3 * PAGE, MADV_DONTFORK), ENOMEM);
    EXPECT_ERR(madvise(p, 3 * PAGE, MADV_POPULATE_WRITE_), ENOMEM);
    EXPECT_ERR(madvise(ro, PAGE, MADV_POPULATE_WRITE_), EINVAL);
    EXPECT(madvise(ro, PAGE, MADV_POPULATE_READ_) == 0);
    EXPECT_ERR(madvise(f, PAGE, MADV_FREE), EINVAL);
    EXPECT_ERR(madvise(f, PAGE, MADV_WIPEONFORK), EINVAL);
    EXPECT(ftruncate(fd, 0) == 0);
    EXPECT_ERR(madvise(f, PAGE, MADV_POPULATE_READ_), EFAULT);
    EXPECT(mlock(p, PAGE) == 0);
    EXPECT_ERR(madvise(p, PAGE, MADV_DONTNEED), EINVAL);
    EXPECT_ERR(madvise(p, PAGE, MADV_REMOVE), EINVAL);
}

/* ------------------------------------------------------------- the stack */

static __attribute__((noinline)) void use_stack(size_t bytes)
{
    volatile char *p = __builtin_alloca(bytes);

    for (size_t i = bytes; i > 0; i -= i > PAGE ? PAGE : i)
        p[i - 1] = 1;
}

/* What /proc/self/maps says of the stack, bytes. */
static size_t stack_extent(void)
{
    static char line[512];
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned long start = 0, end = 0;

    EXPECT(f);
    while (fgets(line, sizeof(line), f))
        if (strstr(line, "[stack]"))
            sscanf(line, "%lx-%lx", &start, &end);
    fclose(f);
    return end - start;
}

TEST(the_stack_grows_as_far_as_its_limit_now)
{
    struct rlimit r = {64 << 20, RLIM_INFINITY};
    int status;
    pid_t pid;

    EXPECT(stack_extent() < 1 << 20);
    use_stack(4 << 20);
    EXPECT(stack_extent() >= 4 << 20 && stack_extent() < 5 << 20);
    EXPECT(setrlimit(RLIMIT_STACK, &r) == 0);
    use_stack(30 << 20);
    EXPECT(stack_extent() >= 30 << 20);
    r.rlim_cur = 8 << 20;
    EXPECT(setrlimit(RLIMIT_STACK, &r) == 0);
    pid = fork();
    if (pid == 0) {
        use_stack(40 << 20);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(a_stack_without_limit_has_space)
{
    struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};
    char name[64];
    int status;
    pid_t pid;

    EXPECT(setrlimit(RLIMIT_STACK, &r) == 0);
    snprintf(name, sizeof(name), "/proc/self/exe");
    pid = fork();
    if (pid == 0) {
        execl(name, "ranges", "deep_stack", NULL);
        _exit(9);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Run again by the test above, too. */
TEST(deep_stack)
{
    struct rlimit r;

    EXPECT(getrlimit(RLIMIT_STACK, &r) == 0);
    if (r.rlim_cur == RLIM_INFINITY)
        use_stack(200UL << 20);
}

TEST(low_addresses_when_asked_for)
{
    int fd = memfd_create("x", 0);
    unsigned long a;

    EXPECT(ftruncate(fd, PAGE) == 0);
    for (int i = 0; i < 8; i++) {
        a = (unsigned long)mmap(NULL, 5 * PAGE, RW, ANON | MAP_32BIT, -1, 0);
        EXPECT(a >= 1UL << 30 && a + 5 * PAGE <= 2UL << 30);
        *(char *)a = 1;
        a = (unsigned long)mmap(NULL, PAGE, RW, MAP_SHARED | MAP_32BIT, fd, 0);
        EXPECT(a + PAGE <= 2UL << 30);
    }
    EXPECT(mmap(NULL, 3UL << 30, PROT_NONE, ANON | MAP_32BIT, -1, 0) == MAP_FAILED);
    EXPECT(errno == ENOMEM);
}

/* The kernel reads a program's strings by words: none of them may be a byte too far, nor carry what
 * lies behind the end. Names of 1 to 40 bytes, at every place of a word, up to the end of memory.
 */
TEST(strings_end_where_memory_does)
{
    char *end = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0), name[64], set[16], got[16], *p;

    EXPECT(munmap(end += PAGE, PAGE) == 0 && mkdir("strings", 0700) == 0);
    EXPECT(chdir("strings") == 0);
    for (int len = 1; len <= 40; len++) {
        for (int i = 0; i < len; i++)
            name[i] = (char)(i % 3 == 1 ? 0x80 + i : 'a' + i % 26);
        name[len] = 0;
        EXPECT(symlink(name, name) == 0);
        for (int gap = 0; gap <= 9; gap++) {
            p = end - gap - len - 1;
            memset(p, 'x', (size_t)(end - p));
            memcpy(p, name, (size_t)len + 1);
            EXPECT(readlink(p, name, sizeof(name)) == len);
            EXPECT(access(p, F_OK) < 0 && errno == ELOOP);
        }
        memcpy(end - len, name, (size_t)len); /* no end at all */
        EXPECT(access(end - len, F_OK) < 0 && errno == EFAULT);
        EXPECT(unlink(name) == 0);
    }
    EXPECT(chdir("..") == 0 && rmdir("strings") == 0);
    for (int at = 0; at < 16; at++) {
        p = end - PAGE + at;
        memset(p, 'y', PAGE - (size_t)at);
        EXPECT(access(p, F_OK) < 0 && errno == (PAGE - at < 4096 ? EFAULT : ENAMETOOLONG));
        memset(set, 'z', sizeof(set));
        strcpy(memcpy(p, set, sizeof(set)), "short");
        EXPECT(prctl(PR_SET_NAME, p) == 0 && prctl(PR_GET_NAME, got) == 0);
        EXPECT(!memcmp(got, "short\0\0\0\0\0\0\0\0\0\0", sizeof(got)));
    }
}
