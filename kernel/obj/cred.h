/* SPDX-License-Identifier: MIT
 *
 * Credentials, capabilities and user namespaces. A struct cred is immutable once published:
 * changing one means copying, editing, and swapping the task's pointer.
 */
#pragma once

#include "lib/types.h"
#include "obj/up.h"
#include "sync/refcount.h"

#define CAP_CHOWN 0
#define CAP_DAC_OVERRIDE 1
#define CAP_DAC_READ_SEARCH 2
#define CAP_FOWNER 3
#define CAP_FSETID 4
#define CAP_KILL 5
#define CAP_SETGID 6
#define CAP_SETUID 7
#define CAP_SETPCAP 8
#define CAP_LINUX_IMMUTABLE 9
#define CAP_NET_BIND_SERVICE 10
#define CAP_NET_BROADCAST 11
#define CAP_NET_ADMIN 12
#define CAP_NET_RAW 13
#define CAP_IPC_LOCK 14
#define CAP_IPC_OWNER 15
#define CAP_SYS_MODULE 16
#define CAP_SYS_RAWIO 17
#define CAP_SYS_CHROOT 18
#define CAP_SYS_PTRACE 19
#define CAP_SYS_PACCT 20
#define CAP_SYS_ADMIN 21
#define CAP_SYS_BOOT 22
#define CAP_SYS_NICE 23
#define CAP_SYS_RESOURCE 24
#define CAP_SYS_TIME 25
#define CAP_SYS_TTY_CONFIG 26
#define CAP_MKNOD 27
#define CAP_LEASE 28
#define CAP_AUDIT_WRITE 29
#define CAP_AUDIT_CONTROL 30
#define CAP_SETFCAP 31
#define CAP_MAC_OVERRIDE 32
#define CAP_MAC_ADMIN 33
#define CAP_SYSLOG 34
#define CAP_WAKE_ALARM 35
#define CAP_BLOCK_SUSPEND 36
#define CAP_AUDIT_READ 37
#define CAP_PERFMON 38
#define CAP_BPF 39
#define CAP_CHECKPOINT_RESTORE 40
#define CAP_LAST 40
#define CAP_FULL ((1ULL << (CAP_LAST + 1)) - 1)

typedef u32 kuid_t; /* ids in the initial user namespace */
typedef u32 kgid_t;
#define ID_INVALID (~0U)

#define USER_NS_EXTENTS 5
#define USER_NS_LEVELS 32

struct user_ns {
    refcount_t ref;
    struct user_ns *parent; /* NULL: the initial one */
    unsigned level;
    kuid_t owner;
    kgid_t group;
    u64 inum; /* /proc/<pid>/ns number */
    struct id_map {
        u32 nr;
        struct {
            u32 first, lower, count; /* lower: a kernel id, through all levels */
        } extent[USER_NS_EXTENTS];
    } uid_map, gid_map;     /* written once, by user_ns_set_map */
    bool setgroups_denied;  /* never cleared */
    bool maker_had_setfcap; /* I  CAP_SETFCAP where it was made: it may map the parent's root */
};
extern struct user_ns user_ns_init;

struct cred {
    refcount_t ref;
    kuid_t uid, euid, suid, fsuid;
    kgid_t gid, egid, sgid, fsgid;
    u64 cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
    u32 securebits;
    struct user_ns *user_ns;
    u32 nr_groups;
    kgid_t *groups; /* sorted */
};
extern struct cred cred_init; /* root, all capabilities */

struct cred *cred_copy(const struct cred *from) __must_check;
/* Context: no interrupt handler. */
void cred_get(const struct cred *c);
void cred_put(const struct cred *c);
/* What the current thread has to spare goes back: it ends, or has other credentials now. */
void cred_spares_put(void);
bool cred_in_group(const struct cred *c, kgid_t gid);
/* True when c holds cap over ns: it is in ns or an ancestor with the bit set, or owns it. */
bool cred_capable(const struct cred *c, const struct user_ns *ns, int cap);
#define current_cred() up_current_cred()
static inline bool capable(int cap)
{
    return cred_capable(current_cred(), &user_ns_init, cap);
}
kuid_t user_ns_map_uid(const struct user_ns *ns, u32 uid); /* ns id -> kernel id, or ID_INVALID */
kgid_t user_ns_map_gid(const struct user_ns *ns, u32 gid);
u32 user_ns_uid(const struct user_ns *ns, kuid_t uid); /* kernel id -> ns id, or 65534 */
u32 user_ns_gid(const struct user_ns *ns, kgid_t gid);
/* The number of a kernel id in uid_map or gid_map; ID_INVALID: none. */
u32 user_ns_id(const struct user_ns *ns, bool gids, u32 id);
bool user_ns_has_uid(const struct user_ns *ns, kuid_t uid);
bool user_ns_has_gid(const struct user_ns *ns, kgid_t gid);
/* setgroups(2) in ns: not before gid_map is written, nor once denied. */
bool user_ns_may_setgroups(const struct user_ns *ns);
/* 0, -EPERM (gid_map is written already). */
int user_ns_deny_setgroups(struct user_ns *ns) __must_check;
/* ERR_PTR: -ENOSPC (too deep), -EPERM (the creator's ids have no number where it is), -ENOMEM. */
struct user_ns *user_ns_create(const struct cred *creator) __must_check;
/* Writes uid_map (or gid_map) once; map's lower ids are the parent's numbers. 0, -EPERM (written
 * already, or the parent has not all of those numbers), -EINVAL (empty, overlapping or wrapping
 * extents). ns is not the initial one. The right to do so is the caller's to check. */
int user_ns_set_map(struct user_ns *ns, bool gids, const struct id_map *map) __must_check;
/* c, still its maker's alone, goes into ns, whose reference it takes, and has all capabilities. */
void user_ns_enter(struct user_ns *ns, struct cred *c);
void user_ns_get(struct user_ns *ns);
void user_ns_put(struct user_ns *ns);
/* Unique numbers for namespace files and anonymous inodes. */
u64 inum_alloc(void);
