// SPDX-License-Identifier: MIT
// The API's router: one table from method and path to handler.
//
// A path may carry any /v1.N prefix or none. {name} may itself hold slashes (image names do), so
// routes match by prefix and suffix, the longest pattern first in the table.
#include "engine/engine.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/str.h"

struct route {
    const char *method;
    const char *prefix; /* up to {name} */
    const char *suffix; /* after {name}; NULL when there is no {name} */
    api_fn fn;
};

static const struct route routes[] = {
    {"GET", "/_ping", NULL, api_ping},
    {"HEAD", "/_ping", NULL, api_ping},
    {"GET", "/version", NULL, api_version},
    {"GET", "/info", NULL, api_info},
    {"GET", "/events", NULL, api_events},
    {"GET", "/system/df", NULL, api_system_df},
    {"POST", "/auth", NULL, api_auth},
    {"GET", "/distribution/", "/json", api_distribution},
    {"GET", "/plugins", NULL, api_empty_list},
    {"GET", "/networks", NULL, api_network_list},
    {"POST", "/networks/create", NULL, api_network_create},
    {"POST", "/networks/prune", NULL, api_network_prune},
    {"POST", "/networks/", "/connect", api_network_connect},
    {"POST", "/networks/", "/disconnect", api_network_disconnect},
    {"GET", "/networks/", "", api_network_inspect},
    {"DELETE", "/networks/", "", api_network_remove},
    {"GET", "/volumes", NULL, api_volume_list},
    {"POST", "/volumes/create", NULL, api_volume_create},
    {"POST", "/volumes/prune", NULL, api_volume_prune},
    {"GET", "/volumes/", "", api_volume_inspect},
    {"DELETE", "/volumes/", "", api_volume_remove},
    {"GET", "/images/json", NULL, api_image_list},
    {"POST", "/images/create", NULL, api_image_pull},
    {"GET", "/images/", "/json", api_image_inspect},
    {"GET", "/images/", "/history", api_image_history},
    {"POST", "/images/prune", NULL, api_image_prune},
    {"POST", "/images/", "/tag", api_image_tag},
    {"POST", "/images/", "/push", api_image_push},
    {"DELETE", "/images/", "", api_image_remove},
    {"POST", "/containers/create", NULL, api_container_create},
    {"POST", "/containers/prune", NULL, api_container_prune},
    {"GET", "/containers/json", NULL, api_container_list},
    {"GET", "/containers/", "/json", api_container_inspect},
    {"GET", "/containers/", "/logs", api_container_logs},
    {"GET", "/containers/", "/stats", api_container_stats},
    {"GET", "/containers/", "/top", api_container_top},
    {"POST", "/containers/", "/start", api_container_start},
    {"POST", "/containers/", "/stop", api_container_stop},
    {"POST", "/containers/", "/restart", api_container_restart},
    {"POST", "/containers/", "/kill", api_container_kill},
    {"POST", "/containers/", "/pause", api_container_pause},
    {"POST", "/containers/", "/unpause", api_container_unpause},
    {"POST", "/containers/", "/wait", api_container_wait},
    {"POST", "/containers/", "/rename", api_container_rename},
    {"POST", "/containers/", "/resize", api_container_resize},
    {"POST", "/containers/", "/attach", api_container_attach},
    {"POST", "/containers/", "/update", api_container_update},
    {"POST", "/containers/", "/exec", api_exec_create},
    {"DELETE", "/containers/", "", api_container_remove},
    {"POST", "/exec/", "/start", api_exec_start},
    {"POST", "/exec/", "/resize", api_exec_resize},
    {"GET", "/exec/", "/json", api_exec_inspect},
    {"POST", "/build/prune", NULL, api_build_prune},
};

#define ROUTES (sizeof(routes) / sizeof(routes[0]))

/* What clients ask for and this engine does not do yet. */
static const struct {
    struct route route;
    const char *what;
} routes_later[] = {
    {{"POST", "/build", NULL, NULL}, "build"},
    {{"POST", "/session", NULL, NULL}, "build"},
    {{"POST", "/grpc", NULL, NULL}, "build"},
    {{"POST", "/commit", NULL, NULL}, "commit"},
    {{"GET", "/containers/", "/changes", NULL}, "diff"},
    {{"GET", "/containers/", "/export", NULL}, "export"},
    {{"GET", "/containers/", "/archive", NULL}, "cp"},
    {{"HEAD", "/containers/", "/archive", NULL}, "cp"},
    {{"PUT", "/containers/", "/archive", NULL}, "cp"},
    {{"GET", "/containers/", "/attach/ws", NULL}, "attach over a web socket"},
    {{"GET", "/containers/", "/checkpoints", NULL}, "checkpoint"},
    {{"POST", "/containers/", "/checkpoints", NULL}, "checkpoint"},
    {{"GET", "/images/get", NULL, NULL}, "save"},
    {{"GET", "/images/", "/get", NULL}, "save"},
    {{"GET", "/images/search", NULL, NULL}, "search"},
};

#define ROUTES_LATER (sizeof(routes_later) / sizeof(routes_later[0]))

/* The path after "/v1.N". Slashes that stand together are one: clients join addresses that end with
 * one and paths that begin so. */
static char *api_path(const struct http_head *req)
{
    const char *p = req->path;
    char *path, *to;
    size_t digits;

    while (p[0] == '/' && p[1] == '/')
        p++;

    if (str_starts(p, "/v") && isdigit((unsigned char)p[2])) {
        digits = strspn(p + 2, "0123456789.");
        if (p[2 + digits] == '/')
            p += 2 + digits;
    }
    path = to = str_dup(p);
    for (; *p; p++)
        if (p[0] != '/' || p[1] != '/')
            *to++ = *p;
    *to = 0;
    return path;
}

/* Does `path` match? Cuts {name} out of it. */
static bool route_match(const struct route *r, const char *method, char *path, char **name)
{
    size_t n, p, s;

    if (strcmp(r->method, method) || !str_starts(path, r->prefix))
        return false;
    n = strlen(path), p = strlen(r->prefix), s = r->suffix ? strlen(r->suffix) : 0;
    if (!r->suffix)
        return n == p;
    if (n <= p + s || strcmp(path + n - s, r->suffix))
        return false;
    path[n - s] = 0;
    *name = path + p;
    url_decode(*name);
    return true;
}

static void api_dispatch(struct http_conn *conn, const struct route *r, const char *name)
{
    struct call call = {.conn = conn, .req = &conn->req, .name = name};
    const char *why = NULL;
    bool blank = conn->body.len == 0 || strspn(conn->body.data, " \t\r\n") == conn->body.len;

    if (!blank) {
        call.body = json_parse(conn->body.data, conn->body.len, &why);
        if (!call.body) {
            api_error(conn, 400, "invalid JSON in the request body: %s", why);
            return;
        }
    }
    r->fn(&call);
    json_free(call.body);
}

static bool path_known(const char *path)
{
    for (size_t i = 0; i < ROUTES; i++) {
        char *copy = str_dup(path), *name;
        bool hit = route_match(&routes[i], routes[i].method, copy, &name);

        free(copy);
        if (hit)
            return true;
    }
    return false;
}

/* Clients that ask for what is not there yet are told so before they send all of it. */
static const char *path_later(const struct http_conn *conn, const char *path)
{
    const char *what = NULL;

    if (!strcmp(conn->req.method, "POST") && !strcmp(path, "/images/create") &&
        !http_query(&conn->req, "fromImage"))
        return "import"; /* an archive is its body */
    for (size_t i = 0; i < ROUTES_LATER && !what; i++) {
        char *copy = str_dup(path), *name;

        if (route_match(&routes_later[i].route, conn->req.method, copy, &name))
            what = routes_later[i].what;
        free(copy);
    }
    return what;
}

static void api_complete(struct http_conn *conn)
{
    char *path = api_path(&conn->req), *name = (char *)"";

    for (size_t i = 0; i < ROUTES; i++) {
        if (!route_match(&routes[i], conn->req.method, path, &name))
            continue;
        api_dispatch(conn, &routes[i], name);
        free(path);
        return;
    }
    if (path_known(path))
        api_error(conn, 405, "method %s is not allowed here", conn->req.method);
    else if (str_starts(path, "/swarm") || str_starts(path, "/nodes") ||
             str_starts(path, "/services") || str_starts(path, "/tasks") ||
             str_starts(path, "/secrets") || str_starts(path, "/configs"))
        api_error(conn, 503, "This node is not a swarm manager. Bothy does not do swarm.");
    else
        api_error(conn, 404, "page not found: %s %s", conn->req.method, path);
    free(path);
}

/* "host", "host:port", "[address]:port": a name that someone may own who is not of this house. What
 * has no dot, an address, and names for private use are none; they cannot be made to lead here from
 * elsewhere. */
static bool api_host_is_public(const char *host)
{
    static const char *const own[] = {".localhost", ".local",     ".internal",
                                      ".lan",       ".home.arpa", ".test"};
    size_t n = strcspn(host, ":");

    if (*host == '[' || !memchr(host, '.', n) || strspn(host, "0123456789.") == n)
        return false;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (n > strlen(own[i]) && !strncasecmp(host + n - strlen(own[i]), own[i], strlen(own[i])))
            return false;
    return true;
}

/* A page in somebody's browser can send requests to any address that the browser reaches, by a
 * form, by script, or under a name that leads here (DNS rebinding). A browser marks each of them
 * with headers that a page cannot leave out; no client of this API sends these. A language it can
 * replace: by "*", which Node's own fetch() sends with Sec-Fetch-Mode, which no page can set; under
 * a name that its owner can make lead here it counts as a browser's all the same. */
static bool api_from_browser(const struct http_head *req)
{
    const char *language = http_header(req, "Accept-Language"), *host = http_header(req, "Host");
    bool node = language && !strcmp(language, "*") && http_header(req, "Sec-Fetch-Mode") && host &&
                !api_host_is_public(host);

    return http_header(req, "Origin") || http_header(req, "Referer") ||
           http_header(req, "Sec-Fetch-Site") || (language && !node);
}

/* What a form's body is marked as. */
static bool api_from_form(const struct http_head *req)
{
    const char *type = http_header(req, "Content-Type");

    return type && (!strncasecmp(type, "multipart/form-data", 19) ||
                    !strncasecmp(type, "application/x-www-form-urlencoded", 33));
}

static void api_request(struct http_conn *conn)
{
    const char *later;
    char *path;

    if (conn->remote && api_from_browser(&conn->req)) {
        api_error(conn, 403, "a web browser's requests are refused over TCP");
        return;
    }
    if (conn->remote && api_from_form(&conn->req)) {
        api_error(conn, 415, "a form's body is refused over TCP");
        return;
    }
    path = api_path(&conn->req);
    later = path_later(conn, path);
    if (later)
        api_error(conn, 501, "%s is not supported yet", later);
    else if (!strcmp(conn->req.method, "POST") && !strcmp(path, "/images/load"))
        api_image_load(conn);
    free(path);
}

static void api_complete_any(struct http_conn *conn)
{
    if (conn->on_body)
        load_complete(conn); /* its body went to a spool piece by piece */
    else
        api_complete(conn);
}

const struct http_ops api_ops = {.request = api_request, .complete = api_complete_any};

void api_init(void)
{
    http_server_headers = "Api-Version: " ENGINE_API "\r\nDocker-Experimental: false\r\n"
                          "Ostype: linux\r\nServer: Bothy/" ENGINE_VERSION " (linux)\r\n";
}
