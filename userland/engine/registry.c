// SPDX-License-Identifier: MIT
// Which registry a name means and how it is to be reached; see registry.h.
#include "engine/registry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base64.h"
#include "lib/str.h"

#define DOCKER_HOST "docker.io"
#define DOCKER_REGISTRY "registry-1.docker.io"
#define HTTPS_SOCKET "/run/https-proxy/sock" /* where the proxy's image serves by default */
#define CMDLINE_MAX 65536

static struct registry_config {
    const char *mirrors[REGISTRY_LIST_MAX]; /* URLs, tried first for Docker's own registry */
    size_t nmirrors;
    const char *insecure[REGISTRY_LIST_MAX]; /* HOST, HOST:PORT, or an IPv4 net ADDRESS/BITS */
    size_t ninsecure;
    const char *https; /* the proxy's socket */
    int64_t idle;      /* seconds a registry may be silent */
} registry_config = {.https = HTTPS_SOCKET, .idle = FETCH_IDLE_MS / 1000};

static bool registry_list_add(const char **list, size_t *n, const char *value)
{
    if (*n == REGISTRY_LIST_MAX)
        return false;
    list[(*n)++] = str_dup(value);
    return true;
}

static bool registry_url_ok(const char *value)
{
    struct url u;

    return url_parse(&u, value) == 0 && !strchr(u.target, '?');
}

static bool option_mirror(const char *value)
{
    struct registry_config *c = &registry_config;

    return registry_url_ok(value) && registry_list_add(c->mirrors, &c->nmirrors, value);
}

static bool option_insecure(const char *value)
{
    return registry_list_add(registry_config.insecure, &registry_config.ninsecure, value);
}

static bool option_https(const char *value)
{
    const char *path = str_starts(value, "unix:") ? value + 5 : value;

    if (*path != '/')
        return false;
    registry_config.https = str_dup(path);
    return true;
}

static bool option_idle(const char *value)
{
    uint64_t idle;

    if (!str_u64(value, &idle) || !idle || idle > 3600)
        return false;
    registry_config.idle = (int64_t)idle;
    return true;
}

static const struct registry_setting {
    const char *name;
    bool (*set)(const char *value);
} registry_settings[] = {
    {"mirror", option_mirror},
    {"insecure-registry", option_insecure},
    {"https", option_https},
    {"registry-idle", option_idle},
};

int registry_option(const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof(registry_settings) / sizeof(registry_settings[0]); i++)
        if (!strcmp(registry_settings[i].name, name))
            return *value && registry_settings[i].set(value) ? 0 : -EINVAL;
    return -ENOENT;
}

void registry_options_of_boot(const char *file, void (*bad)(const char *word, const char *value))
{
    struct buf text = {0};
    char *save, *word;

    if (file_read(file, CMDLINE_MAX, &text) == 0 && text.len)
        for (word = strtok_r(text.data, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
            char *value = strchr(word, '=');

            if (!str_starts(word, "bothy.") || !value)
                continue;
            *value++ = 0;
            if (registry_option(word + 6, value) == -EINVAL)
                bad(word, value);
        }
    buf_free(&text);
}

/* ---- names ----------------------------------------------------------------------------------- */

void registry_name_parse(struct registry_name *n, const char *ref)
{
    const char *at = strchr(ref, '@'), *slash, *colon;
    char *name = str_dupn(ref, at ? (size_t)(at - ref) : strlen(ref));
    size_t first;

    *n = (struct registry_name){0};
    colon = strrchr(name, ':');
    if (colon && !strchr(colon, '/')) {
        n->tag = at ? NULL : str_dup(colon + 1);
        name[colon - name] = 0;
    }
    if (at)
        n->digest = str_dup(at + 1);
    slash = strchr(name, '/');
    first = slash ? (size_t)(slash - name) : 0;
    if (first && (memchr(name, '.', first) || memchr(name, ':', first) ||
                  (first == 9 && str_starts(name, "localhost")))) {
        n->host = str_dupn(name, first);
        n->path = str_dup(slash + 1);
    } else {
        n->host = str_dup(DOCKER_HOST);
        n->path = slash ? str_dup(name) : str_fmt("library/%s", name);
    }
    n->repo = name;
}

void registry_name_free(struct registry_name *n)
{
    free(n->host);
    free(n->path);
    free(n->repo);
    free(n->tag);
    free(n->digest);
}

/* "10.0.0.0/8" has the address. */
static bool registry_net_has(const char *net, uint32_t address)
{
    const char *slash = strchr(net, '/');
    char *text = slash ? str_dupn(net, (size_t)(slash - net)) : NULL;
    struct in_addr in;
    uint64_t bits;
    bool has = text && inet_pton(AF_INET, text, &in) == 1 && str_u64(slash + 1, &bits) &&
               bits <= 32 && (!bits || (ntohl(in.s_addr) ^ address) >> (32 - (unsigned)bits) == 0);

    free(text);
    return has;
}

/* The host of "host", "host:port" or "[address]:port", to be freed. */
static char *registry_host_name(const char *host)
{
    const char *colon = strrchr(host, ':'), *close = strchr(host, ']');

    if (*host == '[' && close)
        return str_dupn(host + 1, (size_t)(close - host - 1));
    return colon && strchr(host, ':') == colon ? str_dupn(host, (size_t)(colon - host))
                                               : str_dup(host);
}

/* Of "host[:port]": at a loopback address, or named insecure. */
static bool registry_is_plain(const char *host)
{
    char *name = registry_host_name(host);
    struct in_addr in;
    bool number = inet_pton(AF_INET, name, &in) == 1;
    uint32_t address = number ? ntohl(in.s_addr) : 0;
    bool plain = url_host_is_localhost(name) || !strcmp(name, "::1") || address >> 24 == 127;

    for (size_t i = 0; i < registry_config.ninsecure && !plain; i++) {
        const char *entry = registry_config.insecure[i];

        plain = str_case_eq(entry, host) || str_case_eq(entry, name) ||
                (number && registry_net_has(entry, address));
    }
    free(name);
    return plain;
}

/* ---- orders ---------------------------------------------------------------------------------- */

static void registry_endpoint(struct jw *w, const char *url, bool mirror)
{
    jw_object(w, NULL);
    jw_str(w, "Url", url);
    jw_bool(w, "Mirror", mirror);
    jw_object_end(w);
}

void registry_order_auth(struct buf *b, const struct json *auth)
{
    if (auth)
        json_write(b, auth);
    buf_char(b, '\n');
}

void registry_order(struct jw *w, const struct registry_name *n)
{
    bool docker = !strcmp(n->host, DOCKER_HOST);
    const char *host = docker ? DOCKER_REGISTRY : n->host;
    char *url = str_fmt("%s://%s", registry_is_plain(host) ? "http" : "https", host);

    jw_str(w, "Host", n->host);
    if (n->path)
        jw_str(w, "Path", n->path);
    if (n->repo)
        jw_str(w, "Repo", n->repo);
    if (n->tag)
        jw_str(w, "Tag", n->tag);
    if (n->digest)
        jw_str(w, "Digest", n->digest);
    jw_array(w, "Endpoints");
    for (size_t i = 0; docker && i < registry_config.nmirrors; i++)
        registry_endpoint(w, registry_config.mirrors[i], true);
    registry_endpoint(w, url, false);
    jw_array_end(w);
    jw_str(w, "Https", registry_config.https);
    jw_int(w, "Idle", registry_config.idle);
    free(url);
}

bool registry_auth(const struct http_head *req, struct json **out)
{
    const char *header = http_header(req, "X-Registry-Auth");
    struct buf text = {0};
    bool ok = true;

    *out = NULL;
    if (header && *header) {
        ok = strlen(header) <= REGISTRY_AUTH_MAX && base64_decode(&text, header) == 0;
        *out = ok && text.len ? json_parse(text.data, text.len, NULL) : NULL;
        ok = *out && ((*out)->type == JSON_OBJECT || (*out)->type == JSON_NULL);
    }
    if (*out && !(*out)->child) {
        json_free(*out);
        *out = NULL;
    }
    buf_free(&text);
    return ok;
}
