/* SPDX-License-Identifier: MIT
 *
 * Names, mounts and layers where a mistake would open a door: ways out of a mount, rights that
 * stay, files that come back. As root, in a mount namespace of its own.
 */
#include <dirent.h>
#include <ftw.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
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

static bool reads(const char *name, const char *text)
{
    char buf[64] = "";
    int fd = open(name, O_RDONLY);

    if (fd < 0)
        return false;
    EXPECT(read(fd, buf, sizeof(buf) - 1) >= 0 && close(fd) == 0);
    return strcmp(buf, text) == 0;
}

/* ------------------------------------------------------------- mounts */

TEST(no_way_leads_up_from_what_was_moved_out_of_a_mount)
{
    char name[200];
    struct stat st;

    begin();
    EXPECT(mkdir("a", 0755) == 0 && mkdir("a/sub", 0755) == 0 && mkdir("b", 0755) == 0);
    EXPECT(mount("a/sub", "b", NULL, MS_BIND, NULL) == 0);
    EXPECT(mkdir("b/d", 0755) == 0 && chdir("b/d") == 0);
    EXPECT(stat("..", &st) == 0);
    EXPECT(rename(TOP "/a/sub/d", TOP "/a/d") == 0);
    EXPECT_ERR(chdir(".."), ENOENT);
    EXPECT_ERR(stat("../sub", &st), ENOENT);
    EXPECT_ERR(open("../d", O_RDONLY), ENOENT);
    EXPECT(syscall(SYS_getcwd, name, sizeof(name)) > 0 && strcmp(name, "(unreachable)/") == 0);
    EXPECT(rename(TOP "/a/d", TOP "/a/sub/d") == 0);
    EXPECT(chdir("..") == 0 && syscall(SYS_getcwd, name, sizeof(name)) > 0 &&
           strcmp(name, TOP "/b") == 0);
}

#define LISTED 3000

static void make_nodes(const char *format)
{
    char name[16];

    for (int i = 0; i < LISTED; i++) {
        snprintf(name, sizeof(name), format, i);
        EXPECT(mknod(name, S_IFREG | 0644, 0) == 0);
    }
}

/* One who renames each file that is read, and makes another, is not shown those. */
TEST(reading_a_directory_ends_though_names_come_meanwhile)
{
    char name[280];
    struct dirent *e;
    int n = 0;
    DIR *dir;

    begin();
    make_nodes("f%d");
    dir = opendir(".");
    EXPECT(dir);
    while ((e = readdir(dir)) && n <= LISTED) {
        if (e->d_name[0] == '.')
            continue;
        n++;
        snprintf(name, sizeof(name), "renamed-%s", e->d_name);
        EXPECT(rename(e->d_name, name) == 0);
        snprintf(name, sizeof(name), "made-%d", n);
        EXPECT(mknod(name, S_IFREG | 0644, 0) == 0);
    }
    EXPECT(n == LISTED);
    rewinddir(dir);
    for (n = 0; readdir(dir);)
        n++;
    EXPECT(n == 2 * LISTED + 2 && closedir(dir) == 0);
}

TEST(a_removed_directory_has_no_path)
{
    char name[200];

    begin();
    EXPECT(mkdir("d", 0755) == 0 && chdir("d") == 0 && rmdir(TOP "/d") == 0);
    EXPECT_ERR(syscall(SYS_getcwd, name, sizeof(name)), ENOENT);
    EXPECT(chdir("..") == 0 && syscall(SYS_getcwd, name, sizeof(name)) > 0 &&
           strcmp(name, TOP) == 0);
}

/* Follows links of /proc that are not shown to a stranger. */
static void follow_what_is_closed(const char *name)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        EXPECT(setgroups(0, NULL) == 0 && setgid(1000) == 0 && setuid(1000) == 0);
        for (int i = 0; i < 10; i++)
            EXPECT_ERR(open(name, O_RDONLY), EACCES);
        _exit(0);
    }
    EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(a_link_that_cannot_be_read_keeps_no_mount_busy)
{
    begin();
    EXPECT(mkdir("proc", 0755) == 0 && mount("proc", "proc", "proc", 0, NULL) == 0);
    follow_what_is_closed("proc/1/ns/uts");
    follow_what_is_closed("proc/1/exe");
    EXPECT(umount("proc") == 0);
}

/* Another namespace, with mounts on dir, sub and file, as a child keeps it. */
static pid_t mount_elsewhere(const char *const *names, int *stop)
{
    int ready[2], go[2];
    char c;

    EXPECT(pipe(ready) == 0 && pipe(go) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(unshare(CLONE_NEWNS) == 0);
        for (; *names; names++)
            EXPECT(mount(*names, *names, NULL, MS_BIND, NULL) == 0);
        close(go[1]);
        EXPECT(write(ready[1], "", 1) == 1 && read(go[0], &c, 1) == 0);
        _exit(0);
    }
    EXPECT(read(ready[0], &c, 1) == 1);
    *stop = go[1];
    return pid;
}

TEST(names_that_others_have_mounted_on_can_go)
{
    static const char *const names[] = {"dir", "file", "old", "victim", NULL};
    int stop;

    begin();
    EXPECT(mkdir("dir", 0755) == 0 && mkdir("old", 0755) == 0 && mkdir("victim", 0755) == 0 &&
           mkdir("fresh", 0755) == 0 && mkdir("mine", 0755) == 0);
    make_file("file", "text");
    EXPECT(mount("mine", "mine", NULL, MS_BIND, NULL) == 0);
    pid_t pid = mount_elsewhere(names, &stop);
    EXPECT(rmdir("dir") == 0);
    EXPECT(unlink("file") == 0);
    EXPECT(rename("old", "new") == 0);
    EXPECT(rename("fresh", "victim") == 0);
    EXPECT_ERR(rmdir("mine"), EBUSY);
    EXPECT_ERR(rename("mine", "other"), EBUSY);
    EXPECT(mkdir("dir", 0755) == 0 && rmdir("dir") == 0);
    close(stop);
    expect_success(pid);
    EXPECT(umount("mine") == 0 && rmdir("mine") == 0);
}

TEST(file_systems_stack_twice_and_no_deeper)
{
    begin();
    EXPECT(mkdir("0", 0755) == 0 && mkdir("1", 0755) == 0 && mkdir("2", 0755) == 0 &&
           mkdir("3", 0755) == 0 && mkdir("x", 0755) == 0);
    make_file("0/file", "text");
    EXPECT(mount("o", "1", "overlay", 0, "lowerdir=0:x") == 0);
    EXPECT(mount("o", "2", "overlay", 0, "lowerdir=1:x") == 0);
    EXPECT(reads("2/file", "text"));
    EXPECT_ERR(mount("o", "3", "overlay", 0, "lowerdir=2:x"), EINVAL);
    EXPECT_ERR(mount("o", "3", "overlay", 0, "lowerdir=x:2"), EINVAL);
}

/* ------------------------------------------------------------- rights */

static u_int mode_of(const char *name)
{
    struct stat st;

    EXPECT(lstat(name, &st) == 0);
    return st.st_mode & 07777;
}

static void make_set_gid(void)
{
    struct stat st;
    int fd = open("made", O_CREAT | O_EXCL | O_RDWR, 02777);

    EXPECT(fd >= 0 && fstat(fd, &st) == 0 && st.st_gid == 4321 && (st.st_mode & 07777) == 0777);
    EXPECT(mknod("node", S_IFREG | 02777, 0) == 0 && mode_of("node") == 0777);
    EXPECT(mkfifo("fifo", 02770) == 0 && mode_of("fifo") == 0770);
    fd = open(".", O_TMPFILE | O_RDWR, 02777);
    EXPECT(fd < 0 ? errno == EOPNOTSUPP /* in layers, there */
                  : fstat(fd, &st) == 0 && st.st_gid == 4321 && (st.st_mode & 07777) == 0777);
    EXPECT(open("lock", O_CREAT | O_EXCL | O_RDWR, 02767) >= 0 && mode_of("lock") == 02767);
    EXPECT(mkdir("dir", 0777) == 0 && mode_of("dir") == 02777);
    EXPECT(chmod("made", 02777) == 0 && mode_of("made") == 0777);
}

static void make_in_set_gid_directory(void)
{
    EXPECT(mkdir("g", 0777) == 0 && chown("g", 0, 4321) == 0 && chmod("g", 02777) == 0);
    EXPECT(chdir("g") == 0);
    expect_success(as_user(make_set_gid));
    EXPECT(open("roots", O_CREAT | O_EXCL | O_RDWR, 02777) >= 0 && mode_of("roots") == 02777);
}

TEST(a_groups_directory_gives_no_set_group_id_to_others)
{
    begin();
    make_in_set_gid_directory();
}

TEST(a_groups_directory_gives_no_set_group_id_to_others_in_layers)
{
    begin();
    make_layers();
    EXPECT(overlay("m") == 0 && chdir("m") == 0);
    make_in_set_gid_directory();
}

TEST(a_file_without_names_gets_none)
{
    char path[64];
    int fd;

    begin();
    fd = open("file", O_CREAT | O_RDWR, 0644);
    EXPECT(fd >= 0 && unlink("file") == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    EXPECT_ERR(linkat(AT_FDCWD, path, AT_FDCWD, "again", AT_SYMLINK_FOLLOW), ENOENT);
    fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0644);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    EXPECT_ERR(linkat(AT_FDCWD, path, AT_FDCWD, "again", AT_SYMLINK_FOLLOW), ENOENT);
    fd = open(".", O_TMPFILE | O_RDWR, 0644);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    EXPECT(linkat(AT_FDCWD, path, AT_FDCWD, "again", AT_SYMLINK_FOLLOW) == 0);
    EXPECT(linkat(AT_FDCWD, path, AT_FDCWD, "twice", AT_SYMLINK_FOLLOW) == 0);
    EXPECT(unlink("again") == 0 && unlink("twice") == 0);
    EXPECT_ERR(linkat(AT_FDCWD, path, AT_FDCWD, "again", AT_SYMLINK_FOLLOW), ENOENT);
}

/* ------------------------------------------------------------- layers */

TEST(a_copied_file_keeps_its_capabilities)
{
    static const unsigned char cap[20] = {1, 0, 0, 2, 0, 4};
    char buf[64];

    begin();
    make_layers();
    make_file("l/cap", "text");
    EXPECT(setxattr("l/cap", "security.capability", cap, sizeof(cap), 0) == 0);
    EXPECT(overlay("m") == 0);
    EXPECT(chmod("m/cap", 0700) == 0);
    EXPECT(access("u/cap", F_OK) == 0);
    EXPECT(getxattr("m/cap", "security.capability", buf, sizeof(buf)) == sizeof(cap) &&
           memcmp(buf, cap, sizeof(cap)) == 0);
    EXPECT(chown("m/cap", 1, 1) == 0);
    EXPECT_ERR(getxattr("m/cap", "security.capability", buf, sizeof(buf)), ENODATA);
}

/* Without space for a whiteout what is below must not come back. */
TEST(a_removal_that_fails_leaves_all_as_it_was)
{
    char name[32];
    int i;

    begin_with("mode=755,nr_inodes=200");
    make_layers();
    make_file("l/file", "below");
    make_file("l/moved", "below");
    EXPECT(mkdir("l/dir", 0755) == 0);
    make_file("l/dir/hidden", "below");
    make_file("u/file", "above");
    make_file("u/moved", "above");
    EXPECT(overlay("m") == 0);
    EXPECT(unlink("m/dir/hidden") == 0);
    for (i = 0;; i++) {
        snprintf(name, sizeof(name), "full-%d", i);
        if (mknod(name, S_IFREG | 0600, 0))
            break;
    }
    EXPECT(errno == ENOSPC);
    if (unlink("m/file"))
        EXPECT(reads("m/file", "above"));
    else
        EXPECT_ERR(open("m/file", O_RDONLY), ENOENT);
    if (rename("m/moved", "m/elsewhere"))
        EXPECT(reads("m/moved", "above") && access("m/elsewhere", F_OK) < 0);
    else
        EXPECT(access("m/moved", F_OK) < 0 && reads("m/elsewhere", "above"));
    if (rmdir("m/dir") == 0)
        EXPECT(access("m/dir", F_OK) < 0);
    EXPECT(access("m/dir/hidden", F_OK) < 0);
    while (i-- > 0) {
        snprintf(name, sizeof(name), "full-%d", i);
        EXPECT(unlink(name) == 0);
    }
    if (access("m/file", F_OK) == 0)
        EXPECT(unlink("m/file") == 0);
    EXPECT(access("m/file", F_OK) < 0);
    make_file("m/file", "new");
    EXPECT(reads("m/file", "new"));
    if (access("m/moved", F_OK) == 0)
        EXPECT(rename("m/moved", "m/elsewhere") == 0);
    EXPECT(access("m/moved", F_OK) < 0 && reads("m/elsewhere", "above"));
    if (access("m/dir", F_OK) == 0)
        EXPECT(rmdir("m/dir") == 0);
    EXPECT(mkdir("m/dir", 0755) == 0 && access("m/dir/hidden", F_OK) < 0);
}

static long fdinfo_number(int fd, const char *key)
{
    char path[64], buf[2000] = "", *at;
    int info;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    info = open(path, O_RDONLY);
    EXPECT(info >= 0 && read(info, buf, sizeof(buf) - 1) > 0 && (at = strstr(buf, key)));
    close(info);
    return atol(at + strlen(key));
}

/* The first field of mountinfo's line for a mount point. */
static long mountinfo_id(const char *point)
{
    FILE *f = fopen("/proc/self/mountinfo", "r");
    char line[1000], at[300];
    long id, found = -1;

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "%ld %*d %*s %*s %299s", &id, at) == 2 && strcmp(at, point) == 0)
            found = id;
    EXPECT(f && found > 0);
    fclose(f);
    return found;
}

/* How init systems learn what is mounted already. */
TEST(a_place_tells_its_mount)
{
    struct statx sx;
    int fd, pipes[2];

    EXPECT(unshare(CLONE_NEWNS) == 0);
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mkdir("/tmp", 01777);
    EXPECT(mount("place", "/tmp", "tmpfs", 0, NULL) == 0 && mkdir("/tmp/d", 0755) == 0);
    EXPECT(statx(AT_FDCWD, "/tmp", 0, STATX_MNT_ID, &sx) == 0 && sx.stx_mask & STATX_MNT_ID);
    EXPECT(sx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT);
    EXPECT(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
    EXPECT((long)sx.stx_mnt_id == mountinfo_id("/tmp"));
    EXPECT(statx(AT_FDCWD, "/tmp/d", 0, STATX_MNT_ID, &sx) == 0);
    EXPECT(!(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT));
    EXPECT((long)sx.stx_mnt_id == mountinfo_id("/tmp"));
    EXPECT(mount("/tmp/d", "/tmp/d", NULL, MS_BIND, NULL) == 0);
    EXPECT((fd = open("/tmp/d", O_PATH)) >= 0);
    EXPECT(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx) == 0);
    EXPECT(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
    EXPECT(fdinfo_number(fd, "mnt_id:\t") == mountinfo_id("/tmp/d"));
    EXPECT(fdinfo_number(fd, "ino:\t") == (long)sx.stx_ino);
    EXPECT(pipe(pipes) == 0 && fdinfo_number(pipes[0], "mnt_id:\t") > 0);
}

/* A set-id program asks where its user may go, with access(2). */
TEST(access_goes_the_way_of_the_real_user)
{
    begin();
    EXPECT(mkdir("closed", 0700) == 0);
    make_file("closed/f", "x");
    EXPECT(setresuid(1000, 0, 0) == 0);
    EXPECT_ERR(access("closed/f", R_OK), EACCES);
    EXPECT_ERR(access("closed/f", F_OK), EACCES);
    EXPECT(syscall(SYS_faccessat2, AT_FDCWD, "closed/f", R_OK, AT_EACCESS) == 0);
    EXPECT(setresuid(0, 0, 0) == 0 && prctl(PR_SET_KEEPCAPS, 1) == 0);
    EXPECT(setresuid(1000, 1000, 1000) == 0);
    struct {
        uint32_t version;
        int pid;
    } h = {0x20080522, 0};
    struct {
        uint32_t effective, permitted, inheritable;
    } d[2] = {{2, 2, 0}, {0, 0, 0}}; /* CAP_DAC_OVERRIDE */
    EXPECT(syscall(SYS_capset, &h, d) == 0);
    EXPECT(open("closed/f", O_RDONLY) >= 0);
    EXPECT_ERR(access("closed/f", R_OK), EACCES);
}

TEST(access_knows_what_a_mount_forbids)
{
    begin();
    make_file("f", "x");
    EXPECT(chmod("f", 0755) == 0 && mknod("null", S_IFCHR | 0666, makedev(1, 3)) == 0);
    EXPECT(access("f", X_OK | W_OK) == 0);
    EXPECT(mount(NULL, TOP, NULL, MS_REMOUNT | MS_RDONLY | MS_NOEXEC, NULL) == 0);
    EXPECT_ERR(access(TOP "/f", W_OK), EROFS);
    EXPECT_ERR(access(TOP "/f", X_OK), EACCES);
    EXPECT(access(TOP, X_OK) == 0 && access(TOP "/null", W_OK) == 0);
}
