/* SPDX-License-Identifier: MIT
 *
 * Readiness. A file's poll operation calls poll_wait for each queue that will be woken when its
 * bits may change; poll(2), select(2) and epoll bring their own poll_table.
 */
#pragma once

#include "lib/types.h"
#include "sched/wait.h"

#define POLLIN 0x001
#define POLLPRI 0x002
#define POLLOUT 0x004
#define POLLERR 0x008
#define POLLHUP 0x010
#define POLLNVAL 0x020
#define POLLRDNORM 0x040
#define POLLRDBAND 0x080
#define POLLWRNORM 0x100
#define POLLWRBAND 0x200
#define POLLMSG 0x400
#define POLLRDHUP 0x2000
#define POLLFREE 0x4000 /* to callbacks only: the queue goes away, take your waiter off it */

struct poll_table {
    void (*queue)(struct poll_table *pt, struct waitq *q);
};
static inline void poll_wait(struct poll_table *pt, struct waitq *q)
{
    if (pt)
        pt->queue(pt, q);
}

/* For a queue that may die before the files that registered with it (a process's). Its memory must
 * stay for a grace period after this. */
static inline void poll_queue_gone(struct waitq *q)
{
    waitq_dismiss(q, POLLFREE);
}

struct file;
struct iov_iter;
/* poll(2) over the files of a list of arrays: revents of each; how many are ready, -EINTR, -ENOMEM.
 * deadline 0: none; block false returns at once. NULL files are skipped. Context: may sleep. */
struct poll_item {
    struct file *file;
    u32 events, revents;
};
struct poll_list {
    struct poll_list *next;
    struct poll_item *items;
    unsigned n;
};
int poll_files(struct poll_list *list, bool block, u64 deadline);
u32 file_poll(struct file *f, struct poll_table *pt);
/* ns that such a wait of the current thread may be late by: the more, the longer it is. */
u64 poll_slack(u64 deadline);

/* epoll, eventfd, timerfd, signalfd's neighbours in obj: constructors return a file or ERR_PTR. */
struct file *epoll_create(unsigned flags);
struct epoll_event_k {
    u32 events;
    u64 data;
} __packed;
/* 0, -EPERM (cannot be polled), -EINVAL, -EEXIST, -ENOENT, -ENOMEM, -ENOSPC (too many watch it),
 * -ELOOP. Context: may sleep. */
int epoll_ctl(struct file *ep, int op, int fd, struct file *target, const struct epoll_event_k *ev);
/* Up to max events into out, packed: how many; 0 in time; -EINVAL, -EINTR, -EFAULT. */
int epoll_wait(struct file *ep, struct iov_iter *out, int max, bool block, u64 deadline);
struct file *eventfd_create(u64 count, unsigned flags);
/* Kernel side of an eventfd (irqfd, ioeventfd): signal is irq-safe. -EINVAL: f is none. */
int eventfd_signal(struct file *f, u64 n);
int eventfd_consume(struct file *f, u64 *out);
/* For the callback of a waiter in its queue, whose lock is held: -EBUSY: others wait too, which may
 * have to be told, which cannot be done here. */
int eventfd_consume_alone(struct file *f, u64 *out);
struct waitq *eventfd_waitq(struct file *f);
