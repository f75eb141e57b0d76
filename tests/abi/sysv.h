/* SPDX-License-Identifier: MIT
 *
 * For tests of System V's objects.
 */
#pragma once

#include "abi.h"

#include <sys/ipc.h>

/* A namespace of one's own: what a test leaves is gone with it. */
static inline void own_ipc(void)
{
    EXPECT(unshare(CLONE_NEWIPC) == 0);
}
