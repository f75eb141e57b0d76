/* SPDX-License-Identifier: MIT
 *
 * What vm asks of the layers above.
 */
#pragma once

#include "lib/types.h"

struct account;
struct file;

/* The account's limit stands in the way and reclaim found nothing: choose and kill the one that
 * suffers (container/). True when something was or will be freed: try again. Context: may sleep. */
bool up_oom(struct account *account);
/* Reference counting of area->file (kernel/obj). */
void up_file_get(struct file *file);
void up_file_put(struct file *file);
