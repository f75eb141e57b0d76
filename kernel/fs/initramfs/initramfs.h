/* SPDX-License-Identifier: MIT
 *
 * The first files: cpio archives that the boot loader hands over.
 */
#pragma once

/* Unpacks every boot module into the root of mount_ns_init and gives the modules' memory back. A
 * module that is no archive, or breaks off, is logged and skipped from there. Context: a thread;
 * may sleep. */
void initramfs_unpack(void);
