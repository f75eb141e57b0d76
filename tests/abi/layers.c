/* SPDX-License-Identifier: MIT
 *
 * Layers and mounts: what an overlay shows of long directories, holes and sizes; what the words of
 * mount(2) do. As root, in a mount namespace of its own.
 */
#include <dirent.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <setjmp.h>
#include <grp.h>

#include "place.h"

static void begin(void)
{
    begin_with("mode=755");
}

static void make_file(const char *name, const char *text)
{
    int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);

    EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

/* A new file of 64 MiB with one page of data in its middle. */
static void make_sparse(const char *name)
{
    int fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0644);

    EXPECT(fd >= 0 && ftruncate(fd, 64 << 20) == 0);
    EXPECT(pwrite(fd, "data", 4, 32 << 20) == 4 && close(fd) == 0);
}

TEST(holes_stay_holes_when_a_file_is_copied)
{
    char text[4];
    struct stat st;
    int fd;

    begin();
    make_layers();
    make_sparse("l/sparse");
    EXPECT(overlay("m") == 0 && chmod("m/sparse", 0600) == 0);
    EXPECT(stat("u/sparse", &st) == 0 && st.st_size == 64 << 20 && st.st_blocks <= 8192);
    fd = open("m/sparse", O_RDONLY);
    EXPECT(fd >= 0 && pread(fd, text, 4, 32 << 20) == 4 && memcmp(text, "data", 4) == 0);
    EXPECT(lseek(fd, 0, SEEK_END) == 64 << 20);
}

TEST(a_copy_for_which_there_is_no_space_says_so)
{
    static char block[100 << 10];
    struct stat st;
    int fd;

    begin();
    EXPECT(mkdir("l", 0777) == 0 && mkdir("m", 0777) == 0 && mkdir("small", 0777) == 0);
    EXPECT(mount("small", "small", "tmpfs", 0, "size=40k") == 0);
    EXPECT(mkdir("small/u", 0777) == 0 && mkdir("small/w", 0777) == 0);
    fd = open("l/large", O_CREAT | O_WRONLY, 0600);
    EXPECT(write(fd, block, sizeof(block)) == sizeof(block) && close(fd) == 0);
    EXPECT(mount("layers", "m", "overlay", 0, "lowerdir=l,upperdir=small/u,workdir=small/w") == 0);
    EXPECT_ERR(open("m/large", O_WRONLY), ENOSPC);
    EXPECT(stat("m/large", &st) == 0 && st.st_size == sizeof(block));
    EXPECT_ERR(access("small/u/large", F_OK), ENOENT);
}

/* A merged directory lists each name once, however many there are. */
TEST(a_long_merged_directory_lists_each_name_once)
{
    static bool seen[4000];
    char name[32];
    struct dirent *e;
    int i, n = 0;
    DIR *dir;

    begin();
    make_layers();
    EXPECT(mkdir("l/d", 0755) == 0 && mkdir("u/d", 0755) == 0);
    for (i = 0; i < 4000; i++) {
        snprintf(name, sizeof(name), "%c/d/%d", i < 2500 ? 'l' : 'u', i);
        EXPECT(mknod(name, S_IFREG | 0600, 0) == 0);
        if (i < 500) { /* in both */
            name[0] = 'u';
            EXPECT(mknod(name, S_IFREG | 0600, 0) == 0);
        }
    }
    EXPECT(overlay("m") == 0);
    for (i = 1000; i < 2000; i++) {
        snprintf(name, sizeof(name), "m/d/%d", i);
        EXPECT(unlink(name) == 0);
    }
    dir = opendir("m/d");
    while ((e = readdir(dir))) {
        i = atoi(e->d_name);
        if (e->d_name[0] == '.')
            continue;
        EXPECT(i >= 0 && i < 4000 && (i < 1000 || i >= 2000) && !seen[i]);
        seen[i] = true;
        n++;
    }
    EXPECT(n == 3000);
    EXPECT_ERR(rmdir("m/d"), ENOTEMPTY);
}

/* What is counted from a file's end, and what bounds its size, goes by the file that is seen. */
TEST(a_layers_file_has_its_size_for_locks_and_limits)
{
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -4, .l_len = 4};
    struct rlimit limit = {8, 8};
    pid_t pid;
    int fd;

    begin();
    make_layers();
    make_file("l/file", "12345678");
    EXPECT(overlay("m") == 0);
    fd = open("m/file", O_RDWR | O_APPEND);
    EXPECT(fd >= 0 && fcntl(fd, F_SETLK, &fl) == 0);
    pid = fork();
    if (pid == 0) {
        fl = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
        EXPECT(fcntl(fd, F_GETLK, &fl) == 0 && fl.l_type == F_WRLCK && fl.l_start == 4 &&
               fl.l_len == 4);
        _exit(0);
    }
    expect_success(pid);
    signal(SIGXFSZ, SIG_IGN);
    EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    EXPECT_ERR(write(fd, "9", 1), EFBIG);
    EXPECT_ERR(ftruncate(fd, 9), EFBIG);
    EXPECT_ERR(fallocate(fd, 0, 0, 9), EFBIG);
    EXPECT(ftruncate(fd, 8) == 0 && fallocate(fd, 0, 0, 8) == 0);
}

/* ------------------------------------------------------------- mount(2)'s words */

static int remount(unsigned long flags, const char *options)
{
    return mount(NULL, TOP, NULL, MS_REMOUNT | flags, options);
}

TEST(nothing_becomes_read_only_under_an_open_writer)
{
    int fd;

    begin();
    make_file("file", "text");
    fd = open("file", O_RDWR);
    EXPECT_ERR(remount(MS_BIND | MS_RDONLY, NULL), EBUSY);
    EXPECT_ERR(remount(MS_RDONLY, NULL), EBUSY);
    EXPECT(write(fd, "more", 4) == 4 && close(fd) == 0);
    make_file("again", "text");
    fd = open("file", O_RDONLY);
    EXPECT(remount(MS_BIND | MS_RDONLY, NULL) == 0);
    EXPECT_ERR(open("file", O_RDWR), EROFS);
    EXPECT(remount(MS_BIND, NULL) == 0 && remount(MS_RDONLY, NULL) == 0);
    EXPECT_ERR(open("file", O_RDWR), EROFS);
}

TEST(a_remount_changes_what_it_says_or_fails)
{
    static char page[4096];
    struct statfs fs;
    int fd;

    begin_with("size=1m");
    fd = open("file", O_CREAT | O_RDWR, 0600);
    for (int i = 0; i < 64; i++)
        EXPECT(write(fd, page, sizeof(page)) == sizeof(page));
    EXPECT_ERR(remount(0, "size=64k"), EINVAL);
    EXPECT(remount(0, "size=512k") == 0);
    EXPECT(statfs(".", &fs) == 0 && fs.f_blocks == 128);
    EXPECT_ERR(fallocate(fd, 0, 0, 600 << 10), ENOSPC);
    EXPECT_ERR(remount(0, "no-such-word"), EINVAL);
    EXPECT(mkdir("p", 0755) == 0);
    EXPECT_ERR(mount("p", "p", "proc", 0, "no-such-word"), EINVAL);
    EXPECT_ERR(mount("p", "p", "sysfs", 0, "no-such-word"), EINVAL);
    EXPECT(mount("p", "p", "tmpfs", 0, "size=200%") == 0);
    make_file("p/file", "text");
}

TEST(a_remount_that_fails_changes_nothing)
{
    struct statfs fs;
    int fd;

    begin_with("size=1m");
    fd = open("file", O_CREAT | O_RDWR, 0600);
    EXPECT(fd >= 0);
    EXPECT_ERR(remount(MS_RDONLY, "size=512k"), EBUSY);
    EXPECT(statfs(".", &fs) == 0 && fs.f_blocks == 256);
    EXPECT(close(fd) == 0);
    EXPECT_ERR(remount(MS_RDONLY | MS_NOEXEC, "no-such-word"), EINVAL);
    EXPECT(statfs(".", &fs) == 0 && !(fs.f_flags & (MS_RDONLY | MS_NOEXEC)));
    fd = open("file", O_RDWR);
    EXPECT(fd >= 0 && close(fd) == 0);
    EXPECT(remount(MS_RDONLY, "size=512k") == 0);
    EXPECT(statfs(".", &fs) == 0 && fs.f_blocks == 128 && (fs.f_flags & MS_RDONLY));
    EXPECT_ERR(remount(0, "no-such-word"), EINVAL);
    EXPECT_ERR(open("file", O_RDWR), EROFS);
}

static bool line_of(const char *file, const char *mount_point, char *line)
{
    FILE *f = fopen(file, "r");
    bool found = false;

    while (!found && fgets(line, 1024, f))
        found = strstr(line, mount_point);
    fclose(f);
    return found;
}

TEST(both_tables_tell_of_a_synchronous_mount)
{
    char line[1024];

    begin();
    EXPECT(mkdir("s", 0755) == 0 && mount("none", "s", "tmpfs", MS_SYNCHRONOUS, NULL) == 0);
    EXPECT(line_of("/proc/self/mounts", TOP "/s ", line) && strstr(line, " rw,sync,relatime"));
    EXPECT(line_of("/proc/self/mountinfo", TOP "/s ", line) && strstr(line, " none rw,sync"));
}

static void exchange_others_directory(void)
{
    EXPECT_ERR(syscall(SYS_renameat2, AT_FDCWD, "a/mine", AT_FDCWD, "b/roots", 2), EACCES);
    EXPECT_ERR(syscall(SYS_renameat2, AT_FDCWD, "b/roots", AT_FDCWD, "a/mine", 2), EACCES);
    EXPECT(syscall(SYS_renameat2, AT_FDCWD, "a/mine", AT_FDCWD, "b/file", 2) == 0);
}

/* Its ".." becomes another. */
TEST(a_directory_is_exchanged_by_who_may_write_it)
{
    begin();
    EXPECT(mkdir("a", 0777) == 0 && mkdir("b", 0777) == 0 && mkdir("b/roots", 0755) == 0);
    EXPECT(mkdir("a/mine", 0755) == 0 && chown("a/mine", 1000, 1000) == 0);
    make_file("b/file", "text");
    expect_success(as_user(exchange_others_directory));
}

/* Those who write at the same time do not count on the same space. */
TEST(writers_together_stay_within_the_file_systems_size)
{
    static char block[512 << 10];
    char name[2] = "a";
    struct stat st;
    long blocks = 0;
    int status;

    begin_with("size=1m");
    memset(block, 'x', sizeof(block));
    for (; name[0] < 'g'; name[0]++) {
        if (fork() == 0) {
            int fd = open(name, O_CREAT | O_WRONLY, 0600);

            for (int i = 0; i < 20; i++) {
                EXPECT(ftruncate(fd, 0) == 0);
                EXPECT(pwrite(fd, block, sizeof(block), 0) > 0 || errno == ENOSPC);
            }
            _exit(0);
        }
    }
    while (wait(&status) > 0)
        EXPECT(status == 0);
    for (name[0] = 'a'; name[0] < 'g'; name[0]++)
        blocks += stat(name, &st) ? 0 : st.st_blocks;
    EXPECT(blocks <= 2048);
}

static sigjmp_buf full;

static void on_bus(int sig)
{
    siglongjmp(full, sig);
}

/* What comes by a mapping counts like what is written; a write that fits in part is done in part.
 */
TEST(mappings_stay_within_the_file_systems_size)
{
    static char block[600 << 10];
    volatile long pages = 0;
    struct statfs fs;
    int fd, other;
    char *p;

    begin_with("size=1m");
    fd = open("mapped", O_CREAT | O_RDWR, 0600);
    EXPECT(ftruncate(fd, 4 << 20) == 0);
    p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT(p != MAP_FAILED && signal(SIGBUS, on_bus) != SIG_ERR);
    if (!sigsetjmp(full, 1))
        for (; pages < 1024; pages++)
            p[pages * 4096] = 1;
    EXPECT(pages == 256);
    EXPECT(statfs(".", &fs) == 0 && fs.f_bfree == 0);
    other = open("new", O_CREAT | O_WRONLY, 0600);
    EXPECT(write(other, "x", 1) < 0 && errno == ENOSPC);
    EXPECT(ftruncate(fd, 128 * 4096) == 0 && statfs(".", &fs) == 0 && fs.f_bfree == 128);
    EXPECT(write(other, block, sizeof(block)) == 128 * 4096);
    EXPECT(ftruncate(fd, 4 << 20) == 0 && fallocate(fd, 0, 3 << 20, 4096) < 0);
    EXPECT(errno == ENOSPC && ftruncate(other, 0) == 0);
    EXPECT(fallocate(fd, 0, 3 << 20, 4096) == 0);
    EXPECT(close(fd) == 0 && unlink("mapped") == 0);
    EXPECT(statfs(".", &fs) == 0 && fs.f_bfree == 127); /* the mapping keeps its 129 */
    EXPECT(munmap(p, 4 << 20) == 0);
    EXPECT(statfs(".", &fs) == 0 && fs.f_bfree == 256);
}

/* What is written over what is there takes no space from others, not for a moment. */
TEST(a_write_is_refused_only_where_there_is_no_space)
{
    static char block[400 << 10];
    int fd, begun[2], status;
    pid_t other;
    char c;

    begin_with("size=1m");
    fd = open("old", O_CREAT | O_WRONLY, 0600);
    EXPECT(write(fd, block, sizeof(block)) == sizeof(block) && pipe(begun) == 0);
    other = fork();
    if (other == 0) {
        for (alarm(LIMIT_S);; write(begun[1], "", 1))
            EXPECT(pwrite(fd, block, sizeof(block), 0) == sizeof(block));
    }
    fd = open("new", O_CREAT | O_WRONLY, 0600);
    for (int i = 0; i < 50; i++) { /* each beside at least a part of the other's */
        EXPECT(read(begun[0], &c, 1) == 1);
        EXPECT(pwrite(fd, block, sizeof(block), 0) == sizeof(block));
        EXPECT(ftruncate(fd, 0) == 0);
    }
    EXPECT(kill(other, SIGKILL) == 0 && waitpid(other, &status, 0) == other);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it was refused nothing */
    EXPECT(pwrite(fd, block, sizeof(block), 0) == sizeof(block));
    EXPECT(pwrite(fd, block, sizeof(block), sizeof(block)) == (256 - 2 * 100) * 4096);
    EXPECT_ERR(pwrite(fd, "x", 1, 2 * sizeof(block)), ENOSPC);
}
