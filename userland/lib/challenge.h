// SPDX-License-Identifier: MIT
// WWW-Authenticate (RFC 9110, 11.6.1): how a registry wants to be asked. Pure.
//
// One header may hold several challenges, and there may be several headers: each is added to what
// those before it said. Of two of one scheme the first counts; schemes that are not known are
// skipped with their parameters.
#pragma once

#include <stdbool.h>

#define CHALLENGE_TEXT_MAX 2048

struct challenge {
    bool basic, bearer;
    char realm[CHALLENGE_TEXT_MAX]; /* the bearer's, like the rest: where tokens are given */
    char service[CHALLENGE_TEXT_MAX];
    char scope[CHALLENGE_TEXT_MAX];
};

/* Adds one header's value: 0, or -EINVAL with what was understood before the fault. */
int challenge_add(struct challenge *c, const char *value);
