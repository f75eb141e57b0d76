/* SPDX-License-Identifier: MIT
 *
 * splice(2), tee(2), vmsplice(2): what goes where, what is left where it does not fit, what is
 * refused.
 */
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "abi.h"

#define PAGE 4096

static int make_file(const void *text, size_t n)
{
    int fd = memfd_create("file", 0);

    EXPECT(fd >= 0 && pwrite(fd, text, n, 0) == (ssize_t)n);
    return fd;
}

static void make_pipe(int *p, const char *text)
{
    size_t n = strlen(text);

    EXPECT(pipe(p) == 0 && write(p[1], text, n) == (ssize_t)n);
}

static bool holds(int fd, const char *text)
{
    char buf[64] = "";
    int n = 0;

    EXPECT(ioctl(fd, FIONREAD, &n) == 0);
    if (n)
        EXPECT(read(fd, buf, sizeof(buf) - 1) == n);
    return strcmp(buf, text) == 0;
}

TEST(splice_moves_from_a_file_into_a_pipe)
{
    static char block[5 * PAGE + 100], got[sizeof(block)];
    loff_t at = 50;
    int p[2], fd;

    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 7 + i / PAGE);
    fd = make_file(block, sizeof(block));
    EXPECT(pipe(p) == 0);
    EXPECT(splice(fd, &at, p[1], NULL, sizeof(block), 0) == sizeof(block) - 50);
    EXPECT(at == sizeof(block) && lseek(fd, 0, SEEK_CUR) == 0);
    EXPECT(read(p[0], got, sizeof(got)) == sizeof(block) - 50);
    EXPECT(memcmp(got, block + 50, sizeof(block) - 50) == 0);
    EXPECT(splice(fd, &at, p[1], NULL, 100, 0) == 0); /* the end */
    EXPECT(splice(fd, NULL, p[1], NULL, 10, 0) == 10 && lseek(fd, 0, SEEK_CUR) == 10);
    EXPECT(read(p[0], got, sizeof(got)) == 10 && memcmp(got, block, 10) == 0);
}

TEST(splice_moves_from_a_pipe_into_a_file)
{
    loff_t at = 3;
    char got[16] = "";
    int p[2], fd = make_file("0123456789", 10);

    make_pipe(p, "abcdef");
    EXPECT(splice(p[0], NULL, fd, &at, 4, 0) == 4 && at == 7 && lseek(fd, 0, SEEK_CUR) == 0);
    EXPECT(splice(p[0], NULL, fd, NULL, 100, 0) == 2 && lseek(fd, 0, SEEK_CUR) == 2);
    EXPECT(pread(fd, got, 15, 0) == 10 && strcmp(got, "ef2abcd789") == 0);
    EXPECT(close(p[1]) == 0 && splice(p[0], NULL, fd, NULL, 100, 0) == 0);
}

TEST(splice_moves_between_pipes_and_tee_copies)
{
    int a[2], b[2];

    make_pipe(a, "abcdef");
    EXPECT(pipe(b) == 0);
    EXPECT(tee(a[0], b[1], 4, 0) == 4 && holds(b[0], "abcd"));
    EXPECT(splice(a[0], NULL, b[1], NULL, 4, 0) == 4 && holds(b[0], "abcd"));
    EXPECT(tee(a[0], b[1], 100, 0) == 2 && holds(a[0], "ef") && holds(b[0], "ef"));
    EXPECT_ERR(tee(a[0], b[1], 100, SPLICE_F_NONBLOCK), EAGAIN);
    EXPECT_ERR(splice(a[0], NULL, b[1], NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
    EXPECT(close(a[1]) == 0 && tee(a[0], b[1], 100, 0) == 0);
    EXPECT(splice(a[0], NULL, b[1], NULL, 100, 0) == 0);
}

TEST(splice_moves_through_sockets)
{
    char got[16] = "";
    int p[2], s[2];

    make_pipe(p, "hello");
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    EXPECT(splice(p[0], NULL, s[0], NULL, 100, SPLICE_F_MOVE | SPLICE_F_MORE) == 5);
    EXPECT(splice(s[1], NULL, p[1], NULL, 100, 0) == 5);
    EXPECT(read(p[0], got, sizeof(got)) == 5 && strcmp(got, "hello") == 0);
    EXPECT(close(s[0]) == 0 && splice(s[1], NULL, p[1], NULL, 100, 0) == 0);
}

TEST(what_does_not_fit_stays_in_its_pipe)
{
    struct rlimit limit = {PAGE, PAGE};
    static char block[3 * PAGE];
    int p[2], left, fd = make_file("", 0);
    loff_t before = -1;

    EXPECT(pipe(p) == 0 && write(p[1], block, sizeof(block)) == sizeof(block));
    EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    EXPECT_ERR(splice(p[0], NULL, fd, &before, sizeof(block), 0), EINVAL); /* and no SIGXFSZ */
    signal(SIGXFSZ, SIG_IGN);
    EXPECT(splice(p[0], NULL, fd, NULL, sizeof(block), 0) == PAGE);
    EXPECT(ioctl(p[0], FIONREAD, &left) == 0 && left == 2 * PAGE);
    EXPECT_ERR(splice(p[0], NULL, fd, NULL, sizeof(block), 0), EFBIG);
    EXPECT(ioctl(p[0], FIONREAD, &left) == 0 && left == 2 * PAGE);
}

TEST(splice_takes_as_much_as_there_is_space)
{
    static char block[64 * PAGE];
    int p[2], fd = make_file(block, sizeof(block)), n;

    EXPECT(pipe(p) == 0 && fcntl(p[1], F_SETPIPE_SZ, 4 * PAGE) == 4 * PAGE);
    EXPECT(write(p[1], "x", 1) == 1);
    EXPECT(splice(fd, NULL, p[1], NULL, sizeof(block), 0) == 3 * PAGE);
    EXPECT_ERR(splice(fd, NULL, p[1], NULL, sizeof(block), SPLICE_F_NONBLOCK), EAGAIN);
    EXPECT(lseek(fd, 0, SEEK_CUR) == 3 * PAGE);
    EXPECT(ioctl(p[0], FIONREAD, &n) == 0 && n == 3 * PAGE + 1);
}

TEST(splice_waits_for_bytes_and_for_space)
{
    static char block[16 * PAGE];
    int a[2], b[2], status;
    pid_t pid;

    EXPECT(pipe(a) == 0 && pipe(b) == 0);
    EXPECT(write(b[1], block, sizeof(block)) == sizeof(block)); /* full */
    pid = fork();
    if (pid == 0) {
        EXPECT(splice(a[0], NULL, b[1], NULL, 100, 0) == 5);
        _exit(0);
    }
    EXPECT(write(a[1], "hello", 5) == 5);
    EXPECT(read(b[0], block, sizeof(block)) == sizeof(block));
    EXPECT(read(b[0], block, sizeof(block)) == 5 && memcmp(block, "hello", 5) == 0);
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(vmsplice_goes_both_ways)
{
    static char block[20 * PAGE] __attribute__((aligned(PAGE))), got[20 * PAGE];
    struct iovec v[2] = {{"abc", 3}, {"defg", 4}}, into[2] = {{got, 2}, {got + 8, 100}},
                 all = {block, sizeof(block)}, bad = {(void *)8, 10};
    int p[2];

    EXPECT(pipe(p) == 0);
    EXPECT(vmsplice(p[1], v, 2, 0) == 7);
    EXPECT(vmsplice(p[0], into, 2, 0) == 7 && !memcmp(got, "ab", 2) &&
           !memcmp(got + 8, "cdefg", 5));
    EXPECT_ERR(vmsplice(p[0], into, 2, SPLICE_F_NONBLOCK), EAGAIN);
    EXPECT(vmsplice(p[1], &all, 1, 0) == 16 * PAGE); /* what there is space for */
    EXPECT_ERR(vmsplice(p[1], &all, 1, SPLICE_F_NONBLOCK), EAGAIN);
    all.iov_base = got;
    EXPECT(vmsplice(p[0], &all, 1, 0) == 16 * PAGE);
    EXPECT_ERR(vmsplice(p[1], &bad, 1, 0), EFAULT);
    EXPECT(vmsplice(p[1], v, 0, 0) == 0);
}

TEST(nobody_reads_is_told_to_who_splices)
{
    struct iovec v = {"abc", 3};
    int a[2], b[2], fd = make_file("text", 4);

    signal(SIGPIPE, SIG_IGN);
    make_pipe(a, "abc");
    EXPECT(pipe(b) == 0 && close(b[0]) == 0);
    EXPECT_ERR(splice(fd, NULL, b[1], NULL, 4, 0), EPIPE);
    EXPECT_ERR(splice(a[0], NULL, b[1], NULL, 4, 0), EPIPE);
    EXPECT_ERR(tee(a[0], b[1], 4, 0), EPIPE);
    EXPECT_ERR(vmsplice(b[1], &v, 1, 0), EPIPE);
    EXPECT(lseek(fd, 0, SEEK_CUR) == 0 && holds(a[0], "abc"));
}

TEST(splice_refuses_what_it_cannot_do)
{
    struct iovec v = {"abc", 3};
    int a[2], b[2], fd = make_file("text", 4), event = eventfd(1, 0),
                    append = open("/proc/self/exe", O_RDONLY);
    char path[32];
    loff_t at = 0;

    make_pipe(a, "abc");
    make_pipe(b, "");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    close(append);
    append = open(path, O_WRONLY | O_APPEND);
    EXPECT(append >= 0 && event >= 0);
    EXPECT(splice(-1, NULL, -1, NULL, 0, 0) == 0);
    EXPECT_ERR(splice(fd, NULL, b[1], NULL, 4, 16), EINVAL);
    EXPECT_ERR(splice(-1, NULL, b[1], NULL, 4, 0), EBADF);
    EXPECT_ERR(splice(fd, NULL, b[0], NULL, 4, 0), EBADF);
    EXPECT_ERR(splice(a[1], NULL, fd, NULL, 4, 0), EBADF);
    EXPECT_ERR(splice(fd, NULL, fd, NULL, 4, 0), EINVAL);
    EXPECT_ERR(splice(a[0], NULL, a[1], NULL, 4, 0), EINVAL);
    EXPECT_ERR(splice(a[0], &at, fd, NULL, 4, 0), ESPIPE);
    EXPECT_ERR(splice(fd, NULL, b[1], &at, 4, 0), ESPIPE);
    EXPECT_ERR(splice(fd, (void *)8, b[1], NULL, 4, 0), EFAULT);
    EXPECT_ERR(splice(a[0], NULL, append, NULL, 4, 0), EINVAL);
    EXPECT_ERR(splice(event, NULL, b[1], NULL, 8, 0), EINVAL);
    EXPECT_ERR(splice(a[0], NULL, event, NULL, 8, 0), EINVAL);
    EXPECT_ERR(tee(a[0], a[1], 4, 0), EINVAL);
    EXPECT_ERR(tee(fd, b[1], 4, 0), EINVAL);
    EXPECT_ERR(tee(a[0], b[1], 4, 16), EINVAL);
    EXPECT_ERR(vmsplice(fd, &v, 1, 0), EBADF);
    EXPECT_ERR(vmsplice(b[1], &v, 1, 16), EINVAL);
    EXPECT(holds(a[0], "abc"));
}

/* ------------------------------------------------------------- who waits beside a splice */

enum call_of { CALL_READ, CALL_WRITE, CALL_VMSPLICE, CALL_SPLICE, CALL_CLOSE };
struct call {
    enum call_of what;
    int fd, to;
    ssize_t result;
    volatile pid_t tid;
    pthread_t thread;
};

/* One byte, or what splice moves of up to 100. */
static void *call_run(void *arg)
{
    struct call *c = arg;
    char byte = 'x';
    struct iovec v = {&byte, 1};

    c->tid = gettid();
    switch (c->what) {
    case CALL_READ:
        c->result = read(c->fd, &byte, 1);
        break;
    case CALL_WRITE:
        c->result = write(c->fd, &byte, 1);
        break;
    case CALL_VMSPLICE:
        c->result = vmsplice(c->fd, &v, 1, 0);
        break;
    case CALL_SPLICE:
        c->result = splice(c->fd, NULL, c->to, NULL, 100, 0);
        break;
    case CALL_CLOSE:
        c->result = close(c->fd);
        break;
    }
    return NULL;
}

/* Returns when it waits, or is through. */
static void call_begin(struct call *c, enum call_of what, int fd, int to)
{
    *c = (struct call){.what = what, .fd = fd, .to = to};
    EXPECT(pthread_create(&c->thread, NULL, call_run, c) == 0);
    until_asleep(&c->tid);
}

static ssize_t call_end(struct call *c)
{
    EXPECT(pthread_join(c->thread, NULL) == 0);
    return c->result;
}

static char pages[16 * PAGE];

TEST(all_writers_go_on_when_there_is_space_for_all)
{
    struct call first, second, third;
    int p[2];

    EXPECT(pipe(p) == 0 && write(p[1], pages, sizeof(pages)) == sizeof(pages));
    call_begin(&first, CALL_VMSPLICE, p[1], -1);
    call_begin(&second, CALL_WRITE, p[1], -1);
    call_begin(&third, CALL_VMSPLICE, p[1], -1);
    EXPECT(read(p[0], pages, sizeof(pages)) == sizeof(pages));
    EXPECT(call_end(&first) == 1 && call_end(&second) == 1 && call_end(&third) == 1);
    EXPECT(read(p[0], pages, sizeof(pages)) > 0);
}

/* Linux may find space in a full socket. */
TEST(the_end_is_told_to_all_readers_beside_a_splice)
{
    struct call move, one, other, end;
    int p[2], s[2];

    make_pipe(p, "abc");
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    while (send(s[0], pages, sizeof(pages), MSG_DONTWAIT) > 0)
        ;
    while (send(s[0], pages, 1, MSG_DONTWAIT) > 0)
        ;
    call_begin(&move, CALL_SPLICE, p[0], s[0]);
    call_begin(&one, CALL_READ, p[0], -1);
    call_begin(&other, CALL_READ, p[0], -1);
    call_begin(&end, CALL_CLOSE, p[1], -1);
    while (recv(s[1], pages, sizeof(pages), MSG_DONTWAIT) > 0)
        ;
    EXPECT(call_end(&move) == 3 && call_end(&end) == 0);
    EXPECT(call_end(&one) == 0 && call_end(&other) == 0);
}

/* And the space that the splice waited for, and does not use, is another writer's. */
TEST(bytes_that_wait_for_space_can_be_read)
{
    struct call move, writer;
    char buf[8] = "";
    int a[2], b[2];

    make_pipe(a, "abc");
    EXPECT(pipe(b) == 0 && write(b[1], pages, sizeof(pages)) == sizeof(pages));
    call_begin(&move, CALL_SPLICE, a[0], b[1]);
    call_begin(&writer, CALL_WRITE, b[1], -1);
    EXPECT(read(a[0], buf, sizeof(buf)) == 3 && strcmp(buf, "abc") == 0);
    EXPECT(read(b[0], pages, sizeof(pages)) == sizeof(pages));
    EXPECT(call_end(&writer) == 1 && read(b[0], buf, 1) == 1 && buf[0] == 'x');
    EXPECT(write(a[1], "more", 4) == 4 && call_end(&move) == 4);
    EXPECT(holds(b[0], "more"));
}

TEST(two_pipes_are_spliced_into_each_other)
{
    struct call there, back;
    int a[2], b[2];

    EXPECT(pipe(a) == 0 && pipe(b) == 0);
    EXPECT(write(a[1], pages, sizeof(pages)) == sizeof(pages));
    EXPECT(write(b[1], pages, sizeof(pages)) == sizeof(pages));
    call_begin(&there, CALL_SPLICE, a[0], b[1]);
    call_begin(&back, CALL_SPLICE, b[0], a[1]);
    EXPECT(read(a[0], pages, PAGE) == PAGE);
    EXPECT(call_end(&back) == 100);
    EXPECT(read(b[0], pages, PAGE) == PAGE);
    EXPECT(call_end(&there) == 100);
}
