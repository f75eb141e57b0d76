/* SPDX-License-Identifier: MIT
 *
 * Shared between the files that keep namespace sets.
 */
#pragma once

#include "proc/nsset.h"

struct nsset *nsset_clone(struct nsset *from) __must_check; /* one's own, with the same members */
void nsset_install(struct nsset *ns); /* publishes current's new set; takes ns */

void uts_ns_put(struct uts_ns *ns);
void time_ns_put(struct time_ns *ns);
