/* SPDX-License-Identifier: MIT
 *
 * Directories that are moved: never into themselves, none is lost, and each move comes to an end,
 * whatever others do there. As root, in a mount namespace of its own.
 */
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mount.h>

#include "place.h"

static void begin(void)
{
    begin_with("mode=755");
}

static void move_in_a_tree(int depth)
{
    int top, deep;

    begin();
    top = open(".", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < depth; i++)
        EXPECT(mkdir("d", 0755) == 0 && chdir("d") == 0);
    deep = open(".", O_RDONLY | O_DIRECTORY);
    EXPECT(mkdir("leaf", 0755) == 0 && fchdir(top) == 0);
    EXPECT_ERR(renameat(top, "d", deep, "below"), EINVAL);
    EXPECT_ERR(renameat(top, "d", deep, "leaf"), EINVAL);
    EXPECT_ERR(renameat(deep, "leaf", top, "d"), ENOTEMPTY);
    EXPECT_ERR(syscall(SYS_renameat2, deep, "leaf", top, "d", 2), EINVAL);
    EXPECT(mkdir("other", 0755) == 0 && renameat(top, "other", deep, "other") == 0);
    EXPECT(renameat(deep, "leaf", top, "leaf") == 0 && rmdir("leaf") == 0);
    EXPECT(unlinkat(deep, "other", AT_REMOVEDIR) == 0);
}

TEST(a_deep_directory_does_not_move_below_itself)
{
    move_in_a_tree(2500);
}

/* So deep that the way up is not gone while others' moves wait. */
TEST(a_very_deep_directory_does_not_move_below_itself)
{
    move_in_a_tree(20000);
}

/* An overlay's upper layer is changed behind its back, so that a name leads to another place there
 * than the overlay knows. */
TEST(no_directory_of_a_layer_comes_to_lie_in_itself)
{
    begin();
    make_layers();
    EXPECT(overlay("m") == 0);
    EXPECT(mkdir("m/a", 0755) == 0 && mkdir("m/b", 0755) == 0 && mkdir("m/a/d", 0755) == 0);
    EXPECT_ERR(access("m/n", F_OK), ENOENT);
    EXPECT(rename("u/b", "u/a/b") == 0);
    EXPECT_ERR(rename("m/a", "m/b/x"), ESTALE);
    EXPECT(rename("u/a/b", "u/b") == 0 && rename("u/a", "u/n") == 0);
    EXPECT_ERR(rename("m/a/d", "m/n"), ESTALE);
    EXPECT(rename("u/n", "u/a") == 0 && rename("m/a", "m/b/x") == 0);
    EXPECT(access("u/b/x/d", F_OK) == 0);
}

#define MOVERS 4
#define MOVES 250
#define NOREPLACE 1
#define EXCHANGE 2

static const char *const moved[] = {"a", "b", "a/c", "b/c", "a/c/d", "b/c/d", "a/d", "b/d"};
static atomic_int there; /* directories that were made and not removed */
static int visited;

static unsigned next_of(unsigned *seed, unsigned n)
{
    *seed = *seed * 1103515245 + 12345;
    return (*seed >> 16) % n;
}

static void move_at_random(unsigned seed, unsigned or_else)
{
    for (int i = 0; i < MOVES; i++) {
        const char *from = moved[next_of(&seed, 8)], *to = moved[next_of(&seed, 8)];

        switch (next_of(&seed, 4)) {
        case 0:
            there += mkdir(from, 0755) == 0;
            break;
        case 1:
            there -= rmdir(from) == 0;
            break;
        default:
            syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to,
                    next_of(&seed, 3) ? or_else : EXCHANGE);
        }
    }
}

static void *keep_all(void *arg)
{
    move_at_random((unsigned)(uintptr_t)arg, NOREPLACE);
    return NULL;
}

static void *replace_some(void *arg)
{
    move_at_random((unsigned)(uintptr_t)arg, 0);
    return NULL;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    visited++;
    return rmdir(path);
}

static void movers_end(void *(*act)(void *))
{
    pthread_t t[MOVERS];
    nlink_t before;
    struct stat st;

    EXPECT(stat(".", &st) == 0);
    before = st.st_nlink;
    there = visited = 0;
    for (uintptr_t i = 0; i < MOVERS; i++)
        EXPECT(pthread_create(&t[i], NULL, act, (void *)(i + 1)) == 0);
    for (int i = 0; i < MOVERS; i++)
        EXPECT(pthread_join(t[i], NULL) == 0);
    EXPECT(nftw("a", remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT);
    EXPECT(nftw("b", remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT);
    EXPECT(stat(".", &st) == 0 && st.st_nlink == before);
    EXPECT(act == replace_some ? visited <= there : visited == there);
}

/* Whichever directories they lock, in whatever order. */
TEST(moves_up_and_down_and_across_at_once_end_and_lose_nothing)
{
    begin();
    movers_end(keep_all);
    movers_end(replace_some);
    make_layers();
    EXPECT(overlay("m") == 0 && chdir("m") == 0);
    movers_end(keep_all);
    movers_end(replace_some);
}

/* ------------------------------------------------------------- among readers */

#define READERS 4 /* of each directory */
#define NAMES 100

static atomic_bool done;
static atomic_int reading;

static void *read_again_and_again(void *arg)
{
    int fd = open(arg, O_RDONLY | O_DIRECTORY);
    char buf[32768];

    EXPECT(fd >= 0);
    reading++;
    while (!done && lseek(fd, 0, SEEK_SET) == 0)
        EXPECT(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0 || errno == ENOENT);
    return NULL;
}

static void make_names(const char *dir)
{
    char name[64];

    EXPECT(mkdir(dir, 0755) == 0);
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "%s/%d", dir, i);
        EXPECT(mknod(name, S_IFREG | 0600, 0) == 0);
    }
}

static void move_among_readers(void)
{
    static char *const dirs[] = {"a", "b"};
    pthread_t t[2 * READERS];

    done = false;
    reading = 0;
    for (int i = 0; i < 2; i++)
        make_names(dirs[i]);
    EXPECT(mkdir("a/d", 0755) == 0);
    for (int i = 0; i < 2 * READERS; i++)
        EXPECT(pthread_create(&t[i], NULL, read_again_and_again, dirs[i % 2]) == 0);
    while (reading < 2 * READERS)
        sched_yield();
    for (int i = 0; i < 5; i++)
        EXPECT(rename("a/d", "b/d") == 0 && rename("b/d", "a/d") == 0);
    done = true;
    for (int i = 0; i < 2 * READERS; i++)
        EXPECT(pthread_join(t[i], NULL) == 0);
}

/* In an overlay, that each reading lists anew, they have it without a pause. */
TEST(a_move_ends_among_readers_of_both_directories)
{
    begin();
    move_among_readers();
    make_layers();
    EXPECT(overlay("m") == 0 && chdir("m") == 0);
    move_among_readers();
}

static void replace_what_is_read(void)
{
    pthread_t t[READERS];

    for (int i = 0; i < 5; i++) {
        done = false;
        reading = 0;
        EXPECT((i > 0 || (mkdir("from", 0755) == 0 && mkdir("to", 0755) == 0)) &&
               mkdir("from/d", 0755) == 0 && mkdir("to/d", 0755) == (i ? -1 : 0));
        for (int k = 0; k < READERS; k++)
            EXPECT(pthread_create(&t[k], NULL, read_again_and_again, "to/d") == 0);
        while (reading < READERS)
            sched_yield();
        EXPECT(rename("from/d", "to/d") == 0);
        done = true;
        for (int k = 0; k < READERS; k++)
            EXPECT(pthread_join(t[k], NULL) == 0);
    }
}

TEST(a_move_ends_among_readers_of_what_it_replaces)
{
    begin();
    replace_what_is_read();
    make_layers();
    EXPECT(overlay("m") == 0 && chdir("m") == 0);
    replace_what_is_read();
}
