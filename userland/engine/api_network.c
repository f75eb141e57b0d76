// SPDX-License-Identifier: MIT
// The API's networks: list and inspect; what there is not yet is refused by its name.
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/filters.h"
#include "engine/network.h"
#include "lib/str.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOT_YET "networks other than bridge, host and none are not supported yet"

static void network_containers(struct jw *w, const struct network *n)
{
    jw_object(w, "Containers");
    for (const struct container *c = container_first(); c; c = c->next) {
        if ((c->state != C_RUNNING && c->state != C_PAUSED) || network_of(c) != n)
            continue;
        jw_object(w, c->id);
        jw_str(w, "Name", c->name);
        jw_str(w, "EndpointID", c->id);
        jw_str(w, "MacAddress", "");
        jw_str(w, "IPv4Address", "");
        jw_str(w, "IPv6Address", "");
        jw_object_end(w);
    }
    jw_object_end(w);
}

static void network_write(struct jw *w, const struct network *n, bool containers)
{
    char when[48];

    time_rfc3339(when, &n->created);
    jw_object(w, NULL);
    jw_str(w, "Name", n->name);
    jw_str(w, "Id", n->id);
    jw_str(w, "Created", when);
    jw_str(w, "Scope", "local");
    jw_str(w, "Driver", n->driver);
    jw_bool(w, "EnableIPv4", false);
    jw_bool(w, "EnableIPv6", false);
    jw_object(w, "IPAM");
    jw_str(w, "Driver", "default");
    jw_null(w, "Options");
    jw_array(w, "Config");
    jw_array_end(w);
    jw_object_end(w);
    jw_bool(w, "Internal", n->internal);
    jw_bool(w, "Attachable", false);
    jw_bool(w, "Ingress", false);
    jw_object(w, "ConfigFrom");
    jw_str(w, "Network", "");
    jw_object_end(w);
    jw_bool(w, "ConfigOnly", false);
    if (containers) {
        network_containers(w, n);
    } else {
        jw_object(w, "Containers");
        jw_object_end(w);
    }
    jw_object(w, "Options");
    jw_object_end(w);
    jw_object(w, "Labels");
    jw_object_end(w);
    jw_object_end(w);
}

static bool filter_name(const void *o, const char *v)
{
    return strstr(((const struct network *)o)->name, v) != NULL;
}

static bool filter_id(const void *o, const char *v)
{
    return strstr(((const struct network *)o)->id, v) != NULL;
}

static bool filter_driver(const void *o, const char *v)
{
    return !strcmp(((const struct network *)o)->driver, v);
}

static bool filter_type(const void *o, const char *v)
{
    return !strcmp(v, "builtin");
}

static bool filter_scope(const void *o, const char *v)
{
    return !strcmp(v, "local");
}

static bool filter_label(const void *o, const char *v)
{
    return false; /* none has any */
}

/* The ones that an engine has are never dangling, whatever is on them. */
static bool filter_dangling(const void *o, const char *v)
{
    return !filter_true(v);
}

static const struct filter list_filters[] = {
    {"name", filter_name, false},        {"id", filter_id, false},
    {"driver", filter_driver, false},    {"type", filter_type, false},
    {"scope", filter_scope, false},      {"label", filter_label, true},
    {"dangling", filter_dangling, false}};

API(api_network_list)
{
    char *why;
    struct json *filters = filters_read(call->req, list_filters, COUNT(list_filters), &why);
    struct buf b = {0};
    struct jw w = {.out = &b};

    why = why ? why : filters_check_bool(filters, "dangling");
    if (why) {
        api_error(call->conn, 400, "%s", why);
        json_free(filters);
        free(why);
        return;
    }
    jw_array(&w, NULL);
    for (const struct network *n = network_first(); n; n = n->next)
        if (filters_match(list_filters, COUNT(list_filters), filters, n))
            network_write(&w, n, false);
    jw_array_end(&w);
    json_free(filters);
    api_json(call->conn, 200, &b);
}

/* The network that is named, or NULL after an answer. */
static const struct network *api_network(struct call *call)
{
    const struct network *n = network_find(call->name);

    if (!n)
        api_error(call->conn, 404, "network %s not found", call->name);
    return n;
}

API(api_network_inspect)
{
    const struct network *n = api_network(call);
    struct buf b = {0};
    struct jw w = {.out = &b};

    if (!n)
        return;
    network_write(&w, n, true);
    api_json(call->conn, 200, &b);
}

API(api_network_create)
{
    const char *name = json_str(call->body, "Name"), *driver = json_str(call->body, "Driver");

    if (!name || !*name)
        api_error(call->conn, 400, "invalid name: name is empty");
    else if (network_find(name))
        api_error(call->conn, 409, "network with name %s already exists", name);
    else if (driver && (!strcmp(driver, "host") || !strcmp(driver, "null")))
        api_error(call->conn, 403, "only one instance of \"%s\" network is allowed", driver);
    else
        api_error(call->conn, 501, NOT_YET);
}

API(api_network_remove)
{
    const struct network *n = api_network(call);

    if (n)
        api_error(call->conn, 403, "%s is a pre-defined network and cannot be removed", n->name);
}

/* A container is on one network of the predefined ones, from its creation on. */
static void network_attach(struct call *call, bool connect)
{
    const struct network *n = api_network(call);
    const char *name = json_str(call->body, "Container");
    struct container *c;
    bool ambiguous;

    if (!n)
        return;
    c = container_find(name ? name : "", &ambiguous);
    if (!c)
        api_error(call->conn, 404, "No such container: %s", name ? name : "");
    else if (!strcmp(n->name, "host") || !strcmp(network_of(c)->name, "host"))
        api_error(call->conn, 400,
                  "container cannot be disconnected from host network or connected to host "
                  "network");
    else if (connect && network_of(c) == n)
        api_error(call->conn, 403, "endpoint with name %s already exists in network %s", c->name,
                  n->name);
    else if (connect)
        api_error(call->conn, 400,
                  "container cannot be connected to multiple networks with one of the networks in "
                  "private (none) mode");
    else if (network_of(c) != n)
        api_error(call->conn, 403, "container %s is not connected to network %s", c->id, n->name);
    else
        api_error(call->conn, 501, "disconnecting from network %s is not supported yet", n->name);
}

API(api_network_connect)
{
    network_attach(call, true);
}

API(api_network_disconnect)
{
    network_attach(call, false);
}

/* None of those that there are is ever pruned. */
API(api_network_prune)
{
    static const char none[] = "{\"NetworksDeleted\":null}\n";

    event_prune("network", 0);
    http_reply(call->conn, 200, "application/json", none, sizeof(none) - 1);
}
