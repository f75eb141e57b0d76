/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/uid_map, gid_map and setgroups: the ids of a user namespace (user_namespaces(7)),
 * written once, by a process privileged over the namespace; and timens_offsets, the shifts of a
 * time namespace.
 */
#include "lib/atomic.h"
#include "lib/format.h"
#include "lib/string.h"
#include "proc/nsset_priv.h"
#include "proc/procfs.h"
#include "sched/timer.h"

/* The outer numbers are told as the opener's namespace has them; of one's own, as the parent has.
 */
static int id_map_show(struct pseudo_node *node, struct seq *out, const struct cred *opener,
                       bool gids)
{
    const struct cred *c = task_cred(pid_node_task(node));
    const struct user_ns *ns = c->user_ns, *outer = opener->user_ns;
    const struct id_map *m = gids ? &ns->gid_map : &ns->uid_map;
    u32 nr = load_acquire(&m->nr);

    if (outer == ns && ns->parent)
        outer = ns->parent;
    for (u32 i = 0; i < nr; i++)
        seq_printf(out, "%10u %10u %10u\n", m->extent[i].first,
                   user_ns_id(outer, gids, m->extent[i].lower), m->extent[i].count);
    cred_put(c);
    return 0;
}

int procfs_uid_map_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    return id_map_show(node, out, cred, false);
}

int procfs_gid_map_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    return id_map_show(node, out, cred, true);
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

/* A namespace whose ids include its parent's root could put that root's capabilities on files. */
static bool id_map_root_allowed(const struct user_ns *ns, const struct id_map *m,
                                const struct cred *opener)
{
    bool maps_root = false;

    for (u32 i = 0; i < m->nr; i++)
        maps_root |= m->extent[i].lower == 0;
    if (!maps_root)
        return true;
    return opener->user_ns == ns ? ns->maker_had_setfcap
                                 : cred_capable(opener, ns->parent, CAP_SETFCAP);
}

/* user_namespaces(7): without the capability in the parent, a single id, the opener's own. The
 * opener counts: a privileged program may be made to write to a file that another has opened. */
static bool id_map_allowed(const struct user_ns *ns, const struct id_map *m, bool gids,
                           const struct cred *opener)
{
    int cap = gids ? CAP_SETGID : CAP_SETUID;
    u32 lower = m->extent[0].lower;

    if (!ns->parent || (opener->user_ns != ns && opener->user_ns != ns->parent) ||
        !cred_capable(opener, ns, CAP_SYS_ADMIN))
        return false;
    if (!gids && !id_map_root_allowed(ns, m, opener))
        return false;
    if (m->nr == 1 && m->extent[0].count == 1 && opener->euid == ns->owner &&
        (gids ? ns->setgroups_denied && user_ns_map_gid(ns->parent, lower) == opener->egid
              : user_ns_map_uid(ns->parent, lower) == opener->euid))
        return true;
    return cred_capable(opener, ns->parent, cap) && cred_capable(current_cred(), ns->parent, cap);
}

static ssize_t id_map_store(struct pseudo_node *node, char *text, size_t n,
                            const struct cred *opener, bool gids)
{
    const struct cred *c = task_cred(pid_node_task(node));
    struct id_map m;
    int err = id_map_parse(text, &m);

    if (!err && !id_map_allowed(c->user_ns, &m, gids, opener))
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

/* "deny" or "allow", and blanks. -EINVAL: anything else. */
static int setgroups_parse(const char *text, bool *deny)
{
    *deny = str_starts(text, "deny");
    if (!*deny && !str_starts(text, "allow"))
        return -EINVAL;
    for (text += *deny ? 4 : 5; *text; text++)
        if (*text != ' ' && *text != '\n' && *text != '\t')
            return -EINVAL;
    return 0;
}

/* What is denied once stays so, and what the group map relies on cannot change any more. */
ssize_t procfs_setgroups_store(struct pseudo_node *node, char *text, size_t n,
                               const struct cred *opener)
{
    const struct cred *c = task_cred(pid_node_task(node));
    bool deny;
    int err = setgroups_parse(text, &deny);

    if (!cred_capable(opener, c->user_ns, CAP_SYS_ADMIN))
        err = -EACCES;
    else if (!err && deny)
        err = user_ns_deny_setgroups(c->user_ns);
    else if (!err && c->user_ns->setgroups_denied)
        err = -EPERM;
    cred_put(c);
    return err ? err : (ssize_t)n;
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
