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

/* Numbers that choose what a call does, which chance alone would seldom hit. */
static const uint32_t tty_requests[] = {
    0x5401,     0x5402, 0x5403, 0x5405,     0x5409,     0x540b,     0x540e,     0x540f,
    0x5410,     0x5411, 0x5412, 0x5413,     0x5414,     0x541b,     0x5420,     0x5421,
    0x5422,     0x5423, 0x5429, 0x5430,     0x5431,     0x5441,     0x5450,     0x5451,
    0x5452,     0x5460, 0x8901, 0x8902,     0x8903,     0x8904,     0x8905,     0x8906,
    0x8910,     0x8912, 0x8913, 0x8914,     0x8915,     0x8927,     0x8933,     0xae00,
    0xae01,     0xae03, 0xae04, 0x80045430, 0x40045431, 0x80086601, 0x40086602, 0xc020660b,
    0x40049409, 0xb701, 0xb702, 0xb703,     0xb704,     0x80045432, 0x40105512};
static const uint32_t fcntl_commands[] = {
    0,  1,  2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   15,   16,   36,
    37, 38, 1024, 1025, 1026, 1029, 1030, 1031, 1032, 1033, 1034, 1035, 1036, 1037, 1038};
static const uint32_t arch_codes[] = {0x1001, 0x1002, 0x1003, 0x1004, 0x1011, 0x1012,
                                      0x1021, 0x1022, 0x1023, 0x2001, 0x2003};
static const uint32_t madvise_kinds[] = {0,  1,  2,  3,  4,  8,  9,  10, 11, 12, 13, 14,
                                         15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 100};
static const uint32_t socket_levels[] = {0, 1, 6, 17, 41, 263, 270};
static const uint32_t prctl_options[] = {0x53564d41, 0x59616d61, 0x41555856, 1,  2,  3,  4,  8,
                                         15,         16,         22,         23, 24, 26, 28, 29,
                                         35,         36,         37,         38, 39, 40, 47, 55};

static const struct choice {
    unsigned nr, arg, n;
    const uint32_t *values;
} choices[] = {
#define CHOICE(nr, arg, list)                         \
    {                                                 \
        nr, arg, sizeof(list) / sizeof(*(list)), list \
    }
    CHOICE(SYS_ioctl, 1, tty_requests),
    CHOICE(SYS_fcntl, 1, fcntl_commands),
    CHOICE(SYS_arch_prctl, 0, arch_codes),
    CHOICE(SYS_madvise, 2, madvise_kinds),
    CHOICE(SYS_process_madvise, 3, madvise_kinds),
    CHOICE(SYS_setsockopt, 1, socket_levels),
    CHOICE(SYS_getsockopt, 1, socket_levels),
    CHOICE(SYS_prctl, 0, prctl_options),
};

static void choose(unsigned nr, struct chance *c, long args[6])
{
    for (size_t i = 0; i < sizeof(choices) / sizeof(*choices); i++)
        if (choices[i].nr == nr && !chance_of(c, 8))
            args[choices[i].arg] = choices[i].values[chance_below(c, choices[i].n)];
}

bool call_prepare(const struct call *call, struct chance *c, long args[6])
{
    for (int i = 0; i < 6; i++)
        args[i] =
            (size_t)i < strlen(call->letters) ? argument(call->letters[i], c) : (long)value_word(c);
    choose(call->nr, c, args);
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
    case SYS_prlimit64: /* those of PID 1 are the run's */
        args[0] = own_pid(c);
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
