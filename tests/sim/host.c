/* SPDX-License-Identifier: MIT
 *
 * Stands in for the layers above lib.
 */
#include "lib/log.h"

#include <stdio.h>
#include <stdlib.h>

void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}
