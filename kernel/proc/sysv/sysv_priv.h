/* SPDX-License-Identifier: MIT
 *
 * What the three kinds of System V object share (ids.c).
 *
 * Lock order: undo list, table, object. A table's lock guards numbers, keys, owners and rights; an
 * object's lock what it holds, and `removed`. Both are sleeping locks that only the users of one
 * namespace ever wait for, so what one tenant hoards holds up that tenant alone.
 */
#pragma once

#include "lib/err.h"
#include "obj/cred.h"
#include "obj/pid.h"
#include "proc/sysv/sysv.h"

#define MAY_READ 0444U
#define MAY_WRITE 0222U
#define MODE_BITS 0777U
#define SYSV_PRIVATE 0

/* I immutable · t the table's lock · l lock · a atomic */
struct sysv_object {
    refcount_t ref;      /* a */
    struct mutex lock;   /*    RANK_PROC, below the table's */
    enum sysv_kind kind; /* I */
    s32 key;             /* t */
    u32 index, seq;      /* I  number = seq << SYSV_INDEX_BITS | index */
    kuid_t uid, cuid;    /* t; c: the creator's, I */
    kgid_t gid, cgid;    /* t; I */
    u32 mode;            /* t */
    s64 ctime;           /* t  s since 1970 */
    bool removed;        /* l writes under t too: it has no number any more */
};

static inline s32 sysv_number(const struct sysv_object *o)
{
    return (s32)(o->seq << SYSV_INDEX_BITS | o->index);
}

struct ipc_ns *sysv_ns(void); /* the current task's */
void ipc_ns_put_memory(struct ipc_ns *ns);
s64 sysv_seconds(void);                 /* now, since 1970 */
s32 sysv_pid_nr(const struct pid *pid); /* as the current task sees it; 0: not at all */
/* *slot becomes the current process's pid. */
void sysv_note_pid(struct pid **slot);

/* How a kind makes and judges objects for its get call. */
struct sysv_get {
    enum sysv_kind kind;
    u32 max; /* objects */
    u64 size;
    /* An object with everything but ids.c's part, or ERR_PTR. REQUIRES(table lock) */
    struct sysv_object *(*create)(struct ipc_ns *ns, u64 size, u32 flags);
    void (*discard)(struct sysv_object *o);              /* of one that found no place */
    int (*check)(const struct sysv_object *o, u64 size); /* does it fit what is asked for? */
};
s64 sysv_get(const struct sysv_get *g, s32 key, u32 flags);

/* The object with that number (a reference), which the current task may use for `want`; ERR_PTR. */
struct sysv_object *sysv_find(enum sysv_kind kind, s32 id, u32 want);
/* The same with its lock taken; -EIDRM when it went meanwhile. */
struct sysv_object *sysv_find_locked(enum sysv_kind kind, s32 id, u32 want);
/* By what stat calls are given; the object's perm is filled in. */
struct sysv_object *sysv_find_stat(enum sysv_kind kind, s32 id, enum sysv_stat how,
                                   struct ipc_perm_k *perm);
/* The same for those who own or made it. */
struct sysv_object *sysv_find_owned(enum sysv_kind kind, s32 id);
/* Owner and rights from perm. -EINVAL: ids without a number here. The caller has seen that it owns
 * the object. */
int sysv_change(struct sysv_object *o, const struct ipc_perm_k *perm);
/* Its number and key are free again. REQUIRES(table lock) */
void sysv_unlink(struct ipc_ns *ns, struct sysv_object *o);
/* Only its key: it is found by its number until it goes. REQUIRES(table lock) */
void sysv_unlink_key(struct ipc_ns *ns, struct sysv_object *o);
void sysv_put(struct sysv_object *o);
/* The highest index in use, or 0; *count: how many there are. */
s64 sysv_highest(enum sysv_kind kind, u32 *count);

/* The kinds' parts: the last reference is gone; the namespace ends. */
void shm_destroy(struct sysv_object *o);
void sem_destroy(struct sysv_object *o);
void msg_destroy(struct sysv_object *o);
bool shm_get_unless_gone(struct sysv_object *o);
void shm_drop(struct ipc_ns *ns, struct sysv_object *o);
void sem_drop(struct ipc_ns *ns, struct sysv_object *o);
void msg_drop(struct ipc_ns *ns, struct sysv_object *o);
