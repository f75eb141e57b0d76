/* SPDX-License-Identifier: MIT
 *
 * What vm asks of the layers above.
 */
#pragma once

#include "lib/types.h"

struct account;
struct file;

/* kernel/vfs: forgets up to n cached names charged to account (NULL: to any), oldest first; how
 * many. Their memory comes back after a grace period. Context: may sleep. */
u64 up_reclaim_names(struct account *account, u64 n);
/* The account's limit stands in the way (NULL: there is no RAM) and reclaim found nothing: choose
 * and kill the one that suffers (container/). True when something was or will be freed: try again.
 * Context: may sleep. */
bool up_oom(struct account *account);
/* kernel/vfs: memory is wanted for an account (NULL: the machine): some file systems with dirty
 * pages begin to write. False: none has any. Context: may sleep, and does not wait for them. */
bool up_write_back(struct account *account);
/* kernel/obj: what a program has written to the file, by mappings too, is brought to its store, as
 * fdatasync(2) does. Context: may sleep. */
int up_file_sync(struct file *file);
/* container: the account is above its high mark and nothing more could be reclaimed. */
void up_memory_high(struct account *account);
/* container: holds what an account belongs to, so that it can be charged. Only while another
 * reference holds it too; the put may sleep. */
void up_account_get(struct account *account);
void up_account_put(struct account *account);
/* kernel/proc: the calling process's soft limit, bytes; U64_MAX: none. With MEMORY_LOCKED what
 * CAP_IPC_LOCK allows too. */
enum memory_limit { MEMORY_SPACE, MEMORY_STACK, MEMORY_LOCKED, MEMORY_DATA };
u64 up_memory_limit(enum memory_limit which);
/* kernel/obj: gives [off, off + len) of the file back, as fallocate(2) with FALLOC_FL_PUNCH_HOLE
 * does. Context: may sleep. */
int up_file_punch(struct file *file, u64 off, u64 len);
/* Reference counting of area->file (kernel/obj). */
void up_file_get(struct file *file);
void up_file_put(struct file *file);
/* A fault from user mode that stands (kernel/proc): err is aspace_fault's (-EFAULT: SIGSEGV, -EIO:
 * SIGBUS, -ENOMEM: SIGKILL), kind its enum fault_kind. Queues the signal. Interrupts on. */
struct trap_frame;
void up_fault_signal(struct trap_frame *frame, u64 addr, int err, unsigned kind);
