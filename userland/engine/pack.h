// SPDX-License-Identifier: MIT
// Packing an image's merged tree for a guest.
#pragma once

struct image;

/* What a packer that was killed leaves beside `out`: a file and an empty directory, so named. */
#define PACK_HALF ".new"
#define PACK_SCRATCH ".root"

/* Writes `agent` (a newc cpio archive) and behind it the image's tree below "rootfs/" to `out`,
 * which appears complete or not at all. NULL or a sentence. */
char *pack_image(struct image *img, const char *agent, const char *out);
