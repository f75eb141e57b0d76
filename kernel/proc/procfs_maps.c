/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/maps and smaps: what an address space has where (proc(5)).
 */
#include "lib/err.h"
#include "mm/slab.h"
#include "proc/fs_context.h"
#include "proc/procfs.h"

struct maps_state {
    struct seq *out;
    struct aspace *as;
    char *path;
    bool details;
};

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

static void maps_details(const struct maps_state *m, const struct area *a)
{
    u64 anon, rss = aspace_resident(m->as, a, &anon);

    seq_printf(m->out,
               "Size:           %8lu kB\nKernelPageSize:        4 kB\n"
               "MMUPageSize:           4 kB\nRss:            %8lu kB\n"
               "Anonymous:      %8lu kB\nLocked:         %8lu kB\n",
               (a->end - a->start) / 1024, rss * 4, anon * 4, a->flags & AREA_LOCKED ? rss * 4 : 0);
}

static int maps_area(struct area *a, void *arg)
{
    struct maps_state *m = arg;
    struct kstat st = {0};
    const char *name = "";

    if (a->file) {
        name = maps_file_name(m, a->file, &st);
    } else if (a->start <= m->as->brk && a->end > m->as->brk_start &&
               m->as->brk > m->as->brk_start) {
        name = "[heap]";
    } else if (a->flags & AREA_GROWSDOWN) {
        name = "[stack]";
    } else if (m->as->vdso && a->start == m->as->vdso) {
        name = "[vdso]";
    } else if (m->as->vdso && a->end == m->as->vdso) {
        name = "[vvar]";
    }
    size_t before = m->out->len;
    seq_printf(m->out, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", a->start, a->end,
               a->prot & PT_READ ? 'r' : '-', a->prot & PT_WRITE ? 'w' : '-',
               a->prot & PT_EXEC ? 'x' : '-', a->flags & AREA_SHARED ? 's' : 'p',
               a->object ? a->offset : 0, (unsigned)(st.dev >> 8 & 0xfff),
               (unsigned)(st.dev & 0xff), st.ino);
    if (*name)
        seq_printf(m->out, "%*s%s",
                   (int)(before + 73 > m->out->len ? before + 73 - m->out->len : 0), "", name);
    seq_printf(m->out, "\n");
    if (m->details)
        maps_details(m, a);
    return 0;
}

static int maps_text(struct pseudo_node *node, struct seq *out, bool details)
{
    struct aspace *as = process_inspect_aspace(pid_node_task(node)->process);

    if (!as || IS_ERR(as))
        return as ? -EACCES : 0;
    struct maps_state m = {out, as, kmalloc(PATH_MAX), details};
    int err = m.path ? aspace_for_each(as, 0, maps_area, &m) : -ENOMEM;
    kfree(m.path);
    aspace_put(as);
    return err;
}

int procfs_maps_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    return maps_text(node, out, false);
}

int procfs_smaps_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    return maps_text(node, out, true);
}
