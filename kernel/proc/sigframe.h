/* SPDX-License-Identifier: MIT
 *
 * The frame of a signal handler on the user's stack, in x86-64 Linux's layout (asm/sigcontext.h,
 * asm/ucontext.h): return address, ucontext, siginfo; above them the XSAVE area with Linux's magic
 * words, which tell unwinders and debuggers its size.
 */
#pragma once

#include "arch/x86/trap.h"
#include "proc/signal.h"

/* Builds the frame for info->signo and points *f at the handler. 0 or -EFAULT. */
int sigframe_push(struct trap_frame *f, const struct siginfo *info, const struct sigaction *act,
                  sigset_t old_mask);
