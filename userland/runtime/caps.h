// SPDX-License-Identifier: MIT
// Capability numbers (Linux uapi capability.h).
#pragma once

enum {
    CAP_CHOWN = 0,
    CAP_DAC_OVERRIDE = 1,
    CAP_FOWNER = 3,
    CAP_FSETID = 4,
    CAP_KILL = 5,
    CAP_SETGID = 6,
    CAP_SETUID = 7,
    CAP_SETPCAP = 8,
    CAP_NET_BIND_SERVICE = 10,
    CAP_NET_ADMIN = 12,
    CAP_NET_RAW = 13,
    CAP_SYS_MODULE = 16,
    CAP_SYS_RAWIO = 17,
    CAP_SYS_CHROOT = 18,
    CAP_SYS_PTRACE = 19,
    CAP_SYS_PACCT = 20,
    CAP_SYS_ADMIN = 21,
    CAP_SYS_BOOT = 22,
    CAP_SYS_NICE = 23,
    CAP_SYS_TIME = 25,
    CAP_SYS_TTY_CONFIG = 26,
    CAP_MKNOD = 27,
    CAP_AUDIT_WRITE = 29,
    CAP_SETFCAP = 31,
    CAP_SYSLOG = 34,
    CAP_DAC_READ_SEARCH = 2,
    CAP_BPF = 39,
    CAP_PERFMON = 38,
    CAP_COUNT = 41,
};

#define CAPS_ALL ((1ull << CAP_COUNT) - 1)
