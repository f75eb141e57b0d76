// SPDX-License-Identifier: MIT
// Mount helpers of the child, shared by the runtimes. All end the child on failure.
#pragma once

#include <stdbool.h>

struct child;

void child_mount(struct child *ch, const char *source, const char *target, const char *type,
                 unsigned long flags, const char *data);
/* Mounts at container path `target` below the current directory; makes what is missing. */
void mount_inside(struct child *ch, const char *source, const char *target, bool dir,
                  const char *type, unsigned long flags, const char *data);
void root_enter(struct child *ch, const char *dir); /* pivots; the old root is gone */
void child_sysctls(struct child *ch);
