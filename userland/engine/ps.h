// SPDX-License-Identifier: MIT
// What `ps` would show of a process: which columns its options mean, and what stands in them. Pure:
// of a process it is told what /proc says.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/buf.h"

#define PS_ARGS_MAX 1024 /* bytes of its options */
#define PS_COLUMNS_MAX 32

struct ps_column {
    const struct ps_field *field;
    char *title; /* as it was asked for, or NULL: the field's */
};

struct ps_list {
    struct ps_column column[PS_COLUMNS_MAX];
    size_t n;
};

/* What no process says of itself. */
struct ps_machine {
    int64_t now, boot; /* seconds since 1970 */
    long hertz;        /* of its ticks */
    uint64_t memory;   /* KiB */
};

struct ps_process {
    int64_t pid, parent, group, session, terminal, foreground, priority, nice, threads, cpu;
    uint64_t ticks; /* of the processor */
    uint64_t start; /* in ticks since the boot */
    uint64_t bytes, pages;
    uint32_t uid, gid;
    char state;
    char comm[64];
    const char *args; /* NULL: it has none, as kernel threads and those that have ended */
};

/* Columns for options as in "-ef", "aux", "-eo pid,user,args". NULL, or what is wrong with them; to
 * be freed. *list is to be freed whatever comes of it. Which processes are meant is not up to
 * them: those of the container. */
char *ps_list_parse(struct ps_list *list, const char *args);
void ps_list_free(struct ps_list *list);
const char *ps_title(const struct ps_column *c);

/* Reads the text of /proc/PID/stat and, for its user, of /proc/PID/status. False when that is no
 * such text. */
bool ps_process_parse(struct ps_process *p, const char *stat, const char *status);
/* Appends what stands in that column. */
void ps_cell(struct buf *out, const struct ps_column *c, const struct ps_process *p,
             const struct ps_machine *m);
