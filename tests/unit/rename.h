/* SPDX-License-Identifier: MIT
 *
 * Forced before lib's string and format code, and their tests, so that both meet the C library's.
 */
#pragma once

#define memcpy unit_memcpy
#define memmove unit_memmove
#define memset unit_memset
#define memcmp unit_memcmp
#define memchr unit_memchr
#define strlen unit_strlen
#define strnlen unit_strnlen
#define strcmp unit_strcmp
#define strncmp unit_strncmp
#define strchr unit_strchr
#define strrchr unit_strrchr
#define strstr unit_strstr
#define snprintf unit_snprintf
#define vsnprintf unit_vsnprintf
