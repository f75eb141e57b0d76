// SPDX-License-Identifier: MIT
// Nothing of a create request is dropped in silence: each field that is not at its default is done
// elsewhere, means nothing here, or is refused by its name, and so is one that is not known.
#include "engine/create_priv.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

enum judge { DONE, WORDS, REFUSED };

/* HostConfig. WORDS: a string that must be one of these, or empty. */
static const struct judge_field {
    const char *name;
    enum judge judge;
    const char *option; /* what users call it */
    const char *const *words;
} judge_host[] = {
#define LIST(...)         \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }
    {"NetworkMode", WORDS, "network mode", LIST("default", "bridge", "none", "host")},
    {"IpcMode", WORDS, "IPC mode", LIST("private", "shareable", "none")},
    {"PidMode", WORDS, "PID mode", LIST("private")},
    {"UTSMode", WORDS, "UTS mode", LIST("private")},
    {"UsernsMode", WORDS, "user namespace mode", LIST("host")},
    {"CgroupnsMode", WORDS, "cgroup namespace mode", LIST("private", "host")},
    {"Isolation", WORDS, "isolation", LIST("default")},
    {"VolumeDriver", WORDS, "volume driver", LIST("local")},
    {"VolumesFrom", DONE, NULL, NULL},
    {"Links", REFUSED, "--link", NULL},
    {"DeviceRequests", REFUSED, "--gpus", NULL},
    {"DeviceCgroupRules", REFUSED, "--device-cgroup-rule", NULL},
    {"StorageOpt", REFUSED, "--storage-opt", NULL},
    {"PortBindings", REFUSED, "port publishing (-p)", NULL},
    {"PublishAllPorts", REFUSED, "port publishing (-P)", NULL},
    {"Init", REFUSED, "--init", NULL},
    {"CgroupParent", REFUSED, "--cgroup-parent", NULL},
    {"BlkioWeight", REFUSED, "--blkio-weight", NULL},
    {"BlkioWeightDevice", REFUSED, "--blkio-weight-device", NULL},
    {"BlkioDeviceReadBps", REFUSED, "--device-read-bps", NULL},
    {"BlkioDeviceWriteBps", REFUSED, "--device-write-bps", NULL},
    {"BlkioDeviceReadIOps", REFUSED, "--device-read-iops", NULL},
    {"BlkioDeviceWriteIOps", REFUSED, "--device-write-iops", NULL},
    {"CpuRealtimePeriod", REFUSED, "--cpu-rt-period", NULL},
    {"CpuRealtimeRuntime", REFUSED, "--cpu-rt-runtime", NULL},
    {"CpuCount", REFUSED, "--cpu-count", NULL},
    {"CpuPercent", REFUSED, "--cpu-percent", NULL},
    {"IOMaximumIOps", REFUSED, "--io-maxiops", NULL},
    {"IOMaximumBandwidth", REFUSED, "--io-maxbandwidth", NULL},
    {"KernelMemory", REFUSED, "--kernel-memory", NULL},
    {"KernelMemoryTCP", REFUSED, "--kernel-memory-tcp", NULL},
    {"OomKillDisable", REFUSED, "--oom-kill-disable", NULL},
    {"Capabilities", REFUSED, "HostConfig.Capabilities", NULL},
    {"Cgroup", REFUSED, "HostConfig.Cgroup", NULL},
    /* only the client's, or for people to read */
    {"ContainerIDFile", DONE, NULL, NULL},
    {"Annotations", DONE, NULL, NULL},
    /* read where they are done */
    {"AutoRemove", DONE, NULL, NULL},
    {"Binds", DONE, NULL, NULL},
    {"CapAdd", DONE, NULL, NULL},
    {"CapDrop", DONE, NULL, NULL},
    {"ConsoleSize", DONE, NULL, NULL},
    {"CpuPeriod", DONE, NULL, NULL},
    {"CpuQuota", DONE, NULL, NULL},
    {"CpuShares", DONE, NULL, NULL},
    {"CpusetCpus", DONE, NULL, NULL},
    {"CpusetMems", DONE, NULL, NULL},
    {"Devices", DONE, NULL, NULL},
    {"Dns", DONE, NULL, NULL},
    {"DnsOptions", DONE, NULL, NULL},
    {"DnsSearch", DONE, NULL, NULL},
    {"ExtraHosts", DONE, NULL, NULL},
    {"GroupAdd", DONE, NULL, NULL},
    {"LogConfig", DONE, NULL, NULL},
    {"MaskedPaths", DONE, NULL, NULL},
    {"Memory", DONE, NULL, NULL},
    {"MemoryReservation", DONE, NULL, NULL},
    {"MemorySwap", DONE, NULL, NULL},
    {"MemorySwappiness", DONE, NULL, NULL},
    {"Mounts", DONE, NULL, NULL},
    {"NanoCpus", DONE, NULL, NULL},
    {"OomScoreAdj", DONE, NULL, NULL},
    {"PidsLimit", DONE, NULL, NULL},
    {"Privileged", DONE, NULL, NULL},
    {"ReadonlyPaths", DONE, NULL, NULL},
    {"ReadonlyRootfs", DONE, NULL, NULL},
    {"RestartPolicy", DONE, NULL, NULL},
    {"Runtime", DONE, NULL, NULL},
    {"SecurityOpt", DONE, NULL, NULL},
    {"ShmSize", DONE, NULL, NULL},
    {"Sysctls", DONE, NULL, NULL},
    {"Tmpfs", DONE, NULL, NULL},
    {"Ulimits", DONE, NULL, NULL},
#undef LIST
};

static char *judge_words(const struct judge_field *f, const struct json *j)
{
    if (j->type != JSON_STRING)
        return str_fmt("HostConfig.%s must be a string", f->name);
    for (int i = 0; f->words[i]; i++)
        if (!strcmp(f->words[i], j->str))
            return NULL;
    return str_fmt("%s \"%s\" is not supported", f->option, j->str);
}

static char *judge_field(const struct json *j)
{
    for (size_t i = 0; i < sizeof(judge_host) / sizeof(judge_host[0]); i++) {
        const struct judge_field *f = &judge_host[i];

        if (strcmp(f->name, j->key))
            continue;
        if (f->judge == WORDS)
            return judge_words(f, j);
        return f->judge == DONE ? NULL : str_fmt("%s is not supported", f->option);
    }
    return str_fmt("HostConfig.%s is not supported", j->key);
}

/* Health checks: nothing runs them. The image's own do no harm unrun, and inspect shows them not.
 */
static char *judge_health(const struct json *req)
{
    const struct json *test = json_get(json_get(req, "Healthcheck"), "Test");

    if (!test || json_is_empty(test))
        return NULL;
    if (test->child && test->child->str && !strcmp(test->child->str, "NONE"))
        return NULL;
    return str_dup("health checks (--health-cmd) are not supported");
}

bool container_host_net(const struct container *c)
{
    const char *net = json_str(c->host, "NetworkMode");

    return net && !strcmp(net, "host");
}

/* Discarded on the host's network, as Docker does: see judge_warning(). */
static bool judge_publishes(const struct json *j)
{
    return !strcmp(j->key, "PortBindings") || !strcmp(j->key, "PublishAllPorts");
}

const char *judge_warning(const struct container *c)
{
    const struct json *ports = json_get(c->host, "PortBindings");
    bool publishes = (ports && !json_is_empty(ports)) || json_bool(c->host, "PublishAllPorts");

    return container_host_net(c) && publishes
               ? "Published ports are discarded when using host network mode"
               : NULL;
}

/* Wishes that only networks of one's own could fulfil. */
static char *judge_endpoint(const struct json *endpoint)
{
    const struct json *ipam = json_get(endpoint, "IPAMConfig");
    const char *four = json_str(ipam, "IPv4Address"), *six = json_str(ipam, "IPv6Address");
    const char *mac = json_str(endpoint, "MacAddress");

    if ((four && *four) || (six && *six))
        return str_dup("user specified IP address is supported on user defined networks only");
    if (json_list(endpoint, "Aliases"))
        return str_dup("network-scoped aliases are only supported for user-defined networks");
    return mac && *mac ? str_dup("MacAddress (--mac-address) is not supported") : NULL;
}

static char *judge_endpoints(const struct json *req)
{
    const struct json *networking = json_get(req, "NetworkingConfig");
    char *why = NULL;

    for (const struct json *e = json_list(networking, "EndpointsConfig"); e && !why; e = e->next)
        why = judge_endpoint(e);
    return why;
}

char *judge_request(const struct container *c, const struct json *req)
{
    static const char *const config[] = {"MacAddress", "CpuShares",  "Cpuset",     "CpuSet",
                                         "Memory",     "MemorySwap", "VolumesFrom"};
    bool host_net = container_host_net(c);
    char *why = judge_health(req);

    why = why ? why : judge_endpoints(req);
    for (size_t i = 0; i < sizeof(config) / sizeof(config[0]) && !why; i++) {
        const struct json *j = json_get(req, config[i]);

        if (j && !json_is_empty(j))
            why = str_fmt("%s is not supported outside of HostConfig", config[i]);
    }
    for (struct json *j = c->host->child; j && !why; j = j->next)
        if (!json_is_empty(j) && !(host_net && judge_publishes(j)))
            why = judge_field(j);
    return why;
}

/* ---- names and addresses --------------------------------------------------------------------- */

/* An array of strings that are one word each; NULL in *out when there is none. */
static char *judge_list(const struct container *c, const char *key, char ***out)
{
    struct json *list = json_get(c->host, key);

    *out = NULL;
    if (!list || list->type == JSON_NULL)
        return NULL;
    if (list->type != JSON_ARRAY)
        return str_fmt("HostConfig.%s must be an array", key);
    if (json_count(list) > LIST_MAX)
        return str_fmt("too many %s", key);
    for (struct json *j = list->child; j; j = j->next) {
        if (j->type != JSON_STRING || !*j->str)
            return str_fmt("HostConfig.%s must be an array of strings", key);
        for (const char *p = j->str; *p; p++)
            if (isspace((unsigned char)*p) || iscntrl((unsigned char)*p))
                return str_fmt("HostConfig.%s: bad entry \"%s\"", key, j->str);
    }
    *out = strv_from_json(list);
    return NULL;
}

static bool is_address(const char *text)
{
    struct in6_addr a;

    return inet_pton(AF_INET, text, &a) == 1 || inet_pton(AF_INET6, text, &a) == 1;
}

static char *judge_hosts(char **host)
{
    for (; host && *host; host++) {
        const char *colon = strchr(*host, ':');

        if (!colon || colon == *host)
            return str_fmt("bad format for add-host: \"%s\"", *host);
        if (!strcmp(colon + 1, "host-gateway"))
            return str_dup("--add-host NAME:host-gateway is not supported");
        if (!is_address(colon + 1))
            return str_fmt("invalid IP address in add-host: \"%s\"", colon + 1);
    }
    return NULL;
}

static char *judge_dns(char **server)
{
    for (; server && *server; server++)
        if (!is_address(*server))
            return str_fmt("bad nameserver address: %s", *server);
    return NULL;
}

static char *judge_paths(char **path, const char *key)
{
    for (; path && *path; path++)
        if (**path != '/')
            return str_fmt("HostConfig.%s: not an absolute path: %s", key, *path);
    return NULL;
}

/* Options that the log has no use for. */
static char *judge_log(const struct container *c)
{
    const struct json *log = json_get(c->host, "LogConfig");
    const char *type = json_str(log, "Type");

    if (type && *type && strcmp(type, "json-file") && strcmp(type, "local") && strcmp(type, "none"))
        return str_fmt("logger: no log driver named '%s' is registered", type);
    for (struct json *j = json_list(log, "Config"); j; j = j->next) {
        uint64_t size;

        if (strcmp(j->key, "max-size") && strcmp(j->key, "max-file") && strcmp(j->key, "mode"))
            return str_fmt("unknown log opt '%s' for %s log driver", j->key,
                           type && *type ? type : "json-file");
        if (!strcmp(j->key, "max-size") && (j->type != JSON_STRING || !str_size(j->str, &size)))
            return str_dup("invalid value for max-size");
    }
    return NULL;
}

static char *judge_numbers(const struct container *c)
{
    int64_t adj = json_int(c->host, "OomScoreAdj", 0), shm = json_int(c->host, "ShmSize", 0);
    int64_t swappiness = json_int(c->host, "MemorySwappiness", -1);

    if (adj < -1000 || adj > 1000)
        return str_fmt("Invalid value %lld, range for oom score adj is [-1000, 1000]",
                       (long long)adj);
    if (shm < 0)
        return str_dup("SHM size can not be less than 0");
    if (swappiness < -1 || swappiness > 100)
        return str_fmt("Invalid value: %lld, valid memory swappiness range is 0-100",
                       (long long)swappiness);
    return swappiness > 0 ? str_dup("--memory-swappiness is not supported: there is no swap")
                          : NULL;
}

char *parse_names(struct container *c)
{
    struct shared_spec *r = &c->shared;
    char *why = judge_numbers(c);

    why = why ? why : judge_log(c);
    why = why ? why : judge_list(c, "ExtraHosts", &r->extra_hosts);
    why = why ? why : judge_hosts(r->extra_hosts);
    why = why ? why : judge_list(c, "Dns", &r->dns);
    why = why ? why : judge_dns(r->dns);
    why = why ? why : judge_list(c, "DnsSearch", &r->dns_search);
    why = why ? why : judge_list(c, "DnsOptions", &r->dns_options);
    why = why ? why : judge_list(c, "MaskedPaths", &r->masked);
    why = why ? why : judge_paths(r->masked, "MaskedPaths");
    why = why ? why : judge_list(c, "ReadonlyPaths", &r->readonly_paths);
    why = why ? why : judge_paths(r->readonly_paths, "ReadonlyPaths");
    why = why ? why : judge_list(c, "GroupAdd", &c->spec.groups);
    return why;
}
