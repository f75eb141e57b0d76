// SPDX-License-Identifier: MIT
// The bzip2 format as a byte source over another one. Streams may follow one another; block and
// stream checksums are verified. The state is one allocation of about 4 MiB, for any input.
#pragma once

#include "lib/source.h"

struct source *bzip2_new(struct source *from); /* borrows `from` */
