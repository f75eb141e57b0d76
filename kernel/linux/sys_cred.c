/* SPDX-License-Identifier: MIT
 *
 * User and group ids, capabilities: what a task may do. Rules: credentials(7), capabilities(7).
 */
#include "lib/sort.h"
#include "linux/sys.h"
#include "linux/sys_cred.h"

#define NGROUPS_MAX 65536
#define KEEP ID_INVALID

static const struct user_ns *my_ns(void)
{
    return current_cred()->user_ns;
}

s64 sys_getuid(void)
{
    return user_ns_uid(my_ns(), current_cred()->uid);
}
s64 sys_geteuid(void)
{
    return user_ns_uid(my_ns(), current_cred()->euid);
}
s64 sys_getgid(void)
{
    return user_ns_gid(my_ns(), current_cred()->gid);
}
s64 sys_getegid(void)
{
    return user_ns_gid(my_ns(), current_cred()->egid);
}

/* What leaving uid 0 takes away ("Effect of user ID changes on capabilities"). */
static void cred_fix_caps(struct cred *c, const struct cred *old)
{
    kuid_t root = user_ns_map_uid(c->user_ns, 0);
    bool had = old->uid == root || old->euid == root || old->suid == root;
    bool has = c->uid == root || c->euid == root || c->suid == root;

    if (c->securebits & SECBIT_NO_SETUID_FIXUP)
        return;
    if (had && !has) {
        if (!(c->securebits & SECBIT_KEEP_CAPS))
            c->cap_permitted = c->cap_effective = 0;
        c->cap_ambient = 0;
    }
    if (old->euid == root && c->euid != root)
        c->cap_effective = 0;
    if (old->euid != root && c->euid == root)
        c->cap_effective = c->cap_permitted;
}

/* What changing the file-system uid alone does: capabilities(7), "Effect of user ID changes". */
#define CAP_FS_SET                                                                               \
    (1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_DAC_READ_SEARCH |                \
     1ULL << CAP_FOWNER | 1ULL << CAP_FSETID | 1ULL << CAP_LINUX_IMMUTABLE | 1ULL << CAP_MKNOD | \
     1ULL << CAP_MAC_OVERRIDE)

static void cred_fix_fs_caps(struct cred *c, const struct cred *old)
{
    kuid_t root = user_ns_map_uid(c->user_ns, 0);

    if (c->securebits & SECBIT_NO_SETUID_FIXUP)
        return;
    if (old->fsuid == root && c->fsuid != root)
        c->cap_effective &= ~CAP_FS_SET;
    if (old->fsuid != root && c->fsuid == root)
        c->cap_effective |= c->cap_permitted & CAP_FS_SET;
}

static s64 cred_commit(struct cred *c)
{
    task_set_cred(c);
    return 0;
}

/* Ids of the caller's namespace to kernel ids; KEEP stays. */
static bool map_uids(u32 *ids, int n)
{
    for (int i = 0; i < n; i++) {
        if (ids[i] == KEEP)
            continue;
        ids[i] = user_ns_map_uid(my_ns(), ids[i]);
        if (ids[i] == ID_INVALID)
            return false;
    }
    return true;
}

static bool map_gids(u32 *ids, int n)
{
    for (int i = 0; i < n; i++) {
        if (ids[i] == KEEP)
            continue;
        ids[i] = user_ns_map_gid(my_ns(), ids[i]);
        if (ids[i] == ID_INVALID)
            return false;
    }
    return true;
}

static bool one_of(u32 id, u32 a, u32 b, u32 c)
{
    return id == KEEP || id == a || id == b || id == c;
}

static s64 cred_set_uids(u32 r, u32 e, u32 s)
{
    const struct cred *old = current_cred();
    bool may = cred_capable(old, old->user_ns, CAP_SETUID);

    if (!may &&
        (!one_of(r, old->uid, old->euid, old->suid) || !one_of(e, old->uid, old->euid, old->suid) ||
         !one_of(s, old->uid, old->euid, old->suid)))
        return -EPERM;
    struct cred *c = cred_copy(old);
    if (!c)
        return -ENOMEM;
    c->uid = r == KEEP ? c->uid : r;
    c->euid = e == KEEP ? c->euid : e;
    c->suid = s == KEEP ? c->suid : s;
    c->fsuid = c->euid;
    cred_fix_caps(c, old);
    return cred_commit(c);
}

static s64 cred_set_gids(u32 r, u32 e, u32 s)
{
    const struct cred *old = current_cred();
    bool may = cred_capable(old, old->user_ns, CAP_SETGID);

    if (!may &&
        (!one_of(r, old->gid, old->egid, old->sgid) || !one_of(e, old->gid, old->egid, old->sgid) ||
         !one_of(s, old->gid, old->egid, old->sgid)))
        return -EPERM;
    struct cred *c = cred_copy(old);
    if (!c)
        return -ENOMEM;
    c->gid = r == KEEP ? c->gid : r;
    c->egid = e == KEEP ? c->egid : e;
    c->sgid = s == KEEP ? c->sgid : s;
    c->fsgid = c->egid;
    return cred_commit(c);
}

s64 sys_setresuid(u32 r, u32 e, u32 s)
{
    u32 ids[3] = {r, e, s};

    return map_uids(ids, 3) ? cred_set_uids(ids[0], ids[1], ids[2]) : -EINVAL;
}

s64 sys_setresgid(u32 r, u32 e, u32 s)
{
    u32 ids[3] = {r, e, s};

    return map_gids(ids, 3) ? cred_set_gids(ids[0], ids[1], ids[2]) : -EINVAL;
}

s64 sys_setuid(u32 uid)
{
    const struct cred *old = current_cred();
    u32 id = uid;

    if (uid == KEEP || !map_uids(&id, 1))
        return -EINVAL;
    if (cred_capable(old, old->user_ns, CAP_SETUID))
        return cred_set_uids(id, id, id);
    return id == old->uid || id == old->suid ? cred_set_uids(KEEP, id, KEEP) : -EPERM;
}

s64 sys_setgid(u32 gid)
{
    const struct cred *old = current_cred();
    u32 id = gid;

    if (gid == KEEP || !map_gids(&id, 1))
        return -EINVAL;
    if (cred_capable(old, old->user_ns, CAP_SETGID))
        return cred_set_gids(id, id, id);
    return id == old->gid || id == old->sgid ? cred_set_gids(KEEP, id, KEEP) : -EPERM;
}

s64 sys_setreuid(u32 r, u32 e)
{
    const struct cred *old = current_cred();
    u32 ids[2] = {r, e};

    if (!map_uids(ids, 2))
        return -EINVAL;
    if (!cred_capable(old, old->user_ns, CAP_SETUID) &&
        !one_of(ids[0], old->uid, old->euid, old->uid))
        return -EPERM;
    bool follow = ids[0] != KEEP || (ids[1] != KEEP && ids[1] != old->uid);
    u32 e_new = ids[1] == KEEP ? old->euid : ids[1];
    return cred_set_uids(ids[0], ids[1], follow ? e_new : KEEP);
}

s64 sys_setregid(u32 r, u32 e)
{
    const struct cred *old = current_cred();
    u32 ids[2] = {r, e};

    if (!map_gids(ids, 2))
        return -EINVAL;
    if (!cred_capable(old, old->user_ns, CAP_SETGID) &&
        !one_of(ids[0], old->gid, old->egid, old->gid))
        return -EPERM;
    bool follow = ids[0] != KEEP || (ids[1] != KEEP && ids[1] != old->gid);
    u32 e_new = ids[1] == KEEP ? old->egid : ids[1];
    return cred_set_gids(ids[0], ids[1], follow ? e_new : KEEP);
}

s64 sys_getresuid(u64 ur, u64 ue, u64 us)
{
    const struct cred *c = current_cred();
    u32 r = user_ns_uid(c->user_ns, c->uid), e = user_ns_uid(c->user_ns, c->euid),
        s = user_ns_uid(c->user_ns, c->suid);

    return OUT(ur, r) || OUT(ue, e) || OUT(us, s) ? -EFAULT : 0;
}

s64 sys_getresgid(u64 ur, u64 ue, u64 us)
{
    const struct cred *c = current_cred();
    u32 r = user_ns_gid(c->user_ns, c->gid), e = user_ns_gid(c->user_ns, c->egid),
        s = user_ns_gid(c->user_ns, c->sgid);

    return OUT(ur, r) || OUT(ue, e) || OUT(us, s) ? -EFAULT : 0;
}

/* Both answer with the former id, changed or not. */
s64 sys_setfsuid(u32 uid)
{
    const struct cred *old = current_cred();
    u32 id = uid;
    s64 former = user_ns_uid(old->user_ns, old->fsuid);

    if (uid == KEEP || !map_uids(&id, 1) ||
        (!cred_capable(old, old->user_ns, CAP_SETUID) && id != old->uid && id != old->euid &&
         id != old->suid && id != old->fsuid))
        return former;
    struct cred *c = cred_copy(old);
    if (c) {
        c->fsuid = id;
        cred_fix_fs_caps(c, old);
        task_set_cred(c);
    }
    return former;
}

s64 sys_setfsgid(u32 gid)
{
    const struct cred *old = current_cred();
    u32 id = gid;
    s64 former = user_ns_gid(old->user_ns, old->fsgid);

    if (gid == KEEP || !map_gids(&id, 1) ||
        (!cred_capable(old, old->user_ns, CAP_SETGID) && id != old->gid && id != old->egid &&
         id != old->sgid && id != old->fsgid))
        return former;
    struct cred *c = cred_copy(old);
    if (c) {
        c->fsgid = id;
        task_set_cred(c);
    }
    return former;
}

s64 sys_getgroups(s32 n, u64 ugroups)
{
    const struct cred *c = current_cred();

    if (n < 0)
        return -EINVAL;
    if (!n)
        return c->nr_groups;
    if ((u32)n < c->nr_groups)
        return -EINVAL;
    for (u32 i = 0; i < c->nr_groups; i++, cond_yield()) {
        u32 gid = user_ns_gid(c->user_ns, c->groups[i]);
        if (OUT(ugroups + i * sizeof(gid), gid))
            return -EFAULT;
    }
    return c->nr_groups;
}

static int group_compare(const void *a, const void *b, void *ctx)
{
    kgid_t x = *(const kgid_t *)a, y = *(const kgid_t *)b;

    return x < y ? -1 : x > y;
}

/* 65536 of them are too many to be sorted at a stretch. */
#define GROUPS_RUN 128U

/* Two sorted runs, [at, middle) and [middle, end), into one. */
static void groups_merge(const kgid_t *from, kgid_t *to, u32 at, u32 middle, u32 end)
{
    for (u32 a = at, b = middle, i = at; i < end; i++) {
        to[i] = b == end || (a < middle && from[a] <= from[b]) ? from[a++] : from[b++];
        if (i % 1024 == 0)
            cond_yield();
    }
}

/* spare: as large. */
static void groups_sort(kgid_t *groups, kgid_t *spare, u32 n)
{
    for (u32 at = 0; at < n; at += GROUPS_RUN, cond_yield())
        sort(groups + at, MIN(GROUPS_RUN, n - at), sizeof(*groups), group_compare, NULL);
    for (u32 width = GROUPS_RUN; width < n; width *= 2) {
        for (u32 at = 0; at < n; at += 2 * width, cond_yield())
            groups_merge(groups, spare, at, MIN(at + width, n), MIN(at + 2 * width, n));
        for (u32 at = 0; at < n; at += GROUPS_RUN, cond_yield())
            memcpy(groups + at, spare + at, MIN(GROUPS_RUN, n - at) * sizeof(*groups));
    }
}

/* The user's numbers as ids of the kernel, sorted. */
static int groups_in(const struct user_ns *ns, kgid_t *groups, u32 n, u64 ugroups)
{
    kgid_t *spare = n > GROUPS_RUN ? kmalloc(n * sizeof(*groups)) : NULL;
    int err = n > GROUPS_RUN && !spare ? -ENOMEM : 0;

    for (u32 at = 0; !err && at < n; at += GROUPS_RUN, cond_yield())
        err = copy_in(groups + at, (const void __user *)(ugroups + at * sizeof(*groups)),
                      MIN(GROUPS_RUN, n - at) * sizeof(*groups));
    for (u32 i = 0; !err && i < n; i++, cond_yield()) {
        groups[i] = user_ns_map_gid(ns, groups[i]);
        if (groups[i] == ID_INVALID)
            err = -EINVAL;
    }
    if (!err)
        groups_sort(groups, spare, n);
    kfree(spare);
    return err;
}

s64 sys_setgroups(s32 n, u64 ugroups)
{
    const struct cred *old = current_cred();

    if (!cred_capable(old, old->user_ns, CAP_SETGID) || !user_ns_may_setgroups(old->user_ns))
        return -EPERM;
    if ((u32)n > NGROUPS_MAX)
        return -EINVAL;
    struct cred *c = cred_copy(old);
    cond_yield(); /* it may have as many */
    kgid_t *groups = n ? kmalloc((u32)n * sizeof(*groups)) : NULL;
    int err = !c || (n && !groups) ? -ENOMEM : 0;
    if (!err && n)
        err = groups_in(old->user_ns, groups, (u32)n, ugroups);
    if (err) {
        kfree(groups);
        if (c)
            cred_put(c);
        return err;
    }
    kfree(c->groups);
    c->groups = groups;
    c->nr_groups = (u32)n;
    task_set_cred(c);
    return 0;
}

#define CAP_VERSION_1 0x19980330
#define CAP_VERSION_2 0x20071026
#define CAP_VERSION_3 0x20080522

struct cap_header {
    u32 version;
    s32 pid;
};
struct cap_words {
    u32 effective, permitted, inheritable;
};

/* How many cap_words the version has; -EINVAL tells the preferred one. */
static int cap_header_in(u64 uhdr, struct cap_header *h)
{
    u32 preferred = CAP_VERSION_3;

    if (IN(*h, uhdr))
        return -EFAULT;
    if (h->version == CAP_VERSION_1)
        return 1;
    if (h->version == CAP_VERSION_2 || h->version == CAP_VERSION_3)
        return 2;
    return OUT(uhdr, preferred) ? -EFAULT : -EINVAL;
}

s64 sys_capget(u64 uhdr, u64 udata)
{
    struct cap_header h;
    struct cap_words w[2] = {0};
    int n = cap_header_in(uhdr, &h);

    if (n < 0)
        return n == -EINVAL && !udata ? 0 : n;
    if (h.pid < 0)
        return -EINVAL;
    struct task *t = h.pid ? task_find(current_pid_ns(), (u32)h.pid) : current_task();
    if (!t)
        return -ESRCH;
    const struct cred *c = task_cred(t);
    for (int i = 0; i < n; i++)
        w[i] =
            (struct cap_words){(u32)(c->cap_effective >> 32 * i), (u32)(c->cap_permitted >> 32 * i),
                               (u32)(c->cap_inheritable >> 32 * i)};
    cred_put(c);
    if (h.pid)
        task_put(t);
    return udata ? copy_out((void __user *)udata, w, (u64)n * sizeof(w[0])) : 0;
}

s64 sys_capset(u64 uhdr, u64 udata)
{
    const struct cred *old = current_cred();
    struct cap_header h;
    struct cap_words w[2] = {0};
    int n = cap_header_in(uhdr, &h);

    if (n < 0)
        return n;
    if (h.pid && (u32)h.pid != (u32)sys_gettid())
        return -EPERM;
    if (copy_in(w, (const void __user *)udata, (u64)n * sizeof(w[0])))
        return -EFAULT;
    u64 e = (w[0].effective | (u64)w[1].effective << 32) & CAP_FULL;
    u64 p = (w[0].permitted | (u64)w[1].permitted << 32) & CAP_FULL;
    u64 i = (w[0].inheritable | (u64)w[1].inheritable << 32) & CAP_FULL;
    bool setpcap = cred_capable(old, old->user_ns, CAP_SETPCAP);
    if ((!setpcap && i & ~(old->cap_inheritable | old->cap_permitted)) ||
        i & ~(old->cap_inheritable | old->cap_bounding) || p & ~old->cap_permitted || e & ~p)
        return -EPERM;
    struct cred *c = cred_copy(old);
    if (!c)
        return -ENOMEM;
    c->cap_effective = e;
    c->cap_permitted = p;
    c->cap_inheritable = i;
    c->cap_ambient &= p & i;
    task_set_cred(c);
    return 0;
}
