/* SPDX-License-Identifier: MIT
 *
 * What net asks of the layers above.
 */
#pragma once

struct net_ns;
struct pid;
struct pid_ns;

/* kernel/proc: the current process's id and pid namespace; borrowed. */
struct pid *up_current_pid(void);
struct pid_ns *up_current_pid_ns(void);
/* kernel/proc: the current process's net namespace; borrowed. */
struct net_ns *up_current_net_ns(void);
