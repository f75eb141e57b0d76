/* SPDX-License-Identifier: MIT
 *
 * /proc/sysvipc and the limits of System V IPC under /proc/sys/kernel: of the reader's ipc
 * namespace. A limit may be changed by the root of the namespace's user namespace.
 */
#include "linux/sys.h"
#include "proc/sysv/sysv.h"
#include "vfs/pseudo.h"

static int sysvipc_shm_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct shm_usage use;
    s64 last = shm_info(&use);

    seq_printf(out,
               "       key      shmid perms                  size  cpid  lpid nattch   uid   gid"
               "  cuid  cgid      atime      dtime      ctime                   rss"
               "                  swap\n");
    for (s32 i = 0; i <= last; i++, cond_yield()) {
        struct shmid_k s;
        u64 resident;
        s64 id = shm_stat(i, SYSV_STAT_ANY, &s, &resident);
        if (id < 0)
            continue;
        seq_printf(out,
                   "%10d %10ld  %4o %21lu %5u %5u  %5lu %5u %5u %5u %5u %10ld %10ld %10ld %21lu "
                   "%21u\n",
                   s.perm.key, id, s.perm.mode, s.size, (u32)s.cpid, (u32)s.lpid, s.attached,
                   s.perm.uid, s.perm.gid, s.perm.cuid, s.perm.cgid, s.atime, s.dtime, s.ctime,
                   resident << PAGE_SHIFT, 0);
    }
    return 0;
}

static int sysvipc_sem_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    u32 sets, semaphores;
    s64 last = sem_info(&sets, &semaphores);

    seq_printf(out, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime"
                    "      ctime\n");
    for (s32 i = 0; i <= last; i++, cond_yield()) {
        struct semid_k s;
        s64 id = sem_stat(i, SYSV_STAT_ANY, &s);
        if (id >= 0)
            seq_printf(out, "%10d %10ld  %4o %10lu %5u %5u %5u %5u %10ld %10ld\n", s.perm.key, id,
                       s.perm.mode, s.count, s.perm.uid, s.perm.gid, s.perm.cuid, s.perm.cgid,
                       s.otime, s.ctime);
    }
    return 0;
}

static int sysvipc_msg_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    u32 queues, messages;
    u64 bytes;
    s64 last = msg_info(&queues, &messages, &bytes);

    seq_printf(out, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid"
                    "  cuid  cgid      stime      rtime      ctime\n");
    for (s32 i = 0; i <= last; i++, cond_yield()) {
        struct msqid_k s;
        s64 id = msg_stat(i, SYSV_STAT_ANY, &s);
        if (id >= 0)
            seq_printf(out,
                       "%10d %10ld  %4o  %10lu %10lu %5u %5u %5u %5u %5u %5u %10ld %10ld %10ld\n",
                       s.perm.key, id, s.perm.mode, s.bytes, s.count, (u32)s.lspid, (u32)s.lrpid,
                       s.perm.uid, s.perm.gid, s.perm.cuid, s.perm.cgid, s.stime, s.rtime, s.ctime);
    }
    return 0;
}

static const struct pseudo_ops sysvipc_shm_ops = {.show = sysvipc_shm_show};
static const struct pseudo_ops sysvipc_sem_ops = {.show = sysvipc_sem_show};
static const struct pseudo_ops sysvipc_msg_ops = {.show = sysvipc_msg_show};
PSEUDO_FILE(sysvipc_shm) = {"proc", "sysvipc/shm", 0444, &sysvipc_shm_ops, NULL};
PSEUDO_FILE(sysvipc_sem) = {"proc", "sysvipc/sem", 0444, &sysvipc_sem_ops, NULL};
PSEUDO_FILE(sysvipc_msg) = {"proc", "sysvipc/msg", 0444, &sysvipc_msg_ops, NULL};

/* ------------------------------------------------------------- limits */

/* A file shows some limits in one line; ends with count 0. */
struct sysvipc_limits {
    u32 count;
    struct {
        u16 offset, size; /* of a u32 or u64 of struct ipc_ns */
        u64 max;
    } limit[4];
};
#define LIMIT(field, most)                                                           \
    {                                                                                \
        offsetof(struct ipc_ns, field), sizeof(((struct ipc_ns *)NULL)->field), most \
    }

static u64 sysvipc_read(const struct ipc_ns *ns, const struct sysvipc_limits *l, u32 i)
{
    const void *at = (const u8 *)ns + l->limit[i].offset;

    return l->limit[i].size == 8 ? READ_ONCE(*(const u64 *)at) : READ_ONCE(*(const u32 *)at);
}

static void sysvipc_write(struct ipc_ns *ns, const struct sysvipc_limits *l, u32 i, u64 value)
{
    void *at = (u8 *)ns + l->limit[i].offset;

    if (l->limit[i].size == 8)
        WRITE_ONCE(*(u64 *)at, value);
    else
        WRITE_ONCE(*(u32 *)at, (u32)value);
}

static int sysvipc_limits_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct sysvipc_limits *l = node->priv;

    for (u32 i = 0; i < l->count; i++)
        seq_printf(out, "%s%lu", i ? "\t" : "", sysvipc_read(current_task()->ns->ipc, l, i));
    seq_printf(out, "\n");
    return 0;
}

static ssize_t sysvipc_limits_store(struct pseudo_node *node, char *text, size_t n,
                                    const struct cred *cred)
{
    const struct sysvipc_limits *l = node->priv;
    struct ipc_ns *ns = current_task()->ns->ipc;
    const char *s = text;
    u64 value[4];
    u32 given = 0;

    if (cred->euid != user_ns_map_uid(ns->user_ns, 0))
        return -EPERM;
    while (given < l->count) {
        while (*s == ' ' || *s == '\t')
            s++;
        if (!*s || *s == '\n')
            break;
        int err = parse_u64_prefix(s, 10, &value[given], &s);
        if (err || value[given] > l->limit[given].max)
            return -EINVAL;
        given++;
    }
    if (!given)
        return -EINVAL;
    for (u32 i = 0; i < given; i++)
        sysvipc_write(ns, l, i, value[i]);
    return (ssize_t)n;
}

static const struct pseudo_ops sysvipc_limits_ops = {.show = sysvipc_limits_show,
                                                     .store = sysvipc_limits_store};

#define SYSVIPC_LIMITS(id, path, ...)                                         \
    static const struct sysvipc_limits sysvipc_limits_##id = __VA_ARGS__;     \
    PSEUDO_FILE(id) = {"proc", "sys/kernel/" path, 0644, &sysvipc_limits_ops, \
                       (void *)(uintptr_t)&sysvipc_limits_##id}

SYSVIPC_LIMITS(shmmax, "shmmax", {1, {LIMIT(shm_max, U64_MAX)}});
SYSVIPC_LIMITS(shmall, "shmall", {1, {LIMIT(shm_all, U64_MAX)}});
SYSVIPC_LIMITS(shmmni, "shmmni", {1, {LIMIT(shm_mni, SYSV_INDEX_MAX)}});
SYSVIPC_LIMITS(sem, "sem",
               {4,
                {LIMIT(sem_msl, U32_MAX / 2), LIMIT(sem_mns, U32_MAX / 2),
                 LIMIT(sem_opm, U32_MAX / 2), LIMIT(sem_mni, SYSV_INDEX_MAX)}});
SYSVIPC_LIMITS(msgmax, "msgmax", {1, {LIMIT(msg_max, U32_MAX / 2)}});
SYSVIPC_LIMITS(msgmnb, "msgmnb", {1, {LIMIT(msg_mnb, U32_MAX / 2)}});
SYSVIPC_LIMITS(msgmni, "msgmni", {1, {LIMIT(msg_mni, SYSV_INDEX_MAX)}});
