/* SPDX-License-Identifier: MIT
 *
 * What the tests of vfs and of file systems share (vfs_names.c).
 */
#pragma once

#include "vfs/vfs.h"

void vfs_test_ctx(struct walk_ctx *ctx);
int vfs_test_mount(struct walk_ctx *ctx, const char *where, const char *type, const char *options);
int vfs_test_umount(struct walk_ctx *ctx, const char *where);
int vfs_test_write(struct walk_ctx *ctx, const char *name, const char *text);
bool vfs_test_reads(struct walk_ctx *ctx, const char *name, const char *text);
int vfs_test_stat(struct walk_ctx *ctx, const char *name, struct kstat *st);
/* The names in a directory but the dots, each followed by a blank. */
int vfs_test_list(struct walk_ctx *ctx, const char *name, char *buf, size_t size);
