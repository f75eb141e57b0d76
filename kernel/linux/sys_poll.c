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

/* Everything one poll needs. Large sets come in chunks: no block grows with what is asked. */
#define POLL_CHUNK 512
struct poll_chunk {
    struct poll_list list; /* first */
    struct pollfd_user *fds;
};
struct poll_set {
    struct poll_chunk first;
    struct pollfd_user fds[POLL_FAST];
    struct poll_item items[POLL_FAST];
    u64 ufds;
    unsigned bad; /* descriptors that are none */
};

static struct poll_chunk *poll_chunk_of(struct poll_list *list)
{
    return container_of(list, struct poll_chunk, list);
}

static struct poll_chunk *poll_chunk_create(unsigned n)
{
    struct poll_chunk *c =
        kmalloc(sizeof(*c) + n * (sizeof(struct poll_item) + sizeof(struct pollfd_user)));

    if (!c)
        return NULL;
    c->list = (struct poll_list){.items = (void *)(c + 1), .n = n};
    c->fds = (void *)(c->list.items + n);
    return c;
}

/* c is empty but for its size; the files are referenced. */
static int poll_chunk_fill(struct poll_set *s, struct poll_chunk *c, u64 ufds)
{
    unsigned n = c->list.n;

    c->list.n = 0;
    if (copy_in(c->fds, (const void __user *)ufds, n * sizeof(*c->fds)))
        return -EFAULT;
    for (; c->list.n < n; c->list.n++) {
        const struct pollfd_user *p = &c->fds[c->list.n];
        struct file *f = p->fd >= 0 ? fd_file(p->fd) : NULL;

        c->list.items[c->list.n] = (struct poll_item){f, (u16)p->events, 0};
        s->bad += p->fd >= 0 && !f;
    }
    return 0;
}

static int poll_set_begin(struct poll_set *s, u64 ufds, unsigned n)
{
    struct poll_chunk *c = &s->first;
    unsigned done = MIN(n, (unsigned)POLL_FAST);
    int err;

    s->ufds = ufds;
    s->bad = 0;
    c->list = (struct poll_list){.items = s->items, .n = done};
    c->fds = s->fds;
    err = poll_chunk_fill(s, c, ufds);
    for (; !err && done < n; done += c->list.n) {
        struct poll_chunk *next = poll_chunk_create(MIN(n - done, (unsigned)POLL_CHUNK));

        if (!next)
            return -ENOMEM;
        c->list.next = &next->list;
        c = next;
        err = poll_chunk_fill(s, c, ufds + done * sizeof(*c->fds));
        cond_yield();
    }
    return err;
}

static int poll_chunk_out(struct poll_chunk *c, u64 ufds)
{
    int err = 0;

    for (unsigned i = 0; i < c->list.n && !err; i++) {
        s16 rev = (s16)(c->list.items[i].revents & (c->list.items[i].events | POLL_ALWAYS));

        if (c->fds[i].fd >= 0 && !c->list.items[i].file)
            rev = POLLNVAL;
        err = OUT(ufds + i * sizeof(*c->fds) + offsetof(struct pollfd_user, revents), rev);
    }
    return err;
}

/* Tells the results, if there are any, and ends the set. */
static int poll_set_end(struct poll_set *s, bool out)
{
    u64 ufds = s->ufds;
    int err = 0;

    for (struct poll_list *list = &s->first.list, *next; list; list = next) {
        struct poll_chunk *c = poll_chunk_of(list);

        if (out && !err)
            err = poll_chunk_out(c, ufds);
        ufds += list->n * sizeof(*c->fds);
        for (unsigned i = 0; i < list->n; i++)
            if (list->items[i].file)
                file_put(list->items[i].file);
        next = list->next;
        if (c != &s->first) {
            kfree(c);
            cond_yield();
        }
    }
    return err;
}

static s64 poll_run(u64 ufds, u64 n, struct poll_time when)
{
    struct poll_set s;
    s64 ready;
    int err;

    if (n > rlimit_current(RLIMIT_NOFILE))
        return -EINVAL;
    ready = poll_set_begin(&s, ufds, (unsigned)n);
    if (!ready)
        ready = poll_files(&s.first.list, when.block && !s.bad, when.deadline);
    err = poll_set_end(&s, ready >= 0);
    return err ? err : ready < 0 ? ready : ready + s.bad;
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
#define SELECT_WORDS_AT_ONCE 8
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
        if (n % 64)
            s->in[i][n / 64] &= (1ULL << (n % 64)) - 1; /* whole bytes were read */
    }
    return 0;
}

/* The descriptors asked for in any of the sets, of the 64 from 64 * word. */
static u64 select_word(const struct select_sets *s, unsigned word)
{
    return s->in[0][word] | s->in[1][word] | s->in[2][word];
}

/* How many descriptors are asked for. */
static unsigned select_count(const struct select_sets *s)
{
    unsigned count = 0;

    for (unsigned word = 0; word < s->words; word++) {
        for (u64 bits = select_word(s, word); bits; bits &= bits - 1)
            count++;
        if (word % SELECT_WORDS_AT_ONCE == SELECT_WORDS_AT_ONCE - 1)
            cond_yield();
    }
    return count;
}

static u32 select_events(const struct select_sets *s, unsigned fd)
{
    u64 bit = 1ULL << (fd % 64);

    return (s->in[0][fd / 64] & bit ? SELECT_IN : 0) | (s->in[1][fd / 64] & bit ? SELECT_OUT : 0) |
           (s->in[2][fd / 64] & bit ? SELECT_EX : 0);
}

/* The file of each descriptor that is asked for, and its number in fds; *used: how many, on failure
 * as well. 0 or -EBADF. */
static int select_files(const struct select_sets *s, struct poll_item *items, unsigned *fds,
                        unsigned *used)
{
    for (unsigned word = 0; word < s->words; word++) {
        for (u64 bits = select_word(s, word); bits; bits &= bits - 1) {
            unsigned fd = word * 64 + (unsigned)__builtin_ctzll(bits);
            struct file *f = fd_file((int)fd);

            if (!f)
                return -EBADF;
            fds[*used] = fd;
            items[(*used)++] = (struct poll_item){f, select_events(s, fd), 0};
        }
        if (word % SELECT_WORDS_AT_ONCE == SELECT_WORDS_AT_ONCE - 1)
            cond_yield();
    }
    return 0;
}

/* Sets the bits of what is ready of one file; how many. */
static unsigned select_out(struct select_sets *s, unsigned fd, u32 revents)
{
    static const u32 masks[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};
    u64 bit = 1ULL << (fd % 64);
    unsigned n = 0;

    for (int k = 0; k < 3; k++) {
        if (s->in[k][fd / 64] & bit && revents & masks[k]) {
            s->out[k][fd / 64] |= bit;
            n++;
        }
    }
    return n;
}

static s64 select_wait(struct select_sets *s, struct poll_time when)
{
    unsigned n = MAX(select_count(s), 1U), used = 0;
    struct poll_item *items = kcalloc(n, sizeof(*items));
    unsigned *fds = kcalloc(n, sizeof(*fds));
    s64 r = items && fds ? 0 : -ENOMEM, count = 0;

    if (!r)
        r = select_files(s, items, fds, &used);
    if (!r) {
        struct poll_list list = {.items = items, .n = used};

        r = poll_files(&list, when.block, when.deadline);
    }
    for (unsigned i = 0; i < used; i++) {
        count += select_out(s, fds[i], items[i].revents);
        file_put(items[i].file);
        if (i % 64 == 63)
            cond_yield();
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
        r = select_wait(&s, when);
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
        tv[0] = MIN(tv[0], 1L << 33) + MIN(tv[1] / 1000000, 1L << 33); /* any number of them */
        ns = MIN((u64)tv[0], 1ULL << 33) * NSEC_PER_SEC + (u64)(tv[1] % 1000000) * 1000;
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
        r = epoll_ctl(ep.file, (int)op, (int)fd, target.file, &ev);
    fd_release(ep);
    fd_release(target);
    return r;
}

#define EPOLL_EVENTS_MAX (0x7fffffff / (s32)sizeof(struct epoll_event_k))
static s64 epoll_run(u64 epfd, u64 uev, s32 max, struct poll_time when)
{
    struct iovec_k seg;
    struct iov_iter out;
    struct fd_hold h;
    s64 r;

    if (max <= 0 || max > EPOLL_EVENTS_MAX)
        return -EINVAL;
    if (!user_range_ok(uev, (u64)max * sizeof(struct epoll_event_k)))
        return -EFAULT;
    h = fd_hold((int)epfd);
    if (!h.file)
        return -EBADF;
    iov_init_user(&out, &seg, (void __user *)uev, (u64)max * sizeof(struct epoll_event_k));
    r = epoll_wait(h.file, &out, max, when.block, when.deadline);
    fd_release(h);
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
