/* SPDX-License-Identifier: MIT
 *
 * Signals: sets, queues, actions, the codes of siginfo. Numbers and layouts are those of x86-64
 * Linux (asm-generic/signal.h, siginfo.h), so that a queued entry is copied to the user as it
 * stands.
 *
 * Everything of a process's signals, its tasks' included, is guarded by process->siglock, which is
 * irq-safe: timers and devices send signals.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

#define SIGHUP 1
#define SIGINT 2
#define SIGQUIT 3
#define SIGILL 4
#define SIGTRAP 5
#define SIGABRT 6
#define SIGBUS 7
#define SIGFPE 8
#define SIGKILL 9
#define SIGUSR1 10
#define SIGSEGV 11
#define SIGUSR2 12
#define SIGPIPE 13
#define SIGALRM 14
#define SIGTERM 15
#define SIGSTKFLT 16
#define SIGCHLD 17
#define SIGCONT 18
#define SIGSTOP 19
#define SIGTSTP 20
#define SIGTTIN 21
#define SIGTTOU 22
#define SIGURG 23
#define SIGXCPU 24
#define SIGXFSZ 25
#define SIGVTALRM 26
#define SIGPROF 27
#define SIGWINCH 28
#define SIGIO 29
#define SIGPWR 30
#define SIGSYS 31
#define SIGRTMIN 32
#define NSIG 64

typedef u64 sigset_t; /* bit n-1: signal n */
#define SIGMASK(n) (1ULL << ((n)-1))
#define SIG_SYNC_MASK                                                                            \
    (SIGMASK(SIGSEGV) | SIGMASK(SIGBUS) | SIGMASK(SIGILL) | SIGMASK(SIGTRAP) | SIGMASK(SIGFPE) | \
     SIGMASK(SIGSYS))
#define SIG_STOP_MASK (SIGMASK(SIGSTOP) | SIGMASK(SIGTSTP) | SIGMASK(SIGTTIN) | SIGMASK(SIGTTOU))
#define SIG_IGNORED_BY_DEFAULT \
    (SIGMASK(SIGCONT) | SIGMASK(SIGCHLD) | SIGMASK(SIGWINCH) | SIGMASK(SIGURG))
#define SIG_CORE_MASK                                                                             \
    (SIGMASK(SIGQUIT) | SIGMASK(SIGILL) | SIGMASK(SIGTRAP) | SIGMASK(SIGABRT) | SIGMASK(SIGFPE) | \
     SIGMASK(SIGSEGV) | SIGMASK(SIGBUS) | SIGMASK(SIGSYS) | SIGMASK(SIGXCPU) | SIGMASK(SIGXFSZ))
#define SIG_UNMASKABLE (SIGMASK(SIGKILL) | SIGMASK(SIGSTOP))

#define SIG_DFL 0UL
#define SIG_IGN 1UL
#define SA_NOCLDSTOP 0x00000001
#define SA_NOCLDWAIT 0x00000002
#define SA_SIGINFO 0x00000004
#define SA_RESTORER 0x04000000
#define SA_ONSTACK 0x08000000
#define SA_RESTART 0x10000000
#define SA_NODEFER 0x40000000
#define SA_RESETHAND 0x80000000

#define SI_USER 0
#define SI_KERNEL 0x80
#define SI_QUEUE (-1)
#define SI_TIMER (-2)
#define SI_SIGIO (-5)
#define SI_TKILL (-6)
#define ILL_ILLOPN 2
#define FPE_INTDIV 1
#define FPE_FLTDIV 3
#define FPE_FLTOVF 4
#define FPE_FLTUND 5
#define FPE_FLTRES 6
#define FPE_FLTINV 7
#define SEGV_MAPERR 1
#define SEGV_ACCERR 2
#define BUS_ADRALN 1
#define BUS_ADRERR 2
#define TRAP_BRKPT 1
#define TRAP_TRACE 2
#define SYS_SECCOMP 1
#define CLD_EXITED 1
#define CLD_KILLED 2
#define CLD_DUMPED 3
#define CLD_TRAPPED 4
#define CLD_STOPPED 5
#define CLD_CONTINUED 6
#define POLL_IN 1

/* The first 48 bytes of the user's siginfo_t; the other 80 are zero. A uid is the kernel's until
 * the receiver reads it (signal_info_show); a pid is of the receiver's namespace. */
struct siginfo {
    s32 signo, error, code, pad;
    union {
        u64 raw[4]; /* first: an initialiser that names no member clears all of it */
        struct {
            u32 pid, uid;
            u64 value;
        } rt; /* kill, sigqueue */
        struct {
            u32 pid, uid;
            s32 status, pad;
            s64 utime, stime; /* clock ticks of 10 ms */
        } chld;
        struct {
            s32 id, overrun;
            u64 value;
        } timer;
        struct {
            u64 addr;
            u16 addr_lsb;
        } fault;
        struct {
            s64 band;
            s32 fd;
        } poll;
        struct {
            u64 call_addr;
            s32 syscall;
            u32 arch;
        } sys;
    };
};
static_assert(sizeof(struct siginfo) == 48, "siginfo");
#define SIGINFO_USER_SIZE 128

/* Does it name a sender (or a child), with pid and uid at the same place? */
static inline bool signal_info_has_sender(const struct siginfo *i)
{
    return (i->code <= 0 && i->code != SI_TIMER && i->code != SI_SIGIO) ||
           (i->signo == SIGCHLD && i->code >= CLD_EXITED && i->code <= CLD_CONTINUED);
}
/* As current's program is to see it. */
void signal_info_show(struct siginfo *info);

/* The kernel's struct sigaction as rt_sigaction(2) passes it. */
struct sigaction {
    u64 handler;
    u64 flags;
    u64 restorer;
    sigset_t mask;
};

/* A queued signal. Those of one number hang off the first of them, so that a queue is never longer
 * than there are signals, however many a program has queued. */
struct sigqueue {
    struct list_node node; /* in the queue, or in `more` of the first */
    struct list_node more; /* of the first: those that came later */
    struct siginfo info;
};

struct sigpending {
    sigset_t set;
    struct list_node queue; /* struct sigqueue */
};

struct sigstack {
    u64 sp;
    s32 flags;
    u32 pad;
    u64 size;
};
#define SS_ONSTACK 1
#define SS_DISABLE 2
#define SS_AUTODISARM (1U << 31)
#define MINSIGSTKSZ 2048

struct task;
struct process;
struct pid;
struct trap_frame;
struct waitq;

/* Each sends one signal; 0 also when it is ignored. -EAGAIN: the queue limit, for a real-time
 * signal. The info is copied; NULL stands for SI_KERNEL. Permission is the caller's. irq-safe. */
int signal_send_task(struct task *t, int sig, const struct siginfo *info);
int signal_send_process(struct process *p, int sig, const struct siginfo *info);
/* As one of several processes, for which the signal has a number of its own: a fork that is under
 * way begins again, as the child would have been among them. */
int signal_send_shared(struct process *p, int sig, const struct siginfo *info, u64 nr);
u64 signal_shared_number(void);
/* SIGKILL that even the init of a pid namespace obeys, and a process that is still being made. */
void signal_kill_process(struct process *p);
void signal_end_process(struct process *p, int status); /* likewise, with that wait status */
/* From the kernel to each process of the group, and then another one unless it is 0. False: the
 * group is large, and will have it a little later. Context: takes proc_lock. */
bool signal_send_group(struct pid *pgrp, int sig, int then);
/* All members have had what was sent so before the signal number nr. pgrp NULL: those of all
 * groups. May sleep. */
void signal_group_settle(struct pid *pgrp, u64 nr);
/* A fault of the current task: unblocks the signal and resets its action where it is blocked or
 * ignored, so that it cannot be missed. */
void signal_force(int sig, const struct siginfo *info);
/* May current send sig to p, or to another process's task? 0, -EPERM, -EINVAL: no such signal,
 * -ESRCH: p has been reaped. */
int signal_permitted(struct process *p, int sig);
int signal_permitted_to(struct task *t, int sig);
/* death_signal.c: what t, which is current, is to be sent at its parent's end; 0: nothing. */
void death_signal_set(struct task *t, int sig);

/* True when current has a signal it should take now. */
bool signal_pending(const struct task *t);
/* Replaces current's mask (never blocking SIGKILL, SIGSTOP). */
void signal_set_mask(sigset_t mask);
/* Installs mask until the next return to user mode that takes a signal or ends the call: for ppoll,
 * pselect, epoll_pwait, sigsuspend. signal_restore_mask puts the old back at once. */
void signal_temp_mask(sigset_t mask);
void signal_restore_mask(void);
int signal_action(int sig, const struct sigaction *new_action, struct sigaction *old);
int signal_altstack(const struct sigstack *new_stack, struct sigstack *old, u64 sp);
/* sigtimedwait: the number, -EAGAIN on time-out, -EINTR. deadline 0: none; block false: only look.
 */
int signal_wait(sigset_t set, struct siginfo *info, bool block, u64 deadline);
/* Takes signals and stops until none is left; builds the handler's frame. Called by return-to-user.
 */
void signal_deliver(struct trap_frame *f);
/* Undoes a handler's frame at the user's stack pointer: the value for rax. */
s64 signal_return(struct trap_frame *f);
/* Copies info in the user's layout. 0 or -EFAULT. */
int signal_copy_info(void __user *to, const struct siginfo *info);
static inline void sigpending_init(struct sigpending *q)
{
    q->set = 0;
    list_init(&q->queue);
}
/* Takes the entries of set off q, for sigqueue_free_list, which may yield: there may be many.
 * REQUIRES(siglock) */
void sigpending_take_locked(struct sigpending *q, sigset_t set, struct list_node *dropped);
void sigqueue_free_list(struct process *p, struct list_node *dropped);
/* Stops and handlers of exec and clone. */
void signal_exec_reset(struct process *p);
