/* SPDX-License-Identifier: MIT
 *
 * What the machine has to run guests with: the back end is chosen at boot; each CPU is enabled when
 * the first VM is made.
 */
#include "hv/vcpu/cpus.h"

#include "arch/x86/acpi.h"
#include "arch/x86/percpu.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/page.h"
#include "mm/up.h"
#include "sched/mutex.h"
#include "sched/wait.h"

const struct hv_ops *hv_ops;
bool hv_small_code;

/* ------------------------------------------------------------- what each CPU needs */

void *hv_cpu_area[MAX_CPUS];
static struct mutex hv_cpus_lock;
static bool hv_cpus_tried; /* hv_cpus_lock */
static bool hv_cpus_up;    /* a  no further CPU comes */
static struct waitq hv_cpus_wait;
static u32 hv_cpus_out; /* a  how many cannot run guests */
u64 hv_cpus;

static int hv_cpu_areas_make(void)
{
    unsigned order = hv_ops->cpu_pages > 1, cpus = MIN(acpi_cpu_count(), (unsigned)MAX_CPUS);

    for (unsigned i = 0; i < cpus; i++) {
        if (!hv_cpu_area[i])
            hv_cpu_area[i] = page_alloc_virt(order, PA_ZERO);
        if (!hv_cpu_area[i])
            return -ENOMEM;
    }
    return 0;
}

static void hv_cpu_enable(void)
{
    const char *why = FAILPOINT_APART(hv_cpu_enable) ? "a fail point" : hv_ops->enable_cpu();

    if (why) {
        log_info("hv: no guests on CPU %u: %s", cpu_id(), why);
        __atomic_fetch_add(&hv_cpus_out, 1, __ATOMIC_RELAXED);
        return;
    }
    __atomic_fetch_or(&hv_cpus, 1UL << cpu_id(), __ATOMIC_RELAXED);
}

void hv_processors_up(void)
{
    WRITE_ONCE(hv_cpus_up, true);
    waitq_wake_all(&hv_cpus_wait);
}

/* CPUs come up while programs run already. One that came later would not be enabled, and under VT-x
 * a vCPU's thread that gets there would not find VMPTRLD. */
int hv_cpus_enable(void)
{
    int err = wait_event_killable(&hv_cpus_wait, READ_ONCE(hv_cpus_up));

    if (err)
        return err;
    mutex_lock(&hv_cpus_lock);
    err = hv_cpu_areas_make();
    if (!err && !hv_cpus_tried) {
        up_run_on_each_cpu(hv_cpu_enable);
        hv_cpus_tried = true;
    }
    if (!err && (!hv_cpus || (hv_ops->all_cpus && hv_cpus_out)))
        err = -EBUSY;
    mutex_unlock(&hv_cpus_lock);
    return err;
}

/* ------------------------------------------------------------- the backend */

/* A CPU has one technique at most: the reason that is kept is that one's. */
static void hv_init(void)
{
    const char *why = "the CPU has neither VT-x nor AMD-V";
    const struct hv_ops *ops;

    mutex_init(&hv_cpus_lock, RANK_HV, 0, "hv cpus");
    waitq_init(&hv_cpus_wait);
    TABLE_FOR_EACH(ops, hv_backends)
    {
        if (hv_ops || !cpu_has(ops->feature))
            continue;
        why = ops->probe();
        if (!why)
            hv_ops = ops;
    }
    if (hv_ops)
        log_info("hv: %s", hv_ops->name);
    else
        log_info("hv: no virtual machines: %s", why);
}
INIT_HOOK(hv_init, INIT_LATE);
