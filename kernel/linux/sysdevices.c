/* SPDX-License-Identifier: MIT
 *
 * /sys/devices/system/cpu and node (Linux Documentation/ABI, sysfs-devices-system-cpu), from which
 * C libraries count processors and runtimes learn the topology: cores of one package beside one
 * memory node. The directories are computed, since processors come up while programs run already.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/spec.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "proc/procfs.h"

/* What a file shows: of all processors, or of one. */
enum sys_figure {
    SYS_ALL_LIST,
    SYS_ALL_MASK,
    SYS_NONE,
    SYS_ZERO,
    SYS_ONE,
    SYS_LAST,
    SYS_SELF,
    SYS_SELF_MASK,
    SYS_NODE_MEMORY,
    SYS_DISTANCE,
    SYS_DIR,
    SYS_FLAW, /* and above: a flaw of speculation, by enum spec_flaw */
};

struct sys_entry {
    const char *name;
    enum sys_figure figure;
    const struct sys_dir *dir; /* SYS_DIR */
};

/* A directory: entries of its own, and numbered ones ("cpu3") where there is a stem. */
struct sys_dir {
    const struct sys_entry *entries;
    unsigned count;
    const char *stem;
    const struct sys_dir *numbered;
    bool per_cpu; /* else one, number 0 */
};

/* priv of a node. */
struct sys_node {
    const struct sys_dir *dir; /* of a directory */
    enum sys_figure figure;
    unsigned number; /* of the processor or memory node that the path names */
};

static void sys_node_memory(struct seq *out)
{
    struct mem_info m;
    u64 kb = PAGE_SIZE / 1024;

    mem_info_get(&m);
    seq_printf(out, "Node 0 MemTotal:       %8lu kB\nNode 0 MemFree:        %8lu kB\n",
               m.total * kb, m.free * kb);
    seq_printf(out, "Node 0 MemUsed:        %8lu kB\n", (m.total - m.free) * kb);
}

static int sys_file_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct sys_node *n = node->priv;

    if (n->figure >= SYS_FLAW) {
        seq_printf(out, "%s\n", spec_flaw_state(&spec_plan, n->figure - SYS_FLAW));
        return 0;
    }
    switch (n->figure) {
    case SYS_ALL_LIST:
        procfs_cpulist(out, U64_MAX);
        break;
    case SYS_ALL_MASK:
        procfs_cpumask(out, U64_MAX);
        break;
    case SYS_NONE:
        seq_printf(out, "\n");
        break;
    case SYS_ZERO:
        seq_printf(out, "0\n");
        break;
    case SYS_ONE:
        seq_printf(out, "1\n");
        break;
    case SYS_LAST:
        seq_printf(out, "%u\n", MAX_CPUS - 1);
        break;
    case SYS_SELF:
        seq_printf(out, "%u\n", n->number);
        break;
    case SYS_SELF_MASK:
        procfs_cpumask(out, 1ULL << n->number);
        break;
    case SYS_NODE_MEMORY:
        sys_node_memory(out);
        break;
    case SYS_DISTANCE:
        seq_printf(out, "10\n");
        break;
    default:
        return -EISDIR;
    }
    return 0;
}

static void sys_node_destroy(struct pseudo_node *node)
{
    kfree(node->priv);
}

static struct pseudo_node *sys_lookup(struct pseudo_node *node, const char *name, size_t len);
static int sys_list(struct pseudo_node *node, struct dir_context *ctx);

static const struct pseudo_ops sys_file_ops = {.show = sys_file_show, .destroy = sys_node_destroy};
static const struct pseudo_ops sys_dir_ops = {
    .lookup = sys_lookup, .list = sys_list, .destroy = sys_node_destroy};

static struct pseudo_node *sys_node_make(const char *name, const struct sys_dir *dir,
                                         enum sys_figure figure, unsigned number)
{
    struct sys_node *n = kmalloc(sizeof(*n));
    struct pseudo_node *node;

    if (!n)
        return ERR_PTR(-ENOMEM);
    *n = (struct sys_node){dir, figure, number};
    node = dir ? pseudo_create(NULL, name, S_IFDIR | 0755, &sys_dir_ops, n)
               : pseudo_create(NULL, name, S_IFREG | 0444, &sys_file_ops, n);
    if (node)
        return node;
    kfree(n);
    return ERR_PTR(-ENOMEM);
}

static unsigned sys_numbered(const struct sys_dir *dir)
{
    return !dir->stem ? 0 : dir->per_cpu ? cpu_count() : 1;
}

/* The number behind the stem, or -1. */
static int sys_number(const struct sys_dir *dir, const char *name, size_t len)
{
    char text[16];

    for (unsigned i = 0; i < sys_numbered(dir); i++) {
        int n = snprintf(text, sizeof(text), "%s%u", dir->stem, i);

        if ((size_t)n == len && memcmp(text, name, len) == 0)
            return (int)i;
    }
    return -1;
}

static struct pseudo_node *sys_lookup(struct pseudo_node *node, const char *name, size_t len)
{
    const struct sys_node *at = node->priv;
    char text[16];
    int number;

    for (unsigned i = 0; i < at->dir->count; i++) {
        const struct sys_entry *e = &at->dir->entries[i];

        if (str_is(e->name, name, len))
            return sys_node_make(e->name, e->dir, e->figure, at->number);
    }
    number = sys_number(at->dir, name, len);
    if (number < 0)
        return NULL;
    snprintf(text, sizeof(text), "%s%u", at->dir->stem, (unsigned)number);
    return sys_node_make(text, at->dir->numbered, SYS_DIR, (unsigned)number);
}

static int sys_list(struct pseudo_node *node, struct dir_context *ctx)
{
    const struct sys_dir *dir = ((const struct sys_node *)node->priv)->dir;

    for (; ctx->pos < (loff_t)(dir->count + sys_numbered(dir)); ctx->pos++) {
        unsigned i = (unsigned)ctx->pos;
        const struct sys_entry *e = i < dir->count ? &dir->entries[i] : NULL;
        char text[16];

        if (!e)
            snprintf(text, sizeof(text), "%s%u", dir->stem, i - dir->count);
        if (!ctx->emit(ctx, e ? e->name : text, strlen(e ? e->name : text), i + 1,
                       !e || e->dir ? 4 : 8))
            return 0;
    }
    return 0;
}

static const struct sys_entry topology_entries[] = {
    {"core_id", SYS_SELF, NULL},
    {"physical_package_id", SYS_ZERO, NULL},
    {"die_id", SYS_ZERO, NULL},
    {"thread_siblings", SYS_SELF_MASK, NULL},
    {"thread_siblings_list", SYS_SELF, NULL},
    {"core_cpus", SYS_SELF_MASK, NULL},
    {"core_cpus_list", SYS_SELF, NULL},
    {"core_siblings", SYS_ALL_MASK, NULL},
    {"core_siblings_list", SYS_ALL_LIST, NULL},
    {"package_cpus", SYS_ALL_MASK, NULL},
    {"package_cpus_list", SYS_ALL_LIST, NULL},
};
static const struct sys_dir topology_dir = {.entries = topology_entries,
                                            .count = ARRAY_SIZE(topology_entries)};

static const struct sys_entry cpu_entries[] = {
    {"online", SYS_ONE, NULL},
    {"topology", SYS_DIR, &topology_dir},
};
static const struct sys_dir cpu_dir = {.entries = cpu_entries, .count = ARRAY_SIZE(cpu_entries)};

static const struct sys_entry flaw_entries[] = {
    {"gather_data_sampling", SYS_FLAW + SPEC_GDS, NULL},
    {"itlb_multihit", SYS_FLAW + SPEC_MULTIHIT, NULL},
    {"l1tf", SYS_FLAW + SPEC_L1TF, NULL},
    {"mds", SYS_FLAW + SPEC_MDS, NULL},
    {"meltdown", SYS_FLAW + SPEC_MELTDOWN, NULL},
    {"mmio_stale_data", SYS_FLAW + SPEC_MMIO, NULL},
    {"reg_file_data_sampling", SYS_FLAW + SPEC_RFDS, NULL},
    {"retbleed", SYS_FLAW + SPEC_RETBLEED, NULL},
    {"spec_rstack_overflow", SYS_FLAW + SPEC_SRSO, NULL},
    {"spec_store_bypass", SYS_FLAW + SPEC_SSB, NULL},
    {"spectre_v1", SYS_FLAW + SPEC_V1, NULL},
    {"spectre_v2", SYS_FLAW + SPEC_V2, NULL},
    {"srbds", SYS_FLAW + SPEC_SRBDS, NULL},
    {"tsx_async_abort", SYS_FLAW + SPEC_TAA, NULL},
};
static_assert(ARRAY_SIZE(flaw_entries) == SPEC_FLAWS, "a file each");
static const struct sys_dir flaws_dir = {.entries = flaw_entries,
                                         .count = ARRAY_SIZE(flaw_entries)};

static const struct sys_entry cpus_entries[] = {
    {"vulnerabilities", SYS_DIR, &flaws_dir},
    {"online", SYS_ALL_LIST, NULL},
    {"possible", SYS_ALL_LIST, NULL},
    {"present", SYS_ALL_LIST, NULL},
    {"offline", SYS_NONE, NULL},
    {"isolated", SYS_NONE, NULL},
    {"kernel_max", SYS_LAST, NULL},
};
static const struct sys_dir cpus_dir = {.entries = cpus_entries,
                                        .count = ARRAY_SIZE(cpus_entries),
                                        .stem = "cpu",
                                        .numbered = &cpu_dir,
                                        .per_cpu = true};

static const struct sys_entry node_entries[] = {
    {"cpulist", SYS_ALL_LIST, NULL},
    {"cpumap", SYS_ALL_MASK, NULL},
    {"distance", SYS_DISTANCE, NULL},
    {"meminfo", SYS_NODE_MEMORY, NULL},
};
static const struct sys_dir node_dir = {.entries = node_entries, .count = ARRAY_SIZE(node_entries)};

static const struct sys_entry nodes_entries[] = {
    {"online", SYS_ZERO, NULL},
    {"possible", SYS_ZERO, NULL},
    {"has_cpu", SYS_ZERO, NULL},
    {"has_memory", SYS_ZERO, NULL},
};
static const struct sys_dir nodes_dir = {.entries = nodes_entries,
                                         .count = ARRAY_SIZE(nodes_entries),
                                         .stem = "node",
                                         .numbered = &node_dir};

static struct sys_node sys_cpus = {&cpus_dir, SYS_DIR, 0}, sys_nodes = {&nodes_dir, SYS_DIR, 0};
/* These two stay: their priv is not the heap's. */
static const struct pseudo_ops sys_top_ops = {.lookup = sys_lookup, .list = sys_list};
PSEUDO_FILE(sys_cpu) = {"sysfs", "devices/system/cpu", S_IFDIR | 0755, &sys_top_ops, &sys_cpus};
PSEUDO_FILE(sys_node) = {"sysfs", "devices/system/node", S_IFDIR | 0755, &sys_top_ops, &sys_nodes};
