// SPDX-License-Identifier: MIT
// The worker of short questions: `registry DIR`. With a repository in its order it says what a
// reference's manifest is; without one, whether the credentials are good.
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"
#include "engine/pull.h"
#include "lib/str.h"

static void ask_answer_begin(struct jw *w)
{
    jw_object(w, NULL);
    jw_object(w, "answer");
}

static void ask_answer_end(struct jw *w)
{
    jw_object_end(w);
    jw_object_end(w);
    registry_say(w->out);
}

/* The last endpoint is the registry itself. */
static void ask_login(void)
{
    const struct registry_order *o = &registry_order_read;
    const struct json *e = o->endpoints;
    struct registry r;
    struct buf b = {0};
    struct jw w = {.out = &b};
    int status;

    while (e->next)
        e = e->next;
    registry_open(&r, json_str(e, "Url"), NULL, true);
    status = registry_request(&r, "GET", "/v2/", NULL);
    if (status < 0 && !strcmp(r.code, "UNAUTHORIZED"))
        registry_fail(401, "login attempt to %s/v2/ failed with status: 401 Unauthorized",
                      json_str(e, "Url"));
    if (status < 0)
        registry_fail(500, "%s", r.why);
    ask_answer_begin(&w);
    jw_str(&w, "Status", "Login Succeeded");
    jw_str(&w, "IdentityToken", "");
    ask_answer_end(&w);
}

static void ask_platform(struct jw *w, const char *arch, const char *os, const char *variant)
{
    jw_object(w, NULL);
    jw_str(w, "architecture", arch);
    jw_str(w, "os", os);
    if (variant && *variant)
        jw_str(w, "variant", variant);
    jw_object_end(w);
}

static void ask_platforms(struct jw *w, const struct json *manifest)
{
    jw_array(w, "Platforms");
    for (const struct json *d = json_list(manifest, "manifests"); d; d = d->next) {
        const struct json *p = json_get(d, "platform");

        if (p)
            ask_platform(w, json_str(p, "architecture"), json_str(p, "os"), json_str(p, "variant"));
    }
    if (!json_get(manifest, "manifests"))
        ask_platform(w, "amd64", "linux", NULL);
    jw_array_end(w);
}

static void ask_manifest(void)
{
    struct pull_from from = {.endpoint = registry_order_read.endpoints, .asker = -1};
    struct pull_top top;
    struct buf b = {0};
    struct jw w = {.out = &b};

    pull_open(&from);
    pull_find_top(&from,
                  registry_order_read.digest ? registry_order_read.digest : registry_order_read.tag,
                  &top);
    ask_answer_begin(&w);
    jw_object(&w, "Descriptor");
    jw_str(&w, "mediaType", top.type);
    jw_fmt(&w, "digest", "sha256:%s", top.digest);
    jw_int(&w, "size", (int64_t)top.size);
    jw_object_end(&w);
    ask_platforms(&w, top.json);
    ask_answer_end(&w);
}

int worker_registry(char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    registry_begin(argv[0], REGISTRY_ASKS);
    if (registry_order_read.path)
        ask_manifest();
    else
        ask_login();
    return 0;
}
