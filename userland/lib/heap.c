// SPDX-License-Identifier: MIT
// A small stock of freed blocks in front of the C library's allocator, for programs of one thread.
//
// The library's allocator is hardened, and pays for it with hundreds of instructions a block, now
// and then with a group of pages that it maps and unmaps again for one. A program whose work
// repeats itself gets the blocks back that it has just freed. userland.mk links the programs that
// want it with --wrap: their malloc() and the C library's own come here, and __real_malloc() is the
// library's.
//
// Blocks of up to 4 KiB come in classes, four to each doubling, whose sizes fill the library's
// slots; all of one class are asked for in one size, which the library remembers. The stock lies
// outside of the blocks: to write to a freed block spoils nothing here. It holds at most HEAP_DEPTH
// blocks and HEAP_CLASS_BYTES of each class, a block once: to free it twice ends the program.
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/heap.h"

#define HEAP_UNIT 16
#define HEAP_TAIL 4 /* what the library needs of a slot itself */
#define HEAP_LARGEST (4096 - HEAP_TAIL)
#define HEAP_EXACT 8 /* classes of one unit more each; then four to a doubling */
#define HEAP_CLASSES (HEAP_EXACT + 4 * 5)
#define HEAP_DEPTH 8
#define HEAP_CLASS_BYTES 8192

static struct heap_class {
    void *blocks[HEAP_DEPTH];
    unsigned count;
} heap_classes[HEAP_CLASSES];

/* The class of a block of `size`, at most HEAP_LARGEST, and in `full` the size that its class has.
 */
static struct heap_class *heap_class(size_t size, size_t *full)
{
    unsigned units = (unsigned)((size + HEAP_TAIL + HEAP_UNIT - 1) / HEAP_UNIT), step, at;

    if (units <= HEAP_EXACT) {
        *full = units * HEAP_UNIT - HEAP_TAIL;
        return &heap_classes[units - 1];
    }
    step = 29 - (unsigned)__builtin_clz(units - 1); /* log2 of a quarter of the doubling */
    at = (units - 1) >> step;                       /* 4 to 7 */
    *full = ((size_t)(at + 1) << step) * HEAP_UNIT - HEAP_TAIL;
    return &heap_classes[HEAP_EXACT + 4 * (step - 1) + at - 4];
}

void *__wrap_malloc(size_t size)
{
    struct heap_class *c;
    size_t full;

    if (size > HEAP_LARGEST)
        return __real_malloc(size);
    c = heap_class(size, &full);
    return c->count ? c->blocks[--c->count] : __real_malloc(full);
}

void __wrap_free(void *block)
{
    size_t size = block ? malloc_usable_size(block) : 0, full;
    struct heap_class *c;

    if (!size || size > HEAP_LARGEST) {
        __real_free(block);
        return;
    }
    c = heap_class(size, &full);
    for (unsigned i = 0; i < c->count; i++)
        if (c->blocks[i] == block)
            abort();
    if (size != full || c->count == HEAP_DEPTH || (c->count + 1) * full > HEAP_CLASS_BYTES)
        __real_free(block);
    else
        c->blocks[c->count++] = block;
}

void *__wrap_calloc(size_t count, size_t size)
{
    size_t all;
    void *block;

    if (__builtin_mul_overflow(count, size, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    if (all > HEAP_LARGEST)
        return __real_calloc(count, size); /* which knows whether the kernel has cleared it */
    block = __wrap_malloc(all);
    return block ? memset(block, 0, all) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    size_t had = old ? malloc_usable_size(old) : 0;
    void *block;

    if (had > HEAP_LARGEST && size > HEAP_LARGEST)
        return __real_realloc(old, size);
    if (size <= had && size > had / 2)
        return old;
    block = __wrap_malloc(size);
    if (!block)
        return NULL;
    if (old)
        memcpy(block, old, had < size ? had : size);
    __wrap_free(old);
    return block;
}
