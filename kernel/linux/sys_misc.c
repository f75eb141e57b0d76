/* SPDX-License-Identifier: MIT
 *
 * The system itself: names, limits, memory and load figures, random numbers, power.
 */
#include "arch/x86/acpi.h"
#include "debug/debug.h"
#include "dev/block.h"
#include "lib/random.h"
#include "lib/release.h"
#include "linux/sys.h"
#include "mm/page.h"

#define PER_LINUX 0
#define PER_LINUX32 8

s64 sys_uname(u64 uptr)
{
    const struct uts_ns *uts = current_task()->ns->uts;
    char u[6][UTS_LEN] = {"Linux", "", UTS_RELEASE, UTS_VERSION, "x86_64", ""};

    if ((current_process()->personality & 0xff) == PER_LINUX32)
        strlcpy(u[4], "i686", UTS_LEN);
    strlcpy(u[1], uts->nodename, UTS_LEN);
    strlcpy(u[5], uts->domainname, UTS_LEN);
    return OUT(uptr, u);
}

static s64 misc_set_name(char *name, u64 uptr, u64 len)
{
    struct uts_ns *uts = current_task()->ns->uts;
    char copy[UTS_LEN] = {0};

    if (!cred_capable(current_cred(), uts->user_ns, CAP_SYS_ADMIN))
        return -EPERM;
    if (len >= UTS_LEN)
        return -EINVAL;
    if (copy_in(copy, (const void __user *)uptr, len))
        return -EFAULT;
    memcpy(name, copy, UTS_LEN);
    return 0;
}

s64 sys_sethostname(u64 uptr, u32 len)
{
    return misc_set_name(current_task()->ns->uts->nodename, uptr, len);
}

s64 sys_setdomainname(u64 uptr, u32 len)
{
    return misc_set_name(current_task()->ns->uts->domainname, uptr, len);
}

/* prlimit(2): another's limits are for a caller with all its ids, or with the capability over it.
 */
static int misc_may_limit(struct process *p)
{
    const struct cred *me = current_cred(), *c;
    struct task *t = process_task(p);
    int err = 0;

    if (!t)
        return -ESRCH;
    c = task_cred(t);
    if ((me->uid != c->uid || me->uid != c->euid || me->uid != c->suid || me->gid != c->gid ||
         me->gid != c->egid || me->gid != c->sgid) &&
        !cred_capable(me, c->user_ns, CAP_SYS_RESOURCE))
        err = -EPERM;
    cred_put(c);
    task_put(t);
    return err;
}

s64 sys_prlimit64(s32 pid, u32 which, u64 unew, u64 uold)
{
    struct rlimit limit, old;
    struct process *p = current_process();

    if (unew && IN(limit, unew))
        return -EFAULT;
    bool other = (u32)pid && (u32)pid != (u32)sys_getpid();
    if (other) {
        p = process_find(current_pid_ns(), (u32)pid);
        if (!p)
            return -ESRCH;
    }
    int err = other ? misc_may_limit(p) : 0;
    if (!err)
        err = rlimit_change(p, (unsigned)which, unew ? &limit : NULL, &old);
    if (other)
        process_put(p);
    return !err && uold ? OUT(uold, old) : err;
}

s64 sys_getrlimit(u32 which, u64 uptr)
{
    return sys_prlimit64(0, which, 0, uptr);
}

s64 sys_setrlimit(u32 which, u64 uptr)
{
    return uptr ? sys_prlimit64(0, which, uptr, 0) : -EFAULT;
}

/* struct sysinfo */
struct sysinfo_user {
    s64 uptime;
    u64 loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
    u16 procs, pad;
    u32 pad2;
    u64 totalhigh, freehigh;
    u32 mem_unit, pad3;
};
static_assert(sizeof(struct sysinfo_user) == 112, "struct sysinfo");

s64 sys_sysinfo(u64 uptr)
{
    struct mem_info m;
    struct sysinfo_user s = {.uptime = (s64)(time_ns() / NSEC_PER_SEC), .mem_unit = 1};

    mem_info_get(&m);
    for (unsigned i = 0; i < 3; i++)
        s.loads[i] = sched_load_avg(i) << 5; /* 16 fraction bits */
    s.totalram = m.total << PAGE_SHIFT;
    s.freeram = m.free << PAGE_SHIFT;
    s.procs = (u16)MIN(pid_ns_init.count, 65535U);
    return OUT(uptr, s);
}

s64 sys_getrandom(u64 ubuf, u64 n, u32 flags)
{
    u8 chunk[256];
    u64 done = 0;

    if (flags & ~7UL || (flags & 6) == 6)
        return -EINVAL;
    if (!random_ready() && flags & 1 && !(flags & 4))
        return -EAGAIN;
    n = MIN(n, 0x1ffffffUL);
    while (done < n) {
        u64 part = MIN(n - done, sizeof(chunk));
        random_bytes(chunk, part);
        if (copy_out((void __user *)(ubuf + done), chunk, part))
            break;
        done += part;
        if (done >= 4096 && signal_pending(current_task()))
            break;
        cond_yield();
    }
    memzero(chunk, sizeof(chunk));
    return done || !n ? (s64)done : -EFAULT;
}

#define REBOOT_MAGIC1 0xfee1deadU
#define REBOOT_RESTART 0x01234567U
#define REBOOT_HALT 0xcdef0123U
#define REBOOT_POWER_OFF 0x4321fedcU
#define REBOOT_RESTART2 0xa1b2c3d4U
#define REBOOT_CAD_ON 0x89abcdefU
#define REBOOT_CAD_OFF 0U

/* reboot(2) in a pid namespace: its init ends, as by a signal that tells its parent what was asked
 * for. The caller, which the init waits for, ends here. */
static s64 misc_reboot_ns(struct pid_ns *ns, u32 cmd)
{
    bool again = cmd == REBOOT_RESTART || cmd == REBOOT_RESTART2;

    if (!again && cmd != REBOOT_HALT && cmd != REBOOT_POWER_OFF)
        return -EINVAL;
    if (ns->reaper) /* stays until all others have ended */
        signal_end_process(ns->reaper, again ? SIGHUP : SIGINT);
    task_exit(0);
}

s64 sys_reboot(u32 magic1, u32 magic2, u32 cmd, u64 arg)
{
    u32 m2 = (u32)magic2;

    if (!cred_capable(current_cred(), current_pid_ns()->user_ns, CAP_SYS_BOOT))
        return -EPERM;
    if ((u32)magic1 != REBOOT_MAGIC1 ||
        (m2 != 672274793 && m2 != 85072278 && m2 != 369367448 && m2 != 537993216))
        return -EINVAL;
    if (current_pid_ns() != &pid_ns_init)
        return misc_reboot_ns(current_pid_ns(), (u32)cmd);
    switch ((u32)cmd) {
    case REBOOT_CAD_ON:
    case REBOOT_CAD_OFF:
        return 0; /* there is no such key here */
    case REBOOT_RESTART:
    case REBOOT_RESTART2:
    case REBOOT_HALT:
    case REBOOT_POWER_OFF:
        vfs_sync_all();
        log_info("system: %s",
                 (u32)cmd == REBOOT_HALT || (u32)cmd == REBOOT_POWER_OFF ? "power off" : "restart");
        debug_port_settle();
        if ((u32)cmd == REBOOT_POWER_OFF)
            acpi_poweroff();
        machine_reboot(); /* also where the power does not go off */
        return -EIO;
    default:
        return -EINVAL;
    }
}

s64 sys_sync(void)
{
    block_sync_all(false);
    vfs_sync_all();
    block_sync_all(true);
    return 0;
}

s64 sys_syncfs(s32 fd)
{
    struct fd_hold h = fd_hold((int)fd);

    if (!h.file)
        return -EBADF;
    int err = file_sync_super(h.file);
    fd_release(h);
    return err;
}

#define PERSONALITY_QUERY 0xffffffffU
s64 sys_personality(u32 value)
{
    struct process *p = current_process();
    u32 old = p->personality;

    if ((u32)value == PERSONALITY_QUERY)
        return old;
    if ((value & 0xff) != PER_LINUX && (value & 0xff) != PER_LINUX32)
        return -EINVAL; /* other systems' ABIs */
    p->personality = (u32)value;
    return old;
}
