// SPDX-License-Identifier: MIT
// Networks; see network.h.
#include "engine/network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/store.h"
#include "lib/str.h"

#define NETWORK_FORMAT 1

static struct network networks[] = {
    {.name = "bridge", .driver = "bridge", .internal = true},
    {.name = "host", .driver = "host"},
    {.name = "none", .driver = "null", .internal = true},
};

#define NETWORKS (sizeof(networks) / sizeof(networks[0]))

struct network *network_first(void)
{
    return &networks[0];
}

struct network *network_find(const char *name)
{
    struct network *found = NULL;

    for (size_t i = 0; i < NETWORKS; i++)
        if (!strcmp(networks[i].name, name) || !strcmp(networks[i].id, name))
            return &networks[i];
    for (size_t i = 0; i < NETWORKS; i++) {
        if (!*name || !str_starts(networks[i].id, name))
            continue;
        if (found)
            return NULL;
        found = &networks[i];
    }
    return found;
}

struct network *network_of(const struct container *c)
{
    const char *mode = json_str(c->host, "NetworkMode");
    struct network *n = mode ? network_find(mode) : NULL;

    return n ? n : &networks[0];
}

/* The same for each run of a container: clients compare them. */
void network_write_endpoint(struct jw *w, const struct container *c)
{
    const struct network *n = network_of(c);
    bool on = c->state == C_RUNNING || c->state == C_PAUSED;

    jw_object(w, "Networks");
    jw_object(w, n->name);
    jw_null(w, "IPAMConfig");
    jw_null(w, "Links");
    jw_null(w, "Aliases");
    jw_str(w, "NetworkID", n->id);
    jw_str(w, "EndpointID", on ? c->id : "");
    jw_str(w, "Gateway", "");
    jw_str(w, "IPAddress", "");
    jw_int(w, "IPPrefixLen", 0);
    jw_str(w, "IPv6Gateway", "");
    jw_str(w, "GlobalIPv6Address", "");
    jw_int(w, "GlobalIPv6PrefixLen", 0);
    jw_str(w, "MacAddress", "");
    jw_null(w, "DriverOpts");
    jw_object_end(w);
    jw_object_end(w);
}

/* ---- its file -------------------------------------------------------------------------------- */

static char *network_path(const struct network *n)
{
    return str_fmt("%s/networks/%s.json", engine.root, n->name);
}

static bool network_read(struct network *n)
{
    char *path = network_path(n);
    struct buf text = {0};
    const char *why, *id, *when;
    struct json *j = NULL;
    bool ok = false;
    int err = file_read(path, 65536, &text);

    engine_check_read(path, err);
    if (!err)
        j = json_parse(text.data, text.len, &why);
    id = json_str(j, "Id");
    when = json_str(j, "CreatedAt");
    if (json_int(j, "Format", 0) == NETWORK_FORMAT && id && str_is_hex(id, ID_LEN) && when)
        ok = time_parse(when, &n->created);
    if (ok)
        memcpy(n->id, id, ID_LEN);
    json_free(j);
    buf_free(&text);
    free(path);
    return ok;
}

static void network_save(const struct network *n)
{
    char *path = network_path(n), when[48];
    struct buf text = {0};
    struct jw w = {.out = &text};

    time_rfc3339(when, &n->created);
    jw_object(&w, NULL);
    jw_int(&w, "Format", NETWORK_FORMAT);
    jw_str(&w, "Name", n->name);
    jw_str(&w, "Id", n->id);
    jw_str(&w, "CreatedAt", when);
    jw_object_end(&w);
    store_put(path, &text, false, NULL, NULL);
    buf_free(&text);
    free(path);
}

void networks_open(void)
{
    for (size_t i = 0; i < NETWORKS; i++) {
        networks[i].next = i + 1 < NETWORKS ? &networks[i + 1] : NULL;
        if (network_read(&networks[i]))
            continue;
        random_hex(networks[i].id, ID_LEN);
        engine_now(&networks[i].created);
        networks[i].fresh = true;
    }
}

void networks_opened(void)
{
    for (size_t i = 0; i < NETWORKS; i++)
        if (networks[i].fresh)
            network_save(&networks[i]);
}
