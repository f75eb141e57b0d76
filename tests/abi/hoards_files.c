/* SPDX-License-Identifier: MIT
 *
 * Names, watches and mounts by the ten thousand cost a neighbour no time (hoard.h). Run where time
 * counts instructions (tools/test).
 */
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#include "hoard.h"
#include "place.h"

#define FILES 20000
#define WATCHED 8000 /* Linux grants a user 8192 */
#define USERS 80
#define INSTANCES 128 /* of a user */
#define ATTRIBUTES 4000

static void begin(void)
{
    begin_with(NULL);
    EXPECT(chdir("/") == 0);
}

static const char *name_of(int i)
{
    static char name[64];

    snprintf(name, sizeof(name), TOP "/f%d", i);
    return name;
}

static void make_files(int n)
{
    for (int i = 0; i < n; i++)
        EXPECT(mknod(name_of(i), S_IFREG | 0600, 0) == 0);
}

static void unmount_files(void)
{
    begin();
    make_files(FILES);
    EXPECT(umount(TOP) == 0);
}
TEST(unmounting_many_files_lets_others_run)
{
    hoard(unmount_files);
}

static int watch_files(void)
{
    int in = inotify_init1(IN_NONBLOCK);

    begin();
    make_files(WATCHED);
    for (int i = 0; i < WATCHED; i++)
        EXPECT(inotify_add_watch(in, name_of(i), IN_ALL_EVENTS) == i + 1);
    return in;
}

static void close_watches(void)
{
    EXPECT(close(watch_files()) == 0);
}
TEST(closing_many_watches_lets_others_run)
{
    hoard(close_watches);
}

static void unmount_watches(void)
{
    watch_files();
    EXPECT(umount(TOP) == 0);
}
TEST(unmounting_many_watches_lets_others_run)
{
    hoard(unmount_watches);
}

/* As many users as it takes, since each may have but few. */
static void watch_as(uid_t uid, int ready)
{
    EXPECT(setuid(uid) == 0);
    for (int i = 0; i < INSTANCES; i++) {
        int in = inotify_init();

        EXPECT(in >= 0 && inotify_add_watch(in, TOP, IN_CREATE) == 1);
    }
    EXPECT(write(ready, "", 1) == 1);
    for (;;)
        pause();
}

static void tell_many(void)
{
    pid_t pid[USERS];
    int ready[2];
    char c;

    begin();
    EXPECT(pipe(ready) == 0);
    for (uid_t i = 0; i < USERS; i++) {
        pid[i] = fork();
        if (pid[i] == 0)
            watch_as(20000 + i, ready[1]);
        EXPECT(read(ready[0], &c, 1) == 1);
    }
    make_files(3);
    for (int i = 0; i < USERS; i++) /* one by one: each has its turn otherwise */
        EXPECT(kill(pid[i], SIGKILL) == 0 && waitpid(pid[i], NULL, 0) == pid[i]);
}
TEST(telling_many_watchers_lets_others_run)
{
    hoard(tell_many);
}

#define DEEP 5000
#define BESIDE 300

/* Ends at the bottom of a chain of directories, each called d. */
static void go_deep(int steps)
{
    while (steps--)
        EXPECT(mkdir("d", 0755) == 0 && chdir("d") == 0);
}

static const char *short_name(int i)
{
    static char name[8];

    snprintf(name, sizeof(name), "%d", i);
    return name;
}

/* A part without mounts of a file system that has many, all of them deep in another part. */
static void bind_beside_deep_mounts(void)
{
    begin();
    EXPECT(chdir(TOP) == 0 && mkdir("part", 0755) == 0 && mkdir("to", 0755) == 0);
    go_deep(DEEP);
    for (int i = 0; i < BESIDE; i++)
        EXPECT(mkdir(short_name(i), 0755) == 0 &&
               mount(short_name(i), short_name(i), NULL, MS_BIND, NULL) == 0);
    EXPECT(mount(TOP "/part", TOP "/to", NULL, MS_BIND | MS_REC, NULL) == 0);
}
TEST(binding_a_part_beside_many_deep_mounts_lets_others_run)
{
    hoard(bind_beside_deep_mounts);
}

#define LAYERS 50

static void mount_deep_layers(void)
{
    char options[1000] = "upperdir=u,workdir=w,lowerdir=0";

    begin();
    EXPECT(chdir(TOP) == 0);
    go_deep(DEEP);
    make_layers();
    for (int i = 0; i < LAYERS; i++) {
        EXPECT(mkdir(short_name(i), 0755) == 0);
        if (i)
            strcat(strcat(options, ":"), short_name(i));
    }
    EXPECT(mount("layers", "m", "overlay", 0, options) == 0);
}
TEST(mounting_layers_that_lie_deep_lets_others_run)
{
    hoard(mount_deep_layers);
}

static void copy_up_deep(void)
{
    begin();
    EXPECT(chdir(TOP) == 0);
    make_layers();
    EXPECT(chdir("l") == 0);
    go_deep(1000);
    EXPECT(chdir(TOP) == 0 && overlay("m") == 0 && chdir("m") == 0);
    while (chdir("d") == 0)
        ;
    EXPECT(errno == ENOENT && chmod(".", 0700) == 0);
}
TEST(copying_up_a_deep_tree_lets_others_run)
{
    hoard(copy_up_deep);
}

/* As many attributes as a file takes, and each is looked for among them. */
static void hoard_attributes(void)
{
    char name[32], list[65536];
    int n = 0;

    begin();
    make_files(1);
    do
        snprintf(name, sizeof(name), "trusted.%d", n);
    while (setxattr(name_of(0), name, NULL, 0, 0) == 0 && ++n < ATTRIBUTES);
    EXPECT(n == ATTRIBUTES || errno == ENOSPC);
    EXPECT(n >= 256 && listxattr(name_of(0), list, sizeof(list)) > n);
    EXPECT(setxattr(name_of(0), "trusted.1", NULL, 0, XATTR_REPLACE) == 0);
    EXPECT(umount(TOP) == 0);
}
TEST(a_file_with_many_attributes_lets_others_run)
{
    hoard(hoard_attributes);
}
