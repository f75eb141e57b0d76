/* SPDX-License-Identifier: MIT
 *
 * Whose files a capability reaches: in a user namespace those of owners who have numbers there.
 */
#include <grp.h>
#include <sys/mount.h>

#include "place.h"

static void make_file(const char *name, uid_t owner, mode_t mode)
{
    int fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0600);

    EXPECT(fd >= 0 && fchown(fd, owner, owner) == 0 && fchmod(fd, mode) == 0 && close(fd) == 0);
}

static void begin(void)
{
    begin_with("mode=777");
    make_file("mine", 1000, 0600);
    make_file("mapped", 2000, 0600);
    make_file("others", 3000, 0600);
    EXPECT(mkdir("sticky", 01777) == 0);
    make_file("sticky/mapped", 2000, 0644);
    make_file("sticky/others", 3000, 0644);
}

static void put(pid_t pid, const char *name, const char *text)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    fd = open(path, O_WRONLY);
    EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

/* Root of a namespace in which 1000 is 0 and 2000 is 1. */
static void in_namespace(void (*act)(void))
{
    int up[2], down[2], status;
    char c;

    EXPECT(pipe(up) == 0 && pipe(down) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(setgroups(0, NULL) == 0 && setgid(1000) == 0 && setuid(1000) == 0);
        EXPECT(unshare(CLONE_NEWUSER) == 0);
        EXPECT(write(up[1], "r", 1) == 1 && read(down[0], &c, 1) == 1);
        EXPECT(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0);
        act();
        _exit(0);
    }
    EXPECT(read(up[0], &c, 1) == 1);
    put(pid, "uid_map", "0 1000 1\n1 2000 1");
    put(pid, "gid_map", "0 1000 1\n1 2000 1");
    EXPECT(write(down[1], "g", 1) == 1);
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

static void reach_files(void)
{
    struct stat st;

    EXPECT(open("mine", O_RDWR) >= 0 && open("mapped", O_RDWR) >= 0);
    EXPECT_ERR(open("others", O_RDWR), EACCES);
    EXPECT_ERR(open("others", O_RDONLY), EACCES);
    EXPECT(chmod("mapped", 0640) == 0 && chown("mapped", 0, 0) == 0);
    EXPECT(stat("mapped", &st) == 0 && st.st_uid == 0 && chown("mapped", 1, 1) == 0);
    EXPECT_ERR(chmod("others", 0666), EPERM);
    EXPECT_ERR(chown("others", 0, 0), EPERM);
    EXPECT_ERR(chown("mapped", 2, 2), EINVAL); /* no number of ours */
    EXPECT(unlink("sticky/mapped") == 0);
    EXPECT_ERR(unlink("sticky/others"), EPERM);
    EXPECT_ERR(mknod("null", S_IFCHR | 0666, 0x103), EPERM);
}

TEST(capabilities_of_a_namespace_reach_files_of_its_own_numbers)
{
    begin();
    in_namespace(reach_files);
}

static int mode_of(const char *name)
{
    struct stat st;

    EXPECT(stat(name, &st) == 0);
    return st.st_mode & 07777;
}

TEST(a_change_of_owner_that_changes_none_takes_set_id_bits_away)
{
    begin();
    make_file("setuid", 0, 04755);
    EXPECT(mode_of("setuid") == 04755 && chown("setuid", -1, -1) == 0 && mode_of("setuid") == 0755);
    EXPECT(chmod("setuid", 04755) == 0 && setgid(1000) == 0 && setuid(1000) == 0);
    EXPECT_ERR(chown("setuid", -1, -1), EPERM);
    EXPECT(mode_of("setuid") == 04755 && chown("others", -1, -1) == 0);
}

TEST(access_times_are_held_by_the_owner_only)
{
    int fd;

    begin();
    EXPECT(chmod("others", 0666) == 0);
    fd = open("others", O_RDONLY);
    EXPECT(fcntl(fd, F_SETFL, O_NOATIME) == 0 && fcntl(fd, F_SETFL, 0) == 0);
    EXPECT(setuid(1000) == 0);
    EXPECT_ERR(fcntl(fd, F_SETFL, O_NOATIME), EPERM);
    EXPECT_ERR(open("others", O_RDONLY | O_NOATIME), EPERM);
}
