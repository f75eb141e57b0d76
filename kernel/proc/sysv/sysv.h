/* SPDX-License-Identifier: MIT
 *
 * System V IPC (sysvipc(7)): shared memory, semaphores and message queues, each known by a number
 * and perhaps a key within an ipc namespace, and living until it is removed or the namespace ends.
 *
 * What is a system call here has its name without the sys_, and copies of the user's structures in
 * kernel memory. Each returns -EINVAL (no such number), -EIDRM (removed meanwhile), -EACCES and
 * -EPERM as sysvipc(7) says, and what its own comment adds. May sleep.
 */
#pragma once

#include "lib/types.h"
#include "lib/xarray.h"
#include "sched/mutex.h"
#include "sync/refcount.h"

struct user_ns;
struct task;
struct seq;
struct pid_ns;

enum sysv_kind { SYSV_SHM, SYSV_SEM, SYSV_MSG, SYSV_KINDS };
#define SYSV_INDEX_BITS 15
#define SYSV_INDEX_MAX (1U << SYSV_INDEX_BITS)

/* The objects of one kind. I immutable · l lock */
struct sysv_table {
    struct mutex lock;      /*    RANK_PROC */
    struct xarray by_index; /* l */
    struct xarray by_key;   /* l  those with a key */
    u64 *taken;             /* l  bitmap of indices, made with the first object */
    u32 count, seq, next;   /* l  next: where the search for an index begins */
};

/* a atomic: limits that /proc/sys/kernel sets; each call reads them once */
struct ipc_ns {
    refcount_t ref;          /* a  those who are in it: the last one removes all objects */
    refcount_t memory;       /* a  the structure: its users together, and each segment */
    u64 inum;                /* I */
    struct user_ns *user_ns; /* I */
    struct sysv_table table[SYSV_KINDS];
    u64 shm_pages;                          /* table[SYSV_SHM].lock  sizes of all segments */
    u64 sem_total;                          /* table[SYSV_SEM].lock  semaphores of all sets */
    u64 shm_max, shm_all, shm_mni;          /* a  bytes, pages, segments */
    u32 sem_msl, sem_mns, sem_opm, sem_mni; /* a */
    u32 msg_max, msg_mnb, msg_mni;          /* a */
};

extern struct ipc_ns ipc_ns_init;
struct ipc_ns *ipc_ns_create(struct user_ns *user_ns) __must_check;
void ipc_ns_get(struct ipc_ns *ns);
void ipc_ns_put(struct ipc_ns *ns);

/* ---- what ctl calls exchange: sysvipc(7)'s structures as x86-64 lays them out ---- */

struct ipc_perm_k { /* struct ipc64_perm */
    s32 key;
    u32 uid, gid, cuid, cgid, mode;
    u16 seq, pad0;
    u32 pad1;
    u64 unused[2];
};
static_assert(sizeof(struct ipc_perm_k) == 48, "ipc64_perm");

struct shmid_k { /* struct shmid64_ds */
    struct ipc_perm_k perm;
    u64 size;
    s64 atime, dtime, ctime;
    s32 cpid, lpid;
    u64 attached, unused[2];
};
static_assert(sizeof(struct shmid_k) == 112, "shmid64_ds");

struct semid_k { /* struct semid64_ds */
    struct ipc_perm_k perm;
    s64 otime;
    u64 unused0;
    s64 ctime;
    u64 unused1, count, unused2[2];
};
static_assert(sizeof(struct semid_k) == 104, "semid64_ds");

struct msqid_k { /* struct msqid64_ds */
    struct ipc_perm_k perm;
    s64 stime, rtime, ctime;
    u64 bytes, count, bytes_max;
    s32 lspid, lrpid;
    u64 unused[2];
};
static_assert(sizeof(struct msqid_k) == 120, "msqid64_ds");

#define IPC_CREAT 01000
#define IPC_EXCL 02000
#define IPC_NOWAIT 04000
/* How a stat call finds its object: by number, by index, by index without a check of rights. */
enum sysv_stat { SYSV_STAT_ID, SYSV_STAT_INDEX, SYSV_STAT_ANY };

struct shm_usage { /* for SHM_INFO: segments, pages of their sizes, pages in memory */
    u32 count;
    u64 pages, resident;
};

/* shm_get, sem_get and msg_get: the number, or -ENOENT, -EEXIST, -ENOSPC, -ENOMEM. */
s64 shm_get(s32 key, u64 size, u32 flags);
s64 shm_at(s32 id, u64 addr, u32 flags); /* the address, or -ENOMEM, -EINVAL */
s64 shm_detach(u64 addr);
/* 0, or the number by index. *resident: pages in memory, may be NULL. */
s64 shm_stat(s32 id, enum sysv_stat how, struct shmid_k *out, u64 *resident);
s64 shm_set(s32 id, const struct ipc_perm_k *perm);
s64 shm_remove(s32 id);
s64 shm_lock(s32 id, bool lock);
s64 shm_info(struct shm_usage *out); /* the highest index in use, or 0 */

struct sem_op {
    u16 index;
    s16 change;
    s16 flags;
};
#define SEM_UNDO 0x1000
#define SEM_VALUE_MAX 32767
s64 sem_get(s32 key, s32 count, u32 flags);
/* deadline: ns of time_ns(), 0 none. -E2BIG, -EFBIG, -EAGAIN, -EINTR, -ERANGE, -ENOMEM. */
s64 sem_operate(s32 id, const struct sem_op *ops, u32 n, u64 deadline);
s64 sem_stat(s32 id, enum sysv_stat how, struct semid_k *out);
s64 sem_set(s32 id, const struct ipc_perm_k *perm);
s64 sem_remove(s32 id);
enum sem_ask { SEM_ASK_PID, SEM_ASK_VALUE, SEM_ASK_WAIT_MORE, SEM_ASK_WAIT_ZERO };
s64 sem_ask(s32 id, s32 index, enum sem_ask what);
s64 sem_set_value(s32 id, s32 index, s32 value);
/* How many the set has, for the caller's buffer; then all values at once, -EINVAL when that has
 * changed. */
s64 sem_count(s32 id);
s64 sem_get_all(s32 id, u16 *values, u32 n);
s64 sem_set_all(s32 id, const u16 *values, u32 n);
s64 sem_info(u32 *sets, u32 *semaphores);
/* What a task will undo when it ends: shared under CLONE_SYSVSEM, else its own. */
struct sem_undo_list;
int sem_undo_share(struct task *child) __must_check; /* 0 or -ENOMEM; the caller is the parent */
void sem_undo_exit(struct task *t);

s64 msg_get(s32 key, u32 flags);
struct msg;
/* A message of n bytes without text yet; NULL: no memory. */
struct msg *msg_alloc(s64 type, size_t n) __must_check;
void *msg_text(struct msg *m);
s64 msg_type(const struct msg *m);
size_t msg_size(const struct msg *m);
void msg_free(struct msg *m);
s64 msg_send(s32 id, struct msg *m, u32 flags); /* takes m unless it fails; -EAGAIN, -EINTR */
/* *out: the message, the caller's now. -ENOMSG, -E2BIG, -EINTR. */
#define MSG_NOERROR 010000
#define MSG_EXCEPT 020000
#define MSG_COPY 040000
s64 msg_receive(s32 id, size_t max, s64 type, u32 flags, struct msg **out);
s64 msg_stat(s32 id, enum sysv_stat how, struct msqid_k *out);
s64 msg_set(s32 id, const struct ipc_perm_k *perm, u64 bytes_max);
s64 msg_remove(s32 id);
s64 msg_info(u32 *queues, u32 *messages, u64 *bytes);
