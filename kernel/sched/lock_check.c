/* SPDX-License-Identifier: MIT
 *
 * Where arch asks what the current thread holds, in the debug build.
 */
#ifdef DEBUG
#include "arch/x86/percpu.h"
#include "arch/x86/up.h"
#include "sched/thread.h"
#include "sync/lockdep.h"

void up_user_copy(u64 rip)
{
    const struct thread *me = current_thread();

    if (me && !me->nofault)
        lockdep_may_copy(rip);
}

void up_user_return(void)
{
    lockdep_nothing_held("user mode goes on");
}
#endif
