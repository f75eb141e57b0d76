/* SPDX-License-Identifier: MIT
 *
 * Brings vfs up: caches, trees, and the root file system.
 */
#include "lib/log.h"
#include "vfs/vfs_priv.h"

static void vfs_init(void)
{
    dentry_init();
    inode_init();
    inode_cache_init();
    super_init();
    super_device_init();
    mount_calls_init();
    pseudo_init();
    mount_init();
    anon_init();
}
INIT_HOOK(vfs_init, INIT_VFS);
