/* SPDX-License-Identifier: MIT
 */
#include "sim.h"

u32 sim_scripts(const char *folder, const char *pattern, u32 *passed)
{
    return 0;
}
