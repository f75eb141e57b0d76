/* SPDX-License-Identifier: MIT
 *
 * What system calls say about a block special file, a line each, in words that are the same on
 * every kernel that means the same. Usage: disk_calls DEVICE, a disk of 1 MiB and 512 bytes that
 * may be written to.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define SIZE (1048576 + 512)
#define CALL(...) said(#__VA_ARGS__, (long long)(__VA_ARGS__))

static char block[8192] __attribute__((aligned(4096)));

static void said(const char *what, long long result)
{
    if (result < 0)
        printf("%s: %s\n", what, strerror(errno));
    else
        printf("%s: %lld\n", what, result);
}

static void asked(const char *what, int fd, unsigned long request, size_t size)
{
    uint64_t value = 0;
    int err = ioctl(fd, request, &value);

    if (err < 0)
        printf("%s: %s\n", what, strerror(errno));
    else
        printf("%s: %llu\n", what,
               (unsigned long long)(size == 2   ? (uint16_t)value
                                    : size == 4 ? (uint32_t)value
                                                : value));
}

static long long range(int fd, unsigned long request, uint64_t from, uint64_t n)
{
    uint64_t both[2] = {from, n};

    return ioctl(fd, request, both);
}

static int zeros(int fd, off_t from, size_t n)
{
    for (; n; n--, from++) {
        char c = 1;

        if (pread(fd, &c, 1, from) != 1 || c)
            return 0;
    }
    return 1;
}

static void looks(const char *path, int fd)
{
    struct stat st;
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI};

    CALL(fstat(fd, &st));
    printf("block %d size %lld blksize %ld blocks %lld\n", S_ISBLK(st.st_mode),
           (long long)st.st_size, (long)st.st_blksize, (long long)st.st_blocks);
    CALL(lseek(fd, 0, SEEK_END));
    CALL(lseek(fd, 1, SEEK_END));
    CALL(lseek(fd, -1, SEEK_SET));
    CALL(lseek(fd, SIZE, SEEK_SET));
    CALL(lseek(fd, -512, SEEK_CUR));
    CALL(lseek(fd, 0, SEEK_DATA));
    CALL(lseek(fd, 0, SEEK_HOLE));
    CALL(poll(&p, 1, 0));
    printf("events %x\n", p.revents);
    asked("BLKGETSIZE64", fd, BLKGETSIZE64, 8);
    asked("BLKGETSIZE", fd, BLKGETSIZE, 8);
    asked("BLKSSZGET", fd, BLKSSZGET, 4);
    asked("BLKPBSZGET", fd, BLKPBSZGET, 4);
    asked("BLKIOMIN", fd, BLKIOMIN, 4);
    asked("BLKIOOPT", fd, BLKIOOPT, 4);
    asked("BLKALIGNOFF", fd, BLKALIGNOFF, 4);
    asked("BLKDISCARDZEROES", fd, BLKDISCARDZEROES, 4);
    asked("BLKROGET", fd, BLKROGET, 4);
    asked("TIOCGWINSZ", fd, 0x5413, 4);
    CALL(ioctl(fd, BLKGETSIZE64, (void *)8));
    CALL(ftruncate(fd, 0));
    CALL(open(path, O_RDONLY | O_DIRECTORY));
    CALL(open(path, O_RDWR | O_CREAT | O_EXCL, 0600));
    CALL(mkdir(path, 0700));
}

static void ends(int fd)
{
    CALL(pread(fd, block, 512, SIZE));
    CALL(pread(fd, block, 512, SIZE + 4096));
    CALL(pread(fd, block, 4096, SIZE - 100));
    CALL(pread(fd, block, 1, -1));
    CALL(pwrite(fd, block, 512, SIZE));
    CALL(pwrite(fd, block, 0, SIZE));
    CALL(pwrite(fd, block, 4096, SIZE - 100));
    CALL(pread(fd, (void *)8, 512, 0));
    CALL(pwrite(fd, (void *)8, 512, 0));
}

static void contents(int fd)
{
    struct iovec v[3] = {{block, 100}, {block + 1000, 200}, {block + 5000, 300}};
    char *map;

    memset(block, 'a', sizeof(block));
    CALL(pwrite(fd, block, 700, 1000));
    memset(block, 'b', 10);
    CALL(pwrite(fd, block, 10, 1300));
    CALL(pread(fd, block, 20, 1295));
    printf("%.20s\n", block);
    CALL(pwritev(fd, v, 3, 70000));
    CALL(preadv(fd, v, 3, 70000));
    map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 65536);
    printf("mapped %d\n", map != MAP_FAILED);
    if (map != MAP_FAILED) {
        memcpy(map + 10, "by a mapping", 12);
        CALL(pread(fd, block, 12, 65546));
        printf("%.12s\n", block);
        CALL(pwrite(fd, "by a call", 9, 65546));
        printf("%.12s\n", map + 10);
        CALL(msync(map, 8192, MS_SYNC));
        CALL(munmap(map, 8192));
    }
    CALL(fsync(fd));
    CALL(fdatasync(fd));
    CALL(sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE));
    CALL(readahead(fd, 0, 65536));
    CALL(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    CALL(flock(fd, LOCK_EX | LOCK_NB));
}

static void moves(int fd)
{
    int pipes[2], null = open("/dev/null", O_WRONLY);
    loff_t off = SIZE - 100;

    CALL(pipe(pipes));
    CALL(splice(fd, &off, pipes[1], NULL, 4096, 0));
    CALL(splice(fd, &off, pipes[1], NULL, 4096, 0));
    off = 4096;
    CALL(sendfile(null, fd, &off, 10000));
    CALL(copy_file_range(fd, NULL, fd, NULL, 512, 0));
}

static void direct(const char *path)
{
    int fd = open(path, O_RDWR | O_DIRECT);

    CALL(pread(fd, block, 512, 512));
    CALL(pread(fd, block, 512, 100));
    CALL(pread(fd, block, 100, 512));
    CALL(pread(fd, block + 100, 512, 512));
    CALL(pwrite(fd, block, 512, 1));
    CALL(pwrite(fd, block + 1, 512, 0));
    CALL(pread(fd, block, 4096, SIZE - 512));
    CALL(pread(fd, block, 512, SIZE));
    memset(block, 'd', 1024);
    CALL(pwrite(fd, block, 1024, 4096));
    CALL(fcntl(fd, F_SETFL, 0));
    CALL(pread(fd, block + 1, 100, 4096 + 1000));
    printf("%.24s%d\n", block + 1, block[25]);
    close(fd);
}

/* A page that no cache has, written from memory that ends in the middle. */
static void torn(const char *path, int fd)
{
    int past = open(path, O_RDWR | O_DIRECT);
    char *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(block, 'k', 4096);
    CALL(pwrite(past, block, 4096, 12288));
    close(past);
    memset(edge, 't', 4096);
    munmap(edge + 4096, 4096);
    CALL(pwrite(fd, edge + 2048, 4096, 12288));
    CALL(pread(fd, block, 4096, 12288));
    printf("%c%c %d %d\n", block[0], block[2047], block[2048], block[4095]);
    munmap(edge, 4096);
}

static void exclusive(const char *path)
{
    int first = open(path, O_RDWR | O_EXCL), second;

    printf("first %d\n", first >= 0);
    second = open(path, O_RDONLY | O_EXCL);
    printf("second %s\n", second < 0 ? strerror(errno) : "too");
    second = open(path, O_RDONLY);
    printf("plain %d\n", second >= 0);
    close(first);
    first = open(path, O_RDWR | O_EXCL);
    printf("again %d\n", first >= 0);
    close(first);
    close(second);
}

static void ranges(const char *path, int fd)
{
    int reader = open(path, O_RDONLY);

    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 16; i++)
        if (pwrite(fd, block, 8192, 131072 + 8192 * i) != 8192)
            printf("write %d\n", i);
    CALL(range(fd, BLKZEROOUT, 131072 + 512, 65536));
    CALL(zeros(fd, 131072 + 512, 65536));
    CALL(pread(fd, block, 1, 131072 + 511));
    printf("%c\n", block[0]);
    CALL(range(fd, BLKZEROOUT, 100, 512));
    CALL(range(fd, BLKZEROOUT, 0, 100));
    CALL(range(fd, BLKZEROOUT, SIZE, 512));
    CALL(range(fd, BLKZEROOUT, ~0ULL - 511, 1024));
    CALL(range(reader, BLKZEROOUT, 0, 512));
    CALL(range(fd, BLKDISCARD, 131072, 65536));
    CALL(range(fd, BLKDISCARD, 1, 512));
    CALL(range(fd, BLKDISCARD, SIZE, 512));
    CALL(range(reader, BLKDISCARD, 0, 512));
    CALL(fallocate(fd, 0, 0, 4096));
    memset(block, 'y', sizeof(block));
    CALL(pwrite(fd, block, 8192, 262144));
    CALL(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 262144, 4096));
    CALL(zeros(fd, 262144, 4096));
    CALL(pwrite(fd, block, 8192, 262144));
    CALL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 262144 + 4096, 4096));
    CALL(zeros(fd, 262144 + 4096, 4096));
    CALL(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 100, 4096));
    CALL(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, SIZE, 4096));
    CALL(fallocate(reader, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    close(reader);
}

static void guarded(const char *path, int fd)
{
    int on = 1, off = 0, writer;

    CALL(ioctl(fd, BLKROSET, &on));
    asked("BLKROGET", fd, BLKROGET, 4);
    CALL(pwrite(fd, block, 512, 0));
    writer = open(path, O_RDWR);
    printf("opened %d\n", writer >= 0);
    if (writer >= 0) {
        CALL(pwrite(writer, block, 512, 0));
        CALL(pwrite(writer, block, 0, 0));
        close(writer);
    }
    CALL(ioctl(fd, BLKROSET, &off));
    CALL(pwrite(fd, block, 512, 0));
    CALL(ioctl(fd, BLKFLSBUF, 0));
}

int main(int argc, char **argv)
{
    int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;

    if (fd < 0) {
        perror("disk_calls DEVICE");
        return 1;
    }
    looks(argv[1], fd);
    ends(fd);
    contents(fd);
    moves(fd);
    direct(argv[1]);
    torn(argv[1], fd);
    exclusive(argv[1]);
    ranges(argv[1], fd);
    guarded(argv[1], fd);
    CALL(close(fd));
    return 0;
}
