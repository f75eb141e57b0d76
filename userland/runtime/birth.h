// SPDX-License-Identifier: MIT
// The birth of an exec's process among the container's processes.
//
// The keeper's child, its maker, is in the keeper's own pid namespace, where no process of the
// container can see it. It enters the container and gives up all that the program is not to have;
// the program's process, which the container's others can see, and with CAP_SYS_PTRACE do anything
// to, is cloned last. It is the keeper's child as well (CLONE_PARENT). Its number the maker tells
// the keeper, before the program may go on: the keeper believes that message of its maker alone
// (SO_PASSCRED), since the container may get hold of the conversation as soon as the process is
// there.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct child;

/* Before limits and filter are set: what the two will need. */
void birth_prepare(struct child *ch);
/* Returns in the program's process, as leader of a session of its own; the caller ends. */
void birth_give(struct child *ch);

/* ---- the starter's side ---- */

/* Before the clone: `sync` tells who has sent a message. 0 or -errno. */
int birth_expect(int sync);
/* The number of a message, or 0 when it is none. Whether its maker has sent it the caller knows. */
pid_t birth_read(const char *text, long n);
