/* SPDX-License-Identifier: MIT
 *
 * The vDSO: code of the kernel that runs in the program and reads the clocks without a call.
 */
#pragma once

#include "lib/types.h"

struct aspace;
struct time_ns;

/* Maps [vvar] and [vdso] at the top of what mmap may use, into an aspace that nothing runs in yet.
 * Sets as->vdso. 0 or -ENOMEM. May sleep. */
int vdso_map(struct aspace *as, const struct time_ns *ns) __must_check;
/* as's process enters ns: where the clocks are shifted, its vDSO asks the kernel. A process that
 * has unmapped its clock page is left alone. 0 or -ENOMEM. May sleep. */
int vdso_enter_time(struct aspace *as, const struct time_ns *ns) __must_check;
