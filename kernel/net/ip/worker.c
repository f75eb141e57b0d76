/* SPDX-License-Identifier: MIT
 *
 * The worker for what is due at a time in the namespaces' configurations and tables of neighbours.
 */
#include "lib/log.h"
#include "net/ip/ip_priv.h"

struct workq *ip_worker;

static void worker_boot(void)
{
    ip_worker = workq_create("ip");
    if (!ip_worker)
        panic("no memory for the worker of IP");
}
INIT_HOOK(worker_boot, INIT_DEV);
