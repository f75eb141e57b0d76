/* SPDX-License-Identifier: MIT
 *
 * Waiting on many descriptors: poll, select, epoll; event descriptors.
 */
#include "linux/sys.h"
#include "obj/poll.h"

#define POLL_ALWAYS (POLLERR | POLLHUP | POLLNVAL)
#define SELECT_IN (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define SELECT_OUT (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)
#define SELECT_EX POLLPRI
#define POLL_FAST 16

struct pollfd_user {
    s32 fd;
    s16 events, revents;
};

/* How long to wait: block false looks only; deadline 0 waits for ever. */
struct poll_time {
    bool block;
    u64 deadline;
};

static struct poll_time poll_time_ns(bool given, u64 ns)
{
    struct poll_time t = {true, 0};

    if (given) {
        t.block = ns != 0;
        t.deadline = ns ? deadline_after(ns) : 0;
    }
    return t;
}

static struct poll_time poll_time_ms(s32 ms)
{
    return poll_time_ns(ms >= 0, (u64)MAX(ms, 0) * NSEC_PER_MSEC);
}

/* Everything one poll needs, in one block for large sets. */
struct poll_set {
    struct pollfd_user *fds;
    struct poll_item *items;
    u64 fast[POLL_FAST * (sizeof(struct pollfd_user) + sizeof(struct poll_item)) / 8 + 1];
    void *slow;
};

static int poll_set_begin(struct poll_set *s, u64 ufds, unsigned n)
{
    size_t items = n * sizeof(struct poll_item);
    void *mem = s->fast;

    s->slow = NULL;
    if (n > POLL_FAST) {
        mem = s->slow = kmalloc(items + n * sizeof(struct pollfd_user));
        if (!mem)
            return -ENOMEM;
    }
    s->items = mem;
    s->fds = (struct pollfd_user *)((char *)mem + items);
    if (copy_in(s->fds, (const void __user *)ufds, n * sizeof(*s->fds))) {
        kfree(s->slow);
        return -EFAULT;
    }
    return 0;
}

static s64 poll_run(u64 ufds, u64 n, struct poll_time when)
{
    struct poll_set s;
    s64 ready = 0;

    if (n > rlimit_current(RLIMIT_NOFILE))
        return -EINVAL;
    int err = poll_set_begin(&s, ufds, (unsigned)n);
    if (err)
        return err;
    unsigned bad = 0;
    for (u64 i = 0; i < n; i++) {
        struct file *f = s.fds[i].fd >= 0 ? fd_file(s.fds[i].fd) : NULL;
        s.items[i] = (struct poll_item){f, (u16)s.fds[i].events, 0};
        bad += s.fds[i].fd >= 0 && !f;
    }
    ready = poll_files(s.items, (unsigned)n, when.block && !bad, when.deadline);
    for (u64 i = 0; i < n; i++) {
        u32 rev = s.items[i].revents & (s.items[i].events | POLL_ALWAYS);
        if (s.fds[i].fd >= 0 && !s.items[i].file)
            rev = POLLNVAL;
        s.fds[i].revents = (s16)rev;
        if (s.items[i].file)
            file_put(s.items[i].file);
    }
    if (ready >= 0) {
        ready += bad;
        for (u64 i = 0; i < n; i++) {
            if (copy_out((void __user *)(ufds + i * sizeof(*s.fds) + 6), &s.fds[i].revents, 2))
                ready = -EFAULT;
        }
    }
    kfree(s.slow);
    return ready;
}

static s64 poll_resume(struct restart_block *rb)
{
    struct poll_time t = {true, rb->deadline};
    s64 r = poll_run(rb->arg[0], rb->arg[1], t);

    return r == -EINTR ? -ERESTART_RESTARTBLOCK : r;
}

s64 sys_poll(u64 ufds, u32 n, s32 timeout)
{
    struct poll_time t = poll_time_ms((s32)timeout);
    s64 r = poll_run(ufds, (u32)n, t);

    if (r != -EINTR)
        return r;
    current_task()->restart = (struct restart_block){
        .resume = poll_resume, .deadline = t.deadline, .arg = {ufds, (u32)n}};
    return -ERESTART_RESTARTBLOCK;
}

/* Installs a temporary mask for the p-variants. */
static int poll_mask_in(u64 umask, u64 size)
{
    sigset_t mask;

    if (!umask)
        return 0;
    if (size != sizeof(mask))
        return -EINVAL;
    if (IN(mask, umask))
        return -EFAULT;
    signal_temp_mask(mask);
    return 0;
}

/* The result of a masked wait: on EINTR the handler runs under the temporary mask. */
static s64 poll_mask_out(s64 r)
{
    if (r == -EINTR)
        return -ERESTARTNOHAND;
    signal_restore_mask();
    return r;
}

/* Writes the time left back, as Linux does for select and ppoll. */
static void poll_time_left(u64 uts, struct poll_time t, bool timeval)
{
    u64 now = time_ns(), left = t.deadline > now ? t.deadline - now : 0;
    s64 v[2] = {(s64)(left / NSEC_PER_SEC), (s64)(left % NSEC_PER_SEC / (timeval ? 1000 : 1))};

    if (uts && OUT(uts, v))
        return; /* the result stands */
}

s64 sys_ppoll(u64 ufds, u32 n, u64 uts, u64 umask, u64 size)
{
    u64 ns = 0;
    int err = uts ? timespec_in(uts, &ns) : 0;

    if (!err)
        err = poll_mask_in(umask, size);
    if (err)
        return err;
    struct poll_time t = poll_time_ns(uts, ns);
    s64 r = poll_mask_out(poll_run(ufds, (u32)n, t));
    poll_time_left(uts, t, false);
    return r;
}

#define FDS_MAX 65536
struct select_sets {
    u64 *in[3]; /* read, write, except */
    u64 *out[3];
    u64 *block;
    unsigned words;
};

static int select_in(struct select_sets *s, unsigned n, const u64 *usets)
{
    s->words = DIV_ROUND_UP(n, 64);
    s->block = kcalloc(MAX(6 * s->words, 1U), sizeof(u64));
    if (!s->block)
        return -ENOMEM;
    for (int i = 0; i < 3; i++) {
        s->in[i] = s->block + i * s->words;
        s->out[i] = s->block + (3 + i) * s->words;
        if (usets[i] && copy_in(s->in[i], (const void __user *)usets[i], DIV_ROUND_UP(n, 8)))
            return -EFAULT;
    }
    return 0;
}

static u32 select_events(const struct select_sets *s, unsigned fd)
{
    u64 bit = 1ULL << (fd % 64);

    return (s->in[0][fd / 64] & bit ? SELECT_IN : 0) | (s->in[1][fd / 64] & bit ? SELECT_OUT : 0) |
           (s->in[2][fd / 64] & bit ? SELECT_EX : 0);
}

static s64 select_wait(struct select_sets *s, unsigned n, struct poll_time when)
{
    struct poll_item *items = kcalloc(MAX(n, 1U), sizeof(*items));
    static const u32 masks[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};
    s64 r = 0;
    unsigned used = 0;
    unsigned *fds = kcalloc(MAX(n, 1U), sizeof(*fds));

    if (!items || !fds) {
        kfree(items);
        kfree(fds);
        return -ENOMEM;
    }
    for (unsigned fd = 0; fd < n && !r; fd++) {
        u32 events = select_events(s, fd);
        if (!events)
            continue;
        struct file *f = fd_file((int)fd);
        if (!f)
            r = -EBADF;
        fds[used] = fd;
        if (f)
            items[used++] = (struct poll_item){f, events, 0};
    }
    if (!r)
        r = poll_files(items, used, when.block, when.deadline);
    s64 count = 0;
    for (unsigned i = 0; i < used; i++) {
        unsigned fd = fds[i];
        for (int k = 0; k < 3; k++) {
            u64 bit = 1ULL << (fd % 64);
            if (s->in[k][fd / 64] & bit && items[i].revents & masks[k]) {
                s->out[k][fd / 64] |= bit;
                count++;
            }
        }
        file_put(items[i].file);
    }
    kfree(items);
    kfree(fds);
    return r < 0 ? r : count;
}

static s64 select_run(u64 n, const u64 *usets, struct poll_time when)
{
    struct select_sets s = {0};

    if ((s32)n < 0)
        return -EINVAL;
    n = MIN((u32)n, (u32)FDS_MAX);
    s64 r = select_in(&s, (unsigned)n, usets);
    if (!r)
        r = select_wait(&s, (unsigned)n, when);
    for (int i = 0; r >= 0 && i < 3; i++) {
        if (usets[i] && copy_out((void __user *)usets[i], s.out[i], DIV_ROUND_UP(n, 8)))
            r = -EFAULT;
    }
    kfree(s.block);
    return r;
}

s64 sys_select(s32 n, u64 r, u64 w, u64 e, u64 utv)
{
    u64 usets[3] = {r, w, e}, ns = 0;
    s64 tv[2];

    if (utv) {
        if (IN(tv, utv))
            return -EFAULT;
        if (tv[0] < 0 || tv[1] < 0)
            return -EINVAL;
        ns = MIN((u64)tv[0], 1ULL << 33) * NSEC_PER_SEC + (u64)tv[1] * 1000;
    }
    struct poll_time t = poll_time_ns(utv, ns);
    s64 result = select_run(n, usets, t);
    poll_time_left(utv, t, true);
    return result == -EINTR ? -ERESTARTNOHAND : result;
}

s64 sys_pselect6(s32 n, u64 r, u64 w, u64 e, u64 uts, u64 usig)
{
    u64 usets[3] = {r, w, e}, ns = 0;
    struct {
        u64 mask, size;
    } sig = {0, 0};
    int err = uts ? timespec_in(uts, &ns) : 0;

    if (!err && usig)
        err = IN(sig, usig);
    if (!err)
        err = poll_mask_in(sig.mask, sig.size);
    if (err)
        return err;
    struct poll_time t = poll_time_ns(uts, ns);
    s64 result = poll_mask_out(select_run(n, usets, t));
    poll_time_left(uts, t, false);
    return result;
}

s64 sys_epoll_create1(u32 flags)
{
    if (flags & ~(u64)O_CLOEXEC)
        return -EINVAL;
    struct file *f = epoll_create((unsigned)flags);
    return IS_ERR(f) ? PTR_ERR(f) : fd_publish(f, flags & O_CLOEXEC);
}

s64 sys_epoll_create(s32 size)
{
    return (s32)size <= 0 ? -EINVAL : sys_epoll_create1(0);
}

s64 sys_epoll_ctl(s32 epfd, s32 op, s32 fd, u64 uev)
{
    struct epoll_event_k ev = {0, 0};
    struct fd_hold ep, target;

    if ((s32)op != 2 && IN(ev, uev)) /* EPOLL_CTL_DEL */
        return -EFAULT;
    ep = fd_hold((int)epfd);
    target = fd_hold((int)fd);
    s64 r = -EBADF;
    if (ep.file && target.file)
        r = ep.file == target.file ? -EINVAL
                                   : epoll_ctl(ep.file, (int)op, (int)fd, target.file, &ev);
    fd_release(ep);
    fd_release(target);
    return r;
}

#define EPOLL_FAST 32
static s64 epoll_run(u64 epfd, u64 uev, u64 umax, struct poll_time when)
{
    struct epoll_event_k fast[EPOLL_FAST], *out = fast;
    s32 max = (s32)umax;

    if (max <= 0)
        return -EINVAL;
    max = MIN(max, 4096);
    struct fd_hold h = fd_hold((int)epfd);
    if (!h.file)
        return -EBADF;
    if (max > EPOLL_FAST)
        out = kcalloc((size_t)max, sizeof(*out));
    s64 r = out ? epoll_wait(h.file, out, max, when.block, when.deadline) : -ENOMEM;
    fd_release(h);
    if (r > 0 && copy_out((void __user *)uev, out, (u64)r * sizeof(*out)))
        r = -EFAULT;
    if (out != fast)
        kfree(out);
    return r == -ERESTARTSYS ? -EINTR : r;
}

s64 sys_epoll_wait(s32 epfd, u64 uev, s32 max, s32 timeout)
{
    return epoll_run(epfd, uev, max, poll_time_ms((s32)timeout));
}

s64 sys_epoll_pwait(s32 epfd, u64 uev, s32 max, s32 timeout, u64 umask, u64 size)
{
    int err = poll_mask_in(umask, size);
    s64 r = err ? err : epoll_run(epfd, uev, max, poll_time_ms((s32)timeout));

    if (r == -EINTR)
        return -EINTR; /* the mask is put back when the handler returns */
    signal_restore_mask();
    return r;
}

s64 sys_epoll_pwait2(s32 epfd, u64 uev, s32 max, u64 uts, u64 umask, u64 size)
{
    u64 ns = 0;
    int err = uts ? timespec_in(uts, &ns) : 0;

    if (!err)
        err = poll_mask_in(umask, size);
    if (err)
        return err;
    s64 r = epoll_run(epfd, uev, max, poll_time_ns(uts, ns));
    if (r != -EINTR)
        signal_restore_mask();
    return r;
}

s64 sys_eventfd2(u32 count, u32 flags)
{
    if (flags & ~(u64)(O_CLOEXEC | O_NONBLOCK | 1))
        return -EINVAL;
    struct file *f = eventfd_create((u32)count, (unsigned)flags & ~(unsigned)O_CLOEXEC);
    return IS_ERR(f) ? PTR_ERR(f) : fd_publish(f, flags & O_CLOEXEC);
}

s64 sys_eventfd(u32 count)
{
    return sys_eventfd2(count, 0);
}
