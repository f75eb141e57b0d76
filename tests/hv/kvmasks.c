/* SPDX-License-Identifier: MIT
 *
 * kvmasks: what /dev/kvm answers to what VMMs ask (vmm_asks.tbl), a line for each: "cap NAME SYSTEM
 * VM" with the two values of KVM_CHECK_EXTENSION, "sys|vm|vcpu NAME ANSWER" with ok, an errno or,
 * for an ioctl that is not known, "-". The last line is the verdict: is all there that a VMM cannot
 * do without? The same program on Linux and on Bothy; tools/kvm-report compares.
 *
 * An ioctl is made with an argument that changes nothing, mostly no memory. What a descriptor
 * answers to a number that nothing has tells which are not known: Linux has EINVAL for some, ENOTTY
 * for others.
 */
#include "hvtest.h"

#include <ctype.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define IOCTL_OF_NOTHING 0xaefeu
#define MSR_SYSTEM_TIME_NEW 0x4b564d01
#define CLOCK_AT 0x2000u

enum ask_kind { ASK_CAP, ASK_SYS, ASK_VM, ASK_VCPU, ASK_KINDS };

static const char *const kind_names[ASK_KINDS] = {"cap", "sys", "vm", "vcpu"};

static const struct ask {
    enum ask_kind kind;
    const char *name;
    unsigned long number;
    const char *who; /* capitals: those that require it */
    unsigned long arg;
} asks[] = {
#include "vmm_asks.h"
};

static const struct {
    int number;
    const char *name;
} errnos[] = {
    {EPERM, "EPERM"},   {ENOENT, "ENOENT"},         {EINTR, "EINTR"},   {EIO, "EIO"},
    {ENXIO, "ENXIO"},   {E2BIG, "E2BIG"},           {EBADF, "EBADF"},   {EAGAIN, "EAGAIN"},
    {ENOMEM, "ENOMEM"}, {EFAULT, "EFAULT"},         {EBUSY, "EBUSY"},   {EEXIST, "EEXIST"},
    {ENODEV, "ENODEV"}, {EINVAL, "EINVAL"},         {ENOTTY, "ENOTTY"}, {ENOSPC, "ENOSPC"},
    {ENOSYS, "ENOSYS"}, {EOPNOTSUPP, "EOPNOTSUPP"},
};

static int fds[ASK_KINDS];
static int unknown[ASK_KINDS]; /* the errno of a number that nothing has */

static const char *errno_name(int number)
{
    static char other[16];

    for (unsigned i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++)
        if (errnos[i].number == number)
            return errnos[i].name;
    snprintf(other, sizeof(other), "E%d", number);
    return other;
}

static bool answers_with_file(const struct ask *a)
{
    return a->number == KVM_CREATE_VM || a->number == KVM_GET_STATS_FD;
}

static bool ask_cap(const struct ask *a)
{
    int system = ioctl(fds[ASK_SYS], KVM_CHECK_EXTENSION, a->number);
    int vm = ioctl(fds[ASK_VM], KVM_CHECK_EXTENSION, a->number);

    printf("cap %s %d %d\n", a->name, system, vm);
    return system > 0 && vm > 0;
}

static bool ask_ioctl(const struct ask *a)
{
    int result = ioctl(fds[a->kind], a->number, a->arg);
    bool known = result >= 0 || errno != unknown[a->kind];

    printf("%s %s %s\n", kind_names[a->kind], a->name,
           result >= 0 ? "ok"
           : known     ? errno_name(errno)
                       : "-");
    if (result >= 0 && answers_with_file(a))
        close(result);
    return known;
}

static bool required(const struct ask *a)
{
    for (const char *w = a->who; *w; w++)
        if (isupper((unsigned char)*w))
            return true;
    return false;
}

static void machine_make(struct tvm *vm)
{
    vm_make(vm, VM_IRQCHIP);
    /* The clock is what KVM_KVMCLOCK_CTRL speaks of; a run that is to end at once ends with EINTR.
     */
    CHECK_EQ(set_msr(vm, 0, MSR_SYSTEM_TIME_NEW, CLOCK_AT | 1), 1);
    vm->run[0]->immediate_exit = 1;
    fds[ASK_SYS] = vm->kvm;
    fds[ASK_VM] = vm->fd;
    fds[ASK_VCPU] = vm->vcpu[0];
    for (int kind = ASK_SYS; kind < ASK_KINDS; kind++) {
        CHECK(ioctl(fds[kind], IOCTL_OF_NOTHING, 0) < 0);
        unknown[kind] = errno;
    }
}

int main(void)
{
    char missing[2048] = "";
    struct tvm vm;

    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        fprintf(stderr, "kvmasks: /dev/kvm: %s\n", strerror(errno));
        return 1;
    }
    machine_make(&vm);
    for (unsigned i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        const struct ask *a = &asks[i];
        bool there = a->kind == ASK_CAP ? ask_cap(a) : ask_ioctl(a);
        size_t used = strlen(missing);

        if (!there && required(a))
            snprintf(missing + used, sizeof(missing) - used, " %s %s (%s)", kind_names[a->kind],
                     a->name, a->who);
    }
    vm_close(&vm);
    if (*missing)
        printf("FAIL nothing_that_a_vmm_requires_is_missing:%s\n", missing);
    else
        printf("ok nothing_that_a_vmm_requires_is_missing\n");
    return *missing != '\0';
}
