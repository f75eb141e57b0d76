// SPDX-License-Identifier: MIT
// Which devices a container's processes may use: Docker's list, as a device filter (bpf(2)) on
// their control group. Without one, a process that may make device nodes may use any device.
#pragma once

#include <stdint.h>

#define DEVICE_ANY UINT32_MAX

struct device_rule {
    unsigned type;         // DEVICE_CHAR, DEVICE_BLOCK
    uint32_t major, minor; // DEVICE_ANY
    unsigned access;       // DEVICE_MKNOD | DEVICE_READ | DEVICE_WRITE
};

// Loads the filter of Docker's list, which is kept for all that ask for nothing more. 0 or -errno:
// -ENOSYS, -EINVAL and -EPERM from a kernel that has no such filters.
int devices_prepare(void);

// Lets the control group behind the directory `cgroup` use Docker's list and `more`. 0 or -errno.
int devices_confine(int cgroup, const struct device_rule *more, int n);
