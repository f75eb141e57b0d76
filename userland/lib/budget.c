// SPDX-License-Identifier: MIT
// What may still be written; see budget.h.
#include "lib/budget.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BUDGET_LOOK (4u << 20) /* bytes between two looks */
#define BUDGET_TMPFS 0x01021994
#define BUDGET_RAMFS 0x858458f6

/* A value of /proc/meminfo in bytes; 0 when it is not there. */
static uint64_t meminfo_value(const char *text, const char *name)
{
    const char *p = strstr(text, name);

    return p ? strtoull(p + strlen(name), NULL, 10) * 1024 : 0;
}

/* Memory beyond the reserve; no bound where it cannot be seen. */
static uint64_t budget_memory(const struct budget *b)
{
    char text[4096];
    ssize_t n = b->meminfo < 0 ? 0 : pread(b->meminfo, text, sizeof(text) - 1, 0);
    uint64_t free_bytes, reserve;

    if (n <= 0)
        return UINT64_MAX;
    text[n] = 0;
    free_bytes = meminfo_value(text, "MemAvailable:");
    reserve = meminfo_value(text, "MemTotal:") / 8;
    return free_bytes > reserve ? free_bytes - reserve : 0;
}

static uint64_t budget_now(const struct budget *b)
{
    struct statfs fs;
    uint64_t left, memory;

    if (fstatfs(b->dir, &fs) < 0)
        return 0;
    left = fs.f_blocks ? (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize : UINT64_MAX;
    if (fs.f_type != BUDGET_TMPFS && (uint32_t)fs.f_type != BUDGET_RAMFS)
        return left;
    memory = budget_memory(b);
    return memory < left ? memory : left;
}

void budget_open(struct budget *b, int dir)
{
    *b = (struct budget){.dir = dir, .meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC)};
    b->left = b->first = budget_now(b);
}

void budget_close(struct budget *b)
{
    if (b->meminfo >= 0)
        close(b->meminfo);
    b->meminfo = -1;
}

void budget_give(struct budget *b, uint64_t bytes)
{
    b->left += bytes < UINT64_MAX - b->left ? bytes : UINT64_MAX - b->left;
    b->first += bytes < UINT64_MAX - b->first ? bytes : UINT64_MAX - b->first;
}

void budget_return(struct budget *b, uint64_t bytes)
{
    b->left += bytes < UINT64_MAX - b->left ? bytes : UINT64_MAX - b->left;
}

bool budget_take(struct budget *b, uint64_t bytes)
{
    if (b->unchecked >= BUDGET_LOOK) {
        uint64_t now = budget_now(b);

        b->left = now < b->left ? now : b->left;
        b->unchecked = 0;
    }
    if (bytes > b->left)
        return false;
    b->left -= bytes;
    b->unchecked += bytes;
    return true;
}
