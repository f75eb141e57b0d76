/* SPDX-License-Identifier: MIT
 *
 * Building and undoing handler frames: see sigframe.h. The user's floating-point registers are live
 * while the kernel runs (it uses none), so saving is one XSAVE into the frame.
 */
#include "proc/sigframe.h"
#include "arch/x86/uaccess.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "proc/proc.h"

#define FP_XSTATE_MAGIC1 0x46505853U
#define FP_XSTATE_MAGIC2 0x46505845U
#define FXSAVE_SIZE 512
#define FXSAVE_SW_OFFSET 464
#define REDZONE 128
#define UC_FP_XSTATE 1
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4
#define RFLAGS_TF (1UL << 8)
#define RFLAGS_DF (1UL << 10)
#define RFLAGS_RF (1UL << 16)
/* CF PF AF ZF SF TF DF OF RF AC: what a handler may change. */
#define RFLAGS_USER 0x50dd5UL

struct sigcontext {
    u64 r8, r9, r10, r11, r12, r13, r14, r15;
    u64 rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
    u16 cs, gs, fs, ss;
    u64 err, trapno, oldmask, cr2, fpstate, reserved[8];
};
static_assert(sizeof(struct sigcontext) == 256, "sigcontext");

struct ucontext {
    u64 flags, link;
    struct sigstack stack;
    struct sigcontext mc;
    sigset_t mask;
};

struct user_siginfo {
    struct siginfo info;
    u8 rest[SIGINFO_USER_SIZE - sizeof(struct siginfo)];
};

struct rt_sigframe {
    u64 ret;
    struct ucontext uc;
    struct user_siginfo info;
};

/* struct _fpx_sw_bytes */
struct xstate_sw {
    u32 magic1, extended_size;
    u64 xfeatures;
    u32 xstate_size, pad[7];
};

void signal_info_show(struct siginfo *info)
{
    if (signal_info_has_sender(info))
        info->rt.uid = user_ns_uid(current_cred()->user_ns, info->rt.uid);
}

int signal_copy_info(void __user *to, const struct siginfo *info)
{
    struct user_siginfo whole = {.info = *info};

    signal_info_show(&whole.info);
    return copy_out(to, &whole, sizeof(whole));
}

/* Writes the FPU state at `at`. */
static int sigframe_save_fpu(u64 at)
{
    void *area = current_thread()->arch.xsave;
    u32 size = fpu_size();
    struct xstate_sw sw = {
        .magic1 = fpu_xcr0() ? FP_XSTATE_MAGIC1 : 0,
        .extended_size = size + sizeof(u32),
        .xfeatures = fpu_xcr0(),
        .xstate_size = size,
    };

    int err = fpu_save_user((void __user *)at);
    if (err == -ENXIO) {
        fpu_save(area);
        err = copy_out((void __user *)at, area, size);
    }
    if (err || copy_out((void __user *)(at + FXSAVE_SW_OFFSET), &sw, sizeof(sw)))
        return -EFAULT;
    if (fpu_xcr0() && user_store32((u32 __user *)(at + size), FP_XSTATE_MAGIC2))
        return -EFAULT;
    fpu_reset();
    return 0;
}

/* The rest of *mc is zero. */
static inline void sigcontext_fill(struct sigcontext *mc, const struct trap_frame *f, u64 fpstate)
{
    mc->r8 = f->r8, mc->r9 = f->r9, mc->r10 = f->r10, mc->r11 = f->r11;
    mc->r12 = f->r12, mc->r13 = f->r13, mc->r14 = f->r14, mc->r15 = f->r15;
    mc->rdi = f->rdi, mc->rsi = f->rsi, mc->rbp = f->rbp, mc->rbx = f->rbx;
    mc->rdx = f->rdx, mc->rax = f->rax, mc->rcx = f->rcx;
    mc->rsp = f->rsp, mc->rip = f->rip, mc->rflags = f->rflags;
    mc->cs = (u16)f->cs;
    mc->ss = (u16)f->ss;
    mc->fpstate = fpstate;
}

/* Where the frame starts: on the alternate stack when asked for and not there yet. */
static u64 sigframe_stack(const struct task *t, const struct trap_frame *f, u64 act_flags)
{
    const struct sigstack *s = &t->altstack;
    bool on = f->rsp > s->sp && f->rsp - s->sp <= s->size && !(s->flags & (s32)SS_AUTODISARM);

    if (act_flags & SA_ONSTACK && s->size && !on)
        return s->sp + s->size;
    return f->rsp - REDZONE;
}

int sigframe_push(struct trap_frame *f, const struct siginfo *info, const struct sigaction *act,
                  sigset_t old_mask)
{
    struct task *t = current_task();
    u64 fp = ALIGN_DOWN(sigframe_stack(t, f, act->flags) - fpu_size() - sizeof(u32), 64UL);
    u64 sp = ALIGN_DOWN(fp - sizeof(struct rt_sigframe), 16UL) - 8;
    struct rt_sigframe fr = {.ret = act->restorer};

    /* IRET to an address that is not canonical would fault in the kernel. */
    if (!(act->flags & SA_RESTORER) || !user_range_ok(sp, fp - sp) ||
        !user_range_ok(act->handler, 1))
        return -EFAULT;
    fr.uc.flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (fpu_xcr0() ? UC_FP_XSTATE : 0);
    fr.uc.stack = t->altstack;
    if (!t->altstack.size)
        fr.uc.stack.flags = SS_DISABLE;
    fr.uc.mask = old_mask;
    sigcontext_fill(&fr.uc.mc, f, fp);
    fr.uc.mc.oldmask = old_mask;
    fr.info.info = *info;
    signal_info_show(&fr.info.info);
    if (copy_out((void __user *)sp, &fr, sizeof(fr)) || sigframe_save_fpu(fp))
        return -EFAULT;

    if (t->altstack.flags & (s32)SS_AUTODISARM)
        t->altstack = (struct sigstack){.flags = SS_DISABLE};
    f->rdi = (u64)info->signo;
    f->rsi = sp + offsetof(struct rt_sigframe, info);
    f->rdx = sp + offsetof(struct rt_sigframe, uc);
    f->rax = 0;
    f->rsp = sp;
    f->rip = act->handler;
    f->cs = USER_CS;
    f->ss = USER_DS;
    f->rflags &= ~(RFLAGS_TF | RFLAGS_DF | RFLAGS_RF);
    return 0;
}

/* Loads the FPU state that the handler's frame holds; 0 address: as after a reset. */
static int sigframe_load_fpu(u64 at)
{
    struct xstate_sw sw;
    bool whole;

    if (!at) {
        fpu_reset();
        return 0;
    }
    if (copy_in(&sw, (void __user *)(at + FXSAVE_SW_OFFSET), offsetof(struct xstate_sw, pad)))
        return -EFAULT;
    whole = sw.magic1 == FP_XSTATE_MAGIC1 && sw.xstate_size == fpu_size();
    return fpu_restore_user((const void __user *)at, whole);
}

static void sigcontext_load(struct trap_frame *f, const struct sigcontext *mc)
{
    f->r8 = mc->r8, f->r9 = mc->r9, f->r10 = mc->r10, f->r11 = mc->r11;
    f->r12 = mc->r12, f->r13 = mc->r13, f->r14 = mc->r14, f->r15 = mc->r15;
    f->rdi = mc->rdi, f->rsi = mc->rsi, f->rbp = mc->rbp, f->rbx = mc->rbx;
    f->rdx = mc->rdx, f->rax = mc->rax, f->rcx = mc->rcx;
    f->rsp = mc->rsp, f->rip = mc->rip;
    f->rflags = (f->rflags & ~RFLAGS_USER) | (mc->rflags & RFLAGS_USER);
    f->cs = USER_CS;
    f->ss = USER_DS;
}

s64 signal_return(struct trap_frame *f)
{
    struct ucontext uc;

    /* ret has popped the return address: the frame's first word lies 8 below. */
    if (copy_in(&uc, (void __user *)f->rsp, sizeof(uc)) || !user_range_ok(uc.mc.rip, 1) ||
        sigframe_load_fpu(uc.mc.fpstate)) {
        signal_force(SIGSEGV, NULL);
        return 0;
    }
    sigcontext_load(f, &uc.mc);
    signal_set_mask(uc.mask);
    (void)signal_altstack(&uc.stack, NULL, f->rsp);
    return (s64)f->rax;
}
