// SPDX-License-Identifier: MIT
// A container's own mounts: volumes, tmpfs, and its files of /etc. All end the child on failure.
#pragma once

#include "runtime/child.h"

/* Mounts all of the container's mounts, and hostname, hosts and resolv.conf of the directory `etc`,
 * below the current directory: the shallow ones first, so that none hides another. */
void volumes_mount(struct child *ch, const char *etc);
