/* SPDX-License-Identifier: MIT
 *
 * What the KVM tests share. A test is a function; each runs in a process of its own, so that a
 * crash or a hang is one failed test. The guests are the small pieces of code in guests*.S,
 * loaded at LOAD_AT; they speak to the test by writing to port REPORT.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uapi/kvm.h"

#define LOAD_AT 0x1000u
#define STACK_TOP 0x8000u
#define TABLES 0x10000u /* long mode: PML4, PDPT, PD: the first GiB one to one */
#define MEM_SIZE (4u << 20)
#define REPORT 0xe0u
#define MMIO_AT 0xd0000000ull
#define MAX_VCPUS 4

struct tvm {
    int kvm;
    int fd;
    uint8_t *mem;
    size_t size;
    size_t run_size;
    int vcpu[MAX_VCPUS];
    struct kvm_run *run[MAX_VCPUS];
};

enum { VM_PLAIN = 0, VM_IRQCHIP = 1, VM_PIT = 2, VM_SPLIT = 4 };

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};
void test_register(struct test *t);
extern const char *test_name;                    /* for the messages */
enum { TEST_PASSED, TEST_FAILED, TEST_SKIPPED }; /* a test process's exit status */

#define TEST(n)                                                      \
    static void test_##n(void);                                      \
    __attribute__((constructor)) static void test_register_##n(void) \
    {                                                                \
        static struct test t = {.name = #n, .run = test_##n};        \
        test_register(&t);                                           \
    }                                                                \
    static void test_##n(void)

/* Ends the test. */
_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void test_skip(const char *why);
bool on_bothy(void); /* where a test asks for more, or less, than Linux has */

#define CHECK(cond)                                                       \
    do {                                                                  \
        if (!(cond))                                                      \
            test_fail(__FILE__, __LINE__, "%s (errno %d)", #cond, errno); \
    } while (0)
#define CHECK_EQ(a, b)                                                                 \
    do {                                                                               \
        unsigned long long a_ = (unsigned long long)(a), b_ = (unsigned long long)(b); \
        if (a_ != b_)                                                                  \
            test_fail(__FILE__, __LINE__, "%s is %#llx, not %#llx", #a, a_, b_);       \
    } while (0)
#define CHECK_ERR(call, err)                                                                   \
    do {                                                                                       \
        errno = 0;                                                                             \
        long r_ = (call);                                                                      \
        if (r_ >= 0 || errno != (err))                                                         \
            test_fail(__FILE__, __LINE__, "%s: %ld, errno %d, not %d", #call, r_, errno, err); \
    } while (0)

/* A guest's code between its labels. */
#define GUEST(n) extern const uint8_t guest_##n[], guest_##n##_end[]
#define LOAD(vm, n) vm_load(vm, guest_##n, (size_t)(guest_##n##_end - guest_##n))

/* Makes a VM with MEM_SIZE of memory at 0 and one vCPU; fails the test if it cannot. */
void vm_make(struct tvm *vm, int flags);
void vm_add_vcpu(struct tvm *vm, int id);
void vm_load(struct tvm *vm, const uint8_t *code, size_t len);
void vm_close(struct tvm *vm);
void vm_region(struct tvm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
               void *host);
bool vm_has(struct tvm *vm, int cap);
void vm_irq(struct tvm *vm, uint32_t gsi, uint32_t level);

/* Start states of a vCPU, all at LOAD_AT with a stack and interrupts off. */
void vcpu_real(struct tvm *vm, int v);
void vcpu_prot(struct tvm *vm, int v);
void vcpu_long(struct tvm *vm, int v);
void vcpu_regs(struct tvm *vm, int v, struct kvm_regs *r);
void vcpu_set_regs(struct tvm *vm, int v, const struct kvm_regs *r);
void vcpu_cpuid(struct tvm *vm, int v);

/* Runs until an exit that is no interruption; returns its reason. */
unsigned vcpu_run(struct tvm *vm, int v);
/* Runs up to a write to REPORT and returns the value; fails on any other exit. */
uint32_t vcpu_report(struct tvm *vm, int v);
#define EXPECT_REPORT(vm, v, value) CHECK_EQ(vcpu_report(vm, v), value)

void *io_data(struct tvm *vm, int v);
uint64_t get_msr(struct tvm *vm, int v, uint32_t index);
/* 1 when it was set */
int set_msr(struct tvm *vm, int v, uint32_t index, uint64_t value);
