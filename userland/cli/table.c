// SPDX-License-Identifier: MIT
// Columns, sizes and ages, as Docker prints them.
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/str.h"

void table_cell(struct table *t, char *text)
{
    if (t->cells % 64 == 0)
        t->cell = mem_resize(t->cell, sizeof(char *) * (t->cells + 64));
    t->cell[t->cells++] = text;
}

/* Characters, not bytes: continuation bytes of UTF-8 take no space. */
static size_t table_width(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void table_print(struct table *t)
{
    size_t width[TABLE_COLUMNS] = {0};

    for (size_t i = 0; i < t->cells; i++) {
        size_t *w = &width[i % t->columns], n = table_width(t->cell[i]) + 3;

        *w = n > *w ? n : *w;
        *w = *w < 10 ? 10 : *w;
    }
    for (size_t i = 0; i < t->cells; i++) {
        bool last = i % t->columns == t->columns - 1;
        size_t n = table_width(t->cell[i]);

        printf("%s%*s", t->cell[i], last ? 0 : (int)(width[i % t->columns] - n), "");
        if (last)
            putchar('\n');
        free(t->cell[i]);
    }
    free(t->cell);
    *t = (struct table){0};
}

char *human_size(double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    size_t i = 0;

    while (bytes >= 1000 && i < 5) {
        bytes /= 1000;
        i++;
    }
    return str_fmt("%.3g%s", bytes, units[i]);
}

char *human_ago(long long epoch)
{
    char span[64];

    time_span(span, sizeof(span), time(NULL) - epoch);
    return str_fmt("%s ago", span);
}
