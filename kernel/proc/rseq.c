/* SPDX-License-Identifier: MIT
 *
 * Restartable sequences, as linux/rseq.h and rseq(2) of Linux 6.1 define them. The scheduler sets
 * WORK_RSEQ at each switch away from a registered thread (thread->switch_work); what is to be done
 * is done on the way to user mode, so a call that sleeps ten times costs it once. All of it runs in
 * the thread itself, with interrupts on and no lock held.
 */
#include "proc/rseq.h"

#include "arch/x86/trap.h"
#include "arch/x86/uaccess.h"
#include "lib/errno.h"
#include "proc/task.h"

#define RSEQ_SIZE 32
#define RSEQ_NO_CPU (~0U)

/* Where things are in the registered area; the first eight bytes are two CPU numbers, equal while
 * it is registered. */
enum { RSEQ_CPU = 0, RSEQ_SECTION = 8, RSEQ_FLAGS = 16 };

/* struct rseq_cs: user code that must not be interrupted. */
struct rseq_section {
    u32 version, flags;
    u64 start, length, abort;
};

void rseq_set(struct task *t, u64 area, u32 signature)
{
    t->rseq = area;
    t->rseq_signature = signature;
    t->thread->switch_work = area ? WORK_RSEQ : 0;
    if (area)
        thread_work_set(t->thread, WORK_RSEQ);
}

static int rseq_write_cpu(u64 area, u32 start, u32 cpu)
{
    u32 both[2] = {start, cpu};

    return copy_out((void __user *)(area + RSEQ_CPU), both, sizeof(both));
}

int rseq_register(u64 area, u32 length, u32 signature)
{
    struct task *t = current_task();

    if (t->rseq) {
        if (t->rseq != area || length != RSEQ_SIZE)
            return -EINVAL;
        return t->rseq_signature != signature ? -EPERM : -EBUSY;
    }
    if (area % RSEQ_SIZE || length != RSEQ_SIZE)
        return -EINVAL;
    if (!user_range_ok(area, RSEQ_SIZE))
        return -EFAULT;
    rseq_set(t, area, signature);
    return 0;
}

int rseq_unregister(u64 area, u32 length, u32 signature)
{
    struct task *t = current_task();

    if (!t->rseq || t->rseq != area || length != RSEQ_SIZE)
        return -EINVAL;
    if (t->rseq_signature != signature)
        return -EPERM;
    if (rseq_write_cpu(area, 0, RSEQ_NO_CPU))
        return -EFAULT;
    rseq_set(t, 0, 0);
    return 0;
}

/* In user memory throughout, and its abort handler outside of it. */
static bool rseq_section_ok(const struct rseq_section *s)
{
    return !s->version && s->start < USER_TOP && s->length < USER_TOP - s->start &&
           s->abort < USER_TOP && s->abort - s->start >= s->length;
}

/* Out of the section that *f is in, if any. The section is forgotten in each case: if *f is not in
 * it, the thread has left it behind. */
static int rseq_leave_section(const struct task *t, struct trap_frame *f)
{
    void __user *slot = (void __user *)(t->rseq + RSEQ_SECTION);
    u64 at, none = 0;
    struct rseq_section s;
    u32 signature, flags;

    if (copy_in(&at, slot, sizeof(at)))
        return -EFAULT;
    if (!at)
        return 0;
    if (copy_in(&s, (const void __user *)at, sizeof(s)))
        return -EFAULT;
    if (!rseq_section_ok(&s))
        return -EINVAL;
    if (copy_in(&signature, (const void __user *)(s.abort - sizeof(signature)), sizeof(signature)))
        return -EFAULT;
    if (signature != t->rseq_signature)
        return -EINVAL;
    if (f->rip - s.start < s.length) {
        if (copy_in(&flags, (const void __user *)(t->rseq + RSEQ_FLAGS), sizeof(flags)))
            return -EFAULT;
        if (flags || s.flags) /* none is left that Linux 6.1 takes */
            return -EINVAL;
        f->rip = s.abort;
    }
    return copy_out(slot, &none, sizeof(none));
}

int rseq_interrupt(struct trap_frame *f)
{
    const struct task *t = current_task();

    return likely(!t->rseq) ? 0 : rseq_leave_section(t, f);
}

void rseq_resume(struct trap_frame *f)
{
    struct task *t = current_task();

    thread_work_clear(t->thread, WORK_RSEQ);
    if (!t->rseq)
        return;
    /* A move after the number is read sets WORK_RSEQ again. */
    u32 cpu = cpu_id();
    if (rseq_leave_section(t, f) || rseq_write_cpu(t->rseq, cpu, cpu))
        signal_force(SIGSEGV, NULL);
}
