/* SPDX-License-Identifier: MIT
 *
 * pidfd and signalfd: signals and processes as descriptors.
 */
#include "proc/pidfd.h"
#include "lib/err.h"
#include "lib/format.h"
#include "mm/slab.h"
#include "obj/file.h"
#include "proc/proc.h"

static bool pidfd_exited(struct pid *pid)
{
    struct process *p = process_of_pid(pid);
    bool exited = !p || p->state != PROCESS_LIVE;

    if (p)
        process_put(p);
    return exited;
}

static u32 pidfd_poll(struct file *f, struct poll_table *pt)
{
    struct pid *pid = f->priv;

    poll_wait(pt, &pid->exit_wait);
    return pidfd_exited(pid) ? POLLIN | POLLRDNORM : 0;
}

static void pidfd_release(struct file *f)
{
    pid_put(f->priv);
}

static int pidfd_fdinfo(struct file *f, char *buf, size_t n)
{
    return scnprintf(buf, n, "Pid:\t%u\n", pid_nr(f->priv, current_pid_ns()));
}

static const struct file_ops pidfd_ops = {
    .name = "[pidfd]",
    .poll = pidfd_poll,
    .release = pidfd_release,
    .fdinfo = pidfd_fdinfo,
};

struct file *pidfd_create(struct pid *pid, unsigned flags)
{
    struct file *f = file_create(&pidfd_ops, flags, pid);

    if (!f)
        return ERR_PTR(-ENOMEM);
    pid_get(pid);
    return f;
}

struct pid *pidfd_pid(struct file *f)
{
    if (f->ops != &pidfd_ops)
        return NULL;
    pid_get(f->priv);
    return f->priv;
}

/* signalfd: reads what is pending for the reader, not for the opener. */
struct signalfd {
    sigset_t mask; /* a */
};

/* struct signalfd_siginfo, linux/signalfd.h */
struct signalfd_info {
    u32 signo;
    s32 error, code;
    u32 pid, uid;
    s32 fd;
    u32 tid, band, overrun, trapno;
    s32 status, value_int;
    u64 ptr, utime, stime, addr;
    u16 addr_lsb, pad2;
    s32 syscall;
    u64 call_addr;
    u32 arch;
    u8 pad[28];
};
static_assert(sizeof(struct signalfd_info) == 128, "signalfd_siginfo");

static void signalfd_encode(const struct siginfo *in, struct signalfd_info *out)
{
    *out = (struct signalfd_info){.signo = (u32)in->signo, .error = in->error, .code = in->code};
    if (in->signo == SIGCHLD && in->code > 0) {
        out->pid = in->chld.pid;
        out->uid = in->chld.uid;
        out->status = in->chld.status;
        out->utime = (u64)in->chld.utime;
        out->stime = (u64)in->chld.stime;
    } else if (in->code == SI_TIMER) {
        out->tid = (u32)in->timer.id;
        out->overrun = (u32)in->timer.overrun;
        out->ptr = in->timer.value;
        out->value_int = (s32)in->timer.value;
    } else {
        out->pid = in->rt.pid;
        out->uid = in->rt.uid;
        out->ptr = in->rt.value;
        out->value_int = (s32)in->rt.value;
    }
}

static ssize_t signalfd_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct signalfd *s = f->priv;
    struct signalfd_info out;
    struct siginfo info;
    ssize_t done = 0;

    if (to->count < sizeof(out))
        return -EINVAL;
    while (to->count >= sizeof(out)) {
        bool block = !done && !(f->flags & O_NONBLOCK);
        int sig = signal_wait(s->mask, &info, block, 0);
        if (sig < 0) {
            if (done)
                break;
            return sig == -EINTR ? -ERESTARTSYS : sig;
        }
        signal_info_show(&info);
        signalfd_encode(&info, &out);
        if (iov_copy_to(to, &out, sizeof(out)) != sizeof(out))
            return done ? done : -EFAULT;
        done += (ssize_t)sizeof(out);
        cond_yield(); /* while others send, this one never waits */
        if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            break;
    }
    return done;
}

static u32 signalfd_poll(struct file *f, struct poll_table *pt)
{
    struct signalfd *s = f->priv;
    struct task *t = current_task();
    struct process *p = t->process;

    poll_wait(pt, &p->signal_wait);
    return (READ_ONCE(t->pending.set) | READ_ONCE(p->pending.set)) & s->mask ? POLLIN | POLLRDNORM
                                                                             : 0;
}

static void signalfd_release(struct file *f)
{
    kfree(f->priv);
}

static int signalfd_fdinfo(struct file *f, char *buf, size_t n)
{
    return scnprintf(buf, n, "sigmask:\t%016lx\n", ((struct signalfd *)f->priv)->mask);
}

static const struct file_ops signalfd_ops = {
    .name = "[signalfd]",
    .read = signalfd_read,
    .poll = signalfd_poll,
    .release = signalfd_release,
    .fdinfo = signalfd_fdinfo,
};

struct file *signalfd_create(unsigned long mask, unsigned flags)
{
    struct signalfd *s = kmalloc(sizeof(*s));

    if (!s)
        return ERR_PTR(-ENOMEM);
    s->mask = mask & ~SIG_UNMASKABLE;
    struct file *f = file_create(&signalfd_ops, O_RDWR | flags, s);
    if (!f) {
        kfree(s);
        return ERR_PTR(-ENOMEM);
    }
    return f;
}

int signalfd_set_mask(struct file *f, unsigned long mask)
{
    if (f->ops != &signalfd_ops)
        return -EINVAL;
    WRITE_ONCE(((struct signalfd *)f->priv)->mask, mask & ~SIG_UNMASKABLE);
    waitq_wake(&current_process()->signal_wait, POLLIN, ~0U);
    return 0;
}
