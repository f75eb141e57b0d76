// SPDX-License-Identifier: MIT
// What the writer of a container's log (log.c) asks of its readers (log_read.c).
#pragma once

#include "engine/engine.h"

void log_followers_file(struct container *c); /* there is a new file: a rotation */
void log_wake(struct container *c);           /* there are new lines */
/* What a stream has said behind its last newline. */
const struct buf *log_rest(struct container *c, int stream);
