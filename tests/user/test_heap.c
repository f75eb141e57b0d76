// SPDX-License-Identifier: MIT
// The stock of freed blocks in front of an allocator, which is this host's here.
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/heap.h"
#include "harness.h"

static int taken, given;

void *__real_malloc(size_t size)
{
    taken++;
    return malloc(size);
}

void *__real_calloc(size_t count, size_t size)
{
    taken++;
    return calloc(count, size);
}

void *__real_realloc(void *old, size_t size)
{
    return realloc(old, size);
}

void __real_free(void *block)
{
    given += block != NULL;
    free(block);
}

TEST(heap_has_a_freed_block_again)
{
    void *block = __wrap_malloc(100);
    int before = taken;

    __wrap_free(block);
    EXPECT(__wrap_malloc(97) == block && taken == before);
    __wrap_free(block);
    block = __wrap_malloc(40); /* another class */
    EXPECT(taken == before + 1);
    __wrap_free(block);
}

TEST(heap_block_has_what_was_asked_for_at_any_size)
{
    char *grown = NULL;

    for (size_t size = 0; size < 10000; size++) {
        char *block = __wrap_malloc(size);

        EXPECT(malloc_usable_size(block) >= size);
        memset(block, 1, size);
        grown = __wrap_realloc(grown, size + 1);
        grown[size] = (char)size;
        __wrap_free(block);
    }
    for (size_t size = 0; size < 10000; size++)
        EXPECT(grown[size] == (char)size);
    grown = __wrap_realloc(grown, 10);
    EXPECT(grown[9] == 9 && malloc_usable_size(grown) < 1000);
    __wrap_free(grown);
    __wrap_free(NULL);
}

TEST(heap_clears_what_calloc_has_again)
{
    unsigned char *block = __wrap_malloc(300), all = 0;

    memset(block, 0xff, 300);
    __wrap_free(block);
    EXPECT(__wrap_calloc(3, 100) == block);
    for (int i = 0; i < 300; i++)
        all |= block[i];
    EXPECT(!all);
    __wrap_free(block);
    EXPECT(!__wrap_calloc(SIZE_MAX / 2, 3));
}

TEST(heap_keeps_few)
{
    static void *blocks[100];
    static const struct {
        size_t size;
        int kept;
    } most[] = {{64, 8}, {2000, 4}, {4000, 2}, {5000, 0}};

    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < 100; i++)
            blocks[i] = __wrap_malloc(most[k].size);
        given = 0;
        for (int i = 0; i < 100; i++)
            __wrap_free(blocks[i]);
        EXPECT(given == 100 - most[k].kept);
    }
}

TEST(heap_ends_a_program_that_frees_twice)
{
    void *block = __wrap_malloc(50);
    int status = 0;
    pid_t child;

    __wrap_free(block);
    child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        __wrap_free(block);
        _exit(0);
    }
    EXPECT(waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGABRT);
}
