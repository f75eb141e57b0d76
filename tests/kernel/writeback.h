/* SPDX-License-Identifier: MIT
 *
 * For writeback*.c: pages of one value, and a thread that does something beside the test.
 */
#pragma once

#include "lib/string.h"
#include "mm/account.h"
#include "sched/timer.h"
#include "tests/kernel/test_store.h"
#include "vm/aspace.h"

/* Page `index` of f is filled with `value`. */
static inline bool put_page(struct file *f, u64 index, u8 value)
{
    static u8 buf[PAGE_SIZE];

    memset(buf, value, sizeof(buf));
    return file_write_kernel(f, buf, PAGE_SIZE, (loff_t)(index * PAGE_SIZE)) == PAGE_SIZE;
}

static inline bool put_pages(struct file *f, u64 from, u64 to, u8 value)
{
    for (; from < to; from++)
        if (!put_page(f, from, value))
            return false;
    return true;
}

/* Or -1. */
static inline int get_byte(struct file *f, u64 at)
{
    u8 byte;
    ssize_t n = file_read_kernel(f, &byte, 1, (loff_t)at);

    return n == 1 ? byte : -1;
}

/* A thread beside the test. */
struct helper {
    struct test_store *s;
    struct file *f;
    struct account *account; /* whose pages it writes; NULL: the machine's */
    void (*run)(struct helper *h);
    u64 n, done; /* a */
    bool ended;  /* a */
};

static inline void helper_main(void *arg)
{
    struct helper *h = arg;
    struct aspace *as = h->account ? aspace_create(h->account) : NULL;

    if (as)
        aspace_activate(as);
    h->run(h);
    if (as) {
        aspace_activate(NULL);
        aspace_put(as);
    }
    store_finish(h->s, 0, false, 0);
    __atomic_store_n(&h->ended, true, __ATOMIC_SEQ_CST);
    waitq_wake_all(&h->s->changed);
}

static inline bool helper_start(struct helper *h)
{
    struct thread *t = thread_create("helper", helper_main, h);

    if (!t)
        return false;
    thread_start(t);
    thread_put(t);
    return true;
}

static inline bool helper_wait(struct helper *h)
{
    return wait_event_deadline(&h->s->changed, READ_ONCE(h->ended), SLEEP_UNINTERRUPTIBLE,
                               time_ns() + 20 * NSEC_PER_SEC) == 0;
}

/* Gives others the time to go on, if they can. */
static inline void linger(void)
{
    (void)sleep_until(time_ns() + 20 * NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
}
