/* SPDX-License-Identifier: MIT
 *
 * /proc/interrupts and /proc/irq, as Linux has them (Documentation/core-api/irq/irq-affinity). The
 * directories are computed: interrupts come and go with their drivers.
 */
#include "arch/x86/percpu.h"
#include "dev/irq.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/string.h"
#include "linux/cgroupfs.h"
#include "proc/procfs.h"
#include "sched/timer.h"

#define NO_LINE (~0U)

/* ------------------------------------------------------------- /proc/interrupts */

static void procirq_row(struct seq *out, const struct irq_info *info)
{
    unsigned cpu;

    seq_printf(out, "%3u:", info->irq);
    cpu_for_each (cpu)
        seq_printf(out, " %10lu", irq_count(info->irq, cpu));
    seq_printf(out, "  %8s %4u-%-10s", info->gsi == NO_LINE ? "PCI-MSI" : "IO-APIC", info->irq,
               info->gsi == NO_LINE || !info->level ? "edge" : "fasteoi");
    for (unsigned i = 0; i < IRQ_SHARE_MAX && info->names[i][0]; i++)
        seq_printf(out, "%s%s", i ? ", " : "", info->names[i]);
    seq_printf(out, "\n");
}

static int procirq_show_all(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct irq_info info;
    unsigned cpu;

    seq_printf(out, "    ");
    cpu_for_each (cpu)
        seq_printf(out, "       CPU%-1u", cpu);
    seq_printf(out, "\n");
    for (u32 irq = 0; irq_info_next(irq, &info); irq = info.irq + 1)
        procirq_row(out, &info);
    seq_printf(out, "LOC:");
    cpu_for_each (cpu)
        seq_printf(out, " %10lu", timer_interrupts(cpu));
    seq_printf(out, "  Local timer interrupts\n");
    return 0;
}

static const struct pseudo_ops procirq_all_ops = {.show = procirq_show_all};
PSEUDO_FILE(interrupts) = {"proc", "interrupts", 0444, &procirq_all_ops, NULL};

/* ------------------------------------------------------------- masks that are written */

/* "f", "1,00000000": groups of 32 bits. 0 or -EINVAL. */
static int procirq_parse_mask(const char *s, u64 *out)
{
    u64 mask = 0, group;

    for (;;) {
        int err = parse_u64_prefix(s, 16, &group, &s);

        if (err || group >> 32 || mask >> 32)
            return -EINVAL;
        mask = mask << 32 | group;
        if (*s != ',')
            break;
        s++;
    }
    *out = mask;
    return *s == '\0' || strcmp(s, "\n") == 0 ? 0 : -EINVAL;
}

/* ------------------------------------------------------------- /proc/irq */

enum procirq_file { IRQ_AFFINITY, IRQ_AFFINITY_LIST, IRQ_EFFECTIVE, IRQ_EFFECTIVE_LIST, IRQ_FILES };

static const struct {
    const char *name;
    u32 mode;
} procirq_files[IRQ_FILES] = {
    [IRQ_AFFINITY] = {"smp_affinity", 0644},
    [IRQ_AFFINITY_LIST] = {"smp_affinity_list", 0644},
    [IRQ_EFFECTIVE] = {"effective_affinity", 0444},
    [IRQ_EFFECTIVE_LIST] = {"effective_affinity_list", 0444},
};

/* priv of a node: number << 8 | file, so that it needs no memory of its own. */
static u32 procirq_number(const struct pseudo_node *node)
{
    return (u32)((u64)node->priv >> 8);
}

static enum procirq_file procirq_which(const struct pseudo_node *node)
{
    return (enum procirq_file)((u64)node->priv & 0xff);
}

static void *procirq_priv(u32 irq, unsigned file)
{
    return (void *)((u64)irq << 8 | file);
}

static int procirq_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct irq_info info;
    u64 mask;

    if (!irq_info_next(procirq_number(node), &info) || info.irq != procirq_number(node))
        return -ENOENT;
    mask = procirq_which(node) < IRQ_EFFECTIVE ? info.affinity : 1UL << info.cpu;
    if (procirq_which(node) == IRQ_AFFINITY_LIST || procirq_which(node) == IRQ_EFFECTIVE_LIST)
        procfs_cpulist(out, mask);
    else
        procfs_cpumask(out, mask);
    return 0;
}

static ssize_t procirq_store(struct pseudo_node *node, char *text, size_t n,
                             const struct cred *cred)
{
    u64 mask;
    int err = procirq_which(node) == IRQ_AFFINITY        ? procirq_parse_mask(text, &mask)
              : procirq_which(node) == IRQ_AFFINITY_LIST ? cpuset_parse(text, &mask)
                                                         : -EIO;

    if (!err)
        err = irq_set_affinity(procirq_number(node), mask);
    return err ? err : (ssize_t)n;
}

static const struct pseudo_ops procirq_file_ops = {.show = procirq_show, .store = procirq_store};

static struct pseudo_node *procirq_made(struct pseudo_node *node)
{
    return node ? node : ERR_PTR(-ENOMEM);
}

static struct pseudo_node *procirq_lookup_file(struct pseudo_node *dir, const char *name,
                                               size_t len)
{
    for (unsigned i = 0; i < IRQ_FILES; i++)
        if (str_is(procirq_files[i].name, name, len))
            return procirq_made(pseudo_create(NULL, procirq_files[i].name,
                                              S_IFREG | procirq_files[i].mode, &procirq_file_ops,
                                              procirq_priv(procirq_number(dir), i)));
    return NULL;
}

static int procirq_list_files(struct pseudo_node *dir, struct dir_context *ctx)
{
    for (; ctx->pos < IRQ_FILES; ctx->pos++) {
        const char *name = procirq_files[ctx->pos].name;

        if (!ctx->emit(ctx, name, strlen(name), (u64)ctx->pos + 1, S_IFREG >> 12))
            return 0;
    }
    return 0;
}

static const struct pseudo_ops procirq_dir_ops = {.lookup = procirq_lookup_file,
                                                  .list = procirq_list_files};

static struct pseudo_node *procirq_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    struct irq_info info;
    const char *end;
    char text[12];
    u64 irq;

    if (len >= sizeof(text))
        return NULL;
    memcpy(text, name, len);
    text[len] = '\0';
    if (parse_u64_prefix(text, 10, &irq, &end) != 0 || *end || irq >> 24 ||
        (text[0] == '0' && len > 1))
        return NULL;
    if (!irq_info_next((u32)irq, &info) || info.irq != irq)
        return NULL;
    return procirq_made(
        pseudo_create(NULL, text, S_IFDIR | 0555, &procirq_dir_ops, procirq_priv((u32)irq, 0)));
}

/* The position is the number from which to go on. */
static int procirq_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    struct irq_info info;
    char text[12];

    while (irq_info_next((u32)ctx->pos, &info)) {
        int n = snprintf(text, sizeof(text), "%u", info.irq);

        if (!ctx->emit(ctx, text, (size_t)n, info.irq + 1UL, S_IFDIR >> 12))
            return 0;
        ctx->pos = (loff_t)info.irq + 1;
    }
    return 0;
}

static const struct pseudo_ops procirq_top_ops = {.lookup = procirq_lookup, .list = procirq_list};
PSEUDO_FILE(irq) = {"proc", "irq", S_IFDIR | 0555, &procirq_top_ops, NULL};
