// SPDX-License-Identifier: MIT
// The container's file system, in the child's own mount namespace. All end the child on failure.
#pragma once

#include <stdbool.h>

#define ROOTFS_MTAB "/proc/mounts" /* what /etc/mtab leads to */

struct child;
struct shared_spec;

void child_mount(struct child *ch, const char *source, const char *target, const char *type,
                 unsigned long flags, const char *data);
/* Holds what is at container path `target` below the current directory, or makes it: a descriptor,
 * or -errno. *path, to be freed, leads there for mount(2) though others may change the names
 * meanwhile. */
int mount_target(struct child *ch, const char *target, bool dir, char **path);
/* Mounts at container path `target` below the current directory; makes what is missing. */
void mount_inside(struct child *ch, const char *source, const char *target, bool dir,
                  const char *type, unsigned long flags, const char *data);
/* Makes the mount at `path` read-only and leaves its other flags; at: AT_RECURSIVE, all below it
 * too. -1 with errno where the kernel has no such call. */
int mount_restrict(const char *path, unsigned at);
void mount_readonly(struct child *ch, const char *target); /* what mount_inside() put there */
/* A device node of the host, made at container path `target` below the current directory. */
void mount_device(struct child *ch, const char *host, const char *target);
void mounts_prepare(void); /* once, by the starter: asks what the kernel has */
/* /proc, /dev, /sys, then the container's own mounts and the files of `etc` (hostname, hosts,
 * resolv.conf), below the current directory, which is to become the root. What a container has in
 * the way of /dev and /sys gives way; in a first start, what an image has in the way of any of
 * them. */
void mounts_standard(struct child *ch, const char *etc);
void root_enter(struct child *ch, const char *dir); /* pivots; the old root is gone */
void mounts_finish(struct child *ch); /* masks, read-only paths and root, after the pivot */

/* Writes hostname, hosts and resolv.conf as a container sees them into the directory `dir`;
 * host_net: it is on the host's network, and hosts and servers are the host's. 0 or -errno. */
int etc_files_write(int dir, const struct shared_spec *shared, bool host_net);
