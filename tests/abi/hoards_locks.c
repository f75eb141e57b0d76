/* SPDX-License-Identifier: MIT
 *
 * Locks that all programs share are not held by one of a thousand that wait for its processor
 * (hoard_beside.h): that of moves in a file system, in which the layers of all containers may lie,
 * and that of epolls which watch epolls. Run where time counts instructions (tools/test).
 */
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mount.h>

#include "hoard_beside.h"
#include "place.h"

static int top, away, near_by; /* directories of one file system */

/* In a file system of our own, where a file is moved between two directories by each call. */
static void begin(void)
{
    begin_with(NULL);
    EXPECT(chdir(TOP) == 0 && mkdir("away", 0755) == 0 && mkdir("near", 0755) == 0);
    top = open(".", O_RDONLY | O_DIRECTORY);
    away = open("away", O_RDONLY | O_DIRECTORY);
    near_by = open("near", O_RDONLY | O_DIRECTORY);
    EXPECT(mknod("near/file", S_IFREG | 0600, 0) == 0);
}

static void move_call(void)
{
    EXPECT(renameat(near_by, "file", away, "file") == 0);
    EXPECT(renameat(away, "file", near_by, "file") == 0);
}

static void move_up_and_down(void)
{
    EXPECT(renameat(AT_FDCWD, "f", top, "f") == 0 && renameat(top, "f", AT_FDCWD, "f") == 0);
}

TEST(a_move_does_not_wait_for_one_in_a_deep_tree)
{
    void (*const holder)(void) = move_up_and_down;

    begin();
    for (int i = 0; i < 5000; i++)
        EXPECT(mkdir("d", 0755) == 0 && chdir("d") == 0);
    EXPECT(mknod("f", S_IFREG | 0600, 0) == 0);
    EXPECT(beside_many(&holder, 1, move_call) < bound_us() / 2);
}

/* A user may have so many. */
static void watch_as_many_may(const char *dir)
{
    for (int i = 0; i < 120; i++) {
        int in = inotify_init1(IN_NONBLOCK);

        EXPECT(in >= 0 && inotify_add_watch(in, dir, IN_MOVE) == 1);
    }
}

static void move_watched(void)
{
    EXPECT(rename("w/f", "v/f") == 0 && rename("v/f", "w/f") == 0);
}

TEST(a_move_does_not_wait_for_one_that_many_watch)
{
    void (*const holder)(void) = move_watched;

    begin();
    EXPECT(mkdir("w", 0755) == 0 && mkdir("v", 0755) == 0);
    EXPECT(mknod("w/f", S_IFREG | 0600, 0) == 0);
    watch_as_many_may("w");
    EXPECT(beside_many(&holder, 1, move_call) < bound_us() / 2);
}

static void rename_watched(void)
{
    EXPECT(rename("w/g", "w/h") == 0 && rename("w/h", "w/g") == 0);
}

/* The directory is locked while its watchers are told. */
TEST(a_move_does_not_wait_for_one_that_waits_for_its_directory)
{
    void (*const holders[])(void) = {rename_watched, move_watched};

    begin();
    EXPECT(mkdir("w", 0755) == 0 && mkdir("v", 0755) == 0);
    EXPECT(mknod("w/f", S_IFREG | 0600, 0) == 0 && mknod("w/g", S_IFREG | 0600, 0) == 0);
    watch_as_many_may("w");
    EXPECT(beside_many(holders, 2, move_call) < bound_us() / 2);
}

#define COVERED 600

/* Once: what is replaced has a whiteout for each name that was below. */
static void replace_covered(void)
{
    EXPECT(rename("m/empty/d", "m/covered") == 0);
    for (;;)
        pause();
}

TEST(a_move_does_not_wait_for_one_that_replaces_much_that_was_removed)
{
    void (*const holder)(void) = replace_covered;
    char name[64];

    begin();
    make_layers();
    EXPECT(mkdir("l/covered", 0755) == 0);
    for (int i = 0; i < COVERED; i++) {
        snprintf(name, sizeof(name), "l/covered/%d", i);
        EXPECT(mknod(name, S_IFREG | 0600, 0) == 0);
    }
    EXPECT(overlay("m") == 0);
    for (int i = 0; i < COVERED; i++) {
        snprintf(name, sizeof(name), "m/covered/%d", i);
        EXPECT(unlink(name) == 0);
    }
    EXPECT(mkdir("m/empty", 0755) == 0 && mkdir("m/empty/d", 0755) == 0);
    EXPECT(beside_many(&holder, 1, move_call) < bound_us() / 2);
}

static int large, outer, small;

static void watch_once(int ep, int inner)
{
    struct epoll_event ev = {.events = EPOLLIN};

    EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD, inner, &ev) == 0);
    EXPECT(epoll_ctl(ep, EPOLL_CTL_DEL, inner, NULL) == 0);
}

static void watch_large(void)
{
    watch_once(outer, large);
}

static void watch_small(void)
{
    int ep = epoll_create1(0);

    watch_once(ep, small);
    close(ep);
}

TEST(an_epoll_of_an_epoll_does_not_wait_for_one_of_many)
{
    struct epoll_event ev = {.events = EPOLLIN};
    void (*const holder)(void) = watch_large;

    large = epoll_create1(0);
    outer = epoll_create1(0);
    small = epoll_create1(0);
    for (int i = 0; i < 500; i++)
        EXPECT(epoll_ctl(large, EPOLL_CTL_ADD, epoll_create1(0), &ev) == 0);
    EXPECT(beside_many(&holder, 1, watch_small) < bound_us() / 2);
}
