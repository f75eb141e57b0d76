/* SPDX-License-Identifier: MIT
 *
 * File names and contents. KIND is tmpfs, or overlay: over a lower tree that the same operations
 * made, mounted again at the end for the listing of all that is there.
 *
 * The work is done three folders deep, as far up as a path of three components can lead.
 */
#include "differential.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define TOP "/tmp/differential"
#define DEEP "1/2/3"
enum { DESCRIPTORS = 8, PATH_SIZE = 128, BUFFER = 70000, LOWER_OPERATIONS = 600 };

static int files[DESCRIPTORS];
static char buffer[BUFFER];
static bool is_overlay;

/* --- choices --- */

static const char *component(void)
{
    static const char *const names[] = {"a",   "b", "c",  "d",    "e",
                                        "lnk", ".", "..", "loop", "a.long.name.that.is.long"};

    return names[below(one_in(3) ? COUNT(names) : 6)];
}

/* Up to four of them are in use at once. Says it. */
static const char *path(void)
{
    static char paths[4][PATH_SIZE];
    static unsigned next;
    char *p = paths[next++ % 4];

    *p = 0;
    if (!one_in(60)) { /* the empty path is one too */
        for (uint32_t n = below(3) + 1; n; n--) {
            strcat(p, component());
            strcat(p, n > 1 ? "/" : "");
        }
        strcat(p, one_in(12) ? "/" : "");
    }
    say(" '%s'", p);
    return p;
}

/* Which descriptor; says it. */
static unsigned which(void)
{
    unsigned n = below(DESCRIPTORS);

    say(" fd%u", n);
    return n;
}

static long offset(void)
{
    static const uint32_t ranges[] = {1, 100, 5000, 70000};
    uint32_t kind = below(6);
    long o = kind < 4 ? below(ranges[kind]) : kind == 4 ? 4096 * below(20) : -(long)below(100);

    say(" at %ld", o);
    return o;
}

static size_t length(void)
{
    static const uint32_t ranges[] = {10, 5000, 20000};
    uint32_t kind = below(4);
    size_t n = kind < 3 ? below(ranges[kind]) : 4096 * below(4);

    say(" of %zu", n);
    return n;
}

/* No sticky bit: in such a folder opening another's file or pipe with O_CREAT depends on how the
 * peer's fs.protected_* are set. */
static mode_t mode(void)
{
    mode_t m = below(010000) & ~S_ISVTX;

    say(" %o", m);
    return m;
}

/* Always without blocking: some of the names are pipes. */
static int open_flags(void)
{
    static const struct {
        uint32_t one_in;
        int flag;
    } choices[] = {{2, O_CREAT},    {6, O_EXCL},      {5, O_TRUNC}, {5, O_APPEND},
                   {6, O_NOFOLLOW}, {6, O_DIRECTORY}, {20, O_PATH}};
    int flags = (int)below(3) | O_NONBLOCK;

    for (size_t i = 0; i < COUNT(choices); i++)
        flags |= one_in(choices[i].one_in) ? choices[i].flag : 0;
    if (one_in(30) && !is_overlay) /* an overlay of Linux 6.1 has no O_TMPFILE */
        flags = (flags & ~O_CREAT & ~O_EXCL) | O_TMPFILE;
    say(" %x", flags);
    return flags;
}

/* Folders' sizes and links are the file system's own business. */
static void say_stat(int result, const struct stat *s)
{
    say_result(result);
    if (result)
        return;
    say(" %o by %u:%u", s->st_mode, s->st_uid, s->st_gid);
    if (!S_ISDIR(s->st_mode))
        say(" links %lu size %ld", (unsigned long)s->st_nlink, (long)s->st_size);
}

/* --- descriptors --- */

OPERATION(open, 4)
{
    unsigned n = which();
    const char *p = path();
    int flags = open_flags();
    mode_t m = one_in(8) ? below(01000) : 0644;

    close(files[n]);
    errno = 0;
    files[n] = open(p, flags, m);
    say_result(files[n] < 0 ? -1 : 0);
}

OPERATION(close, 1)
{
    unsigned n = which();

    RESULT(close(files[n]));
    files[n] = -1;
}

OPERATION(read, 2)
{
    int fd = files[which()];
    size_t n = length();

    memset(buffer, 0, n);
    RESULT(read(fd, buffer, n));
    say(" %x", hash(buffer, n));
}

OPERATION(write, 2)
{
    int fd = files[which()];
    size_t n = length();

    RESULT(write(fd, some_data(n), n));
}

OPERATION(pread, 1)
{
    int fd = files[which()];
    size_t n = length();
    long at = offset();

    memset(buffer, 0, n);
    RESULT(pread(fd, buffer, n, at));
    say(" %x", hash(buffer, n));
}

OPERATION(pwrite, 1)
{
    int fd = files[which()];
    size_t n = length();
    long at = offset();

    RESULT(pwrite(fd, some_data(n), n, at));
}

OPERATION(preadv, 1)
{
    int fd = files[which()];
    struct iovec parts[] = {
        {buffer, below(100)}, {buffer + 200, below(9000)}, {buffer + 10000, below(10)}};

    memset(buffer, 0, 20000);
    RESULT(preadv(fd, parts, COUNT(parts), below(10000)));
    say(" %x", hash(buffer, 20000));
}

/* SEEK_DATA and SEEK_HOLE differ by the size of a file system's blocks. */
OPERATION(lseek, 1)
{
    static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END, 5};
    int fd = files[which()], whence = ONE_OF(whences);

    say(" from %d", whence);
    RESULT(lseek(fd, offset(), whence));
}

OPERATION(ftruncate, 1)
{
    int fd = files[which()];

    RESULT(ftruncate(fd, offset()));
}

OPERATION(fallocate, 1)
{
    static const int modes[] = {0, 0, FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
    int fd = files[which()], how = ONE_OF(modes);
    long at = offset(), n = offset();

    say(" mode %d", how);
    RESULT(fallocate(fd, how, at, n));
}

OPERATION(fstat, 1)
{
    struct stat s;
    int fd = files[which()];

    errno = 0;
    say_stat(fstat(fd, &s), &s);
}

OPERATION(fchmod, 1)
{
    int fd = files[which()];

    RESULT(fchmod(fd, mode()));
}

/* What a mapping shows of a file and writes to it, up to the file's end. */
OPERATION(mmap, 1)
{
    int fd = files[which()], prot = PROT_READ | (one_in(2) ? PROT_WRITE : 0);
    size_t n = 1 + below(20000);
    long at = 4096 * below(4);
    int share = one_in(2) ? MAP_SHARED : MAP_PRIVATE;
    struct stat s = {0};

    say(" of %zu at %ld prot %d share %d", n, at, prot, share);
    errno = 0;
    char *m = mmap(NULL, n, prot, share, fd, at);
    say_result(m == MAP_FAILED ? -1 : 0);
    if (m == MAP_FAILED)
        return;
    fstat(fd, &s);
    long inside = s.st_size - at < (long)n ? s.st_size - at : (long)n;
    if (inside > 0) {
        say(" %x", hash(m, inside));
        if (prot & PROT_WRITE)
            memcpy(m, some_data(inside), below(inside + 1));
    }
    munmap(m, n);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

OPERATION(list, 2)
{
    int fd = files[which()];
    struct dirent **entries;
    char name[32];

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    errno = 0;
    int n = scandir(name, &entries, NULL, by_name);
    say_result(n);
    for (int i = 0; i < n; i++) {
        say(" %s:%d", entries[i]->d_name, entries[i]->d_type);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

/* --- names --- */

OPERATION(truncate, 1)
{
    const char *p = path();

    RESULT(truncate(p, offset()));
}

OPERATION(mkdir, 1)
{
    RESULT(mkdir(path(), 0755));
}

OPERATION(rmdir, 1)
{
    RESULT(rmdir(path()));
}

OPERATION(unlink, 1)
{
    RESULT(unlink(path()));
}

OPERATION(rename, 2)
{
    const char *from = path(), *to = path();

    RESULT(rename(from, to));
}

OPERATION(renameat2, 1)
{
    const char *from = path(), *to = path();
    unsigned flags = below(4);

    say(" flags %u", flags);
    RESULT(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags));
}

OPERATION(link, 1)
{
    const char *from = path(), *to = path();

    RESULT(link(from, to));
}

OPERATION(symlink, 1)
{
    const char *from = path(), *to = path();

    RESULT(symlink(from, to));
}

OPERATION(readlink, 1)
{
    const char *p = path();

    memset(buffer, 0, PATH_SIZE);
    RESULT(readlink(p, buffer, one_in(2) ? 3 : PATH_SIZE - 1));
    say(" '%s'", buffer);
}

OPERATION(mknod, 1)
{
    const char *p = path();

    RESULT(mknod(p, (one_in(2) ? S_IFIFO : S_IFSOCK) | 0600, 0));
}

OPERATION(stat, 2)
{
    struct stat s;
    const char *p = path();
    int flags = one_in(2) ? AT_SYMLINK_NOFOLLOW : 0;

    say(" flags %x", flags);
    errno = 0;
    say_stat(fstatat(AT_FDCWD, p, &s, flags), &s);
}

OPERATION(chmod, 1)
{
    const char *p = path();

    RESULT(chmod(p, mode()));
}

OPERATION(lchown, 1)
{
    const char *p = path();
    uid_t uid = 1000 * below(3);

    say(" %u", uid);
    RESULT(lchown(p, uid, one_in(2) ? uid : (gid_t)-1));
}

OPERATION(access, 1)
{
    const char *p = path();
    int how = (int)below(8);

    say(" %d", how);
    RESULT(access(p, how));
}

OPERATION(utimensat, 1)
{
    const char *p = path();
    int flags = one_in(2) ? AT_SYMLINK_NOFOLLOW : 0;
    struct timespec times[2] = {{below(1000000), below(1000)}, {below(1000000), below(1000)}};
    struct stat s;

    RESULT(utimensat(AT_FDCWD, p, times, flags));
    if (fstatat(AT_FDCWD, p, &s, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(s.st_mode))
        say(" %ld.%ld", (long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
}

OPERATION(chdir, 1)
{
    int here = open(".", O_RDONLY | O_DIRECTORY);
    char name[PATH_MAX];
    struct stat s;

    RESULT(chdir(path()));
    if (getcwd(name, sizeof(name))) {
        errno = 0;
        say_stat(stat("..", &s), &s);
    }
    if (here < 0 || fchdir(here))
        die("fchdir");
    close(here);
}

/* ------------------------------------------------------------- extended attributes */
/* Trusted ones, which every file system here has; and an unknown kind, though not on an overlay,
 * where Linux copies a file up before it finds that out. */

static const char *attribute(void)
{
    static const char *const names[] = {"trusted.x0", "trusted.x1", "trusted.x2",
                                        "trusted.x3", "trusted.x4", "bad.x"};
    const char *name = names[below(COUNT(names) - is_overlay)];

    say(" %s", name);
    return name;
}

OPERATION(lsetxattr, 1)
{
    const char *p = path(), *name = attribute();
    size_t n = below(50);
    int flags = (int)below(3);

    say(" of %zu flags %d", n, flags);
    RESULT(lsetxattr(p, name, some_data(n), n, flags));
}

OPERATION(lgetxattr, 1)
{
    const char *p = path(), *name = attribute();

    memset(buffer, 0, 100);
    RESULT(lgetxattr(p, name, buffer, one_in(2) ? 5 : 100));
    say(" %x", hash(buffer, 100));
}

OPERATION(lremovexattr, 1)
{
    const char *p = path();

    RESULT(lremovexattr(p, attribute()));
}

/* --- the place of work --- */

static void make(const char *name)
{
    if (mkdir(name, 0755) && errno != EEXIST)
        die(name);
}

static void make_deep(const char *top)
{
    if (chdir(top))
        die(top);
    make("1");
    make("1/2");
    make(DEEP);
}

static void overlay_mount(void)
{
    if (mount("overlay", TOP "/merged", "overlay", 0,
              "lowerdir=" TOP "/lower,upperdir=" TOP "/upper,workdir=" TOP "/work"))
        die("overlay");
}

static void overlay_unmount(void)
{
    for (int i = 0; i < DESCRIPTORS; i++) {
        close(files[i]);
        files[i] = -1;
    }
    if (chdir("/") || umount(TOP "/merged"))
        die("umount");
}

/* The lower tree is the work of a child, so that none of its descriptors stay. */
static void lower_fill(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        make_deep(TOP "/lower");
        if (chdir(DEEP))
            die(DEEP);
        operations_unseen(LOWER_OPERATIONS);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || status)
        die("lower tree");
}

void program_begin(unsigned seed, const char *kind)
{
    umask(022);
    memset(files, -1, sizeof(files));
    is_overlay = strcmp(kind, "overlay") == 0;
    umount2(TOP, MNT_DETACH); /* the last seed's */
    make(TOP);
    if (mount("tmpfs", TOP, "tmpfs", 0, "mode=755"))
        die("tmpfs");
    make(TOP "/merged");
    if (is_overlay) {
        make(TOP "/lower");
        make(TOP "/upper");
        make(TOP "/work");
        lower_fill();
        overlay_mount();
    }
    make_deep(TOP "/merged");
    if (chdir(DEEP))
        die(DEEP);
}

static void say_content(const char *name)
{
    int fd = open(name, O_RDONLY);
    uint32_t sum = 0;
    ssize_t n;

    while ((n = read(fd, buffer, sizeof(buffer))) > 0)
        sum = sum * 31 + hash(buffer, n);
    say(" %x", sum);
    close(fd);
}

/* Name by name, sorted, with what stat says and a hash of the content. */
static void tree_say(const char *name)
{
    struct dirent **entries;
    struct stat s;
    char child[PATH_MAX];

    if (lstat(name, &s))
        die(name);
    say("\n%s", name);
    say_stat(0, &s);
    if (S_ISREG(s.st_mode))
        say_content(name);
    int n = S_ISDIR(s.st_mode) ? scandir(name, &entries, NULL, by_name) : 0;
    for (int i = 0; i < n; i++) {
        const char *d = entries[i]->d_name;
        snprintf(child, sizeof(child), "%s/%s", name, d);
        if (strcmp(d, ".") != 0 && strcmp(d, "..") != 0)
            tree_say(child);
        free(entries[i]);
    }
    if (S_ISDIR(s.st_mode) && n >= 0)
        free(entries);
}

void program_end(void)
{
    if (is_overlay) {
        overlay_unmount();
        overlay_mount();
    }
    if (chdir(TOP "/merged"))
        die("merged");
    tree_say(".");
    if (is_overlay)
        overlay_unmount();
}
