/* SPDX-License-Identifier: MIT
 *
 * Pipes, where memory is missing and where many wait.
 */
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "abi.h"

#define PAGE 4096

/* n pages that nobody has touched, and one behind them that is not there. */
static char *fresh_pages(size_t n)
{
    char *p =
        mmap(NULL, (n + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT(p != MAP_FAILED && munmap(p + n * PAGE, PAGE) == 0);
    return p;
}

static int bytes_in(int fd)
{
    int n;

    EXPECT(ioctl(fd, FIONREAD, &n) == 0);
    return n;
}

TEST(one_read_fills_pages_that_were_not_there)
{
    static char block[16 * PAGE];
    char *fresh = fresh_pages(16);
    int p[2];

    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 31 + i / PAGE);
    EXPECT(pipe(p) == 0 && write(p[1], block, sizeof(block)) == sizeof(block));
    EXPECT(read(p[0], fresh, sizeof(block)) == sizeof(block));
    EXPECT(memcmp(fresh, block, sizeof(block)) == 0);
    fresh = fresh_pages(16); /* reads as zeros */
    EXPECT(write(p[1], fresh, sizeof(block)) == sizeof(block));
    EXPECT(read(p[0], block, sizeof(block)) == sizeof(block) && !block[0] && !block[5 * PAGE]);
}

TEST(a_write_from_missing_memory_leaves_nothing_of_its_page)
{
    char *end = fresh_pages(2) + 2 * PAGE;
    struct iovec v[2] = {{end - 100, 100}, {end, 1}};
    int p[2];

    EXPECT(pipe(p) == 0);
    EXPECT_ERR(write(p[1], end - 100, 200), EFAULT);
    EXPECT_ERR(writev(p[1], v, 2), EFAULT);
    EXPECT(bytes_in(p[0]) == 0);
    EXPECT(write(p[1], "abc", 3) == 3);
    EXPECT_ERR(write(p[1], end - 100, 200), EFAULT); /* behind the last bytes */
    EXPECT(bytes_in(p[0]) == 3);
    EXPECT(write(p[1], end - PAGE, 2 * PAGE) == PAGE && bytes_in(p[0]) == 3 + PAGE);
}

TEST(a_read_into_missing_memory_takes_no_bytes)
{
    char *end = fresh_pages(2) + 2 * PAGE, buf[64];
    int p[2];

    EXPECT(pipe(p) == 0 && write(p[1], "0123456789", 10) == 10);
    EXPECT_ERR(read(p[0], end, 10), EFAULT);
    EXPECT(bytes_in(p[0]) == 10);
    EXPECT_ERR(read(p[0], end - 4, 10), EFAULT);
    EXPECT(bytes_in(p[0]) == 10 && read(p[0], buf, 64) == 10 && !memcmp(buf, "0123456789", 10));
    EXPECT(write(p[1], "0123456789", 10) == 10);
    EXPECT(read(p[0], end - 10, 4096) == 10); /* the space behind is not asked for */
}

TEST(packets_stay_whole_where_memory_is_missing)
{
    char *end = fresh_pages(1) + PAGE, buf[64];
    int p[2];

    EXPECT(pipe2(p, O_DIRECT) == 0 && write(p[1], "first", 5) == 5 && write(p[1], "2nd", 3) == 3);
    EXPECT_ERR(read(p[0], end - 2, 64), EFAULT);
    EXPECT(read(p[0], buf, 64) == 5 && read(p[0], end - 3, 3) == 3);
}

/* ------------------------------------------------------------- many who wait */

#define READERS 8
static int the_pipe[2], got[READERS];

static void *read_one(void *arg)
{
    char c;

    if (read(the_pipe[0], &c, 1) == 1)
        __atomic_fetch_add(&got[(long)arg], 1, __ATOMIC_RELAXED);
    return NULL;
}

static int all_got(void)
{
    int n = 0;

    for (int i = 0; i < READERS; i++)
        n += __atomic_load_n(&got[i], __ATOMIC_RELAXED);
    return n;
}

TEST(each_byte_ends_the_wait_of_one_reader)
{
    pthread_t t[READERS];

    EXPECT(pipe(the_pipe) == 0);
    for (long i = 0; i < READERS; i++)
        EXPECT(pthread_create(&t[i], NULL, read_one, (void *)i) == 0);
    for (int i = 0; i < READERS / 2; i++) {
        EXPECT(write(the_pipe[1], "x", 1) == 1);
        while (all_got() != i + 1)
            sched_yield();
    }
    EXPECT(write(the_pipe[1], "xxxx", READERS / 2) ==
           READERS / 2); /* at once: one tells the next */
    for (int i = 0; i < READERS; i++)
        pthread_join(t[i], NULL);
    EXPECT(all_got() == READERS);
}

TEST(the_end_is_told_to_all_readers)
{
    pthread_t t[READERS];

    EXPECT(pipe(the_pipe) == 0);
    for (long i = 0; i < READERS; i++)
        EXPECT(pthread_create(&t[i], NULL, read_one, (void *)i) == 0);
    close(the_pipe[1]);
    for (int i = 0; i < READERS; i++)
        pthread_join(t[i], NULL);
    EXPECT(all_got() == 0);
}

#define WRITES 30
static void *write_pages(void *arg)
{
    for (int i = 0; i < WRITES; i++) {
        char *p = fresh_pages(2);
        int at = PAGE - 1500 + i; /* spans both; the second is not there yet */

        memset(p, (int)(long)arg, PAGE);
        EXPECT(write(the_pipe[1], p + at, 3000) == 3000);
        munmap(p, 2 * PAGE);
    }
    return NULL;
}

/* Writes of up to PIPE_BUF do not mix, though their pages come late. */
TEST(writes_from_fresh_pages_do_not_mix)
{
    static char buf[3000];
    pthread_t t[3];

    EXPECT(pipe(the_pipe) == 0);
    for (long i = 0; i < 3; i++)
        EXPECT(pthread_create(&t[i], NULL, write_pages, (void *)(i + 1)) == 0);
    for (int i = 0; i < 3 * WRITES; i++) {
        for (ssize_t n = 0, m; n < 3000; n += m) {
            m = read(the_pipe[0], buf + n, (size_t)(3000 - n));
            EXPECT(m > 0);
        }
        EXPECT(buf[0] >= 1 && buf[0] <= 3);
        for (int k = 0; k < 3000; k++)
            EXPECT(buf[k] == (k < 1400 ? buf[0] : k > 1500 ? 0 : buf[k]));
    }
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
}

/* A reader that came before any writer is told of no hang-up until one has come and gone. */
TEST(a_fifo_hangs_up_when_its_writer_has_gone)
{
    struct pollfd p = {.events = POLLIN};
    int w, other;

    mkdir("/tmp", 01777);
    unlink("/tmp/hangup");
    EXPECT(mkfifo("/tmp/hangup", 0600) == 0);
    other = open("/tmp/hangup", O_RDONLY | O_NONBLOCK);
    EXPECT(other >= 0);
    w = open("/tmp/hangup", O_WRONLY | O_NONBLOCK);
    EXPECT(w >= 0 && close(w) == 0);
    p.fd = other;
    EXPECT(poll(&p, 1, 0) == 1 && p.revents == POLLHUP);
    p.fd = open("/tmp/hangup", O_RDONLY | O_NONBLOCK); /* the pipe has had a writer, it has not */
    EXPECT(p.fd >= 0 && poll(&p, 1, 0) == 0);
    w = open("/tmp/hangup", O_WRONLY | O_NONBLOCK);
    EXPECT(w >= 0 && poll(&p, 1, 0) == 0 && close(w) == 0);
    EXPECT(poll(&p, 1, 0) == 1 && p.revents == POLLHUP);
    EXPECT(unlink("/tmp/hangup") == 0);
}

/* Of a pipe without a name all writers have come before. */
TEST(a_pipe_opened_again_hangs_up_without_writers)
{
    struct pollfd again = {.events = POLLIN};
    char path[32];
    int p[2];

    EXPECT(pipe(p) == 0 && close(p[1]) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
    again.fd = open(path, O_RDONLY | O_NONBLOCK);
    EXPECT(again.fd >= 0 && poll(&again, 1, 0) == 1 && again.revents == POLLHUP);
}

static int broken_pipes;

static void count_broken(int sig)
{
    broken_pipes++;
}

/* Also when some of it was written before. */
TEST(a_writer_is_signalled_when_its_last_reader_goes)
{
    static char block[20 * PAGE];
    int p[2];
    pid_t pid;

    signal(SIGPIPE, count_broken);
    EXPECT(pipe(p) == 0);
    pid = fork();
    if (pid == 0) {
        char c;

        close(p[1]);
        EXPECT(read(p[0], &c, 1) == 1);
        _exit(0); /* the writer waits for space, or has not begun to */
    }
    close(p[0]);
    EXPECT(write(p[1], block, sizeof(block)) > 0 && broken_pipes == 1);
    EXPECT(waitpid(pid, NULL, 0) == pid);
}

TEST(sizes_of_pipes_are_rounded_up_and_bounded)
{
    int p[2];

    EXPECT(pipe(p) == 0 && fcntl(p[1], F_SETPIPE_SZ, 0) == PAGE);
    EXPECT(fcntl(p[1], F_SETPIPE_SZ, PAGE + 1) == 2 * PAGE);
    EXPECT_ERR(fcntl(p[1], F_SETPIPE_SZ, (1UL << 31) + 1), EINVAL);
    EXPECT(setuid(1000) == 0);
    EXPECT_ERR(fcntl(p[1], F_SETPIPE_SZ, (1 << 20) + 1), EPERM);
    EXPECT_ERR(fcntl(p[1], F_SETPIPE_SZ, 1 << 30), EPERM);
}
