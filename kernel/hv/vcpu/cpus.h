/* SPDX-License-Identifier: MIT
 *
 * What the machine has to run guests with: the back end, and the CPUs that are enabled for it.
 */
#pragma once

#include "hv/vcpu/ops.h"

extern const struct hv_ops *hv_ops; /* NULL: this machine has none */
/* Guests may execute out of small nested entries only: on this CPU a large one that is made smaller
 * while a guest executes there can lead to a machine check that stops the host (CVE-2018-12207). */
extern bool hv_small_code;
/* Before the first VM is: makes hv_cpu_area of every CPU and fills hv_cpus. 0, -ENOMEM, or -EBUSY:
 * no CPU runs guests, and there will be no VMs. May sleep. */
int hv_cpus_enable(void);
/* For init: no further CPU will come up. The first VM waits for that. */
void hv_processors_up(void);
extern u64 hv_cpus;         /* those that run guests, a bit each */
extern void *hv_cpu_area[]; /* by CPU; zeroed, of hv_ops->cpu_pages, for good */
