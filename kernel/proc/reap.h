/* SPDX-License-Identifier: MIT
 *
 * The last steps of a process, shared by exit.c and wait.c.
 */
#pragma once

#include "proc/proc.h"

/* REQUIRES(proc_lock): tells p->parent that p is a zombie. True when the parent does not want to
 * know and p should be reaped at once. */
bool reap_notify_exit_locked(struct process *p) REQUIRES(proc_lock);
/* REQUIRES(proc_lock): takes a zombie out of the tree and puts it on `dead` for reap_list. */
void reap_unlink_locked(struct process *p, struct list_node *dead) REQUIRES(proc_lock);
/* Frees numbers and references of unlinked zombies. Context: no lock held. */
void reap_list(struct list_node *dead);
/* Reaps the zombies among p's children, of any exit signal. Context: no lock held. */
void reap_children(struct process *p);
/* If p is a zombie whose parent is outside its pid namespace, p's number there is freed: the
 * namespace's end does not wait for such a parent to reap it. REQUIRES(proc_lock) */
void reap_leave_ns_locked(struct process *p) REQUIRES(proc_lock);
