/* SPDX-License-Identifier: MIT
 *
 * Heap sort: a max-heap over the array, whose root is swapped behind its end again and again.
 */
#include "lib/sort.h"

struct sort_job {
    u8 *base;
    size_t size;
    int (*cmp)(const void *, const void *, void *);
    void *ctx;
};

static void sort_swap(u8 *a, u8 *b, size_t size)
{
    for (; size; size--, a++, b++) {
        u8 t = *a;

        *a = *b;
        *b = t;
    }
}

static int sort_cmp(const struct sort_job *job, size_t a, size_t b)
{
    return job->cmp(job->base + a * job->size, job->base + b * job->size, job->ctx);
}

/* Lets the element at `i` sink to its place in a heap of `n` elements. */
static void sort_sink(const struct sort_job *job, size_t i, size_t n)
{
    while (2 * i + 1 < n) {
        size_t child = 2 * i + 1;

        if (child + 1 < n && sort_cmp(job, child, child + 1) < 0)
            child++;
        if (sort_cmp(job, i, child) >= 0)
            return;
        sort_swap(job->base + i * job->size, job->base + child * job->size, job->size);
        i = child;
    }
}

void sort(void *base, size_t count, size_t size, int (*cmp)(const void *, const void *, void *),
          void *ctx)
{
    struct sort_job job = {base, size, cmp, ctx};

    for (size_t i = count / 2; i-- > 0;)
        sort_sink(&job, i, count);
    for (size_t n = count; n > 1; n--) {
        sort_swap(job.base, job.base + (n - 1) * size, size);
        sort_sink(&job, 0, n - 1);
    }
}
