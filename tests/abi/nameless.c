/* SPDX-License-Identifier: MIT
 *
 * What has no name has an inode like all others: pipes, sockets and events by descriptor and by
 * /proc/self/fd.
 */
#include <grp.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "abi.h"

static const char *link_of(int fd)
{
    static char path[40];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return path;
}

static struct stat stat_fd(int fd)
{
    struct stat st;

    EXPECT(fstat(fd, &st) == 0);
    return st;
}

static bool is(int fd, mode_t mode, uid_t uid, gid_t gid)
{
    struct stat st = stat_fd(fd), by_link;

    EXPECT(stat(link_of(fd), &by_link) == 0);
    EXPECT(st.st_ino == by_link.st_ino && st.st_dev == by_link.st_dev && st.st_dev != 0);
    EXPECT(st.st_mode == by_link.st_mode && st.st_uid == by_link.st_uid);
    return st.st_mode == mode && st.st_uid == uid && st.st_gid == gid && st.st_nlink == 1;
}

static void owned_and_changed(int fd, mode_t type)
{
    EXPECT(fchmod(fd, 0640) == 0 && is(fd, type | 0640, 0, 0));
    EXPECT(fchown(fd, 5, 6) == 0 && is(fd, type | 0640, 5, 6));
    EXPECT(chmod(link_of(fd), 0604) == 0 && chown(link_of(fd), 7, 8) == 0);
    EXPECT(is(fd, type | 0604, 7, 8));
    EXPECT(fchownat(fd, "", 0, 0, AT_EMPTY_PATH) == 0 && is(fd, type | 0604, 0, 0));
    EXPECT(futimens(fd, (struct timespec[]){{1, 0}, {2, 0}}) == 0);
    EXPECT(stat_fd(fd).st_mtime == 2 && stat_fd(fd).st_atime == 1);
}

TEST(pipes_have_one_inode_with_owner_and_mode)
{
    int p[2], q[2];

    EXPECT(pipe(p) == 0 && pipe(q) == 0);
    EXPECT(is(p[0], S_IFIFO | 0600, 0, 0) && stat_fd(p[0]).st_ino == stat_fd(p[1]).st_ino);
    EXPECT(stat_fd(p[0]).st_ino != stat_fd(q[0]).st_ino);
    EXPECT(time(NULL) - stat_fd(p[0]).st_mtime <= 5);
    owned_and_changed(p[0], S_IFIFO);
    EXPECT(is(p[1], S_IFIFO | 0604, 0, 0) && is(q[0], S_IFIFO | 0600, 0, 0));
    owned_and_changed(p[1], S_IFIFO);
    close(p[0]);
    EXPECT(is(p[1], S_IFIFO | 0604, 0, 0));
}

TEST(sockets_have_an_inode_with_owner_and_mode)
{
    int s[2];

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    EXPECT(is(s[0], S_IFSOCK | 0777, 0, 0) && stat_fd(s[0]).st_ino != stat_fd(s[1]).st_ino);
    owned_and_changed(s[0], S_IFSOCK);
    EXPECT(is(s[1], S_IFSOCK | 0777, 0, 0));
    EXPECT(seteuid(1000) == 0);
    EXPECT(stat_fd(socket(AF_UNIX, SOCK_DGRAM, 0)).st_uid == 1000);
}

static long type_of(int fd)
{
    struct statfs fs, by_link;

    EXPECT(fstatfs(fd, &fs) == 0 && statfs(link_of(fd), &by_link) == 0);
    EXPECT(fs.f_type == by_link.f_type && fs.f_namelen == 255);
    return fs.f_type;
}

TEST(descriptors_tell_of_their_file_system)
{
    int p[2];

    EXPECT(pipe(p) == 0);
    EXPECT(type_of(p[0]) == 0x50495045 && type_of(p[1]) == 0x50495045);
    EXPECT(type_of(socket(AF_UNIX, SOCK_DGRAM, 0)) == 0x534f434b);
    EXPECT(type_of(eventfd(0, 0)) == 0x09041934 && type_of(inotify_init()) == 0x09041934);
    EXPECT((stat_fd(eventfd(0, 0)).st_mode & S_IFMT) == 0);
}

static bool link_starts(int fd, const char *text)
{
    char buf[100] = "";

    EXPECT(readlink(link_of(fd), buf, sizeof(buf) - 1) > 0);
    return strncmp(buf, text, strlen(text)) == 0;
}

TEST(links_to_nameless_files_are_followed_but_only_pipes_open)
{
    int p[2], s[2], e = eventfd(0, 0), fd;
    char c;

    EXPECT(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    EXPECT(link_starts(p[0], "pipe:[") && link_starts(s[0], "socket:["));
    EXPECT(link_starts(e, "anon_inode:[eventfd]"));
    EXPECT(link_starts(inotify_init(), "anon_inode:inotify"));
    EXPECT((fd = open(link_of(p[0]), O_WRONLY)) >= 0); /* the other end, by this one's link */
    EXPECT(write(fd, "x", 1) == 1 && read(p[0], &c, 1) == 1 && c == 'x');
    EXPECT(link_starts(fd, "pipe:[") && is(fd, S_IFIFO | 0600, 0, 0));
    EXPECT(close(p[1]) == 0 && close(fd) == 0 && read(p[0], &c, 1) == 0);
    EXPECT((fd = open(link_of(p[0]), O_RDONLY)) >= 0); /* waits for no writer: it is no FIFO */
    EXPECT(read(fd, &c, 1) == 0);
    EXPECT((fd = open(link_of(p[0]), O_PATH)) >= 0 && close(p[0]) == 0);
    EXPECT(S_ISFIFO(stat_fd(fd).st_mode));
    EXPECT_ERR(open(link_of(s[0]), O_RDWR), ENXIO);
    EXPECT_ERR(open(link_of(e), O_RDWR), ENXIO);
    EXPECT_ERR(truncate(link_of(s[0]), 0), EINVAL);
    EXPECT_ERR(linkat(AT_FDCWD, link_of(s[0]), AT_FDCWD, "/tmp/none", AT_SYMLINK_FOLLOW), EXDEV);
    EXPECT_ERR(fchdir(s[0]), ENOTDIR);
    EXPECT_ERR(openat(s[0], "x", O_RDONLY), ENOTDIR);
}

/* An entry point as another user writes to /dev/stdout, which a starter has made its own. */
TEST(the_mode_of_a_pipe_says_who_opens_it)
{
    int p[2], status;

    EXPECT(pipe(p) == 0 && fchown(p[1], 1000, 0) == 0);
    for (int mine = 1; mine >= 0; mine--) {
        EXPECT(fchown(p[1], mine ? 1000 : 0, 0) == 0);
        pid_t pid = fork();
        if (pid == 0) {
            EXPECT(setgroups(0, NULL) == 0 && setgid(1000) == 0 && setuid(1000) == 0);
            /* the link is root's until the process may be looked at again by its user */
            int fd = open(link_of(p[1]), O_WRONLY);
            _exit(fd >= 0 ? 1 : errno == EACCES ? 2 : 3);
        }
        EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
        EXPECT(WEXITSTATUS(status) == (mine ? 1 : 2));
    }
}

TEST(nameless_files_are_locked)
{
    struct flock fl = {.l_type = F_WRLCK};
    int p[2], s[2], fd;

    EXPECT(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    EXPECT((fd = open(link_of(p[0]), O_RDONLY)) >= 0);
    EXPECT(flock(p[0], LOCK_EX | LOCK_NB) == 0);
    EXPECT_ERR(flock(fd, LOCK_EX | LOCK_NB), EAGAIN);
    EXPECT_ERR(flock(p[1], LOCK_SH | LOCK_NB), EAGAIN);
    EXPECT(close(p[0]) == 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
    EXPECT_ERR(fcntl(fd, F_SETLK, &fl), EBADF);
    EXPECT(fcntl(p[1], F_SETLK, &fl) == 0 && fcntl(s[0], F_SETLK, &fl) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT_ERR(fcntl(p[1], F_SETLK, &fl), EAGAIN);
        EXPECT_ERR(fcntl(s[0], F_SETLK, &fl), EAGAIN);
        EXPECT(fcntl(s[1], F_SETLK, &fl) == 0);
        _exit(0);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(nameless_files_take_no_attributes)
{
    char buf[10];
    int p[2];

    EXPECT(pipe(p) == 0);
    EXPECT_ERR(fsetxattr(p[0], "user.x", "a", 1, 0), EPERM);
    EXPECT_ERR(fsetxattr(p[0], "trusted.x", "a", 1, 0), EOPNOTSUPP);
    EXPECT_ERR(fgetxattr(p[0], "user.x", buf, sizeof(buf)), ENODATA);
    EXPECT(flistxattr(p[0], buf, sizeof(buf)) == 0);
}
