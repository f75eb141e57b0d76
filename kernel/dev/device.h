/* SPDX-License-Identifier: MIT
 *
 * Buses, devices and drivers. A bus finds devices and registers them; a driver stands in a linker
 * table with what it matches. A new device is given to the driver that matches it in a thread,
 * so that probes run beside each other and beside PID 1. Only what waits for a device calls
 * device_settle or device_wait.
 *
 *     static const struct device_id edu_ids[] = {PCI_ID(0x1234, 0x11e8)};
 *     DRIVER(edu) = {.name = "edu", .bus = &pci_bus, DRIVER_IDS(edu_ids),
 *                    .probe = edu_probe, .remove = edu_remove};
 *
 * Life of a device. Its finder embeds it in a struct of its own, fills it in, and registers it:
 * from then on the registry holds the finder's reference. States: registered, bound (a probe
 * returned 0), registered again (the driver was removed), gone (unregistered). `release` frees the
 * struct with the last reference, long after it is gone perhaps. A child holds a reference to its
 * parent; a bus and a driver are static and never go.
 *
 * Ownership. The finder: the struct, its resources, its ids. The driver, from probe to remove:
 * driver_data, interrupts, DMA memory, mappings of registers, children that it registered. A probe
 * that fails has given all that back. When remove returns, no handler, thread, timer or work of the
 * driver's runs, the device does no DMA, and the driver's children are unregistered.
 *
 * Files of a removed device. A driver whose operations are called by files, sockets or the layers
 * above passes them through its device's gate: device_enter counts the call in, or says that the
 * device is going (the operation then returns -ENODEV; poll says POLLERR | POLLHUP); remove starts
 * by waking those that sleep inside, and waits for all (device_gate_close). What the operations use
 * otherwise, queues and counts, belongs to the driver's own reference-counted struct and is freed
 * with the last file; an open file holds a reference to the device.
 *
 * Lock order: a device's lock (sleeping; RANK_OPS, order ORDER_DEVICE less its depth, so
 * parents come first) is held over probe and remove; below it come the locks of drivers, and all
 * lower ranks. devices_lock (spinlock) guards the lists and states and is never held across a call.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"
#include "sched/mutex.h"
#include "sync/refcount.h"

struct device;
struct driver;

/* A driver's sleeping locks at RANK_DRIVER have an order below 32. */
#define DEVICE_DEPTH_MAX 24

/* ---- what a driver matches ---- */

#define ID_ANY 0xffffffffU

/* Each bus says which fields it compares: PCI all but name; virtio vendor and device; the platform
 * bus name alone. */
struct device_id {
    u32 vendor, device;         /* or ID_ANY */
    u32 sub_vendor, sub_device; /* or ID_ANY */
    u32 class, class_mask;      /* those bits of the class are the same */
    const char *name;
    u64 data; /* the driver's own: a quirk, a variant */
};

/* ---- resources ---- */

enum resource_flags {
    RES_MEM = 1 << 0,
    RES_IO = 1 << 1,
    RES_IRQ = 1 << 2,      /* start: the ISA interrupt or, with RES_GSI, the global one */
    RES_GSI = 1 << 3,      /* of RES_IRQ */
    RES_PREFETCH = 1 << 4, /* of RES_MEM: reading has no effect, writes may combine */
    RES_64 = 1 << 5,       /* of RES_MEM: may lie above 4 GiB */
    RES_UNSET = 1 << 6,    /* has a size, but no place was found */
};
struct resource {
    u64 start, size; /* bytes or ports; size 0: there is none */
    u32 flags;
};

/* ---- buses ---- */

/* An attribute: a file of a device's directory in /sys. Either show (text into buf, at most size
 * bytes; how many) or read (binary: n bytes from offset; how many, 0 at the end). store and write
 * take n bytes (store's text is NUL-terminated); how many they took. `privileged`: who opened the
 * file may administer the machine. Each -errno. Context: may sleep; the device may be gone already.
 */
struct device_attr {
    const char *name;
    u32 mode; /* permission bits */
    ssize_t (*show)(struct device *dev, char *buf, size_t size);
    ssize_t (*store)(struct device *dev, const char *buf, size_t n, bool privileged);
    ssize_t (*read)(struct device *dev, void *buf, size_t n, u64 offset, bool privileged);
    ssize_t (*write)(struct device *dev, const void *buf, size_t n, u64 offset, bool privileged);
};

/* All constant. Registered by BUS(id) in a linker table. */
struct bus {
    const char *name; /* under /sys/bus */
    /* True when id means dev. Context: any; no lock is held. */
    bool (*match)(const struct device *dev, const struct device_id *id);
    /* Before the driver's probe and after its remove (or its failed probe): what the bus does for
     * every driver. May be NULL. Context: may sleep; dev->lock held. */
    int (*prepare)(struct device *dev);
    void (*finish)(struct device *dev);
    const struct device_attr *attrs; /* or NULL */
    unsigned nr_attrs;
    /* Text like "pci:v00008086d..." for modalias; how long, or -errno. May be NULL. */
    ssize_t (*modalias)(const struct device *dev, char *buf, size_t size);
    /* The number of the index-th message interrupt in use, and "msi" or "msix"; -ENOENT: no more.
     * May be NULL. Context: may sleep. */
    int (*irq_at)(struct device *dev, unsigned index, const char **kind);
    const char *dir; /* devices without a parent are below it in /sys/devices; NULL: at its top */
};
struct bus_entry {
    const struct bus *bus;
};
/* BUS(pci) = {&pci_bus}; */
#define BUS(id) TABLE_ENTRY(struct bus_entry, buses, #id)

/* ---- drivers ---- */

enum driver_flags {
    /* Probed inside device_register, at boot on the boot processor, before threads run: for what
     * boot itself needs, the console. Such a probe never sleeps. */
    DRIVER_EARLY = 1 << 0,
};

/* All constant. */
struct driver {
    const char *name;
    const struct bus *bus;
    const struct device_id *ids;
    unsigned nr_ids;
    u32 flags;
    /* 0; -ENODEV (not mine after all: other drivers are asked); -errno (logged; the device stays
     * without a driver). Context: may sleep; dev->lock held; beside the probes of other devices.
     * Never waits for another device (device_wait): that one's probe may wait for this thread. */
    int (*probe)(struct device *dev, const struct device_id *id);
    /* The device's children are unregistered and its gate is shut by then. Context: may sleep;
     * dev->lock held. Cannot fail. NULL: the driver cannot leave: device_unbind is refused, and its
     * device is never unregistered. */
    void (*remove)(struct device *dev);
};
#define DRIVER(id) TABLE_ENTRY(struct driver, drivers, #id)
#define DRIVER_IDS(a) .ids = (a), .nr_ids = ARRAY_SIZE(a)

/* ---- devices ---- */

enum device_state { DEVICE_NEW, DEVICE_REGISTERED, DEVICE_BOUND, DEVICE_GONE };

/* Counts calls into a driver, so that remove can wait for them. */
struct device_gate {
    u32 state; /* a  calls inside, and GATE_CLOSED */
    struct waitq waitq;
};

/* I set before device_register, then immutable · l devices_lock · m lock · a atomic
 * · d the bound driver's */
struct device {
    char name[32];              /* I  unique on its bus */
    const struct bus *bus;      /* I  NULL: a node of the tree only, never probed */
    const char *class;          /* I  "net", "block": shown in /sys/class; or NULL */
    struct device *parent;      /* I  holds a reference; NULL: at the top of /sys/devices */
    struct resource *resources; /* I  the finder's array */
    unsigned nr_resources;      /* I */
    void (*release)(struct device *dev); /* I  frees the struct around it */
    u64 dma_mask;                        /* d  highest address that the device reaches: dma.h */
    u32 dma_copies;                      /* a  mappings that are copies: dma.c */
    refcount_t ref;                      /* a */
    u64 serial;                          /* l  grows with each registration; never 0, never twice */
    u8 state;                            /* l  enum device_state */
    u8 depth;                            /* I  by device_register */
    bool queued;                         /* l  a probe is to come */
    int probe_error;                     /* l  of the last probe: 0, -ENODEV: no driver */
    struct mutex lock;                   /*    serialises probe and remove */
    const struct driver *driver;         /* m to write with l, l or m to read */
    void *driver_data;                   /* d */
    struct device_gate gate;             /*    opened before each probe */
    struct list_node all;                /* l  in registration order */
    struct list_node probe_node;         /* l */
};

/* Clears dev and gives it its first reference. */
void device_init(struct device *dev, const struct bus *bus, struct device *parent,
                 void (*release)(struct device *dev));
/* Makes dev known and has it probed. Takes the caller's reference, on success only. -EEXIST: the
 * bus has one of that name; -ELOOP: deeper than DEVICE_DEPTH_MAX; -ENODEV: the parent is going.
 * Context: may sleep once threads run; callable from probe and remove of the parent. */
int device_register(struct device *dev) __must_check;
/* Children first: each one's driver is removed, then it leaves its bus; at last the registry's
 * reference is dropped. Waits for a probe that runs. Once: a second call finds nothing to do.
 * Context: may sleep. Not from dev's own probe or remove. */
void device_unregister(struct device *dev);
/* All children of dev (of its driver's remove, say). */
void device_unregister_children(struct device *dev);

/* device_path.c: dev's directory, as a path below /sys: "devices/...". How long, or -ENAMETOOLONG.
 * And how many directories it is below /sys. */
int device_path(const struct device *dev, char *buf, size_t size);
unsigned device_path_depth(const struct device *dev);

static inline void device_get(struct device *dev)
{
    refcount_get(&dev->ref);
}
void device_put(struct device *dev);

/* Waits until no probe is queued or running, those included that are registered meanwhile. 0, or
 * -ETIMEDOUT at `deadline` (ns of time_ns(); 0: none). Context: may sleep; not from a probe. */
int device_settle(u64 deadline) __must_check;
/* Waits until the device of that name on that bus is bound; returns a reference, or ERR_PTR:
 * -ETIMEDOUT, or -ENODEV when all is settled and it is not there. Context as device_settle. */
struct device *device_wait(const struct bus *bus, const char *name, u64 deadline) __must_check;

/* A reference, or NULL. irq-safe. */
struct device *device_find(const struct bus *bus, const char *name);
/* The first registered after `serial` (0: from the start), as a reference; NULL: no more. For
 * listings: what comes and goes meanwhile is seen or not, nothing twice. */
struct device *device_next(u64 serial);
/* Some driver matches it; a probe may refuse it all the same. irq-safe. */
bool device_is_wanted(const struct device *dev);
/* Its driver's name, or NULL; a driver never goes. irq-safe. */
const struct driver *device_driver(struct device *dev);
bool device_is_bound(struct device *dev);

/* Takes the driver off dev (-EBUSY: it cannot leave) / asks the drivers again, at once, in this
 * thread: 0 or -ENODEV, or the probe's error. Context: may sleep. */
int device_unbind(struct device *dev) __must_check;
int device_bind(struct device *dev);

/* The index-th of the table (of the bus); NULL: no more. */
const struct bus *bus_at(unsigned index);
const struct driver *driver_at(const struct bus *bus, unsigned index);

/* False: the device is going; the caller returns -ENODEV. Else device_leave follows. Inside, the
 * driver is there and stays. irq-safe; a caller that sleeps inside holds remove up, so sleeps that
 * wait for the device end when device_gate_closed says so; the driver wakes them in remove. */
bool device_enter(struct device *dev) __must_check;
void device_leave(struct device *dev);
static inline bool device_gate_closed(const struct device *dev)
{
    return __atomic_load_n(&dev->gate.state, __ATOMIC_ACQUIRE) >> 31;
}
/* Of remove, when the gate lets no more in: waits until all have left. Context: may sleep. */
void device_gate_close(struct device *dev);

/* The index-th resource that has all of `flags`, or NULL. */
const struct resource *device_resource(const struct device *dev, u32 flags, unsigned index);

/* ---- the platform bus: what firmware, the board or the command line names ---- */

extern const struct bus platform_bus;
#define PLATFORM_NAME(n) \
    {                    \
        .name = (n)      \
    }
/* A device named "NAME.ID" (NAME alone for id -1) that drivers match by NAME; resources are copied.
 * 0 or -errno of device_register, -ENOMEM. */
int platform_add(const char *name, int id, const struct resource *resources,
                 unsigned nr_resources) __must_check;
/* The id that it was added with. */
int platform_id(const struct device *dev);
