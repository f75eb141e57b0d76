// SPDX-License-Identifier: MIT
// The limits of a container: what may be asked for, in Docker's words. The same for a create and
// for an update.
#include <stdlib.h>
#include <unistd.h>

#include "engine/engine.h"
#include "lib/str.h"

#define LIMIT_BYTES_MAX (1ll << 60)
#define LIMIT_MEMORY_MIN (6ll << 20)
#define LIMIT_CPU 1000000000ll
#define LIMIT_CPUS_MAX 1024

static char *limits_judge_memory(const struct limits *l)
{
    if (l->memory < 0 || (l->memory && l->memory < LIMIT_MEMORY_MIN))
        return str_dup("Minimum memory limit allowed is 6MB");
    if (l->memory > LIMIT_BYTES_MAX || l->memory_swap > LIMIT_BYTES_MAX)
        return str_dup("invalid memory limit: larger than any machine's memory");
    if (l->memory_swap < -1)
        return str_dup("invalid memory and swap limit");
    if (l->memory_swap > 0 && !l->memory)
        return str_dup("You should always set the Memory limit when using Memoryswap limit, see "
                       "usage");
    if (l->memory_swap > 0 && l->memory_swap < l->memory)
        return str_dup("Minimum memoryswap limit should be larger than memory limit, see usage");
    return NULL;
}

static char *limits_judge_cpu(struct limits *l)
{
    if (l->nano_cpus < 0 || l->nano_cpus > LIMIT_CPUS_MAX * LIMIT_CPU ||
        (l->nano_cpus && l->nano_cpus < LIMIT_CPU / 100))
        return str_fmt("Range of CPUs is from 0.01 to %d.00", LIMIT_CPUS_MAX);
    if (l->nano_cpus && (l->cpu_period || l->cpu_quota))
        return str_fmt("Conflicting options: Nano CPUs and CPU %s cannot both be set",
                       l->cpu_period ? "Period" : "Quota");
    if (l->cpu_period && (l->cpu_period < 1000 || l->cpu_period > 1000000))
        return str_dup(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. "
            "1000000)");
    if (l->cpu_quota < -1 || (l->cpu_quota > 0 && l->cpu_quota < 1000) ||
        l->cpu_quota > LIMIT_BYTES_MAX)
        return str_dup("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    if (l->cpu_shares < 0)
        return str_fmt("invalid CPU shares (%lld): value must be a positive integer",
                       (long long)l->cpu_shares);
    if (l->cpu_shares && l->cpu_shares < 2)
        l->cpu_shares = 2;
    if (l->cpu_shares > 262144)
        l->cpu_shares = 262144;
    return NULL;
}

char *limits_judge(struct limits *l)
{
    char *why = limits_judge_memory(l);

    why = why ? why : limits_judge_cpu(l);
    if (!why && l->pids > INT32_MAX)
        why = str_dup("invalid PID limit");
    return why;
}

void limits_read(struct limits *l, const struct json *host)
{
    l->memory = json_int(host, "Memory", 0);
    l->memory_swap = json_int(host, "MemorySwap", 0);
    l->nano_cpus = json_int(host, "NanoCpus", 0);
    l->cpu_shares = json_int(host, "CpuShares", 0);
    l->cpu_quota = json_int(host, "CpuQuota", 0);
    l->cpu_period = json_int(host, "CpuPeriod", 0);
    l->pids = json_int(host, "PidsLimit", 0);
}
