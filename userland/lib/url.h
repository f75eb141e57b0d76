// SPDX-License-Identifier: MIT
// http and https URLs: what a registry names, redirects to, or has its tokens from.
//
// Pure: foreign text becomes parts of bounded size that are safe to be sent on in a request, or is
// refused. No user names in URLs; a fragment is left out.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"

#define URL_TARGET_MAX 8192
#define URL_HOST_MAX 256
#define URL_AUTHORITY_MAX (URL_HOST_MAX + 10)

struct url {
    bool https;
    char host[URL_HOST_MAX]; /* small letters; an IPv6 address without its brackets */
    uint16_t port;
    char target[URL_TARGET_MAX]; /* path and query */
};

/* 0, or -EINVAL. *u is whole or untouched. */
int url_parse(struct url *u, const char *text);
/* What `text`, absolute or relative, means in an answer from `base`. 0 or -EINVAL. */
int url_resolve(struct url *u, const struct url *base, const char *text);
/* "host", "host:port" or "[address]:port": the scheme's own port is left out. */
void url_authority(const struct url *u, char out[URL_AUTHORITY_MAX]);
void url_write(struct buf *b, const struct url *u);
/* "localhost", and all names below it, with or without a last dot: this machine, whatever a name
 * server says (RFC 6761 6.3). */
bool url_host_is_localhost(const char *host);
/* Scheme, host and port: what credentials are for. */
bool url_same_origin(const struct url *a, const struct url *b);
