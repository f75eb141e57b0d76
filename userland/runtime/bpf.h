// SPDX-License-Identifier: MIT
// Classic BPF and seccomp, as Linux's uapi defines them; the C library's headers lack both.
#pragma once

#include <stdint.h>

struct sock_filter {
    uint16_t code;
    uint8_t jt, jf;
    uint32_t k;
};

struct sock_fprog {
    unsigned short len;
    struct sock_filter *filter;
};

struct seccomp_data {
    int nr;
    uint32_t arch;
    uint64_t instruction_pointer;
    uint64_t args[6];
};

#define BPF_LD 0x00
#define BPF_W 0x00
#define BPF_ABS 0x20
#define BPF_JMP 0x05
#define BPF_RET 0x06
#define BPF_K 0x00
#define BPF_JEQ 0x10
#define BPF_JSET 0x40

#define AUDIT_ARCH_X86_64 0xc000003eu
#define SECCOMP_SET_MODE_FILTER 1
#define SECCOMP_RET_KILL_PROCESS 0x80000000u
#define SECCOMP_RET_ERRNO 0x00050000u
#define SECCOMP_RET_ALLOW 0x7fff0000u
