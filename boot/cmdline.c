/* SPDX-License-Identifier: MIT
 *
 * The command line as the loader gave it, and its words. Pure: also builds on the host.
 */
#include "boot/boot.h"
#include "lib/string.h"

void boot_set_cmdline(const char *cmdline)
{
    char *end;

    if (strlcpy(boot_info.cmdline, cmdline, sizeof(boot_info.cmdline)) < sizeof(boot_info.cmdline))
        return;
    boot_info.cmdline_cut = true;
    /* half a word may mean another thing: to whom something is open, say */
    end = strrchr(boot_info.cmdline, ' ');
    *(end ? end : boot_info.cmdline) = 0;
}

/* Finds `key` as a word of the command line. */
const char *boot_option(const char *key, size_t *len)
{
    size_t n = strlen(key);
    const char *p = boot_info.cmdline;

    while (*p) {
        const char *end = strchr(p, ' ');

        end = end ? end : p + strlen(p);
        if ((size_t)(end - p) >= n && memcmp(p, key, n) == 0 && (p[n] == '=' || p + n == end)) {
            p += n + (p[n] == '=' && p + n < end);
            *len = (size_t)(end - p);
            return p;
        }
        p = *end ? end + 1 : end;
    }
    return NULL;
}

bool boot_option_is(const char *key, const char *value)
{
    size_t len;
    const char *p = boot_option(key, &len);

    return p && strlen(value) == len && memcmp(p, value, len) == 0;
}
