/* SPDX-License-Identifier: MIT
 *
 * Seccomp filters: classic BPF over struct seccomp_data (seccomp(2)). A chain is immutable and
 * shared by reference on fork. Beside it stands a bitmap, filled as numbers are first called: those
 * that every filter allows for all arguments and addresses; their calls run no BPF again.
 *
 * Context: seccomp_attach allocates and may sleep. seccomp_run, seccomp_judge and the putting of a
 * chain's last reference may yield: no spinlock is held. Under one, seccomp_put takes references
 * only of chains that another keeps. The rest may be called anywhere but in interrupts.
 */
#pragma once

#include "lib/bpf.h"
#include "lib/types.h"
#include "sync/refcount.h"

#define SECCOMP_RET_KILL_PROCESS 0x80000000U
#define SECCOMP_RET_KILL_THREAD 0x00000000U
#define SECCOMP_RET_TRAP 0x00030000U
#define SECCOMP_RET_ERRNO 0x00050000U
#define SECCOMP_RET_USER_NOTIF 0x7fc00000U
#define SECCOMP_RET_TRACE 0x7ff00000U
#define SECCOMP_RET_LOG 0x7ffc0000U
#define SECCOMP_RET_ALLOW 0x7fff0000U
#define SECCOMP_RET_ACTION_FULL 0xffff0000U
#define SECCOMP_RET_DATA 0x0000ffffU

#define AUDIT_ARCH_X86_64 0xc000003eU

#define SECCOMP_CHAIN_MAX 32768 /* instructions of a chain, 4 counted for each filter besides */
#define SECCOMP_CALLS 512       /* numbers the bitmap covers */

struct seccomp_data {
    s32 nr;
    u32 arch;
    u64 ip;
    u64 args[6];
};

struct seccomp {
    refcount_t ref;
    struct seccomp *prev; /* the filter installed before: a reference */
    u64 allow[SECCOMP_CALLS /
              64]; /* a: of those that were judged: allowed whatever the arguments */
    u64 judged[SECCOMP_CALLS / 64]; /* a */
    const struct seccomp *skip;     /* one further down, or NULL: for big steps */
    u32 depth;                      /* how many filters there are with it */
    u32 chain_len;
    bool log;
    u32 len;
    struct bpf_insn insns[];
};

/* Checks and appends a filter: *out replaces prev, whose reference moves into it. insns are kernel
 * memory, copied. -EINVAL: not a valid filter; -ENOMEM: chain too long or no memory. */
int seccomp_attach(struct seccomp *prev, const struct bpf_insn *insns, u32 len, bool log,
                   struct seccomp **out) __must_check;
/* The most restrictive verdict of the chain (the newest filter's data among equals). */
u32 seccomp_run(const struct seccomp *chain, const struct seccomp_data *data);
/* Is the call allowed by all, whatever its arguments are? False, too, where none has asked yet, or
 * where the word that was loaded is old: seccomp_judge is for that. */
static inline bool seccomp_allowed_fast(const struct seccomp *s, u64 nr)
{
    return nr < SECCOMP_CALLS && (s->allow[nr / 64] >> (nr % 64) & 1);
}
/* The same by a look at the programs, which each number takes once. */
bool seccomp_judge(struct seccomp *chain, u64 nr);
/* Was `old` (NULL: none) built upon to make `chain`, or is it the same? */
bool seccomp_is_ancestor(const struct seccomp *old, const struct seccomp *chain);
void seccomp_get(struct seccomp *s);
void seccomp_put(struct seccomp *s);
