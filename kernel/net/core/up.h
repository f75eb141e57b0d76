/* SPDX-License-Identifier: MIT
 *
 * What net asks of the layers above.
 */
#pragma once

#include "lib/types.h"

struct file_owner_ref;
struct net_ns;
struct pid;
struct pid_ns;

/* kernel/proc: the current process's id and pid namespace; borrowed. */
struct pid *up_current_pid(void);
struct pid_ns *up_current_pid_ns(void);
/* kernel/proc: the current process's net namespace; borrowed. */
struct net_ns *up_current_net_ns(void);
/* kernel/linux: SIGURG to the owner of a file, whose reference it takes. Any context that may wait
 * for no lock of net's. */
void up_owner_urgent(struct file_owner_ref *owner);
/* kernel/proc: the net namespace that the current process's descriptor names: a reference. ERR_PTR:
 * -EBADF, -EINVAL (it names none). */
struct net_ns *up_net_ns_of_fd(s32 fd);
/* kernel/proc: a descriptor of the current process for ns, whose reference it takes; or -errno. */
s64 up_net_ns_publish(struct net_ns *ns);
/* kernel/proc: the one that process `pid` lives in, as the current one numbers it: a reference.
 * ERR_PTR: -ESRCH. */
struct net_ns *up_net_ns_of_pid(u32 pid);
