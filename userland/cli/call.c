// SPDX-License-Identifier: MIT
// Calls to the engine that all verbs share.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/str.h"

static const char *cli_socket = "/run/docker.sock";

void cli_connect(struct client *c)
{
    int err = client_connect(c, cli_socket);

    if (!err)
        return;
    fprintf(stderr, "Cannot connect to the engine at unix://%s: %s. Is it running?\n", cli_socket,
            strerror(-err));
    exit(1);
}

int cli_call(const char *method, const char *path, const char *json, struct buf *out)
{
    struct client c;
    struct buf waste = {0};
    int status;

    cli_connect(&c);
    status = client_call(&c, method, path, json, out ? out : &waste);
    client_close(&c);
    buf_free(&waste);
    if (status < 0) {
        fprintf(stderr, "error during connect: %s %s: %s\n", method, path, strerror(-status));
        exit(1);
    }
    return status;
}

bool cli_ended(ssize_t n)
{
    if (n == 0)
        return true;
    fprintf(stderr, "bothy: lost the engine in the midst of its answer: %s\n", strerror((int)-n));
    return false;
}

const char *cli_message(const struct buf *answer)
{
    static char text[2048];
    struct json *j = json_parse(answer->data ? answer->data : "", answer->len, NULL);
    const char *message = json_str(j, "message");

    snprintf(text, sizeof(text), "%s",
             message       ? message
             : answer->len ? answer->data
                           : "no message");
    text[strcspn(text, "\n")] = 0;
    json_free(j);
    return text;
}

void cli_error(const struct buf *answer)
{
    fprintf(stderr, "Error response from daemon: %s\n", cli_message(answer));
}

struct json *cli_json(const struct buf *answer)
{
    const char *why;
    struct json *j = json_parse(answer->data ? answer->data : "", answer->len, &why);

    if (j)
        return j;
    fprintf(stderr, "bad answer from the engine: %s\n", why);
    exit(1);
}

char *cli_path(const char *fmt, ...)
{
    va_list ap;
    char *s = NULL;

    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0)
        exit(1);
    va_end(ap);
    return s;
}

char *cli_encode(const char *s)
{
    struct buf b = {0};

    url_encode(&b, s);
    return buf_take(&b);
}

void cli_host(const char *host)
{
    if (!str_starts(host, "unix://"))
        cli_usage("bothy: only unix:// hosts are supported: %s", host);
    cli_socket = host + 7;
}
