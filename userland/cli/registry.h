// SPDX-License-Identifier: MIT
// Images from registries, for the verbs that need one.
#pragma once

/* Pulls the image that a create request is for and that is absent, its progress on standard error:
 * 0, or 1 after having said why not. */
int registry_pull_for(const char *create, const char *platform);
