/* SPDX-License-Identifier: MIT
 *
 * Paths: their references; as text: from a dentry up to a root, across mounts.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vfs/vfs_priv.h"

#define MS_RDONLY 1
#define MS_NOSUID 2

void path_get(const struct path *p)
{
    if (p->mount)
        mount_get(p->mount);
    if (p->dentry)
        dentry_get(p->dentry);
}

void path_put(const struct path *p)
{
    if (p->dentry)
        dentry_put(p->dentry);
    if (p->mount)
        mount_put(p->mount);
}

static bool path_prepend(char *buf, char **end, const char *text, size_t len)
{
    if ((size_t)(*end - buf) < len)
        return false;
    *end -= len;
    memcpy(*end, text, len);
    return true;
}

/* mount_lock is held: parents cannot move. */
static bool path_build_locked(const struct path *p, const struct path *root, char *buf, char **end,
                              bool *reached) REQUIRES(mount_lock)
{
    struct mount *m = p->mount;
    struct dentry *d = p->dentry, *parent;
    char *start = *end;

    ASSERT_HELD(&mount_lock);
    *reached = true;
    while (d != root->dentry || m != root->mount) {
        if (m && d == m->root) {
            if (!m->parent) {
                *reached = m->ns != NULL && root->mount && !root->mount->parent && m == root->mount;
                return true;
            }
            d = m->point;
            m = m->parent;
            continue;
        }
        parent = rcu_dereference(d->parent);
        if (parent == d) { /* moved out of the part of the file system that is mounted */
            *reached = m == NULL;
            *end = m ? start : *end;
            return true;
        }
        if (!path_prepend(buf, end, d->name, d->len) || !path_prepend(buf, end, "/", 1))
            return false;
        d = parent;
    }
    return true;
}

char *path_name_reached(const struct path *p, const struct path *root, char *buf, size_t n,
                        bool *reached)
{
    char *start, *end = buf + n;
    struct dentry_look look = {0};
    bool fits;

    if (n < 2)
        return ERR_PTR(-ENAMETOOLONG);
    if (p->dentry->flags & DENTRY_ANON) {
        *reached = true;
        start = end;
        fits = path_prepend(buf, &start, "", 1) &&
               path_prepend(buf, &start, p->dentry->name, p->dentry->len);
        return fits ? start : ERR_PTR(-ENAMETOOLONG);
    }
    spin_lock(&mount_lock);
    do {
        dentry_look_begin(&look);
        start = end;
        *--start = '\0';
        fits = !(p->dentry->flags & DENTRY_UNLINKED) || path_prepend(buf, &start, " (deleted)", 10);
        fits = fits && path_build_locked(p, root, buf, &start, reached);
    } while (dentry_look_again(&look));
    spin_unlock(&mount_lock);
    if (fits && *start != '/')
        fits = path_prepend(buf, &start, "/", 1);
    return fits ? start : ERR_PTR(-ENAMETOOLONG);
}

char *path_name(const struct path *p, const struct path *root, char *buf, size_t n)
{
    bool reached;

    return path_name_reached(p, root, buf, n, &reached);
}

bool path_is_unlinked(const struct path *p)
{
    return READ_ONCE(p->dentry->flags) & DENTRY_UNLINKED;
}

u32 path_mount_flags(const struct path *p)
{
    const struct super *s = p->dentry->super;

    return (p->mount ? READ_ONCE(p->mount->flags) : 0) | (s ? s->flags & MS_RDONLY : 0);
}

bool path_gives_rights(const struct path *p, const struct mount_ns *ns, const struct user_ns *u)
{
    const struct mount *m = p->mount;
    const struct user_ns *owner = m && m->super->user_ns ? m->super->user_ns : &user_ns_init;

    if (!m || READ_ONCE(m->ns) != ns || READ_ONCE(m->flags) & MS_NOSUID)
        return false;
    while (u && u != owner)
        u = u->parent;
    return u;
}
