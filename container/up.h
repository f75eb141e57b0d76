/* SPDX-License-Identifier: MIT
 *
 * What container asks of kernel/proc. Called for members that are held, with no lock.
 */
#pragma once

#include "lib/types.h"

struct cgroup_member;

/* The process stays while it is held, though it may end and leave its group. hold is called with
 * the group's lock held, of one that is in the group. let_go may sleep. */
void up_cgroup_hold(struct cgroup_member *m);
void up_cgroup_let_go(struct cgroup_member *m);

/* How many pages killing this process would free; 0: it must not, or need not, be killed. */
u64 up_oom_score(struct cgroup_member *m);
/* It is being killed and has memory still. */
bool up_oom_dying(struct cgroup_member *m);
/* SIGKILL; the victim may use the memory reserve to die. */
void up_oom_kill(struct cgroup_member *m);
bool up_cgroup_kill(struct cgroup_member *m); /* true: it ends by this one */
/* The CPUs of its group have changed. */
void up_cgroup_cpus(struct cgroup_member *m);
/* Its group is frozen: its threads are to notice. */
void up_cgroup_freeze(struct cgroup_member *m);
/* One of its threads runs, or is about to. */
bool up_cgroup_awake(struct cgroup_member *m);
