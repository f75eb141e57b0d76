/* SPDX-License-Identifier: MIT
 *
 * The conversation with whoever started a container's VM (`--report FD`): one sentence when the
 * application could not be started, or else the byte 1 when it runs, and then the byte 2 when the
 * guest killed something of it for want of memory. Any thread.
 */
#pragma once

#include <stdbool.h>

void report_init(int fd);
void report_started(void);
void report_oom(void);
/* True when the sentence was taken: there is somebody to tell, and the application never ran. */
bool report_error(const char *sentence);
