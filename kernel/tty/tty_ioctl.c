/* SPDX-License-Identifier: MIT
 *
 * Terminal ioctls (ioctl_tty(2)): settings, window size, queues.
 */
#include "arch/x86/uaccess.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "proc/proc.h"
#include "tty/tty.h"

enum {
    TCGETS = 0x5401,
    TCSETS = 0x5402,
    TCSETSW = 0x5403,
    TCSETSF = 0x5404,
    TCGETA = 0x5405,
    TCSETA = 0x5406,
    TCSETAW = 0x5407,
    TCSETAF = 0x5408,
    TCSBRK = 0x5409,
    TCXONC = 0x540A,
    TCFLSH = 0x540B,
    TIOCEXCL = 0x540C,
    TIOCNXCL = 0x540D,
    TIOCOUTQ = 0x5411,
    TIOCSTI = 0x5412,
    TIOCGWINSZ = 0x5413,
    TIOCSWINSZ = 0x5414,
    TIOCINQ = 0x541B,
    TIOCGETD = 0x5424,
    TCSBRKP = 0x5425,
    TIOCVHANGUP = 0x5437,
    TIOCGLCKTRMIOS = 0x5456,
    TIOCSLCKTRMIOS = 0x5457,
};
#define TCGETS2 0x802C542AU
#define TCSETS2 0x402C542BU
#define TCSETSW2 0x402C542CU
#define TCSETSF2 0x402C542DU
enum { TCOOFF, TCOON, TCIOFF, TCION };
enum { TCIFLUSH, TCOFLUSH, TCIOFLUSH };

struct termios2 {
    struct termios t;
    u32 ispeed, ospeed;
};

static s64 tty_get_termios(struct tty *t, u64 arg, bool two)
{
    struct termios2 out = {.ispeed = 38400, .ospeed = 38400};
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    out.t = t->termios;
    spin_unlock_irqrestore(&t->lock, flags);
    return copy_out((void __user *)arg, &out, two ? sizeof(out) : sizeof(out.t));
}

/* The flags and characters that are held keep their values (TIOCSLCKTRMIOS(2const)). */
static void tty_keep_held_locked(const struct tty *t, struct termios *in) REQUIRES(t->lock)
{
    const struct termios *held = &t->held, *now = &t->termios;

    ASSERT_HELD(&t->lock);
    in->iflag = (in->iflag & ~held->iflag) | (now->iflag & held->iflag);
    in->oflag = (in->oflag & ~held->oflag) | (now->oflag & held->oflag);
    in->cflag = (in->cflag & ~held->cflag) | (now->cflag & held->cflag);
    in->lflag = (in->lflag & ~held->lflag) | (now->lflag & held->lflag);
    if (held->line)
        in->line = now->line;
    for (unsigned i = 0; i < NCCS; i++)
        if (held->cc[i])
            in->cc[i] = now->cc[i];
}

static s64 tty_change_termios(struct tty *t, struct termios *in, bool flush)
{
    u64 flags;
    int err = tty_check_change(t, SIGTTOU);

    if (err)
        return err;
    spin_lock_irqsave(&t->lock, &flags);
    if (flush)
        ldisc_flush_input_locked(t);
    in->cflag |= CS8;
    tty_keep_held_locked(t, in);
    ldisc_set_termios_locked(t, in);
    spin_unlock_irqrestore(&t->lock, flags);
    return 0;
}

static s64 tty_set_termios(struct tty *t, u64 arg, bool flush)
{
    struct termios in;

    if (copy_in(&in, (const void __user *)arg, sizeof(in)))
        return -EFAULT;
    return tty_change_termios(t, &in, flush);
}

static s64 tty_get_held(struct tty *t, u64 arg)
{
    struct termios out;
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    out = t->held;
    spin_unlock_irqrestore(&t->lock, flags);
    return copy_out((void __user *)arg, &out, sizeof(out));
}

static s64 tty_set_held(struct tty *t, u64 arg)
{
    struct termios in;
    u64 flags;

    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (copy_in(&in, (const void __user *)arg, sizeof(in)))
        return -EFAULT;
    spin_lock_irqsave(&t->lock, &flags);
    t->held = in;
    spin_unlock_irqrestore(&t->lock, flags);
    return 0;
}

/* struct termio: the low halves of the flags, and the first of the characters. */
struct termio {
    u16 iflag, oflag, cflag, lflag;
    u8 line, cc[8], pad;
};

static s64 tty_get_termio(struct tty *t, u64 arg)
{
    struct termio out = {0};
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    out.iflag = (u16)t->termios.iflag;
    out.oflag = (u16)t->termios.oflag;
    out.cflag = (u16)t->termios.cflag;
    out.lflag = (u16)t->termios.lflag;
    memcpy(out.cc, t->termios.cc, sizeof(out.cc));
    spin_unlock_irqrestore(&t->lock, flags);
    return copy_out((void __user *)arg, &out, sizeof(out));
}

static s64 tty_set_termio(struct tty *t, u64 arg, bool flush)
{
    struct termios all;
    struct termio in;
    u64 flags;

    if (copy_in(&in, (const void __user *)arg, sizeof(in)))
        return -EFAULT;
    spin_lock_irqsave(&t->lock, &flags);
    all = t->termios;
    spin_unlock_irqrestore(&t->lock, flags);
    all.iflag = (all.iflag & ~0xffffU) | in.iflag;
    all.oflag = (all.oflag & ~0xffffU) | in.oflag;
    all.cflag = (all.cflag & ~0xffffU) | in.cflag;
    all.lflag = (all.lflag & ~0xffffU) | in.lflag;
    memcpy(all.cc, in.cc, sizeof(in.cc));
    return tty_change_termios(t, &all, flush);
}

static s64 tty_set_winsize(struct tty *t, u64 arg)
{
    struct winsize in;
    u64 flags;

    if (copy_in(&in, (const void __user *)arg, sizeof(in)))
        return -EFAULT;
    spin_lock_irqsave(&t->lock, &flags);
    bool changed = memcmp(&in, &t->winsize, sizeof(in)) != 0;
    t->winsize = in;
    if (changed)
        tty_signal_pgrp_locked(t, SIGWINCH);
    spin_unlock_irqrestore(&t->lock, flags);
    return 0;
}

static s64 tty_get_winsize(struct tty *t, u64 arg)
{
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    struct winsize out = t->winsize;
    spin_unlock_irqrestore(&t->lock, flags);
    return copy_out((void __user *)arg, &out, sizeof(out));
}

static s64 tty_flow(struct tty *t, u64 arg)
{
    u64 flags;

    if (arg > TCION)
        return -EINVAL;
    int err = tty_check_change(t, SIGTTOU);
    if (err)
        return err;
    spin_lock_irqsave(&t->lock, &flags);
    char c = (char)t->termios.cc[arg == TCIOFF ? VSTOP : VSTART];
    if (arg == TCOOFF || arg == TCOON) {
        ldisc_set_flow_locked(t, arg == TCOOFF);
    } else if (c && (!t->ops->space || t->ops->space(t))) {
        t->ops->write(t, &c, 1);
    }
    spin_unlock_irqrestore(&t->lock, flags);
    return 0;
}

static s64 tty_flush(struct tty *t, u64 arg)
{
    u64 flags;

    if (arg > TCIOFLUSH)
        return -EINVAL;
    int err = tty_check_change(t, SIGTTOU);
    if (err)
        return err;
    spin_lock_irqsave(&t->lock, &flags);
    if (arg != TCOFLUSH)
        ldisc_flush_input_locked(t);
    if (arg != TCIFLUSH)
        ldisc_flush_output_locked(t);
    spin_unlock_irqrestore(&t->lock, flags);
    return 0;
}

static s64 tty_set_exclusive(struct tty *t, bool on)
{
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    t->exclusive = on;
    spin_unlock_irqrestore(&t->lock, flags);
    return 0;
}

static size_t tty_queued(struct tty *t)
{
    size_t n;
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    n = t->ops->queued ? t->ops->queued(t) : 0;
    spin_unlock_irqrestore(&t->lock, flags);
    return n;
}

/* tcdrain(3): until all output is with the device. */
static int tty_drain(struct tty *t)
{
    int err = tty_check_change(t, SIGTTOU);

    return err ? err : wait_event_interruptible(&t->write_wait, tty_queued(t) == 0);
}

static s64 tty_output_count(struct tty *t, u64 arg)
{
    s32 n = (s32)tty_queued(t);

    return copy_out((void __user *)arg, &n, sizeof(n));
}

static s64 tty_input_count(struct tty *t, u64 arg)
{
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    s32 n = (s32)((t->termios.lflag & ICANON ? t->canon : t->head) - t->tail);
    spin_unlock_irqrestore(&t->lock, flags);
    return copy_out((void __user *)arg, &n, sizeof(n));
}

static s64 tty_fake_input(struct tty *t, u64 arg)
{
    u8 c;

    if (current_process()->tty != t && !capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (copy_in(&c, (const void __user *)arg, 1))
        return -EFAULT;
    (void)ldisc_type(t, &c, 1);
    return 0;
}

s64 tty_mode_ioctl(struct tty *t, unsigned cmd, u64 arg)
{
    int err;

    switch (cmd) {
    case TCGETS:
        return tty_get_termios(t, arg, false);
    case TCGETS2:
        return tty_get_termios(t, arg, true);
    case TCSETS:
    case TCSETS2:
        return tty_set_termios(t, arg, false);
    case TCSETSW:
    case TCSETSW2:
    case TCSETSF:
    case TCSETSF2:
        err = tty_drain(t);
        return err ? err : tty_set_termios(t, arg, cmd == TCSETSF || cmd == TCSETSF2);
    case TCGETA:
        return tty_get_termio(t, arg);
    case TCSETA:
        return tty_set_termio(t, arg, false);
    case TCSETAW:
    case TCSETAF:
        err = tty_drain(t);
        return err ? err : tty_set_termio(t, arg, cmd == TCSETAF);
    case TIOCGLCKTRMIOS:
        return tty_get_held(t, arg);
    case TIOCSLCKTRMIOS:
        return tty_set_held(t, arg);
    case TIOCGWINSZ:
        return tty_get_winsize(t, arg);
    case TIOCSWINSZ:
        return tty_set_winsize(t, arg);
    default:
        return -ENOTTY;
    }
}

s64 tty_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct tty *t = tty_of_file(f);
    s32 zero = 0;

    s64 r = tty_mode_ioctl(t, cmd, arg);
    if (r == -ENOTTY && t->ops->ioctl)
        r = t->ops->ioctl(t, f, cmd, arg);
    if (r != -ENOTTY)
        return r;
    switch (cmd) {
    case TCSBRK:
    case TCSBRKP: /* there is no break to send: drained in any case */
        return tty_drain(t);
    case TCXONC:
        return tty_flow(t, arg);
    case TCFLSH:
        return tty_flush(t, arg);
    case TIOCEXCL:
    case TIOCNXCL:
        return tty_set_exclusive(t, cmd == TIOCEXCL);
    case TIOCOUTQ:
        return tty_output_count(t, arg);
    case TIOCGETD:
        return copy_out((void __user *)arg, &zero, sizeof(zero));
    case TIOCINQ:
        return tty_input_count(t, arg);
    case TIOCSTI:
        return tty_fake_input(t, arg);
    case TIOCVHANGUP:
        if (!capable(CAP_SYS_ADMIN))
            return -EPERM;
        tty_hangup(t);
        return 0;
    default:
        return tty_job_ioctl(t, f, cmd, arg);
    }
}
