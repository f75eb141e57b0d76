/* SPDX-License-Identifier: MIT
 *
 * /proc files about devices (proc(5)): which majors are served, and the tables of what this kernel
 * has none of, swap areas and modules, which tools expect to find empty.
 */
#include "dev/block.h"
#include "dev/chrdev.h"
#include "vfs/pseudo.h"

/* Linux Documentation/admin-guide/devices.txt. */
static const struct {
    u32 major;
    const char *name;
} devices_known[] = {{1, "mem"}, {4, "ttyS"}, {5, "/dev/tty"}, {10, "misc"}, {136, "pts"}};

/* Each kind of disk once: by its first one. */
static bool devices_block(struct block_device *dev, void *arg)
{
    if (dev->minor == 0)
        seq_printf(arg, "%3u %s\n", dev->major, block_family(dev));
    return true;
}

static int devices_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "Character devices:\n");
    for (unsigned i = 0; i < ARRAY_SIZE(devices_known); i++)
        if (chrdev_major_served(devices_known[i].major))
            seq_printf(out, "%3u %s\n", devices_known[i].major, devices_known[i].name);
    seq_printf(out, "\nBlock devices:\n");
    block_for_each(devices_block, out);
    return 0;
}

/* priv: the head that stands above no line. */
static int empty_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "%s", (const char *)node->priv);
    return 0;
}

static const struct pseudo_ops devices_ops = {.show = devices_show};
static const struct pseudo_ops empty_ops = {.show = empty_show};

PSEUDO_FILE(devices) = {"proc", "devices", 0444, &devices_ops, NULL};
PSEUDO_FILE(modules) = {"proc", "modules", 0444, &empty_ops, (void *)""};
PSEUDO_FILE(swaps) = {"proc", "swaps", 0444, &empty_ops,
                      (void *)"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"};
