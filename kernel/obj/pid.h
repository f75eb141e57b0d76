/* SPDX-License-Identifier: MIT
 *
 * struct pid: one process-id object with its number in each nested pid namespace. Look-ups run
 * under RCU; the lists of tasks hang off `tasks` by kind and belong to kernel/proc.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"
#include "lib/xarray.h"
#include "sync/rcu.h"
#include "sync/refcount.h"
#include "sched/wait.h"

#define PID_MAX 4194304
#define PID_NS_LEVELS 32

struct user_ns;
struct pid_ns {
    refcount_t ref;
    struct pid_ns *parent;
    unsigned level;
    u64 inum;
    struct spinlock lock;
    struct xarray pids; /* number -> struct pid; lock, RCU to read */
    u32 last, count;    /* lock */
    void *reaper; /* a  the namespace's init (struct process); NULL once it died: no new pids */
    bool dying;   /* lock to write; kernel/proc: under proc_lock besides */
    struct waitq ending; /* a number is free again, and the namespace is dying */
    struct user_ns *user_ns;
};
extern struct pid_ns pid_ns_init;

enum pid_kind { PID_TID, PID_TGID, PID_PGID, PID_SID, PID_KINDS };
struct pid {
    refcount_t ref;
    struct rcu_head rcu;
    unsigned level;
    struct spinlock lock;
    struct list_node tasks[PID_KINDS]; /* lock (kernel/proc) */
    struct waitq exit_wait;            /* pidfd poll */
    u64 mark;                          /* kernel/proc's: a walk over groups has seen it */
    struct {
        u32 nr;
        struct pid_ns *ns;
    } numbers[]; /* level + 1 of them */
};

/* want: n numbers, for the innermost namespace and those around it; the others are chosen. ERR_PTR:
 * -EAGAIN, -ENOMEM, -EEXIST, -EINVAL: not a number, more than there are namespaces, or not the
 * first of a namespace without one. */
struct pid *pid_alloc(struct pid_ns *ns, const u32 *want, unsigned n) __must_check;
void pid_free_numbers(struct pid *pid); /* unhash: look-ups stop finding it */
/* The same once it names no process, group or session. REQUIRES(proc_lock) */
void pid_free_numbers_unused(struct pid *pid);
/* In the namespaces that are ending: nothing is looked up there any more, and their end waits for
 * the numbers. */
void pid_free_numbers_dying(struct pid *pid);
void pid_get(struct pid *pid);
void pid_put(struct pid *pid);
struct pid *pid_find(struct pid_ns *ns, u32 nr);            /* a reference or NULL */
u32 pid_nr(const struct pid *pid, const struct pid_ns *ns); /* 0: not visible there */
/* The first pid of ns with number >= nr, with a reference: /proc listing. */
struct pid *pid_next(struct pid_ns *ns, u32 nr);
struct pid_ns *pid_ns_create(struct pid_ns *parent, struct user_ns *user_ns) __must_check;
void pid_ns_get(struct pid_ns *ns);
void pid_ns_put(struct pid_ns *ns);
