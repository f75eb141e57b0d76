/* SPDX-License-Identifier: MIT
 *
 * What the lower layers have sent to the current task: for its faults, and for writing to a pipe
 * without readers.
 */
#include "arch/x86/trap.h"
#include "lib/errno.h"
#include "obj/up.h"
#include "proc/proc.h"
#include "vm/aspace.h"
#include "vm/up.h"

void up_sigpipe(void)
{
    struct task *t = current_task();
    struct siginfo info = {.code = SI_USER};

    info.rt.pid = pid_nr(t->process->pid, process_pid_ns(t->process));
    info.rt.uid = t->cred->uid;
    signal_send_task(t, SIGPIPE, &info);
}

/* SEGV_ACCERR where something is mapped, SEGV_MAPERR where nothing is. */
static int fault_area(struct area *a, void *arg)
{
    u64 addr = *(u64 *)arg;

    return a->start <= addr && addr < a->end ? 2 : 1;
}

void up_fault_signal(struct trap_frame *frame, u64 addr, int err, unsigned kind)
{
    struct siginfo info = {.signo = SIGSEGV, .code = SEGV_MAPERR};

    if (err == -ENOMEM) {
        signal_kill_process(current_process());
        return;
    }
    if (err == -EINTR)
        return; /* killed already */
    if (err == -EIO) {
        info.signo = SIGBUS;
        info.code = BUS_ADRERR;
    } else if (aspace_for_each(aspace_current(), addr, fault_area, &addr) == 2) {
        info.code = SEGV_ACCERR;
    }
    info.fault.addr = addr;
    signal_force(info.signo, &info);
}
