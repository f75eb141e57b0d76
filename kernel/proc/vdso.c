/* SPDX-License-Identifier: MIT
 *
 * Two areas per process: the clock page, and above it the code (vdso/user.c), which finds the page
 * by its distance. Both show the kernel's own frames, so they cost a process no memory but the two
 * areas. In a time namespace with shifted clocks the page is another, all zeros, on which the code
 * falls back to the system calls.
 *
 * Objects: made at boot, one per page or image, and never freed.
 */
#include "proc/vdso.h"

#include "arch/x86/bootinfo.h"
#include "lib/log.h"
#include "proc/nsset.h"
#include "sched/clock_page.h"
#include "vm/aspace.h"

extern const char vdso_image[], vdso_image_end[];
static const u8 vdso_no_clock[PAGE_SIZE] __aligned(PAGE_SIZE);
static struct mem_object *vdso_code, *vdso_clock, *vdso_ask; /* I */

static struct mem_object *vdso_object(const void *start, size_t size)
{
    struct mem_object *obj = mem_object_create_device(HPA(image_phys(start)), size, 0);

    if (!obj)
        panic("vdso: no memory at boot");
    return obj;
}

static void vdso_init(void)
{
    vdso_code = vdso_object(vdso_image, (size_t)(vdso_image_end - vdso_image));
    vdso_clock = vdso_object(clock_page, PAGE_SIZE);
    vdso_ask = vdso_object(vdso_no_clock, PAGE_SIZE);
    clock_page_init();
}
INIT_HOOK(vdso_init, INIT_LATE);

static struct mem_object *vdso_clock_of(const struct time_ns *ns)
{
    return ns->monotonic || ns->boottime ? vdso_ask : vdso_clock;
}

static int vdso_map_at(struct aspace *as, u64 addr, struct mem_object *obj, unsigned prot)
{
    struct map_request req = {.addr = addr,
                              .len = obj->size,
                              .prot = (u8)prot,
                              .max_prot = (u8)prot,
                              .flags = AREA_DEVICE,
                              .fixed = true,
                              .object = obj};
    u64 at;

    return aspace_map(as, &req, &at);
}

int vdso_map(struct aspace *as, const struct time_ns *ns)
{
    u64 code = as->mmap_base - vdso_code->size;
    int err = vdso_map_at(as, code - PAGE_SIZE, vdso_clock_of(ns), PT_READ);

    if (!err)
        err = vdso_map_at(as, code, vdso_code, PT_READ | PT_EXEC);
    if (!err)
        as->vdso = code;
    return err;
}

static int vdso_has_clock(struct area *a, void *arg)
{
    u64 at = *(u64 *)arg;

    if (a->start == at && (a->object == vdso_clock || a->object == vdso_ask))
        return 1;
    return a->start >= at ? -ENOENT : 0;
}

int vdso_enter_time(struct aspace *as, const struct time_ns *ns)
{
    u64 at = as->vdso - PAGE_SIZE;

    if (!as->vdso || aspace_for_each(as, at, vdso_has_clock, &at) != 1)
        return 0;
    return vdso_map_at(as, at, vdso_clock_of(ns), PT_READ);
}
