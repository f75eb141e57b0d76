/* SPDX-License-Identifier: MIT
 *
 * From "all levels are up" to a running system: PID 1, then the other processors, each in a thread
 * of its own, so that neither waits for the other; the boot context becomes CPU 0's idle thread.
 *
 * `autorun=CMD;CMD` on the command line runs console commands first (a comma stands for a blank):
 * how self-tests are driven from outside. `init=PATH` names another first program; `nosmp` keeps
 * one CPU.
 */
#include "arch/x86/acpi.h"
#include "arch/x86/bootinfo.h"
#include "arch/x86/percpu.h"
#include "arch/x86/smp.h"
#include "arch/x86/time.h"
#include "arch/x86/up.h"
#include "debug/debug.h"
#include "dev/irq.h"
#include "fs/initramfs/initramfs.h"
#include "hv/vcpu/cpus.h"
#include "init/init.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/watch.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/slab.h"
#include "proc/proc.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "vfs/vfs.h"

#define AP_STACK_SIZE 16384
#define LATE (400 * NSEC_PER_MSEC)
#define LINE_MAX 256

/* A copy of an option's value; false: not given or too long. */
static bool init_option(const char *key, char *buf, size_t size)
{
    size_t len;
    const char *value = boot_option(key, &len);

    if (!value || len >= size)
        return false;
    memcpy(buf, value, len);
    buf[len] = '\0';
    return true;
}

static void init_emit(const char *fmt, ...)
{
    char text[512];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vscnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (const char *p = text, *end = text + n; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));

        debug_port_write(p, (size_t)((nl ? nl : end) - p));
        if (nl)
            debug_port_write("\r\n", 2);
        p = nl ? nl + 1 : end;
    }
}

static void init_autorun(void)
{
    static char line[LINE_MAX];

    if (!init_option("autorun", line, sizeof(line)))
        return;
    for (char *p = line, *next; p; p = next) {
        next = strchr(p, ';');
        if (next)
            *next++ = '\0';
        for (char *c = p; *c; c++)
            if (*c == ',')
                *c = ' ';
        console_run(p, init_emit);
    }
}

/* From here on the console belongs to programs: only errors are shown, or what loglevel= says. */
static void init_quiet(void)
{
    char text[8];
    u64 level = LOG_ERR;

    if (init_option("loglevel", text, sizeof(text)) && parse_u64(text, 10, &level))
        level = LOG_ERR;
    log_set_console_level((enum log_level)MIN(level, (u64)LOG_DEBUG));
}

/* The root's contents, and /dev before the console is opened. */
static void init_root(void)
{
    struct walk_ctx ctx = {.cred = &cred_init, .ns = mount_ns_init};
    struct path dev;

    initramfs_unpack();
    mount_ns_root(mount_ns_init, &ctx.root);
    ctx.cwd = ctx.root;
    (void)vfs_mkdir(&ctx, NULL, "/dev", 0755);
    int err = vfs_lookup(&ctx, NULL, "/dev", WALK_FOLLOW | WALK_DIRECTORY, &dev);
    if (!err) {
        err = vfs_mount(&ctx, "devtmpfs", &dev, "devtmpfs", 0, NULL);
        path_put(&dev);
    }
    path_put(&ctx.root);
    if (err)
        log_err("init: /dev is not mounted: error %d", -err);
}

static void init_first(void *arg)
{
    static char path[LINE_MAX] = "/sbin/init";
    static const char *const envp[] = {"HOME=/", "TERM=linux", "PATH=/sbin:/bin", NULL};
    static const char *const argv[] = {path, NULL}; /* read by the new thread */
    int err;

    init_root();
    init_autorun();
    (void)init_option("init", path, sizeof(path));
    log_info("%s starts %lu us after entry", path, time_ns() / 1000);
    init_quiet();
    watch_start();
    err = process_start_init(path, argv, envp);
    if (err)
        panic("cannot start %s: error %d", path, -err);
}

static int init_start_cpu(unsigned index)
{
    unsigned order = 0;
    void *percpu, *stack;
    int err;

    while ((PAGE_SIZE << order) < percpu_size())
        order++;
    percpu = page_alloc_virt(order, 0);
    stack = vmap_alloc(AP_STACK_SIZE);
    err = percpu && stack
              ? smp_start(index, pgtable_kernel.root.v, percpu, (char *)stack + AP_STACK_SIZE)
              : -ENOMEM;
    /* One that did not answer in time may yet wake up on this memory: it is not given back. */
    return err;
}

static void init_others(void)
{
    unsigned count = MIN(acpi_cpu_count(), (unsigned)MAX_CPUS);

    for (unsigned i = 1; i < count; i++) {
        int err;

        if (FAILPOINT_APART(smp_start)) /* late: programs run by then */
            (void)sleep_until(time_ns() + LATE, SLEEP_UNINTERRUPTIBLE);
        err = init_start_cpu(i);
        if (err)
            log_err("CPU with APIC id %u does not start: error %d", acpi_cpu_apic_id(i), -err);
        cond_yield(); /* others wait for this CPU, and for grace periods */
    }
    if (count > 1)
        log_info("%u CPUs run, %lu us after entry", cpu_count(), time_ns() / 1000);
}

static void init_processors(void *arg)
{
    size_t len;

    if (!boot_option("nosmp", &len))
        init_others();
    irq_processors_up();
    hv_processors_up();
}

/* On the new processor, on the stack given above. */
void up_ap_init(unsigned cpu)
{
    sched_init_cpu(cpu);
}

void up_ap_main(void)
{
    sched_idle();
}

static void init_thread(const char *name, void (*fn)(void *arg))
{
    struct thread *t = thread_create(name, fn, NULL);

    if (!t)
        panic("no memory for the first threads");
    thread_start(t);
    thread_put(t);
}

void init_start(void)
{
    init_thread("init", init_first);
    init_thread("smp", init_processors);
    sched_idle();
}
