/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid> as monitors, runtimes and debuggers read it: figures that must be true.
 */
#include "abi.h"

#include <sys/prctl.h>
#include <sys/resource.h>

static char text[1 << 16];

static const char *contents(const char *path)
{
    int fd = open(path, O_RDONLY);
    size_t n = 0;
    ssize_t got;

    EXPECT(fd >= 0);
    while ((got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)got;
    close(fd);
    EXPECT(got == 0);
    text[n] = 0;
    return text;
}

/* The number after `key` in the file. */
static long figure(const char *path, const char *key)
{
    const char *at = strstr(contents(path), key);

    EXPECT(at);
    return atol(at + strlen(key));
}

static int put(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY), err = 0;

    EXPECT(fd >= 0);
    if (write(fd, value, strlen(value)) < 0)
        err = errno;
    close(fd);
    return err;
}

#define MIB (1L << 20)

static char *touched(long size)
{
    char *p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT(p != MAP_FAILED);
    memset(p, 1, (size_t)size);
    return p;
}

TEST(the_peak_of_memory_outlives_it)
{
    struct rusage u;
    char *p = touched(20 * MIB);

    EXPECT(munmap(p, 20 * MIB) == 0);
    EXPECT(getrusage(RUSAGE_SELF, &u) == 0 && u.ru_maxrss >= 20 * 1024 && u.ru_maxrss < 60 * 1024);
    EXPECT(figure("/proc/self/status", "VmHWM:") >= 20 * 1024);
    EXPECT(figure("/proc/self/status", "VmRSS:") < 20 * 1024);
    EXPECT(getrusage(RUSAGE_THREAD, &u) == 0 && u.ru_maxrss >= 20 * 1024);
    pid_t pid = fork();
    if (pid == 0) {
        touched(40 * MIB);
        _exit(0);
    }
    EXPECT(waitpid(pid, NULL, 0) == pid);
    EXPECT(getrusage(RUSAGE_CHILDREN, &u) == 0 && u.ru_maxrss >= 40 * 1024);
}

TEST(page_faults_are_counted)
{
    struct rusage before, after;
    char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT(p != MAP_FAILED && madvise(p, MIB, MADV_NOHUGEPAGE) == 0);
    EXPECT(getrusage(RUSAGE_SELF, &before) == 0);
    memset(p, 1, MIB);
    EXPECT(getrusage(RUSAGE_SELF, &after) == 0);
    EXPECT(after.ru_minflt - before.ru_minflt >= 256 && after.ru_minflt - before.ru_minflt < 400);
}

TEST(reads_and_writes_are_counted)
{
    long chars, calls;
    char buf[1000];
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);

    chars = figure("/proc/self/io", "rchar:");
    calls = figure("/proc/self/io", "syscr:");
    for (int i = 0; i < 10; i++)
        EXPECT(read(zero, buf, sizeof(buf)) == (ssize_t)sizeof(buf));
    EXPECT(figure("/proc/self/io", "rchar:") >= chars + 10000);
    EXPECT(figure("/proc/self/io", "syscr:") >= calls + 10);
    chars = figure("/proc/self/io", "wchar:");
    EXPECT(write(null, buf, 777) == 777);
    EXPECT(figure("/proc/self/io", "wchar:") == chars + 777);
}

/* A child that waits until it is killed. */
static pid_t idler(void)
{
    pid_t pid = fork();

    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

static void finish(pid_t pid)
{
    kill(pid, SIGKILL);
    EXPECT(waitpid(pid, NULL, 0) == pid);
}

TEST(shared_pages_count_in_parts)
{
    char *p = touched(4 * MIB);
    long alone = figure("/proc/self/smaps_rollup", "Pss:");
    pid_t pid = idler();

    EXPECT(figure("/proc/self/smaps_rollup", "Rss:") >= 4 * 1024);
    EXPECT(figure("/proc/self/smaps_rollup", "Pss:") <= alone - 1024);
    EXPECT(figure("/proc/self/smaps_rollup", "Private_Dirty:") < 2 * 1024);
    finish(pid);
    memset(p, 2, 4 * MIB);
    EXPECT(figure("/proc/self/smaps_rollup", "Private_Dirty:") >= 4 * 1024);
    EXPECT(figure("/proc/self/smaps_rollup", "Anonymous:") >= 4 * 1024);
}

TEST(memory_of_another_process_by_its_addresses)
{
    static volatile int value = 5;
    static const int constant = 6;
    char path[64];
    pid_t pid = idler();
    int seen, patch = 7;

    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    int fd = open(path, O_RDWR);
    EXPECT(fd >= 0 && pread(fd, &seen, sizeof(seen), (off_t)&value) == sizeof(seen) && seen == 5);
    EXPECT(pwrite(fd, &patch, sizeof(patch), (off_t)&value) == sizeof(patch));
    EXPECT(pread(fd, &seen, sizeof(seen), (off_t)&value) == sizeof(seen) && seen == 7);
    EXPECT(value == 5); /* ours is our own */
    /* As a debugger's breakpoint: into what the process itself may not write. */
    EXPECT(pwrite(fd, &patch, sizeof(patch), (off_t)&constant) == sizeof(patch));
    EXPECT(pread(fd, &seen, sizeof(seen), (off_t)&constant) == sizeof(seen) && seen == 7);
    EXPECT(*(volatile const int *)&constant == 6);
    EXPECT_ERR(pread(fd, &seen, sizeof(seen), 4096), EIO);
    EXPECT(lseek(fd, 4096, SEEK_SET) == 4096 && lseek(fd, 4096, SEEK_CUR) == 8192);
    EXPECT_ERR(lseek(fd, 0, SEEK_END), EINVAL);
    finish(pid);
    EXPECT(pread(fd, &seen, sizeof(seen), (off_t)&value) == 0);
}

TEST(shared_mappings_are_not_written_through_mem)
{
    int file = memfd_create("m", 0), fd, patch = 1;

    EXPECT(file >= 0 && ftruncate(file, 4096) == 0);
    int ro = open("/proc/self/fd/3", O_RDONLY);
    char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, ro >= 0 ? ro : file, 0);
    EXPECT(p != MAP_FAILED);
    fd = open("/proc/self/mem", O_RDWR);
    EXPECT_ERR(pwrite(fd, &patch, sizeof(patch), (off_t)p), EIO);
    EXPECT(p[0] == 0);
}

TEST(others_may_not_look_into_a_process)
{
    char path[64];
    pid_t pid = idler(), other;
    int status;

    other = fork();
    if (other == 0) {
        EXPECT(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
        static const char *const files[] = {"mem", "pagemap", "io", "smaps_rollup"};
        for (unsigned i = 0; i < 4; i++) {
            snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
            int fd = open(path, O_RDONLY);
            char c;
            EXPECT(fd < 0 || pread(fd, &c, 1, 0) < 0);
        }
        _exit(0);
    }
    EXPECT(waitpid(other, &status, 0) == other && status == 0);
    finish(pid);
}

TEST(pagemap_tells_which_pages_are_there)
{
    char *p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t entry[8];
    int fd = open("/proc/self/pagemap", O_RDONLY);

    EXPECT(fd >= 0 && p != MAP_FAILED);
    p[2 * 4096] = 1;
    EXPECT(pread(fd, entry, sizeof(entry), (off_t)((uintptr_t)p / 4096 * 8)) == sizeof(entry));
    for (int i = 0; i < 8; i++)
        EXPECT(entry[i] >> 63 == (i == 2));
    EXPECT(!(entry[2] >> 61 & 1)); /* not of a file */
    EXPECT_ERR(pread(fd, entry, 7, 0), EINVAL);
    EXPECT_ERR(pread(fd, entry, 8, 4), EINVAL);
    int file = open("/proc/self/exe", O_RDONLY);
    volatile char *f = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    EXPECT((void *)f != MAP_FAILED && f[0] == 0x7f);
    EXPECT(pread(fd, entry, 8, (off_t)((uintptr_t)f / 4096 * 8)) == 8);
    EXPECT(entry[0] >> 63 && (entry[0] >> 61 & 1));
}

TEST(login_ids_are_set_once)
{
    EXPECT(strcmp(contents("/proc/self/loginuid"), "4294967295") == 0);
    EXPECT(put("/proc/self/loginuid", "1000") == 0);
    EXPECT(strcmp(contents("/proc/self/loginuid"), "1000") == 0);
    EXPECT(figure("/proc/self/sessionid", "") > 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(strcmp(contents("/proc/self/loginuid"), "1000") == 0); /* inherited */
        EXPECT(setresuid(1000, 1000, 1000) == 0);
        EXPECT(open("/proc/self/loginuid", O_WRONLY) < 0 || put("/proc/self/loginuid", "0"));
        _exit(0);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT(put("/proc/1/loginuid", "5") == EPERM);
}

TEST(oom_adj_is_the_old_scale)
{
    EXPECT(put("/proc/self/oom_score_adj", "500") == 0);
    EXPECT(figure("/proc/self/oom_adj", "") == 8);
    EXPECT(put("/proc/self/oom_adj", "15") == 0);
    EXPECT(figure("/proc/self/oom_score_adj", "") == 1000);
    EXPECT(put("/proc/self/oom_adj", "16") == EINVAL);
}

TEST(oom_score_goes_back_to_what_privilege_has_set)
{
    EXPECT(put("/proc/self/oom_score_adj", "100") == 0);
    EXPECT(setresuid(1000, 1000, 1000) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
    EXPECT(put("/proc/self/oom_score_adj", "500") == 0);
    EXPECT(put("/proc/self/oom_score_adj", "100") == 0);
    EXPECT(put("/proc/self/oom_score_adj", "99") == EACCES);
}

TEST(files_that_programs_probe)
{
    static const char *const files[] = {
        "/proc/sys/kernel/randomize_va_space",
        "/proc/sys/fs/aio-max-nr",
        "/proc/sys/vm/overcommit_ratio",
        "/proc/self/personality",
        "/proc/self/sched",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
    };

    for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++)
        EXPECT(*contents(files[i]));
}

/* A program that writes what it is given to descriptor 2, as an error message is: with another
 * user's rights, which the opener of its memory does not have. */
static void write_victim(const char *path)
{
    char self[4096];
    int from = open("/proc/self/exe", O_RDONLY), to;
    ssize_t n;

    unlink(path);
    to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    EXPECT(from >= 0 && to >= 0);
    while ((n = read(from, self, sizeof(self))) > 0)
        EXPECT(write(to, self, (size_t)n) == n);
    EXPECT(fchown(to, 0, 0) == 0 && fchmod(to, 04755) == 0);
    close(to);
}

TEST(memory_opened_before_an_exec_is_not_the_new_programs)
{
    int status, out[2];
    char answer[64] = "";

    if (getenv("ABI_VICTIM")) { /* the set-id program: may 2 write to my memory, may 3 be read? */
        static volatile long cell = 5;
        long seven = 7, got = 0;
        ssize_t w = pwrite(2, &seven, sizeof(seven), (off_t)&cell);
        ssize_t r = pread(3, &got, sizeof(got), (off_t)&cell);
        char maps[64];
        ssize_t m = read(4, maps, sizeof(maps));
        dprintf(1, "%d %d%d%d%d", geteuid(), w > 0, r > 0, m > 0, cell != 5);
        _exit(0);
    }
    write_victim("/abi-victim");
    EXPECT(pipe(out) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
        prctl(PR_SET_DUMPABLE, 1); /* changing ids has forbidden it */
        int memory = open("/proc/self/mem", O_RDWR), maps = open("/proc/self/maps", O_RDONLY);
        EXPECT(memory >= 0 && maps >= 0);
        memory = fcntl(memory, F_DUPFD, 10);
        maps = fcntl(maps, F_DUPFD, 10);
        dup2(out[1], 1);
        dup2(memory, 2);
        dup2(memory, 3);
        dup2(maps, 4);
        setenv("ABI_VICTIM", "1", 1);
        execl("/abi-victim", "proc", "memory_opened_before_an_exec_is_not_the_new_programs", NULL);
        _exit(9);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT(read(out[0], answer, sizeof(answer) - 1) > 0);
    EXPECT(strncmp(answer, "0 0000", 6) == 0); /* what follows is the harness */
    unlink("/abi-victim");
}

static size_t command_line(void)
{
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text));

    close(fd);
    EXPECT(n > 0);
    return (size_t)n;
}

/* A title that is written over the arguments and runs on into the environment is read to its end.
 */
TEST(a_title_written_over_the_arguments_is_shown)
{
    char *start = program_invocation_name;
    size_t space = (size_t)(environ[0] - start), longer = space + strlen(environ[0]);

    EXPECT(space > 1 && longer > space);
    memset(start, 'x', space - 1);
    EXPECT(command_line() == space && strspn(text, "x") == space - 1);
    memset(start, 'y', longer);
    EXPECT(command_line() == longer + 1 && strspn(text, "y") == longer && !text[longer]);
    start[space - 1] = '\0'; /* ends where the arguments did: nothing of what follows */
    EXPECT(command_line() == space && strspn(text, "y") == space - 1);
}
