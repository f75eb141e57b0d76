// SPDX-License-Identifier: MIT
// Images from registries, for the verbs that need one.
#pragma once

#include <stdbool.h>

/* Pulls the image that a create request is for, its progress on standard error: 0, or 1 after
 * having said why not. `lacks`: it is absent, which is said. */
int registry_pull_for(const char *create, const char *platform, bool lacks);
