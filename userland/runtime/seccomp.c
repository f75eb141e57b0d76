// SPDX-License-Identifier: MIT
// The default system call filter: Docker's policy as a classic BPF program.
//
// Default deny: numbers above SECCOMP_LAST, and those of the x32 ABI, are ENOSYS; a foreign
// architecture kills. Below, the table names the calls that a container does not get, or gets only
// with a capability; a few are judged by their arguments. Every other known call is allowed.
//
// The program is a binary search over runs of numbers with the same fate: some eight steps for a
// call, and for a kernel that asks it about every number once to make an allow bitmap. It depends
// on nothing but the number for all calls but the three that it judges by their arguments.
#include "runtime/child.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/bpf.h"
#include "runtime/caps.h"

#define SECCOMP_LAST 451 /* cachestat: the newest call this policy has an opinion on */
#define CAP_NEVER 64

/* Sorted by number. */
static const struct {
    uint16_t nr;
    uint8_t cap;
} seccomp_denied[] = {
    {SYS_syslog, CAP_SYSLOG},
    {SYS_uselib, CAP_NEVER},
    {SYS_ustat, CAP_NEVER},
    {SYS_sysfs, CAP_NEVER},
    {SYS_vhangup, CAP_SYS_TTY_CONFIG},
    {SYS_pivot_root, CAP_NEVER},
    {SYS__sysctl, CAP_NEVER},
    {SYS_chroot, CAP_SYS_CHROOT},
    {SYS_acct, CAP_SYS_PACCT},
    {SYS_settimeofday, CAP_SYS_TIME},
    {SYS_mount, CAP_SYS_ADMIN},
    {SYS_umount2, CAP_SYS_ADMIN},
    {SYS_swapon, CAP_NEVER},
    {SYS_swapoff, CAP_NEVER},
    {SYS_reboot, CAP_SYS_BOOT},
    {SYS_sethostname, CAP_SYS_ADMIN},
    {SYS_setdomainname, CAP_SYS_ADMIN},
    {SYS_iopl, CAP_SYS_RAWIO},
    {SYS_ioperm, CAP_SYS_RAWIO},
    {SYS_create_module, CAP_NEVER},
    {SYS_init_module, CAP_SYS_MODULE},
    {SYS_delete_module, CAP_SYS_MODULE},
    {SYS_get_kernel_syms, CAP_NEVER},
    {SYS_query_module, CAP_NEVER},
    {SYS_quotactl, CAP_SYS_ADMIN},
    {SYS_nfsservctl, CAP_NEVER},
    {SYS_getpmsg, CAP_NEVER},
    {SYS_putpmsg, CAP_NEVER},
    {SYS_afs_syscall, CAP_NEVER},
    {SYS_tuxcall, CAP_NEVER},
    {SYS_security, CAP_NEVER},
    {SYS_lookup_dcookie, CAP_SYS_ADMIN},
    {SYS_clock_settime, CAP_SYS_TIME},
    {SYS_vserver, CAP_NEVER},
    {SYS_mbind, CAP_SYS_NICE},
    {SYS_set_mempolicy, CAP_SYS_NICE},
    {SYS_get_mempolicy, CAP_SYS_NICE},
    {SYS_kexec_load, CAP_SYS_BOOT},
    {SYS_add_key, CAP_NEVER},
    {SYS_request_key, CAP_NEVER},
    {SYS_keyctl, CAP_NEVER},
    {SYS_migrate_pages, CAP_NEVER},
    {SYS_unshare, CAP_SYS_ADMIN},
    {SYS_move_pages, CAP_NEVER},
    {SYS_perf_event_open, CAP_PERFMON},
    {SYS_fanotify_init, CAP_SYS_ADMIN},
    {SYS_open_by_handle_at, CAP_DAC_READ_SEARCH},
    {SYS_setns, CAP_SYS_ADMIN},
    {SYS_kcmp, CAP_SYS_PTRACE},
    {SYS_finit_module, CAP_SYS_MODULE},
    {SYS_kexec_file_load, CAP_SYS_BOOT},
    {SYS_bpf, CAP_BPF},
    {SYS_userfaultfd, CAP_NEVER},
    {SYS_io_uring_setup, CAP_NEVER},
    {SYS_io_uring_enter, CAP_NEVER},
    {SYS_io_uring_register, CAP_NEVER},
    {SYS_open_tree, CAP_SYS_ADMIN},
    {SYS_move_mount, CAP_SYS_ADMIN},
    {SYS_fsopen, CAP_SYS_ADMIN},
    {SYS_fsconfig, CAP_SYS_ADMIN},
    {SYS_fsmount, CAP_SYS_ADMIN},
    {SYS_fspick, CAP_SYS_ADMIN},
    {442 /* mount_setattr */, CAP_SYS_ADMIN},
    {443 /* quotactl_fd */, CAP_SYS_ADMIN},
    {450 /* set_mempolicy_home_node */, CAP_SYS_NICE},
};

#define SECCOMP_DENIED (sizeof(seccomp_denied) / sizeof(seccomp_denied[0]))

struct bpf {
    struct sock_filter code[400];
    unsigned short len;
};

static void bpf_add(struct bpf *b, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
    b->code[b->len++] = (struct sock_filter){code, jt, jf, k};
}

static void bpf_return(struct bpf *b, uint32_t action)
{
    bpf_add(b, BPF_RET | BPF_K, action, 0, 0);
}

static void bpf_load(struct bpf *b, size_t offset)
{
    bpf_add(b, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* What was cut out of CAP_SYS_ADMIN is still part of it. */
static bool seccomp_has(uint64_t caps, unsigned cap)
{
    if (cap == CAP_SYSLOG || cap == CAP_PERFMON || cap == CAP_BPF)
        caps |= (caps >> CAP_SYS_ADMIN & 1) << cap;
    return cap < CAP_NEVER && caps >> cap & 1;
}

enum fate { FATE_ALLOW, FATE_DENY, FATE_NOSYS, FATE_CLONE, FATE_PERSONALITY, FATE_SOCKET };

struct run {
    uint32_t first; /* number; the run ends where the next begins */
    enum fate fate;
};

#define BPF_JGE 0x30

/* `denied` walks the table, as the numbers are asked in order. */
static enum fate seccomp_fate(int nr, uint64_t caps, size_t *denied)
{
    if (nr > SECCOMP_LAST)
        return FATE_NOSYS;
    if (nr == SYS_clone && !seccomp_has(caps, CAP_SYS_ADMIN))
        return FATE_CLONE;
    if (nr == SYS_clone3 && !seccomp_has(caps, CAP_SYS_ADMIN))
        return FATE_NOSYS; /* its flags lie in memory: the C library falls back to clone */
    if (nr == SYS_personality)
        return FATE_PERSONALITY;
    if (nr == SYS_socket)
        return FATE_SOCKET;
    while (*denied < SECCOMP_DENIED && seccomp_denied[*denied].nr < nr)
        ++*denied;
    if (*denied < SECCOMP_DENIED && seccomp_denied[*denied].nr == nr)
        return seccomp_has(caps, seccomp_denied[*denied].cap) ? FATE_ALLOW : FATE_DENY;
    return FATE_ALLOW;
}

/* What becomes of a call whose number has been found. */
static void bpf_fate(struct bpf *b, enum fate fate)
{
    static const uint32_t personalities[] = {0, 8, 0x20000, 0x20008, 0xffffffff};
    const size_t arg0 = offsetof(struct seccomp_data, args[0]);

    if (fate >= FATE_CLONE)
        bpf_load(b, arg0);
    switch (fate) {
    case FATE_CLONE: /* no new namespace: CLONE_NEWCGROUP | 0x7c020000 */
        bpf_add(b, BPF_JMP | BPF_JSET | BPF_K, 0x7e020000, 1, 0);
        break;
    case FATE_PERSONALITY:
        for (uint8_t i = 0; i < 5; i++)
            bpf_add(b, BPF_JMP | BPF_JEQ | BPF_K, personalities[i], 4 - i, i == 4);
        break;
    case FATE_SOCKET:
        bpf_add(b, BPF_JMP | BPF_JEQ | BPF_K, 40 /* AF_VSOCK */, 1, 0);
        break;
    case FATE_NOSYS:
        bpf_return(b, SECCOMP_RET_ERRNO | ENOSYS);
        return;
    case FATE_DENY:
        break;
    case FATE_ALLOW:
        break;
    }
    if (fate != FATE_DENY)
        bpf_return(b, SECCOMP_RET_ALLOW);
    if (fate != FATE_ALLOW)
        bpf_return(b, SECCOMP_RET_ERRNO | EPERM);
}

/* A binary search over runs[0..n): the left half follows its test, the right one is jumped to. */
static void bpf_search(struct bpf *b, const struct run *runs, size_t n)
{
    unsigned short test = b->len;

    if (n == 1) {
        bpf_fate(b, runs->fate);
        return;
    }
    bpf_add(b, BPF_JMP | BPF_JGE | BPF_K, runs[n / 2].first, 0, 0);
    bpf_search(b, runs, n / 2);
    b->code[test].jt = (uint8_t)(b->len - test - 1); /* half the program: below 256 */
    bpf_search(b, runs + n / 2, n - n / 2);
}

static void seccomp_build(struct bpf *b, uint64_t caps)
{
    static struct run runs[2 * SECCOMP_DENIED + 16];
    size_t n = 0, denied = 0;

    for (int nr = 0; nr <= SECCOMP_LAST + 1; nr++) {
        enum fate fate = seccomp_fate(nr, caps, &denied);

        if (n == 0 || runs[n - 1].fate != fate)
            runs[n++] = (struct run){(uint32_t)nr, fate};
    }
    bpf_load(b, offsetof(struct seccomp_data, arch));
    bpf_add(b, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    bpf_return(b, SECCOMP_RET_KILL_PROCESS);
    bpf_load(b, offsetof(struct seccomp_data, nr));
    bpf_search(b, runs, n);
}

/* The last programs built: what decides them rarely differs between containers. */
static struct {
    struct bpf program;
    uint64_t caps;
} seccomp_built[2];
static unsigned seccomp_next;

static struct bpf *seccomp_find(uint64_t caps)
{
    for (int i = 0; i < 2; i++)
        if (seccomp_built[i].program.len && seccomp_built[i].caps == caps)
            return &seccomp_built[i].program;
    return NULL;
}

void seccomp_prepare(uint64_t caps)
{
    struct bpf *b = &seccomp_built[seccomp_next].program;

    if (seccomp_find(caps))
        return;
    b->len = 0;
    seccomp_build(b, caps);
    seccomp_built[seccomp_next].caps = caps;
    seccomp_next ^= 1;
}

int seccomp_load(uint64_t caps)
{
    struct sock_fprog prog;
    struct bpf *b;

    seccomp_prepare(caps);
    b = seccomp_find(caps);
    prog = (struct sock_fprog){b->len, b->code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0 ? -errno : 0;
}
