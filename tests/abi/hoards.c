/* SPDX-License-Identifier: MIT
 *
 * What one program hoards costs its neighbour no time: while memory, mappings and tables by the ten
 * thousand are made, changed and given back, another's sleep of a millisecond on the same processor
 * ends in time. Run where time counts instructions (tools/test). LATE_MS says how late is too late;
 * Linux, whose scheduler looks every 4 ms and lets a program finish its turn, is given more.
 */
#include <grp.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/uio.h>

#include "hoard.h"

#define PAGE 4096UL
#define MANY (96UL << 20)
#define AREAS 40000
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* Small pages, each written to. */
static char *many_pages(void)
{
    char *p = mmap(NULL, MANY, RW, ANON, -1, 0);

    EXPECT(p != MAP_FAILED);
    madvise(p, MANY, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < MANY; i += PAGE)
        p[i] = 1;
    return p;
}

static int many_in_a_file(void)
{
    static char block[1 << 16];
    int fd = memfd_create("hoard", 0);

    EXPECT(fd >= 0);
    for (size_t i = 0; i < MANY; i += sizeof(block))
        EXPECT(write(fd, block, sizeof(block)) == sizeof(block));
    return fd;
}

static void unmap_memory(void)
{
    EXPECT(munmap(many_pages(), MANY) == 0);
}
TEST(unmapping_memory_lets_others_run)
{
    hoard(unmap_memory);
}

static void leave_memory(void)
{
    many_pages();
}
TEST(exit_with_memory_lets_others_run)
{
    hoard(leave_memory);
}

static void fork_memory(void)
{
    pid_t pid;

    many_pages();
    pid = fork();
    if (pid == 0)
        _exit(0);
    EXPECT(waitpid(pid, NULL, 0) == pid);
}
TEST(fork_of_memory_lets_others_run)
{
    hoard(fork_memory);
}

static void protect_memory(void)
{
    char *p = many_pages();

    EXPECT(mprotect(p, MANY, PROT_READ) == 0 && mprotect(p, MANY, RW) == 0);
}
TEST(mprotect_of_memory_lets_others_run)
{
    hoard(protect_memory);
}

static void drop_memory(void)
{
    EXPECT(madvise(many_pages(), MANY, MADV_DONTNEED) == 0);
}
TEST(dontneed_of_memory_lets_others_run)
{
    hoard(drop_memory);
}

static void lock_memory(void)
{
    char *p = many_pages();

    EXPECT(mlock(p, MANY) == 0 && munlock(p, MANY) == 0);
}
TEST(mlock_of_memory_lets_others_run)
{
    hoard(lock_memory);
}

static void move_memory(void)
{
    char *p = many_pages();
    char *to = mmap(NULL, 2 * MANY, PROT_NONE, ANON, -1, 0);

    EXPECT(mremap(p, MANY, MANY, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to && to[PAGE] == 1);
}
TEST(mremap_of_memory_lets_others_run)
{
    hoard(move_memory);
}

static void truncate_file(void)
{
    EXPECT(ftruncate(many_in_a_file(), 0) == 0);
}
TEST(truncating_a_file_in_memory_lets_others_run)
{
    hoard(truncate_file);
}

static void close_file(void)
{
    EXPECT(close(many_in_a_file()) == 0);
}
TEST(closing_a_file_in_memory_lets_others_run)
{
    hoard(close_file);
}

static void truncate_mapped_file(void)
{
    int fd = many_in_a_file();
    char *p = mmap(NULL, MANY, RW, MAP_SHARED | MAP_POPULATE, fd, 0);
    char *q = mmap(NULL, MANY, RW, MAP_PRIVATE, fd, 0);

    EXPECT(p != MAP_FAILED && q != MAP_FAILED);
    for (size_t i = 0; i < MANY; i += 2 * PAGE)
        q[i] = 2;
    EXPECT(ftruncate(fd, 0) == 0);
}
TEST(truncating_a_mapped_file_lets_others_run)
{
    hoard(truncate_mapped_file);
}

/* Every other page, so that no two areas join; each shows the file's first page. */
static char *many_areas(int fd)
{
    char *p = mmap(NULL, 2 * AREAS * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

    EXPECT(p != MAP_FAILED && munmap(p, 2 * AREAS * PAGE) == 0);
    for (size_t i = 0; i < AREAS; i++)
        EXPECT(mmap(p + 2 * i * PAGE, PAGE, RW,
                    MAP_FIXED | (fd < 0 ? ANON : MAP_SHARED | MAP_POPULATE), fd,
                    0) == p + 2 * i * PAGE);
    return p;
}

static void unmap_areas(void)
{
    EXPECT(munmap(many_areas(-1), 2 * AREAS * PAGE) == 0);
}
TEST(unmapping_areas_lets_others_run)
{
    hoard(unmap_areas);
}

static void fork_areas(void)
{
    pid_t pid;

    many_areas(-1);
    pid = fork();
    if (pid == 0)
        _exit(0);
    EXPECT(waitpid(pid, NULL, 0) == pid);
}
TEST(fork_and_exit_of_areas_let_others_run)
{
    hoard(fork_areas);
}

static void lock_areas(void)
{
    many_areas(-1);
    EXPECT(mlockall(MCL_CURRENT) == 0 && munlockall() == 0);
}
TEST(locking_areas_lets_others_run)
{
    hoard(lock_areas);
}

static void truncate_areas(void)
{
    int fd = memfd_create("hoard", 0);

    EXPECT(ftruncate(fd, PAGE) == 0);
    many_areas(fd);
    EXPECT(ftruncate(fd, 0) == 0);
}
TEST(truncating_what_is_mapped_often_lets_others_run)
{
    hoard(truncate_areas);
}

static size_t lines_of(const char *path)
{
    static char text[1 << 16];
    int fd = open(path, O_RDONLY);
    size_t lines = 0;
    ssize_t n;

    EXPECT(fd >= 0);
    while ((n = read(fd, text, sizeof(text))) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += text[i] == '\n';
    EXPECT(n == 0);
    close(fd);
    return lines;
}

static void read_maps_of_areas(void)
{
    many_areas(-1);
    EXPECT(lines_of("/proc/self/maps") >= AREAS);
    EXPECT(lines_of("/proc/self/smaps") >= AREAS * 10UL);
}
TEST(maps_shows_every_area_and_lets_others_run)
{
    hoard(read_maps_of_areas);
}

/* A page table for each byte read. */
static void leave_tables(void)
{
    size_t n = 12000, step = 2UL << 20;
    char *p = mmap(NULL, n * step, PROT_READ, ANON | MAP_NORESERVE, -1, 0);
    volatile char sum = 0;

    EXPECT(p != MAP_FAILED);
    madvise(p, n * step, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < n; i++)
        sum += p[i * step];
    EXPECT(munmap(p, n / 2 * step) == 0);
}
TEST(page_tables_let_others_run)
{
    hoard(leave_tables);
}

/* Tables that are left empty: one for the large page that a GiB had for a moment. */
static void leave_empty_tables(void)
{
    size_t n = 2000, step = 1UL << 30, large = 2UL << 20;
    char *p = mmap(NULL, n * step, RW, ANON | MAP_NORESERVE, -1, 0);

    EXPECT(p != MAP_FAILED);
    p = (char *)(((size_t)p + large - 1) & ~(large - 1));
    madvise(p, (n - 1) * step, MADV_HUGEPAGE);
    for (size_t i = 0; i < n - 1; i++) {
        p[i * step] = 1;
        EXPECT(madvise(p + i * step, large, MADV_DONTNEED) == 0);
    }
    EXPECT(madvise(p, (n - 1) * step, MADV_DONTNEED) == 0);
    EXPECT(mprotect(p, (n - 1) * step, PROT_READ) == 0);
    EXPECT(lines_of("/proc/self/smaps") > 10);
    EXPECT(munmap(p, (n - 1) * step) == 0);
}
TEST(empty_page_tables_let_others_run)
{
    hoard(leave_empty_tables);
}

static void copy_own_memory(void)
{
    static struct iovec to[512], from[512];
    char *p = mmap(NULL, 2 << 20, RW, ANON | MAP_POPULATE, -1, 0);

    for (int i = 0; i < 512; i++) {
        to[i] = (struct iovec){p, 1 << 20};
        from[i] = (struct iovec){p + (1 << 20), 1 << 20};
    }
    EXPECT(process_vm_readv(getpid(), to, 128, from, 128, 0) == 128L << 20);
}
TEST(process_vm_readv_lets_others_run)
{
    hoard(copy_own_memory);
}

/* ------------------------------------------------------------- kills are heard */

static void populate_for_ever(void)
{
    mmap(NULL, 16UL << 40, PROT_READ, ANON | MAP_NORESERVE | MAP_POPULATE, -1, 0);
}

static void copy_for_ever(void)
{
    static struct iovec to[1024], from[1024];
    char *p = mmap(NULL, 4 << 20, RW, ANON | MAP_POPULATE, -1, 0);

    for (int i = 0; i < 1024; i++) {
        to[i] = (struct iovec){p, 2 << 20};
        from[i] = (struct iovec){p + (2 << 20), 2 << 20};
    }
    for (;;)
        process_vm_readv(getpid(), to, 1024, from, 1024, 0);
}

static void populate_by_advice_for_ever(void)
{
    char *p = mmap(NULL, 16UL << 40, PROT_READ, ANON | MAP_NORESERVE, -1, 0);

    madvise(p, 16UL << 40, MADV_POPULATE_READ);
}

static void lock_for_ever(void)
{
    char *p = mmap(NULL, 16UL << 40, PROT_READ, ANON | MAP_NORESERVE, -1, 0);

    mlock(p, 16UL << 40);
}

static void killed_at_once(void (*run)(void))
{
    double t;
    int status;
    pid_t pid;

    on_one_processor();
    pid = fork();
    if (pid == 0) {
        run();
        _exit(0);
    }
    usleep(50000);
    kill(pid, SIGKILL);
    t = now_us();
    EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    EXPECT(now_us() - t < 50000);
}

TEST(long_calls_hear_a_kill)
{
    killed_at_once(populate_for_ever);
    killed_at_once(copy_for_ever);
    killed_at_once(populate_by_advice_for_ever);
    killed_at_once(lock_for_ever);
}

static void read_all(const char *path)
{
    static char block[65536];
    int fd = open(path, O_RDONLY);

    EXPECT(fd >= 0);
    while (read(fd, block, sizeof(block)) > 0)
        ;
    close(fd);
}

static void many_groups(void)
{
    static gid_t groups[65536], back[65536];

    for (unsigned i = 0; i < 65536; i++)
        groups[i] = i * 40503U % 65536; /* each once, in no order */
    EXPECT(setgroups(65536, groups) == 0);
    EXPECT(getgroups(65536, back) == 65536);
    for (unsigned i = 0; i < 65536; i++)
        EXPECT(back[i] == i);
    read_all("/proc/self/status");
}
TEST(many_groups_let_others_run)
{
    hoard(many_groups);
}

static void many_of_sysv(void)
{
    int first = -1, id;

    EXPECT(unshare(CLONE_NEWIPC) == 0);
    for (int i = 0; i < 3000 && (id = semget(IPC_PRIVATE, 1, 0600)) >= 0; i++)
        first = first < 0 ? id : first;
    for (int i = 0; i < 3000 && (id = msgget(IPC_PRIVATE, 0600)) >= 0; i++)
        ;
    EXPECT(first >= 0);
    read_all("/proc/sysvipc/sem");
    read_all("/proc/sysvipc/msg");
}
TEST(lists_of_sysv_objects_let_others_run)
{
    hoard(many_of_sysv);
}

#define MESSAGES 500000

/* Looked through for one that is not there. */
static void many_messages(void)
{
    struct msqid_ds q;
    struct {
        long type;
    } m = {5};
    int id;

    EXPECT(unshare(CLONE_NEWIPC) == 0);
    id = msgget(IPC_PRIVATE, 0600);
    EXPECT(id >= 0 && msgctl(id, IPC_STAT, &q) == 0);
    q.msg_qbytes = 1 << 24;
    EXPECT(msgctl(id, IPC_SET, &q) == 0);
    for (int i = 0; i < MESSAGES; i++)
        EXPECT(msgsnd(id, &m, 0, IPC_NOWAIT) == 0);
    for (int i = 0; i < 10; i++)
        EXPECT_ERR(msgrcv(id, &m, 0, -4, IPC_NOWAIT), ENOMSG);
}
TEST(a_long_message_queue_lets_others_run)
{
    hoard(many_messages);
}
