// SPDX-License-Identifier: MIT
// init's lines on the console.
#include "init/init.h"

#include <stdarg.h>
#include <stdio.h>

void init_log(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("init: ", stdout);
    vprintf(fmt, ap);
    putchar('\n');
    fflush(stdout);
    va_end(ap);
}
