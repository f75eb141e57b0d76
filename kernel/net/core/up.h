/* SPDX-License-Identifier: MIT
 *
 * What net asks of the layers above.
 */
#pragma once

struct pid;
struct pid_ns;

/* kernel/proc: the current process's id and pid namespace; borrowed. */
struct pid *up_current_pid(void);
struct pid_ns *up_current_pid_ns(void);
