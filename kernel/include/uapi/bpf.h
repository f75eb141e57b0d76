/* SPDX-License-Identifier: MIT
 *
 * bpf(2): what device filters need of linux/bpf.h, under names of its own.
 */
#pragma once

#include <stdint.h>

enum { BPF_PROG_LOAD = 5, BPF_PROG_ATTACH = 8, BPF_PROG_DETACH = 9, BPF_PROG_QUERY = 16 };
#define BPF_PROG_TYPE_CGROUP_DEVICE 15
#define BPF_CGROUP_DEVICE 6
enum { BPF_F_ALLOW_OVERRIDE = 1, BPF_F_ALLOW_MULTI = 2 };

/* struct bpf_insn */
struct ebpf_insn {
    uint8_t code;
    uint8_t regs; /* destination in bits 3:0, source in 7:4 */
    int16_t off;
    int32_t imm;
};

/* struct bpf_cgroup_dev_ctx */
struct device_access {
    uint32_t access_type; /* DEVICE_MKNOD.. << 16 | DEVICE_BLOCK or DEVICE_CHAR */
    uint32_t major, minor;
};
enum { DEVICE_BLOCK = 1, DEVICE_CHAR = 2 };
enum { DEVICE_MKNOD = 1, DEVICE_READ = 2, DEVICE_WRITE = 4 };

/* The heads of union bpf_attr. */
struct bpf_load_attr {
    uint32_t prog_type, insn_cnt;
    uint64_t insns, license;
    uint32_t log_level, log_size;
    uint64_t log_buf;
    uint32_t kern_version, prog_flags;
    char prog_name[16];
    uint32_t prog_ifindex, expected_attach_type;
};
struct bpf_attach_attr {
    uint32_t target_fd, attach_bpf_fd, attach_type, attach_flags, replace_bpf_fd;
};
struct bpf_query_attr {
    uint32_t target_fd, attach_type, query_flags, attach_flags;
    uint64_t prog_ids;
    uint32_t prog_cnt;
};
