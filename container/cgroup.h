/* SPDX-License-Identifier: MIT
 *
 * The control-group tree: each node binds a memory and a pids account, a scheduler group and the
 * set of processes in it. cgroup v2 files (kernel/linux) are views on it.
 *
 * Lock order: the tree lock (mutex, RANK_CONTAINER), a member's lock, a group's own lock (spin).
 */
#pragma once

#include "lib/list.h"
#include "lib/rbtree.h"
#include "lib/types.h"
#include "mm/account.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "sync/rcu.h"
#include "sync/refcount.h"
#include "vfs/pseudo.h"

/* Embedded in kernel/proc's struct process. */
struct cgroup_member {
    struct spinlock lock;  /* outside the group's: while it is held the group stays the same */
    struct cgroup *group;  /* lock; RCU to read; a reference until the exit */
    u64 threads;           /* lock  charged to the group's pids */
    bool departed;         /* lock  in the list no more: it has ended */
    struct list_node node; /* the group's lock */
};

enum cgroup_controller { CG_CPU = 1, CG_MEMORY = 2, CG_PIDS = 4, CG_CPUSET = 8 };
#define CG_ALL (CG_CPU | CG_MEMORY | CG_PIDS | CG_CPUSET)
#define CG_COUNT 4
#define CGROUP_DEPTH_MAX 32

/* What memory.events counts. */
enum cgroup_event {
    CGROUP_EVENT_HIGH,
    CGROUP_EVENT_MAX,
    CGROUP_EVENT_OOM,
    CGROUP_EVENT_OOM_KILL,
    CGROUP_EVENT_OOM_GROUP_KILL,
    CGROUP_EVENTS
};

/* I immutable · t tree lock · l lock · a atomic */
struct cgroup {
    struct cgroup *parent; /* I  a reference */
    char *name;            /* I */
    u64 id;                /* I */
    unsigned depth;        /* I */
    refcount_t ref;        /* a */
    struct spinlock lock;
    struct rb_root children, names;  /* t  by id, and by name */
    struct rb_node by_id, by_name;   /* t  in the parent's */
    u32 users[CG_COUNT];             /* t  children that have the controller switched on */
    struct list_node members;        /* l  and bookmarks of those who walk over it */
    u64 nr_members;                  /* l */
    u64 nr_populated;                /* t+l  members here, and children that are populated */
    struct account memory;           /*    charged by vm, in pages */
    struct account pids;             /*    charged below, in threads */
    struct sched_group *sched;       /* I */
    struct device_filters *devices;  /* rcu  device_filter.c; NULL: all devices */
    u64 swap_max;                    /* a  pages; U64_MAX: max */
    bool dead, frozen;               /* t */
    bool oom_group;                  /* a */
    u32 subtree_control;             /* t+l  CG_* switched on for children */
    u64 events[CGROUP_EVENTS];       /* a  of the group and of all below it */
    u64 events_local[CGROUP_EVENTS]; /* a  of the group alone */
    u64 events_pids_max;             /* a */
    u64 quota_us, period_us;         /* t  quota U64_MAX: max */
    bool mems;                       /* a  cpuset.mems was written: the one node */
    u64 cpus, cpus_effective;        /* t  cpuset: as written, 0 nothing; what counts */
    u64 nr_below;                    /* t  groups below it */
    u64 nr_dying;                    /* a  removed ones below it that something still refers to */
    u64 depth_max, below_max;        /* t  cgroup.max.*; U64_MAX: max */
    u32 cpu_weight;                  /* t */
    u64 oom_since;                   /* a  ns: when its last victim was killed */
    u64 oom_claimed;                 /* a  ns: since when one is being chosen; 0: none is */
    atomic_t oom_killing;            /* a  kills noted here whose victims are not marked yet */
    struct pseudo_changes changes;   /* of the files *.events */
    struct cgroup *emptied;          /* the next to free, once nothing is charged to it any more */
    struct rcu_head rcu;
};

extern struct cgroup cgroup_root;
/* Under `parent`, with one reference for the caller and one for the tree. -EEXIST, -ENOMEM, -EINVAL
 * (name), -ENODEV (parent is gone), -EAGAIN (depth). Context: may sleep. */
int cgroup_create(struct cgroup *parent, const char *name, struct cgroup **out) __must_check;
/* -EBUSY: members or children; -ENODEV: removed already. */
int cgroup_remove(struct cgroup *cg);
void cgroup_get(struct cgroup *cg);
void cgroup_put(struct cgroup *cg);

/* fork: puts a new process (not yet visible) into `into`, or where its parent is (NULL); charges
 * one thread in each ancestor. -EAGAIN over pids.max, -ENODEV: `into` is gone, -EBUSY: it hands
 * controllers down. */
int cgroup_fork(struct cgroup_member *parent, struct cgroup_member *child, struct cgroup *into);
int cgroup_charge_thread(struct cgroup_member *m) __must_check; /* a further thread: -EAGAIN */
void cgroup_uncharge_thread(struct cgroup_member *m);
/* The process has ended and waits to be reaped: it counts in its group's pids alone, which may be
 * removed. */
void cgroup_depart(struct cgroup_member *m);
/* The process is gone; its last threads are uncharged. It is in the root then, and counts nowhere.
 */
void cgroup_exit(struct cgroup_member *m);
/* Moves a process: pids charges move, memory charged so far stays (as v2 does). The caller then
 * moves each thread's sched group. 0, -ENODEV, -EBUSY (`to` hands controllers down), or -ESRCH: it
 * has exited. */
int cgroup_move(struct cgroup_member *m, struct cgroup *to);
struct cgroup *cgroup_of(const struct cgroup_member *m); /* a reference */
/* The group below the root whose members could give most memory back: a reference, or NULL. */
struct cgroup *cgroup_largest(void);
bool cgroup_populated(struct cgroup *cg);
u64 cgroup_count(void); /* the root included */
/* Calls fn for each member, held but with no lock, those included that join meanwhile; non-zero
 * stops and is returned. One that has left meanwhile may be met still. May sleep, so may fn. */
int cgroup_for_each_member(struct cgroup *cg, int (*fn)(struct cgroup_member *m, void *arg),
                           void *arg);
/* The same for cg and every group below it; no lock is held over fn. Groups made meanwhile are
 * visited if their parent's children are still to come or being walked. */
int cgroup_for_each_below(struct cgroup *cg, int (*fn)(struct cgroup_member *m, void *arg),
                          void *arg);
/* SIGKILL to every process in cg and below, also to those being forked. */
void cgroup_kill(struct cgroup *cg);
/* Stops all threads of cg and below on their way to user or guest mode, and lets them go on. A
 * group is frozen while it or one above it is. SIGKILL reaches the frozen. -ENODEV: removed. */
int cgroup_freeze(struct cgroup *cg, bool freeze);
/* It is frozen and none of its threads runs any more. May sleep. */
bool cgroup_is_frozen(struct cgroup *cg);
/* A thread of this member has stopped: those who watch cgroup.events look again. */
void cgroup_frozen_notify(struct cgroup_member *m);
/* Limits: from the files' values. 0 or -EINVAL. */
int cgroup_set_weight(struct cgroup *cg, u64 weight);                 /* 1..10000 */
int cgroup_set_quota(struct cgroup *cg, u64 quota_us, u64 period_us); /* U64_MAX: max */
/* How the pages charged to cg and all below it are used. */
void cgroup_memory_uses(struct cgroup *cg, s64 uses[ACCOUNT_USES]);
int cgroup_set_memory_max(struct cgroup *cg, u64 pages); /* reclaims what it can */
int cgroup_set_cpus(struct cgroup *cg, u64 mask); /* 0: as the parent. -ENODEV: removed; -ENOSPC:
                                                     none any more, and processes are in it */
/* The path as seen from ns_root ("/", "/a/b", "/../x"); 0 or -ENAMETOOLONG. */
int cgroup_path(struct cgroup *cg, struct cgroup *ns_root, char *buf, size_t n);
/* By name: a reference or NULL. */
struct cgroup *cgroup_child(struct cgroup *cg, const char *name, size_t len);
/* The child with the smallest id above `after` (0: the first): a reference or NULL. */
struct cgroup *cgroup_next_child(struct cgroup *cg, u64 after);
/* CG_* bits for children. -ENOENT: not available here; -EBUSY: in use below, or members here;
 * -ENODEV: removed. */
int cgroup_set_subtree_control(struct cgroup *cg, u32 on, u32 off);

/* cgroup namespaces: a root and a number. */
struct user_ns;
struct cgroup_ns {
    refcount_t ref;
    struct cgroup *root;     /* a reference */
    struct user_ns *user_ns; /* a reference: its owner */
    u64 inum;
};
extern struct cgroup_ns cgroup_ns_init;
struct cgroup_ns *cgroup_ns_create(struct cgroup *root, struct user_ns *user_ns) __must_check;
void cgroup_ns_get(struct cgroup_ns *ns);
void cgroup_ns_put(struct cgroup_ns *ns);
