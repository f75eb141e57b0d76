/* SPDX-License-Identifier: MIT */
#pragma once
#include "arch/x86/percpu.h"
