/* SPDX-License-Identifier: MIT
 *
 * Calls on files while there is no memory for some part of them (starve.h).
 */
#include "starve.h"

#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/xattr.h>

/* ------------------------------------------------------------- files */

static int do_create(void)
{
    return opened(0, open("new", O_CREAT | O_RDWR, 0600));
}
static void undo_file(void)
{
    EXPECT(unlink("new") == 0);
}
static int do_mkdir(void)
{
    return result(mkdir("new", 0700));
}
static void undo_dir(void)
{
    EXPECT(rmdir("new") == 0);
}
static int do_mknod(void)
{
    return result(mknod("new", S_IFIFO | 0600, 0));
}
static int do_symlink(void)
{
    return result(symlink("a target that is longer than what fits into an inode", "new"));
}
static int do_link(void)
{
    return result(link("old", "new"));
}
static int do_rename(void)
{
    return result(rename("old", "new"));
}
static void undo_rename(void)
{
    EXPECT(rename("new", "old") == 0);
}
static int do_rename_dir(void)
{
    return result(rename("dir", "other"));
}
static void undo_rename_dir(void)
{
    EXPECT(rename("other", "dir") == 0);
}
static int do_tmpfile(void) /* Linux's overlay has it since 6.3 */
{
    int err = opened(0, open(".", O_TMPFILE | O_RDWR, 0600));

    return err == EOPNOTSUPP ? 0 : err;
}
static int do_xattr(void)
{
    return result(setxattr("old", "trusted.note", "value", 5, XATTR_CREATE));
}
static void undo_xattr(void)
{
    EXPECT(removexattr("old", "trusted.note") == 0);
}
static int do_write(void)
{
    int err = opened(0, open("old", O_RDWR));

    return err ? err : result(pwrite(fd[0], "text", 4, 1 << 20));
}
static void undo_write(void)
{
    EXPECT(ftruncate(fd[0], 0) == 0);
}
static int do_lock(void)
{
    int err = opened(0, open("old", O_RDWR));

    return err ? err : result(flock(fd[0], LOCK_EX | LOCK_NB));
}
static int do_record_lock(void)
{
    struct flock fl = {.l_type = F_WRLCK, .l_start = 1, .l_len = 2};
    int err = opened(0, open("old", O_RDWR));

    return err ? err : result(fcntl(fd[0], F_SETLK, &fl));
}
static int do_unlink(void)
{
    return result(unlink("gone"));
}
static void undo_unlink(void)
{
    EXPECT(mknod("gone", S_IFREG | 0600, 0) == 0);
}
static int do_rmdir(void)
{
    return result(rmdir("gonedir"));
}
static void undo_rmdir(void)
{
    EXPECT(mkdir("gonedir", 0700) == 0);
}
static int do_list(void)
{
    char buf[512];
    int err = opened(0, open(".", O_RDONLY | O_DIRECTORY));

    return err ? err : result(syscall(SYS_getdents64, fd[0], buf, sizeof(buf)));
}
static int do_watch(void)
{
    int err = opened(0, inotify_init1(0));

    return err ? err : result(inotify_add_watch(fd[0], "old", IN_ALL_EVENTS));
}
static int do_open_fifo(void)
{
    return opened(0, open("fifo", O_RDWR));
}

static const struct call on_files[] = {
    {"create", do_create, undo_file},
    {"mkdir", do_mkdir, undo_dir},
    {"mknod", do_mknod, undo_file},
    {"symlink", do_symlink, undo_file},
    {"link", do_link, undo_file},
    {"rename", do_rename, undo_rename},
    {"rename of a directory", do_rename_dir, undo_rename_dir},
    {"O_TMPFILE", do_tmpfile, NULL},
    {"setxattr", do_xattr, undo_xattr},
    {"write", do_write, undo_write},
    {"flock", do_lock, NULL},
    {"F_SETLK", do_record_lock, NULL},
    {"unlink", do_unlink, undo_unlink},
    {"rmdir", do_rmdir, undo_rmdir},
    {"getdents", do_list, NULL},
    {"inotify_add_watch", do_watch, NULL},
    {"open of a FIFO", do_open_fifo, NULL},
    {NULL, NULL, NULL},
};

static void make_files(void)
{
    EXPECT(mknod("old", S_IFREG | 0600, 0) == 0 && mknod("gone", S_IFREG | 0600, 0) == 0);
    EXPECT(mkdir("dir", 0700) == 0 && mkdir("gonedir", 0700) == 0);
    EXPECT(mkfifo("fifo", 0600) == 0);
}

TEST(calls_on_files_are_done_or_not_done)
{
    begin_with("mode=755");
    make_files();
    starve_all(on_files);
}

TEST(calls_on_an_overlays_files_are_done_or_not_done)
{
    begin_with("mode=755");
    make_layers();
    EXPECT(chdir("u") == 0);
    make_files();
    EXPECT(chdir("..") == 0 && overlay("m") == 0 && chdir("m") == 0);
    starve_all(on_files);
}

/* What a lower layer has, once: each try is on a file of its own. */
static int lower_nr;

static const char *lower_name(const char *kind)
{
    static char name[32];

    snprintf(name, sizeof(name), "%s%d", kind, lower_nr);
    return name;
}
static int do_copy_up(void)
{
    return opened(0, open(lower_name("file"), O_WRONLY));
}
static int do_chmod_up(void)
{
    return result(chmod(lower_name("dir"), 0711));
}
static int do_cover(void)
{
    return result(unlink(lower_name("file")));
}
static int do_cover_dir(void)
{
    return result(rmdir(lower_name("dir")));
}
static int do_move(void)
{
    return result(rename(lower_name("file"), "moved"));
}
static int do_make_over(void)
{
    return result(mkdir(lower_name("hole"), 0700));
}

static const struct call on_lower_files[] = {
    {"copy-up", do_copy_up, NULL},
    {"copy-up of a directory", do_chmod_up, NULL},
    {"unlink of a lower file", do_cover, NULL},
    {"rmdir of a lower directory", do_cover_dir, NULL},
    {"rename of a lower file", do_move, NULL},
    {"mkdir over a whiteout", do_make_over, NULL},
    {NULL, NULL, NULL},
};

/* Layers that are new for each try. */
static void try_on_layers(const struct call *c, unsigned n)
{
    EXPECT(mount("layers", "m", "overlay", 0, "lowerdir=l,upperdir=u,workdir=w") == 0);
    EXPECT(chdir("m") == 0);
    lower_nr = (int)n;
    try_once(c, n);
}

static void make_lower_files(int n)
{
    char name[32];

    for (int i = 1; i <= n; i++) {
        snprintf(name, sizeof(name), "l/file%d", i);
        EXPECT(mknod(name, S_IFREG | 0600, 0) == 0 && setxattr(name, "trusted.x", "y", 1, 0) == 0);
        snprintf(name, sizeof(name), "l/dir%d", i);
        EXPECT(mkdir(name, 0700) == 0);
        snprintf(name, sizeof(name), "l/hole%d", i);
        EXPECT(mkdir(name, 0700) == 0);
        name[0] = 'u';
        EXPECT(mknod(name, S_IFCHR, 0) == 0);
    }
}

#define LOWER_FILES 100

TEST(calls_on_lower_layers_are_done_or_not_done)
{
    int status;

    begin_with("mode=755");
    console = open("/proc/bothy/console", O_RDWR | O_CLOEXEC);
    for (const struct call *c = on_lower_files; c->name; c++) {
        EXPECT(mkdir("t", 0700) == 0 && mount("t", "t", "tmpfs", 0, "mode=755") == 0);
        EXPECT(chdir("t") == 0);
        make_layers();
        make_lower_files(LOWER_FILES);
        status = STARVED << 8;
        for (unsigned n = 1; n <= LOWER_FILES && go_on(c, n - 1, status); n++) {
            pid_t pid = fork();

            if (pid == 0) {
                EXPECT(unshare(CLONE_NEWNS) == 0);
                try_on_layers(c, n);
            }
            EXPECT(waitpid(pid, &status, 0) == pid);
        }
        EXPECT(status == FED << 8 && chdir("..") == 0);
        EXPECT(umount2("t", MNT_DETACH) == 0 && rmdir("t") == 0);
    }
}
