/* SPDX-License-Identifier: MIT
 *
 * The main thread's event loop: the terminal, signals, and whatever device output had to wait.
 */
#pragma once

#include "vmm/vmm.h"

struct loop;

/* Before any thread exists: takes the terminal and blocks the signals that the loop takes itself.
 */
struct loop *loop_create(struct vm *vm, const struct vm_options *opt);

/* Runs until vm_stop(); returns the exit status. */
int loop_run(struct loop *l);
