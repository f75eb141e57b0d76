/* SPDX-License-Identifier: MIT
 *
 * The release that programs are told (uname(2)): Linux's, whose interfaces these are.
 */
#pragma once

#define UTS_RELEASE "6.1.0-bothy"
