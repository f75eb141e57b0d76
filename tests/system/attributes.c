/* SPDX-License-Identifier: MIT
 *
 * attributes PATH...: the extended attributes of each, a line each, values in hexadecimal.
 * attributes -s PATH NAME VALUE: sets one first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void show(const char *path)
{
    static char names[65536], value[65536];
    char *list[64];
    size_t count = 0;
    ssize_t n, total = listxattr(path, names, sizeof(names));

    if (total < 0)
        printf("%s: %s\n", path, strerror(errno));
    for (char *x = names; x < names + total && count < 64; x += strlen(x) + 1)
        list[count++] = x;
    qsort(list, count, sizeof(list[0]), by_name);
    for (size_t i = 0; i < count; i++) {
        n = getxattr(path, list[i], value, sizeof(value));
        printf("%s %s=", path, list[i]);
        for (ssize_t k = 0; k < n; k++)
            printf("%02x", (unsigned char)value[k]);
        printf("%s\n", n < 0 ? strerror(errno) : "");
    }
}

int main(int argc, char **argv)
{
    int at = 1;

    if (argc == 5 && strcmp(argv[1], "-s") == 0) {
        if (setxattr(argv[2], argv[3], argv[4], strlen(argv[4]), 0))
            printf("%s %s: %s\n", argv[2], argv[3], strerror(errno));
        argc = 3;
        at = 2;
    }
    for (; at < argc; at++)
        show(argv[at]);
    return 0;
}
