/* SPDX-License-Identifier: MIT
 *
 * Per-CPU data, which the layers above sync take from here.
 */
#pragma once
#include "arch/x86/percpu.h"
