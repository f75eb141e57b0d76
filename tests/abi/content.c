/* SPDX-License-Identifier: MIT
 *
 * What files hold: copying between them, holes and space, flags of single reads and writes,
 * programs that run while another process writes them.
 */
#include <elf.h>
#include <linux/openat2.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "place.h"

static void begin(void)
{
    begin_with("mode=755");
}

static int make_file(const char *name, const char *text)
{
    int fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0644);

    EXPECT(fd >= 0 && pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
    return fd;
}

static bool holds(int fd, const char *text)
{
    char buf[64] = "";

    EXPECT(pread(fd, buf, sizeof(buf) - 1, 0) >= 0);
    return strcmp(buf, text) == 0;
}

/* ------------------------------------------------------------- copying */

TEST(copy_file_range_takes_two_regular_files)
{
    int p[2], f, g, append, dir;
    off64_t in = 2, out = 4;
    char c;

    begin();
    f = make_file("f", "0123456789");
    append = open("f", O_WRONLY | O_APPEND);
    dir = open(".", O_RDONLY);
    EXPECT(pipe2(p, O_NONBLOCK) == 0 && write(p[1], "x", 1) == 1);
    EXPECT_ERR(copy_file_range(p[0], NULL, f, NULL, 5, 0), EINVAL);
    EXPECT_ERR(copy_file_range(f, NULL, p[1], NULL, 1, 0), EINVAL);
    EXPECT(read(p[0], &c, 1) == 1 && c == 'x'); /* nothing was lost */
    EXPECT_ERR(copy_file_range(f, &in, f, &out, 5, 0), EINVAL);
    EXPECT_ERR(copy_file_range(f, NULL, append, NULL, 1, 0), EBADF);
    EXPECT_ERR(copy_file_range(append, NULL, f, NULL, 1, 0), EBADF);
    EXPECT_ERR(copy_file_range(dir, NULL, f, NULL, 1, 0), EISDIR);
    EXPECT_ERR(copy_file_range(f, NULL, dir, NULL, 1, 0), EISDIR);
    EXPECT_ERR(copy_file_range(f, NULL, f, NULL, 1, 1), EINVAL);
    EXPECT_ERR(copy_file_range(f, NULL, 999, NULL, 1, 0), EBADF);
    in = -1;
    EXPECT_ERR(copy_file_range(f, &in, f, NULL, 5, 0), EOVERFLOW);
    EXPECT(mkdir("m", 0755) == 0 && mount("m", "m", "tmpfs", 0, NULL) == 0);
    EXPECT_ERR(copy_file_range(f, NULL, make_file("m/f", ""), NULL, 1, 0), EXDEV);
    in = 100;
    EXPECT(copy_file_range(f, &in, f, NULL, 5, 0) == 0);
    g = make_file("g", "");
    in = 8;
    EXPECT(copy_file_range(f, &in, g, NULL, 100, 0) == 2 && in == 10 && holds(g, "89"));
    EXPECT(lseek(g, 0, SEEK_CUR) == 2 && lseek(f, 0, SEEK_CUR) == 0);
    EXPECT(copy_file_range(f, NULL, f, &(off64_t){6}, 4, 0) == 4 && holds(f, "0123450123"));
    EXPECT(lseek(f, 0, SEEK_CUR) == 4);
}

TEST(sendfile_takes_nothing_out_of_streams)
{
    int p[2], s[2], f;
    off_t at = -1;
    char c;

    begin();
    f = make_file("f", "0123456789");
    EXPECT(pipe2(p, O_NONBLOCK) == 0 && write(p[1], "x", 1) == 1);
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0);
    EXPECT_ERR(sendfile(s[0], p[0], NULL, 3), EINVAL);
    EXPECT_ERR(sendfile(f, s[0], NULL, 3), EINVAL);
    EXPECT_ERR(sendfile(f, p[0], &at, 3), ESPIPE);
    EXPECT_ERR(sendfile(s[0], f, &at, 3), EINVAL);
    EXPECT_ERR(sendfile(s[0], open(".", O_RDONLY), NULL, 3), EINVAL);
    EXPECT_ERR(sendfile(s[0], open("/dev/zero", O_RDONLY), NULL, 3), EINVAL);
    EXPECT_ERR(sendfile(open("f", O_WRONLY | O_APPEND), f, NULL, 1), EINVAL);
    EXPECT_ERR(sendfile(s[0], open("f", O_WRONLY), NULL, 1), EBADF);
    EXPECT(read(p[0], &c, 1) == 1 && c == 'x');
    at = 7;
    EXPECT(sendfile(s[0], f, &at, 100) == 3 && at == 10 && lseek(f, 0, SEEK_CUR) == 0);
    EXPECT(sendfile(p[1], f, NULL, 4) == 4 && lseek(f, 0, SEEK_CUR) == 4);
}

TEST(space_is_made_in_files_only)
{
    int p[2], s[2], f;

    begin();
    f = make_file("f", "");
    EXPECT(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    EXPECT_ERR(fallocate(p[1], 0, 0, 1), ESPIPE);
    EXPECT_ERR(fallocate(p[0], 0, 0, 1), EBADF);
    EXPECT_ERR(fallocate(s[0], 0, 0, 1), ENODEV);
    EXPECT_ERR(fallocate(open("/dev/zero", O_RDWR), 0, 0, 1), ENODEV);
    EXPECT_ERR(fallocate(open(".", O_RDONLY), 0, 0, 1), EBADF);
    EXPECT_ERR(fallocate(f, 0, INT64_MAX, 1), EFBIG);
    EXPECT_ERR(fallocate(f, 0x80, 0, 1), EOPNOTSUPP);
    EXPECT_ERR(fallocate(f, 0x80, 0, 0), EINVAL);
    EXPECT(posix_fadvise(p[0], 0, 0, 99) == ESPIPE && posix_fadvise(f, 0, 0, 99) == EINVAL);
    EXPECT(posix_fadvise(s[0], 0, 0, 0) == 0);
}

/* ------------------------------------------------------------- single reads and writes */

TEST(single_writes_may_append_and_reach_the_disk)
{
    struct iovec v = {"x", 1};
    char buf[4];
    struct iovec r = {buf, 1};
    int f;

    begin();
    f = make_file("f", "0123");
    for (int flag = 1; flag <= 4; flag *= 2) {
        EXPECT(preadv2(f, &r, 1, 1, flag) == 1 && buf[0] == '1');
        EXPECT(pwritev2(f, &v, 1, 0, flag) == 1);
    }
    EXPECT(pwritev2(f, &v, 1, 0, 16) == 1 && holds(f, "x123x"));
    EXPECT(lseek(f, 1, SEEK_SET) == 1 && pwritev2(f, &v, 1, -1, 16) == 1);
    EXPECT(holds(f, "x123xx") && lseek(f, 0, SEEK_CUR) == 6);
    EXPECT_ERR(preadv2(f, &r, 1, 0, 8), EOPNOTSUPP);
    EXPECT_ERR(pwritev2(f, &v, 1, 0, 8), EOPNOTSUPP);
    EXPECT_ERR(preadv2(f, &r, 1, 0, 0x40000000), EOPNOTSUPP);
    EXPECT_ERR(preadv2(f, &r, 1, -2, 0), EINVAL);
}

/* The source is memory that is not there yet, and in the end none at all. */
TEST(a_write_goes_on_behind_what_is_not_mapped_in)
{
    size_t page = 4096;
    char *m, *back;
    int f, src;

    begin();
    f = make_file("f", "");
    src = make_file("src", "");
    EXPECT(ftruncate(src, (off_t)(8 * page)) == 0 && pwrite(src, "end", 3, 8 * 4096 - 3) == 3);
    m = mmap(NULL, 10 * page, PROT_READ, MAP_PRIVATE, src, 0);
    EXPECT(m != MAP_FAILED && munmap(m + 8 * page, 2 * page) == 0);
    EXPECT(write(f, m + 1, 9 * page) == (ssize_t)(8 * page - 1));
    back = malloc(8 * page);
    EXPECT(pread(f, back, 8 * page, 0) == (ssize_t)(8 * page - 1));
    EXPECT(memcmp(back + 8 * page - 4, "end", 3) == 0);
    EXPECT_ERR(write(f, m + 8 * page, 1), EFAULT);
    /* A file written from a mapping of itself. */
    m = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_SHARED, src, 0);
    EXPECT(m != MAP_FAILED && lseek(src, 0, SEEK_SET) == 0);
    EXPECT(write(src, m + 4 * page, 4 * page) == (ssize_t)(4 * page));
    EXPECT(memcmp(m + 4 * page - 3, "end", 3) == 0);
}

TEST(statx_is_told_one_way_of_syncing)
{
    char buf[256];

    EXPECT(syscall(SYS_statx, AT_FDCWD, "/", 0x4000, 0x7ff, buf) == 0);
    EXPECT_ERR(syscall(SYS_statx, AT_FDCWD, "/", 0x6000, 0x7ff, buf), EINVAL);
}

TEST(a_descriptors_signals_have_an_owner)
{
    struct f_owner_ex ex = {F_OWNER_TID, getpid()};
    int p[2];

    EXPECT(pipe(p) == 0);
    EXPECT(syscall(SYS_fcntl, p[0], F_GETOWN) == 0);
    EXPECT_ERR(fcntl(p[0], F_SETOWN, 4000000), ESRCH);
    EXPECT(fcntl(p[0], F_SETOWN, getpid()) == 0 && fcntl(p[0], F_GETOWN) == getpid());
    EXPECT(setpgid(0, 0) == 0 && fcntl(p[0], F_SETOWN, -getpgrp()) == 0);
    EXPECT(fcntl(p[0], F_GETOWN_EX, &ex) == 0 && ex.type == F_OWNER_PGRP && ex.pid == getpgrp());
    ex = (struct f_owner_ex){F_OWNER_TID, getpid()};
    EXPECT(fcntl(p[0], F_SETOWN_EX, &ex) == 0);
    ex = (struct f_owner_ex){0};
    EXPECT(fcntl(p[0], F_GETOWN_EX, &ex) == 0 && ex.type == F_OWNER_TID && ex.pid == getpid());
    ex.type = 3;
    EXPECT_ERR(fcntl(p[0], F_SETOWN_EX, &ex), EINVAL);
    EXPECT(fcntl(p[0], F_SETOWN, 0) == 0 && syscall(SYS_fcntl, p[0], F_GETOWN) == 0);
}

/* Newer programs pass a larger structure, whose later fields they leave zero. */
TEST(openat2_takes_a_larger_structure)
{
    struct {
        struct open_how how;
        unsigned long more[20];
    } big = {.how = {.flags = O_RDONLY}};

    EXPECT(syscall(SYS_openat2, AT_FDCWD, "/", &big, sizeof(big)) >= 0);
    big.more[19] = 1;
    EXPECT_ERR(syscall(SYS_openat2, AT_FDCWD, "/", &big, sizeof(big)), E2BIG);
    EXPECT_ERR(syscall(SYS_openat2, AT_FDCWD, "/", &big, 5000), E2BIG);
    EXPECT_ERR(syscall(SYS_openat2, AT_FDCWD, "/", &big, 16), EINVAL);
}

/* ------------------------------------------------------------- holes and space */

TEST(holes_and_data_are_told_apart)
{
    int f;

    begin();
    f = make_file("f", "data");
    EXPECT(pwrite(f, "more", 4, 1 << 20) == 4 && ftruncate(f, 2 << 20) == 0);
    EXPECT(lseek(f, 0, SEEK_DATA) == 0 && lseek(f, 0, SEEK_HOLE) == 4096);
    EXPECT(lseek(f, 1, SEEK_DATA) == 1 && lseek(f, 1, SEEK_HOLE) == 4096);
    EXPECT(lseek(f, 5000, SEEK_DATA) == 1 << 20 && lseek(f, 5000, SEEK_HOLE) == 5000);
    EXPECT(lseek(f, (1 << 20) + 2, SEEK_HOLE) == (1 << 20) + 4096);
    EXPECT_ERR(lseek(f, (1 << 20) + 4096, SEEK_DATA), ENXIO);
    EXPECT_ERR(lseek(f, 2 << 20, SEEK_HOLE), ENXIO);
    EXPECT_ERR(lseek(f, -1, SEEK_DATA), ENXIO);
    EXPECT(fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
    EXPECT(lseek(f, 0, SEEK_DATA) == 1 << 20);
    EXPECT(ftruncate(f, (1 << 20) + 4) == 0 && lseek(f, 1 << 20, SEEK_HOLE) == (1 << 20) + 4);
}

static long blocks(int fd)
{
    struct stat st;

    EXPECT(fstat(fd, &st) == 0);
    return st.st_blocks;
}

TEST(space_that_was_promised_is_there)
{
    struct stat st;
    int f, g;

    begin_with("size=1m");
    f = make_file("f", "");
    EXPECT_ERR(fallocate(f, 0, 0, 2 << 20), ENOSPC);
    EXPECT(fstat(f, &st) == 0 && st.st_size == 0 && blocks(f) == 0);
    EXPECT(fallocate(f, 0, 0, 512 << 10) == 0);
    EXPECT(fstat(f, &st) == 0 && st.st_size == 512 << 10 && blocks(f) == 1024);
    EXPECT(fallocate(f, FALLOC_FL_KEEP_SIZE, 512 << 10, 256 << 10) == 0);
    EXPECT(fstat(f, &st) == 0 && st.st_size == 512 << 10 && blocks(f) == 1536);
    g = make_file("g", "");
    EXPECT_ERR(fallocate(g, 0, 0, 512 << 10), ENOSPC);
    EXPECT(pwrite(f, "x", 1, (512 << 10) - 1) == 1 && blocks(f) == 1536);
    EXPECT(fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 768 << 10) == 0);
    EXPECT(blocks(f) == 0 && fallocate(g, 0, 0, 512 << 10) == 0);
}

/* ------------------------------------------------------------- programs that run */

static void copy_self(const char *name)
{
    int in = open("/proc/self/exe", O_RDONLY), out = open(name, O_CREAT | O_WRONLY, 0755);
    struct stat st;

    EXPECT(in >= 0 && out >= 0 && fstat(in, &st) == 0);
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = sendfile(out, in, NULL, (size_t)left);

        EXPECT(n > 0);
        left -= n;
    }
    close(in);
    close(out);
}

static void __attribute__((constructor)) stop_if_asked(void)
{
    if (getenv("STOP_AT_ONCE"))
        raise(SIGSTOP);
}

/* As tools leave it that add to a finished program: the table of program headers lies far from the
 * file's start; and an alignment that is no power of two, which Linux ignores. */
TEST(a_program_may_have_its_headers_anywhere_in_its_file)
{
    static const char space[64 * sizeof(Elf64_Phdr)] __attribute__((aligned(8))) = {1};
    uint64_t at = (uint64_t)(uintptr_t)space, off = 0;
    Elf64_Phdr ph[64];
    Elf64_Ehdr eh;
    int status, fd;
    pid_t pid;

    copy_self("/tmp/moved");
    fd = open("/tmp/moved", O_RDWR);
    EXPECT(pread(fd, &eh, sizeof(eh), 0) == sizeof(eh) && eh.e_phnum <= 64);
    EXPECT(pread(fd, ph, sizeof(ph), (off_t)eh.e_phoff) == sizeof(ph));
    at -= getauxval(AT_ENTRY) - eh.e_entry;
    for (int i = 0; i < eh.e_phnum; i++) {
        if (ph[i].p_type != PT_LOAD)
            continue;
        if (at >= ph[i].p_vaddr && at - ph[i].p_vaddr < ph[i].p_filesz)
            off = at - ph[i].p_vaddr + ph[i].p_offset;
        ph[i].p_align = 0x3000;
    }
    EXPECT(off > 4096);
    EXPECT(pwrite(fd, ph, sizeof(ph), (off_t)off) == sizeof(ph));
    eh.e_phoff = off;
    EXPECT(pwrite(fd, &eh, sizeof(eh), 0) == sizeof(eh));
    close(fd);
    pid = fork();
    if (pid == 0) {
        execl("/tmp/moved", "content", "none", NULL);
        _exit(1);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    unlink("/tmp/moved");
}

/* This program again, stopped as soon as it runs. */
static pid_t run_stopped(const char *name)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        execle(name, name, NULL, (char *[]){"STOP_AT_ONCE=1", NULL});
        _exit(errno);
    }
    EXPECT(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    return pid;
}

TEST(a_running_program_is_not_written)
{
    int status, f;

    begin();
    copy_self("program");
    pid_t pid = run_stopped("./program");
    EXPECT_ERR(open("program", O_WRONLY), ETXTBSY);
    EXPECT_ERR(open("program", O_RDWR), ETXTBSY);
    EXPECT_ERR(open("program", O_RDONLY | O_TRUNC), ETXTBSY);
    EXPECT_ERR(truncate("program", 0), ETXTBSY);
    EXPECT(open("program", O_RDONLY) >= 0 && chmod("program", 0700) == 0);
    EXPECT(rename("program", "moved") == 0);
    EXPECT(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    f = open("moved", O_WRONLY);
    EXPECT(f >= 0);
    EXPECT_ERR(execl("moved", "moved", NULL), ETXTBSY);
    EXPECT(close(f) == 0);
}

/* Appends records of a letter, each from memory that must be read in first. */
static void append_records(const char *name, char letter)
{
    size_t size = 256 << 10;
    int from = memfd_create("letters", 0), fd = open(name, O_WRONLY | O_APPEND);
    char *p = malloc(size);

    memset(p, letter, size);
    EXPECT(fd >= 0 && write(from, p, size) == (ssize_t)size);
    for (int i = 0; i < 20; i++) {
        p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, from, 0);
        EXPECT(p != MAP_FAILED && write(fd, p, size) == (ssize_t)size && munmap(p, size) == 0);
    }
}

TEST(what_one_write_appends_lies_together)
{
    static char got[256 << 10];
    int fd, status;

    mkdir("/tmp", 01777);
    unlink("/tmp/appended");
    fd = open("/tmp/appended", O_CREAT | O_RDONLY, 0600);
    for (char letter = 'a'; letter < 'd'; letter++) {
        if (fork() == 0) {
            append_records("/tmp/appended", letter);
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++)
        EXPECT(wait(&status) > 0 && status == 0);
    for (int i = 0; i < 60; i++) {
        EXPECT(read(fd, got, sizeof(got)) == sizeof(got));
        EXPECT(memcmp(got, got + 1, sizeof(got) - 1) == 0);
    }
    EXPECT(read(fd, got, 1) == 0 && unlink("/tmp/appended") == 0);
}
