// SPDX-License-Identifier: MIT
#include "runtime/devices.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/str.h"
#include "uapi/bpf.h"

#define ACCESS_ALL (DEVICE_MKNOD | DEVICE_READ | DEVICE_WRITE)
#define RULE_INSNS 9 // at most, of a rule

static const struct device_rule devices_default[] = {
    {DEVICE_CHAR, DEVICE_ANY, DEVICE_ANY, DEVICE_MKNOD},
    {DEVICE_BLOCK, DEVICE_ANY, DEVICE_ANY, DEVICE_MKNOD},
    {DEVICE_CHAR, 1, 3, ACCESS_ALL},            // null
    {DEVICE_CHAR, 1, 5, ACCESS_ALL},            // zero
    {DEVICE_CHAR, 1, 7, ACCESS_ALL},            // full
    {DEVICE_CHAR, 1, 8, ACCESS_ALL},            // random
    {DEVICE_CHAR, 1, 9, ACCESS_ALL},            // urandom
    {DEVICE_CHAR, 5, 0, ACCESS_ALL},            // tty
    {DEVICE_CHAR, 5, 2, ACCESS_ALL},            // ptmx
    {DEVICE_CHAR, 136, DEVICE_ANY, ACCESS_ALL}, // pts
};
#define DEFAULT_RULES ((int)(sizeof(devices_default) / sizeof(devices_default[0])))

// Registers: 0 the answer, 1 the context, then scratch; what is asked for in 2 to 5.
enum { R_ANSWER, R_SCRATCH, R_TYPE, R_ACCESS, R_MAJOR, R_MINOR };
enum {
    LOAD_WORD = 0x61,
    AND = 0x54,
    RSH = 0x74,
    MOV = 0xb4,
    MOV_REG = 0xbc,
    JUMP_IF_NOT = 0x56, // 32 bits
    EXIT = 0x95,
};

struct program {
    struct ebpf_insn *insns;
    int len;
};

static void add(struct program *p, uint8_t code, unsigned dst, unsigned src, int off, uint32_t imm)
{
    p->insns[p->len++] =
        (struct ebpf_insn){code, (uint8_t)(dst | src << 4), (int16_t)off, (int32_t)imm};
}

static void add_head(struct program *p)
{
    add(p, LOAD_WORD, R_TYPE, R_SCRATCH, 0, 0);
    add(p, MOV_REG, R_ACCESS, R_TYPE, 0, 0);
    add(p, RSH, R_ACCESS, 0, 0, 16);
    add(p, AND, R_TYPE, 0, 0, 0xffff);
    add(p, LOAD_WORD, R_MAJOR, R_SCRATCH, 4, 0);
    add(p, LOAD_WORD, R_MINOR, R_SCRATCH, 8, 0);
}

// Says yes where all fits, else goes on behind itself.
static void add_rule(struct program *p, const struct device_rule *r)
{
    int tests[4], n = 0;

    add(p, MOV_REG, R_SCRATCH, R_ACCESS, 0, 0);
    add(p, AND, R_SCRATCH, 0, 0, ~r->access);
    tests[n++] = p->len;
    add(p, JUMP_IF_NOT, R_SCRATCH, 0, 0, 0);
    tests[n++] = p->len;
    add(p, JUMP_IF_NOT, R_TYPE, 0, 0, r->type);
    if (r->major != DEVICE_ANY) {
        tests[n++] = p->len;
        add(p, JUMP_IF_NOT, R_MAJOR, 0, 0, r->major);
    }
    if (r->minor != DEVICE_ANY) {
        tests[n++] = p->len;
        add(p, JUMP_IF_NOT, R_MINOR, 0, 0, r->minor);
    }
    add(p, MOV, R_ANSWER, 0, 0, 1);
    add(p, EXIT, 0, 0, 0, 0);
    for (int i = 0; i < n; i++)
        p->insns[tests[i]].off = (int16_t)(p->len - tests[i] - 1);
}

// The filter's descriptor, or -errno.
static int devices_load(const struct device_rule *more, int n)
{
    struct program p = {mem_alloc((size_t)(8 + (DEFAULT_RULES + n) * RULE_INSNS) * 8), 0};
    struct bpf_load_attr attr = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE};
    int fd;

    add_head(&p);
    for (int i = 0; i < DEFAULT_RULES; i++)
        add_rule(&p, &devices_default[i]);
    for (int i = 0; i < n; i++)
        add_rule(&p, &more[i]);
    add(&p, MOV, R_ANSWER, 0, 0, 0);
    add(&p, EXIT, 0, 0, 0, 0);
    attr.insns = (uintptr_t)p.insns;
    attr.insn_cnt = (uint32_t)p.len;
    attr.license = (uintptr_t) "MIT";
    fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
    if (fd < 0)
        fd = -errno;
    free(p.insns);
    return fd;
}

static int devices_usual = -1; // the filter without more, kept; or why there is none

int devices_prepare(void)
{
    if (devices_usual < 0)
        devices_usual = devices_load(NULL, 0);
    return devices_usual < 0 ? devices_usual : 0;
}

int devices_confine(int cgroup, const struct device_rule *more, int n)
{
    struct bpf_attach_attr attr = {.target_fd = (uint32_t)cgroup,
                                   .attach_type = BPF_CGROUP_DEVICE,
                                   .attach_flags = BPF_F_ALLOW_MULTI};
    int err = devices_prepare(), fd;

    if (err)
        return err;
    fd = n ? devices_load(more, n) : devices_usual;
    if (fd < 0)
        return fd;
    attr.attach_bpf_fd = (uint32_t)fd;
    err = syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0 ? -errno : 0;
    if (n)
        close(fd);
    return err;
}
