/* SPDX-License-Identifier: MIT
 *
 * Errors inside pointers, for the few look-ups that return one object or a reason: the top 4095
 * addresses are -errno.
 */
#pragma once

#include "lib/errno.h"
#include "lib/types.h"

#define ERR_PTR(e) ((void *)(s64)(e))
#define PTR_ERR(p) ((int)(s64)(p))
#define IS_ERR(p) ((u64)(p) >= (u64)-4095)
