/* SPDX-License-Identifier: MIT
 *
 * Pipes, epoll, eventfd, timers and pids through their kernel interfaces.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/cred.h"
#include "obj/file.h"
#include "obj/pid.h"
#include "obj/pipe.h"
#include "obj/timerfd.h"
#include "sched/thread.h"
#include "sched/timer.h"

static ssize_t put(struct file *f, const void *p, size_t n)
{
    struct iov_iter it;

    iov_init_kernel(&it, (void *)p, n);
    return file_write(f, &it, NULL);
}

static ssize_t get(struct file *f, void *p, size_t n)
{
    struct iov_iter it;

    iov_init_kernel(&it, p, n);
    return file_read(f, &it, NULL);
}

SELFTEST(obj_pipe_keeps_order_and_ends)
{
    const size_t size = 70000;
    char *big = kmalloc(size), *back = kmalloc(size);
    struct file *r, *w;
    char buf[16];

    CHECK(big && back);

    CHECK(!pipe_create(O_NONBLOCK, &r, &w));
    CHECK(get(r, buf, 16) == -EAGAIN);
    CHECK(put(w, "abc", 3) == 3 && put(w, "def", 3) == 3);
    CHECK(file_poll(r, NULL) == (POLLIN | POLLRDNORM));
    CHECK(get(r, buf, 4) == 4 && !memcmp(buf, "abcd", 4));
    CHECK(get(r, buf, 16) == 2 && !memcmp(buf, "ef", 2));
    for (unsigned i = 0; i < size; i++)
        big[i] = (char)(i * 7);
    CHECK(put(w, big, size) == 65536);
    CHECK(put(w, "x", 1) == -EAGAIN && !(file_poll(w, NULL) & POLLOUT));
    CHECK(get(r, back, size) == 65536 && !memcmp(big, back, 65536));
    CHECK(pipe_set_size(w, 4096, false) == 4096 && put(w, big, 5000) == 4096);
    file_put(w);
    CHECK(get(r, back, 5000) == 4096 && get(r, back, 1) == 0);
    CHECK(file_poll(r, NULL) == POLLHUP);
    file_put(r);
    kfree(big);
    kfree(back);
}

static int wait_events(struct file *ep, struct epoll_event_k *out, int max)
{
    struct iov_iter it;

    iov_init_kernel(&it, out, (u64)max * sizeof(*out));
    return epoll_wait(ep, &it, max, false, 0);
}

SELFTEST(obj_epoll_level_edge_and_oneshot)
{
    struct epoll_event_k ev = {POLLIN, 7}, out[4];
    struct file *ep = epoll_create(0), *e = eventfd_create(0, O_NONBLOCK);
    u64 v;

    CHECK(!IS_ERR(ep) && !IS_ERR(e));
    CHECK(!epoll_ctl(ep, 1, 3, e, &ev) && epoll_ctl(ep, 1, 3, e, &ev) == -EEXIST);
    CHECK(wait_events(ep, out, 4) == 0);
    CHECK(!eventfd_signal(e, 2));
    CHECK(wait_events(ep, out, 4) == 1 && out[0].data == 7 && out[0].events == POLLIN);
    CHECK(wait_events(ep, out, 4) == 1);
    CHECK(!eventfd_consume(e, &v) && v == 2 && wait_events(ep, out, 4) == 0);
    ev.events = POLLIN | 1U << 31; /* EPOLLET */
    CHECK(!epoll_ctl(ep, 3, 3, e, &ev) && !eventfd_signal(e, 1));
    CHECK(wait_events(ep, out, 4) == 1 && wait_events(ep, out, 4) == 0);
    CHECK(!eventfd_signal(e, 1) && wait_events(ep, out, 4) == 1);
    ev.events = POLLIN | 1U << 30; /* EPOLLONESHOT */
    CHECK(!epoll_ctl(ep, 3, 3, e, &ev));
    CHECK(wait_events(ep, out, 4) == 1 && !eventfd_signal(e, 1));
    CHECK(wait_events(ep, out, 4) == 0);
    file_put(e); /* the item goes with it */
    CHECK(wait_events(ep, out, 4) == 0);
    file_put(ep);
}

SELFTEST(obj_timerfd_counts_and_wakes_poll)
{
    struct timerfd_spec spec = {5 * NSEC_PER_MSEC, 5 * NSEC_PER_MSEC};
    struct file *t = timerfd_create(1, 0);
    struct poll_item it = {t, POLLIN, 0};
    struct poll_list list = {.items = &it, .n = 1};
    u64 n = 0;

    CHECK(!timerfd_set(t, 0, &spec, NULL));
    CHECK(poll_files(&list, true, time_ns() + 60 * NSEC_PER_SEC) == 1 && it.revents == POLLIN);
    sleep_until(time_ns() + 20 * NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    CHECK(get(t, &n, 8) == 8 && n >= 4);
    spec.value = 0;
    CHECK(!timerfd_set(t, 0, &spec, NULL));
    CHECK(poll_files(&list, true, time_ns() + 10 * NSEC_PER_MSEC) == 0);
    file_put(t);
}

static void writer(void *arg)
{
    sleep_until(time_ns() + 5 * NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    put(arg, "hello", 5);
    file_put(arg);
}

SELFTEST(obj_pipe_reader_sleeps_until_the_writer_comes)
{
    struct file *r, *w;
    struct thread *t;
    char buf[8];

    CHECK(!pipe_create(0, &r, &w));
    t = thread_create("writer", writer, w);
    CHECK(t);
    thread_start(t);
    CHECK(get(r, buf, 8) == 5 && get(r, buf, 8) == 0);
    thread_put(t);
    file_put(r);
}

SELFTEST(obj_pid_numbers_in_nested_namespaces)
{
    struct pid_ns *ns = pid_ns_create(&pid_ns_init, &user_ns_init);
    struct pid *p = pid_alloc(ns, NULL, 0), *q;
    const u32 wanted[] = {50, 60000, 1};

    CHECK(!IS_ERR(p) && pid_nr(p, ns) == 1 && pid_nr(p, &pid_ns_init) != 0);
    q = pid_find(ns, 1);
    CHECK(q == p);
    pid_put(q);
    CHECK(PTR_ERR(pid_alloc(ns, wanted, 1)) == -EINVAL); /* it has no first process yet */
    ns->reaper = p;
    q = pid_alloc(ns, wanted, 2);
    CHECK(!IS_ERR(q) && pid_nr(q, ns) == 50 && pid_nr(q, &pid_ns_init) == 60000);
    CHECK(PTR_ERR(pid_alloc(ns, wanted, 1)) == -EEXIST);
    CHECK(PTR_ERR(pid_alloc(ns, wanted, 3)) == -EINVAL);
    pid_free_numbers(p);
    CHECK(!pid_find(ns, 1));
    pid_put(p);
    p = pid_next(ns, 1);
    CHECK(p == q);
    pid_put(p);
    pid_put(q);
    pid_ns_put(ns);
}
