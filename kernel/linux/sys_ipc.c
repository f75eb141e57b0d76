/* SPDX-License-Identifier: MIT
 *
 * System V IPC: decode, call kernel/proc/sysv, encode.
 */
#include "linux/sys.h"
#include "proc/sysv/sysv.h"

enum { IPC_RMID, IPC_SET, IPC_STAT, IPC_INFO };
enum { MSG_STAT = 11, MSG_INFO, MSG_STAT_ANY };
enum {
    GETPID = 11,
    GETVAL,
    GETALL,
    GETNCNT,
    GETZCNT,
    SETVAL,
    SETALL,
    SEM_STAT,
    SEM_INFO,
    SEM_STAT_ANY
};
enum { SHM_LOCK = 11, SHM_UNLOCK, SHM_STAT, SHM_INFO, SHM_STAT_ANY };

/* ------------------------------------------------------------- shared memory */

s64 sys_shmget(s32 key, u64 size, u32 flags)
{
    return shm_get(key, size, flags);
}

s64 sys_shmat(s32 id, u64 addr, u32 flags)
{
    return shm_at(id, addr, flags);
}

s64 sys_shmdt(u64 addr)
{
    return shm_detach(addr);
}

static s64 ipc_shm_stat(s32 id, enum sysv_stat how, u64 uptr)
{
    struct shmid_k s;
    s64 r = shm_stat(id, how, &s, NULL);

    return r >= 0 && OUT(uptr, s) ? -EFAULT : r;
}

static s64 ipc_shm_limits(u64 uptr)
{
    const struct ipc_ns *ns = current_task()->ns->ipc;
    struct {
        u64 max, min, mni, seg, all, unused[4];
    } info = {
        .max = ns->shm_max, .min = 1, .mni = ns->shm_mni, .seg = ns->shm_mni, .all = ns->shm_all};
    struct shm_usage use;
    s64 r = shm_info(&use);

    return OUT(uptr, info) ? -EFAULT : r;
}

static s64 ipc_shm_usage(u64 uptr)
{
    struct shm_usage use;
    s64 r = shm_info(&use);
    struct {
        s32 ids, pad;
        u64 total, resident, swapped, swap_tries, swap_done;
    } info = {.ids = (s32)use.count, .total = use.pages, .resident = use.resident};

    return OUT(uptr, info) ? -EFAULT : r;
}

s64 sys_shmctl(s32 id, s32 cmd, u64 uptr)
{
    struct shmid_k s;

    if (id < 0)
        return -EINVAL;
    switch (cmd) {
    case IPC_RMID:
        return shm_remove(id);
    case IPC_SET:
        return IN(s, uptr) ? -EFAULT : shm_set(id, &s.perm);
    case IPC_STAT:
        return ipc_shm_stat(id, SYSV_STAT_ID, uptr);
    case SHM_STAT:
        return ipc_shm_stat(id, SYSV_STAT_INDEX, uptr);
    case SHM_STAT_ANY:
        return ipc_shm_stat(id, SYSV_STAT_ANY, uptr);
    case IPC_INFO:
        return ipc_shm_limits(uptr);
    case SHM_INFO:
        return ipc_shm_usage(uptr);
    case SHM_LOCK:
    case SHM_UNLOCK:
        return shm_lock(id, cmd == SHM_LOCK);
    default:
        return -EINVAL;
    }
}

/* ------------------------------------------------------------- semaphores */

s64 sys_semget(s32 key, s32 count, u32 flags)
{
    return sem_get(key, count, flags);
}

#define SEM_OPS_FAST 16

static s64 ipc_sem_operate(s32 id, u64 uops, u32 n, u64 deadline)
{
    struct sem_op fast[SEM_OPS_FAST], *ops = fast;
    s64 r;

    if (!n || id < 0)
        return -EINVAL;
    if (n > READ_ONCE(current_task()->ns->ipc->sem_opm))
        return -E2BIG;
    if (n > SEM_OPS_FAST && !(ops = kcalloc(n, sizeof(*ops))))
        return -ENOMEM;
    if (copy_in(ops, (const void __user *)uops, n * sizeof(*ops)))
        r = -EFAULT;
    else
        r = sem_operate(id, ops, n, deadline);
    if (ops != fast)
        kfree(ops);
    return r;
}

s64 sys_semop(s32 id, u64 ops, u32 n)
{
    return ipc_sem_operate(id, ops, n, 0);
}

s64 sys_semtimedop(s32 id, u64 ops, u32 n, u64 uts)
{
    u64 ns, deadline = 0;

    if (uts) {
        int err = timespec_in(uts, &ns);
        if (err)
            return err;
        deadline = deadline_after(ns);
    }
    return ipc_sem_operate(id, ops, n, deadline);
}

static s64 ipc_sem_stat(s32 id, enum sysv_stat how, u64 uptr)
{
    struct semid_k s;
    s64 r = sem_stat(id, how, &s);

    return r >= 0 && OUT(uptr, s) ? -EFAULT : r;
}

/* struct seminfo; in SEM_INFO two fields tell what is in use. */
static s64 ipc_sem_info(u64 uptr, bool usage)
{
    const struct ipc_ns *ns = current_task()->ns->ipc;
    u32 sets, semaphores;
    s64 r = sem_info(&sets, &semaphores);
    s32 info[10] = {(s32)ns->sem_mns, (s32)ns->sem_mni, (s32)ns->sem_mns, (s32)ns->sem_mns,
                    (s32)ns->sem_msl, (s32)ns->sem_opm, (s32)ns->sem_opm, 20,
                    SEM_VALUE_MAX,    SEM_VALUE_MAX};

    if (usage) {
        info[7] = (s32)sets;
        info[9] = (s32)semaphores;
    }
    return OUT(uptr, info) ? -EFAULT : r;
}

/* GETALL and SETALL: a buffer for as many as the set has. */
static s64 ipc_sem_all(s32 id, u64 uptr, bool set)
{
    s64 n = sem_count(id), r;
    u16 *values;

    if (n < 0)
        return n;
    values = kcalloc((size_t)n, sizeof(*values));
    if (!values)
        return -ENOMEM;
    if (set)
        r = copy_in(values, (const void __user *)uptr, (size_t)n * sizeof(*values))
                ? -EFAULT
                : sem_set_all(id, values, (u32)n);
    else
        r = sem_get_all(id, values, (u32)n);
    if (!set && !r && copy_out((void __user *)uptr, values, (size_t)n * sizeof(*values)))
        r = -EFAULT;
    kfree(values);
    return r;
}

s64 sys_semctl(s32 id, s32 index, s32 cmd, u64 arg)
{
    struct semid_k s;

    if (id < 0)
        return -EINVAL;
    switch (cmd) {
    case IPC_RMID:
        return sem_remove(id);
    case IPC_SET:
        return IN(s, arg) ? -EFAULT : sem_set(id, &s.perm);
    case IPC_STAT:
        return ipc_sem_stat(id, SYSV_STAT_ID, arg);
    case SEM_STAT:
        return ipc_sem_stat(id, SYSV_STAT_INDEX, arg);
    case SEM_STAT_ANY:
        return ipc_sem_stat(id, SYSV_STAT_ANY, arg);
    case IPC_INFO:
    case SEM_INFO:
        return ipc_sem_info(arg, cmd == SEM_INFO);
    case GETALL:
    case SETALL:
        return ipc_sem_all(id, arg, cmd == SETALL);
    case GETPID:
        return sem_ask(id, index, SEM_ASK_PID);
    case GETVAL:
        return sem_ask(id, index, SEM_ASK_VALUE);
    case GETNCNT:
        return sem_ask(id, index, SEM_ASK_WAIT_MORE);
    case GETZCNT:
        return sem_ask(id, index, SEM_ASK_WAIT_ZERO);
    case SETVAL:
        return sem_set_value(id, index, (s32)arg);
    default:
        return -EINVAL;
    }
}

/* ------------------------------------------------------------- messages */

s64 sys_msgget(s32 key, u32 flags)
{
    return msg_get(key, flags);
}

s64 sys_msgsnd(s32 id, u64 uptr, u64 size, u32 flags)
{
    struct msg *m;
    s64 type, err;

    if (IN(type, uptr))
        return -EFAULT;
    if (id < 0 || type < 1 || size > READ_ONCE(current_task()->ns->ipc->msg_max))
        return -EINVAL;
    m = msg_alloc(type, size);
    if (!m)
        return -ENOMEM;
    err = copy_in(msg_text(m), (const void __user *)(uptr + sizeof(type)), size)
              ? -EFAULT
              : msg_send(id, m, flags);
    if (err)
        msg_free(m);
    return err;
}

s64 sys_msgrcv(s32 id, u64 uptr, u64 size, s64 type, u32 flags)
{
    struct msg *m = NULL;
    s64 r;

    if (id < 0 || size > S64_MAX)
        return -EINVAL;
    r = msg_receive(id, size, type, flags, &m);
    if (r)
        return r;
    type = msg_type(m);
    r = (s64)MIN(size, msg_size(m));
    if (OUT(uptr, type) || copy_out((void __user *)(uptr + sizeof(type)), msg_text(m), (size_t)r))
        r = -EFAULT;
    msg_free(m);
    return r;
}

static s64 ipc_msg_stat(s32 id, enum sysv_stat how, u64 uptr)
{
    struct msqid_k s;
    s64 r = msg_stat(id, how, &s);

    return r >= 0 && OUT(uptr, s) ? -EFAULT : r;
}

/* struct msginfo; in MSG_INFO three fields tell what is in use. */
static s64 ipc_msg_info(u64 uptr, bool usage)
{
    const struct ipc_ns *ns = current_task()->ns->ipc;
    struct {
        s32 pool, map, max, mnb, mni, segment_size, headers;
        u16 segments, pad;
    } info = {
        .pool = (s32)((u64)ns->msg_mni * ns->msg_mnb / 1024),
        .map = (s32)ns->msg_mnb,
        .max = (s32)ns->msg_max,
        .mnb = (s32)ns->msg_mnb,
        .mni = (s32)ns->msg_mni,
        .segment_size = 16,
        .headers = (s32)ns->msg_mnb,
        .segments = 0xffff,
    };
    u32 queues, messages;
    u64 bytes;
    s64 r = msg_info(&queues, &messages, &bytes);

    if (usage) {
        info.pool = (s32)queues;
        info.map = (s32)messages;
        info.headers = (s32)bytes;
    }
    return OUT(uptr, info) ? -EFAULT : r;
}

s64 sys_msgctl(s32 id, s32 cmd, u64 uptr)
{
    struct msqid_k s;

    if (id < 0)
        return -EINVAL;
    switch (cmd) {
    case IPC_RMID:
        return msg_remove(id);
    case IPC_SET:
        return IN(s, uptr) ? -EFAULT : msg_set(id, &s.perm, s.bytes_max);
    case IPC_STAT:
        return ipc_msg_stat(id, SYSV_STAT_ID, uptr);
    case MSG_STAT:
        return ipc_msg_stat(id, SYSV_STAT_INDEX, uptr);
    case MSG_STAT_ANY:
        return ipc_msg_stat(id, SYSV_STAT_ANY, uptr);
    case IPC_INFO:
    case MSG_INFO:
        return ipc_msg_info(uptr, cmd == MSG_INFO);
    default:
        return -EINVAL;
    }
}
