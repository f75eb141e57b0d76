/* SPDX-License-Identifier: MIT
 *
 * Small files of /proc/<pid> that monitors, login programs and debuggers read (proc(5)): what a
 * process has read and written, its audit ids, and figures of its own.
 */
#include "lib/format.h"
#include "lib/string.h"
#include "proc/procfs.h"
#include "sched/timer.h"

#define UNSET (~0U)

int procfs_io_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct pid_node *pn = node->priv;
    struct process *p = pn->task->process;
    struct process_times t;

    if (!process_may_inspect_as(p, cred))
        return -EACCES;
    process_times_get(p, &t);
    seq_printf(out,
               "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\nread_bytes: 0\nwrite_bytes: 0\n"
               "cancelled_write_bytes: 0\n",
               t.bytes_read, t.bytes_written, t.reads, t.writes);
    return 0;
}

/* audit(8): who logged in at first. Set once without privilege, by the process itself. */
int procfs_loginuid_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    u32 uid = READ_ONCE(pid_node_task(node)->process->login_uid);

    seq_printf(out, "%u", uid == UNSET ? UNSET : user_ns_uid(current_cred()->user_ns, uid));
    return 0;
}

ssize_t procfs_loginuid_store(struct pseudo_node *node, char *text, size_t n,
                              const struct cred *cred)
{
    static u32 sessions; /* a */
    struct process *p = pid_node_task(node)->process;
    u64 value;
    kuid_t uid;

    if (p != current_process())
        return -EPERM;
    if (parse_u64(text, 10, &value) || value > U32_MAX)
        return -EINVAL;
    uid = value == UNSET ? UNSET : user_ns_map_uid(cred->user_ns, (u32)value);
    if (value != UNSET && uid == ID_INVALID)
        return -EINVAL;
    if (p->login_uid != UNSET && !cred_capable(cred, &user_ns_init, CAP_AUDIT_CONTROL))
        return -EPERM;
    WRITE_ONCE(p->login_session,
               uid == UNSET ? UNSET : __atomic_add_fetch(&sessions, 1, __ATOMIC_RELAXED));
    WRITE_ONCE(p->login_uid, uid);
    return (ssize_t)n;
}

int procfs_sessionid_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "%u", READ_ONCE(pid_node_task(node)->process->login_session));
    return 0;
}

int procfs_personality_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct process *p = pid_node_task(node)->process;

    if (!process_may_inspect_as(p, cred))
        return -EPERM;
    seq_printf(out, "%08x\n", READ_ONCE(p->personality));
    return 0;
}

int procfs_schedule_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct pid_node *pn = node->priv;
    struct task *t = pn->task;
    u64 user, system, ns;

    sched_thread_times(t->thread, &user, &system);
    ns = user + system;
    seq_printf(out, "%s (%u, #threads: %u)\n", t->thread->name, pid_nr(t->pid, pn->ns),
               t->process->nr_tasks);
    seq_printf(out, "-------------------------------------------------------------------\n");
    seq_printf(out, "se.sum_exec_runtime                          :%21lu.%06lu\n", ns / 1000000,
               ns % 1000000);
    seq_printf(out, "nr_switches                                  :%28lu\n",
               t->thread->nvcsw + t->thread->nivcsw);
    seq_printf(out, "nr_voluntary_switches                        :%28lu\n", t->thread->nvcsw);
    seq_printf(out, "nr_involuntary_switches                      :%28lu\n", t->thread->nivcsw);
    seq_printf(out, "policy                                       :%28u\n", t->thread->policy);
    seq_printf(out, "prio                                         :%28d\n", 120 + t->thread->nice);
    return 0;
}

/* The older scale of oom_score_adj: -17 (never) to 15. */
int procfs_oom_adj_old_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    int adj = pid_node_task(node)->process->oom_score_adj;

    seq_printf(out, "%d\n", adj == 1000 ? 15 : adj * 17 / 1000);
    return 0;
}

ssize_t procfs_oom_adj_old_store(struct pseudo_node *node, char *text, size_t n,
                                 const struct cred *cred)
{
    s64 v;

    if (parse_s64(text, 10, &v) || v < -17 || v > 15)
        return -EINVAL;
    v = v == 15 ? 1000 : v * 1000 / 17;
    int err = procfs_set_oom_adj(pid_node_task(node)->process, v, cred);
    return err ? err : (ssize_t)n;
}
