// SPDX-License-Identifier: MIT
// The limits of a container: what may be asked for, in Docker's words. The same for a create and
// for an update.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    if (l->reservation < 0 || (l->reservation && l->reservation < LIMIT_MEMORY_MIN))
        return str_dup("Minimum memory reservation allowed is 6MB");
    if (l->reservation > LIMIT_BYTES_MAX)
        return str_dup("invalid memory reservation: larger than any machine's memory");
    if (l->memory && l->reservation > l->memory)
        return str_dup("Minimum memory limit can not be less than memory reservation limit, see "
                       "usage");
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

/* ---- lists of processors and memory nodes ---------------------------------------------------- */

/* "3" or "3-5", and what follows its comma: NULL when it is none. */
static const char *cpuset_range(const char *s, unsigned long *first, unsigned long *last)
{
    char *end;

    if (*s < '0' || *s > '9')
        return NULL;
    *first = *last = strtoul(s, &end, 10);
    if (*end == '-') {
        s = end + 1;
        if (*s < '0' || *s > '9')
            return NULL;
        *last = strtoul(s, &end, 10);
    }
    if (*last < *first || (*end && (*end != ',' || !end[1])))
        return NULL;
    return end + (*end == ',');
}

static bool cpuset_has(const char *list, unsigned long n)
{
    unsigned long first, last;

    while (*list && (list = cpuset_range(list, &first, &last)))
        if (n >= first && n <= last)
            return true;
    return false;
}

/* NULL, or what is wrong with a list, in Docker's words. */
static char *limits_judge_cpuset(const char *list, bool mems)
{
    char there[CPUSET_MAX];
    unsigned long first, last;

    if (!*list)
        return NULL;
    cgroup_available(mems, there, sizeof(there));
    for (const char *at = list; *at;) {
        at = cpuset_range(at, &first, &last);
        if (!at)
            return str_fmt("Invalid value %s for cpuset %s", list, mems ? "mems" : "cpus");
        for (unsigned long n = first; n <= last; n++)
            if (!cpuset_has(there, n))
                return str_fmt("Requested %s are not available - requested %s, available: %s",
                               mems ? "memory nodes" : "CPUs", list, there);
    }
    return NULL;
}

char *limits_judge(struct limits *l)
{
    char *why = limits_judge_memory(l);

    why = why ? why : limits_judge_cpu(l);
    why = why ? why : limits_judge_cpuset(l->cpus, false);
    why = why ? why : limits_judge_cpuset(l->mems, true);
    if (!why && l->pids > INT32_MAX)
        why = str_dup("invalid PID limit");
    return why;
}

/* ---- as clients name them -------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t at;
} limit_numbers[] =
    {
        {"Memory", offsetof(struct limits, memory)},
        {"MemorySwap", offsetof(struct limits, memory_swap)},
        {"MemoryReservation", offsetof(struct limits, reservation)},
        {"NanoCpus", offsetof(struct limits, nano_cpus)},
        {"CpuShares", offsetof(struct limits, cpu_shares)},
        {"CpuQuota", offsetof(struct limits, cpu_quota)},
        {"CpuPeriod", offsetof(struct limits, cpu_period)},
        {"PidsLimit", offsetof(struct limits, pids)},
},
  limit_lists[] = {
      {"CpusetCpus", offsetof(struct limits, cpus)},
      {"CpusetMems", offsetof(struct limits, mems)},
};

#define LIMIT_NUMBERS (sizeof(limit_numbers) / sizeof(limit_numbers[0]))
#define LIMIT_LISTS (sizeof(limit_lists) / sizeof(limit_lists[0]))

char *limits_read(struct limits *l, const struct json *host)
{
    for (size_t i = 0; i < LIMIT_NUMBERS; i++) {
        int64_t v = json_int(host, limit_numbers[i].name, 0);

        if (v)
            *(int64_t *)((char *)l + limit_numbers[i].at) = v;
    }
    for (size_t i = 0; i < LIMIT_LISTS; i++) {
        const char *text = json_str(host, limit_lists[i].name);

        if (text && strlen(text) >= CPUSET_MAX)
            return str_fmt("invalid %s: too long", limit_lists[i].name);
        if (text && *text)
            snprintf((char *)l + limit_lists[i].at, CPUSET_MAX, "%s", text);
    }
    return NULL;
}

bool limits_any(const struct limits *l)
{
    return l->memory || l->reservation || l->nano_cpus || l->cpu_quota || l->cpu_shares ||
           l->pids > 0 || *l->cpus || *l->mems;
}

bool limits_name(const char *key)
{
    for (size_t i = 0; i < LIMIT_NUMBERS; i++)
        if (!strcmp(limit_numbers[i].name, key))
            return true;
    return !strcmp(limit_lists[0].name, key) || !strcmp(limit_lists[1].name, key);
}

void limits_write_set(struct jw *w, const struct limits *l)
{
    for (size_t i = 0; i < LIMIT_NUMBERS; i++) {
        int64_t value = *(const int64_t *)((const char *)l + limit_numbers[i].at);

        if (value)
            jw_int(w, limit_numbers[i].name, value);
    }
    for (size_t i = 0; i < LIMIT_LISTS; i++) {
        const char *list = (const char *)l + limit_lists[i].at;

        if (*list)
            jw_str(w, limit_lists[i].name, list);
    }
}

void limits_write(struct jw *w, const struct limits *l)
{
    for (size_t i = 0; i < LIMIT_NUMBERS; i++)
        jw_int(w, limit_numbers[i].name, *(const int64_t *)((const char *)l + limit_numbers[i].at));
    for (size_t i = 0; i < LIMIT_LISTS; i++)
        jw_str(w, limit_lists[i].name, (const char *)l + limit_lists[i].at);
}
