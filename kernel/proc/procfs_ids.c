/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/uid_map, gid_map and setgroups: the ids of a user namespace (user_namespaces(7)),
 * written once, by a process privileged over the namespace; and timens_offsets, the shifts of a
 * time namespace.
 */
#include "lib/format.h"
#include "lib/string.h"
#include "proc/nsset_priv.h"
#include "proc/procfs.h"
#include "sched/timer.h"

static int id_map_show(struct seq *out, const struct id_map *m, bool initial)
{
    if (initial)
        seq_printf(out, "%10u %10u %10u\n", 0, 0, U32_MAX);
    for (u32 i = 0; !initial && i < m->nr; i++)
        seq_printf(out, "%10u %10u %10u\n", m->extent[i].first, m->extent[i].lower,
                   m->extent[i].count);
    return 0;
}

int procfs_uid_map_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct cred *c = task_cred(pid_node_task(node));
    int err = id_map_show(out, &c->user_ns->uid_map, c->user_ns == &user_ns_init);

    cred_put(c);
    return err;
}

int procfs_gid_map_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct cred *c = task_cred(pid_node_task(node));
    int err = id_map_show(out, &c->user_ns->gid_map, c->user_ns == &user_ns_init);

    cred_put(c);
    return err;
}

static int id_map_parse(const char *text, struct id_map *m)
{
    *m = (struct id_map){0};
    while (*text) {
        u64 v[3];
        for (int i = 0; i < 3; i++) {
            while (*text == ' ' || *text == '\t')
                text++;
            if (parse_u64_prefix(text, 10, &v[i], &text) || v[i] > U32_MAX)
                return -EINVAL;
        }
        while (*text == ' ' || *text == '\n')
            text++;
        if (m->nr == ARRAY_SIZE(m->extent) || !v[2] || v[0] + v[2] > U32_MAX ||
            v[1] + v[2] > U32_MAX)
            return -EINVAL;
        m->extent[m->nr].first = (u32)v[0];
        m->extent[m->nr].lower = (u32)v[1];
        m->extent[m->nr++].count = (u32)v[2];
    }
    return m->nr ? 0 : -EINVAL;
}

/* An unprivileged writer may map its own single id only. */
static bool id_map_allowed(const struct user_ns *ns, const struct id_map *m, bool gids,
                           const struct cred *writer)
{
    if (!ns->parent)
        return false;
    if (cred_capable(writer, ns->parent, gids ? CAP_SETGID : CAP_SETUID))
        return true;
    if (m->nr != 1 || m->extent[0].count != 1 || writer->euid != ns->owner)
        return false;
    u32 lower = m->extent[0].lower;
    return gids ? ns->setgroups_denied && user_ns_map_gid(ns->parent, lower) == writer->egid
                : user_ns_map_uid(ns->parent, lower) == writer->euid;
}

static ssize_t id_map_store(struct pseudo_node *node, char *text, size_t n,
                            const struct cred *opener, bool gids)
{
    const struct cred *c = task_cred(pid_node_task(node));
    struct id_map m;
    int err = id_map_parse(text, &m);

    /* A privileged program may be made to write to a file that somebody else has opened. */
    if (!err && (!id_map_allowed(c->user_ns, &m, gids, opener) ||
                 !id_map_allowed(c->user_ns, &m, gids, current_cred())))
        err = -EPERM;
    if (!err)
        err = user_ns_set_map(c->user_ns, gids, &m);
    cred_put(c);
    return err ? err : (ssize_t)n;
}

ssize_t procfs_uid_map_store(struct pseudo_node *node, char *text, size_t n,
                             const struct cred *cred)
{
    return id_map_store(node, text, n, cred, false);
}

ssize_t procfs_gid_map_store(struct pseudo_node *node, char *text, size_t n,
                             const struct cred *cred)
{
    return id_map_store(node, text, n, cred, true);
}

int procfs_setgroups_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct cred *c = task_cred(pid_node_task(node));

    seq_printf(out, "%s\n", c->user_ns->setgroups_denied ? "deny" : "allow");
    cred_put(c);
    return 0;
}

ssize_t procfs_setgroups_store(struct pseudo_node *node, char *text, size_t n,
                               const struct cred *cred)
{
    const struct cred *c = task_cred(pid_node_task(node));
    ssize_t r = -EINVAL;

    if (str_starts(text, "deny") && !c->user_ns->gid_map.nr && c->user_ns->parent) {
        c->user_ns->setgroups_denied = true;
        r = (ssize_t)n;
    } else if (str_starts(text, "allow")) {
        r = c->user_ns->setgroups_denied ? -EPERM : (ssize_t)n;
    }
    cred_put(c);
    return r;
}

/* A reference to the time namespace of the task's children, or NULL: it is gone. */
static struct time_ns *timens_of(struct task *t)
{
    struct nsset *set = task_nsset(t);
    struct time_ns *ns = set ? set->time_for_children : NULL;

    if (ns)
        refcount_get(&ns->ref);
    if (set)
        nsset_put(set);
    return ns;
}

static void timens_line(struct seq *out, const char *clock, s64 shift)
{
    s64 sec = shift / (s64)NSEC_PER_SEC, ns = shift % (s64)NSEC_PER_SEC;

    if (ns < 0) {
        ns += (s64)NSEC_PER_SEC;
        sec--;
    }
    seq_printf(out, "%-10s %10ld %9ld\n", clock, sec, ns);
}

int procfs_timens_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct time_ns *ns = timens_of(pid_node_task(node));

    if (!ns)
        return -ESRCH;
    timens_line(out, "monotonic", READ_ONCE(ns->monotonic));
    timens_line(out, "boottime", READ_ONCE(ns->boottime));
    time_ns_put(ns);
    return 0;
}

/* cred: who opened it. */
ssize_t procfs_timens_store(struct pseudo_node *node, char *text, size_t n, const struct cred *cred)
{
    struct time_ns *ns = timens_of(pid_node_task(node));
    int err;

    if (!ns)
        return -ESRCH;
    err = cred_capable(cred, ns->user_ns, CAP_SYS_TIME) ? time_ns_write(ns, text) : -EPERM;
    time_ns_put(ns);
    return err ? err : (ssize_t)n;
}
