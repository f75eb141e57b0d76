// SPDX-License-Identifier: MIT
// Copies of trees: whole ones, and while others change what is copied into.
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/str.h"
#include "lib/tree_copy.h"

/* Another container's part: it exchanges a directory for a link as soon as it is there. */
static const char *exchange_for; /* what the link says; NULL: nothing is exchanged */

int __real_mkdirat(int dir, const char *name, mode_t mode);
int __wrap_mkdirat(int dir, const char *name, mode_t mode);
int __wrap_mkdirat(int dir, const char *name, mode_t mode)
{
    int rc = __real_mkdirat(dir, name, mode);

    if (rc == 0 && exchange_for && !strcmp(name, "exchanged"))
        rc = renameat(dir, name, dir, "away") < 0 ? -1 : symlinkat(exchange_for, dir, name);
    return rc;
}

struct trees {
    char dir[40];
    int from, to, outside;
};

static bool trees_make(struct trees *t)
{
    static const char *const names[] = {"from", "to", "outside"};
    int top, *fds[] = {&t->from, &t->to, &t->outside};

    strcpy(t->dir, "/dev/shm/bothy-trees-XXXXXX");
    if (!mkdtemp(t->dir))
        return false;
    top = open(t->dir, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 3; i++) {
        mkdirat(top, names[i], 0755);
        *fds[i] = openat(top, names[i], O_RDONLY | O_DIRECTORY);
    }
    close(top);
    return t->from >= 0 && t->to >= 0 && t->outside >= 0;
}

static bool trees_drop(struct trees *t)
{
    close(t->from);
    close(t->to);
    close(t->outside);
    return tree_remove(AT_FDCWD, t->dir) == 0;
}

static int trees_fill(const struct trees *t)
{
    char *to = str_fmt("%s/to", t->dir);
    int err = tree_fill(t->from, to);

    free(to);
    return err;
}

static bool trees_file(int dir, const char *name, const char *text, off_t at)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT, 0600);
    bool ok = fd >= 0 && pwrite(fd, text, strlen(text), at) == (ssize_t)strlen(text);

    close(fd);
    return ok;
}

static struct stat trees_stat(int dir, const char *name)
{
    struct stat st = {0};

    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
    return st;
}

TEST(a_filled_volume_has_all_that_the_image_has)
{
    struct timespec times[2] = {{1000, 5}, {2000, 7}};
    struct trees t;
    struct stat a, b;
    char text[16] = "";

    EXPECT(trees_make(&t));
    mkdirat(t.from, "d", 0755);
    EXPECT(trees_file(t.from, "d/one", "x", 3 << 20));
    EXPECT(linkat(t.from, "d/one", t.from, "other", 0) == 0);
    EXPECT(symlinkat("d/one", t.from, "link") == 0 && mkfifoat(t.from, "d/fifo", 0) == 0);
    fchmodat(t.from, "d/fifo", 0666, 0);
    fchmodat(t.from, "d/one", 04751, 0);
    utimensat(t.from, "d", times, 0);
    fchmod(t.from, 01777);
    EXPECT(trees_fill(&t) == 0);
    a = trees_stat(t.to, "d/one");
    b = trees_stat(t.to, "other");
    EXPECT(a.st_ino == b.st_ino && a.st_mode == (S_IFREG | 04751) && a.st_size == (3 << 20) + 1);
    EXPECT(a.st_blocks * 512 < 1 << 20); /* the hole is one */
    a = trees_stat(t.to, "d");
    EXPECT(a.st_mtim.tv_sec == 2000 && a.st_mtim.tv_nsec == 7 && a.st_mode == (S_IFDIR | 0755));
    EXPECT(trees_stat(t.to, "d/fifo").st_mode == (S_IFIFO | 0666));
    EXPECT(readlinkat(t.to, "link", text, sizeof(text)) == 5 && !memcmp(text, "d/one", 5));
    EXPECT(trees_stat(t.to, ".").st_mode == (S_IFDIR | 01777));
    EXPECT(trees_drop(&t));
}

TEST(a_filled_volume_keeps_file_capabilities)
{
    /* version 2, effective, CAP_NET_RAW */
    static const uint8_t caps[20] = {1, 0, 0, 2, 0, 0x20};
    uint8_t got[20] = {0};
    struct trees t;
    char *path;

    if (geteuid()) /* neither owners nor capabilities can be given */
        return;
    EXPECT(trees_make(&t));
    EXPECT(trees_file(t.from, "ping", "x", 0));
    EXPECT(fchownat(t.from, "ping", 1000, 1000, 0) == 0);
    path = str_fmt("%s/from/ping", t.dir);
    EXPECT(setxattr(path, "security.capability", caps, sizeof(caps), 0) == 0);
    free(path);
    EXPECT(trees_fill(&t) == 0);
    path = str_fmt("%s/to/ping", t.dir);
    EXPECT(getxattr(path, "security.capability", got, sizeof(got)) == (ssize_t)sizeof(got));
    EXPECT(!memcmp(got, caps, sizeof(caps)) && trees_stat(t.to, "ping").st_uid == 1000);
    free(path);
    EXPECT(trees_drop(&t));
}

TEST(a_volume_that_others_change_leads_no_copy_out_of_it)
{
    struct trees t;
    struct stat before, after;
    int err;

    EXPECT(trees_make(&t));
    mkdirat(t.from, "exchanged", 0777);
    fchmodat(t.from, "exchanged", 0777, 0);
    EXPECT(trees_file(t.from, "exchanged/file", "x", 0));
    before = trees_stat(t.outside, ".");
    exchange_for = "../outside";
    err = trees_fill(&t);
    exchange_for = NULL;
    after = trees_stat(t.outside, ".");
    EXPECT(err == -ELOOP);
    EXPECT(faccessat(t.outside, "file", F_OK, 0) < 0);
    EXPECT(before.st_mode == after.st_mode && after.st_mode == (S_IFDIR | 0755));
    EXPECT(trees_drop(&t));
}

TEST(a_volume_that_holds_something_is_left_alone)
{
    struct trees t;

    EXPECT(trees_make(&t));
    EXPECT(trees_file(t.from, "new", "x", 0) && trees_file(t.to, "old", "y", 0));
    EXPECT(trees_fill(&t) == 0);
    EXPECT(faccessat(t.to, "new", F_OK, 0) < 0);
    EXPECT(trees_drop(&t));
}

/* An image of a few bytes may hold a file of a terabyte, which reading would take minutes. */
TEST(a_file_s_holes_are_not_read)
{
    const off_t tib = (off_t)1 << 40;
    struct trees t;
    struct stat st;
    char data[8] = {0};
    int fd;

    EXPECT(trees_make(&t));
    fd = openat(t.from, "sparse", O_RDWR | O_CREAT, 0644);
    EXPECT(pwrite(fd, "begin", 5, 0) == 5 && pwrite(fd, "middle", 6, tib / 2 + 3) == 6);
    EXPECT(ftruncate(fd, tib) == 0);
    close(fd);
    EXPECT(trees_fill(&t) == 0);
    fd = openat(t.to, "sparse", O_RDONLY);
    EXPECT(fstat(fd, &st) == 0 && st.st_size == tib && st.st_blocks <= 512);
    EXPECT(pread(fd, data, 5, 0) == 5 && !memcmp(data, "begin", 5));
    EXPECT(pread(fd, data, 6, tib / 2 + 3) == 6 && !memcmp(data, "middle", 6));
    close(fd);
    EXPECT(trees_drop(&t));
}
