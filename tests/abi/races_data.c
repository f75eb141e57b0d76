/* SPDX-License-Identifier: MIT
 *
 * Bytes that come at the very moment at which another one looks for them: see dwell.h.
 */
#include <sys/socket.h>

#include "dwell.h"
#include "place.h"

/* ------------------------------------------------------------- last words */

/* Says them to fd and closes it, a little after *begun is set. */
static pid_t start_speaker(volatile bool *begun, int fd, int other)
{
    const struct timespec little = {0, 4000000};
    pid_t pid = fork();

    if (pid == 0) {
        close(other);
        while (!*begun)
            sched_yield();
        nanosleep(&little, NULL); /* no event tells that the other one looks */
        EXPECT(write(fd, "last words", 10) == 10);
        _exit(0);
    }
    close(fd);
    return pid;
}

static volatile bool *shared_flag(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    EXPECT(p != MAP_FAILED);
    return p;
}

/* A reader that finds nothing, and then the other end closed, has not read what came in between. */
static void last_words_are_read(int type)
{
    volatile bool *begun = shared_flag();
    char buf[16];
    int s[2];

    become_dweller();
    dwell("sock_first", true);
    for (int i = 0; i < ROUNDS; i++) {
        *begun = false;
        EXPECT(socketpair(AF_UNIX, type, 0, s) == 0);
        pid_t pid = start_speaker(begun, s[1], s[0]);
        *begun = true;
        EXPECT(read(s[0], buf, sizeof(buf)) == 10);
        EXPECT(read(s[0], buf, sizeof(buf)) == 0);
        expect_success(pid);
        close(s[0]);
    }
    dwell("sock_first", false);
}

TEST(a_socket_is_not_at_its_end_before_its_last_bytes_are_read)
{
    last_words_are_read(SOCK_STREAM);
    last_words_are_read(SOCK_SEQPACKET);
}

/* Who hears that the other end has gone, and of no bytes, reads no more. */
TEST(a_pipe_that_hangs_up_tells_of_its_last_bytes)
{
    volatile bool *begun = shared_flag();
    struct pollfd pfd = {.events = POLLIN};
    int p[2];

    become_dweller();
    dwell("pipe_poll", true);
    for (int i = 0; i < ROUNDS; i++) {
        *begun = false;
        EXPECT(pipe(p) == 0);
        pid_t pid = start_speaker(begun, p[1], p[0]);
        *begun = true;
        pfd.fd = p[0];
        EXPECT(poll(&pfd, 1, -1) == 1 && pfd.revents & POLLIN);
        expect_success(pid);
        close(p[0]);
    }
    dwell("pipe_poll", false);
}

/* ------------------------------------------------------------- a full file system */

#define PAGE 4096L

/* Gives all but the file's first pages back once that has these. */
static pid_t start_giver(int hog, int fd)
{
    struct stat st = {0};
    pid_t pid = fork();

    if (pid == 0) {
        while (st.st_size < 4 * PAGE)
            EXPECT(fstat(fd, &st) == 0);
        EXPECT(ftruncate(hog, 0) == 0);
        _exit(0);
    }
    return pid;
}

/* What a write has done by then stays in its place, and what it does then is what follows. */
TEST(a_write_that_finds_space_later_leaves_nothing_out)
{
    static uint32_t words[8 * PAGE / 4], got[8 * PAGE / 4];
    int hog, fd;
    ssize_t n;

    begin_with("mode=755,size=64k");
    for (uint32_t i = 0; i < 8 * PAGE / 4; i++)
        words[i] = i + 1;
    hog = open("hog", O_CREAT | O_RDWR, 0600);
    fd = open("f", O_CREAT | O_RDWR, 0600);
    EXPECT(hog >= 0 && fd >= 0);
    become_dweller();
    dwell("file_write_part", true);
    for (int i = 0; i < ROUNDS; i++) {
        EXPECT(ftruncate(fd, 0) == 0 && fallocate(hog, 0, 0, 12 * PAGE) == 0);
        pid_t pid = start_giver(hog, fd);
        n = pwrite(fd, words, sizeof(words), 0);
        EXPECT(n >= 4 * PAGE && pread(fd, got, sizeof(got), 0) == n);
        EXPECT(memcmp(got, words, (size_t)n) == 0);
        expect_success(pid);
    }
    dwell("file_write_part", false);
}

/* Another process has the writer's file (pidfd_getfd(2)) and moves its position in the middle of a
 * write: checks and use see one position. */
#define MOVED_SIZE (8UL << 20)

static void write_sealed(int told)
{
    char *data = mmap(NULL, MOVED_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
    struct stat st;

    EXPECT(data != MAP_FAILED && ftruncate(fd, MOVED_SIZE) == 0);
    EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0);
    EXPECT(write(told, &fd, sizeof(fd)) == sizeof(fd));
    ssize_t n = write(fd, data, MOVED_SIZE);
    EXPECT(n == (ssize_t)MOVED_SIZE || (n < 0 && (errno == EPERM || errno == EFBIG)));
    EXPECT(fstat(fd, &st) == 0 && st.st_size == (off_t)MOVED_SIZE);
    EXPECT(pread(fd, data, 16, MOVED_SIZE + 4096) == 0);
}

TEST(a_position_moved_in_the_middle_of_a_write_grows_no_sealed_file)
{
    become_dweller();
    dwell("tmpfs_write", true);
    for (int i = 0; i < ROUNDS / 3; i++) {
        int told[2], theirs, status;

        EXPECT(pipe(told) == 0);
        pid_t child = fork();
        if (!child) {
            write_sealed(told[1]);
            _exit(0);
        }
        int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
        EXPECT(pidfd >= 0 && read(told[0], &theirs, sizeof(theirs)) == sizeof(theirs));
        usleep(500 * (useconds_t)i);
        int fd = (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
        if (fd >= 0) /* else it has ended */
            EXPECT(lseek(fd, 0x7ffffffff0000000, SEEK_SET) > 0 || errno == EINVAL);
        EXPECT(waitpid(child, &status, 0) == child && status == 0);
        close(fd);
        close(pidfd);
        close(told[0]);
        close(told[1]);
    }
    dwell("tmpfs_write", false);
}
