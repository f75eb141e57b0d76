/* SPDX-License-Identifier: MIT
 *
 * Threads and the run queues. Kernel code is preempted only where it blocks or calls cond_yield;
 * user and guest code is preempted by the work word. Each CPU has a tree of entities: control
 * groups (sched_group) and threads, picked by the smallest virtual run time, with weights; a
 * group's quota is a pool from which CPUs take 5 ms slices, and a thread out of quota is throttled
 * on its way to user or guest mode.
 *
 * Lock order: waitq lock, then run queue lock (both RANK_SCHED); a thread's own lock is inside
 * both.
 */
#pragma once

#include "arch/x86/switch.h"
#include "lib/atomic.h"
#include "lib/list.h"
#include "lib/rbtree.h"
#include "lib/types.h"
#include "sync/lockdep.h"
#include "sync/refcount.h"
#include "sync/spinlock.h"

struct account;
struct sched_group;
struct group_rq;
struct aspace;
struct task;

/* The work word: why a thread must look up before it returns to user or guest mode. */
enum work_bits {
    WORK_RESCHED = 1 << 0,
    WORK_SIGNAL = 1 << 1,
    WORK_KILL = 1 << 2,     /* fatal signal pending: sleeps that allow kill end */
    WORK_THROTTLE = 1 << 3, /* the group has no quota left, or is frozen */
    WORK_NOTIFY = 1 << 4,   /* vCPU request, stop, trace: the owner defines it */
    WORK_MEMORY = 1 << 5,   /* memory is short, or its account past its limit: memory_relieve */
    WORK_RSEQ = 1 << 6, /* switched away since user mode ran: rseq_resume. A guest need not wait */
};

enum thread_state { THREAD_RUNNABLE, THREAD_RUNNING, THREAD_SLEEPING, THREAD_DEAD };

/* How a sleep may end early. */
enum sleep_kind {
    SLEEP_UNINTERRUPTIBLE, /* only by wake */
    SLEEP_KILLABLE,        /* also by WORK_KILL */
    SLEEP_INTERRUPTIBLE,   /* also by WORK_SIGNAL or WORK_KILL */
};

/* The urgent class: threads of interrupts and devices' queues. They run before all fair threads of
 * their CPU, in turn, for URGENT_BUDGET of each URGENT_PERIOD together; when that is used up they
 * are among the fair ones until the next period. */
#define URGENT_PERIOD (10 * 1000000ULL) /* ns */
#define URGENT_BUDGET (5 * 1000000ULL)
enum urgent_state {
    URGENT_NOT,    /* a fair thread */
    URGENT_READY,  /* of the class: when it becomes runnable it goes to the front */
    URGENT_QUEUED, /* waits in front, or runs from there */
    URGENT_FAIR,   /* its budget is used up: waits, or runs, among the fair ones */
};

/* What a tree of the run queue holds: a thread, or a group's part on one CPU. All under the run
 * queue lock of its CPU. */
struct sched_entity {
    struct rb_node node;
    u64 vruntime;            /* ns weighted */
    u32 weight;              /* 1024 = nice 0 */
    u8 queued;               /* counted in parent->nr: in the tree, or the one that runs */
    struct group_rq *parent; /* whose tree it belongs to */
    struct group_rq *own;    /* a group's own tree; NULL: a thread */
};

/* What threads together have run since they joined, kept where each is accounted. Its keeper lets
 * all leave before it goes. */
struct cpu_clock {
    u64 user, system; /* a  ns; behind by what runs now, which cpu_clock_read adds */
    u8 watched;       /* a  each tick of one that has joined sets WORK_NOTIFY */
};

/* r run queue lock · a atomic · o owning thread only: ASSERT_CURRENT · I immutable after create */
struct thread {
    struct arch_thread arch;     /* o  saved registers, FPU area; first for the switch code */
    u32 work;                    /* a  enum work_bits, through thread_work_set/clear */
    u32 switch_work;             /* o  bits that each switch away sets in work */
    u8 state;                    /* r  enum thread_state */
    u8 sleep_kind;               /* o to change; others read it to wake the thread */
    u8 nofault;                  /* o  user copies fail instead of faulting */
    u8 takes_reserves;           /* o  depth of reserves_begin */
    u8 moves;                    /* r  leaves this CPU: its affinity changed */
    u8 closing;                  /* o  obj: it is destroying a file */
    u8 urgent;                   /* r  enum urgent_state */
    u16 cpu;                     /* r  last or current CPU */
    u32 locks;                   /* o to change; a  sleeping locks that it holds or waits for */
    refcount_t ref;              /* a */
    void *stack;                 /* I  lowest address */
    struct sched_entity se;      /* r */
    u64 sum_exec;                /* r  ns run in all */
    u64 exec_start;              /* r  ns of the last accounting point */
    u64 owed;                    /* r  of vruntime, put off while it has locks */
    s8 nice;                     /* r */
    u8 policy;                   /* r  SCHED_NORMAL, SCHED_BATCH, SCHED_IDLE */
    bool reset_on_fork;          /* a  new threads do not inherit a nice below 0 */
    u64 affinity;                /* r  CPU bit mask: what was asked for */
    u64 allowed;                 /* r  where it may run: affinity, of what its group has */
    struct sched_group *group;   /* r */
    struct aspace *aspace;       /* o  NULL: kernel thread, runs on any tables */
    struct account *account;     /* o  kernel memory is charged to it; NULL: uncharged */
    struct account *stack_payer; /* I  charged for the stack */
    struct task *task; /* o to change; a  kernel/proc's part; NULL: kernel thread, or at its end */
    struct file *closing_next;     /* o  obj: those to destroy after it */
    const struct cred *spare_cred; /* o  obj: it has references to spare, or NULL */
    u32 spare_creds;               /* o  obj: so many */
    char name[16];                 /* o to change; a  comm */
    u64 utime, stime;        /* r  ns in user mode (guest included) and in the kernel, as sampled */
    u8 user_mode;            /* r  the last sample: time until the next one is user time */
    struct cpu_clock *clock; /* r  where its time is added as well, or NULL; changed by joining */
    u64 nvcsw, nivcsw;       /* r */
    u64 timer_slack;         /* o  ns that a sleep of its may be late by; a kernel thread's is 0 */
    u64 bytes_read, bytes_written, reads, writes; /* o to change; a  by system calls */
    u64 copy_fault;                               /* o  where a copy of the kernel's faulted last */
    const void *area_hint; /* o  vm: the area that it found last, as long as the aspace's areas */
    u64 area_hint_seq;     /* o  are those of this number */
    u64 min_faults,
        maj_faults; /* o to change; a  page faults of user code; maj: that waited for a device */
    struct list_node *net_sends;   /* o  net: what it sends over lo goes here while it receives */
    struct list_node all;          /* list of all threads, for the console */
    struct list_node urgent_node;  /* r  of rq->urgent or rq->urgent_fair */
    struct lockdep_thread lockdep; /* o  the sleeping locks that it holds */
};

/* A new kernel thread, not yet runnable, with reference 1 of the caller; NULL on no memory.
 * Returning from fn ends the thread. Context: may sleep. */
struct thread *thread_create(const char *name, void (*fn)(void *arg), void *arg) __must_check;
/* As thread_create with an arch state made by the caller (fork, clone): enters user mode at *frame.
 * Its sleeps have a slack of THREAD_TIMER_SLACK ns, unless it is set. */
#define THREAD_TIMER_SLACK 50000
struct trap_frame;
struct thread *thread_create_user(const char *name, const struct trap_frame *frame) __must_check;
/* Makes a new thread runnable for the first time, on the CPU the policy chooses. */
void thread_start(struct thread *t);
__noreturn void thread_exit(void);
void thread_put(struct thread *t);

/* Gives the CPU away; returns when scheduled again. Context: no spinlock held, interrupts on. */
void schedule(void);
void sched_yield_current(void);
/* The threads that run on these CPUs pass schedule() before they are in user mode again. */
void sched_preempt(u64 cpus);
/* Yields if another thread should run; quiescent for RCU. For long loops. */
void cond_yield(void);

/* Sets bits of another thread's (or one's own) work word and makes it notice: an IPI when it runs
 * on another CPU, a wake when it sleeps and its sleep_kind lets these bits end it. irq-safe. */
void thread_work_set(struct thread *t, u32 bits);
static inline void thread_work_clear(struct thread *t, u32 bits)
{
    __atomic_fetch_and(&t->work, ~bits, __ATOMIC_SEQ_CST);
}
/* What is to be seen to before the thread's guest goes on. */
static inline u32 thread_guest_work(const struct thread *t)
{
    return READ_ONCE(t->work) & ~(u32)WORK_RSEQ;
}
/* True when a sleep of that kind must not start or go on. */
bool thread_sleep_interrupted(const struct thread *t, enum sleep_kind kind);
/* Makes a sleeping thread runnable; false when it was not sleeping. irq-safe. */
bool thread_wake(struct thread *t);

/* Called with the work word's WORK_RESCHED or WORK_THROTTLE set on the way to user or guest mode.
 */
void sched_user_work(void);

/* Policy, called by container/ and the system-call layer. 0 or -errno. */
struct sched_group *sched_group_create(struct sched_group *parent) __must_check;
void sched_group_destroy(struct sched_group *g); /* empty groups only */
void sched_group_set_weight(struct sched_group *g,
                            u32 weight); /* cpu.weight 1..10000, 100 default */
/* quota_ns 0: none. */
void sched_group_set_quota(struct sched_group *g, u64 quota_ns, u64 period_ns);
struct sched_group_stat {
    u64 usage_ns, user_ns, system_ns, nr_periods, nr_throttled, throttled_ns;
};
void sched_group_stat(struct sched_group *g, struct sched_group_stat *out);
void thread_set_group(struct thread *t, struct sched_group *g);
/* -EINVAL: none of them is online and in its group. */
int thread_set_affinity(struct thread *t, u64 mask);
/* The CPUs of the group, never none; its threads are then notified one by one (thread_apply_cpus).
 */
void sched_group_set_cpus(struct sched_group *g, u64 mask);
/* Frozen: from here on none of its threads comes to user or guest mode. Those that are there now,
 * or running, are told one by one (WORK_THROTTLE) after this; a new one asks itself. Groups below
 * are the caller's to set as well. */
void sched_group_set_frozen(struct sched_group *g, bool frozen);
bool sched_group_frozen(const struct sched_group *g);
void thread_apply_cpus(struct thread *t); /* never sleeps; current leaves at its next yield */
void thread_set_nice(struct thread *t, int nice);
/* Makes a kernel thread that has not been started one of the urgent class, on that CPU. What it
 * does between two yields (cond_yield, a sleep) is short: nothing else runs there meanwhile. */
void thread_set_urgent(struct thread *t, unsigned cpu);
extern struct sched_group sched_group_root;
/* ns that the CPU has spent in user mode (guests included), in the kernel and idle since it
 * started. */
void sched_cpu_times(unsigned cpu, u64 *user, u64 *system, u64 *idle);
u64 sched_load_avg(unsigned which); /* 0: 1 min, 1: 5, 2: 15; fixed point, 11 bits */
u64 sched_nr_running(void);
u64 sched_switches(void); /* since the start */

/* IDLE has a weight below all that nice gives, and is preempted by all others; BATCH preempts no
 * thread when it wakes. -EINVAL. URGENT is that of kernel threads by thread_set_urgent. */
enum { SCHED_NORMAL = 0, SCHED_BATCH = 3, SCHED_IDLE = 5, SCHED_URGENT = 128 };
int thread_set_policy(struct thread *t, int policy);
u64 sched_nr_threads(void);

/* Boot CPU: INIT_SCHED makes the boot context CPU 0's idle thread, so that `current` stands and
 * threads can be made and started; they run when init calls sched_idle. Other CPUs: from
 * up_ap_main. */
void sched_init_cpu(unsigned cpu);
__noreturn void sched_idle(void);
/* ns in user mode and in the kernel up to now; neither ever goes back. The sum is exact; how it
 * divides is known by samples only, which the timer tick of busy CPUs takes. irq-safe. */
void sched_thread_times(struct thread *t, u64 *user, u64 *system);
/* The clock that t is in, if any, is watched. */
static inline bool thread_is_watched(const struct thread *t)
{
    const struct cpu_clock *c = READ_ONCE(t->clock);

    return unlikely(c) && READ_ONCE(c->watched);
}
/* What t has run goes into c at once, then what it runs. Nothing, if it is in c. irq-safe. */
void cpu_clock_join(struct cpu_clock *c, struct thread *t);
/* t leaves its clock, if any, which keeps what it has had: no more than *user and *system. */
void cpu_clock_leave(struct thread *t, u64 *user, u64 *system);
/* ns up to now, of all that have ever joined; neither goes back. It looks at each CPU, but not at
 * each thread. irq-safe. */
void cpu_clock_read(struct cpu_clock *c, u64 *user, u64 *system);

/* Between the two the thread helps memory to come back, as by writing dirty pages, or holds what
 * that needs, as a transaction: it takes pages from the last reserve, and where there are none gets
 * -ENOMEM instead of waiting for others. They nest. */
void reserves_begin(void);
void reserves_end(void);

/* Highest address of t's kernel stack; the user frame lies right below it. */
void *thread_stack_top(const struct thread *t);
