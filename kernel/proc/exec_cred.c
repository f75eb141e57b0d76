/* SPDX-License-Identifier: MIT
 *
 * The credentials that a program starts with: set-id bits, file capabilities, and what takes them
 * away again. Rules: execve(2), capabilities(7).
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "proc/exec.h"
#include "proc/fs_context.h"
#include "proc/nsset.h"
#include "proc/proc_priv.h"

#define SECBIT_NOROOT 1
#define SECBIT_KEEP_CAPS 16

/* security.capability, version 2 and 3 (linux/capability.h). */
struct file_cap {
    u32 magic;
    struct {
        u32 permitted, inheritable;
    } data[2];
    u32 rootid; /* version 3 */
};
#define FILE_CAP_EFFECTIVE 1
#define FILE_CAP_REVISION 0xff000000
#define FILE_CAP_2 0x02000000
#define FILE_CAP_3 0x03000000
#define FILE_CAP_2_SIZE 20
#define FILE_CAP_3_SIZE 24
static_assert(sizeof(struct file_cap) == FILE_CAP_3_SIZE, "security.capability");

/* What is known while the rules are applied one after the other. */
struct exec_rights {
    const struct cred *old;
    struct cred *new;
    bool effective; /* the file's effective bit, or root */
    bool file_caps; /* the file has capabilities */
};

/* Is the kernel's uid the root of ns, or of one above it? */
static bool exec_root_of(const struct user_ns *ns, kuid_t uid)
{
    for (; ns; ns = ns->parent)
        if (user_ns_map_uid(ns, 0) == uid)
            return true;
    return false;
}

/* The file's capabilities. 0 with *out; -ENODATA: none that count here; -EINVAL: malformed, and to
 * be taken as none. The numbers in the attribute are those of the initial namespace, or of the file
 * system's own. */
static int exec_file_caps(struct file *f, const struct cred *c, struct file_cap *out)
{
    struct path p = {f->mount, f->dentry};
    const struct user_ns *fs_ns = f->inode->super->user_ns;
    ssize_t n = vfs_getxattr(&p, &cred_init, XATTR_CAPABILITY, out, sizeof(*out));
    u32 rev = out->magic & FILE_CAP_REVISION;

    if (n < (ssize_t)sizeof(out->magic))
        return n < 0 ? -ENODATA : -EINVAL;
    if (!(rev == FILE_CAP_2 && n == FILE_CAP_2_SIZE) &&
        !(rev == FILE_CAP_3 && n == FILE_CAP_3_SIZE))
        return -EINVAL;
    if (rev == FILE_CAP_2)
        out->rootid = 0;
    kuid_t root = user_ns_map_uid(fs_ns ? fs_ns : &user_ns_init, out->rootid);
    return root != ID_INVALID && exec_root_of(c->user_ns, root) ? 0 : -ENODATA;
}

/* -EPERM: the program counts on capabilities that the bounding set does not let it have, and would
 * not notice. */
static int exec_apply_file_caps(struct exec_rights *r, struct file *f)
{
    struct file_cap fc = {0};
    u64 fp, fi;

    if (exec_file_caps(f, r->new, &fc))
        return 0;
    fp = (fc.data[0].permitted | (u64)fc.data[1].permitted << 32) & CAP_FULL;
    fi = (fc.data[0].inheritable | (u64)fc.data[1].inheritable << 32) & CAP_FULL;
    r->file_caps = true;
    r->effective = fc.magic & FILE_CAP_EFFECTIVE;
    r->new->cap_permitted = (r->old->cap_bounding & fp) | (r->old->cap_inheritable & fi);
    return r->effective && fp & ~r->new->cap_permitted ? -EPERM : 0;
}

/* The set-id bits give the ids of the file, where both have a number in the caller's namespace: its
 * maker has power over its programs, but not over the ids outside it. Bits and ids are read
 * together: a change of owner takes the bits away. */
static void exec_set_ids(struct cred *c, struct inode *i)
{
    struct inode_owner o;

    inode_get_owner(i, &o);
    if (!user_ns_has_uid(c->user_ns, o.uid) || !user_ns_has_gid(c->user_ns, o.gid))
        return;
    if (o.mode & S_ISUID)
        c->euid = o.uid;
    if ((o.mode & (S_ISGID | 0010)) == (S_ISGID | 0010))
        c->egid = o.gid;
}

/* Root has all capabilities, unless it says otherwise. A set-user-id root program with capabilities
 * of its own has just these when another user runs it. */
static void exec_apply_root(struct exec_rights *r, kuid_t root)
{
    struct cred *c = r->new;

    if (c->securebits & SECBIT_NOROOT)
        return;
    if (r->file_caps && c->uid != root && c->euid == root)
        return;
    if (c->euid == root || c->uid == root)
        c->cap_permitted = r->old->cap_bounding | r->old->cap_inheritable;
    if (c->euid == root)
        r->effective = true;
}

/* A process that shares parts with another, or that has no_new_privs, gains nothing. */
static void exec_renounce(struct exec_rights *r, bool is_set_id, bool shared)
{
    struct cred *c = r->new;
    bool renounced = current_task()->no_new_privs;

    if (!renounced && !shared)
        return;
    if (!is_set_id && !(c->cap_permitted & ~r->old->cap_permitted))
        return;
    if (renounced || !cred_capable(r->old, c->user_ns, CAP_SETUID)) {
        c->euid = c->uid;
        c->egid = c->gid;
    }
    c->cap_permitted &= r->old->cap_permitted;
}

int exec_creds(struct exec_job *j)
{
    const struct cred *old = current_cred();
    struct path p = {j->file->mount, j->file->dentry};
    struct cred *c = cred_copy(old);
    struct exec_rights r = {.old = old, .new = c};
    int err = 0;

    if (!c)
        return -ENOMEM;
    j->cred = c;
    c->cap_permitted = 0;
    if (path_gives_rights(&p, current_task()->ns->mount, c->user_ns)) {
        if (!current_task()->no_new_privs)
            exec_set_ids(c, j->file->inode);
        err = exec_apply_file_caps(&r, j->file);
    }
    kuid_t root = user_ns_map_uid(c->user_ns, 0);
    exec_apply_root(&r, root);
    bool is_set_id = c->euid != old->uid || c->egid != old->gid;
    exec_renounce(&r, is_set_id, j->shared);
    c->suid = c->fsuid = c->euid;
    c->sgid = c->fsgid = c->egid;
    if (r.file_caps || is_set_id)
        c->cap_ambient = 0;
    u64 granted = c->cap_permitted & ~c->cap_ambient;
    c->cap_permitted |= c->cap_ambient;
    c->cap_effective = r.effective ? c->cap_permitted : c->cap_ambient;
    c->securebits &= ~(u32)SECBIT_KEEP_CAPS;
    j->set_id = c->euid != old->euid || c->egid != old->egid;
    j->secure = is_set_id || (c->uid != root && (r.effective || granted));
    j->unreadable = inode_permission(j->file->inode, old, 4) != 0;
    j->closed = c->euid != c->uid || c->egid != c->gid || j->set_id ||
                c->cap_permitted & ~old->cap_permitted || j->unreadable;
    return err;
}
