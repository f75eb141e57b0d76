// SPDX-License-Identifier: MIT
// The credentials of a worker's order: one line of its input, which stays a text in a place of its
// own until a process that talks to the registry looks into it. What is forked off for other work
// forgets it (registry_secret_forget), and then has it nowhere: it was never copied.
#include <errno.h>
#include <string.h>

#include "engine/registry.h"
#include "lib/str.h"

#define SECRET_MAX (128u * 1024) /* what REGISTRY_AUTH_MAX may become when it is written anew */

static struct {
    char text[SECRET_MAX];
    struct json *auth; /* of that; NULL until it is asked for, and when there is none */
} secret;

int registry_secret_read(int fd)
{
    int n = fd_line(fd, secret.text, sizeof(secret.text));

    return n > 0 ? 0 : n ? n : -EPROTO;
}

const struct json *registry_secret(void)
{
    if (!secret.auth && *secret.text)
        secret.auth = json_parse(secret.text, strlen(secret.text), NULL);
    return secret.auth;
}

void registry_secret_forget(void)
{
    explicit_bzero(secret.text, sizeof(secret.text));
}
