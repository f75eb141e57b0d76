/* SPDX-License-Identifier: MIT
 *
 * The table of calls, and their arguments. What would only end the run is left out or tamed: the
 * machine's power, signals to processes that are not the fuzzer's, waits without an end.
 */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuzz.h"
#include "syscall_names.h"

#define CALL(nr, name, letters) {nr, #name, letters},
#define NO_CALL(nr, name, letters)
const struct call calls[] = {SYSCALL_LIST(CALL, NO_CALL)};
const unsigned call_count = sizeof(calls) / sizeof(*calls);

static long argument(char letter, struct chance *c)
{
    switch (letter) {
    case 'f':
        /* The upper half of the register is the caller's rubbish. */
        return (long)((uint64_t)(uint32_t)object_any(c) |
                      (chance_of(c, 16) ? chance_u64(c) << 32 : 0));
    case 'd':
    case 'u':
        return (long)(value_int(c) | (chance_of(c, 16) ? chance_u64(c) << 32 : 0));
    case 'x':
    case 'o':
    case 'X':
        return (long)value_flags(c);
    case 's':
        return chance_of(c, 8) ? (long)value_address(c) : (long)value_name(c);
    case 'p':
        return (long)value_address(c);
    default:
        return (long)value_word(c);
    }
}

/* A process that may be hurt: the caller, or none. */
static long own_pid(struct chance *c)
{
    return chance_of(c, 8) ? 0x7ffffff0 : getpid();
}

bool call_prepare(const struct call *call, struct chance *c, long args[6])
{
    for (int i = 0; i < 6; i++)
        args[i] =
            (size_t)i < strlen(call->letters) ? argument(call->letters[i], c) : (long)value_word(c);
    switch (call->nr) {
    case SYS_reboot:
    case SYS_exit_group:
    case SYS_exit:
    case SYS_vfork:
    case SYS_rt_sigreturn:
    case SYS_pause:
    case SYS_setsid:
        return false;
    case SYS_kill:
    case SYS_tgkill:
    case SYS_tkill:
    case SYS_rt_sigqueueinfo:
    case SYS_rt_tgsigqueueinfo:
        args[0] = own_pid(c);
        if (call->nr == SYS_tgkill || call->nr == SYS_rt_tgsigqueueinfo)
            args[1] = own_pid(c);
        return true;
    case SYS_alarm:
        return false;
    case SYS_rt_sigaction:
    case SYS_rt_sigprocmask: /* the alarm stays what ends a process */
        if (call->nr == SYS_rt_sigaction)
            args[0] = args[0] == SIGALRM ? SIGUSR1 : args[0];
        return call->nr == SYS_rt_sigaction;
    case SYS_fork:
    case SYS_clone:
    case SYS_clone3: /* a child goes on at the same place: main.c ends it */
        if (call->nr == SYS_clone) {
            args[0] &= ~(long)(CLONE_VM | CLONE_VFORK);
            args[1] = 0;
        }
        return call->nr != SYS_clone3 || chance_of(c, 4);
    default:
        return true;
    }
}
