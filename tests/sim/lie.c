/* SPDX-License-Identifier: MIT
 */
#include "sim.h"

bool sim_lie(u64 seed)
{
    return true;
}
