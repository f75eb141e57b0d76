// SPDX-License-Identifier: MIT
// The words of the kernel's command line.
#include "init/init.h"

#include <string.h>

#include "lib/str.h"

static struct buf boot_line; /* words ended by NULs */

void boot_line_read(void)
{
    if (file_read("/proc/cmdline", 65536, &boot_line)) {
        buf_clear(&boot_line);
        return;
    }
    for (size_t i = 0; i < boot_line.len; i++)
        if (strchr(" \t\n", boot_line.data[i]))
            boot_line.data[i] = 0;
}

const char *boot_option(const char *key, const char *after)
{
    size_t n = strlen(key), at = 0;

    if (after)
        at = (size_t)(after - boot_line.data) + strlen(after) + 1;
    for (; at < boot_line.len; at += strlen(boot_line.data + at) + 1)
        if (!strncmp(boot_line.data + at, key, n) && boot_line.data[at + n] == '=')
            return boot_line.data + at + n + 1;
    return NULL;
}
