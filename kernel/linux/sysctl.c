/* SPDX-License-Identifier: MIT
 *
 * /proc/sys (sysctl(8)): the kernel's limits and policies under the names that programs ask for. A
 * value that nothing here can change is read-only; what may be written takes effect. Absent: what
 * this kernel has no notion of.
 */
#include "lib/random.h"
#include "lib/release.h"
#include "linux/sys.h"
#include "obj/pipe.h"
#include "vfs/inotify.h"
#include "vfs/pseudo.h"

#define SHOW(fn) static int fn(struct pseudo_node *node, struct seq *out, const struct cred *cred)

SHOW(sysctl_number_show)
{
    seq_printf(out, "%lu\n", (u64)node->priv);
    return 0;
}

SHOW(sysctl_text_show)
{
    seq_printf(out, "%s\n", (const char *)node->priv);
    return 0;
}

static const struct pseudo_ops sysctl_number_ops = {.show = sysctl_number_show};
static const struct pseudo_ops sysctl_text_ops = {.show = sysctl_text_show};

#define SYSCTL(id, path, value) \
    PSEUDO_FILE(id) = {"proc", "sys/" path, 0444, &sysctl_number_ops, (void *)(u64)(value)}
#define SYSCTL_TEXT(id, path, text) \
    PSEUDO_FILE(id) = {"proc", "sys/" path, 0444, &sysctl_text_ops, (void *)(text)}
#define SYSCTL_SHOW(id, path, fn)                              \
    static const struct pseudo_ops sysctl_##id = {.show = fn}; \
    PSEUDO_FILE(id) = {"proc", "sys/" path, 0444, &sysctl_##id, NULL}
#define SYSCTL_RW(id, path, show_fn, store_fn)                                           \
    static const struct pseudo_ops sysctl_##id = {.show = (show_fn), .store = store_fn}; \
    PSEUDO_FILE(id) = {"proc", "sys/" path, 0644, &sysctl_##id, NULL}

/* ------------------------------------------------------------- names */

SHOW(hostname_show)
{
    seq_printf(out, "%s\n", current_task()->ns->uts->nodename);
    return 0;
}

SHOW(domainname_show)
{
    seq_printf(out, "%s\n", current_task()->ns->uts->domainname);
    return 0;
}

/* As sethostname(2): a name of the writer's uts namespace, up to a newline. */
static ssize_t sysctl_name_store(char *name, char *text, size_t n, const struct cred *cred)
{
    char copy[UTS_LEN] = {0};
    const char *end = strchr(text, '\n');
    size_t len = end ? (size_t)(end - text) : n;

    if (!cred_capable(cred, current_task()->ns->uts->user_ns, CAP_SYS_ADMIN))
        return -EPERM;
    if (len >= UTS_LEN)
        return -EINVAL;
    memcpy(copy, text, len);
    memcpy(name, copy, UTS_LEN);
    return (ssize_t)n;
}

static ssize_t hostname_store(struct pseudo_node *node, char *text, size_t n,
                              const struct cred *cred)
{
    return sysctl_name_store(current_task()->ns->uts->nodename, text, n, cred);
}

static ssize_t domainname_store(struct pseudo_node *node, char *text, size_t n,
                                const struct cred *cred)
{
    return sysctl_name_store(current_task()->ns->uts->domainname, text, n, cred);
}

SYSCTL_RW(hostname, "kernel/hostname", hostname_show, hostname_store);
SYSCTL_RW(domainname, "kernel/domainname", domainname_show, domainname_store);
SYSCTL_TEXT(arch, "kernel/arch", "x86_64");
SYSCTL_TEXT(ostype, "kernel/ostype", "Linux");
SYSCTL_TEXT(osrelease, "kernel/osrelease", UTS_RELEASE);
SYSCTL_TEXT(kernel_version, "kernel/version", UTS_VERSION);

/* ------------------------------------------------------------- random numbers */

/* A random UUID (version 4); boot_id keeps the first. */
static void uuid_print(struct seq *out, const u8 *b)
{
    seq_printf(out, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n", b[0],
               b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
               b[14], b[15]);
}

static void uuid_make(u8 b[16])
{
    random_bytes(b, 16);
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
}

SHOW(uuid_show)
{
    u8 b[16];

    uuid_make(b);
    uuid_print(out, b);
    return 0;
}

static u8 boot_id[16];

static void boot_id_make(void)
{
    uuid_make(boot_id);
}
INIT_HOOK(boot_id_make, INIT_DRIVER);

SHOW(boot_id_show)
{
    uuid_print(out, boot_id);
    return 0;
}

SYSCTL_SHOW(uuid, "kernel/random/uuid", uuid_show);
SYSCTL_SHOW(boot_id, "kernel/random/boot_id", boot_id_show);
SYSCTL(entropy_avail, "kernel/random/entropy_avail", 256);
SYSCTL(poolsize, "kernel/random/poolsize", 256);

/* ------------------------------------------------------------- limits and policies */

SHOW(file_nr_show)
{
    seq_printf(out, "%lu\t0\t%lu\n", file_open_count(), S64_MAX);
    return 0;
}

SYSCTL(cap_last_cap, "kernel/cap_last_cap", CAP_LAST);
SYSCTL(ngroups_max, "kernel/ngroups_max", 65536);
SYSCTL(overflowgid, "kernel/overflowgid", 65534);
SYSCTL(overflowuid, "kernel/overflowuid", 65534);
SYSCTL(pid_max, "kernel/pid_max", PID_MAX);
SYSCTL(threads_max, "kernel/threads-max", PID_MAX);
SYSCTL(randomize_va_space, "kernel/randomize_va_space", 2); /* all of it, always */
SYSCTL(tainted, "kernel/tainted", 0);
SYSCTL_TEXT(core_pattern, "kernel/core_pattern", ""); /* no core files are written */
SYSCTL_TEXT(actions_avail, "kernel/seccomp/actions_avail",
            "kill_process kill_thread trap errno log allow");

SYSCTL_SHOW(file_nr, "fs/file-nr", file_nr_show);
SYSCTL(file_max, "fs/file-max", S64_MAX);
SYSCTL(nr_open, "fs/nr_open", FD_TABLE_MAX);
SYSCTL(aio_max_nr, "fs/aio-max-nr", 0); /* there is no io_setup(2) */
SYSCTL(aio_nr, "fs/aio-nr", 0);
SYSCTL(fs_overflowgid, "fs/overflowgid", 65534);
SYSCTL(fs_overflowuid, "fs/overflowuid", 65534);
SYSCTL(protected_hardlinks, "fs/protected_hardlinks", 1);
SYSCTL(protected_symlinks, "fs/protected_symlinks", 1);
SYSCTL(pipe_max_size, "fs/pipe-max-size", PIPE_BYTES_MAX);
/* Seconds; of the whole machine, so the host's root alone sets it. */
SHOW(lease_break_show)
{
    seq_printf(out, "%u\n", READ_ONCE(lease_break_seconds));
    return 0;
}

static ssize_t lease_break_store(struct pseudo_node *node, char *text, size_t n,
                                 const struct cred *cred)
{
    char *end = strchr(text, '\n');
    u64 seconds;

    if (!cred_capable(cred, &user_ns_init, CAP_SYS_ADMIN))
        return -EPERM;
    if (end)
        *end = '\0';
    if (parse_u64(text, 10, &seconds) || seconds > INT32_MAX)
        return -EINVAL;
    WRITE_ONCE(lease_break_seconds, (u32)seconds);
    return (ssize_t)n;
}

SYSCTL(leases, "fs/leases-enable", 1);
SYSCTL_RW(lease_break, "fs/lease-break-time", lease_break_show, lease_break_store);
SYSCTL(inotify_events, "fs/inotify/max_queued_events", INOTIFY_EVENTS_MAX);
SYSCTL(inotify_instances, "fs/inotify/max_user_instances", INOTIFY_INSTANCES_MAX);
SYSCTL(inotify_watches, "fs/inotify/max_user_watches", INOTIFY_WATCHES_MAX);

SYSCTL(max_map_count, "vm/max_map_count", AREAS_MAX);
SYSCTL(mmap_min_addr, "vm/mmap_min_addr", USER_MIN);
SYSCTL(overcommit_memory, "vm/overcommit_memory", 1); /* memory is charged when it is touched */
SYSCTL(overcommit_ratio, "vm/overcommit_ratio", 50);  /* the two that mode 2 would look at */
SYSCTL(overcommit_kbytes, "vm/overcommit_kbytes", 0);
SYSCTL(panic_on_oom, "vm/panic_on_oom", 0);
SYSCTL(oom_kill_allocating_task, "vm/oom_kill_allocating_task", 0);
SYSCTL(swappiness, "vm/swappiness", 0); /* there is no swap */

/* ------------------------------------------------------------- huge pages (sysfs) */

/* Anonymous memory gets 2 MiB pages where it has space for them; madvise(2) tells where not. */
#define SYS_HUGE(id, file, text)                                                                \
    PSEUDO_FILE(id) = {"sysfs", "kernel/mm/transparent_hugepage/" file, 0444, &sysctl_text_ops, \
                       (void *)(text)}
SYS_HUGE(thp_enabled, "enabled", "[always] madvise never");
SYS_HUGE(thp_defrag, "defrag", "always defer defer+madvise madvise [never]");
SYS_HUGE(thp_shmem, "shmem_enabled", "always within_size advise [never] deny force");
SYS_HUGE(thp_zero, "use_zero_page", "1");
PSEUDO_FILE(thp_size) = {"sysfs", "kernel/mm/transparent_hugepage/hpage_pmd_size", 0444,
                         &sysctl_number_ops, (void *)HUGE_SIZE};
