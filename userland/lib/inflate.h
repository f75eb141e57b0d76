// SPDX-License-Identifier: MIT
// Gunzip: RFC 1951 (deflate) in RFC 1952 (gzip) members, as a byte source over another one.
//
// Hostile input gives -EINVAL with a sentence in src.why, never more memory: the state is one
// fixed allocation of about 100 KiB. Checksums and lengths are verified, and so is that nothing
// but further members, or zeros, follows.
#pragma once

#include "lib/source.h"

struct source *inflate_new(struct source *from); /* borrows `from` */
