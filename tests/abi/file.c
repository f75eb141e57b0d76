/* SPDX-License-Identifier: MIT
 *
 * Descriptors, files, directories, pipes, polling, memory mappings, threads, terminals.
 */
#include "abi.h"
#include <dirent.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

static int temp_file(void)
{
    char name[] = "/tmp/abi-XXXXXX";
    int fd = mkstemp(name);

    EXPECT(fd >= 0);
    unlink(name);
    return fd;
}

TEST(lowest_descriptor_first)
{
    int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY);

    EXPECT(b == a + 1);
    close(a);
    EXPECT(dup(b) == a);
    EXPECT(fcntl(b, F_DUPFD, 100) == 100);
    EXPECT(dup2(b, 200) == 200 && dup2(b, b) == b);
    EXPECT_ERR(dup3(b, b, 0), EINVAL);
    EXPECT_ERR(dup2(999, 5), EBADF);
    EXPECT(syscall(SYS_close_range, 100, 200, 0) == 0);
    EXPECT_ERR(fcntl(200, F_GETFD), EBADF);
    EXPECT_ERR(close(200), EBADF);
}

TEST(read_write_seek)
{
    int fd = temp_file();
    char buf[16];

    EXPECT(write(fd, "hello world", 11) == 11);
    EXPECT(lseek(fd, 6, SEEK_SET) == 6 && read(fd, buf, 16) == 5 && memcmp(buf, "world", 5) == 0);
    EXPECT(pread(fd, buf, 5, 0) == 5 && memcmp(buf, "hello", 5) == 0);
    EXPECT(lseek(fd, 0, SEEK_CUR) == 11 && lseek(fd, 10, SEEK_END) == 21);
    EXPECT_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
    EXPECT(ftruncate(fd, 3) == 0 && pread(fd, buf, 16, 0) == 3);
    struct iovec v[2] = {{"ab", 2}, {"cd", 2}};
    EXPECT(pwritev(fd, v, 2, 1) == 4 && pread(fd, buf, 16, 0) == 5 && memcmp(buf, "habcd", 5) == 0);
    EXPECT(lseek(fd, 0, SEEK_SET) == 0);
    EXPECT_ERR(syscall(SYS_read, fd, 16L, 4L), EFAULT);
    EXPECT_ERR(write(open("/dev/null", O_RDONLY), "x", 1), EBADF);
}

TEST(append_goes_to_the_end)
{
    char name[] = "/tmp/abi-XXXXXX", buf[8];
    int fd = mkstemp(name), ap = open(name, O_WRONLY | O_APPEND);

    unlink(name);
    EXPECT(write(fd, "abc", 3) == 3 && write(ap, "def", 3) == 3);
    EXPECT(pread(fd, buf, 8, 0) == 6);
    EXPECT((fcntl(ap, F_GETFL) & O_APPEND) && (fcntl(ap, F_GETFL) & O_ACCMODE) == O_WRONLY);
}

TEST(directories_list_what_was_made)
{
    int seen = 0;

    EXPECT(mkdir("/tmp/abi-d", 0755) == 0);
    EXPECT_ERR(mkdir("/tmp/abi-d", 0755), EEXIST);
    for (int i = 0; i < 100; i++) {
        char name[64];
        snprintf(name, sizeof(name), "/tmp/abi-d/file-%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0644));
    }
    EXPECT_ERR(rmdir("/tmp/abi-d"), ENOTEMPTY);
    DIR *d = opendir("/tmp/abi-d");
    for (struct dirent *e; (e = readdir(d));)
        seen += strncmp(e->d_name, "file-", 5) == 0 && e->d_type == DT_REG;
    closedir(d);
    EXPECT(seen == 100);
    for (int i = 0; i < 100; i++) {
        char name[64];
        snprintf(name, sizeof(name), "/tmp/abi-d/file-%d", i);
        EXPECT(unlink(name) == 0);
    }
    EXPECT(rmdir("/tmp/abi-d") == 0);
}

TEST(links_and_renames)
{
    struct stat a, b;
    char buf[64];

    unlink("/tmp/abi-1"), unlink("/tmp/abi-2"), unlink("/tmp/abi-3");
    close(open("/tmp/abi-1", O_CREAT | O_WRONLY, 0640));
    EXPECT(link("/tmp/abi-1", "/tmp/abi-2") == 0);
    EXPECT(stat("/tmp/abi-1", &a) == 0 && stat("/tmp/abi-2", &b) == 0);
    EXPECT(a.st_ino == b.st_ino && a.st_nlink == 2 && (a.st_mode & 07777) == 0640);
    EXPECT(symlink("abi-1", "/tmp/abi-3") == 0);
    EXPECT(readlink("/tmp/abi-3", buf, 64) == 5);
    EXPECT(lstat("/tmp/abi-3", &b) == 0 && S_ISLNK(b.st_mode) && b.st_size == 5);
    EXPECT(rename("/tmp/abi-1", "/tmp/abi-4") == 0);
    EXPECT_ERR(stat("/tmp/abi-3", &b), ENOENT);
    EXPECT_ERR(open("/tmp/abi-4/x", O_RDONLY), ENOTDIR);
    EXPECT_ERR(open("/tmp/abi-3", O_RDONLY | O_NOFOLLOW), ELOOP);
    EXPECT_ERR(open("/tmp/abi-4", O_CREAT | O_EXCL, 0644), EEXIST);
    unlink("/tmp/abi-2"), unlink("/tmp/abi-3"), unlink("/tmp/abi-4");
}

TEST(stat_times_and_modes)
{
    int fd = temp_file();
    struct timespec ts[2] = {{100, 5}, {200, 7}};
    struct stat st;

    EXPECT(futimens(fd, ts) == 0 && fstat(fd, &st) == 0);
    EXPECT(st.st_atim.tv_sec == 100 && st.st_mtim.tv_nsec == 7);
    EXPECT(fchmod(fd, 04711) == 0 && fstat(fd, &st) == 0 && (st.st_mode & 07777) == 04711);
    EXPECT(fchown(fd, 12, 34) == 0 && fstat(fd, &st) == 0 && st.st_uid == 12 && st.st_gid == 34);
}

TEST(pipe_carries_and_ends)
{
    int p[2];
    char buf[8];

    EXPECT(pipe2(p, O_NONBLOCK) == 0);
    EXPECT_ERR(read(p[0], buf, 8), EAGAIN);
    EXPECT(write(p[1], "abc", 3) == 3 && read(p[0], buf, 2) == 2 && read(p[0], buf, 8) == 1);
    long total = 0;
    char block[4096] = {0};
    for (ssize_t n; (n = write(p[1], block, sizeof(block))) > 0;)
        total += n;
    EXPECT(errno == EAGAIN && total == 65536);
    close(p[1]);
    while (read(p[0], block, sizeof(block)) > 0)
        ;
    EXPECT(read(p[0], buf, 8) == 0);
}

TEST(fifo_meets)
{
    char c = 0;

    unlink("/tmp/abi-fifo");
    EXPECT(mkfifo("/tmp/abi-fifo", 0600) == 0);
    EXPECT_ERR(open("/tmp/abi-fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    pid_t pid = fork();
    if (pid == 0) {
        int w = open("/tmp/abi-fifo", O_WRONLY);
        write(w, "q", 1);
        _exit(0);
    }
    int r = open("/tmp/abi-fifo", O_RDONLY);
    EXPECT(read(r, &c, 1) == 1 && c == 'q' && read(r, &c, 1) == 0);
    waitpid(pid, NULL, 0);
    unlink("/tmp/abi-fifo");
}

TEST(poll_and_select)
{
    int p[2];
    struct pollfd pf[2];
    struct timeval tv = {0, 1000};
    fd_set r;

    pipe(p);
    pf[0] = (struct pollfd){p[0], POLLIN, 0};
    pf[1] = (struct pollfd){p[1], POLLOUT, 0};
    EXPECT(poll(pf, 2, 0) == 1 && pf[1].revents == POLLOUT && !pf[0].revents);
    EXPECT(poll(pf, 1, 10) == 0);
    write(p[1], "x", 1);
    EXPECT(poll(pf, 1, -1) == 1 && pf[0].revents == POLLIN);
    FD_ZERO(&r);
    FD_SET(p[0], &r);
    EXPECT(select(p[0] + 1, &r, NULL, NULL, &tv) == 1 && FD_ISSET(p[0], &r));
    close(p[1]);
    char c;
    read(p[0], &c, 1);
    EXPECT(poll(pf, 1, 0) == 1 && pf[0].revents == POLLHUP);
    pf[0].fd = 999;
    EXPECT(poll(pf, 1, 0) == 1 && pf[0].revents == POLLNVAL);
}

/* Bits of numbers from n on are not looked at, in the same byte either. */
TEST(select_looks_at_no_more_than_it_is_told)
{
    struct timeval now = {0, 0};
    fd_set r;

    for (int n = 1; n <= 128; n += 63) {
        memset(&r, 0, sizeof(r));
        FD_SET(n, &r);
        FD_SET(n + 1, &r);
        EXPECT(select(n, &r, NULL, NULL, &now) == 0);
    }
    FD_SET(60, &r);
    EXPECT(select(61, &r, NULL, NULL, &now) == -1 && errno == EBADF);
}

TEST(epoll_level_edge_oneshot)
{
    int p[2], ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {EPOLLIN, {.u64 = 42}}, out[4];

    pipe(p);
    EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev) == 0);
    EXPECT_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev), EEXIST);
    EXPECT(epoll_wait(ep, out, 4, 0) == 0);
    write(p[1], "ab", 2);
    EXPECT(epoll_wait(ep, out, 4, 100) == 1 && out[0].data.u64 == 42 && out[0].events == EPOLLIN);
    EXPECT(epoll_wait(ep, out, 4, 0) == 1);
    ev.events = EPOLLIN | EPOLLET;
    EXPECT(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev) == 0);
    EXPECT(epoll_wait(ep, out, 4, 0) == 1 && epoll_wait(ep, out, 4, 0) == 0);
    ev.events = EPOLLIN | EPOLLONESHOT;
    epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev);
    EXPECT(epoll_wait(ep, out, 4, 0) == 1 && epoll_wait(ep, out, 4, 0) == 0);
    EXPECT(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL) == 0);
    EXPECT_ERR(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL), ENOENT);
}

TEST(eventfd_and_timerfd)
{
    uint64_t v = 5;
    int e = eventfd(2, EFD_NONBLOCK), t = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec its = {{0, 5000000}, {0, 5000000}};

    EXPECT(write(e, &v, 8) == 8 && read(e, &v, 8) == 8 && v == 7);
    EXPECT_ERR(read(e, &v, 8), EAGAIN);
    EXPECT(timerfd_settime(t, 0, &its, NULL) == 0);
    EXPECT(read(t, &v, 8) == 8 && v >= 1);
}

TEST(unix_sockets_pass_descriptors)
{
    int s[2], p[2];
    char c = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0);
    pipe(p);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &p[1], sizeof(int));
    EXPECT(sendmsg(s[0], &m, 0) == 1);
    memset(control, 0, sizeof(control));
    EXPECT(recvmsg(s[1], &m, 0) == 1);
    int fd;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
    EXPECT(write(fd, "k", 1) == 1 && read(p[0], &c, 1) == 1 && c == 'k');
    shutdown(s[0], SHUT_WR);
    EXPECT(read(s[1], &c, 1) == 0);
}

TEST(file_mappings)
{
    int fd = temp_file();
    ftruncate(fd, 8192);
    char *a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *b = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    char c;

    EXPECT(a != MAP_FAILED && b != MAP_FAILED);
    a[5000] = 'S';
    EXPECT(b[5000] == 'S' && pread(fd, &c, 1, 5000) == 1 && c == 'S');
    b[5000] = 'P';
    EXPECT(a[5000] == 'S');
    pwrite(fd, "W", 1, 1);
    EXPECT(a[1] == 'W');
    EXPECT(mprotect(a, 4096, PROT_READ) == 0 && munmap(a, 4096) == 0 && a[5000] == 'S');
    EXPECT_ERR(mprotect(a, 4096, PROT_READ), ENOMEM);
    pid_t pid = fork();
    if (pid == 0) {
        ftruncate(fd, 0);
        c = ((volatile char *)a)[5000];
        _exit(0);
    }
    int st;
    EXPECT(waitpid(pid, &st, 0) == pid && (st & 0x7f) == SIGBUS);
}

TEST(anonymous_memory)
{
    char *m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    pid_t pid = fork();
    if (pid == 0) {
        m[12345] = 9;
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    EXPECT(m[12345] == 9);
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 1, 1 << 20);
    EXPECT(madvise(p, 1 << 20, MADV_DONTNEED) == 0 && p[77] == 0);
    p[0] = 3;
    p = mremap(p, 1 << 20, 4 << 20, MREMAP_MAYMOVE);
    EXPECT(p != MAP_FAILED && p[0] == 3 && p[(4 << 20) - 1] == 0);
    EXPECT_ERR(
        (long)mmap(p, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
        EEXIST);
    void *brk0 = sbrk(0);
    EXPECT(sbrk(1 << 20) == brk0);
    memset(brk0, 1, 1 << 20);
    EXPECT(sbrk(-(1 << 20)) != (void *)-1);
}

TEST(sendfile_copies)
{
    int a = temp_file(), b = temp_file();
    off_t off = 2;
    char buf[8];

    write(a, "0123456789", 10);
    EXPECT(sendfile(b, a, &off, 5) == 5 && off == 7);
    EXPECT(pread(b, buf, 8, 0) == 5 && memcmp(buf, "23456", 5) == 0);
}

TEST(flock_excludes)
{
    int a = open("/tmp/abi-lock", O_CREAT | O_RDWR, 0600), b = open("/tmp/abi-lock", O_RDWR);
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};

    EXPECT(flock(a, LOCK_EX) == 0);
    EXPECT_ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    EXPECT(flock(a, LOCK_UN) == 0 && flock(b, LOCK_SH | LOCK_NB) == 0);
    EXPECT(fcntl(a, F_SETLK, &fl) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT_ERR(fcntl(a, F_SETLK, &fl), EAGAIN);
        EXPECT(fcntl(a, F_GETLK, &fl) == 0 && fl.l_type == F_WRLCK && fl.l_pid == getppid());
        _exit(0);
    }
    int st;
    EXPECT(waitpid(pid, &st, 0) == pid && st == 0);
    unlink("/tmp/abi-lock");
}

TEST(proc_self_files)
{
    char buf[4096];
    int fd = open("/proc/self/stat", O_RDONLY);
    int pid;

    EXPECT(fd >= 0 && read(fd, buf, sizeof(buf) - 1) > 0 && sscanf(buf, "%d (", &pid) == 1 &&
           pid == getpid());
    close(fd);
    fd = open("/proc/self/cmdline", O_RDONLY);
    EXPECT(read(fd, buf, sizeof(buf)) > 0);
    EXPECT(readlink("/proc/self", buf, sizeof(buf)) > 0 && atoi(buf) == getpid());
    EXPECT(readlink("/proc/self/ns/mnt", buf, sizeof(buf)) > 0 && strncmp(buf, "mnt:[", 5) == 0);
    fd = open("/dev/null", O_RDONLY);
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, buf, sizeof(buf));
    EXPECT(n == 9 && memcmp(buf, "/dev/null", 9) == 0);
    EXPECT(open(link, O_RDONLY) == fd + 1);
    EXPECT_ERR(open("/proc/999999", O_RDONLY), ENOENT);
}

TEST(a_pipe_opens_again_through_proc)
{
    int p[2];
    char path[64], c;
    struct stat st;

    pipe(p);
    EXPECT(fstat(p[1], &st) == 0 && S_ISFIFO(st.st_mode));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", p[1]);
    int fd = open(path, O_WRONLY | O_APPEND);
    EXPECT(fd >= 0);
    EXPECT(write(fd, "r", 1) == 1 && read(p[0], &c, 1) == 1 && c == 'r');
    struct pollfd pf = {fd, POLLOUT, 0};
    EXPECT(poll(&pf, 1, 0) == 1);
    close(fd), close(p[1]);
    EXPECT(read(p[0], &c, 1) == 0);
}

TEST(time_moves_on)
{
    struct timespec a, b, ts = {0, 20000000};

    clock_gettime(CLOCK_MONOTONIC, &a);
    EXPECT(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL) == 0);
    clock_gettime(CLOCK_MONOTONIC, &b);
    long ns = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
    EXPECT(ns >= 20000000);
    EXPECT_ERR(clock_gettime(99, &a), EINVAL);
    ts.tv_nsec = 1000000000;
    EXPECT_ERR(nanosleep(&ts, NULL), EINVAL);
}

TEST(errors_come_in_the_order_of_linux)
{
    char dir[] = "/tmp/orderXXXXXX";
    int fd;

    EXPECT(mkdtemp(dir) && !chdir(dir));
    EXPECT(!mkdir("d", 0755) && !mkfifo("p", 0600) &&
           close(open("f", O_CREAT | O_WRONLY, 0644)) == 0);
    EXPECT(!symlink("nowhere", "dangling") && !symlink("dangling", "chain") &&
           !symlink("d", "to_d"));
    fd = open("d", O_RDONLY);
    EXPECT_ERR(read(fd, dir, 1), EISDIR);
    EXPECT_ERR(pread(fd, dir, 0, 5), EISDIR);
    EXPECT_ERR(ftruncate(-1, -1), EINVAL);
    EXPECT_ERR(truncate("p", 0), EINVAL);
    EXPECT_ERR(truncate("d", 0), EISDIR);
    EXPECT_ERR(readlink("", dir, 10), ENOENT);
    EXPECT_ERR(open("d/", O_CREAT | O_RDONLY, 0644), EISDIR);
    EXPECT_ERR(open("new/", O_CREAT | O_RDWR, 0644), EISDIR);
    EXPECT_ERR(open("to_d", O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
    EXPECT_ERR(link("d", "d"), EEXIST);
    EXPECT_ERR(link("d", "e"), EPERM);
    EXPECT_ERR(rename("f", "f/"), ENOTDIR);
    EXPECT_ERR(rename("f", "d/"), ENOTDIR);
    EXPECT_ERR(syscall(SYS_renameat2, AT_FDCWD, "d", AT_FDCWD, "d/x", 2 /* EXCHANGE */), ENOENT);
    EXPECT_ERR(syscall(SYS_renameat2, AT_FDCWD, ".", AT_FDCWD, ".", 1 /* NOREPLACE */), EBUSY);
    EXPECT_ERR(lseek(open("p", O_RDWR), 0, 5), EINVAL);
    EXPECT_ERR(fallocate(open("p", O_RDWR), 0, 0, 10), ESPIPE);
    EXPECT_ERR(pwrite(open("p", O_RDONLY | O_NONBLOCK), dir, 1, 0), ESPIPE);
    errno = 0;
    EXPECT(lchown("chain/", 0, 0) == -1 && errno == ENOENT);
}

TEST(writing_takes_set_id_bits_away)
{
    char name[] = "/tmp/setidXXXXXX";
    struct stat st;
    int fd = mkstemp(name);

    EXPECT(fd >= 0 && !fchmod(fd, 0777));
    EXPECT(!fchown(fd, 1000, 1000) && !fchmod(fd, 06755) && !fstat(fd, &st) &&
           (st.st_mode & 07777) == 06755);
    EXPECT(!seteuid(1000)); /* without CAP_FSETID */
    EXPECT(write(fd, "x", 1) == 1 && !fstat(fd, &st) && (st.st_mode & 07777) == 0755);
    EXPECT(!seteuid(0) && !fchmod(fd, 06755) && !seteuid(1000));
    EXPECT(!ftruncate(fd, 0) && !fstat(fd, &st) && (st.st_mode & 07777) == 0755);
    EXPECT(!seteuid(0) && !fchmod(fd, 06755) && !fchown(fd, 1001, 1001));
    EXPECT(!fstat(fd, &st) && (st.st_mode & 07777) == 0755);
    unlink(name);
}

TEST(links_of_others_are_not_followed_in_sticky_directories)
{
    char dir[] = "/tmp/stickyXXXXXX";

    EXPECT(mkdtemp(dir) && !chdir(dir) && !chmod(".", 01777));
    EXPECT(close(open("file", O_CREAT | O_WRONLY, 0644)) == 0 && !chown("file", 1001, 1001));
    EXPECT(!symlink("file", "link") && !lchown("link", 1000, 1000));
    EXPECT_ERR(open("link", O_RDONLY), EACCES);
    EXPECT(!lchown("link", 0, 0) && close(open("link", O_RDONLY)) == 0);
    EXPECT(!seteuid(1000));
    EXPECT_ERR(link("file", "mine"), EPERM);
    EXPECT(!seteuid(0));
}

TEST(no_file_is_created_through_a_name_that_ends_in_a_slash)
{
    mkdir("/tmp/abi-s", 0755);
    EXPECT(chdir("/tmp/abi-s") == 0 && symlink("a/", "l") == 0 && symlink("l", "m") == 0);
    EXPECT_ERR(open("a/", O_CREAT | O_RDWR, 0600), EISDIR);
    EXPECT_ERR(open("m", O_CREAT | O_RDWR, 0600), EISDIR);
    EXPECT_ERR(open("m", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
    EXPECT(close(creat("a", 0600)) == 0);
    EXPECT_ERR(open("m", O_CREAT | O_RDWR, 0600), EISDIR);
    EXPECT_ERR(open("m", O_RDWR), ENOTDIR);
    EXPECT_ERR(open("none/./", O_CREAT | O_RDWR, 0600), ENOENT);
    EXPECT_ERR(open("./", O_CREAT | O_RDWR, 0600), EISDIR);
    EXPECT_ERR(open("./", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
    EXPECT(unlink("a") == 0 && unlink("l") == 0 && unlink("m") == 0 && rmdir("/tmp/abi-s") == 0);
}

TEST(reading_a_packet_is_no_news_of_the_next)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    int p[2], ep = epoll_create1(0);
    char buf[8];

    EXPECT(pipe2(p, O_DIRECT) == 0 && write(p[1], "a", 1) == 1 && write(p[1], "b", 1) == 1);
    EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e) == 0 && epoll_wait(ep, &e, 1, 0) == 1);
    EXPECT(read(p[0], buf, sizeof(buf)) == 1 && epoll_wait(ep, &e, 1, 0) == 0);
    EXPECT(write(p[1], "c", 1) == 1 && epoll_wait(ep, &e, 1, 0) == 1);
}

TEST(getlk_tells_of_the_lowest_lock_and_ranges_come_before_modes)
{
    struct flock l = {.l_type = F_WRLCK, .l_start = 50, .l_len = 10};
    int fd = temp_file(), read_only = open("/proc/self/exe", O_RDONLY);

    EXPECT(fcntl(fd, F_SETLK, &l) == 0);
    l.l_start = 10;
    EXPECT(fcntl(fd, F_SETLK, &l) == 0);
    l = (struct flock){.l_type = F_WRLCK};
    EXPECT(fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_start == 10 && l.l_len == 10);
    l = (struct flock){.l_type = F_WRLCK, .l_start = 1, .l_len = -2};
    EXPECT_ERR(fcntl(read_only, F_SETLK, &l), EINVAL);
    l.l_len = -1;
    EXPECT_ERR(fcntl(read_only, F_SETLK, &l), EBADF);
}

TEST(reading_ahead_and_writing_back_take_files_only)
{
    int fd = temp_file(), p[2], write_only = open("/tmp/abi-ra", O_CREAT | O_WRONLY, 0600);

    EXPECT(pipe(p) == 0 && unlink("/tmp/abi-ra") == 0 && write(fd, "abc", 3) == 3);
    EXPECT(readahead(fd, 0, 4096) == 0);
    EXPECT_ERR(readahead(p[0], 0, 1), EINVAL);
    EXPECT_ERR(readahead(write_only, 0, 1), EBADF);
    EXPECT_ERR(readahead(-1, 0, 1), EBADF);
    EXPECT(sync_file_range(fd, 0, 0, 7) == 0 && sync_file_range(fd, 1, 1, 0) == 0);
    EXPECT_ERR(sync_file_range(fd, 0, 0, 8), EINVAL);
    EXPECT_ERR(sync_file_range(fd, -1, 1, 2), EINVAL);
    EXPECT_ERR(sync_file_range(fd, INT64_MAX, 1, 2), EINVAL);
    EXPECT_ERR(sync_file_range(p[1], 0, 1, 2), ESPIPE);
    EXPECT_ERR(sync_file_range(-1, 0, 1, 2), EBADF);
}
