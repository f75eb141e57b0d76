/* SPDX-License-Identifier: MIT
 *
 * A task: one thread of a process as the user sees it. Every user thread has one (thread->task); a
 * kernel thread has none. Shared parts (descriptors, root and working directory, namespaces) are
 * counted objects that clone shares or copies.
 */
#pragma once

#include "arch/x86/percpu.h"
#include "lib/list.h"
#include "obj/cred.h"
#include "obj/pid.h"
#include "proc/signal.h"
#include "sched/thread.h"
#include "sync/refcount.h"

struct process;
struct fd_table;
struct fs_context;
struct nsset;
struct seccomp;
struct completion;
struct posix_timer;

enum entry_work { ENTRY_SECCOMP = 1, ENTRY_TRACE = 2, ENTRY_STRICT = 4 };

/* How an interrupted call goes on after a stop (restart_syscall). */
struct restart_block {
    s64 (*resume)(struct restart_block *rb);
    u64 deadline; /* ns of time_ns() */
    u64 arg[4];
};

/* I immutable · o own thread only: ASSERT_CURRENT · s process->siglock · p proc_lock · a atomic */
struct task {
    refcount_t ref;            /* a */
    struct thread *thread;     /* I  a reference */
    struct process *process;   /* I  a reference */
    struct pid *pid;           /* p  the thread id; a reference */
    struct list_node node;     /* p, s  process->tasks */
    u64 nr;                    /* s  its place there: grows along the list */
    struct list_node pid_node; /* pid->lock */
    const struct cred *cred;   /* o writes under s; others read under s */
    struct fd_table *files;    /* o writes under s; NULL once exited */
    struct fs_context *fs;     /* o writes under s; NULL once exited */
    struct nsset *ns;          /* o writes under s; NULL once exited */

    sigset_t blocked;             /* s */
    sigset_t saved_mask;          /* o */
    bool restore_mask;            /* o  put saved_mask back on the way out */
    struct sigpending pending;    /* s */
    struct list_node queued;      /* s  in the process's queued_tasks, or none */
    struct sigstack altstack;     /* o */
    sigset_t waiting;             /* s  sigtimedwait: signals that end the sleep though blocked */
    struct restart_block restart; /* o */
    bool restart_call;            /* o  the call under way ended with a restart code in rax */
    /* Marks of stops: process->stop_round when it was set, void once SIGCONT has begun another. */
    u64 stop_joined; /* s  it has done its part in the process's stop */
    u64 stop_taken;  /* s  a stop signal is off the queue */
    u64 stopped;     /* s */

    u64 clear_child_tid;           /* o  user address */
    u64 robust_list;               /* o  user address */
    u64 rseq;                      /* o  user address of what rseq(2) registered, or 0 */
    u32 rseq_signature;            /* o  what stands before each of its abort handlers */
    struct completion *vfork_done; /* s  on the parent's stack; signalled at exec and exit */
    int exit_code;                 /* o  wait status */
    bool exiting;                  /* s */
    bool no_new_privs;             /* a  never cleared */
    int pdeath_signal;             /* s  written by its owner; 0: none */
    struct list_node death_node;   /* s  in process->death_signals, or none */
    struct list_node death_ring;   /* s  the others that ask for the same */
    u8 entry_work;           /* s  ENTRY_*: the slow way into system calls; read without a lock */
    struct seccomp *seccomp; /* s  NULL: none; replaced by chains built upon it only */
    void (*first_run)(struct trap_frame *f); /* o  PID 1: what to do before user mode */
    u64 start_time;                          /* I  ns of time_ns() */
    u64 default_slack;                       /* I  ns: its creator's timer_slack */
    u16 ioprio;                              /* a  as ioprio_set(2) has it */
    struct sem_undo_list *sem_undo;          /* o  NULL until it is used */
};

static inline struct task *current_task(void)
{
    return current_thread()->task;
}
static inline struct process *current_process(void)
{
    return current_task()->process;
}
static inline void task_get(struct task *t)
{
    refcount_get(&t->ref);
}
void task_put(struct task *t);
/* The thread nr of ns with a reference, or NULL. */
struct task *task_find(struct pid_ns *ns, u32 nr);
struct task *task_of_pid(struct pid *pid); /* the same of a number that is held */
/* References to what another task holds, or NULL when it has exited. */
const struct cred *task_cred(struct task *t);
struct fd_table *task_files(struct task *t);
struct fs_context *task_fs(struct task *t);
struct nsset *task_nsset(struct task *t);
/* Publishes new credentials for current and drops the old; takes new_cred. */
void task_set_cred(struct cred *new_cred);
