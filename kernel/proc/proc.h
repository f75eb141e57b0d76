/* SPDX-License-Identifier: MIT
 *
 * A process: a group of tasks with one address space, one set of signal handlers, one parent, one
 * place in the control-group tree, one wait status.
 *
 * Lock order: proc_lock (tree, groups, sessions; irq-safe), then pid->lock, then siglock
 * (irq-safe). A process stays findable by its pid until it is reaped; `ref` keeps the structure
 * after that.
 */
#pragma once

#include "container/cgroup.h"
#include "proc/rlimit.h"
#include "proc/signal.h"
#include "proc/task.h"
#include "sched/timer.h"
#include "sync/rcu.h"

struct aspace;
struct tty;

extern struct spinlock proc_lock;

enum process_state { PROCESS_LIVE, PROCESS_ZOMBIE, PROCESS_REAPED };

/* What wait(2) still has to report besides exit. */
enum process_event { PEVENT_STOPPED = 1, PEVENT_CONTINUED = 2 };

/* Once BEGUN, tasks that join or leave the process are in its clock; KEPT: all are. */
enum process_clock { CLOCK_NONE, CLOCK_BEGUN, CLOCK_KEPT };

struct process_times {
    u64 utime, stime; /* ns */
    u64 min_faults, maj_faults, nvcsw, nivcsw;
    u64 bytes_read, bytes_written, reads, writes; /* by calls, of anything */
    u64 max_rss;                                  /* pages */
};

/* An interval timer of setitimer(2). */
struct itimer {
    u64 expires, interval; /* ns; expires 0: off. REAL: absolute; others: ns of CPU time */
};

/* I immutable · p proc_lock · s siglock · a atomic */
struct process {
    refcount_t ref;      /* a */
    struct rcu_head rcu; /*    its queues outlive the last reference by a grace period */
    u8 state;            /* p  enum process_state */
    struct pid *pid;     /* I  the thread-group id; a reference */
    struct task *leader; /* p, s  its tid is the process id; a reference until reaped */
    u64 start_time;      /* I */
    bool ns_init;        /* I  the init of its pid namespace: default actions spare it */

    /* Its tasks. */
    struct list_node tasks; /* p, s  live tasks by task->node */
    u64 tasks_made;         /* s  task->nr of the latest */
    u32 nr_tasks;           /* s */
    u32 nr_alive;           /* s  tasks that have not begun to exit */
    struct list_node walks; /* s  those who walk over them, yielding between: struct task_walk */
    struct list_node queued_tasks;  /* s  those whose own queue may hold something */
    sigset_t task_signals;          /* s  all that some task's own queue may hold */
    struct list_node death_signals; /* s  for each PR_SET_PDEATHSIG asked for, the first task */

    /* What goes for all of them: an end, an exec, a stop (process_tell_tasks_locked). */
    struct spinlock siglock;
    struct task_tell *tell;  /* s  the walk that tells them what goes for all, or NULL */
    sigset_t unclaimed;      /* s  pending ones for which that walk looks for a task */
    bool group_exit;         /* s  every task is to exit */
    bool emptying;           /* s  its address space is being unmapped; cleared without the lock */
    int exit_status;         /* s  wait status: what wait(2) reports */
    struct task *group_exec; /* s  the task that waits for the others to be gone */
    u64 stop_round;          /* s  from 1 on: each SIGCONT begins one */
    int stop_signal;         /* s  the stop under way or reached; 0: running */
    u32 stop_count;          /* s  tasks still to stop */
    struct waitq stop_wait;  /*    stopped tasks */

    /* Parent and children, and what wait(2) is told. */
    struct process *parent; /* p  who waits for it; NULL for PID 1 and its peers */
    u32 ppid; /* p, a  the parent's number in this process's namespace; 0: none there */
    struct list_node children;  /* p  in the order of their coming */
    struct list_node sibling;   /* p */
    struct rb_root zombies;     /* p  those of them, in the same order */
    struct rb_node zombie_node; /* p */
    u64 child_nr;               /* p  that order */
    bool subreaper;             /* p  adopts orphans among its descendants */
    u64 child_news;             /* p, a  counts what wait(2) may tell of */
    struct waitq child_wait;    /*    parents in wait(2) sleep here */
    u8 events;                  /* s  enum process_event, for wait(2) */
    u8 notify;                  /* s  enum process_event, not reported to the parent yet */
    int exit_signal;            /* p  sent to the parent; 0 or no signal's number: none */
    u64 exec_id;                /* a  counts its programs */
    u64 parent_exec_id;         /* p  which of the parent's chose exit_signal */

    /* Process group, session and terminal. */
    struct list_node tgid_node, pgid_node, sid_node; /* pid->lock */
    struct pid *pgrp, *session;                      /* p  references */
    u64 group_nr;                                    /* p  its place in pgrp: grows with time */
    struct tty *tty;                                 /* p  controlling terminal; a reference */
    bool session_leader;                             /* p */

    /* Signals. */
    struct sigaction *actions; /* s  [sig - 1], own or shared */
    struct sighand *sighand;   /* s  shared with other processes; a reference; NULL: own */
    struct sigpending pending; /* s */
    u64 shared_signal;         /* s  the last that it, or its maker, and others were sent */
    struct waitq signal_wait;  /*    signalfd and sigtimedwait */
    atomic_t sigqueue_count;   /* a  queued entries: RLIMIT_SIGPENDING */
    struct sigqueue own_entry; /* s; its taker's until own_entry_taken is false: one signal's */
    bool own_entry_taken;      /* a  set under siglock */

    /* Its program, who may look into it, and what it has asked for. */
    struct aspace *aspace;   /* s  a user reference; NULL once exited */
    struct user_ns *exec_ns; /* s  where its program was started; a reference */
    /* An exec's rights, from where they are judged until it has them; a filter for all threads. */
    struct mutex cred_guard;
    bool did_exec;                /* a */
    bool dumpable;                /* a */
    u32 membarrier;               /* a  what membarrier(2) has registered */
    u32 personality;              /* a */
    s16 oom_score_adj;            /* a */
    s16 oom_score_adj_min;        /* a  as low as it may be set without privilege */
    u32 login_uid, login_session; /* a  of audit; ~0: unset */

    /* Limits and timers. */
    struct rlimit rlimits[RLIM_NLIMITS]; /* s */
    struct timer real_timer;             /*    ITIMER_REAL */
    struct itimer itimers[3];            /* s */
    bool real_timer_rests;               /* s  fired, and its signal has not been taken yet */
    bool timers_rest;                    /* s  some timer does that is not in timers_taken */
    struct list_node posix_timers;       /* s */
    unsigned nr_posix_timers;            /* s */
    struct list_node timers_taken;       /* s  POSIX timers to be set going again */
    struct timer timers_resume;          /*    armed while there are some */
    s32 next_timer_id;                   /* s */

    /* What it has used. */
    struct cgroup_member cgroup;             /* container's */
    struct process_times times, child_times; /* s  of tasks that are gone; of reaped children */
    struct cpu_clock clock;                  /*    of all tasks, once clock_state says so */
    u8 clock_state;                          /* s, a  enum process_clock */

    struct sigaction own_actions[NSIG];
};

/* A look without siglock is one of those that sleep until it is not. */
static inline bool task_is_stopped(const struct task *t)
{
    return READ_ONCE(t->stopped) == READ_ONCE(t->process->stop_round);
}
/* At its next return to user mode. REQUIRES(siglock) */
static inline bool task_is_to_stop(const struct task *t)
{
    ASSERT_HELD(&t->process->siglock);
    return t->process->stop_signal && t->stop_joined != t->process->stop_round;
}
static inline void process_get(struct process *p)
{
    refcount_get(&p->ref);
}
void process_put(struct process *p);
/* The process that has nr of ns, or a thread with that number, with a reference; or NULL. */
struct process *process_find(struct pid_ns *ns, u32 nr);
/* The process whose own number nr is. */
struct process *process_find_leader(struct pid_ns *ns, u32 nr);
/* p's process group, which another process may change: a reference. */
struct pid *process_pgrp(struct process *p);
/* Of a struct pid, by its thread-group role; a reference or NULL. */
struct process *process_of_pid(struct pid *pid);
/* A live task of p with a reference, the leader if it lives; NULL when all exited. */
struct task *process_task(struct process *p);
/* Its leader, alive or what a zombie has left of it: a reference; NULL when p has been reaped. */
struct task *process_leader(struct process *p);
/* p's address space with a user reference, or NULL. aspace_put gives it back. */
struct aspace *process_aspace(struct process *p);
/* The pid namespace its own pid was allocated in. */
static inline struct pid_ns *process_pid_ns(const struct process *p)
{
    return p->pid->numbers[p->pid->level].ns;
}
#define current_pid_ns() process_pid_ns(current_process())
/* May current look into p (memory, descriptors, environment): same ids and dumpable, or
 * CAP_SYS_PTRACE. */
bool process_may_inspect(struct process *p);
/* p's memory as process_aspace gives it, if current may look into it: else ERR_PTR(-EPERM). */
struct aspace *process_inspect_aspace(struct process *p);
/* The same for what is done through a descriptor: it outlives an exec, which may have made of the
 * process, or of the one that has the descriptor now, more than its opener was. NULL: not so. */
bool process_may_inspect_as(struct process *p, const struct cred *opener);
struct aspace *process_inspect_aspace_as(struct process *p, const struct cred *opener);
/* CPU time and faults so far, of live and gone tasks. May yield: a process may have many threads.
 */
void process_times_get(struct process *p, struct process_times *out);
/* The most memory that it has had, in pages. irq-safe. */
u64 process_max_rss(struct process *p);
/* utime and stime alone, the same: at once if p's clock is kept, else by that walk. */
void process_times_cpu(struct process *p, struct process_times *out);
/* p's clock is kept from here on: a walk the first time. May sleep. */
void process_clock_keep(struct process *p);

/* REQUIRES(proc_lock): p leaves its parent, if it has one, for another or, NULL, for none. */
void process_set_parent_locked(struct process *p, struct process *parent) REQUIRES(proc_lock);
/* Calls fn for each task, new ones included, under siglock and the lock of the process's cgroup
 * member, both of which are released now and then; non-zero ends it and is returned. May sleep. */
int process_for_each_task(struct process *p, int (*fn)(struct task *t, void *arg), void *arg);
/* REQUIRES(siglock): wakes the tasks for what goes for all of them: an end, an exec or a stop, each
 * noted before. Of a crowd the first few and the caller at once, the rest a little later.
 * irq-safe. */
void process_tell_tasks_locked(struct process *p) REQUIRES(p->siglock);
/* REQUIRES(siglock): t joins, leaves the process; its times become p's. */
void process_link_task_locked(struct process *p, struct task *t) REQUIRES(p->siglock);
void process_unlink_task_locked(struct process *p, struct task *t) REQUIRES(p->siglock);
/* cgroup_up.c: p and its threads. Errors as cgroup_move. May sleep. */
int process_move_to_cgroup(struct process *p, struct cgroup *to);
/* cgroup_up.c: t runs in the scheduler's group of the control group that its process is in now;
 * called for each thread when a process is moved, and for a new thread.
 * REQUIRES(t->process->cgroup.lock, which comes before proc_lock and siglock) */
void task_follow_cgroup_locked(struct task *t) REQUIRES(t->process->cgroup.lock);

/* Process groups and sessions. 0 or -errno as setpgid(2), setsid(2) say. */
int process_setpgid(u32 pid, u32 pgid);
s64 process_setsid(void);
/* group_walk.c: a walk over a group's members, some at a time. Where `at` has left its place in
 * between, the walk begins again: a member may be seen twice. */
struct group_walk {
    struct pid *pgrp;   /* the holder keeps a reference */
    struct process *at; /* where it has come to: a reference, or NULL at the start and the end */
    u64 nr;             /* its group_nr then */
};
/* True: the walk ends here. REQUIRES(proc_lock) */
typedef bool group_member_fn(struct process *p, void *arg);
/* Calls fn for the next n members at most; true when there are more. *former: a reference to be put
 * without the lock, or NULL. */
bool group_walk_some_locked(struct group_walk *w, unsigned n, group_member_fn *fn, void *arg,
                            struct process **former) REQUIRES(proc_lock);
bool group_walk_some(struct group_walk *w, unsigned n, group_member_fn *fn, void *arg);

/* orphan.c: no member of p's group has a parent in another group of the same session.
 * Context: may yield. */
bool process_group_orphaned(struct process *p);

/* fork.c */
struct clone_args_k {
    u64 flags;
    u64 stack, stack_size; /* stack 0: the parent's */
    u64 tls;
    u64 parent_tid, child_tid, pidfd; /* user addresses */
    int exit_signal;
    u32 set_tid[PID_NS_LEVELS]; /* numbers wanted, the innermost namespace's first */
    unsigned set_tid_size;
    int cgroup_fd; /* with CLONE_INTO_CGROUP */
};
/* Processes and threads made since the start. */
u64 process_count_created(void);
struct trap_frame;
/* The child's tid in the caller's namespace, or -errno. *f: the caller's frame. May sleep. */
s64 process_clone(const struct clone_args_k *args, const struct trap_frame *f);
/* start.c: makes and starts PID 1, which opens /dev/console and executes path. The strings must
 * stay. 0 or -ENOMEM; that path does not execute is a panic. */
int process_start_init(const char *path, const char *const *argv, const char *const *envp);

/* exec.c: replaces current's program. Strings are a checked copy. On success *f is the new
 * program's first state. After the point of no return a failure kills the process. */
struct exec_strings;
struct file;
int process_exec(struct file *file, const char *path, struct exec_strings *argv,
                 struct exec_strings *envp, struct trap_frame *f);

/* exit.c */
/* Sends the parent its SIGCHLD about a stop or continuation and wakes its wait(2). */
void process_notify_parent(struct process *p, int code, int status);
__noreturn void task_exit(int status);    /* this task */
__noreturn void process_exit(int status); /* all of its process */
#define EXIT_STATUS(code) (((code)&0xff) << 8)
struct wait_request {
    enum { WAIT_ANY, WAIT_PID, WAIT_PGID } which;
    struct pid *pid; /* borrowed */
    unsigned options;
};
struct wait_result {
    u32 pid, uid; /* in the caller's namespaces */
    int status;   /* wait status */
    int code;     /* CLD_* */
    struct process_times times;
    struct process *live; /* wait.c's own */
};
#define WNOHANG 1
#define WUNTRACED 2
#define WSTOPPED 2
#define WEXITED 4
#define WCONTINUED 8
#define WNOWAIT 0x01000000
#define __WALL 0x40000000
#define __WCLONE 0x80000000
/* 1 with *out, 0 with WNOHANG and nothing to say, -ECHILD, -ERESTARTSYS. May sleep. */
int process_wait(const struct wait_request *req, struct wait_result *out);

/* Signals, as signal.h has them for callers without the lock. */
/* As signal_send_task, or with t NULL signal_send_process; sig is not 0. */
int signal_post_locked(struct process *p, struct task *t, int sig, const struct siginfo *info)
    REQUIRES(p->siglock);
/* Signals for the process, of set, which the current task was to take perhaps and will not: the
 * others that may are told. */
void signal_pass_on_locked(struct process *p, sigset_t set) REQUIRES(p->siglock);
/* Recomputes WORK_SIGNAL of t. */
void signal_recalc_locked(struct task *t) REQUIRES(t->process->siglock);
/* Takes the next signal of set off the queues; 0 none, else its number and *info. */
int signal_dequeue_locked(struct task *t, sigset_t set, struct siginfo *info)
    REQUIRES(t->process->siglock);
/* Wakes every task of p for a fatal exit with this wait status. */
void process_group_exit_locked(struct process *p, int status) REQUIRES(p->siglock);
