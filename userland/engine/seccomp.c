// SPDX-License-Identifier: MIT
// The default system call filter: Docker's policy as a classic BPF program.
//
// Default deny: numbers above SECCOMP_LAST, and those of the x32 ABI, are ENOSYS; a foreign
// architecture kills. Below, the table names the calls that a container does not get, or gets only
// with a capability; a few are judged by their arguments. Every other known call is allowed. The
// program depends on nothing but the number for all but three calls, so that a kernel can compute
// an allow bitmap once.
#include "engine/engine.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/bpf.h"
#include "engine/names.h"

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

static bool seccomp_has(uint64_t caps, unsigned cap)
{
    return cap < CAP_NEVER && caps >> cap & 1;
}

/* Calls judged by an argument, before the table. The accumulator holds the number again after. */
static void seccomp_arguments(struct bpf *b, uint64_t caps)
{
    static const uint32_t personalities[] = {0, 8, 0x20000, 0x20008, 0xffffffff};
    const size_t arg0 = offsetof(struct seccomp_data, args[0]);
    const uint32_t deny = SECCOMP_RET_ERRNO | EPERM;

    if (!seccomp_has(caps, CAP_SYS_ADMIN)) {
        /* clone without any new namespace (CLONE_NEWCGROUP | 0x7c000000, less NEWTIME) */
        bpf_add(b, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
        bpf_load(b, arg0);
        bpf_add(b, BPF_JMP | BPF_JSET | BPF_K, 0x7e020000, 0, 1);
        bpf_return(b, deny);
        bpf_return(b, SECCOMP_RET_ALLOW);
        /* clone3's flags lie in memory: make the C library fall back to clone */
        bpf_add(b, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
        bpf_return(b, SECCOMP_RET_ERRNO | ENOSYS);
    }
    bpf_add(b, BPF_JMP | BPF_JEQ | BPF_K, SYS_personality, 0, 2 + 2 * 5);
    bpf_load(b, arg0);
    for (size_t i = 0; i < 5; i++) {
        bpf_add(b, BPF_JMP | BPF_JEQ | BPF_K, personalities[i], 0, 1);
        bpf_return(b, SECCOMP_RET_ALLOW);
    }
    bpf_return(b, deny);
    bpf_add(b, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 4);
    bpf_load(b, arg0);
    bpf_add(b, BPF_JMP | BPF_JEQ | BPF_K, 40 /* AF_VSOCK */, 0, 1);
    bpf_return(b, deny);
    bpf_return(b, SECCOMP_RET_ALLOW);
}

static void seccomp_build(struct bpf *b, uint64_t caps)
{
    bpf_load(b, offsetof(struct seccomp_data, arch));
    bpf_add(b, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    bpf_return(b, SECCOMP_RET_KILL_PROCESS);
    bpf_load(b, offsetof(struct seccomp_data, nr));
    bpf_add(b, BPF_JMP | BPF_JGT | BPF_K, SECCOMP_LAST, 0, 1);
    bpf_return(b, SECCOMP_RET_ERRNO | ENOSYS);
    seccomp_arguments(b, caps);
    for (size_t i = 0; i < sizeof(seccomp_denied) / sizeof(seccomp_denied[0]); i++) {
        if (seccomp_has(caps, seccomp_denied[i].cap))
            continue;
        bpf_add(b, BPF_JMP | BPF_JEQ | BPF_K, seccomp_denied[i].nr, 0, 1);
        bpf_return(b, SECCOMP_RET_ERRNO | EPERM);
    }
    bpf_return(b, SECCOMP_RET_ALLOW);
}

void seccomp_load(struct child *ch, uint64_t caps)
{
    static struct bpf b;
    struct sock_fprog prog;

    b.len = 0;
    seccomp_build(&b, caps);
    prog = (struct sock_fprog){b.len, b.code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        child_fail(ch, "cannot load the system call filter: %s", strerror(errno));
}
