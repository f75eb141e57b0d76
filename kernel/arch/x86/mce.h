/* SPDX-License-Identifier: MIT
 *
 * Machine checks: the hardware's reports of its own errors.
 */
#pragma once

/* Each CPU, once exceptions can be taken: errors of the hardware are reported from here on. */
void mce_init_cpu(void);
