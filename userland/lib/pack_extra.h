// SPDX-License-Identifier: MIT
// Between the engine, which packs an image for a VM, and the guest's agent: the member with what
// cpio has no space for. Records, each a letter and strings that end with a zero byte:
//
//   L PATH TARGET               PATH is another name of the file TARGET
//   S PATH TEXT UID:GID         PATH is a symbolic link
//   X PATH NAME LENGTH bytes    an extended attribute
//   T PATH "SECONDS NANOS"      the time of the last change
//
// Paths are relative to the image's root. Times come last, or the others would change them.
#pragma once

#define PACK_EXTRA "/extra"
