/* SPDX-License-Identifier: MIT
 *
 * The way in and out: the system-call table, the work loop before user mode, exceptions of user
 * code. The fast path is an index, a bound and a test of one byte (seccomp or tracing of this
 * task).
 */
#include "arch/x86/switch.h"
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "container/seccomp.h"
#include "lib/errno.h"
#include "linux/sys.h"
#include "proc/itimer.h"
#include "proc/proc.h"
#include "proc/rseq.h"
#include "syscall_table.h"

typedef s64 (*syscall_fn)(u64, u64, u64, u64, u64, u64);

#define NR_RT_SIGRETURN 15

#define TABLE_IMPLEMENTED(nr, name, args) [nr] = (syscall_fn)(void *)sys_##name,
#define TABLE_MISSING(nr, name, args)
#define NAME_ENTRY(nr, name, args) [nr] = {#name, args},
static const syscall_fn syscall_table[SYSCALL_MAX + 1] = {
    SYSCALL_LIST(TABLE_IMPLEMENTED, TABLE_MISSING)};
static const struct {
    const char *name, *args;
} syscall_names[SYSCALL_MAX + 1] = {SYSCALL_LIST(NAME_ENTRY, NAME_ENTRY)};

/* Logs once per number a call that is not implemented. */
static __noinline s64 syscall_unknown(u64 nr)
{
    static u64 seen[(SYSCALL_MAX + 64) / 64];

    if (nr <= SYSCALL_MAX && syscall_names[nr].name) {
        u64 bit = 1ULL << (nr % 64);
        if (!(__atomic_fetch_or(&seen[nr / 64], bit, __ATOMIC_RELAXED) & bit))
            log_info("linux: %s is not implemented (called by %s)", syscall_names[nr].name,
                     current_thread()->name);
    }
    return -ENOSYS;
}

static __always_inline s64 syscall_run(const struct trap_frame *f, u64 nr)
{
    syscall_fn fn = likely(nr <= SYSCALL_MAX) ? syscall_table[nr] : NULL;

    if (unlikely(!fn))
        return syscall_unknown(nr);
    return fn(f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9);
}

/* SIGSYS of SECCOMP_RET_TRAP (deadly: of a kill). */
static void seccomp_signal(const struct trap_frame *f, u32 data, bool deadly)
{
    struct siginfo info = {.signo = SIGSYS, .error = (s32)data, .code = SYS_SECCOMP};

    info.sys.call_addr = f->rip;
    info.sys.syscall = (s32)f->orig_rax;
    info.sys.arch = AUDIT_ARCH_X86_64;
    if (deadly)
        process_exit(SIGSYS);
    signal_force(SIGSYS, &info);
}

/* What remains under SECCOMP_MODE_STRICT: read, write, rt_sigreturn and exit. */
static bool syscall_strict(u64 nr)
{
    return nr == 0 || nr == 1 || nr == NR_RT_SIGRETURN || nr == 60;
}

/* True when the call may go on; else rax is set. */
static bool syscall_seccomp(struct trap_frame *f, const struct seccomp *chain, u64 nr)
{
    struct seccomp_data d = {.nr = (s32)nr,
                             .arch = AUDIT_ARCH_X86_64,
                             .ip = f->rip,
                             .args = {f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9}};
    u32 verdict = seccomp_run(chain, &d), data = verdict & SECCOMP_RET_DATA;

    switch (verdict & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
        return true;
    case SECCOMP_RET_LOG:
        log_limited(LOG_INFO, "seccomp: %s called %lu", current_thread()->name, nr);
        return true;
    case SECCOMP_RET_ERRNO:
        f->rax = (u64) - (s64)MIN(data, 4095U);
        return false;
    case SECCOMP_RET_TRAP:
        seccomp_signal(f, data, false);
        return false;
    case SECCOMP_RET_TRACE: /* there is no tracer */
    case SECCOMP_RET_USER_NOTIF:
        f->rax = (u64)-ENOSYS;
        return false;
    case SECCOMP_RET_KILL_THREAD:
        task_exit(SIGSYS);
    default: /* KILL_PROCESS, and what is no action */
        seccomp_signal(f, data, true);
        return false;
    }
}

/* One argument as its letter in syscalls.tbl tells. Returns the text's length. */
static int syscall_trace_arg(char *out, size_t n, char letter, u64 value)
{
    char text[48];

    switch (letter) {
    case 's':
        if (value && copy_string_in(text, (void __user *)value, sizeof(text)) >= 0)
            return scnprintf(out, n, "\"%s\"", text);
        return scnprintf(out, n, "0x%lx", value);
    case 'f':
    case 'd':
        return scnprintf(out, n, "%d", (s32)value);
    case 'u':
        return scnprintf(out, n, "%u", (u32)value);
    case 'l':
    case 'n':
        return scnprintf(out, n, "%ld", value);
    case 'o':
        return scnprintf(out, n, "0%o", (u32)value);
    case 'x':
        return scnprintf(out, n, "0x%x", (u32)value);
    default:
        return scnprintf(out, n, "0x%lx", value);
    }
}

/* strace: `name(args) = result` in the log. */
static void syscall_trace(const struct trap_frame *f, u64 nr, s64 result)
{
    u64 a[6] = {f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9};
    const char *args =
        nr <= SYSCALL_MAX && syscall_names[nr].args ? syscall_names[nr].args : "XXXXXX";
    char line[200];
    int n = scnprintf(line, sizeof(line), "%s[%u] %s(", current_thread()->name,
                      current_task()->pid->numbers[0].nr,
                      nr <= SYSCALL_MAX && syscall_names[nr].name ? syscall_names[nr].name : "?");

    for (unsigned i = 0; args[i]; i++) {
        if (i)
            n += scnprintf(line + n, sizeof(line) - (size_t)n, ", ");
        n += syscall_trace_arg(line + n, sizeof(line) - (size_t)n, args[i], a[i]);
    }
    log_info("%s) = %ld", line, result);
}

/* Tasks under seccomp or trace. */
static __noinline void syscall_slow(struct trap_frame *f, struct task *t, u64 nr)
{
    if (t->entry_work & ENTRY_STRICT && !syscall_strict(nr))
        task_exit(SIGKILL);
    if (t->seccomp && !seccomp_judge(t->seccomp, nr) && !syscall_seccomp(f, t->seccomp, nr)) {
        if (t->entry_work & ENTRY_TRACE)
            syscall_trace(f, nr, (s64)f->rax);
        return;
    }
    s64 result = syscall_run(f, nr);
    if (t->entry_work & ENTRY_TRACE)
        syscall_trace(f, nr, result);
    f->rax = (u64)result;
}

static __noinline void syscall_restart(struct task *t)
{
    t->restart_call = true;
    thread_work_set(t->thread, WORK_SIGNAL);
}

static void up_syscall_traced(struct trap_frame *f);
TRACE_POINT(syscall_enter, up_syscall, "nr %lu (%lx, %lx)");
TRACE_POINT(syscall_exit, up_syscall, "nr %lu = %ld");

static void up_syscall_traced(struct trap_frame *f)
{
    u64 nr = (u32)f->orig_rax;

    TRACE(syscall_enter, nr, f->rdi, f->rsi);
    up_syscall(f);
    TRACE(syscall_exit, nr, f->rax, 0);
}

void up_syscall(struct trap_frame *f)
{
    struct task *t = current_task();
    u64 nr = (u32)f->orig_rax;
    u8 work = READ_ONCE(t->entry_work);

    watch_begin();
    watch_call(nr);
    /* A container's filter lets nearly all calls through unseen. */
    if (likely(!work || (work == ENTRY_SECCOMP && seccomp_allowed_fast(t->seccomp, nr))))
        f->rax = (u64)syscall_run(f, nr);
    else
        syscall_slow(f, t, nr);
    DEBUG_ASSERT(!current_thread()->locks);
    lockdep_nothing_held("a system call ends");
    if (unlikely((u64)f->rax - (u64)-ERESTART_RESTARTBLOCK <=
                 (u64)(ERESTART_RESTARTBLOCK - ERESTARTSYS)) &&
        nr != NR_RT_SIGRETURN)
        syscall_restart(t);
    watch_end_unless(&t->thread->work);
}

void up_return_to_user(struct trap_frame *f)
{
    struct thread *me = current_thread();
    struct task *t = me->task;
    u32 work;

    watch_irqs_off();
    while ((work = READ_ONCE(me->work)) != 0) {
        irq_enable();
        if (work & (WORK_RESCHED | WORK_THROTTLE))
            sched_user_work();
        if (work & WORK_MEMORY)
            memory_relieve();
        if (work & WORK_NOTIFY) {
            thread_work_clear(me, WORK_NOTIFY);
            void (*first)(struct trap_frame *) = t->first_run;
            t->first_run = NULL;
            if (first)
                first(f);
            if (thread_is_watched(me))
                itimer_check_cpu();
        }
        if (work & (WORK_SIGNAL | WORK_KILL))
            signal_deliver(f);
        if (work & WORK_RSEQ) /* after a call's restart, which looks at the place of the call */
            rseq_resume(f);
        irq_disable();
    }
    watch_irqs_on();
    watch_end();
}

/* Exceptions of user code, by vector (SDM 3A 6.15). */
static const struct {
    u8 sig, code;
} exception_signal[32] = {
    [VEC_DE] = {SIGFPE, FPE_INTDIV}, [VEC_DB] = {SIGTRAP, TRAP_TRACE},
    [VEC_BP] = {SIGTRAP, SI_KERNEL}, [VEC_OF] = {SIGSEGV, SI_KERNEL},
    [VEC_BR] = {SIGSEGV, SI_KERNEL}, [VEC_UD] = {SIGILL, ILL_ILLOPN},
    [VEC_NP] = {SIGBUS, SI_KERNEL},  [VEC_SS] = {SIGBUS, SI_KERNEL},
    [VEC_GP] = {SIGSEGV, SI_KERNEL}, [VEC_MF] = {SIGFPE, FPE_FLTINV},
    [VEC_AC] = {SIGBUS, BUS_ADRALN}, [VEC_XM] = {SIGFPE, FPE_FLTINV},
};

/* The code of a floating-point exception: of several, the one that Linux names first. */
static u8 exception_float_code(u32 raised)
{
    if (raised & FPU_INVALID)
        return FPE_FLTINV;
    if (raised & FPU_DIVIDE)
        return FPE_FLTDIV;
    if (raised & FPU_OVERFLOW)
        return FPE_FLTOVF;
    if (raised & (FPU_DENORMAL | FPU_UNDERFLOW))
        return FPE_FLTUND;
    return raised & FPU_INEXACT ? FPE_FLTRES : FPE_FLTINV;
}

void up_user_exception(struct trap_frame *f, unsigned vector)
{
    struct siginfo info = {.signo = SIGSEGV, .code = SI_KERNEL};

    if (vector < ARRAY_SIZE(exception_signal) && exception_signal[vector].sig) {
        info.signo = exception_signal[vector].sig;
        info.code = exception_signal[vector].code;
    }
    if (vector == VEC_MF || vector == VEC_XM)
        info.code = exception_float_code(fpu_exceptions(vector == VEC_XM));
    if (info.code != SI_KERNEL)
        info.fault.addr = f->rip;
    signal_force(info.signo, &info);
}

/* strace PID|off: traces a process's calls in the log. */
static int entry_cmd_strace(int argc, char **argv, void (*emit)(const char *fmt, ...))
{
    u64 nr;
    bool on = !(argc > 2 && strcmp(argv[2], "off") == 0);

    if (argc < 2 || parse_u64(argv[1], 10, &nr)) {
        emit("usage: strace PID [off]");
        return -EINVAL;
    }
    struct process *p = process_find(&pid_ns_init, (u32)nr);
    if (!p)
        return -ESRCH;
    struct task *t;
    u64 flags;
    spin_lock_irqsave(&p->siglock, &flags);
    list_for_each (t, &p->tasks, node)
        t->entry_work = on ? t->entry_work | ENTRY_TRACE : t->entry_work & (u8)~ENTRY_TRACE;
    spin_unlock_irqrestore(&p->siglock, flags);
    process_put(p);
    return 0;
}
CONSOLE_CMD(strace)
= {"strace", "strace PID [off]: log a process's system calls", entry_cmd_strace, false};
