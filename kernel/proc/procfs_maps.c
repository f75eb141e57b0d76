/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/maps and smaps: what an address space has where (proc(5)).
 */
#include "lib/err.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/fs_context.h"
#include "proc/procfs.h"

/* One area as it was; its text is made when the address space is not locked any more. */
struct maps_area {
    u64 start, end, offset;
    u32 flags;
    u8 prot;
    const char *name;  /* of what has no file */
    struct file *file; /* a reference, or NULL */
    struct residency in_memory;
};

struct maps_state {
    struct seq *out;
    struct aspace *as;
    char *path;
    bool details;
    struct maps_area area;
};

#define MAPS_PART 8192 /* bytes of text, more or less */

/* What is mapped, and its place where it has one: a descriptor's own memory (a vCPU's) has none. */
static const char *maps_file_name(const struct maps_state *m, const struct file *f,
                                  struct kstat *st)
{
    struct path p = {f->mount, f->dentry}, root, cwd;
    const char *name;

    if (!f->dentry)
        return f->ops->name;
    (void)vfs_stat(&p, st);
    fs_context_paths(current_task()->fs, &root, &cwd);
    name = path_name(&p, &root, m->path, PATH_MAX);
    path_put(&root);
    path_put(&cwd);
    return IS_ERR(name) ? "?" : name;
}

static void maps_residency(struct seq *out, const struct residency *r, bool locked)
{
    u64 shared = r->present - r->private, shared_dirty = r->dirty - r->private_dirty;
    const struct {
        const char *name;
        u64 kb;
    } rows[] = {
        {"Rss", r->present * 4},
        {"Pss", r->share_sum * 4 >> RESIDENCY_SHIFT},
        {"Shared_Clean", (shared - shared_dirty) * 4},
        {"Shared_Dirty", shared_dirty * 4},
        {"Private_Clean", (r->private - r->private_dirty) * 4},
        {"Private_Dirty", r->private_dirty * 4},
        {"Anonymous", r->anon * 4},
        {"AnonHugePages", r->huge * 4},
        {"Swap", 0},
        {"SwapPss", 0},
        {"Locked", locked ? r->share_sum * 4 >> RESIDENCY_SHIFT : 0},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        seq_printf(out, "%s:%*lu kB\n", rows[i].name, 23 - (int)strlen(rows[i].name), rows[i].kb);
}

static void maps_details(const struct maps_state *m, const struct maps_area *a)
{
    seq_printf(
        m->out,
        "Size:           %8lu kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n",
        (a->end - a->start) / 1024);
    maps_residency(m->out, &a->in_memory, a->flags & AREA_LOCKED);
}

static const char *maps_anon_name(const struct aspace *as, const struct area *a)
{
    if (a->start <= as->brk && a->end > as->brk_start && as->brk > as->brk_start)
        return "[heap]";
    if (a->flags & AREA_GROWSDOWN)
        return "[stack]";
    if (as->vdso && a->start == as->vdso)
        return "[vdso]";
    if (as->vdso && a->end == as->vdso)
        return "[vvar]";
    return "";
}

/* Notes the area, and ends the walk with 1. */
static int maps_note(struct area *a, void *arg)
{
    struct maps_state *m = arg;

    m->area = (struct maps_area){
        .start = a->start,
        .end = a->end,
        .offset = a->object ? a->offset : 0,
        .flags = a->flags,
        .prot = a->prot,
        .name = maps_anon_name(m->as, a),
        .file = a->file,
    };
    if (a->file)
        file_get(a->file);
    if (m->details)
        aspace_residency(m->as, a, &m->area.in_memory);
    return 1;
}

static void maps_line(struct maps_state *m)
{
    const struct maps_area *a = &m->area;
    struct kstat st = {0};
    const char *name = a->file ? maps_file_name(m, a->file, &st) : a->name;
    size_t before = m->out->len;

    seq_printf(m->out, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", a->start, a->end,
               a->prot & PT_READ ? 'r' : '-', a->prot & PT_WRITE ? 'w' : '-',
               a->prot & PT_EXEC ? 'x' : '-', a->flags & AREA_SHARED ? 's' : 'p', a->offset,
               (unsigned)(st.dev >> 8 & 0xfff), (unsigned)(st.dev & 0xff), st.ino);
    if (*name)
        seq_printf(m->out, "%*s%s",
                   (int)(before + 73 > m->out->len ? before + 73 - m->out->len : 0), "", name);
    seq_printf(m->out, "\n");
    if (m->details)
        maps_details(m, a);
}

/* Where the text goes on, or PSEUDO_ALL_SHOWN. */
static u64 maps_part(struct maps_state *m, u64 from)
{
    while (m->out->len < MAPS_PART) {
        if (!aspace_for_each(m->as, from, maps_note, m))
            return PSEUDO_ALL_SHOWN;
        maps_line(m);
        if (m->area.file)
            file_put(m->area.file);
        from = m->area.end;
        cond_yield();
    }
    return from;
}

static int maps_text(struct pseudo_node *node, u64 *from, struct seq *out, const struct cred *cred,
                     bool details)
{
    struct aspace *as = process_inspect_aspace_as(pid_node_task(node)->process, cred);

    if (!as || IS_ERR(as)) {
        *from = PSEUDO_ALL_SHOWN;
        return as ? -EACCES : 0;
    }
    struct maps_state m = {.out = out, .as = as, .path = kmalloc(PATH_MAX), .details = details};
    int err = m.path ? 0 : -ENOMEM;

    if (!err)
        *from = maps_part(&m, *from);
    kfree(m.path);
    aspace_put(as);
    return err;
}

int procfs_maps_show(struct pseudo_node *node, u64 *from, struct seq *out, const struct cred *cred)
{
    return maps_text(node, from, out, cred, false);
}

int procfs_smaps_show(struct pseudo_node *node, u64 *from, struct seq *out, const struct cred *cred)
{
    return maps_text(node, from, out, cred, true);
}

/* The sum over all areas, as one. */
struct maps_sum {
    struct aspace *as;
    struct residency all;
    u64 start, end;
};

static int maps_sum_area(struct area *a, void *arg)
{
    struct maps_sum *sum = arg;

    if (!sum->end)
        sum->start = a->start;
    sum->end = a->end;
    aspace_residency(sum->as, a, &sum->all);
    return 0;
}

int procfs_smaps_rollup_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct maps_sum sum = {.as = process_inspect_aspace_as(pid_node_task(node)->process, cred)};

    if (!sum.as || IS_ERR(sum.as))
        return sum.as ? -EACCES : -ESRCH;
    (void)aspace_for_each(sum.as, 0, maps_sum_area, &sum);
    aspace_put(sum.as);
    seq_printf(out, "%08lx-%08lx ---p 00000000 00:00 0                          [rollup]\n",
               sum.start, sum.end);
    maps_residency(out, &sum.all, false);
    return 0;
}
