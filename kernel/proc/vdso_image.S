/* SPDX-License-Identifier: MIT
 *
 * The pages of the vDSO as they are mapped: whole pages of the kernel's read-only data.
 */
.section .rodata.vdso, "a"
.balign 4096
.global vdso_image, vdso_image_end
vdso_image:
    .incbin "vdso.so"
    .balign 4096
vdso_image_end:
