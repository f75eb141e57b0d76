// SPDX-License-Identifier: MIT
// Between a container's pipe and its log: what has been read of a pipe is in a file, never in the
// engine's memory alone, so that an engine that is killed loses no byte and logs none twice.
//
// One piece at a time: it moves from the pipe to the end of <root>/spool in one system call, and
// from there to the log. <root>/spool.mark, mapped, says how far that has come; the next engine
// takes the log back to what the mark says and goes on from there. A line without its end lies in
// containers/<id>/partial1 and partial2 (log.c).
//
// A terminal cannot be moved from so: of what it says, a piece that is being read at that moment
// may be lost.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct container;

/* The piece under way, or the last one. */
struct spool_mark {
    char id[64];
    uint32_t busy, stream; /* stream 1 or 2 */
    uint64_t from;         /* where it begins in the spool */
    uint64_t done;         /* bytes of it that are in the log */
    uint64_t partial;      /* bytes of the stream's partial line that come before the rest */
    uint64_t log, inode;   /* the log's size and file with that */
};

/* What the last engine has left of it; then, when this one serves, it is there. 0 or -errno. */
int spool_open(void);
int spool_opened(void);
/* Whether the last engine was about something, which is *m then. *data is what is left of the
 * piece, to be freed. */
bool spool_left(struct spool_mark *m, char **data, size_t *len);
/* A new mark, whole or not at all: with `done` 0 before a piece is read. */
void spool_set(const struct spool_mark *m);
void spool_over(void); /* the piece is in the log, or in partial lines */
/* Moves up to `size` bytes from `fd` to the spool and into `data`: how many, 0 at the end,
 * -EAGAIN. */
ssize_t spool_read(int fd, void *data, size_t size);
uint64_t spool_end(void); /* where the next piece begins */
